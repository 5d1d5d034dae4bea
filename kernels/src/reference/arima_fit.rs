//! The likelihood of an ARIMA model from the covariance of all its observations, written out.

use super::arima::polynomials;
use crate::arima_fit::{aicc, log_likelihood};
use crate::{ArimaSeries, ArmaOrder};

/// Akaike's corrected criterion of every order with and without a constant at the top of its likelihood: what a screen
/// stands in for. See [`crate::arima_screen`].
pub fn arima_screen(series: &ArimaSeries<'_>, orders: &[ArmaOrder]) -> Vec<(ArmaOrder, bool, f64)> {
    let observed = series.values.iter().filter(|v| !v.is_nan()).count() - series.lost_steps();
    let with = |constant: bool| {
        orders.iter().filter(move |_| !constant || series.may_have_constant()).map(move |order| {
            let parameters = order.coefficients() + usize::from(constant) + 1;
            (*order, constant, aicc(arima_fit(series, *order, constant), observed as f64, parameters))
        })
    };
    with(false).chain(with(true)).collect()
}

/// The largest log-likelihood that a compass search finds among stationary and invertible coefficients; see
/// [`crate::arima_fit()`].
pub fn arima_fit(series: &ArimaSeries<'_>, order: ArmaOrder, constant: bool) -> f64 {
    let observed = series.values.iter().filter(|v| !v.is_nan()).count() - series.lost_steps();
    let at = |coefficients: &[f64]| {
        if !is_inside(order, coefficients) {
            return f64::NEG_INFINITY;
        }
        let (squares, logs, _) = arima_likelihood(series, order, coefficients, constant);
        log_likelihood(observed as f64, squares, logs)
    };
    let mut point = vec![0.0; order.coefficients()];
    let (mut best, mut stride) = (at(&point), 0.25);
    while stride > 1e-3 {
        let mut moved = false;
        for i in 0..point.len() {
            for way in [-stride, stride] {
                let mut next = point.clone();
                next[i] += way;
                let there = at(&next);
                if there > best {
                    (point, best, moved) = (next, there, true);
                }
            }
        }
        if !moved {
            stride /= 2.0;
        }
    }
    best
}

/// Whether the responses to an impulse and of one, by which the noise follows from the series, both die out.
fn is_inside(order: ArmaOrder, coefficients: &[f64]) -> bool {
    let (ar, ma) = polynomials(order, coefficients);
    [ar, ma].iter().all(|polynomial| {
        let mut response = vec![1.0];
        for t in 1..400 {
            let lags = 1..polynomial.len().min(t + 1);
            response.push(-lags.map(|lag| polynomial[lag] * response[t - lag]).sum::<f64>());
        }
        response[300..].iter().all(|left| left.abs() < 1e-3)
    })
}

/// Squares and logarithms of [`crate::ArimaLikelihood`] and the best constant, zero without one.
///
/// The undifferenced series is a linear map of its first steps, of which nothing is known, and of the ARMA process:
/// the likelihood is that of the contrasts in which the first steps cancel.
pub fn arima_likelihood(
    series: &ArimaSeries<'_>,
    order: ArmaOrder,
    coefficients: &[f64],
    constant: bool,
) -> (f64, f64, f64) {
    let (n, lost) = (series.values.len(), series.lost_steps());
    let gamma = autocovariance(order, coefficients, n);
    let contrasts = contrasts(series);
    let loads: Vec<Vec<f64>> = contrasts.iter().map(|contrast| contrast.map[lost..].to_vec()).collect();
    let spread: Vec<Vec<f64>> = loads
        .iter()
        .map(|load| (0..n - lost).map(|j| (0..n - lost).map(|i| load[i] * gamma[i.abs_diff(j)]).sum()).collect())
        .collect();
    let covariance: Vec<Vec<f64>> =
        spread.iter().map(|spread| loads.iter().map(|load| dot(spread, load)).collect()).collect();
    let values: Vec<f64> = contrasts.iter().map(|contrast| contrast.value).collect();
    let ones: Vec<f64> = loads.iter().map(|load| load.iter().sum()).collect();
    let root = cholesky(&covariance);
    let (left, right) = (whiten(&root, &values), whiten(&root, &ones));
    let best = if constant { dot(&left, &right) / dot(&right, &right) } else { 0.0 };
    let squares = dot(&left, &left) - best * dot(&left, &right);
    (squares, (0..root.len()).map(|i| 2.0 * root[i][i].ln()).sum(), best)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A sum of observations, and what it is of the first steps and the ARMA process.
struct Contrast {
    map: Vec<f64>,
    value: f64,
}

/// Every observation less the earlier ones that tell of the same first steps; those that tell of a new one are used
/// up.
fn contrasts(series: &ArimaSeries<'_>) -> Vec<Contrast> {
    let lost = series.lost_steps();
    let (mut pivots, mut contrasts): (Vec<(usize, Contrast)>, Vec<Contrast>) = (Vec::new(), Vec::new());
    for (map, &value) in maps(series).into_iter().zip(series.values).filter(|(_, value)| !value.is_nan()) {
        let mut own = Contrast { map, value };
        for (column, pivot) in &pivots {
            let share = own.map[*column] / pivot.map[*column];
            own.map.iter_mut().zip(&pivot.map).for_each(|(a, b)| *a -= share * b);
            own.value -= share * pivot.value;
        }
        match (0..lost).find(|&i| own.map[i].abs() > 1e-9) {
            Some(column) => pivots.push((column, own)),
            None => contrasts.push(own),
        }
    }
    contrasts
}

/// Each step as a sum over the first steps and the ARMA process from there on.
fn maps(series: &ArimaSeries<'_>) -> Vec<Vec<f64>> {
    let (n, lost, carried) = (series.values.len(), series.lost_steps(), series.carried());
    let mut maps: Vec<Vec<f64>> = Vec::new();
    for t in 0..n {
        let mut row = vec![0.0; n];
        row[t] = 1.0;
        if t >= lost {
            for (i, weight) in carried.iter().enumerate() {
                row.iter_mut().zip(&maps[t - 1 - i]).for_each(|(row, past)| *row += weight * past);
            }
        }
        maps.push(row);
    }
    maps
}

/// Autocovariances by the impulse response, summed until it has died out.
pub fn autocovariance(order: ArmaOrder, coefficients: &[f64], count: usize) -> Vec<f64> {
    let (ar, ma) = polynomials(order, coefficients);
    let mut psi: Vec<f64> = Vec::new();
    for t in 0..20_000 {
        let own = ma.get(t).copied().unwrap_or(0.0);
        psi.push(own - (1..ar.len().min(t + 1)).map(|lag| ar[lag] * psi[t - lag]).sum::<f64>());
    }
    (0..count).map(|k| psi[k..].iter().zip(&psi).map(|(a, b)| a * b).sum()).collect()
}

fn cholesky(matrix: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = matrix.len();
    let mut root = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| root[i][k] * root[j][k]).sum();
            let left: f64 = matrix[i][j] - known;
            root[i][j] = if i == j { left.sqrt() } else { left / root[j][j] };
        }
    }
    root
}

fn whiten(root: &[Vec<f64>], values: &[f64]) -> Vec<f64> {
    let mut white: Vec<f64> = Vec::new();
    for (i, value) in values.iter().enumerate() {
        let known: f64 = (0..i).map(|k| root[i][k] * white[k]).sum();
        white.push((value - known) / root[i][i]);
    }
    white
}
