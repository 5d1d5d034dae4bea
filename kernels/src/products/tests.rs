use super::*;
use crate::gpu::transfer::carried;
use crate::solve::spd_solve_on;
use crate::{check, device, reference};

const SHAPES: [(usize, usize, u32); 5] = [(2, 0, 0), (30, 3, 4), (97, 6, 25), (672, 14, 25), (1_000, 34, 7)];

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
    for (steps, others, knots) in SHAPES {
        let (design, layouts) = (design(steps, others), layouts(steps as u32, knots));
        let expected = reference::products::masked_gram(&design, &layouts);
        for device in check::in_both_precisions() {
            let x = design.to_device(&device, &layouts, &[]).unwrap();
            let found = masked_gram_on(&x).unwrap().to_host().unwrap();
            assert_eq!((found.count(), found.width()), (layouts.len(), x.order() * x.order()));
            assert_close(found.values(), &expected, steps as f64 * rounding(&device));
        }
    }
}

#[test]
fn masked_cross_matches_reference() {
    for (steps, others, knots) in SHAPES {
        let (design, layouts) = (design(steps, others), layouts(steps as u32, knots));
        let y = values(&design, 9);
        let layout_of = [0, 1, 2, 3, 0, 0, 1, 3, 2];
        let expected = reference::products::masked_cross(&design, &layouts, &layout_of, &y);
        for device in check::in_both_precisions() {
            let x = design.to_device(&device, &layouts, &layout_of).unwrap();
            let y = Rows::new(9, steps, y.clone()).unwrap().to_device(&device).unwrap();
            let found = masked_cross_on(&x, &y).unwrap().to_host().unwrap();
            assert_eq!((found.count(), found.width()), (9, x.order()));
            assert_close(found.values(), &expected, steps as f64 * rounding(&device));
        }
    }
}

#[test]
fn take_fitted_matches_reference() {
    for (steps, others, knots) in SHAPES {
        let (design, layouts) = (design(steps, others), layouts(steps as u32, knots));
        let (y, layout_of) = (values(&design, 5), [0, 3, 2, 1, 0]);
        let order = 2 + others + knots as usize;
        let factors: Vec<f64> = (0..5 * order).map(|i| (i * 37 % 19) as f64 - 9.0).collect();
        let mut expected = y.clone();
        reference::products::take_fitted(&design, &layouts, &layout_of, &factors, &mut expected);
        // Some terms of at most nine each, a rounding of their sum for each of them. A NaN stays one.
        let tolerance = 1e-14 * order as f64 * 9.0;
        let mut found = y.clone();
        take_fitted(&design, &layouts, &layout_of, &factors, &mut found).unwrap();
        check::assert_close(&found, &expected, tolerance, &Device::Cpu);
        for device in check::in_both_precisions() {
            let x = design.to_device(&device, &layouts, &layout_of).unwrap();
            let factors = Rows::new(5, order, factors.clone()).unwrap().to_device(&device).unwrap();
            let y = Rows::new(5, steps, y.clone()).unwrap().to_device(&device).unwrap();
            let found = take_fitted_on(&x, &factors, &y).unwrap().to_host().unwrap();
            assert_eq!((found.count(), found.width()), (5, steps));
            check::assert_close(found.values(), &expected, tolerance * rounding(&device), &device);
        }
    }
}

