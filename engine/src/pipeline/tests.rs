use super::*;
use crate::act::{Ask, Drivers, recommend};
use crate::config::{Capacity, Demand};

mod reading;

const HOUR: i64 = 3_600_000;
/// When the telemetry is read: three weeks after the epoch.
const NOW: i64 = 21 * 24 * HOUR;

/// Three weeks of hours with a daily wave around `level`.
fn wave(name: &str, level: f64) -> RawSeries {
    let times_ms: Vec<i64> = (0..21 * 24).map(|hour| hour * HOUR).collect();
    let values = (0..21 * 24).map(|hour| level * (1.0 + 0.3 * (f64::from(hour) / 24.0 * std::f64::consts::TAU).sin()));
    RawSeries { name: name.into(), values: values.collect(), times_ms }
}

fn settings() -> PipelineSettings {
    PipelineSettings { slot_ms: HOUR, horizon: Horizon::new(24).unwrap(), ..PipelineSettings::default() }
}

/// A workload whose replicas serve ten each.
fn workload(name: &str, demand: Demand) -> Workload {
    Workload {
        name: name.into(),
        demand,
        unit_capacity: 10.0,
        target: 1.0,
        quantile: 0.9,
        lead_time_ms: HOUR,
        min: 0,
        max: 1_000,
        step: 1,
    }
}

#[test]
fn auto_judges_each_series_and_a_broken_neighbour_changes_no_bit() {
    let good = || vec![wave("a", 100.0), wave("b", 7.0)];
    let alone = make_issue(good(), &[], &settings(), &mut Live::default(), NOW).unwrap();
    let mut with_broken = good();
    with_broken.insert(1, RawSeries { name: "ab".into(), times_ms: vec![0, HOUR], values: vec![f64::NAN; 2] });
    let beside = make_issue(with_broken, &[], &settings(), &mut Live::default(), NOW).unwrap();
    assert_eq!(alone.shadows(), beside.shadows());
    assert_eq!((beside.missing().len(), beside.missing()[0].series.as_str()), (1, "ab"));
    let accuracy = alone.shadow("a").unwrap().accuracy().expect("three weeks are enough for folds");
    assert!(accuracy.folds > 0 && accuracy.shares.len() == Quantiles::standard().levels().len());
}

#[test]
fn a_series_takes_the_first_family_that_can_forecast_it() {
    let mut short = wave("short", 5.0);
    short.times_ms.truncate(10);
    short.values.truncate(10);
    let named = PipelineSettings { models: vec!["snaive".into(), "naive".into()], ..settings() };
    let issue = make_issue(vec![wave("long", 5.0), short.clone()], &[], &named, &mut Live::default(), NOW).unwrap();
    let model = |series: &str| issue.shadow(series).unwrap().model().to_string();
    assert_eq!((model("long"), model("short")), ("snaive24".into(), "naive".into()));
    let only = PipelineSettings { models: vec!["snaive".into()], ..settings() };
    let issue = make_issue(vec![wave("long", 5.0), short], &[], &only, &mut Live::default(), NOW).unwrap();
    assert_eq!(
        issue.missing(),
        [Missing { series: "short".into(), reason: "too_short: 10 values are observed, 24 needed".into() }]
    );
}

