//! What each unknown of one series does to its expected values, and the quadratic that follows: a column each for
//! the weights and the start, side by side in the registers.
//!
//! With `q'` the change of the level ahead and `s'` that of the season, the recursion of [`crate::ets_gradient`]
//! changes by
//!
//! ```text
//! drift' = phi slope' + slope [phi];  q' = level' + drift'
//! level' = (1 - alpha) q' - alpha k s' + e [alpha];  season' = (1 - gamma) s' - gamma b q' + e [gamma]
//! slope' = drift' - beta (q' + k s') + e [beta]
//! ```
//!
//! with `k = b = 1`, or `k = q (1 + r) / s` and `b = s (1 + r) / q` where the season multiplies. The expected value changes by `q' + s'`, or its
//! logarithm by `q' / q + s' / s`. Written so, weights near one lose no digits.

mod link;

use std::cmp::Ordering;

use pulp::{Simd, WithSimd};

use self::link::{Link, Met, TILE, drift_on, flush, forcing};
use super::profile::NOTHING;
use super::search::{Point, point_near, smoothing_at};
use crate::{EtsForm, EtsPlace, Trend};

/// Columns of the weights, in the order of a [`Point`], then of the slope, then of the slots.
pub(super) const SLOPE: usize = 4;
pub(super) const SEASON: usize = 5;
/// Rows that stay in the nearest cache while all tiles of the Hessian pass over them.
const BLOCK: usize = 224;
/// What is squared: the error, the error over the expected value, and that with a season that multiplies.
const ADDITIVE: u8 = 0;
const RELATIVE: u8 = 1;
const SCALED: u8 = 2;

/// A place in the space of all unknowns.
#[derive(Clone, Debug)]
pub(super) struct Unknowns {
    pub(super) point: Point,
    pub(super) slope: f64,
    /// The season before the first step, with the level in it where it adds; in units of the series' mean where it
    /// multiplies.
    pub(super) season: Vec<f64>,
}

/// What a place is worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worth {
    pub(super) sse: f64,
    /// Half the deviance up to a constant; infinite where an expected value is not positive.
    pub(super) value: f64,
}

/// One series, its answers at the latest place, and the quadratic made of them.
pub(super) struct Answers<const W: usize> {
    arch: pulp::Arch,
    form: EtsForm,
    y: Vec<f64>,
    offset: f64,
    /// The series' mean where the error is relative: what an answer is measured in.
    unit: f64,
    pub(super) observed: f64,
    /// An answer for each observed step so far, times the root of its weight.
    rows: Vec<[f32; W]>,
    /// What the gradient is made of, for the squares and for the logarithms.
    pulls: Vec<[f32; 2]>,
    season: Vec<f64>,
    moves: Vec<[f32; W]>,
    worth: Worth,
    pub(super) hessian: Vec<[f64; W]>,
    pub(super) gradient: [f64; W],
}

/// What the recursion hands from step to step.
struct Sums {
    sse: f64,
    growth: f64,
    product: f64,
}

impl Sums {
    /// Takes one plus a relative error.
    #[inline(always)]
    fn grow(&mut self, ratio: f64) {
        self.product *= ratio;
        if !(1e-100..1e100).contains(&self.product) {
            self.growth += self.product.ln();
            self.product = 1.0;
        }
    }
}

impl<const W: usize> Answers<W> {
    pub(super) fn new(form: EtsForm) -> Self {
        Self {
            arch: pulp::Arch::new(),
            form,
            y: Vec::new(),
            offset: 0.0,
            unit: 1.0,
            observed: 0.0,
            rows: Vec::new(),
            pulls: Vec::new(),
            season: vec![0.0; form.season],
            moves: vec![[0.0; W]; form.season],
            worth: Worth { sse: 0.0, value: f64::INFINITY },
            hessian: vec![[0.0; W]; W],
            gradient: [0.0; W],
        }
    }

