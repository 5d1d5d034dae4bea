//! `Auto`: every series gets the family that did best on its own past, with intervals from folds that had
//! no part in the choice.
//!
//! Each series is worked on from its own values alone, so that no neighbour, broken or sound, changes what it gets.

mod folds;
mod pool;

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::backtest::HeldOut;
use crate::conformal::{Intervals, held_out_shares};
use crate::metrics::seasonal_scale;
use crate::select::{champion, horizon_loss, joint_loss};
use crate::{
    BacktestError, Chosen, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window,
};
use folds::{FoldLimits, Folds};
use pool::{Candidate, Seasons};

/// The candidate that every series has.
const NAIVE: usize = 0;

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
    /// Seasons the series was found to have, in steps, the most correlated first.
    pub seasons: Vec<usize>,
    /// Every candidate's mean absolute error on the picking folds; `None` where one of them defeated it.
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
    /// Fitted families, each with the series it serves.
    champions: Vec<(Box<dyn Fitted>, Vec<usize>)>,
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

/// One fold's forecast of one series by one candidate; `None` where its fit was not usable.
type FoldMean = Option<Vec<f64>>;

/// Everything that the stages of one run share.
struct Run<'a> {
    window: &'a Window<'a>,
    horizon: Horizon,
    seed: u64,
    seasons: Vec<Seasons>,
    folds: Vec<Folds>,
    pool: Vec<Candidate>,
    done: AtomicUsize,
    progress: &'a (dyn Fn(usize, usize) + Sync),
}

