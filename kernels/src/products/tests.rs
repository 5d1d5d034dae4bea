use super::*;
use crate::{check, reference};

/// A day of 24 steps as waves beside the trend, on a grid of `steps`.
fn design(steps: usize, others: usize) -> Design {
    let time = (0..steps).map(|t| t as f64 / (steps - 1) as f64).collect();
    Design::new(time, others, |t, column| {
        let angle = std::f64::consts::TAU * (t * (column / 2 + 1)) as f64 / 24.0;
        if column % 2 == 0 { angle.sin() } else { angle.cos() }
    })
}

/// Every sixth step or so of one layout, a long hole in another, more than half in the last.
fn layouts(steps: u32, knots: u32) -> Vec<Layout> {
    let knots_from = |shift: u32| (1..=knots).map(|k| k * (steps * 4 / 5) / (knots + 1) + shift).collect::<Vec<_>>();
    vec![
        Layout { missing: vec![], knots: knots_from(0) },
        Layout { missing: (0..steps).filter(|t| t * t % 7 == 2).collect(), knots: knots_from(1) },
        Layout { missing: (steps / 3..steps / 2).collect(), knots: knots_from(2) },
        Layout { missing: (0..steps).filter(|t| t % 3 != 0).collect(), knots: knots_from(0) },
    ]
}

fn values(design: &Design, series: usize) -> Vec<f64> {
    let mut y: Vec<f64> =
        (0..series * design.steps()).map(|i| ((i * 7_919 + 13) % 1_009) as f64 / 504.5 - 1.0).collect();
    for gap in y.iter_mut().skip(5).step_by(41) {
        *gap = f64::NAN;
    }
    y
}

/// How much coarser than `f64` a device rounds.
fn rounding(device: &Device) -> f64 {
    if device.has_f64() { 1.0 } else { f64::from(f32::EPSILON) / f64::EPSILON }
}

fn assert_close(found: &[f64], expected: &[f64], scale: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Sums of `scale` terms of at most one: rounding is under 1e-16 a term, with room for its order.
        assert!((found - expected).abs() <= 1e-14 * scale, "{found} against {expected} at {at}");
    }
}

#[test]
fn masked_gram_matches_reference() {
    for (steps, others, knots) in [(2, 0, 0), (30, 3, 4), (97, 6, 25), (672, 14, 25), (1_000, 34, 7)] {
        let (design, layouts) = (design(steps, others), layouts(steps as u32, knots));
        let expected = reference::products::masked_gram(&design, &layouts);
        for device in check::in_both_precisions() {
            let found = masked_gram_on(&device, &design, &layouts).unwrap();
            assert_close(&found, &expected, steps as f64 * rounding(&device));
        }
    }
}

#[test]
fn masked_cross_matches_reference() {
    for (steps, others, knots) in [(2, 0, 0), (30, 3, 4), (97, 6, 25), (672, 14, 25), (1_000, 34, 7)] {
        let (design, layouts) = (design(steps, others), layouts(steps as u32, knots));
        let y = values(&design, 9);
        let layout_of = [0, 1, 2, 3, 0, 0, 1, 3, 2];
        let expected = reference::products::masked_cross(&design, &layouts, &layout_of, &y);
        for device in check::in_both_precisions() {
            let found = masked_cross_on(&device, &design, &layouts, &layout_of, &y).unwrap();
            assert_close(&found, &expected, steps as f64 * rounding(&device));
        }
    }
}

#[test]
fn take_fitted_matches_reference() {
    for (steps, others, knots) in [(2, 0, 0), (30, 3, 4), (97, 6, 25), (672, 14, 25), (1_000, 34, 7)] {
        let (design, layouts) = (design(steps, others), layouts(steps as u32, knots));
        let (mut found, layout_of) = (values(&design, 5), [0, 3, 2, 1, 0]);
        let x: Vec<f64> = (0..5 * (2 + others + knots as usize)).map(|i| (i * 37 % 19) as f64 - 9.0).collect();
        let mut expected = found.clone();
        take_fitted(&design, &layouts, &layout_of, &x, &mut found).unwrap();
        reference::products::take_fitted(&design, &layouts, &layout_of, &x, &mut expected);
        assert_eq!(found.iter().filter(|v| v.is_nan()).count(), expected.iter().filter(|v| v.is_nan()).count());
        let known = |all: &[f64]| all.iter().copied().filter(|v| !v.is_nan()).collect::<Vec<_>>();
        // Up to 32 terms of at most nine each.
        assert_close(&known(&found), &known(&expected), 32.0 * 9.0);
    }
}

#[test]
fn a_series_has_the_same_bits_in_any_batch() {
    let (design, layouts) = (design(97, 6), layouts(97, 25));
    let y = values(&design, 9);
    let order = design.columns() + 25;
    let together = masked_cross(&design, &layouts, &[0, 1, 2, 3, 0, 0, 1, 3, 2], &y).unwrap();
    let alone = masked_cross(&design, &layouts, &[1], &y[6 * 97..7 * 97]).unwrap();
    assert_eq!(together[6 * order..7 * order], alone);
    let grams = masked_gram(&design, &layouts).unwrap();
    assert_eq!(grams[2 * order * order..3 * order * order], masked_gram(&design, &layouts[2..3]).unwrap());
}

#[test]
fn layouts_are_checked() {
    let design = design(30, 3);
    let layout = |missing: &[u32], knots: &[u32]| Layout { missing: missing.into(), knots: knots.into() };
    for bad in [layout(&[30], &[1]), layout(&[3, 3], &[1]), layout(&[], &[40]), layout(&[], &[1, 2])] {
        assert!(masked_gram(&design, &[layout(&[], &[1]), bad.clone()]).is_err(), "{bad:?}");
    }
    let good = [layout(&[], &[1])];
    assert!(masked_cross(&design, &good, &[0], &[0.0; 29]).is_err());
    assert!(masked_cross(&design, &good, &[1], &[0.0; 30]).is_err());
}
