//! The stages of one run: losses, picks, residuals, refits, and what is told of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::blend::{Blend, Kind, Losses, Rounds};
use super::fitted::{FittedAuto, Part, Pick};
use super::folds::{Folds, LEAST_SHOWN};
use super::pool::{Candidate, Seasons};
use super::{Choice, Lived, Wish};
use crate::backtest::HeldOut;
use crate::classical::SeasonalAr;
use crate::conformal::{Intervals, held_out_shares};
use crate::metrics::seasonal_scale;
use crate::select::horizon_loss;
use crate::{BacktestError, Chosen, FitStatus, Horizon, Model, Quantiles, Window};

/// The candidate that every series has.
pub(super) const NAIVE: usize = 0;

/// How many times the best loss of the newest folds a learned family may have had there to be tried on the older ones.
const HOPELESS: f64 = 2.0;

/// One fold's forecast of one series by one candidate; `None` where its fit was not usable.
pub(super) type FoldMean = Option<Vec<f64>>;

/// Forecasts of candidates' members at their cutoffs: `[candidate][round][member]`.
type Means = Vec<Vec<Vec<FoldMean>>>;

/// Everything that the stages of one run share.
pub(super) struct Run<'a> {
    pub(super) window: &'a Window<'a>,
    pub(super) horizon: Horizon,
    pub(super) seed: u64,
    pub(super) seasons: Vec<Seasons>,
    pub(super) folds: Vec<Folds>,
    pub(super) pool: Vec<Candidate>,
    /// Newest picking folds that every candidate is tried on; on the others only those that have a chance.
    pub(super) screen: usize,
    /// One a series where they are followed live.
    pub(super) wishes: Option<&'a [Wish]>,
    pub(super) done: AtomicUsize,
    pub(super) progress: &'a (dyn Fn(usize, usize) + Sync),
}

