use super::*;
use crate::check::{forecast, panel_of};

/// A season of four on a slope, with a disturbance that never repeats.
fn wave(steps: usize, slope: f64) -> Vec<f64> {
    (0..steps).map(|t| [3.0, -1.0, 0.5, -2.5][t % 4] + slope * t as f64 + 0.1 * ((t * t) as f64 * 0.7).sin()).collect()
}

#[test]
fn each_form_has_its_name() {
    let names: Vec<_> = Ets::forms(24).iter().chain(&Ets::forms(1)).map(Model::name).collect();
    assert_eq!(names, ["ets_ana24", "ets_aaa24", "ets_aada24", "ets_ann", "ets_aan", "ets_aadn"]);
    let names: Vec<_> = EtsForm::admissible(7).into_iter().skip(9).map(|form| Ets::of(form).name()).collect();
    assert_eq!(names, ["ets_mna7", "ets_maa7", "ets_mada7", "ets_mnm7", "ets_mam7", "ets_madm7"]);
    assert_eq!((AutoEts { season: 24 }.name(), AutoEts { season: 1 }.name()), ("autoets24".into(), "autoets".into()));
}

#[test]
fn a_season_and_a_slope_go_on() {
    let (status, ahead) = forecast(&Ets::new(Trend::Additive, 4), &[wave(80, 0.5)], 8);
    assert_eq!(status, [FitStatus::Fitted]);
    for (step, mean) in ahead.mean(0).iter().enumerate() {
        let t = 80 + step;
        let truth = [3.0, -1.0, 0.5, -2.5][t % 4] + 0.5 * t as f64;
        // The disturbance is at most 0.1, and the slope over 80 steps tells itself to a thousandth.
        assert!((mean - truth).abs() < 0.2, "{step}: {mean} {truth}");
    }
}

#[test]
fn a_gap_leaves_the_season_in_its_place() {
    let mut values = wave(90, 0.0);
    for t in [0, 5, 6, 7, 8, 9, 50, 86, 87] {
        values[t] = f64::NAN;
    }
    let (status, ahead) = forecast(&Ets::new(Trend::None, 4), &[values], 4);
    assert_eq!(status, [FitStatus::Fitted]);
    for (step, mean) in ahead.mean(0).iter().enumerate() {
        assert!((mean - [3.0, -1.0, 0.5, -2.5][(90 + step) % 4]).abs() < 0.2, "{step}: {mean}");
    }
}

