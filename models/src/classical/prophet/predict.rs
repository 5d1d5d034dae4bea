//! The steps after a fit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::Growth;
use super::{FittedProphet, Learned, Trend, features, logistic};
use crate::{Forecast, Horizon, PredictError, Quantiles, normal_quantile};

/// The curve at one step: scaled, but for the floor.
pub(super) struct Point {
    /// The trend's line, and the variance that bends to come give it.
    line: f64,
    variance: f64,
    /// What the trend is multiplied by, and what is added to it.
    factor: f64,
    added: f64,
    /// Of an S-curve: its scaled capacity, and its floor in the series' unit.
    bounds: Option<(f64, f64)>,
}

/// Waves of every step to forecast, by the seasons and the length of the window.
type Shared = BTreeMap<(*const features::Features, usize), Vec<Vec<f64>>>;

pub(super) fn predict(
    fitted: &FittedProphet,
    horizon: Horizon,
    quantiles: &Quantiles,
) -> Result<Forecast, PredictError> {
    let mut forecast = Forecast::empty(fitted.learned.len(), horizon, quantiles.clone());
    let mut shared = Shared::new(); // windows of one length share
    for (s, learned) in fitted.learned.iter().enumerate() {
        let Some(learned) = learned else { continue };
        let steps = learned.window_steps..learned.window_steps + horizon.steps();
        let waves = shared.entry((Arc::as_ptr(&learned.features), learned.window_steps)).or_insert_with(|| {
            let wave = |step| features::waves(&learned.features.periods, step as f64 * fitted.step_ms as f64);
            steps.clone().map(wave).collect()
        });
        let points = steps.zip(waves.iter()).map(|(step, waves)| point(fitted, s, learned, step, waves));
        let points = points.collect::<Result<Vec<_>, _>>()?;
        if learned.trend == Trend::Logistic {
            set_logistic(&mut forecast, s, learned, &points);
        } else {
            let (mean, spread): (Vec<f64>, Vec<f64>) = points.iter().map(|point| learned.normal(point)).unzip();
            forecast.set_normal(s, &mean, |step| spread[step]);
        }
    }
    Ok(forecast)
}

fn point(
    fitted: &FittedProphet,
    series: usize,
    learned: &Learned,
    step: usize,
    waves: &[f64],
) -> Result<Point, PredictError> {
    let settings = &fitted.settings;
    let name = fitted.names.get(series).map_or("", |name| name);
    let at_ms = learned.start_ms + step as i64 * fitted.step_ms;
    let unknown = |name: &str| PredictError::Input { family: fitted.family.clone(), name: name.into(), series, at_ms };
    let calendar = learned
        .features
        .calendar(settings, name, at_ms)
        .map_err(|regressor| unknown(&settings.regressors[regressor].name))?;
    let mut point = learned.point(step, waves, &calendar);
    if let (Trend::Logistic, Growth::Logistic { capacity, floor }) = (learned.trend, &settings.growth) {
        let (capacity, floor) = logistic::bounds(capacity, floor.as_ref(), name, at_ms).map_err(unknown)?;
        let scaled = (capacity - floor) / learned.y_scale;
        if scaled >= features::FURTHEST {
            return Err(unknown("capacity"));
        }
        point.bounds = Some((scaled, floor));
    }
    Ok(point)
}

impl Learned {
    /// The curve at a step counted from the first observation.
    ///
    /// Prophet draws future changepoints at the rate of the past ones, with Laplace sizes of the mean
    /// `|delta|`. A bend of size `d` at `u` moves time `t` by `d (t - u)`, so that a Poisson rate `S` and the
    /// Laplace variance `2 mean^2` add up to `2 S mean^2 (t - 1)^3 / 3`.
    pub(super) fn point(&self, step: usize, waves: &[f64], calendar: &[f64]) -> Point {
        let unit = self.span_steps as f64;
        let time = step as f64 / unit;
        let bend = |(&knot, delta): (&u32, &f64)| delta * (time - f64::from(knot) / unit).max(0.0);
        let (m, k) = (self.smooth[0], self.smooth[1]);
        let origin = if self.trend == Trend::Logistic { k * (time - m) } else { m + k * time };
        let line = origin + self.knots.iter().zip(&self.delta).map(bend).sum::<f64>();
        let rate = self.delta.len() as f64;
        let size = self.delta.iter().map(|delta| delta.abs()).sum::<f64>() / rate.max(1.0);
        let beyond = (time - 1.0).max(0.0);
        let variance = 2.0 / 3.0 * rate * size * size * beyond * beyond * beyond;
        let mut point = Point { line, variance, factor: 1.0, added: 0.0, bounds: None };
        let columns = waves.iter().chain(calendar).zip(&self.features.multiplies);
        for (beta, (value, multiplies)) in self.smooth[2..].iter().zip(columns) {
            if *multiplies { point.factor += beta * value } else { point.added += beta * value }
        }
        point
    }

    /// Mean and standard deviation in the series' unit.
    pub(super) fn normal(&self, point: &Point) -> (f64, f64) {
        let mean = point.line * point.factor + point.added;
        let variance = self.sigma * self.sigma + point.factor * point.factor * point.variance;
        (self.y_scale * mean, self.y_scale * variance.sqrt())
    }
}

/// An S-curve's line is as uncertain as a straight one's, but its trend stays below the capacity: a quantile joins,
/// as independent deviations, the trend at the line's quantile and the noise's quantile. Where the trend is locally
/// straight that is the normal quantile. Floors are added last: effects multiply what lies above them.
fn set_logistic(forecast: &mut Forecast, series: usize, learned: &Learned, points: &[Point]) {
    let of = |point: &Point, line: f64| {
        let (capacity, floor) = point.bounds.expect("point gives an S-curve its bounds");
        (capacity * logistic::share(line), floor)
    };
    for (mean, point) in forecast.mean_mut(series).iter_mut().zip(points) {
        let (trend, floor) = of(point, point.line);
        *mean = floor + learned.y_scale * (trend * point.factor + point.added);
    }
    for index in 0..forecast.quantiles().levels().len() {
        let z = normal_quantile(forecast.quantiles().levels()[index]);
        let mean = forecast.mean(series).to_vec();
        for ((value, point), mean) in forecast.quantile_mut(series, index).iter_mut().zip(points).zip(mean) {
            let line = point.line + z * point.variance.sqrt() * point.factor.signum();
            let moved = of(point, line).0 - of(point, point.line).0;
            *value = mean + learned.y_scale * (moved * point.factor).hypot(z * learned.sigma).copysign(z);
        }
    }
}
