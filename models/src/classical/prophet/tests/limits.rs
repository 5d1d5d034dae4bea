//! Settings and series that cannot be fitted together, or just about.

use super::custom::{NEW_YEAR_2019, drive, driven, growing, learn, many, multiplicative, regressor, sale, saturation};
use super::*;

#[test]
fn the_defaults_by_configuration_are_prophets_to_the_bit() {
    let values = many(336, hourly);
    let plain = fit(HOUR, START, std::slice::from_ref(&values)).parameters(0).unwrap();
    let mut panel = Panel::new(HOUR);
    panel.push("a".into(), START, &values);
    let custom = ProphetConfig::default().build().unwrap().learn(&panel.window()).unwrap().parameters(0).unwrap();
    assert_eq!((plain.k, plain.m, plain.sigma), (custom.k, custom.m, custom.sigma));
    assert_eq!((plain.delta, plain.beta), (custom.delta, custom.beta));
}

#[test]
fn a_series_has_the_same_bits_in_any_company_whatever_the_settings() {
    let case = multiplicative();
    let alone = learn(&case).parameters(0).unwrap();
    let mut panel = Panel::new(HOUR);
    for s in 0..9 {
        let values = many(400, |i| if s == 4 { growing(i) } else { 3.0 + wave(i + s) });
        panel.push("a".into(), START, &values);
    }
    let together = case.config.build().unwrap().learn(&panel.window()).unwrap().parameters(4).unwrap();
    assert_eq!((alone.k, alone.m, alone.sigma), (together.k, together.m, together.sigma));
    assert_eq!((alone.delta, alone.beta), (together.delta, together.beta));
}

#[test]
fn an_unknown_regressor_is_named_and_never_guessed() {
    let mut panel = Panel::new(DAY);
    panel.push("whole".into(), NEW_YEAR_2019, &many(100, driven));
    panel.push("late".into(), NEW_YEAR_2019 + 30 * DAY, &many(100, driven));
    let mut holed = many(100, driven);
    holed[50] = f64::NAN;
    panel.push("holed".into(), NEW_YEAR_2019, &holed);
    let fit = |values: Vec<f64>| {
        let known = Known::Shared(Track::new(NEW_YEAR_2019, DAY, values));
        let regressors = vec![Regressor { known, ..regressor("drive", drive, 0) }];
        let config = ProphetConfig { regressors, ..ProphetConfig::default() };
        config.build().unwrap().learn(&panel.window()).unwrap()
    };
    let input = |at_day: i64| FitStatus::Input { name: "drive".into(), at_ms: NEW_YEAR_2019 + at_day * DAY };
    let fitted = fit(many(110, drive));
    assert_eq!(fitted.status(), [FitStatus::Fitted, input(110), FitStatus::Fitted]);
    assert!(fitted.predict(Horizon::new(10).unwrap(), &Quantiles::standard()).is_ok());
    let error = fitted.predict(Horizon::new(11).unwrap(), &Quantiles::standard()).unwrap_err();
    assert!(error.to_string().starts_with("drive of series 0 is unknown"), "{error}");
    let mut lacking = many(200, drive);
    lacking[50] = f64::NAN;
    // Where the series was not observed either, nothing is missed.
    assert_eq!(fit(lacking).status(), [input(50), input(50), FitStatus::Fitted]);
    assert_eq!(fit(vec![f64::NAN; 200]).status()[0], input(0));
    assert_eq!(fit(vec![7.0; 200]).status()[0], FitStatus::Fitted, "a constant regressor is not standardised");
    assert!(matches!(fit(many(200, |i| 1e300 * drive(i))).status()[0], FitStatus::Input { .. }));
}

#[test]
fn a_capacity_that_is_not_above_its_floor_is_told() {
    let mut panel = Panel::new(HOUR);
    panel.push("a".into(), START, &many(300, saturation));
    let fit = |capacity, floor| {
        let growth = Growth::Logistic { capacity, floor };
        ProphetConfig { growth, ..ProphetConfig::default() }.build().unwrap().learn(&panel.window()).unwrap()
    };
    let capacity = FitStatus::Input { name: "capacity".into(), at_ms: START };
    assert_eq!(fit(Known::Constant(0.0), None).status()[0], capacity);
    assert_eq!(fit(Known::Constant(5.0), Some(Known::Constant(5.0))).status()[0], capacity);
    assert_eq!(fit(Known::Constant(f64::NAN), None).status()[0], capacity);
    let floor = fit(Known::Constant(100.0), Some(Known::PerSeries(Arc::default())));
    assert_eq!(floor.status()[0], FitStatus::Input { name: "floor".into(), at_ms: START });
    // Data above the capacity are fitted as well as a curve below it can: as Prophet does.
    let below = fit(Known::Constant(40.0), None);
    assert_eq!(below.status()[0], FitStatus::Fitted);
    let forecast = below.predict(Horizon::new(24).unwrap(), &Quantiles::standard()).unwrap();
    assert!(forecast.mean(0).iter().all(|mean| *mean < 80.0), "{:?}", forecast.mean(0));
}

