//! What monitoring loses.

use super::STEPS_A_DAY;
use super::draw::Draw;

/// Steps at which a region's monitoring was down.
pub(super) struct Outages {
    down: Vec<bool>,
}

impl Outages {
    pub(super) fn of_region(seed: u64, region: usize, steps: usize) -> Self {
        let mut draw = Draw::new(seed, 1_000_000 + region as u64);
        let mut down = vec![false; steps];
        let mut at = draw.exponential(6.0 * STEPS_A_DAY as f64);
        while (at as usize) < steps {
            let until = at + draw.pareto(2.0, 1.3).min(40.0); // ten minutes to three hours
            down[at as usize..(until as usize).min(steps)].fill(true);
            at = until + draw.exponential(6.0 * STEPS_A_DAY as f64);
        }
        // The newest hour is always there: the fleet ends now.
        down[steps.saturating_sub(12)..].fill(false);
        Self { down }
    }

    /// Takes out what was lost: the region's outages, single scrapes, and of some series most of a day.
    pub(super) fn lose(&self, draw: &mut Draw, values: &mut [f64]) {
        let last = values.len() - 1;
        for (at, value) in values.iter_mut().enumerate() {
            if self.down[at] || (draw.chance(5e-4) && at != last) {
                *value = f64::NAN;
            }
        }
        if draw.chance(0.03) {
            let length = draw.between(0.5, 0.9) * STEPS_A_DAY as f64;
            let from = draw.between(0.0, (values.len().saturating_sub(2 * STEPS_A_DAY)) as f64);
            let to = ((from + length) as usize).min(values.len());
            values[from as usize..to].fill(f64::NAN);
        }
    }
}
