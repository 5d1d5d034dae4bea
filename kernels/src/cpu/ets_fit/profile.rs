//! The best start for given weights: conjugate gradients on the recursion and its adjoint, repeated from where
//! they led while the errors are not linear in the start.

use crate::cpu::ets::{Passes, Row, Sums, Weights};
use crate::{EtsForm, LANES, Trend};

/// Times that errors which are not linear in the start are made so again.
const MAX_TURNS: usize = 12;
/// Halvings of a step that made things worse.
const MAX_RETREATS: usize = 8;
/// Share of the squared gradient that a linear solve leaves, where the errors are not linear.
const LEFT_BY_SOLVE: f64 = 1e-2;
/// Precision that is enough where no step lowers the deviance any more.
const STUCK: f64 = 1e-7;

/// A lane group whose start is minimised out of the deviance.
pub(super) struct Profile<'a> {
    passes: Passes<'a>,
    form: EtsForm,
    /// The best start so far, which the next weights begin from.
    start: Vec<Row>,
    gradient: Vec<Row>,
    direction: Vec<Row>,
    step: Vec<Row>,
    /// Unit of the slope's coordinate, so that every coordinate moves the errors about as much.
    slope_unit: Row,
    settled: [bool; LANES],
}

/// The least deviance for some weights: its parts, and half the derivatives of `sse - 2 v log_growth`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Least {
    pub(super) sums: Sums,
    pub(super) by: Weights,
}

impl<'a> Profile<'a> {
    pub(super) fn new(y: &'a [[f32; LANES]], offset: Row, form: EtsForm) -> Self {
        let zeros = || vec![[0.0; LANES]; form.start_len()];
        Self {
            passes: Passes::new(y, offset, form),
            form,
            start: zeros(),
            gradient: zeros(),
            direction: zeros(),
            step: zeros(),
            slope_unit: [1.0; LANES],
            settled: [true; LANES],
        }
    }

    /// Observed steps of each lane.
    pub(super) fn observed(&self) -> &Row {
        self.passes.observed()
    }

    /// See [`Passes::log_values`].
    pub(super) fn log_values(&self, offset: &Row) -> Row {
        self.passes.log_values(offset)
    }

    /// Whether the latest evaluation reached its precision, a lane each.
    pub(super) fn settled(&self) -> [bool; LANES] {
        self.settled
    }

    pub(super) fn into_start(self) -> Vec<Row> {
        self.start
    }

    /// Least deviance over all starts: at the best start the start's own share of the derivatives is zero.
    /// Lanes not `active` keep their start.
    ///
    /// Each coordinate of the start is an error of its own, so the Hessian is at least the identity and
    /// `|gradient|^2` bounds what is still to gain: it ends at `precision` times the sum of squares.
    pub(super) fn evaluate(&mut self, weights: &Weights, active: &[bool; LANES], precision: f64) -> Least {
        let mut sums = self.begin(weights);
        let mut by = self.passes.adjoint(weights, &mut self.gradient);
        if self.form.trend != Trend::None {
            self.measure_slope(weights);
        }
        let mut left = self.scaled_norm();
        let relative = self.form.is_relative();
        // A NaN is settled too: nothing mends it.
        let open = |lane: usize, left: &Row, sums: &Sums| {
            left[lane] > precision * sums.sse[lane] && sums.log_growth[lane] > f64::NEG_INFINITY
        };
        let mut turning: [bool; LANES] = std::array::from_fn(|lane| active[lane] && open(lane, &left, &sums));
        let mut reached: [bool; LANES] = std::array::from_fn(|lane| !open(lane, &left, &sums));
        for _ in 0..if relative { MAX_TURNS } else { 1 } {
            if !turning.contains(&true) {
                break;
            }
            let goal: Row = std::array::from_fn(|lane| {
                let enough = precision * sums.sse[lane];
                if relative { enough.max(LEFT_BY_SOLVE * left[lane]) } else { enough }
            });
            let solved = self.solve(weights, &turning, left, &goal);
            let moved;
            (sums, moved) = self.advance(weights, sums, &turning);
            by = self.passes.adjoint(weights, &mut self.gradient);
            left = self.scaled_norm();
            for lane in 0..LANES {
                if turning[lane] {
                    // A step that rounding alone forbids is none to take.
                    let stuck = !moved[lane] && left[lane] <= STUCK * sums.sse[lane];
                    reached[lane] = if relative { stuck || !open(lane, &left, &sums) } else { solved[lane] };
                    turning[lane] = relative && moved[lane] && !reached[lane];
                }
            }
        }
        self.settled = reached;
        Least { sums, by }
    }

