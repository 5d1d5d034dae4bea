//! Complex exponential smoothing: forward, back and forward again over all series, with derivatives by its weights.

use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::{Batch, KernelError, cpu, gpu};

/// Which complex exponential smoothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CesForm {
    /// No season.
    None,
    /// Simple: a level for each place of the season and none beside them.
    Simple,
    /// Partial: a level, and a season that is added to it.
    Partial,
    /// Full: a level, and a season that is smoothed as the level is.
    Full,
}

/// Most weights that a form has.
pub const CES_WEIGHTS: usize = 4;

/// The second component of a level or season as it starts, as a share of the first.
pub(crate) const SECOND: f64 = 1.0 / 1.1;

impl CesForm {
    /// Every form, in the order in which they are tried.
    pub const ALL: [Self; 4] = [Self::None, Self::Simple, Self::Partial, Self::Full];

    /// Whether it has a level of its own.
    pub fn has_level(self) -> bool {
        self != Self::Simple
    }

    /// Its weights: `alpha_0` and `alpha_1`, then `beta_0`, then `beta_1`.
    pub fn weights(self) -> usize {
        match self {
            Self::None | Self::Simple => 2,
            Self::Partial => 3,
            Self::Full => 4,
        }
    }

    /// Values that start it: the level where it has one, then each place of its season.
    pub fn start_len(self, season: usize) -> usize {
        match self {
            Self::None => 1,
            Self::Simple => season,
            Self::Partial | Self::Full => 1 + season,
        }
    }
}

/// Squared errors of each series with what its weights do to them.
#[derive(Clone, Debug, PartialEq)]
pub struct CesSquares {
    /// Sum of squared one-step errors of the last pass.
    pub sse: Vec<f64>,
    /// Half its derivative by each weight: `sum e de`. 0 past [`CesForm::weights`].
    pub slope: Vec<[f64; CES_WEIGHTS]>,
    /// Lower triangle of `sum de de'`, row by row: Gauss and Newton's curvature.
    pub curvature: Vec<[f64; CES_TRIANGLE]>,
}

/// Values in the lower triangle of a matrix of [`CES_WEIGHTS`].
pub const CES_TRIANGLE: usize = CES_WEIGHTS * (CES_WEIGHTS + 1) / 2;

/// Squared one-step errors of complex exponential smoothing at given weights, and their derivatives.
///
/// A pair `(a, b)` with weights `(w0, w1)` takes an error `e` by
///
/// ```text
/// a' = a - (1 - w1) b + (w0 - w1) e
/// b' = a + (1 - w0) b + (w0 + w1) e
/// ```
///
/// The level is a pair with the alphas; so is each place of a [`CesForm::Simple`] season, and with the betas of a
/// [`CesForm::Full`] one; a place of a [`CesForm::Partial`] season is a number that takes `beta_0 e`. The forecast is
/// the level's `a` plus that of step `t`'s place, `t mod season`; each step moves the level and that place. An
/// unobserved step moves them with an error of 0.
///
/// Three passes are made: over the steps, back over them, and over them again, each from where the last one ended;
/// between two passes every pair goes one step on without an error. The last pass's errors count. The derivatives
/// go through all three.
///
/// - `y`: `[series, steps]`, of about unit scale; NaN where unobserved.
/// - `weights`: `[alpha_0, alpha_1, beta_0, beta_1]` a series; those that the form lacks are not read.
/// - `start`: [`CesForm::start_len`] values a series; the second of a pair starts as the first over 1.1.
///
/// One lane or unit a series and three times `steps` dependent steps, in `f64`; on a GPU without it in `f32`, right
/// to about a thousandth. Sums that leave their range are infinite or NaN.
/// Source: Svetunkov, Kourentzes and Ord, Complex exponential smoothing, Naval Research Logistics 69 (2022); the
/// passes and the start are statsforecast 2.1.1's.
///
/// # Errors
/// [`KernelError::Shape`] unless `weights` and `start` have their values for each series, or for a season of no
/// steps; [`KernelError::Device`] when the device refuses the work.
pub fn ces_squares(
    y: &Batch,
    form: CesForm,
    season: usize,
    weights: &[[f64; CES_WEIGHTS]],
    start: &[f64],
) -> Result<CesSquares, KernelError> {
    expect_len("season", season, season.max(1))?;
    expect_len("weights", weights.len(), y.count())?;
    expect_len("start", start.len(), y.count() * form.start_len(season))?;
    match y {
        Batch::Cpu(y) => Ok(cpu::ces::ces_squares(y, form, season, weights, start)),
        Batch::Wgpu(y) => gpu::ces::ces_squares(y, form, season, weights, start),
        Batch::Cuda(y) => gpu::ces::ces_squares(y, form, season, weights, start),
    }
}

#[cfg(test)]
mod tests;
