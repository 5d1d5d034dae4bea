//! The ETS recursion and its adjoint on a lane group, in `f64`: two AVX-512 registers a row, whose two
//! chains of dependent steps hide part of each other's latency.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::{EtsForm, EtsGradient, LANES, Lanes, Smoothing, Trend};

/// One value for each lane of a group.
pub(super) type Row = [f64; LANES];

/// The smoothing weights of a lane group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weights {
    pub(super) alpha: Row,
    pub(super) beta: Row,
    pub(super) gamma: Row,
    pub(super) phi: Row,
}

/// See [`crate::ets_gradient`].
pub(crate) fn ets_gradient(y: &Lanes, form: EtsForm, smoothing: &[Smoothing], start: &[f64]) -> EtsGradient {
    let series = y.series();
    let per_group: Vec<_> = (0..y.groups())
        .into_par_iter()
        .map(|group| {
            let of = |lane: usize| (group * LANES + lane).min(series - 1);
            let weights = Weights::pack(form, |lane| smoothing[of(lane)]);
            let rows: Vec<Row> = (0..form.start_len())
                .map(|i| std::array::from_fn(|lane| start[of(lane) * form.start_len() + i]))
                .collect();
            let mut passes = Passes::new(y.group(group), form);
            let mut by_start = vec![[0.0; LANES]; form.start_len()];
            let sse = passes.forward(&weights, &rows);
            let by = passes.adjoint(&weights, &mut by_start);
            (sse, by, by_start)
        })
        .collect();
    let mut gradient = EtsGradient { sse: Vec::new(), smoothing: Vec::new(), start: Vec::new() };
    for s in 0..series {
        let (sse, by, by_start) = &per_group[s / LANES];
        let lane = s % LANES;
        gradient.sse.push(sse[lane]);
        // The passes differentiate half the sum.
        gradient.smoothing.push(Smoothing {
            alpha: 2.0 * by.alpha[lane],
            beta: 2.0 * by.beta[lane],
            gamma: 2.0 * by.gamma[lane],
            phi: 2.0 * by.phi[lane],
        });
        gradient.start.extend(by_start.iter().map(|row| 2.0 * row[lane]));
    }
    gradient
}

impl Weights {
    /// Weights of a group, with those that the form does not have at their neutral value.
    pub(super) fn pack(form: EtsForm, of: impl Fn(usize) -> Smoothing) -> Self {
        let mut weights = Self::default();
        for lane in 0..LANES {
            let own = form.weights(of(lane));
            weights.alpha[lane] = own.alpha;
            weights.beta[lane] = own.beta;
            weights.gamma[lane] = own.gamma;
            weights.phi[lane] = own.phi;
        }
        weights
    }

    /// One lane's weights.
    pub(super) fn lane(&self, lane: usize) -> Smoothing {
        Smoothing { alpha: self.alpha[lane], beta: self.beta[lane], gamma: self.gamma[lane], phi: self.phi[lane] }
    }
}

/// The series of one group and the memory of the passes over them.
pub(super) struct Passes<'a> {
    arch: pulp::Arch,
    y: &'a [[f32; LANES]],
    form: EtsForm,
    /// Some step of some lane is unobserved.
    gaps: bool,
    /// Step at which a slot is first observed; -1 where it never is.
    first: Vec<Row>,
    /// Observed steps of each lane.
    pub(super) observed: Row,
    /// Errors of the latest forward pass, moved along by the profiler.
    pub(super) errors: Vec<Row>,
    /// Errors that the latest direction adds.
    pub(super) moves: Vec<Row>,
    /// Slope before each step, where there is one.
    slopes: Vec<Row>,
    ring: Vec<Row>,
}

impl<'a> Passes<'a> {
    pub(super) fn new(y: &'a [[f32; LANES]], form: EtsForm) -> Self {
        // Steps after the group's last observation change nothing.
        let steps = y.iter().rposition(|row| row.iter().any(|v| !v.is_nan())).map_or(0, |at| at + 1);
        let y = &y[..steps];
        let mut first = vec![[-1.0; LANES]; form.season];
        let mut observed = [0.0; LANES];
        for (t, row) in y.iter().enumerate() {
            let first = &mut first[t % form.season];
            for lane in 0..LANES {
                if !row[lane].is_nan() {
                    observed[lane] += 1.0;
                    if first[lane] < 0.0 {
                        first[lane] = t as f64;
                    }
                }
            }
        }
        let gaps = observed.iter().any(|&count| count < steps as f64);
        let slopes = if form.trend == Trend::None { 0 } else { steps };
        Self {
            arch: pulp::Arch::new(),
            y,
            form,
            gaps,
            first,
            observed,
            errors: vec![[0.0; LANES]; steps],
            moves: vec![[0.0; LANES]; steps],
            slopes: vec![[0.0; LANES]; slopes],
            ring: vec![[0.0; LANES]; form.season],
        }
    }

