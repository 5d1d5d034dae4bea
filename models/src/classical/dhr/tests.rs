use std::f64::consts::TAU;

use super::*;
use crate::Panel;
use crate::check::{forecast, panel_of};

/// About normal noise, mixed as SplitMix64 does: a model must not foresee it.
fn noise(seed: usize) -> impl Fn(usize) -> f64 {
    let uniform = |at: usize| {
        let mut z = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    move |t| (1..7).map(|i| uniform(seed * 1_000_003 + t * 6 + i)).sum()
}

fn wave(t: usize, season: usize, turns: usize) -> (f64, f64) {
    (TAU * (turns * t) as f64 / season as f64).sin_cos()
}

/// Two waves of a season of six and one of a season of 42, without noise.
fn truth(t: usize) -> f64 {
    let ((s1, c1), (s2, _), (_, c3)) = (wave(t, 6, 1), wave(t, 6, 2), wave(t, 42, 1));
    50.0 + 4.0 * s1 - 1.0 * c1 + 0.8 * s2 + 2.0 * c3
}

/// The same on noise that remembers: each step keeps 0.6 of the last.
fn waves(steps: usize, seed: usize) -> Vec<f64> {
    let draw = noise(seed);
    let mut before = 0.0;
    let mut value = |t: usize| {
        before = 0.6 * before + 0.3 * draw(t);
        truth(t) + before
    };
    (0..steps).map(&mut value).collect()
}

fn learned(model: &Dhr, values: &[f64]) -> DhrParameters {
    let panel = panel_of(&[values.to_vec()]);
    let fitted = model.learn(&panel.window()).unwrap();
    fitted.parameters(0).unwrap_or_else(|| panic!("{:?}", fitted.status())).clone()
}

fn amplitude(parameters: &DhrParameters, season: usize, turns: usize) -> Option<[f64; 2]> {
    let is = |wave: &&DhrWave| (wave.season, wave.turns) == (season, turns);
    parameters.waves.iter().find(is).map(|wave| [wave.sine, wave.cosine])
}

#[test]
fn it_has_its_name() {
    assert_eq!(Dhr::new(&[168, 24, 24]).name(), "dhr24_168");
}

#[test]
fn what_made_a_series_is_found() {
    let parameters = learned(&Dhr::new(&[6, 42]), &waves(600, 1));
    // Errors of deviation 0.21 that remember 0.6 have at these frequencies a density of at most (0.21 / 0.4)^2, so a
    // coefficient from 600 steps has a standard error of at most 0.03.
    for (season, turns, expected) in [(6, 1, [4.0, -1.0]), (6, 2, [0.8, 0.0]), (42, 1, [0.0, 2.0])] {
        let found = amplitude(&parameters, season, turns).unwrap_or_else(|| panic!("{season} {turns}: {parameters:?}"));
        let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.09);
        assert!(close, "{season} {turns}: {found:?}");
    }
    let errors = &parameters.errors;
    assert_eq!(errors.differences, 0);
    // The noise has deviation 0.3 sqrt(6 / 12).
    assert!((errors.spread - 0.212).abs() < 0.02, "{errors:?}");
    assert!((errors.constant.unwrap() - 50.0).abs() < 0.1);
}

#[test]
fn a_day_and_a_week_are_told_apart() {
    let hour =
        |t: usize| 2.0 * wave(t, 24, 1).0 + 0.7 * wave(t, 24, 3).1 + 1.5 * wave(t, 168, 1).1 + 0.6 * wave(t, 168, 2).0;
    let draw = noise(2);
    let mut before = 0.0;
    let mut value = |t: usize| {
        before = 0.8 * before + 0.2 * draw(t);
        hour(t) + before
    };
    let values: Vec<f64> = (0..24 * 7 * 6).map(&mut value).collect();
    let parameters = learned(&Dhr::new(&[24, 168]), &values);
    for (season, turns, expected) in
        [(24, 1, [2.0, 0.0]), (24, 3, [0.0, 0.7]), (168, 1, [0.0, 1.5]), (168, 2, [0.6, 0.0])]
    {
        let found = amplitude(&parameters, season, turns).unwrap_or_else(|| panic!("{season} {turns}: {parameters:?}"));
        // Deviation 0.14, memory 0.8: (0.14 / 0.2) sqrt(2 / 1008) is 0.03 at most.
        let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.1);
        assert!(close, "{season} {turns}: {found:?}");
    }
    assert!(amplitude(&parameters, 168, 7).is_none(), "that is the day's");
}

