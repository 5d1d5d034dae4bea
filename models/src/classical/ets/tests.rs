use super::*;
use crate::Panel;

fn window_of(series: &[Vec<f64>]) -> Panel {
    let mut panel = Panel::new(1_000);
    for (s, values) in series.iter().enumerate() {
        panel.push(s.to_string(), 0, values);
    }
    panel
}

fn forecast(model: &Ets, series: &[Vec<f64>], steps: usize) -> (Vec<FitStatus>, Forecast) {
    let panel = window_of(series);
    let fitted = model.fit(&panel.window(), 0).unwrap();
    let forecast = fitted.predict(Horizon::new(steps).unwrap(), &Quantiles::standard()).unwrap();
    (fitted.status().to_vec(), forecast)
}

/// A season of four on a slope, with a disturbance that never repeats.
fn wave(steps: usize, slope: f64) -> Vec<f64> {
    (0..steps).map(|t| [3.0, -1.0, 0.5, -2.5][t % 4] + slope * t as f64 + 0.1 * ((t * t) as f64 * 0.7).sin()).collect()
}

#[test]
fn each_form_has_its_name() {
    let names: Vec<_> = Ets::forms(24).iter().chain(&Ets::forms(1)).map(Model::name).collect();
    assert_eq!(names, ["ets_ana24", "ets_aaa24", "ets_aada24", "ets_ann", "ets_aan", "ets_aadn"]);
}

#[test]
fn a_season_and_a_slope_go_on() {
    let (status, ahead) = forecast(&Ets::new(Trend::Additive, 4), &[wave(80, 0.5)], 8);
    assert_eq!(status, [FitStatus::Fitted]);
    for (step, mean) in ahead.mean(0).iter().enumerate() {
        let t = 80 + step;
        let truth = [3.0, -1.0, 0.5, -2.5][t % 4] + 0.5 * t as f64;
        // The disturbance is at most 0.1, and the slope over 80 steps tells itself to a thousandth.
        assert!((mean - truth).abs() < 0.2, "{step}: {mean} {truth}");
    }
}

#[test]
fn a_gap_leaves_the_season_in_its_place() {
    let mut values = wave(90, 0.0);
    for t in [0, 5, 6, 7, 8, 9, 50, 86, 87] {
        values[t] = f64::NAN;
    }
    let (status, ahead) = forecast(&Ets::new(Trend::None, 4), &[values], 4);
    assert_eq!(status, [FitStatus::Fitted]);
    for (step, mean) in ahead.mean(0).iter().enumerate() {
        assert!((mean - [3.0, -1.0, 0.5, -2.5][(90 + step) % 4]).abs() < 0.2, "{step}: {mean}");
    }
}

#[test]
fn offset_scale_and_sign_change_the_unit_alone() {
    let plain = wave(60, 0.0);
    let shifted: Vec<f64> = plain.iter().map(|v| 1e9 - 3.0 * v).collect();
    let (status, ahead) = forecast(&Ets::new(Trend::None, 4), &[plain, shifted], 4);
    assert_eq!(status, [FitStatus::Fitted, FitStatus::Fitted]);
    for step in 0..4 {
        let expected = 1e9 - 3.0 * ahead.mean(0)[step];
        // A value near 1e9 is known to 1e-7; the fit is no finer than that.
        assert!((ahead.mean(1)[step] - expected).abs() < 1e-3, "{step}: {} {expected}", ahead.mean(1)[step]);
    }
}

#[test]
fn what_cannot_be_fitted_says_why() {
    let (constant, tiny) = (vec![7.0; 40], vec![1.0, 2.0, 1.5]);
    let hole: Vec<f64> = (0..40).map(|t| if t % 4 == 2 { f64::NAN } else { f64::from(t as u8 % 7) }).collect();
    let huge: Vec<f64> = (0..40).map(|t| if t % 2 == 0 { 1e308 } else { -1e308 }).collect();
    let series = [constant, tiny, hole, huge, vec![f64::NAN; 3], wave(40, 0.0)];
    let (status, ahead) = forecast(&Ets::new(Trend::None, 4), &series, 3);
    assert_eq!(status[0], FitStatus::Constant);
    assert_eq!((ahead.mean(0), ahead.quantile(0, 0)), (&[7.0; 3][..], &[7.0; 3][..]));
    assert_eq!(status[1], FitStatus::TooShort { observed: 3, needed: 9 });
    assert_eq!(status[2], FitStatus::TooShort { observed: 30, needed: 9 }, "a slot was never seen");
    assert_eq!((&status[3], &status[4]), (&FitStatus::NotConverged, &FitStatus::NoData));
    assert!((1..5).all(|s| ahead.mean(s).iter().all(|v| v.is_nan())));
    // The last one is what it is alone, to the bit.
    let alone = forecast(&Ets::new(Trend::None, 4), &series[5..], 3).1;
    assert_eq!(alone.mean(0), ahead.mean(5));
    assert_eq!(alone.quantile(0, 3), ahead.quantile(5, 3));
}

#[test]
fn a_perfect_season_is_repeated() {
    let values: Vec<f64> = (0..32).map(|t| [1.0, 5.0, 2.0, 9.0][t % 4]).collect();
    let (status, ahead) = forecast(&Ets::new(Trend::None, 4), &[values], 4);
    assert_eq!(status, [FitStatus::Fitted]);
    for (mean, truth) in ahead.mean(0).iter().zip([1.0, 5.0, 2.0, 9.0]) {
        assert!((mean - truth).abs() < 1e-5, "{mean} {truth}"); // f32 holds a standardised value to 1e-7
    }
}

#[test]
fn variance_grows_as_the_weights_say() {
    let smoothing = Smoothing { alpha: 0.5, beta: 0.1, gamma: 0.2, phi: 0.9 };
    let start = [0.0; 3];
    let values = [1.0, 2.0, 1.0, 3.0, 0.0, 2.0, 1.0, 2.0, 3.0, 1.0];
    let form = EtsForm::additive(Trend::Damped, 2);
    let learned = run(&values, form, (0.0, 1.0), &smoothing, &start);
    let (_, spread) = learned.ahead(form, 3);
    // c_1 = 0.5 + 0.1 * 0.9, c_2 = 0.5 + 0.1 * (0.9 + 0.81) + 0.2.
    let second = 1.0 + 0.59_f64.powi(2);
    let third = second + 0.871_f64.powi(2);
    assert!((spread[1] / spread[0] - second.sqrt()).abs() < 1e-12);
    assert!((spread[2] / spread[0] - third.sqrt()).abs() < 1e-12);
}
