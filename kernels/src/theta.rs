//! The theta method as a state space model: one pass over all series, its linear unknowns solved for.

use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::{KernelError, Matrix, cpu, gpu};

/// Which theta model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ThetaForm {
    /// Standard: the whole series' line, and theta 2.
    Stm,
    /// Optimised: the whole series' line, and a theta of its own.
    Otm,
    /// Dynamic standard: at each step the line of the steps before it, and theta 2.
    Dstm,
    /// Dynamic optimised: at each step the line of the steps before it, and a theta of its own.
    Dotm,
}

impl ThetaForm {
    /// Whether the line is fitted anew at each step, to the steps before it.
    pub fn is_dynamic(self) -> bool {
        matches!(self, Self::Dstm | Self::Dotm)
    }

    /// Whether theta is chosen by the fit.
    pub fn is_optimised(self) -> bool {
        matches!(self, Self::Otm | Self::Dotm)
    }
}

/// Observed steps at a series' beginning whose errors are not counted.
pub const UNCOUNTED: usize = 3;

/// Share of the line where theta is 2, its classical value.
pub const CLASSICAL_SHARE: f64 = 0.5;

/// Highest share of the line: a theta of 10^10.
pub const HIGHEST_SHARE: f64 = 1.0 - 1e-10;

/// Under this share of its largest value a determinant is rounding.
const FLAT: f64 = 1e-12;

/// The best that each series can do with its `alpha`.
#[derive(Clone, Debug, PartialEq)]
pub struct ThetaProfile {
    /// Least sum of squared one-step errors, the first [`UNCOUNTED`] left out.
    pub sse: Vec<f64>,
    /// The level before the first step that reaches it.
    pub level: Vec<f64>,
    /// The line's share `1 - 1 / theta` that reaches it, in `[0, HIGHEST_SHARE]`.
    pub share: Vec<f64>,
}

/// Least squared one-step errors of a theta model over its starting level and its theta, given `alpha`.
///
/// With a level, a weight `w = 1` and a lag `u = 1` before the first step, each step does
///
/// ```text
/// ahead = level + share (intercept w + slope u)       e = y[t] - ahead
/// level = level + alpha (y[t] - level);  w = (1 - alpha) w;  u = 1 + (1 - alpha) u   where y[t] is observed
/// u     = u + 1                                                                      where it is NaN
/// ```
///
/// where `intercept + slope (t + 1)` is the least-squares line of the observed steps before `t`, or of the
/// whole series in a form that is not dynamic. `intercept w + slope u` is by how much exponential smoothing lags
/// behind that line; without gaps this is the model as published, and over a gap the forecast goes on as the line
/// does. The errors are linear in the starting level and in the share `1 - 1 / theta`, so six sums of one pass
/// hold the least squares over both; where the share hardly shows, or the form has none, theta is 2.
///
/// - `y`: `[steps, series]`, standardised; NaN where unobserved. A shift of `y` by `c` shifts the best level by
///   `c (1 - share)` and changes nothing else.
/// - `alpha`: one a series, in `(0, 1)`.
///
/// One lane per series and `steps` dependent steps, all in `f64`. A GPU without it does them in `f32`, right to
/// about a thousandth of the sum of squares.
/// Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler, Models for optimising the theta method and
/// their relationship to state space models, International Journal of Forecasting 32 (2016); the sum is the
/// objective of statsforecast 2.1.1 but for its constant divisor.
///
/// # Errors
/// [`KernelError::Shape`] unless `alpha` has one value a series; [`KernelError::Device`] when the device refuses
/// the work.
pub fn theta_profile(y: &Matrix, form: ThetaForm, alpha: &[f64]) -> Result<ThetaProfile, KernelError> {
    expect_len("alpha", alpha.len(), y.series())?;
    match y {
        Matrix::Cpu(y) => Ok(cpu::theta::theta_profile(y, form, alpha)),
        Matrix::Wgpu(y) => gpu::theta::theta_profile(y, form, alpha),
        Matrix::Cuda(y) => gpu::theta::theta_profile(y, form, alpha),
    }
}

impl ThetaProfile {
    /// Solves every series' sums.
    pub(crate) fn of(form: ThetaForm, sums: impl Iterator<Item = ThetaSums>) -> Self {
        let mut profile = Self { sse: Vec::new(), level: Vec::new(), share: Vec::new() };
        for sums in sums {
            let best = sums.best(form);
            profile.sse.push(best.sse);
            profile.level.push(best.level);
            profile.share.push(best.share);
        }
        profile
    }
}

/// Sums over the counted steps of one series: `a` is the error of smoothing from a level of 0 with no share of
/// the line, `w` what a level of 1 adds to the forecast, `g` what a share of 1 adds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ThetaSums {
    pub(crate) aa: f64,
    pub(crate) aw: f64,
    pub(crate) ag: f64,
    pub(crate) ww: f64,
    pub(crate) wg: f64,
    pub(crate) gg: f64,
}

/// The least sum of squares of one series and where it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Best {
    pub(crate) sse: f64,
    pub(crate) level: f64,
    pub(crate) share: f64,
}

impl ThetaSums {
    /// The best level and share. With the level minimised out, the sum of squares is a parabola in the share, so
    /// clamping the share loses nothing.
    pub(crate) fn best(&self, form: ThetaForm) -> Best {
        let Self { aa, aw, ag, ww, wg, gg } = *self;
        let determinant = ww * gg - wg * wg;
        let share = if form.is_optimised() && determinant > FLAT * ww * gg {
            ((ag * ww - aw * wg) / determinant).clamp(0.0, HIGHEST_SHARE)
        } else {
            CLASSICAL_SHARE
        };
        let level = if ww > 0.0 { (aw - share * wg) / ww } else { 0.0 };
        let without_level = aa - 2.0 * share * ag + share * share * gg;
        let sse = without_level - level * level * ww;
        // Rounding may leave less than nothing; a NaN stays one.
        Best { sse: if sse < 0.0 { 0.0 } else { sse }, level, share }
    }
}

#[cfg(test)]
mod tests;
