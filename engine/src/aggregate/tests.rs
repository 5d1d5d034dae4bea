use foreshadow_models::{BuildOptions, RawSeries};

use super::*;
use crate::config::Config;

const NAN: f64 = f64::NAN;

/// The aggregates of a configuration of some tables, each `name function select by`.
pub(crate) fn aggregates(tables: &[(&str, &str, &str, &[&str])]) -> Vec<AggregateConfig> {
    let table = |(name, function, select, by): &(&str, &str, &str, &[&str])| {
        format!("[[aggregate]]\nname = '{name}'\nfunction = '{function}'\nselect = '{select}'\nby = {by:?}\n")
    };
    let text: String = tables.iter().map(table).collect();
    Config::from_toml(&text, "foreshadow.toml", &[]).unwrap().aggregates().to_vec()
}

/// Samples each 10 ms from `start_ms` on; NaN is a sample that is not there.
fn raw(name: &str, start_ms: i64, values: &[f64]) -> RawSeries {
    let seen = (0..values.len()).filter(|at| !values[*at].is_nan());
    let (times_ms, values) = seen.map(|at| (start_ms + at as i64 * 10, values[at])).unzip();
    RawSeries { name: name.into(), times_ms, values }
}

/// All at once what a fleet that is read whole goes through.
fn extend(set: &mut PanelSet, aggregates: &[AggregateConfig], lookback_steps: usize) -> Vec<Whole> {
    let named = set.panels.iter().flat_map(|panel| (0..panel.series_count()).map(|s| panel.name(s)));
    let Plan { wanted, rejected } = Plan::of(aggregates, named);
    set.rejected.extend(rejected);
    super::extend(set, &wanted, lookback_steps)
}

fn set(raw: Vec<RawSeries>) -> PanelSet {
    PanelSet::build(raw, &BuildOptions::lookback(100))
}

/// Start and values of a series.
fn values(set: &PanelSet, name: &str) -> (i64, Vec<f64>) {
    let mut panels = set.panels.iter().flat_map(|panel| (0..panel.series_count()).map(move |s| (panel, s)));
    let (panel, s) = panels.find(|(panel, s)| panel.name(*s) == name).unwrap_or_else(|| panic!("{name} is not there"));
    (panel.start_ms(s), panel.values(s).to_vec())
}

fn same(left: &[f64], right: &[f64]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
}

