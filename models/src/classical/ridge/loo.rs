//! Small ridge regressions, the penalty judged by leave-one-out errors.

use serde::{Deserialize, Serialize};

/// Penalties tried, as multiples of a tenth of the row count: half a decade apart.
const PENALTIES: usize = 17;
/// Errors past this many robust standard deviations lose weight.
const HUBER: f64 = 2.0;

/// One regression at every penalty: coefficients, leave-one-out errors and their mean square.
pub(super) struct Path<const F: usize> {
    rows: usize,
    losses: [f64; PENALTIES],
    coefficients: [[f64; F]; PENALTIES],
    errors: Vec<f64>,
}

/// What a weighting of paths and penalties gives.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound(serialize = "[f64; F]: Serialize", deserialize = "[f64; F]: Deserialize<'de>"))]
pub(super) struct Averaged<const F: usize> {
    /// Coefficients of each path, scaled by the weight its penalties got.
    pub(super) coefficients: Vec<[f64; F]>,
    /// Weight of each path; they sum to one.
    pub(super) weights: Vec<f64>,
    /// Leave-one-out errors of the average.
    pub(super) errors: Vec<f64>,
}

/// Regresses `y` on `x` at every penalty, twice: the second time rows with large errors count for less
/// (Huber weights), so that one odd day does not steer the rest.
pub(super) fn path<const F: usize>(x: &[[f64; F]], y: &[f64]) -> Path<F> {
    let scale = column_scale(x);
    let mut weights = vec![1.0; y.len()];
    let plain = weighted(x, y, &scale, &weights);
    let best = (0..PENALTIES).min_by(|a, b| plain.losses[*a].total_cmp(&plain.losses[*b])).expect("seventeen of them");
    let errors = plain.errors_at(best);
    let mut sizes: Vec<f64> = errors.iter().map(|e| e.abs()).collect();
    let middle = sizes.len() / 2;
    let median = *sizes.select_nth_unstable_by(middle, f64::total_cmp).1;
    let limit = HUBER * median / 0.6745; // the median error of a normal distribution, in standard deviations
    if limit <= 0.0 {
        return plain;
    }
    for (weight, error) in weights.iter_mut().zip(errors) {
        *weight = (limit / error.abs().max(limit)).min(1.0);
    }
    weighted(x, y, &scale, &weights)
}

/// Averages every penalty of every path, each weighted by how near its loss comes to the best.
pub(super) fn average<const F: usize>(paths: &[Path<F>]) -> Averaged<F> {
    let best = paths.iter().flat_map(|p| p.losses).fold(f64::INFINITY, f64::min);
    let weight = |loss: f64| (-(loss - best) / best.max(f64::MIN_POSITIVE)).exp();
    let total: f64 = paths.iter().flat_map(|p| p.losses).map(weight).sum();
    let mut out = Averaged { coefficients: Vec::new(), weights: Vec::new(), errors: vec![0.0; paths[0].rows] };
    for path in paths {
        let mut coefficients = [0.0; F];
        let mut sum = 0.0;
        for penalty in 0..PENALTIES {
            let share = weight(path.losses[penalty]) / total;
            sum += share;
            for (mean, one) in coefficients.iter_mut().zip(path.coefficients[penalty]) {
                *mean += share * one;
            }
            for (mean, one) in out.errors.iter_mut().zip(path.errors_at(penalty)) {
                *mean += share * one;
            }
        }
        out.coefficients.push(coefficients);
        out.weights.push(sum);
    }
    out
}

impl<const F: usize> Path<F> {
    fn errors_at(&self, penalty: usize) -> &[f64] {
        &self.errors[penalty * self.rows..][..self.rows]
    }
}

fn column_scale<const F: usize>(x: &[[f64; F]]) -> [f64; F] {
    std::array::from_fn(|f| {
        let mean_square = x.iter().map(|row| row[f] * row[f]).sum::<f64>() / x.len() as f64;
        if mean_square > 0.0 { mean_square.sqrt() } else { 1.0 }
    })
}

/// The path for fixed row weights. In the eigenbasis of the Gram matrix a penalty only rescales each
/// direction, so all penalties share one decomposition.
fn weighted<const F: usize>(x: &[[f64; F]], y: &[f64], scale: &[f64; F], weights: &[f64]) -> Path<F> {
    let rows = y.len();
    let mut gram = [[0.0; F]; F];
    for (row, weight) in x.iter().zip(weights) {
        for i in 0..F {
            for j in 0..=i {
                gram[i][j] += weight * row[i] / scale[i] * row[j] / scale[j];
            }
        }
    }
    for i in 0..F {
        for j in 0..i {
            gram[j][i] = gram[i][j];
        }
    }
    let (eigenvalues, basis) = symmetric_eigen(gram);
    let rotated: Vec<[f64; F]> =
        x.iter().map(|row| std::array::from_fn(|f| (0..F).map(|i| row[i] / scale[i] * basis[i][f]).sum())).collect();
    let mut projection = [0.0; F];
    for ((row, y), weight) in rotated.iter().zip(y).zip(weights) {
        for f in 0..F {
            projection[f] += weight * row[f] * y;
        }
    }
    let mut out = Path {
        rows,
        losses: [0.0; PENALTIES],
        coefficients: [[0.0; F]; PENALTIES],
        errors: Vec::with_capacity(rows * PENALTIES),
    };
    for at in 0..PENALTIES {
        let penalty = 10_f64.powf(at as f64 / 2.0 - 4.0) * rows as f64 / 10.0;
        let shrink: [f64; F] = std::array::from_fn(|f| 1.0 / (eigenvalues[f].max(0.0) + penalty));
        let inside: [f64; F] = std::array::from_fn(|f| projection[f] * shrink[f]);
        for ((row, y), weight) in rotated.iter().zip(y).zip(weights) {
            let fitted: f64 = (0..F).map(|f| row[f] * inside[f]).sum();
            let leverage: f64 = weight * (0..F).map(|f| row[f] * row[f] * shrink[f]).sum::<f64>();
            let error = (y - fitted) / (1.0 - leverage).max(1e-6);
            out.losses[at] += weight * error * error / rows as f64;
            out.errors.push(error);
        }
        out.coefficients[at] = std::array::from_fn(|i| (0..F).map(|f| basis[i][f] * inside[f]).sum::<f64>() / scale[i]);
    }
    out
}

/// Eigenvalues and eigenvectors (columns) of a small symmetric matrix by cyclic Jacobi rotations.
pub(super) fn symmetric_eigen<const F: usize>(mut a: [[f64; F]; F]) -> ([f64; F], [[f64; F]; F]) {
    let mut v: [[f64; F]; F] = std::array::from_fn(|i| std::array::from_fn(|j| f64::from(u8::from(i == j))));
    for _ in 0..12 {
        let off: f64 = (0..F).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        let diagonal: f64 = (0..F).map(|i| a[i][i] * a[i][i]).sum();
        if off <= 1e-30 * diagonal {
            break;
        }
        for p in 0..F {
            for q in p + 1..F {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = 1.0 / t.hypot(1.0);
                let s = t * c;
                for row in &mut a {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for i in 0..F {
                    (a[p][i], a[q][i]) = (c * a[p][i] - s * a[q][i], s * a[p][i] + c * a[q][i]);
                }
                for row in &mut v {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
            }
        }
    }
    (std::array::from_fn(|i| a[i][i]), v)
}
