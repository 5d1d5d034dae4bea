use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::reference;

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

#[test]
fn no_reference_fit_is_better() {
    for form in CesForm::ALL {
        for (steps, gaps) in [(60, 0.0), (60, 0.1)] {
            let y: Vec<_> = (0..9).map(|s| series(steps, s, gaps)).collect();
            let start = starts(&y, form);
            let fit = ces_fit(&rows(&y), form, 4, &start).unwrap();
            let len = form.start_len(4);
            for s in 0..y.len() {
                let own = &start[s * len..(s + 1) * len];
                let (least, place) = reference::ces_fit::ces_fit(&y[s], form, own);
                // A season that the form has no place for makes a valley so bent that a search may
                // still crawl at its cap; it then says so.
                assert!(fit.converged[s] || form == CesForm::None, "{form:?} {steps} {s}");
                if !fit.converged[s] {
                    continue;
                }
                // A search may end while it crawls along a bent valley, a fiftieth from its end; without a place for
                // the season the valleys are many, and the reference's starts may find a deeper one.
                let room = if form != CesForm::None { 0.02 * least } else { 0.1 * least };
                assert!(fit.sse[s] <= least + room, "{form:?} {steps} {s}: {} {least} at {place:?}", fit.sse[s]);
                let there: f64 = reference::ces::errors(&y[s], form, &fit.weights[s], own).iter().map(|e| e * e).sum();
                assert!((there - fit.sse[s]).abs() <= 1e-9 * there, "{form:?} {steps} {s}: {there} {}", fit.sse[s]);
            }
        }
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    for form in CesForm::ALL {
        let mut y: Vec<_> = (0..20).map(|s| series(40, s, if s % 4 == 3 { 0.2 } else { 0.0 })).collect();
        let all = ces_fit(&rows(&y), form, 4, &starts(&y, form)).unwrap();
        y.reverse();
        y[0] = vec![0.0; 40];
        y[2] = (0..40).map(|t| if t % 9 == 0 { 1e300 } else { -1e300 }).collect();
        let other = ces_fit(&rows(&y), form, 4, &starts(&y, form)).unwrap();
        for s in (0..17).chain([18]) {
            let of = |fit: &CesFit, s: usize| (fit.weights[s], fit.sse[s], fit.evaluations[s]);
            assert_eq!(of(&all, s), of(&other, 19 - s), "{form:?} {s}");
        }
    }
}

#[test]
fn nothing_and_too_much_end() {
    let y = [vec![0.0; 30], vec![f64::NAN; 30], vec![1e200; 30]];
    for form in CesForm::ALL {
        let start: Vec<f64> = starts(&y, form).iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect();
        let fit = ces_fit(&rows(&y), form, 4, &start).unwrap();
        assert_eq!((fit.converged[0], fit.sse[0], fit.converged[2]), (true, 0.0, false), "{form:?}");
    }
    assert!(
        ces_fit(&rows(&y), CesForm::None, 0, &[0.0; 3]).is_err() && ces_fit(&rows(&y), CesForm::None, 1, &[]).is_err()
    );
}
