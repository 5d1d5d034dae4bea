use super::*;
use crate::Panel;
use crate::check::{forecast, panel_of};

/// A season of four on a slope, with a disturbance that hardly repeats.
fn wave(steps: usize, base: f64, slope: f64) -> Vec<f64> {
    let value = |t: usize| base + slope * t as f64 + [6.0, -2.0, -7.0, 3.0][t % 4] + ((t * t * 7) % 11) as f64 * 0.4;
    (0..steps).map(value).collect()
}

/// What statsforecast 2.1.1 `cesmodel` fits to `wave(44, 48, 0.2)` with a season of four: its weights,
/// log-likelihood, corrected criterion, standard deviation, and six steps of its forecast.
struct Golden {
    form: CesForm,
    weights: [f64; 4],
    log_likelihood: f64,
    aicc: f64,
    spread: f64,
    ahead: [f64; 6],
}

const GOLDEN: [Golden; 4] = [
    Golden {
        form: CesForm::None,
        weights: [1.087_999_576_777_221, 1.001_966_884_732_245_6, 0.0, 0.0],
        log_likelihood: -157.935_312_848_239,
        aicc: 322.470_625_696_478,
        spread: 5.725_896_902_214_905,
        ahead: [
            58.106506517667,
            58.23249193266349,
            58.33569406997743,
            58.44114892487427,
            58.54660852828543,
            58.652275131373386,
        ],
    },
    Golden {
        form: CesForm::Simple,
        weights: [1.8, 1.019_964_623_451_233_6, 0.0, 0.0],
        log_likelihood: -99.235_201_076_048_58,
        aicc: 205.070_402_152_097_16,
        spread: 1.508_183_206_524_379_9,
        ahead: [
            64.05101451216336,
            57.39516726595683,
            52.753986000739076,
            63.262594027723836,
            64.60998194127993,
            58.16019094940166,
        ],
    },
    Golden {
        form: CesForm::Partial,
        weights: [1.197_882_379_565_231_6, 1.003_738_688_591_987_2, 0.106_919_679_160_797_43, 0.0],
        log_likelihood: -100.383_868_602_005_35,
        aicc: 209.793_378_229_651_72,
        spread: 1.567_795_881_863_858_4,
        ahead: [
            65.26360060112026,
            57.327047033483666,
            52.7620855219773,
            63.04395553795083,
            66.02862656865047,
            58.09235222001076,
        ],
    },
    Golden {
        form: CesForm::Full,
        weights: [1.102_533_769_141_434_7, 1.003_182_595_728_898_5, 1.499_792_147_078_966_6, 1.002_295_343_374_981_5],
        log_likelihood: -99.074_183_144_364_43,
        aicc: 209.727_313_657_149_9,
        spread: 1.541_711_095_664_675_3,
        ahead: [
            64.66909975886992,
            57.018065782829055,
            52.9126057408658,
            63.36734820150384,
            65.42095222032559,
            57.7887572731317,
        ],
    },
];

#[test]
fn each_form_has_its_name() {
    let names: Vec<_> = CesForm::ALL.iter().map(|form| Ces::new(*form, 24).name()).collect();
    assert_eq!(names, ["ces_n24", "ces_s24", "ces_p24", "ces_f24"]);
    assert_eq!((Ces::auto(24).name(), Ces::auto(0).name()), ("ces24".into(), "ces".into()));
}

#[test]
fn the_peers_weights_are_worth_and_forecast_what_the_peer_says() {
    for Golden { form, weights, log_likelihood, aicc: theirs, spread, ahead } in GOLDEN {
        let own = prepare(&wave(44, 48.0, 0.2), &Ces::new(form, 4)).unwrap();
        let fit = FormFit { form, weights, sse: 1.0, aicc: 0.0, converged: true };
        let learned = learn(&own, Some(fit)).unwrap();
        let found = learned.parameters.unwrap();
        assert!((found.log_likelihood - log_likelihood).abs() < 1e-8, "{form:?}: {}", found.log_likelihood);
        let sse = (-2.0 * log_likelihood / 44.0).exp();
        assert!((aicc(form, sse, 44.0) - theirs).abs() < 1e-8, "{form:?}: {}", aicc(form, sse, 44.0));
        let (mean, own_spread) = learned.ahead(6);
        assert!((own_spread[0] - spread).abs() < 1e-8, "{form:?}: {} {spread}", own_spread[0]);
        for (step, (found, theirs)) in mean.iter().zip(ahead).enumerate() {
            assert!((found - theirs).abs() < 1e-8, "{form:?} {step}: {found} {theirs}");
        }
    }
}

