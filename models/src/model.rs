//! A method, before and after it has learned a window.

use foreshadow_kernels::Device;
use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::{AppendError, FitError, FitStatus, Forecast, Horizon, PredictError, Quantiles, Window};

/// A method with its settings chosen and nothing learned. `fit` depends on its arguments alone, and what
/// it learns of one series depends on that series alone: a broken neighbour changes no bit of it. A network that is trained on
/// all series of a window is the one exception.
pub trait Model: Send + Sync {
    /// The family's name with what tells it apart, such as `snaive24`; stable, for tables and reasons.
    fn name(&self) -> String;

    /// Fits every series of the window in one batch.
    ///
    /// # Errors
    /// [`FitError`] when the batch as a whole could not be worked on.
    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError>;

    /// The same, each series beginning where an earlier fit of it ended, which [`Fitted::learned`] told; as [`Model::fit`] where
    /// that is `None`, and from a family that is as soon there without.
    ///
    /// # Errors
    /// As [`Model::fit`].
    fn refit(
        &self,
        window: &Window<'_>,
        seed: u64,
        _learned: &[Option<Vec<f32>>],
    ) -> Result<Box<dyn Fitted>, FitError> {
        self.fit(window, seed)
    }

    /// Whether it was trained before, on other series, so that it may serve one that no fold tells of.
    fn is_trained(&self) -> bool {
        false
    }

    /// The same family with its fits made on a device; `None` from one that is fitted on the CPU alone. A GPU ends where
    /// the CPU does within the tolerances of its kernels, not at the same bits.
    fn on(&self, _device: &Device) -> Option<Box<dyn Model>> {
        None
    }
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

    /// The family's name without its settings, for what it is asked and cannot do.
    fn family(&self) -> &'static str;

    /// Takes in one more step of every series at once, `points` in the window's order and NaN where nothing was observed,
    /// without fitting anew: parameters stay, and levels, seasons and the spread of errors move on as if the window had
    /// been longer by that step. Forecasts then begin one step later.
    ///
    /// A point that the parameters have no answer to, such as one below zero under a relative error, makes its series
    /// [`FitStatus::Outdated`]; a series that had no usable fit stays as it is. Neither changes a bit of its neighbours.
    ///
    /// # Errors
    /// [`AppendError::Refit`] from a family whose fit does not move on from step to step; [`AppendError::Points`] unless
    /// there is one point a series. Nothing has changed then.
    fn append(&mut self, _points: &[f64]) -> Result<(), AppendError> {
        Err(AppendError::Refit { family: self.family() })
    }

    /// What [`crate::artifact::encode`] makes bytes of; `None` from a family that keeps none.
    fn artifact(&self) -> Option<Artifact<'_>> {
        None
    }

    /// Weights of a series that a later fit of it may begin with, see [`Model::refit`]; `None` where there are none.
    fn learned(&self, _series: usize) -> Option<&[f32]> {
        None
    }

    /// What a model that picks among families picked for a series; `None` from a single family.
    fn chosen(&self, _series: usize) -> Option<Chosen> {
        None
    }
}

/// The family that was trusted for one series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// Its name.
    pub champion: String,
    /// Why the series fell back on a naive family; `None` where the champion was picked.
    pub fallback: Option<String>,
}
