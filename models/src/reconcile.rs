//! Forecasts of aggregates made coherent with those of their parts.
//!
//! Every series is forecast by itself first. What is forecast of a sum then differs from the sum of what is forecast of
//! its parts, and each of them is moved by as much as it is uncertain.
//!
//! Source: Wickramasuriya, Athanasopoulos and Hyndman, *Optimal forecast reconciliation for hierarchical and grouped
//! time series through trace minimization*, J. Am. Stat. Assoc. 114(526), 2019, section 2.4: MinT with a diagonal
//! covariance, in the form of its equation 10, which inverts one matrix as wide as there are sums.

use std::collections::{BTreeMap, HashMap};

use crate::{Forecast, normal_quantile};

/// Sums that share parts and are reconciled together at most: their matrix is factored in a third of its cube.
pub const MOST_SUMS: usize = 1_000;
/// What a variance of nothing is taken for beside the others of its sum, so that equal sums can be told apart.
const RIDGE: f64 = 1e-9;

/// One aggregate of a forecast: its place there, and those of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// The aggregate's place; no aggregate is a part of another.
    pub series: usize,
    /// Its parts' places, none twice.
    pub parts: Vec<usize>,
}

/// Why forecasts could not be reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// Reconcile fewer together, or aggregate by fewer labels.
    #[error("{count} sums share parts, and {MOST_SUMS} are the most that are reconciled together")]
    TooMany {
        /// Sums that share parts.
        count: usize,
    },
    /// Parts this large have no sum.
    #[error("their sum is beyond what a number holds")]
    NotFinite,
}

