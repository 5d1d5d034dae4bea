//! How a network sees a series: what moves off its usual cycle, and by how much it will.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::artifact::MOST_STEPS;
use crate::season::{calendar, detect};
use crate::{FitStatus, normal_quantile};

/// Numbers that a step shows: how far it lies off what was expected of it, where it lies in its range, whether it was
/// observed, and its place in the day and in the week.
pub(super) const INPUTS: usize = 7;
/// The levels that a network answers with; others are drawn from these.
pub(super) const LEVELS: [f32; 3] = [0.1, 0.5, 0.9];
/// Cycles whose median may be expected of the next one: of the latest alone where levels move, of some where they do not.
const CYCLES: [usize; 2] = [1, 4];
const MOST_CYCLES: usize = 4;
/// Places of a series that what is to be expected is chosen at.
const PLACES: usize = 256;
/// Further off than that tells a network nothing more.
const FAR: f64 = 10.0;
/// A scale under this share of the values is rounding.
const ROUNDING: f64 = 1e-12;
/// Steps back that the last value is looked for.
const LAST_SEEN: usize = 1_440;
/// Shares of a network's median that may be trusted, what the best of them has to leave of the error of none, and the
/// least places to tell by.
const SHARES: [f32; 4] = [0.25, 0.5, 0.75, 1.0];
const WORTH_IT: f64 = 0.98;
const LEAST_SEEN: usize = 8;
const DAY_MS: i64 = 86_400_000;

/// A series' own measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    /// Steps of the cycle that is expected to repeat; 1 where the last value is.
    season: usize,
    /// Latest cycles whose median is expected.
    cycles: usize,
    /// Steps of the cycle that was found, expected to repeat or not; 1 of none.
    found: usize,
    step_ms: i64,
    centre: f64,
    spread: f64,
    /// Mean distance from what was expected; 0 where that always came.
    scale: f64,
    /// Steps ahead that a network is asked about, rising.
    knots: Vec<usize>,
}

impl Frame {
    /// The measures of a series that is to be forecast so far ahead. Where it shows no cycle, the longest of its fleet that it
    /// holds twice is tried.
    pub(super) fn of(values: &[f64], step_ms: i64, horizon: usize, fleet: &[usize]) -> Result<Self, FitStatus> {
        let seen: Vec<f64> = values.iter().copied().filter(|y| !y.is_nan()).collect();
        let Some(&first) = seen.first() else { return Err(FitStatus::NoData) };
        if seen.iter().all(|y| *y == first) {
            return Err(FitStatus::Constant);
        }
        let of_fleet = || fleet.iter().copied().filter(|steps| 2 * steps <= values.len()).max().unwrap_or(1);
        let found = detect(values, &calendar(step_ms)).first().map_or_else(of_fleet, |season| season.steps);
        let (season, cycles) = nearest(values, found, &knots(horizon));
        let centre = seen.iter().map(|y| y / seen.len() as f64).sum::<f64>();
        let spread = (seen.iter().map(|y| (y - centre) * (y - centre)).sum::<f64>() / seen.len() as f64).sqrt();
        let mut frame = Self { season, cycles, found, step_ms, centre, spread, scale: 0.0, knots: knots(horizon) };
        let off = (1..values.len()).map(|t| (values[t] - frame.expected(values, t - 1, 1)).abs());
        let (count, sum) = off.filter(|off| !off.is_nan()).fold((0.0, 0.0), |(n, sum), off| (n + 1.0, sum + off));
        let scale: f64 = sum / f64::max(count, 1.0);
        if !spread.is_finite() || spread == 0.0 || !scale.is_finite() {
            return Err(FitStatus::NotConverged);
        }
        frame.scale = if scale > ROUNDING * (centre.abs() + spread) { scale } else { 0.0 };
        Ok(frame)
    }

    /// The same with the status of a fit; a series that has one value is measured too.
    pub(super) fn measured(
        values: &[f64],
        step_ms: i64,
        horizon: usize,
        fleet: &[usize],
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
        Self { season: 1, cycles: 1, found: 1, step_ms, centre: value, spread: 0.0, scale: 0.0, knots: knots(horizon) }
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
        if self.season == 1 { LAST_SEEN } else { self.cycles * self.season }
    }

