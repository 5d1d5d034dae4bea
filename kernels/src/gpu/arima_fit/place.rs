//! Stationary and invertible coefficients from free numbers and back, by partial autocorrelations; see the CPU's twin.
//!
//! Source: Jones, Maximum likelihood fitting of ARMA models to time series with missing observations, Technometrics
//! 22(3), 1980.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::super::{Gpu, array, ln};
use crate::ArmaOrder;
use crate::arima_fit::MAX_BLOCK;
use crate::arima_fit::limits::LARGEST;

/// Halvings of an exponent before its series, and that series' terms: enough for all that free numbers may be.
const HALVINGS: u32 = 5;
const TERMS: u32 = 14;
/// What the largest partial autocorrelation has more than its `f32`.
const LARGEST_REST: f32 = (LARGEST - LARGEST as f32 as f64) as f32;

/// How many coefficients each of the four polynomials of models has: of all alike, or of each its own.
pub(super) struct Blocks {
    lengths: Handle,
    columns: usize,
    shrink: Handle,
    pub(super) alike: bool,
}

impl Blocks {
    /// Models of one order, whose roots keep a margin from the unit circle where a polynomial has two or more.
    pub(super) fn alike<R: Runtime>(gpu: &Gpu<R>, order: ArmaOrder, margin: f64) -> Self {
        Self { alike: true, ..Self::each(gpu, &[order], margin) }
    }

    /// Models of orders of their own.
    pub(super) fn each<R: Runtime>(gpu: &Gpu<R>, orders: &[ArmaOrder], margin: f64) -> Self {
        let rows = (0..4).flat_map(|block| orders.iter().map(move |order| order.blocks()[block] as u32));
        let lengths: Vec<u32> = rows.collect();
        Self {
            lengths: gpu.upload(&lengths),
            columns: orders.len(),
            shrink: gpu.upload_floats(std::iter::once(1.0 / (1.0 + margin))),
            alike: false,
        }
    }

    pub(super) fn lengths<R: Runtime>(&self) -> ArrayArg<R> {
        array(&self.lengths, 4 * self.columns)
    }

    /// By what a coefficient of a longer polynomial shrinks a lag.
    pub(super) fn shrink<R: Runtime>(&self) -> ArrayArg<R> {
        array(&self.shrink, 1)
    }
}

/// How many coefficients a polynomial of a model has.
#[cube]
pub(super) fn length(lengths: &Array<u32>, block: usize, series: usize, s: usize, #[comptime] alike: bool) -> usize {
    let mut at = block + 0;
    if !alike {
        at = block * series + s;
    }
    lengths[at] as usize
}

/// How many coefficients a model has.
#[cube]
pub(super) fn coefficient_count(lengths: &Array<u32>, series: usize, s: usize, #[comptime] alike: bool) -> usize {
    let mut count = 0usize.runtime();
    for block in 0..4usize {
        count += length(lengths, block, series, s, alike);
    }
    count
}

/// By what a coefficient of a polynomial of so many shrinks a lag.
#[cube]
pub(super) fn shrinks<F: Float>(shrink: &Array<F>, len: usize) -> F {
    let mut by = F::new(1.0f32);
    if len > 1 {
        by = shrink[0];
    }
    by
}

#[cube]
pub(super) fn largest<F: Float>() -> F {
    F::new(LARGEST as f32) + F::new(LARGEST_REST)
}

/// `tanh`, of free numbers; WGSL has no exponential of an `f64`.
#[cube]
pub(super) fn tanh<F: Float>(x: F) -> F {
    let one = F::new(1.0f32);
    let part = x * F::new(2.0f32) / F::new(32.0f32);
    let mut power = one * one;
    for back in 0..TERMS {
        power = one + part / F::cast_from(TERMS - back) * power;
    }
    for _ in 0..HALVINGS {
        power *= power;
    }
    one - F::new(2.0f32) / (power + one)
}

