//! The quadratic that a search believes in, and where it points: rows of one unit's search.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;

use super::place::{damped_step, largest, length, shrinks, tanh};
use super::search::FREE;
use crate::arima_fit::MAX_BLOCK;
use crate::arima_fit::limits::search::LONGEST;
use crate::arima_fit::limits::{AT_BOUND, FARTHEST};
use crate::gpu::ln;

/// The damped step to the least value of the quadratic, no number moved too far; those at their bound that would leave
/// it stay. Half of what it promises.
#[cube]
pub(super) fn direction<F: Float>(
    rows: &mut Array<F>,
    bent: usize,
    slopes: usize,
    factor: usize,
    step: usize,
    damping: F,
    held: &mut Array<u32>,
    count: usize,
    models: usize,
    m: usize,
) -> F {
    let zero = F::new(0.0f32);
    let farthest = F::new(FARTHEST as f32);
    for i in 0..count {
        let free = rows[(FREE + i) * models + m];
        let downhill = zero - rows[(slopes + i) * models + m];
        held[i] = 0u32;
        if free.abs() >= F::new(AT_BOUND as f32) && downhill * free > zero {
            held[i] = 1u32;
        }
    }
    // A unit besides what is known: a number that hardly shows is not thrown far.
    let ridge = F::new(1e-2f32) + damping;
    let positive = damped_step::<F>(rows, bent, slopes, factor, step, damping, ridge, held, count, models, m);
    let mut most = zero + zero;
    for i in 0..count {
        if positive == 0u32 {
            rows[(step + i) * models + m] = zero - rows[(slopes + i) * models + m];
            if held[i] == 1u32 {
                rows[(step + i) * models + m] = zero;
            }
        }
        most = F::max(most, rows[(step + i) * models + m].abs());
    }
    let mut shrink = F::new(1.0f32);
    if most > F::new(LONGEST as f32) {
        shrink = F::new(LONGEST as f32) / most;
    }
    let mut promised = zero + zero;
    for i in 0..count {
        let free = rows[(FREE + i) * models + m];
        let to = F::min(F::max(free + shrink * rows[(step + i) * models + m], zero - farthest), farthest);
        rows[(step + i) * models + m] = to - free;
        promised -= F::new(0.5f32) * (to - free) * rows[(slopes + i) * models + m];
    }
    promised
}

/// The cell of a triangle.
#[cube]
fn cell(i: usize, j: usize) -> usize {
    let high = usize::max(i, j);
    let low = usize::min(i, j);
    high * (high + 1) / 2 + low
}

/// Makes the curvature from row `bent` on say of the step just taken, in the rows from `moved` on, what the slopes at its
/// ends do; it is let be where they would have it negative. See the CPU's twin, whose curvature was just looked at too.
#[cube]
pub(super) fn mend<F: Float>(
    rows: &mut Array<F>,
    bent: usize,
    moved: usize,
    before: usize,
    after: usize,
    count: usize,
    models: usize,
    m: usize,
) {
    let zero = F::new(0.0f32);
    let mut expected = Array::<F>::new(comptime!(4 * MAX_BLOCK));
    let mut turned = Array::<F>::new(comptime!(4 * MAX_BLOCK));
    let mut thought = zero + zero;
    let mut along = zero + zero;
    let mut steps = zero + zero;
    let mut turns = zero + zero;
    for i in 0..count {
        let mut sum = zero + zero;
        for j in 0..count {
            sum += rows[(bent + cell(i, j)) * models + m] * rows[(moved + j) * models + m];
        }
        expected[i] = sum;
        let own = rows[(moved + i) * models + m];
        let turn = rows[(after + i) * models + m] - rows[(before + i) * models + m];
        turned[i] = turn;
        thought += own * sum;
        along += own * turn;
        steps += own * own;
        turns += turn * turn;
    }
    if thought > zero && along > F::new(1e-8f32) * (steps * turns).sqrt() {
        for i in 0..count {
            for j in 0..i + 1 {
                rows[(bent + cell(i, j)) * models + m] +=
                    turned[i] * turned[j] / along - expected[i] * expected[j] / thought;
            }
        }
    }
}

