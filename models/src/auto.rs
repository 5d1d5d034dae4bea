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
use blend::Blend;
use folds::{FoldLimits, Folds};
use pool::Seasons;
use run::Run;

/// Newest picking folds that screen the candidates.
const SCREEN: usize = 2;

/// Picks a family for each series by rolling-origin loss over `horizon`.
#[derive(Clone, Copy, Debug)]
pub struct Auto {
    horizon: Horizon,
    screen: usize,
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
    /// What serves each series.
    served: Vec<Blend>,
    parts: Vec<Part>,
}

/// A fitted candidate and the series it has a part in.
struct Part {
    candidate: usize,
    fitted: Box<dyn Fitted>,
    members: Vec<usize>,
}

impl Auto {
    /// Picks for forecasts of `horizon` steps.
    pub fn new(horizon: Horizon) -> Self {
        Self { horizon, screen: SCREEN }
    }

    /// The same with every family tried on every fold, the hopeless too: what the screen is measured against.
    #[must_use]
    pub fn unscreened(self) -> Self {
        Self { screen: usize::MAX, ..self }
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
        let (horizon, screen, done) = (self.horizon, self.screen, AtomicUsize::new(0));
        let run = Run { window, horizon, seed, seasons, folds, pool, screen, done, progress };
        run.finish()
    }

    fn folds(&self, length: usize, seasons: &Seasons) -> Folds {
        // Long series at a fine step have a dear fit and steady errors.
        let limits = match length {
            ..pool::LONG => FoldLimits { picking: 6, calibrating: 8 },
            _ => FoldLimits { picking: 3, calibrating: 6 },
        };
        Folds::new(length, self.horizon, seasons.main(), limits)
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
        let none = Quantiles::new(Vec::new()).expect("no level is out of order");
        // A series without folds to calibrate on has the bands of the family that leads.
        let bare = |part: &Part, s: &usize| self.intervals[*s].is_none() && self.served[*s].leader() == part.candidate;
        let say = |part: &Part| {
            let levels = if part.members.iter().any(|s| bare(part, s)) { quantiles } else { &none };
            part.fitted.predict(horizon, levels)
        };
        let said: Vec<Forecast> = self.parts.iter().map(say).collect::<Result<_, _>>()?;
        let mut places: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.status.len()];
        for (p, part) in self.parts.iter().enumerate() {
            for (at, s) in part.members.iter().enumerate().filter(|(at, _)| part.fitted.status()[*at].is_usable()) {
                places[*s].push((p, at));
            }
        }
        let mut forecast = Forecast::empty(self.status.len(), horizon, quantiles.clone());
        for s in (0..self.status.len()).filter(|s| self.status[*s].is_usable()) {
            let own = |candidate: usize| places[s].iter().find(|(p, _)| self.parts[*p].candidate == candidate);
            let Some(mean) = self.served[s].mean(|candidate| own(candidate).map(|(p, at)| said[*p].mean(*at))) else {
                continue;
            };
            for (index, level) in quantiles.levels().iter().enumerate() {
                let band = forecast.quantile_mut(s, index);
                match (&self.intervals[s], own(self.served[s].leader())) {
                    (Some(intervals), _) => {
                        band.iter_mut()
                            .enumerate()
                            .for_each(|(step, q)| *q = mean[step] + intervals.offset(step, *level));
                    }
                    (None, Some((p, at))) => {
                        let (centre, edge) = (said[*p].mean(*at), said[*p].quantile(*at, index));
                        let around = mean.iter().zip(edge.iter().zip(centre));
                        band.iter_mut().zip(around).for_each(|(q, (mean, (edge, centre)))| *q = mean + (edge - centre));
                    }
                    (None, None) => {}
                }
                if self.non_negative[s] {
                    band.iter_mut().for_each(|q| *q = q.max(0.0));
                }
            }
            let floor = if self.non_negative[s] { 0.0 } else { f64::NEG_INFINITY };
            forecast.mean_mut(s).iter_mut().zip(&mean).for_each(|(to, f)| *to = f.max(floor));
        }
        Ok(forecast)
    }

    fn chosen(&self, series: usize) -> Option<Chosen> {
        Some(self.choices[series].chosen.clone())
    }
}

#[cfg(test)]
mod tests;
