//! What is known beside a series, past and future: the values of a regressor, a capacity, a floor.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Values at regular times; each holds from its own time until the next one's.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    start_ms: i64,
    step_ms: i64,
    values: Arc<[f64]>,
}

impl Track {
    /// Values from `start_ms` on (milliseconds since 1970, UTC), one each `step_ms`. A NaN or an infinity is
    /// unknown.
    ///
    /// # Panics
    /// When `step_ms` is not positive.
    pub fn new(start_ms: i64, step_ms: i64, values: Vec<f64>) -> Self {
        assert!(step_ms > 0, "a step of {step_ms} ms");
        Self { start_ms, step_ms, values: values.into() }
    }

    fn at(&self, time_ms: i64) -> Option<f64> {
        let index = time_ms.checked_sub(self.start_ms)?.div_euclid(self.step_ms);
        self.values.get(usize::try_from(index).ok()?).copied()
    }
}

/// A quantity that is known at the times to fit and to forecast.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Always the same.
    Constant(f64),
    /// The same for every series.
    Shared(Track),
    /// By the series' name; unknown for a series that is not there.
    PerSeries(Arc<BTreeMap<String, Track>>),
}

impl Known {
    /// Its value for a series at a time, where it is known and finite.
    pub fn at(&self, series: &str, time_ms: i64) -> Option<f64> {
        let value = match self {
            Self::Constant(value) => Some(*value),
            Self::Shared(track) => track.at(time_ms),
            Self::PerSeries(tracks) => tracks.get(series)?.at(time_ms),
        };
        value.filter(|value| value.is_finite())
    }

    /// Whether series differ in it.
    pub(super) fn is_per_series(&self) -> bool {
        matches!(self, Self::PerSeries(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_until_the_next_and_is_never_guessed() {
        let known = Known::Shared(Track::new(1_000, 10, vec![1.0, f64::NAN, 3.0]));
        let at = [999, 1_000, 1_009, 1_010, 1_020, 1_029, 1_030].map(|time| known.at("a", time));
        assert_eq!(at, [None, Some(1.0), Some(1.0), None, Some(3.0), Some(3.0), None]);
        assert_eq!(Known::PerSeries(Arc::default()).at("a", 0), None);
    }
}