#[test]
fn a_day_of_minutes_goes_on() {
    let minute = |t: usize| 30.0 + 8.0 * wave(t, 1_440, 1).0 + 3.0 * wave(t, 1_440, 2).1;
    let draw = noise(3);
    let mut before = 0.0;
    let mut value = |t: usize| {
        before = 0.9 * before + 0.2 * draw(t);
        minute(t) + before
    };
    let values: Vec<f64> = (0..4 * 1_440).map(&mut value).collect();
    let (status, ahead) = forecast(&Dhr::new(&[1_440]), &[values], 1_440);
    assert_eq!(status, [FitStatus::Fitted]);
    let mut outside = 0;
    for step in 0..1_440 {
        let expected = minute(4 * 1_440 + step);
        // (0.14 / 0.1) sqrt(2 / 5760) is 0.026 a coefficient; five of them, three times over, and what is remembered of
        // the last errors' deviation of 0.32.
        let close = (ahead.mean(0)[step] - expected).abs() < 0.3 + 0.5 * 0.9_f64.powi(step as i32);
        assert!(close, "{step}: {} {expected}", ahead.mean(0)[step]);
        let next = value(4 * 1_440 + step);
        outside += usize::from(!(ahead.quantile(0, 0)[step]..=ahead.quantile(0, 10)[step]).contains(&next));
    }
    // One in twenty; errors that remember make its own deviation some 2.5 %.
    assert!(outside < 1_440 / 8, "{outside}");
}

/// A level that walks, with a slope, under two waves of a season of twelve; and the level that it ends at.
fn walk(steps: usize, seed: usize) -> (Vec<f64>, f64) {
    let (draw, mut level) = (noise(seed), 10.0);
    let value = |t: usize| {
        level += 0.05 + 0.3 * draw(t);
        level + 3.0 * wave(t, 12, 1).0 - wave(t, 12, 2).1
    };
    ((0..steps).map(value).collect(), level)
}

#[test]
fn a_walk_under_the_waves_is_differenced() {
    let (values, level) = walk(600, 4);
    let panel = panel_of(std::slice::from_ref(&values));
    let fitted = Dhr::new(&[12]).learn(&panel.window()).unwrap();
    let parameters = fitted.parameters(0).unwrap();
    assert_eq!(parameters.errors.differences, 1);
    // A walk's density at the slower frequency is that of its steps, 0.21^2, over 2 - 2 cos(30 degrees) = 0.27.
    let first = amplitude(parameters, 12, 1).unwrap();
    assert!((first[0] - 3.0).abs() < 0.08 && first[1].abs() < 0.08, "{first:?}");
    let ahead = fitted.predict(Horizon::new(12).unwrap(), &Quantiles::standard()).unwrap();
    for step in 0..12 {
        let t = 600 + step;
        let expected = level + 3.0 * wave(t, 12, 1).0 - wave(t, 12, 2).1;
        assert!((ahead.mean(0)[step] - expected).abs() < 1.5, "{step}");
    }
    let width = |step: usize| ahead.quantile(0, 10)[step] - ahead.quantile(0, 0)[step];
    // A walk's deviation grows with the root of the steps.
    assert!((width(8) / width(0) - 3.0).abs() < 0.6, "{} {}", width(8), width(0));
}

