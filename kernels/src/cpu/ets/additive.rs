//! The recursion whose season adds, with an additive error or a relative one.
//!
//! Both obey the same recursion in the absolute error `e`; a relative one only squares `r = e / mu` instead.
//! With `Y` the value and `mu = Y - e`, `1 + r = Y / mu` and `dr/de = Y / mu^2`; the objective's second derivative
//! by `e` is `((1 + r) (1 + 3 r) - v) / mu^2`, and a fifth of Gauss and Newton's `(1 + r)^2 / mu^2` at the least.

use pulp::{Simd, WithSimd};

use super::growth::Growth;
use super::{Row, Seen, Sums, Weights};
use crate::{EtsForm, LANES, Trend};

/// The series of one group and the memory of the passes over them.
pub(in crate::cpu) struct Additive {
    arch: pulp::Arch,
    pub(super) seen: Seen,
    form: EtsForm,
    /// Absolute errors of the latest forward pass; an additive error's are moved along by the profiler.
    errors: Vec<Row>,
    /// Errors that the latest direction adds; where the error is relative, what they add to the seeds.
    moves: Vec<Row>,
    /// Slope before each step, where there is one.
    slopes: Vec<Row>,
    ring: Vec<Row>,
    /// One over each expected value, 0 where unobserved; for a relative error only.
    inverse: Vec<Row>,
    /// Derivatives of the objective by the absolute errors, moved along; for a relative error only.
    seeds: Vec<Row>,
    /// Squared error a step of the latest forward pass.
    variance: Row,
}

/// Least second derivative by an error, as a share of Gauss and Newton's.
pub(in crate::cpu) const LEAST_BEND: f64 = 0.2;

/// Calls one of the passes' instances: with a slope or without, with gaps or without, errors relative or not.
macro_rules! dispatch {
    ($passes:expr, $struct:ident, $flag:literal, $fields:tt) => {
        match ($passes.form.trend != Trend::None, $passes.seen.gaps, $passes.form.is_relative()) {
            (false, false, false) => dispatch!(@ $passes, $struct::<false, false, false, $flag>, $fields),
            (false, true, false) => dispatch!(@ $passes, $struct::<false, true, false, $flag>, $fields),
            (true, false, false) => dispatch!(@ $passes, $struct::<true, false, false, $flag>, $fields),
            (true, true, false) => dispatch!(@ $passes, $struct::<true, true, false, $flag>, $fields),
            (false, false, true) => dispatch!(@ $passes, $struct::<false, false, true, $flag>, $fields),
            (false, true, true) => dispatch!(@ $passes, $struct::<false, true, true, $flag>, $fields),
            (true, false, true) => dispatch!(@ $passes, $struct::<true, false, true, $flag>, $fields),
            (true, true, true) => dispatch!(@ $passes, $struct::<true, true, true, $flag>, $fields),
        }
    };
    (@ $passes:expr, $struct:ty, { $($name:ident),* }) => {{
        let arch = $passes.arch;
        arch.dispatch(<$struct>::new($passes, $($name),*))
    }};
}

impl Additive {
    pub(super) fn new(steps: usize, form: EtsForm) -> Self {
        let only = |there: bool| vec![[0.0; LANES]; if there { steps } else { 0 }];
        Self {
            arch: pulp::Arch::new(),
            seen: Seen::new(steps, form.season),
            form,
            errors: only(true),
            moves: only(true),
            slopes: only(form.trend != Trend::None),
            ring: vec![[0.0; LANES]; form.season],
            inverse: only(form.is_relative()),
            seeds: only(form.is_relative()),
            variance: [0.0; LANES],
        }
    }

    pub(super) fn forward(&mut self, weights: &Weights, start: &[Row]) -> Sums {
        let sums = dispatch!(self, Run, false, { weights, start });
        self.variance = std::array::from_fn(|lane| sums.sse[lane] / self.seen.observed[lane]);
        sums
    }

    pub(super) fn direction(&mut self, weights: &Weights, change: &[Row]) -> Row {
        dispatch!(self, Run, true, { weights, change }).sse
    }

    pub(super) fn adjoint(&mut self, weights: &Weights, by_start: &mut [Row]) -> Weights {
        let stride = &[0.0; LANES];
        dispatch!(self, Back, false, { weights, stride, by_start })
    }

