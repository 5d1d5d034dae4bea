use foreshadow_models::{Auto, FitStatus, Model, Origins, Quantiles, backtest};

use super::*;

const HOUR: i64 = 3_600_000;
/// Steps of the telemetry.
const STEPS: usize = 24 * 20;
const HORIZON: usize = 24;

fn raw(name: &str, step_ms: i64, values: impl IntoIterator<Item = f64>) -> RawSeries {
    let values: Vec<f64> = values.into_iter().collect();
    RawSeries { name: name.into(), times_ms: (0..values.len() as i64).map(|step| step * step_ms).collect(), values }
}

/// A batch job that runs at hours that no season tells.
fn job(hour: usize) -> f64 {
    let bits = (hour as u64 / 5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    f64::from(u8::from((bits >> 40).is_multiple_of(3)))
}

fn horizon() -> Horizon {
    Horizon::new(HORIZON).unwrap()
}

/// Series that the job moves by ten.
fn panel(names: &[&str]) -> Panel {
    let mut panel = Panel::new(HOUR);
    let day = |step: usize| (step as f64 / 24.0 * std::f64::consts::TAU).sin();
    let values: Vec<f64> = (0..STEPS).map(|step| 50.0 + day(step) + 10.0 * job(step)).collect();
    names.iter().for_each(|name| panel.push((*name).into(), 0, &values));
    panel
}

fn wanted(name: &str, known_future: bool) -> Wanted<'_> {
    Wanted { name, series: None, known_future, mode: None, prior_scale: None }
}

fn regressors(known_future: bool, raw: &[RawSeries]) -> Regressors {
    let mut regressors = Regressors::default();
    regressors.add(&wanted("job", known_future), "jobs.csv", raw).unwrap();
    regressors
}

fn bound(regressors: &Regressors, panel: &Panel, future: Future) -> Bound {
    regressors.bind(&CustomProphet::default(), panel, horizon(), future, 1).unwrap()
}

/// The mean of each series, `None` where it was refused.
fn forecasts(model: &dyn Model, panel: &Panel) -> Vec<Option<Vec<f64>>> {
    let fitted = model.fit(&panel.window(), 1).unwrap();
    let forecast = fitted.predict(horizon(), &Quantiles::standard()).unwrap();
    (0..panel.series_count()).map(|s| fitted.status()[s].is_usable().then(|| forecast.mean(s).to_vec())).collect()
}

