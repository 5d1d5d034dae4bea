//! The shrunk fit where its operands lie.

use super::*;
use crate::gpu::transfer::carried;
use crate::products::{Design, Layout, masked_cross, masked_gram};
use crate::{check, device};

/// Problems that share some Gram matrices, and where their fits start.
struct Fleet {
    prior: Prior,
    grams: Vec<f64>,
    gram_of: Vec<usize>,
    moments: Vec<Moments>,
    cross: Vec<f64>,
    start: Vec<f64>,
}

impl Fleet {
    fn order(&self) -> usize {
        self.cross.len() / self.gram_of.len().max(1)
    }

    fn on_cpu(&self) -> Shrunk {
        shrink(&self.prior, &self.grams, &self.gram_of, &self.moments, &self.cross, &self.start).unwrap()
    }

    /// `[series, 2]`
    fn moments(&self) -> Vec<f64> {
        self.moments.iter().flat_map(|own| [own.count as f64, own.square]).collect()
    }

    fn on(&self, device: &Device) -> Shrunk {
        let (series, order) = (self.gram_of.len(), self.order());
        let rows =
            |width, values: &[f64]| Rows::new(series, width, values.to_vec()).unwrap().to_device(device).unwrap();
        let problem = self.prior.to_device(device, order, &self.grams, &self.gram_of).unwrap();
        assert_eq!((problem.order(), problem.series(), problem.kind()), (order, series, device.kind()));
        let operands = [rows(2, &self.moments()), rows(order, &self.cross), rows(order, &self.start)];
        let (up, down, found) = carried(|| shrink_on(&problem, &operands[0], &operands[1], &operands[2]).unwrap());
        assert_eq!((up, down), (0, 0), "bytes carried by a fit on {device}");
        found.to_host().unwrap()
    }

    /// The same problems about other starts; what the residuals lose there is taken out in `f64`.
    fn about(&self, start: &[f64]) -> Self {
        let order = self.order();
        let (mut moments, mut cross) = (self.moments.clone(), self.cross.clone());
        for (s, cross) in cross.chunks_mut(order).enumerate() {
            let gram = &self.grams[self.gram_of[s] * order * order..];
            let moved: Vec<f64> = (0..order).map(|i| start[s * order + i] - self.start[s * order + i]).collect();
            for i in 0..order {
                let product = (0..order).map(|j| gram[i * order + j] * moved[j]).sum::<f64>();
                moments[s].square += moved[i] * (product - 2.0 * self.cross[s * order + i]);
                cross[i] -= product;
            }
        }
        let (prior, grams, gram_of) = (self.prior.clone(), self.grams.clone(), self.gram_of.clone());
        Self { prior, grams, gram_of, moments, cross, start: start.to_vec() }
    }

    /// The objective of one series at coefficients and noise.
    fn objective(&self, series: usize, x: &[f64], noise: f64) -> f64 {
        let order = self.order();
        let gram = &self.grams[self.gram_of[series] * order * order..];
        let (cross, start) = (&self.cross[series * order..], &self.start[series * order..]);
        let moved = |i: usize| x[i] - start[i];
        let product = |i: usize| (0..order).map(|j| gram[i * order + j] * moved(j)).sum::<f64>();
        let square: f64 = (0..order).map(|i| moved(i) * (product(i) - 2.0 * cross[i])).sum();
        let Moments { count, square: begun } = self.moments[series];
        let variance = noise * noise;
        let believed = |(i, x): (usize, &f64)| match self.prior.precisions.get(i) {
            Some(precision) => precision * x * x / 2.0,
            None => x.abs() / self.prior.laplace_scale,
        };
        count as f64 * noise.ln()
            + (begun + square) / (2.0 * variance)
            + x.iter().enumerate().map(believed).sum::<f64>()
            + variance / (2.0 * self.prior.noise_scale.powi(2))
    }
}

