use super::*;
use crate::gpu::transfer::carried;
use crate::products::{Design, Layout, masked_gram, take_fitted_on};
use crate::shrink::Prior;
use crate::{Device, Lanes, check, device, reference};

/// A day of 24 steps as waves beside the trend, on a grid of `steps`.
fn design(steps: usize, others: usize) -> Design {
    let time = (0..steps).map(|t| t as f64 / (steps - 1) as f64).collect();
    Design::new(time, others, |t, column| {
        let angle = std::f64::consts::TAU * (t * (column / 2 + 1)) as f64 / 24.0;
        if column % 2 == 0 { angle.sin() } else { angle.cos() }
    })
}

/// All steps, and two thirds of them with other knots; the last knot of the second lies on the grid's last step.
fn layouts(steps: u32, knots: u32) -> Vec<Layout> {
    let rising = |until: u32| (1..=knots).map(|k| k * until / knots).collect::<Vec<_>>();
    vec![
        Layout { missing: vec![], knots: rising(steps * 4 / 5) },
        Layout { missing: (0..steps).filter(|t| t % 3 == 1).collect(), knots: rising(steps - 1) },
    ]
}

/// Levels of some hundred with bends, days and noise, of quite different sizes; some values were not observed.
fn panel(steps: usize, series: usize) -> Lanes {
    let wave = |i: usize| ((i * 7_919 + 13) % 1_009) as f64 / 504.5 - 1.0;
    Lanes::from_fn(steps, series, |t, s| {
        let now = t as f64 / steps as f64;
        let bent = 10.0 * wave(s * 3) * (now - 0.4).max(0.0) + 2.0 * (now * 9.0 * std::f64::consts::TAU).sin();
        let value = (100.0 + 20.0 * wave(s) + bent + wave(s * 997 + t * 31)) * 10_f64.powi(s as i32 % 7 - 3);
        if (5 * t + s) % 41 == 3 { f32::NAN } else { value as f32 }
    })
}

fn rows_of(y: &Lanes) -> Vec<f64> {
    (0..y.series()).flat_map(|s| check::column(y, s)).collect()
}

/// How much coarser than `f64` a device rounds.
fn rounding(device: &Device) -> f64 {
    if device.has_f64() { 1.0 } else { f64::from(f32::EPSILON) / f64::EPSILON }
}

/// More columns than a unit holds among them.
const SHAPES: [(usize, usize, u32); 4] = [(30, 0, 0), (97, 6, 25), (672, 14, 25), (200, 60, 7)];

#[test]
fn row_moments_match_reference() {
    for device in check::in_both_precisions() {
        for (count, width) in [(1, 1), (257, 48), (3, 40_000)] {
            let value = |i: usize| if i % 7 == 2 { f64::NAN } else { (i % 101) as f64 / 100.0 };
            let y: Vec<f64> = (0..count * width).map(value).collect();
            let expected = reference::regression::row_moments(width, &y);
            let rows = Rows::new(count, width, y).unwrap().to_device(&device).unwrap();
            let found = row_moments(&rows).unwrap().to_host().unwrap();
            // A sum of `width` terms, a third each, is rounded at each by some 1e-16 of what it has become.
            let tolerance = 1e-17 * (width * width) as f64 * rounding(&device);
            check::assert_close(found.values(), &expected, tolerance, &device);
        }
    }
}

#[test]
fn scaled_start_matches_reference() {
    for (steps, others, knots) in SHAPES {
        let (design, layouts) = (design(steps, others), layouts(steps as u32, knots));
        let layout_of: Vec<usize> = (0..19).map(|s| s * 5 % 2).collect();
        let y = panel(steps, 19);
        let (scale, start) = reference::regression::scaled_start(&design, &layouts, &layout_of, &rows_of(&y));
        for device in check::in_both_precisions() {
            let x = design.to_device(&device, &layouts, &layout_of).unwrap();
            let found = scaled_start(&x, &y.to_device(&device).unwrap()).unwrap();
            check::assert_close(found.scale.to_host().unwrap().values(), &scale, 0.0, &device);
            let tolerance = 1e-15 * steps as f64 * rounding(&device);
            check::assert_close(found.start.to_host().unwrap().values(), &start, tolerance, &device);
        }
    }
}

