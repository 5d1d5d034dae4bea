//! Aggregates beside their parts in one issue.

use super::*;
use crate::config::Config;

const TOTAL: &str = "[[aggregate]]\nname = 'total'\nfunction = 'sum'\nselect = 'rps'\n";

fn aggregates(text: &str) -> Vec<AggregateConfig> {
    Config::from_toml(text, "foreshadow.toml", &[]).unwrap().aggregates().to_vec()
}

/// A daily wave with noise of its own, so that what is forecast of a sum is not the sum of forecasts by itself.
fn noisy(name: &str, level: f64, salt: usize) -> RawSeries {
    let mut series = wave(name, level);
    let noise = |step: usize| ((step + salt) * 7_919 % 101) as f64 / 101.0 - 0.5;
    series.values.iter_mut().enumerate().for_each(|(step, y)| *y *= 1.0 + 0.2 * noise(step));
    series
}

fn regions() -> Vec<RawSeries> {
    vec![noisy(r#"rps{host="1",region="eu"}"#, 100.0, 3), noisy(r#"rps{host="2",region="us"}"#, 30.0, 57)]
}

fn issued(raw: Vec<RawSeries>, text: &str) -> Issue {
    let settings = PipelineSettings { aggregates: aggregates(text), ..settings() };
    make_issue(raw, &[], &settings, &mut Live::default(), NOW).unwrap()
}

#[test]
fn an_issue_of_two_regions_and_their_sum_is_coherent_at_every_step() {
    let alone = issued(regions(), "");
    let issue = issued(regions(), TOTAL);
    let shadow = |issue: &Issue, series: &str| issue.shadow(series).unwrap().clone();
    let [eu, us] =
        [r#"rps{host="1",region="eu"}"#, r#"rps{host="2",region="us"}"#].map(|series| shadow(&issue, series));
    let total = shadow(&issue, "total");
    let mut moved = false;
    for step in 0..24 {
        // A shadow holds offsets from its first value in 24 bits: three roundings of a swing of 100.
        assert!((total.mean(step) - eu.mean(step) - us.mean(step)).abs() < 2e-5, "{step}");
        let before = shadow(&alone, eu.series());
        let by = eu.mean(step) - before.mean(step);
        moved |= by.abs() > 1e-3;
        for index in 0..eu.levels().len() {
            let along = eu.quantile(index, step) - before.quantile(index, step);
            assert!((along - by).abs() < 1e-4 || eu.quantile(index, step) == 0.0, "{step} {index}");
            assert!(index == 0 || total.quantile(index, step) >= total.quantile(index - 1, step));
        }
    }
    assert!(moved, "the forecasts agreed by chance: this shows nothing");
    assert!(total.accuracy().is_some(), "an aggregate is backtested like any other");
}

#[test]
fn a_series_beside_a_sum_is_not_moved_by_it() {
    let with = |text: &str| {
        let mut raw = regions();
        raw.push(noisy("cpu", 5.0, 9));
        issued(raw, text).shadow("cpu").unwrap().clone()
    };
    assert_eq!(with(""), with(TOTAL));
}

#[test]
fn a_maximum_is_nowhere_under_a_region() {
    let text = "[[aggregate]]\nname = 'top'\nfunction = 'max'\nselect = 'rps'\n";
    let mut raw = regions();
    raw.push(noisy(r#"rps{host="3",region="us"}"#, 99.0, 80));
    let issue = issued(raw, text);
    let top = issue.shadow("top").unwrap();
    for part in issue.shadows().iter().filter(|shadow| shadow.series().starts_with("rps")) {
        for step in 0..24 {
            assert!(top.mean(step) >= part.mean(step) - 1e-4);
            let under = |index: &usize| top.quantile(*index, step) < part.quantile(*index, step) - 1e-4;
            assert_eq!((0..part.levels().len()).find(under), None, "{} at {step}", part.series());
        }
    }
}

#[test]
fn an_aggregate_that_cannot_be_made_is_missing_and_the_rest_goes_on() {
    let minutes = RawSeries {
        name: r#"rps{host="4",region="eu"}"#.into(),
        times_ms: (0..300).map(|minute| NOW - HOUR - (299 - minute) * 60_000).collect(),
        values: vec![1.0; 300],
    };
    let by_region = "[[aggregate]]\nname = 'by_region'\nfunction = 'sum'\nselect = 'rps'\nby = ['region']\n";
    let nowhere = "[[aggregate]]\nname = 'nowhere'\nfunction = 'sum'\nselect = 'nope'\n";
    let issue = issued([regions(), vec![minutes]].concat(), &format!("{by_region}{nowhere}"));
    assert!(issue.shadow(r#"by_region{region="us"}"#).is_some() && issue.shadows().len() == 4);
    let told: Vec<_> =
        issue.missing().iter().map(|missing| (missing.series.as_str(), missing.reason.as_str())).collect();
    let steps = r#"rps{host="4",region="eu"} has a step of 60000 ms beside one of 3600000 ms"#;
    assert_eq!(told, [(r#"by_region{region="eu"}"#, steps), ("nowhere", "no series matches nope")]);
}

#[test]
fn a_sum_whose_part_has_no_shadow_keeps_its_own_forecast() {
    let mut short = regions();
    short[1].times_ms = short[1].times_ms.split_off(21 * 24 - 10);
    short[1].values = short[1].values.split_off(21 * 24 - 10);
    let settings = PipelineSettings { models: vec!["snaive".into()], aggregates: aggregates(TOTAL), ..settings() };
    let issue = make_issue(short, &[], &settings, &mut Live::default(), NOW).unwrap();
    assert_eq!(issue.missing()[0].series, r#"rps{host="2",region="us"}"#);
    let (total, eu) = (issue.shadow("total").unwrap(), issue.shadow(r#"rps{host="1",region="eu"}"#).unwrap());
    // Of the last day ten hours have the second region, which seasonal naive repeats.
    assert!((total.mean(0) - eu.mean(0)).abs() < 1e-4 && total.mean(23) - eu.mean(23) > 10.0);
}

#[test]
fn a_workload_that_counts_an_aggregate_and_its_parts_is_told() {
    let workload = |name: &str, selector: &str| workload(name, Demand::Series(selector.parse().unwrap()));
    let parts = vec![r#"rps{host="1",region="eu"}"#.to_string()];
    let (series, function) = (r#"total{region="eu"}"#.into(), crate::config::Function::Sum);
    let whole = Whole { series, function, parts, unread: Vec::new() };
    let workloads = [workload("both", r#"{region="eu"}"#), workload("parts", "rps"), workload("whole", "total")];
    assert_eq!(doubled(&workloads, &[whole]).collect::<Vec<_>>(), [("both", r#"total{region="eu"}"#)]);
}

#[test]
fn regressors_of_the_parts_do_not_stand_in_the_way_of_their_sum() {
    let mut regressors = Regressors::default();
    let job = |host: &str| wave(&format!("job{{host=\"{host}\"}}"), 1.0);
    let longer = |mut series: RawSeries| {
        series.times_ms.extend((0..24).map(|hour| NOW + hour * HOUR));
        series.values.extend([1.0; 24]);
        series
    };
    regressors.add_all("job", &[longer(job("1")), longer(job("2"))]);
    let settings = PipelineSettings { aggregates: aggregates(TOTAL), regressors, ..settings() };
    let issue = make_issue(regions(), &[], &settings, &mut Live::default(), NOW).unwrap();
    assert_eq!((issue.shadows().len(), issue.missing().len()), (3, 0));
}
