//! A regressor's samples, and its values at the steps of other series.

use foreshadow_models::{RawSeries, WallClock};

/// Values further from zero are of no use beside others.
const FURTHEST: f64 = 1e100;

/// Samples in the order of time, one a time; NaN where a value is told to be unknown.
#[derive(Debug)]
pub(super) struct Samples {
    times_ms: Vec<i64>,
    values: Vec<f64>,
    /// The commonest distance between two of them; `None` of a single one.
    step_ms: Option<i64>,
}

impl Samples {
    /// Of equal times the last read stays.
    pub(super) fn new(raw: &RawSeries) -> Self {
        Self::sorted(raw.times_ms.iter().copied().zip(raw.values.iter().copied()).collect())
    }

    /// The same with times as the clocks of a place show them; of an hour that comes twice the second stays.
    pub(super) fn on(&self, clock: &WallClock) -> Self {
        let local = self.times_ms.iter().map(|time| clock.local_ms(*time));
        Self::sorted(local.zip(self.values.iter().copied()).collect())
    }

    fn sorted(mut samples: Vec<(i64, f64)>) -> Self {
        samples.sort_by_key(|(time, _)| *time); // stable: the last of equals is the last read
        samples.dedup_by(|next, kept| {
            let same_time = next.0 == kept.0;
            if same_time {
                kept.1 = next.1;
            }
            same_time
        });
        let value = |(_, value): &(i64, f64)| if value.abs() < FURTHEST { *value } else { f64::NAN };
        let times_ms: Vec<i64> = samples.iter().map(|(time, _)| *time).collect();
        Self { step_ms: commonest(&times_ms), times_ms, values: samples.iter().map(value).collect() }
    }

    /// The value at each of `steps` times, from samples up to `until_ms`: it holds until the next sample, the last one as
    /// long as the commonest step.
    pub(super) fn on_grid(&self, start_ms: i64, step_ms: i64, steps: usize, until_ms: i64) -> Vec<f64> {
        let count = self.times_ms.partition_point(|time| *time <= until_ms);
        let Some(last) = count.checked_sub(1) else { return vec![f64::NAN; steps] };
        // Times after `until_ms` tell nothing either.
        let own_ms = if count == self.times_ms.len() { self.step_ms } else { commonest(&self.times_ms[..count]) };
        let end_ms = self.times_ms[last].saturating_add(own_ms.unwrap_or(step_ms));
        let mut next = self.times_ms[..count].partition_point(|time| *time <= start_ms);
        let at = |step: usize| {
            let time = start_ms + step as i64 * step_ms;
            while next < count && self.times_ms[next] <= time {
                next += 1;
            }
            if next == 0 || time >= end_ms { f64::NAN } else { self.values[next - 1] }
        };
        (0..steps).map(at).collect()
    }
}

/// The most frequent distance between two times, the smallest of equals.
fn commonest(times_ms: &[i64]) -> Option<i64> {
    let mut distances: Vec<i64> = times_ms.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    distances.sort_unstable();
    let runs = distances.chunk_by(|a, b| a == b);
    runs.map(|run| (run.len(), -run[0])).max().map(|(_, negated)| -negated)
}