    /// Runs the recursion, keeps its errors, and returns their sum of squares.
    pub(super) fn forward(&mut self, weights: &Weights, start: &[Row]) -> Row {
        match (self.form.trend, self.gaps) {
            (Trend::None, false) => self.arch.dispatch(Run::<false, false, false> { passes: self, weights, start }),
            (Trend::None, true) => self.arch.dispatch(Run::<false, true, false> { passes: self, weights, start }),
            (_, false) => self.arch.dispatch(Run::<true, false, false> { passes: self, weights, start }),
            (_, true) => self.arch.dispatch(Run::<true, true, false> { passes: self, weights, start }),
        }
    }

    /// Errors that a change of the start adds, kept in `moves`; returns their sum of squares.
    pub(super) fn direction(&mut self, weights: &Weights, start: &[Row]) -> Row {
        match (self.form.trend, self.gaps) {
            (Trend::None, false) => self.arch.dispatch(Run::<false, false, true> { passes: self, weights, start }),
            (Trend::None, true) => self.arch.dispatch(Run::<false, true, true> { passes: self, weights, start }),
            (_, false) => self.arch.dispatch(Run::<true, false, true> { passes: self, weights, start }),
            (_, true) => self.arch.dispatch(Run::<true, true, true> { passes: self, weights, start }),
        }
    }

    #[inline(always)]
    fn run<const TREND: bool, const GAPS: bool, const LINEAR: bool>(
        &mut self,
        weights: &Weights,
        start: &[Row],
    ) -> Row {
        let season = self.form.season;
        let out = if LINEAR { &mut self.moves } else { &mut self.errors };
        let mut state = State { level: [0.0; LANES], slope: start[0], sse: [0.0; LANES] };
        self.ring.fill([0.0; LANES]);
        let mut unused = [0.0; LANES];
        let mut t = 0;
        while t < self.y.len() {
            let end = (t + season).min(self.y.len());
            for (slot, at) in (t..end).enumerate() {
                let slope = if TREND && !LINEAR { &mut self.slopes[at] } else { &mut unused };
                let (y, ring, error) = (&self.y[at], &mut self.ring[slot], &mut out[at]);
                let own = &start[1 + slot];
                if GAPS {
                    let (first, now) = (&self.first[slot], at as f64);
                    state.step::<TREND, true, LINEAR>(weights, y, own, ring, error, slope, |l| first[l] == now);
                } else if t == 0 {
                    state.step::<TREND, false, LINEAR>(weights, y, own, ring, error, slope, |_| true);
                } else {
                    state.step::<TREND, false, LINEAR>(weights, y, own, ring, error, slope, |_| false);
                }
            }
            t = end;
        }
        state.sse
    }

    /// Derivatives of half the sum of squares of `errors`, by the weights and, into `by_start`, by the
    /// start. The damping's derivative reads the slopes of the latest forward pass.
    pub(super) fn adjoint(&mut self, weights: &Weights, by_start: &mut [Row]) -> Weights {
        self.back::<false>(weights, &[0.0; LANES], by_start)
    }

    /// The adjoint after the errors have moved by `stride` times the latest direction's.
    pub(super) fn moved_adjoint(&mut self, weights: &Weights, stride: &Row, by_start: &mut [Row]) -> Weights {
        self.back::<true>(weights, stride, by_start)
    }

    fn back<const MOVES: bool>(&mut self, weights: &Weights, stride: &Row, by_start: &mut [Row]) -> Weights {
        let arch = self.arch;
        let (trend, gaps) = (self.form.trend, self.gaps);
        let passes = self;
        match (trend, gaps) {
            (Trend::None, false) => arch.dispatch(Back::<false, false, MOVES> { passes, weights, stride, by_start }),
            (Trend::None, true) => arch.dispatch(Back::<false, true, MOVES> { passes, weights, stride, by_start }),
            (_, false) => arch.dispatch(Back::<true, false, MOVES> { passes, weights, stride, by_start }),
            (_, true) => arch.dispatch(Back::<true, true, MOVES> { passes, weights, stride, by_start }),
        }
    }

