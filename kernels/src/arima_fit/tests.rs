use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::gpu::transfer::carried;
use crate::{Device, Rows, check, device, reference};

mod devices;

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

/// The likelihood of one series on a device.
fn likelihood_on(
    device: &Device,
    series: &ArimaSeries<'_>,
    order: ArmaOrder,
    coefficients: &[f64],
    constant: bool,
) -> ArimaLikelihood {
    let ArimaSeries { values, differences, seasonal_differences, season } = *series;
    let y = Rows::new(1, values.len(), values.to_vec()).unwrap().to_device(device).unwrap();
    let differencing = Differencing { differences, seasonal_differences, season };
    arima_likelihood(&y, differencing, order, coefficients, constant).unwrap().remove(0)
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
                    let expected = reference::arima_fit::arima_likelihood(&series, order, &coefficients, constant);
                    for device in check::in_both_precisions() {
                        let found = likelihood_on(&device, &series, order, &coefficients, constant);
                        let what = format!("{order:?} {differences} {seasonal_differences} {constant} on {device}");
                        assert_is_reference(&found, &series, expected, &device, &what);
                    }
                }
            }
        }
    }
}

#[track_caller]
fn assert_is_reference(
    found: &ArimaLikelihood,
    series: &ArimaSeries<'_>,
    (squares, logs, best): (f64, f64, f64),
    device: &Device,
    what: &str,
) {
    let gapped = series.values.iter().any(|v| v.is_nan());
    if gapped && series.lost_steps() > 0 && !device.has_f64() {
        assert!(found.squares.is_nan(), "{what}: a diffuse start has no room in an f32");
        return;
    }
    let observed = series.values.iter().filter(|v| !v.is_nan()).count() - series.lost_steps();
    assert_eq!(found.observed, observed, "{what}");
    // A filter's start has a variance of 1e8 where it should have no bound: that moves a sum by a few parts in 1e8
    // times the square of what the start is. Without gaps there is no filter, and the reference's contrasts of two
    // differences cost it some digits. An `f32` loses half of its digits to a root near the unit circle.
    let share = if device.has_f64() { if gapped { 1e-5 } else { 1e-6 } } else { 1e-3 };
    let close = |a: f64, b: f64| (a - b).abs() < share * (1.0 + b.abs());
    assert!(close(found.squares, squares), "{what}: {} {squares}", found.squares);
    assert!(close(found.constant.unwrap_or(0.0), best), "{what}: {:?} {best}", found.constant);
    if !gapped || series.lost_steps() == 0 {
        assert!(close(found.logs, logs), "{what}: {} {logs}", found.logs);
    }
}

#[test]
fn a_device_finds_the_state_that_the_cpu_does() {
    // Series that begin late, with a gap, with none, with nothing at all, with hardly a step; of each a model of its own.
    let rows: Vec<Vec<f64>> = (0..7)
        .map(|s| {
            let mut own = values(60, if s % 2 == 1 { 0.1 } else { 0.0 }, 20 + s as u64);
            let late = [0, 5, 9, 1, 60, 57, 0][s];
            own[..late].fill(f64::NAN);
            own
        })
        .collect();
    let y = Rows::new(7, 60, rows.concat()).unwrap();
    for (order, coefficients) in models().into_iter().filter(|(order, _)| order.season > 1) {
        let coefficients: Vec<f64> =
            (0..7).flat_map(|s| coefficients.iter().map(move |c| c * 0.15 * s as f64)).collect();
        for (differences, seasonal_differences) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let differencing = Differencing { differences, seasonal_differences, season: order.season };
            let on = |device: &Device| {
                arima_likelihood(&y.to_device(device).unwrap(), differencing, order, &coefficients, true).unwrap()
            };
            let expected = on(&Device::Cpu);
            for device in check::in_both_precisions() {
                for (s, (found, expected)) in on(&device).iter().zip(&expected).enumerate() {
                    let gapped = rows[s].iter().skip_while(|v| v.is_nan()).any(|v| v.is_nan());
                    if gapped && differences + seasonal_differences > 0 && !device.has_f64() {
                        continue;
                    }
                    let what = format!("series {s} of {order:?} {differences} {seasonal_differences} on {device}");
                    assert_eq!(found.observed, expected.observed, "{what}");
                    // As above; a step that a diffuse start alone tells of is known to a part in 1e8 times some
                    // hundreds.
                    let share = if device.has_f64() { 1e-5 } else { 1e-3 };
                    let close = |a: f64, b: f64| (a - b).abs() < share * (1.0 + b.abs());
                    assert!(close(found.squares, expected.squares), "{what}: {found:?} {expected:?}");
                    assert!(close(found.logs, expected.logs), "{what}: {found:?} {expected:?}");
                    assert_eq!(found.tail.len(), expected.tail.len(), "{what}");
                    let ours = found.state.iter().chain(&found.tail).chain(&found.constant);
                    let theirs = expected.state.iter().chain(&expected.tail).chain(&expected.constant);
                    assert!(ours.zip(theirs).all(|(a, b)| close(*a, *b)), "{what}: {found:?} {expected:?}");
                }
            }
        }
    }
}

