//! Low-rank ridge: a series folded into periods, two factors for level and shape, ridge rules for both.
//!
//! The fold and the idea that the level, not the shape, is what a regression should forecast are those of
//! Honda, *Don't Learn the Shape: Forecasting Periodic Time Series by Rank-1 Decomposition*,
//! arXiv:2605.07222. Ours keeps two factors, lets three beliefs about the next level compete by
//! leave-one-out error, repeats what the factors leave over, and fades the last hours' deviation.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::fold::{Fold, RANK};
use self::level::Level;
use self::remainder::{Fade, Repeat};
use crate::append::append_each;
use crate::artifact::{Artifact, Kept, MOST_STEPS, Whole, each_is_whole};
use crate::season::WEEK_MS;
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

mod fold;
mod level;
mod loo;
mod remainder;
/// Fewest whole periods to learn from.
const FEWEST_PERIODS: usize = 4;
/// A forecast stays within the values seen, widened by this share of their range.
const REACH: f64 = 0.5;

/// Low-rank ridge over one season.
#[derive(Clone, Copy, Debug)]
pub struct LowRankRidge {
    /// Steps in a season, at least two.
    pub season: usize,
}

impl Model for LowRankRidge {
    fn name(&self) -> String {
        format!("ridge{}", self.season)
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        // Where periods divide the week, its same day is a feature.
        let period_ms = self.season as i64 * window.step_ms();
        let cycle = (WEEK_MS % period_ms == 0).then_some((WEEK_MS / period_ms) as usize).filter(|cycle| *cycle > 1);
        let (status, learned) = (0..window.series_count())
            .into_par_iter()
            .map(|s| match learn(window.values(s), self.season, cycle) {
                Ok(learned) => {
                    (if learned.is_constant() { FitStatus::Constant } else { FitStatus::Fitted }, Some(learned))
                }
                Err(status) => (status, None),
            })
            .unzip();
        Ok(Box::new(FittedRidge { season: self.season, age: 0, status, learned }))
    }
}

/// What one series left behind. All but `unit` and `bounds` is in the series' own scale.
#[derive(Clone, Serialize, Deserialize)]
struct Learned {
    unit: Unit,
    bounds: (f64, f64),
    mean: f64,
    shapes: [Vec<f64>; RANK],
    levels: Vec<Level>,
    repeat: Repeat,
    fade: Fade,
    /// Variance of the first period's errors, one a phase.
    variance: Vec<f64>,
}

/// The middle and half the range of a series: what its values are measured in while it is fitted.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Unit {
    middle: f64,
    size: f64,
}

fn learn(values: &[f64], season: usize, cycle: Option<usize>) -> Result<Learned, FitStatus> {
    let observed = values.iter().filter(|v| v.is_finite()).count();
    if observed == 0 {
        return Err(FitStatus::NoData);
    }
    if season < 2 || values.len() / season < FEWEST_PERIODS {
        return Err(FitStatus::TooShort { observed, needed: FEWEST_PERIODS * season.max(2) });
    }
    let (low, high) = range(values);
    let unit = Unit { middle: low / 2.0 + high / 2.0, size: high / 2.0 - low / 2.0 };
    let size = if unit.size > 0.0 { unit.size } else { 1.0 };
    let scaled: Vec<f64> = values.iter().map(|v| (v - unit.middle) / size).collect();
    let mut fold = Fold::new(&scaled, season);
    let half = (2 * season).max(fold.cells.len() / 2);
    if fold.observed_count() < half {
        return Err(FitStatus::TooShort { observed: fold.observed_count(), needed: half });
    }
    fold.clip_outliers();
    let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
    let bounds = ((low - 2.0 * REACH * unit.size).max(floor), high + 2.0 * REACH * unit.size);
    let learned = fit_fold(fold, unit, bounds, cycle);
    let finite = learned.path(1).iter().chain(&learned.variance).all(|v| v.is_finite());
    if finite { Ok(learned) } else { Err(FitStatus::NotConverged) }
}

fn fit_fold(mut fold: Fold, unit: Unit, bounds: (f64, f64), cycle: Option<usize>) -> Learned {
    let season = fold.season;
    // A cycle is trusted once it was seen twice.
    let cycle = cycle.filter(|cycle| fold.periods() > 2 * cycle);
    let first = Level::first_row(cycle);
    let factors = fold.factors();
    let remainder: Vec<f64> =
        fold.cells.iter().enumerate().map(|(at, v)| v - factors.cell(at / season, at % season)).collect();
    let repeat = Repeat::learn(&remainder, season, cycle, first);
    let levels: Vec<Level> = factors.scores.into_iter().map(|score| Level::learn(score, cycle)).collect();

    let mut errors = remainder[first * season..].to_vec();
    for k in first..fold.periods() {
        let expected = repeat.next(&remainder[..k * season]);
        for phase in 0..season {
            let of_levels = (0..RANK).map(|r| factors.shapes[r][phase] * levels[r].errors()[k - first]).sum::<f64>();
            errors[(k - first) * season + phase] += of_levels - expected[phase];
        }
    }
    let fade = Fade { correction: vec![0.0; season] };
    let mut learned = Learned {
        unit,
        bounds,
        mean: factors.mean,
        shapes: factors.shapes,
        levels,
        repeat,
        fade,
        variance: Vec::new(),
    };
    let next = learned.path(1);
    learned.fade = Fade::learn(&fold, &mut errors, first, &next);
    learned.variance = variance_by_phase(&errors, season);
    learned
}

