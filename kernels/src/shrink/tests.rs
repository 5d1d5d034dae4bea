use super::*;
use crate::reference;

const PRIOR: [f64; 3] = [0.04, 0.04, 0.01];

fn prior() -> Prior {
    Prior { precisions: PRIOR.to_vec(), laplace_scale: 0.05, noise_scale: 0.5, noise_floor: 1e-9 }
}

/// `count` values of columns that are nearly orthogonal, so that coordinate descent ends.
fn problem(count: usize, order: usize, seed: usize) -> (Vec<f64>, Moments, Vec<f64>) {
    let wave = |i: usize| ((i * 7_919 + seed * 104_729 + 13) % 1_009) as f64 / 504.5 - 1.0;
    let x = |t: usize, i: usize| wave(t * 31 + i * 577);
    let y = |t: usize| {
        let signal: f64 = (0..order).map(|i| x(t, i) * wave(i + seed) * ((i + seed) % 3) as f64 * 0.1).sum();
        signal + 0.1 * wave(t * 13 + 5)
    };
    let sum = |f: &dyn Fn(usize) -> f64| (0..count).map(f).sum::<f64>();
    let gram = (0..order * order).map(|at| sum(&|t| x(t, at / order) * x(t, at % order))).collect();
    let cross = (0..order).map(|i| sum(&|t| x(t, i) * y(t))).collect();
    (gram, Moments { count, square: sum(&|t| y(t) * y(t)) }, cross)
}

#[test]
fn shrink_matches_reference() {
    for (count, order) in [(40, 3), (60, 9), (200, 14), (400, 30)] {
        for seed in 0..12 {
            let (gram, moments, cross) = problem(count, order, seed);
            let found = shrink(&prior(), &gram, &[0], &[moments], &cross, &vec![0.0; order]).unwrap();
            let (x, noise) = reference::shrink::shrink(&prior(), &gram, moments, &cross);
            assert!(found.converged[0]);
            // Both stop within 1e-11 of their own fixed point, in units where everything is about one.
            assert!((found.noise[0] - noise).abs() < 1e-8, "{} against {noise}", found.noise[0]);
            for (found, expected) in found.x.iter().zip(&x) {
                assert!((found - expected).abs() < 1e-8, "{found} against {expected}, order {order}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_second_call_about_the_first_changes_nothing_but_rounding() {
    let (gram, moments, cross) = problem(200, 14, 3);
    let first = shrink(&prior(), &gram, &[0], &[moments], &cross, &[0.0; 14]).unwrap();
    let product = |i: usize| (0..14).map(|j| gram[i * 14 + j] * first.x[j]).sum::<f64>();
    let left: Vec<f64> = (0..14).map(|i| cross[i] - product(i)).collect();
    let square = moments.square - (0..14).map(|i| first.x[i] * (cross[i] + left[i])).sum::<f64>();
    let second = shrink(&prior(), &gram, &[0], &[Moments { square, ..moments }], &left, &first.x).unwrap();
    for (first, second) in first.x.iter().zip(&second.x) {
        assert!((first - second).abs() < 1e-9, "{first} and {second}");
    }
    assert!((first.noise[0] - second.noise[0]).abs() < 1e-9);
}

#[test]
fn a_series_has_the_same_bits_beside_a_broken_one() {
    let (gram, moments, cross) = problem(60, 9, 1);
    let alone = shrink(&prior(), &gram, &[0], &[moments], &cross, &[0.0; 9]).unwrap();
    let broken = [vec![f64::NAN; 9], cross].concat();
    let both = shrink(&prior(), &gram, &[0, 0], &[moments, moments], &broken, &[0.0; 18]).unwrap();
    assert_eq!(alone.x, both.x[9..]);
    assert_eq!(alone.noise[0], both.noise[1]);
}

#[test]
fn a_perfect_fit_stops_at_the_floor() {
    let (gram, _, _) = problem(40, 3, 0);
    let cross: Vec<f64> = (0..3).map(|i| gram[i * 3]).collect();
    let moments = Moments { count: 40, square: gram[0] };
    let found = shrink(&prior(), &gram, &[0], &[moments], &cross, &[0.0; 3]).unwrap();
    assert!(found.noise[0] < 1e-7 && (found.x[0] - 1.0).abs() < 1e-9, "{found:?}");
}

#[test]
fn shapes_are_checked() {
    let (gram, moments, cross) = problem(40, 3, 0);
    assert!(shrink(&prior(), &gram, &[1], &[moments], &cross, &[0.0; 3]).is_err());
    assert!(shrink(&prior(), &gram, &[0], &[], &cross, &[0.0; 3]).is_err());
    assert!(shrink(&prior(), &gram[..4], &[0], &[moments], &cross[..2], &[0.0; 2]).is_err());
}

mod devices;