/// The coefficients of one model at its free numbers, and their derivatives by them: `jacobian` has a row a coefficient
/// and number, `most` of either, of which those of one polynomial are written.
#[cube]
pub(super) fn place<F: Float>(
    free: &Array<F>,
    coefficients: &mut Array<F>,
    jacobian: &mut Array<F>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    most: usize,
    series: usize,
    s: usize,
    #[comptime] alike: bool,
) {
    let mut a = Array::<F>::new(MAX_BLOCK);
    let mut before = Array::<F>::new(MAX_BLOCK);
    let zero = F::new(0.0f32);
    let largest = largest::<F>();
    let mut from = 0usize.runtime();
    for block in 0..4usize {
        let len = length(lengths, block, series, s, alike);
        for j in 0..len {
            let partial = largest * tanh::<F>(free[(from + j) * series + s]);
            let slope = largest - partial * partial / largest;
            for i in 0..j {
                before[i] = a[i];
            }
            for i in 0..j {
                let other = before[j - 1 - i];
                a[i] = before[i] - partial * other;
                jacobian[((from + i) * most + from + j) * series + s] = zero - slope * other;
            }
            for by in 0..j {
                for i in 0..j {
                    before[i] = jacobian[((from + i) * most + from + by) * series + s];
                }
                for i in 0..j {
                    jacobian[((from + i) * most + from + by) * series + s] = before[i] - partial * before[j - 1 - i];
                }
                jacobian[((from + j) * most + from + by) * series + s] = zero;
            }
            a[j] = partial;
            jacobian[((from + j) * most + from + j) * series + s] = slope;
        }
        let mut share = F::new(1.0f32);
        if block >= 2 {
            // A moving average adds where the recursion's polynomial subtracts.
            share = F::new(-1.0f32);
        }
        for i in 0..len {
            share *= shrinks::<F>(shrink, len);
            coefficients[(from + i) * series + s] = share * a[i];
            for j in 0..len {
                jacobian[((from + i) * most + from + j) * series + s] *= share;
            }
        }
        from += len;
    }
}

/// The coefficients alone, of a model whose free numbers are one column's, from row `row` on, and whose number `moved`
/// is away by `by`.
#[cube]
pub(super) fn place_moved<F: Float>(
    free: &Array<F>,
    row: usize,
    coefficients: &mut Array<F>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    moved: usize,
    by: F,
    series: usize,
    s: usize,
    columns: usize,
    column: usize,
    #[comptime] alike: bool,
) {
    let mut a = Array::<F>::new(MAX_BLOCK);
    let mut before = Array::<F>::new(MAX_BLOCK);
    let largest = largest::<F>();
    let mut from = 0usize.runtime();
    for block in 0..4usize {
        let len = length(lengths, block, series, s, alike);
        for j in 0..len {
            let mut own = free[(row + from + j) * series + s];
            if from + j == moved {
                own += by;
            }
            let partial = largest * tanh::<F>(own);
            for i in 0..j {
                before[i] = a[i];
            }
            for i in 0..j {
                a[i] = before[i] - partial * before[j - 1 - i];
            }
            a[j] = partial;
        }
        let mut share = F::new(1.0f32);
        if block >= 2 {
            share = F::new(-1.0f32);
        }
        for i in 0..len {
            share *= shrinks::<F>(shrink, len);
            coefficients[(from + i) * columns + column] = share * a[i];
        }
        from += len;
    }
}

/// Free numbers whose coefficients are these, or near them where a root lies on the wrong side: partial
/// autocorrelations are held within `inside`.
#[cube]
pub(super) fn free_numbers<F: Float>(
    coefficients: &Array<F>,
    free: &mut Array<F>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    inside: F,
    series: usize,
    s: usize,
) {
    let mut a = Array::<F>::new(MAX_BLOCK);
    let mut before = Array::<F>::new(MAX_BLOCK);
    let one = F::new(1.0f32);
    let mut from = 0usize.runtime();
    for block in 0..4usize {
        let len = lengths[block] as usize;
        let mut share = one * one;
        if block >= 2 {
            share = F::new(-1.0f32);
        }
        for i in 0..len {
            share /= shrinks::<F>(shrink, len);
            a[i] = share * coefficients[i + from];
        }
        for back in 0..len {
            let last = len - 1 - back;
            let partial = F::min(F::max(a[last], F::new(0.0f32) - inside), inside);
            for i in 0..last {
                before[i] = a[i];
            }
            for i in 0..last {
                a[i] = (before[i] + partial * before[last - 1 - i]) / (one - partial * partial);
            }
            let share = partial / largest::<F>();
            free[(from + last) * series + s] = F::new(0.5f32) * ln::<F>((one + share) / (one - share));
        }
        from += len;
    }
}