#[test]
fn scaled_sums_match_reference() {
    for (steps, others, knots) in SHAPES {
        let (design, layouts) = (design(steps, others), layouts(steps as u32, knots));
        let layout_of: Vec<usize> = (0..19).map(|s| s * 5 % 2).collect();
        let (y, order) = (panel(steps, 19), design.columns() + knots as usize);
        let (scale, _) = reference::regression::scaled_start(&design, &layouts, &layout_of, &rows_of(&y));
        let about: Vec<f64> = (0..19 * order).map(|i| ((i * 37 % 19) as f64 - 9.0) / 9.0).collect();
        let (moments, cross) =
            reference::regression::scaled_sums(&design, &layouts, &layout_of, &rows_of(&y), &scale, &about);
        for device in check::in_both_precisions() {
            let x = design.to_device(&device, &layouts, &layout_of).unwrap();
            let put =
                |width, values: &[f64]| Rows::new(19, width, values.to_vec()).unwrap().to_device(&device).unwrap();
            let y = y.to_device(&device).unwrap();
            let found = scaled_sums(&x, &y, &put(1, &scale), &put(order, &about)).unwrap();
            // Residuals are under an order and their sums of `steps` such; a rounding of a residual for each term.
            let residual = 1e-16 * (order * order) as f64;
            let tolerance = 4.0 * residual * steps as f64 * rounding(&device);
            check::assert_close(found.cross.to_host().unwrap().values(), &cross, tolerance, &device);
            let tolerance = tolerance * order as f64;
            check::assert_close(found.moments.to_host().unwrap().values(), &moments, tolerance, &device);
        }
    }
}

#[test]
fn a_long_panel_is_summed_in_several_launches() {
    let steps = 70_001;
    let design = design(steps, 0);
    let layouts = [Layout { missing: vec![3, 40_000], knots: vec![20_000, 32_768, 35_000] }];
    let y = panel(steps, 2);
    let (scale, start) = reference::regression::scaled_start(&design, &layouts, &[0, 0], &rows_of(&y));
    let about: Vec<f64> = start.iter().enumerate().map(|(i, start)| start + 0.1 * (i % 4) as f64).collect();
    let (moments, cross) = reference::regression::scaled_sums(&design, &layouts, &[0, 0], &rows_of(&y), &scale, &about);
    for device in device::present() {
        let x = design.to_device(&device, &layouts, &[0, 0]).unwrap();
        let y = y.to_device(&device).unwrap();
        let begun = scaled_start(&x, &y).unwrap();
        check::assert_close(begun.start.to_host().unwrap().values(), &start, 1e-11 * rounding(&device), &device);
        let about = Rows::new(2, 5, about.clone()).unwrap().to_device(&device).unwrap();
        let found = scaled_sums(&x, &y, &begun.scale, &about).unwrap();
        check::assert_close(found.cross.to_host().unwrap().values(), &cross, 1e-9 * rounding(&device), &device);
        check::assert_close(found.moments.to_host().unwrap().values(), &moments, 1e-9 * rounding(&device), &device);
    }
}

fn prior(columns: usize) -> Prior {
    let precisions = [vec![0.04; 2], vec![0.01; columns - 2]].concat();
    Prior { precisions, laplace_scale: 0.05, noise_scale: 0.5, noise_floor: 1e-12 }
}

/// A panel's regression, from its values on the device to coefficients on the device.
fn regressed(device: &Device, y: &Lanes) -> (Rows, Vec<f64>, Vec<bool>) {
    let (design, layouts) = (design(y.steps(), 6), layouts(y.steps() as u32, 25));
    let layout_of: Vec<usize> = (0..y.series()).map(|s| s % 2).collect();
    let grams = masked_gram(&design, &layouts).unwrap();
    let x = design.to_device(device, &layouts, &layout_of).unwrap();
    let problem = prior(8).to_device(device, x.order(), &grams, &layout_of).unwrap();
    let y = y.to_device(device).unwrap();
    let (up, down, found) = carried(|| {
        let found = shrunk_regression(&x, &problem, &y).unwrap();
        device.wait().unwrap();
        found
    });
    assert_eq!((up, down), (0, 0), "bytes carried between the ends on {device}");
    let (_, down, fit) = carried(|| found.fit.to_host().unwrap());
    assert_eq!(down > 0, !matches!(device, Device::Cpu), "the count sees what does come back");
    (found.fit.x.to_host().unwrap(), fit.noise, fit.converged)
}

#[test]
fn a_panel_is_regressed_in_one_chain_on_the_device() {
    let y = panel(300, 257);
    let (expected, noise, converged) = regressed(&Device::Cpu, &y);
    assert!(converged.iter().all(|&converged| converged));
    for device in check::in_both_precisions() {
        let (found, own_noise, converged) = regressed(&device, &y);
        assert!(converged.iter().all(|&converged| converged), "{device}");
        // Values and residuals of the second round are rounded alike but for their order; the Gram's condition is 1e6.
        // In f32 values of one are rounded by 6e-8, of which noise of a hundredth knows 1e-5; its hinges share bends.
        let (tolerance, of_noise) = if device.has_f64() { (1e-7, 1e-9) } else { (0.1, 1e-3) };
        check::assert_close(found.values(), expected.values(), tolerance, &device);
        check::assert_close(&own_noise, &noise, of_noise, &device);
    }
}

