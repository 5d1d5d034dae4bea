//! The recursion on vectors over differenced series without gaps, one unit a series.
//!
//! The state's covariance starts stationary, so its first change has rank one and every later one keeps it: two
//! vectors are carried instead of a matrix. Source: Morf, Sidhu and Kailath, Some new algorithms for recursive
//! estimation in constant, linear, discrete-time systems, IEEE Transactions on Automatic Control 19(4), 1974.
#![allow(clippy::too_many_lines)] // a unit's sums stay in registers: a helper would send them through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::curvature::{Innovations, told};
use super::short::AT_REST;
use super::{
    COUNT_ROWS, COUNTED, CROSS, FAR, FIRST, GAPPED, Group, LOGS, ONES, PRODUCT, SQUARES, SUM_ROWS, TOTAL, UNIT_ROWS,
};
use crate::gpu::{CHUNK, array, ln};

/// A change of the covariance so small beside the noise's variance is none, where columns are not compared.
const STILL: f32 = 1e-13;
/// Rows after the gain and its change: the covariance changes by `scale · change changeᵀ` a step, the next innovation
/// has this variance, and one where the gain has come to rest.
const SCALE: u32 = 0;
const VARIANCE: u32 = 1;
const RESTS: u32 = 2;

/// Filters the series of a group from their stationary covariance on.
pub(super) fn run<R: Runtime, F: Float + CubeElement>(
    group: &Group<'_, R>,
    covariance: &Handle,
    innovations: Option<&Innovations<'_, R>>,
) {
    let (gpu, model) = (group.gpu, group.model);
    let moving_rows = 2 * model.width + 3;
    let moving = gpu.empty_floats(moving_rows * group.series());
    let Some((cubes, dim)) = gpu.one_unit_per_any(group.series()) else { return };
    // SAFETY: each array was made with the rows that it is passed with; units past the last series stop, and steps end
    // with the series.
    unsafe {
        begin::launch_unchecked::<F, R>(
            gpu.client(),
            cubes.clone(),
            dim,
            group.columns.arg(),
            group.rows(&group.counts, COUNT_ROWS),
            group.rows(&group.ar, model.width),
            group.rows(covariance, model.width * model.width),
            group.rows(&moving, moving_rows),
            group.rows(&group.sums, SUM_ROWS),
            group.rows(&group.state, 2 * model.size()),
            group.series() as u32,
            group.columns.steps as u32,
            model.width as u32,
            model.size() as u32,
        );
    }
    let steps = group.differenced.steps;
    let none = gpu.empty_floats(1);
    let (tells, rows, variants) =
        innovations.map_or((&none, 1, 1), |own| (&own.values, own.steps * group.series(), own.variants));
    let stride = (CHUNK / (model.width + 1)).max(1);
    for first in (0..steps).step_by(stride) {
        // SAFETY: as above.
        unsafe {
            filter::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                group.differenced.arg(),
                group.rows(&group.counts, COUNT_ROWS),
                group.rows(&group.units, UNIT_ROWS),
                group.rows(&group.ar, model.width),
                group.rows(&moving, moving_rows),
                group.rows(&group.sums, SUM_ROWS),
                group.rows(&group.state, 2 * model.size()),
                array(tells, rows),
                group.series() as u32,
                variants as u32,
                steps as u32,
                model.width as u32,
                model.size() as u32,
                first as u32,
                (first + stride).min(steps) as u32,
                model.constant,
                innovations.is_some(),
            );
        }
    }
}

/// Puts every series at its stationary start, with the steps that differencing looks back on from its end.
#[cube(launch_unchecked)]
fn begin<F: Float>(
    values: &Array<F>,
    counts: &Array<u32>,
    ar: &Array<F>,
    covariance: &Array<F>,
    moving: &mut Array<F>,
    sums: &mut Array<F>,
    state: &mut Array<F>,
    series: u32,
    steps: u32,
    width: u32,
    size: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        let one = F::new(1.0f32);
        let first = covariance[s as usize];
        for i in 0..width {
            let mut gain = ar[(i * series + s) as usize] * first;
            if i + 1 < width {
                gain += covariance[((i + 1) * width * series + s) as usize];
            }
            moving[(i * series + s) as usize] = gain;
            moving[((width + i) * series + s) as usize] = gain;
        }
        moving[((2 * width + SCALE) * series + s) as usize] = zero - one / first;
        moving[((2 * width + VARIANCE) * series + s) as usize] = first;
        moving[((2 * width + RESTS) * series + s) as usize] = zero;
        for row in 0..2 * size {
            state[(row * series + s) as usize] = zero;
        }
        let begun = counts[(FIRST * series + s) as usize];
        for i in 0..u32::min(size - width, steps - begun) {
            state[((width + i) * series + s) as usize] = values[((steps - 1 - i) * series + s) as usize];
        }
        for row in 0..SUM_ROWS as u32 {
            sums[(row * series + s) as usize] = zero;
        }
        sums[(PRODUCT * series + s) as usize] = one;
    }
}

