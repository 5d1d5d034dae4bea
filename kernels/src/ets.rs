//! Exponential smoothing: one pass of the recursion and its adjoint, all series at once.

use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::{KernelError, Matrix, cpu, gpu};

/// How the slope of an ETS model behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Trend {
    /// No slope.
    None,
    /// A slope that goes on.
    Additive,
    /// A slope that dies out by `phi` a step.
    Damped,
}

/// How the error or the season of an ETS model acts on what it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Effect {
    /// It is added.
    Additive,
    /// It multiplies: a share of the level.
    Multiplicative,
}

/// Which ETS model: the effect of its error, its trend, and the effect of its season, as in ETS(M,Ad,M).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EtsForm {
    /// How an error acts.
    pub error: Effect,
    /// How the slope behaves.
    pub trend: Trend,
    /// How the season acts; not read without one.
    pub seasonal: Effect,
    /// Steps in a season; 1 for none.
    pub season: usize,
}

impl EtsForm {
    /// The form of additive error and season.
    pub const fn additive(trend: Trend, season: usize) -> Self {
        Self { error: Effect::Additive, trend, seasonal: Effect::Additive, season }
    }

    /// The same form with an error that is a share of the expected value.
    #[must_use]
    pub const fn with_relative_error(self) -> Self {
        Self { error: Effect::Multiplicative, ..self }
    }

    /// ETS(M,·,M): error and season multiply.
    pub const fn multiplicative(trend: Trend, season: usize) -> Self {
        Self { error: Effect::Multiplicative, trend, seasonal: Effect::Multiplicative, season }
    }

    /// Every admissible form without a season and, where `season` is above 1, with one, from simple to complex.
    ///
    /// A multiplicative season with an additive error is left out, for its errors may have no finite variance,
    /// and so is a multiplicative trend, whose forecasts explode: the search of Hyndman and Khandakar,
    /// *Automatic time series forecasting: the forecast package for R*, J. Stat. Soft. 27(3), 2008.
    pub fn admissible(season: usize) -> Vec<Self> {
        let trends = [Trend::None, Trend::Additive, Trend::Damped];
        let mut forms: Vec<Self> = trends.iter().map(|&trend| Self::additive(trend, 1)).collect();
        forms.extend(trends.map(|trend| Self::additive(trend, 1).with_relative_error()));
        if season > 1 {
            forms.extend(trends.map(|trend| Self::additive(trend, season)));
            forms.extend(trends.map(|trend| Self::additive(trend, season).with_relative_error()));
            forms.extend(trends.map(|trend| Self::multiplicative(trend, season)));
        }
        forms
    }

    /// Whether an error is a share of the expected value, which asks for positive series.
    pub fn is_relative(self) -> bool {
        self.error == Effect::Multiplicative
    }

    /// Whether the season multiplies.
    pub fn scales(self) -> bool {
        self.season > 1 && self.seasonal == Effect::Multiplicative
    }

    /// Values of [`EtsGradient::start`] a series: the slope, then one error for each slot of the season.
    pub fn start_len(self) -> usize {
        1 + self.season
    }

    /// Weights and states that a fit chooses, which is what an information criterion counts besides the
    /// variance: the season's states share one with the level.
    pub fn unknowns(self) -> usize {
        let slope = match self.trend {
            Trend::None => 0,
            Trend::Additive => 2,
            Trend::Damped => 3,
        };
        2 + slope + if self.season > 1 { self.season } else { 0 }
    }

    /// Those weights that the form has, and the neutral value of each that it does not have.
    pub(crate) fn weights(self, own: Smoothing) -> Smoothing {
        Smoothing {
            alpha: own.alpha,
            beta: if self.trend == Trend::None { 0.0 } else { own.beta },
            gamma: if self.season == 1 { 0.0 } else { own.gamma },
            phi: if self.trend == Trend::Damped { own.phi } else { 1.0 },
        }
    }
}

/// The smoothing weights of one series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Smoothing {
    /// Weight of the level.
    pub alpha: f64,
    /// Weight of the slope; 0 without one.
    pub beta: f64,
    /// Weight of the season; 0 without one.
    pub gamma: f64,
    /// Damping of the slope; 1 where it goes on.
    pub phi: f64,
}

