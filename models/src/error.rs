//! Why a fit or a forecast could not be made, for a whole batch and for one series of it.

use foreshadow_kernels::KernelError;
use serde::{Deserialize, Serialize};

/// Why a window could not be fitted at all. What befell a single series is its [`FitStatus`]: one bad
/// series never spoils its batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// The device or the kernel refused the batch; a smaller one may succeed.
    #[error("{family} failed on {series_count} series")]
    Kernel {
        /// The family's name.
        family: String,
        /// Series in the batch.
        series_count: usize,
        /// What the kernel said.
        #[source]
        source: KernelError,
    },
    /// A family that was to be judged by its forecasts could not make one: [`PredictError::Input`].
    #[error("{name} of series {series} is unknown or out of range at {at_ms} ms, which {family} was to forecast")]
    Input {
        /// The family's name.
        family: String,
        /// The regressor's name, `capacity` or `floor`.
        name: String,
        /// The series' index in the window that was judged.
        series: usize,
        /// The first step at which it is of no use, milliseconds since the epoch.
        at_ms: i64,
    },
}

/// Why a fitted model could not forecast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// The device or the kernel refused the batch.
    #[error("{family} could not forecast {series_count} series")]
    Kernel {
        /// The family's name.
        family: String,
        /// Series in the batch.
        series_count: usize,
        /// What the kernel said.
        #[source]
        source: KernelError,
    },
    /// Something known beside the series that the forecast needs, such as a regressor, is unknown or out of range at a
    /// step to forecast: give its future, or forecast fewer steps. Nothing is guessed.
    #[error("{name} of series {series} is unknown or out of range at {at_ms} ms, which {family} was to forecast")]
    Input {
        /// The family's name.
        family: String,
        /// The regressor's name, `capacity` or `floor`.
        name: String,
        /// The series' index in the window that was fitted.
        series: usize,
        /// The first step at which it is of no use, milliseconds since the epoch.
        at_ms: i64,
    },
}

/// Why a backtest stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BacktestError {
    /// A family could not be fitted to the steps before an origin.
    #[error("no fit at origin {origin} of the backtest")]
    Fit {
        /// The origin, counted from the newest.
        origin: usize,
        /// What the family said.
        #[source]
        source: FitError,
    },
    /// A fitted family could not forecast from an origin.
    #[error("no forecast at origin {origin} of the backtest")]
    Predict {
        /// The origin, counted from the newest.
        origin: usize,
        /// What the family said.
        #[source]
        source: PredictError,
    },
}

/// How the fit of one series went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FitStatus {
    /// Fitted; its forecast may be used.
    Fitted,
    /// Every observed value is the same; its forecast is that value and its intervals have no width.
    Constant,
    /// No finite value was observed.
    NoData,
    /// Fewer observations than the family needs.
    TooShort {
        /// Finite values seen.
        observed: usize,
        /// Finite values needed.
        needed: usize,
    },
    /// The optimiser stopped at its cap, or its numbers left the range they can hold.
    NotConverged,
    /// Something given beside the series cannot be used with it: a regressor or a capacity is unknown or out of
    /// range at an observed step, or at one of those ahead that it was asked to be known for.
    Input {
        /// The regressor's name, `capacity` or `floor`.
        name: String,
        /// The first step at which it is of no use, milliseconds since the epoch.
        at_ms: i64,
    },
    /// A point came since the fit that what was learned has no answer to: fit it anew.
    Outdated,
    /// The network that was given was trained on series of another step.
    OtherStep {
        /// Milliseconds between the steps that it knows.
        trained_ms: i64,
    },
}

impl FitStatus {
    /// Whether the series has a forecast. Where it has none, its rows in a [`crate::Forecast`] are NaN
    /// and the caller takes another family.
    pub fn is_usable(&self) -> bool {
        matches!(self, Self::Fitted | Self::Constant)
    }

    /// One word for tables and machine output.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Fitted => "fitted",
            Self::Constant => "constant",
            Self::NoData => "no_data",
            Self::TooShort { .. } => "too_short",
            Self::NotConverged => "not_converged",
            Self::Input { .. } => "bad_input",
            Self::Outdated => "outdated",
            Self::OtherStep { .. } => "other_step",
        }
    }
}
