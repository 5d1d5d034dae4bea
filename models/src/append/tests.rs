use foreshadow_kernels::{EtsForm, Trend};

use super::*;
use crate::check::panel_of;
use crate::classical::{
    Arima, AutoEts, Card, Ces, Delta, Drift, Ets, EtsParameters, LowRankRidge, Mstl, Naive, Prophet, Rho, SeasonalAr,
    SeasonalMedian, SeasonalNaive, Theta,
};
use crate::{Auto, Fitted, Horizon, Model, Quantiles};

const NAN: f64 = f64::NAN;

/// A season of four on a slope above zero, with a disturbance that never repeats, and gaps before and after step 60.
fn wave(steps: usize, base: f64, slope: f64) -> Vec<f64> {
    let value = |t: usize| {
        let plain = base + [3.0, -1.0, 0.5, -2.5][t % 4] + slope * t as f64 + 0.4 * ((t * t) as f64 * 0.7).sin();
        if [9, 30, 31, 57, 63, 64, 70].contains(&t) { NAN } else { plain }
    };
    (0..steps).map(value).collect()
}

/// Fits the first steps and appends the others, a step of all series at a time.
fn appended(model: &dyn Model, series: &[Vec<f64>], first: usize) -> Box<dyn Fitted> {
    let begun: Vec<Vec<f64>> = series.iter().map(|values| values[..first].to_vec()).collect();
    let panel = panel_of(&begun);
    let mut fitted = model.fit(&panel.window_until(|_| first), 0).unwrap();
    for t in first..series[0].len() {
        let points: Vec<f64> = series.iter().map(|values| values[t]).collect();
        fitted.append(&points).unwrap();
    }
    fitted
}

/// Mean, and standard deviation by the width of the band, of each step ahead.
fn ahead(fitted: &dyn Fitted, series: usize) -> (Vec<f64>, Vec<f64>) {
    let band = Quantiles::new(vec![0.975]).unwrap();
    let forecast = fitted.predict(Horizon::new(8).unwrap(), &band).unwrap();
    let mean = forecast.mean(series).to_vec();
    let width = |(upper, mean): (&f64, &f64)| (upper - mean) / 1.959_963_984_540_054;
    let spread = forecast.quantile(series, 0).iter().zip(&mean).map(width).collect();
    (mean, spread)
}

fn assert_near(found: &[f64], expected: &[f64], room: f64, of: &str) {
    for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= room * (1.0 + expected.abs()), "{of} {step}: {found} {expected}");
    }
}

#[test]
fn naive_families_are_what_a_fit_of_all_steps_makes_them() {
    let models: [&dyn Model; 4] = [&Naive, &Drift, &SeasonalNaive { season: 4 }, &SeasonalNaive { season: 7 }];
    let series = [wave(90, 20.0, 0.1), wave(90, -4.0, -0.3), vec![5.0; 90], [vec![5.0; 75], vec![6.0; 15]].concat()];
    for model in models {
        for end in [63, 64, 65, 90] {
            let cut: Vec<Vec<f64>> = series.iter().map(|values| values[..end].to_vec()).collect();
            let (moved, panel) = (appended(model, &cut, 60), panel_of(&series));
            let anew = model.fit(&panel.window_until(|_| end), 0).unwrap();
            assert_eq!(moved.status(), anew.status());
            for s in 0..series.len() {
                let ((mean, spread), (expected, wide)) = (ahead(&*moved, s), ahead(&*anew, s));
                assert_eq!(mean, expected, "{} {end}", model.name());
                // A drift's changes are counted from its first slope: a few roundings of their squares.
                assert_near(&spread, &wide, 1e-12, &model.name());
            }
        }
    }
}

