//! What the factors leave over: a slow shape that repeats, and the last hours' deviation that fades.

use serde::{Deserialize, Serialize};

use super::fold::Fold;
use super::level::same_place;
use super::loo::{average, path};

/// Periods whose remainder the next one's features may look back on, without a cycle.
const RECENT: usize = 7;
/// Share of the Gram matrix's mean diagonal that shrinks the repeating part.
const SHRINK: f64 = 0.02;
/// Fewest periods that a fading correction is learned from.
const FEWEST_ROWS: usize = 5;

/// One pooled rule for every phase: the remainder of a period from the last one's, the recent mean and
/// the cycle's mean at the same phase.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Repeat {
    season: usize,
    cycle: Option<usize>,
    coefficients: [f64; 3],
    /// The newest periods' remainders, enough for every feature.
    tail: Vec<f64>,
}

impl Repeat {
    /// Learns from remainders in time order; rows before `first` serve as predecessors only.
    pub(super) fn learn(remainder: &[f64], season: usize, cycle: Option<usize>, first: usize) -> Self {
        let periods = remainder.len() / season;
        let mut gram = [[0.0; 3]; 3];
        let mut right = [0.0; 3];
        for k in first..periods {
            let rows = features(&remainder[..k * season], season, cycle);
            for (x, y) in rows.iter().zip(&remainder[k * season..]) {
                for i in 0..3 {
                    right[i] += x[i] * y;
                    for j in 0..3 {
                        gram[i][j] += x[i] * x[j];
                    }
                }
            }
        }
        let ridge = SHRINK * (gram[0][0] + gram[1][1] + gram[2][2]) / 3.0;
        (0..3).for_each(|i| gram[i][i] += ridge);
        let coefficients = if ridge > 0.0 { solve3(gram, right) } else { [0.0; 3] };
        let kept = cycle.map_or(RECENT, |cycle| (3 * cycle).max(RECENT)).min(periods);
        Self { season, cycle, coefficients, tail: remainder[(periods - kept) * season..].to_vec() }
    }

    /// Whether it may have been learned, with a season of so many steps.
    pub(super) fn is_whole(&self, season: usize) -> bool {
        let periods = self.tail.len() / season;
        let shaped = self.season == season && self.tail.len() == periods * season;
        shaped && periods > 0 && self.cycle.is_none_or(|cycle| (1..=periods).contains(&cycle))
    }

    /// The remainder that the rule expects after `seen`.
    pub(super) fn next(&self, seen: &[f64]) -> Vec<f64> {
        let rows = features(seen, self.season, self.cycle);
        rows.iter().map(|x| (0..3).map(|i| x[i] * self.coefficients[i]).sum()).collect()
    }

    /// The next `periods` remainders, in time order.
    pub(super) fn forecast(&self, periods: usize) -> Vec<f64> {
        let mut seen = self.tail.clone();
        for _ in 0..periods {
            let next = self.next(&seen);
            seen.extend(next);
        }
        seen.split_off(self.tail.len())
    }
}

fn features(seen: &[f64], season: usize, cycle: Option<usize>) -> Vec<[f64; 3]> {
    let k = seen.len() / season;
    let recent = k.min(RECENT);
    let cell = |period: usize, phase: usize| seen[period * season + phase];
    (0..season)
        .map(|phase| {
            let mean = (k - recent..k).map(|at| cell(at, phase)).sum::<f64>() / recent as f64;
            let turns = cycle.map_or(0.0, |cycle| {
                let (sum, count) = same_place(k, cycle).fold((0.0, 0.0), |(s, n), at| (s + cell(at, phase), n + 1.0));
                sum / count
            });
            [cell(k - 1, phase), mean, turns]
        })
        .collect()
}

/// Solves a positive definite system by Gaussian elimination, which needs no pivots there.
fn solve3(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> [f64; 3] {
    for p in 0..3 {
        for i in p + 1..3 {
            let factor = a[i][p] / a[p][p];
            for j in p..3 {
                a[i][j] -= factor * a[p][j];
            }
            b[i] -= factor * b[p];
        }
    }
    for p in (0..3).rev() {
        b[p] = (b[p] - (p + 1..3).map(|j| a[p][j] * b[j]).sum::<f64>()) / a[p][p];
    }
    b
}

/// How far the last steps lay from where the forecast of the next period would have put them, and how
/// much of that is left at each step ahead. Learned at period ends, in horizon buckets that double.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Fade {
    /// Correction of each step of the first period.
    pub(super) correction: Vec<f64>,
}

impl Fade {
    /// Learns from `errors`, the period-ahead errors from period `first` on, and takes what fades out of
    /// them; `next` is the forecast of the coming period.
    pub(super) fn learn(fold: &Fold, errors: &mut [f64], first: usize, next: &[f64]) -> Self {
        let season = fold.season;
        let mut correction = vec![0.0; season];
        let rows = fold.periods() - first;
        if rows < FEWEST_ROWS {
            return Self { correction };
        }
        let deviation = |period: &[f64], expected: &dyn Fn(usize) -> f64| -> [f64; 2] {
            let width = (season / 24).max(2).min(season);
            let sum: f64 = (season - width..season).map(|phase| period[phase] - expected(phase)).sum();
            [period[season - 1] - expected(season - 1), sum / width as f64]
        };
        let x: Vec<[f64; 2]> = (first..fold.periods())
            .map(|k| {
                let errors = &errors[(k - first) * season..][..season];
                deviation(fold.period(k - 1), &|phase| fold.period(k)[phase] - errors[phase])
            })
            .collect();
        let now = deviation(fold.period(fold.periods() - 1), &|phase| next[phase]);
        let mut centres = Vec::new();
        let mut ahead = Vec::new(); // the correction at each bucket's centre
        let mut behind = Vec::new(); // what it would have been at each past period
        for (from, to) in buckets(season) {
            let mean = |k: usize| errors[k * season + from..k * season + to].iter().sum::<f64>() / (to - from) as f64;
            let y: Vec<f64> = (0..rows).map(mean).collect();
            let rule = average(&[path(&x, &y)]);
            centres.push((from + to - 1) as f64 / 2.0);
            ahead.push(rule.coefficients[0][0] * now[0] + rule.coefficients[0][1] * now[1]);
            behind.push(y.iter().zip(&rule.errors).map(|(y, e)| y - e).collect::<Vec<f64>>());
        }
        for (step, value) in correction.iter_mut().enumerate() {
            *value = between(&centres, |at| ahead[at], step);
        }
        for (k, errors) in errors.chunks_exact_mut(season).enumerate() {
            for (step, error) in errors.iter_mut().enumerate() {
                *error -= between(&centres, |at| behind[at][k], step);
            }
        }
        Self { correction }
    }
}

/// Steps ahead `[0, 1)`, `[1, 3)`, `[3, 7)` … up to a season.
fn buckets(season: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..usize::BITS).map(|power| (1_usize << power) - 1).take_while(move |from| *from < season).map(move |from| {
        let to = (2 * from + 1).min(season);
        (from, to)
    })
}

/// Linear interpolation of `value` over rising `centres`, level beyond them.
fn between(centres: &[f64], value: impl Fn(usize) -> f64, step: usize) -> f64 {
    let step = step as f64;
    let after = centres.partition_point(|c| *c <= step);
    if after == 0 {
        return value(0);
    }
    if after == centres.len() {
        return value(after - 1);
    }
    let share = (step - centres[after - 1]) / (centres[after] - centres[after - 1]);
    value(after - 1) * (1.0 - share) + value(after) * share
}
