//! Likelihoods and criteria from sums, on a device.

use cubecl::prelude::*;

use super::super::ln;
use super::{COUNTED, CROSS, LOGS, ONES, PRODUCT, SQUARES};

/// Squared error a step below which a fit counts as perfect, on standardised data: rounding leaves no less.
const NOTHING: f32 = 1e-20;
const TWO_PI: f32 = std::f32::consts::TAU;
/// What 2π has more than its `f32`.
const TWO_PI_REST: f32 = (std::f64::consts::TAU - TWO_PI as f64) as f32;

/// See [`crate::arima_fit::log_likelihood`].
#[cube]
pub(super) fn log_likelihood<F: Float>(observed: F, squares: F, logs: F) -> F {
    let variance = squares / observed + F::new(NOTHING);
    let two_pi = F::new(TWO_PI) + F::new(TWO_PI_REST);
    F::new(-0.5f32) * (observed * (ln::<F>(two_pi * variance) + F::new(1.0f32)) + logs)
}

/// See [`crate::aicc`]; `nowhere` where as many parameters leave nothing to tell by.
#[cube]
pub(super) fn aicc<F: Float>(log_likelihood: F, observed: F, parameters: F, nowhere: F) -> F {
    let left = observed - parameters - F::new(1.0f32);
    let two = F::new(2.0f32);
    let mut aicc = nowhere + F::new(0.0f32);
    if left > F::new(0.0f32) {
        aicc = two * parameters - two * log_likelihood + two * parameters * (parameters + F::new(1.0f32)) / left;
    }
    aicc
}

/// Squares that the best constant leaves of a column's, or all of them without one.
#[cube]
pub(super) fn profiled<F: Float>(sums: &Array<F>, columns: usize, c: usize, #[comptime] constant: bool) -> F {
    let mut squares = sums[SQUARES as usize * columns + c];
    if constant {
        let cross = sums[CROSS as usize * columns + c];
        let ones = sums[ONES as usize * columns + c];
        if ones > F::new(0.0f32) {
            squares = F::max(squares - cross * cross / ones, F::new(0.0f32));
        }
    }
    squares
}

/// Logarithms of a column's variances.
#[cube]
pub(super) fn logs<F: Float>(sums: &Array<F>, columns: usize, c: usize) -> F {
    sums[LOGS as usize * columns + c] + ln::<F>(sums[PRODUCT as usize * columns + c])
}

/// The steps that a column counted.
#[cube]
pub(super) fn counted<F: Float>(sums: &Array<F>, columns: usize, c: usize) -> F {
    sums[COUNTED as usize * columns + c]
}