#[test]
fn a_holiday_outside_the_window_has_no_effect() {
    let holiday = Holiday { dates_ms: vec![NEW_YEAR_2019 - 90 * DAY, NEW_YEAR_2019 + 105 * DAY], ..sale() };
    let config = ProphetConfig { holidays: vec![holiday], ..ProphetConfig::default() };
    let mut panel = Panel::new(DAY);
    panel.push("a".into(), NEW_YEAR_2019, &many(100, daily));
    let fitted = config.build().unwrap().learn(&panel.window()).unwrap();
    let plain = Prophet.learn(&panel.window()).unwrap();
    let ahead = |fitted: &FittedProphet| {
        fitted.predict(Horizon::new(20).unwrap(), &Quantiles::standard()).unwrap().mean(0).to_vec()
    };
    assert_eq!(fitted.effects(0).unwrap().len(), 6);
    assert_eq!(ahead(&fitted), ahead(&plain));
}

#[test]
fn extremes_stay_finite_with_multiplied_seasons_and_flat_trends() {
    let of = |count: usize, value: &dyn Fn(usize) -> f64| many(count, value);
    for (setting, config) in [
        ("multiplicative", ProphetConfig { mode: Mode::Multiplicative, ..ProphetConfig::default() }),
        ("flat", ProphetConfig { growth: Growth::Flat, ..ProphetConfig::default() }),
    ] {
        for (name, values) in [
            ("counter", of(300, &|i| 1e9 + 0.1 * wave(i))),
            ("negative", of(300, &|i| -40.0 - wave(i))),
            ("line", of(300, &|i| 3.0 + 0.5 * i as f64)),
            ("pure wave", of(300, &|i| (TAU * i as f64 / 24.0).sin())),
            ("spike", of(300, &|i| if i == 150 { 1e30 } else { wave(i) })),
            ("huge", of(300, &|i| 1e300 * wave(i))),
            ("tiny", of(300, &|i| 1e-300 * wave(i))),
            ("two", of(2, &|i| i as f64)),
            ("three", of(3, &wave)),
            ("zeros and a one", of(300, &|i| if i == 299 { 1.0 } else { 0.0 })),
            ("mostly lost", of(600, &|i| if i % 29 == 0 { wave(i) } else { f64::NAN })),
            ("constant", vec![4.0; 50]),
            ("infinite", vec![1.0, f64::INFINITY, 2.0]),
        ] {
            let mut panel = Panel::new(HOUR);
            panel.push("a".into(), START, &values);
            let fitted = config.clone().build().unwrap().learn(&panel.window()).unwrap();
            let forecast = fitted.predict(Horizon::new(3).unwrap(), &Quantiles::standard()).unwrap();
            if !fitted.status()[0].is_usable() {
                assert!(name == "infinite", "{setting}, {name}: {:?}", fitted.status()[0]);
                assert!(forecast.mean(0).iter().all(|v| v.is_nan()));
                continue;
            }
            let seen = values.iter().filter(|v| !v.is_nan());
            let (low, high) = seen.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
            let (room, mean) = (2.0 * (high - low) + 1e-9 * high.abs(), forecast.mean(0)[0]);
            assert!(mean >= low - room && mean <= high + room, "{setting}, {name}: {mean} beside {low} to {high}");
            assert!(forecast.quantile(0, 0)[0] <= mean && forecast.quantile(0, 10)[0].is_finite(), "{setting}, {name}");
        }
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let error = |config: ProphetConfig| config.build().unwrap_err().to_string();
    let plain = ProphetConfig::default;
    let season = |name: &str, period_days, order| Season {
        name: name.into(),
        period_days,
        order,
        prior_scale: None,
        mode: None,
    };
    let message = error(ProphetConfig { seasons: vec![season("a", -1.0, 3)], ..plain() });
    assert_eq!(message, "period_days of season a is -1; it must be between 1e-9 and 1e9");
    assert!(error(ProphetConfig { seasons: vec![season("a", 1.0, 0)], ..plain() }).starts_with("order of season a"));
    assert!(error(ProphetConfig { changepoint_range: f64::NAN, ..plain() }).starts_with("changepoint_range"));
    let twice = ProphetConfig { seasons: vec![season("drive", 1.0, 1)], ..plain() };
    let twice = ProphetConfig { regressors: vec![regressor("drive", drive, 9)], ..twice };
    assert_eq!(twice.build().unwrap_err(), ProphetConfigError::Twice { name: "drive".into() });
    let holidays = vec![sale(), Holiday { prior_scale: None, ..sale() }];
    assert!(error(ProphetConfig { holidays, ..plain() }).contains("differ in their prior scale"));
    assert!(error(ProphetConfig { country: Some("Atlantis".into()), ..plain() }).contains("Atlantis"));
    assert!(ProphetConfig::countries().count() > 80);
}
