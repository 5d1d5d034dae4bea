use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::Panel;

fn fitted(values: &[f64], season: usize) -> Box<dyn Fitted> {
    let mut panel = Panel::new(1_000);
    panel.push("series".into(), 0, values);
    SeasonalAr { season }.fit(&panel.window(), 0).unwrap()
}

fn fit(values: &[f64], season: usize, steps: usize) -> (FitStatus, Vec<f64>) {
    let fitted = fitted(values, season);
    let forecast = fitted.predict(Horizon::new(steps).unwrap(), &Quantiles::standard()).unwrap();
    (fitted.status()[0].clone(), forecast.mean(0).to_vec())
}

/// Even noise in ±1, the same in every run.
fn noise(seed: u64) -> impl Iterator<Item = f64> {
    let mut draw = ChaCha8Rng::seed_from_u64(seed);
    std::iter::repeat_with(move || draw.random_range(-1.0..1.0))
}

/// A difference that keeps `lasting` of itself a step, drawn anew beside it.
fn differences(count: usize, lasting: f64, seen_noise: f64) -> Vec<f64> {
    let mut off = 0.0;
    let next = |(moved, seen): (f64, f64)| {
        off = lasting * off + moved;
        off + seen_noise * seen
    };
    noise(1).zip(noise(2)).take(count).map(next).collect()
}

#[test]
fn what_lasts_of_a_difference_is_found_under_noise() {
    for (lasting, seen_noise) in [(0.9, 0.0), (0.9, 2.0), (0.97, 4.0)] {
        let own = Carry::of(&differences(200_000, lasting, seen_noise), 1).unwrap();
        assert!((own.lasting - lasting).abs() < 0.01, "{} for {lasting}", own.lasting);
        // The steady state of a local level with a variance ratio of q: Harvey, 3.3, solved by iteration.
        let (moved, noisy) = (1.0 / 3.0, seen_noise * seen_noise / 3.0);
        let before = (0..10_000).fold(1.0, |p: f64, _| lasting * lasting * (p - p * p / (p + noisy)) + moved);
        let gain = before / (before + noisy);
        // Where there is no noise, a hundredth of the autocovariances taken for it costs a tenth of the gain.
        let room = if seen_noise == 0.0 { 0.2 } else { 0.05 };
        assert!((own.gain - gain).abs() < room, "{} for {gain}", own.gain);
        assert!((own.variance - (moved / (1.0 - lasting * lasting) + noisy)).abs() < 0.05 * own.variance);
    }
    let white = Carry::of(&differences(200_000, 0.0, 1.0), 4).unwrap();
    assert!(white.gain < 0.1, "nothing lasts of noise: {}", white.gain);
}

#[test]
fn a_day_that_runs_high_is_carried_on_and_fades() {
    // A wave of 24 whose distance from yesterday lasts for hours.
    let off = differences(24 * 60, 0.9, 0.0);
    let mut values: Vec<f64> =
        (0..24).map(|t| 100.0 + 10.0 * (t as f64 / 24.0 * std::f64::consts::TAU).sin()).collect();
    off.iter().enumerate().for_each(|(t, off)| values.push(values[t] + off));
    let (status, mean) = fit(&values, 24, 48);
    assert_eq!(status, FitStatus::Fitted);
    let yesterday = &values[values.len() - 24..];
    let carried: Vec<f64> = mean.iter().zip(yesterday).map(|(mean, before)| mean - before).collect();
    let last = off.last().unwrap();
    assert!((0.6..1.0).contains(&(carried[0] / last)), "{} after {last}", carried[0]);
    assert!(carried.windows(2).all(|pair| pair[1].abs() < pair[0].abs()) && carried[23].abs() < 0.2 * carried[0].abs());
    // A second day adds its own distance to the first.
    assert!((mean[24] - mean[0]).abs() < carried[23].abs());
}

#[test]
fn a_perfect_season_is_repeated_with_no_doubt_at_all() {
    let values: Vec<f64> = (0..40).map(|t| 1e9 + f64::from(t % 4)).collect();
    let fitted = fitted(&values, 4);
    let forecast = fitted.predict(Horizon::new(6).unwrap(), &Quantiles::standard()).unwrap();
    assert_eq!(forecast.mean(0), [1e9, 1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0, 1e9, 1e9 + 1.0]);
    assert_eq!(forecast.quantile(0, 0), forecast.mean(0));
}

#[test]
fn one_spike_moves_nothing_but_its_own_place() {
    let mut values: Vec<f64> =
        noise(3).take(240).enumerate().map(|(t, noise)| [3.0, 5.0, 9.0, 4.0][t % 4] + 0.1 * noise).collect();
    values[101] = 1e30;
    let (status, mean) = fit(&values, 4, 8);
    assert_eq!(status, FitStatus::Fitted);
    assert!(mean.iter().all(|v| (0.0..20.0).contains(v)), "{mean:?}");
    *values.last_mut().unwrap() = 1e30;
    let (_, mean) = fit(&values, 4, 3);
    assert!(mean.iter().all(|v| (0.0..20.0).contains(v)), "the newest value is a spike: {mean:?}");
}

#[test]
fn what_cannot_be_fitted_says_why() {
    assert_eq!(fit(&[], 4, 1).0, FitStatus::NoData);
    assert_eq!(fit(&[1.0, 2.0, 3.0, 5.0, 2.0], 4, 1).0, FitStatus::TooShort { observed: 5, needed: 8 });
    assert_eq!(fit(&[7.0; 9], 3, 2), (FitStatus::Constant, vec![7.0; 2]));
    let bare_place: Vec<f64> = (0..12).map(|t| if t % 4 == 1 { f64::NAN } else { f64::from(t) }).collect();
    assert_eq!(fit(&bare_place, 4, 1).0, FitStatus::TooShort { observed: 9, needed: 8 });
    let wild: Vec<f64> = (0..12).map(|t| [1e300, 1e300, -1e300, -1e300][t % 4]).collect();
    let (status, mean) = fit(&wild, 2, 2);
    assert!(status == FitStatus::NotConverged && mean.iter().all(|v| v.is_nan()), "its squares overflow");
    assert_eq!(fit(&[1.0, f64::INFINITY, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0], 3, 1).0, FitStatus::NotConverged);
}

#[test]
fn bounds_widen_with_what_is_no_longer_known() {
    let off = differences(24 * 60, 0.9, 1.0);
    let mut values: Vec<f64> = vec![0.0; 24];
    off.iter().enumerate().for_each(|(t, off)| values.push(values[t] + off));
    let Learned { carry, .. } = learn(&values, 24).1.unwrap();
    let (_, spread) = learn(&values, 24).1.unwrap().ahead(60);
    assert!(spread[0] > 0.0 && spread.windows(2).all(|pair| pair[1] >= pair[0] - 1e-12), "{spread:?}");
    assert!((spread[23].powi(2) - carry.variance).abs() < 0.05 * carry.variance);
    assert!((spread[47].powi(2) - 2.0 * carry.variance).abs() < 0.1 * carry.variance);
}