    /// Takes a series up to its last observation.
    pub(super) fn place(&mut self, values: impl Iterator<Item = f32>, offset: f64) {
        self.y.clear();
        self.y.extend(values.map(f64::from));
        let last = self.y.iter().rposition(|v| !v.is_nan()).map_or(0, |t| t + 1);
        self.y.truncate(last);
        let seen = self.y.iter().filter(|v| !v.is_nan());
        let count = seen.clone().count();
        self.observed = count as f64;
        self.rows.resize(count, [0.0; W]);
        self.pulls.resize(count, [0.0; 2]);
        self.offset = if self.form.is_relative() { offset } else { 0.0 };
        self.unit = if self.form.is_relative() { offset + seen.sum::<f64>() / self.observed } else { 1.0 };
    }

    /// Sum of the logarithms of the observed values in the unit where the offset is part of them.
    pub(super) fn log_values(&self) -> f64 {
        self.y.iter().filter(|v| !v.is_nan()).map(|v| (v + self.offset).ln()).sum()
    }

    /// The place that a hint tells of.
    pub(super) fn hinted(&self, place: &EtsPlace) -> Unknowns {
        self.unknowns(point_near(self.form, &place.smoothing), place.slope, &place.season)
    }

    fn unknowns(&self, point: Point, slope: f64, season: &[f64]) -> Unknowns {
        if !self.form.scales() {
            return Unknowns { point, slope, season: season.to_vec() };
        }
        let season = season.iter().map(|s| (s + self.offset) / self.unit).collect();
        Unknowns { point, slope: slope / self.unit, season }
    }

    /// Places to begin from without one: the mean of each slot's first values, and the mean of all of those.
    pub(super) fn beginnings(&self, point: Point) -> [Unknowns; 2] {
        const LOOKS: usize = 3;
        let season = self.form.season;
        let mean_of = |slot: usize| {
            let values = self.y.iter().skip(slot).step_by(season).filter(|v| !v.is_nan()).take(LOOKS);
            let (sum, count) = values.fold((0.0, 0.0), |(sum, count), v| (sum + v, count + 1.0));
            if count > 0.0 { sum / count } else { 0.0 }
        };
        let slots: Vec<f64> = (0..season).map(mean_of).collect();
        let common = slots.iter().sum::<f64>() / season as f64;
        [slots, vec![common; season]].map(|season| self.unknowns(point, 0.0, &season))
    }

    /// Runs the recursion with all its answers; what they are is forgotten where the worth is infinite.
    pub(super) fn evaluate(&mut self, at: &Unknowns) -> Worth {
        let arch = self.arch;
        self.worth = match (self.form.trend != Trend::None, self.kind()) {
            (false, ADDITIVE) => arch.dispatch(Run::<W, false, ADDITIVE> { answers: self, at }),
            (false, RELATIVE) => arch.dispatch(Run::<W, false, RELATIVE> { answers: self, at }),
            (false, _) => arch.dispatch(Run::<W, false, SCALED> { answers: self, at }),
            (true, ADDITIVE) => arch.dispatch(Run::<W, true, ADDITIVE> { answers: self, at }),
            (true, RELATIVE) => arch.dispatch(Run::<W, true, RELATIVE> { answers: self, at }),
            (true, _) => arch.dispatch(Run::<W, true, SCALED> { answers: self, at }),
        };
        self.worth
    }

    /// Makes the quadratic of the latest answers.
    pub(super) fn square(&mut self) {
        self.slope();
        let arch = self.arch;
        arch.dispatch(Square { answers: self });
        let scale = self.scale() / (self.unit() * self.unit());
        for row in &mut self.hessian {
            row.iter_mut().for_each(|v| *v *= scale);
        }
    }

    /// Makes the gradient alone of the latest answers.
    pub(super) fn slope(&mut self) {
        let arch = self.arch;
        arch.dispatch(Slope { answers: self });
    }

    fn scale(&self) -> f64 {
        self.observed / (self.worth.sse + self.nothing())
    }

    fn kind(&self) -> u8 {
        match (self.form.is_relative(), self.form.scales()) {
            (false, _) => ADDITIVE,
            (true, false) => RELATIVE,
            (true, true) => SCALED,
        }
    }

    /// The unit that answers are measured in.
    fn unit(&self) -> f64 {
        if self.form.scales() { 1.0 } else { self.unit }
    }