/// Least squares of 257 series, one more than a cube, from their values to their residuals and what those still
/// have in common with the regressors: nothing.
#[test]
fn least_squares_are_one_chain_on_the_device() {
    let (steps, count) = (97, 257);
    let (design, layouts) = (design(steps, 4), layouts(steps as u32, 2));
    let layout_of: Vec<usize> = (0..count).map(|s| s * 7 % 4).collect();
    let value = |s: usize, t: usize| match layouts[layout_of[s]].missing.contains(&(t as u32)) {
        true => f64::NAN,
        false => ((s * steps + t) * 7_919 % 1_009) as f64 / 504.5 - 1.0,
    };
    let values: Vec<f64> = (0..count * steps).map(|at| value(at / steps, at % steps)).collect();
    let order = design.columns() + 2;
    let grams = reference::products::masked_gram(&design, &layouts);
    let own: Vec<f64> = layout_of.iter().flat_map(|&l| &grams[l * order * order..][..order * order]).copied().collect();
    let cross = reference::products::masked_cross(&design, &layouts, &layout_of, &values);
    let factors = reference::solve::spd_solve(order, &own, &cross);
    let mut left = values.clone();
    reference::products::take_fitted(&design, &layouts, &layout_of, &factors, &mut left);

    for device in check::in_both_precisions() {
        let x = design.to_device(&device, &layouts, &layout_of).unwrap();
        let y = Rows::new(count, steps, values.clone()).unwrap().to_device(&device).unwrap();
        let (up, down, ends) = carried(|| {
            let grams = masked_gram_on(&x).unwrap();
            let factors = spd_solve_on(&grams, &layout_of, &masked_cross_on(&x, &y).unwrap()).unwrap();
            let left = take_fitted_on(&x, &factors, &y).unwrap();
            let nothing = masked_cross_on(&x, &left).unwrap();
            [factors, left, nothing]
        });
        let is_gpu = !matches!(device, Device::Cpu);
        assert_eq!((up, down), (if is_gpu { 4 * count } else { 0 }, 0), "bytes carried between the ends on {device}");
        let (_, down, [found, residuals, nothing]) = carried(|| ends.map(|end| end.to_host().unwrap()));
        assert_eq!(down > 0, is_gpu, "the count sees what does come back");
        assert_eq!(found.count(), count);
        // The Gram matrices' condition is 2e3 and coefficients are under ten: 4e-12 for one rounding of each. What
        // they leave, and its products, have the roundings of sums of 97 terms under ten.
        check::assert_close(found.values(), &factors, 1e-11 * rounding(&device), &device);
        check::assert_close(residuals.values(), &left, 1e-12 * rounding(&device), &device);
        check::assert_close(nothing.values(), &vec![0.0; count * order], 1e-12 * rounding(&device), &device);
    }
}

#[test]
fn a_long_grid_is_summed_in_several_launches() {
    let steps = 70_001;
    let (design, layouts) = (design(steps, 0), [Layout { missing: vec![3, 40_000], knots: vec![35_000] }]);
    let y: Vec<f64> = (0..steps).map(|t| ((t * 7_919) % 1_009) as f64 / 1_009.0).collect();
    let grams = reference::products::masked_gram(&design, &layouts);
    let cross = reference::products::masked_cross(&design, &layouts, &[0], &y);
    for device in device::present() {
        let x = design.to_device(&device, &layouts, &[0]).unwrap();
        let y = Rows::new(1, steps, y.clone()).unwrap().to_device(&device).unwrap();
        let scale = steps as f64 * rounding(&device);
        assert_close(masked_gram_on(&x).unwrap().to_host().unwrap().values(), &grams, scale);
        assert_close(masked_cross_on(&x, &y).unwrap().to_host().unwrap().values(), &cross, scale);
    }
}

#[test]
fn a_batch_of_nothing_is_nothing_on_every_device() {
    let design = design(30, 3);
    for device in device::present() {
        let x = design.to_device(&device, &[], &[]).unwrap();
        let rows = |width| Rows::new(0, width, vec![]).unwrap().to_device(&device).unwrap();
        let cross = masked_cross_on(&x, &rows(30)).unwrap();
        let factors = spd_solve_on(&masked_gram_on(&x).unwrap(), &[], &cross).unwrap();
        let left = take_fitted_on(&x, &factors, &rows(30)).unwrap().to_host().unwrap();
        assert_eq!((left.count(), left.width()), (0, 30), "{device}");
    }
}

#[test]
fn operands_share_a_batch_and_a_device() {
    let (design, layouts) = (design(30, 3), layouts(30, 1));
    for device in device::present() {
        let x = design.to_device(&device, &layouts, &[0, 2]).unwrap();
        let put = |device: &Device, count, width| {
            Rows::new(count, width, vec![0.0; count * width]).unwrap().to_device(device).unwrap()
        };
        assert!(masked_cross_on(&x, &put(&device, 2, 29)).is_err());
        assert!(masked_cross_on(&x, &put(&device, 3, 30)).is_err());
        assert!(take_fitted_on(&x, &put(&device, 2, 5), &put(&device, 2, 30)).is_err());
        for other in device::present().iter().filter(|other| other.kind() != device.kind()) {
            let error = masked_cross_on(&x, &put(other, 2, 30)).unwrap_err().to_string();
            assert_eq!(error, format!("y lies on {}, the batch on {}", other.kind(), device.kind()));
            let error = take_fitted_on(&x, &put(other, 2, 6), &put(&device, 2, 30)).unwrap_err().to_string();
            assert_eq!(error, format!("factors lies on {}, the batch on {}", other.kind(), device.kind()));
            let error = take_fitted_on(&x, &put(&device, 2, 6), &put(other, 2, 30)).unwrap_err().to_string();
            assert_eq!(error, format!("y lies on {}, the batch on {}", other.kind(), device.kind()));
        }
    }
    assert!(design.to_device(&Device::Cpu, &layouts, &[4]).is_err());
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
