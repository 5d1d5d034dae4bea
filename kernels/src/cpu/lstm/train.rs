//! One network's training.

use pulp::bytemuck::cast_slice;
use pulp::{Simd, WithSimd};

use super::pass::Pass;
use super::{empty, packed};
use crate::lstm::{ADAM, LEAST, Layout, LstmEffort, LstmEnd, LstmSeries, LstmShape, can_learn, place, rate};

/// What one network learned.
pub(super) struct Learned {
    pub(super) weights: Vec<f32>,
    pub(super) loss: f64,
    pub(super) steps: u32,
    pub(super) end: LstmEnd,
}

/// One network's training, as pulp dispatches it.
pub(super) struct Training<'a> {
    pub(super) shape: LstmShape,
    pub(super) series: LstmSeries<'a>,
    pub(super) levels: &'a [f32],
    pub(super) effort: LstmEffort,
    pub(super) weights: &'a [f32],
}

impl WithSimd for Training<'_> {
    type Output = Learned;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Learned {
        let Self { shape, series, levels, effort, weights } = self;
        let targets = shape.outputs / levels.len();
        if !can_learn(&series, &effort, targets) {
            return Learned { weights: weights.into(), loss: f64::NAN, steps: 0, end: LstmEnd::Nothing };
        }
        let layout = Layout::new(shape, S::F32_LANES);
        let mut course = Course {
            simd,
            series,
            levels,
            effort,
            targets,
            layout: &layout,
            pass: Pass::new(simd, &layout, effort.windows, effort.length, targets),
            adam: Adam::new(simd, &layout),
            weights: packed(simd, &layout, weights),
        };
        course.run()
    }
}

/// A training on its way.
struct Course<'a, S: Simd> {
    simd: S,
    series: LstmSeries<'a>,
    levels: &'a [f32],
    effort: LstmEffort,
    targets: usize,
    layout: &'a Layout,
    pass: Pass<'a, S>,
    adam: Adam<S>,
    weights: Vec<S::f32s>,
}

impl<S: Simd> Course<'_, S> {
    #[inline(always)]
    fn run(&mut self) -> Learned {
        let LstmEffort { steps, look_every, patience, .. } = self.effort;
        let rest = self.rest();
        let mut best = (self.look(&rest), self.weights.clone());
        let (mut idle, mut taken, mut end) = (0, 0, LstmEnd::Done);
        while taken < steps {
            if !self.learn(taken) {
                end = LstmEnd::Diverged;
                break;
            }
            taken += 1;
            if rest.is_empty() || (taken % look_every.max(1) != 0 && taken < steps) {
                continue;
            }
            let loss = self.look(&rest);
            if loss < best.0 {
                best = (loss, self.weights.clone());
                idle = 0;
            } else {
                idle += 1;
            }
            if idle >= patience {
                end = LstmEnd::Stopped;
                break;
            }
        }
        // Without a rest nothing tells which weights are best: the last ones.
        let weights = if rest.is_empty() && end == LstmEnd::Done { &self.weights } else { &best.1 };
        Learned { weights: self.layout.flat(cast_slice(weights)), loss: best.0, steps: taken as u32, end }
    }

    /// Where the windows of the part that training does not see end, the last one first; none where nothing of it is known.
    fn rest(&self) -> Vec<usize> {
        let LstmSeries { targets, learned_steps, .. } = self.series;
        let known = targets[learned_steps * self.targets..].iter().any(|y| !y.is_nan());
        let ends = (learned_steps + 1..=targets.len() / self.targets).rev().step_by(self.effort.length);
        if known { ends.take(self.effort.windows).collect() } else { Vec::new() }
    }

    /// The mean loss on windows that end there; NaN where there are none.
    #[inline(always)]
    fn look(&mut self, ends: &[usize]) -> f64 {
        if ends.is_empty() {
            return f64::NAN;
        }
        for window in 0..self.effort.windows {
            let end = ends.get(window).copied();
            let from = end.unwrap_or(self.effort.length) - self.effort.length;
            // What training saw is shown, and not counted; nor is what fills the batch up.
            self.show(window, from, if end.is_some() { self.series.learned_steps } else { usize::MAX });
        }
        self.pass.forward(self.simd, &self.weights);
        self.pass.loss(self.levels)
    }

    /// One step of training; false where it came to no number.
    #[inline(always)]
    fn learn(&mut self, taken: usize) -> bool {
        let LstmEffort { length, windows, clip, .. } = self.effort;
        let places = (self.series.learned_steps - length + 1) as u32;
        for window in 0..windows {
            let from = place(self.series.seed, (taken * windows + window) as u32, places);
            self.show(window, from as usize, 0);
        }
        self.pass.forward(self.simd, &self.weights);
        let loss = self.pass.loss(self.levels);
        self.pass.backward(self.simd, &self.weights);
        let norm = norm(self.simd, &self.pass.gradient);
        if !loss.is_finite() || !norm.is_finite() {
            return false;
        }
        let share = if norm > clip { clip / norm } else { 1.0 };
        self.adam.step(self.simd, &mut self.weights, &self.pass.gradient, share, rate(&self.effort, taken));
        true
    }

    /// Makes a window of the series' steps; targets before `counted` are not known to it.
    #[inline(always)]
    fn show(&mut self, window: usize, from: usize, counted: usize) {
        let (windows, inputs, targets) = (self.effort.windows, self.layout.shape.inputs, self.targets);
        for t in 0..self.effort.length {
            let (at, to) = (from + t, t * windows + window);
            self.pass.x[to * inputs..][..inputs].copy_from_slice(&self.series.inputs[at * inputs..][..inputs]);
            let known = &mut self.pass.y[to * targets..][..targets];
            if at < counted {
                known.fill(f32::NAN);
            } else {
                known.copy_from_slice(&self.series.targets[at * targets..][..targets]);
            }
        }
    }
}