#[test]
fn labels_tell_which_series_are_moved() {
    let series = [
        raw(r#"{metric="job",region="eu",host="a"}"#, HOUR, (0..STEPS + HORIZON).map(job)),
        raw(r#"{metric="job",region="eu",host="b"}"#, HOUR, (0..STEPS + HORIZON).map(|hour| job(hour + 7))),
        raw(r#"{metric="other"}"#, HOUR, [1.0, 2.0]),
    ];
    let panel = panel(&[
        r#"cpu{host="a"}"#,
        r#"cpu{host="b",region="eu"}"#,
        r#"cpu{host="c"}"#,
        r#"cpu{host="a",region="us"}"#,
    ]);
    let bound = bound(&regressors(true, &series), &panel, Future::Forecast);
    let lacking: Vec<String> = bound.lacking.iter().map(|lack| format!("{}: {lack}", lack.series)).collect();
    let said = "no single series of regressor job agrees with its labels";
    assert_eq!(lacking, [format!(r#"cpu{{host="c"}}: {said}"#), format!(r#"cpu{{host="a",region="us"}}: {said}"#)]);
    let known = &bound.prophet.config().regressors[0].known;
    assert_eq!(known.at(r#"cpu{host="a"}"#, 30 * HOUR), Some(job(30)));
    assert_eq!(known.at(r#"cpu{host="b",region="eu"}"#, 30 * HOUR), Some(job(37)));
    let said = forecasts(&bound.prophet, &panel);
    assert_eq!(said.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false]);
    let status = bound.prophet.fit(&panel.window(), 1).unwrap().status()[2].clone();
    assert!(matches!(status, FitStatus::Input { name, .. } if name == "job"));
}

#[test]
fn two_series_of_one_regressor_for_one_series_are_named() {
    let values = || (0..STEPS + HORIZON).map(job);
    let series = [raw(r#"job{region="eu"}"#, HOUR, values()), raw(r#"job{region="us"}"#, HOUR, values())];
    let bind = |name: &str| {
        regressors(true, &series).bind(&CustomProphet::default(), &panel(&[name]), horizon(), Future::Forecast, 1)
    };
    assert!(bind(r#"cpu{region="us"}"#).is_ok());
    let error = bind("cpu").unwrap_err().to_string();
    assert_eq!(error, r#"regressor job: both job{region="eu"} and job{region="us"} apply to cpu"#);
}

#[test]
fn what_a_file_holds_is_taken_by_name_or_as_a_whole() {
    let series = [raw("job", HOUR, [1.0; 3]), raw(r#"{metric="deploy"}"#, HOUR, [0.0; 3]), raw("{}", HOUR, [0.0; 3])];
    let mut all = Regressors::default();
    all.add_all("traffic", &series);
    assert_eq!(all.all.iter().map(|driver| driver.name.as_str()).collect::<Vec<_>>(), ["deploy", "job", "traffic"]);
    let mut named = Regressors::default();
    let error = named.add(&wanted("jobs", true), "f.csv", &series[..2]).unwrap_err().to_string();
    assert_eq!(error, "no series of f.csv is regressor jobs");
    let selector: Selector = r#"{metric=~"dep.*"}"#.parse().unwrap();
    named.add(&Wanted { series: Some(&selector), ..wanted("d", true) }, "f.csv", &series).unwrap();
    assert_eq!(named.all[0].series.len(), 1);
    let taken = all.bind(&named_season("job"), &panel(&["cpu"]), horizon(), Future::Forecast, 1).unwrap_err();
    assert!(matches!(taken, RegressorError::Refused(_)), "{taken}");
}

fn named_season(name: &str) -> CustomProphet {
    use foreshadow_models::classical::{ProphetConfig, Season};
    let (name, period_days, order) = (name.into(), 3.0, 1);
    let season = Season { name, period_days, order, prior_scale: None, mode: None };
    ProphetConfig { seasons: vec![season], ..ProphetConfig::default() }.build().unwrap()
}

#[test]
fn a_future_that_is_missing_is_told_and_refuses_that_series_alone() {
    let values = |steps: usize| (0..steps).map(job);
    let series = [
        raw(r#"job{host="a"}"#, HOUR, values(STEPS + HORIZON)),
        raw(r#"job{host="b"}"#, HOUR, values(STEPS + HORIZON - 1)),
        raw(r#"job{host="c"}"#, HOUR, values(STEPS + HORIZON).map(|_| f64::NAN)),
    ];
    let panel = panel(&[r#"cpu{host="a"}"#, r#"cpu{host="b"}"#, r#"cpu{host="c"}"#]);
    let bound = bound(&regressors(true, &series), &panel, Future::Forecast);
    let lacking: Vec<String> = bound.lacking.iter().map(Lack::to_string).collect();
    let at = |time: &str| format!("regressor job is not known at {time}");
    assert_eq!(lacking, [at("1970-01-21T23:00:00Z"), at("1970-01-01T00:00:00Z")]);
    let said = forecasts(&bound.prophet, &panel);
    assert_eq!(said.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
    // Prophet alone lacks it: auto serves those series by its other families.
    let auto = forecasts(&Auto::new(horizon()).with_prophet(bound.prophet), &panel);
    assert!(auto.iter().all(Option::is_some));
}

/// Values of the job that are others from a step on.
fn changed(from: usize, steps: usize) -> [RawSeries; 1] {
    [raw("job", HOUR, (0..steps).map(|hour| if hour < from { job(hour) } else { 1.0 - job(hour) }))]
}

#[test]
fn a_future_that_is_not_known_leaks_nothing() {
    let panel = panel(&["cpu", r#"cpu{host="a"}"#]);
    let whole = STEPS + HORIZON;
    for future in [Future::Forecast, Future::Repeated] {
        let said = |known_future: bool, from: usize| {
            let bound = bound(&regressors(known_future, &changed(from, whole)), &panel, future);
            assert!(bound.lacking.is_empty(), "{:?}", bound.lacking);
            let prophet = forecasts(&bound.prophet, &panel);
            let auto = Auto::new(horizon()).with_prophet(bound.prophet);
            (prophet, forecasts(&auto, &panel))
        };
        assert_eq!(said(false, whole), said(false, STEPS), "{future:?}");
        assert_ne!(said(true, whole), said(true, STEPS), "a known future matters");
    }
}

#[test]
fn a_fold_sees_nothing_of_the_regressor_past_its_cutoff() {
    let panel = panel(&["cpu"]);
    let folds = |known_future: bool, from: usize, future: Future| {
        let bound = bound(&regressors(known_future, &changed(from, STEPS + HORIZON)), &panel, future);
        let origins = Origins::rolling(&panel.window(), horizon(), 3, HORIZON);
        let (window, levels) = (panel.window(), Quantiles::standard());
        let tested = backtest(&window, &[&bound.prophet], origins, horizon(), &levels, 1, &|_, _| ()).unwrap();
        (0..3).map(|origin| tested.fold(0, origin).forecast.mean(0).to_vec()).collect::<Vec<_>>()
    };
    for origin in 0..3 {
        let cutoff = STEPS - (origin + 1) * HORIZON;
        for future in [Future::Forecast, Future::Repeated] {
            let [plain, changed] = [STEPS + HORIZON, cutoff].map(|from| folds(false, from, future)[origin].clone());
            assert_eq!(plain, changed, "origin {origin}, {future:?}");
        }
        let [plain, changed] =
            [STEPS + HORIZON, cutoff].map(|from| folds(true, from, Future::Repeated)[origin].clone());
        assert_ne!(plain, changed);
    }
}

#[test]
fn a_regressor_that_lags_is_forecast_from_its_own_end() {
    let panel = panel(&["cpu"]);
    let lacking = |steps: usize| {
        let regressors = regressors(false, &[raw("job", HOUR, (0..steps).map(job))]);
        [Future::Forecast, Future::Repeated].map(|future| bound(&regressors, &panel, future).lacking.len())
    };
    assert_eq!(lacking(STEPS - 3), [0, 0]);
    assert_eq!(lacking(STEPS - HORIZON - 1), [1, 1], "by more than a horizon is too long ago");
    // Without a value there is nothing to go on with.
    let none = regressors(false, &[raw("job", HOUR, [f64::NAN; 3])]);
    assert_eq!(bound(&none, &panel, Future::Forecast).lacking.len(), 1);
}

#[test]
fn a_known_job_is_worth_more_than_a_forecast_of_it() {
    let panel = panel(&["cpu"]);
    let actual: Vec<f64> = (STEPS..STEPS + HORIZON).map(job).collect();
    let error = |known_future| {
        let raw = [raw("job", HOUR, (0..STEPS + HORIZON).map(job))];
        let said = forecasts(&bound(&regressors(known_future, &raw), &panel, Future::Forecast).prophet, &panel);
        let day = |step: usize| 50.0 + ((STEPS + step) as f64 / 24.0 * std::f64::consts::TAU).sin();
        let errors = said[0].as_ref().unwrap().iter().enumerate().map(|(h, f)| (f - day(h) - 10.0 * actual[h]).abs());
        errors.sum::<f64>() / HORIZON as f64
    };
    assert!(error(true) < 0.1 && error(false) > 0.5, "{} and {}", error(true), error(false));
}

#[test]
fn values_hold_until_the_next_sample() {
    let mut series = raw("job", 10, [1.0, f64::NAN, 3.0, 1e200]);
    series.times_ms.extend([35, 5]);
    series.values.extend([5.0, 9.0]);
    let samples = Samples::new(&series);
    let on_grid = |until_ms| -> Vec<Option<f64>> {
        let values = samples.on_grid(-5, 5, 11, until_ms);
        values.into_iter().map(|value| value.is_finite().then_some(value)).collect()
    };
    let (nine, three, five) = (Some(9.0), Some(3.0), Some(5.0));
    // At -5, 0, 5, 10, … 45; the commonest step is 5.
    assert_eq!(on_grid(i64::MAX), [None, Some(1.0), nine, None, None, three, three, None, five, None, None]);
    assert_eq!(on_grid(20), [None, Some(1.0), nine, None, None, three, None, None, None, None, None]);
    assert_eq!(
        Samples::new(&raw("job", 1, [4.0])).on_grid(0, 60, 2, i64::MAX)[0],
        4.0,
        "one sample holds for one step"
    );
}
