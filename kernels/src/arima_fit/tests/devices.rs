//! The screen and the fit on every device beside the CPU's.

use super::*;

/// Series of all kinds, a row each: whole, late, with gaps, never moving, with hardly a step, with none.
fn rows(steps: usize) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> =
        (0..9).map(|s| values(steps, if s % 3 == 1 { 0.08 } else { 0.0 }, 40 + s as u64)).collect();
    for (s, late) in [(2, 7), (3, 20), (6, steps - 3), (7, steps)] {
        rows[s][..late].fill(f64::NAN);
    }
    rows[8] = vec![0.0; steps];
    rows
}

const PLAIN: [(usize, usize); 6] = [(0, 0), (1, 0), (0, 1), (2, 1), (1, 2), (3, 3)];

fn plain_orders() -> Vec<ArmaOrder> {
    PLAIN.map(|(ar, ma)| order(ar, ma, 0, 0, 1)).to_vec()
}

fn seasonal_orders() -> Vec<ArmaOrder> {
    vec![order(0, 0, 0, 0, 4), order(1, 0, 0, 1, 4), order(1, 1, 1, 0, 4)]
}

/// The likelihoods of candidates at their own free numbers are those that the screen says, and the best of each series
/// is as good as the CPU's.
fn assert_screens_agree(orders: &[ArmaOrder], differencing: Differencing) {
    let rows = rows(72);
    let y = Rows::new(rows.len(), 72, rows.concat()).unwrap();
    let screened =
        |device: &Device| arima_screen(&y.to_device(device).unwrap(), differencing, orders, 1e-4, 6).unwrap();
    let expected = screened(&Device::Cpu);
    for device in check::in_both_precisions().iter().filter(|device| device.kind() != "cpu") {
        for (s, (found, expected)) in screened(device).iter().zip(&expected).enumerate() {
            let what = format!("series {s} {differencing:?} on {device}:\n{found:?}\n{expected:?}");
            if s == 8 {
                continue; // nothing is there to tell orders apart by
            }
            assert_eq!(found.is_empty(), expected.is_empty(), "{what}");
            let (Some(found), Some(expected)) = (found.first(), expected.first()) else { continue };
            // Ways down end where a step promises 1e-5 of the sum, here some thousandths; where two valleys are about
            // as deep, rounding may take either.
            let room = if device.has_f64() { 0.05 } else { 0.5 };
            assert!(found.aicc < expected.aicc + room, "{what}");
            assert!(found.free.iter().all(|free| free.abs() <= 4.0), "{what}");
        }
    }
}

#[test]
fn a_device_screens_as_the_cpu_does() {
    for differences in 0..3 {
        assert_screens_agree(&plain_orders(), Differencing { differences, seasonal_differences: 0, season: 1 });
    }
}

#[test]
fn a_device_screens_seasons_as_the_cpu_does() {
    for seasonal_differences in 0..2 {
        assert_screens_agree(&seasonal_orders(), Differencing { differences: 0, seasonal_differences, season: 4 });
    }
}

