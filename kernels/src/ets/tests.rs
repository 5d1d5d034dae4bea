use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Device, Lanes, check, reference};

/// Expected values stay well above zero with it.
const OFFSET: f64 = 6.0;

fn forms() -> Vec<EtsForm> {
    EtsForm::admissible(7)
}

const AADA: EtsForm = EtsForm::additive(Trend::Damped, 7);

/// Series of unit scale, a share of their steps unobserved; the last one is hardly observed at all.
fn series(steps: usize, count: usize, gaps: f64) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut one = |s: usize| {
        let mut value = |t: usize| {
            let wave = (t as f64 * 0.9 + s as f64).sin();
            let gaps = if s + 1 == count && gaps > 0.0 { 0.9 } else { gaps };
            let noise: f64 = rng.random_range(-0.5..0.5);
            // Rounded to what the kernel is given, so that the test sees the recursion alone.
            if rng.random_range(0.0..1.0) < gaps { f64::NAN } else { f64::from((wave + noise) as f32) }
        };
        (0..steps).map(&mut value).collect()
    };
    (0..count).map(&mut one).collect()
}

fn lanes(series: &[Vec<f64>]) -> Lanes {
    Lanes::from_fn(series[0].len(), series.len(), |t, s| series[s][t] as f32)
}

/// Weights and a start of each series.
fn parameters(form: EtsForm, count: usize) -> (Vec<Smoothing>, Vec<f64>) {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut one = |_| Smoothing {
        alpha: rng.random_range(0.01..0.99),
        beta: rng.random_range(0.001..0.1),
        gamma: rng.random_range(0.001..0.5),
        phi: rng.random_range(0.8..0.98),
    };
    let smoothing = (0..count).map(&mut one).collect();
    (smoothing, (0..count * form.start_len()).map(|_| rng.random_range(-0.1..0.1)).collect())
}

fn assert_matches_reference(devices: &[Device], form: EtsForm, y: &[Vec<f64>]) {
    let (steps, (smoothing, start)) = (y[0].len(), parameters(form, y.len()));
    let offset = vec![if form.is_relative() { OFFSET } else { 0.0 }; y.len()];
    let expected = reference::ets::ets_gradient(y, &offset, form, &smoothing, &start);
    for device in devices {
        let on_device = lanes(y).to_device(device).unwrap();
        let found = ets_gradient(&on_device, &offset, form, &smoothing, &start).unwrap();
        assert_eq!(found.start.len(), expected.start.len());
        let rounding = if device.has_f64() { f64::EPSILON } else { f64::from(f32::EPSILON) };
        for s in 0..y.len() {
            // A rounding stays in the state for a few hundred steps at these weights, and a derivative by the
            // slope sums it over as many. Forty roundings or so a step, of numbers of up to three; a number larger
            // than the sum of squares is rounded at its own size.
            let close = |a: f64, b: f64, what: &str| {
                let tolerance = 128.0 * rounding * expected.sse[s].max(1.0).max(b.abs()) * steps.min(400) as f64;
                assert!((a - b).abs() <= tolerance, "{form:?} {steps} {s} {what}: {a} {b} on {device}");
            };
            if expected.log_growth[s] == f64::NEG_INFINITY {
                assert_eq!(found.log_growth[s], f64::NEG_INFINITY, "{form:?} {steps} {s} on {device}");
                continue; // all else is without meaning
            }
            let (by, expected_by) = (found.smoothing[s], expected.smoothing[s]);
            close(found.sse[s], expected.sse[s], "sse");
            close(found.log_growth[s], expected.log_growth[s], "growth");
            close(by.alpha, expected_by.alpha, "alpha");
            close(by.beta, expected_by.beta, "beta");
            close(by.gamma, expected_by.gamma, "gamma");
            close(by.phi, expected_by.phi, "phi");
            for i in s * form.start_len()..(s + 1) * form.start_len() {
                close(found.start[i], expected.start[i], "start");
            }
        }
    }
}

#[test]
fn ets_gradient_matches_reference() {
    let devices = check::in_both_precisions();
    // Below, at and above a lane group; then a GPU's cube, and a long recurrence.
    let small = [(7, 3, 0.0), (50, 16, 0.0), (50, 17, 0.2), (400, 5, 0.05)];
    for (steps, count, gaps) in small.into_iter().chain(check::SHAPES.map(|(steps, count)| (steps, count, 0.1))) {
        let y = series(steps, count, if steps == 1 { 0.0 } else { gaps });
        for form in forms() {
            assert_matches_reference(&devices, form, &y);
        }
    }
}

#[test]
fn a_recurrence_of_many_steps_goes_on_from_launch_to_launch() {
    // Three launches, the last one cut short within a season.
    let y = series(70_000, 2, 0.05);
    assert_matches_reference(&check::in_both_precisions(), AADA, &y);
}

#[test]
fn a_series_has_the_same_bits_in_any_batch() {
    let mut y = series(50, 20, 0.1);
    let (form, (smoothing, start)) = (AADA, parameters(AADA, 20));
    for device in check::in_both_precisions() {
        let run = |y: &[Vec<f64>], smoothing: &[Smoothing], start: &[f64]| {
            ets_gradient(&lanes(y).to_device(&device).unwrap(), &vec![0.0; y.len()], form, smoothing, start).unwrap()
        };
        let together = run(&y, &smoothing, &start);
        let own = 4 * form.start_len()..5 * form.start_len();
        let alone = run(&y[4..5], &smoothing[4..5], &start[own.clone()]);
        assert_eq!((alone.sse[0], alone.smoothing[0]), (together.sse[4], together.smoothing[4]), "{device}");
        assert_eq!(alone.start, together.start[own], "{device}");
    }
    y[3].fill(f64::NAN);
    for device in check::in_both_precisions() {
        let found = ets_gradient(&lanes(&y).to_device(&device).unwrap(), &[0.0; 20], form, &smoothing, &start).unwrap();
        assert_eq!((found.sse[3], found.smoothing[3]), (0.0, Smoothing::default()), "{device}");
    }
}

#[test]
fn operands_of_the_wrong_shape_are_refused() {
    const LEVEL: EtsForm = EtsForm::additive(Trend::None, 1);
    let y = Matrix::Cpu(lanes(&series(5, 2, 0.0)));
    let weights = [Smoothing::default(); 2];
    let refused =
        |form, weights: &[Smoothing], start: &[f64]| ets_gradient(&y, &[0.0; 2], form, weights, start).is_err();
    assert!(refused(LEVEL, &weights[..1], &[0.0; 4]));
    assert!(refused(LEVEL, &weights, &[0.0; 3]));
    assert!(refused(EtsForm::additive(Trend::None, 0), &weights, &[0.0; 2]));
}
