//! How a factor's score moves from period to period: three beliefs compete by leave-one-out error.

use serde::{Deserialize, Serialize};

use super::loo::{Averaged, average, path};
use crate::transform::mean;

/// Intercept, distance from the recent mean, last change, and the cycle's two distances.
const FEATURES: usize = 5;
/// Periods in the recent mean.
const RECENT: usize = 7;
/// Turns of the cycle that are averaged.
const TURNS: usize = 3;

/// What an all-zero regression falls back to.
#[derive(Clone, Copy)]
enum Belief {
    /// Tomorrow is as today.
    Last,
    /// Tomorrow is as the recent mean.
    Recent,
    /// Tomorrow's factor has no part in the series: what it explains shrinks away.
    Nothing,
}

const BELIEFS: [Belief; 3] = [Belief::Last, Belief::Recent, Belief::Nothing];

/// A score's history and the rule that continues it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Level {
    history: Vec<f64>,
    cycle: Option<usize>,
    scale: f64,
    rule: Averaged<FEATURES>,
}

impl Level {
    /// First period whose predecessors suffice for every feature.
    pub(super) fn first_row(cycle: Option<usize>) -> usize {
        cycle.map_or(2, |cycle| cycle + 1)
    }

    /// Learns the rule from a score, one value a period; `cycle` is the week in periods, where it is one.
    pub(super) fn learn(history: Vec<f64>, cycle: Option<usize>) -> Self {
        let first = Self::first_row(cycle);
        let scale = (history.iter().map(|v| v * v).sum::<f64>() / history.len() as f64).sqrt();
        let rows: Vec<[f64; FEATURES]> =
            (first..history.len()).map(|k| features(&history[..k], cycle, scale)).collect();
        let paths = BELIEFS.map(|belief| {
            let y: Vec<f64> = (first..history.len()).map(|k| history[k] - believe(belief, &history[..k])).collect();
            path(&rows, &y)
        });
        let rule = average(&paths);
        Self { history, cycle, scale, rule }
    }

    /// Whether it may have been learned.
    pub(super) fn is_whole(&self) -> bool {
        let known = self.history.len();
        let reaches = known >= 2 && self.cycle.is_none_or(|cycle| (1..=known).contains(&cycle));
        let Averaged { coefficients, weights, errors } = &self.rule;
        reaches && !errors.is_empty() && coefficients.len() == BELIEFS.len() && weights.len() == BELIEFS.len()
    }

    /// Leave-one-out errors from [`Level::first_row`] on.
    pub(super) fn errors(&self) -> &[f64] {
        &self.rule.errors
    }

    /// The next `periods` scores.
    pub(super) fn forecast(&self, periods: usize) -> Vec<f64> {
        self.continue_from(self.history.clone(), periods)
    }

    /// How a unit shock in the last period would echo in the next ones; the shock itself comes first.
    pub(super) fn echoes(&self, periods: usize) -> Vec<f64> {
        let mut shocked = self.history.clone();
        let shock = self.scale.max(f64::MIN_POSITIVE);
        *shocked.last_mut().expect("a level has periods") += shock;
        let plain = self.forecast(periods);
        let moved = self.continue_from(shocked, periods);
        std::iter::once(1.0).chain(moved.iter().zip(&plain).map(|(m, p)| (m - p) / shock)).take(periods).collect()
    }

    fn continue_from(&self, mut seen: Vec<f64>, periods: usize) -> Vec<f64> {
        let known = seen.len();
        for _ in 0..periods {
            let row = features(&seen, self.cycle, self.scale);
            let rules = self.rule.coefficients.iter().zip(&self.rule.weights);
            let next = BELIEFS.iter().zip(rules).map(|(belief, (coefficients, weight))| {
                weight * believe(*belief, &seen) + row.iter().zip(coefficients).map(|(x, c)| x * c).sum::<f64>()
            });
            let next = next.sum();
            seen.push(next);
        }
        seen.split_off(known)
    }
}

fn believe(belief: Belief, seen: &[f64]) -> f64 {
    match belief {
        Belief::Last => seen[seen.len() - 1],
        Belief::Recent => mean(&seen[seen.len().saturating_sub(RECENT)..]),
        Belief::Nothing => 0.0,
    }
}

fn features(seen: &[f64], cycle: Option<usize>, scale: f64) -> [f64; FEATURES] {
    let k = seen.len();
    let last = seen[k - 1];
    let (turns, turn) = match cycle {
        Some(cycle) => {
            let (sum, count) = same_place(k, cycle).fold((0.0, 0.0), |(s, n), at| (s + seen[at], n + 1.0));
            (sum / count - last, seen[k - cycle] - last)
        }
        None => (0.0, 0.0),
    };
    [scale, last - believe(Belief::Recent, seen), last - seen[k - 2], turns, turn]
}

/// The periods at the cycle's same place as period `k`, the newest first, at most [`TURNS`] of them.
pub(super) fn same_place(k: usize, cycle: usize) -> impl Iterator<Item = usize> {
    (1..=TURNS).map_while(move |turn| k.checked_sub(turn * cycle))
}
