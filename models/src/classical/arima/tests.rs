use super::*;
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

/// A season of four that wanders, on noise that remembers.
fn wave(steps: usize, seed: usize) -> Vec<f64> {
    let draw = noise(seed);
    let mut before = 0.0;
    let mut value = |t: usize| {
        before = 0.6 * before + 0.3 * draw(t);
        10.0 + [3.0, -1.0, 0.5, -2.5][t % 4] + before
    };
    (0..steps).map(&mut value).collect()
}

#[test]
fn each_model_has_its_name() {
    let models = [Arima::auto(1), Arima::auto(24), Arima::fixed(2, 1, 1), Arima::seasonal([1, 0, 1], [0, 1, 1], 24)];
    let names: Vec<_> = models.iter().map(Model::name).collect();
    assert_eq!(names, ["autoarima", "sarima24", "arima_2_1_1", "sarima_1_0_1_0_1_1_24"]);
}

#[test]
fn a_season_goes_on_and_its_band_holds() {
    let whole = wave(208, 1);
    let (status, ahead) = forecast(&Arima::auto(4), &[whole[..200].to_vec()], 8);
    assert_eq!(status, [FitStatus::Fitted]);
    for step in 0..8 {
        let truth = whole[200 + step];
        // The noise's standard deviation is 0.21, and it is remembered for a few steps.
        assert!((ahead.mean(0)[step] - truth).abs() < 1.2, "{step}: {} {truth}", ahead.mean(0)[step]);
        let (low, high) = (ahead.quantile(0, 0)[step], ahead.quantile(0, 10)[step]);
        // One step in twenty lies outside, by no more than the noise.
        assert!(low - 0.21 < truth && truth < high + 0.21 && high - low < 3.0, "{step}: {low} {truth} {high}");
    }
}

#[test]
fn a_season_that_hardly_changes_goes_on_without_being_named() {
    let draw = noise(11);
    let turn = |t: usize, steps: f64| (t as f64 * std::f64::consts::TAU / steps).sin();
    let truth = |t: usize| 10.0 + 3.0 * turn(t, 24.0) + turn(t, 12.0);
    let seen: Vec<f64> = (0..480).map(|t| truth(t) + 0.5 * draw(t)).collect();
    let (status, ahead) = forecast(&Arima::auto(1), &[seen], 72);
    assert_eq!(status, [FitStatus::Fitted]);
    for step in 0..72 {
        // Twenty days of noise, its deviation 0.35, tell the waves to 0.03; a model that forgets is off by up to 3.
        let off = ahead.mean(0)[step] - truth(480 + step);
        assert!(off.abs() < 0.5, "{step}: {off}");
    }
}

#[test]
fn a_slope_goes_on() {
    let draw = noise(2);
    let mut level = 5.0;
    let walk: Vec<f64> = (0..300)
        .map(|t| {
            level += 0.5 + 0.2 * draw(t);
            level
        })
        .collect();
    let panel = panel_of(std::slice::from_ref(&walk));
    let fitted = Arima::auto(1).learn(&panel.window());
    let parameters = fitted.parameters(0).unwrap();
    assert_eq!((parameters.differences, parameters.seasonal_differences), (1, 0));
    assert!((parameters.constant.unwrap() - 0.5).abs() < 0.05, "{parameters:?}");
    let ahead = fitted.predict(Horizon::new(10).unwrap(), &Quantiles::standard()).unwrap();
    assert!((ahead.mean(0)[9] - walk[299] - 5.0).abs() < 1.0, "{} {}", ahead.mean(0)[9], walk[299]);
}

