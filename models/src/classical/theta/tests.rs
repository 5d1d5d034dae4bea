use super::*;
use crate::check::{forecast, panel_of};

const FORMS: [ThetaForm; 4] = [ThetaForm::Stm, ThetaForm::Otm, ThetaForm::Dstm, ThetaForm::Dotm];

/// A season of four on a slope, with a disturbance that hardly repeats.
fn wave(steps: usize, base: f64, slope: f64) -> Vec<f64> {
    let value = |t: usize| base + slope * t as f64 + [6.0, -2.0, -7.0, 3.0][t % 4] + ((t * t * 7) % 11) as f64 * 0.4;
    (0..steps).map(value).collect()
}

/// What statsforecast 2.1.1 `auto_theta` fits to `wave(44, base - 2, 0.2)`: level, alpha, theta, its objective,
/// and six steps of its forecast.
struct Golden {
    form: ThetaForm,
    base: f64,
    point: [f64; 3],
    objective: f64,
    ahead: [f64; 6],
}

const GOLDEN: [Golden; 3] = [
    Golden {
        form: ThetaForm::Otm,
        base: 48.0,
        point: [3.041_066_905_202_348, 0.100_000_000_000_012_16, 20.314_377_086_891_81],
        objective: 1.328_027_435_399_898_6,
        ahead: [
            66.06007133368516,
            57.320216209692475,
            52.01781535277181,
            63.113095159325034,
            66.94016021125832,
            58.081332889557146,
        ],
    },
    Golden {
        form: ThetaForm::Dotm,
        base: 48.0,
        point: [2.964_951_274_173_495, 0.100_238_193_302_082_74, 13.037_522_037_498_563],
        objective: 1.585_895_331_362_577_9,
        ahead: [
            65.98210804377169,
            57.24422099732241,
            51.94097355771459,
            63.009956678285455,
            66.81990534365183,
            57.96727268078573,
        ],
    },
    Golden {
        form: ThetaForm::Dotm,
        base: -12.0,
        point: [-2.238_056_193_451_369_4, 0.103_631_705_240_465_9, 12.904_870_477_225_44],
        objective: 16.439_066_713_094_917,
        ahead: [
            5.420066055124106,
            -2.6669002578136,
            -7.424272436438818,
            2.707960744461378,
            6.1698097140954955,
            -1.918715798709189,
        ],
    },
];

/// The season taken out, and the unit of what is left.
fn prepared(model: Theta, values: &[f64]) -> Prepared {
    let unit = model.unit(values).unwrap();
    let seasonal = model.seasonal(&[values], &[Ok(unit)], &Device::Cpu).unwrap()[0];
    model.prepare(values, unit, seasonal).unwrap()
}

#[test]
fn each_form_has_its_name() {
    let names: Vec<_> = FORMS.iter().map(|form| Theta::new(*form, 24).name()).collect();
    assert_eq!(names, ["theta_stm24", "theta_otm24", "theta_dstm24", "theta_dotm24"]);
    assert_eq!((Theta::dot(1).name(), Theta::dot(7).form), ("theta_dotm".into(), ThetaForm::Dotm));
}

#[test]
fn the_peers_parameters_forecast_what_the_peer_does() {
    for Golden { form, base, point: [level, alpha, theta], ahead, .. } in GOLDEN {
        let own = prepared(Theta::new(form, 4), &wave(44, base, 0.2));
        let share = 1.0 - 1.0 / theta;
        let level = (level - own.unit.centre * (1.0 - share)) / own.unit.scale;
        let learned = run(own, form, Point { alpha, level, share });
        for (step, (found, theirs)) in learned.ahead(6).0.iter().zip(ahead).enumerate() {
            assert!((found - theirs).abs() < 1e-9, "{form:?} {base} {step}: {found} {theirs}");
        }
    }
}

#[test]
fn no_peer_fits_better() {
    for Golden { form, base, objective, ahead, .. } in GOLDEN {
        let (model, values) = (Theta::new(form, 4), wave(44, base, 0.2));
        let Prepared { values: left, unit, season } = prepared(model, &values);
        assert_eq!(matches!(season, ThetaSeason::Added(_)), base < 0.0, "{base}");
        let learned = model.learn(&panel_of(std::slice::from_ref(&values)).window());
        let learned = learned.learned[0].as_ref().unwrap();
        let freedom = (44 - UNCOUNTED - unknowns(form)) as f64;
        let divisor = left.iter().map(|v| v.abs()).sum::<f64>() / 44.0;
        let ours = learned.spread().powi(2) * freedom * unit.scale.powi(2) / divisor;
        assert!(ours <= objective * (1.0 + 1e-6), "{form:?} {base}: {ours} {objective}");
        // The peer's search ends near the same place; along theta its valley is almost flat.
        assert!(ours > objective * 0.99, "{form:?} {base}: {ours} {objective}");
        for (found, theirs) in learned.ahead(6).0.iter().zip(ahead) {
            assert!((found - theirs).abs() < 0.2, "{form:?} {base}: {found} {theirs}");
        }
    }
}