    /// Steps that any of what could be expected looks back on.
    pub(super) fn farthest(&self) -> usize {
        usize::max(LAST_SEEN, MOST_CYCLES * self.found)
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
        let cycled = [self.season, self.found].iter().all(|steps| (1..=MOST_STEPS).contains(steps));
        let cycled = cycled && CYCLES.contains(&self.cycles);
        let sized = cycled && self.knots.last().is_some_and(|k| *k <= MOST_STEPS);
        finite && rising && sized && (1..=366 * DAY_MS).contains(&self.step_ms) && (1..=MOST_STEPS).contains(&recent)
    }

    /// What is expected `ahead` steps after step `at` by what was seen up to there: the median of the latest values at that
    /// place of the cycle, or the last value; NaN where none was seen.
    pub(super) fn expected(&self, values: &[f64], at: usize, ahead: usize) -> f64 {
        expected(values, (self.season, self.cycles), at, ahead)
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
        (from..split)
            .flat_map(|t| self.target(&values[..split], t))
            .chain((split..values.len()).flat_map(|t| self.target(values, t)))
            .collect()
    }

    /// How far off what is expected the future of a step lies, a knot each; NaN past the end of the values.
    pub(super) fn target(&self, values: &[f64], t: usize) -> impl Iterator<Item = f32> {
        self.knots.iter().map(move |ahead| {
            let off = values.get(t + ahead).map_or(f64::NAN, |y| y - self.expected(values, t, *ahead));
            (off / self.scale).clamp(-3.0 * FAR, 3.0 * FAR) as f32
        })
    }

    /// `[others]`: what could have been expected instead after the last value, for each knot the last value, that of the
    /// cycle before and the median of some, all off what is; then how the series is measured.
    pub(super) fn others(&self, values: &[f64]) -> Vec<f32> {
        let at = values.len() - 1;
        let mut shown = Vec::with_capacity(others(self.knots.len()));
        for ahead in &self.knots {
            let expected = self.expected(values, at, *ahead);
            let ways = [(1, 1), (self.found, CYCLES[0]), (self.found, CYCLES[1])];
            shown.extend(ways.map(|way| measured(self::expected(values, way, at, *ahead) - expected, self.scale)));
        }
        let flag = |on: bool| f32::from(u8::from(on));
        shown.push(measured((self.spread / self.scale).ln(), 3.0));
        shown.push(measured((self.found as f64).ln(), 6.0));
        shown.extend([flag(self.found == 1), flag(self.season == 1), flag(self.cycles == 1)]);
        shown
    }