#[test]
fn more_series_than_a_device_has_room_for_follow_each_other() {
    // Some forty megabytes of covariances; every fiftieth series has gaps.
    let rows: Vec<Vec<f64>> = (0..600).map(|s| values(60, if s % 50 == 7 { 0.1 } else { 0.0 }, s)).collect();
    let y = Rows::new(600, 60, rows.concat()).unwrap();
    let order = order(0, 1, 0, 1, 24);
    let coefficients: Vec<f64> = (0..600).flat_map(|s| [0.9 - 0.002 * f64::from(s), -0.5]).collect();
    let differencing = Differencing { differences: 1, seasonal_differences: 1, season: 24 };
    let on = |device: &Device| {
        arima_likelihood(&y.to_device(device).unwrap(), differencing, order, &coefficients, false).unwrap()
    };
    let expected = on(&Device::Cpu);
    for device in crate::device::present() {
        let found = on(&device);
        assert_eq!(found.len(), 600);
        for (s, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let close = |a: f64, b: f64| (a - b).abs() < 1e-5 * (1.0 + b.abs());
            if device.has_f64() {
                assert!(close(found.squares, expected.squares), "{s} on {device}: {found:?} {expected:?}");
                assert!(close(found.logs, expected.logs), "{s} on {device}: {found:?} {expected:?}");
            }
        }
    }
}

#[test]
fn a_likelihood_comes_down_once() {
    let rows: Vec<f64> = (0..30).flat_map(|s| values(50, 0.1, s)).collect();
    for device in crate::device::present() {
        let y = Rows::new(30, 50, rows.clone()).unwrap().to_device(&device).unwrap();
        let differencing = Differencing { differences: 1, seasonal_differences: 0, season: 4 };
        let coefficients = [0.5, 0.6].repeat(30);
        let (_, down, _) =
            carried(|| arima_likelihood(&y, differencing, order(1, 1, 0, 0, 4), &coefficients, true).unwrap());
        // Three counters, six sums, two numbers of the unit and two states of three elements a series.
        let on_gpu = usize::from(device.kind() != "cpu");
        let float = if device.has_f64() { 8 } else { 4 };
        assert_eq!(down, on_gpu * 30 * (3 * 4 + (6 + 2 + 6) * float), "bytes down from {device}");
    }
}

#[test]
fn coefficients_of_the_wrong_number_are_refused() {
    let y = Batch::Cpu(Rows::new(2, 30, vec![0.0; 60]).unwrap());
    let differencing = Differencing { differences: 0, seasonal_differences: 0, season: 1 };
    let found = arima_likelihood(&y, differencing, order(1, 0, 0, 0, 1), &[0.5], false);
    assert!(matches!(found, Err(KernelError::Shape { .. })));
}

