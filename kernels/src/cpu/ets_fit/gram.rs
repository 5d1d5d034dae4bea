//! The Hessian of an additive recursion by its start, in closed form: what conjugate gradients divide by.
//!
//! After the first season the recursion is the same at every step. A season of one in slot `k` is answered by the
//! errors `g(t - k)`, a slope of one by `b(t)`, and a level of one by as much as the season one in every slot, for
//! the two together show in no error. So all products of answers are sums over shifts of two sequences, and what
//! the start makes of level, slope and season in the first season is a recurrence. The result is exact for an
//! additive error without gaps. Relative errors are near to additive ones of the logarithm, and gaps are few, so
//! that there too a few rounds remain of what would be dozens.

use pulp::{Simd, WithSimd};

use crate::cpu::ets::{Row, Weights};
use crate::{EtsForm, LANES, Trend};

/// Longest season whose Hessian is worth its cube.
const LONGEST: usize = 64;

/// The factored Hessian of a lane group.
pub(super) struct Gram {
    arch: pulp::Arch,
    season: usize,
    trend: bool,
    /// Coordinates: the slope, and each slot.
    size: usize,
    /// Answers to a season and to a slope of one.
    season_answer: Vec<Row>,
    /// Steps after the first season of each lane's series, which its own length and no neighbour's decides.
    after: [usize; LANES],
    slope_answer: Vec<Row>,
    ring: Vec<Row>,
    /// Products of answers, and the Hessian, whose lower triangle its factor takes.
    products: Vec<Row>,
    factor: Vec<Row>,
    line: Vec<Row>,
    out: Vec<Row>,
}

impl Gram {
    /// Room for series of so many steps; `None` where the season is too long for it to pay.
    pub(super) fn new(steps: usize, form: EtsForm) -> Option<Self> {
        let (season, trend) = (form.season, form.trend != Trend::None);
        let rows = |count: usize| vec![[0.0; LANES]; count];
        let size = season + 1;
        let after = steps.saturating_sub(season);
        (season <= LONGEST).then(|| Self {
            arch: pulp::Arch::new(),
            season,
            trend,
            size,
            season_answer: rows(after),
            after: [after; LANES],
            slope_answer: rows(if trend { after } else { 0 }),
            ring: rows(season),
            products: rows(size * size),
            factor: rows(size * size),
            line: rows(size),
            out: rows(size),
        })
    }

    /// Takes another series' length.
    pub(super) fn place(&mut self, lane: usize, steps: usize) {
        self.after[lane] = steps.saturating_sub(self.season);
    }

    /// Takes the weights.
    pub(super) fn prepare(&mut self, weights: &Weights) {
        let arch = self.arch;
        arch.dispatch(Prepare { gram: self, weights });
    }

    /// The Hessian's diagonal element of the slope.
    pub(super) fn slope(&self) -> Row {
        self.factor[0].map(|inverse| 1.0 / (inverse * inverse))
    }

    /// Solves the Hessian for a gradient of the start, in place.
    pub(super) fn solve(&self, gradient: &mut [Row]) {
        self.arch.dispatch(Solve { gram: self, gradient });
    }

    #[inline(always)]
    fn build(&mut self, weights: &Weights) {
        let (season, size) = (self.season, self.size);
        self.ring.fill([0.0; LANES]);
        self.ring[0] = [1.0; LANES];
        answer(weights, [0.0; LANES], &mut self.ring, &mut self.season_answer);
        self.ring.fill([0.0; LANES]);
        answer(weights, [1.0; LANES], &mut self.ring, &mut self.slope_answer);
        let longest = self.after.into_iter().max().unwrap_or(0);
        if self.after.iter().all(|&after| after == longest) {
            self.multiply(longest);
        } else {
            self.multiply_by_lane();
        }
        // Rows, then columns, into the coordinates of the start.
        for row in 0..size {
            self.line.copy_from_slice(&self.products[row * size..][..size]);
            into_start(weights, season, &self.line, &mut self.out);
            if !self.trend {
                self.out[0] = [0.0; LANES];
            }
            self.products[row * size..][..size].copy_from_slice(&self.out);
        }
        for column in 0..size {
            for row in 0..size {
                self.line[row] = self.products[row * size + column];
            }
            into_start(weights, season, &self.line, &mut self.out);
            if !self.trend {
                self.out[0] = [0.0; LANES];
            }
            for row in 0..size {
                self.factor[row * size + column] = self.out[row];
            }
        }
        // A first error is itself one of the errors; a slope that is not there has a coordinate of its own.
        for i in 0..size {
            for lane in 0..LANES {
                let own = if i > 0 || !self.trend { 1.0 } else { 0.0 };
                self.factor[i * size + i][lane] += own;
            }
        }
        self.decompose();
    }