/// The textbook's filter over all steps from the start that was learned: mean of the steps ahead, and the spread of the
/// first.
fn filtered(form: EtsForm, own: &EtsParameters, values: &[f64]) -> (Vec<f64>, f64) {
    let (mut level, mut slope, weights) = (own.level, own.slope, own.smoothing);
    let neutral = if form.scales() { 1.0 } else { 0.0 };
    let mut season = if own.season.is_empty() { vec![neutral] } else { own.season.clone() };
    let m = season.len();
    let join = |level: f64, season: f64| if form.scales() { level * season } else { level + season };
    let (mut squares, mut observed) = (0.0, 0.0);
    for (t, y) in values.iter().enumerate() {
        let ahead = level + weights.phi * slope;
        let expected = join(ahead, season[t % m]);
        let error = if y.is_nan() { 0.0 } else { y - expected };
        let share = error / expected;
        observed += if y.is_nan() { 0.0 } else { 1.0 };
        let counted = if form.is_relative() { share } else { error };
        squares += counted * counted;
        let moved = if form.scales() { ahead * share } else { error };
        level = ahead + weights.alpha * moved;
        slope = weights.phi * slope + weights.beta * moved;
        season[t % m] += if form.scales() { season[t % m] * weights.gamma * share } else { weights.gamma * error };
    }
    let mut mean = Vec::new();
    let (mut damped, mut power) = (0.0, 1.0);
    for step in 0..8 {
        power *= weights.phi;
        damped += power;
        mean.push(join(level + damped * slope, season[(values.len() + step) % m]));
    }
    let spread = (squares / (observed - form.unknowns() as f64)).sqrt();
    let unit = if form.is_relative() { mean[0] } else { 1.0 };
    (mean, spread * unit)
}

#[test]
fn every_ets_form_goes_on_as_the_textbook_filters() {
    let series = [wave(90, 40.0, 0.1), wave(90, 25.0, 0.0), wave(90, 1e6, 3.0)];
    for form in EtsForm::admissible(4) {
        let model = Ets::of(form);
        let begun: Vec<Vec<f64>> = series.iter().map(|values| values[..60].to_vec()).collect();
        let learned = model.learn(&panel_of(&begun).window_until(|_| 60));
        let moved = appended(&model, &series, 60);
        for (s, values) in series.iter().enumerate().filter(|(s, _)| learned.status()[*s].is_usable()) {
            let own = learned.parameters(s).unwrap();
            let (expected, wide) = filtered(form, own, values);
            let (mean, spread) = ahead(&*moved, s);
            // Some roundings a step over 90 steps, of a level and a season that were taken apart once.
            assert_near(&mean, &expected, 1e-11, &model.name());
            // Errors of unit size on a level of a million lose six more digits.
            assert_near(&spread[..1], &[wide], 1e-8, &model.name());
        }
        assert!(learned.status().iter().any(FitStatus::is_usable), "{}", model.name());
    }
}

#[test]
fn each_series_keeps_its_own_form() {
    let mut series: Vec<Vec<f64>> = (0..20).map(|s| wave(90, 30.0 + f64::from(s), 0.02 * f64::from(s))).collect();
    series.push(vec![3.0; 90]);
    let model = AutoEts { season: 4 };
    let begun: Vec<Vec<f64>> = series.iter().map(|values| values[..60].to_vec()).collect();
    let learned = model.learn(&panel_of(&begun).window_until(|_| 60));
    let moved = appended(&model, &series, 60);
    for (s, values) in series.iter().enumerate().take(20) {
        let (form, own) = learned.parameters(s).unwrap();
        let (expected, wide) = filtered(form, own, values);
        let (mean, spread) = ahead(&*moved, s);
        assert_near(&mean, &expected, 1e-11, "mean");
        assert_near(&spread[..1], &[wide], 1e-9, "spread");
    }
    assert_eq!(moved.status()[20], FitStatus::Constant);
    assert_eq!(ahead(&*moved, 20), (vec![3.0; 8], vec![0.0; 8]));
}

