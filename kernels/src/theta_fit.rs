//! The theta method's fit: smoothing weight, starting level and theta of a whole batch.

use crate::{Lanes, ThetaForm, cpu};

/// Lowest and highest `alpha` of a theta model.
pub const THETA_ALPHA_RANGE: (f64, f64) = (0.1, 0.99);

/// What each series of a batch learned.
#[derive(Clone, Debug, PartialEq)]
pub struct ThetaFit {
    /// Weight of the level, in [`THETA_ALPHA_RANGE`].
    pub alpha: Vec<f64>,
    /// Level before the first step, in the unit of `y`.
    pub level: Vec<f64>,
    /// The line's share `1 - 1 / theta`.
    pub share: Vec<f64>,
    /// Sum of squared one-step errors, the first [`crate::UNCOUNTED`] left out.
    pub sse: Vec<f64>,
    /// False where a cap on evaluations was hit before the sum of squares settled.
    pub converged: Vec<bool>,
    /// Passes over its steps that each series asked for.
    pub evaluations: Vec<u32>,
}

/// Fits a theta model to every series: the least sum of squared one-step errors over `alpha` in
/// [`THETA_ALPHA_RANGE`], all starting levels and every theta from 1 to 10^10.
///
/// Level and theta are solved for inside [`crate::theta_profile`], so one unknown is left: a grid over `alpha`,
/// then parabolas in every valley of it until another step promises less than a part in 10^10.
///
/// - `y`: `[steps, series]` on the host, standardised; NaN where unobserved.
///
/// One task per lane group, all its passes on memory that stays in cache. A series' result depends on that
/// series alone: lanes that are done are held fixed while their neighbours go on.
/// Source: as in [`crate::theta_profile`]; bounds as in statsforecast 2.1.1, but for its bound of 10^10 on the
/// level, which hangs on the unit.
pub fn theta_fit(y: &Lanes, form: ThetaForm) -> ThetaFit {
    cpu::theta_fit::theta_fit(y, form)
}

#[cfg(test)]
mod tests;