#[test]
fn a_series_that_holds_no_number_leaves_its_neighbours_alone() {
    for device in check::in_both_precisions() {
        let y = panel(97, 20);
        let (alone, noise, _) = regressed(&device, &y);
        let bad = |t: usize, s: usize| match s {
            3 => Some(f32::NAN),
            4 if t == 50 => Some(f32::INFINITY),
            5 => Some(0.0),
            _ => None,
        };
        let spoilt = Lanes::from_fn(97, 20, |t, s| bad(t, s).unwrap_or(y.get(t, s)));
        let (found, own_noise, converged) = regressed(&device, &spoilt);
        for s in (0..20).filter(|s| !(3..6).contains(s)) {
            assert_eq!((found.row(s), own_noise[s]), (alone.row(s), noise[s]), "series {s} on {device}");
        }
        for nothing in [3, 5] {
            assert!(converged[nothing] && found.row(nothing).iter().all(|&x| x == 0.0), "{nothing} on {device}");
            assert!((own_noise[nothing] / 1e-12 - 1.0).abs() < 1e-6, "{} on {device}", own_noise[nothing]);
        }
        let unknown = found.row(4).iter().filter(|x| x.is_nan()).count();
        assert!(unknown >= if matches!(device, Device::Cpu) { 1 } else { 33 }, "{:?} on {device}", found.row(4));
    }
}

/// The same chain by its parts, of rows instead of a panel.
#[test]
fn rows_go_from_products_to_residuals_on_the_device() {
    let (design, layouts, layout_of) = (design(97, 6), layouts(97, 25), [0, 1, 0]);
    let grams = masked_gram(&design, &layouts).unwrap();
    let y: Vec<f64> = rows_of(&panel(97, 3)).iter().map(|value| value / 1e5).collect();
    let mut squares = Vec::new();
    for device in check::in_both_precisions() {
        let x = design.to_device(&device, &layouts, &layout_of).unwrap();
        let problem = prior(8).to_device(&device, 33, &grams, &layout_of).unwrap();
        let y = Rows::new(3, 97, y.clone()).unwrap().to_device(&device).unwrap();
        let start = Rows::new(3, 33, vec![0.0; 99]).unwrap().to_device(&device).unwrap();
        let (up, down, left) = carried(|| {
            let cross = crate::products::masked_cross_on(&x, &y).unwrap();
            let fit = crate::shrink::shrink_on(&problem, &row_moments(&y).unwrap(), &cross, &start).unwrap();
            row_moments(&take_fitted_on(&x, &fit.x, &y).unwrap()).unwrap()
        });
        assert_eq!((up, down), (0, 0), "bytes carried between the ends on {device}");
        squares.push(left.to_host().unwrap().values().to_vec());
        check::assert_close(squares.last().unwrap(), &squares[0], 1e-9 * rounding(&device).min(1e7), &device);
    }
}

#[test]
fn a_panel_of_none_is_none_on_every_device() {
    for device in device::present() {
        let design = design(30, 3);
        let x = design.to_device(&device, &[], &[]).unwrap();
        let problem = prior(5).to_device(&device, 5, &[], &[]).unwrap();
        let y = Lanes::zeros(30, 0).to_device(&device).unwrap();
        let found = shrunk_regression(&x, &problem, &y).unwrap();
        assert_eq!(found.fit.x.to_host().unwrap().count(), 0, "{device}");
        let rows = Rows::new(0, 3, vec![]).unwrap().to_device(&device).unwrap();
        assert_eq!(row_moments(&rows).unwrap().to_host().unwrap().count(), 0, "{device}");
    }
}

#[test]
fn operands_share_a_batch_and_a_device() {
    let (design, layouts) = (design(30, 3), layouts(30, 1));
    for device in device::present() {
        let x = design.to_device(&device, &layouts, &[0, 1]).unwrap();
        let panel = |device: &Device, steps, series| Lanes::zeros(steps, series).to_device(device).unwrap();
        let put =
            |device: &Device, width| Rows::new(2, width, vec![1.0; 2 * width]).unwrap().to_device(device).unwrap();
        assert!(scaled_start(&x, &panel(&device, 29, 2)).is_err());
        assert!(scaled_start(&x, &panel(&device, 30, 3)).is_err());
        assert!(scaled_sums(&x, &panel(&device, 30, 2), &put(&device, 2), &put(&device, 6)).is_err());
        assert!(scaled_sums(&x, &panel(&device, 30, 2), &put(&device, 1), &put(&device, 5)).is_err());
        for other in device::present().iter().filter(|other| other.kind() != device.kind()) {
            let error = scaled_start(&x, &panel(other, 30, 2)).unwrap_err().to_string();
            assert_eq!(error, format!("y lies on {}, the batch on {}", other.kind(), device.kind()));
            let sums = scaled_sums(&x, &panel(&device, 30, 2), &put(&device, 1), &put(other, 6));
            let error = sums.unwrap_err().to_string();
            assert_eq!(error, format!("about lies on {}, the batch on {}", other.kind(), device.kind()));
        }
    }
}
