use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Trend, reference};

const FORMS: [EtsForm; 6] = [
    EtsForm::additive(Trend::None, 1),
    EtsForm::additive(Trend::Additive, 1),
    EtsForm::additive(Trend::Damped, 1),
    EtsForm::additive(Trend::None, 6),
    EtsForm::additive(Trend::Additive, 6),
    EtsForm::additive(Trend::Damped, 6),
];

/// A wandering level with a season, of about unit scale; `gaps` is the share of unobserved steps.
fn series(steps: usize, s: usize, gaps: f64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(100 + s as u64);
    let mut level = 0.0;
    let mut value = |t: usize| {
        level += rng.random_range(-0.1..0.1) * (s % 3) as f64;
        let season = (t as f64 * std::f64::consts::TAU / 6.0).sin();
        let y = level + season + rng.random_range(-0.4..0.4);
        if t > 0 && rng.random_range(0.0..1.0) < gaps { f64::NAN } else { f64::from(y as f32) }
    };
    (0..steps).map(&mut value).collect()
}

#[test]
fn no_reference_fit_is_likelier() {
    for form in FORMS {
        for gaps in [0.0, 0.1] {
            let y: Vec<_> = (0..4).map(|s| series(90, s, gaps)).collect();
            let fit = ets_fit(&Lanes::from_fn(90, 4, |t, s| y[s][t] as f32), &[0.0; 4], form, &[]);
            for (s, y) in y.iter().enumerate() {
                let (least, weights) = reference::ets_fit::ets_fit(y, form);
                let observed = y.iter().filter(|v| !v.is_nan()).count() as f64;
                let worse = 0.5 * observed * (fit.sse[s] / least).ln();
                // A search ends where another step promises under 1e-5 nats; a hundred of them are room
                // for its quadratic being wrong. With the slope's weight at its floor the damping hardly
                // shows, and both ends of its range may hold a valley of their own: it looks into one.
                let room = if form.trend == Trend::Damped { 0.1 } else { 1e-3 };
                assert!(worse < room, "{form:?} {gaps} {s}: {worse} nats; {:?} {weights:?}", fit.smoothing[s]);
                assert!(fit.converged[s], "{form:?} {gaps} {s}");
                // The start is the best there is for these weights.
                let profiled = reference::ets_fit::least_sse(y, form, &fit.smoothing[s]);
                assert!((fit.sse[s] / profiled - 1.0).abs() < 1e-9, "{form:?} {s}: {} {profiled}", fit.sse[s]);
            }
        }
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    let form = FORMS[5];
    let y: Vec<_> = (0..20).map(|s| series(80, s, if s % 4 == 3 { 0.2 } else { 0.0 })).collect();
    let all = ets_fit(&Lanes::from_fn(80, 20, |t, s| y[s][t] as f32), &[0.0; 20], form, &[]);
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
    let other = ets_fit(&Lanes::from_fn(95, 22, odd), &[0.0; 22], form, &[]);
    for s in 0..20 {
        assert_eq!(all.smoothing[s], other.smoothing[19 - s], "series {s}");
        assert_eq!(all.sse[s].to_bits(), other.sse[19 - s].to_bits(), "series {s}");
        let len = form.start_len();
        assert_eq!(all.start[s * len..][..len], other.start[(19 - s) * len..][..len], "series {s}");
    }
}

#[test]
fn a_perfect_fit_ends() {
    let form = EtsForm::additive(Trend::None, 4);
    let fit = ets_fit(&Lanes::from_fn(40, 1, |t, _| [1.0, -1.0, 0.5, 2.0][t % 4]), &[0.0], form, &[]);
    assert!(fit.converged[0] && fit.sse[0] < 1e-20, "{fit:?}");
}

#[test]
fn a_relative_fit_is_stationary_and_no_neighbour_is_likelier() {
    let forms = EtsForm::admissible(6).into_iter().filter(|form| form.is_relative());
    let offset = [3.0, 5.0, 40.0, 4.0];
    for (form, gaps) in forms.flat_map(|form| [(form, 0.0), (form, 0.1)]) {
        let y: Vec<_> = (0..4).map(|s| series(90, s, gaps)).collect();
        let lanes = Lanes::from_fn(90, 4, |t, s| y[s][t] as f32);
        let fit = ets_fit(&lanes, &offset, form, &[]);
        let at = |smoothing: &[Smoothing], start: &[f64]| {
            let gradient = reference::ets::ets_gradient(&y, &offset, form, smoothing, start);
            let observed = |s: usize| y[s].iter().filter(|v| !v.is_nan()).count() as f64;
            let value = |s: usize| observed(s) * gradient.sse[s].ln() - 2.0 * gradient.log_growth[s];
            ((0..4).map(value).collect::<Vec<f64>>(), gradient)
        };
        let (least, gradient) = at(&fit.smoothing, &fit.start);
        for s in 0..4 {
            assert!(fit.converged[s], "{form:?} {gaps} {s}");
            let observed = y[s].iter().filter(|v| !v.is_nan());
            let logs: f64 = observed.clone().map(|v| (f64::from(*v as f32) + offset[s]).ln()).sum();
            assert!(
                (fit.deviance[s] - least[s] - 2.0 * logs).abs() < 1e-6,
                "{form:?} {s}: {:?} {least:?}",
                fit.deviance
            );
            // A descent ends with a step that promised 1e-5 nats: half a squared gradient of `4 2e-5 / n` of the sum.
            let own = &gradient.start[s * form.start_len()..][1..form.start_len()];
            let norm = own.iter().map(|d| d * d).sum::<f64>();
            assert!(norm < 1e-6 * fit.sse[s], "{form:?} {gaps} {s}: {norm} of {}", fit.sse[s]);
        }
        for change in [0.9, 1.1] {
            let nearby: Vec<Smoothing> = fit.smoothing.iter().map(|own| scaled(*own, change)).collect();
            for (s, value) in at(&nearby, &fit.start).0.iter().enumerate() {
                // A search ends where another step promises under 1e-5 nats.
                assert!(*value > least[s] - 1e-3, "{form:?} {gaps} {s} at {change}: {value} {}", least[s]);
            }
        }
    }
}

/// Weights a share larger or smaller, inside their ranges.
fn scaled(own: Smoothing, by: f64) -> Smoothing {
    let alpha = (own.alpha * by).clamp(ALPHA_RANGE.0, ALPHA_RANGE.1);
    Smoothing {
        alpha,
        beta: if own.beta > 0.0 { (own.beta * by).clamp(ALPHA_RANGE.0, alpha) } else { 0.0 },
        gamma: if own.gamma > 0.0 { (own.gamma * by).min(1.0 - alpha).max(ALPHA_RANGE.0) } else { 0.0 },
        phi: if own.phi < 1.0 { (own.phi * by).clamp(PHI_RANGE.0, PHI_RANGE.1) } else { 1.0 },
    }
}

#[test]
fn a_hint_shortens_the_way_and_a_limit_ends_it() {
    let form = EtsForm::multiplicative(Trend::None, 6);
    let y: Vec<_> = (0..20).map(|s| series(120, s, 0.0)).collect();
    let lanes = Lanes::from_fn(120, 20, |t, s| y[s][t] as f32);
    let all = ets_fit(&lanes, &[5.0; 20], form, &[]);
    let season = |s: usize| (0..6).map(|j| y[s][j]).collect::<Vec<f64>>();
    let place = |s: usize| EtsPlace { smoothing: all.smoothing[s], slope: 0.0, season: season(s) };
    let hints = |limit: f64| (0..20).map(|s| EtsHint { places: vec![place(s)], limit }).collect::<Vec<_>>();
    let again = ets_fit(&lanes, &[5.0; 20], form, &hints(f64::INFINITY));
    let never = ets_fit(&lanes, &[5.0; 20], form, &hints(-1e6));
    for s in 0..20 {
        assert!((again.deviance[s] - all.deviance[s]).abs() < 1e-3, "{s}: {} {}", again.deviance[s], all.deviance[s]);
        assert!(again.evaluations[s] <= 20 && again.converged[s], "{s}: {}", again.evaluations[s]);
        assert!(never.evaluations[s] <= 2 && !never.converged[s], "{s}: {}", never.evaluations[s]);
    }
}
