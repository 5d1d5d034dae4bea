//! Cholesky, one unit a system, one launch a column: order cubed iterations would be too many for one.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Gpu, array};
use crate::KernelError;
use crate::solve::PIVOT_FLOOR;

/// [`PIVOT_FLOOR`] for the 24 bits of an `f32`: as far above its rounding.
const PIVOT_FLOOR_F32: f32 = 1.0 / (1_u32 << 14) as f32;

pub(crate) fn spd_solve<R: Runtime>(
    gpu: &Gpu<R>,
    order: usize,
    matrices: &[f64],
    right: &[f64],
) -> Result<Vec<f64>, KernelError> {
    if gpu.has_f64() {
        let narrow = |values: Vec<f64>| values;
        return solve::<R, f64>(gpu, order, matrices, right, narrow, PIVOT_FLOOR as f32);
    }
    let narrow = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    solve::<R, f32>(gpu, order, matrices, right, narrow, PIVOT_FLOOR_F32)
}

fn solve<R: Runtime, F: Float + CubeElement + Into<f64>>(
    gpu: &Gpu<R>,
    order: usize,
    matrices: &[f64],
    right: &[f64],
    narrow: impl Fn(Vec<f64>) -> Vec<F>,
    floor: f32,
) -> Result<Vec<f64>, KernelError> {
    let systems = right.len() / order.max(1);
    let finite: Vec<bool> = (0..systems).map(|s| is_finite(order, s, matrices, right)).collect();
    // System-minor, so that neighbouring units read neighbouring values; a system that holds no number stays
    // out, for WGSL promises nothing about a NaN.
    let value = |s: usize, value: f64| if finite[s] { value } else { 0.0 };
    let spread = |width: usize, values: &[f64]| {
        let at = (0..width).flat_map(|at| (0..systems).map(move |s| (at, s)));
        narrow(at.map(|(at, s)| value(s, values[s * width + at])).collect())
    };
    let factor = gpu.upload(&spread(order * order, matrices));
    let x = gpu.upload(&spread(order, right));
    let sound = gpu.upload(&finite.iter().map(|&finite| u32::from(finite)).collect::<Vec<_>>());
    launch_all::<R, F>(gpu, order, systems, &factor, &x, &sound, floor);
    let sound: Vec<u32> = gpu.download(&sound, "SPD solve")?;
    let x: Vec<F> = gpu.download(&x, "SPD solve")?;
    let solution = |s: usize, i: usize| if sound[s] == 1 { x[i * systems + s].into() } else { f64::NAN };
    Ok((0..systems).flat_map(|s| (0..order).map(move |i| (s, i))).map(|(s, i)| solution(s, i)).collect())
}

fn is_finite(order: usize, system: usize, matrices: &[f64], right: &[f64]) -> bool {
    let lower = (0..order).flat_map(|i| &matrices[(system * order + i) * order..][..=i]);
    lower.chain(&right[system * order..][..order]).all(|value| value.is_finite())
}

fn launch_all<R: Runtime, F: Float + CubeElement>(
    gpu: &Gpu<R>,
    order: usize,
    systems: usize,
    factor: &Handle,
    x: &Handle,
    sound: &Handle,
    floor: f32,
) {
    let (cubes, dim) = gpu.one_unit_per(systems);
    for column in 0..order as u32 {
        // SAFETY: a system has `order^2` values in `factor`, `order` in `x`, one in `sound`; units past the
        // last system stop, and `column` is below `order`.
        unsafe {
            eliminate::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                array(factor, order * order * systems),
                array(x, order * systems),
                array(sound, systems),
                order as u32,
                column,
                floor,
            );
        }
    }
    for row in (0..order as u32).rev() {
        // SAFETY: as above; `row` is below `order`.
        unsafe {
            substitute::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                array(factor, order * order * systems),
                array(x, order * systems),
                array(sound, systems),
                order as u32,
                row,
            );
        }
    }
}

/// One column of the factor, and with it one step of the forward substitution.
#[cube(launch_unchecked)]
fn eliminate<F: Float>(
    factor: &mut Array<F>,
    x: &mut Array<F>,
    sound: &mut Array<u32>,
    order: u32,
    column: u32,
    floor: f32,
) {
    let s = ABSOLUTE_POS as u32;
    let systems = sound.len() as u32;
    if s < systems {
        let diagonal = factor[((column * order + column) * systems + s) as usize];
        let mut pivot = diagonal;
        let mut rest = x[(column * systems + s) as usize];
        for k in 0..column {
            let term = factor[((column * order + k) * systems + s) as usize];
            pivot -= term * term;
            rest -= term * x[(k * systems + s) as usize];
        }
        if pivot <= F::cast_from(floor) * diagonal {
            sound[s as usize] = 0;
            pivot = F::new(1.0f32);
        }
        let root = pivot.sqrt();
        factor[((column * order + column) * systems + s) as usize] = root;
        x[(column * systems + s) as usize] = rest / root;
        for i in column + 1..order {
            let mut value = factor[((i * order + column) * systems + s) as usize];
            for k in 0..column {
                value -= factor[((i * order + k) * systems + s) as usize]
                    * factor[((column * order + k) * systems + s) as usize];
            }
            factor[((i * order + column) * systems + s) as usize] = value / root;
        }
    }
}

/// One step of the backward substitution.
#[cube(launch_unchecked)]
fn substitute<F: Float>(factor: &Array<F>, x: &mut Array<F>, sound: &Array<u32>, order: u32, row: u32) {
    let s = ABSOLUTE_POS as u32;
    let systems = sound.len() as u32;
    if s < systems {
        let mut value = x[(row * systems + s) as usize];
        for k in row + 1..order {
            value -= factor[((k * order + row) * systems + s) as usize] * x[(k * systems + s) as usize];
        }
        x[(row * systems + s) as usize] = value / factor[((row * order + row) * systems + s) as usize];
    }
}
