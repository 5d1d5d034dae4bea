//! Additive ETS written from its equations, one series at a time.

use crate::{EtsForm, EtsGradient, Smoothing, Trend};

/// See [`crate::ets_gradient`]; `y` holds the series one after the other.
pub fn ets_gradient(y: &[Vec<f64>], form: EtsForm, smoothing: &[Smoothing], start: &[f64]) -> EtsGradient {
    let mut gradient = EtsGradient { sse: Vec::new(), smoothing: Vec::new(), start: Vec::new() };
    for ((y, smoothing), start) in y.iter().zip(smoothing).zip(start.chunks(form.start_len())) {
        let (sse, by_smoothing, by_start) = one_series(y, form, smoothing, start);
        gradient.sse.push(sse);
        gradient.smoothing.push(by_smoothing);
        gradient.start.extend(by_start);
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
}

fn one_series(y: &[f64], form: EtsForm, smoothing: &Smoothing, start: &[f64]) -> (f64, Smoothing, Vec<f64>) {
    let count = 4 + start.len();
    let zero = Dual::constant(0.0, count);
    let has = |there: bool, value: f64, otherwise: f64, index: usize| {
        if there { Dual::variable(value, index, count) } else { Dual::constant(otherwise, count) }
    };
    let alpha = has(true, smoothing.alpha, 0.0, 0);
    let beta = has(form.trend != Trend::None, smoothing.beta, 0.0, 1);
    let gamma = has(form.season > 1, smoothing.gamma, 0.0, 2);
    let phi = has(form.trend == Trend::Damped, smoothing.phi, 1.0, 3);
    let mut level = zero.clone();
    let mut slope = has(form.trend != Trend::None, start[0], 0.0, 4);
    let mut season: Vec<Option<Dual>> = vec![None; form.season];
    let mut sse = zero.clone();
    for (t, &y) in y.iter().enumerate() {
        let slot = t % form.season;
        let drift = phi.times(&slope);
        let ahead = level.plus(1.0, &drift);
        if y.is_nan() {
            (level, slope) = (ahead, drift);
            continue;
        }
        let above = Dual::constant(y, count).plus(-1.0, &ahead);
        let error = match &season[slot] {
            None => Dual::variable(start[1 + slot], 5 + slot, count),
            Some(season) => above.plus(-1.0, season),
        };
        let before = season[slot].take().unwrap_or_else(|| above.plus(-1.0, &error));
        season[slot] = Some(before.plus(1.0, &gamma.times(&error)));
        level = ahead.plus(1.0, &alpha.times(&error));
        slope = drift.plus(1.0, &beta.times(&error));
        sse = sse.plus(1.0, &error.times(&error));
    }
    let by = Smoothing { alpha: sse.by[0], beta: sse.by[1], gamma: sse.by[2], phi: sse.by[3] };
    (sse.value, by, sse.by[4..].to_vec())
}
