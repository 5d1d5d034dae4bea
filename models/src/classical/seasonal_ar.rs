//! Seasonal naive whose error is carried on: what a season ago brought, and the share of the present distance from it that
//! lasts.
//!
//! The seasonal difference is a first-order autoregression seen through noise: ARIMA(1,0,1)(0,1,0), for seasons of any
//! length and from little more than one of them. Its autoregression and its noise come from the autocovariances of the
//! difference, averaged over blocks so that the noise of fine steps hides neither; a steady-state Kalman filter then follows
//! it step by step.
//!
//! Sources: Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed., 9.9; Box, Jenkins, Reinsel and
//! Ljung, *Time Series Analysis*, 5th ed., A4.3, for an autoregression with added noise; Harvey, *Forecasting, Structural
//! Time Series Models and the Kalman Filter*, 3.3, for the steady state.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::naive::latest_cycle;
use crate::append::append_each;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

/// Repeats the latest season and carries on what the present lies off it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeasonalAr {
    /// Steps of the season.
    pub season: usize,
}

/// Blocks of a season over which its difference is averaged, at most.
const BLOCKS: usize = 96;
/// Blocks of seasonal differences from which an autocovariance says something.
const LEAST_BLOCKS: usize = 4;
/// The most of a difference that lasts from one block to the next: more is no stationary process.
const MOST_LASTING: f64 = 0.995;
/// Distances from the median, in robust standard deviations, that a difference is held within.
const MOST_DEVIATIONS: f64 = 6.0;
/// Standard deviation over median absolute deviation of a normal distribution.
const NORMAL_MAD: f64 = 1.482_602_218_505_602;
/// Least share of the variance that is noise: a filter that believes every value has no steady state to speak of.
const LEAST_NOISE: f64 = 1e-6;

/// What one series left behind.
#[derive(Clone, Serialize, Deserialize)]
struct Learned {
    /// The latest value of each place in the season.
    cycle: Vec<f64>,
    /// The next step's place in it.
    place: usize,
    carry: Carry,
    /// The present difference that is believed in.
    off: f64,
}

