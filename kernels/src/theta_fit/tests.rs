use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::gpu::transfer::carried;
use crate::{Device, Lanes, check, device, reference};

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

fn lanes(y: &[Vec<f64>]) -> Lanes {
    Lanes::from_fn(y[0].len(), y.len(), |t, s| y[s][t] as f32)
}

fn fit_on(device: &Device, y: &Lanes, form: ThetaForm) -> ThetaFit {
    theta_fit(&y.to_device(device).unwrap(), form).unwrap()
}

#[test]
fn no_reference_fit_is_better() {
    for form in FORMS {
        for (steps, gaps) in [(6, 0.0), (12, 0.0), (90, 0.0), (90, 0.1)] {
            let y: Vec<_> = (0..12).map(|s| series(steps, s, gaps)).collect();
            let least: Vec<_> = y.iter().map(|y| reference::theta_fit::theta_fit(y, form)).collect();
            for device in check::in_both_precisions() {
                let fit = fit_on(&device, &lanes(&y), form);
                for (s, y) in y.iter().enumerate() {
                    let (least, alpha) = least[s];
                    let what = format!("{form:?} {steps} {s} on {device}");
                    // A search ends where a step promises a part in 10^10, and looks 1e-4 inside an end. In `f32` the
                    // sums know the squares of the series to some 1e-6.
                    let squares: f64 = y.iter().filter(|v| !v.is_nan()).map(|v| v * v).sum();
                    let room = if device.has_f64() { 1e-7 * least + 1e-12 } else { 1e-5 * squares };
                    assert!(fit.converged[s], "{what}");
                    let there = reference::theta::sse(y, form, fit.alpha[s], fit.level[s], fit.share[s]);
                    assert!(there <= least + room, "{what}: {there} {least} at {alpha}");
                    assert!((there - fit.sse[s]).abs() <= room, "{what}: {there} {}", fit.sse[s]);
                }
            }
        }
    }
}

#[test]
fn a_device_ends_where_the_cpu_does() {
    // More than a cube, of which every fourth series has gaps.
    let y: Vec<_> = (0..300).map(|s| series(60, s, if s % 4 == 3 { 0.2 } else { 0.0 })).collect();
    let expected = fit_on(&Device::Cpu, &lanes(&y), ThetaForm::Dotm);
    for device in device::present() {
        let found = fit_on(&device, &lanes(&y), ThetaForm::Dotm);
        for s in 0..300 {
            // Valleys of one depth may be told apart by rounding; the depth is what a fit is judged by.
            let room = 1e-7 * expected.sse[s];
            assert!((found.sse[s] - expected.sse[s]).abs() <= room, "{s}: {} {}", found.sse[s], expected.sse[s]);
        }
        assert_eq!(found.converged, expected.converged, "{device}");
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    let y: Vec<_> = (0..20).map(|s| series(80, s, if s % 4 == 3 { 0.2 } else { 0.0 })).collect();
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
    for device in check::in_both_precisions() {
        let all = fit_on(&device, &lanes(&y), ThetaForm::Dotm);
        let other = fit_on(&device, &Lanes::from_fn(95, 22, odd), ThetaForm::Dotm);
        for s in 0..20 {
            let of =
                |fit: &ThetaFit, s: usize| (fit.alpha[s], fit.level[s], fit.share[s], fit.sse[s], fit.evaluations[s]);
            assert_eq!(of(&all, s), of(&other, 19 - s), "series {s} on {device}");
        }
        assert_eq!((other.level[20], other.sse[20], other.converged[20]), (0.0, 0.0, true), "nothing seen, {device}");
    }
}

#[test]
fn nothing_comes_down_before_the_end() {
    let y: Vec<_> = (0..40).map(|s| series(60, s, 0.1)).collect();
    for device in device::present() {
        let there = lanes(&y).to_device(&device).unwrap();
        let (up, down, _) = carried(|| theta_fit(&there, ThetaForm::Dotm).unwrap());
        // The last pass's fifteen numbers a series, its weight and three counters; up go the grid, first weights and
        // who walks.
        let on_gpu = usize::from(device.kind() != "cpu");
        let float = if device.has_f64() { 8 } else { 4 };
        assert_eq!(down, on_gpu * 40 * (16 * float + 12), "bytes down from {device}");
        assert_eq!(up, on_gpu * (40 * (float + 4) + GRID * float), "bytes up to {device}");
    }
}

#[test]
fn a_perfect_fit_ends() {
    for device in check::in_both_precisions() {
        // In `f32` a line's sums leave a part in 10^7 of its squares, some three hundred.
        let nothing = if device.has_f64() { 1e-12 } else { 1e-3 };
        let y = Lanes::from_fn(40, 2, |t, s| if s == 0 { t as f32 / 8.0 } else { 0.0 });
        for form in FORMS {
            let fit = fit_on(&device, &y, form);
            assert!(fit.converged[0] && fit.converged[1], "{form:?} on {device}: {fit:?}");
            assert!(fit.sse[1] < 1e-20, "{form:?} on {device}: {fit:?}");
        }
        // A line is its own forecast where all of it is taken.
        let fit = fit_on(&device, &Lanes::from_fn(40, 1, |t, _| t as f32 / 8.0), ThetaForm::Otm);
        assert!(fit.sse[0] < nothing, "{device}: {fit:?}");
    }
}
