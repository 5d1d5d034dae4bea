use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::reference;

const FORMS: [ThetaForm; 4] = [ThetaForm::Stm, ThetaForm::Otm, ThetaForm::Dstm, ThetaForm::Dotm];

/// A wandering level on a slope; `gaps` is the share of unobserved steps.
fn series(steps: usize, s: usize, gaps: f64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(100 + s as u64);
    let mut level = 0.0;
    let mut value = |t: usize| {
        level += rng.random_range(-0.1..0.1) * (s % 3) as f64 + 0.01 * (s % 2) as f64;
        let y = level + rng.random_range(-0.4..0.4);
        if t > 0 && rng.random_range(0.0..1.0) < gaps { f64::NAN } else { f64::from(y as f32) }
    };
    (0..steps).map(&mut value).collect()
}

#[test]
fn no_reference_fit_is_better() {
    for form in FORMS {
        for (steps, gaps) in [(6, 0.0), (12, 0.0), (90, 0.0), (90, 0.1)] {
            let y: Vec<_> = (0..12).map(|s| series(steps, s, gaps)).collect();
            let fit = theta_fit(&Lanes::from_fn(steps, 12, |t, s| y[s][t] as f32), form);
            for (s, y) in y.iter().enumerate() {
                let (least, alpha) = reference::theta_fit::theta_fit(y, form);
                // A search ends where a step promises a part in 10^10, and looks 1e-4 inside an end.
                let room = 1e-7 * least + 1e-12;
                assert!(fit.converged[s], "{form:?} {steps} {s}");
                assert!(fit.sse[s] <= least + room, "{form:?} {steps} {s}: {} {least} at {alpha}", fit.sse[s]);
                let there = reference::theta::sse(y, form, fit.alpha[s], fit.level[s], fit.share[s]);
                assert!((there - fit.sse[s]).abs() <= room, "{form:?} {steps} {s}: {there} {}", fit.sse[s]);
            }
        }
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    let y: Vec<_> = (0..20).map(|s| series(80, s, if s % 4 == 3 { 0.2 } else { 0.0 })).collect();
    let all = theta_fit(&Lanes::from_fn(80, 20, |t, s| y[s][t] as f32), ThetaForm::Dotm);
    // Reversed, longer, and with a neighbour of nothing but gaps and one of huge steps.
    let odd = |t: usize, s: usize| match s {
        20 => f32::NAN,
        21 => {
            if t.is_multiple_of(9) {
                1e9
            } else {
                -1e9
            }
        }
        _ => y[19 - s].get(t).map_or(f32::NAN, |v| *v as f32),
    };
    let other = theta_fit(&Lanes::from_fn(95, 22, odd), ThetaForm::Dotm);
    for s in 0..20 {
        let of = |fit: &ThetaFit, s: usize| (fit.alpha[s], fit.level[s], fit.share[s], fit.sse[s], fit.evaluations[s]);
        assert_eq!(of(&all, s), of(&other, 19 - s), "series {s}");
    }
}

#[test]
fn a_perfect_fit_ends() {
    for form in FORMS {
        let fit = theta_fit(&Lanes::from_fn(40, 2, |t, s| if s == 0 { t as f32 / 8.0 } else { 0.0 }), form);
        assert!(fit.converged[0] && fit.converged[1], "{form:?}: {fit:?}");
        assert!(fit.sse[1] < 1e-20, "{form:?}: {fit:?}");
    }
    // A line is its own forecast where all of it is taken.
    let fit = theta_fit(&Lanes::from_fn(40, 1, |t, _| t as f32 / 8.0), ThetaForm::Otm);
    assert!(fit.sse[0] < 1e-12, "{fit:?}");
}
