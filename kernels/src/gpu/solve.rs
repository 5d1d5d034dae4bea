//! Cholesky, one unit a system, one launch a column: order cubed iterations would be too many for one.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Gpu, RowBuffer, array, is_number};
use crate::KernelError;
use crate::solve::PIVOT_FLOOR;

/// [`PIVOT_FLOOR`] for the 24 bits of an `f32`: as far above its rounding.
const PIVOT_FLOOR_F32: f32 = 1.0 / (1_u32 << 14) as f32;

pub(crate) fn spd_solve<R: Runtime>(
    matrices: &RowBuffer<R>,
    matrix_of: &[usize],
    right: &RowBuffer<R>,
) -> Result<RowBuffer<R>, KernelError> {
    let (gpu, order) = (right.gpu(), right.width());
    let x = RowBuffer::empty(gpu, right.count(), order)?;
    let scratch = Scratch {
        matrix_of: gpu.upload(&matrix_of.iter().map(|&matrix| matrix as u32).collect::<Vec<_>>()),
        factor: RowBuffer::empty(gpu, right.count(), order * order)?,
        sound: gpu.empty::<u32>(right.count()),
    };
    if gpu.has_f64() {
        solve::<R, f64>(gpu, matrices, right, &scratch, &x, PIVOT_FLOOR as f32);
    } else {
        solve::<R, f32>(gpu, matrices, right, &scratch, &x, PIVOT_FLOOR_F32);
    }
    gpu.accepted("SPD solve")?;
    Ok(x)
}

/// What a solve keeps on the device beside its operands and its result.
struct Scratch<R: Runtime> {
    /// The matrix of each system.
    matrix_of: Handle,
    /// `[systems, order * order]`, of which the lower triangles become the factors.
    factor: RowBuffer<R>,
    /// 1 for a system that has a solution so far, else 0.
    sound: Handle,
}

fn solve<R: Runtime, F: Float>(
    gpu: &Gpu<R>,
    matrices: &RowBuffer<R>,
    right: &RowBuffer<R>,
    scratch: &Scratch<R>,
    x: &RowBuffer<R>,
    floor: f32,
) {
    let (systems, order) = (x.count(), x.width() as u32);
    let Some((cubes, dim)) = gpu.one_unit_per_any(systems) else { return };
    for column in 0..order {
        // SAFETY: a matrix has `order^2` values in `matrices` and a system in `factor`; a system has `order` in
        // `right` and in `x`, one in `matrix_of`, checked to be a matrix that is there, and one in `sound`. Units
        // past the last system stop, and `column` is below `order`.
        unsafe {
            eliminate::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                matrices.arg(),
                array(&scratch.matrix_of, systems),
                right.arg(),
                scratch.factor.arg(),
                x.arg(),
                array(&scratch.sound, systems),
                matrices.count() as u32,
                order,
                column,
                floor,
            );
        }
    }
    for row in (0..order).rev() {
        // SAFETY: as above; `row` is below `order`.
        unsafe {
            substitute::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                scratch.factor.arg(),
                x.arg(),
                array(&scratch.sound, systems),
                order,
                row,
                f32::NAN,
            );
        }
    }
}

/// One column of the factor, and with it one step of the forward substitution. Each value of a matrix and of a
/// right side is read once, at its own column, and asked there whether it is a number.
#[cube(launch_unchecked)]
fn eliminate<F: Float>(
    matrices: &Array<F>,
    matrix_of: &Array<u32>,
    right: &Array<F>,
    factor: &mut Array<F>,
    x: &mut Array<F>,
    sound: &mut Array<u32>,
    matrix_count: u32,
    order: u32,
    column: u32,
    floor: f32,
) {
    let s = ABSOLUTE_POS as u32;
    let systems = sound.len() as u32;
    if s < systems {
        let matrix = matrix_of[s as usize];
        let mut stands = 1u32;
        if column > 0 {
            stands = sound[s as usize];
        }
        let diagonal = matrices[((column * order + column) * matrix_count + matrix) as usize];
        let mut pivot = diagonal;
        let mut rest = right[(column * systems + s) as usize];
        if !is_number::<F>(diagonal) || !is_number::<F>(rest) {
            stands = 0u32;
        }
        for k in 0..column {
            let term = factor[((column * order + k) * systems + s) as usize];
            pivot -= term * term;
            rest -= term * x[(k * systems + s) as usize];
        }
        if !is_number::<F>(pivot) || pivot <= F::cast_from(floor) * diagonal {
            stands = 0u32;
            pivot = F::new(1.0f32);
        }
        let root = pivot.sqrt();
        factor[((column * order + column) * systems + s) as usize] = root;
        x[(column * systems + s) as usize] = rest / root;
        for i in column + 1..order {
            let mut value = matrices[((i * order + column) * matrix_count + matrix) as usize];
            if !is_number::<F>(value) {
                stands = 0u32;
            }
            for k in 0..column {
                value -= factor[((i * order + k) * systems + s) as usize]
                    * factor[((column * order + k) * systems + s) as usize];
            }
            factor[((i * order + column) * systems + s) as usize] = value / root;
        }
        sound[s as usize] = stands;
    }
}

/// One step of the backward substitution; `missing` where a system has no solution.
#[cube(launch_unchecked)]
fn substitute<F: Float>(factor: &Array<F>, x: &mut Array<F>, sound: &Array<u32>, order: u32, row: u32, missing: f32) {
    let s = ABSOLUTE_POS as u32;
    let systems = sound.len() as u32;
    if s < systems {
        let mut solved = F::cast_from(missing);
        if sound[s as usize] == 1 {
            let mut value = x[(row * systems + s) as usize];
            for k in row + 1..order {
                value -= factor[((k * order + row) * systems + s) as usize] * x[(k * systems + s) as usize];
            }
            solved = value / factor[((row * order + row) * systems + s) as usize];
        }
        x[(row * systems + s) as usize] = solved;
    }
}
