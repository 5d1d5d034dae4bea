use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::reference;

fn order(ar: usize, ma: usize, seasonal_ar: usize, seasonal_ma: usize, season: usize) -> ArmaOrder {
    ArmaOrder { ar, seasonal_ar, ma, seasonal_ma, season }
}

/// A wandering season, a share of its steps unobserved.
fn values(steps: usize, gaps: f64, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut level, mut noise) = (0.0, 0.0);
    let mut value = |t: usize| {
        level += rng.random_range(-0.1..0.1);
        noise = 0.6 * noise + rng.random_range(-1.0..1.0);
        let y = level + noise + (t as f64 * std::f64::consts::TAU / 4.0).sin();
        if t > 0 && rng.random_range(0.0..1.0) < gaps { f64::NAN } else { y }
    };
    (0..steps).map(&mut value).collect()
}

/// Orders with stationary and invertible coefficients.
fn models() -> Vec<(ArmaOrder, Vec<f64>)> {
    vec![
        (order(0, 0, 0, 0, 1), vec![]),
        (order(1, 0, 0, 0, 1), vec![0.7]),
        (order(0, 1, 0, 0, 1), vec![-0.95]),
        (order(2, 3, 0, 0, 1), vec![1.2, -0.5, 0.4, -0.3, 0.1]),
        (order(1, 1, 1, 1, 4), vec![0.5, 0.6, -0.3, -0.7]),
        (order(0, 2, 2, 0, 4), vec![0.3, -0.4, 0.2, 0.5]),
        (order(5, 0, 0, 1, 4), vec![0.2, 0.1, -0.3, 0.2, 0.1, 0.5]),
    ]
}

#[test]
fn arima_likelihood_matches_reference() {
    for (gaps, seed) in [(0.0, 1), (0.15, 2)] {
        let values = values(70, gaps, seed);
        for (order, coefficients) in models() {
            for (differences, seasonal_differences) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0)] {
                if order.season == 1 && seasonal_differences > 0 {
                    continue;
                }
                let series = ArimaSeries { values: &values, differences, seasonal_differences, season: order.season };
                for constant in [false, series.may_have_constant()] {
                    let found = arima_likelihood(&series, order, &coefficients, constant);
                    let (squares, logs, best) =
                        reference::arima_fit::arima_likelihood(&series, order, &coefficients, constant);
                    let what = format!("{order:?} {differences} {seasonal_differences} {gaps} {constant}");
                    assert_eq!(
                        found.observed,
                        values.iter().filter(|v| !v.is_nan()).count() - series.lost_steps(),
                        "{what}"
                    );
                    // A filter's start has a variance of 1e8 where it should have no bound: that moves a sum by a
                    // few parts in 1e8 times the square of what the start is. Without gaps there is no filter, and
                    // the reference's contrasts of two differences cost it some digits.
                    let share = if gaps > 0.0 { 1e-5 } else { 1e-6 };
                    let close = |a: f64, b: f64| (a - b).abs() < share * (1.0 + b.abs());
                    assert!(close(found.squares, squares), "{what}: {} {squares}", found.squares);
                    assert!(close(found.constant.unwrap_or(0.0), best), "{what}: {:?} {best}", found.constant);
                    if gaps == 0.0 || series.lost_steps() == 0 {
                        assert!(close(found.logs, logs), "{what}: {} {logs}", found.logs);
                    }
                }
            }
        }
    }
}

#[test]
fn gaps_shift_the_logarithms_by_what_no_coefficient_moves() {
    let values = values(60, 0.2, 5);
    let series = ArimaSeries { values: &values, differences: 1, seasonal_differences: 1, season: 4 };
    let order = order(1, 1, 0, 1, 4);
    let both = |coefficients: &[f64]| {
        let (_, logs, _) = reference::arima_fit::arima_likelihood(&series, order, coefficients, false);
        (arima_likelihood(&series, order, coefficients, false).logs, logs)
    };
    let (a, b) = (both(&[0.3, 0.4, -0.5]), both(&[-0.5, 0.2, 0.6]));
    assert!(((a.0 - b.0) - (a.1 - b.1)).abs() < 1e-4, "{a:?} {b:?}");
}

fn fit(values: &[f64], order: ArmaOrder, differences: usize, seasonal_differences: usize) -> ArimaFit {
    let series = ArimaSeries { values, differences, seasonal_differences, season: order.season };
    let screened = arima_screen(&[series], &[order], 0.0, usize::MAX).remove(0);
    let constant = series.may_have_constant();
    let candidate = screened.into_iter().find(|c| c.order == order && c.constant == constant).unwrap();
    arima_fit(&series, &candidate, ArimaEffort::Full)
}

/// Two models of few coefficients and a season, on a short series.
fn small_orders() -> [ArmaOrder; 4] {
    [order(1, 0, 0, 0, 4), order(0, 1, 0, 0, 4), order(1, 1, 0, 0, 4), order(1, 0, 0, 1, 4)]
}

