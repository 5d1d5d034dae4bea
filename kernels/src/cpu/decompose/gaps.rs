//! MSTL of one series with gaps, in `f64`: every local fit has the weights of the steps that were observed.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::Slot;
use crate::cpu::fused;
use crate::decompose::loess::{Loess, Smoother};
use crate::decompose::{INNER_ROUNDS, Stl, rounds};

/// Weights of the trend that are kept from one pass to the next; of a longer series they are made anew.
const KEPT_WEIGHTS: usize = 4_000_000;

/// The parts of one series.
pub(super) struct Own {
    y: Vec<f64>,
    trend: Vec<f64>,
    seasons: Vec<Vec<f64>>,
}

impl Own {
    /// Writes the parts into one lane of their group.
    pub(super) fn write(&self, lane: usize, slot: &mut Slot<'_>) {
        for (t, y) in self.y.iter().enumerate() {
            slot.trend[t][lane] = self.trend[t] as f32;
            let mut remainder = y - self.trend[t];
            for (rows, season) in slot.seasons.iter_mut().zip(&self.seasons) {
                rows[t][lane] = season[t] as f32;
                remainder -= season[t];
            }
            slot.remainder[t][lane] = remainder as f32;
        }
    }
}

/// Parts of a series with gaps; NaN where a slot of a season was never observed.
pub(super) fn decompose(y: impl Iterator<Item = f64>, stls: &[Stl]) -> Own {
    let y: Vec<f64> = y.collect();
    let seen: Vec<usize> = (0..y.len()).filter(|&t| !y[t].is_nan()).collect();
    let whole = |stl: &Stl| (0..stl.season).all(|slot| y.iter().skip(slot).step_by(stl.season).any(|v| !v.is_nan()));
    let usable = stls.iter().all(whole);
    let empty = if usable { 0.0 } else { f64::NAN };
    let mut own = Own { trend: vec![empty; y.len()], seasons: vec![vec![empty; y.len()]; stls.len()], y };
    if usable {
        let mut seasons: Vec<Season<'_>> = stls.iter().map(|stl| Season::new(stl, &own.y, &seen)).collect();
        Arch::new().dispatch(Mstl { own: &mut own, seen: &seen, seasons: &mut seasons });
    }
    own
}

struct Mstl<'a, 'b> {
    own: &'a mut Own,
    seen: &'a [usize],
    seasons: &'a mut [Season<'b>],
}

impl WithSimd for Mstl<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if S::IS_SCALAR { self.run::<false>() } else { self.run::<true>() }
    }
}

impl Mstl<'_, '_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { own, seen, seasons } = self;
        for _ in 0..rounds(seasons.len()) {
            for (i, season) in seasons.iter_mut().enumerate() {
                let mut input = own.y.clone();
                for other in (0..own.seasons.len()).filter(|&other| other != i) {
                    input.iter_mut().zip(&own.seasons[other]).for_each(|(y, part)| *y -= part);
                }
                season.stl::<FMA>(&input, seen, &mut own.seasons[i], &mut own.trend);
            }
        }
    }
}

/// The smoothers of one season for one series.
struct Season<'a> {
    stl: &'a Stl,
    /// The observed steps of each slot, and their smoother.
    slots: Vec<(Vec<usize>, Smoother)>,
    trend: Trend,
}

impl<'a> Season<'a> {
    fn new(stl: &'a Stl, y: &[f64], seen: &[usize]) -> Self {
        let slot = |slot: usize| {
            let steps = || (slot..y.len()).step_by(stl.season);
            let own: Vec<usize> = steps().filter(|&t| !y[t].is_nan()).collect();
            let cycles: Vec<f64> = own.iter().map(|t| (t / stl.season) as f64).collect();
            let count = steps().count();
            let smoother = Smoother::at(&stl.windows.season_loess(count), &cycles, -1.0, count + 2);
            (own, smoother)
        };
        let slots = (0..stl.season).map(slot).collect();
        Self { stl, slots, trend: Trend::new(stl.windows.trend_loess(y.len()), seen) }
    }

    #[inline(always)]
    fn stl<const FMA: bool>(&mut self, input: &[f64], seen: &[usize], season: &mut [f64], trend: &mut [f64]) {
        let (steps, length) = (input.len(), self.stl.season);
        let mut cycles = vec![0.0; steps + 2 * length];
        let mut own = Vec::new();
        trend.fill(0.0);
        for _ in 0..INNER_ROUNDS {
            for (slot, (at, smoother)) in self.slots.iter().enumerate() {
                own.clear();
                own.extend(at.iter().map(|&t| input[t] - trend[t]));
                for place in 0..smoother.outputs() {
                    cycles[place * length + slot] = apply::<FMA>(smoother, place, &own);
                }
            }
            let low = moving_mean(&moving_mean(&moving_mean(&cycles, length), length), 3);
            for t in 0..steps {
                season[t] = cycles[length + t] - apply::<FMA>(&self.stl.low_pass, t, &low);
            }
            own.clear();
            own.extend(seen.iter().map(|&t| input[t] - season[t]));
            self.trend.smooth::<FMA>(&own, trend);
        }
    }
}

/// The trend's smoother, a stretch of steps at a time.
struct Trend {
    loess: Loess,
    seen: Vec<f64>,
    /// The steps whose weights are at hand.
    held: Range<usize>,
    smoother: Smoother,
}

impl Trend {
    fn new(loess: Loess, seen: &[usize]) -> Self {
        let seen: Vec<f64> = seen.iter().map(|&t| t as f64).collect();
        let smoother = Smoother::at(&loess, &seen, 0.0, 0);
        Self { loess, seen, held: 0..0, smoother }
    }

    #[inline(always)]
    fn smooth<const FMA: bool>(&mut self, values: &[f64], trend: &mut [f64]) {
        let stretch = (KEPT_WEIGHTS / self.loess.width(self.seen.len())).max(1);
        for start in (0..trend.len()).step_by(stretch) {
            let steps = start..(start + stretch).min(trend.len());
            if self.held != steps {
                self.smoother = Smoother::at(&self.loess, &self.seen, start as f64, steps.len());
                self.held = steps.clone();
            }
            for t in steps {
                trend[t] = apply::<FMA>(&self.smoother, t - start, values);
            }
        }
    }
}

#[inline(always)]
fn apply<const FMA: bool>(smoother: &Smoother, output: usize, values: &[f64]) -> f64 {
    let (first, weights) = smoother.output(output);
    dot::<FMA>(weights, &values[first..first + weights.len()])
}

/// A product in sixteen chains of sums, which the addition's latency asks for.
#[inline(always)]
fn dot<const FMA: bool>(a: &[f64], b: &[f64]) -> f64 {
    const CHAINS: usize = 16;
    let (a, a_rest) = a.as_chunks::<CHAINS>();
    let (b, b_rest) = b.as_chunks::<CHAINS>();
    let mut sums = [0.0; CHAINS];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..CHAINS {
            sums[lane] = fused::<FMA>(a[lane], b[lane], sums[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(0.0, |sum, (&a, &b)| fused::<FMA>(a, b, sum));
    sums.iter().sum::<f64>() + rest
}

fn moving_mean(x: &[f64], width: usize) -> Vec<f64> {
    let mut sum: f64 = x[..width - 1].iter().sum();
    let mean = |(last, first): (&f64, &f64)| {
        let total = sum + last;
        sum = total - first;
        total / width as f64
    };
    x[width - 1..].iter().zip(x).map(mean).collect()
}