/// The length of a gradient.
#[inline(always)]
fn norm<S: Simd>(simd: S, gradient: &[S::f32s]) -> f32 {
    let mut squares = simd.splat_f32s(0.0);
    for slopes in gradient {
        squares = simd.mul_add_e_f32s(*slopes, *slopes, squares);
    }
    simd.reduce_sum_f32s(squares).sqrt()
}

/// Adam's memory.
struct Adam<S: Simd> {
    mean: Vec<S::f32s>,
    square: Vec<S::f32s>,
    /// What is left of the zeros that both began with.
    left: (f32, f32),
}

impl<S: Simd> Adam<S> {
    fn new(simd: S, layout: &Layout) -> Self {
        Self { mean: empty(simd, layout), square: empty(simd, layout), left: (1.0, 1.0) }
    }

    /// Moves weights against a share of their gradient.
    #[inline(always)]
    fn step(&mut self, simd: S, weights: &mut [S::f32s], gradient: &[S::f32s], share: f32, rate: f32) {
        let (first, second) = ADAM;
        self.left = (self.left.0 * first, self.left.1 * second);
        let splat = |value: f32| simd.splat_f32s(value);
        let (share, rate) = (splat(share), splat(rate / (1.0 - self.left.0)));
        let (spread, least) = (splat(1.0 / (1.0 - self.left.1)), splat(LEAST));
        let (keep, take) = ((splat(first), splat(second)), (splat(1.0 - first), splat(1.0 - second)));
        for at in 0..weights.len() {
            let slope = simd.mul_f32s(share, gradient[at]);
            let mean = simd.mul_add_e_f32s(keep.0, self.mean[at], simd.mul_f32s(take.0, slope));
            let squared = simd.mul_f32s(take.1, simd.mul_f32s(slope, slope));
            let square = simd.mul_add_e_f32s(keep.1, self.square[at], squared);
            let size = simd.add_f32s(simd.sqrt_f32s(simd.mul_f32s(square, spread)), least);
            weights[at] = simd.sub_f32s(weights[at], simd.div_f32s(simd.mul_f32s(rate, mean), size));
            (self.mean[at], self.square[at]) = (mean, square);
        }
    }
}