    /// Mean and quantiles of the steps after the last value, from what a network says there, `[knots, levels]` or nothing
    /// where what is expected comes, and the share of its median that is believed, one a knot. The median stands for the
    /// mean; what is not believed of it moves the levels along, so that bands keep their width.
    pub(super) fn curves(
        &self,
        values: &[f64],
        (said, trust): (&[f32], &[f32]),
        horizon: usize,
        levels: &[f64],
    ) -> (Vec<f64>, Vec<Vec<f64>>) {
        let mut mean = Vec::with_capacity(horizon);
        let mut bands = vec![Vec::with_capacity(horizon); levels.len()];
        for ahead in 1..=horizon {
            let expected = self.expected(values, values.len() - 1, ahead);
            let expected = if expected.is_nan() { self.centre } else { expected };
            let [low, middle, high] = self.between(said, trust, ahead);
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
    fn between(&self, said: &[f32], trust: &[f32], ahead: usize) -> [f64; 3] {
        if said.is_empty() {
            return [0.0; 3];
        }
        let of_knot = |knot: usize| {
            let mut levels = [0, 1, 2].map(|level| f64::from(said[knot * LEVELS.len() + level]));
            levels.sort_unstable_by(f64::total_cmp);
            let less = (1.0 - f64::from(trust[knot])) * levels[1];
            levels.map(|level| level - less)
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

/// How far what a network says at each knot is to be trusted, by what came: the share of its median that was nearest,
/// nothing where that gains next to nothing. Where too little came, half of what the knot before is trusted.
///
/// - `said`: `[places, knots, levels]`; `targets`: `[places, knots]`, NaN where nothing came.
pub(super) fn trust(said: &[f32], targets: &[f32], knots: usize) -> Vec<f32> {
    let mut trust: Vec<f32> = Vec::with_capacity(knots);
    for knot in 0..knots {
        let of_place = |(said, target): (&[f32], &[f32])| {
            let mut levels = [0, 1, 2].map(|level| said[knot * LEVELS.len() + level]);
            levels.sort_unstable_by(f32::total_cmp);
            (levels[1], target[knot])
        };
        let places = said.chunks_exact(knots * LEVELS.len()).zip(targets.chunks_exact(knots)).map(of_place);
        let seen: Vec<(f32, f32)> = places.filter(|(_, target)| !target.is_nan()).collect();
        if seen.len() < LEAST_SEEN {
            let before = trust.last().map_or(0.0, |before| before / 2.0);
            trust.push(before);
            continue;
        }
        let error = |share: f32| seen.iter().map(|(said, came)| f64::from((came - share * said).abs())).sum::<f64>();
        let nearest = SHARES.into_iter().min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or(0.0);
        trust.push(if error(nearest) < WORTH_IT * error(0.0) { nearest } else { 0.0 });
    }
    trust
}

/// In a unit of a series' own, 0 where nothing is known.
fn measured(off: f64, unit: f64) -> f32 {
    let share = off / unit;
    if share.is_nan() { 0.0 } else { share.clamp(-FAR, FAR) as f32 }
}

/// Numbers that [`Frame::others`] shows for so many knots.
pub(super) fn others(knots: usize) -> usize {
    3 * knots + 5
}

/// See [`Frame::expected`].
fn expected(values: &[f64], (season, cycles): (usize, usize), at: usize, ahead: usize) -> f64 {
    if season == 1 {
        return values[..=at].iter().rev().take(LAST_SEEN).find(|y| !y.is_nan()).copied().unwrap_or(f64::NAN);
    }
    let back = ahead.div_ceil(season) * season;
    let places = (0..cycles).map_while(|cycle| (at + ahead).checked_sub(back + cycle * season));
    let mut seen = [f64::NAN; MOST_CYCLES];
    let mut count = 0;
    for y in places.map(|place| values[place]).filter(|y| !y.is_nan()) {
        seen[count] = y;
        count += 1;
    }
    let seen = &mut seen[..count];
    seen.sort_unstable_by(f64::total_cmp);
    if count == 0 { f64::NAN } else { seen[(count - 1) / 2] / 2.0 + seen[count / 2] / 2.0 }
}

/// The season, or none, and the number of its cycles that were nearest to what came, over all knots alike.
fn nearest(values: &[f64], season: usize, knots: &[usize]) -> (usize, usize) {
    let places = spread(season.min(values.len())..values.len(), PLACES);
    let error = |of: (usize, usize)| {
        let all = knots.iter().flat_map(|ahead| places.iter().map(move |t| (*t, *ahead)));
        let off = all.filter(|(t, ahead)| t + ahead < values.len());
        let off = off.map(|(t, ahead)| (values[t + ahead] - expected(values, of, t, ahead)).abs());
        let (count, sum) = off.filter(|off| !off.is_nan()).fold((0.0, 0.0), |(n, sum), off| (n + 1.0, sum + off));
        if count > 0.0 { sum / count } else { f64::INFINITY }
    };
    let cycles = CYCLES.into_iter().filter(|_| season > 1).map(|cycles| (season, cycles));
    let all = std::iter::once((1, 1)).chain(cycles);
    all.min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap_or((1, 1))
}

/// At most so many of some places: all, or one drawn in each of equal parts. A fixed stride could fall in with a cycle and
/// see one of its hours alone.
pub(super) fn spread(places: Range<usize>, most: usize) -> Vec<usize> {
    let count = places.len();
    if count <= most {
        return places.collect();
    }
    let mut random = ChaCha8Rng::seed_from_u64(count as u64);
    let part = |i: usize| places.start + i * count / most;
    (0..most).map(|i| random.random_range(part(i)..part(i + 1))).collect()
}

/// 1, 2, 4 and so on, and the horizon: what is off fades with the logarithm of time rather than with time.
pub(super) fn knots(horizon: usize) -> Vec<usize> {
    let mut knots: Vec<usize> =
        std::iter::successors(Some(1), |knot| Some(2 * knot)).take_while(|k| *k < horizon).collect();
    knots.push(horizon);
    knots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(t: usize, s: usize) -> f64 {
        ((t * 7_919 + s * 104_729) % 1_009) as f64 / 1_009.0 - 0.5
    }

    fn day(t: usize) -> f64 {
        (t as f64 / 24.0 * std::f64::consts::TAU).sin()
    }

    #[test]
    fn what_is_expected_is_what_came_nearest() {
        let knots = knots(12);
        let noisy: Vec<f64> = (0..400).map(|t| day(t) + noise(t, 1)).collect();
        assert_eq!(nearest(&noisy, 24, &knots), (24, 4), "noise is best met by the median of some cycles");
        let rising: Vec<f64> = (0..400).map(|t| 40.0 * day(t) + 0.5 * t as f64).collect();
        assert_eq!(nearest(&rising, 24, &knots), (24, 1), "a level that moves leaves older cycles behind");
        let mut level = 0.0;
        let mut step = |t: usize| {
            level += noise(t, 2);
            level
        };
        let walk: Vec<f64> = (0..400).map(&mut step).collect();
        assert_eq!(nearest(&walk, 24, &knots), (1, 1), "a walk goes on from where it is");
        let holed: Vec<f64> = (0..400).map(|t| if t % 5 == 0 { f64::NAN } else { noisy[t] }).collect();
        assert_eq!(nearest(&holed, 24, &knots), (24, 4));
        assert_eq!(nearest(&noisy[..10], 24, &knots), (1, 1), "of a cycle that never came back nothing is known");
    }

    #[test]
    fn places_are_spread_over_every_hour() {
        assert_eq!(spread(3..7, 4), [3, 4, 5, 6]);
        for days in [11, 64, 256, 610, 1_680] {
            let places = spread(100..100 + 24 * days, 256);
            assert!(places.iter().all(|place| (100..100 + 24 * days).contains(place)));
            let of_hour = |hour: usize| places.iter().filter(|place| *place % 24 == hour).count();
            assert!((0..24).all(|hour| (2..=30).contains(&of_hour(hour))), "{days} days");
        }
    }

    #[test]
    fn a_network_is_trusted_as_far_as_it_was_right() {
        assert_eq!(knots(8).len(), 4);
        let came = |t: usize| noise(t, 3) as f32;
        // Right, right in its direction but twice too far, knowing nothing, and with hardly anything to be judged by.
        let median = |t: usize| [came(t), 2.0 * came(t), noise(t * t + 7, 4) as f32, came(t)];
        let levels = |middle: f32| [middle + 1.0, middle, middle - 1.0];
        let said: Vec<f32> = (0..60).flat_map(|t| median(t).into_iter().flat_map(levels)).collect();
        let rare = |t: usize| if t < LEAST_SEEN - 1 { came(t) } else { f32::NAN };
        let targets: Vec<f32> = (0..60).flat_map(|t| [came(t), came(t), came(t), rare(t)]).collect();
        assert_eq!(trust(&said, &targets, 4), [1.0, 0.5, 0.0, 0.0]);
        let late: Vec<f32> = (0..60).flat_map(|t| [came(t), rare(t), rare(t), rare(t)]).collect();
        assert_eq!(trust(&said, &late, 4), [1.0, 0.5, 0.25, 0.125], "trust fades where nothing tells");
    }

    #[test]
    fn what_is_not_trusted_moves_the_band_and_not_what_is_expected() {
        let frame = Frame { scale: 2.0, ..Frame::constant(5.0, 60_000, 2) };
        let said = [-1.0, 1.0, 2.0, -1.0, 1.0, 2.0];
        let (mean, bands) = frame.curves(&[5.0], (&said, &[1.0, 0.0]), 2, &[0.1, 0.9]);
        assert_eq!(mean, [7.0, 5.0]);
        let width = |step: usize| bands[1][step] - bands[0][step];
        assert!((width(0) - 6.0).abs() < 1e-6 && (width(1) - width(0)).abs() < 1e-6, "{bands:?}");
    }
}