/// Turns derivatives by the coefficients into those by the free numbers: a gradient and a triangle of second ones, from
/// row `from` on, go to the rows from `to` on. There is room for `most` coefficients.
#[cube]
pub(super) fn pull_back<F: Float>(
    rows: &mut Array<F>,
    from: usize,
    to: usize,
    jacobian: &Array<F>,
    lengths: &Array<u32>,
    most: usize,
    series: usize,
    s: usize,
    #[comptime] alike: bool,
) {
    let count = coefficient_count(lengths, series, s, alike);
    let mut left_from = 0usize.runtime();
    let mut left_block = 0usize.runtime();
    for i in 0..count {
        while left_block < 3 && i >= left_from + length(lengths, left_block, series, s, alike) {
            left_from += length(lengths, left_block, series, s, alike);
            left_block += 1;
        }
        let left_end = left_from + length(lengths, left_block, series, s, alike);
        let mut slope = F::new(0.0f32);
        for l in left_from..left_end {
            slope += jacobian[(l * most + i) * series + s] * rows[(from + l) * series + s];
        }
        rows[(to + i) * series + s] = slope;
        let mut right_from = 0usize.runtime();
        let mut right_block = 0usize.runtime();
        for j in 0..i + 1 {
            while right_block < 3 && j >= right_from + length(lengths, right_block, series, s, alike) {
                right_from += length(lengths, right_block, series, s, alike);
                right_block += 1;
            }
            let right_end = right_from + length(lengths, right_block, series, s, alike);
            let mut sum = F::new(0.0f32);
            for l in left_from..left_end {
                let mut part = F::new(0.0f32);
                for r in right_from..right_end {
                    let high = usize::max(l, r);
                    let low = usize::min(l, r);
                    let cell = rows[(from + most + high * (high + 1) / 2 + low) * series + s];
                    part += jacobian[(r * most + j) * series + s] * cell;
                }
                sum += jacobian[(l * most + i) * series + s] * part;
            }
            rows[(to + most + i * (i + 1) / 2 + j) * series + s] = sum;
        }
    }
}

/// Solves `(M + diag(damping M + ridge)) x = -slopes` for a triangle `M` by Cholesky; 1 where it was positive. Where
/// `held` a number stays. The factor goes to as many rows as the triangle has.
#[cube]
pub(super) fn damped_step<F: Float>(
    rows: &mut Array<F>,
    matrix: usize,
    slopes: usize,
    factor: usize,
    step: usize,
    damping: F,
    ridge: F,
    held: &Array<u32>,
    count: usize,
    series: usize,
    s: usize,
) -> u32 {
    let zero = F::new(0.0f32);
    let mut positive = 1u32.runtime();
    for i in 0..count {
        for j in 0..i + 1 {
            let mut whole = zero + zero;
            if held[i] == 0u32 && held[j] == 0u32 {
                whole = rows[(matrix + i * (i + 1) / 2 + j) * series + s];
            }
            if i == j {
                if held[i] == 1u32 {
                    whole = F::new(1.0f32);
                } else {
                    whole += whole * damping + ridge;
                }
            }
            for l in 0..j {
                whole -= rows[(factor + i * (i + 1) / 2 + l) * series + s]
                    * rows[(factor + j * (j + 1) / 2 + l) * series + s];
            }
            if i == j {
                let stands = whole > zero;
                if !stands {
                    positive = 0u32;
                    whole = F::new(1.0f32);
                }
                rows[(factor + i * (i + 1) / 2 + i) * series + s] = whole.sqrt();
            } else {
                let pivot = rows[(factor + j * (j + 1) / 2 + j) * series + s];
                rows[(factor + i * (i + 1) / 2 + j) * series + s] = whole / pivot;
            }
        }
        let mut right = zero + zero;
        if held[i] == 0u32 {
            right = zero - rows[(slopes + i) * series + s];
        }
        for l in 0..i {
            right -= rows[(factor + i * (i + 1) / 2 + l) * series + s] * rows[(step + l) * series + s];
        }
        rows[(step + i) * series + s] = right / rows[(factor + i * (i + 1) / 2 + i) * series + s];
    }
    for back in 0..count {
        let i = count - 1 - back;
        let mut right = rows[(step + i) * series + s];
        for l in i + 1..count {
            right -= rows[(factor + l * (l + 1) / 2 + i) * series + s] * rows[(step + l) * series + s];
        }
        rows[(step + i) * series + s] = right / rows[(factor + i * (i + 1) / 2 + i) * series + s];
    }
    positive
}
