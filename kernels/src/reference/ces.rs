//! Complex exponential smoothing in complex numbers, one series at a time.

use crate::{CES_TRIANGLE, CES_WEIGHTS, CesForm, CesSquares};

/// A complex number, `re + i im`.
#[derive(Clone, Copy)]
struct Complex {
    re: f64,
    im: f64,
}

/// See [`crate::ces_squares`]; derivatives are central differences of the errors.
pub fn ces_squares(
    y: &[Vec<f64>],
    form: CesForm,
    season: usize,
    weights: &[[f64; CES_WEIGHTS]],
    start: &[f64],
) -> CesSquares {
    let mut squares = CesSquares { sse: Vec::new(), slope: Vec::new(), curvature: Vec::new() };
    let len = form.start_len(season);
    for (s, y) in y.iter().enumerate() {
        let own = &start[s * len..(s + 1) * len];
        let errors_at = |weights: &[f64; CES_WEIGHTS]| errors(y, form, weights, own);
        let errors = errors_at(&weights[s]);
        let by: Vec<Vec<f64>> = (0..CES_WEIGHTS)
            .map(|k| {
                let moved = |by: f64| {
                    let mut weights = weights[s];
                    weights[k] += by;
                    errors_at(&weights)
                };
                let (up, down) = (moved(STRIDE), moved(-STRIDE));
                up.iter().zip(&down).map(|(up, down)| (up - down) / (2.0 * STRIDE)).collect()
            })
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        squares.sse.push(dot(&errors, &errors));
        squares.slope.push(std::array::from_fn(|k| dot(&errors, &by[k])));
        let mut curvature = [0.0; CES_TRIANGLE];
        for k in 0..CES_WEIGHTS {
            (0..=k).for_each(|l| curvature[k * (k + 1) / 2 + l] = dot(&by[k], &by[l]));
        }
        squares.curvature.push(curvature);
    }
    squares
}

/// Step of the central differences.
const STRIDE: f64 = 1e-6;

/// One-step errors of the last of three passes; 0 where unobserved.
pub fn errors(y: &[f64], form: CesForm, weights: &[f64; CES_WEIGHTS], start: &[f64]) -> Vec<f64> {
    let first = usize::from(form.has_level());
    let paired = |a: f64| Complex { re: a, im: a / 1.1 };
    let mut level = if first == 1 { paired(start[0]) } else { Complex { re: 0.0, im: 0.0 } };
    let mut ring: Vec<Complex> = start[first..].iter().map(|a| paired(*a)).collect();
    let (alpha, beta) = ([weights[0], weights[1]], [weights[2], weights[3]]);
    let of_place = if form == CesForm::Simple { alpha } else { beta };
    let m = ring.len().max(1);
    let mut errors = vec![0.0; y.len()];
    for pass in 0..3 {
        for i in 0..y.len() {
            let t = if pass == 1 { y.len() - 1 - i } else { i };
            let place = ring.get(t % m).copied();
            let ahead = if form.has_level() { level.re } else { 0.0 } + place.map_or(0.0, |place| place.re);
            errors[t] = if y[t].is_nan() { 0.0 } else { y[t] - ahead };
            level = grown(level, alpha, errors[t]);
            if let Some(place) = place {
                ring[t % m] = match form {
                    CesForm::Partial => Complex { re: place.re + beta[0] * errors[t], im: 0.0 },
                    _ => grown(place, of_place, errors[t]),
                };
            }
        }
        level = grown(level, alpha, 0.0);
        if form != CesForm::Partial {
            ring.iter_mut().for_each(|place| *place = grown(*place, of_place, 0.0));
        }
    }
    errors
}

/// Svetunkov, Kourentzes and Ord 2022, the state space form: transition `[1, -(1 - w1); 1, 1 - w0]`, gain
/// `[w0 - w1; w0 + w1]`.
fn grown(state: Complex, [w0, w1]: [f64; 2], e: f64) -> Complex {
    Complex {
        re: state.re - (1.0 - w1) * state.im + (w0 - w1) * e,
        im: state.re + (1.0 - w0) * state.im + (w0 + w1) * e,
    }
}