#[test]
fn offset_scale_and_sign_change_the_unit_alone() {
    let plain = wave(60, 0.0);
    let shifted: Vec<f64> = plain.iter().map(|v| 1e9 - 3.0 * v).collect();
    let (status, ahead) = forecast(&Ets::new(Trend::None, 4), &[plain, shifted], 4);
    assert_eq!(status, [FitStatus::Fitted, FitStatus::Fitted]);
    for step in 0..4 {
        let expected = 1e9 - 3.0 * ahead.mean(0)[step];
        // A value near 1e9 is known to 1e-7; the fit is no finer than that.
        assert!((ahead.mean(1)[step] - expected).abs() < 1e-3, "{step}: {} {expected}", ahead.mean(1)[step]);
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let (constant, tiny) = (vec![7.0; 40], vec![1.0, 2.0, 1.5]);
    let hole: Vec<f64> = (0..40).map(|t| if t % 4 == 2 { f64::NAN } else { f64::from(t as u8 % 7) }).collect();
    let huge: Vec<f64> = (0..40).map(|t| if t % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let series = [constant, tiny, hole, huge, vec![f64::NAN; 3], wave(40, 0.0)];
    let (status, ahead) = forecast(&Ets::new(Trend::None, 4), &series, 3);
    assert_eq!(status[0], FitStatus::Constant);
    assert_eq!((ahead.mean(0), ahead.quantile(0, 0)), (&[7.0; 3][..], &[7.0; 3][..]));
    assert_eq!(status[1], FitStatus::TooShort { observed: 3, needed: 9 });
    assert_eq!(status[2], FitStatus::TooShort { observed: 30, needed: 9 }, "a slot was never seen");
    assert_eq!((&status[3], &status[4]), (&FitStatus::NotConverged, &FitStatus::NoData));
    assert!((1..5).all(|s| ahead.mean(s).iter().all(|v| v.is_nan())));
    // The last one is what it is alone, to the bit.
    let alone = forecast(&Ets::new(Trend::None, 4), &series[5..], 3).1;
    assert_eq!(alone.mean(0), ahead.mean(5));
    assert_eq!(alone.quantile(0, 3), ahead.quantile(5, 3));
}

#[test]
fn a_perfect_season_is_repeated() {
    let values: Vec<f64> = (0..32).map(|t| [1.0, 5.0, 2.0, 9.0][t % 4]).collect();
    let (status, ahead) = forecast(&Ets::new(Trend::None, 4), &[values], 4);
    assert_eq!(status, [FitStatus::Fitted]);
    for (mean, truth) in ahead.mean(0).iter().zip([1.0, 5.0, 2.0, 9.0]) {
        assert!((mean - truth).abs() < 1e-5, "{mean} {truth}"); // f32 holds a standardised value to 1e-7
    }
}

#[test]
fn variance_grows_as_the_weights_say() {
    let smoothing = Smoothing { alpha: 0.5, beta: 0.1, gamma: 0.2, phi: 0.9 };
    let start = [0.0; 3];
    let values = [1.0, 2.0, 1.0, 3.0, 0.0, 2.0, 1.0, 2.0, 3.0, 1.0];
    let form = EtsForm::additive(Trend::Damped, 2);
    let learned = run(&values, form, (0.0, 1.0), &smoothing, &start);
    let (_, spread) = learned.end.ahead(form, 3);
    // c_1 = 0.5 + 0.1 * 0.9, c_2 = 0.5 + 0.1 * (0.9 + 0.81) + 0.2.
    let second = 1.0 + 0.59_f64.powi(2);
    let third = second + 0.871_f64.powi(2);
    assert!((spread[1] / spread[0] - second.sqrt()).abs() < 1e-12);
    assert!((spread[2] / spread[0] - third.sqrt()).abs() < 1e-12);
}

#[test]
fn a_season_that_multiplies_grows_with_the_level() {
    let season = [1.4, 0.8, 1.1, 0.7];
    let truth = |t: usize| (50.0 + t as f64) * season[t % 4];
    let values: Vec<f64> = (0..80).map(|t| truth(t) * (1.0 + 0.002 * ((t * t) as f64 * 0.7).sin())).collect();
    let model = Ets::of(EtsForm::multiplicative(Trend::Additive, 4));
    let panel = panel_of(&[values]);
    let fitted = model.learn(&panel.window());
    let own = fitted.parameters(0).unwrap();
    assert!((own.season.iter().sum::<f64>() - 4.0).abs() < 1e-12, "{own:?}");
    let ahead = fitted.predict(Horizon::new(8).unwrap(), &Quantiles::standard()).unwrap();
    for (step, mean) in ahead.mean(0).iter().enumerate() {
        // Disturbed by 0.2 % a step at most.
        assert!((mean / truth(80 + step) - 1.0).abs() < 0.005, "{step}: {mean} {}", truth(80 + step));
    }
}

#[test]
fn relative_errors_are_for_series_above_zero() {
    let (above, below): (Vec<f64>, Vec<f64>) = (wave(40, 0.0).iter().map(|v| v + 9.0).collect(), wave(40, 0.0));
    for form in EtsForm::admissible(4).into_iter().filter(|form| form.is_relative()) {
        let (status, _) = forecast(&Ets::of(form), &[above.clone(), below.clone()], 4);
        assert_eq!(status, [FitStatus::Fitted, FitStatus::NotConverged], "{form:?}");
    }
}

#[test]
fn the_variance_of_a_relative_error_compounds() {
    let smoothing = Smoothing { alpha: 0.5, beta: 0.0, gamma: 0.0, phi: 1.0 };
    let values = [10.0, 11.0, 9.0, 10.5, 12.0, 8.0, 10.0];
    let form = EtsForm::additive(Trend::None, 1).with_relative_error();
    let learned = run(&values, form, (10.0, 1.0), &smoothing, &[0.0, 0.0]);
    let (mean, spread) = learned.end.ahead(form, 40);
    let share = spread[0] / mean[0];
    for (step, spread) in spread.iter().enumerate() {
        // ETS(M,N,N): v = mu^2 ((1 + alpha^2 sigma^2)^(h-1) (1 + sigma^2) - 1), Hyndman et al. 2008, table 6.2.
        let grown = (1.0 + 0.25 * share * share).powi(step as i32) * (1.0 + share * share) - 1.0;
        assert!((spread / (mean[0] * grown.sqrt()) - 1.0).abs() < 1e-10, "{step}");
    }
}

#[test]
fn every_form_keeps_its_season_over_gaps() {
    let mut values: Vec<f64> = wave(90, 0.0).iter().map(|v| v + 20.0).collect();
    for t in [0, 5, 6, 7, 8, 9, 50, 86, 87] {
        values[t] = f64::NAN;
    }
    for form in EtsForm::admissible(4).into_iter().filter(|form| form.season > 1) {
        let (status, ahead) = forecast(&Ets::of(form), std::slice::from_ref(&values), 4);
        assert_eq!(status, [FitStatus::Fitted], "{form:?}");
        for (step, mean) in ahead.mean(0).iter().enumerate() {
            // The disturbance is at most 0.1, and a trend of it is at most as much again over four steps.
            let truth = 20.0 + [3.0, -1.0, 0.5, -2.5][(90 + step) % 4];
            assert!((mean - truth).abs() < 0.3, "{form:?} {step}: {mean} {truth}");
        }
    }
}

#[test]
fn a_long_season_is_fitted_in_every_form() {
    let truth = |t: usize| 100.0 * (1.0 + 0.3 * (t as f64 * std::f64::consts::TAU / 96.0).sin());
    let values: Vec<f64> = (0..480).map(|t| truth(t) * (1.0 + 0.02 * ((t * t) as f64 * 0.7).sin())).collect();
    for form in EtsForm::admissible(96).into_iter().filter(|form| form.season > 1) {
        let (status, ahead) = forecast(&Ets::of(form), std::slice::from_ref(&values), 96);
        assert_eq!(status, [FitStatus::Fitted], "{form:?}");
        for (step, mean) in ahead.mean(0).iter().enumerate() {
            // Each slot was seen five times, 2 % off at most.
            assert!((mean / truth(480 + step) - 1.0).abs() < 0.04, "{form:?} {step}: {mean}");
        }
    }
}

/// Twice the negative log-likelihood, up to the constant that all forms share, from the equations.
fn deviance(values: &[f64], form: EtsForm, own: &EtsParameters) -> f64 {
    let Smoothing { alpha, beta, gamma, phi } = own.smoothing;
    let (mut level, mut slope, mut season) = (own.level, own.slope, own.season.clone());
    if season.is_empty() {
        season.push(if form.scales() { 1.0 } else { 0.0 });
    }
    let (slots, mut sse, mut logs) = (season.len(), 0.0, 0.0);
    for (t, value) in values.iter().enumerate() {
        let (held, drift) = (season[t % slots], phi * slope);
        let ahead = level + drift;
        let expected = if form.scales() { ahead * held } else { ahead + held };
        let (error, share) = (value - expected, value / expected - 1.0);
        sse += if form.is_relative() { share * share } else { error * error };
        logs += if form.is_relative() { expected.ln() } else { 0.0 };
        let push = if form.scales() { ahead * share } else { error };
        season[t % slots] += gamma * if form.scales() { held * share } else { error };
        level = ahead + alpha * push;
        slope = drift + beta * push;
    }
    values.len() as f64 * sse.ln() + 2.0 * logs
}

/// Hourly traffic of a week or two: a level that wanders, a season that scales with it, and noise.
fn traffic(steps: usize, s: u64) -> Vec<f64> {
    let (mut state, mut level) = (s + 1, 100.0);
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1_u32 << 31) - 0.5
    };
    let mut value = |t: usize| {
        level += 2.0 * noise();
        level * (1.0 + 0.3 * (t as f64 * std::f64::consts::TAU / 8.0).sin()) * (1.0 + 0.05 * noise())
    };
    (0..steps).map(&mut value).collect()
}