    /// Products of the answers to the slope, first, and to each slot.
    #[inline(always)]
    fn multiply(&mut self, steps: usize) {
        let (season, size) = (self.season, self.size);
        let g = &self.season_answer[..steps];
        // What all slots have in common, and then slot by slot what an earlier one sees besides.
        let common = steps.saturating_sub(season - 1);
        shifted(g, g, common, &mut self.line[..season]);
        for shift in 0..season {
            let mut sum = self.line[shift];
            let mut at = common;
            for slot in (shift..season).rev() {
                let end = steps.saturating_sub(slot);
                add_product(&mut sum, &g[at.min(end)..end], &g[(at + shift).min(steps)..]);
                at = end;
                self.products[(1 + slot) * size + 1 + slot - shift] = sum;
                self.products[(1 + slot - shift) * size + 1 + slot] = sum;
            }
        }
        if !self.trend {
            return;
        }
        let b = &self.slope_answer[..steps];
        shifted(g, b, common, &mut self.line[..season]);
        for slot in 0..season {
            let mut sum = self.line[slot];
            add_product(&mut sum, &g[common..], &b[(common + slot).min(steps)..]);
            self.products[1 + slot] = sum;
            self.products[(1 + slot) * size] = sum;
        }
        let mut sum = [0.0; LANES];
        add_product(&mut sum, b, b);
        self.products[0] = sum;
    }

    /// The same sums, in the same order, of series that end at different steps.
    #[inline(always)]
    fn multiply_by_lane(&mut self) {
        let (season, size) = (self.season, self.size);
        let Self { season_answer: g, slope_answer: b, products, after, .. } = self;
        let longest = after.iter().copied().max().unwrap_or(0);
        products.fill([0.0; LANES]);
        for shift in 0..season {
            let (mut sum, mut with_slope) = ([0.0; LANES], [0.0; LANES]);
            for t in 0..longest.saturating_sub(shift) {
                add_product(&mut sum, &g[t..=t], &g[t + shift..=t + shift]);
                if self.trend {
                    add_product(&mut with_slope, &g[t..=t], &b[t + shift..=t + shift]);
                }
                for lane in 0..LANES {
                    let slot = after[lane].wrapping_sub(t + 1);
                    if (shift..season).contains(&slot) {
                        products[(1 + slot) * size + 1 + slot - shift][lane] = sum[lane];
                        products[(1 + slot - shift) * size + 1 + slot][lane] = sum[lane];
                    }
                    if self.trend && slot == shift {
                        products[1 + shift][lane] = with_slope[lane];
                        products[(1 + shift) * size][lane] = with_slope[lane];
                    }
                }
            }
        }
        let mut sum = [0.0; LANES];
        for (t, b) in b.iter().enumerate() {
            for lane in 0..LANES {
                sum[lane] += if t < after[lane] { b[lane] * b[lane] } else { 0.0 };
            }
        }
        products[0] = sum;
    }

    /// Cholesky's factor, in the lower triangle, its diagonal inverted.
    #[inline(always)]
    fn decompose(&mut self) {
        let size = self.size;
        for i in 0..size {
            for j in 0..=i {
                let mut sum = self.factor[i * size + j];
                let (upper, lower) = self.factor.split_at(i * size);
                let own = &lower[..size];
                let other = if i == j { own } else { &upper[j * size..][..size] };
                for (a, b) in own[..j].iter().zip(&other[..j]) {
                    for lane in 0..LANES {
                        sum[lane] -= a[lane] * b[lane];
                    }
                }
                if i == j {
                    for lane in 0..LANES {
                        // Rounding, or weights that are no numbers, may leave no positive pivot.
                        let pivot = if sum[lane] > 1e-12 { sum[lane] } else { 1.0 };
                        sum[lane] = pivot.sqrt().recip();
                    }
                } else {
                    for lane in 0..LANES {
                        sum[lane] *= self.factor[j * size + j][lane];
                    }
                }
                self.factor[i * size + j] = sum;
            }
        }
    }

