//! Additive ETS by maximum likelihood, the slow and plain way: least squares by orthogonal columns for the start, a
//! compass search over the weights from every corner of a grid.

use crate::{ALPHA_RANGE, EtsForm, PHI_RANGE, Smoothing, Trend};

/// Least sum of squares of one series and the weights that reach it; see [`crate::ets_fit`].
pub fn ets_fit(y: &[f64], form: EtsForm) -> (f64, Smoothing) {
    let slopes: &[f64] = if form.trend == Trend::None { &[0.0] } else { &[0.05, 0.5] };
    let seasons: &[f64] = if form.season == 1 { &[0.0] } else { &[0.05, 0.3, 0.8] };
    let mut best = (f64::INFINITY, Smoothing::default());
    for &alpha in &[0.01, 0.1, 0.5, 0.95] {
        for &slope in slopes {
            for &season in seasons {
                let found = compass(y, form, [alpha, slope, season, 0.9]);
                if found.0 < best.0 {
                    best = found;
                }
            }
        }
    }
    best
}

fn compass(y: &[f64], form: EtsForm, mut point: [f64; 4]) -> (f64, Smoothing) {
    let range = [ALPHA_RANGE, (0.0, 1.0), (0.0, 1.0), PHI_RANGE];
    let mut best = least_sse(y, form, &smoothing(form, &point));
    let mut stride = 0.1;
    while stride > 1e-4 {
        let mut moved = false;
        for i in 0..4 {
            for sign in [-1.0, 1.0] {
                let mut trial = point;
                trial[i] = (point[i] + sign * stride).clamp(range[i].0, range[i].1);
                let sse = least_sse(y, form, &smoothing(form, &trial));
                if sse < best {
                    (best, point, moved) = (sse, trial, true);
                }
            }
        }
        if !moved {
            stride *= 0.5;
        }
    }
    (best, smoothing(form, &point))
}

fn smoothing(form: EtsForm, &[alpha, slope, season, phi]: &[f64; 4]) -> Smoothing {
    let floor = ALPHA_RANGE.0;
    Smoothing {
        alpha,
        beta: if form.trend == Trend::None { 0.0 } else { floor + (alpha - floor) * slope },
        gamma: if form.season == 1 { 0.0 } else { floor + (1.0 - alpha - floor) * season },
        phi: if form.trend == Trend::Damped { phi } else { 1.0 },
    }
}

/// Least sum of squares over the start: the errors less their projection on what each coordinate adds.
pub fn least_sse(y: &[f64], form: EtsForm, smoothing: &Smoothing) -> f64 {
    let mut errors = errors(y, form, smoothing, &vec![0.0; form.start_len()]);
    let zeros: Vec<f64> = y.iter().map(|v| v * 0.0).collect();
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for i in 0..form.start_len() {
        let mut unit = vec![0.0; form.start_len()];
        unit[i] = 1.0;
        let mut column = self::errors(&zeros, form, smoothing, &unit);
        let length = dot(&column, &column);
        for _ in 0..2 {
            for other in &basis {
                let share = dot(&column, other);
                column.iter_mut().zip(other).for_each(|(c, o)| *c -= share * o);
            }
        }
        let left = dot(&column, &column);
        if left > 1e-20 * length && left > 0.0 {
            column.iter_mut().for_each(|c| *c /= left.sqrt());
            let share = dot(&errors, &column);
            errors.iter_mut().zip(&column).for_each(|(e, c)| *e -= share * c);
            basis.push(column);
        }
    }
    dot(&errors, &errors)
}

/// One-step errors of the recursion of [`crate::ets_gradient`].
fn errors(y: &[f64], form: EtsForm, smoothing: &Smoothing, start: &[f64]) -> Vec<f64> {
    let phi = if form.trend == Trend::Damped { smoothing.phi } else { 1.0 };
    let mut level = 0.0;
    let mut slope = if form.trend == Trend::None { 0.0 } else { start[0] };
    let mut season: Vec<Option<f64>> = vec![None; form.season];
    let step = |(t, &y): (usize, &f64)| {
        let slot = t % form.season;
        let ahead = level + phi * slope;
        if y.is_nan() {
            (level, slope) = (ahead, phi * slope);
            return 0.0; // an unobserved step has no error
        }
        let before = season[slot].unwrap_or(y - ahead - start[1 + slot]);
        let error = y - ahead - before;
        level = ahead + smoothing.alpha * error;
        slope = phi * slope + smoothing.beta * error;
        season[slot] = Some(before + smoothing.gamma * error);
        error
    };
    y.iter().enumerate().map(step).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::super::ets::ets_gradient;
    use super::*;

    #[test]
    fn the_recursion_agrees_with_the_one_that_carries_derivatives() {
        let y: Vec<f64> = (0..30).map(|t| if t == 7 { f64::NAN } else { f64::from((t * 37) % 11) }).collect();
        let form = EtsForm::additive(Trend::Damped, 4);
        let weights = Smoothing { alpha: 0.3, beta: 0.1, gamma: 0.2, phi: 0.9 };
        let start = [0.5, 1.0, -1.0, 2.0, 0.0];
        let errors = errors(&y, form, &weights, &start);
        let gradient = ets_gradient(&[y], &[0.0], form, &[weights], &start);
        assert!((dot(&errors, &errors) - gradient.sse[0]).abs() < 1e-9);
    }
}
