//! What families take in memory while they work on a batch.

use foreshadow_models::Horizon;

/// A family at work.
#[derive(Clone, Copy, Debug)]
pub struct Working<'a> {
    /// Its name.
    pub family: &'a str,
    /// Most steps it is shown.
    pub lookback_steps: usize,
    /// Steps ahead.
    pub horizon: Horizon,
    /// Quantile levels of the forecast.
    pub levels: usize,
}

/// Bytes of a step that a family is shown, once and for each thread that fits, and of a step ahead. They are the growth of
/// the process' peak over simulated fleets of 4,032 steps and a horizon of 288, from 500 series to 2,000, rounded up.
const AUTO: [u64; 3] = [24, 4, 700];
const OTHERS: [u64; 3] = [40, 8, 16];

impl Working<'_> {
    /// What a series of so many samples takes, its samples aside.
    pub fn bytes(&self, samples: usize) -> u64 {
        let [shown, each_thread, ahead] = if self.family == "auto" { AUTO } else { OTHERS };
        let steps = samples.min(self.lookback_steps) as u64;
        let said = 8 * (self.levels as u64 + 1);
        steps * (shown + each_thread * rayon::current_num_threads() as u64)
            + self.horizon.steps() as u64 * (ahead + said)
    }
}