    #[inline(always)]
    fn run_back<const TREND: bool, const GAPS: bool, const MOVES: bool>(
        &mut self,
        weights: &Weights,
        stride: &Row,
        by_start: &mut [Row],
    ) -> Weights {
        let season = self.form.season;
        by_start.fill([0.0; LANES]);
        self.ring.fill([0.0; LANES]);
        let mut back = Adjoint { level: [0.0; LANES], slope: [0.0; LANES], by: Weights::default() };
        let unused = [0.0; LANES];
        let mut end = self.y.len();
        while end > 0 {
            let t = (end - 1) / season * season;
            for (slot, at) in (t..end).enumerate().rev() {
                let slope = if TREND { &self.slopes[at] } else { &unused };
                let (y, error, ring) = (&self.y[at], &mut self.errors[at], &mut self.ring[slot]);
                if MOVES {
                    let more = &self.moves[at];
                    for lane in 0..LANES {
                        error[lane] += stride[lane] * more[lane];
                    }
                }
                let error = &*error;
                let own = &mut by_start[1 + slot];
                if GAPS {
                    let (first, now) = (&self.first[slot], at as f64);
                    back.step::<TREND, true>(weights, y, error, slope, ring, own, |l| first[l] == now);
                } else if t == 0 {
                    back.step::<TREND, false>(weights, y, error, slope, ring, own, |_| true);
                } else {
                    back.step::<TREND, false>(weights, y, error, slope, ring, own, |_| false);
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
struct Run<'p, 'a, const TREND: bool, const GAPS: bool, const LINEAR: bool> {
    passes: &'p mut Passes<'a>,
    weights: &'p Weights,
    start: &'p [Row],
}

impl<const TREND: bool, const GAPS: bool, const LINEAR: bool> WithSimd for Run<'_, '_, TREND, GAPS, LINEAR> {
    type Output = Row;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Row {
        self.passes.run::<TREND, GAPS, LINEAR>(self.weights, self.start)
    }
}

struct Back<'p, 'a, const TREND: bool, const GAPS: bool, const MOVES: bool> {
    passes: &'p mut Passes<'a>,
    weights: &'p Weights,
    stride: &'p Row,
    by_start: &'p mut [Row],
}

impl<const TREND: bool, const GAPS: bool, const MOVES: bool> WithSimd for Back<'_, '_, TREND, GAPS, MOVES> {
    type Output = Weights;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Weights {
        self.passes.run_back::<TREND, GAPS, MOVES>(self.weights, self.stride, self.by_start)
    }
}

struct State {
    level: Row,
    slope: Row,
    sse: Row,
}

impl State {
    /// One step of the recursion; `LINEAR` runs it on zeros, which gives what a start adds.
    #[inline(always)]
    fn step<const TREND: bool, const GAPS: bool, const LINEAR: bool>(
        &mut self,
        weights: &Weights,
        y: &[f32; LANES],
        own: &Row,
        ring: &mut Row,
        error: &mut Row,
        slope_before: &mut Row,
        first: impl Fn(usize) -> bool,
    ) {
        for lane in 0..LANES {
            let seen = !GAPS || !y[lane].is_nan();
            let y = if LINEAR { 0.0 } else { f64::from(y[lane]) };
            let drift = if TREND { weights.phi[lane] * self.slope[lane] } else { 0.0 };
            let ahead = if TREND { self.level[lane] + drift } else { self.level[lane] };
            let fresh = first(lane);
            let later = (y - ring[lane]) - ahead;
            let e = if fresh { own[lane] } else { later };
            let before = if fresh { y - ahead - e } else { ring[lane] };
            let e = if seen { e } else { 0.0 };
            let before = if seen { before } else { ring[lane] };
            if TREND && !LINEAR {
                slope_before[lane] = self.slope[lane];
            }
            self.level[lane] = ahead + weights.alpha[lane] * e;
            if TREND {
                self.slope[lane] = drift + weights.beta[lane] * e;
            }
            ring[lane] = before + weights.gamma[lane] * e;
            error[lane] = e;
            self.sse[lane] += e * e;
        }
    }
}

struct Adjoint {
    level: Row,
    slope: Row,
    by: Weights,
}

impl Adjoint {
    #[inline(always)]
    fn step<const TREND: bool, const GAPS: bool>(
        &mut self,
        weights: &Weights,
        y: &[f32; LANES],
        error: &Row,
        slope_before: &Row,
        ring: &mut Row,
        own: &mut Row,
        first: impl Fn(usize) -> bool,
    ) {
        for lane in 0..LANES {
            let seen = !GAPS || !y[lane].is_nan();
            let fresh = first(lane);
            let e = error[lane]; // 0 where unobserved
            let (level, slope, season) = (self.level[lane], self.slope[lane], ring[lane]);
            let aside = e + weights.gamma[lane] * season;
            let aside = if TREND { aside + weights.beta[lane] * slope } else { aside };
            let pull = aside + weights.alpha[lane] * level;
            self.by.alpha[lane] += e * level;
            self.by.gamma[lane] += e * season;
            let taken = if fresh { season } else { pull };
            let taken = if seen { taken } else { 0.0 };
            if fresh {
                own[lane] = pull - season;
            }
            let ahead = level - taken;
            ring[lane] = season - taken;
            if TREND {
                self.by.beta[lane] += e * slope;
                self.by.phi[lane] += slope_before[lane] * (slope + ahead);
                self.slope[lane] = weights.phi[lane] * (slope + ahead);
            }
            self.level[lane] = ahead;
        }
    }
}
