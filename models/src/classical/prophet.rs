//! Prophet's model: a trend that may bend at 25 places, and daily, weekly and yearly waves; by choice also seasons,
//! holidays and regressors of the caller's, effects that multiply the trend, flat trends and S-curves.
//!
//! The objective is the one that `prophet` 1.5.0 gives to Stan (`prophet.stan`); with its defaults (additive, linear
//! growth): `y` divided by its largest magnitude, time by the span of its observations,
//!
//! `T ln s + RSS / (2 s^2) + (k^2 + m^2) / 50 + sum |delta| / 0.05 + sum beta^2 / 200 + 2 s^2`.
//!
//! Stan's search stops short of its minimum; here it is found by active signs and linear solves
//! ([`foreshadow_kernels::shrink`]), about one tangent after another where the model is not linear ([`bent`]).
//! Waves are reckoned from each series' own start, which turns each pair of
//! `beta` and changes nothing else (their prior is round), so that series of one length share one matrix
//! wherever they begin; [`Parameters`] turns them back to Prophet's, which count from 1970.
//! Source: Taylor and Letham, "Forecasting at scale", The American Statistician 72(1), 2018.

mod bent;
mod config;
mod countries;
mod features;
mod fit;
mod inputs;
mod kept;
mod logistic;
mod predict;
mod straight;

use std::sync::Arc;

use foreshadow_kernels::{Device, KernelError};
use serde::{Deserialize, Serialize};

use crate::append::append_each;
use crate::artifact::{Artifact, Kept};
use crate::device::Placed;
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};
use config::Settings;
pub use config::{Builtin, Growth, Holiday, Mode, ProphetConfig, ProphetConfigError, Regressor, Season, Standardise};
use features::Features;
pub use inputs::{Known, Track};
pub(crate) use kept::KeptProphet;

/// Prophet with its defaults: trend changepoints, and the seasons that the data are long enough for.
///
/// Days, weeks and years are those of UTC: where clocks are put forward, a day that people live by the clock moves by
/// an hour, and the fit follows over the next weeks' data.
#[derive(Clone, Copy, Debug)]
pub struct Prophet;

impl Prophet {
    /// [`Model::fit`] with the parameters in reach.
    ///
    /// # Errors
    /// As [`Model::fit`].
    pub fn learn(&self, window: &Window<'_>) -> Result<FittedProphet, FitError> {
        CustomProphet::default().learn(window)
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

/// Prophet with settings of the caller's; made by [`ProphetConfig::build`].
#[derive(Clone, Debug)]
pub struct CustomProphet {
    config: Arc<ProphetConfig>,
    settings: Arc<Settings>,
}

impl Default for CustomProphet {
    /// The same as [`Prophet`].
    fn default() -> Self {
        ProphetConfig::default().build().expect("the defaults are in range")
    }
}

impl CustomProphet {
    fn new(config: ProphetConfig, settings: Settings) -> Self {
        Self { config: Arc::new(config), settings: Arc::new(settings) }
    }

    /// What it was made from: to be made anew with something changed, such as regressors.
    pub fn config(&self) -> &ProphetConfig {
        &self.config
    }

    /// [`Model::fit`] with the parameters in reach.
    ///
    /// # Errors
    /// As [`Model::fit`].
    pub fn learn(&self, window: &Window<'_>) -> Result<FittedProphet, FitError> {
        self.learn_on(window, &Device::Cpu).map_err(|source| self.refused(window, source))
    }

    /// The same where a device says. One whose trend is no line or whose effects multiply is fitted on the CPU anywhere, as is
    /// a series that hardly moves: a device holds values in `f32`.
    ///
    /// # Errors
    /// [`KernelError::Device`] when it refuses the work.
    pub fn learn_on(&self, window: &Window<'_>, device: &Device) -> Result<FittedProphet, KernelError> {
        let fitted = fit::fit(window, &self.settings, device)?;
        Ok(FittedProphet { family: self.config.name.clone(), ..fitted })
    }
}

impl Placed for CustomProphet {
    fn fit_on(&self, window: &Window<'_>, _seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError> {
        Ok(Box::new(self.learn_on(window, device)?))
    }
}

impl Model for CustomProphet {
    fn name(&self) -> String {
        self.config.name.clone()
    }

    /// Series that share length, start, holidays and regressors share one matrix. A series that lacks a regressor
    /// or a capacity at an observed step has [`FitStatus::Input`].
    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)?))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.placed(device))
    }
}

/// One series' parameters as Prophet names, orders and scales them.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Growth over the observed span, before the first changepoint; of an S-curve the rate of its line.
    pub k: f64,
    /// Level at the first observation; of an S-curve the time at which it would be half-way up.
    pub m: f64,
    /// Changes of the growth; none under a flat trend.
    pub delta: Vec<f64>,
    /// Sine and cosine of each wave of each season (the caller's, the year, the week, the day; phases count from
    /// 1970), then holidays that have a step in the window, then regressors: [`FittedProphet::effects`] names them.
    pub beta: Vec<f64>,
    /// Standard deviation of the noise.
    pub sigma: f64,
    /// What `y`, less any floor, was divided by.
    pub y_scale: f64,
    /// Times of the changepoints, the observed span being `[0, 1]`.
    pub changepoints: Vec<f64>,
}

/// Kinds of trend that a series can have learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Trend {
    Linear,
    Flat,
    Logistic,
}

/// What one series left behind, scaled; times count from its first observation.
struct Learned {
    /// Steps between its first observation and its last: one unit of scaled time.
    span_steps: usize,
    /// Steps between its first observation and the first to forecast.
    window_steps: usize,
    /// First observation, milliseconds since the epoch.
    start_ms: i64,
    features: Arc<Features>,
    trend: Trend,
    y_scale: f64,
    /// `m`, `k`, then the columns' coefficients.
    smooth: Vec<f64>,
    delta: Vec<f64>,
    /// Steps of the changepoints.
    knots: Vec<u32>,
    sigma: f64,
}

/// Prophet, fitted.
pub struct FittedProphet {
    family: String,
    settings: Arc<Settings>,
    /// The series' names, where anything goes by them; else empty.
    names: Vec<String>,
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
            beta: learned.features.since_epoch(&learned.smooth[2..], learned.start_ms),
            sigma: learned.sigma,
            y_scale: learned.y_scale,
            changepoints: learned.knots.iter().map(time).collect(),
        })
    }

    /// What each of [`Parameters::beta`] stands for, such as `weekly sine 1`, `Easter Monday`, `sale +1` (the day
    /// after it) or a regressor's name; `None` where the series has no usable fit.
    pub fn effects(&self, series: usize) -> Option<&[String]> {
        Some(self.learned[series].as_ref()?.features.names())
    }
}

impl Fitted for FittedProphet {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "prophet"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        KeptProphet::of(self).map(|kept| Artifact(Kept::Prophet(kept)))
    }

    /// Prophet has no level that a point could move: its curve is read a step later.
    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, |own, value, status| {
            own.window_steps += 1;
            let moved = *status == FitStatus::Constant && !value.is_nan() && value != own.y_scale * own.smooth[0];
            (moved || value.is_infinite()).then_some(FitStatus::Outdated)
        })
    }

    /// # Errors
    /// [`PredictError::Input`] when a regressor, a capacity or a floor of any usable series is unknown at one of the
    /// steps.
    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        predict::predict(self, horizon, quantiles)
    }
}

#[cfg(test)]
mod tests;
