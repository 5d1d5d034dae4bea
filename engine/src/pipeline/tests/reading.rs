//! Series that follow local clocks, that are bounded, that count up: what their shadows say.

use std::sync::LazyLock;

use foreshadow_models::WallClock;
use foreshadow_models::classical::Holiday;

use super::*;
use crate::config::Config;
use crate::telemetry::parse_time;

fn reading(text: &str) -> Reading {
    Reading::from(&Config::from_toml(text, "foreshadow.toml", &[]).unwrap())
}

fn ms(text: &str) -> i64 {
    parse_time(text).unwrap()
}

const BERLIN: &str = "[forecast]\ntime_zone = 'Europe/Berlin'\n";

static CLOCK: LazyLock<WallClock> = LazyLock::new(|| {
    let config = Config::from_toml(BERLIN, "foreshadow.toml", &[]).unwrap();
    config.forecast().zone().clock(ms("2024-01-01"), ms("2026-06-01")).unwrap()
});

/// A load that follows the clocks of Berlin: a working day with steep flanks, a calm weekend, a little noise.
fn load(utc_ms: i64) -> f64 {
    let local = CLOCK.local_ms(utc_ms) / HOUR;
    let (hour, weekday) = (local.rem_euclid(24) as f64, (local.div_euclid(24) + 3).rem_euclid(7));
    let day = 1.0 / (1.0 + (-2.0 * (hour - 8.0)).exp()) - 1.0 / (1.0 + (-2.0 * (hour - 19.0)).exp());
    let noise = ((utc_ms / HOUR).wrapping_mul(2_654_435_761) >> 7).rem_euclid(1_000) as f64 / 1_000.0 - 0.5;
    20.0 + if weekday < 5 { 80.0 } else { 60.0 } * day + 4.0 * noise
}

fn observed(name: &str, cutoff: &str, days: i64, value: impl Fn(i64) -> f64) -> RawSeries {
    let cutoff_ms = ms(cutoff);
    let times_ms: Vec<i64> = (0..days * 24).rev().map(|hour| cutoff_ms - hour * HOUR).collect();
    RawSeries { name: name.into(), values: times_ms.iter().map(|time| value(*time)).collect(), times_ms }
}

/// Mean absolute error of a family over the 24 hours after an instant, forecast from a cutoff before them.
fn error(text: &str, model: &str, cutoff: &str, after: &str) -> f64 {
    let horizon = Horizon::new(72).unwrap();
    let settings =
        PipelineSettings { reading: reading(text), horizon, models: vec![model.into()], ..super::settings() };
    let raw = vec![observed("load", cutoff, 42, load)];
    let issue = make_issue(raw, &[], &settings, &mut Live::default(), ms(cutoff)).unwrap();
    let shadow = issue.shadow("load").unwrap();
    let steps = (0..72).filter(|step| (ms(after)..ms(after) + 24 * HOUR).contains(&shadow.time_ms(*step)));
    let errors: Vec<f64> = steps.map(|step| (shadow.mean(step) - load(shadow.time_ms(step))).abs()).collect();
    assert_eq!(errors.len(), 24);
    errors.iter().sum::<f64>() / 24.0
}

#[test]
fn the_day_after_a_change_of_clocks_is_forecast_by_those_clocks() {
    for (cutoff, after) in [
        ("2025-03-28T22:00:00Z", "2025-03-30T01:00:00Z"),
        ("2025-03-30T21:00:00Z", "2025-03-30T22:00:00Z"),
        ("2025-10-24T22:00:00Z", "2025-10-26T01:00:00Z"),
        ("2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z"),
        ("2025-10-26T22:00:00Z", "2025-10-26T23:00:00Z"),
    ] {
        for model in ["snaive168", "auto"] {
            let (as_utc, local) = (error("", model, cutoff, after), error(BERLIN, model, cutoff, after));
            assert!(local < 0.7 * as_utc, "{model} from {cutoff}: {local} by the clock, {as_utc} as UTC");
        }
    }
}