#[test]
fn no_peer_fits_better_and_the_same_form_is_chosen() {
    let panel = panel_of(&[wave(44, 48.0, 0.2)]);
    for Golden { form, log_likelihood, .. } in GOLDEN {
        let fitted = Ces::new(form, 4).learn(&panel.window());
        let found = fitted.parameters(0).unwrap();
        assert!(found.log_likelihood > log_likelihood - 1e-3, "{form:?}: {}", found.log_likelihood);
    }
    let chosen = Ces::auto(4).learn(&panel.window()).parameters(0).unwrap().form;
    assert_eq!(chosen, CesForm::Simple, "the peer's choice");
}

#[test]
fn a_season_goes_on_through_gaps_and_past_the_end() {
    for form in [Some(CesForm::Simple), Some(CesForm::Partial), Some(CesForm::Full), None] {
        for gaps in [&[][..], &[1, 9, 10, 11, 12, 50, 51, 86]] {
            let mut values = wave(90, 50.0, 0.0);
            gaps.iter().for_each(|&t| values[t] = f64::NAN);
            let mut panel = Panel::new(1_000);
            panel.push("a".into(), 0, &[&values[..], &[f64::NAN; 3], &[1.0]].concat());
            for end in [90, 93] {
                let fitted = Ces { form, season: 4 }.fit(&panel.window_until(|_| end), 0).unwrap();
                let ahead = fitted.predict(Horizon::new(8).unwrap(), &Quantiles::standard()).unwrap();
                assert_eq!(fitted.status(), [FitStatus::Fitted]);
                for (step, mean) in ahead.mean(0).iter().enumerate() {
                    // The disturbance is of 2.4 on average, and at most as much around that.
                    let truth = 52.4 + [6.0, -2.0, -7.0, 3.0][(end + step) % 4];
                    assert!((mean - truth).abs() < 4.0, "{form:?} {gaps:?} {end} {step}: {mean} {truth}");
                }
            }
        }
    }
}