/// Every fit begun from the CPU's screen, effort after effort, is in the end as likely as the CPU's.
fn assert_fits_agree(orders: &[ArmaOrder], differencing: Differencing, efforts: &[ArimaEffort]) {
    let effort = efforts[efforts.len() - 1];
    let rows = rows(72);
    let y = Rows::new(rows.len(), 72, rows.concat()).unwrap();
    let screened = arima_screen(&Batch::Cpu(y.clone()), differencing, orders, 1e-4, 3).unwrap();
    let starts: Vec<(usize, &ArimaCandidate)> = screened
        .iter()
        .enumerate()
        .filter(|(s, _)| *s != 8)
        .flat_map(|(s, all)| all.iter().map(move |candidate| (s, candidate)))
        .collect();
    let fitted = |device: &Device| {
        let y = y.to_device(device).unwrap();
        let fits = arima_fit(&y, differencing, &starts, efforts[0]).unwrap();
        efforts[1..].iter().fold(fits, |fits, effort| {
            let candidates: Vec<ArimaCandidate> = fits.iter().map(ArimaFit::candidate).collect();
            let starts: Vec<_> = starts.iter().map(|(s, _)| *s).zip(&candidates).collect();
            arima_fit(&y, differencing, &starts, *effort).unwrap()
        })
    };
    let expected = fitted(&Device::Cpu);
    for device in check::in_both_precisions().iter().filter(|device| device.kind() != "cpu") {
        let (mut lost_count, mut short) = (0, Vec::new());
        for ((start, found), expected) in starts.iter().zip(fitted(device)).zip(&expected) {
            let what = format!("series {} {differencing:?} {efforts:?} on {device}:\n{found:?}\n{expected:?}", start.0);
            let gapped = rows[start.0].iter().skip_while(|v| v.is_nan()).any(|v| v.is_nan());
            let lost = differencing.of(&[]).lost_steps();
            if gapped && lost > 0 && effort == ArimaEffort::Full && !device.has_f64() {
                assert!(!found.converged, "{what}: a diffuse start has no room in an f32");
                continue;
            }
            assert_eq!((found.order, found.margin), (expected.order, expected.margin), "{what}");
            assert_eq!(found.likelihood.observed, expected.likelihood.observed, "{what}");
            assert_eq!(found.likelihood.state.len(), expected.likelihood.state.len(), "{what}");
            assert_eq!(found.constant.is_some(), expected.constant.is_some(), "{what}");
            if effort == ArimaEffort::Glance {
                continue;
            }
            // Along a ridge at the unit circle what is left is some hundred times what a step promises, a hundredth of a
            // nat. An `f32` knows a sum to some 1e-6 of itself, and such a ridge to a fifth.
            let room = if device.has_f64() { 0.01 } else { 0.2 };
            let gain = found.likelihood.log_likelihood() - expected.likelihood.log_likelihood();
            if expected.converged && !found.converged {
                lost_count += 1;
            } else if expected.converged && gain <= -room {
                short.push(format!("{gain} {what}"));
            }
        }
        assert!(short.is_empty(), "{}", short.join("\n"));
        // Some do not settle on such a ridge, and say so. In `f32` rounding has a say in which.
        let (floats, share) = if device.has_f64() { ("f64", 6) } else { ("f32", 4) };
        assert!(
            share * lost_count <= starts.len(),
            "{lost_count} of {} did not settle on {device} in {floats}: {differencing:?} {efforts:?}",
            starts.len()
        );
    }
}

#[test]
fn a_device_fits_as_the_cpu_does() {
    for differences in 0..3 {
        let differencing = Differencing { differences, seasonal_differences: 0, season: 1 };
        // Along a ridge at the unit circle, one that is only ranked may stop some of its small steps short: what it must
        // not lose is the top that the full search finds from there.
        let ranked = [ArimaEffort::Rank, ArimaEffort::Full];
        for efforts in [&[ArimaEffort::Glance][..], &ranked, &ranked[1..]] {
            assert_fits_agree(&plain_orders(), differencing, efforts);
        }
    }
}

#[test]
fn a_device_fits_seasons_as_the_cpu_does() {
    let differencing = Differencing { differences: 0, seasonal_differences: 1, season: 4 };
    assert_fits_agree(&seasonal_orders(), differencing, &[ArimaEffort::Full]);
}

/// Days of hours that hardly change, over a level that wanders: models with all their coefficients have their roots next
/// to the unit circle.
fn days(seed: u64) -> Vec<f64> {
    let noise = values(15 * 24, 0.0, seed);
    let day = |t: usize| std::f64::consts::TAU * t as f64 / 24.0;
    (0..noise.len()).map(|t| day(t).sin() + 0.4 * (2.0 * day(t) + seed as f64).cos() + 0.05 * noise[t]).collect()
}

