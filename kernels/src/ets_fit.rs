//! Maximum-likelihood ETS: smoothing weights and starts of a whole batch.

use crate::{EtsForm, Lanes, Smoothing, cpu};

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
/// - `y`: `[steps, series]` on the host, standardised; NaN where unobserved.
/// - `offset`: one a series, what `y` lacks to be proportional to the series, which is then positive; read where
///   the error is relative.
/// - `hints`: none, or one a series. A search goes on from the most promising place, or with an infinite limit from
///   each, and ends early where thirty times the gain that its next step promises would leave it above the limit.
///
/// A task of the profiled search has a lane group of series in work, and each lane goes on to the next series by
/// itself; the joint one takes a series at a time, its unknowns side by side in the registers. A series' result
/// depends on that series alone.
/// Source: Hyndman, Koehler, Ord and Snyder, *Forecasting with Exponential Smoothing*, 2008, chapter 5.
///
/// # Panics
/// When `offset` has not one value a series, or `hints` some and not one a series.
pub fn ets_fit(y: &Lanes, offset: &[f64], form: EtsForm, hints: &[EtsHint]) -> EtsFit {
    assert_eq!(offset.len(), y.series(), "one offset a series");
    assert!(hints.is_empty() || hints.len() == y.series(), "no hints, or one a series");
    cpu::ets_fit::ets_fit(y, offset, form, hints)
}

#[cfg(test)]
mod tests;
