//! How a network sees a series: what moves off its usual cycle, and by how much it will.

use serde::{Deserialize, Serialize};

use crate::artifact::MOST_STEPS;
use crate::season::{calendar, detect};
use crate::{FitStatus, normal_quantile};

/// Numbers that a step shows: how far it lies off what was expected of it, where it lies in its range, whether it was
/// observed, and its place in the day and in the week.
pub(super) const INPUTS: usize = 7;
/// The levels that a network answers with; others are drawn from these.
pub(super) const LEVELS: [f32; 3] = [0.1, 0.5, 0.9];
/// Cycles whose median is expected of the next one.
const CYCLES: usize = 4;
/// Further off than that tells a network nothing more.
const FAR: f64 = 10.0;
/// A scale under this share of the values is rounding.
const ROUNDING: f64 = 1e-12;
/// Steps back that the last value is looked for.
const LAST_SEEN: usize = 1_440;
const DAY_MS: i64 = 86_400_000;

/// A series' own measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    /// Steps of the cycle that is expected to repeat; 1 where the last value is.
    season: usize,
    step_ms: i64,
    centre: f64,
    spread: f64,
    /// Mean distance from what was expected; 0 where that always came.
    scale: f64,
    /// Steps ahead that a network is asked about, rising.
    knots: Vec<usize>,
}

impl Frame {
    /// The measures of a series that is to be forecast so far ahead.
    pub(super) fn of(values: &[f64], step_ms: i64, horizon: usize) -> Result<Self, FitStatus> {
        let seen: Vec<f64> = values.iter().copied().filter(|y| !y.is_nan()).collect();
        let Some(&first) = seen.first() else { return Err(FitStatus::NoData) };
        if seen.iter().all(|y| *y == first) {
            return Err(FitStatus::Constant);
        }
        let season = detect(values, &calendar(step_ms)).first().map_or(1, |season| season.steps);
        let centre = seen.iter().map(|y| y / seen.len() as f64).sum::<f64>();
        let spread = (seen.iter().map(|y| (y - centre) * (y - centre)).sum::<f64>() / seen.len() as f64).sqrt();
        let mut frame = Self { season, step_ms, centre, spread, scale: 0.0, knots: knots(horizon) };
        let off = (1..values.len()).map(|t| (values[t] - frame.expected(values, t - 1, 1)).abs());
        let (count, sum) = off.filter(|off| !off.is_nan()).fold((0.0, 0.0), |(n, sum), off| (n + 1.0, sum + off));
        let scale: f64 = sum / f64::max(count, 1.0);
        if !spread.is_finite() || !scale.is_finite() {
            return Err(FitStatus::NotConverged);
        }
        frame.scale = if scale > ROUNDING * (centre.abs() + spread) { scale } else { 0.0 };
        Ok(frame)
    }

    /// The measures of a series that has one value.
    pub(super) fn constant(value: f64, step_ms: i64, horizon: usize) -> Self {
        Self { season: 1, step_ms, centre: value, spread: 0.0, scale: 0.0, knots: knots(horizon) }
    }

    /// Whether there is anything to learn.
    pub(super) fn moves(&self) -> bool {
        self.scale > 0.0
    }

    /// Steps before anything is expected of the next one.
    pub(super) fn warm_up(&self) -> usize {
        self.season
    }

    /// Steps that what is expected looks back on.
    pub(super) fn reach(&self) -> usize {
        if self.season == 1 { LAST_SEEN } else { CYCLES * self.season }
    }

    /// Numbers that a network answers a step with.
    pub(super) fn outputs(&self) -> usize {
        self.knots.len() * LEVELS.len()
    }

    pub(super) fn step_ms(&self) -> i64 {
        self.step_ms
    }

    /// Whether a forecast can be made of so many latest values.
    pub(super) fn is_whole(&self, recent: usize) -> bool {
        let finite = [self.centre, self.spread, self.scale].iter().all(|v| v.is_finite());
        let rising = self.knots.windows(2).all(|pair| pair[0] < pair[1]) && self.knots.first() == Some(&1);
        let sized = (1..=MOST_STEPS).contains(&self.season) && self.knots.last().is_some_and(|k| *k <= MOST_STEPS);
        finite && rising && sized && (1..=366 * DAY_MS).contains(&self.step_ms) && (1..=MOST_STEPS).contains(&recent)
    }

    /// What is expected `ahead` steps after step `at` by what was seen up to there: the median of the latest values at that
    /// place of the cycle, or the last value; NaN where none was seen.
    pub(super) fn expected(&self, values: &[f64], at: usize, ahead: usize) -> f64 {
        if self.season == 1 {
            return values[..=at].iter().rev().take(LAST_SEEN).find(|y| !y.is_nan()).copied().unwrap_or(f64::NAN);
        }
        let back = ahead.div_ceil(self.season) * self.season;
        let places = (0..CYCLES).map_while(|cycle| (at + ahead).checked_sub(back + cycle * self.season));
        let mut seen = [f64::NAN; CYCLES];
        let mut count = 0;
        for y in places.map(|place| values[place]).filter(|y| !y.is_nan()) {
            seen[count] = y;
            count += 1;
        }
        let seen = &mut seen[..count];
        seen.sort_unstable_by(f64::total_cmp);
        if count == 0 { f64::NAN } else { seen[(count - 1) / 2] / 2.0 + seen[count / 2] / 2.0 }
    }

