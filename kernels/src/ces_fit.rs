//! Complex exponential smoothing's fit: the weights of a whole batch.

use crate::error::expect_len;
use crate::{Batch, CES_WEIGHTS, CesForm, KernelError, cpu, gpu};

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
/// - `y`: `[series, steps]`, of about unit scale; NaN where unobserved.
/// - `start`: [`CesForm::start_len`] values a series.
///
/// On the CPU one task per lane group, all its passes on memory that stays in cache. On a GPU a unit has a series and
/// looks at one place in seven launches: as many launches for every batch, and nothing comes down but where they end;
/// without `f64` the sum of squares is found to about a hundredth. A series' result depends on that series alone: those
/// that are done are held while their neighbours go on.
/// Source: as in [`crate::ces_squares`]; ranges as in statsforecast 2.1.1. Moré, The Levenberg-Marquardt algorithm,
/// Numerical Analysis, Lecture Notes in Mathematics 630 (1978).
///
/// # Errors
/// [`KernelError::Shape`] unless `start` has its values for each series, or for a season of no steps;
/// [`KernelError::Device`] when the device refuses the work.
pub fn ces_fit(y: &Batch, form: CesForm, season: usize, start: &[f64]) -> Result<CesFit, KernelError> {
    expect_len("season", season, season.max(1))?;
    expect_len("start", start.len(), y.count() * form.start_len(season))?;
    match y {
        Batch::Cpu(y) => Ok(cpu::ces_fit::ces_fit(y, form, season, start)),
        Batch::Wgpu(y) => gpu::ces_fit::ces_fit(y, form, season, start),
        Batch::Cuda(y) => gpu::ces_fit::ces_fit(y, form, season, start),
    }
}

/// Weights of one series.
pub(crate) type Point = [f64; CES_WEIGHTS];

/// Alphas of the places that are looked at first.
const ALPHAS: [[f64; 2]; 6] = [[1.3, 1.0], [1.1, 1.0], [0.3, 0.99], [0.8, 0.99], [1.7, 1.0], [1.4, 0.8]];

/// Betas that are tried with each of them.
pub(crate) fn betas(form: CesForm) -> &'static [[f64; 2]] {
    match form {
        CesForm::None | CesForm::Simple => &[[0.0, 0.0]],
        CesForm::Partial => &[[0.1, 0.0], [0.5, 0.0]],
        CesForm::Full => &[[1.3, 1.0], [1.5, 1.0], [0.6, 0.98], [0.1, 0.98]],
    }
}

/// Places that are looked at first: those of the same alphas follow each other.
pub(crate) fn places(form: CesForm) -> impl Iterator<Item = Point> {
    ALPHAS.into_iter().flat_map(move |[a, b]| betas(form).iter().map(move |[c, d]| [a, b, *c, *d]))
}

/// Places that a search goes on from, of different alphas.
pub(crate) fn places_gone_on_from(form: CesForm) -> usize {
    match form {
        CesForm::Simple => 2,
        CesForm::None | CesForm::Partial | CesForm::Full => 3,
    }
}

/// A search that would need so many times the gain of its next step to reach the best end so far is given up.
pub(crate) const HOPE: f64 = 50.0;
pub(crate) const FIRST_DAMPING: f64 = 1e-2;
pub(crate) const LEAST_DAMPING: f64 = 1e-9;
pub(crate) const MOST_DAMPING: f64 = 1e9;
/// Places that one way down may look at.
pub(crate) const MAX_EVALUATIONS: u32 = 100;
/// What the second half of so many must gain, as a share, to be more than crawling along the floor of a bent valley.
pub(crate) const CRAWLS: f64 = 0.02;

#[cfg(test)]
mod tests;
