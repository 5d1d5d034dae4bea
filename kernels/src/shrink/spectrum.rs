//! A Gram matrix' normal coefficients, turned to where their penalty is the same in every direction.

use crate::shrink::Prior;
use crate::solve::PIVOT_FLOOR;

/// Sweeps of Jacobi's method; six or seven are usual.
const SWEEP_CAP: usize = 60;
/// A precision of nothing, beside the diagonal of its column: told from none only by the method, not by a result.
const LEAST_PRECISION: f64 = 1.0 / (1_u64 << 60) as f64;

/// `G v = lambda P v` of the normal coefficients' block of a Gram `G` and the diagonal `P` of their precisions.
///
/// With the vectors `V` so long that `V'PV = I`, `(G + r P)^-1 = V (lambda + r)^-1 V'` for every ridge `r` at once:
/// a noise that changes costs as many divisions as there are normal coefficients.
pub(crate) struct Spectrum {
    /// The precisions, none of them zero.
    pub(crate) precisions: Vec<f64>,
    /// `[normal, normal]`, one vector a column.
    pub(crate) vectors: Vec<f64>,
    /// Not negative.
    pub(crate) values: Vec<f64>,
    /// A `lambda + r` up to this much is rounding: the columns span each other along that vector.
    pub(crate) least: Vec<f64>,
    /// `[Laplace, normal]`: the other rows of the Gram times the vectors.
    pub(crate) across: Vec<f64>,
}

impl Spectrum {
    /// Of a Gram matrix `[order, order]`.
    pub(crate) fn new(prior: &Prior, gram: &[f64], order: usize) -> Self {
        let normal = prior.precisions.len();
        let own = |i: usize| gram[i * order + i];
        let least = |i: usize| if own(i) > 0.0 { own(i) * LEAST_PRECISION } else { LEAST_PRECISION };
        let precisions: Vec<f64> =
            prior.precisions.iter().enumerate().map(|(i, &own)| if own < least(i) { least(i) } else { own }).collect();
        let mut matrix = vec![0.0; normal * normal];
        for i in 0..normal {
            for j in 0..normal {
                matrix[i * normal + j] = gram[i * order + j] / (precisions[i] * precisions[j]).sqrt();
            }
        }
        let mut vectors = rotate(&mut matrix, normal);
        for (row, precision) in vectors.chunks_mut(normal.max(1)).zip(&precisions) {
            row.iter_mut().for_each(|value| *value /= precision.sqrt());
        }
        let along = |row: usize, m: usize| (0..normal).map(|i| gram[row * order + i] * vectors[i * normal + m]).sum();
        let alone = |m: usize| (0..normal).map(|i| vectors[i * normal + m].powi(2) * own(i)).sum::<f64>();
        Self {
            values: (0..normal).map(|m| matrix[m * normal + m].max(0.0)).collect(),
            least: (0..normal).map(|m| PIVOT_FLOOR * alone(m)).collect(),
            across: (normal..order)
                .flat_map(|row| (0..normal).map(move |m| (row, m)))
                .map(|(r, m)| along(r, m))
                .collect(),
            precisions,
            vectors,
        }
    }
}

/// Makes a symmetric matrix diagonal by cyclic Jacobi rotations and returns their product, one vector a column.
/// Source: Golub and Van Loan, *Matrix Computations*, 4th ed., 8.5.
fn rotate(matrix: &mut [f64], size: usize) -> Vec<f64> {
    let mut vectors = vec![0.0; size * size];
    (0..size).for_each(|i| vectors[i * size + i] = 1.0);
    for _ in 0..SWEEP_CAP {
        let mut turned = false;
        for p in 0..size {
            for q in p + 1..size {
                let (own, other, between) = (matrix[p * size + p], matrix[q * size + q], matrix[p * size + q]);
                // Relative to both, so that small values keep their digits beside large ones.
                if between.abs() <= f64::EPSILON * 0.25 * (own.abs() * other.abs()).sqrt() || between == 0.0 {
                    continue;
                }
                turned = true;
                let half = (other - own) / (2.0 * between);
                let tangent = half.signum() / (half.abs() + half.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                let turn = |values: &mut [f64], first: usize, second: usize| {
                    let (a, b) = (values[first], values[second]);
                    values[first] = cosine * a - sine * b;
                    values[second] = sine * a + cosine * b;
                };
                for k in 0..size {
                    turn(matrix, k * size + p, k * size + q);
                    turn(&mut vectors, k * size + p, k * size + q);
                }
                for k in 0..size {
                    turn(matrix, p * size + k, q * size + k);
                }
                matrix[p * size + q] = 0.0;
                matrix[q * size + p] = 0.0;
            }
        }
        if !turned {
            break;
        }
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns of a wave each; the last is the sum of the first two where `spanned`.
    fn gram(order: usize, spanned: bool) -> Vec<f64> {
        let wave = |t: usize, i: usize| ((t * 7_919 + i * 577 + 13) % 1_009) as f64 / 504.5 - 1.0;
        let x = |t: usize, i: usize| if spanned && i + 1 == order { wave(t, 0) + wave(t, 1) } else { wave(t, i) };
        let at = (0..order * order).map(|at| (at / order, at % order));
        at.map(|(i, j)| (0..90).map(|t| x(t, i) * x(t, j)).sum()).collect()
    }

    fn prior(precisions: &[f64]) -> Prior {
        Prior { precisions: precisions.to_vec(), laplace_scale: 0.05, noise_scale: 0.5, noise_floor: 1e-9 }
    }

    #[test]
    fn the_vectors_solve_every_ridge() {
        for precisions in [&[0.04, 0.04, 0.01, 3.0, 1e-6][..], &[0.04, 0.0, 0.01, 0.0, 1.0]] {
            let gram = gram(7, false);
            let Spectrum { vectors, values, precisions, across, .. } = Spectrum::new(&prior(precisions), &gram, 7);
            for ridge in [1e-9, 0.3, 40.0] {
                for column in 0..5 {
                    // `(G + r P) V (lambda + r)^-1 V' e` is `e` again.
                    let solved = |i: usize| {
                        (0..5).map(|m| vectors[i * 5 + m] * vectors[column * 5 + m] / (values[m] + ridge)).sum::<f64>()
                    };
                    for row in 0..5 {
                        let back = (0..5).map(|i| gram[row * 7 + i] * solved(i)).sum::<f64>()
                            + ridge * precisions[row] * solved(row);
                        let expected = f64::from(u8::from(row == column));
                        assert!((back - expected).abs() < 1e-11, "{back} at {row}, {column} with ridge {ridge}");
                    }
                }
            }
            let product: f64 = (0..5).map(|i| gram[6 * 7 + i] * vectors[i * 5 + 2]).sum();
            assert_eq!(across[5 + 2], product);
        }
    }

    #[test]
    fn a_direction_that_others_span_is_told_from_a_small_one() {
        for (spanned, count) in [(true, 1), (false, 0)] {
            let found = Spectrum::new(&prior(&[0.04, 1.0, 1e-8]), &gram(3, spanned), 3);
            let rounding = found.values.iter().zip(&found.least).filter(|(value, least)| value <= least).count();
            assert_eq!(rounding, count, "{:?} against {:?}", found.values, found.least);
        }
    }
}
