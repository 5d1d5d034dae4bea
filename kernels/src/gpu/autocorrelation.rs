//! How each series resembles itself some steps later: one unit a lag and series, the steps in several launches.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, CHUNK, array};
use crate::KernelError;
use crate::autocorrelation::MOVES;

/// Values added up before their sum joins the others: it keeps an `f32` sum's error in check.
const BLOCK: u32 = 256;

pub(crate) fn autocorrelations<R: Runtime>(y: &Buffer<R>, lags: usize) -> Result<Buffer<R>, KernelError> {
    let (gpu, steps, series) = (y.gpu(), y.steps(), y.series());
    let found = y.empty(lags, series);
    let total = gpu.upload(&vec![0.0_f32; series]);
    let count = gpu.upload(&vec![0.0_f32; series]);
    let (cubes, dim) = gpu.one_unit_per(series);
    for first in (0..steps).step_by(CHUNK) {
        // SAFETY: `y` holds `steps * series` elements, `total` and `count` one a series; units past the last stop,
        // and no step past `last` is read.
        unsafe {
            add_up::launch_unchecked::<R>(
                gpu.client(),
                cubes.clone(),
                dim,
                y.arg(),
                array(&total, series),
                array(&count, series),
                first as u32,
                (first + CHUNK).min(steps) as u32,
            );
        }
    }
    // Row 0 is the squares, row `k` lag `k`.
    let places = (lags + 1) * series;
    let sums = gpu.upload(&vec![0.0_f32; places]);
    (0..steps).step_by(CHUNK).for_each(|first| launch_products(y, &total, &count, &sums, places, first));
    let (cubes, dim) = gpu.one_unit_per(lags * series);
    // SAFETY: `found` holds one element a lag and series, `sums` a row more, the others one a series; units past the
    // last stop.
    unsafe {
        divide::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            array(&total, series),
            array(&count, series),
            array(&sums, places),
            found.arg(),
            MOVES as f32,
        );
    }
    gpu.accepted("autocorrelations")?;
    Ok(found)
}

fn launch_products<R: Runtime>(
    y: &Buffer<R>,
    total: &Handle,
    count: &Handle,
    sums: &Handle,
    places: usize,
    first: usize,
) {
    let (gpu, steps, series) = (y.gpu(), y.steps(), y.series());
    let (cubes, dim) = gpu.one_unit_per(places);
    // SAFETY: `y` holds `steps * series` elements, `total` and `count` one a series, `sums` one a place; units past
    // the last place stop, and no step past the last is read.
    unsafe {
        products::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            y.arg(),
            array(total, series),
            array(count, series),
            array(sums, places),
            steps as u32,
            series as u32,
            first as u32,
            (first + CHUNK).min(steps) as u32,
        );
    }
}

/// Sum and number of each series' observed steps among `first..last`.
#[cube(launch_unchecked)]
fn add_up(y: &Array<f32>, total: &mut Array<f32>, count: &mut Array<f32>, first: u32, last: u32) {
    let s = ABSOLUTE_POS;
    let series = total.len();
    if s < series {
        let mut sum = total[s];
        let mut observed = count[s];
        let mut block = 0.0f32;
        for t in first..last {
            let value = y[t as usize * series + s];
            if !value.is_nan() {
                block += value;
                observed += 1.0f32;
            }
            if t % BLOCK == BLOCK - 1 {
                sum += block;
                block = 0.0f32;
            }
        }
        total[s] = sum + block;
        count[s] = observed;
    }
}

/// Sum of the products at each lag, for the earlier steps `first..last`.
#[cube(launch_unchecked)]
fn products(
    y: &Array<f32>,
    total: &Array<f32>,
    count: &Array<f32>,
    sums: &mut Array<f32>,
    steps: u32,
    series: u32,
    first: u32,
    last: u32,
) {
    let at = ABSOLUTE_POS;
    if at < sums.len() {
        let lag = at as u32 / series;
        let s = at as u32 % series;
        let mut mean = 0.0f32;
        if count[s as usize] > 0.0f32 {
            mean = total[s as usize] / count[s as usize];
        }
        let mut sum = sums[at];
        let mut block = 0.0f32;
        for t in first..last {
            if t + lag < steps {
                let now = y[(t * series + s) as usize];
                let later = y[((t + lag) * series + s) as usize];
                if !now.is_nan() && !later.is_nan() {
                    block += (now - mean) * (later - mean);
                }
            }
            if t % BLOCK == BLOCK - 1 {
                sum += block;
                block = 0.0f32;
            }
        }
        sums[at] = sum + block;
    }
}

#[cube(launch_unchecked)]
fn divide(total: &Array<f32>, count: &Array<f32>, sums: &Array<f32>, found: &mut Array<f32>, moves: f32) {
    let at = ABSOLUTE_POS;
    if at < found.len() {
        let series = total.len();
        let s = at % series;
        let mut ratio = 0.0f32;
        // moves * count * mean^2, without the division
        if sums[s] * count[s] > moves * total[s] * total[s] {
            ratio = sums[at + series] / sums[s];
        }
        found[at] = ratio;
    }
}