impl Run<'_> {
    fn finish(self) -> Result<FittedAuto, BacktestError> {
        let losses = self.losses()?;
        let picked: Vec<usize> = losses.iter().map(|own| champion(own).unwrap_or(NAIVE)).collect();
        let held_out = self.residuals(&picked)?;
        let (status, served, champions) = self.refit(&picked)?;
        let mut choices = Vec::with_capacity(status.len());
        let mut intervals = Vec::with_capacity(status.len());
        for (s, own) in held_out.into_iter().enumerate() {
            // A champion that failed on the whole window leaves its residuals behind.
            let kept = served[s] == picked[s] && status[s].is_usable();
            let learned = if kept { Intervals::learn(&own.champion) } else { None };
            choices.push(self.choice(s, served[s], &status[s], &losses[s], &own, kept));
            intervals.push(learned);
        }
        let non_negative = |s: usize| self.window.values(s).iter().all(|y| y.is_nan() || *y >= 0.0);
        let non_negative = (0..status.len()).map(non_negative).collect();
        Ok(FittedAuto { status, choices, intervals, non_negative, champions })
    }

    /// The joint loss of every candidate on every series' picking folds.
    fn losses(&self) -> Result<Vec<Vec<Option<f64>>>, BacktestError> {
        let members: Vec<Vec<usize>> = self.pool.iter().map(|c| c.members.clone()).collect();
        let means = self.forecasts(&members, |s| &self.folds[s].picking)?;
        let mut losses = vec![vec![None; self.pool.len()]; self.folds.len()];
        for (candidate, rounds) in means.iter().enumerate() {
            for (at, &s) in members[candidate].iter().enumerate() {
                let ends = &self.folds[s].picking;
                let fold = |(round, end): (usize, &usize)| match &rounds[round][at] {
                    Some(mean) if mean.iter().all(|f| f.is_finite()) => Ok(horizon_loss(mean, self.actual(s, *end))),
                    _ => Err(()),
                };
                losses[s][candidate] = joint_loss(ends.iter().enumerate().map(fold));
            }
        }
        Ok(losses)
    }

    /// Residuals of each series' champion and of its seasonal naive on the calibrating folds.
    fn residuals(&self, picked: &[usize]) -> Result<Vec<Residuals>, BacktestError> {
        let reference: Vec<usize> = (0..picked.len()).map(|s| self.reference(s)).collect();
        let members: Vec<Vec<usize>> = (0..self.pool.len())
            .map(|c| (0..picked.len()).filter(|&s| picked[s] == c || reference[s] == c).collect())
            .collect();
        let means = self.forecasts(&members, |s| &self.folds[s].calibrating)?;
        let mut residuals = vec![Residuals::default(); picked.len()];
        for (candidate, rounds) in means.into_iter().enumerate() {
            for (round, means) in rounds.into_iter().enumerate() {
                for (&s, mean) in members[candidate].iter().zip(means) {
                    let Some((mean, end)) = mean.zip(self.folds[s].calibrating.get(round)) else { continue };
                    let own: Vec<f64> = self.actual(s, *end).iter().zip(mean).map(|(y, f)| y - f).collect();
                    if reference[s] == candidate {
                        residuals[s].seasonal_naive.push(own.clone());
                    }
                    if picked[s] == candidate {
                        residuals[s].champion.push(own);
                    }
                }
            }
        }
        Ok(residuals)
    }

    /// Fits every champion on the whole window. A series whose champion fails there is served by naive.
    fn refit(&self, picked: &[usize]) -> Result<Refit, BacktestError> {
        let mut served = picked.to_vec();
        let mut status = vec![FitStatus::NoData; picked.len()];
        let mut champions: Vec<(Box<dyn Fitted>, Vec<usize>)> = Vec::new();
        let fit = |candidate: usize, members: &[usize]| {
            let window = self.window.only(members).with_lookback(self.pool[candidate].lookback);
            self.pool[candidate]
                .model
                .fit(&window, self.seed)
                .map_err(|source| BacktestError::Fit { origin: 0, source })
        };
        let fitted: Vec<_> = (0..self.pool.len())
            .into_par_iter()
            .map(|candidate| (candidate, members_of(picked, candidate)))
            .filter(|(_, members)| !members.is_empty())
            .map(|(candidate, members)| Ok((candidate, fit(candidate, &members)?, members)))
            .collect::<Result<_, BacktestError>>()?;
        for (candidate, fitted, members) in fitted {
            for (at, &s) in members.iter().enumerate() {
                status[s] = fitted.status()[at].clone();
                if candidate != NAIVE && !status[s].is_usable() {
                    served[s] = NAIVE;
                }
            }
            champions.push((fitted, members));
        }
        let fallen: Vec<usize> = (0..picked.len()).filter(|&s| served[s] != picked[s]).collect();
        if !fallen.is_empty() {
            let naive = fit(NAIVE, &fallen)?;
            fallen.iter().zip(naive.status()).for_each(|(s, own)| status[*s] = own.clone());
            champions.push((naive, fallen));
        }
        Ok((status, served, champions))
    }

    /// Forecasts of each candidate's members at each of their cutoffs: `[candidate][round][member]`.
    fn forecasts<'b>(
        &self,
        members: &[Vec<usize>],
        ends: impl Fn(usize) -> &'b [usize] + Sync,
    ) -> Result<Vec<Vec<Vec<FoldMean>>>, BacktestError> {
        let rounds = (0..self.folds.len()).map(|s| ends(s).len()).max().unwrap_or(0);
        let jobs: Vec<(usize, usize)> =
            (0..members.len()).flat_map(|candidate| (0..rounds).map(move |round| (candidate, round))).collect();
        let means = jobs
            .par_iter()
            .map(|&(candidate, round)| {
                let means = self.forecast(candidate, round, &members[candidate], |s| ends(s).get(round).copied());
                (self.progress)(self.done.fetch_add(1, Ordering::Relaxed) + 1, self.batch_count());
                means
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut means = means.into_iter();
        Ok(members.iter().map(|_| means.by_ref().take(rounds).collect()).collect())
    }

    /// One batch: a candidate's members that have a cutoff in this round.
    fn forecast(
        &self,
        candidate: usize,
        round: usize,
        members: &[usize],
        end: impl Fn(usize) -> Option<usize>,
    ) -> Result<Vec<FoldMean>, BacktestError> {
        let present: Vec<(usize, usize)> = members.iter().filter_map(|&s| Some((s, end(s)?))).collect();
        let mut means = vec![None; members.len()];
        if present.is_empty() {
            return Ok(means);
        }
        let series: Vec<usize> = present.iter().map(|(s, _)| *s).collect();
        let seen = self.window.only(&series).until(|at| present[at].1).with_lookback(self.pool[candidate].lookback);
        let fitted = self.pool[candidate].model.fit(&seen, self.seed);
        let fitted = fitted.map_err(|source| BacktestError::Fit { origin: round, source })?;
        let none = Quantiles::new(Vec::new()).expect("no level is out of order");
        let forecast = fitted.predict(self.horizon, &none);
        let forecast = forecast.map_err(|source| BacktestError::Predict { origin: round, source })?;
        let mut at = 0;
        for (slot, s) in means.iter_mut().zip(members) {
            if present.get(at).is_some_and(|(present, _)| present == s) {
                *slot = fitted.status()[at].is_usable().then(|| forecast.mean(at).to_vec());
                at += 1;
            }
        }
        Ok(means)
    }

    /// Batches of a whole run at most, for progress.
    fn batch_count(&self) -> usize {
        let most = |of: fn(&Folds) -> usize| self.folds.iter().map(of).max().unwrap_or(0);
        self.pool.len() * (most(|f| f.picking.len()) + most(|f| f.calibrating.len()))
    }

    fn actual(&self, series: usize, end: usize) -> &[f64] {
        let values = self.window.values(series);
        &values[end..values.len().min(end + self.horizon.steps())]
    }

    /// The candidate that repeats the series' main season.
    fn reference(&self, series: usize) -> usize {
        let name = match self.seasons[series].main() {
            1 => return NAIVE,
            season => crate::classical::SeasonalNaive { season }.name(),
        };
        self.pool.iter().position(|c| c.model.name() == name).unwrap_or(NAIVE)
    }

    fn choice(
        &self,
        s: usize,
        served: usize,
        status: &FitStatus,
        losses: &[Option<f64>],
        own: &Residuals,
        kept: bool,
    ) -> Choice {
        let tried = |candidate: &usize| self.pool[*candidate].members.binary_search(&s).is_ok();
        let named = |candidate: usize| (self.pool[candidate].model.name(), losses[candidate]);
        let chosen =
            Chosen { champion: self.pool[served].model.name(), fallback: self.fallback(s, served, status, losses) };
        let scale = seasonal_scale(self.window.values(s), self.seasons[s].main());
        let judged = held_out_shares(&own.champion, Quantiles::standard().levels()).filter(|_| kept);
        let held_out = judged.map(|shares| HeldOut {
            folds: own.champion.len(),
            mase: mean_absolute(&own.champion).zip(scale).map(|(error, scale)| error / scale),
            mase_seasonal_naive: mean_absolute(&own.seasonal_naive).zip(scale).map(|(error, scale)| error / scale),
            coverage95_percent: 100.0 * shares.inside,
            share_below: shares.below,
        });
        Choice {
            chosen,
            seasons: self.seasons[s].confirmed.clone(),
            losses: (0..self.pool.len()).filter(tried).map(named).collect(),
            picking_folds: self.folds[s].picking.len(),
            held_out,
        }
    }

    /// Why a series is served by a naive family without having picked it.
    fn fallback(&self, s: usize, served: usize, status: &FitStatus, losses: &[Option<f64>]) -> Option<String> {
        if !status.is_usable() || *status == FitStatus::Constant {
            return None;
        }
        if losses.iter().all(Option::is_none) {
            let (length, least) = (self.window.values(s).len(), self.seasons[s].least_steps());
            let needed = least + self.horizon.steps();
            return Some(format!("no fold could be scored: {length} steps, {needed} needed"));
        }
        let best = champion(losses).unwrap_or(NAIVE);
        if best != served {
            return Some(format!("{} failed on the whole window", self.pool[best].model.name()));
        }
        let others =
            || (0..self.pool.len()).filter(|&c| !self.pool[c].floor && self.pool[c].members.binary_search(&s).is_ok());
        let defeated = others().next().is_some() && others().all(|c| losses[c].is_none());
        (self.pool[served].floor && defeated).then(|| "no family but the naive ones could be fitted".into())
    }
}

/// Status and serving candidate of each series, and the fitted families.
type Refit = (Vec<FitStatus>, Vec<usize>, Vec<(Box<dyn Fitted>, Vec<usize>)>);

/// Actual less forecast on the calibrating folds of one series.
#[derive(Clone, Debug, Default)]
struct Residuals {
    champion: Vec<Vec<f64>>,
    seasonal_naive: Vec<Vec<f64>>,
}

fn members_of(picked: &[usize], candidate: usize) -> Vec<usize> {
    (0..picked.len()).filter(|&s| picked[s] == candidate).collect()
}

fn mean_absolute(folds: &[Vec<f64>]) -> Option<f64> {
    let observed = || folds.iter().flatten().filter(|e| e.is_finite());
    let count = observed().count();
    (count > 0).then(|| observed().map(|e| e.abs()).sum::<f64>() / count as f64)
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
        for (champion, members) in &self.champions {
            let own = champion.predict(horizon, quantiles)?;
            for (at, &s) in members.iter().enumerate().filter(|(at, _)| champion.status()[*at].is_usable()) {
                forecast.take(s, &own, at);
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
