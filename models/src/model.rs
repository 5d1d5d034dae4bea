//! A method, before and after it has learned a window.

use crate::{FitError, FitStatus, Forecast, Horizon, PredictError, Quantiles, Window};

/// A method with its settings chosen and nothing learned. `fit` depends on its arguments alone, and what
/// it learns of one series depends on that series alone: a broken neighbour changes no bit of it.
pub trait Model: Send + Sync {
    /// The family's name with what tells it apart, such as `snaive24`; stable, for tables and reasons.
    fn name(&self) -> String;

    /// Fits every series of the window in one batch.
    ///
    /// # Errors
    /// [`FitError`] when the batch as a whole could not be worked on.
    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError>;
}

/// A method that has learned a window, so there is no unfitted state to ask about.
pub trait Fitted: Send + Sync {
    /// One status per series of the window, in its order.
    fn status(&self) -> &[FitStatus];

    /// Forecasts the steps after each series' cutoff, in the series' unit, rising along quantiles.
    ///
    /// # Errors
    /// [`PredictError`] when the batch as a whole could not be worked on.
    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError>;

    /// What a model that picks among families picked for a series; `None` from a single family.
    fn chosen(&self, _series: usize) -> Option<Chosen> {
        None
    }
}

/// The family that was trusted for one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub champion: String,
    /// Why the series fell back on a naive family; `None` where the champion was picked.
    pub fallback: Option<String>,
}
