//! A damped Gauss-Newton way down a conditional sum of squares.

use super::solve::spd_solve;
use super::transform::Place;
use crate::arima_fit::limits::FARTHEST;
use crate::arima_fit::limits::descent::{LONGEST, MAX_TRIALS, SETTLED};

/// One series' way down the sum of squares of one order.
#[derive(Clone)]
pub(super) struct Descent {
    /// Places to begin from that are still to be looked at, the next one last.
    starts: Vec<Vec<f64>>,
    pub(super) free: Vec<f64>,
    pub(super) sse: f64,
    gradient: Vec<f64>,
    products: Vec<f64>,
    damping: f64,
    start_count: usize,
    trials: usize,
    pub(super) open: bool,
}

impl Descent {
    /// From the better of some starts.
    pub(super) fn from(starts: Vec<Vec<f64>>) -> Self {
        Self {
            free: starts[0].clone(),
            start_count: starts.len(),
            starts,
            sse: f64::INFINITY,
            gradient: Vec::new(),
            products: Vec::new(),
            damping: 1e-3,
            trials: 0,
            open: true,
        }
    }

    /// The next place to look at.
    pub(super) fn trial(&mut self) -> Vec<f64> {
        if let Some(start) = self.starts.pop() {
            return start;
        }
        let step = self.step();
        let to = |(free, step): (&f64, &f64)| (free + step.clamp(-LONGEST, LONGEST)).clamp(-FARTHEST, FARTHEST);
        self.free.iter().zip(&step).map(to).collect()
    }

    fn step(&self) -> Vec<f64> {
        let count = self.free.len();
        let mut matrix = self.products.clone();
        for i in 0..count {
            matrix[i * count + i] = matrix[i * count + i] * (1.0 + self.damping) + 1e-9 * self.sse;
        }
        let downhill: Vec<f64> = self.gradient.iter().map(|g| -g).collect();
        spd_solve(&mut matrix, &downhill).unwrap_or_else(|| vec![0.0; count])
    }

    /// Takes what was found at the trial.
    pub(super) fn receive(
        &mut self,
        trial: Vec<f64>,
        place: &Place,
        sse: f64,
        mut gradient: Vec<f64>,
        mut products: Vec<f64>,
    ) {
        let (was_start, gained) = (self.trials < self.start_count, self.sse - sse);
        self.trials += 1;
        let better = sse < self.sse;
        if better {
            place.pull_back(&mut gradient, &mut products);
            (self.free, self.sse, self.gradient, self.products) = (trial, sse, gradient, products);
        }
        if was_start {
            // Every start is looked at before the way down ends.
            self.open = !self.starts.is_empty() || self.sse.is_finite() && !self.free.is_empty();
        } else if better {
            self.damping = (self.damping * 0.2).max(1e-6);
            let promised: f64 = self.gradient.iter().zip(self.step()).map(|(g, s)| -g * s).sum();
            self.open = gained > SETTLED * sse && promised > SETTLED * sse;
        } else {
            self.damping *= 10.0;
            self.open = self.damping < 1e2 && sse.is_finite();
        }
        self.open &= self.trials < MAX_TRIALS;
    }
}