#[test]
fn clocks_that_show_utc_change_no_bit() {
    let issue = |text: &str| {
        let settings = PipelineSettings { reading: reading(text), ..super::settings() };
        let raw = vec![observed("load", "2025-03-30T21:00:00Z", 21, load), wave("a", 5.0)];
        make_issue(raw, &[], &settings, &mut Live::default(), ms("2025-03-30T21:00:00Z")).unwrap()
    };
    let plain = issue("");
    for zone in ["UTC", "Etc/UTC", "Africa/Abidjan"] {
        let named = issue(&format!("[forecast]\ntime_zone = '{zone}'\n"));
        assert_eq!((named.shadows(), named.id()), (plain.shadows(), plain.id()), "{zone}");
    }
}

#[test]
fn shadows_and_tracks_of_local_series_tell_real_times() {
    let settings = PipelineSettings { reading: reading(BERLIN), ..super::settings() };
    let mut live = Live::default();
    // A track asks again a quarter of a horizon later at the earliest.
    for (cutoff, asked) in [
        ("2025-10-25T12:00:00Z", "2025-10-25T12:00:00Z"),
        ("2025-10-26T00:00:00Z", "2025-10-26T00:00:00Z"),
        ("2025-10-26T01:00:00Z", "2025-10-26T00:00:00Z"),
        ("2025-10-26T12:00:00Z", "2025-10-26T12:00:00Z"),
    ] {
        let raw = vec![observed("load", cutoff, 28, load)];
        let issue = make_issue(raw, &[], &settings, &mut live, ms(cutoff)).unwrap();
        let shadow = issue.shadow("load").unwrap();
        assert_eq!((shadow.cutoff_ms(), shadow.time_ms(0)), (ms(cutoff), ms(cutoff) + HOUR));
        assert_eq!(live.track("load").unwrap().last_ms(), Some(ms(asked)));
        let errors = (0..24).map(|step| (shadow.mean(step) - load(shadow.time_ms(step))).abs());
        assert!(errors.sum::<f64>() / 24.0 < 4.0, "{cutoff}");
    }
    let lived = live.track("load").unwrap().lived();
    assert!(!lived.is_empty() && lived.iter().all(|lived| lived.error.is_finite()));
}

#[test]
fn regressors_that_end_with_the_horizon_are_enough_across_a_change_of_clocks() {
    let job = |utc_ms: i64| f64::from(u8::from((utc_ms / HOUR * 7_919).rem_euclid(13) < 3));
    for cutoff in ["2025-03-29T20:00:00Z", "2025-10-25T20:00:00Z", "2025-10-26T00:00:00Z"] {
        let moved = observed("cpu", cutoff, 21, |at| 5.0 + 3.0 * job(at));
        let known = |hours: i64| {
            let until = jiff::Timestamp::from_millisecond(ms(cutoff) + hours * HOUR).unwrap().to_string();
            let mut regressors = Regressors::default();
            regressors.add_all("job", &[observed("job", &until, 23, job)]);
            regressors
        };
        let issue = |hours: i64| {
            let models = vec!["prophet".into()];
            let named = PipelineSettings { regressors: known(hours), reading: reading(BERLIN), models, ..settings() };
            make_issue(vec![moved.clone(), wave("other", 1.0)], &[], &named, &mut Live::default(), ms(cutoff))
        };
        let shadow = issue(24).unwrap().shadow("cpu").cloned().expect("a day is enough");
        for step in 0..24 {
            let at = shadow.time_ms(step);
            // Where an hour comes twice the regressor's second value stands for both.
            let is_twice = (ms("2025-10-26T00:00:00Z")..ms("2025-10-26T02:00:00Z")).contains(&at);
            assert!(is_twice || (shadow.mean(step) - 5.0 - 3.0 * job(at)).abs() < 0.3, "{cutoff} {step}");
        }
        let short = issue(22).unwrap_err().to_string();
        assert!(short.contains("cpu: bad_input: regressor job is not known at"), "{short}");
    }
}