/// How the seasonal difference moves on.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Carry {
    /// The share that lasts a step.
    lasting: f64,
    /// The share of what a step says anew that is believed.
    gain: f64,
    /// What a difference is held within.
    low: f64,
    high: f64,
    /// Variance of a difference, and of it what the filter knows of the present one.
    variance: f64,
    known: f64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FittedSeasonalAr {
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl Model for SeasonalAr {
    fn name(&self) -> String {
        format!("snaive_ar{}", self.season)
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        let learn = |s: usize| learn(window.values(s), self.season.max(1));
        let (status, learned) = (0..window.series_count()).into_par_iter().map(learn).unzip();
        Ok(Box::new(FittedSeasonalAr { status, learned }))
    }
}

fn learn(values: &[f64], season: usize) -> (FitStatus, Option<Learned>) {
    let observed = values.iter().filter(|v| !v.is_nan()).count();
    if observed == 0 {
        return (FitStatus::NoData, None);
    }
    let block = season.div_ceil(BLOCKS);
    let needed = season + LEAST_BLOCKS * block;
    let Some(cycle) = latest_cycle(values, season).filter(|_| values.len() >= needed) else {
        return (FitStatus::TooShort { observed, needed }, None);
    };
    let differences: Vec<f64> = values.iter().zip(&values[season..]).map(|(before, after)| after - before).collect();
    let Some(carry) = Carry::of(&differences, block) else {
        return (FitStatus::TooShort { observed, needed }, None);
    };
    let off = differences.iter().fold(0.0, |off, difference| carry.next(off, *difference));
    let finite = off.is_finite() && carry.variance.is_finite() && cycle.iter().all(|v| v.is_finite());
    if !finite {
        return (FitStatus::NotConverged, None);
    }
    let is_constant = values.iter().all(|v| v.is_nan() || *v == cycle[0]);
    let status = if is_constant { FitStatus::Constant } else { FitStatus::Fitted };
    (status, Some(Learned { cycle, place: 0, carry, off }))
}

impl Carry {
    /// Learns from seasonal differences, NaN where unobserved; `None` where hardly any was observed.
    fn of(differences: &[f64], block: usize) -> Option<Self> {
        let mut seen: Vec<f64> = differences.iter().copied().filter(|d| !d.is_nan()).collect();
        if seen.len() < LEAST_BLOCKS {
            return None;
        }
        let middle = median(&mut seen);
        let mut away: Vec<f64> = seen.iter().map(|d| (d - middle).abs()).collect();
        let reach = match MOST_DEVIATIONS * NORMAL_MAD * median(&mut away) {
            0.0 => f64::INFINITY, // most seasons repeat each other exactly: the others are no outliers of anything
            reach => reach,
        };
        let (low, high) = (middle - reach, middle + reach);
        // The newest block is whole.
        let blocks: Vec<f64> = differences.rchunks_exact(block).rev().map(|own| mean(own, low, high)).collect();
        let covariance = |lag: usize| {
            let pairs = blocks.iter().zip(blocks.iter().skip(lag)).map(|(a, b)| a * b).filter(|p| !p.is_nan());
            let (count, sum) = pairs.fold((0_usize, 0.0), |(count, sum), pair| (count + 1, sum + pair));
            if count > 0 { sum / count as f64 } else { 0.0 }
        };
        let (whole, first, second) = (covariance(0), covariance(1), covariance(2));
        let squares = seen.iter().map(|d| d.clamp(low, high).powi(2)).sum::<f64>();
        let flat = Self { lasting: 0.0, gain: 0.0, low, high, variance: squares / seen.len() as f64, known: 0.0 };
        let a_block = if first > 0.0 { (second / first).clamp(0.0, MOST_LASTING) } else { 0.0 };
        if a_block == 0.0 {
            return Some(flat);
        }
        let signal = (first / a_block).min(whole);
        let noise = (block as f64 * (whole - signal)).max(LEAST_NOISE * whole); // of one step
        let lasting = a_block.powf(1.0 / block as f64);
        let moved = signal * (1.0 - lasting * lasting);
        // The variance before a step's value is heard solves p² + p (r (1 − a²) − q) − q r = 0.
        let half = 0.5 * (noise * (1.0 - lasting * lasting) - moved);
        let before = (half * half + moved * noise).sqrt() - half;
        let gain = before / (before + noise);
        let known = (signal - before * (1.0 - gain)).max(0.0);
        Some(Self { lasting, gain, known: known.min(flat.variance), ..flat })
    }

    /// What is believed of the next step's difference once it was heard, NaN where it was not.
    fn next(&self, off: f64, difference: f64) -> f64 {
        let expected = off * self.lasting;
        if difference.is_nan() {
            return expected;
        }
        expected + self.gain * (difference.clamp(self.low, self.high) - expected)
    }
}

/// The mean of what was observed, each held within bounds; NaN where nothing was.
fn mean(differences: &[f64], low: f64, high: f64) -> f64 {
    let seen = differences.iter().filter(|d| !d.is_nan()).map(|d| d.clamp(low, high));
    let (count, sum) = seen.fold((0_usize, 0.0), |(count, sum), d| (count + 1, sum + d));
    sum / count as f64
}

/// The lower median; the values are left in another order.
fn median(values: &mut [f64]) -> f64 {
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

impl Fitted for FittedSeasonalAr {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "snaive_ar"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::SeasonalAr(Cow::Borrowed(self))))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, Learned::append)
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let ahead = |learned: &Option<Learned>| Some(learned.as_ref()?.ahead(horizon.steps()));
        Ok(Forecast::normal(horizon, quantiles, self.learned.iter().map(ahead)))
    }
}

impl Learned {
    /// Mean and standard deviation of so many steps ahead; each season more adds its own difference.
    fn ahead(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let (season, Carry { lasting, variance, known, .. }) = (self.cycle.len(), self.carry);
        let (mut mean, mut variances): (Vec<f64>, Vec<f64>) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        let mut share = 1.0;
        for step in 0..steps {
            share *= lasting;
            let (before, unsure) = match step.checked_sub(season) {
                Some(before) => (mean[before], variances[before]),
                None => (self.cycle[(self.place + step) % season], 0.0),
            };
            mean.push(before + share * self.off);
            variances.push(unsure + variance - share * share * known);
        }
        (mean, variances.into_iter().map(f64::sqrt).collect())
    }

    /// Takes in one more step; returns the status from then on, `None` where it stays.
    fn append(&mut self, value: f64, status: &FitStatus) -> Option<FitStatus> {
        let place = self.place;
        self.place = (place + 1) % self.cycle.len();
        self.off = self.carry.next(self.off, value - self.cycle[place]);
        if value.is_nan() {
            // It is forecast from then on as if it had come as expected.
            self.cycle[place] += self.off;
            return None;
        }
        let moved = value != self.cycle[place];
        self.cycle[place] = value;
        (value.is_infinite() || moved && *status == FitStatus::Constant).then_some(FitStatus::Outdated)
    }
}

impl Whole for FittedSeasonalAr {
    fn is_whole(&self) -> bool {
        each_is_whole(&self.status, &self.learned, |own| {
            let Carry { lasting, gain, low, high, variance, known } = own.carry;
            let shares = [lasting, gain].iter().all(|share| (0.0..=1.0).contains(share));
            let variances = known >= 0.0 && known <= variance && variance.is_finite();
            let values = own.off.is_finite() && own.cycle.iter().all(|v| v.is_finite());
            shares && variances && low <= high && values && own.place < own.cycle.len()
        })
    }
}

#[cfg(test)]
mod tests;
