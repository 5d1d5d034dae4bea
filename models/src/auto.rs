//! `Auto`: every series gets the family that did best on its own past, with intervals from folds that had
//! no part in the choice.
//!
//! Each series is worked on from its own values alone, so that no neighbour, broken or sound, changes what it gets.

mod blend;
mod folds;
mod pool;
mod run;

use std::sync::atomic::AtomicUsize;

use crate::backtest::HeldOut;
use crate::conformal::Intervals;
use crate::{
    BacktestError, Chosen, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window,
};
use folds::{FoldLimits, Folds};
use pool::Seasons;
use run::Run;

/// Picks a family for each series by rolling-origin loss over `horizon`.
#[derive(Clone, Copy, Debug)]
pub struct Auto {
    horizon: Horizon,
}

/// What was picked for one series, and how it did.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The champion, and why it is a naive one where nothing else could be picked.
    pub chosen: Chosen,
    /// The families behind it with their weights: itself, or the parts of an ensemble.
    pub parts: Vec<(String, f64)>,
    /// Seasons the series was found to have, in steps, the most correlated first.
    pub seasons: Vec<usize>,
    /// Mean absolute error on the picking folds of every candidate and of the ensembles, which each fold judged by
    /// what the others made; `None` where one of the folds defeated it.
    pub losses: Vec<(String, Option<f64>)>,
    /// Folds that picked.
    pub picking_folds: usize,
    /// How the champion did on the folds that did not pick; `None` where the series is too short for one.
    pub held_out: Option<HeldOut>,
}

/// A fitted champion for every series.
pub struct FittedAuto {
    status: Vec<FitStatus>,
    choices: Vec<Choice>,
    intervals: Vec<Option<Intervals>>,
    /// Series whose history never was negative.
    non_negative: Vec<bool>,
    champions: Vec<Part>,
}

/// A fitted family and the series it has a part in, with its weight there.
struct Part {
    fitted: Box<dyn Fitted>,
    members: Vec<(usize, f64)>,
}

impl Auto {
    /// Picks for forecasts of `horizon` steps.
    pub fn new(horizon: Horizon) -> Self {
        Self { horizon }
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
        let seasons = pool::seasons(window);
        let folds: Vec<Folds> =
            (0..window.series_count()).map(|s| self.folds(window.values(s).len(), &seasons[s])).collect();
        let pool = pool::candidates(&seasons);
        let run =
            Run { window, horizon: self.horizon, seed, seasons, folds, pool, done: AtomicUsize::new(0), progress };
        run.finish()
    }

    fn folds(&self, length: usize, seasons: &Seasons) -> Folds {
        // Long series at a fine step have a dear fit and steady errors.
        let limits = match length {
            ..2_500 => FoldLimits { picking: 6, calibrating: 8 },
            _ => FoldLimits { picking: 3, calibrating: 8 },
        };
        Folds::new(length, self.horizon, seasons.main(), seasons.least_steps(), limits)
    }
}

impl Model for Auto {
    fn name(&self) -> String {
        "auto".into()
    }

    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        match self.run(window, seed, &|_, _| ()) {
            Ok(fitted) => Ok(Box::new(fitted)),
            Err(BacktestError::Fit { source, .. }) => Err(source),
            Err(BacktestError::Predict { source: PredictError::Kernel { family, series_count, source }, .. }) => {
                Err(FitError::Kernel { family, series_count, source })
            }
        }
    }
}

impl FittedAuto {
    /// What was picked for a series, and how it did.
    pub fn choice(&self, series: usize) -> &Choice {
        &self.choices[series]
    }
}

impl Fitted for FittedAuto {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.status.len(), horizon, quantiles.clone());
        for Part { fitted, members } in &self.champions {
            let own = fitted.predict(horizon, quantiles)?;
            for (at, &(s, weight)) in members.iter().enumerate().filter(|(_, (_, weight))| *weight > 0.0) {
                if fitted.status()[at].is_usable() {
                    forecast.add(s, &own, at, weight);
                }
            }
        }
        for s in (0..self.status.len()).filter(|s| self.status[*s].is_usable()) {
            let mean = forecast.mean(s).to_vec();
            for (index, level) in quantiles.levels().iter().enumerate() {
                let band = forecast.quantile_mut(s, index);
                if let Some(intervals) = &self.intervals[s] {
                    band.iter_mut().enumerate().for_each(|(step, q)| *q = mean[step] + intervals.offset(step, *level));
                }
                if self.non_negative[s] {
                    band.iter_mut().for_each(|q| *q = q.max(0.0));
                }
            }
            if self.non_negative[s] {
                forecast.mean_mut(s).iter_mut().for_each(|f| *f = f.max(0.0));
            }
        }
        Ok(forecast)
    }

    fn chosen(&self, series: usize) -> Option<Chosen> {
        Some(self.choices[series].chosen.clone())
    }
}

#[cfg(test)]
mod tests;