    /// Sum of squared errors that counts as none.
    fn nothing(&self) -> f64 {
        NOTHING * self.observed / self.unit.max(1.0).powi(2)
    }

    /// The start as [`crate::ets_gradient`] has it.
    pub(super) fn start(&self, at: &Unknowns) -> Vec<f64> {
        let mut start = vec![0.0; self.form.start_len()];
        start[0] = at.slope;
        let mut seen = vec![false; self.form.season];
        let mut season = at.season.clone();
        let smoothing = smoothing_at(self.form, &at.point);
        let (mut level, mut slope) = (if self.form.scales() { 1.0 } else { 0.0 }, at.slope);
        for (t, y) in self.y.iter().enumerate() {
            let slot = t % self.form.season;
            let drift = smoothing.phi * slope;
            let ahead = level + drift;
            (level, slope) = (ahead, drift);
            if y.is_nan() {
                continue;
            }
            let met = match self.kind() {
                ADDITIVE => self.meet::<ADDITIVE>(*y, ahead, season[slot]),
                RELATIVE => self.meet::<RELATIVE>(*y, ahead, season[slot]),
                _ => self.meet::<SCALED>(*y, ahead, season[slot]),
            };
            if !seen[slot] {
                start[1 + slot] = met.squared;
                seen[slot] = true;
            }
            level += smoothing.alpha * met.error;
            slope += smoothing.beta * met.error;
            season[slot] += smoothing.gamma * met.season_error;
        }
        start
    }

    #[inline(always)]
    fn meet<const KIND: u8>(&self, y: f64, ahead: f64, held: f64) -> Met {
        let whole = y + self.offset;
        if KIND == SCALED {
            let expected = ahead * held;
            let squared = whole / (self.unit * expected) - 1.0;
            return Met { ahead, held, expected, squared, error: ahead * squared, season_error: held * squared };
        }
        let error = y - ahead - held;
        let expected = whole - error;
        let squared = if KIND == RELATIVE { error / expected } else { error };
        Met { ahead, held, expected, squared, error, season_error: error }
    }

    #[inline(always)]
    fn run<const TREND: bool, const KIND: u8>(&mut self, at: &Unknowns) -> Worth {
        let smoothing = smoothing_at(self.form, &at.point);
        let forcing = forcing(&at.point, self.form);
        let season = self.form.season;
        let (mut level, mut slope) = (if self.form.scales() { 1.0 } else { 0.0 }, at.slope);
        let (mut by_level, mut by_slope) = ([0.0_f32; W], [0.0_f32; W]);
        by_slope[SLOPE] = 1.0;
        self.season.copy_from_slice(&at.season);
        for (slot, moves) in self.moves.iter_mut().enumerate() {
            *moves = [0.0; W];
            moves[SEASON + slot] = 1.0;
        }
        let mut sums = Sums { sse: 0.0, growth: 0.0, product: 1.0 };
        let (mut slot, mut count) = (0, 0);
        for t in 0..self.y.len() {
            let (y, now) = (self.y[t], slot);
            let held = self.season[now];
            let drift = if TREND { smoothing.phi * slope } else { 0.0 };
            let ahead = level + drift;
            let way = [smoothing.phi as f32, slope as f32];
            (level, slope) = (ahead, drift);
            slot = if slot + 1 == season { 0 } else { slot + 1 };
            if t % TILE == 0 {
                by_level.iter_mut().chain(&mut by_slope).for_each(|v| *v = flush(*v));
            }
            if y.is_nan() {
                if TREND {
                    drift_on(&mut by_level, &mut by_slope, way, &forcing[3]);
                }
                continue;
            }
            let met = self.meet::<KIND>(y, ahead, held);
            if KIND != ADDITIVE {
                // A NaN is not positive either.
                if !matches!(met.expected.partial_cmp(&0.0), Some(Ordering::Greater)) {
                    return Worth { sse: f64::INFINITY, value: f64::INFINITY };
                }
                sums.grow(1.0 + met.squared);
            }
            sums.sse += met.squared * met.squared;
            let (link, pull) = Link::of::<KIND>(&smoothing, way, &met, self.unit);
            let row = &mut self.rows[count];
            link.step::<W, TREND, KIND>(&forcing, &mut by_level, &mut by_slope, &mut self.moves[now], row);
            self.pulls[count] = pull;
            count += 1;
            level += smoothing.alpha * met.error;
            slope += smoothing.beta * met.error;
            self.season[now] = held + smoothing.gamma * met.season_error;
        }
        let growth = sums.growth + sums.product.ln();
        let value = 0.5 * self.observed * (sums.sse + self.nothing()).ln() - growth;
        Worth { sse: sums.sse, value: if value.is_finite() { value } else { f64::INFINITY } }
    }