#[test]
fn a_gap_costs_little() {
    let whole = wave(200, 3);
    let mut holed = whole.clone();
    for t in [5, 40, 41, 42, 43, 44, 90, 133, 198, 199] {
        holed[t] = f64::NAN;
    }
    let model = Arima::seasonal([1, 0, 0], [0, 1, 1], 4);
    let mut panel = panel_of(std::slice::from_ref(&whole));
    panel.push("gaps".into(), 0, &[&holed[..], &[0.0]].concat());
    // The window ends in the gap, where a scrape failed.
    let fitted = model.learn(&panel.window_until(|s| if s == 0 { 198 } else { 200 }));
    let (a, b) = (fitted.parameters(0).unwrap(), fitted.parameters(1).unwrap());
    for (a, b) in a.coefficients.iter().zip(&b.coefficients) {
        assert!((a - b).abs() < 0.1, "{a} {b}");
    }
    let ahead = fitted.predict(Horizon::new(4).unwrap(), &Quantiles::standard()).unwrap();
    for step in 0..2 {
        let (known, holed) = (ahead.mean(0)[2 + step], ahead.mean(1)[step]);
        assert!((known - holed).abs() < 0.3, "{step}: {known} {holed}");
        let width = |s: usize, step: usize| ahead.quantile(s, 10)[step] - ahead.quantile(s, 0)[step];
        assert!((width(0, 2 + step) / width(1, step) - 1.0).abs() < 0.2, "the gap's steps widen the band");
    }
}