/// Some nearly orthogonal problems, again and again.
fn orthogonal(steps: usize, order: usize, count: usize) -> Fleet {
    let problems: Vec<_> = (0..12).map(|seed| problem(steps, order, seed)).collect();
    let series = problems.iter().cycle().take(count);
    Fleet {
        prior: prior(),
        grams: problems.iter().flat_map(|(gram, ..)| gram.clone()).collect(),
        gram_of: (0..count).map(|s| s % 12).collect(),
        moments: series.clone().map(|(_, moments, _)| *moments).collect(),
        cross: series.flat_map(|(.., cross)| cross.clone()).collect(),
        start: vec![0.0; count * order],
    }
}

/// Series of 300 steps with days, a line that bends at some of 25 knots, and a twentieth of noise; every third of them
/// lacks steps.
fn bending(series: usize) -> Fleet {
    let steps = 300;
    let time = (0..steps).map(|t| t as f64 / (steps - 1) as f64).collect();
    let design = Design::new(time, 6, |t, column| {
        let angle = std::f64::consts::TAU * (t * (column / 2 + 1)) as f64 / 24.0;
        if column % 2 == 0 { angle.sin() } else { angle.cos() }
    });
    let knots: Vec<u32> = (1..=25).map(|k| k * 240 / 26).collect();
    let layouts = [vec![], (0..steps as u32).filter(|t| t % 7 == 3).collect()];
    let layouts = layouts.map(|missing| Layout { missing, knots: knots.clone() });
    let layout_of: Vec<usize> = (0..series).map(|s| usize::from(s % 3 == 1)).collect();
    let wave = |i: usize| ((i * 7_919 + 13) % 1_009) as f64 / 504.5 - 1.0;
    let value = |s: usize, t: usize| {
        let bends = (0..4).map(|k| 2.0 * wave(s * 41 + k) * (t as f64 / 299.0 - 0.2 * k as f64).max(0.0));
        bends.sum::<f64>() + 0.3 * design.value(t, 2 + s % 6) + 0.05 * wave(s * 997 + t * 31)
    };
    let y: Vec<f64> = (0..series * steps).map(|at| value(at / steps, at % steps)).collect();
    let observed = |s: usize| (0..steps).filter(move |t| s % 3 != 1 || t % 7 != 3);
    let moments =
        |s: usize| Moments { count: observed(s).count(), square: observed(s).map(|t| y[s * steps + t].powi(2)).sum() };
    let precisions = [vec![0.04; 2], vec![0.01; 6]].concat();
    Fleet {
        prior: Prior { precisions, laplace_scale: 0.05, noise_scale: 0.5, noise_floor: 1e-12 },
        grams: masked_gram(&design, &layouts).unwrap(),
        moments: (0..series).map(moments).collect(),
        cross: masked_cross(&design, &layouts, &layout_of, &y).unwrap(),
        start: vec![0.0; series * 33],
        gram_of: layout_of,
    }
}

#[test]
fn shrink_on_matches_reference() {
    // The last has more Laplace coefficients than a cube has units.
    for (steps, order, count) in [(40, 3, 257), (400, 30, 3), (500, 45, 2)] {
        let fleet = orthogonal(steps, order, count);
        let expected: Vec<_> = (0..count.min(12))
            .map(|s| {
                let gram = &fleet.grams[s * order * order..][..order * order];
                reference::shrink::shrink(&prior(), gram, fleet.moments[s], &fleet.cross[s * order..][..order])
            })
            .collect();
        for device in check::in_both_precisions() {
            // In f64 both stop within 1e-11 of their own fixed point; in f32 within 1e-3 of the noise's variance, whose
            // square is about 0.003 here.
            let tolerance = if device.has_f64() { 1e-8 } else { 1e-3 };
            let found = fleet.on(&device);
            assert!(found.converged.iter().all(|&converged| converged), "order {order} on {device}: {found:?}");
            for (s, own) in found.x.chunks(order).enumerate() {
                let (x, noise) = &expected[s % 12];
                check::assert_close(own, x, tolerance, &device);
                check::assert_close(&[found.noise[s]], &[*noise], tolerance, &device);
            }
        }
    }
}

