//! Additive exponential smoothing: one pass of the recursion and its adjoint, all series at once.

use crate::error::expect_len;
use crate::{KernelError, Matrix, cpu, gpu};

/// How the slope of an ETS model behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trend {
    /// No slope.
    None,
    /// A slope that goes on.
    Additive,
    /// A slope that dies out by `phi` a step.
    Damped,
}

/// Which additive ETS model: ETS(A,N,N), (A,A,N), (A,Ad,N) with a season of 1, else (A,N,A), (A,A,A),
/// (A,Ad,A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EtsForm {
    /// How the slope behaves.
    pub trend: Trend,
    /// Steps in a season; 1 for none.
    pub season: usize,
}

impl EtsForm {
    /// Values of [`EtsGradient::start`] a series: the slope, then one error for each slot of the season.
    pub fn start_len(self) -> usize {
        1 + self.season
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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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

/// Sum of squared errors of each series, and its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct EtsGradient {
    /// Sum of squared one-step errors.
    pub sse: Vec<f64>,
    /// Derivatives by the smoothing weights; zero for a weight that the form does not have.
    pub smoothing: Vec<Smoothing>,
    /// Derivatives by the start, [`EtsForm::start_len`] a series.
    pub start: Vec<f64>,
}

/// Squared one-step errors of an additive ETS model and their gradient by the adjoint recursion.
///
/// With `level = 0`, `slope = start[0]` and `j = t mod season`, each step does
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
/// - `y`: `[steps, series]`, standardised; NaN where unobserved.
/// - `smoothing`: one a series; `beta` and `phi` are not read without a slope, `gamma` not without a season.
/// - `start`: [`EtsForm::start_len`] values a series, series by series.
///
/// One lane per series, `steps` dependent steps forward and as many back, all in `f64`; a GPU keeps the error
/// of every step between the two, and the slope where it is damped. One without `f64` does it in `f32`, right
/// to about a thousandth of the sum of squares. `y` stays on its device; weights, start and gradient are the
/// host's, which searches by them, and cross the bus at every call.
/// Source: Hyndman, Koehler, Ord and Snyder, *Forecasting with Exponential Smoothing*, 2008, chapters 2
/// and 5.
///
/// # Errors
/// [`KernelError::Shape`] unless `smoothing` and `start` fit the batch; [`KernelError::Device`] when the device
/// refuses the work.
pub fn ets_gradient(
    y: &Matrix,
    form: EtsForm,
    smoothing: &[Smoothing],
    start: &[f64],
) -> Result<EtsGradient, KernelError> {
    expect_len("smoothing", smoothing.len(), y.series())?;
    expect_len("start", start.len(), y.series() * form.start_len())?;
    expect_len("season", form.season, form.season.max(1))?;
    match y {
        Matrix::Cpu(y) => Ok(cpu::ets::ets_gradient(y, form, smoothing, start)),
        Matrix::Wgpu(y) => gpu::ets::ets_gradient(y, form, smoothing, start),
        Matrix::Cuda(y) => gpu::ets::ets_gradient(y, form, smoothing, start),
    }
}

#[cfg(test)]
mod tests;
