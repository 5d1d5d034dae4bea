//! Maximum-likelihood ETS: smoothing weights and starts of a whole batch.

use crate::error::expect_len;
use crate::{EtsForm, KernelError, Matrix, Smoothing, cpu, gpu};

/// Lowest and highest `alpha`; also the floor of `beta` and `gamma`.
pub const ALPHA_RANGE: (f64, f64) = (1e-4, 0.9999);

/// Lowest and highest `phi`.
pub const PHI_RANGE: (f64, f64) = (0.8, 0.98);

/// What each series of a batch learned.
#[derive(Clone, Debug, PartialEq)]
pub struct EtsFit {
    /// Weights of the highest likelihood found.
    pub smoothing: Vec<Smoothing>,
    /// The best start for those weights, [`EtsForm::start_len`] a series; see [`crate::ets_gradient`].
    pub start: Vec<f64>,
    /// Sum of squared errors, in the unit of `y` squared; of relative errors where the error is relative.
    pub sse: Vec<f64>,
    /// `n ln(sse)`, and twice the sum of the logarithms of the expected values where the error is relative: twice
    /// the negative log-likelihood, up to a constant that all forms of one series share.
    pub deviance: Vec<f64>,
    /// False where a cap on evaluations was hit before the likelihood settled.
    pub converged: Vec<bool>,
    /// Evaluations of the profile likelihood that each series asked for.
    pub evaluations: Vec<u32>,
}

impl EtsFit {
    /// Room for so many series.
    pub(crate) fn with_room(series: usize, form: EtsForm) -> Self {
        Self {
            smoothing: Vec::with_capacity(series),
            start: Vec::with_capacity(series * form.start_len()),
            sse: Vec::with_capacity(series),
            deviance: Vec::with_capacity(series),
            converged: Vec::with_capacity(series),
            evaluations: Vec::with_capacity(series),
        }
    }

    /// A series that no place was found for.
    pub(crate) fn push_unfit(&mut self, form: EtsForm) {
        self.smoothing.push(form.weights(Smoothing { alpha: 0.5, beta: 0.1, gamma: 0.1, phi: PHI_RANGE.1 }));
        self.start.extend(std::iter::repeat_n(0.0, form.start_len()));
        self.sse.push(f64::INFINITY);
        self.deviance.push(f64::INFINITY);
        self.converged.push(false);
        self.evaluations.push(0);
    }
}

/// Where a fit may begin: the end of another one.
#[derive(Clone, Debug, PartialEq)]
pub struct EtsPlace {
    /// Weights of a kindred form; a weight of 0 is one that it does not have.
    pub smoothing: Smoothing,
    /// The slope that it begins with, in the unit of `y` a step.
    pub slope: f64,
    /// What it expects of each slot while its level stays, in the unit of `y`.
    pub season: Vec<f64>,
}

/// What is known of a series before its fit.
#[derive(Clone, Debug, PartialEq)]
pub struct EtsHint {
    /// Places to begin from.
    pub places: Vec<EtsPlace>,
    /// The deviance that the fit has to fall below to be of use.
    pub limit: f64,
}

/// Fits an ETS model to every series by maximum likelihood.
///
/// Minimises the deviance over `alpha` in [`ALPHA_RANGE`], `beta` in `[1e-4, alpha]`, `gamma` in
/// `[1e-4, 1 - alpha]`, `phi` in [`PHI_RANGE`] and over all starts; `n` counts observed steps. The start is
/// profiled out: with an additive error the sum of squares is quadratic in it, and conjugate gradients on the
/// recursion and its adjoint, begun from the last weights' start, find its least value. The weights follow by a
/// projected quasi-Newton search from every valley of a coarse grid.
///
/// With hints, and for a relative error always, weights and start are found together instead: by Levenberg and
/// Marquardt's damped steps of Gauss and Newton, which secants correct on the way. A relative error without hints
/// begins from the fit of the additive one. Seasons of more than 59 steps keep to the search above from the hint's
/// first weights; a relative error then repeats Gauss and Newton's step for the start.
///
/// - `y`: `[steps, series]`, standardised; NaN where unobserved.
/// - `offset`: one a series, what `y` lacks to be proportional to the series, which is then positive; read where
///   the error is relative.
/// - `hints`: none, or one a series. A search goes on from the most promising place, or with an infinite limit from
///   each, and ends early where thirty times the gain that its next step promises would leave it above the limit.
///
/// On the CPU a task of the profiled search has a lane group of series in work, and each lane goes on to the next series
/// by itself; the joint one takes a series at a time, its unknowns side by side in the registers. On a GPU the search is
/// that of [`crate::auto_ets()`], over the form and those that it is one component away from, with looks all over the box
/// besides: it takes no hints, and nothing comes down before the end. One series in twenty may end in another valley
/// than the CPU's. A series too short for the form, or with a slot that is never observed, has an infinite sum of squares
/// there, and is not converged; evaluations count the last way down. A series' result depends on that series alone.
/// Source: Hyndman, Koehler, Ord and Snyder, *Forecasting with Exponential Smoothing*, 2008, chapter 5.
///
/// # Errors
/// [`KernelError::Shape`] unless `offset` has one value a series, and `hints` none or one a series;
/// [`KernelError::Device`] when the device refuses the work.
pub fn ets_fit(y: &Matrix, offset: &[f64], form: EtsForm, hints: &[EtsHint]) -> Result<EtsFit, KernelError> {
    expect_len("offset", offset.len(), y.series())?;
    expect_len("hints", hints.len(), if hints.is_empty() { 0 } else { y.series() })?;
    match y {
        Matrix::Cpu(y) => Ok(cpu::ets_fit::ets_fit(y, offset, form, hints)),
        Matrix::Wgpu(y) => gpu::ets_fit::ets_fit(y, offset, form),
        Matrix::Cuda(y) => gpu::ets_fit::ets_fit(y, offset, form),
    }
}

#[cfg(test)]
mod tests;
