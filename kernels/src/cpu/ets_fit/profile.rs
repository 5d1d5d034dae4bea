//! The best start for given weights: conjugate gradients on the recursion and its adjoint, repeated from where
//! they led while the errors are not linear in the start.

use super::gram::Gram;
use crate::cpu::ets::{Passes, Row, Sums, Weights};
use crate::{EtsForm, LANES, Trend};

/// Steps that one evaluation may take where the errors are not linear in the start.
const MAX_TURNS: u32 = 30;
/// Shortenings of a step that made things worse.
const MAX_RETREATS: u32 = 8;
/// What is left of a step that made things worse.
const RETREAT: f64 = 0.3;
/// Share of the squared gradient that a linear solve leaves, where the errors are not linear.
const LEFT_BY_SOLVE: f64 = 1e-2;
/// Precision that is enough where no step lowers the deviance any more.
const STUCK: f64 = 1e-7;

/// A lane group whose start is minimised out of the deviance.
pub(super) struct Profile {
    passes: Passes,
    form: EtsForm,
    /// The best start so far, which the next weights begin from.
    start: Vec<Row>,
    gradient: Vec<Row>,
    direction: Vec<Row>,
    step: Vec<Row>,
    /// The gradient divided by about the Hessian.
    divided: Vec<Row>,
    /// About the Hessian; `None` where only the slope's element of it is known.
    gram: Option<Gram>,
    /// Unit of the slope's coordinate: with a Hessian, what the slope measures there; else what moves the errors by
    /// one, in sum of squares.
    slope_unit: Row,
    settled: [bool; LANES],
    turns: [Turn; LANES],
    /// Sum of squared errors that counts as none.
    nothing: Row,
}

/// Where a lane's evaluation stands, if its errors are not linear in the start.
#[derive(Clone, Copy, Default)]
struct Turn {
    /// Steps taken, and shortenings of the latest one.
    steps: u32,
    retreats: u32,
    /// Value before the latest step and the share of it that was taken, while it waits to be judged.
    pending: Option<(f64, f64)>,
    /// No step lowers the value any more.
    stuck: bool,
}

/// The least deviance for some weights: its parts, and half the derivatives of `sse - 2 v log_growth`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Least {
    pub(super) sums: Sums,
    pub(super) by: Weights,
    /// Sum of squared errors that counts as none.
    pub(super) nothing: Row,
    /// Half the deviance up to a constant, less what is still to gain by the start.
    pub(super) value: Row,
    /// Whose evaluation is complete.
    pub(super) ready: [bool; LANES],
}

impl Profile {
    /// A profile of series of at most so many steps, with none in it yet.
    pub(super) fn new(steps: usize, form: EtsForm) -> Self {
        let zeros = || vec![[0.0; LANES]; form.start_len()];
        Self {
            passes: Passes::new(steps, form),
            form,
            start: zeros(),
            gradient: zeros(),
            direction: zeros(),
            step: zeros(),
            divided: zeros(),
            gram: Gram::new(steps, form),
            slope_unit: [1.0; LANES],
            settled: [true; LANES],
            turns: [Turn::default(); LANES],
            nothing: [0.0; LANES],
        }
    }

    /// Gives a lane another series, to begin from a start of nothing; returns how many steps it observes.
    pub(super) fn place(&mut self, lane: usize, values: impl Iterator<Item = f32>, offset: f64) -> f64 {
        self.passes.place(lane, values, offset);
        self.set_start(lane, std::iter::repeat(0.0));
        if let Some(gram) = &mut self.gram {
            gram.place(lane, self.passes.last(lane));
        }
        let observed = self.passes.observed()[lane];
        // A relative error is in the unit of the offset.
        let unit = if self.form.is_relative() { offset.max(1.0) } else { 1.0 };
        self.nothing[lane] = NOTHING * observed / (unit * unit);
        observed
    }

    /// Lets a lane's next evaluation begin from this start.
    pub(super) fn set_start(&mut self, lane: usize, values: impl Iterator<Item = f64>) {
        self.start.iter_mut().zip(values).for_each(|(start, value)| start[lane] = value);
        self.turns[lane] = Turn::default();
    }

    /// See [`Passes::log_values`].
    pub(super) fn log_values(&self, lane: usize) -> f64 {
        self.passes.log_values(lane)
    }

    /// Whether the latest evaluation reached its precision.
    pub(super) fn settled(&self, lane: usize) -> bool {
        self.settled[lane]
    }

    /// The best start of a lane.
    pub(super) fn start(&self, lane: usize) -> impl Iterator<Item = f64> {
        self.start.iter().map(move |row| row[lane])
    }

