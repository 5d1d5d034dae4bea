//! Many small symmetric positive definite systems at once.

use crate::error::expect_len;
use crate::{Batch, KernelError, Rows, cpu, gpu};

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
    expect_len("matrices", matrices.len(), right.len() * order)?;
    expect_len("right", right.len(), right.len().next_multiple_of(order.max(1)))?;
    Ok(cpu::solve::spd_solve(order, matrices, right))
}

/// [`spd_solve`] where the operands lie, for systems of which several may share a matrix.
///
/// - `matrices`: `[matrices, order * order]`.
/// - `matrix_of`: the matrix of each system.
/// - `right`: `[systems, order]`.
/// - Returns `[systems, order]`, left where it was made: `matrix_of` crosses the bus, four bytes a system, and
///   nothing else does.
///
/// A GPU factors each system's matrix for itself, one unit a system. One without `f64` solves in `f32`: it is
/// right to about 1e-7 times a matrix's condition, and a pivot is taken for rounding below 2^-14 of its diagonal.
/// On any GPU a system that holds an infinity, or a number past an `f32`'s 3.4e38, has no solution either.
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Elsewhere`] unless the operands share a batch and a device, or when
/// `matrix_of` names a matrix that is not there; [`KernelError::Device`] when the device refuses the work.
pub fn spd_solve_on(matrices: &Batch, matrix_of: &[usize], right: &Batch) -> Result<Batch, KernelError> {
    let (systems, order) = (right.count(), right.width());
    matrices.expect("matrices", matrices.count(), order * order)?;
    expect_len("matrix_of", matrix_of.len(), systems)?;
    let unknown = matrix_of.iter().find(|&&matrix| matrix >= matrices.count());
    expect_len("matrix_of", unknown.map_or(matrices.count(), |matrix| matrix + 1), matrices.count())?;
    match (matrices, right) {
        (Batch::Cpu(matrices), Batch::Cpu(right)) => {
            let own: Vec<f64> = matrix_of.iter().flat_map(|&matrix| matrices.row(matrix)).copied().collect();
            Rows::new(systems, order, cpu::solve::spd_solve(order, &own, right.values())).map(Batch::Cpu)
        }
        (Batch::Wgpu(matrices), Batch::Wgpu(right)) => {
            gpu::solve::spd_solve(matrices, matrix_of, right).map(Batch::Wgpu)
        }
        (Batch::Cuda(matrices), Batch::Cuda(right)) => {
            gpu::solve::spd_solve(matrices, matrix_of, right).map(Batch::Cuda)
        }
        _ => Err(matrices.elsewhere("matrices", right.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, check, device, reference};

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

    /// [`spd_solve_on`] of one matrix a system, numbers carried there and back.
    fn solved_on(device: &Device, order: usize, matrices: &[f64], right: &[f64]) -> Vec<f64> {
        let systems = right.len() / order;
        let put =
            |width, values: &[f64]| Rows::new(systems, width, values.to_vec()).unwrap().to_device(device).unwrap();
        let own: Vec<usize> = (0..systems).collect();
        let x = spd_solve_on(&put(order * order, matrices), &own, &put(order, right)).unwrap();
        x.to_host().unwrap().values().to_vec()
    }

    #[test]
    fn spd_solve_matches_reference() {
        for device in check::in_both_precisions() {
            // The condition is under 1e2 and every value under 1: some hundred roundings of 1e-16, or of 6e-8
            // where the device has no f64.
            let tolerance = if device.has_f64() { 1e-12 } else { 5e-4 };
            for (order, count) in [(1, 1), (2, 7), (16, 8), (25, 257), (41, 33)] {
                let (matrices, right) = systems(order, count);
                let found = solved_on(&device, order, &matrices, &right);
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
            let found = solved_on(&device, 80, &matrices, &right);
            let expected = reference::solve::spd_solve(80, &matrices, &right);
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < if device.has_f64() { 1e-12 } else { 5e-4 }, "{worst:e} on {device}");
        }
    }

    #[test]
    fn a_system_without_a_solution_leaves_its_neighbours_alone() {
        for device in check::in_both_precisions() {
            let (matrices, right) = systems(3, 10);
            let alone = solved_on(&device, 3, &matrices, &right);
            let mut broken = matrices.clone();
            broken[9 * 4..9 * 5].copy_from_slice(&[1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
            broken[9 * 6] = f64::NAN;
            let beside = solved_on(&device, 3, &broken, &right);
            for (system, (alone, beside)) in alone.chunks(3).zip(beside.chunks(3)).enumerate() {
                if system == 4 || system == 6 {
                    assert!(beside.iter().all(|x| x.is_nan()), "system {system}: {beside:?} on {device}");
                } else {
                    assert_eq!(alone, beside, "system {system}");
                }
            }
            let reversed: Vec<f64> = matrices.chunks(9).rev().flatten().copied().collect();
            let right: Vec<f64> = right.chunks(3).rev().flatten().copied().collect();
            let solved = solved_on(&device, 3, &reversed, &right);
            assert!(solved.chunks(3).rev().flatten().eq(&alone), "the order of a batch changes bits");
        }
    }

    #[test]
    fn systems_that_share_a_matrix_have_the_bits_of_their_own() {
        let (matrices, right) = systems(16, 3);
        let right = right.repeat(86);
        let matrix_of: Vec<usize> = (0..258).map(|system| system * 7 % 3).collect();
        let own: Vec<f64> = matrix_of.iter().flat_map(|&m| &matrices[m * 256..][..256]).copied().collect();
        for device in check::in_both_precisions() {
            let put = |count, values: &[f64]| {
                Rows::new(count, values.len() / count, values.to_vec()).unwrap().to_device(&device).unwrap()
            };
            let shared = spd_solve_on(&put(3, &matrices), &matrix_of, &put(258, &right)).unwrap().to_host().unwrap();
            assert_eq!(shared.values(), solved_on(&device, 16, &own, &right), "{device}");
        }
    }

    #[test]
    fn a_system_that_holds_no_number_has_no_solution_on_any_device() {
        for device in check::in_both_precisions() {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                // A diagonal, and a value below it; what lies above the diagonal is not read.
                for (place, has_solution) in [(0, false), (4, false), (7, false), (1, true)] {
                    let (mut matrices, right) = systems(3, 2);
                    matrices[place] = bad;
                    let x = solved_on(&device, 3, &matrices, &right);
                    assert!(x[..3].iter().all(|x| x.is_nan() != has_solution), "{bad} at {place}: {x:?} on {device}");
                    assert!(x[3..].iter().all(|x| x.is_finite()), "{bad} at {place}: {x:?} on {device}");
                }
                let (matrices, mut right) = systems(3, 2);
                right[1] = bad;
                let x = solved_on(&device, 3, &matrices, &right);
                assert!(x[..3].iter().all(|x| !x.is_finite()), "{bad}: {x:?} on {device}");
                assert!(x[3..].iter().all(|x| x.is_finite()), "{bad}: {x:?} on {device}");
            }
        }
    }

    #[test]
    fn operands_lie_on_one_device() {
        for device in device::present().iter().filter(|device| !matches!(device, Device::Cpu)) {
            let rows = Rows::new(1, 1, vec![1.0]).unwrap();
            let error = spd_solve_on(&rows.to_device(device).unwrap(), &[0], &Batch::Cpu(rows)).unwrap_err();
            assert_eq!(error.to_string(), format!("matrices lies on {}, the batch on cpu", device.kind()));
        }
    }

    #[test]
    fn shapes_are_checked() {
        let error = spd_solve(2, &[1.0; 7], &[1.0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "matrices has 7 values where the batch needs 8");
        let rows = |count, width| Batch::Cpu(Rows::new(count, width, vec![1.0; count * width]).unwrap());
        for (matrices, matrix_of) in [(rows(2, 3), [0, 1]), (rows(1, 4), [0, 1])] {
            assert!(spd_solve_on(&matrices, &matrix_of, &rows(2, 2)).is_err(), "{matrices:?}");
        }
        assert!(spd_solve_on(&rows(2, 4), &[0], &rows(2, 2)).is_err());
    }
}
