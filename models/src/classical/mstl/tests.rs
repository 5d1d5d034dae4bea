use super::*;
use crate::check::{forecast, panel_of};

/// A short season and a long one, which add up.
fn truth(t: usize) -> f64 {
    [3.0, -1.0, 0.5, -2.5][t % 4] + 4.0 * (std::f64::consts::TAU * t as f64 / 20.0).cos()
}

/// The seasons on a level, with a disturbance that never repeats.
fn wave(steps: usize) -> Vec<f64> {
    (0..steps).map(|t| 10.0 + truth(t) + 0.1 * ((t * t) as f64 * 0.7).sin()).collect()
}

#[test]
fn seasons_are_named_in_their_order() {
    assert_eq!(Mstl::new(&[168, 24, 168]).name(), "mstl24_168");
    assert_eq!(Mstl::new(&[7]).name(), "mstl7");
}

#[test]
fn both_seasons_go_on() {
    let (status, ahead) = forecast(&Mstl::new(&[4, 20]), &[wave(200)], 40);
    assert_eq!(status, [FitStatus::Fitted]);
    for (step, mean) in ahead.mean(0).iter().enumerate() {
        // The disturbance is at most 0.1, and each of the two last cycles is a mean over ten and more.
        assert!((mean - 10.0 - truth(200 + step)).abs() < 0.2, "{step}: {mean}");
    }
    let (lower, upper) = (ahead.quantile(0, 0), ahead.quantile(0, 10));
    assert!(lower.iter().zip(upper).all(|(lower, upper)| lower < upper && upper - lower < 1.0), "{lower:?} {upper:?}");
}

#[test]
fn gaps_leave_the_seasons_in_their_places() {
    let mut values = wave(203);
    for t in (0..203).filter(|t| (60..85).contains(t) || t % 9 == 5 || *t > 199) {
        values[t] = f64::NAN;
    }
    let whole = panel_of(&[wave(203), values]);
    let (mut panel, model) = (Panel::new(1_000), Mstl::new(&[4, 20]));
    // A window that ends unobserved: three steps of the panel's longer series are hidden.
    panel.push("a".into(), 0, &[whole.values(1), &[f64::NAN; 3], &[1.0]].concat());
    let fitted = model.fit(&panel.window_until(|_| 203), 0).unwrap();
    assert_eq!(fitted.status(), [FitStatus::Fitted]);
    let ahead = fitted.predict(Horizon::new(24).unwrap(), &Quantiles::standard()).unwrap();
    for (step, mean) in ahead.mean(0).iter().enumerate() {
        assert!((mean - 10.0 - truth(203 + step)).abs() < 0.3, "{step}: {mean}");
    }
}

#[test]
fn a_season_too_long_for_a_series_is_left_out() {
    let model = Mstl::new(&[4, 20]);
    let panel = panel_of(&[wave(40), wave(41), wave(8)]);
    let fitted = model.learn(&panel.window()).unwrap();
    let lengths = |s: usize| -> Vec<usize> { fitted.cycles(s).unwrap().iter().map(Vec::len).collect() };
    assert_eq!(fitted.status()[..2], [FitStatus::Fitted, FitStatus::Fitted]);
    assert_eq!((lengths(0), lengths(1)), (vec![4], vec![4, 20]));
    assert_eq!(fitted.status()[2], FitStatus::TooShort { observed: 8, needed: 9 });
    assert!(fitted.cycles(2).is_none());
}

#[test]
fn offset_scale_and_sign_change_the_unit_alone() {
    let plain = wave(100);
    let shifted: Vec<f64> = plain.iter().map(|v| 1e9 - 3.0 * v).collect();
    let (status, ahead) = forecast(&Mstl::new(&[4, 20]), &[plain, shifted], 24);
    assert_eq!(status, [FitStatus::Fitted, FitStatus::Fitted]);
    for step in 0..24 {
        let expected = 1e9 - 3.0 * ahead.mean(0)[step];
        // A value near 1e9 is known to 1e-7; the fit is no finer than that.
        assert!((ahead.mean(1)[step] - expected).abs() < 1e-3, "{step}: {} {expected}", ahead.mean(1)[step]);
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let hole: Vec<f64> = (0..60).map(|t| if t % 4 == 2 { f64::NAN } else { f64::from(t as u8 % 7) }).collect();
    let huge: Vec<f64> = (0..60).map(|t| if t % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let series = [vec![7.0; 40], vec![1.0, 2.0, 1.5], hole, huge, vec![f64::NAN; 3], wave(60), vec![5.0]];
    let (status, ahead) = forecast(&Mstl::new(&[4, 20]), &series, 3);
    assert_eq!(status[0], FitStatus::Constant);
    assert_eq!((ahead.mean(0), ahead.quantile(0, 0)), (&[7.0; 3][..], &[7.0; 3][..]));
    assert_eq!(status[1], FitStatus::TooShort { observed: 3, needed: 9 });
    assert_eq!(status[2], FitStatus::TooShort { observed: 45, needed: 9 }, "a slot was never seen");
    assert_eq!((&status[3], &status[4]), (&FitStatus::NotConverged, &FitStatus::NoData));
    assert_eq!(status[6], FitStatus::Constant);
    assert!((1..5).all(|s| ahead.mean(s).iter().all(|v| v.is_nan())));
    assert!([0, 5, 6].iter().all(|&s| ahead.is_finite(s)));
    // One among others is what it is alone, to the bit.
    let alone = forecast(&Mstl::new(&[4, 20]), &series[5..6], 3).1;
    assert_eq!(alone.mean(0), ahead.mean(5));
    assert_eq!(alone.quantile(0, 3), ahead.quantile(5, 3));
}

#[test]
fn a_neighbour_with_gaps_or_another_length_changes_nothing() {
    let mut gappy = wave(100);
    gappy[50] = f64::NAN;
    let series: Vec<_> = (0..20).map(|s| if s % 3 == 1 { gappy.clone() } else { wave(100 + s % 2) }).collect();
    let together = forecast(&Mstl::new(&[4, 20]), &series, 8).1;
    for s in [0, 1, 2, 19] {
        let alone = forecast(&Mstl::new(&[4, 20]), &series[s..=s], 8).1;
        assert_eq!((alone.mean(0), alone.quantile(0, 2)), (together.mean(s), together.quantile(s, 2)), "series {s}");
    }
}

#[test]
fn one_gap_moves_a_forecast_little() {
    let mut gappy = wave(100);
    gappy[50] = f64::NAN;
    let ahead = forecast(&Mstl::new(&[4, 20]), &[wave(100), gappy], 24).1;
    for (whole, holed) in ahead.mean(0).iter().zip(ahead.mean(1)) {
        assert!((whole - holed).abs() < 0.02, "{whole} {holed}"); // one value of disturbance 0.1 in some ten
    }
}

#[test]
fn perfect_seasons_are_repeated_and_a_spike_stays_finite() {
    let perfect: Vec<f64> = (0..100).map(truth).collect();
    let mut spike = wave(100);
    spike[33] = 1e30;
    let (status, ahead) = forecast(&Mstl::new(&[4, 20]), &[perfect, spike], 20);
    assert_eq!(status[0], FitStatus::Fitted);
    for (step, mean) in ahead.mean(0).iter().enumerate() {
        // The two seasons share a part that either may hold; what their sum misses dies out slowly.
        assert!((mean - truth(100 + step)).abs() < 0.05, "{step}: {mean}");
    }
    let bounded = ahead.mean(1).iter().all(|v| v.abs() < 1e31) && ahead.is_finite(1);
    assert!(bounded || !status[1].is_usable(), "{:?}", ahead.mean(1));
}
