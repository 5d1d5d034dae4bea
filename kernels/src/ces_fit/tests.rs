use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::gpu::transfer::carried;
use crate::{Device, Rows, check, device, reference};

/// A level that wanders under a season of four; `gaps` is the share of unobserved steps.
fn series(steps: usize, s: usize, gaps: f64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(300 + s as u64);
    let mut level = 1.0;
    let mut value = |t: usize| {
        level += rng.random_range(-0.05..0.05) * (s % 3) as f64;
        let y = level + [0.3, -0.1, -0.4, 0.2][t % 4] + rng.random_range(-0.1..0.1);
        if t > 7 && rng.random_range(0.0..1.0) < gaps { f64::NAN } else { y }
    };
    (0..steps).map(&mut value).collect()
}

fn starts(y: &[Vec<f64>], form: CesForm) -> Vec<f64> {
    let own = |y: &Vec<f64>| {
        let mean = y[..4].iter().sum::<f64>() / 4.0;
        let season = y[..4].iter().map(|v| if form == CesForm::Simple { *v } else { v - mean });
        let level = form.has_level().then_some(mean);
        level.into_iter().chain(season).take(form.start_len(4)).collect::<Vec<_>>()
    };
    y.iter().flat_map(own).collect()
}

fn rows(y: &[Vec<f64>]) -> Rows {
    Rows::new(y.len(), y[0].len(), y.concat()).unwrap()
}

fn fit_on(device: &Device, y: &[Vec<f64>], form: CesForm) -> CesFit {
    ces_fit(&rows(y).to_device(device).unwrap(), form, 4, &starts(y, form)).unwrap()
}

#[test]
fn no_reference_fit_is_better() {
    for form in CesForm::ALL {
        for (steps, gaps) in [(60, 0.0), (60, 0.1)] {
            let y: Vec<_> = (0..9).map(|s| series(steps, s, gaps)).collect();
            let (start, len) = (starts(&y, form), form.start_len(4));
            let own = |s: usize| &start[s * len..(s + 1) * len];
            let least: Vec<_> = (0..9).map(|s| reference::ces_fit::ces_fit(&y[s], form, own(s))).collect();
            for device in check::in_both_precisions() {
                let fit = fit_on(&device, &y, form);
                for s in 0..y.len() {
                    let (least, place) = least[s];
                    let what = format!("{form:?} {steps} {s} on {device}");
                    // A season that the form has no place for makes a valley so bent that a search may
                    // still crawl at its cap; it then says so.
                    assert!(fit.converged[s] || form == CesForm::None, "{what}");
                    if !fit.converged[s] {
                        continue;
                    }
                    // A search may end while it crawls along a bent valley, a fiftieth from its end; without a place
                    // for the season the valleys are many, and the reference's starts may find a deeper one.
                    let room = if form != CesForm::None { 0.02 * least } else { 0.1 * least };
                    let there = reference::ces::errors(&y[s], form, &fit.weights[s], own(s));
                    let there: f64 = there.iter().map(|e| e * e).sum();
                    assert!(there <= least + room, "{what}: {there} {least} at {place:?}");
                    // `f32` errors of unit size, sixty of them through three passes.
                    let rounding = if device.has_f64() { 1e-9 } else { 1e-3 };
                    assert!((there - fit.sse[s]).abs() <= rounding * there, "{what}: {there} {}", fit.sse[s]);
                }
            }
        }
    }
}

#[test]
fn a_device_ends_where_the_cpu_does() {
    // More than a cube, of which every fourth series has gaps.
    let y: Vec<_> = (0..300).map(|s| series(40, s, if s % 4 == 3 { 0.2 } else { 0.0 })).collect();
    for form in [CesForm::Simple, CesForm::Full] {
        let expected = fit_on(&Device::Cpu, &y, form);
        for device in device::present() {
            let found = fit_on(&device, &y, form);
            // The steps are the same but for rounding, which a bent valley magnifies until two searches part.
            let apart = |s: &usize| (found.sse[*s] - expected.sse[*s]).abs() > 1e-6 * expected.sse[*s];
            let parted: Vec<_> = (0..300).filter(apart).map(|s| (s, found.sse[s], expected.sse[s])).collect();
            assert!(parted.len() <= 3, "{form:?} on {device}: {parted:?}");
            assert_eq!(found.converged, expected.converged, "{form:?} on {device}");
        }
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    for form in CesForm::ALL {
        let y: Vec<_> = (0..20).map(|s| series(40, s, if s % 4 == 3 { 0.2 } else { 0.0 })).collect();
        let mut turned = y.clone();
        turned.reverse();
        turned[0] = vec![0.0; 40];
        turned[2] = (0..40).map(|t| if t % 9 == 0 { 1e300 } else { -1e300 }).collect();
        for device in check::in_both_precisions() {
            let (all, other) = (fit_on(&device, &y, form), fit_on(&device, &turned, form));
            for s in (0..17).chain([18]) {
                let of = |fit: &CesFit, s: usize| (fit.weights[s], fit.sse[s], fit.evaluations[s]);
                assert_eq!(of(&all, s), of(&other, 19 - s), "{form:?} {s} on {device}");
            }
        }
    }
}

#[test]
fn nothing_and_too_much_end() {
    let y = [vec![0.0; 30], vec![f64::NAN; 30], vec![1e200; 30]];
    for form in CesForm::ALL {
        let start: Vec<f64> = starts(&y, form).iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect();
        for device in check::in_both_precisions() {
            let fit = ces_fit(&rows(&y).to_device(&device).unwrap(), form, 4, &start).unwrap();
            let ends = (fit.converged[0], fit.sse[0], fit.converged[1], fit.sse[1], fit.converged[2]);
            assert_eq!(ends, (true, 0.0, true, 0.0, false), "{form:?} on {device}");
            assert!(fit.weights.iter().flatten().all(|weight| weight.is_finite()), "{form:?} on {device}: {fit:?}");
        }
    }
    let y = Batch::Cpu(rows(&y));
    assert!(ces_fit(&y, CesForm::None, 0, &[0.0; 3]).is_err() && ces_fit(&y, CesForm::None, 1, &[]).is_err());
}

#[test]
fn nothing_comes_down_before_the_end() {
    let y: Vec<_> = (0..40).map(|s| series(60, s, 0.1)).collect();
    for device in device::present() {
        let there = rows(&y).to_device(&device).unwrap();
        let start = starts(&y, CesForm::Partial);
        let (up, down, _) = carried(|| ces_fit(&there, CesForm::Partial, 4, &start).unwrap());
        // Twenty-six numbers of each search and five counters; up go the start's five values and four weights a series,
        // who walks, the twelve places and the ranges.
        let on_gpu = usize::from(device.kind() != "cpu");
        let float = if device.has_f64() { 8 } else { 4 };
        assert_eq!(down, on_gpu * 40 * (26 * float + 20), "bytes down from {device}");
        assert_eq!(up, on_gpu * (40 * (9 * float + 4) + (48 + 8) * float), "bytes up to {device}");
    }
}
