//! The recursion whose season multiplies: ETS(M,N,M), (M,A,M) and (M,Ad,M).
//!
//! With `q` the level ahead, `s` the season and `Y` the value, `1 + r = Y / (q s)`; its tangent is
//! `dr = -(1 + r) (dq / q + ds / s)`. By the logarithm of `q s` the objective's second derivative is
//! `(1 + r) (1 + 2 r)`, and a fifth of Gauss and Newton's `(1 + r)^2` at the least.

use pulp::{Simd, WithSimd};

use super::additive::LEAST_BEND;
use super::growth::Growth;
use super::{Row, Seen, Sums, Weights};
use crate::{EtsForm, LANES, Trend};

/// The series of one group and the memory of the passes over them.
pub(in crate::cpu) struct Scaled {
    arch: pulp::Arch,
    pub(super) seen: Seen,
    form: EtsForm,
    /// What the latest forward pass met at each step: the slope, the level ahead, the season and one over
    /// their product, which is 0 where unobserved.
    slopes: Vec<Row>,
    levels: Vec<Row>,
    seasons: Vec<Row>,
    inverse: Vec<Row>,
    /// What the latest direction adds to the seeds.
    moves: Vec<Row>,
    /// Derivatives of the objective by the relative errors, moved along.
    seeds: Vec<Row>,
    ring: Vec<Row>,
    /// Squared error a step of the latest forward pass.
    variance: Row,
}

#[derive(Clone, Copy)]
enum Task {
    Forward,
    Direction,
    Adjoint,
    MovedAdjoint,
}

impl Scaled {
    pub(super) fn new(steps: usize, form: EtsForm) -> Self {
        let rows = || vec![[0.0; LANES]; steps];
        Self {
            arch: pulp::Arch::new(),
            seen: Seen::new(steps, form.season),
            form,
            slopes: if form.trend == Trend::None { Vec::new() } else { rows() },
            levels: rows(),
            seasons: rows(),
            inverse: rows(),
            moves: rows(),
            seeds: rows(),
            ring: vec![[0.0; LANES]; form.season],
            variance: [0.0; LANES],
        }
    }

    pub(super) fn forward(&mut self, weights: &Weights, start: &[Row]) -> Sums {
        let (sums, _) = self.dispatch(Task::Forward, weights, start, &[0.0; LANES], &mut []);
        self.variance = std::array::from_fn(|lane| sums.sse[lane] / self.seen.observed[lane]);
        sums
    }

    pub(super) fn direction(&mut self, weights: &Weights, change: &[Row]) -> Row {
        self.dispatch(Task::Direction, weights, change, &[0.0; LANES], &mut []).0.sse
    }

    pub(super) fn adjoint(&mut self, weights: &Weights, by_start: &mut [Row]) -> Weights {
        self.dispatch(Task::Adjoint, weights, &[], &[0.0; LANES], by_start).1
    }

    pub(super) fn moved_adjoint(&mut self, weights: &Weights, stride: &Row, by_start: &mut [Row]) {
        self.dispatch(Task::MovedAdjoint, weights, &[], stride, by_start);
    }

    /// The start of a season that is the same in every slot.
    pub(super) fn flat(&self, weights: &Weights, lane: usize) -> Vec<f64> {
        let season = self.form.season;
        let (mut level, mut slope) = (1.0, 0.0);
        let mut ring = vec![self.seen.common(lane); season];
        let mut start = vec![0.0; self.form.start_len()];
        for (t, y) in self.seen.values(lane).enumerate() {
            let drift = weights.phi[lane] * slope;
            let ahead = level + drift;
            (level, slope) = (ahead, drift);
            if y.is_nan() {
                continue;
            }
            let share = (y + self.seen.offset[lane]) / (ahead * ring[t % season]) - 1.0;
            if self.seen.first[t % season][lane] == t as f64 {
                start[1 + t % season] = share;
            }
            level += weights.alpha[lane] * ahead * share;
            slope += weights.beta[lane] * ahead * share;
            ring[t % season] *= 1.0 + weights.gamma[lane] * share;
        }
        start
    }

    fn dispatch(
        &mut self,
        task: Task,
        weights: &Weights,
        start: &[Row],
        stride: &Row,
        by_start: &mut [Row],
    ) -> (Sums, Weights) {
        let arch = self.arch;
        match (self.form.trend != Trend::None, self.seen.gaps) {
            (false, false) => {
                arch.dispatch(Pass::<false, false> { passes: self, task, weights, start, stride, by_start })
            }
            (false, true) => {
                arch.dispatch(Pass::<false, true> { passes: self, task, weights, start, stride, by_start })
            }
            (true, false) => {
                arch.dispatch(Pass::<true, false> { passes: self, task, weights, start, stride, by_start })
            }
            (true, true) => arch.dispatch(Pass::<true, true> { passes: self, task, weights, start, stride, by_start }),
        }
    }

