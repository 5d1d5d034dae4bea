//! The theta recursion on a lane group, in `f64`: two AVX-512 registers a row.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::ets::Row;
use super::fused;
use crate::theta::ThetaSums;
use crate::{LANES, Lanes, ThetaForm, ThetaProfile, UNCOUNTED};

/// A weight of the start under this says nothing any more; further on it would be a subnormal, which is slow.
const SPENT: f64 = 1e-30;

/// See [`crate::theta_profile`].
pub(crate) fn theta_profile(y: &Lanes, form: ThetaForm, alpha: &[f64]) -> ThetaProfile {
    let series = y.series();
    let per_group: Vec<Sums> = (0..y.groups())
        .into_par_iter()
        .map(|group| {
            let alpha = std::array::from_fn(|lane| alpha[(group * LANES + lane).min(series - 1)]);
            Passes::new(y.group(group), form).sums(&alpha)
        })
        .collect();
    ThetaProfile::of(form, (0..series).map(|s| per_group[s / LANES].lane(s % LANES)))
}

/// The sums of a lane group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    aa: Row,
    aw: Row,
    ag: Row,
    ww: Row,
    wg: Row,
    gg: Row,
}

impl Sums {
    /// One lane's sums.
    pub(super) fn lane(&self, lane: usize) -> ThetaSums {
        ThetaSums {
            aa: self.aa[lane],
            aw: self.aw[lane],
            ag: self.ag[lane],
            ww: self.ww[lane],
            wg: self.wg[lane],
            gg: self.gg[lane],
        }
    }
}

/// Intercept and slope of a line, for each lane.
#[derive(Clone, Copy, Debug)]
struct Line {
    intercept: Row,
    slope: Row,
}

/// The series of one group and what every pass over them shares.
pub(super) struct Passes<'a> {
    arch: pulp::Arch,
    y: &'a [[f32; LANES]],
    /// Some step of some lane is unobserved.
    gaps: bool,
    /// The first step that is counted, for each lane.
    counted_from: Row,
    /// Observed steps of each lane.
    pub(super) observed: Row,
    /// The line that the forecast of each step uses; one for all in a form that is not dynamic.
    lines: Vec<Line>,
}

impl<'a> Passes<'a> {
    pub(super) fn new(y: &'a [[f32; LANES]], form: ThetaForm) -> Self {
        // Steps after the group's last observation change nothing.
        let steps = y.iter().rposition(|row| row.iter().any(|v| !v.is_nan())).map_or(0, |at| at + 1);
        let y = &y[..steps];
        let mut observed = [0.0; LANES];
        let mut counted_from = [steps as f64; LANES];
        for (t, row) in y.iter().enumerate() {
            for lane in 0..LANES {
                if !row[lane].is_nan() {
                    observed[lane] += 1.0;
                    if observed[lane] == (UNCOUNTED + 1) as f64 {
                        counted_from[lane] = t as f64;
                    }
                }
            }
        }
        let gaps = observed.iter().any(|&count| count < steps as f64);
        let arch = pulp::Arch::new();
        let lines = arch.dispatch(Lines { y, dynamic: form.is_dynamic() });
        Self { arch, y, gaps, counted_from, observed, lines }
    }

    /// One pass: the sums of every lane at its `alpha`.
    pub(super) fn sums(&self, alpha: &Row) -> Sums {
        if self.gaps {
            self.arch.dispatch(Run::<true> { passes: self, alpha })
        } else {
            self.arch.dispatch(Run::<false> { passes: self, alpha })
        }
    }

    #[inline(always)]
    fn run<const GAPS: bool, const FMA: bool>(&self, alpha: &Row) -> Sums {
        let mut state = State::new(alpha);
        let counted_from = if GAPS { 0 } else { UNCOUNTED.min(self.y.len()) };
        let (first, rest) = self.y.split_at(counted_from);
        let line_of = |t: usize| if self.lines.len() == 1 { &self.lines[0] } else { &self.lines[t] };
        for (t, y) in first.iter().enumerate() {
            state.step::<GAPS, FMA>(y, line_of(t), |_| false);
        }
        for (t, y) in rest.iter().enumerate() {
            let t = t + counted_from;
            if GAPS {
                let now = t as f64;
                state.step::<GAPS, FMA>(y, line_of(t), |lane| now >= self.counted_from[lane]);
            } else {
                state.step::<GAPS, FMA>(y, line_of(t), |_| true);
            }
        }
        state.sums
    }
}