#[test]
fn a_series_without_its_regressor_is_missing_by_name_and_the_others_go_on() {
    let job = |hour: usize| f64::from(u8::from(hour * 7_919 % 13 < 3));
    let series = |name: &str, steps: usize, values: &dyn Fn(usize) -> f64| RawSeries {
        name: name.into(),
        times_ms: (0..steps as i64).map(|hour| hour * HOUR).collect(),
        values: (0..steps).map(values).collect(),
    };
    let moved = |name| series(name, 21 * 24, &|hour| 5.0 + 3.0 * job(hour));
    let mut regressors = Regressors::default();
    regressors.add_all("job", &[series(r#"job{host="a"}"#, 22 * 24, &job)]);
    let named = PipelineSettings { models: vec!["prophet".into()], regressors, ..settings() };
    let input = || vec![moved(r#"cpu{host="a"}"#), moved(r#"cpu{host="b"}"#)];
    let issue = make_issue(input(), &[], &named, &mut Live::default(), NOW).unwrap();
    let shadow = issue.shadow(r#"cpu{host="a"}"#).unwrap();
    let worst = (0..24).map(|step| (shadow.mean(step) - 5.0 - 3.0 * job(21 * 24 + step)).abs()).fold(0.0, f64::max);
    assert!(worst < 0.1, "{worst}");
    let reason = "bad_input: no single series of regressor job agrees with its labels".to_string();
    assert_eq!(issue.missing(), [Missing { series: r#"cpu{host="b"}"#.into(), reason }]);
    let any = PipelineSettings { models: vec!["auto".into()], ..named };
    let issue = make_issue(input(), &[], &any, &mut Live::default(), NOW).unwrap();
    assert_eq!((issue.shadows().len(), issue.missing().len()), (2, 0), "auto has other families");
}

#[test]
fn demand_is_built_from_utilisation_before_it_is_forecast() {
    let demand = Demand::Utilisation { utilisation: "util".parse().unwrap(), capacity: Capacity::Number(200.0) };
    let workload = workload("web", demand);
    let named = PipelineSettings { models: vec!["snaive".into()], ..settings() };
    let issue = make_issue(vec![wave("util", 0.5)], std::slice::from_ref(&workload), &named, &mut Live::default(), NOW)
        .unwrap();
    let built = issue.shadow(r#"foreshadow_demand{workload="web"}"#).unwrap();
    let utilisation = issue.shadow("util").unwrap();
    assert!((0..24).all(|step| (built.mean(step) - 200.0 * utilisation.mean(step)).abs() < 1e-3));
    let ask = Ask { horizon_ms: Some(24 * HOUR), ..Ask::default() };
    // At the wave's top: 0.5 · 1.3 · 200, and ten a unit.
    let drivers = &Drivers::of(std::slice::from_ref(&workload), &issue)[0];
    assert_eq!(recommend(&workload, &ask, &issue, drivers).unwrap().replicas, 13);
}

#[test]
fn nothing_usable_names_the_first_series_and_why() {
    let broken = RawSeries { name: "a".into(), times_ms: vec![0], values: vec![f64::INFINITY] };
    let error = make_issue(vec![broken], &[], &settings(), &mut Live::default(), NOW).unwrap_err().to_string();
    assert_eq!(error, "none of 1 series can be forecast; the first, a: no finite value among 1 samples");
    assert!(matches!(
        make_issue(Vec::new(), &[], &settings(), &mut Live::default(), NOW),
        Err(PipelineError::NoSeries)
    ));
}

#[test]
fn a_series_of_the_future_is_left_out_and_moves_no_slot() {
    let mut future = wave("future", 5.0);
    future.times_ms.iter_mut().for_each(|time| *time += 3 * HOUR);
    let issue = make_issue(vec![wave("a", 100.0), future], &[], &settings(), &mut Live::default(), NOW).unwrap();
    assert_eq!((issue.cutoff_ms(), issue.missing()[0].series.as_str()), (NOW - HOUR, "future"));
}

/// The first hours of the fleet's telemetry.
fn until(hours: usize) -> Vec<RawSeries> {
    let noisy = |name: &str, level: f64, salt: usize| {
        let mut series = wave(name, level);
        let noise = |hour: usize| (((hour + salt) * (hour + salt)) as f64 * 0.7).sin();
        series.values.iter_mut().enumerate().for_each(|(hour, value)| *value += 0.02 * level * noise(hour));
        series.times_ms.truncate(hours);
        series.values.truncate(hours);
        series
    };
    vec![noisy("a", 100.0, 0), noisy("b", 7.0, 31), noisy("c", 50.0, 77)]
}

fn at(hours: usize) -> i64 {
    hours as i64 * HOUR
}

#[test]
fn fits_in_batches_are_those_of_the_whole_fleet_to_the_bit() {
    for models in [vec!["auto".into()], vec!["snaive".into(), "naive".into()]] {
        let named = PipelineSettings { models, ..settings() };
        let little = PipelineSettings { memory_bytes: 1, ..named.clone() };
        let (mut live, mut other) = (Live::default(), Live::default());
        for hours in [400, 403] {
            let issue = make_issue(until(hours), &[], &named, &mut live, at(hours)).unwrap();
            let parted = make_issue(until(hours), &[], &little, &mut other, at(hours)).unwrap();
            assert_eq!(issue.shadows(), parted.shadows());
        }
        assert!(live.tracks().eq(other.tracks()));
        assert_eq!(other.fits().iter().len(), 3 * live.fits().iter().len(), "a cohort each");
    }
}

#[test]
fn networks_go_on_from_those_of_the_issue_before() {
    let named = PipelineSettings { models: vec!["lstm-bank".into(), "naive".into()], ..settings() };
    let panel = |hours: usize| {
        let mut panel = Panel::new(HOUR);
        until(hours).into_iter().for_each(|series| panel.push(series.name, 0, &series.values));
        panel
    };
    let learned = |live: &Live| live.learned("lstm-bank", &panel(400).window());
    let mut live = Live::default();
    assert_eq!(learned(&live), [None, None, None]);
    make_issue(until(400), &[], &named, &mut live, at(400)).unwrap();
    let first = learned(&live);
    assert!(first.iter().any(Option::is_some), "not one network is of use");
    make_issue(until(401), &[], &named, &mut live, at(401)).unwrap();
    let mut anew = Live::default();
    make_issue(until(401), &[], &named, &mut anew, at(401)).unwrap();
    assert!(learned(&live) != learned(&anew), "they begin at their seed");
    live.forget(at(500));
    assert_eq!(learned(&live), [None, None, None]);
}

#[test]
fn a_family_asked_for_by_name_is_judged_anew_when_a_horizon_has_come() {
    let named = PipelineSettings { models: vec!["snaive".into()], ..settings() };
    let mut live = Live::default();
    let judged = |hours: usize, live: &mut Live| {
        let mut series = until(hours);
        // What is too short to be judged asks for no folds at every issue.
        let mut short = wave("short", 3.0);
        short.times_ms = short.times_ms[hours - 30..hours].to_vec();
        short.values = short.values[hours - 30..hours].to_vec();
        series.push(short);
        let issue = make_issue(series, &[], &named, live, at(hours)).unwrap();
        assert_eq!(issue.shadow("short").unwrap().accuracy(), None);
        ["a", "b", "c"].map(|series| issue.shadow(series).unwrap().accuracy().cloned().expect("weeks are enough"))
    };
    let first = judged(400, &mut live);
    for hours in [401, 423] {
        assert_eq!(judged(hours, &mut live), first, "{hours}");
    }
    assert_ne!(judged(423, &mut Live::default()), first);
    let anew = judged(424, &mut live);
    assert_eq!(anew, judged(424, &mut Live::default()));
    assert_eq!(judged(410, &mut live), judged(410, &mut Live::default()), "a series that ends earlier is another");
}

/// The cohort that serves each series, by the time of its fit.
fn since(live: &Live) -> Vec<i64> {
    live.fits().iter().map(|cohort| cohort.ends_ms()[0]).collect()
}

#[test]
fn a_fit_takes_new_points_in_until_it_has_aged() {
    let (kept, anew) = (settings(), PipelineSettings { refit_after_ms: 0, ..settings() });
    let (mut live, mut other) = (Live::default(), Live::default());
    for hours in [400, 401, 404, 410] {
        let issue = make_issue(until(hours), &[], &kept, &mut live, at(hours)).unwrap();
        let fresh = make_issue(until(hours), &[], &anew, &mut other, at(hours)).unwrap();
        assert_eq!((live.fits().iter().len(), since(&live)[0]), (1, at(hours)), "one fit, moved on");
        assert_eq!(other.fits().iter().len(), 0);
        for name in ["a", "b", "c"] {
            let (own, fresh) = (issue.shadow(name).unwrap(), fresh.shadow(name).unwrap());
            assert_eq!((own.cutoff_ms(), own.model()), (fresh.cutoff_ms(), fresh.model()), "{name}");
            let level = (0..24).map(|step| fresh.mean(step)).sum::<f64>() / 24.0;
            let apart = (0..24).map(|step| (own.mean(step) - fresh.mean(step)).abs()).fold(0.0, f64::max);
            assert!(apart < 0.05 * level, "{name} after {hours}: {apart} of {level}");
        }
    }
    // Half a day after its fit the first series may be due, a day after it all are.
    make_issue(until(425), &[], &kept, &mut live, at(425)).unwrap();
    assert!(live.fits().iter().all(|cohort| cohort.id() > 0), "the first fit is gone");
}

#[test]
fn a_series_that_lags_is_fitted_anew_and_its_neighbours_go_on() {
    let mut live = Live::default();
    make_issue(until(400), &[], &settings(), &mut live, at(400)).unwrap();
    let mut lagging = until(402);
    lagging[1].times_ms.pop();
    lagging[1].values.pop();
    let beside = make_issue(lagging, &[], &settings(), &mut live, at(402)).unwrap();
    assert_eq!(live.fits().iter().map(super::super::live::fits::Cohort::id).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(beside.shadow("b").unwrap().cutoff_ms(), at(400));
    let mut live = Live::default();
    make_issue(until(400), &[], &settings(), &mut live, at(400)).unwrap();
    let alone = make_issue(until(402), &[], &settings(), &mut live, at(402)).unwrap();
    for name in ["a", "c"] {
        assert_eq!(alone.shadow(name), beside.shadow(name));
    }
    let other = PipelineSettings { seed: 2, ..settings() };
    make_issue(until(403), &[], &other, &mut live, at(403)).unwrap();
    assert!(live.fits().iter().all(|cohort| cohort.id() == 1), "other settings are another fit");
}
mod coherence;