    #[inline(always)]
    fn run<const TREND: bool, const GAPS: bool>(&mut self, weights: &Weights, start: &[Row]) -> Sums {
        let (season, steps) = (self.form.season, self.seen.steps);
        let (mut level, mut slope, mut sse) = ([1.0; LANES], start[0], [0.0; LANES]);
        let mut growth = Growth::new();
        self.ring.fill([1.0; LANES]);
        let mut no_slope = [0.0; LANES];
        for t in (0..steps).step_by(season) {
            for (slot, at) in (t..(t + season).min(steps)).enumerate() {
                let first = |lane: usize| if GAPS { self.seen.first[slot][lane] == at as f64 } else { t == 0 };
                let (y, ring, own) = (&self.seen.y[at], &mut self.ring[slot], &start[1 + slot]);
                let slopes = if TREND { &mut self.slopes[at] } else { &mut no_slope };
                let (levels, seasons, inverse) = (&mut self.levels[at], &mut self.seasons[at], &mut self.inverse[at]);
                for lane in 0..LANES {
                    let seen = !GAPS || !y[lane].is_nan();
                    let whole = f64::from(y[lane]) + self.seen.offset[lane];
                    let drift = if TREND { weights.phi[lane] * slope[lane] } else { 0.0 };
                    let ahead = level[lane] + drift;
                    let held = ring[lane];
                    let (up, down) = if first(lane) { (1.0 + own[lane], whole) } else { (1.0, ahead * held) };
                    let over = up / down;
                    let over = if seen { over } else { 0.0 };
                    let ratio = if seen { whole * over } else { 1.0 };
                    let r = ratio - 1.0;
                    let before = if first(lane) && seen { 1.0 / (over * ahead) } else { held };
                    if TREND {
                        slopes[lane] = slope[lane];
                        slope[lane] = drift + weights.beta[lane] * ahead * r;
                    }
                    levels[lane] = ahead;
                    seasons[lane] = before;
                    inverse[lane] = over;
                    level[lane] = ahead * (1.0 + weights.alpha[lane] * r);
                    ring[lane] = before * (1.0 + weights.gamma[lane] * r);
                    sse[lane] += r * r;
                    growth.take(lane, ratio);
                }
                growth.step();
            }
        }
        Sums { sse, log_growth: growth.ln() }
    }

    /// What a change of the start adds to the relative errors, to first order.
    #[inline(always)]
    fn run_tangent<const TREND: bool, const GAPS: bool>(&mut self, weights: &Weights, change: &[Row]) -> Sums {
        let (season, steps) = (self.form.season, self.seen.steps);
        let (mut level, mut slope, mut sse) = ([0.0; LANES], change[0], [0.0; LANES]);
        self.ring.fill([0.0; LANES]);
        for t in (0..steps).step_by(season) {
            for (slot, at) in (t..(t + season).min(steps)).enumerate() {
                let first = |lane: usize| if GAPS { self.seen.first[slot][lane] == at as f64 } else { t == 0 };
                let (y, ring, own) = (&self.seen.y[at], &mut self.ring[slot], &change[1 + slot]);
                let (levels, seasons, inverse) = (&self.levels[at], &self.seasons[at], &self.inverse[at]);
                let moves = &mut self.moves[at];
                for lane in 0..LANES {
                    let seen = !GAPS || !y[lane].is_nan();
                    let whole = f64::from(y[lane]) + self.seen.offset[lane];
                    let (q, s, over) = (levels[lane], seasons[lane], inverse[lane]);
                    let ratio = if seen { whole * over } else { 1.0 };
                    let r = ratio - 1.0;
                    let drift = if TREND { weights.phi[lane] * slope[lane] } else { 0.0 };
                    let ahead = level[lane] + drift;
                    let held = ring[lane];
                    let share = ahead * over * s; // dq / q
                    let grown = share + held * over * q;
                    let given = own[lane];
                    let bend = (2.0 * ratio - 1.0).max(LEAST_BEND * ratio);
                    let (dr, bent) =
                        if first(lane) { (given, bend / ratio * given) } else { (-ratio * grown, -bend * grown) };
                    let (dr, bent) = if seen { (dr, bent) } else { (0.0, 0.0) };
                    let before = if first(lane) && seen { -s * (share + given / ratio) } else { held };
                    let (a, b, g) = (weights.alpha[lane], weights.beta[lane], weights.gamma[lane]);
                    level[lane] = ahead * (1.0 + a * r) + a * q * dr;
                    if TREND {
                        slope[lane] = drift + b * (r * ahead + q * dr);
                    }
                    ring[lane] = before * (1.0 + g * r) + g * s * dr;
                    moves[lane] = bent;
                    sse[lane] += bent * dr;
                }
            }
        }
        Sums { sse, log_growth: [0.0; LANES] }
    }

