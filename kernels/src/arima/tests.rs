use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Device, Lanes, check, reference};

const ORDERS: [ArmaOrder; 6] = [
    ArmaOrder { ar: 0, seasonal_ar: 0, ma: 0, seasonal_ma: 0, season: 1 },
    ArmaOrder { ar: 1, seasonal_ar: 0, ma: 0, seasonal_ma: 0, season: 1 },
    ArmaOrder { ar: 2, seasonal_ar: 0, ma: 3, seasonal_ma: 0, season: 1 },
    ArmaOrder { ar: 0, seasonal_ar: 2, ma: 1, seasonal_ma: 0, season: 4 },
    ArmaOrder { ar: 1, seasonal_ar: 1, ma: 2, seasonal_ma: 2, season: 7 },
    ArmaOrder { ar: 6, seasonal_ar: 0, ma: 6, seasonal_ma: 1, season: 3 },
];

fn series(steps: usize, count: usize) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    // Rounded to what the kernel is given, so that the test sees the recursion alone.
    (0..count).map(|_| (0..steps).map(|_| f64::from(rng.random_range(-1.0_f32..1.0))).collect()).collect()
}

/// Coefficients of stationary and invertible models: each polynomial's sum to less than 0.9.
fn coefficients(order: ArmaOrder, count: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let blocks = order.blocks();
    let one = |rng: &mut ChaCha8Rng| {
        let draw = |&count: &usize, rng: &mut ChaCha8Rng| {
            (0..count).map(|_| rng.random_range(-0.9..0.9) / count as f64).collect::<Vec<f64>>()
        };
        blocks.iter().flat_map(|block| draw(block, rng)).collect::<Vec<f64>>()
    };
    (0..count).flat_map(|_| one(&mut rng)).collect()
}

fn lanes(series: &[Vec<f64>]) -> Lanes {
    Lanes::from_fn(series[0].len(), series.len(), |t, s| series[s][t] as f32)
}

fn assert_matches_reference(devices: &[Device], order: ArmaOrder, y: &[Vec<f64>], skip: usize) {
    let own = coefficients(order, y.len());
    let expected = reference::arima::arma_gradient(y, order, &own, skip);
    for device in devices {
        let found = arma_gradient(&lanes(y).to_device(device).unwrap(), order, &own, skip).unwrap();
        let rounding = if device.has_f64() { f64::EPSILON } else { f64::from(f32::EPSILON) };
        // A filter of these coefficients forgets within some tens of steps: a rounding counts that often, and each
        // sum has as many terms as there are steps, of up to about 10 squared.
        let tolerance = 1e3 * rounding * y[0].len().max(30) as f64;
        check::assert_close(&found.sse, &expected.sse, tolerance, device);
        check::assert_close(&found.coefficients, &expected.coefficients, tolerance, device);
    }
}

#[test]
fn arma_gradient_matches_reference() {
    let devices = check::in_both_precisions();
    for (steps, count) in [(3, 2), (40, 16), (60, 17)].into_iter().chain(check::SHAPES) {
        let y = series(steps, count);
        for order in ORDERS {
            for skip in [0, 9] {
                assert_matches_reference(&devices, order, &y, skip);
            }
        }
    }
}

#[test]
fn a_recurrence_of_many_steps_goes_on_from_launch_to_launch() {
    assert_matches_reference(&check::in_both_precisions(), ORDERS[4], &series(70_000, 2), 5);
}

#[test]
fn a_series_has_the_same_bits_in_any_batch() {
    let mut y = series(50, 20);
    let order = ORDERS[4];
    let (own, count) = (coefficients(order, 20), order.coefficients());
    y[3].fill(f64::NAN);
    for device in check::in_both_precisions() {
        let run =
            |y: &[Vec<f64>], own: &[f64]| arma_gradient(&lanes(y).to_device(&device).unwrap(), order, own, 3).unwrap();
        let (together, alone) = (run(&y, &own), run(&y[4..5], &own[4 * count..5 * count]));
        assert_eq!(alone.sse[0], together.sse[4], "{device}");
        assert_eq!(alone.coefficients, together.coefficients[4 * count..5 * count], "{device}");
        assert!(together.sse[3].is_nan(), "{device}");
    }
}

#[test]
fn operands_of_the_wrong_shape_are_refused() {
    let y = Matrix::Cpu(lanes(&series(5, 2)));
    assert!(arma_gradient(&y, ORDERS[1], &[0.5], 0).is_err());
    assert!(arma_gradient(&y, ArmaOrder::default(), &[], 0).is_err(), "a season of no steps");
}
