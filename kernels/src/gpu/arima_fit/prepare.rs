//! Series as they come: some of them, when they begin and whether they have gaps, and themselves differenced.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{COUNT_ROWS, FIRST, GAPPED, OBSERVED, ORIGIN, TOTAL, UNIT_ROWS};
use crate::arima_fit::Differencing;
use crate::gpu::{CHUNK, Gpu, array, is_nan};

/// Series of one length on a device, a row a step.
pub(super) struct Columns<'a, R: Runtime> {
    pub(super) gpu: &'a Gpu<R>,
    pub(super) series: usize,
    pub(super) steps: usize,
    pub(super) values: Handle,
}

impl<'a, R: Runtime> Columns<'a, R> {
    /// Copies of those that `of` names, by their place.
    pub(super) fn take<F: Float + CubeElement>(&self, of: &Handle, series: usize) -> Columns<'a, R> {
        let count = self.steps * series;
        let taken = Columns { series, values: self.gpu.empty_floats(count), ..*self };
        if let Some((cubes, dim)) = self.gpu.one_unit_per_any(count) {
            // SAFETY: `of` has a place of ours for each of theirs; units past the last value stop.
            unsafe {
                take::launch_unchecked::<F, R>(
                    self.gpu.client(),
                    cubes,
                    dim,
                    self.arg(),
                    taken.arg(),
                    array(of, series),
                    self.series as u32,
                    series as u32,
                    count as u32,
                );
            }
        }
        taken
    }

    pub(super) fn arg(&self) -> ArrayArg<R> {
        array(&self.values, self.steps * self.series)
    }

    /// The series differenced, of which a gap makes more.
    pub(super) fn differenced<F: Float + CubeElement>(&self, differencing: Differencing) -> Columns<'a, R> {
        let seasonal = std::iter::repeat_n(differencing.season, differencing.seasonal_differences);
        let lags = seasonal.chain(std::iter::repeat_n(1, differencing.differences));
        lags.fold(Columns { values: self.values.clone(), ..*self }, |before, lag| before.difference::<F>(lag))
    }

    fn difference<F: Float + CubeElement>(&self, lag: usize) -> Columns<'a, R> {
        let steps = self.steps.saturating_sub(lag);
        let count = steps * self.series;
        let output = Columns { steps, values: self.gpu.empty_floats(count), ..*self };
        if let Some((cubes, dim)) = self.gpu.one_unit_per_any(count) {
            // SAFETY: the input has `lag` rows more than the output; units past the output's last value stop.
            unsafe {
                subtract::launch_unchecked::<F, R>(
                    self.gpu.client(),
                    cubes,
                    dim,
                    self.arg(),
                    output.arg(),
                    (lag * self.series) as u32,
                    count as u32,
                );
            }
        }
        output
    }

    /// When the series begin and whether they have gaps, and the sum of what is left of them differenced.
    pub(super) fn measure<F: Float + CubeElement>(&self, differenced: &Self) -> (Handle, Handle) {
        let counts = self.gpu.empty::<u32>(COUNT_ROWS * self.series);
        let units = self.gpu.empty_floats(UNIT_ROWS * self.series);
        let Some((cubes, dim)) = self.gpu.one_unit_per_any(self.series) else { return (counts, units) };
        // A batch of no steps has its counts set too.
        for first in (0..self.steps.max(1)).step_by(CHUNK) {
            // SAFETY: each array was made with the rows that it is passed with; units past the last series stop and
            // steps end before `last`.
            unsafe {
                measure::launch_unchecked::<F, R>(
                    self.gpu.client(),
                    cubes.clone(),
                    dim,
                    self.arg(),
                    differenced.arg(),
                    array(&counts, COUNT_ROWS * self.series),
                    array(&units, UNIT_ROWS * self.series),
                    self.series as u32,
                    self.steps as u32,
                    differenced.steps as u32,
                    first as u32,
                    (first + CHUNK).min(self.steps) as u32,
                );
            }
        }
        (counts, units)
    }
}

#[cube(launch_unchecked)]
fn take<F: Float>(y: &Array<F>, values: &mut Array<F>, of: &Array<u32>, all: u32, series: u32, count: u32) {
    let at = ABSOLUTE_POS as u32;
    if at < count {
        values[at as usize] = y[(at / series * all + of[(at % series) as usize]) as usize];
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