#[test]
fn a_device_stays_at_a_top_next_to_the_unit_circle() {
    let rows: Vec<Vec<f64>> = (0..6).map(days).collect();
    let y = Rows::new(rows.len(), rows[0].len(), rows.concat()).unwrap();
    let orders = [(4, 4), (5, 4), (4, 5), (5, 5)].map(|(ar, ma)| order(ar, ma, 0, 0, 1));
    for differences in 0..2 {
        let differencing = Differencing { differences, seasonal_differences: 0, season: 1 };
        let on_cpu = Batch::Cpu(y.clone());
        let screened = arima_screen(&on_cpu, differencing, &orders, 1e-4, 4).unwrap();
        let starts: Vec<(usize, &ArimaCandidate)> =
            screened.iter().enumerate().flat_map(|(s, all)| all.iter().map(move |candidate| (s, candidate))).collect();
        let tops = arima_fit(&on_cpu, differencing, &starts, ArimaEffort::Full).unwrap();
        let tops: Vec<(usize, ArimaFit)> =
            starts.iter().map(|(s, _)| *s).zip(tops).filter(|(_, top)| top.converged).collect();
        assert!(tops.len() >= starts.len() / 2, "{} of {}", tops.len(), starts.len());
        let near = |free: &f64| free.abs() > 2.5;
        assert!(tops.iter().filter(|(_, top)| top.free.iter().any(near)).count() > tops.len() / 2);
        for device in device::present().iter().filter(|device| device.kind() != "cpu" && device.has_f64()) {
            let again: Vec<(usize, ArimaCandidate)> = tops.iter().map(|(s, top)| (*s, top.candidate())).collect();
            let again: Vec<(usize, &ArimaCandidate)> = again.iter().map(|(s, top)| (*s, top)).collect();
            let found = arima_fit(&y.to_device(device).unwrap(), differencing, &again, ArimaEffort::Full).unwrap();
            for ((s, top), found) in tops.iter().zip(&found) {
                assert!(found.aicc < top.aicc + 0.01, "{s} on {device}: {found:?}\n{top:?}");
            }
            let lost = found.iter().filter(|found| !found.converged).count();
            assert!(8 * lost <= found.len(), "{lost} of {} did not settle on {device}", found.len());
        }
    }
}

/// A season of one step is no season: the model is the plain one's, and its filter the one for models of any length.
#[test]
fn a_device_knows_the_curvature_of_the_innovations_whatever_filters_them() {
    let rows: Vec<Vec<f64>> = (0..4).map(|s| values(72, 0.0, 40 + s)).collect();
    let y = Rows::new(rows.len(), 72, rows.concat()).unwrap();
    let differencing = Differencing { differences: 0, seasonal_differences: 0, season: 1 };
    let at = |order: ArmaOrder, free: &[f64]| ArimaCandidate {
        order,
        margin: 0.0,
        constant: false,
        free: free.to_vec(),
        aicc: f64::NAN,
    };
    for (ar, ma) in [(1, 0), (0, 2), (2, 1), (3, 4)] {
        let free = &[0.4, -0.3, 0.6, -0.5, 0.2, 0.3, -0.1][..ar + ma];
        let [plain, other] = [at(order(ar, ma, 0, 0, 1), free), at(order(0, 0, ar, ma, 1), free)];
        let starts = |own| (0..rows.len()).map(move |s| (s, own)).collect::<Vec<(usize, &ArimaCandidate)>>();
        let on = |y: &Batch, own| arima_fit(y, differencing, &starts(own), ArimaEffort::Glance).unwrap();
        let expected = on(&Batch::Cpu(y.clone()), &other);
        for device in check::in_both_precisions().iter().filter(|device| device.kind() != "cpu") {
            let y = y.to_device(device).unwrap();
            // In `f32` the difference of two likelihoods of some tens keeps three digits.
            let room = if device.has_f64() { 1e-4 } else { 0.05 };
            for (s, found) in on(&y, &plain).iter().chain(&on(&y, &other)).enumerate() {
                let expected = expected[s % rows.len()].promised;
                assert!(
                    (found.promised - expected).abs() < room * (1.0 + expected.abs()),
                    "({ar}, {ma}) {s} on {device}: {} for {expected}",
                    found.promised
                );
            }
        }
    }
}