/// Sums that must be reconciled together, as places in `sums`: those that share a part, directly or by way of others.
/// In the order of their first.
pub fn connected(sums: &[Aggregate]) -> Vec<Vec<usize>> {
    let mut group_of: Vec<usize> = (0..sums.len()).collect();
    let root = |group_of: &[usize], mut at: usize| {
        while group_of[at] != at {
            at = group_of[at];
        }
        at
    };
    let mut first_with = HashMap::new();
    for (sum, aggregate) in sums.iter().enumerate() {
        for part in &aggregate.parts {
            let other = *first_with.entry(*part).or_insert(sum);
            let (a, b) = (root(&group_of, other), root(&group_of, sum));
            group_of[a.max(b)] = a.min(b);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for sum in 0..sums.len() {
        groups.entry(root(&group_of, sum)).or_default().push(sum);
    }
    groups.into_values().collect()
}

/// The spread of each series of a forecast, as a standard deviation in its unit: the mean width between its outermost
/// quantiles beside that of the normal distribution. One for every series where there are no two quantiles.
pub fn spreads(forecast: &Forecast) -> Vec<f64> {
    let of = |series: usize| match forecast.quantiles().levels() {
        [low, .., high] => {
            let last = forecast.quantiles().levels().len() - 1;
            let edges = forecast.quantile(series, 0).iter().zip(forecast.quantile(series, last));
            let width = edges.map(|(low, high)| high - low).sum::<f64>() / forecast.horizon().steps() as f64;
            width / (normal_quantile(*high) - normal_quantile(*low))
        }
        _ => 1.0,
    };
    (0..forecast.series_count()).map(of).collect()
}

/// Moves the means of sums and their parts so that each sum's is exactly that of its parts, each by its variance; the
/// quantiles move along.
///
/// - `forecast`: one step of it is one moment for all its series.
/// - `sums`: aggregates that are the sum of their parts; see [`connected`].
/// - `spreads`: a standard deviation for each series of `forecast`, such as [`spreads`] gives. One of zero does not move.
/// - `bounds`: the least and the most that is forecast of each series, `(-∞, ∞)` where there is none. A part never
///   leaves them; a sum stays inside its own as far as those of its parts let it.
///
/// With discrepancies `d = a − S b`, the parts become `b + W S' (S W S' + W_a)⁻¹ d`.
///
/// # Errors
/// [`ReconcileError`]: too many sums at once, or numbers too large to be added.
///
/// # Panics
/// When `spreads` or `bounds` are not one a series.
pub fn sums(
    forecast: &Forecast,
    sums: &[Aggregate],
    spreads: &[f64],
    bounds: &[(f64, f64)],
) -> Result<Forecast, ReconcileError> {
    assert!(spreads.len() == forecast.series_count() && bounds.len() == spreads.len(), "one spread and bound a series");
    if sums.len() > MOST_SUMS {
        return Err(ReconcileError::TooMany { count: sums.len() });
    }
    let variances = variances(spreads);
    let mut owners: Vec<Vec<usize>> = vec![Vec::new(); variances.len()];
    for (sum, aggregate) in sums.iter().enumerate() {
        aggregate.parts.iter().for_each(|part| owners[*part].push(sum));
    }
    let root = Cholesky::of(sums.len(), weights(sums, &owners, &variances));
    let mut to = forecast.clone();
    for step in 0..forecast.horizon().steps() {
        let mut means: Vec<f64> = (0..variances.len()).map(|series| forecast.mean(series)[step]).collect();
        let mut pulls: Vec<f64> = sums.iter().map(|sum| means[sum.series] - total(sum, &means)).collect();
        root.solve(&mut pulls);
        for (part, owners) in owners.iter().enumerate().filter(|(_, owners)| !owners.is_empty()) {
            let pull: f64 = owners.iter().map(|sum| pulls[*sum]).sum();
            means[part] = held(means[part] + variances[part] * pull, forecast.mean(part)[step], bounds[part]);
        }
        for sum in sums {
            bring_inside(sum, &mut means, &variances, bounds);
        }
        for sum in sums {
            means[sum.series] = total(sum, &means);
        }
        for series in
            sums.iter().map(|sum| sum.series).chain((0..owners.len()).filter(|part| !owners[*part].is_empty()))
        {
            move_to(&mut to, series, step, means[series], bounds[series]);
        }
    }
    let moved = sums.iter().flat_map(|sum| sum.parts.iter().chain([&sum.series]));
    if moved.into_iter().all(|series| to.is_finite(*series)) { Ok(to) } else { Err(ReconcileError::NotFinite) }
}

/// Raises what is forecast of a maximum to what is forecast of each of its parts: neither the mean of a maximum nor any
/// of its quantiles is ever under that of a part.
///
/// - `forecast`: one step of it is one moment for all its series.
/// - `maxima`: aggregates that are the maximum of their parts.
pub fn maxima(forecast: &Forecast, maxima: &[Aggregate]) -> Forecast {
    let mut to = forecast.clone();
    let raise = |to: &mut [f64], by: &[f64]| to.iter_mut().zip(by).for_each(|(to, by)| *to = to.max(*by));
    for Aggregate { series, parts } in maxima {
        for part in parts {
            raise(to.mean_mut(*series), forecast.mean(*part));
            for index in 0..forecast.quantiles().levels().len() {
                raise(to.quantile_mut(*series, index), forecast.quantile(*part, index));
            }
        }
    }
    to
}

fn total(sum: &Aggregate, means: &[f64]) -> f64 {
    sum.parts.iter().map(|part| means[*part]).sum()
}

/// Variances beside the largest of them, which is one: those of huge series would not fit a number.
fn variances(spreads: &[f64]) -> Vec<f64> {
    let largest = spreads.iter().copied().fold(0.0, f64::max);
    spreads.iter().map(|spread| if largest > 0.0 { (spread / largest).powi(2) } else { 0.0 }).collect()
}

/// `S W S' + W_a`, row by row.
fn weights(sums: &[Aggregate], owners: &[Vec<usize>], variances: &[f64]) -> Vec<f64> {
    let order = sums.len();
    let mut matrix = vec![0.0; order * order];
    for (owners, variance) in owners.iter().zip(variances) {
        for (row, column) in owners.iter().flat_map(|row| owners.iter().map(move |column| (row, column))) {
            matrix[row * order + column] += variance;
        }
    }
    for (sum, aggregate) in sums.iter().enumerate() {
        let diagonal = &mut matrix[sum * order + sum];
        *diagonal = (1.0 + RIDGE) * (*diagonal + variances[aggregate.series]);
        if *diagonal == 0.0 {
            *diagonal = 1.0; // nothing in its row: all that it has is certain, and stays where it is
        }
    }
    matrix
}

/// A value inside its bounds, or no further outside than it was.
fn held(value: f64, before: f64, (low, high): (f64, f64)) -> f64 {
    value.max(low.min(before)).min(high.max(before))
}

/// Moves the parts of a sum until it lies inside its bounds, each by its variance, as far as their own bounds let them.
fn bring_inside(sum: &Aggregate, means: &mut [f64], variances: &[f64], bounds: &[(f64, f64)]) {
    let now = total(sum, means);
    let (low, high) = bounds[sum.series];
    let short = now.max(low).min(high) - now;
    if short == 0.0 || !short.is_finite() {
        return;
    }
    let all: f64 = sum.parts.iter().map(|part| variances[*part]).sum();
    for part in &sum.parts {
        let share = if all > 0.0 { variances[*part] / all } else { 1.0 / sum.parts.len() as f64 };
        means[*part] = held(means[*part] + share * short, means[*part], bounds[*part]);
    }
}

/// Gives one step of a series another mean; its quantiles move along, and stay inside the bounds.
fn move_to(forecast: &mut Forecast, series: usize, step: usize, mean: f64, bounds: (f64, f64)) {
    let by = mean - forecast.mean(series)[step];
    forecast.mean_mut(series)[step] = mean;
    for index in 0..forecast.quantiles().levels().len() {
        let quantile = &mut forecast.quantile_mut(series, index)[step];
        *quantile = held(*quantile + by, *quantile, bounds);
    }
}

/// The lower triangle `L` of a symmetric positive definite matrix `L L'`, row by row: factored once for all steps, where
/// the batched kernel would do it for each.
struct Cholesky {
    order: usize,
    root: Vec<f64>,
}

impl Cholesky {
    fn of(order: usize, mut matrix: Vec<f64>) -> Self {
        for row in 0..order {
            for column in 0..=row {
                let dot: f64 = (0..column).map(|k| matrix[row * order + k] * matrix[column * order + k]).sum();
                let rest = matrix[row * order + column] - dot;
                matrix[row * order + column] = match row == column {
                    // Rounding may leave nothing of a ridge.
                    true => rest.max(f64::EPSILON * matrix[row * order + row]).sqrt(),
                    false => rest / matrix[column * order + column],
                };
            }
        }
        Self { order, root: matrix }
    }

    /// Makes the right side the solution.
    fn solve(&self, right: &mut [f64]) {
        let row_of = |row: usize| &self.root[row * self.order..][..=row];
        for row in 0..self.order {
            let (known, own) = (row_of(row), right[row]);
            let dot: f64 = known[..row].iter().zip(&*right).map(|(l, x)| l * x).sum();
            right[row] = (own - dot) / known[row];
        }
        for row in (0..self.order).rev() {
            let known = row_of(row);
            right[row] /= known[row];
            let (above, own) = right.split_at_mut(row);
            above.iter_mut().zip(known).for_each(|(x, l)| *x -= l * own[0]);
        }
    }
}

#[cfg(test)]
mod tests;