#[test]
fn a_series_does_not_depend_on_its_neighbours() {
    let series: Vec<_> = (0..150).map(|s| wave(60 + s % 7, 20.0 + s as f64, 0.01 * s as f64)).collect();
    let together = forecast(&Ces::auto(4), &series, 5).1;
    for s in [0, 63, 64, 149] {
        let alone = forecast(&Ces::auto(4), &series[s..=s], 5).1;
        assert_eq!((alone.mean(0), alone.quantile(0, 2)), (together.mean(s), together.quantile(s, 2)), "{s}");
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let huge: Vec<f64> = (0..40).map(|t| if t % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let series = [vec![7.0; 40], vec![1.0, 2.0, 1.5], huge, vec![f64::NAN; 3], wave(7, 9.0, 0.0)];
    let (status, ahead) = forecast(&Ces::new(CesForm::Simple, 4), &series, 3);
    assert_eq!(status[0], FitStatus::Constant);
    assert_eq!((ahead.mean(0), ahead.quantile(0, 0)), (&[7.0; 3][..], &[7.0; 3][..]));
    assert_eq!(status[1], FitStatus::TooShort { observed: 3, needed: 8 });
    assert!(!status[2].is_usable() || ahead.is_finite(2));
    assert_eq!(status[3], FitStatus::NoData);
    assert_eq!(status[4], FitStatus::TooShort { observed: 7, needed: 8 });
    // Without a form of its own, a short series goes without a season.
    let short = Ces::auto(20).learn(&panel_of(&[wave(38, 9.0, 0.0)]).window());
    assert_eq!(short.parameters(0).map(|own| own.form), Some(CesForm::None));
}

#[test]
fn what_repeats_without_error_is_repeated() {
    for base in [0.0, 20.0, 1e9] {
        let season: Vec<f64> = (0..64).map(|t| base + [1.0, 5.0, 2.0, 9.0][t % 4]).collect();
        let (status, ahead) = forecast(&Ces::auto(4), std::slice::from_ref(&season), 4);
        assert_eq!(status, [FitStatus::Fitted]);
        for step in 0..4 {
            // The start of a pair is not that of one at rest, which the passes forget but for some parts in 10^4.
            assert!((ahead.mean(0)[step] - season[step]).abs() < 0.05, "{base} {step}: {}", ahead.mean(0)[step]);
        }
    }
}

#[test]
fn odd_numbers_bring_no_nan_and_stay_bounded() {
    let spiked = |at: usize, height: f64| {
        let mut values = wave(60, 50.0, 0.0);
        values[at] = height;
        values
    };
    let growing: Vec<f64> = (0..60).map(|t| 1.2_f64.powi(t)).collect();
    let sparse: Vec<f64> = (0..200).map(|t| if t % 9 == 0 { f64::from(t % 5) } else { f64::NAN }).collect();
    let series = [
        spiked(20, 1e30),
        spiked(59, 1e30),
        spiked(0, -1e30),
        spiked(30, 0.0),
        wave(60, 1e9, 0.0),
        wave(60, -2.0, 0.0),
        growing,
        sparse,
        wave(60, 50.0, 0.0).iter().map(|v| 1e-200 * v).collect(),
    ];
    for form in CesForm::ALL.into_iter().map(Some).chain([None]) {
        for season in [1, 4, 7, 29, 500] {
            let (status, ahead) = forecast(&Ces { form, season }, &series, 300);
            for s in 0..series.len() {
                if !status[s].is_usable() {
                    assert!(ahead.mean(s).iter().all(|v| v.is_nan()), "{form:?} {season} {s}");
                    continue;
                }
                let seen = series[s].iter().filter(|v| !v.is_nan());
                let (low, high) = seen.fold((f64::MAX, f64::MIN), |(l, h): (f64, f64), v| (l.min(*v), h.max(*v)));
                let room = 10.001 * (high - low);
                let bounded = ahead.mean(s).iter().all(|v| (low - room..=high + room).contains(v));
                assert!(bounded && ahead.is_finite(s), "{form:?} {season} {s}: {:?}", ahead.mean(s));
            }
            // A plain wave is fitted whatever is asked, but for a season that it is too short for.
            let fits = matches!(form, Some(CesForm::None) | None) || (2..=29).contains(&season);
            assert_eq!(status[3].is_usable(), fits, "{form:?} {season}: {:?}", status[3]);
        }
    }
}

#[test]
fn new_steps_are_taken_in_as_the_last_pass_would() {
    let values = wave(90, 48.0, 0.2);
    let own = prepare(&values[..60], &Ces::new(CesForm::None, 1)).unwrap();
    let fit = FormFit { form: CesForm::None, weights: [1.2, 1.0, 0.0, 0.0], sse: 1.0, aicc: 0.0, converged: true };
    let mut moved = learn(&own, Some(fit)).unwrap();
    // Level and its complement by hand, from two forecasts: each step takes `(1 - w1) b` off the level, here nothing.
    let mut level = moved.ahead(1).0[0];
    for (t, value) in values[60..].iter().enumerate() {
        let point = if [3, 4, 9].contains(&t) { f64::NAN } else { *value };
        assert!(moved.append(point));
        level += if point.is_nan() { 0.0 } else { (1.2 - 1.0) * (point - level) };
        let ahead = moved.ahead(1).0[0];
        assert!((ahead - level).abs() < 1e-11 * level, "{t}: {ahead} {level}"); // some roundings a step
    }
}