/// Mean square error of each phase, drawn towards that of all of them as if by four more periods.
fn variance_by_phase(errors: &[f64], season: usize) -> Vec<f64> {
    let rows = errors.len() / season;
    let all = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
    (0..season)
        .map(|phase| {
            let own: f64 = (0..rows).map(|k| errors[k * season + phase].powi(2)).sum();
            (own + 4.0 * all) / (rows as f64 + 4.0)
        })
        .collect()
}

fn range(values: &[f64]) -> (f64, f64) {
    let finite = values.iter().copied().filter(|v| v.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

impl Learned {
    /// Whether it may have been learned, with a season of so many steps.
    fn is_whole(&self, season: usize) -> bool {
        let parts = self.shapes.iter().chain([&self.fade.correction, &self.variance]);
        let shaped = season > 1 && self.levels.len() == RANK && parts.clone().all(|part| part.len() == season);
        let learned = shaped && self.repeat.is_whole(season) && self.levels.iter().all(Level::is_whole);
        let bounded = self.bounds.0 <= self.bounds.1 && self.unit.middle.is_finite() && self.unit.size.is_finite();
        learned && bounded && self.path(1).iter().chain(&self.variance).all(|v| v.is_finite())
    }

    fn is_constant(&self) -> bool {
        self.unit.size == 0.0
    }

    /// Mean of the next whole periods, in the series' own scale and without bounds.
    fn path(&self, periods: usize) -> Vec<f64> {
        let season = self.shapes[0].len();
        let mut path = self.repeat.forecast(periods);
        for value in &mut path {
            *value += self.mean;
        }
        for (shape, level) in self.shapes.iter().zip(&self.levels) {
            for (period, score) in path.chunks_exact_mut(season).zip(level.forecast(periods)) {
                period.iter_mut().zip(shape).for_each(|(v, s)| *v += s * score);
            }
        }
        path.iter_mut().zip(&self.fade.correction).for_each(|(v, c)| *v += c);
        path
    }

    /// Standard deviation of each step of the next whole periods: the first period's, and for later ones
    /// the levels' errors echoing from period to period.
    fn spread(&self, periods: usize) -> Vec<f64> {
        let mut variance: Vec<f64> = self.variance.repeat(periods);
        let season = self.variance.len();
        for (shape, level) in self.shapes.iter().zip(&self.levels) {
            let of_score = level.errors().iter().map(|e| e * e).sum::<f64>() / level.errors().len() as f64;
            let mut gathered = 0.0;
            // The first echo is the shock itself, which the first period's variance holds already.
            let echoes = level.echoes(periods);
            for (period, echo) in variance.chunks_exact_mut(season).zip(&echoes).skip(1) {
                gathered += echo.clamp(-1.0, 1.0).powi(2) * of_score;
                period.iter_mut().zip(shape).for_each(|(v, s)| *v += s * s * gathered);
            }
        }
        variance.into_iter().map(f64::sqrt).collect()
    }
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FittedRidge {
    season: usize,
    /// Steps since the last period that it folded.
    age: usize,
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl Fitted for FittedRidge {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "ridge"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Ridge(Cow::Borrowed(self))))
    }

    /// Levels are those of whole periods: until the next one has passed, which asks for a new fit, the forecast of
    /// the last one is read from where it is by now.
    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, |own, value, _| {
            let moved = own.is_constant() && !value.is_nan() && value != own.unit.middle;
            (moved || value.is_infinite()).then_some(FitStatus::Outdated)
        })?;
        self.age += 1;
        Ok(())
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let steps = self.age..self.age + horizon.steps();
        let periods = steps.end.div_ceil(self.season);
        let mut forecast = Forecast::empty(self.learned.len(), horizon, quantiles.clone());
        let curves: Vec<_> =
            self.learned.par_iter().map(|l| l.as_ref().map(|l| (l.path(periods), l.spread(periods)))).collect();
        for (s, (learned, curve)) in self.learned.iter().zip(curves).enumerate() {
            let (Some(learned), Some((path, spread))) = (learned, curve) else { continue };
            let Unit { middle, size } = learned.unit;
            let (low, high) = learned.bounds;
            let mean: Vec<f64> = path[steps.clone()].iter().map(|v| (middle + v * size).clamp(low, high)).collect();
            forecast.set_normal(s, &mean, |step| spread[self.age + step] * size);
        }
        Ok(forecast)
    }
}

impl Whole for FittedRidge {
    fn is_whole(&self) -> bool {
        self.season > 1
            && self.age < MOST_STEPS
            && each_is_whole(&self.status, &self.learned, |own| own.is_whole(self.season))
    }
}

#[cfg(test)]
mod tests;
