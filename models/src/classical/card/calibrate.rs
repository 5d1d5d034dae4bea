//! Calibration: a richer autoregression over a series and its forecast together.

use serde::{Deserialize, Serialize};

use super::pretests::{Pretests, places_differ};
use super::regression::regress;

/// Seasons that must be there for lags of about one.
const CYCLES: usize = 4;
/// Values more than estimates that make one worth its while.
const FREEDOM: usize = 10;

/// What the calibration learned of a series.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Calibration {
    lags: Vec<usize>,
    weights: Vec<f64>,
    places: Vec<f64>,
}

impl Calibration {
    /// Estimates it on a series and what was forecast of it; `None` where there is too little to estimate it on.
    pub(super) fn learn(path: &[f64], tests: &Pretests) -> Option<Self> {
        let super::CardSeasons { season, longer } = tests.seasons;
        let steps = tests.changes.len() + 1;
        let mut lags = vec![1, 2];
        if season > 3 && steps >= CYCLES * season {
            lags.extend([season, season + 1, season + 2]);
        }
        let places = if places_differ(&tests.changes, longer) {
            longer
        } else if places_differ(&tests.changes, season) {
            season
        } else {
            1
        };
        let first = lags.iter().copied().max().unwrap_or(0);
        if path.len() < first + lags.len() + places + FREEDOM {
            return None;
        }
        let columns: Vec<&[f64]> = lags.iter().map(|lag| &path[first - lag..path.len() - lag]).collect();
        let found = regress(&path[first..], &columns, first, places)?;
        Some(Self { lags, weights: found.weights, places: found.places })
    }

    /// Whether it may have been learned of a series of which so many values are known.
    pub(super) fn is_whole(&self, known: usize) -> bool {
        let lags = self.lags.len() == self.weights.len() && self.lags.iter().all(|lag| (1..=known).contains(lag));
        lags && !self.places.is_empty() && self.places.iter().chain(&self.weights).all(|v| v.is_finite())
    }

    /// Its fitted values over a forecast of the step after `past`, which is step `from` of the series, and on.
    pub(super) fn ahead(&self, past: &[f64], forecast: &[f64], from: usize) -> Vec<f64> {
        let value = |step: usize, lag: usize| match step.checked_sub(lag) {
            Some(ahead) => forecast[ahead],
            None => past[past.len() + step - lag],
        };
        let fitted = |step: usize| {
            let lagged = self.lags.iter().zip(&self.weights).map(|(lag, weight)| weight * value(step, *lag));
            self.places[(from + step) % self.places.len()] + lagged.sum::<f64>()
        };
        (0..forecast.len()).map(fitted).collect()
    }
}
