use foreshadow_models::{Panel, Quantiles};

use super::*;

/// A panel of one step and phase with what is forecast of its series: name, index of the last sample, value of every
/// sample, what is forecast of each step ahead, and a spread.
struct Fleet {
    panel: Panel,
    forecast: Forecast,
}

const STEP_MS: i64 = 10;

fn fleet(phase_ms: i64, series: &[(&str, i64, f64, &[f64], f64)]) -> Fleet {
    let mut panel = Panel::new(STEP_MS);
    let horizon = Horizon::new(series[0].3.len()).unwrap();
    let mut forecast = Forecast::empty(series.len(), horizon, Quantiles::new(vec![0.1, 0.5, 0.9]).unwrap());
    for (at, (name, last, value, ahead, spread)) in series.iter().enumerate() {
        panel.push((*name).into(), (last - 2) * STEP_MS + phase_ms, &[*value; 3]);
        forecast.set_normal(at, ahead, |_| *spread);
    }
    Fleet { panel, forecast }
}

fn run(fleets: &mut [Fleet], wholes: &[Whole], broken: &[&str]) -> Vec<Apart> {
    let said = |fleet: &mut Fleet| -> Vec<bool> {
        (0..fleet.panel.series_count()).map(|s| !broken.contains(&fleet.panel.name(s))).collect()
    };
    let mut all = Vec::new();
    for fleet in fleets.iter_mut() {
        let usable = said(fleet);
        all.push(Said { window: fleet.panel.window(), forecast: &mut fleet.forecast, usable });
    }
    reconcile(wholes, &mut all)
}

fn whole(series: &str, function: Function, parts: &[&str]) -> Whole {
    let parts = parts.iter().map(|part| part.to_string()).collect();
    Whole { series: series.into(), function, parts, unread: Vec::new() }
}

#[test]
fn a_sum_and_its_parts_agree_across_panels_and_phases() {
    let mut fleets = [
        fleet(0, &[("a", 10, 5.0, &[10.0, 11.0, 12.0, 13.0], 1.0)]),
        fleet(7, &[("b", 10, 5.0, &[20.0, 21.0, 22.0, 23.0], 2.0)]),
        fleet(0, &[("all", 10, 10.0, &[36.0, 32.0, 30.0, 30.0], 1.0), ("other", 10, 1.0, &[1.0, 2.0, 3.0, 4.0], 1.0)]),
    ];
    let apart = run(&mut fleets, &[whole("all", Function::Sum, &["a", "b"])], &[]);
    assert_eq!(apart, []);
    for step in 0..4 {
        let (a, b) = (fleets[0].forecast.mean(0)[step], fleets[1].forecast.mean(0)[step]);
        assert_eq!(fleets[2].forecast.mean(0)[step], a + b);
    }
    assert!((fleets[0].forecast.mean(0)[0] - 11.0).abs() < 1e-6, "variances 1, 4 and 1 share 6");
    assert_eq!(fleets[2].forecast.mean(1), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn cutoffs_that_differ_agree_where_they_meet() {
    let mut fleets = [fleet(
        0,
        &[
            ("a", 11, 5.0, &[10.0, 11.0, 12.0, 13.0], 1.0),
            ("b", 10, 5.0, &[20.0, 21.0, 22.0, 23.0], 1.0),
            ("all", 10, 10.0, &[60.0, 61.0, 62.0, 63.0], 1.0),
        ],
    )];
    assert_eq!(run(&mut fleets, &[whole("all", Function::Sum, &["a", "b"])], &[]), []);
    let mean = |s: usize| fleets[0].forecast.mean(s);
    for step in 0..3 {
        assert_eq!(mean(2)[step + 1], mean(0)[step] + mean(1)[step + 1], "{step}");
    }
    assert_eq!((mean(2)[0], mean(1)[0], mean(0)[3]), (60.0, 20.0, 13.0), "these meet no other");
}

#[test]
fn a_sum_of_which_a_part_has_no_forecast_is_left_and_told() {
    let series: [(&str, i64, f64, &[f64], f64); 4] = [
        ("a", 10, 5.0, &[10.0, 11.0], 1.0),
        ("b", 10, 5.0, &[20.0, 21.0], 1.0),
        ("all", 10, 10.0, &[60.0, 61.0], 1.0),
        ("top", 10, 10.0, &[9.0, 12.0], 1.0),
    ];
    let mut fleets = [fleet(0, &series)];
    let wholes = [whole("all", Function::Sum, &["a", "b"]), whole("top", Function::Max, &["a", "b"])];
    let apart = run(&mut fleets, &wholes, &["b"]);
    assert_eq!(apart, [Apart { series: "all".into(), reason: "its part b has no forecast".into() }]);
    assert_eq!(fleets[0].forecast.mean(2), [60.0, 61.0]);
    assert_eq!(fleets[0].forecast.mean(3), [10.0, 12.0], "a maximum is no less than those that it has");
    let mut far = [fleet(0, &[("a", 10, 5.0, &[10.0, 11.0], 1.0), ("all", 50, 10.0, &[60.0, 61.0], 1.0)])];
    let apart = run(&mut far, &[whole("all", Function::Sum, &["a"])], &[]);
    assert_eq!(apart[0].reason, "its parts end too far apart");
}

#[test]
fn what_never_was_negative_stays_so() {
    let mut fleets = [fleet(
        0,
        &[("a", 10, 1.0, &[1.0, 1.0], 0.5), ("b", 10, -1.0, &[1.0, 1.0], 0.5), ("all", 10, 0.0, &[-9.0, -9.0], 0.1)],
    )];
    run(&mut fleets, &[whole("all", Function::Sum, &["a", "b"])], &[]);
    let forecast = &fleets[0].forecast;
    assert!(forecast.mean(0) == [0.0, 0.0] && forecast.quantile(0, 0)[0] >= 0.0, "{:?}", forecast.mean(0));
    assert!(forecast.mean(1)[0] < -1.0 && forecast.mean(2)[0] == forecast.mean(0)[0] + forecast.mean(1)[0]);
}