/// A pass as pulp dispatches it. A closure of this size would become a function of its own and lose the chosen
/// instruction set.
struct Run<'p, 'a, const GAPS: bool> {
    passes: &'p Passes<'a>,
    alpha: &'p Row,
}

impl<const GAPS: bool> WithSimd for Run<'_, '_, GAPS> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Sums {
        if S::IS_SCALAR {
            self.passes.run::<GAPS, false>(self.alpha)
        } else {
            self.passes.run::<GAPS, true>(self.alpha)
        }
    }
}

struct State {
    alpha: Row,
    level: Row,
    /// What is left of the starting level.
    weight: Row,
    lag: Row,
    sums: Sums,
}

impl State {
    #[inline(always)]
    fn new(alpha: &Row) -> Self {
        Self { alpha: *alpha, level: [0.0; LANES], weight: [1.0; LANES], lag: [1.0; LANES], sums: Sums::default() }
    }

    #[inline(always)]
    fn step<const GAPS: bool, const FMA: bool>(
        &mut self,
        y: &[f32; LANES],
        line: &Line,
        counted: impl Fn(usize) -> bool,
    ) {
        for lane in 0..LANES {
            let seen = !GAPS || !y[lane].is_nan();
            let (level, w, u) = (self.level[lane], self.weight[lane], self.lag[lane]);
            let a = if seen { f64::from(y[lane]) - level } else { 0.0 };
            let g = fused::<FMA>(line.intercept[lane], w, line.slope[lane] * u);
            self.level[lane] = fused::<FMA>(self.alpha[lane], a, level);
            let kept = if seen { 1.0 - self.alpha[lane] } else { 1.0 };
            self.weight[lane] = if w < SPENT { 0.0 } else { w * kept };
            self.lag[lane] = fused::<FMA>(kept, u, 1.0);
            let counts = seen && counted(lane);
            let (a, w, g) = if counts { (a, w, g) } else { (0.0, 0.0, 0.0) };
            let sums = &mut self.sums;
            sums.aa[lane] = fused::<FMA>(a, a, sums.aa[lane]);
            sums.aw[lane] = fused::<FMA>(a, w, sums.aw[lane]);
            sums.ag[lane] = fused::<FMA>(a, g, sums.ag[lane]);
            sums.ww[lane] = fused::<FMA>(w, w, sums.ww[lane]);
            sums.wg[lane] = fused::<FMA>(w, g, sums.wg[lane]);
            sums.gg[lane] = fused::<FMA>(g, g, sums.gg[lane]);
        }
    }
}

/// The lines of a group: one, or one a step.
struct Lines<'a> {
    y: &'a [[f32; LANES]],
    dynamic: bool,
}

impl WithSimd for Lines<'_> {
    type Output = Vec<Line>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<Line> {
        let mut fit = LineFit::default();
        let mut lines = Vec::with_capacity(if self.dynamic { self.y.len() } else { 1 });
        for (t, y) in self.y.iter().enumerate() {
            if self.dynamic {
                lines.push(fit.line());
            }
            fit.see((t + 1) as f64, y);
        }
        if !self.dynamic {
            lines.push(fit.line());
        }
        lines
    }
}

/// A least-squares line through time that takes one step more; a lane that saw one step lies flat through it.
#[derive(Default)]
struct LineFit {
    count: Row,
    time: Row,
    mean: Row,
    squares: Row,
    slope: Row,
}

impl LineFit {
    #[inline(always)]
    fn line(&self) -> Line {
        let intercept = std::array::from_fn(|lane| self.mean[lane] - self.slope[lane] * self.time[lane]);
        Line { intercept, slope: self.slope }
    }

    #[inline(always)]
    fn see(&mut self, now: f64, y: &[f32; LANES]) {
        for lane in 0..LANES {
            let seen = !y[lane].is_nan();
            let count = self.count[lane] + 1.0;
            let share = 1.0 / count;
            let later = now - self.time[lane];
            let above = f64::from(y[lane]) - self.mean[lane];
            let kept = later * (1.0 - share); // of this step's distance, what the new mean time leaves
            let squares = self.squares[lane] + later * kept;
            let pull = if squares > 0.0 { kept / squares } else { 0.0 };
            let slope = self.slope[lane] + pull * (above - self.slope[lane] * later);
            self.count[lane] = if seen { count } else { self.count[lane] };
            self.time[lane] = if seen { self.time[lane] + later * share } else { self.time[lane] };
            self.mean[lane] = if seen { self.mean[lane] + above * share } else { self.mean[lane] };
            self.squares[lane] = if seen { squares } else { self.squares[lane] };
            self.slope[lane] = if seen { slope } else { self.slope[lane] };
        }
    }
}
