//! Rho: a first-order autoregression with seasonal means, or a random walk where the data allow one.

use serde::{Deserialize, Serialize};

use super::prepare::Prepared;
use super::pretests::Pretests;
use super::regression::regress;
use crate::artifact::MOST_LIVED;
use crate::transform::mean;

/// Above this a first weight may be that of a random walk …
const MAY_WALK: f64 = 0.5;
/// … which it is where so many standard errors more reach so far.
const WALKS: (f64, f64) = (2.0, 0.9);
/// The 95 % point of the normal distribution: a drift is drawn in by so many standard errors.
const DRIFT: f64 = 1.644_853_626_951_472_2;

/// One autoregression.
#[derive(Clone, Serialize, Deserialize)]
struct Walk {
    /// Lags with their weights.
    lags: Vec<(usize, f64)>,
    /// What each place of its season adds, from the first step of the series.
    places: Vec<f64>,
    spread: f64,
}

/// What Rho learned: one autoregression, or two with seasons of different length.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Walks {
    walks: Vec<Walk>,
    steps: usize,
}

/// A series up to where a forecast of it starts.
pub(super) struct Path<'a> {
    /// Its last values at least.
    pub(super) past: &'a [f64],
    /// How it was prepared.
    pub(super) own: &'a Prepared,
}

impl Walks {
    pub(super) fn learn(x: &[f64], tests: &Pretests) -> Self {
        let super::CardSeasons { season, longer } = tests.seasons;
        let place = if tests.seasonal { season } else { 1 };
        let recurs = [(season, tests.season_recurs), (longer, tests.longer_recurs)];
        let lags: Vec<usize> =
            recurs.into_iter().filter(|(lag, recurs)| *recurs && x.len() > 3 * lag).map(|(lag, _)| lag).collect();
        let mut walks = vec![Walk::learn(x, tests, &lags, place)];
        if longer > 1 {
            let place = if tests.longer_seasonal { longer } else { place };
            let lags: Vec<usize> = lags.into_iter().filter(|lag| *lag == season).collect();
            walks.push(Walk::learn(x, tests, &lags, place));
        }
        Self { walks, steps: x.len() }
    }

    /// Whether they may have been learned of a series of which so many values are known.
    pub(super) fn is_whole(&self, known: usize) -> bool {
        let sound = |walk: &Walk| {
            let lags = walk.lags.iter().all(|(lag, weight)| (1..=known).contains(lag) && weight.is_finite());
            lags && !walk.places.is_empty() && walk.places.iter().chain([&walk.spread]).all(|v| v.is_finite())
        };
        !self.walks.is_empty() && self.steps < MOST_LIVED && self.walks.iter().all(sound)
    }

    /// Lets a step pass.
    pub(super) fn pass(&mut self) {
        self.steps += 1;
    }

    /// Mean and standard deviation of the next steps.
    pub(super) fn ahead(&self, path: &Path<'_>, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let share = 1.0 / self.walks.len() as f64;
        let (mut mean, mut spread) = (vec![0.0; steps], vec![0.0; steps]);
        for walk in &self.walks {
            let (own_mean, own_spread) = walk.ahead(path, self.steps, steps);
            mean.iter_mut().zip(own_mean).for_each(|(all, own)| *all += share * own);
            spread.iter_mut().zip(own_spread).for_each(|(all, own)| *all += share * own);
        }
        (mean, spread)
    }
}

impl Walk {
    /// Estimates the autoregression of lag 1 and `seasonal` lags, a mean for each of `places` places.
    fn learn(x: &[f64], tests: &Pretests, seasonal: &[usize], places: usize) -> Self {
        let (n, longest) = (x.len(), seasonal.iter().copied().max().unwrap_or(1));
        let lagged = |lag: usize| &x[longest - lag..n - lag];
        let columns: Vec<&[f64]> = std::iter::once(1).chain(seasonal.iter().copied()).map(lagged).collect();
        let estimates = if tests.wanders { regress(&x[longest..], &columns, longest, places) } else { None };
        let Some(found) = estimates.filter(|found| found.weights[0] >= 0.0) else {
            return Self::of_means(x, places);
        };
        let rho = found.weights[0];
        if rho > MAY_WALK && rho + WALKS.0 * found.first_error > WALKS.1 {
            return Self::random(&tests.changes, seasonal, places);
        }
        let lags = std::iter::once(1).chain(seasonal.iter().copied()).zip(found.weights.iter().copied()).collect();
        Self { lags, places: found.places, spread: found.spread }
    }

    /// No autoregression: the means alone.
    fn of_means(x: &[f64], places: usize) -> Self {
        let places = if x.len() > places + 1 { places } else { 1 };
        let found = regress(x, &[], 0, places);
        let (places, spread) = found.map_or_else(|| (vec![mean(x)], 0.0), |found| (found.places, found.spread));
        Self { lags: Vec::new(), places, spread }
    }

    /// A random walk: its changes regressed on those of a season ago, their drift drawn in by its standard error.
    fn random(z: &[f64], seasonal: &[usize], places: usize) -> Self {
        let longest = seasonal.iter().copied().max().unwrap_or(0);
        let columns: Vec<&[f64]> = seasonal.iter().map(|lag| &z[longest - lag..z.len() - lag]).collect();
        // Change `i` is that of step `i + 1`.
        let Some(found) = regress(&z[longest..], &columns, longest + 1, places) else {
            return Self { lags: vec![(1, 1.0)], places: vec![0.0], spread: mean_square(z).sqrt() };
        };
        let drift = mean(&found.places);
        let error = DRIFT * found.spread / ((z.len() - longest) as f64).sqrt();
        let drawn_in = drift.signum() * (drift.abs() - error).max(0.0);
        let own = found.places.iter().map(|place| place - drift + drawn_in).collect();
        let mut lags = vec![(1, 1.0)];
        for (lag, weight) in seasonal.iter().zip(&found.weights) {
            lags.extend([(*lag, *weight), (lag + 1, -weight)]);
        }
        Self { lags, places: own, spread: found.spread }
    }

    /// Each step ahead from those before it, kept within the series' bounds, and the spread of its error.
    fn ahead(&self, path: &Path<'_>, from: usize, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let reach = self.lags.iter().map(|(lag, _)| *lag).max().unwrap_or(0);
        let mut x = path.past[path.past.len().saturating_sub(reach)..].to_vec();
        let past = x.len();
        // What is left, so many steps later, of an error of one.
        let mut echo = vec![0.0; steps];
        let (mut spread, mut variance) = (Vec::with_capacity(steps), 0.0);
        for step in 0..steps {
            let sum = self.lags.iter().map(|(lag, weight)| weight * x[past + step - lag]).sum::<f64>();
            x.push(path.own.bound(self.places[(from + step) % self.places.len()] + sum));
            let left = self.lags.iter().filter(|(lag, _)| *lag <= step).map(|(lag, w)| w * echo[step - lag]).sum();
            echo[step] = if step == 0 { 1.0 } else { left };
            variance += echo[step] * echo[step];
            spread.push(self.spread * f64::sqrt(variance));
        }
        (x.split_off(past), spread)
    }
}

fn mean_square(z: &[f64]) -> f64 {
    z.iter().map(|z| z * z).sum::<f64>() / z.len() as f64
}
