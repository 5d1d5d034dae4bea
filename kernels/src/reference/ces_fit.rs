//! Complex exponential smoothing's fit, the slow and plain way: a compass search from every corner of a grid.

use crate::{CES_RANGES, CES_WEIGHTS, CesForm};

/// Least sum of squares of one series and the weights that reach it; see [`crate::ces_fit`].
pub fn ces_fit(y: &[f64], form: CesForm, start: &[f64]) -> (f64, [f64; CES_WEIGHTS]) {
    let betas: &[[f64; 2]] = match form {
        CesForm::None | CesForm::Simple => &[[0.0, 0.0]],
        CesForm::Partial => &[[0.05, 0.0], [0.5, 0.0]],
        CesForm::Full => &[[0.2, 0.95], [1.3, 1.0]],
    };
    let mut best = (f64::INFINITY, [0.0; CES_WEIGHTS]);
    for alpha_0 in [0.3, 1.0, 1.7] {
        for alpha_1 in [0.9, 1.0] {
            for [beta_0, beta_1] in betas {
                let found = compass(y, form, start, [alpha_0, alpha_1, *beta_0, *beta_1]);
                if found.0 < best.0 {
                    best = found;
                }
            }
        }
    }
    best
}

fn compass(y: &[f64], form: CesForm, start: &[f64], mut point: [f64; CES_WEIGHTS]) -> (f64, [f64; CES_WEIGHTS]) {
    let sse = |point: &[f64; CES_WEIGHTS]| {
        let squares: f64 = super::ces::errors(y, form, point, start).iter().map(|e| e * e).sum();
        if squares.is_finite() { squares } else { f64::INFINITY }
    };
    let mut least = sse(&point);
    let mut stride = 0.1;
    while stride > 1e-5 {
        let mut moved = false;
        for k in 0..form.weights() {
            for by in [-stride, stride] {
                let mut trial = point;
                trial[k] = (point[k] + by).clamp(CES_RANGES[k].0, CES_RANGES[k].1);
                let there = sse(&trial);
                if there < least {
                    (least, point, moved) = (there, trial, true);
                }
            }
        }
        if !moved {
            stride /= 2.0;
        }
    }
    (least, point)
}