    /// Whether a value after those is not what always came.
    pub(super) fn is_off(&self, values: &[f64], value: f64) -> bool {
        let expected = self.expected(values, values.len() - 1, 1);
        let expected = if expected.is_nan() { self.centre } else { expected };
        (value - expected).abs() > ROUNDING * (self.centre.abs() + self.spread)
    }

    /// `[steps, INPUTS]`: what steps from `from` on show; the first of all values is at `start_ms`.
    pub(super) fn inputs(&self, values: &[f64], start_ms: i64, from: usize) -> Vec<f32> {
        let mut shown = Vec::with_capacity((values.len() - from) * INPUTS);
        for t in from..values.len() {
            let y = values[t];
            let expected = if t == 0 { f64::NAN } else { self.expected(values, t - 1, 1) };
            let measured = |off: f64, unit: f64| if off.is_nan() { 0.0 } else { (off / unit).clamp(-FAR, FAR) as f32 };
            shown.push(measured(y - expected, self.scale));
            shown.push(measured(y - self.centre, self.spread));
            shown.push(f32::from(u8::from(!y.is_nan())));
            let at_ms = start_ms + t as i64 * self.step_ms;
            for span in [DAY_MS, 7 * DAY_MS] {
                let angle = at_ms.rem_euclid(span) as f64 / span as f64 * std::f64::consts::TAU;
                shown.extend([angle.sin() as f32, angle.cos() as f32]);
            }
        }
        shown
    }

    /// `[steps, knots]`: how far off what is expected each step's future lies, for steps from `from` on. Of steps before
    /// `split` nothing after it is told.
    pub(super) fn targets(&self, values: &[f64], from: usize, split: usize) -> Vec<f32> {
        let target = |t: usize, ahead: usize| {
            let hidden = t + ahead >= if t < split { split } else { values.len() };
            let off = if hidden { f64::NAN } else { values[t + ahead] - self.expected(values, t, ahead) };
            (off / self.scale).clamp(-3.0 * FAR, 3.0 * FAR) as f32
        };
        (from..values.len()).flat_map(|t| self.knots.iter().map(move |ahead| target(t, *ahead))).collect()
    }

    /// Mean and quantiles of the steps after the last value, from what a network says there: `[knots, levels]`, or nothing
    /// where what is expected comes. The median stands for the mean.
    pub(super) fn curves(
        &self,
        values: &[f64],
        said: &[f32],
        horizon: usize,
        levels: &[f64],
    ) -> (Vec<f64>, Vec<Vec<f64>>) {
        let mut mean = Vec::with_capacity(horizon);
        let mut bands = vec![Vec::with_capacity(horizon); levels.len()];
        for ahead in 1..=horizon {
            let expected = self.expected(values, values.len() - 1, ahead);
            let expected = if expected.is_nan() { self.centre } else { expected };
            let [low, middle, high] = self.between(said, ahead);
            mean.push(expected + self.scale * middle);
            for (band, level) in bands.iter_mut().zip(levels) {
                let side = if *level < 0.5 { middle - low } else { high - middle };
                let far = normal_quantile(*level) / normal_quantile(f64::from(LEVELS[2]));
                band.push(expected + self.scale * (middle + side * far));
            }
        }
        (mean, bands)
    }

    /// The levels at a step ahead, rising, on the lines between knots.
    fn between(&self, said: &[f32], ahead: usize) -> [f64; 3] {
        if said.is_empty() {
            return [0.0; 3];
        }
        let of_knot = |knot: usize| {
            let mut levels = [0, 1, 2].map(|level| f64::from(said[knot * LEVELS.len() + level]));
            levels.sort_unstable_by(f64::total_cmp);
            levels
        };
        let after = self.knots.partition_point(|knot| *knot < ahead);
        if after == self.knots.len() {
            return of_knot(after - 1);
        }
        if self.knots[after] == ahead {
            return of_knot(after);
        }
        let (left, right) = (self.knots[after - 1], self.knots[after]);
        let share = (ahead - left) as f64 / (right - left) as f64;
        let (before, next) = (of_knot(after - 1), of_knot(after));
        [0, 1, 2].map(|level| before[level] + share * (next[level] - before[level]))
    }
}

/// 1, 2, 4 and so on, and the horizon: what is off fades with the logarithm of time rather than with time.
fn knots(horizon: usize) -> Vec<usize> {
    let mut knots: Vec<usize> =
        std::iter::successors(Some(1), |knot| Some(2 * knot)).take_while(|k| *k < horizon).collect();
    knots.push(horizon);
    knots
}
