//! ARMA residuals from the polynomials multiplied out, one series at a time, derivatives carried along.

use crate::{ArmaGradient, ArmaOrder};

/// See [`crate::arma_gradient`]; `y` holds the series one after the other.
pub fn arma_gradient(y: &[Vec<f64>], order: ArmaOrder, coefficients: &[f64], skip: usize) -> ArmaGradient {
    let count = order.coefficients();
    let mut gradient = ArmaGradient { sse: Vec::new(), coefficients: Vec::new() };
    for (s, y) in y.iter().enumerate() {
        let own = &coefficients[s * count..][..count];
        let residuals = residuals(y, order, own);
        gradient.sse.push(residuals[skip.min(y.len())..].iter().map(|e| e * e).sum());
        for i in 0..count {
            let moved = derivative(y, order, own, &residuals, i);
            let sum: f64 = (skip..y.len()).map(|t| residuals[t] * moved[t]).sum();
            gradient.coefficients.push(2.0 * sum);
        }
    }
    gradient
}

/// The two polynomials multiplied out, `1` first: `φΦ` and `θΘ`.
pub fn polynomials(order: ArmaOrder, coefficients: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let factor = |taps: &[f64], lag: usize, sign: f64| {
        let mut factor = vec![0.0; taps.len() * lag + 1];
        factor[0] = 1.0;
        taps.iter().enumerate().for_each(|(j, tap)| factor[(j + 1) * lag] = sign * tap);
        factor
    };
    let (ar, rest) = coefficients.split_at(order.ar);
    let (seasonal_ar, rest) = rest.split_at(order.seasonal_ar);
    let (ma, seasonal_ma) = rest.split_at(order.ma);
    (
        product(&factor(ar, 1, -1.0), &factor(seasonal_ar, order.season, -1.0)),
        product(&factor(ma, 1, 1.0), &factor(seasonal_ma, order.season, 1.0)),
    )
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut product = vec![0.0; a.len() + b.len() - 1];
    for (i, a) in a.iter().enumerate() {
        b.iter().enumerate().for_each(|(j, b)| product[i + j] += a * b);
    }
    product
}

fn residuals(y: &[f64], order: ArmaOrder, coefficients: &[f64]) -> Vec<f64> {
    let (ar, ma) = polynomials(order, coefficients);
    let mut residuals = vec![0.0; y.len()];
    for t in 0..y.len() {
        let left: f64 = ar.iter().enumerate().take(t + 1).map(|(lag, c)| c * y[t - lag]).sum();
        let carried: f64 = (1..ma.len().min(t + 1)).map(|lag| ma[lag] * residuals[t - lag]).sum();
        residuals[t] = left - carried;
    }
    residuals
}

/// The recursion differentiated by one coefficient: the polynomials are linear in each, so a difference of two
/// of them is a derivative.
fn derivative(y: &[f64], order: ArmaOrder, coefficients: &[f64], residuals: &[f64], index: usize) -> Vec<f64> {
    let mut more = coefficients.to_vec();
    more[index] += 1.0;
    let (ar, ma) = polynomials(order, coefficients);
    let (more_ar, more_ma) = polynomials(order, &more);
    let mut by = vec![0.0; y.len()];
    for t in 0..y.len() {
        let left: f64 = (0..ar.len().min(t + 1)).map(|lag| (more_ar[lag] - ar[lag]) * y[t - lag]).sum();
        let moved: f64 = (1..ma.len().min(t + 1)).map(|lag| (more_ma[lag] - ma[lag]) * residuals[t - lag]).sum();
        let carried: f64 = (1..ma.len().min(t + 1)).map(|lag| ma[lag] * by[t - lag]).sum();
        by[t] = left - moved - carried;
    }
    by
}