    #[inline(always)]
    fn run_back<const TREND: bool, const GAPS: bool, const MOVES: bool>(
        &mut self,
        weights: &Weights,
        stride: &Row,
        by_start: &mut [Row],
    ) -> Weights {
        let (season, steps) = (self.form.season, self.seen.steps);
        by_start.fill([0.0; LANES]);
        self.ring.fill([0.0; LANES]);
        let (mut level, mut slope, mut by) = ([0.0; LANES], [0.0; LANES], Weights::default());
        let no_slope = [0.0; LANES];
        for t in (0..steps).step_by(season).rev() {
            for (slot, at) in (t..(t + season).min(steps)).enumerate().rev() {
                let first = |lane: usize| if GAPS { self.seen.first[slot][lane] == at as f64 } else { t == 0 };
                let (y, ring, own) = (&self.seen.y[at], &mut self.ring[slot], &mut by_start[1 + slot]);
                let (levels, seasons, inverse) = (&self.levels[at], &self.seasons[at], &self.inverse[at]);
                let (seeds, moves) = (&mut self.seeds[at], &self.moves[at]);
                let slopes = if TREND { &self.slopes[at] } else { &no_slope };
                for lane in 0..LANES {
                    let seen = !GAPS || !y[lane].is_nan();
                    let whole = f64::from(y[lane]) + self.seen.offset[lane];
                    let (q, s, over) = (levels[lane], seasons[lane], inverse[lane]);
                    let ratio = if seen { whole * over } else { 1.0 };
                    let r = ratio - 1.0;
                    let seed =
                        if MOVES { seeds[lane] + stride[lane] * moves[lane] } else { r - self.variance[lane] / ratio };
                    let seed = if seen { seed } else { 0.0 };
                    seeds[lane] = seed;
                    let (a, b, g) = (weights.alpha[lane], weights.beta[lane], weights.gamma[lane]);
                    let held = ring[lane];
                    let (by_level, by_slope, by_season) = (level[lane] * q, slope[lane] * q, held * s);
                    let aside = seed + g * by_season + a * by_level;
                    let pull = if TREND { aside + b * by_slope } else { aside };
                    if !MOVES {
                        by.alpha[lane] += r * by_level;
                        by.gamma[lane] += r * by_season;
                    }
                    let grown = held * (1.0 + g * r);
                    let fresh = first(lane);
                    // What one share more of the level ahead takes from the objective.
                    let taken = if fresh { grown * s } else { pull * ratio };
                    let taken = if seen { taken } else { 0.0 };
                    if fresh {
                        own[lane] = pull - grown * s / ratio;
                    }
                    let kept = level[lane] * (1.0 + a * r);
                    let kept = if TREND { kept + slope[lane] * b * r } else { kept };
                    let ahead = kept - taken * over * s;
                    ring[lane] = if seen { grown - pull * ratio * over * q } else { held };
                    if TREND {
                        if !MOVES {
                            by.beta[lane] += r * by_slope;
                            by.phi[lane] += slopes[lane] * (slope[lane] + ahead);
                        }
                        slope[lane] = weights.phi[lane] * (slope[lane] + ahead);
                    }
                    level[lane] = ahead;
                }
            }
        }
        if TREND {
            by_start[0] = slope;
        }
        if self.form.trend != Trend::Damped {
            by.phi = [0.0; LANES];
        }
        by
    }
}

/// A pass as pulp dispatches it. A closure of this size would become a function of its own and lose the
/// chosen instruction set.
struct Pass<'p, const TREND: bool, const GAPS: bool> {
    passes: &'p mut Scaled,
    task: Task,
    weights: &'p Weights,
    start: &'p [Row],
    stride: &'p Row,
    by_start: &'p mut [Row],
}

impl<const TREND: bool, const GAPS: bool> WithSimd for Pass<'_, TREND, GAPS> {
    type Output = (Sums, Weights);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> (Sums, Weights) {
        let Self { passes, task, weights, start, stride, by_start } = self;
        let none = Sums { sse: [0.0; LANES], log_growth: [0.0; LANES] };
        match task {
            Task::Forward => (passes.run::<TREND, GAPS>(weights, start), Weights::default()),
            Task::Direction => (passes.run_tangent::<TREND, GAPS>(weights, start), Weights::default()),
            Task::Adjoint => (none, passes.run_back::<TREND, GAPS, false>(weights, stride, by_start)),
            Task::MovedAdjoint => (none, passes.run_back::<TREND, GAPS, true>(weights, stride, by_start)),
        }
    }
}