    /// Works on the least deviance over all starts, where the start's own share of the derivatives is zero; what is
    /// ready is complete, and another call with the same weights goes on with the rest. Lanes not `active` keep
    /// their start.
    ///
    /// The gradient's square over the Hessian is twice what is still to gain: a lane ends where it is `precision`
    /// times the sum of squares. Where that Hessian is not known, each coordinate of the start is an error of its
    /// own, so that it is at least the identity.
    pub(super) fn evaluate(&mut self, weights: &Weights, active: &[bool; LANES], precision: &Row) -> Least {
        if self.form.is_relative() {
            return self.turn_once(weights, active, precision);
        }
        let mut sums = self.passes.forward(weights, &self.start);
        let mut by = self.passes.adjoint(weights, &mut self.gradient);
        self.measure(weights);
        let left = self.divide();
        // A NaN is settled too: nothing mends it.
        let goal: Row = std::array::from_fn(|lane| precision[lane] * sums.sse[lane]);
        let turning: [bool; LANES] = std::array::from_fn(|lane| active[lane] && left[lane] > goal[lane]);
        let mut reached = turning.map(|turns| !turns);
        if turning.contains(&true) {
            let solved = self.solve(weights, &turning, left, &goal);
            self.shift(&turning.map(|turns| if turns { 1.0 } else { 0.0 }));
            sums = self.passes.forward(weights, &self.start);
            by = self.passes.adjoint(weights, &mut self.gradient);
            reached = std::array::from_fn(|lane| reached[lane] || solved[lane]);
        }
        self.settled = reached;
        let value = std::array::from_fn(|lane| self.value_of(&sums, lane));
        Least { sums, by, nothing: self.nothing, value, ready: *active }
    }

    /// One of the steps that lead to the least deviance of a relative error: Newton's, as far as it goes downhill.
    fn turn_once(&mut self, weights: &Weights, active: &[bool; LANES], precision: &Row) -> Least {
        let sums = self.begin(weights);
        let by = self.passes.adjoint(weights, &mut self.gradient);
        self.measure(weights);
        let left = self.divide();
        let (mut ready, mut turning, mut shift) = ([false; LANES], [false; LANES], [0.0; LANES]);
        let mut value = [0.0; LANES];
        let mut reached = self.settled;
        for lane in (0..LANES).filter(|&lane| active[lane]) {
            let now = self.value_of(&sums, lane);
            let turn = &mut self.turns[lane];
            if let Some((before, share)) = turn.pending
                && (now.is_nan() || now > before + 1e-12 * before.abs())
            {
                turn.retreats += 1;
                turn.stuck = turn.retreats > MAX_RETREATS;
                let next = if turn.stuck { 0.0 } else { RETREAT * share };
                shift[lane] = next - share;
                turn.pending = (!turn.stuck).then_some((before, next));
                continue;
            }
            let share = left[lane] / sums.sse[lane];
            let open = share > precision[lane] && now.is_finite();
            if !open || turn.stuck || turn.steps >= MAX_TURNS {
                ready[lane] = true;
                reached[lane] = !open || share <= STUCK;
                let gain = 0.5 * share * self.passes.observed()[lane];
                value[lane] = if gain < 1.0 { now - gain } else { now };
                *turn = Turn::default();
            } else {
                turning[lane] = true;
                shift[lane] = 1.0;
                *turn = Turn { steps: turn.steps + 1, pending: Some((now, 1.0)), ..Turn::default() };
            }
        }
        if turning.contains(&true) {
            let goal = left.map(|left| LEFT_BY_SOLVE * left);
            self.solve(weights, &turning, left, &goal);
        }
        self.settled = reached;
        self.shift(&shift);
        Least { sums, by, nothing: self.nothing, value, ready }
    }

    /// The first pass of a relative error; a lane whose start has lost its way begins from a flat one.
    fn begin(&mut self, weights: &Weights) -> Sums {
        let sums = self.passes.forward(weights, &self.start);
        let lost: [bool; LANES] = std::array::from_fn(|lane| {
            self.turns[lane].pending.is_none() && !self.turns[lane].stuck && !self.value_of(&sums, lane).is_finite()
        });
        if !lost.contains(&true) {
            return sums;
        }
        for lane in (0..LANES).filter(|&lane| lost[lane]) {
            let flat = self.passes.flat(weights, lane);
            self.start.iter_mut().zip(flat).for_each(|(start, flat)| start[lane] = flat);
        }
        self.passes.forward(weights, &self.start)
    }