#[test]
fn a_season_and_a_slope_go_on_through_gaps() {
    for form in FORMS {
        for gaps in [&[][..], &[1, 9, 10, 11, 12, 50, 51, 86, 87, 88, 89]] {
            let mut values = wave(90, -20.0, 0.5); // of both signs, so its season is a sum
            gaps.iter().for_each(|&t| values[t] = f64::NAN);
            let (status, ahead) = forecast(&Theta::new(form, 4), &[values], 8);
            assert_eq!(status, [FitStatus::Fitted]);
            for (step, mean) in ahead.mean(0).iter().enumerate() {
                let t = 90 + step;
                // The disturbance is of 2.4 on average, and spreads by 1.3 around that.
                let truth = -17.6 + 0.5 * t as f64 + [6.0, -2.0, -7.0, 3.0][t % 4];
                // A theta of 2 takes half of the slope of 0.5: 3 less in the twelve steps past a gap, and half of what
                // smoothing lags behind the slope, up to 0.5 * 0.5 / 0.1.
                let room = if form.is_optimised() { 2.6 } else { 6.5 };
                assert!((mean - truth).abs() < room, "{form:?} {gaps:?} {step}: {mean} {truth}");
            }
        }
    }
}

#[test]
fn a_gap_at_the_end_is_a_longer_way_ahead() {
    // With a line that stays, skipping steps and forecasting them are the same.
    let values = wave(60, 100.0, 0.3);
    let mut open = values.clone();
    open.extend([f64::NAN; 3]);
    let mut panel = panel_of(std::slice::from_ref(&values));
    panel.push("later".into(), 0, &[&values[..], &[f64::NAN, f64::NAN, 1.0]].concat());
    for form in [ThetaForm::Stm, ThetaForm::Otm] {
        let fitted = Theta::new(form, 1).learn(&panel.window_until(|s| 60 + 2 * s));
        let (whole, open) = (fitted.learned[0].as_ref().unwrap(), fitted.learned[1].as_ref().unwrap());
        for (found, expected) in open.ahead(4).0.iter().zip(&whole.ahead(6).0[2..]) {
            assert!((found - expected).abs() < 1e-9, "{form:?}: {found} {expected}");
        }
    }
}