impl Run<'_> {
    pub(super) fn finish(self) -> Result<FittedAuto, BacktestError> {
        let losses = self.losses()?;
        let pooled: Vec<Losses> = losses.iter().enumerate().map(|(s, own)| self.pooled(s, own)).collect();
        let picked: Vec<Blend> = pooled.iter().enumerate().map(|(s, own)| self.pick(s, own)).collect();
        let challengers: Vec<Vec<(String, Blend)>> = pooled.iter().map(|own| self.challengers(own)).collect();
        let held_out = self.residuals(&picked)?;
        let Refit { status, served, parts } = self.refit(&picked, &challengers)?;
        let mut picks = Vec::with_capacity(status.len());
        for (s, (served, challengers)) in served.into_iter().zip(challengers).enumerate() {
            let own = &held_out[s];
            // A champion that failed on the whole window leaves its residuals behind.
            let kept = !has_fallen(&picked[s], &served) && status[s].is_usable();
            picks.push(Pick {
                choice: self.choice(s, &picked[s], &served, &status[s], &losses[s], own),
                intervals: if kept { Intervals::learn(&own.champion) } else { None },
                declared: self.window.bounds(s),
                non_negative: self.window.values(s).iter().all(|y| y.is_nan() || *y >= 0.0),
                served,
                width: self.wishes.map(|wishes| wishes[s].width).unwrap_or_default(),
                challengers,
                recommended: self.name(&self.recommended(s, &pooled[s])),
                stand_in: self.stand_in(s, &losses[s]),
            });
        }
        Ok(FittedAuto { status, picks, way: None, parts })
    }

    /// Losses of the folds with what was lived since. A family that did worse than its folds promised is met with a
    /// load they do not show: they count the less for it.
    fn pooled(&self, s: usize, losses: &Losses) -> Losses {
        let folds = self.folds[s].picking.len() as f64;
        let lived = self.wishes.map_or(&[][..], |wishes| &wishes[s].lived);
        let pool = |(candidate, loss): (usize, &Option<f64>)| {
            let (promised, name) = ((*loss)?, self.pool[candidate].model.name());
            let Some(Lived { error, horizons, .. }) = lived.iter().find(|lived| lived.name == name) else {
                return Some(promised);
            };
            let kept = if *error > promised { folds * (promised / error).powi(2) } else { folds };
            Some((kept * promised + horizons * error) / (kept + horizons))
        };
        Losses { singles: losses.singles.iter().enumerate().map(pool).collect(), blends: losses.blends }
    }

    /// What should serve a series: what it wishes for, where that can, else what its folds recommend.
    fn pick(&self, s: usize, losses: &Losses) -> Blend {
        let wish = self.wishes.and_then(|wishes| wishes[s].champion.as_deref());
        let wished = wish.and_then(|wish| self.blends(losses).find(|blend| self.name(blend) == wish));
        wished.unwrap_or_else(|| self.recommended(s, losses))
    }

    /// What its folds recommend.
    fn recommended(&self, s: usize, losses: &Losses) -> Blend {
        losses.choose(self.untold(s), self.folds[s].share_values(self.horizon))
    }

    /// What serves a series that no fold tells of: the first family that learned of others before, else naive.
    fn untold(&self, s: usize) -> usize {
        (0..self.pool.len()).find(|c| self.pool[*c].model.is_trained() && self.is_tried(*c, s)).unwrap_or(NAIVE)
    }

    /// What could serve a series that is followed.
    fn challengers(&self, losses: &Losses) -> Vec<(String, Blend)> {
        let followed = self.wishes.is_some();
        self.blends(losses).filter(|_| followed).map(|blend| (self.name(&blend), blend)).collect()
    }

    /// Every family that was judged, and every kind of blend of them.
    fn blends<'b>(&self, losses: &'b Losses) -> impl Iterator<Item = Blend> + 'b {
        let judged = losses.singles.iter().enumerate().filter(|(_, loss)| loss.is_some());
        let singles = judged.map(|(candidate, _)| Blend::single(candidate));
        singles.chain(Kind::ALL.into_iter().filter_map(|kind| Blend::of(kind, &losses.singles)))
    }

    /// What every series' picking folds say of every candidate and of every kind of blend.
    fn losses(&self) -> Result<Vec<Losses>, BacktestError> {
        let members: Vec<Vec<usize>> = self.pool.iter().map(|c| c.members.clone()).collect();
        let mut means = self.forecasts(&members, |s| self.screening(s).0)?;
        let kept = self.screened(&members, &means);
        for (candidate, rounds) in self.forecasts(&kept, |s| self.screening(s).1)?.into_iter().enumerate() {
            for mut round in rounds {
                let own = |s: &usize| kept[candidate].binary_search(s).ok().and_then(|at| round[at].take());
                means[candidate].push(members[candidate].iter().map(own).collect());
            }
        }
        let of_series = |s: usize| {
            let place: Vec<Option<usize>> = members.iter().map(|own| own.binary_search(&s).ok()).collect();
            let ends = &self.folds[s].picking;
            let round = |round: usize| {
                let said = |(candidate, at): (usize, &Option<usize>)| at.map(|at| &means[candidate][round][at]);
                place.iter().enumerate().map(said).collect()
            };
            let rounds = Rounds {
                means: (0..ends.len()).map(round).collect(),
                actuals: ends.iter().map(|end| self.actual(s, *end)).collect(),
            };
            rounds.judge(self.pool.len())
        };
        Ok((0..self.folds.len()).into_par_iter().map(of_series).collect())
    }

    /// A series' picking folds: the newest, which screen its candidates, and the others.
    fn screening(&self, s: usize) -> (&[usize], &[usize]) {
        let picking = &self.folds[s].picking;
        picking.split_at(picking.len().min(self.screen))
    }

    /// Of each candidate the members that its loss on the newest folds leaves a chance; naive families cost nothing and stay.
    fn screened(&self, members: &[Vec<usize>], means: &Means) -> Vec<Vec<usize>> {
        let of_series = |s: usize| -> Vec<Option<f64>> {
            let ends = self.screening(s).0;
            let loss = |candidate: usize| {
                let at = members[candidate].binary_search(&s).ok()?;
                let losses = ends
                    .iter()
                    .enumerate()
                    .map(|(round, end)| horizon_loss(means[candidate][round][at].as_ref()?, self.actual(s, *end)));
                losses.sum()
            };
            (0..members.len()).map(loss).collect()
        };
        let losses: Vec<Vec<Option<f64>>> = (0..self.folds.len()).into_par_iter().map(of_series).collect();
        let best = |s: usize| losses[s].iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let stays = |candidate: usize, s: usize| {
            self.pool[candidate].floor || losses[s][candidate].is_some_and(|loss| loss <= HOPELESS * best(s))
        };
        let stay =
            |(candidate, own): (usize, &Vec<usize>)| own.iter().copied().filter(|s| stays(candidate, *s)).collect();
        members.iter().enumerate().map(stay).collect()
    }

    /// Residuals of each series' champion and of its seasonal naive on the calibrating folds.
    fn residuals(&self, picked: &[Blend]) -> Result<Vec<Residuals>, BacktestError> {
        let reference: Vec<Blend> = (0..picked.len()).map(|s| Blend::single(self.reference(s))).collect();
        let members: Vec<Vec<usize>> = (0..self.pool.len())
            .map(|c| (0..picked.len()).filter(|&s| picked[s].holds(c) || reference[s].holds(c)).collect())
            .collect();
        let means = self.forecasts(&members, |s| &self.folds[s].calibrating)?;
        let of_series = |s: usize| {
            let mut residuals = Residuals::default();
            for (round, end) in self.folds[s].calibrating.iter().enumerate() {
                let said = |candidate: usize| {
                    let at = members[candidate].binary_search(&s).ok()?;
                    means[candidate][round][at].as_deref()
                };
                let errors = |blend: &Blend| -> Option<Vec<f64>> {
                    let mean = blend.mean(said)?;
                    Some(self.actual(s, *end).iter().zip(mean).map(|(y, f)| y - f).collect())
                };
                residuals.champion.extend(errors(&picked[s]));
                residuals.seasonal_naive.extend(errors(&reference[s]));
            }
            residuals
        };
        Ok((0..picked.len()).into_par_iter().map(of_series).collect())
    }

    /// Fits every part, and what could be one, on the whole window. One that fails there leaves a blend; a series that
    /// loses all of them is served by naive.
    fn refit(&self, picked: &[Blend], challengers: &[Vec<(String, Blend)>]) -> Result<Refit, BacktestError> {
        let fit = |candidate: usize, members: &[usize]| {
            let window = self.window.only(members).with_lookback(self.pool[candidate].lookback);
            let fitted = self.pool[candidate].model.fit(&window, self.seed);
            fitted.map_err(|source| BacktestError::Fit { origin: 0, source })
        };
        let is_fitted =
            |c: usize, s: usize| picked[s].holds(c) || challengers[s].iter().any(|(_, blend)| blend.holds(c));
        let fitted: Vec<_> = (0..self.pool.len())
            .into_par_iter()
            .map(|c| (c, (0..picked.len()).filter(|&s| is_fitted(c, s)).collect::<Vec<_>>()))
            .filter(|(_, members)| !members.is_empty())
            .map(|(candidate, members)| Ok((candidate, fit(candidate, &members)?, members)))
            .collect::<Result<_, BacktestError>>()?;
        let mut served = picked.to_vec();
        for (candidate, fitted, members) in fitted.iter().filter(|(candidate, ..)| *candidate != NAIVE) {
            for (&s, own) in members.iter().zip(fitted.status()) {
                served[s].parts.retain(|(part, _)| part != candidate || own.is_usable());
            }
        }
        served.iter_mut().filter(|blend| blend.parts.is_empty()).for_each(|blend| *blend = Blend::single(NAIVE));
        let mut status = vec![FitStatus::NoData; picked.len()];
        for (candidate, fitted, members) in &fitted {
            for (&s, own) in members.iter().zip(fitted.status()).filter(|(s, _)| served[**s].leader() == *candidate) {
                status[s] = own.clone();
            }
        }
        let part = |(candidate, fitted, members)| Part { candidate, fitted, members };
        let mut parts: Vec<Part> = fitted.into_iter().map(part).collect();
        let fallen: Vec<usize> = (0..picked.len()).filter(|&s| has_fallen(&picked[s], &served[s])).collect();
        if !fallen.is_empty() {
            let fitted = fit(NAIVE, &fallen)?;
            fallen.iter().zip(fitted.status()).for_each(|(s, own)| status[*s] = own.clone());
            parts.push(Part { candidate: NAIVE, fitted, members: fallen });
        }
        Ok(Refit { status, served, parts })
    }

    /// Forecasts of each candidate's members at each of their cutoffs.
    fn forecasts<'b>(
        &self,
        members: &[Vec<usize>],
        ends: impl Fn(usize) -> &'b [usize] + Sync,
    ) -> Result<Means, BacktestError> {
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
                let bounds = seen.bounds(at);
                let held = || forecast.mean(at).iter().map(|value| bounds.hold(*value)).collect();
                *slot = fitted.status()[at].is_usable().then(held);
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

    /// What remembers a single season, and what the present lies off it where that could be judged: it is the first to be
    /// right again once a load has changed.
    fn stand_in(&self, series: usize, losses: &Losses) -> String {
        let carried = SeasonalAr { season: self.seasons[series].main() }.name();
        let is_carried = |c: usize| losses.singles[c].is_some() && self.pool[c].model.name() == carried;
        let found = (0..self.pool.len()).find(|c| is_carried(*c));
        self.pool[found.unwrap_or_else(|| self.reference(series))].model.name()
    }

    fn name(&self, blend: &Blend) -> String {
        match blend.kind {
            Some(kind) => kind.name().into(),
            None => self.pool[blend.leader()].model.name(),
        }
    }

    fn choice(
        &self,
        s: usize,
        picked: &Blend,
        served: &Blend,
        status: &FitStatus,
        losses: &Losses,
        own: &Residuals,
    ) -> Choice {
        let tried = |candidate: &usize| self.is_tried(*candidate, s);
        let named = |candidate: usize| (self.pool[candidate].model.name(), losses.singles[candidate]);
        let blends = Kind::ALL.into_iter().zip(losses.blends).map(|(kind, loss)| (kind.name().into(), loss));
        let fallback = self.fallback(s, picked, served, status, losses);
        let kept = !has_fallen(picked, served) && status.is_usable();
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
            chosen: Chosen { champion: self.name(served), fallback },
            parts: served.parts.iter().map(|(c, weight)| (self.pool[*c].model.name(), *weight)).collect(),
            seasons: self.seasons[s].confirmed.clone(),
            losses: (0..self.pool.len()).filter(tried).map(named).chain(blends).collect(),
            picking_folds: self.folds[s].picking.len(),
            held_out,
        }
    }

    fn is_tried(&self, candidate: usize, s: usize) -> bool {
        self.pool[candidate].members.binary_search(&s).is_ok()
    }

    /// Why a series is served by a naive family without having picked it.
    fn fallback(
        &self,
        s: usize,
        picked: &Blend,
        served: &Blend,
        status: &FitStatus,
        losses: &Losses,
    ) -> Option<String> {
        if !status.is_usable() || *status == FitStatus::Constant {
            return None;
        }
        if has_fallen(picked, served) {
            return Some(format!("{} failed on the whole window", self.name(picked)));
        }
        if losses.singles.iter().all(Option::is_none) && self.pool[served.leader()].floor {
            let (length, needed) = (self.window.values(s).len(), LEAST_SHOWN + 1);
            return Some(format!("no fold could be scored: {length} steps, {needed} needed"));
        }
        let others = || (0..self.pool.len()).filter(|&c| !self.pool[c].floor && self.is_tried(c, s));
        let defeated = others().next().is_some() && others().all(|c| losses.singles[c].is_none());
        let on_the_floor = served.parts.iter().all(|(c, _)| self.pool[*c].floor);
        (on_the_floor && defeated).then(|| "no family but the naive ones could be fitted".into())
    }
}

/// Whether a series lost every part of what was picked.
fn has_fallen(picked: &Blend, served: &Blend) -> bool {
    !picked.holds(served.leader())
}

/// Status and serving blend of each series, and the fitted families.
struct Refit {
    status: Vec<FitStatus>,
    served: Vec<Blend>,
    parts: Vec<Part>,
}

/// Actual less forecast on the calibrating folds of one series.
#[derive(Clone, Debug, Default)]
struct Residuals {
    champion: Vec<Vec<f64>>,
    seasonal_naive: Vec<Vec<f64>>,
}

fn mean_absolute(folds: &[Vec<f64>]) -> Option<f64> {
    let observed = || folds.iter().flatten().filter(|e| e.is_finite());
    let count = observed().count();
    (count > 0).then(|| observed().map(|e| e.abs()).sum::<f64>() / count as f64)
}

#[cfg(test)]
mod tests;