/// Steps `first..last` of the recursion.
#[cube(launch_unchecked)]
fn filter<F: Float>(
    differenced: &Array<F>,
    counts: &Array<u32>,
    units: &Array<F>,
    ar: &Array<F>,
    moving: &mut Array<F>,
    sums: &mut Array<F>,
    state: &mut Array<F>,
    innovations: &mut Array<F>,
    series: u32,
    variants: u32,
    steps: u32,
    width: u32,
    size: u32,
    first: u32,
    last: u32,
    #[comptime] constant: bool,
    #[comptime] tells: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series && counts[(GAPPED * series + s) as usize] == 0u32 {
        let zero = F::new(0.0f32);
        let one = F::new(1.0f32);
        let begun = counts[(FIRST * series + s) as usize];
        let mut mean = zero + zero;
        if constant && begun < steps {
            mean = units[(TOTAL * series + s) as usize] / F::cast_from(steps - begun);
        }
        let mut scale = moving[((2 * width + SCALE) * series + s) as usize];
        let mut variance = moving[((2 * width + VARIANCE) * series + s) as usize];
        let mut rests = moving[((2 * width + RESTS) * series + s) as usize] > zero;
        let mut squares = sums[(SQUARES * series + s) as usize];
        let mut cross = sums[(CROSS * series + s) as usize];
        let mut ones = sums[(ONES * series + s) as usize];
        let mut logs = sums[(LOGS * series + s) as usize];
        let mut counted = sums[(COUNTED * series + s) as usize];
        let mut product = sums[(PRODUCT * series + s) as usize];
        for t in first..last {
            if tells {
                innovations[(t * series + s) as usize] = zero;
            }
            if t >= begun {
                let a0 = state[s as usize];
                let b0 = state[(size * series + s) as usize];
                let gone = differenced[(t * series + s) as usize] - mean - a0;
                let left = one - b0;
                let inverse = one / variance;
                if tells {
                    let column = s % variants;
                    innovations[(t * series + s) as usize] = told::<F>(column, gone, inverse);
                }
                squares += gone * gone * inverse;
                cross += gone * left * inverse;
                ones += left * left * inverse;
                counted += one;
                product *= variance;
                if product > F::new(FAR) {
                    logs += ln::<F>(product);
                    product = one + zero;
                }
                let changed = moving[(width * series + s) as usize];
                let moved = scale * changed;
                let after = variance + moved * changed;
                let share = changed / after;
                let mut most = zero + zero;
                for i in 0..width {
                    let tap = ar[(i * series + s) as usize];
                    let gain = moving[(i * series + s) as usize];
                    let own = (i * series + s) as usize;
                    let own_ones = ((size + i) * series + s) as usize;
                    let mut next = tap * a0 + gain * gone * inverse;
                    let mut next_ones = tap * b0 + gain * left * inverse;
                    let mut ahead = tap * changed;
                    if i + 1 < width {
                        next += state[((i + 1) * series + s) as usize];
                        next_ones += state[((size + i + 1) * series + s) as usize];
                        ahead += moving[((width + i + 1) * series + s) as usize];
                    }
                    state[own] = next;
                    if constant {
                        state[own_ones] = next_ones;
                    }
                    if !rests {
                        let new_gain = gain + moved * ahead;
                        let change = ahead - share * new_gain;
                        moving[own] = new_gain;
                        moving[((width + i) * series + s) as usize] = change;
                        most = F::max(most, change * change);
                    }
                }
                if !rests {
                    scale += moved * moved * inverse;
                    variance = after + zero;
                    rests = scale.abs() * most < F::new(comptime!(if tells { AT_REST } else { STILL }));
                }
            }
        }
        moving[((2 * width + SCALE) * series + s) as usize] = scale;
        moving[((2 * width + VARIANCE) * series + s) as usize] = variance;
        if rests {
            moving[((2 * width + RESTS) * series + s) as usize] = one;
        }
        sums[(SQUARES * series + s) as usize] = squares;
        sums[(CROSS * series + s) as usize] = cross;
        sums[(ONES * series + s) as usize] = ones;
        sums[(LOGS * series + s) as usize] = logs;
        sums[(COUNTED * series + s) as usize] = counted;
        sums[(PRODUCT * series + s) as usize] = product;
    }
}
