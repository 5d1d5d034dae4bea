//! ETS written from its equations, one series at a time.

use crate::{EtsForm, EtsGradient, Smoothing, Trend};

/// See [`crate::ets_gradient`]; `y` holds the series one after the other.
pub fn ets_gradient(
    y: &[Vec<f64>],
    offset: &[f64],
    form: EtsForm,
    smoothing: &[Smoothing],
    start: &[f64],
) -> EtsGradient {
    let mut gradient = EtsGradient { sse: vec![], log_growth: vec![], smoothing: vec![], start: vec![] };
    for (s, start) in start.chunks(form.start_len()).enumerate().take(y.len()) {
        let (sse, growth) = one_series(&y[s], offset[s], form, &smoothing[s], start);
        let observed = y[s].iter().filter(|v| !v.is_nan()).count().max(1) as f64;
        let by = sse.plus(-2.0 * sse.value / observed, &growth).by;
        gradient.sse.push(sse.value);
        // An expected value below zero has no logarithm.
        gradient.log_growth.push(if growth.value.is_nan() { f64::NEG_INFINITY } else { growth.value });
        gradient.smoothing.push(Smoothing { alpha: by[0], beta: by[1], gamma: by[2], phi: by[3] });
        gradient.start.extend(&by[4..]);
    }
    gradient
}

/// A number and its derivatives by `[alpha, beta, gamma, phi, start...]`: the chain rule, carried forward.
#[derive(Clone)]
struct Dual {
    value: f64,
    by: Vec<f64>,
}

impl Dual {
    fn constant(value: f64, variables: usize) -> Self {
        Self { value, by: vec![0.0; variables] }
    }

    fn variable(value: f64, index: usize, variables: usize) -> Self {
        let mut dual = Self::constant(value, variables);
        dual.by[index] = 1.0;
        dual
    }

    /// `self + scale * other`.
    fn plus(&self, scale: f64, other: &Self) -> Self {
        let by = self.by.iter().zip(&other.by).map(|(a, b)| a + scale * b).collect();
        Self { value: self.value + scale * other.value, by }
    }

    fn times(&self, other: &Self) -> Self {
        let by = self.by.iter().zip(&other.by).map(|(a, b)| a * other.value + b * self.value).collect();
        Self { value: self.value * other.value, by }
    }

    /// `value / self`.
    fn under(&self, value: f64) -> Self {
        let over = value / self.value;
        Self { value: over, by: self.by.iter().map(|b| -b * over / self.value).collect() }
    }

    fn ln(&self) -> Self {
        Self { value: self.value.ln(), by: self.by.iter().map(|b| b / self.value).collect() }
    }
}

/// Sum of squared errors, and of the logarithms of one plus each relative error.
fn one_series(y: &[f64], offset: f64, form: EtsForm, smoothing: &Smoothing, start: &[f64]) -> (Dual, Dual) {
    let count = 4 + start.len();
    let number = |value: f64| Dual::constant(value, count);
    let has = |there: bool, value: f64, otherwise: f64, index: usize| {
        if there { Dual::variable(value, index, count) } else { number(otherwise) }
    };
    let alpha = has(true, smoothing.alpha, 0.0, 0);
    let beta = has(form.trend != Trend::None, smoothing.beta, 0.0, 1);
    let gamma = has(form.season > 1, smoothing.gamma, 0.0, 2);
    let phi = has(form.trend == Trend::Damped, smoothing.phi, 1.0, 3);
    let mut level = number(if form.scales() { 1.0 } else { 0.0 });
    let mut slope = has(form.trend != Trend::None, start[0], 0.0, 4);
    let mut season: Vec<Option<Dual>> = vec![None; form.season];
    let (mut sse, mut growth) = (number(0.0), number(0.0));
    for (t, &y) in y.iter().enumerate() {
        let slot = t % form.season;
        let drift = phi.times(&slope);
        let ahead = level.plus(1.0, &drift);
        if y.is_nan() {
            (level, slope) = (ahead, drift);
            continue;
        }
        let (whole, given) = (y + offset, Dual::variable(start[1 + slot], 5 + slot, count));
        let one_and = |dual: &Dual| number(1.0).plus(1.0, dual);
        // The expected value, the season before, and what the weights take of the error.
        let (before, expected, push) = if form.scales() {
            let fresh = || ahead.times(&one_and(&given)).under(whole);
            let before = season[slot].take().unwrap_or_else(fresh);
            let expected = ahead.times(&before);
            let push = ahead.times(&expected.under(whole).plus(-1.0, &number(1.0)));
            (before, expected, push)
        } else {
            let first =
                if form.is_relative() { one_and(&given).under(whole) } else { number(whole).plus(-1.0, &given) };
            let fresh = || first.plus(-1.0, &ahead).plus(-1.0, &number(offset));
            let before = season[slot].take().unwrap_or_else(fresh);
            let expected = ahead.plus(1.0, &before).plus(1.0, &number(offset));
            let push = number(whole).plus(-1.0, &expected);
            (before, expected, push)
        };
        let ratio = expected.under(whole);
        let error = if form.is_relative() { ratio.plus(-1.0, &number(1.0)) } else { push.clone() };
        let carried = if form.scales() { before.times(&error) } else { push.clone() };
        season[slot] = Some(before.plus(1.0, &gamma.times(&carried)));
        level = ahead.plus(1.0, &alpha.times(&push));
        slope = drift.plus(1.0, &beta.times(&push));
        sse = sse.plus(1.0, &error.times(&error));
        if form.is_relative() {
            growth = growth.plus(1.0, &ratio.ln());
        }
    }
    (sse, growth)
}