#[test]
fn offset_scale_and_sign_change_the_unit_alone() {
    let plain = wave(120, 4);
    let shifted: Vec<f64> = plain.iter().map(|v| 1e9 - 3.0 * v).collect();
    let (status, ahead) = forecast(&Arima::seasonal([1, 0, 1], [0, 1, 1], 4), &[plain, shifted], 6);
    assert_eq!(status, [FitStatus::Fitted, FitStatus::Fitted]);
    for step in 0..6 {
        let expected = 1e9 - 3.0 * ahead.mean(0)[step];
        // A value near 1e9 is known to 1e-7, and a search ends within about 1e-3 of a standard error.
        assert!((ahead.mean(1)[step] - expected).abs() < 1e-2, "{step}: {} {expected}", ahead.mean(1)[step]);
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let huge: Vec<f64> = (0..60).map(|t| if t % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let series = [vec![7.0; 40], vec![1.0, 2.0, 1.5], huge, vec![f64::NAN; 3], wave(60, 5)];
    for model in [Arima::auto(4), Arima::auto(1), Arima::fixed(1, 0, 1)] {
        let (status, ahead) = forecast(&model, &series, 3);
        assert_eq!(status[0], FitStatus::Constant);
        assert_eq!((ahead.mean(0), ahead.quantile(0, 0)), (&[7.0; 3][..], &[7.0; 3][..]));
        assert!(matches!(status[1], FitStatus::TooShort { observed: 3, .. }), "{:?}", status[1]);
        assert_eq!((&status[2], &status[3]), (&FitStatus::NotConverged, &FitStatus::NoData));
        assert!((1..4).all(|s| ahead.mean(s).iter().all(|v| v.is_nan())));
        // The last one is what it is alone, to the bit.
        let alone = forecast(&model, &series[4..], 3).1;
        assert_eq!(alone.mean(0), ahead.mean(4));
        assert_eq!(alone.quantile(0, 3), ahead.quantile(4, 3));
    }
    let (status, _) = forecast(&Arima::auto(401), &[wave(2_000, 6)], 3);
    assert!(matches!(status[0], FitStatus::TooShort { .. }), "a season too long for the state");
}

#[test]
fn lines_and_perfect_seasons_are_repeated() {
    let line: Vec<f64> = (0..40).map(|t| 2.0 + 0.5 * t as f64).collect();
    let (status, ahead) = forecast(&Arima::auto(1), &[line], 3);
    assert_eq!(status, [FitStatus::Fitted]);
    assert!((ahead.mean(0)[2] - 23.0).abs() < 1e-9, "{:?}", ahead.mean(0));
    let season: Vec<f64> = (0..40).map(|t| [1.0, 5.0, 2.0, 9.0][t % 4]).collect();
    let (status, ahead) = forecast(&Arima::auto(4), &[season], 5);
    assert_eq!(status, [FitStatus::Fitted]);
    for (found, expected) in ahead.mean(0).iter().zip([1.0, 5.0, 2.0, 9.0, 1.0]) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }
}

#[test]
fn one_spike_and_a_near_perfect_wave_stay_bounded() {
    let mut spiked = wave(120, 7);
    spiked[60] = 1e30;
    let sine: Vec<f64> = (0..120).map(|t| (t as f64 * 0.3).sin()).collect();
    let mut walk = vec![0.0];
    (1..120).for_each(|t| walk.push(walk[t - 1] + (t as f64).sqrt()));
    for model in [Arima::auto(4), Arima::auto(1)] {
        let (status, ahead) = forecast(&model, &[spiked.clone(), sine.clone(), walk.clone()], 48);
        for s in (0..3).filter(|&s| status[s].is_usable()) {
            assert!(ahead.is_finite(s), "{s}: {status:?}");
        }
        let within = |s: usize, most: f64| ahead.mean(s).iter().all(|v| v.is_nan() || v.abs() <= most);
        assert!(within(0, 1e31) && within(1, 1.5) && within(2, 3e3), "{:?}", ahead.mean(1));
    }
}

#[test]
fn what_leaves_the_unit_circle_stays_bounded_or_says_why() {
    let draw = noise(8);
    let explosive: Vec<f64> = (0..150).map(|t| 1.08_f64.powi(t)).collect();
    // Noise differenced once too often: its moving average has a root of one.
    let overdifferenced: Vec<f64> = (0..150).map(|t| draw(t + 1) - draw(t)).collect();
    let flips: Vec<f64> = (0..150).map(|t| if t % 2 == 0 { 1.0 } else { -1.0 } + 1e-9 * draw(t)).collect();
    let jump: Vec<f64> = (0..150).map(|t| if t < 149 { 0.0 } else { 1.0 }).collect();
    let line: Vec<f64> = (0..150).map(|t| 1e9 + 0.1 * t as f64).collect();
    let series = [explosive, overdifferenced, flips, jump, line];
    let models = [Arima::auto(1), Arima::auto(6), Arima::fixed(3, 0, 2), Arima::fixed(1, 2, 3)];
    for model in models.into_iter().chain([Arima::seasonal([2, 0, 0], [1, 1, 1], 6)]) {
        let (status, ahead) = forecast(&model, &series, 24);
        for (s, values) in series.iter().enumerate() {
            let name = model.name();
            assert_eq!(status[s].is_usable(), ahead.is_finite(s), "{name} {s}: {:?}", status[s]);
            let most = values.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
            assert!(ahead.mean(s).iter().all(|v| v.is_nan() || v.abs() <= 50.0 * most), "{name} {s}");
        }
    }
}

#[test]
fn a_series_shorter_than_its_season_is_too_short() {
    for model in [Arima::auto(24), Arima::seasonal([1, 0, 1], [0, 1, 1], 24)] {
        let (status, ahead) = forecast(&model, &[wave(20, 9), wave(30, 9)], 3);
        assert!(status.iter().all(|status| matches!(status, FitStatus::TooShort { .. })), "{status:?}");
        assert!(ahead.mean(0)[0].is_nan() && ahead.mean(1)[0].is_nan());
    }
}

#[test]
fn gaps_everywhere_are_bridged_and_a_slot_never_seen_is_not() {
    let whole = wave(200, 10);
    let every_third: Vec<f64> = (0..200).map(|t| if t % 3 == 2 { f64::NAN } else { whole[t] }).collect();
    let no_slot: Vec<f64> = (0..200).map(|t| if t % 4 == 1 { f64::NAN } else { whole[t] }).collect();
    let few: Vec<f64> = (0..200).map(|t| if t % 50 == 0 { whole[t] } else { f64::NAN }).collect();
    let model = Arima::seasonal([1, 0, 0], [0, 1, 1], 4);
    let (status, ahead) = forecast(&model, &[whole, every_third, no_slot, few], 4);
    assert_eq!(status[..3], [FitStatus::Fitted, FitStatus::Fitted, FitStatus::NotConverged]);
    assert!(matches!(status[3], FitStatus::TooShort { observed: 4, .. }), "{:?}", status[3]);
    for step in 0..4 {
        // A slot is known to about the noise's 0.21 however much of it is gone.
        assert!((ahead.mean(0)[step] - ahead.mean(1)[step]).abs() < 0.8, "{step}");
        assert!(ahead.mean(2)[step].is_nan());
    }
}