#[test]
fn parts_become_one_series_for_each_value_of_the_labels() {
    let mut set = set(vec![
        raw(r#"rps{host="a",region="eu"}"#, 100, &[1.0, 2.0, 3.0]),
        raw(r#"rps{host="b",region="eu"}"#, 107, &[10.0, 20.0, 30.0]),
        raw(r#"rps{host="c",region="us"}"#, 100, &[5.0, 4.0, 3.0]),
        raw("other", 100, &[9.0, 9.0, 9.0]),
    ]);
    let wholes =
        extend(&mut set, &aggregates(&[("by_region", "sum", "rps", &["region"]), ("top", "max", "rps", &[])]), 100);
    assert_eq!(
        values(&set, r#"by_region{region="eu"}"#),
        (100, vec![11.0, 22.0, 33.0]),
        "offsets fall into their step"
    );
    assert_eq!(values(&set, r#"by_region{region="us"}"#), (100, vec![5.0, 4.0, 3.0]));
    assert_eq!(values(&set, "top"), (100, vec![10.0, 20.0, 30.0]));
    assert!(set.rejected.is_empty() && set.notes.len() == set.panels.len());
    let told: Vec<_> = wholes.iter().map(|whole| (whole.series.as_str(), whole.function, whole.parts.len())).collect();
    let (eu, us) = (r#"by_region{region="eu"}"#, r#"by_region{region="us"}"#);
    assert_eq!(told, [(eu, Function::Sum, 2), (us, Function::Sum, 1), ("top", Function::Max, 3)]);
}

#[test]
fn a_step_without_one_of_its_parts_is_a_gap_and_a_part_lives_from_its_first_sample_to_its_last() {
    let steps = |from: f64| (0..12).map(|at| from + f64::from(at)).collect::<Vec<_>>();
    let mut gone = vec![100.0; 4];
    gone[2] = NAN;
    let mut set = set(vec![raw("x{h=\"1\"}", 0, &steps(0.0)), raw("x{h=\"2\"}", 20, &gone)]);
    let wholes = extend(&mut set, &aggregates(&[("all", "sum", "x", &[]), ("top", "max", "x", &[])]), 100);
    let expected = [0.0, 1.0, 102.0, 103.0, NAN, 105.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0];
    assert!(same(&values(&set, "all").1, &expected), "{:?}", values(&set, "all"));
    let expected = [0.0, 1.0, 100.0, 100.0, NAN, 100.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0];
    assert!(same(&values(&set, "top").1, &expected), "{:?}", values(&set, "top"));
    assert_eq!(wholes[0].parts, ["x{h=\"1\"}"], "what is gone is no part of the future");
    assert_eq!(set.notes.last().unwrap()[0].missing_steps, 1);
}

#[test]
fn a_part_that_is_late_leaves_no_dip_at_the_end() {
    let mut set = set(vec![raw("x{h=\"1\"}", 0, &[1.0; 8]), raw("x{h=\"2\"}", 0, &[2.0; 7])]);
    let wholes = extend(&mut set, &aggregates(&[("all", "sum", "x", &[])]), 100);
    assert_eq!(values(&set, "all"), (0, vec![3.0; 7]));
    assert_eq!(wholes[0].parts.len(), 2);
}

#[test]
fn parts_that_cannot_be_read_are_told() {
    let mut set = set(vec![raw("x{h=\"1\"}", 0, &[1.0; 8])]);
    let told = |set: &mut PanelSet, hosts: &[&str]| {
        let parts = hosts.iter().map(|host| format!("x{{h=\"{host}\"}}")).collect();
        let wholes = super::extend(set, &[Wanted { series: "all".into(), function: Function::Sum, parts }], 100);
        assert_eq!(wholes[0].parts, ["x{h=\"1\"}"], "what is there is made to agree as ever");
        wholes[0].incomplete()
    };
    assert_eq!(told(&mut set, &["1"]), None);
    let one = "all is made without x{h=\"2\"}, which could not be read";
    assert_eq!(told(&mut set, &["1", "2"]).as_deref(), Some(one));
    let three = "all is made without x{h=\"2\"} and 2 others, which could not be read";
    assert_eq!(told(&mut set, &["1", "2", "3", "4"]).as_deref(), Some(three));
}

#[test]
fn the_newest_steps_are_kept_and_what_is_too_large_is_not_observed() {
    let mut set =
        set(vec![raw("x{h=\"1\"}", 0, &[1.0, 1.7e308, 3.0, 4.0]), raw("x{h=\"2\"}", 0, &[1.0, 1.7e308, 3.0, 4.0])]);
    extend(&mut set, &aggregates(&[("all", "sum", "x", &[])]), 3);
    assert_eq!(values(&set, "all"), (20, vec![6.0, 8.0]));
}

#[test]
fn what_cannot_be_made_is_rejected_by_name_and_the_others_go_on() {
    let minutes = RawSeries { name: "x{z=\"b\"}".into(), times_ms: vec![0, 60, 120], values: vec![1.0; 3] };
    let mut set = set(vec![
        raw("x{h=\"1\",z=\"a\"}", 0, &[1.0; 4]),
        minutes,
        raw("x{h=\"2\",z=\"b\"}", 0, &[1.0; 4]),
        raw("y{h=\"1\"}", 0, &[1.0, NAN, 1.0, NAN, 1.0, 1.0, 1.0]),
        raw("taken", 0, &[1.0; 4]),
    ]);
    let before = set.series_count();
    let tables: [(&str, &str, &str, &[&str]); 5] = [
        ("none", "sum", "nowhere", &[]),
        ("typo", "sum", "x", &["zone"]),
        ("steps", "sum", "x", &["z"]),
        ("taken", "max", "y", &[]),
        ("fine", "max", "y", &["h"]),
    ];
    extend(&mut set, &aggregates(&tables), 100);
    let told: Vec<_> = set.rejected.iter().map(|rejected| (rejected.name.as_str(), rejected.reason.as_str())).collect();
    assert_eq!(
        told,
        [
            ("none", "no series matches nowhere"),
            ("typo", "no series that matches x has the label zone"),
            ("aggregate taken", "the telemetry has a series of that name: give the aggregate another"),
            (r#"steps{z="b"}"#, r#"x{z="b"} has a step of 60 ms beside one of 10 ms"#),
        ]
    );
    assert_eq!(set.series_count(), before + 2, "steps of z=a and fine");
}

#[test]
fn aggregates_are_not_made_of_aggregates() {
    let mut set = set(vec![raw("x{h=\"1\"}", 0, &[1.0; 4]), raw("x{h=\"2\"}", 0, &[1.0; 4])]);
    extend(&mut set, &aggregates(&[("x_sum", "sum", "x", &[]), ("twice", "sum", "{__name__=~\"x.*\"}", &[])]), 100);
    assert_eq!(values(&set, "twice").1, [2.0; 4]);
}