#[test]
fn a_bending_line_has_the_optimum_of_the_cpu_on_every_device() {
    let fleet = bending(300);
    let expected = fleet.on_cpu();
    assert!(expected.converged.iter().all(|&converged| converged));
    for device in check::in_both_precisions() {
        let mut found = fleet.on(&device);
        if !device.has_f64() {
            // Half of the digits go with the sum of squares of what was not fitted yet.
            found = fleet.about(&found.x).on(&device);
        }
        for s in 0..300 {
            assert!(found.converged[s], "series {s} on {device}");
            let own = |fit: &Shrunk| fleet.objective(s, &fit.x[s * 33..][..33], fit.noise[s]);
            let above = own(&found) - own(&expected);
            // The objective is flat at its optimum, so that what the iterations stop short of shows in its square only;
            // it is a sum of 300 terms of about ten. In f32 a Gram of condition 1e6 leaves some hundredths of each
            // direction unknown, and so of the noise.
            let tolerance = if device.has_f64() { 1e-8 } else { 10.0 };
            assert!(above.abs() < tolerance, "{above:e} at series {s} on {device}");
            let tolerance = if device.has_f64() { 1e-9 } else { 3e-2 };
            let close = (found.noise[s] / expected.noise[s] - 1.0).abs() < tolerance;
            assert!(close, "{} against {} at series {s} on {device}", found.noise[s], expected.noise[s]);
        }
    }
}

#[test]
fn a_start_that_is_not_zero_is_gone_on_from() {
    let fleet = bending(40);
    let order = fleet.order();
    let first = fleet.on_cpu();
    // From far away for every other series: other signs, and coefficients that must return to zero.
    let far = |at: usize| if (at / order).is_multiple_of(2) { first.x[at] } else { 0.3 - first.x[at] };
    let fleet = fleet.about(&(0..40 * order).map(far).collect::<Vec<_>>());
    let expected = fleet.on_cpu();
    for device in check::in_both_precisions() {
        let found = fleet.on(&device);
        for s in (0..40).filter(|s| device.has_f64() || s % 2 == 0) {
            assert!(found.converged[s], "series {s} on {device}");
            let tolerance = if device.has_f64() { 1e-8 } else { 1e-3 };
            let close = (found.noise[s] / expected.noise[s] - 1.0).abs() < tolerance;
            assert!(close, "{} against {} at series {s} on {device}", found.noise[s], expected.noise[s]);
            if device.has_f64() {
                let own = |fit: &Shrunk| fit.x[s * order..][..order].to_vec();
                // The Gram's condition is 1e6: 1e-10 for a rounding of each.
                check::assert_close(&own(&found), &own(&expected), 1e-7, &device);
                check::assert_close(&own(&found), &first.x[s * order..][..order], 1e-6, &device);
            }
        }
    }
}

#[test]
fn where_no_sign_pays_all_are_zero() {
    let mut fleet = bending(9);
    fleet.prior.laplace_scale = 1e-9;
    let expected = fleet.on_cpu();
    for device in check::in_both_precisions() {
        let found = fleet.on(&device);
        for s in 0..9 {
            assert!(found.converged[s] && found.x[s * 33 + 8..][..25].iter().all(|&x| x == 0.0), "{device}");
            let tolerance = if device.has_f64() { 1e-10 } else { 1e-3 };
            check::assert_close(&found.x[s * 33..][..8], &expected.x[s * 33..][..8], tolerance, &device);
        }
    }
}

#[test]
fn a_broken_series_leaves_its_neighbours_alone_on_every_device() {
    for device in check::in_both_precisions() {
        let fleet = bending(20);
        let alone = fleet.on(&device);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut broken = bending(20);
            broken.cross[4 * 33 + 12] = bad;
            broken.cross[5 * 33] = bad;
            broken.start[6 * 33 + 1] = bad;
            broken.moments[7].square = bad;
            let found = broken.on(&device);
            for s in 0..20 {
                let (own, unspoilt) = (&found.x[s * 33..][..33], &alone.x[s * 33..][..33]);
                if (4..8).contains(&s) {
                    if !matches!(device, Device::Cpu) {
                        assert!(!found.converged[s] && found.noise[s].is_nan(), "series {s} on {device}");
                        assert!(own.iter().all(|x| x.is_nan()), "{own:?} of series {s} on {device}");
                    }
                } else {
                    assert_eq!((own, found.noise[s]), (unspoilt, alone.noise[s]), "series {s} on {device}");
                }
            }
        }
    }
}