#[test]
fn a_neighbour_changes_no_bit() {
    let mut broken = wave(90, 50.0, 0.0);
    broken[60..].copy_from_slice(&[&[NAN; 10][..], &[f64::INFINITY, -1e300, -3.0, 0.0], &[1e30; 16]].concat());
    let (own, still) = (wave(90, 40.0, 0.1), vec![2.0; 90]);
    let relative = Ets::of(EtsForm::multiplicative(Trend::None, 4));
    let models: [&dyn Model; 7] = [
        &Naive,
        &SeasonalNaive { season: 4 },
        &Ets::new(Trend::Damped, 4),
        &relative,
        &AutoEts { season: 4 },
        &Theta::dot(4),
        &Ces::auto(4),
    ];
    for model in models {
        let together = appended(model, &[broken.clone(), own.clone(), vec![NAN; 90], still.clone()], 60);
        let alone = appended(model, std::slice::from_ref(&own), 60);
        assert_eq!(ahead(&*together, 1), ahead(&*alone, 0), "{}", model.name());
        let (mean, spread) = ahead(&*together, 0);
        let usable = together.status()[0].is_usable();
        assert!(mean.iter().chain(&spread).all(|v| v.is_finite() == usable), "{}: {mean:?}", model.name());
        assert_eq!(together.status()[2], FitStatus::NoData);
    }
}

#[test]
fn what_the_parameters_have_no_answer_to_is_outdated() {
    let series = [wave(60, 40.0, 0.0), vec![7.0; 60], wave(60, 40.0, 0.0), wave(60, 40.0, 0.0)];
    let panel = panel_of(&series);
    let relative = Ets::of(EtsForm::multiplicative(Trend::None, 4));
    let mut fitted = relative.fit(&panel.window(), 0).unwrap();
    assert_eq!(fitted.append(&[1.0; 3]), Err(AppendError::Points { given: 3, series_count: 4 }));
    fitted.append(&[-1.0, 7.5, NAN, 39.0]).unwrap();
    assert_eq!(fitted.status(), [FitStatus::Outdated, FitStatus::Outdated, FitStatus::Fitted, FitStatus::Fitted]);
    fitted.append(&[40.0, 7.0, 41.0, f64::INFINITY]).unwrap();
    assert_eq!(fitted.status()[3], FitStatus::Outdated);
    assert!([0, 1, 3].iter().all(|s| ahead(&*fitted, *s).0.iter().all(|v| v.is_nan())));
    assert!(ahead(&*fitted, 2).0.iter().all(|v| v.is_finite()));
    for model in [&Theta::dot(4) as &dyn Model, &Ces::auto(4)] {
        let mut fitted = model.fit(&panel.window(), 0).unwrap();
        fitted.append(&[f64::INFINITY, 8.0, 40.0, NAN]).unwrap();
        let expected = [FitStatus::Outdated, FitStatus::Outdated, FitStatus::Fitted, FitStatus::Fitted];
        assert_eq!(fitted.status(), expected, "{}", model.name());
    }
}

/// Every family that takes points in, with a season of four.
fn families() -> Vec<Box<dyn Model>> {
    vec![
        Box::new(Ets::new(Trend::Damped, 4)),
        Box::new(AutoEts { season: 4 }),
        Box::new(Theta::dot(4)),
        Box::new(Ces::auto(4)),
        Box::new(Mstl::new(&[4])),
        Box::new(SeasonalMedian { season: 4 }),
        Box::new(SeasonalAr { season: 4 }),
        Box::new(LowRankRidge { season: 4 }),
        Box::new(Delta::new(4, 1)),
        Box::new(Rho::new(4, 1)),
        Box::new(Prophet),
    ]
}

#[test]
fn what_was_expected_changes_no_expectation() {
    let series = [wave(90, 40.0, 0.1), wave(90, 25.0, 0.0), wave(90, 1e6, 3.0)];
    for model in families() {
        let panel = panel_of(&series);
        let mut fitted = model.fit(&panel.window(), 0).unwrap();
        let reach = Horizon::new(12).unwrap();
        let none = Quantiles::new(Vec::new()).unwrap();
        let before = fitted.predict(reach, &none).unwrap();
        for step in 0..5 {
            let points: Vec<f64> = (0..series.len()).map(|s| before.mean(s)[step]).collect();
            fitted.append(&points).unwrap();
        }
        for s in (0..series.len()).filter(|s| fitted.status()[*s].is_usable()) {
            // A few roundings a step.
            assert_near(&ahead(&*fitted, s).0[..7], &before.mean(s)[5..], 1e-9, &model.name());
        }
        assert!(fitted.status().iter().all(FitStatus::is_usable), "{}: {:?}", model.name(), fitted.status());
    }
}

