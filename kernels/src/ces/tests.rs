use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Device, Rows, check, reference};

/// Numbers around one, a share of their steps unobserved.
fn series(steps: usize, count: usize, gaps: f64) -> Vec<Vec<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let mut value = || {
        let y = rng.random_range(0.5..1.5);
        if rng.random_range(0.0..1.0) < gaps { f64::NAN } else { y }
    };
    (0..count).map(|_| (0..steps).map(|_| value()).collect()).collect()
}

/// Weights under which errors die out; a full season's betas are as the alphas, a partial one's is small.
fn weights(count: usize, form: CesForm) -> Vec<[f64; CES_WEIGHTS]> {
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    let beta = if form == CesForm::Full { 1.0..1.1 } else { 0.05..0.2 };
    let mut own = || {
        let alphas = [rng.random_range(1.1..1.3), rng.random_range(0.98..1.0)];
        [alphas[0], alphas[1], rng.random_range(beta.clone()), rng.random_range(0.999..1.0)]
    };
    (0..count).map(|_| own()).collect()
}

fn starts(count: usize, form: CesForm, season: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    (0..count * form.start_len(season)).map(|_| rng.random_range(-0.2..1.0)).collect()
}

fn assert_matches_reference(devices: &[Device], form: CesForm, season: usize, y: &[Vec<f64>]) {
    let (count, steps) = (y.len(), y[0].len());
    let (weights, start) = (weights(count, form), starts(count, form, season));
    let expected = reference::ces::ces_squares(y, form, season, &weights, &start);
    let rows = Rows::new(count, steps, y.concat()).unwrap();
    for device in devices {
        let found = ces_squares(&rows.to_device(device).unwrap(), form, season, &weights, &start).unwrap();
        for s in 0..count {
            let (sse, curved) = (expected.sse[s], expected.curvature[s].iter().copied().fold(0.0, f64::max));
            // In f64 the sums are right to rounding and the reference's central differences to their stride squared,
            // 1e-12 of a third derivative; f32 rounds a thousand steps' worth.
            let share = if device.has_f64() { 1e-6 } else { 2e-3 };
            let close = |a: f64, b: f64, scale: f64, what: &str| {
                let tolerance = share * (scale + 1e-3);
                assert!((a - b).abs() <= tolerance, "{form:?} {season} {steps} {s} {what}: {a} {b} on {device}");
            };
            close(found.sse[s], sse, sse, "sse");
            for k in 0..CES_WEIGHTS {
                close(found.slope[s][k], expected.slope[s][k], (sse * curved).sqrt(), "slope");
            }
            for at in 0..CES_TRIANGLE {
                close(found.curvature[s][at], expected.curvature[s][at], curved, "curvature");
            }
        }
    }
}

#[test]
fn ces_squares_matches_reference() {
    let devices = check::in_both_precisions();
    // A season longer than the series; below, at and above a lane group; then a GPU's cube, and a long recurrence.
    let small = [(1, 1, 0.0), (3, 3, 0.0), (50, 16, 0.0), (50, 17, 0.2), (300, 5, 0.05)];
    for (steps, count, gaps) in small.into_iter().chain([(48, 255, 0.1), (48, 257, 0.1), (2_000, 3, 0.1)]) {
        let y = series(steps, count, gaps);
        for form in CesForm::ALL {
            assert_matches_reference(&devices, form, 7, &y);
        }
    }
    CesForm::ALL.iter().for_each(|form| assert_matches_reference(&devices, *form, 1, &series(20, 2, 0.0)));
}

#[test]
fn a_recurrence_of_many_steps_goes_on_from_launch_to_launch() {
    let y = series(70_000, 2, 0.05);
    // In f32 alone the sums of so many steps are worth little.
    let devices = crate::device::present();
    let exact: Vec<_> = devices.into_iter().filter(Device::has_f64).collect();
    assert_matches_reference(&exact, CesForm::Full, 24, &y);
}

#[test]
fn a_series_has_the_same_bits_in_any_batch() {
    let mut y = series(90, 20, 0.0);
    let run = |y: &[Vec<f64>], from: usize, device: &Device, form: CesForm| {
        let (len, count) = (form.start_len(5), y.len());
        let (weights, start) = (weights(20, form), starts(20, form, 5));
        let rows = Rows::new(count, 90, y.concat()).unwrap().to_device(device).unwrap();
        let own = (&weights[from..from + count], &start[from * len..(from + count) * len]);
        ces_squares(&rows, form, 5, own.0, own.1).unwrap()
    };
    for form in CesForm::ALL {
        for device in check::in_both_precisions() {
            y[5][7] = 0.9;
            let (alone, together) = (run(&y[4..5], 4, &device, form), run(&y, 0, &device, form));
            y[5][7] = f64::NAN;
            y[3].fill(1e30);
            let beside = run(&y, 0, &device, form);
            for other in [&together, &beside] {
                let own = (other.sse[4], other.slope[4], other.curvature[4]);
                assert_eq!((alone.sse[0], alone.slope[0], alone.curvature[0]), own, "{form:?} on {device}");
            }
        }
    }
}

#[test]
fn operands_of_the_wrong_shape_are_refused() {
    let y = Batch::Cpu(Rows::new(2, 3, vec![0.0; 6]).unwrap());
    assert!(ces_squares(&y, CesForm::None, 1, &[[1.0; 4]], &[0.0; 2]).is_err());
    assert!(ces_squares(&y, CesForm::Full, 4, &[[1.0; 4]; 2], &[0.0; 2]).is_err());
    assert!(ces_squares(&y, CesForm::None, 0, &[[1.0; 4]; 2], &[0.0; 2]).is_err());
}
