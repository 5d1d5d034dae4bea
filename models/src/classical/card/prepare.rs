//! A series made ready: gaps filled, logarithms where they help, and the bounds of what may be forecast of it.

use serde::{Deserialize, Serialize};

use super::CardSeasons;
use crate::FitStatus;
use crate::artifact::{MOST_LIVED, MOST_STEPS};
use crate::transform::fill_gaps;

/// Observations without which nothing is estimated.
const LEAST: usize = 8;
/// How often a season must fit into a series to be used.
const CYCLES: usize = 3;
/// Seasons and longer seasons that are looked back on at most, and steps that always may be.
const LOOKBACK: (usize, usize, usize) = (42, 8, 1_000);
/// A range under this share of the least value looks the same in logarithms.
const STRAIGHT: f64 = 1e-3;
/// By how many of its ranges a forecast may leave a series' range.
const LEEWAY: f64 = 3.0;

/// A series ready to be fitted.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Prepared {
    /// Its values or their logarithms up to the last observed step; once fitted, the last of them.
    pub(super) x: Vec<f64>,
    /// Steps of `x` before it was cut to its tail.
    pub(super) steps: usize,
    /// Unobserved steps between the last observed one and the window's end.
    pub(super) unseen: usize,
    /// The seasons that the series is long enough for.
    pub(super) seasons: CardSeasons,
    logarithms: bool,
    /// Lowest and highest forecast, in the series' unit and on the scale of `x`.
    bounds: (f64, f64),
    bounds_of_x: (f64, f64),
    /// Root mean square of the seasonal naive forecast's errors.
    naive: f64,
}

/// Prepares a series, or says why it cannot be fitted.
pub(super) fn prepare(values: &[f64], seasons: CardSeasons) -> Result<Prepared, FitStatus> {
    let Some(last) = values.iter().rposition(|v| !v.is_nan()) else { return Err(FitStatus::NoData) };
    let CardSeasons { season, longer } = seasons;
    let unseen = values.len() - last - 1;
    let most = (LOOKBACK.0 * season).max(LOOKBACK.1 * longer).max(LOOKBACK.2);
    let seen = &values[(last + 1).saturating_sub(most)..=last];
    let seen = &seen[seen.iter().position(|v| !v.is_nan()).unwrap_or(0)..];
    let observed = || seen.iter().copied().filter(|v| !v.is_nan());
    let (low, high) = observed().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (v.min(l), v.max(h)));
    if low == high {
        return Err(FitStatus::Constant);
    }
    if observed().count() < LEAST {
        return Err(FitStatus::TooShort { observed: observed().count(), needed: LEAST });
    }
    if !((high - low) * (2.0 * LEEWAY + 1.0)).is_finite() {
        return Err(FitStatus::NotConverged);
    }
    let fits = |steps: usize| if steps > 1 && seen.len() >= CYCLES * steps { steps } else { 1 };
    let seasons = CardSeasons::new(fits(season), fits(longer));
    let mut x = fill(seen, seasons);
    let logarithms = low > 1.0 && high - low > STRAIGHT * low;
    if logarithms {
        x.iter_mut().for_each(|v| *v = v.ln());
    }
    let (low_x, high_x) = if logarithms { (low.ln(), high.ln()) } else { (low, high) };
    let room = LEEWAY * (high - low);
    let room_x = LEEWAY * (high_x - low_x);
    let naive = naive_spread(&x, seasons.season);
    let steps = x.len();
    let (bounds, bounds_of_x) = ((low - room, high + room), (low_x - room_x, high_x + room_x));
    Ok(Prepared { x, steps, unseen, seasons, logarithms, bounds, bounds_of_x, naive })
}

/// Each gap takes the mean of what was seen at the same place of the season before and after it, the longest season
/// first; where the season shows nothing, the line between its neighbours.
fn fill(seen: &[f64], seasons: CardSeasons) -> Vec<f64> {
    if !seen.iter().any(|v| v.is_nan()) {
        return seen.to_vec();
    }
    let mut filled = fill_gaps(seen);
    let season = seasons.longer.max(seasons.season);
    if season > 1 {
        for t in (0..seen.len()).filter(|&t| seen[t].is_nan()) {
            let before = (0..t).rev().skip(season - 1).step_by(season).map(|t| seen[t]).find(|v| !v.is_nan());
            let after = seen[t..].iter().skip(season).step_by(season).copied().find(|v| !v.is_nan());
            filled[t] = match (before, after) {
                (Some(before), Some(after)) => 0.5 * before + 0.5 * after,
                (before, after) => before.or(after).unwrap_or(filled[t]),
            };
        }
    }
    filled
}

fn naive_spread(x: &[f64], season: usize) -> f64 {
    let errors = x[season..].iter().zip(x).map(|(now, before)| now - before);
    (errors.map(|e| e * e).sum::<f64>() / (x.len() - season) as f64).sqrt()
}

impl Prepared {
    /// A series that never moved.
    pub(super) fn constant(value: f64) -> Self {
        let bounds = (value, value);
        Self {
            x: vec![value],
            steps: 1,
            unseen: 0,
            seasons: CardSeasons::new(1, 1),
            logarithms: false,
            bounds,
            bounds_of_x: bounds,
            naive: 0.0,
        }
    }

    /// Forgets all but what a forecast looks back on.
    pub(super) fn keep_tail(&mut self) {
        let reach = self.seasons.season.max(self.seasons.longer) + 2;
        self.x.drain(..self.x.len().saturating_sub(reach));
        self.x.shrink_to_fit();
    }

    /// Whether it may have been prepared.
    pub(super) fn is_whole(&self) -> bool {
        let ordered = |(low, high): (f64, f64)| low <= high && low.is_finite() && high.is_finite();
        let lived = (1..MOST_LIVED).contains(&self.steps) && self.unseen < MOST_STEPS;
        let known = !self.x.is_empty() && self.x.iter().chain([&self.naive]).all(|v| v.is_finite());
        known && lived && self.seasons.season > 0 && ordered(self.bounds) && ordered(self.bounds_of_x)
    }

    /// A value on the scale of `x`, one out of reach as the farthest in reach.
    pub(super) fn on_scale(&self, value: f64) -> f64 {
        self.bound(if self.logarithms { value.max(f64::MIN_POSITIVE).ln() } else { value })
    }

    /// A forecast on the scale of `x`, within what may be said of the series.
    pub(super) fn bound(&self, x: f64) -> f64 {
        if x.is_nan() { x } else { x.clamp(self.bounds_of_x.0, self.bounds_of_x.1) }
    }

    /// A forecast in the series' unit.
    pub(super) fn in_unit(&self, x: f64) -> f64 {
        let value = if self.logarithms { x.exp() } else { x };
        value.clamp(self.bounds.0, self.bounds.1)
    }

    /// Standard deviation of the seasonal naive forecast so many steps ahead, the first being 0.
    pub(super) fn widest(&self, step: usize) -> f64 {
        self.naive * ((step / self.seasons.season + 1) as f64).sqrt()
    }
}