/// What statsmodels makes of a model that ours chose.
struct Golden {
    order: [usize; 3],
    coefficients: &'static [f64],
    constant: f64,
    /// Sine and cosine, with the larger standard error of the two.
    waves: &'static [([f64; 2], f64)],
    log_likelihood: f64,
}

#[test]
fn likelihood_and_coefficients_are_those_of_statsmodels() {
    let (whole, mut holed) = (waves(240, 21), waves(240, 21));
    holed[30..45].fill(f64::NAN);
    // statsmodels 0.15.0, `SARIMAX(y, exog=X, order=(p, 0, q))`, of the differenced series and columns where it is a walk;
    // X: the waves and a constant. By L-BFGS, then Nelder and Mead, then BFGS until its gradient is below 1e-9.
    let of_whole = Golden {
        order: [1, 0, 0],
        coefficients: &[0.628_142_438_8],
        constant: 50.002_469_929_7,
        waves: &[
            ([3.977_082_242_2, -1.030_888_000_4], 0.022),
            ([0.799_528_598_3, 0.000_793_663_9], 0.014),
            ([-0.033_967_162_0, 2.031_256_760_4], 0.051),
        ],
        log_likelihood: 38.334_404_869_8,
    };
    let of_holed = Golden {
        order: [1, 0, 0],
        coefficients: &[0.628_580_689_1],
        constant: 49.996_180_154_0,
        waves: &[
            ([3.971_054_728_4, -1.022_360_195_6], 0.022),
            ([0.798_611_618_4, 0.000_815_193_8], 0.014),
            ([-0.032_281_684_1, 2.016_443_433_7], 0.051),
        ],
        log_likelihood: 35.471_322_395_3,
    };
    let of_walk = Golden {
        order: [0, 1, 0],
        coefficients: &[],
        constant: 0.053_343_479_3,
        waves: &[([2.969_700_851_9, 0.047_171_459_1], 0.044), ([-0.037_426_586_9, -1.001_430_242_3], 0.022)],
        log_likelihood: 20.657_683_845_1,
    };
    let series =
        [(&[6, 42][..], whole, of_whole), (&[6, 42][..], holed, of_holed), (&[12][..], walk(200, 22).0, of_walk)];
    for (seasons, values, golden) in series {
        let DhrParameters { waves, errors } = learned(&Dhr::new(seasons), &values);
        assert_eq!([errors.order.ar, errors.differences, errors.order.ma], golden.order);
        // A search ends within 2e-5 nats of the top: that is 0.006 standard errors, of 0.05 for the autoregression and 0.04
        // for its mean.
        assert!((errors.log_likelihood - golden.log_likelihood).abs() < 1e-4, "{errors:?}");
        assert!((errors.constant.unwrap() - golden.constant).abs() < 4e-4, "{errors:?}");
        for (found, expected) in errors.coefficients.iter().zip(golden.coefficients) {
            assert!((found - expected).abs() < 5e-4, "{found} {expected}");
        }
        assert_eq!(waves.len(), golden.waves.len());
        for (found, (expected, error)) in waves.iter().zip(golden.waves) {
            let apart = (found.sine - expected[0]).abs().max((found.cosine - expected[1]).abs());
            assert!(apart < 0.01 * error, "{found:?} {expected:?}");
        }
    }
}

#[test]
fn perfect_waves_and_lines_are_repeated() {
    for (base, slope) in [(-3.0, 0.0), (1e9, 0.0), (20.0, 0.25), (-1e9, 1.0)] {
        let value = |t: usize| base + slope * t as f64 + truth(t);
        let mut values: Vec<f64> = (0..300).map(value).collect();
        for gap in [None, Some(100..104), Some(297..300)] {
            gap.into_iter().flatten().for_each(|t| values[t] = f64::NAN);
            let mut panel = Panel::new(1_000);
            panel.push("a".into(), 0, &[&values[..], &[1.0]].concat());
            let fitted = Dhr::new(&[6, 42]).learn(&panel.window_until(|_| 300)).unwrap();
            let ahead = fitted.predict(Horizon::new(60).unwrap(), &Quantiles::standard()).unwrap();
            assert_eq!(fitted.status(), [FitStatus::Fitted]);
            for step in 0..60 {
                // A number of 10^9 is known to 10^-7, and a slope from 300 of them to 10^-9 a step.
                let (found, expected) = (ahead.mean(0)[step], value(300 + step));
                assert!((found - expected).abs() < 1e-5, "{base} {slope} {step}: {found} {expected}");
                let width = ahead.quantile(0, 10)[step] - ahead.quantile(0, 0)[step];
                assert!((0.0..1e-4).contains(&width), "{base} {slope} {step}: {width}");
            }
        }
    }
}

