//! The best start for given weights: conjugate gradients on the recursion and its adjoint.

use crate::cpu::ets::{Passes, Row, Weights};
use crate::{EtsForm, LANES, Trend};

/// A lane group whose start is minimised out of the sum of squares.
pub(super) struct Profile<'a> {
    passes: Passes<'a>,
    form: EtsForm,
    /// The best start so far, which the next weights begin from.
    start: Vec<Row>,
    gradient: Vec<Row>,
    direction: Vec<Row>,
    /// Unit of the slope's coordinate, so that every coordinate moves the errors about as much.
    slope_unit: Row,
    settled: [bool; LANES],
}

impl<'a> Profile<'a> {
    pub(super) fn new(y: &'a [[f32; LANES]], form: EtsForm) -> Self {
        let zeros = || vec![[0.0; LANES]; form.start_len()];
        Self {
            passes: Passes::new(y, form),
            form,
            start: zeros(),
            gradient: zeros(),
            direction: zeros(),
            slope_unit: [1.0; LANES],
            settled: [true; LANES],
        }
    }

    /// Observed steps of each lane.
    pub(super) fn observed(&self) -> &Row {
        &self.passes.observed
    }

    /// Whether the latest evaluation reached its precision, a lane each.
    pub(super) fn settled(&self) -> [bool; LANES] {
        self.settled
    }

    pub(super) fn into_start(self) -> Vec<Row> {
        self.start
    }

    /// Least sum of squares over all starts, and the derivatives of half of it by the weights: at the best
    /// start the start's own share of them is zero. Lanes not `active` keep their start.
    ///
    /// Each coordinate of the start is an error of its own, so the Hessian is at least the identity and
    /// `|gradient|^2` bounds what is still to gain: it ends at `precision` times the sum of squares.
    pub(super) fn evaluate(&mut self, weights: &Weights, active: &[bool; LANES], precision: f64) -> (Row, Weights) {
        if self.form.trend != Trend::None {
            self.measure_slope(weights);
        }
        let mut sse = self.passes.forward(weights, &self.start);
        let by = self.passes.adjoint(weights, &mut self.gradient);
        let mut left = self.scaled_norm();
        // A NaN is settled too: nothing mends it.
        self.settled = std::array::from_fn(|lane| {
            let goes_on = active[lane] && left[lane] > precision * sse[lane];
            !goes_on
        });
        if !self.settled.contains(&false) {
            return (sse, by);
        }
        self.direction.fill([0.0; LANES]);
        self.turn(&[0.0; LANES]);
        // Exact arithmetic needs as many rounds as there are coordinates; rounding a few more.
        for _ in 0..2 * self.form.start_len() + 10 {
            let squares = self.passes.direction(weights, &self.direction);
            let stride: Row = std::array::from_fn(|lane| {
                if self.settled[lane] || squares[lane] <= 0.0 { 0.0 } else { left[lane] / squares[lane] }
            });
            for (start, direction) in self.start.iter_mut().zip(&self.direction) {
                for lane in 0..LANES {
                    start[lane] += stride[lane] * direction[lane];
                }
            }
            self.passes.moved_adjoint(weights, &stride, &mut self.gradient);
            let after = self.scaled_norm();
            let mut keep = [0.0; LANES];
            for lane in 0..LANES {
                sse[lane] -= stride[lane] * left[lane];
                let open = !self.settled[lane] && stride[lane] > 0.0 && after[lane] > precision * sse[lane];
                self.settled[lane] = !open;
                keep[lane] = if open { after[lane] / left[lane] } else { 0.0 };
                left[lane] = after[lane];
            }
            if !self.settled.contains(&false) {
                break;
            }
            self.turn(&keep);
        }
        let sse = self.passes.forward(weights, &self.start);
        (sse, self.passes.adjoint(weights, &mut self.gradient))
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