    #[inline(always)]
    fn substitute(&self, x: &mut [Row]) {
        let size = self.size;
        for i in 0..size {
            let mut sum = x[i];
            for (j, x) in x[..i].iter().enumerate() {
                for lane in 0..LANES {
                    sum[lane] -= self.factor[i * size + j][lane] * x[lane];
                }
            }
            for lane in 0..LANES {
                x[i][lane] = sum[lane] * self.factor[i * size + i][lane];
            }
        }
        for i in (0..size).rev() {
            let mut own = x[i];
            for lane in 0..LANES {
                own[lane] *= self.factor[i * size + i][lane];
            }
            x[i] = own;
            for (j, x) in x[..i].iter_mut().enumerate() {
                for lane in 0..LANES {
                    x[lane] -= self.factor[i * size + j][lane] * own[lane];
                }
            }
        }
    }
}

/// Adds the product of two sequences, as far as both go.
#[inline(always)]
fn add_product(sum: &mut Row, one: &[Row], other: &[Row]) {
    for (one, other) in one.iter().zip(other) {
        for lane in 0..LANES {
            sum[lane] += one[lane] * other[lane];
        }
    }
}

/// Products of the first so many steps of one sequence with those of another that are later by `0..sums.len()`:
/// a few steps at a time for all shifts, so that both stay in the nearest cache.
#[inline(always)]
fn shifted(one: &[Row], other: &[Row], steps: usize, sums: &mut [Row]) {
    const BLOCK: usize = 32;
    sums.fill([0.0; LANES]);
    for first in (0..steps).step_by(BLOCK) {
        let last = (first + BLOCK).min(steps);
        for (shift, sum) in sums.iter_mut().enumerate() {
            let mut part = *sum;
            add_product(&mut part, &one[first..last], &other[first + shift..]);
            *sum = part;
        }
    }
}

/// Errors that answer a slope and a season, after the first season.
#[inline(always)]
fn answer(weights: &Weights, mut slope: Row, ring: &mut [Row], out: &mut [Row]) {
    let mut level = [0.0; LANES];
    for out in out.chunks_mut(ring.len()) {
        for (out, ring) in out.iter_mut().zip(&mut *ring) {
            for lane in 0..LANES {
                let drift = weights.phi[lane] * slope[lane];
                let ahead = level[lane] + drift;
                let error = -(ahead + ring[lane]);
                level[lane] = ahead + weights.alpha[lane] * error;
                slope[lane] = drift + weights.beta[lane] * error;
                ring[lane] += weights.gamma[lane] * error;
                out[lane] = error;
            }
        }
    }
}

/// From products with the slope and the season after the first season, to products with the start.
///
/// A first error of one in slot `j` leaves `alpha` in the level and `beta` in the slope, which go on to the
/// season's end, and `gamma - 1` in its slot; each later slot takes up what the level is ahead of it.
#[inline(always)]
fn into_start(weights: &Weights, season: usize, line: &[Row], out: &mut [Row]) {
    let mut all = [0.0; LANES];
    for own in &line[1..] {
        for lane in 0..LANES {
            all[lane] += own[lane];
        }
    }
    let (mut later, mut risen) = ([0.0; LANES], [0.0; LANES]);
    let (mut power, mut damped) = ([1.0; LANES], [0.0; LANES]);
    for slot in (0..season).rev() {
        for lane in 0..LANES {
            let (alpha, beta) = (weights.alpha[lane], weights.beta[lane]);
            let end = alpha + beta * damped[lane];
            let left = end * all[lane] + (weights.gamma[lane] - 1.0) * line[1 + slot][lane];
            let left = left + beta * power[lane] * line[0][lane];
            out[1 + slot][lane] = left - alpha * later[lane] - beta * risen[lane];
            let phi = weights.phi[lane];
            later[lane] += line[1 + slot][lane];
            risen[lane] = phi * (later[lane] + risen[lane]);
            damped[lane] = phi * (1.0 + damped[lane]);
            power[lane] *= phi;
        }
    }
    for lane in 0..LANES {
        out[0][lane] = power[lane] * line[0][lane] + damped[lane] * all[lane] - risen[lane];
    }
}

struct Prepare<'g> {
    gram: &'g mut Gram,
    weights: &'g Weights,
}

impl WithSimd for Prepare<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.gram.build(self.weights);
    }
}

struct Solve<'g> {
    gram: &'g Gram,
    gradient: &'g mut [Row],
}

impl WithSimd for Solve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.gram.substitute(self.gradient);
    }
}