#[test]
fn an_end_is_what_the_likelihood_says_of_it() {
    let rows = rows(72);
    let y = Rows::new(rows.len(), 72, rows.concat()).unwrap();
    let differencing = Differencing { differences: 1, seasonal_differences: 0, season: 1 };
    let orders = plain_orders();
    for device in device::present() {
        let y = y.to_device(&device).unwrap();
        let screened = arima_screen(&y, differencing, &orders, 1e-4, 3).unwrap();
        let starts: Vec<(usize, &ArimaCandidate)> =
            [0, 1, 2, 3].into_iter().filter_map(|s| Some((s, screened[s].first()?))).collect();
        let fits = arima_fit(&y, differencing, &starts, ArimaEffort::Full).unwrap();
        for ((s, _), fit) in starts.iter().zip(fits) {
            let all = fit.coefficients.repeat(rows.len());
            let said = arima_likelihood(&y, differencing, fit.order, &all, fit.constant.is_some()).unwrap();
            let (found, said) = (&fit.likelihood, &said[*s]);
            // Both run the same recursions, in another order of sums.
            let close = |a: f64, b: f64| (a - b).abs() < 1e-8 * (1.0 + b.abs());
            let what = format!("{s} on {device}: {found:?} {said:?}");
            if device.has_f64() {
                assert!(close(found.squares, said.squares) && close(found.logs, said.logs), "{what}");
                let ours = found.state.iter().chain(&found.tail).chain(&found.constant);
                let theirs = said.state.iter().chain(&said.tail).chain(&said.constant);
                assert!(ours.zip(theirs).all(|(a, b)| close(*a, *b)), "{what}");
            }
        }
    }
}

#[test]
fn a_start_does_not_depend_on_its_neighbours() {
    let rows = rows(72);
    let y = Rows::new(rows.len(), 72, rows.concat()).unwrap();
    let differencing = Differencing { differences: 1, seasonal_differences: 0, season: 1 };
    for device in device::present() {
        let screened = arima_screen(&y.to_device(&device).unwrap(), differencing, &plain_orders(), 1e-4, 2).unwrap();
        let starts: Vec<(usize, &ArimaCandidate)> =
            screened.iter().enumerate().flat_map(|(s, all)| all.iter().map(move |candidate| (s, candidate))).collect();
        let fits = arima_fit(&y.to_device(&device).unwrap(), differencing, &starts, ArimaEffort::Full).unwrap();
        for s in [1, 4] {
            let one = Rows::new(1, 72, rows[s].clone()).unwrap().to_device(&device).unwrap();
            let alone = arima_screen(&one, differencing, &plain_orders(), 1e-4, 2).unwrap().remove(0);
            assert_eq!(alone, screened[s], "{s} on {device}");
            let at = starts.iter().position(|(row, _)| *row == s).unwrap();
            let fit = arima_fit(&one, differencing, &[(0, &alone[0])], ArimaEffort::Full).unwrap().remove(0);
            assert_eq!(fit, fits[at], "{s} on {device}");
        }
    }
}

#[test]
fn a_search_comes_down_once() {
    let rows: Vec<f64> = (0..30).flat_map(|s| values(50, 0.0, s)).collect();
    let differencing = Differencing { differences: 1, seasonal_differences: 0, season: 1 };
    for device in device::present().iter().filter(|device| device.kind() != "cpu") {
        let y = Rows::new(30, 50, rows.clone()).unwrap().to_device(device).unwrap();
        let float = if device.has_f64() { 8 } else { 4 };
        let (_, down, screened) = carried(|| arima_screen(&y, differencing, &[order(1, 1, 0, 0, 1)], 0.0, 1).unwrap());
        // Which model, its criterion and its two free numbers.
        assert_eq!(down, 30 * (4 + 3 * float), "bytes down from {device}");
        let starts: Vec<(usize, &ArimaCandidate)> = screened.iter().map(|all| &all[0]).enumerate().collect();
        let (_, down, _) = carried(|| arima_fit(&y, differencing, &starts, ArimaEffort::Full).unwrap());
        // Three counters of each series; of each start seven numbers, free ones and coefficients, its state, all with both
        // sides as long as the longer, and the step that differencing looks back on.
        let of = |order: ArmaOrder| {
            let reach = order.ar.max(order.ma);
            7 + 2 * 2 * reach + (reach + 1) + 1
        };
        let numbers: usize = starts.iter().map(|(_, start)| of(start.order)).sum();
        assert_eq!(down, 30 * 3 * 4 + numbers * float, "bytes down from {device}");
    }
}
