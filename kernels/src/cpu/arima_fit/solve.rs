//! One small positive definite system.

/// Solves `matrix x = right` by Cholesky in place of the lower triangle; `None` where the matrix is not positive.
pub(super) fn spd_solve(matrix: &mut [f64], right: &[f64]) -> Option<Vec<f64>> {
    let n = right.len();
    for j in 0..n {
        for i in j..n {
            let known: f64 = (0..j).map(|k| matrix[i * n + k] * matrix[j * n + k]).sum();
            let left = matrix[i * n + j] - known;
            if i > j {
                matrix[i * n + j] = left / matrix[j * n + j];
            } else if left > 0.0 && left.is_finite() {
                matrix[j * n + j] = left.sqrt();
            } else {
                return None;
            }
        }
    }
    let mut x = right.to_vec();
    for i in 0..n {
        let known: f64 = (0..i).map(|k| matrix[i * n + k] * x[k]).sum();
        x[i] = (x[i] - known) / matrix[i * n + i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| matrix[k * n + i] * x[k]).sum();
        x[i] = (x[i] - known) / matrix[i * n + i];
    }
    Some(x)
}
