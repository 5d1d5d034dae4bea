//! The shrunk fit by cyclic coordinate descent, one coefficient and then the noise at a time.

use crate::shrink::{Moments, Prior};

/// One series of [`crate::shrink::shrink`], from a start of zero. Coefficients and noise.
///
/// Slow where columns are nearly alike, so for small well-conditioned problems: it sweeps until no
/// coefficient moves by more than 1e-13.
pub fn shrink(prior: &Prior, gram: &[f64], moments: Moments, cross: &[f64]) -> (Vec<f64>, f64) {
    let order = cross.len();
    let mut x = vec![0.0; order];
    let mut variance = noise(prior, moments, moments.square);
    for _ in 0..200_000 {
        let mut moved = 0.0_f64;
        for i in 0..order {
            let others: f64 = (0..order).filter(|&j| j != i).map(|j| gram[i * order + j] * x[j]).sum();
            let (pull, own) = (cross[i] - others, gram[i * order + i]);
            let next = match prior.precisions.get(i) {
                Some(precision) => pull / (own + variance * precision),
                None => {
                    let weight = variance / prior.laplace_scale;
                    pull.signum() * (pull.abs() - weight).max(0.0) / own
                }
            };
            moved = moved.max((next - x[i]).abs());
            x[i] = next;
        }
        let mut square = moments.square;
        for i in 0..order {
            let product: f64 = (0..order).map(|j| gram[i * order + j] * x[j]).sum();
            square += x[i] * (product - 2.0 * cross[i]);
        }
        variance = noise(prior, moments, square);
        if moved < 1e-13 {
            break;
        }
    }
    (x, variance.sqrt())
}

/// The positive root of `v^2 / scale^2 + n v - RSS`, where the objective's slope in the variance is zero.
fn noise(prior: &Prior, moments: Moments, square: f64) -> f64 {
    let (n, scale2) = (moments.count as f64, prior.noise_scale * prior.noise_scale);
    let root = scale2 * ((n * n + 4.0 * square / scale2).sqrt() - n) / 2.0;
    root.max(prior.noise_floor * prior.noise_floor)
}