    #[inline(always)]
    fn sum_products(&mut self) {
        for row in &mut self.hessian {
            *row = [0.0; W];
        }
        for rows in self.rows.chunks(BLOCK) {
            for i in (0..W).step_by(TILE) {
                for j in (0..=i).step_by(TILE) {
                    tile(rows, i, j, &mut self.hessian);
                }
            }
        }
    }

    #[inline(always)]
    fn sum_pulls(&mut self) {
        let (mut squares, mut logs) = ([0.0_f64; W], [0.0_f64; W]);
        for (rows, pulls) in self.rows.chunks(BLOCK).zip(self.pulls.chunks(BLOCK)) {
            let (mut by_squares, mut by_logs) = ([0.0_f32; W], [0.0_f32; W]);
            for (row, [square, log]) in rows.iter().zip(pulls) {
                for c in 0..W {
                    by_squares[c] += square * row[c];
                    by_logs[c] += log * row[c];
                }
            }
            for c in 0..W {
                squares[c] += f64::from(by_squares[c]);
                logs[c] += f64::from(by_logs[c]);
            }
        }
        let (unit, scale) = (self.unit(), self.scale());
        for c in 0..W {
            self.gradient[c] = (scale * squares[c] + logs[c]) / unit;
        }
    }
}

/// Adds the products of eight columns with eight others, and their mirror image.
#[inline(always)]
fn tile<const W: usize>(rows: &[[f32; W]], i: usize, j: usize, hessian: &mut [[f64; W]]) {
    // Eight arrays, not one of eight: an index into that would keep the sums out of the registers.
    let [mut s0, mut s1, mut s2, mut s3, mut s4, mut s5, mut s6, mut s7] = [[0.0_f32; TILE]; TILE];
    for row in rows {
        let one: &[f32; TILE] = row[i..i + TILE].try_into().expect("a tile is inside");
        let other: &[f32; TILE] = row[j..j + TILE].try_into().expect("a tile is inside");
        for b in 0..TILE {
            s0[b] += one[0] * other[b];
            s1[b] += one[1] * other[b];
            s2[b] += one[2] * other[b];
            s3[b] += one[3] * other[b];
            s4[b] += one[4] * other[b];
            s5[b] += one[5] * other[b];
            s6[b] += one[6] * other[b];
            s7[b] += one[7] * other[b];
        }
    }
    let sums = [s0, s1, s2, s3, s4, s5, s6, s7];
    for a in 0..TILE {
        for b in 0..TILE {
            hessian[i + a][j + b] += f64::from(sums[a][b]);
            if i != j {
                hessian[j + b][i + a] += f64::from(sums[a][b]);
            }
        }
    }
}

struct Run<'a, const W: usize, const TREND: bool, const KIND: u8> {
    answers: &'a mut Answers<W>,
    at: &'a Unknowns,
}

impl<const W: usize, const TREND: bool, const KIND: u8> WithSimd for Run<'_, W, TREND, KIND> {
    type Output = Worth;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Worth {
        self.answers.run::<TREND, KIND>(self.at)
    }
}

struct Square<'a, const W: usize> {
    answers: &'a mut Answers<W>,
}

impl<const W: usize> WithSimd for Square<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.answers.sum_products();
    }
}

struct Slope<'a, const W: usize> {
    answers: &'a mut Answers<W>,
}

impl<const W: usize> WithSimd for Slope<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.answers.sum_pulls();
    }
}
