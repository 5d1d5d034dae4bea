//! Least squares with a mean for each place of a season.

use super::pretests::dot;

/// Added to each diagonal, as a share of it: of columns that are one another's multiples, each takes a part.
const RIDGE: f64 = 1e-9;
/// Most regressors beside the means.
pub(super) const MOST: usize = 5;

/// A regression's estimates.
pub(super) struct Estimates {
    /// What each place of the season adds.
    pub(super) places: Vec<f64>,
    /// Weight of each regressor.
    pub(super) weights: Vec<f64>,
    /// Standard error of the first weight.
    pub(super) first_error: f64,
    /// Standard deviation of the errors.
    pub(super) spread: f64,
}

/// Regresses `target` on `columns` of its length and on a mean for each of `places` places, of which the first value
/// is at place `first % places`. `None` where the estimates would not leave a degree of freedom, or a place has no
/// value, or numbers leave their range.
///
/// With every place's mean taken out of target and columns, the weights are those of the whole regression (Frisch
/// and Waugh, Econometrica 1, 1933).
pub(super) fn regress(target: &[f64], columns: &[&[f64]], first: usize, places: usize) -> Option<Estimates> {
    let (n, k) = (target.len(), columns.len());
    if n <= places + k || k > MOST {
        return None;
    }
    let (y_means, y) = without_means(target, first, places);
    let (x_means, x): (Vec<_>, Vec<_>) = columns.iter().map(|own| without_means(own, first, places)).unzip();
    let mut gram = [[0.0; MOST]; MOST];
    let mut right = [[0.0; 2]; MOST]; // the target's, and the first unit vector
    for i in 0..k {
        for j in 0..=i {
            gram[i][j] = dot(&x[i], &x[j]);
        }
        gram[i][i] += RIDGE * gram[i][i] + f64::MIN_POSITIVE;
        right[i][0] = dot(&x[i], &y);
        right[i][1] = if i == 0 { 1.0 } else { 0.0 };
    }
    solve(&mut gram, &mut right, k);
    let weights: Vec<f64> = right[..k].iter().map(|of| of[0]).collect();
    let mut errors = y;
    let mut own_places = y_means;
    for ((weight, x), means) in weights.iter().zip(&x).zip(&x_means) {
        errors.iter_mut().zip(x).for_each(|(e, x)| *e -= weight * x);
        own_places.iter_mut().zip(means).for_each(|(place, mean)| *place -= weight * mean);
    }
    let squares = dot(&errors, &errors) / (n - places - k) as f64;
    let first_error = (squares * right[0][1]).sqrt();
    let estimates = Estimates { places: own_places, weights, first_error, spread: squares.sqrt() };
    let is_finite = |numbers: &[f64]| numbers.iter().all(|v| v.is_finite());
    let sound = is_finite(&estimates.places) && is_finite(&estimates.weights) && estimates.spread.is_finite();
    sound.then_some(estimates)
}

/// Means of the places, and the values without them.
fn without_means(values: &[f64], first: usize, places: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut sums, mut counts) = (vec![0.0; places], vec![0.0; places]);
    let from = first % places;
    let mut left = values.to_vec();
    let (head, rest) = left.split_at_mut((places - from).min(values.len()));
    let cycles = || std::iter::once((from, &*head)).chain(rest.chunks(places).map(|cycle| (0, cycle)));
    for (from, cycle) in cycles() {
        for ((sum, count), value) in sums[from..].iter_mut().zip(&mut counts[from..]).zip(cycle) {
            *sum += value;
            *count += 1.0;
        }
    }
    sums.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count);
    head.iter_mut().zip(&sums[from..]).for_each(|(value, mean)| *value -= mean);
    for cycle in rest.chunks_mut(places) {
        cycle.iter_mut().zip(&sums).for_each(|(value, mean)| *value -= mean);
    }
    (sums, left)
}

/// Cholesky of the lower triangle, and two right sides at once.
fn solve(gram: &mut [[f64; MOST]; MOST], right: &mut [[f64; 2]; MOST], k: usize) {
    for i in 0..k {
        for j in 0..=i {
            let rest = gram[i][j] - (0..j).map(|l| gram[i][l] * gram[j][l]).sum::<f64>();
            gram[i][j] = if i == j { rest.max(f64::MIN_POSITIVE).sqrt() } else { rest / gram[j][j] };
        }
    }
    for side in 0..2 {
        for i in 0..k {
            let rest = right[i][side] - (0..i).map(|l| gram[i][l] * right[l][side]).sum::<f64>();
            right[i][side] = rest / gram[i][i];
        }
        for i in (0..k).rev() {
            let rest = right[i][side] - (i + 1..k).map(|l| gram[l][i] * right[l][side]).sum::<f64>();
            right[i][side] = rest / gram[i][i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_made_a_series_is_found() {
        let a: Vec<f64> = (0..60).map(|t| ((t * t * 7) % 11) as f64).collect();
        let b: Vec<f64> = (0..60).map(|t| ((t * t * 5) % 13) as f64).collect();
        let y: Vec<f64> = (0..60).map(|t| 0.5 * a[t] - 2.0 * b[t] + [10.0, 20.0, 40.0][(t + 2) % 3]).collect();
        let found = regress(&y, &[&a, &b], 2, 3).unwrap();
        // The ridge moves a weight by a part in 10^9.
        assert!((found.weights[0] - 0.5).abs() < 1e-7 && (found.weights[1] + 2.0).abs() < 1e-7);
        assert!(found.places.iter().zip([10.0, 20.0, 40.0]).all(|(found, truth)| (found - truth).abs() < 1e-5));
        assert!(found.spread < 1e-6 && found.first_error < 1e-6);
    }

    #[test]
    fn the_standard_error_is_the_textbook_one() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0];
        let y = [2.0, 4.0, 5.0, 4.0, 5.0];
        // Slope 0.6, residual sum of squares 2.4, so sqrt(2.4 / 3 / 10).
        let found = regress(&y, &[&x], 0, 1).unwrap();
        assert!((found.weights[0] - 0.6).abs() < 1e-8 && (found.places[0] - 2.2).abs() < 1e-7);
        assert!((found.first_error - 0.08_f64.sqrt()).abs() < 1e-8);
    }

    #[test]
    fn too_little_is_refused_and_copies_share() {
        let x = [1.0, 2.0, 4.0, 3.0];
        assert!(regress(&x, &[&x], 0, 3).is_none());
        let twice = regress(&x, &[&x, &x], 0, 1).unwrap();
        assert!((twice.weights.iter().sum::<f64>() - 1.0).abs() < 1e-4, "{:?}", twice.weights);
    }
}
