use super::*;
use crate::Panel;

const HOUR_MS: i64 = 3_600_000;

/// A day's shape, stronger on five days of seven, on a level that climbs.
fn load(hours: usize) -> Vec<f64> {
    (0..hours)
        .map(|t| {
            let (day, hour) = (t / 24, t % 24);
            let working = if day % 7 < 5 { 3.0 } else { 1.0 };
            let bump = if (8..18).contains(&hour) { working } else { 0.0 };
            // A rough edge of 3 % that no rule can learn: a multiplicative hash of the hour.
            let rough = (t as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            100.0 + 0.02 * t as f64 + 10.0 * bump + rough as f64 / (1_u64 << 24) as f64
        })
        .collect()
}

fn forecast(series: &[&[f64]], season: usize, steps: usize) -> (Vec<FitStatus>, Forecast) {
    let mut panel = Panel::new(HOUR_MS);
    for (at, values) in series.iter().enumerate() {
        panel.push(format!("s{at}"), 0, values);
    }
    let fitted = LowRankRidge { season }.fit(&panel.window(), 0).unwrap();
    let forecast = fitted.predict(Horizon::new(steps).unwrap(), &Quantiles::standard()).unwrap();
    (fitted.status().to_vec(), forecast)
}

fn mean_error(mean: &[f64], truth: &[f64]) -> f64 {
    mean.iter().zip(truth).map(|(m, t)| (m - t).abs()).sum::<f64>() / mean.len() as f64
}

#[test]
fn learns_day_week_and_trend() {
    let all = load(24 * 7 * 5);
    let (train, test) = all.split_at(24 * 7 * 4);
    let (status, forecast) = forecast(&[train], 24, test.len());
    assert_eq!(status[0], FitStatus::Fitted);
    // The rough edge alone is 0.25 off on average, a mean of the shape 8; the trend makes 3.4 a week.
    let error = mean_error(forecast.mean(0), test);
    assert!(error < 1.2, "{error}");
    let (low, high) = (forecast.quantile(0, 0), forecast.quantile(0, 10));
    let inside = test.iter().zip(low.iter().zip(high)).filter(|(y, (l, h))| *l <= *y && *y <= *h).count();
    assert!(inside * 100 >= test.len() * 85, "{inside} of {}", test.len());
}

#[test]
fn gaps_and_outliers_barely_move_it() {
    let all = load(24 * 29);
    let (train, test) = all.split_at(24 * 28);
    let mut holed = train.to_vec();
    for t in (30..60).chain(400..407) {
        holed[t] = f64::NAN;
    }
    holed[500] = 1e6;
    let (status, forecast) = forecast(&[&holed], 24, 24);
    assert_eq!(status[0], FitStatus::Fitted);
    let error = mean_error(forecast.mean(0), test);
    assert!(error < 3.0, "{error}");
}

#[test]
fn the_last_hours_deviation_is_carried_on() {
    let mut train = load(24 * 28);
    let end = train.len();
    // Every night ends high or low and stays so into the morning.
    for day in 0..28 {
        let shift = if day * 5 % 7 < 3 { 6.0 } else { -6.0 };
        for t in (day + 1) * 24 - 2..((day + 1) * 24 + 2).min(end) {
            train[t] += shift;
        }
    }
    let base = load(24 * 29)[end..].to_vec();
    let (_, forecast) = forecast(&[&train], 24, 24);
    let shift = forecast.mean(0)[0] - base[0];
    // The last night, 27 · 5 mod 7 = 2, ended 6 high; an average morning is half of them high: near 0.
    assert!(shift > 3.0, "the morning starts {shift} off");
}

#[test]
fn every_status_is_told() {
    let constant = vec![4.0; 24 * 10];
    let mut sparse = vec![f64::NAN; 24 * 20];
    sparse[0] = 1.0;
    *sparse.last_mut().unwrap() = 2.0;
    let (status, forecast) = forecast(&[&constant, &[f64::NAN], &load(95), &sparse], 24, 3);
    assert_eq!(status[0], FitStatus::Constant);
    assert_eq!(forecast.mean(0), [4.0; 3]);
    assert_eq!(forecast.quantile(0, 10), [4.0; 3]);
    assert_eq!(status[1], FitStatus::NoData);
    assert_eq!(status[2], FitStatus::TooShort { observed: 95, needed: 96 });
    assert_eq!(status[3], FitStatus::TooShort { observed: 2, needed: 240 });
    assert!(forecast.mean(3)[0].is_nan());
}

#[test]
fn scale_offset_and_neighbours_change_nothing() {
    let plain = load(24 * 28);
    let counter: Vec<f64> = plain.iter().map(|v| v * 1e9 + 1e15).collect();
    let huge: Vec<f64> = plain.iter().map(|v| v * 1e300).collect();
    let (_, alone) = forecast(&[&plain], 24, 48);
    let (status, among) = forecast(&[&huge, &plain, &counter], 24, 48);
    assert!(status.iter().all(FitStatus::is_usable), "{status:?}");
    assert_eq!(alone.mean(0), among.mean(1));
    for step in 0..48 {
        // The counter's values hold 1e-16 of 1e15, a billionth of its range: what the fit may amplify.
        let unscaled = (among.mean(2)[step] - 1e15) / 1e9;
        assert!((unscaled - alone.mean(0)[step]).abs() < 1e-3, "{unscaled} {}", alone.mean(0)[step]);
        assert!(among.mean(0)[step].is_finite());
    }
}

#[test]
fn a_season_longer_than_its_periods_folds_the_other_way() {
    // 100 periods of 8 steps: the Gram matrix of the phases is taken instead of the periods'.
    let values: Vec<f64> = (0..808).map(|t| [1.0, 2.0, 4.0, 8.0, 8.0, 4.0, 2.0, 1.0][t % 8] + (t / 8) as f64).collect();
    let (status, forecast) = forecast(&[&values[..800]], 8, 8);
    assert_eq!(status[0], FitStatus::Fitted);
    let error = mean_error(forecast.mean(0), &values[800..]);
    assert!(error < 0.3, "{error}");
}

#[test]
fn non_negative_series_stay_non_negative() {
    let values: Vec<f64> = (0..24 * 14).map(|t| if t % 24 == 12 { 50.0 } else { 0.0 }).collect();
    let (_, forecast) = forecast(&[&values], 24, 24);
    assert!(forecast.mean(0).iter().all(|v| *v >= 0.0));
    assert!(forecast.mean(0)[12] > 45.0, "a spike of every day is no outlier: {}", forecast.mean(0)[12]);
}
