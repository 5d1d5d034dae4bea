//! ARIMA and seasonal ARIMA by exact maximum likelihood, of a given order or one chosen for each series.
//!
//! Source: Hyndman and Khandakar, Automatic time series forecasting: the forecast package for R, Journal of
//! Statistical Software 27(3), 2008; Box, Jenkins and Reinsel, *Time Series Analysis*, 4th ed.

use std::borrow::Cow;

use foreshadow_kernels::{ArimaSeries, ArmaOrder, Device, Differencing, KernelError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(super) use self::ahead::Learned;
pub(super) use self::differences::needed;
pub(super) use self::prepare::{Prepared, Ready, prepare};
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::device::Placed;
use crate::{FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

mod ahead;
mod choose;
mod differences;
mod prepare;
mod strength;

/// The most coefficients at lags of a step, at lags of a season, and in all where there is a season.
const MOST: usize = 5;
const MOST_SEASONAL: usize = 2;
/// An ARIMA model, its order given or to be chosen for each series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arima {
    season: usize,
    fixed: Option<Fixed>,
}

/// A given order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fixed {
    order: ArmaOrder,
    differences: usize,
    seasonal_differences: usize,
    constant: bool,
}

/// What ARIMA learned of one series, in the series' unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArimaParameters {
    /// The order of the stationary part.
    pub order: ArmaOrder,
    /// Differences at a lag of one step.
    pub differences: usize,
    /// Differences at a lag of one season.
    pub seasonal_differences: usize,
    /// φ, Φ, θ and Θ, one after the other; a moving average adds.
    pub coefficients: Vec<f64>,
    /// Mean of the differenced series; `None` where the model has none.
    pub constant: Option<f64>,
    /// Standard deviation of the one-step errors.
    pub spread: f64,
    /// The exact log-likelihood.
    pub log_likelihood: f64,
    /// Akaike's criterion, corrected for small samples.
    pub aicc: f64,
}

impl Arima {
    /// The longest season that a model carries in its state; Fourier terms say longer ones better.
    pub const LONGEST_SEASON: usize = 400;

    /// A model whose order is chosen for each series, with a season of so many steps, 1 for none.
    ///
    /// # Panics
    /// For a season of no steps.
    pub fn auto(season: usize) -> Self {
        assert!(season > 0, "a season has steps");
        Self { season, fixed: None }
    }

    /// ARIMA(`ar`, `differences`, `ma`).
    ///
    /// # Panics
    /// For more than five coefficients a side or two differences.
    pub fn fixed(ar: usize, differences: usize, ma: usize) -> Self {
        Self::seasonal([ar, differences, ma], [0; 3], 1)
    }

    /// ARIMA(p, d, q)(P, D, Q) with a season of so many steps.
    ///
    /// # Panics
    /// For more than five coefficients a side, two a season, or two differences in all; for a season of one step that
    /// has an order.
    pub fn seasonal(
        [ar, d, ma]: [usize; 3],
        [seasonal_ar, seasonal_d, seasonal_ma]: [usize; 3],
        season: usize,
    ) -> Self {
        assert!(ar <= MOST && ma <= MOST && d + seasonal_d <= 2, "ARIMA({ar},{d},{ma})");
        assert!(seasonal_ar <= MOST_SEASONAL && seasonal_ma <= MOST_SEASONAL, "({seasonal_ar},{seasonal_ma})");
        assert!(season > 1 || seasonal_ar + seasonal_d + seasonal_ma == 0, "a season has steps");
        let order = ArmaOrder { ar, seasonal_ar, ma, seasonal_ma, season: season.max(1) };
        let fixed = Fixed { order, differences: d, seasonal_differences: seasonal_d, constant: true };
        Self { season, fixed: Some(fixed) }
    }

    /// The same given order without a mean or a slope; nothing changes where the order is chosen.
    #[must_use]
    pub fn without_constant(self) -> Self {
        Self { fixed: self.fixed.map(|fixed| Fixed { constant: false, ..fixed }), ..self }
    }

    /// Fits every series of the window; [`Model::fit`] with what it learned in sight.
    pub fn learn(&self, window: &Window<'_>) -> FittedArima {
        self.learn_on(window, &Device::Cpu).expect("host memory refuses nothing of a model's shape")
    }