#[test]
fn gaps_shift_the_logarithms_by_what_no_coefficient_moves() {
    let values = values(60, 0.2, 5);
    let series = ArimaSeries { values: &values, differences: 1, seasonal_differences: 1, season: 4 };
    let order = order(1, 1, 0, 1, 4);
    let both = |coefficients: &[f64]| {
        let (_, logs, _) = reference::arima_fit::arima_likelihood(&series, order, coefficients, false);
        (likelihood_on(&Device::Cpu, &series, order, coefficients, false).logs, logs)
    };
    let (a, b) = (both(&[0.3, 0.4, -0.5]), both(&[-0.5, 0.2, 0.6]));
    assert!(((a.0 - b.0) - (a.1 - b.1)).abs() < 1e-4, "{a:?} {b:?}");
}

/// One series on a device, and how it is made stationary.
fn alone(device: &Device, series: &ArimaSeries<'_>) -> (Batch, Differencing) {
    let ArimaSeries { values, differences, seasonal_differences, season } = *series;
    let y = Rows::new(1, values.len(), values.to_vec()).unwrap().to_device(device).unwrap();
    (y, Differencing { differences, seasonal_differences, season })
}

fn screen_on(device: &Device, series: &ArimaSeries<'_>, orders: &[ArmaOrder], keep: usize) -> Vec<ArimaCandidate> {
    let (y, differencing) = alone(device, series);
    arima_screen(&y, differencing, orders, 0.0, keep).unwrap().remove(0)
}

fn fit_on(device: &Device, series: &ArimaSeries<'_>, candidate: &ArimaCandidate) -> ArimaFit {
    let (y, differencing) = alone(device, series);
    arima_fit(&y, differencing, &[(0, candidate)], ArimaEffort::Full).unwrap().remove(0)
}

fn fit(values: &[f64], order: ArmaOrder, differences: usize, seasonal_differences: usize) -> ArimaFit {
    let series = ArimaSeries { values, differences, seasonal_differences, season: order.season };
    let screened = screen_on(&Device::Cpu, &series, &[order], usize::MAX);
    let constant = series.may_have_constant();
    let candidate = screened.into_iter().find(|c| c.order == order && c.constant == constant).unwrap();
    fit_on(&Device::Cpu, &series, &candidate)
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
        let kept = screen_on(&Device::Cpu, &series, &small_orders(), 4);
        let finals = kept.iter().map(|candidate| fit_on(&Device::Cpu, &series, candidate).aicc);
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
                    let there = likelihood_on(&Device::Cpu, &series, order, &moved, fit.constant.is_some());
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
    let screened = screen_on(&Device::Cpu, &series, &orders, 4);
    let truth = screened.iter().position(|c| (c.order.ar, c.order.ma) == (2, 1) && c.constant);
    assert!(truth.is_some(), "{screened:?}");
    let fit = fit_on(&Device::Cpu, &series, &screened[truth.unwrap()]);
    // Standard errors of 800 steps are about 0.04.
    for (found, truth) in fit.coefficients.iter().zip([1.3, -0.6, 0.8]) {
        assert!((found - truth).abs() < 0.12, "{:?}", fit.coefficients);
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    let mut rows: Vec<Vec<f64>> = (0..11).map(|s| values(90, if s % 3 == 2 { 0.1 } else { 0.0 }, s as u64)).collect();
    // Of several lengths.
    rows.iter_mut().enumerate().for_each(|(s, row)| row[..30 - 3 * s].fill(f64::NAN));
    let y = Batch::Cpu(Rows::new(11, 90, rows.concat()).unwrap());
    let orders = [order(2, 1, 1, 0, 4), order(0, 2, 0, 1, 4)];
    let differencing = Differencing { differences: 1, seasonal_differences: 0, season: 4 };
    let together = arima_screen(&y, differencing, &orders, 0.0, 5).unwrap();
    for (s, together) in together.iter().enumerate() {
        let own = ArimaSeries { values: &rows[s][30 - 3 * s..], differences: 1, seasonal_differences: 0, season: 4 };
        assert_eq!(screen_on(&Device::Cpu, &own, &orders, 5), *together);
    }
}
