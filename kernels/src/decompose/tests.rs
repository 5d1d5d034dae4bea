use super::*;
use crate::gpu::transfer::carried;
use crate::{Device, Lanes, check, device, reference};

/// The series that the golden values below decompose.
fn golden() -> Vec<f64> {
    let value = |t: usize| {
        let wave = 2.0 * (std::f64::consts::TAU * t as f64 / 12.0).cos();
        10.0 + 0.05 * t as f64 + [1.5, -0.5, 0.25, -1.25][t % 4] + wave + ((t * 37) % 11) as f64 / 5.0
    };
    (0..60).map(value).collect()
}

/// `statsforecast.mstl.mstl(y, [4, 12])` of statsforecast 2.1.1 on statsmodels 0.15.0: trend and both seasons.
const TWO_SEASONS: [(usize, [f64; 3]); 11] = [
    (0, [10.705704070338, 1.623293150388, 1.761122999135]),
    (1, [10.794846678009, -0.500586547910, 1.886465137822]),
    (5, [11.131136885616, -0.515787252101, -1.438203270442]),
    (11, [11.556973428944, -1.263627719642, 1.424211470067]),
    (12, [11.611212342237, 1.621981885996, 1.767901124014]),
    (23, [12.162011416236, -1.030178209838, 1.434297844169]),
    (30, [12.492989467166, 0.372853713996, -1.898620280808]),
    (37, [12.850561274020, -0.558565452058, 1.905393820914]),
    (48, [13.401731974053, 1.405767285487, 1.803980274779]),
    (58, [13.848490949918, 0.318016674866, 0.723188834198]),
    (59, [13.892354371687, -1.409294719696, 1.482245148324]),
];

/// `mstl(y, 5)` of the same series and versions: trend and season.
const ONE_SEASON: [(usize, [f64; 2]); 5] = [
    (0, [13.286423756974, 0.086529700012]),
    (1, [12.561507114168, -0.239853597554]),
    (29, [11.364166896534, -0.007838538962]),
    (58, [14.127181368147, -0.017089411553]),
    (59, [14.757929685659, -0.018851309246]),
];

#[test]
fn reference_equals_statsforecast() {
    let y = golden();
    let (trend, seasons, remainder) = reference::decompose::decompose(&y, &[4, 12]);
    for (t, expected) in TWO_SEASONS {
        let found = [trend[t], seasons[0][t], seasons[1][t]];
        for (found, expected) in found.iter().zip(expected) {
            // The constants have twelve digits.
            assert!((found - expected).abs() < 1e-11, "{t}: {found} {expected}");
        }
        assert!((found.iter().sum::<f64>() + remainder[t] - y[t]).abs() < 1e-12);
    }
    let (trend, seasons, _) = reference::decompose::decompose(&y, &[5]);
    for (t, expected) in ONE_SEASON {
        assert!((trend[t] - expected[0]).abs() < 1e-11 && (seasons[0][t] - expected[1]).abs() < 1e-11, "{t}");
    }
}

/// The parts of one series on the host: trend, seasons, remainder.
fn columns(parts: &Decomposition, series: usize) -> Vec<Vec<f64>> {
    let all = [&parts.trend].into_iter().chain(&parts.seasons).chain([&parts.remainder]);
    all.map(|part| check::column(&part.to_host().unwrap(), series)).collect()
}

fn assert_matches_reference(device: &Device, y: &Lanes, seasons: &[usize]) {
    let found = decompose(&y.to_device(device).unwrap(), seasons).unwrap();
    let hosted = Decomposition {
        trend: Matrix::Cpu(found.trend.to_host().unwrap()),
        seasons: found.seasons.iter().map(|part| Matrix::Cpu(part.to_host().unwrap())).collect(),
        remainder: Matrix::Cpu(found.remainder.to_host().unwrap()),
    };
    // All of a small batch; of a long one, which the reference is slow at, the ends.
    let some: Vec<usize> = (0..y.series()).filter(|s| y.steps() < 100 || [0, 1, y.series() - 1].contains(s)).collect();
    for s in some {
        let column = check::column(y, s);
        let scale = column.iter().filter(|v| !v.is_nan()).fold(0.0, |m: f64, v| m.max(v.abs()));
        let (trend, parts, remainder) = reference::decompose::decompose(&column, seasons);
        let expected = [vec![trend], parts, vec![remainder]].concat();
        for (found, expected) in columns(&hosted, s).iter().zip(&expected) {
            // Some twenty smoothers follow one another, each adding its roundings: a sum of at most a hundred
            // terms whose weights' sizes add up to four at a series' ends, 1e-6 of the scale.
            check::assert_close(found, expected, 2e-5 * scale, device);
        }
    }
}

