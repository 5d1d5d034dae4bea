//! The theta method's fit: smoothing weight, starting level and theta of a whole batch.

use crate::{KernelError, Matrix, ThetaForm, cpu, gpu};

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
/// - `y`: `[steps, series]`, standardised; NaN where unobserved.
///
/// On the CPU one task per lane group, all its passes on memory that stays in cache. On a GPU a unit has a series and
/// looks at one place a launch: as many launches for every panel, and nothing comes down but where they end; without
/// `f64` the weight is found to about a thousandth. A series' result depends on that series alone: those that are
/// done are held fixed while their neighbours go on.
/// Source: as in [`crate::theta_profile`]; bounds as in statsforecast 2.1.1, but for its bound of 10^10 on the
/// level, which hangs on the unit.
///
/// # Errors
/// [`KernelError::Device`] when the device refuses the work.
pub fn theta_fit(y: &Matrix, form: ThetaForm) -> Result<ThetaFit, KernelError> {
    match y {
        Matrix::Cpu(y) => Ok(cpu::theta_fit::theta_fit(y, form)),
        Matrix::Wgpu(y) => gpu::theta_fit::theta_fit(y, form),
        Matrix::Cuda(y) => gpu::theta_fit::theta_fit(y, form),
    }
}

/// Places to look at first.
pub(crate) const GRID: usize = 15;
/// How far inside an end of the range is asked whether the valley lies there or at the end.
pub(crate) const EDGE: f64 = 1e-4;
/// A place nearer than this share of the wider side of its valley would tell nothing new.
pub(crate) const NEAREST: f64 = 0.05;
/// Width of a valley narrow enough for the gain that a parabola promises to be believed.
pub(crate) const NARROW: f64 = 0.02;
pub(crate) const MAX_EVALUATIONS: u32 = 120;
/// Squared error a step below which a fit counts as perfect, on standardised data: `f32` holds no less.
pub(crate) const NOTHING: f64 = 1e-15;

/// The weight at a place of the grid.
pub(crate) fn grid(index: usize) -> f64 {
    let (lowest, highest) = THETA_ALPHA_RANGE;
    if index + 1 == GRID { highest } else { lowest + (highest - lowest) * index as f64 / (GRID - 1) as f64 }
}

#[cfg(test)]
mod tests;
