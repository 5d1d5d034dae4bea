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
    /// Sum of squared errors, in the unit of `y` squared.
    pub sse: Vec<f64>,
    /// False where a cap on evaluations was hit before the likelihood settled.
    pub converged: Vec<bool>,
    /// Evaluations of the profile likelihood that each series asked for.
    pub evaluations: Vec<u32>,
}

/// Fits an additive ETS model to every series by maximum likelihood.
///
/// Maximises `-n/2 ln(sse)` over `alpha` in [`ALPHA_RANGE`], `beta` in `[1e-4, alpha]`, `gamma` in
/// `[1e-4, 1 - alpha]`, `phi` in [`PHI_RANGE`] and over all starts; `n` counts observed steps. The start is
/// profiled out: for given weights the sum of squares is quadratic in it, and conjugate gradients on the
/// recursion and its adjoint, begun from the last weights' start, find its least value. The weights follow
/// by a projected quasi-Newton search from the best point of a coarse grid.
///
/// - `y`: `[steps, series]` on the host, standardised; NaN where unobserved.
///
/// One task per lane group, all its passes on memory that stays in cache. A series' result depends on that
/// series alone: lanes that are done are held fixed while their neighbours go on.
/// Source: Hyndman, Koehler, Ord and Snyder, *Forecasting with Exponential Smoothing*, 2008, chapter 5.
pub fn ets_fit(y: &Lanes, form: EtsForm) -> EtsFit {
    cpu::ets_fit::ets_fit(y, form)
}

#[cfg(test)]
mod tests;