#[test]
fn holidays_are_local_days() {
    let is_sale = |utc_ms: i64| {
        let from = |day: &str| ms(day) - 2 * HOUR; // midnight in Berlin's summer
        ["2025-06-03", "2025-06-11", "2025-06-19", "2025-06-27"]
            .iter()
            .any(|d| (0..24 * HOUR).contains(&(utc_ms - from(d))))
    };
    let dates_ms = ["2025-06-03", "2025-06-11", "2025-06-19", "2025-06-27"].map(ms).to_vec();
    let sale = Holiday { name: "sale".into(), dates_ms, days_before: 0, days_after: 0, prior_scale: None };
    let mut config = CustomProphet::default().config().clone();
    config.holidays.push(sale);
    let prophet = config.build().unwrap();
    let models = vec!["prophet".into()];
    let named = PipelineSettings {
        prophet,
        models,
        reading: reading(BERLIN),
        horizon: Horizon::new(48).unwrap(),
        ..settings()
    };
    let cutoff = "2025-06-26T12:00:00Z";
    let raw = vec![observed("shop", cutoff, 35, |at| if is_sale(at) { 30.0 } else { 10.0 })];
    let issue = make_issue(raw, &[], &named, &mut Live::default(), ms(cutoff)).unwrap();
    let shadow = issue.shadow("shop").unwrap();
    for step in 0..48 {
        let wanted = if is_sale(shadow.time_ms(step)) { 30.0 } else { 10.0 };
        assert!((shadow.mean(step) - wanted).abs() < 2.0, "{step}: {} for {wanted}", shadow.mean(step));
    }
}

#[test]
fn bounds_hold_in_every_shadow_and_history_outside_them_is_not_changed() {
    let text = "[[series]]\nselect = 'cpu'\nminimum = 12.7\nmaximum = 'cores'\n";
    for model in ["auto", "ets", "drift", "prophet"] {
        let models = vec![model.into()];
        let settings = PipelineSettings { reading: reading(text), models, ..settings() };
        let mut cores = wave("cores", 0.0);
        cores.values.iter_mut().enumerate().for_each(|(hour, v)| *v = if hour < 400 { 9.0 } else { 16.3 });
        let issue = make_issue(vec![wave("cpu", 14.0), cores], &[], &settings, &mut Live::default(), NOW).unwrap();
        let shadow = issue.shadow("cpu").unwrap();
        for step in 0..shadow.steps() {
            let quantiles = (0..shadow.levels().len()).map(|index| shadow.quantile(index, step));
            let all: Vec<f64> = quantiles.chain([shadow.mean(step)]).collect();
            assert!(all.iter().all(|value| (12.7..=16.3).contains(value)), "{model} {step}: {all:?}");
            assert!(all[..all.len() - 1].is_sorted(), "{model} {step}");
        }
    }
}

#[test]
fn a_counter_is_forecast_as_its_rate_under_its_own_name() {
    let mut total = 1e15;
    let mut counter = wave("requests", 60.0);
    for value in &mut counter.values {
        total += *value * 3_600.0;
        *value = total;
    }
    // It starts anew at zero after the sample of hour 249.
    let before = counter.values[249];
    counter.values[250..].iter_mut().for_each(|value| *value -= before);
    let settings =
        PipelineSettings { reading: reading("[[series]]\nselect = 'requests'\ncounter = true\n"), ..settings() };
    let issue = make_issue(vec![counter], &[], &settings, &mut Live::default(), NOW).unwrap();
    let shadow = issue.shadow("requests").unwrap();
    for step in 0..24 {
        let wanted = 60.0 * (1.0 + 0.3 * (step as f64 / 24.0 * std::f64::consts::TAU).sin());
        assert!((shadow.mean(step) - wanted).abs() < 3.0, "{step}: {} for {wanted}", shadow.mean(step));
    }
}
