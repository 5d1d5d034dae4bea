//! Complex exponential smoothing's fit: the weights of a whole batch.

use crate::error::expect_len;
use crate::{CES_WEIGHTS, CesForm, KernelError, Rows, cpu};

/// Lowest and highest `alpha_0`, `alpha_1`, `beta_0` and `beta_1`.
pub const CES_RANGES: [(f64, f64); CES_WEIGHTS] = [(0.01, 1.8), (0.01, 1.9), (0.01, 1.5), (0.01, 1.5)];

/// What each series of a batch learned.
#[derive(Clone, Debug, PartialEq)]
pub struct CesFit {
    /// `[alpha_0, alpha_1, beta_0, beta_1]`, each in its range; 0 where the form has none.
    pub weights: Vec<[f64; CES_WEIGHTS]>,
    /// Sum of squared one-step errors of the last pass.
    pub sse: Vec<f64>,
    /// False where a cap on passes was hit while the sum of squares still fell by a fiftieth in half of them, or where
    /// it never was a number.
    pub converged: Vec<bool>,
    /// Evaluations with derivatives that each series asked for.
    pub evaluations: Vec<u32>,
}

/// Fits complex exponential smoothing to every series: the least sum of squares of [`crate::ces_squares`] over the
/// weights in [`CES_RANGES`].
///
/// Each search looks at a few places first and goes on from the best of them, two or three, by
/// Levenberg's and Marquardt's steps, a weight at its bound being held there while the sum of squares falls beyond it.
///
/// - `y`: `[series, steps]` on the host, of about unit scale; NaN where unobserved.
/// - `start`: [`CesForm::start_len`] values a series.
///
/// One task per lane group, all its passes on memory that stays in cache. A series' result depends on that series
/// alone: lanes that are done are held while their neighbours go on.
/// Source: as in [`crate::ces_squares`]; ranges as in statsforecast 2.1.1. Moré, The Levenberg-Marquardt algorithm,
/// Numerical Analysis, Lecture Notes in Mathematics 630 (1978).
///
/// # Errors
/// [`KernelError::Shape`] unless `start` has its values for each series, or for a season of no steps.
pub fn ces_fit(y: &Rows, form: CesForm, season: usize, start: &[f64]) -> Result<CesFit, KernelError> {
    expect_len("season", season, season.max(1))?;
    expect_len("start", start.len(), y.count() * form.start_len(season))?;
    Ok(cpu::ces_fit::ces_fit(y, form, season, start))
}

#[cfg(test)]
mod tests;