#[test]
fn a_gap_costs_little() {
    let whole = waves(400, 5);
    let mut holed = whole.clone();
    for t in (5..400).step_by(31).chain(200..215).chain(396..400) {
        holed[t] = f64::NAN;
    }
    let mut panel = panel_of(std::slice::from_ref(&whole));
    panel.push("gaps".into(), 0, &[&holed[..], &[0.0]].concat());
    let model = Dhr::new(&[6, 42]);
    // The window ends in the gap, where a scrape failed.
    let fitted = model.learn(&panel.window_until(|_| 400)).unwrap();
    let (a, b) = (fitted.parameters(0).unwrap(), fitted.parameters(1).unwrap());
    for (season, turns) in [(6, 1), (6, 2), (42, 1)] {
        let (a, b) = (amplitude(a, season, turns).unwrap(), amplitude(b, season, turns).unwrap());
        // A tenth of the rows is gone: a third of a standard error of 0.04.
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.04), "{season} {turns}: {a:?} {b:?}");
    }
    let ahead = fitted.predict(Horizon::new(4).unwrap(), &Quantiles::standard()).unwrap();
    let (near, far) = (|s: usize| ahead.quantile(s, 10)[0] - ahead.quantile(s, 0)[0], 1);
    assert!(near(far) > 1.1 * near(0), "steps since the last one widen the band: {} {}", near(far), near(0));
}

