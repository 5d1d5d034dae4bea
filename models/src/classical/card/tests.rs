use super::*;
use crate::Panel;
use crate::check::forecast;

fn models(season: usize, longer: usize) -> [Box<dyn Model>; 3] {
    [Box::new(Delta::new(season, longer)), Box::new(Rho::new(season, longer)), Box::new(Card::new(season, longer))]
}

/// A week of working days and a weekend, with a disturbance that hardly repeats.
fn weeks(steps: usize) -> Vec<f64> {
    let day = |t: usize| if t / 6 % 7 < 5 { [0.0, 4.0, 9.0, 8.0, 3.0, 1.0][t % 6] } else { 1.0 };
    (0..steps).map(|t| 50.0 + day(t) + 0.05 * ((t * t * 7) % 11) as f64).collect()
}

#[test]
fn each_has_its_name() {
    let names = |season, longer| models(season, longer).map(|model| model.name());
    assert_eq!(names(24, 168), ["delta24_168", "rho24_168", "card24_168"]);
    assert_eq!(names(1, 1), ["delta", "rho", "card"]);
    assert_eq!(Card::new(24, 7).seasons, CardSeasons { season: 24, longer: 1 }, "a shorter one is no longer one");
}

#[test]
fn working_days_and_weekends_go_on_through_gaps_and_past_the_end() {
    for gaps in [&[][..], &[30, 31, 32, 100, 206, 207, 208, 209]] {
        for end in [210, 214] {
            let truth = weeks(end + 60);
            let mut values = truth[..210].to_vec();
            gaps.iter().for_each(|&t| values[t] = f64::NAN);
            let mut panel = Panel::new(1_000);
            panel.push("a".into(), 0, &[&values[..], &[f64::NAN; 9], &[1.0]].concat());
            for model in models(6, 42) {
                let fitted = model.fit(&panel.window_until(|_| end), 0).unwrap();
                let ahead = fitted.predict(Horizon::new(60).unwrap(), &Quantiles::standard()).unwrap();
                assert_eq!(fitted.status(), [FitStatus::Fitted]);
                for (step, mean) in ahead.mean(0).iter().enumerate() {
                    // The disturbance is of 0.25 on average and at most as much around that; Delta and a random walk
                    // go on from the last value.
                    let there = truth[end + step];
                    assert!((mean - there).abs() < 1.2, "{} {gaps:?} {end} {step}: {mean} {there}", model.name());
                }
            }
        }
    }
}

#[test]
fn what_repeats_without_error_is_repeated() {
    for base in [-3.0, 20.0, 1e9] {
        let season: Vec<f64> = (0..60).map(|t| base + [1.0, 5.0, 2.0, 9.0, 7.0][t % 5]).collect();
        for model in models(5, 1) {
            let (status, ahead) = forecast(&*model, std::slice::from_ref(&season), 10);
            assert_eq!(status, [FitStatus::Fitted]);
            for step in 0..10 {
                // The ridge takes a part in 10^9 of what varies; a number of 10^9 is known to 10^-7.
                let found = ahead.mean(0)[step];
                assert!((found - season[step]).abs() < 1e-5, "{} {base} {step}: {found}", model.name());
            }
        }
    }
}

#[test]
fn a_forecast_does_not_hang_on_how_far_one_asks() {
    let series = [weeks(300)];
    for model in models(6, 42) {
        let (near, far) = (forecast(&*model, &series, 5).1, forecast(&*model, &series, 90).1);
        assert_eq!((near.mean(0), near.quantile(0, 1)), (&far.mean(0)[..5], &far.quantile(0, 1)[..5]));
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    let broken = vec![f64::NAN, 1e30, -1e300, 3.0];
    let series: Vec<_> = (0..20).map(|s| weeks(180 + s)).chain([broken]).collect();
    for model in models(6, 42) {
        let together = forecast(&*model, &series, 5).1;
        let alone = forecast(&*model, &series[7..8], 5).1;
        assert_eq!((alone.mean(0), alone.quantile(0, 2)), (together.mean(7), together.quantile(7, 2)));
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let huge: Vec<f64> = (0..40).map(|t| if t % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let series = [vec![7.0; 40], vec![1.0, 2.0, 1.5], huge, vec![f64::NAN; 3]];
    for model in models(4, 1) {
        let (status, ahead) = forecast(&*model, &series, 3);
        let short = FitStatus::TooShort { observed: 3, needed: 8 };
        assert_eq!(status, [FitStatus::Constant, short, FitStatus::NotConverged, FitStatus::NoData]);
        assert_eq!((ahead.mean(0), ahead.quantile(0, 0)), (&[7.0; 3][..], &[7.0; 3][..]));
        assert!((1..4).all(|s| ahead.mean(s).iter().all(|v| v.is_nan())));
    }
}

#[test]
fn odd_numbers_bring_no_nan_and_stay_bounded() {
    let spiked = |at: usize, height: f64| {
        let mut values = weeks(200);
        values[at] = height;
        values
    };
    let growing: Vec<f64> = (0..200).map(|t| 1.1_f64.powi(t)).collect();
    let wild: Vec<f64> = (0..200).map(|t| if t % 3 == 0 { -1e12 } else { 1e-12 * f64::from(t) }).collect();
    let step: Vec<f64> = (0..90).map(|t| if t < 89 { 3.0 } else { 4.0 }).collect();
    let sparse: Vec<f64> = (0..200).map(|t| if t % 9 == 0 { f64::from(t % 5) } else { f64::NAN }).collect();
    let series = [
        spiked(20, 1e30),
        spiked(199, 1e30),
        spiked(0, -1e30),
        spiked(90, 0.0),
        weeks(200).iter().map(|v| 1e9 + v).collect(),
        weeks(200).iter().map(|v| -v).collect(),
        growing,
        wild,
        step,
        sparse,
        weeks(9),
    ];
    for (season, longer) in [(1, 1), (6, 42), (6, 1), (7, 30), (500, 3_000), (2, 3)] {
        for model in models(season, longer) {
            let (status, ahead) = forecast(&*model, &series, 400);
            for s in 0..series.len() {
                let name = model.name();
                assert!(status[s].is_usable() && ahead.is_finite(s), "{name} {s}: {:?}", status[s]);
                let (low, high) = series[s].iter().fold((f64::MAX, f64::MIN), |(l, h), v| (v.min(l), v.max(h)));
                let room = 3.001 * (high - low);
                let curves = (0..11).flat_map(|q| ahead.quantile(s, q)).chain(ahead.mean(s));
                let bounded = curves.into_iter().all(|v| (low - room..=high + room).contains(v));
                assert!(bounded, "{name} {s}");
            }
        }
    }
}

#[test]
fn offset_scale_and_sign_change_the_unit_alone() {
    let plain: Vec<f64> = weeks(200).iter().map(|v| v - 55.0).collect();
    let shifted: Vec<f64> = plain.iter().map(|v| -1e9 - 3.0 * v).collect();
    for model in models(6, 42) {
        let ahead = forecast(&*model, &[plain.clone(), shifted.clone()], 12).1;
        for step in 0..12 {
            let expected = -1e9 - 3.0 * ahead.mean(0)[step];
            // A value near 1e9 is known to 1e-7, and the regressions' condition is some thousands.
            assert!((ahead.mean(1)[step] - expected).abs() < 1e-2, "{} {step}", model.name());
        }
    }
}
