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

/// Bytes of a step that a family is shown, once and for each thread that fits, and of a step ahead beside what is said of it.
/// They lie above how the peak of the process grew with simulated fleets: by 230 to 380 KB a series for auto (1,000 and 4,032
/// steps, 24 and 288 ahead, one to eight threads), by 210 KB for MSTL, the largest of the others (4,032 steps, 288 ahead).
const AUTO: [u64; 3] = [24, 4, 700];
const OTHERS: [u64; 3] = [40, 8, 16];

impl Working<'_> {
    /// What a series of so many samples takes, its samples aside.
    pub fn bytes(&self, samples: usize) -> u64 {
        let [shown, each_thread, ahead] = if super::is_auto(self.family) { AUTO } else { OTHERS };
        let steps = samples.min(self.lookback_steps) as u64;
        let said = 8 * (self.levels as u64 + 1);
        steps * (shown + each_thread * rayon::current_num_threads() as u64)
            + self.horizon.steps() as u64 * (ahead + said)
    }
}