#[test]
fn offset_scale_and_sign_change_the_unit_alone() {
    let plain = waves(300, 6);
    let shifted: Vec<f64> = plain.iter().map(|v| 1e9 - 3.0 * v).collect();
    let (status, ahead) = forecast(&Dhr::new(&[6, 42]), &[plain, shifted], 12);
    assert_eq!(status, [FitStatus::Fitted, FitStatus::Fitted]);
    for step in 0..12 {
        let expected = 1e9 - 3.0 * ahead.mean(0)[step];
        // A value near 1e9 is known to 1e-7, and a search ends within about 1e-3 of a standard error.
        assert!((ahead.mean(1)[step] - expected).abs() < 1e-2, "{step}: {} {expected}", ahead.mean(1)[step]);
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let huge: Vec<f64> = (0..60).map(|t| if t % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let one_place: Vec<f64> = (0..240).map(|t| if t % 12 == 0 { (t % 5) as f64 } else { f64::NAN }).collect();
    let series = [vec![7.0; 40], vec![1.0, 2.0, 1.5], huge, vec![f64::NAN; 3], waves(20, 7), one_place, waves(60, 7)];
    let model = Dhr::new(&[12]);
    let (status, ahead) = forecast(&model, &series, 3);
    assert_eq!(status[0], FitStatus::Constant);
    assert_eq!((ahead.mean(0), ahead.quantile(0, 0)), (&[7.0; 3][..], &[7.0; 3][..]));
    assert_eq!(status[1], FitStatus::TooShort { observed: 3, needed: 24 });
    assert_eq!((&status[2], &status[3]), (&FitStatus::NotConverged, &FitStatus::NoData));
    assert_eq!(status[4], FitStatus::TooShort { observed: 20, needed: 24 }, "a season that it does not hold twice");
    assert_eq!(status[5], FitStatus::NotConverged, "one place of the season tells of no wave");
    assert_eq!(status[6], FitStatus::Fitted);
    assert!((1..6).all(|s| ahead.mean(s).iter().all(|v| v.is_nan())));
}

#[test]
fn a_series_depends_on_itself_alone() {
    let mut holed = waves(300, 40);
    holed[17..30].fill(f64::NAN);
    let broken = vec![f64::NAN, 1e30, -1e300, 3.0];
    let series: Vec<_> = (0..80).map(|s| waves(300 + s % 3, s)).chain([holed, broken]).collect();
    let together = forecast(&Dhr::new(&[6, 42]), &series, 5).1;
    for s in [0, 7, 64, 80] {
        let alone = forecast(&Dhr::new(&[6, 42]), &series[s..=s], 5).1;
        assert_eq!((alone.mean(0), alone.quantile(0, 2)), (together.mean(s), together.quantile(s, 2)), "{s}");
    }
}

#[test]
fn odd_numbers_bring_no_nan_and_stay_bounded() {
    let spiked = |at: usize, height: f64| {
        let mut values = waves(200, 8);
        values[at] = height;
        values
    };
    let draw = noise(9);
    let growing: Vec<f64> = (0..200).map(|t| 1.1_f64.powi(t)).collect();
    let wild: Vec<f64> = (0..200).map(|t| if t % 3 == 0 { -1e12 } else { 1e-12 * f64::from(t) }).collect();
    let step: Vec<f64> = (0..90).map(|t| if t < 89 { 3.0 } else { 4.0 }).collect();
    let sparse: Vec<f64> = (0..200).map(|t| if t % 9 == 0 { f64::from(t % 5) } else { f64::NAN }).collect();
    let nights: Vec<f64> =
        waves(240, 10).iter().enumerate().map(|(t, v)| if t % 42 < 14 { f64::NAN } else { *v }).collect();
    let overdifferenced: Vec<f64> = (0..150).map(|t| draw(t + 1) - draw(t)).collect();
    let series = [
        spiked(20, 1e30),
        spiked(199, 1e30),
        spiked(0, -1e30),
        spiked(90, 0.0),
        waves(200, 8).iter().map(|v| -v).collect(),
        waves(200, 8).iter().map(|v| 1e9 + v).collect(),
        waves(200, 8).iter().map(|v| 1e-200 * v).collect(),
        growing,
        wild,
        step,
        sparse,
        nights,
        overdifferenced,
        (0..150).map(|t| f64::from(t * t)).collect(),
        (0..150).map(|t| 1e9 + 0.1 * f64::from(t)).collect(),
    ];
    for seasons in [&[6, 42][..], &[6], &[2, 3], &[2, 7, 30], &[7, 500]] {
        let model = Dhr::new(seasons);
        let (status, ahead) = forecast(&model, &series, 400);
        for s in 0..series.len() {
            assert_eq!(status[s].is_usable(), ahead.is_finite(s), "{seasons:?} {s}: {:?}", status[s]);
            let (low, high) = series[s].iter().fold((f64::MAX, f64::MIN), |(l, h), v| (v.min(l), v.max(h)));
            let (range, of_mean) = (high - low, ahead.mean(s).iter().filter(|v| !v.is_nan()));
            let bounded = of_mean.into_iter().all(|v| (low - 10.001 * range..=high + 10.001 * range).contains(v));
            assert!(bounded, "{seasons:?} {s}: {:?}", ahead.mean(s));
            // A deviation of at most 21 ranges to either side of the mean.
            let width = |step: usize| ahead.quantile(s, 10)[step] - ahead.quantile(s, 0)[step];
            let within = |step: usize| width(step).is_nan() || width(step) <= 2.0 * 1.97 * 21.001 * range;
            assert!((0..400).all(within), "{seasons:?} {s}");
        }
        let usable = status.iter().filter(|status| status.is_usable()).count();
        assert!(usable + 2 >= series.len(), "{seasons:?}: {status:?}");
    }
}
