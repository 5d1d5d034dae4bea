//! `Auto`: every series gets what did best on its own past, one family or several weighted by how they did there, with
//! intervals from folds that had no part in the choice.
//!
//! Each series is worked on from its own values alone, so that no neighbour, broken or sound, changes what it gets.

mod blend;
mod fitted;
mod folds;
mod kept;
mod pool;
mod run;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use serde::{Deserialize, Serialize};

use crate::backtest::HeldOut;
use crate::classical::CustomProphet;
use crate::live::Width;
use crate::local::Local;
use crate::{BacktestError, Chosen, FitError, Fitted, Horizon, Model, PredictError, Window};
pub(crate) use blend::Kind;
pub use fitted::FittedAuto;
use folds::{FoldLimits, Folds};
pub(crate) use kept::KeptAuto;
use pool::Seasons;
use run::Run;

/// Newest picking folds that screen the candidates.
const SCREEN: usize = 2;

/// Picks a family for each series by rolling-origin loss over `horizon`.
#[derive(Clone, Debug)]
pub struct Auto {
    horizon: Horizon,
    screen: usize,
    prophet: CustomProphet,
    beside: Vec<Beside>,
}

/// A family that is asked for beside the pool's own.
#[derive(Clone)]
struct Beside(Arc<dyn Model>);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name())
    }
}

/// What is known live of a series before its next forecast; see [`crate::live::Track`].
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The family that should serve it, where it can; `None` leaves the choice to the folds.
    pub champion: Option<String>,
    /// What its bands are widened by.
    pub width: Width,
    /// How its families did since they were asked.
    pub lived: Vec<Lived>,
}

/// How one family did on a series since it was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Lived {
    /// Its name.
    pub name: String,
    /// Its mean absolute error over the horizon.
    pub error: f64,
    /// Whole horizons' worth of values behind that.
    pub horizons: f64,
}

/// What was picked for one series, and how it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The champion, and why it is a naive one where nothing else could be picked.
    pub chosen: Chosen,
    /// The families behind it with their weights: itself, or the parts of an ensemble.
    pub parts: Vec<(String, f64)>,
    /// Seasons the series was found to have, in steps, the most correlated first.
    pub seasons: Vec<usize>,
    /// Mean absolute error on the picking folds of every candidate and of the ensembles, which each fold judged by
    /// what the others made; `None` where one of the folds defeated it, too few judged it, or the newest left it no chance.
    pub losses: Vec<(String, Option<f64>)>,
    /// Folds that picked.
    pub picking_folds: usize,
    /// How the champion did on the folds that did not pick; `None` where the series is too short for one.
    pub held_out: Option<HeldOut>,
}

impl Auto {
    /// Picks for forecasts of `horizon` steps.
    pub fn new(horizon: Horizon) -> Self {
        Self { horizon, screen: SCREEN, prophet: CustomProphet::default(), beside: Vec::new() }
    }

    /// The same with every family tried on every fold, the hopeless and the dear too: what the screen and the budget
    /// are measured against.
    #[must_use]
    pub fn unscreened(self) -> Self {
        Self { screen: usize::MAX, ..self }
    }

    /// The same with a Prophet of the caller's in place of the one by default.
    #[must_use]
    pub fn with_prophet(self, prophet: CustomProphet) -> Self {
        Self { prophet, ..self }
    }

    /// The same with a family beside its own, tried on every series however dear it is; one that is tried anyway changes
    /// nothing.
    #[must_use]
    pub fn beside(mut self, family: Box<dyn Model>) -> Self {
        self.beside.push(Beside(family.into()));
        self
    }

    /// Picks, calibrates and fits every series of the window. `progress` hears how many batches are done,
    /// of at most how many.
    ///
    /// # Errors
    /// [`BacktestError`] when a whole batch could not be worked on.
    pub fn run(
        &self,
        window: &Window<'_>,
        seed: u64,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FittedAuto, BacktestError> {
        self.run_with(window, seed, None, progress)
    }

    /// The same for series that are followed live, one wish each: what could serve a series is fitted beside what
    /// does, so that [`FittedAuto::said`] can tell what each of them expects.
    ///
    /// # Errors
    /// As [`Auto::run`].
    pub fn follow(
        &self,
        window: &Window<'_>,
        seed: u64,
        wishes: &[Wish],
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FittedAuto, BacktestError> {
        self.run_with(window, seed, Some(wishes), progress)
    }

    fn run_with(
        &self,
        window: &Window<'_>,
        seed: u64,
        wishes: Option<&[Wish]>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FittedAuto, BacktestError> {
        let Some(local) = Local::of(window) else { return self.run_on(window, seed, wishes, progress) };
        let mut fitted = self.run_on(&local.panel().window(), seed, wishes, progress)?;
        let way = local.into_way();
        fitted.status = way.statuses(&fitted.status);
        fitted.way = Some(way);
        Ok(fitted)
    }

    fn run_on(
        &self,
        window: &Window<'_>,
        seed: u64,
        wishes: Option<&[Wish]>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FittedAuto, BacktestError> {
        let seasons = pool::seasons(window);
        let folds: Vec<Folds> =
            (0..window.series_count()).map(|s| self.folds(window.values(s).len(), &seasons[s])).collect();
        let mut pool = pool::candidates(&seasons, &self.prophet);
        if self.screen < usize::MAX {
            let fits = |s: usize| folds[s].picking.len() + folds[s].calibrating.len() + 1;
            pool::afford(&mut pool, |s| window.values(s).len(), fits);
        }
        pool::join(&mut pool, self.beside.iter().map(|family| family.0.clone()), seasons.len());
        let (horizon, screen, done) = (self.horizon, self.screen, AtomicUsize::new(0));
        Run { window, horizon, seed, seasons, folds, pool, screen, wishes, done, progress }.finish()
    }

    fn folds(&self, length: usize, seasons: &Seasons) -> Folds {
        Folds::new(length, self.horizon, seasons.main(), FoldLimits { picking: 6, calibrating: 8 })
    }
}

impl Model for Auto {
    fn name(&self) -> String {
        self.beside.iter().fold("auto".into(), |name, own| format!("{name}+{}", own.0.name()))
    }

    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        match self.run(window, seed, &|_, _| ()) {
            Ok(fitted) => Ok(Box::new(fitted)),
            Err(BacktestError::Fit { source, .. }) => Err(source),
            Err(BacktestError::Predict { source: PredictError::Kernel { family, series_count, source }, .. }) => {
                Err(FitError::Kernel { family, series_count, source })
            }
            Err(BacktestError::Predict { source: PredictError::Input { family, name, series, at_ms }, .. }) => {
                Err(FitError::Input { family, name, series, at_ms })
            }
        }
    }
}

#[cfg(test)]
mod tests;