    /// The same where a device says.
    ///
    /// # Errors
    /// [`KernelError`] when it refuses the work.
    pub fn learn_on(&self, window: &Window<'_>, device: &Device) -> Result<FittedArima, KernelError> {
        let count = window.series_count();
        let prepared: Vec<_> = (0..count).into_par_iter().map(|s| prepare(self, window.values(s))).collect();
        let ready: Vec<usize> = (0..count).filter(|&s| matches!(&prepared[s], Ok(Prepared::Ready(_)))).collect();
        let series: Vec<ArimaSeries<'_>> = ready.iter().filter_map(|&s| prepared[s].as_ref().ok()?.series()).collect();
        let mut of_ready = vec![None; count];
        ready.into_iter().zip(self.best(&series, device)?).for_each(|(s, fit)| of_ready[s] = fit);
        let (status, learned) = prepared
            .into_iter()
            .zip(of_ready)
            .map(|(prepared, fit)| match prepared {
                Err(status) => (status, None),
                Ok(Prepared::Constant(value)) => (FitStatus::Constant, Some(Learned::constant(value))),
                Ok(Prepared::Straight(learned)) => (FitStatus::Fitted, Some(*learned)),
                Ok(Prepared::Ready(ready)) => match fit.map(|fit| ready.learned(&fit)).filter(Learned::is_finite) {
                    Some(learned) => (FitStatus::Fitted, Some(learned)),
                    None => (FitStatus::NotConverged, None),
                },
            })
            .unzip();
        Ok(FittedArima { status, learned })
    }

    /// A series as a batch of [`Arima::choose`] has it, and how it is differenced; `None` where it has a forecast without
    /// that, or none.
    pub fn standardised(&self, values: &[f64]) -> Option<(Differencing, Vec<f64>)> {
        let Ok(Prepared::Ready(ready)) = prepare(self, values) else { return None };
        let ArimaSeries { differences, seasonal_differences, season, .. } = ready.series();
        Some((Differencing { differences, seasonal_differences, season }, ready.values))
    }

    /// The orders that compete.
    fn orders(&self) -> Vec<ArmaOrder> {
        if let Some(fixed) = self.fixed {
            return vec![fixed.order];
        }
        let season = self.season;
        let most = if season > 1 { MOST.min(season - 1) } else { MOST };
        let seasonal = if season > 1 { MOST_SEASONAL } else { 0 };
        let mut orders = Vec::new();
        for ar in 0..=most {
            for ma in 0..=most {
                for seasonal_ar in 0..=seasonal {
                    for seasonal_ma in 0..=seasonal {
                        if season == 1 || ar + ma + seasonal_ar + seasonal_ma <= MOST {
                            orders.push(ArmaOrder { ar, seasonal_ar, ma, seasonal_ma, season });
                        }
                    }
                }
            }
        }
        orders
    }
}

impl Model for Arima {
    fn name(&self) -> String {
        match (self.fixed, self.season) {
            (None, 1) => "autoarima".into(),
            (None, season) => format!("sarima{season}"),
            (Some(Fixed { order, differences: d, seasonal_differences: seasonal_d, .. }), season) => {
                let plain = format!("arima_{}_{d}_{}", order.ar, order.ma);
                if season == 1 {
                    return plain;
                }
                format!("s{plain}_{}_{seasonal_d}_{}_{season}", order.seasonal_ar, order.seasonal_ma)
            }
        }
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.placed(device))
    }
}

impl Placed for Arima {
    fn fit_on(&self, window: &Window<'_>, _seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError> {
        Ok(Box::new(self.learn_on(window, device)?))
    }
}

/// ARIMA after it has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub struct FittedArima {
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl FittedArima {
    /// What was learned of one series; `None` where its status is not usable.
    pub fn parameters(&self, series: usize) -> Option<&ArimaParameters> {
        self.learned[series].as_ref().map(|learned| &learned.parameters)
    }
}

impl Fitted for FittedArima {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "arima"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Arima(Cow::Borrowed(self))))
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let ahead = |learned: &Option<Learned>| Some(learned.as_ref()?.ahead(horizon.steps()));
        Ok(Forecast::normal(horizon, quantiles, self.learned.iter().map(ahead)))
    }
}

impl Whole for FittedArima {
    fn is_whole(&self) -> bool {
        each_is_whole(&self.status, &self.learned, Learned::is_whole)
    }
}

#[cfg(test)]
mod tests;
