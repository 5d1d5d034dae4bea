//! Many small symmetric positive definite systems at once.

use crate::{KernelError, cpu};

/// A pivot this small beside its own diagonal means that the earlier columns already span it: what is
/// left of it is rounding. 2^-43, about 1e-13.
pub const PIVOT_FLOOR: f64 = 1.0 / (1_u64 << 43) as f64;

/// Solves `A x = b` for each of many symmetric positive definite matrices of one order, by Cholesky.
///
/// - `matrices`: `[systems, order, order]`; only the lower triangles are read.
/// - `right`: `[systems, order]`.
/// - Returns `[systems, order]`. A system with a pivot not above [`PIVOT_FLOOR`] times its diagonal, or with
///   a NaN, has no solution that means anything: its whole row is NaN, and its neighbours are untouched.
///
/// `order^3 / 3 + 2 * order^2` flops a system, eight systems side by side on a CPU. Source: Golub and Van
/// Loan, *Matrix Computations*, 4th ed., 4.2.
///
/// # Errors
/// [`KernelError::Shape`] unless `matrices` has `order * order` values for each `order` of `right`.
pub fn spd_solve(order: usize, matrices: &[f64], right: &[f64]) -> Result<Vec<f64>, KernelError> {
    let needed = right.len() * order;
    if matrices.len() != needed || !right.len().is_multiple_of(order.max(1)) {
        return Err(KernelError::Shape { operand: "matrices", found: matrices.len(), needed });
    }
    Ok(cpu::solve::spd_solve(order, matrices, right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    /// `B B' + order * I` of a fixed pseudo-random `B`: well-conditioned, so that agreement is to rounding.
    fn systems(order: usize, count: usize) -> (Vec<f64>, Vec<f64>) {
        let wave = |i: usize| ((i * 7_919 + 13) % 1_009) as f64 / 504.5 - 1.0;
        let mut matrices = Vec::new();
        for system in 0..count {
            let b = |i: usize, k: usize| wave(system * order * order + i * order + k);
            for i in 0..order {
                for j in 0..order {
                    let dot: f64 = (0..order).map(|k| b(i, k) * b(j, k)).sum();
                    matrices.push(dot + if i == j { order as f64 } else { 0.0 });
                }
            }
        }
        (matrices, (0..count * order).map(|i| wave(3 * i + 1)).collect())
    }

    #[test]
    fn spd_solve_matches_reference() {
        for (order, count) in [(1, 1), (2, 7), (16, 8), (25, 9), (41, 33)] {
            let (matrices, right) = systems(order, count);
            let found = spd_solve(order, &matrices, &right).unwrap();
            let expected = reference::solve::spd_solve(order, &matrices, &right);
            for (found, expected) in found.iter().zip(&expected) {
                // The condition is under 1e2 and every value under 1: some hundred roundings of 1e-16.
                assert!((found - expected).abs() < 1e-12, "{found} against {expected} at order {order}");
            }
        }
    }

    #[test]
    fn a_system_without_a_solution_leaves_its_neighbours_alone() {
        let (matrices, right) = systems(3, 10);
        let alone = spd_solve(3, &matrices, &right).unwrap();
        let mut broken = matrices.clone();
        broken[9 * 4..9 * 5].copy_from_slice(&[1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        broken[9 * 6] = f64::NAN;
        let beside = spd_solve(3, &broken, &right).unwrap();
        for (system, (alone, beside)) in alone.chunks(3).zip(beside.chunks(3)).enumerate() {
            if system == 4 || system == 6 {
                assert!(beside.iter().all(|x| x.is_nan()), "system {system}: {beside:?}");
            } else {
                assert_eq!(alone, beside, "system {system}");
            }
        }
        let reversed: Vec<f64> = matrices.chunks(9).rev().flatten().copied().collect();
        let right: Vec<f64> = right.chunks(3).rev().flatten().copied().collect();
        let solved = spd_solve(3, &reversed, &right).unwrap();
        assert!(solved.chunks(3).rev().flatten().eq(&alone), "the order of a batch changes bits");
    }

    #[test]
    fn shapes_are_checked() {
        let error = spd_solve(2, &[1.0; 7], &[1.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "matrices has 7 values where the batch needs 8");
    }
}
