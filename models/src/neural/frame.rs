//! How a network sees a series: what moves off its usual cycle, and by how much it will.

use serde::{Deserialize, Serialize};

use super::ways::{CYCLES, Fleet, Knot, LAST_SEEN, MOST_CYCLES, Way, knots, nearest};
use crate::artifact::MOST_STEPS;
use crate::season::{DAY_MS, calendar, detect};
use crate::{FitStatus, normal_quantile};

/// Numbers that a step shows: how far it lies off what is expected of the next step and of the furthest one, where it lies in
/// its range, whether it was observed, and its place in the day and in the week.
pub(super) const INPUTS: usize = 8;
/// The levels that a network answers with; others are drawn from these.
pub(super) const LEVELS: [f32; 3] = [0.1, 0.5, 0.9];
/// Further off than that tells a network nothing more.
const FAR: f64 = 10.0;
/// A scale under this share of the values is rounding.
const ROUNDING: f64 = 1e-12;
/// A series' own measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    /// Steps of the cycle that was found, expected to repeat or not; 1 of none.
    found: usize,
    step_ms: i64,
    centre: f64,
    spread: f64,
    /// Rising.
    knots: Vec<Knot>,
}

impl Frame {
    /// The measures of a series that is to be forecast so far ahead. Where it shows no cycle, the longest of its fleet that it
    /// holds twice is tried, or once.
    pub(super) fn of(values: &[f64], step_ms: i64, horizon: usize, fleet: &Fleet) -> Result<Self, FitStatus> {
        let seen: Vec<f64> = values.iter().copied().filter(|y| !y.is_nan()).collect();
        let Some(&first) = seen.first() else { return Err(FitStatus::NoData) };
        if seen.iter().all(|y| *y == first) {
            return Err(FitStatus::Constant);
        }
        let of_fleet = || fleet.longest(values.len()).unwrap_or(1);
        let calendar = calendar(step_ms);
        let found = detect(values, &calendar).first().map_or_else(of_fleet, |season| season.steps);
        let others = calendar.into_iter().filter(|steps| *steps != found && *steps < values.len());
        let centre = seen.iter().map(|y| y / seen.len() as f64).sum::<f64>();
        let spread = (seen.iter().map(|y| (y - centre) * (y - centre)).sum::<f64>() / seen.len() as f64).sqrt();
        let ways: Vec<Way> = std::iter::once(found).chain(others).flat_map(Way::of).collect();
        let mut near = nearest(values, &ways, &knots(horizon), fleet);
        // Of every step, for one that rarely moves may have moved at none of the places that were looked at.
        let next = near[0].way;
        let off = (1..values.len()).map(|t| (values[t] - next.expected(values, t - 1, 1)).abs());
        let (count, sum) = off.filter(|off| !off.is_nan()).fold((0.0, 0.0), |(n, sum), off| (n + 1.0, sum + off));
        near[0].scale = sum / f64::max(count, 1.0);
        if !spread.is_finite() || spread == 0.0 || near.iter().any(|knot| !knot.scale.is_finite()) {
            return Err(FitStatus::NotConverged);
        }
        let least = ROUNDING * (centre.abs() + spread);
        let moving = near.iter().map(|knot| knot.scale).filter(|scale| *scale > least);
        let usual = moving.clone().sum::<f64>() / moving.count().max(1) as f64;
        near.iter_mut().filter(|knot| knot.scale <= least).for_each(|knot| knot.scale = usual);
        Ok(Self { found, step_ms, centre, spread, knots: near })
    }

    /// The same with the status of a fit; a series that has one value is measured too.
    pub(super) fn measured(
        values: &[f64],
        step_ms: i64,
        horizon: usize,
        fleet: &Fleet,
    ) -> Result<(FitStatus, Self), FitStatus> {
        match Self::of(values, step_ms, horizon, fleet) {
            Ok(frame) => Ok((FitStatus::Fitted, frame)),
            Err(FitStatus::Constant) => {
                let value = values.iter().copied().find(|y| !y.is_nan()).unwrap_or(f64::NAN);
                Ok((FitStatus::Constant, Self::constant(value, step_ms, horizon)))
            }
            Err(status) => Err(status),
        }
    }

    /// The measures of a series that has one value.
    pub(super) fn constant(value: f64, step_ms: i64, horizon: usize) -> Self {
        let knots = knots(horizon).into_iter().map(|ahead| Knot { ahead, way: Way::LAST, scale: 0.0 }).collect();
        Self { found: 1, step_ms, centre: value, spread: 0.0, knots }
    }

    /// Whether there is anything to learn.
    pub(super) fn moves(&self) -> bool {
        self.knots[0].scale > 0.0
    }

    /// Steps before anything is expected of the next ones.
    pub(super) fn warm_up(&self) -> usize {
        self.knots.iter().map(|knot| knot.way.season).min().unwrap_or(1)
    }

    /// Steps that what is expected looks back on.
    pub(super) fn reach(&self) -> usize {
        self.knots.iter().map(|knot| knot.way.reach()).max().unwrap_or(1)
    }