    pub(super) fn moved_adjoint(&mut self, weights: &Weights, stride: &Row, by_start: &mut [Row]) {
        dispatch!(self, Back, true, { weights, stride, by_start });
    }

    /// The start of a season that is the same in every slot.
    pub(super) fn flat(&self, weights: &Weights, lane: usize) -> Vec<f64> {
        let season = self.form.season;
        let common = self.seen.common(lane) - self.seen.offset[lane];
        let (mut level, mut slope) = (0.0, 0.0);
        let mut ring = vec![common; season];
        let mut start = vec![0.0; self.form.start_len()];
        for (t, y) in self.seen.values(lane).enumerate() {
            let drift = weights.phi[lane] * slope;
            let ahead = level + drift;
            (level, slope) = (ahead, drift);
            if y.is_nan() {
                continue;
            }
            let error = y - ahead - ring[t % season];
            if self.seen.first[t % season][lane] == t as f64 {
                let whole = y + self.seen.offset[lane];
                start[1 + t % season] = whole / (whole - error) - 1.0;
            }
            level += weights.alpha[lane] * error;
            slope += weights.beta[lane] * error;
            ring[t % season] += weights.gamma[lane] * error;
        }
        start
    }

    #[inline(always)]
    fn run<const TREND: bool, const GAPS: bool, const RELATIVE: bool, const LINEAR: bool>(
        &mut self,
        weights: &Weights,
        start: &[Row],
    ) -> Sums {
        let season = self.form.season;
        let steps = self.seen.steps;
        let mut state = State {
            level: [0.0; LANES],
            slope: start[0],
            offset: self.seen.offset,
            variance: self.variance,
            sse: [0.0; LANES],
            growth: Growth::new(),
        };
        self.ring.fill([0.0; LANES]);
        let (mut no_slope, mut no_inverse) = ([0.0; LANES], [0.0; LANES]);
        let mut t = 0;
        while t < steps {
            let end = (t + season).min(steps);
            for (slot, at) in (t..end).enumerate() {
                let memory = Memory {
                    y: &self.seen.y[at],
                    own: &start[1 + slot],
                    ring: &mut self.ring[slot],
                    error: if LINEAR { &mut self.moves[at] } else { &mut self.errors[at] },
                    slope: if TREND && !LINEAR { &mut self.slopes[at] } else { &mut no_slope },
                    inverse: if RELATIVE { &mut self.inverse[at] } else { &mut no_inverse },
                };
                if GAPS {
                    let (first, now) = (&self.seen.first[slot], at as f64);
                    state.step::<TREND, true, RELATIVE, LINEAR>(weights, memory, |lane| first[lane] == now);
                } else if t == 0 {
                    state.step::<TREND, false, RELATIVE, LINEAR>(weights, memory, |_| true);
                } else {
                    state.step::<TREND, false, RELATIVE, LINEAR>(weights, memory, |_| false);
                }
            }
            t = end;
        }
        let log_growth = if RELATIVE && !LINEAR { state.growth.ln() } else { [0.0; LANES] };
        Sums { sse: state.sse, log_growth }
    }

    #[inline(always)]
    fn run_back<const TREND: bool, const GAPS: bool, const RELATIVE: bool, const MOVES: bool>(
        &mut self,
        weights: &Weights,
        stride: &Row,
        by_start: &mut [Row],
    ) -> Weights {
        let season = self.form.season;
        by_start.fill([0.0; LANES]);
        self.ring.fill([0.0; LANES]);
        let mut back = Adjoint {
            level: [0.0; LANES],
            slope: [0.0; LANES],
            offset: self.seen.offset,
            variance: self.variance,
            by: Weights::default(),
        };
        let (no_slope, no_inverse, mut no_seed) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let mut end = self.seen.steps;
        while end > 0 {
            let t = (end - 1) / season * season;
            for (slot, at) in (t..end).enumerate().rev() {
                let memory = BackMemory {
                    y: &self.seen.y[at],
                    error: &mut self.errors[at],
                    seed: if RELATIVE { &mut self.seeds[at] } else { &mut no_seed },
                    inverse: if RELATIVE { &self.inverse[at] } else { &no_inverse },
                    moves: &self.moves[at],
                    slope: if TREND && !MOVES { &self.slopes[at] } else { &no_slope },
                    ring: &mut self.ring[slot],
                    own: &mut by_start[1 + slot],
                };
                if GAPS {
                    let (first, now) = (&self.seen.first[slot], at as f64);
                    back.step::<TREND, true, RELATIVE, MOVES>(weights, stride, memory, |lane| first[lane] == now);
                } else if t == 0 {
                    back.step::<TREND, false, RELATIVE, MOVES>(weights, stride, memory, |_| true);
                } else {
                    back.step::<TREND, false, RELATIVE, MOVES>(weights, stride, memory, |_| false);
                }
            }
            end = t;
        }
        if TREND {
            by_start[0] = back.slope;
        }
        if self.form.trend != Trend::Damped {
            back.by.phi = [0.0; LANES];
        }
        if season == 1 {
            back.by.gamma = [0.0; LANES];
        }
        back.by
    }
}

