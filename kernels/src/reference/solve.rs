//! SPD systems by Gaussian elimination with row pivoting: nothing of Cholesky's in it.

/// See [`crate::solve::spd_solve`]; a singular system is not looked for.
pub fn spd_solve(order: usize, matrices: &[f64], right: &[f64]) -> Vec<f64> {
    let mut solutions = Vec::new();
    for (matrix, right) in matrices.chunks(order * order).zip(right.chunks(order)) {
        let mut rows: Vec<Vec<f64>> =
            matrix.chunks(order).zip(right).map(|(row, &b)| row.iter().copied().chain([b]).collect()).collect();
        for column in 0..order {
            let largest = (column..order).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
            rows.swap(column, largest.expect("a row is left for each column"));
            for below in column + 1..order {
                let factor = rows[below][column] / rows[column][column];
                for k in column..=order {
                    rows[below][k] -= factor * rows[column][k];
                }
            }
        }
        let mut x = vec![0.0; order];
        for i in (0..order).rev() {
            let known: f64 = (i + 1..order).map(|j| rows[i][j] * x[j]).sum();
            x[i] = (rows[i][order] - known) / rows[i][i];
        }
        solutions.extend(x);
    }
    solutions
}