#[test]
fn perfect_fits_stop_at_the_floor_on_every_device() {
    let (gram, _, _) = problem(40, 3, 0);
    let fleet = Fleet {
        prior: prior(),
        gram_of: vec![0; 2],
        moments: vec![Moments { count: 40, square: gram[0] }, Moments { count: 40, square: 0.0 }],
        cross: (0..6).map(|i| if i < 3 { gram[i * 3] } else { 0.0 }).collect(),
        start: vec![0.0; 6],
        grams: gram,
    };
    for device in check::in_both_precisions() {
        let found = fleet.on(&device);
        // In f32 a residual of nothing is known to 1e-7 of the sum of squares.
        let (noise, x) = if device.has_f64() { (1e-7, 1e-9) } else { (1e-3, 1e-5) };
        assert!(found.noise[0] < noise && (found.x[0] - 1.0).abs() < x, "{found:?} on {device}");
        assert!(found.converged[1] && found.x[3..] == [0.0; 3], "{found:?} on {device}");
        assert!((found.noise[1] / 1e-9 - 1.0).abs() < 1e-6, "{found:?} on {device}");
    }
}

#[test]
fn columns_of_one_kind_alone_are_fitted_on_every_device() {
    for normal in [0, 3] {
        let (gram, moments, cross) = problem(40, 3, 2);
        let prior = Prior { precisions: vec![0.04; normal], ..prior() };
        let fleet = Fleet { prior, grams: gram, gram_of: vec![0], moments: vec![moments], cross, start: vec![0.0; 3] };
        let expected = fleet.on_cpu();
        for device in check::in_both_precisions() {
            let found = fleet.on(&device);
            let tolerance = if device.has_f64() { 1e-9 } else { 1e-3 };
            check::assert_close(&found.x, &expected.x, tolerance, &device);
        }
    }
}

#[test]
fn a_fleet_of_none_is_none_on_every_device() {
    for device in device::present() {
        let rows = |width| Rows::new(0, width, vec![]).unwrap().to_device(&device).unwrap();
        let problem = prior().to_device(&device, 5, &[], &[]).unwrap();
        let found = shrink_on(&problem, &rows(2), &rows(5), &rows(5)).unwrap().to_host().unwrap();
        assert!(found.x.is_empty() && found.noise.is_empty() && found.converged.is_empty());
    }
}

#[test]
fn operands_are_checked() {
    let (gram, ..) = problem(40, 4, 0);
    for device in device::present() {
        assert!(prior().to_device(&device, 4, &gram, &[1]).is_err(), "a Gram that is not there");
        assert!(prior().to_device(&device, 4, &gram[..15], &[0]).is_err());
        assert!(prior().to_device(&device, 2, &gram[..4], &[0]).is_err(), "more precisions than coefficients");
        if let Device::Wgpu(gpu) = &device
            && gpu.is_software()
        {
            let error = prior().to_device(&device, 103, &[0.0; 103 * 103], &[0]).unwrap_err().to_string();
            let reason = "100 Laplace coefficients take more shared memory than it grants a cube";
            assert_eq!(error, format!("wgpu refused the shrunk fit: {reason}"));
        }
        let problem = prior().to_device(&device, 4, &gram, &[0]).unwrap();
        let put = |device: &Device, width| Rows::new(1, width, vec![0.0; width]).unwrap().to_device(device).unwrap();
        let own = |width| put(&device, width);
        for (moments, cross, start) in [(1, 4, 4), (2, 3, 4), (2, 4, 5)] {
            assert!(shrink_on(&problem, &own(moments), &own(cross), &own(start)).is_err());
        }
        for other in device::present().iter().filter(|other| other.kind() != device.kind()) {
            let error = shrink_on(&problem, &own(2), &put(other, 4), &own(4)).unwrap_err().to_string();
            assert_eq!(error, format!("cross lies on {}, the batch on {}", other.kind(), device.kind()));
        }
    }
}
