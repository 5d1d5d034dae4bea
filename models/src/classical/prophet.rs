//! Prophet's model: a trend that may bend at 25 places, and daily, weekly and yearly waves.
//!
//! The objective is the one that `prophet` 1.5.0 gives to Stan by default (`prophet.stan`; additive, linear
//! growth): `y` divided by its largest magnitude, time by the span of its observations,
//!
//! `T ln s + RSS / (2 s^2) + (k^2 + m^2) / 50 + sum |delta| / 0.05 + sum beta^2 / 200 + 2 s^2`.
//!
//! Stan's search stops short of its minimum; here it is found by active signs and linear solves
//! ([`foreshadow_kernels::shrink`]). Waves are reckoned from each series' own start, which turns each pair of
//! `beta` and changes nothing else (their prior is round), so that series of one length share one matrix
//! wherever they begin; [`Parameters`] turns them back to Prophet's, which count from 1970.
//! Source: Taylor and Letham, "Forecasting at scale", The American Statistician 72(1), 2018.

mod fit;
mod seasons;

use std::collections::BTreeMap;

use crate::{FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};
use seasons::Seasons;

/// Prophet with its defaults: trend changepoints, and the seasons that the data are long enough for.
#[derive(Clone, Copy, Debug)]
pub struct Prophet;

impl Prophet {
    /// [`Model::fit`] with the parameters in reach.
    ///
    /// # Errors
    /// As [`Model::fit`].
    pub fn learn(&self, window: &Window<'_>) -> Result<FittedProphet, FitError> {
        fit::fit(window).map_err(|source| FitError::Kernel {
            family: self.name(),
            series_count: window.series_count(),
            source,
        })
    }
}

impl Model for Prophet {
    fn name(&self) -> String {
        "prophet".into()
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)?))
    }
}

/// One series' parameters as Prophet names, orders and scales them.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Growth over the observed span, before the first changepoint.
    pub k: f64,
    /// Level at the first observation.
    pub m: f64,
    /// Changes of the growth.
    pub delta: Vec<f64>,
    /// Sine and cosine of each wave of the year, the week, the day; phases count from 1970.
    pub beta: Vec<f64>,
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// What `y` was divided by.
    pub y_scale: f64,
    /// Times of the changepoints, the observed span being `[0, 1]`.
    pub changepoints: Vec<f64>,
}

/// What one series left behind, scaled; times count from its first observation.
struct Learned {
    /// Steps between its first observation and its last: one unit of scaled time.
    span_steps: usize,
    /// Steps between its first observation and the first to forecast.
    window_steps: usize,
    /// First observation, milliseconds since the epoch.
    start_ms: i64,
    seasons: Seasons,
    y_scale: f64,
    /// `m`, `k`, then the waves' coefficients.
    smooth: Vec<f64>,
    delta: Vec<f64>,
    /// Steps of the changepoints.
    knots: Vec<u32>,
    sigma: f64,
}

/// Prophet, fitted.
pub struct FittedProphet {
    step_ms: i64,
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl FittedProphet {
    /// The parameters of one series; `None` where it has no usable fit.
    pub fn parameters(&self, series: usize) -> Option<Parameters> {
        let learned = self.learned[series].as_ref()?;
        let time = |&knot: &u32| f64::from(knot) / learned.span_steps as f64;
        Some(Parameters {
            k: learned.smooth[1],
            m: learned.smooth[0],
            delta: learned.delta.clone(),
            beta: learned.seasons.since_epoch(&learned.smooth[2..], learned.start_ms),
            sigma: learned.sigma,
            y_scale: learned.y_scale,
            changepoints: learned.knots.iter().map(time).collect(),
        })
    }
}

impl Learned {
    /// Mean and standard deviation, in the series' unit, of a step counted from the first observation.
    ///
    /// Prophet draws future changepoints at the rate of the past ones, with Laplace sizes of the mean
    /// `|delta|`. A bend of size `d` at `u` moves time `t` by `d (t - u)`, so that a Poisson rate `S` and the
    /// Laplace variance `2 mean^2` add up to `2 S mean^2 (t - 1)^3 / 3`.
    fn at(&self, step: usize, waves: &[f64]) -> (f64, f64) {
        let unit = self.span_steps as f64;
        let time = step as f64 / unit;
        let bend = |(&knot, delta): (&u32, &f64)| delta * (time - f64::from(knot) / unit).max(0.0);
        let trend = self.smooth[0] + self.smooth[1] * time + self.knots.iter().zip(&self.delta).map(bend).sum::<f64>();
        let seasonal: f64 = self.smooth[2..].iter().zip(waves).map(|(beta, wave)| beta * wave).sum();
        let rate = self.delta.len() as f64;
        let size = self.delta.iter().map(|delta| delta.abs()).sum::<f64>() / rate.max(1.0);
        let beyond = (time - 1.0).max(0.0);
        let variance = self.sigma * self.sigma + 2.0 / 3.0 * rate * size * size * beyond * beyond * beyond;
        (self.y_scale * (trend + seasonal), self.y_scale * variance.sqrt())
    }
}

impl Fitted for FittedProphet {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.learned.len(), horizon, quantiles.clone());
        let mut waves: BTreeMap<(Seasons, usize), Vec<Vec<f64>>> = BTreeMap::new(); // windows of one length share
        for (s, learned) in self.learned.iter().enumerate() {
            let Some(learned) = learned else { continue };
            let steps = learned.window_steps..learned.window_steps + horizon.steps();
            let waves = waves.entry((learned.seasons, learned.window_steps)).or_insert_with(|| {
                steps.clone().map(|step| learned.seasons.waves(step as f64 * self.step_ms as f64)).collect()
            });
            let (mean, spread): (Vec<f64>, Vec<f64>) =
                steps.zip(waves.iter()).map(|(step, waves)| learned.at(step, waves)).unzip();
            forecast.set_normal(s, &mean, |step| spread[step]);
        }
        Ok(forecast)
    }
}

#[cfg(test)]
mod tests;
