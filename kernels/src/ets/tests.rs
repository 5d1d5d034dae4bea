use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::reference;

const FORMS: [EtsForm; 6] = [
    EtsForm { trend: Trend::None, season: 1 },
    EtsForm { trend: Trend::Additive, season: 1 },
    EtsForm { trend: Trend::Damped, season: 1 },
    EtsForm { trend: Trend::None, season: 7 },
    EtsForm { trend: Trend::Additive, season: 7 },
    EtsForm { trend: Trend::Damped, season: 7 },
];

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

#[test]
fn ets_gradient_matches_reference() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for (steps, count, gaps) in [(1, 1, 0.0), (7, 3, 0.0), (50, 16, 0.0), (50, 17, 0.2), (400, 5, 0.05)] {
        for form in FORMS {
            let y = series(steps, count, gaps);
            let smoothing: Vec<_> = (0..count)
                .map(|_| Smoothing {
                    alpha: rng.random_range(0.01..0.99),
                    beta: rng.random_range(0.001..0.1),
                    gamma: rng.random_range(0.001..0.5),
                    phi: rng.random_range(0.8..0.98),
                })
                .collect();
            let start: Vec<f64> = (0..count * form.start_len()).map(|_| rng.random_range(-0.1..0.1)).collect();
            let found = ets_gradient(&lanes(&y), form, &smoothing, &start).unwrap();
            let expected = reference::ets::ets_gradient(&y, form, &smoothing, &start);
            // Both run in f64 and differ by the order of their sums alone: some hundred roundings of
            // 1e-16, which a slope that is summed over the steps may multiply by as many.
            for s in 0..count {
                let close = |a: f64, b: f64, what: &str| {
                    let scale = expected.sse[s].max(1.0) * steps as f64;
                    assert!((a - b).abs() <= 1e-12 * scale, "{form:?} {steps} {s} {what}: {a} {b}");
                };
                close(found.sse[s], expected.sse[s], "sse");
                close(found.smoothing[s].alpha, expected.smoothing[s].alpha, "alpha");
                close(found.smoothing[s].beta, expected.smoothing[s].beta, "beta");
                close(found.smoothing[s].gamma, expected.smoothing[s].gamma, "gamma");
                close(found.smoothing[s].phi, expected.smoothing[s].phi, "phi");
                for i in s * form.start_len()..(s + 1) * form.start_len() {
                    close(found.start[i], expected.start[i], "start");
                }
            }
        }
    }
}

#[test]
fn operands_of_the_wrong_shape_are_refused() {
    let y = lanes(&series(5, 2, 0.0));
    let weights = [Smoothing::default(); 2];
    let refused = |form, weights: &[Smoothing], start: &[f64]| ets_gradient(&y, form, weights, start).is_err();
    assert!(refused(FORMS[0], &weights[..1], &[0.0; 4]));
    assert!(refused(FORMS[0], &weights, &[0.0; 3]));
    assert!(refused(EtsForm { trend: Trend::None, season: 0 }, &weights, &[0.0; 2]));
}