    /// Conjugate gradients on the quadratic at the latest pass, into `step`, until a lane's squared gradient is
    /// below its goal; returns which lanes came to it.
    fn solve(&mut self, weights: &Weights, turning: &[bool; LANES], mut left: Row, goal: &Row) -> [bool; LANES] {
        self.settled = turning.map(|turns| !turns);
        for step in &mut self.step {
            for lane in 0..LANES {
                step[lane] = if turning[lane] { 0.0 } else { step[lane] };
            }
        }
        self.direction.fill([0.0; LANES]);
        self.turn(&[0.0; LANES]);
        let mut reached = [false; LANES];
        // Exact arithmetic needs as many rounds as there are coordinates; rounding a few more.
        for _ in 0..2 * self.form.start_len() + 10 {
            let squares = self.passes.direction(weights, &self.direction);
            let stride: Row = std::array::from_fn(|lane| {
                if self.settled[lane] || squares[lane] <= 0.0 { 0.0 } else { left[lane] / squares[lane] }
            });
            for (step, direction) in self.step.iter_mut().zip(&self.direction) {
                for lane in 0..LANES {
                    step[lane] += stride[lane] * direction[lane];
                }
            }
            self.passes.moved_adjoint(weights, &stride, &mut self.gradient);
            let after = self.divide();
            let mut keep = [0.0; LANES];
            for lane in 0..LANES {
                let short = after[lane] > goal[lane]; // false for a NaN
                let there = !short;
                reached[lane] |= !self.settled[lane] && stride[lane] > 0.0 && there;
                let open = !self.settled[lane] && stride[lane] > 0.0 && !there;
                self.settled[lane] = !open;
                keep[lane] = if open { after[lane] / left[lane] } else { 0.0 };
                left[lane] = after[lane];
            }
            if !self.settled.contains(&false) {
                break;
            }
            self.turn(&keep);
        }
        reached
    }

    /// Half the deviance up to a constant.
    fn value_of(&self, sums: &Sums, lane: usize) -> f64 {
        let observed = self.passes.observed()[lane];
        0.5 * observed * (sums.sse[lane] + self.nothing[lane]).ln() - sums.log_growth[lane]
    }

    /// Moves the start by a share of the step.
    fn shift(&mut self, share: &Row) {
        for (start, step) in self.start.iter_mut().zip(&self.step) {
            for lane in 0..LANES {
                let to = start[lane] + share[lane] * step[lane];
                start[lane] = if share[lane] == 0.0 { start[lane] } else { to };
            }
        }
    }

    /// The next conjugate direction: downhill, and `keep` of the last one.
    fn turn(&mut self, keep: &Row) {
        for (direction, divided) in self.direction.iter_mut().zip(&self.divided) {
            for lane in 0..LANES {
                let next = keep[lane] * direction[lane] - divided[lane];
                direction[lane] = if self.settled[lane] { 0.0 } else { next };
            }
        }
    }

    /// Divides the gradient by about the Hessian; returns the product of both.
    fn divide(&mut self) -> Row {
        self.divided.copy_from_slice(&self.gradient);
        for lane in 0..LANES {
            self.divided[0][lane] *= self.slope_unit[lane];
        }
        if let Some(gram) = &self.gram {
            gram.solve(&mut self.divided);
        }
        for lane in 0..LANES {
            self.divided[0][lane] *= self.slope_unit[lane];
        }
        let mut product = [0.0; LANES];
        for (gradient, divided) in self.gradient.iter().zip(&self.divided) {
            for lane in 0..LANES {
                product[lane] += gradient[lane] * divided[lane];
            }
        }
        product
    }

    /// Finds about the Hessian of these weights.
    fn measure(&mut self, weights: &Weights) {
        if let Some(gram) = &mut self.gram {
            gram.prepare(weights);
        }
        let exact = self.gram.is_some() && !self.form.is_relative();
        if self.form.trend == Trend::None || exact {
            return;
        }
        self.direction.fill([0.0; LANES]);
        self.direction[0] = [1.0; LANES];
        let squares = self.passes.direction(weights, &self.direction);
        let known = self.gram.as_ref().map_or([1.0; LANES], Gram::slope);
        for lane in 0..LANES {
            let unit = (known[lane] / squares[lane]).sqrt();
            self.slope_unit[lane] = if unit.is_normal() { unit } else { 1.0 };
        }
    }
}

/// Squared error a step below which a fit counts as perfect, on standardised data: `f32` holds no less.
pub(super) const NOTHING: f64 = 1e-15;