    /// Steps that any of what could be expected looks back on.
    pub(super) fn farthest(&self) -> usize {
        self.reach().max(LAST_SEEN).max(MOST_CYCLES * self.found)
    }

    /// Steps ahead that a network is asked about, rising.
    pub(super) fn ahead(&self) -> Vec<usize> {
        self.knots.iter().map(|knot| knot.ahead).collect()
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
        let carried = |steps: usize| (1..=MOST_STEPS).contains(&steps);
        let knot = |Knot { ahead, way, scale }: &Knot| {
            carried(*ahead) && carried(way.season) && CYCLES.contains(&way.cycles) && scale.is_finite() && *scale >= 0.0
        };
        let rising = self.knots.windows(2).all(|pair| pair[0].ahead < pair[1].ahead);
        let known = self.knots.first().is_some_and(|knot| knot.ahead == 1) && self.knots.iter().all(knot);
        let sized = carried(self.found) && carried(recent) && (1..=366 * DAY_MS).contains(&self.step_ms);
        rising && known && sized && self.centre.is_finite() && self.spread.is_finite()
    }

    /// Whether a value after those is not what always came.
    pub(super) fn is_off(&self, values: &[f64], value: f64) -> bool {
        let expected = self.knots[0].way.expected(values, values.len() - 1, 1);
        let expected = if expected.is_nan() { self.centre } else { expected };
        (value - expected).abs() > ROUNDING * (self.centre.abs() + self.spread)
    }

