use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Device, Lanes, check, reference};

const FORMS: [ThetaForm; 4] = [ThetaForm::Stm, ThetaForm::Otm, ThetaForm::Dstm, ThetaForm::Dotm];

/// Series of about unit scale on a slope, a share of their steps unobserved.
fn series(steps: usize, count: usize, gaps: f64) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut one = |s: usize| {
        let mut value = |t: usize| {
            let line = (s % 5) as f64 * (t as f64 / steps as f64 - 0.5);
            let noise: f64 = rng.random_range(-0.5..0.5);
            // Rounded to what the kernel is given, so that the test sees the recursion alone.
            if rng.random_range(0.0..1.0) < gaps { f64::NAN } else { f64::from((line + noise) as f32) }
        };
        (0..steps).map(&mut value).collect()
    };
    (0..count).map(&mut one).collect()
}

fn lanes(series: &[Vec<f64>]) -> Lanes {
    Lanes::from_fn(series[0].len(), series.len(), |t, s| series[s][t] as f32)
}

fn alphas(count: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    (0..count).map(|_| rng.random_range(0.1..0.99)).collect()
}

fn assert_matches_reference(devices: &[Device], form: ThetaForm, y: &[Vec<f64>]) {
    let (steps, alpha) = (y[0].len() as f64, alphas(y.len()));
    let expected = reference::theta::theta_profile(y, form, &alpha);
    for device in devices {
        let found = theta_profile(&lanes(y).to_device(device).unwrap(), form, &alpha).unwrap();
        let rounding = if device.has_f64() { f64::EPSILON } else { f64::from(f32::EPSILON) };
        for s in 0..y.len() {
            // The sums add up to `steps` roundings of their own, and the least squares take the difference of sums
            // that are about the squares themselves.
            let squares: f64 = y[s].iter().filter(|v| !v.is_nan()).map(|v| v * v).sum();
            let tolerance = 8.0 * rounding * steps.max(16.0) * squares.max(1.0);
            let close = |a: f64, b: f64, what: &str| {
                assert!((a - b).abs() <= tolerance, "{form:?} {steps} {s} {what}: {a} {b} on {device}");
            };
            close(found.sse[s], expected.sse[s], "sse");
            // Where the valley is shallow the place says little; what it is worth says all.
            let there = reference::theta::sse(&y[s], form, alpha[s], found.level[s], found.share[s]);
            close(there, expected.sse[s], "sse at the place found");
            assert!((0.0..=HIGHEST_SHARE).contains(&found.share[s]));
        }
    }
}

#[test]
fn theta_profile_matches_reference() {
    let devices = check::in_both_precisions();
    // Fewer steps than are left out; below, at and above a lane group; then a GPU's cube, and a long recurrence.
    let small = [(2, 3, 0.0), (4, 3, 0.0), (50, 16, 0.0), (50, 17, 0.2), (400, 5, 0.05)];
    for (steps, count, gaps) in small.into_iter().chain(check::SHAPES.map(|(steps, count)| (steps, count, 0.1))) {
        let y = series(steps, count, if steps == 1 { 0.0 } else { gaps });
        for form in FORMS {
            assert_matches_reference(&devices, form, &y);
        }
    }
}

#[test]
fn a_recurrence_of_many_steps_goes_on_from_launch_to_launch() {
    let y = series(70_000, 2, 0.05);
    for form in [ThetaForm::Otm, ThetaForm::Dotm] {
        assert_matches_reference(&check::in_both_precisions(), form, &y);
    }
}

#[test]
fn a_series_has_the_same_bits_in_any_batch() {
    let mut y = series(500, 20, 0.0);
    let alpha = alphas(20);
    for form in FORMS {
        for device in check::in_both_precisions() {
            let run = |y: &[Vec<f64>], alpha: &[f64]| {
                theta_profile(&lanes(y).to_device(&device).unwrap(), form, alpha).unwrap()
            };
            // Alone, among its like, and beside a neighbour with gaps and one without anything.
            let alone = run(&y[4..5], &alpha[4..5]);
            let together = run(&y, &alpha);
            y[5][7] = f64::NAN;
            y[3].fill(f64::NAN);
            let beside = run(&y, &alpha);
            for other in [&together, &beside] {
                let own = (other.sse[4], other.level[4], other.share[4]);
                assert_eq!((alone.sse[0], alone.level[0], alone.share[0]), own, "{form:?} on {device}");
            }
            assert_eq!((beside.sse[3], beside.level[3]), (0.0, 0.0), "nothing was seen, on {device}");
            y = series(500, 20, 0.0);
        }
    }
}

#[test]
fn operands_of_the_wrong_shape_are_refused() {
    let y = Matrix::Cpu(lanes(&series(5, 2, 0.0)));
    assert!(theta_profile(&y, ThetaForm::Dotm, &[0.5]).is_err());
}

/// `sum of squares / mean |y|` of statsforecast 2.1.1 (`_lib.theta.pegels_resid`) on
/// `10 + 0.3 t + [3, 0, -2, 0.5, 1, -1, 0.25][t mod 7]`, 25 steps, at level 8, alpha 0.4, theta 2.5.
#[test]
fn the_errors_are_the_peers() {
    let y: Vec<f64> =
        (0..25).map(|t| 10.0 + 0.3 * f64::from(t) + [3.0, 0.0, -2.0, 0.5, 1.0, -1.0, 0.25][t as usize % 7]).collect();
    let mean = y.iter().sum::<f64>() / 25.0;
    for (form, theirs) in [(ThetaForm::Otm, 4.775_262_845_561_849), (ThetaForm::Dotm, 5.883_035_813_186_693)] {
        let ours = reference::theta::sse(&y, form, 0.4, 8.0, 1.0 - 1.0 / 2.5) / mean;
        assert!((ours - theirs).abs() < 1e-9 * theirs, "{form:?}: {ours} {theirs}");
    }
}
