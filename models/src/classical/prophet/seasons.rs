//! Which waves a series is long enough for, and their values.

use std::f64::consts::TAU;

const DAY_MS: f64 = 86_400_000.0;

/// Prophet's automatic seasons: period in days, waves, days observed at least, days between observations
/// at most (`set_auto_seasonalities`), in its order.
const AUTOMATIC: [(f64, usize, f64, f64); 3] =
    [(365.25, 10, 730.0, f64::INFINITY), (7.0, 3, 14.0, 7.0), (1.0, 4, 2.0, 1.0)];

/// The seasons a series has, each on or off, in Prophet's order: year, week, day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Seasons([bool; 3]);

impl Seasons {
    /// By the span of the observations and the least distance between two of them.
    pub(super) fn of(span_ms: f64, closest_ms: f64) -> Self {
        Self(AUTOMATIC.map(|(_, _, span, apart)| span_ms >= span * DAY_MS && closest_ms < apart * DAY_MS))
    }

    /// Waves in days, the slowest of each season first.
    fn periods(self) -> impl Iterator<Item = f64> {
        let on = AUTOMATIC.into_iter().zip(self.0).filter(|(_, on)| *on);
        on.flat_map(|((period, order, _, _), _)| (1..=order).map(move |wave| period / wave as f64))
    }

    /// Columns of its waves, a sine and a cosine each.
    pub(super) fn columns(self) -> usize {
        2 * self.periods().count()
    }

    /// Every wave at a time, in milliseconds since the series' first observation.
    pub(super) fn waves(self, since_ms: f64) -> Vec<f64> {
        let days = since_ms / DAY_MS;
        self.periods().flat_map(|period| <[f64; 2]>::from((TAU * (days / period).fract()).sin_cos())).collect()
    }

    /// Turns coefficients of waves that begin at `start_ms` into those of waves that begin in 1970.
    pub(super) fn since_epoch(self, beta: &[f64], start_ms: i64) -> Vec<f64> {
        let days = start_ms as f64 / DAY_MS;
        let turn = |(pair, period): (&[f64], f64)| {
            let (sine, cosine) = (TAU * (days / period).fract()).sin_cos();
            [pair[0] * cosine + pair[1] * sine, pair[1] * cosine - pair[0] * sine]
        };
        beta.chunks_exact(2).zip(self.periods()).flat_map(turn).collect()
    }
}