    /// The first pass; a lane whose start has lost its way begins from none.
    fn begin(&mut self, weights: &Weights) -> Sums {
        let sums = self.passes.forward(weights, &self.start);
        let lost: [bool; LANES] = std::array::from_fn(|lane| !value_of(&sums, 1.0, lane).is_finite());
        if !lost.contains(&true) || !self.form.is_relative() {
            return sums;
        }
        for start in &mut self.start {
            for lane in 0..LANES {
                start[lane] = if lost[lane] { 0.0 } else { start[lane] };
            }
        }
        self.passes.forward(weights, &self.start)
    }

    /// Conjugate gradients on the quadratic at the latest pass, into `step`, until a lane's squared gradient is
    /// below its goal; returns which lanes came to it.
    fn solve(&mut self, weights: &Weights, turning: &[bool; LANES], mut left: Row, goal: &Row) -> [bool; LANES] {
        self.settled = turning.map(|turns| !turns);
        self.step.fill([0.0; LANES]);
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
            let after = self.scaled_norm();
            let mut keep = [0.0; LANES];
            for lane in 0..LANES {
                let there = !(after[lane] > goal[lane]); // a NaN too
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

    /// Takes the step, or as much of it as does not raise the deviance where that is not quadratic; returns
    /// its parts there and whether a lane moved.
    fn advance(&mut self, weights: &Weights, from: Sums, turning: &[bool; LANES]) -> (Sums, [bool; LANES]) {
        let mut share: Row = std::array::from_fn(|lane| if turning[lane] { 1.0 } else { 0.0 });
        self.shift(&share);
        let mut sums = self.passes.forward(weights, &self.start);
        let mut moved = *turning;
        if !self.form.is_relative() {
            return (sums, moved);
        }
        for retreat in 0..=MAX_RETREATS {
            let worse: [bool; LANES] = std::array::from_fn(|lane| {
                let observed = self.passes.observed()[lane];
                let (old, new) = (value_of(&from, observed, lane), value_of(&sums, observed, lane));
                moved[lane] && !(new <= old + 1e-12 * old.abs())
            });
            if !worse.contains(&true) {
                break;
            }
            let mut back = [0.0; LANES];
            for lane in 0..LANES {
                if worse[lane] {
                    let next = if retreat == MAX_RETREATS { 0.0 } else { 0.3 * share[lane] };
                    back[lane] = next - share[lane];
                    share[lane] = next;
                    moved[lane] = next > 0.0;
                }
            }
            self.shift(&back);
            sums = self.passes.forward(weights, &self.start);
        }
        (sums, moved)
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
        for (i, (direction, gradient)) in self.direction.iter_mut().zip(&self.gradient).enumerate() {
            for lane in 0..LANES {
                let unit = if i == 0 { self.slope_unit[lane] * self.slope_unit[lane] } else { 1.0 };
                let next = keep[lane] * direction[lane] - unit * gradient[lane];
                direction[lane] = if self.settled[lane] { 0.0 } else { next };
            }
        }
    }

    /// Squared length of the gradient in the coordinates that the slope's unit scales.
    fn scaled_norm(&self) -> Row {
        let mut sum = [0.0; LANES];
        for lane in 0..LANES {
            let slope = self.gradient[0][lane] * self.slope_unit[lane];
            sum[lane] = slope * slope;
        }
        for gradient in &self.gradient[1..] {
            for lane in 0..LANES {
                sum[lane] += gradient[lane] * gradient[lane];
            }
        }
        sum
    }

    /// Sets the slope's unit so that one of it moves the errors by one, in sum of squares.
    fn measure_slope(&mut self, weights: &Weights) {
        self.direction.fill([0.0; LANES]);
        self.direction[0] = [1.0; LANES];
        let squares = self.passes.direction(weights, &self.direction);
        for lane in 0..LANES {
            self.slope_unit[lane] = if squares[lane] > 0.0 { squares[lane].sqrt().recip() } else { 1.0 };
        }
    }
}

/// Half the deviance up to a constant.
pub(super) fn value_of(sums: &Sums, observed: f64, lane: usize) -> f64 {
    0.5 * observed * (sums.sse[lane] + NOTHING * observed).ln() - sums.log_growth[lane]
}

/// Squared error a step below which a fit counts as perfect, on standardised data: `f32` holds no less.
pub(super) const NOTHING: f64 = 1e-15;