#[test]
fn the_automatic_choice_is_the_likeliest_of_all_forms() {
    let series: Vec<_> = (0..6).map(|s| traffic(96, s)).collect();
    let panel = panel_of(&series);
    let auto = AutoEts { season: 8 }.learn(&panel.window());
    let aicc = |s: usize, form: EtsForm, own: &EtsParameters| {
        let k = form.unknowns() as f64 + 1.0;
        deviance(&series[s], form, own) + 2.0 * k + 2.0 * k * (k + 1.0) / (96.0 - k - 1.0)
    };
    let fits: Vec<_> =
        EtsForm::admissible(8).into_iter().map(|form| (form, Ets::of(form).learn(&panel.window()))).collect();
    for s in 0..6 {
        let (form, own) = auto.parameters(s).unwrap();
        let chosen = aicc(s, form, own);
        for (other, fit) in &fits {
            let Some(own) = fit.parameters(s) else { continue };
            // What a search from kindred weights may leave behind one all over.
            assert!(
                chosen <= aicc(s, *other, own) + 1e-2,
                "{s}: {form:?} {chosen}, {other:?} {}",
                aicc(s, *other, own)
            );
        }
    }
}

#[test]
fn no_form_forecasts_without_bound() {
    let spike: Vec<f64> = (0..60).map(|t| if t == 30 { 1e30 } else { 5.0 + (t % 4) as f64 }).collect();
    let offset: Vec<f64> = wave(60, 0.0).iter().map(|v| 1e9 + v).collect();
    let falling: Vec<f64> = (0..60).map(|t| 1e3 * 0.8_f64.powi(t) * [1.0, 3.0, 0.2, 1.5][t as usize % 4]).collect();
    let rising: Vec<f64> = (0..60).map(|t| 1.3_f64.powi(t) * [1.0, 3.0, 0.2, 1.5][t as usize % 4]).collect();
    let wild: Vec<f64> = traffic(60, 3).iter().enumerate().map(|(t, v)| if t % 7 == 0 { 1e-6 } else { *v }).collect();
    let near_zero: Vec<f64> = (0..60).map(|t| if t % 5 == 0 { 3.0 } else { 1e-300 }).collect();
    let perfect: Vec<f64> = (0..60).map(|t| [1.0, 5.0, 2.0, 9.0][t % 4]).collect();
    let series =
        [spike, offset, falling, rising, wild, near_zero, perfect, vec![f64::NAN; 4], vec![2.0; 30], vec![1.0, 2.0]];
    let panel = panel_of(&series);
    let models = EtsForm::admissible(4).into_iter().map(|form| Box::new(Ets::of(form)) as Box<dyn Model>);
    for model in models.chain([Box::new(AutoEts { season: 4 }) as Box<dyn Model>]) {
        let fitted = model.fit(&panel.window(), 0).unwrap();
        let ahead = fitted.predict(Horizon::new(3_000).unwrap(), &Quantiles::standard()).unwrap();
        for (s, status) in fitted.status().iter().enumerate() {
            assert_eq!(status.is_usable(), ahead.is_finite(s), "{} {s} {status:?}", model.name());
        }
        assert_eq!(fitted.status()[8], FitStatus::Constant);
        assert!(matches!(fitted.status()[9], FitStatus::TooShort { .. }));
        // Each is alone what it is among the others, to the bit.
        for s in 0..series.len() {
            let alone = panel_of(&series[s..=s]);
            let alone = model.fit(&alone.window(), 0).unwrap();
            let own = alone.predict(Horizon::new(30).unwrap(), &Quantiles::standard()).unwrap();
            let same = own.mean(0).iter().zip(ahead.mean(s)).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan());
            assert!(alone.status()[0] == fitted.status()[s] && same, "{} {s}", model.name());
        }
    }
}