#[test]
fn arima_fit_matches_reference() {
    for (gaps, seed) in [(0.0, 11), (0.1, 12)] {
        let values = values(40, gaps, seed);
        for order in small_orders() {
            let series = ArimaSeries { values: &values, differences: 0, seasonal_differences: 0, season: order.season };
            let found = fit(&values, order, 0, 0);
            let expected = reference::arima_fit::arima_fit(&series, order, true);
            // A compass that ends at strides of a thousandth is short of the top by their square.
            let gain = found.likelihood.log_likelihood() - expected;
            assert!(gain > -1e-3, "{order:?} {gaps}: {gain}");
        }
    }
}

#[test]
fn arima_screen_matches_reference() {
    for seed in [13, 14] {
        let values = values(40, 0.0, seed);
        let series = ArimaSeries { values: &values, differences: 1, seasonal_differences: 0, season: 4 };
        let all = reference::arima_fit::arima_screen(&series, &small_orders());
        let best = all.iter().map(|(_, _, aicc)| *aicc).fold(f64::INFINITY, f64::min);
        let kept = arima_screen(&[series], &small_orders(), 0.0, 4).remove(0);
        let finals = kept.iter().map(|candidate| arima_fit(&series, candidate, ArimaEffort::Full).aicc);
        let ours = finals.fold(f64::INFINITY, f64::min);
        assert!(ours < best + 1e-2, "{seed}: {ours} {best}");
    }
}

#[test]
fn no_place_nearby_is_likelier() {
    for (gaps, seed) in [(0.0, 3), (0.1, 4)] {
        let values = values(160, gaps, seed);
        for (order, _) in models() {
            let fit = fit(&values, order, 1, 0);
            assert!(fit.converged, "{order:?} {gaps} {fit:?}");
            let series = ArimaSeries { values: &values, differences: 1, seasonal_differences: 0, season: order.season };
            for i in 0..order.coefficients() {
                for step in [-0.02, 0.02] {
                    let mut moved = fit.coefficients.clone();
                    moved[i] += step;
                    let there = arima_likelihood(&series, order, &moved, fit.constant.is_some());
                    if stable(order, &moved) {
                        let gain = there.log_likelihood() - fit.likelihood.log_likelihood();
                        // A search ends where another step promises under 1e-5 nats.
                        assert!(gain < 1e-4, "{order:?} {gaps} {i} {step}: {gain}");
                    }
                }
            }
        }
    }
}

fn stable(order: ArmaOrder, coefficients: &[f64]) -> bool {
    // Its impulse response has died out.
    let gamma = reference::arima_fit::autocovariance(order, coefficients, 2);
    gamma[0].is_finite() && gamma[0] < 1e4
}

#[test]
fn a_screen_finds_the_order_that_made_the_series() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut noise = || (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0;
    let (mut before, mut last) = ([0.0; 2], 0.0);
    let mut value = |_| {
        let e: f64 = noise();
        let y = 1.3 * before[0] - 0.6 * before[1] + e + 0.8 * last;
        (before, last) = ([y, before[0]], e);
        y
    };
    let values: Vec<f64> = (0..800).map(&mut value).collect();
    let orders: Vec<ArmaOrder> = (0..16).map(|i| order(i % 4, i / 4, 0, 0, 1)).collect();
    let series = ArimaSeries { values: &values, differences: 0, seasonal_differences: 0, season: 1 };
    let screened = arima_screen(&[series], &orders, 0.0, 4).remove(0);
    let truth = screened.iter().position(|c| (c.order.ar, c.order.ma) == (2, 1) && !c.constant);
    assert!(truth.is_some(), "{screened:?}");
    let fit = arima_fit(&series, &screened[truth.unwrap()], ArimaEffort::Full);
    // Standard errors of 800 steps are about 0.04.
    for (found, truth) in fit.coefficients.iter().zip([1.3, -0.6, 0.8]) {
        assert!((found - truth).abs() < 0.12, "{:?}", fit.coefficients);
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    let all: Vec<Vec<f64>> =
        (0..11).map(|s| values(60 + 3 * s, if s % 3 == 2 { 0.1 } else { 0.0 }, s as u64)).collect();
    let series = |values: &'static [f64]| ArimaSeries { values, differences: 1, seasonal_differences: 0, season: 4 };
    let all: Vec<&'static [f64]> = all.into_iter().map(|v| &*v.leak()).collect();
    let orders = [order(2, 1, 1, 0, 4), order(0, 2, 0, 1, 4)];
    let together = arima_screen(&all.iter().map(|v| series(v)).collect::<Vec<_>>(), &orders, 0.0, 5);
    for (values, together) in all.iter().zip(together) {
        let alone = arima_screen(&[series(values)], &orders, 0.0, 5).remove(0);
        assert_eq!(alone, together);
    }
}
