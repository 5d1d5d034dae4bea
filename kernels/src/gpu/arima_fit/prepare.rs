//! The series of a group, when they begin and whether they have gaps, and themselves differenced.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{COUNT_ROWS, FIRST, GAPPED, Group, OBSERVED, ORIGIN, TOTAL, UNIT_ROWS};
use crate::gpu::{CHUNK, RowBuffer, is_nan};

/// Copies the group's series, measures them and returns them differenced.
pub(super) fn prepare<R: Runtime, F: Float + CubeElement>(group: &Group<'_, R>, y: &RowBuffer<R>) -> Handle {
    let (gpu, series) = (group.gpu, group.series());
    if let Some((cubes, dim)) = gpu.one_unit_per_any(group.steps * series) {
        // SAFETY: `y` holds `steps` rows of all series, of which the group's are some, `values` as many rows of those;
        // units past the last value stop.
        unsafe {
            take::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                y.arg(),
                group.rows(&group.values, group.steps),
                y.count() as u32,
                group.some.start as u32,
                series as u32,
                (group.steps * series) as u32,
            );
        }
    }
    let differencing = group.model.differencing;
    let seasonal = std::iter::repeat_n(differencing.season, differencing.seasonal_differences);
    let lags = seasonal.chain(std::iter::repeat_n(1, differencing.differences));
    let mut steps = group.steps;
    let mut differenced = group.values.clone();
    for lag in lags {
        let after = steps.saturating_sub(lag);
        differenced = difference::<R, F>(group, &differenced, (steps, after), lag);
        steps = after;
    }
    // A batch of no steps has its counts set too.
    for first in (0..group.steps.max(1)).step_by(CHUNK) {
        launch_measure::<R, F>(group, &differenced, first);
    }
    differenced
}

fn difference<R: Runtime, F: Float + CubeElement>(
    group: &Group<'_, R>,
    input: &Handle,
    (before, after): (usize, usize),
    lag: usize,
) -> Handle {
    let count = after * group.series();
    let output = group.gpu.empty_floats(count);
    if let Some((cubes, dim)) = group.gpu.one_unit_per_any(count) {
        // SAFETY: the input has `lag` rows more than the output; units past the output's last value stop.
        unsafe {
            subtract::launch_unchecked::<F, R>(
                group.gpu.client(),
                cubes,
                dim,
                group.rows(input, before),
                group.rows(&output, after),
                (lag * group.series()) as u32,
                count as u32,
            );
        }
    }
    output
}

fn launch_measure<R: Runtime, F: Float + CubeElement>(group: &Group<'_, R>, differenced: &Handle, first: usize) {
    let Some((cubes, dim)) = group.gpu.one_unit_per_any(group.series()) else { return };
    // SAFETY: each array was made with the rows that it is passed with; units past the last series stop and steps end
    // before `last`.
    unsafe {
        measure::launch_unchecked::<F, R>(
            group.gpu.client(),
            cubes,
            dim,
            group.rows(&group.values, group.steps),
            group.rows(differenced, group.differenced_steps()),
            group.rows(&group.counts, COUNT_ROWS),
            group.rows(&group.units, UNIT_ROWS),
            group.series() as u32,
            group.steps as u32,
            group.differenced_steps() as u32,
            first as u32,
            (first + CHUNK).min(group.steps) as u32,
        );
    }
}

#[cube(launch_unchecked)]
fn take<F: Float>(y: &Array<F>, values: &mut Array<F>, all: u32, offset: u32, series: u32, count: u32) {
    let at = ABSOLUTE_POS as u32;
    if at < count {
        values[at as usize] = y[(at / series * all + offset + at % series) as usize];
    }
}

#[cube(launch_unchecked)]
fn subtract<F: Float>(input: &Array<F>, output: &mut Array<F>, shift: u32, count: u32) {
    let at = ABSOLUTE_POS as u32;
    if at < count {
        output[at as usize] = input[(at + shift) as usize] - input[at as usize];
    }
}

#[cube(launch_unchecked)]
fn measure<F: Float>(
    values: &Array<F>,
    differenced: &Array<F>,
    counts: &mut Array<u32>,
    units: &mut Array<F>,
    series: u32,
    steps: u32,
    differenced_steps: u32,
    first: u32,
    last: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        let mut begun = steps + 0u32;
        let mut observed = 0u32;
        let mut gapped = 0u32;
        let mut origin = zero + zero;
        let mut total = zero + zero;
        if first > 0u32 {
            begun = counts[(FIRST * series + s) as usize];
            observed = counts[(OBSERVED * series + s) as usize];
            gapped = counts[(GAPPED * series + s) as usize];
            origin = units[(ORIGIN * series + s) as usize];
            total = units[(TOTAL * series + s) as usize];
        }
        for t in first..last {
            let value = values[(t * series + s) as usize];
            if is_nan::<F>(value) {
                if begun < steps {
                    gapped = 1u32;
                }
            } else {
                if begun == steps {
                    begun = t + 0u32;
                    origin = value + zero;
                }
                observed += 1u32;
            }
            if begun <= t && t < differenced_steps {
                total += differenced[(t * series + s) as usize];
            }
        }
        counts[(FIRST * series + s) as usize] = begun;
        counts[(OBSERVED * series + s) as usize] = observed;
        counts[(GAPPED * series + s) as usize] = gapped;
        units[(ORIGIN * series + s) as usize] = origin;
        units[(TOTAL * series + s) as usize] = total;
    }
}
