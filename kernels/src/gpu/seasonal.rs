//! The mean of each place in the season.

use cubecl::prelude::*;

use super::{Buffer, CHUNK, array};
use crate::KernelError;

/// Values added up before their sum joins the others: it keeps an `f32` sum's error in check.
const BLOCK: u32 = 64;

pub(crate) fn seasonal_means<R: Runtime>(y: &Buffer<R>, season: usize) -> Result<Buffer<R>, KernelError> {
    let gpu = y.gpu();
    let means = y.empty(season, y.series());
    let places = season * y.series();
    let total = gpu.upload(&vec![0.0_f32; places]);
    let count = gpu.upload(&vec![0_u32; places]);
    let (cubes, dim) = gpu.one_unit_per(places);
    let cycles = y.steps().div_ceil(season);
    for first in (0..cycles).step_by(CHUNK) {
        let last = (first + CHUNK).min(cycles);
        // SAFETY: `total` and `count` hold one element a place of the season and series, `y` holds
        // `steps * series`; the kernel stops units past the last place and reads no step past the last.
        unsafe {
            sum_cycles::launch_unchecked::<R>(
                gpu.client(),
                cubes.clone(),
                dim,
                y.arg(),
                array(&total, places),
                array(&count, places),
                y.steps() as u32,
                y.series() as u32,
                season as u32,
                first as u32,
                last as u32,
            );
        }
    }
    // SAFETY: all three hold one element a place of the season and series; units past the last stop.
    unsafe {
        divide::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            array(&total, places),
            array(&count, places),
            means.arg(),
            f32::NAN,
        );
    }
    gpu.accepted("seasonal means")?;
    Ok(means)
}

/// One unit a place of the season and series; cycles `first..last`.
#[cube(launch_unchecked)]
fn sum_cycles(
    y: &Array<f32>,
    total: &mut Array<f32>,
    count: &mut Array<u32>,
    steps: u32,
    series: u32,
    season: u32,
    first: u32,
    last: u32,
) {
    let at = ABSOLUTE_POS;
    if at < total.len() {
        let place = at as u32 / series;
        let s = at as u32 % series;
        let mut sum = total[at];
        let mut observed = count[at];
        let mut block = 0.0f32;
        for cycle in first..last {
            let t = cycle * season + place;
            if t < steps {
                let value = y[(t * series + s) as usize];
                if !value.is_nan() {
                    block += value;
                    observed += 1;
                }
            }
            if cycle % BLOCK == BLOCK - 1 {
                sum += block;
                block = 0.0f32;
            }
        }
        total[at] = sum + block;
        count[at] = observed;
    }
}

#[cube(launch_unchecked)]
fn divide(total: &Array<f32>, count: &Array<u32>, means: &mut Array<f32>, missing: f32) {
    let at = ABSOLUTE_POS;
    if at < total.len() {
        let mut mean = missing;
        if count[at] > 0 {
            mean = total[at] / f32::cast_from(count[at]);
        }
        means[at] = mean;
    }
}
