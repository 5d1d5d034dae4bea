//! Cholesky of eight systems side by side, one lane each.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::fused;
use crate::solve::PIVOT_FLOOR;

const LANES: usize = 8;
type Lane = [f64; LANES];

pub(crate) fn spd_solve(order: usize, matrices: &[f64], right: &[f64]) -> Vec<f64> {
    let mut solutions = vec![0.0; right.len()];
    if order == 0 {
        return solutions;
    }
    let arch = Arch::new();
    let groups = solutions.par_chunks_mut(LANES * order).zip(right.par_chunks(LANES * order));
    groups.zip(matrices.par_chunks(LANES * order * order)).for_each(|((x, right), matrices)| {
        arch.dispatch(SolveGroup { order, matrices, right, x });
    });
    solutions
}

struct SolveGroup<'a> {
    order: usize,
    matrices: &'a [f64],
    right: &'a [f64],
    x: &'a mut [f64],
}

impl WithSimd for SolveGroup<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if S::IS_SCALAR { self.solve::<false>() } else { self.solve::<true>() }
    }
}

impl SolveGroup<'_> {
    #[inline(always)]
    fn solve<const FMA: bool>(self) {
        let Self { order, matrices, right, x } = self;
        // Lanes past the last system repeat it: no lane ever holds a number that no system has.
        let of = |lane: usize| lane.min(right.len() / order - 1);
        let mut factor: Vec<Lane> =
            (0..order * order).map(|at| std::array::from_fn(|lane| matrices[of(lane) * order * order + at])).collect();
        let mut solution: Vec<Lane> =
            (0..order).map(|i| std::array::from_fn(|lane| right[of(lane) * order + i])).collect();
        let sound = factorise::<FMA>(order, &mut factor);
        substitute::<FMA>(order, &factor, &mut solution);
        for (system, x) in x.chunks_exact_mut(order).enumerate() {
            for (x, solution) in x.iter_mut().zip(&solution) {
                *x = if sound[system] { solution[system] } else { f64::NAN };
            }
        }
    }
}

/// Row by row, the lower triangle becomes `L` with the inverses of its diagonal on the diagonal. Returns
/// which lanes kept every pivot above the floor; the others carry on with a pivot of one.
#[inline(always)]
fn factorise<const FMA: bool>(order: usize, factor: &mut [Lane]) -> [bool; LANES] {
    let mut sound = [true; LANES];
    for i in 0..order {
        let (above, row) = factor.split_at_mut(i * order);
        for j in 0..i {
            let mut rest = row[j];
            for (left, right) in row[..j].iter().zip(&above[j * order..]) {
                for lane in 0..LANES {
                    rest[lane] = fused::<FMA>(-left[lane], right[lane], rest[lane]);
                }
            }
            for lane in 0..LANES {
                row[j][lane] = rest[lane] * above[j * order + j][lane];
            }
        }
        let diagonal = row[i];
        let mut pivot = diagonal;
        for left in &row[..i] {
            for lane in 0..LANES {
                pivot[lane] = fused::<FMA>(-left[lane], left[lane], pivot[lane]);
            }
        }
        for lane in 0..LANES {
            // Written so that a NaN is not sound either.
            let stands = pivot[lane] > PIVOT_FLOOR * diagonal[lane];
            sound[lane] &= stands;
            row[i][lane] = 1.0 / if stands { pivot[lane].sqrt() } else { 1.0 };
        }
    }
    sound
}

/// Forward through `L`, then back through its transpose.
#[inline(always)]
fn substitute<const FMA: bool>(order: usize, factor: &[Lane], x: &mut [Lane]) {
    for i in 0..order {
        let mut rest = x[i];
        for (left, x) in factor[i * order..i * order + i].iter().zip(&x[..i]) {
            for lane in 0..LANES {
                rest[lane] = fused::<FMA>(-left[lane], x[lane], rest[lane]);
            }
        }
        for lane in 0..LANES {
            x[i][lane] = rest[lane] * factor[i * order + i][lane];
        }
    }
    for i in (0..order).rev() {
        for lane in 0..LANES {
            x[i][lane] *= factor[i * order + i][lane];
        }
        let solved = x[i];
        for (left, x) in factor[i * order..i * order + i].iter().zip(&mut x[..i]) {
            for lane in 0..LANES {
                x[lane] = fused::<FMA>(-left[lane], solved[lane], x[lane]);
            }
        }
    }
}