/// Derivatives of the free numbers by the coefficients from those the other way about: an elimination a polynomial. Of a
/// free number that nothing shows of they are zero.
#[cube]
pub(super) fn invert<F: Float>(
    jacobian: &Array<F>,
    inverse: &mut Array<F>,
    lengths: &Array<u32>,
    most: usize,
    models: usize,
    m: usize,
    #[comptime] alike: bool,
) {
    let zero = F::new(0.0f32);
    let mut system = Array::<F>::new(comptime!(2 * MAX_BLOCK * MAX_BLOCK));
    let width = comptime!(2 * MAX_BLOCK);
    let mut from = 0usize.runtime();
    for block in 0..4usize {
        let len = length(lengths, block, models, m, alike);
        for i in 0..len {
            for j in 0..len {
                system[i * width + j] = jacobian[((from + i) * most + from + j) * models + m];
                system[i * width + len + j] = zero;
            }
            system[i * width + len + i] = F::new(1.0f32);
        }
        for column in 0..len {
            let mut pivot = column + 0;
            for i in column..len {
                if system[i * width + column].abs() > system[pivot * width + column].abs() {
                    pivot = i + 0;
                }
            }
            let largest = system[pivot * width + column];
            for j in 0..2 * len {
                let own = system[column * width + j];
                let other = system[pivot * width + j];
                system[pivot * width + j] = own;
                system[column * width + j] = other;
            }
            for i in 0..len {
                let mut share = zero + zero;
                if i != column && largest != zero {
                    share = system[i * width + column] / largest;
                }
                for j in 0..2 * len {
                    let taken = share * system[column * width + j];
                    system[i * width + j] -= taken;
                }
            }
        }
        for i in 0..len {
            let pivot = system[i * width + i];
            for j in 0..len {
                let mut by = zero + zero;
                if pivot != zero {
                    by = system[i * width + len + j] / pivot;
                }
                inverse[((from + i) * most + from + j) * models + m] = by;
            }
        }
        from += len;
    }
}

/// Free numbers of the place that the step points at, the way there straight in the coefficients; where a polynomial
/// would leave the region its free numbers take the step as it is. See the CPU's twin.
#[cube]
pub(super) fn ahead<F: Float>(
    rows: &Array<F>,
    coefficients: usize,
    step: usize,
    jacobian: &Array<F>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    trial: &mut Array<F>,
    most: usize,
    models: usize,
    m: usize,
    #[comptime] alike: bool,
) {
    let one = F::new(1.0f32);
    let largest = largest::<F>();
    let farthest = largest * tanh::<F>(F::new(FARTHEST as f32));
    let mut a = Array::<F>::new(MAX_BLOCK);
    let mut before = Array::<F>::new(MAX_BLOCK);
    let mut free = Array::<F>::new(MAX_BLOCK);
    let mut from = 0usize.runtime();
    for block in 0..4usize {
        let len = length(lengths, block, models, m, alike);
        let mut share = one * one;
        if block >= 2 {
            share = F::new(-1.0f32);
        }
        for i in 0..len {
            let mut moved = rows[(coefficients + from + i) * models + m];
            for j in 0..len {
                let by = jacobian[((from + i) * most + from + j) * models + m];
                moved += by * rows[(step + from + j) * models + m];
            }
            share /= shrinks::<F>(shrink, len);
            a[i] = share * moved;
        }
        let mut inside = true;
        for back in 0..len {
            let last = len - 1 - back;
            let partial = a[last];
            inside = inside && partial.abs() <= farthest;
            if inside {
                for i in 0..last {
                    before[i] = a[i];
                }
                for i in 0..last {
                    a[i] = (before[i] + partial * before[last - 1 - i]) / (one - partial * partial);
                }
                let ratio = partial / largest;
                free[last] = F::new(0.5f32) * ln::<F>((one + ratio) / (one - ratio));
            }
        }
        for i in 0..len {
            let mut to = rows[(FREE + from + i) * models + m] + rows[(step + from + i) * models + m];
            if inside {
                to = free[i];
            }
            trial[(from + i) * models + m] = to;
        }
        from += len;
    }
}