    /// `[steps, INPUTS]`: what steps from `from` on show; the first of all values is at `start_ms`.
    pub(super) fn inputs(&self, values: &[f64], start_ms: i64, from: usize) -> Vec<f32> {
        let ends = [self.knots[0], self.knots[self.knots.len() - 1]];
        let mut shown = Vec::with_capacity((values.len() - from) * INPUTS);
        for t in from..values.len() {
            let y = values[t];
            for Knot { way, scale, .. } in ends {
                let expected = if t == 0 { f64::NAN } else { way.expected(values, t - 1, 1) };
                shown.push(measured(y - expected, scale));
            }
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
        (from..split)
            .flat_map(|t| self.target(&values[..split], t))
            .chain((split..values.len()).flat_map(|t| self.target(values, t)))
            .collect()
    }

    /// How far off what is expected the future of a step lies, a knot each in its scale; NaN past the end of the values.
    pub(super) fn target(&self, values: &[f64], t: usize) -> impl Iterator<Item = f32> {
        self.knots.iter().map(move |Knot { ahead, way, scale }| {
            let off = values.get(t + ahead).map_or(f64::NAN, |y| y - way.expected(values, t, *ahead));
            (off / scale).clamp(-3.0 * FAR, 3.0 * FAR) as f32
        })
    }

    /// `[others]`: what could have been expected instead after the last value, for each knot the last value, that of the
    /// cycle before and the median of some, all off what is; then how the series is measured.
    pub(super) fn others(&self, values: &[f64]) -> Vec<f32> {
        let at = values.len() - 1;
        let mut shown = Vec::with_capacity(others(self.knots.len()));
        for Knot { ahead, way, scale } in &self.knots {
            let expected = way.expected(values, at, *ahead);
            let instead = [Way::LAST].into_iter().chain(CYCLES.map(|cycles| Way { season: self.found, cycles }));
            shown.extend(instead.map(|way| measured(way.expected(values, at, *ahead) - expected, *scale)));
        }
        let (first, last) = (self.knots[0], self.knots[self.knots.len() - 1]);
        shown.extend([first, last].map(|knot| measured((self.spread / knot.scale).ln(), 3.0)));
        shown.push(measured((self.found as f64).ln(), 6.0));
        let flags = [self.found == 1, first.way.season == 1, last.way.season == 1, last.way.cycles == 1].map(u8::from);
        shown.extend(flags.map(f32::from));
        shown
    }

    /// Mean and quantiles of the steps after the last value, from what a network says there, `[knots, levels]` or nothing
    /// where what is expected comes, and the share of its median that is believed, one a knot. The median stands for the
    /// mean; what is not believed of it moves the levels along, so that bands keep their width. Where nothing tells what to
    /// believe, they are those of a normal distribution about what is expected.
    pub(super) fn curves(
        &self,
        values: &[f64],
        (said, trust): (&[f32], &[Option<f32>]),
        horizon: usize,
        levels: &[f64],
    ) -> (Vec<f64>, Vec<Vec<f64>>) {
        let off: Vec<[f64; 3]> = (0..self.knots.len()).map(|knot| self.off(said, trust, knot)).collect();
        let mut mean = Vec::with_capacity(horizon);
        let mut bands = vec![Vec::with_capacity(horizon); levels.len()];
        for ahead in 1..=horizon {
            let [low, middle, high] = self.between(values, &off, ahead);
            mean.push(middle);
            for (band, level) in bands.iter_mut().zip(levels) {
                let side = if *level < 0.5 { middle - low } else { high - middle };
                let far = normal_quantile(*level) / normal_quantile(f64::from(LEVELS[2]));
                band.push(middle + side * far);
            }
        }
        (mean, bands)
    }

    /// How far off what is expected a knot's levels lie, rising.
    fn off(&self, said: &[f32], trust: &[Option<f32>], knot: usize) -> [f64; 3] {
        if said.is_empty() {
            return [0.0; 3];
        }
        let Some(trust) = trust[knot] else {
            // Whose mean distance from its middle is √(2/π) of its deviation.
            let deviation = self.knots[knot].scale * std::f64::consts::FRAC_PI_2.sqrt();
            return LEVELS.map(|level| deviation * normal_quantile(f64::from(level)));
        };
        let mut levels = [0, 1, 2].map(|level| f64::from(said[knot * LEVELS.len() + level]));
        levels.sort_unstable_by(f64::total_cmp);
        let less = (1.0 - f64::from(trust)) * levels[1];
        levels.map(|level| self.knots[knot].scale * (level - less))
    }

    /// The levels at a step ahead, rising: by the ways of the knots on its two sides, each the more the nearer it is.
    fn between(&self, values: &[f64], off: &[[f64; 3]], ahead: usize) -> [f64; 3] {
        let by = |knot: usize| {
            let expected = self.knots[knot].way.expected(values, values.len() - 1, ahead);
            let expected = if expected.is_nan() { self.centre } else { expected };
            off[knot].map(|off| expected + off)
        };
        let after = self.knots.partition_point(|knot| knot.ahead < ahead);
        if after == self.knots.len() {
            return by(after - 1);
        }
        if self.knots[after].ahead == ahead {
            return by(after);
        }
        let (left, right) = (self.knots[after - 1].ahead, self.knots[after].ahead);
        let share = (ahead - left) as f64 / (right - left) as f64;
        let (before, next) = (by(after - 1), by(after));
        [0, 1, 2].map(|level| before[level] + share * (next[level] - before[level]))
    }
}

/// In a unit of a series' own, 0 where nothing is known.
fn measured(off: f64, unit: f64) -> f32 {
    let share = off / unit;
    if share.is_nan() { 0.0 } else { share.clamp(-FAR, FAR) as f32 }
}

/// Numbers that [`Frame::others`] shows for so many knots.
pub(super) fn others(knots: usize) -> usize {
    3 * knots + 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_trusted_moves_the_band_and_not_what_is_expected() {
        let mut frame = Frame::constant(5.0, 60_000, 2);
        frame.knots.iter_mut().for_each(|knot| knot.scale = 2.0);
        let said = [-1.0, 1.0, 2.0, -1.0, 1.0, 2.0];
        let (mean, bands) = frame.curves(&[5.0], (&said, &[Some(1.0), Some(0.0)]), 2, &[0.1, 0.9]);
        assert_eq!(mean, [7.0, 5.0]);
        let width = |step: usize| bands[1][step] - bands[0][step];
        assert!((width(0) - 6.0).abs() < 1e-6 && (width(1) - width(0)).abs() < 1e-6, "{bands:?}");
        let (mean, bands) = frame.curves(&[5.0], (&said, &[None, None]), 2, &[0.1, 0.9]);
        let far = 2.0 * std::f64::consts::FRAC_PI_2.sqrt() * 1.281_551_565_5;
        assert!(mean == [5.0, 5.0] && (bands[1][0] - 5.0 - far).abs() < 1e-6 && (5.0 - bands[0][1] - far).abs() < 1e-6);
    }

    #[test]
    fn between_two_knots_both_ways_tell() {
        let mut frame = Frame::constant(0.0, 60_000, 4);
        assert_eq!(frame.knots.iter().map(|knot| knot.ahead).collect::<Vec<_>>(), [1, 2, 4]);
        frame.knots[2].way = Way { season: 4, cycles: 1 };
        let (mean, _) = frame.curves(&[10.0, 20.0, 30.0, 80.0], (&[], &[]), 5, &[0.5]);
        assert_eq!(mean, [80.0, 80.0, (80.0 + 30.0) / 2.0, 80.0, 10.0]);
        frame.knots[1].scale = 4.0;
        let said = [0.0, 0.0, 0.0, -1.0, 1.0, 2.0, 0.0, 0.0, 0.0];
        let (mean, _) = frame.curves(&[10.0, 20.0, 30.0, 80.0], (&said, &[Some(1.0); 3]), 4, &[0.5]);
        assert_eq!(mean, [80.0, 84.0, (84.0 + 30.0) / 2.0, 80.0]);
    }

    #[test]
    fn a_series_that_rarely_moves_is_not_taken_for_one_that_never_does() {
        let rare: Vec<f64> = (0..4_000).map(|t| if t == 1_234 { 9.0 } else { 1.0 }).collect();
        let frame = Frame::of(&rare, 60_000, 60, &Fleet::default()).unwrap();
        assert!(frame.moves() && frame.knots.iter().all(|knot| knot.scale > 0.0), "{frame:?}");
    }
}