#[test]
fn decompose_matches_reference() {
    for device in device::present() {
        for (steps, series) in check::SHAPES.into_iter().chain([(61, 3), (97, 16), (98, 17)]) {
            for seasons in [&[2][..], &[7], &[6, 24], &[2, 5, 12]] {
                if 2 * seasons[seasons.len() - 1] > steps {
                    continue;
                }
                let y = check::random_walk(steps, series);
                assert_matches_reference(&device, &y, seasons);
                assert_matches_reference(&device, &check::with_gaps(y), seasons);
            }
        }
    }
}

#[test]
fn long_gaps_and_bare_ends_match_reference() {
    let gap = |t: usize, s: usize| match s {
        0 => t < 30,
        1 => t >= 190,
        2 => (60..150).contains(&t),
        3 => t % 10 != 3 && t > 24, // after two days one value in ten
        _ => false,
    };
    let walk = check::random_walk(220, 6);
    let y = Lanes::from_fn(220, 6, |t, s| if gap(t, s) { f32::NAN } else { walk.get(t, s) });
    for device in device::present() {
        assert_matches_reference(&device, &y, &[12, 24]);
    }
}

#[test]
fn the_parts_add_up_to_the_series() {
    let y = check::with_gaps(check::random_walk(120, 20));
    for device in device::present() {
        let parts = decompose(&y.to_device(&device).unwrap(), &[6, 24]).unwrap();
        for s in [0, 7, 19] {
            let columns = columns(&parts, s);
            for (t, y) in check::column(&y, s).into_iter().enumerate() {
                let sum: f64 = columns.iter().map(|part| part[t]).sum();
                // One rounding a part, of numbers of up to the walk's forty.
                assert!((sum - y).abs() < 2e-5 || (sum.is_nan() && y.is_nan()), "{s} {t}: {sum} {y} on {device}");
            }
        }
    }
}

#[test]
fn without_seasons_matches_reference() {
    let y = check::with_gaps(check::random_walk(120, 20));
    for device in device::present() {
        let parts = decompose(&y.to_device(&device).unwrap(), &[6, 24]).unwrap();
        let found = without_seasons(&parts).unwrap().to_host().unwrap();
        for s in [0, 1, 7, 19] {
            let columns = columns(&parts, s);
            let expected = reference::decompose::without_seasons(&check::column(&y, s), &columns[1..=2]);
            let expected: Vec<f64> = if s == 1 { vec![f64::NAN; 120] } else { expected };
            check::assert_close(&check::column(&found, s), &expected, 2e-5, &device);
        }
    }
}

#[test]
fn a_series_has_the_same_bits_in_any_batch() {
    let (walk, holes) = (check::random_walk(60, 20), check::with_gaps(check::random_walk(60, 20)));
    // Series 3, 8, … have gaps; 1 was never observed.
    let mixed = Lanes::from_fn(60, 20, |t, s| if s % 5 == 3 || s == 1 { holes.get(t, s) } else { walk.get(t, s) });
    for device in device::present() {
        let together = decompose(&mixed.to_device(&device).unwrap(), &[4, 10]).unwrap();
        for s in [0, 3, 8, 17, 19] {
            let alone = Lanes::from_fn(60, 1, |t, _| mixed.get(t, s));
            let alone = decompose(&alone.to_device(&device).unwrap(), &[4, 10]).unwrap();
            let bits =
                |columns: Vec<Vec<f64>>| -> Vec<u64> { columns.concat().into_iter().map(f64::to_bits).collect() };
            assert_eq!(bits(columns(&alone, 0)), bits(columns(&together, s)), "series {s} on {device}");
        }
    }
}

#[test]
fn a_decomposition_brings_back_which_series_have_gaps_alone() {
    let y = check::with_gaps(check::random_walk(120, 20));
    for device in device::present() {
        let there = y.to_device(&device).unwrap();
        let (_, down, _) = carried(|| decompose(&there, &[6, 24]).unwrap());
        let expected = if matches!(device, Device::Cpu) { 0 } else { 20 * size_of::<u32>() };
        assert_eq!(down, expected, "bytes from {device}");
    }
}

#[test]
fn a_slot_that_was_never_observed_leaves_nothing() {
    let y = Lanes::from_fn(40, 3, |t, s| if s == 1 && t % 8 == 5 { f32::NAN } else { (t % 8 + t * s) as f32 });
    for device in device::present() {
        let parts = decompose(&y.to_device(&device).unwrap(), &[4, 8]).unwrap();
        assert!(columns(&parts, 1).concat().iter().all(|v| v.is_nan()), "{device}");
        assert!(columns(&parts, 0).concat().iter().chain(&columns(&parts, 2).concat()).all(|v| v.is_finite()));
    }
}

#[test]
fn seasons_that_do_not_fit_are_refused() {
    let y = Matrix::Cpu(check::random_walk(20, 2));
    for seasons in [&[][..], &[1], &[4, 4], &[6, 4], &[4, 11]] {
        assert!(decompose(&y, seasons).is_err(), "{seasons:?}");
    }
}
