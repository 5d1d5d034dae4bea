//! Many small symmetric positive definite systems at once.

use crate::{Device, KernelError, cpu, gpu};

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
    spd_solve_on(&Device::Cpu, order, matrices, right)
}

/// [`spd_solve`] on a device of the caller's choice, the numbers carried there and back.
///
/// A GPU without `f64` solves in `f32`: it is right to about 1e-7 times a matrix's condition, and a pivot is
/// taken for rounding below 2^-14 of its diagonal. There a system that holds an infinity has no solution
/// either.
///
/// # Errors
/// As [`spd_solve`]; [`KernelError::Device`] when the device refuses the work.
pub fn spd_solve_on(device: &Device, order: usize, matrices: &[f64], right: &[f64]) -> Result<Vec<f64>, KernelError> {
    let needed = right.len() * order;
    if matrices.len() != needed || !right.len().is_multiple_of(order.max(1)) {
        return Err(KernelError::Shape { operand: "matrices", found: matrices.len(), needed });
    }
    match device {
        Device::Cpu => Ok(cpu::solve::spd_solve(order, matrices, right)),
        Device::Wgpu(gpu) => gpu::solve::spd_solve(gpu, order, matrices, right),
        Device::Cuda(gpu) => gpu::solve::spd_solve(gpu, order, matrices, right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check, reference};

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
        for device in check::in_both_precisions() {
            // The condition is under 1e2 and every value under 1: some hundred roundings of 1e-16, or of 6e-8
            // where the device has no f64.
            let tolerance = if device.has_f64() { 1e-12 } else { 5e-4 };
            for (order, count) in [(1, 1), (2, 7), (16, 8), (25, 257), (41, 33)] {
                let (matrices, right) = systems(order, count);
                let found = spd_solve_on(&device, order, &matrices, &right).unwrap();
                let expected = reference::solve::spd_solve(order, &matrices, &right);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    let close = (found - expected).abs() < tolerance;
                    assert!(close, "{found} against {expected} at order {order} on {device}");
                }
            }
        }
    }

    #[test]
    fn a_long_system_is_solved_in_several_launches() {
        for device in check::in_both_precisions() {
            // 80^3 / 6 iterations a unit are more than software Vulkan does in one launch.
            let (matrices, right) = systems(80, 2);
            let found = spd_solve_on(&device, 80, &matrices, &right).unwrap();
            let expected = reference::solve::spd_solve(80, &matrices, &right);
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < if device.has_f64() { 1e-12 } else { 5e-4 }, "{worst:e} on {device}");
        }
    }

    #[test]
    fn a_system_without_a_solution_leaves_its_neighbours_alone() {
        for device in check::in_both_precisions() {
            let (matrices, right) = systems(3, 10);
            let alone = spd_solve_on(&device, 3, &matrices, &right).unwrap();
            let mut broken = matrices.clone();
            broken[9 * 4..9 * 5].copy_from_slice(&[1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
            broken[9 * 6] = f64::NAN;
            let beside = spd_solve_on(&device, 3, &broken, &right).unwrap();
            for (system, (alone, beside)) in alone.chunks(3).zip(beside.chunks(3)).enumerate() {
                if system == 4 || system == 6 {
                    assert!(beside.iter().all(|x| x.is_nan()), "system {system}: {beside:?} on {device}");
                } else {
                    assert_eq!(alone, beside, "system {system}");
                }
            }
            let reversed: Vec<f64> = matrices.chunks(9).rev().flatten().copied().collect();
            let right: Vec<f64> = right.chunks(3).rev().flatten().copied().collect();
            let solved = spd_solve_on(&device, 3, &reversed, &right).unwrap();
            assert!(solved.chunks(3).rev().flatten().eq(&alone), "the order of a batch changes bits");
        }
    }

    #[test]
    fn shapes_are_checked() {
        let error = spd_solve(2, &[1.0; 7], &[1.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "matrices has 7 values where the batch needs 8");
    }
}