#[test]
fn an_unobserved_step_is_one_more_step_ahead() {
    let series = [wave(90, 40.0, 0.1)];
    for model in families() {
        let mut fitted = model.fit(&panel_of(&series).window(), 0).unwrap();
        let before = ahead(&*fitted, 0).0;
        fitted.append(&[NAN]).unwrap();
        // A dynamic theta line goes through the steps behind it, of which there is one more.
        let room = if model.name().starts_with("theta") { 1e-5 } else { 1e-9 };
        assert_near(&ahead(&*fitted, 0).0[..7], &before[1..], room, &model.name());
        // And what comes after it is heard as without it.
        fitted.append(&[before[1]]).unwrap();
        assert_near(&ahead(&*fitted, 0).0[..6], &before[2..], room, &model.name());
    }
}

#[test]
fn a_level_that_rose_is_followed_by_those_that_have_one() {
    // A level that has moved before, so that it is given a weight.
    let moved = |(t, value): (usize, f64)| value + [0.0, 9.0, 4.0, 12.0, 2.0][t / 24];
    let series = [wave(120, 40.0, 0.0).into_iter().enumerate().map(moved).collect::<Vec<f64>>()];
    let models: [&dyn Model; 5] =
        [&Ets::new(Trend::None, 4), &Theta::dot(4), &Mstl::new(&[4]), &Rho::new(4, 1), &Card::new(4, 1)];
    for model in models {
        let mut fitted = model.fit(&panel_of(&series).window(), 0).unwrap();
        let before = ahead(&*fitted, 0).0;
        for step in 0..4 {
            fitted.append(&[before[step] + 8.0]).unwrap();
        }
        let (after, expected) = (ahead(&*fitted, 0).0[0], before[4]);
        assert!(after > expected + 0.1, "{}: {after} after {expected}", model.name());
    }
}

#[test]
fn auto_moves_all_its_parts_on_and_none_of_its_neighbours() {
    let series = [wave(200, 40.0, 0.1), wave(200, 25.0, 0.0), vec![4.0; 200]];
    let auto = Auto::new(Horizon::new(4).unwrap());
    let moved = appended(&auto, &series, 180);
    assert_eq!(moved.status(), [FitStatus::Fitted, FitStatus::Fitted, FitStatus::Constant]);
    let anew = auto.fit(&panel_of(&series).window(), 0).unwrap();
    let (mean, expected) = (ahead(&*moved, 0).0, ahead(&*anew, 0).0);
    // Twenty steps later the seasons are where they are, to the disturbance.
    assert!(mean.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1.0), "{mean:?} {expected:?}");
    let alone = appended(&auto, &series[..1], 180);
    assert_eq!(ahead(&*alone, 0), ahead(&*moved, 0));
    let mut moved = moved;
    moved.append(&[f64::INFINITY, NAN, 5.0]).unwrap();
    assert_eq!(moved.status(), [FitStatus::Outdated, FitStatus::Fitted, FitStatus::Outdated]);
    assert!(ahead(&*moved, 0).0.iter().all(|v| v.is_nan()));
}

#[test]
fn a_family_that_must_be_fitted_anew_says_so() {
    let mut fitted = Arima::fixed(1, 0, 1).fit(&panel_of(&[wave(90, 40.0, 0.0)]).window(), 0).unwrap();
    let before = ahead(&*fitted, 0);
    let error = fitted.append(&[1.0]).unwrap_err();
    assert_eq!(error, AppendError::Refit { family: "arima" });
    assert_eq!(error.to_string(), "arima takes no new step in: fit it anew");
    assert_eq!(ahead(&*fitted, 0), before);
}