/// Fit of each series, and its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct EtsGradient {
    /// Sum of squared errors, each a share of its expected value where the error is relative.
    pub sse: Vec<f64>,
    /// Sum of the logarithms of one plus each relative error; 0 where the error is additive. Minus infinity
    /// where an expected value is not positive: all else of that series is then without meaning.
    pub log_growth: Vec<f64>,
    /// Derivatives of `sse - 2 v log_growth` by the smoothing weights, at `v = sse / observed` held fixed:
    /// zero for a weight that the form does not have. `observed / sse` times it is the derivative of the
    /// deviance `observed ln(sse) - 2 log_growth`.
    pub smoothing: Vec<Smoothing>,
    /// The same derivatives by the start, [`EtsForm::start_len`] a series.
    pub start: Vec<f64>,
}

/// One-step errors of an ETS model, squared and summed, and the gradient by the adjoint recursion.
///
/// Where the error and the season add, with `level = 0`, `slope = start[0]` and `j = t mod season`, each step does
///
/// ```text
/// ahead = level + phi slope
/// e     = start[1 + j]            and first season[j] = y[t] - ahead - e,  at slot j's first observation
///       = y[t] - ahead - season[j]                                         at every later one
///       = 0                                                                where y[t] is NaN
/// level = ahead + alpha e;  slope = phi slope + beta e;  season[j] = season[j] + gamma e
/// ```
///
/// The start is thus told by the error that each slot makes when it is first seen. A level and a season
/// that differ by a constant say the same, so the level starts at 0 and nothing is lost; and the sum of
/// squares is quadratic in this start with a Hessian that is never below twice the identity on the
/// observed slots, which makes conjugate gradients quick. Without a season, slot 0 with `gamma = 0`
/// carries the starting level.
///
/// A relative error obeys the same recursion, and what is squared is `r = e / mu` with the expected value
/// `mu = y[t] + offset - e`; the start then tells `r` at each slot's first observation. Where the season
/// multiplies as well, the level starts at 1 and each step does
///
/// ```text
/// ahead = level + phi slope
/// r     = start[1 + j]   and first season[j] = (y[t] + offset) / (ahead (1 + r)),  at slot j's first observation
///       = (y[t] + offset) / (ahead season[j]) - 1                                  at every later one
///       = 0                                                                        where y[t] is NaN
/// level = ahead (1 + alpha r);  slope = phi slope + beta ahead r;  season[j] = season[j] (1 + gamma r)
/// ```
///
/// - `y`: `[steps, series]`, standardised; NaN where unobserved.
/// - `offset`: one a series, what `y` lacks to be proportional to the series; 0 for an additive error.
/// - `smoothing`: one a series; `beta` and `phi` are not read without a slope, `gamma` not without a season.
/// - `start`: [`EtsForm::start_len`] values a series, series by series.
///
/// One lane per series, `steps` dependent steps forward and as many back, all in `f64`; a GPU keeps the error
/// of every step between the two, and what else the adjoint asks for again. One without `f64` does it in `f32`,
/// right to about a thousandth of the sum of squares. `y` stays on its device; weights, start and gradient are
/// the host's, which searches by them, and cross the bus at every call.
/// Source: Hyndman, Koehler, Ord and Snyder, *Forecasting with Exponential Smoothing*, 2008, chapters 2
/// and 5.
///
/// # Errors
/// [`KernelError::Shape`] unless `offset`, `smoothing` and `start` fit the batch; [`KernelError::Device`] when
/// the device refuses the work.
pub fn ets_gradient(
    y: &Matrix,
    offset: &[f64],
    form: EtsForm,
    smoothing: &[Smoothing],
    start: &[f64],
) -> Result<EtsGradient, KernelError> {
    expect_len("offset", offset.len(), y.series())?;
    expect_len("smoothing", smoothing.len(), y.series())?;
    expect_len("start", start.len(), y.series() * form.start_len())?;
    expect_len("season", form.season, form.season.max(1))?;
    match y {
        Matrix::Cpu(y) => Ok(cpu::ets::ets_gradient(y, offset, form, smoothing, start)),
        Matrix::Wgpu(y) => gpu::ets::ets_gradient(y, offset, form, smoothing, start),
        Matrix::Cuda(y) => gpu::ets::ets_gradient(y, offset, form, smoothing, start),
    }
}

#[cfg(test)]
mod tests;
