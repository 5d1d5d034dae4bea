//! Chance: one stream of numbers for each workload, and the distributions drawn from it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A stream of its own, so that no workload's history depends on how many others there are.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// In `(0, 1)`.
    pub(super) fn uniform(&mut self) -> f64 {
        1.0 - self.0.random::<f64>().min(1.0 - f64::EPSILON)
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// Standard normal, by Box and Muller.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }

    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.uniform().ln()
    }

    /// At least `least`; the mean is infinite for `tail` of one or less.
    pub(super) fn pareto(&mut self, least: f64, tail: f64) -> f64 {
        least * self.uniform().powf(-1.0 / tail)
    }

    /// Arrivals when `mean` are expected; above 60 the rounded normal limit.
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let limit = (-mean).exp();
        let mut product = self.uniform();
        let mut count = 0.0;
        while product > limit {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }

    /// Moves a mean-reverting walk (Ornstein and Uhlenbeck) one step on; `memory` is the share kept.
    pub(super) fn wander(&mut self, at: f64, memory: f64, spread: f64) -> f64 {
        at * memory + spread * (1.0 - memory * memory).sqrt() * self.normal()
    }
}
