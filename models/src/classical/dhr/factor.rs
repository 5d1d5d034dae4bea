//! Least squares by Cholesky, one column after the other.

/// Share of a column's squares that those before it must leave for it to be told from them.
const TOLD: f64 = 1e-6;

/// The factor of some rows and columns of a Gram matrix, in an order of one's own. A column that those before it all but
/// span has weight zero.
///
/// Source: Golub and Van Loan, *Matrix Computations*, 4th ed., 4.2 and 5.3.
pub(super) struct Factor {
    order: usize,
    /// Row by row; a column without weight has an infinite pivot.
    lower: Vec<f64>,
}

impl Factor {
    /// `gram`: `[width, width]`, its lower triangle being read where `picked` rises and both otherwise.
    pub(super) fn new(gram: &[f64], width: usize, picked: &[usize]) -> Self {
        let order = picked.len();
        let mut lower = vec![0.0; order * order];
        for i in 0..order {
            let (above, row) = lower.split_at_mut(i * order);
            for j in 0..i {
                let (row_j, taken) = (&above[j * order..][..j], &row[..j]);
                let known: f64 = row_j.iter().zip(taken).map(|(a, b)| a * b).sum();
                row[j] = (gram[picked[i] * width + picked[j]] - known) / above[j * order + j];
            }
            let whole = gram[picked[i] * width + picked[i]];
            let rest = whole - row[..i].iter().map(|v| v * v).sum::<f64>();
            row[i] = if rest > TOLD * whole { rest.sqrt() } else { f64::INFINITY };
        }
        Self { order, lower }
    }

    /// What each column explains beside those before it: its square is what the sum of squares falls by.
    pub(super) fn explained(&self, right: &[f64]) -> Vec<f64> {
        let mut explained: Vec<f64> = Vec::with_capacity(self.order);
        for i in 0..self.order {
            let row = &self.lower[i * self.order..][..=i];
            let known: f64 = row.iter().zip(&explained).map(|(a, b)| a * b).sum();
            explained.push((right[i] - known) / row[i]);
        }
        explained
    }

    /// The coefficients.
    pub(super) fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut solution = self.explained(right);
        for i in (0..self.order).rev() {
            solution[i] /= self.lower[i * self.order + i];
            let (before, own) = solution.split_at_mut(i);
            let row = &self.lower[i * self.order..][..i];
            before.iter_mut().zip(row).for_each(|(value, weight)| *value -= weight * own[0]);
        }
        solution
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_explains_is_what_the_squares_fall_by() {
        let columns: [&[f64]; 3] = [&[1.0, 1.0, 1.0, 1.0], &[0.0, 1.0, 2.0, 3.0], &[0.0, 2.0, 4.0, 6.0]];
        let y = [1.0, 3.0, 2.0, 6.0];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let gram: Vec<f64> = columns.iter().flat_map(|a| columns.iter().map(|b| dot(a, b))).collect();
        let right: Vec<f64> = columns.iter().map(|a| dot(a, &y)).collect();
        let factor = Factor::new(&gram, 3, &[0, 1, 2]);
        let solution = factor.solve(&right);
        // By hand: mean 3, slope 7/5; the third column is twice the second.
        assert!((solution[0] - 0.9).abs() < 1e-12 && (solution[1] - 1.4).abs() < 1e-12 && solution[2] == 0.0);
        let explained = factor.explained(&right);
        assert!((explained[0].powi(2) - 36.0).abs() < 1e-12 && (explained[1].powi(2) - 9.8).abs() < 1e-12);
        let other = Factor::new(&gram, 3, &[2, 0]).solve(&[right[2], right[0]]);
        assert!((other[0] - 0.7).abs() < 1e-12 && (other[1] - 0.9).abs() < 1e-12);
    }
}