#[test]
fn offset_scale_and_sign_change_the_unit_alone() {
    let plain: Vec<f64> = (0..60).map(|t| 0.1 * f64::from(t) + f64::from((t * t * 7) % 11)).collect();
    let shifted: Vec<f64> = plain.iter().map(|v| 1e9 - 3.0 * v).collect();
    for form in FORMS {
        let (status, ahead) = forecast(&Theta::new(form, 1), &[plain.clone(), shifted.clone()], 4);
        assert_eq!(status, [FitStatus::Fitted, FitStatus::Fitted]);
        for step in 0..4 {
            let expected = 1e9 - 3.0 * ahead.mean(0)[step];
            // A value near 1e9 is known to 1e-7; the search ends within 1e-4 of its weight or so.
            assert!((ahead.mean(1)[step] - expected).abs() < 1e-2, "{form:?}: {} {expected}", ahead.mean(1)[step]);
        }
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let (constant, tiny) = (vec![7.0; 40], vec![1.0, 2.0, 1.5]);
    let hole: Vec<f64> = (0..80).map(|t| if t % 4 == 2 { f64::NAN } else { [9.0, 1.0, 0.0, 5.0][t % 4] }).collect();
    let huge: Vec<f64> = (0..40).map(|t| if t % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let series = [constant, tiny, hole, huge, vec![f64::NAN; 3], wave(40, 50.0, 0.0)];
    let (status, ahead) = forecast(&Theta::dot(4), &series, 3);
    assert_eq!(status[0], FitStatus::Constant);
    assert_eq!((ahead.mean(0), ahead.quantile(0, 0)), (&[7.0; 3][..], &[7.0; 3][..]));
    assert_eq!(status[1], FitStatus::TooShort { observed: 3, needed: 8 });
    assert_eq!(status[2], FitStatus::TooShort { observed: 60, needed: 8 }, "a place was never seen");
    assert_eq!((&status[3], &status[4]), (&FitStatus::NotConverged, &FitStatus::NoData));
    assert!((1..5).all(|s| ahead.mean(s).iter().all(|v| v.is_nan())));
    // The last one is what it is alone, to the bit.
    let alone = forecast(&Theta::dot(4), &series[5..], 3).1;
    assert_eq!(alone.mean(0), ahead.mean(5));
    assert_eq!(alone.quantile(0, 3), ahead.quantile(5, 3));
}

#[test]
fn a_series_does_not_depend_on_its_place() {
    let series: Vec<_> = (0..150).map(|s| wave(60 + s % 7, 20.0 + s as f64, 0.01 * s as f64)).collect();
    let together = forecast(&Theta::dot(4), &series, 5).1;
    for s in [0, 63, 64, 149] {
        let alone = forecast(&Theta::dot(4), &series[s..=s], 5).1;
        assert_eq!((alone.mean(0), alone.quantile(0, 2)), (together.mean(s), together.quantile(s, 2)), "{s}");
    }
}

#[test]
fn what_repeats_without_error_is_repeated() {
    let season: Vec<f64> = (0..32).map(|t| [1.0, 5.0, 2.0, 9.0][t % 4]).collect();
    let around_zero: Vec<f64> = (0..32).map(|t| [3.0, -5.0, -2.0, 4.0][t % 4]).collect();
    let line: Vec<f64> = (0..32).map(|t| 5.0 + 0.5 * f64::from(t)).collect();
    for form in FORMS {
        let series = [season.clone(), around_zero.clone()];
        let (status, ahead) = forecast(&Theta::new(form, 4), &series, 4);
        assert_eq!(status, [FitStatus::Fitted, FitStatus::Fitted], "{form:?}");
        for step in 0..4 {
            for (s, values) in series.iter().enumerate() {
                let (mean, high) = (ahead.mean(s)[step], ahead.quantile(s, 10)[step]);
                assert!((mean - values[step]).abs() < 1e-9 && high - mean < 1e-9, "{form:?} {s} {step}: {mean}");
            }
        }
    }
    let (status, ahead) = forecast(&Theta::new(ThetaForm::Otm, 1), &[line], 2);
    assert_eq!(status, [FitStatus::Fitted]);
    assert!((ahead.mean(0)[1] - 21.5).abs() < 1e-4, "{:?}", ahead.mean(0)); // f32 holds a value to 1e-7 of its spread
}

#[test]
fn huge_numbers_bring_no_nan() {
    let spiked = |at: usize, height: f64| {
        let mut values = wave(60, 50.0, 0.0);
        values[at] = height;
        values
    };
    let tall: Vec<f64> = wave(60, 50.0, 0.0).iter().map(|v| 1e12 + v).collect();
    let series = [spiked(20, 1e30), spiked(59, 1e30), spiked(0, -1e30), tall, spiked(30, 0.0)];
    for form in FORMS {
        for season in [1, 4, 7, 40] {
            let (status, ahead) = forecast(&Theta::new(form, season), &series, 50);
            for s in 0..series.len() {
                assert!(status[s].is_usable() && ahead.is_finite(s), "{form:?} {season} {s}: {:?}", status[s]);
                let most = series[s].iter().fold(0.0, |most: f64, v| most.max(v.abs()));
                let bounded = ahead.mean(s).iter().all(|v| v.abs() < 100.0 * most);
                assert!(bounded, "{form:?} {season} {s}: {:?}", ahead.mean(s));
            }
        }
    }
}

#[test]
fn variance_grows_as_the_errors_add_up() {
    for form in FORMS {
        let own = prepared(Theta::new(form, 1), &wave(30, 0.0, 0.3));
        let learned = run(own, form, Point { alpha: 0.4, level: 0.2, share: 0.7 });
        let spread = learned.ahead(6).1;
        // Each error so far moves the forecast of the last step by what it moves when it comes alone.
        let reached = |at: usize| {
            let (mut with, mut without) = (learned.end.clone(), learned.end.clone());
            for step in 0..5 {
                let (moved, plain) = (with.ahead(0.7), without.ahead(0.7));
                with.see(0.4, if step == at { moved + 1.0 } else { moved });
                without.see(0.4, plain);
            }
            with.ahead(0.7) - without.ahead(0.7)
        };
        let variance: f64 = 1.0 + (0..5).map(|at| reached(at).powi(2)).sum::<f64>();
        assert!((spread[5] / spread[0] - variance.sqrt()).abs() < 1e-9, "{form:?}: {spread:?} {variance}");
        if !form.is_dynamic() {
            assert!((variance - (1.0 + 5.0 * 0.16)).abs() < 1e-9, "{form:?}: {variance}");
        }
    }
}

#[test]
fn new_steps_are_taken_in_as_the_whole_series_would_be() {
    let mut values = wave(90, 30.0, 0.2);
    [41, 66, 67].iter().for_each(|t| values[*t] = f64::NAN);
    for form in [ThetaForm::Dstm, ThetaForm::Dotm] {
        let model = Theta::new(form, 4);
        let fitted = model.learn(&panel_of(&[values[..60].to_vec()]).window());
        let mut moved = fitted.learned[0].clone().unwrap();
        let Learned { unit, share, .. } = moved;
        let ThetaParameters { level, alpha, season, .. } = moved.parameters.clone();
        assert!(values[60..].iter().all(|value| moved.append(*value)));
        let level = (level - unit.centre * (1.0 - share)) / unit.scale;
        let own = Prepared { values: season.without(&values), season, unit };
        let whole = run(own, form, Point { alpha, level, share });
        let ((mean, spread), (expected, wide)) = (moved.ahead(6), whole.ahead(6));
        // The start went through the series' unit and back: some roundings, which smoothing forgets.
        assert!(mean.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-11 * b.abs()), "{mean:?} {expected:?}");
        assert!(spread.iter().zip(&wide).all(|(a, b)| (a - b).abs() < 1e-10 * b), "{spread:?} {wide:?}");
    }
}