/// A pass as pulp dispatches it. A closure of this size would become a function of its own and lose the
/// chosen instruction set.
struct Run<'p, const TREND: bool, const GAPS: bool, const RELATIVE: bool, const LINEAR: bool> {
    passes: &'p mut Additive,
    weights: &'p Weights,
    start: &'p [Row],
}

impl<'p, const TREND: bool, const GAPS: bool, const RELATIVE: bool, const LINEAR: bool>
    Run<'p, TREND, GAPS, RELATIVE, LINEAR>
{
    fn new(passes: &'p mut Additive, weights: &'p Weights, start: &'p [Row]) -> Self {
        Self { passes, weights, start }
    }
}

impl<const TREND: bool, const GAPS: bool, const RELATIVE: bool, const LINEAR: bool> WithSimd
    for Run<'_, TREND, GAPS, RELATIVE, LINEAR>
{
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Sums {
        self.passes.run::<TREND, GAPS, RELATIVE, LINEAR>(self.weights, self.start)
    }
}

struct Back<'p, const TREND: bool, const GAPS: bool, const RELATIVE: bool, const MOVES: bool> {
    passes: &'p mut Additive,
    weights: &'p Weights,
    stride: &'p Row,
    by_start: &'p mut [Row],
}

impl<'p, const TREND: bool, const GAPS: bool, const RELATIVE: bool, const MOVES: bool>
    Back<'p, TREND, GAPS, RELATIVE, MOVES>
{
    fn new(passes: &'p mut Additive, weights: &'p Weights, stride: &'p Row, by_start: &'p mut [Row]) -> Self {
        Self { passes, weights, stride, by_start }
    }
}

impl<const TREND: bool, const GAPS: bool, const RELATIVE: bool, const MOVES: bool> WithSimd
    for Back<'_, TREND, GAPS, RELATIVE, MOVES>
{
    type Output = Weights;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Weights {
        self.passes.run_back::<TREND, GAPS, RELATIVE, MOVES>(self.weights, self.stride, self.by_start)
    }
}

struct State {
    level: Row,
    slope: Row,
    offset: Row,
    variance: Row,
    sse: Row,
    growth: Growth,
}

/// What a step reads and writes besides its state.
struct Memory<'m> {
    y: &'m [f32; LANES],
    /// The start's own word on this slot.
    own: &'m Row,
    ring: &'m mut Row,
    error: &'m mut Row,
    slope: &'m mut Row,
    inverse: &'m mut Row,
}

impl State {
    /// One step of the recursion; `LINEAR` runs it on zeros, which gives what a start adds.
    #[inline(always)]
    fn step<const TREND: bool, const GAPS: bool, const RELATIVE: bool, const LINEAR: bool>(
        &mut self,
        weights: &Weights,
        memory: Memory<'_>,
        first: impl Fn(usize) -> bool,
    ) {
        let Memory { y, own, ring, error, slope, inverse } = memory;
        for lane in 0..LANES {
            let seen = !GAPS || !y[lane].is_nan();
            let value = f64::from(y[lane]);
            let whole = value + self.offset[lane];
            let y = if LINEAR { 0.0 } else { value };
            let drift = if TREND { weights.phi[lane] * self.slope[lane] } else { 0.0 };
            let ahead = if TREND { self.level[lane] + drift } else { self.level[lane] };
            let fresh = first(lane);
            let later = (y - ring[lane]) - ahead;
            let ratio = if RELATIVE && LINEAR { whole * inverse[lane] } else { 1.0 };
            let given = match (RELATIVE, LINEAR) {
                (false, _) => own[lane],
                (true, true) => own[lane] / (ratio * inverse[lane]),
                (true, false) => whole - whole / (1.0 + own[lane]),
            };
            let e = if fresh { given } else { later };
            let before = if fresh { y - ahead - e } else { ring[lane] };
            let e = if seen { e } else { 0.0 };
            let before = if seen { before } else { ring[lane] };
            if TREND && !LINEAR {
                slope[lane] = self.slope[lane];
            }
            self.level[lane] = ahead + weights.alpha[lane] * e;
            if TREND {
                self.slope[lane] = drift + weights.beta[lane] * e;
            }
            ring[lane] = before + weights.gamma[lane] * e;
            if RELATIVE && LINEAR {
                let over = inverse[lane];
                let exact = ratio * (3.0 * ratio - 2.0) - self.variance[lane];
                let bend = over * over * exact.max(LEAST_BEND * ratio * ratio);
                error[lane] = bend * e;
                self.sse[lane] += bend * e * e;
                continue;
            }
            let squared = if RELATIVE {
                let over = if seen { (whole - e).recip() } else { 0.0 };
                inverse[lane] = over;
                self.growth.take(lane, if seen { whole * over } else { 1.0 });
                e * over
            } else {
                e
            };
            error[lane] = e;
            self.sse[lane] += squared * squared;
        }
        if RELATIVE && !LINEAR {
            self.growth.step();
        }
    }
}

struct Adjoint {
    level: Row,
    slope: Row,
    offset: Row,
    variance: Row,
    by: Weights,
}

struct BackMemory<'m> {
    y: &'m [f32; LANES],
    error: &'m mut Row,
    seed: &'m mut Row,
    inverse: &'m Row,
    moves: &'m Row,
    slope: &'m Row,
    ring: &'m mut Row,
    own: &'m mut Row,
}

impl Adjoint {
    #[inline(always)]
    fn step<const TREND: bool, const GAPS: bool, const RELATIVE: bool, const MOVES: bool>(
        &mut self,
        weights: &Weights,
        stride: &Row,
        memory: BackMemory<'_>,
        first: impl Fn(usize) -> bool,
    ) {
        let BackMemory { y, error, seed, inverse, moves, slope: slope_before, ring, own } = memory;
        for lane in 0..LANES {
            let seen = !GAPS || !y[lane].is_nan();
            let fresh = first(lane);
            let over = inverse[lane];
            let whole = if RELATIVE && seen { f64::from(y[lane]) + self.offset[lane] } else { 0.0 };
            let steep = if RELATIVE { whole * over * over } else { 1.0 };
            let e = if MOVES && !RELATIVE { error[lane] + stride[lane] * moves[lane] } else { error[lane] };
            let pushed = match (RELATIVE, MOVES) {
                (false, _) => e, // 0 where unobserved
                (true, false) => (e * over * (whole * over) - self.variance[lane]) * over,
                (true, true) => seed[lane] + stride[lane] * moves[lane],
            };
            if MOVES && !RELATIVE {
                error[lane] = e;
            }
            if RELATIVE {
                seed[lane] = pushed;
            }
            let (level, slope, season) = (self.level[lane], self.slope[lane], ring[lane]);
            let aside = pushed + weights.gamma[lane] * season;
            let aside = if TREND { aside + weights.beta[lane] * slope } else { aside };
            let pull = aside + weights.alpha[lane] * level;
            if !MOVES {
                self.by.alpha[lane] += e * level;
                self.by.gamma[lane] += e * season;
            }
            let taken = if fresh { season } else { pull };
            let taken = if seen { taken } else { 0.0 };
            if fresh {
                own[lane] = if RELATIVE { (pull - season) / steep } else { pull - season };
            }
            let ahead = level - taken;
            ring[lane] = season - taken;
            if TREND {
                if !MOVES {
                    self.by.beta[lane] += e * slope;
                    self.by.phi[lane] += slope_before[lane] * (slope + ahead);
                }
                self.slope[lane] = weights.phi[lane] * (slope + ahead);
            }
            self.level[lane] = ahead;
        }
    }
}
