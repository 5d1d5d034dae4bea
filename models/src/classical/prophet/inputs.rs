//! What is known beside a series, past and future: the values of a regressor, a capacity, a floor.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::Window;
use crate::season::DAY_MS;

/// Values at regular times; each holds from its own time until the next one's.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    start_ms: i64,
    step_ms: i64,
    values: Arc<[f64]>,
    /// See [`Track::expected_from`].
    expected_from_ms: Option<i64>,
}

impl Track {
    /// Values from `start_ms` on (milliseconds since 1970, UTC), one each `step_ms`. A NaN or an infinity is
    /// unknown.
    ///
    /// # Panics
    /// When `step_ms` is not positive.
    pub fn new(start_ms: i64, step_ms: i64, values: Vec<f64>) -> Self {
        assert!(step_ms > 0, "a step of {step_ms} ms");
        Self { start_ms, step_ms, values: values.into(), expected_from_ms: None }
    }

    /// The same of something whose future is not known: values from `from_ms` on are what was expected of it at that
    /// time. A fit of a window that ends earlier sees nothing of what came after its end, observed or expected: there
    /// the day before repeats itself.
    #[must_use]
    pub fn expected_from(self, from_ms: i64) -> Self {
        Self { expected_from_ms: Some(from_ms), ..self }
    }

    /// Whether both are the very same values.
    fn is_same(&self, other: &Self) -> bool {
        let place = |track: &Self| (track.start_ms, track.step_ms, track.expected_from_ms);
        Arc::ptr_eq(&self.values, &other.values) && place(self) == place(other)
    }

    /// Whether a window that ends at `end_ms` must not see all of it.
    fn hides_from(&self, end_ms: i64) -> bool {
        self.expected_from_ms.is_some_and(|from_ms| end_ms < from_ms)
    }

    /// The same without what comes from `end_ms` on: from the last known value before that on, each day repeats the one
    /// before it; where there is no day before, the last value holds.
    #[must_use]
    pub fn repeated_from(&self, end_ms: i64) -> Self {
        let steps = end_ms.saturating_sub(self.start_ms).max(0) as u64;
        let end = steps.div_ceil(self.step_ms.unsigned_abs()).min(self.values.len() as u64) as usize;
        let mut values = self.values[..end].to_vec();
        let known = values.iter().rposition(|value| value.is_finite()).map_or(0, |last| last + 1);
        values.truncate(known);
        let last = values.last().copied().unwrap_or(f64::NAN);
        let day = (DAY_MS / self.step_ms).max(1) as usize;
        for step in known..self.values.len() {
            let before = step.checked_sub(day).map(|before| values[before]).filter(|value| value.is_finite());
            values.push(before.unwrap_or(last));
        }
        Self { values: values.into(), expected_from_ms: None, ..self.clone() }
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

    /// By the series' names; where all of them have clones of one track it is shared, so that series of one length and
    /// start share their whole matrix.
    pub fn of_each(named: Vec<(String, Option<Track>)>) -> Self {
        if let Some((_, Some(first))) = named.first()
            && named.iter().all(|(_, track)| track.as_ref().is_some_and(|track| track.is_same(first)))
        {
            return Self::Shared(first.clone());
        }
        Self::PerSeries(Arc::new(named.into_iter().filter_map(|(name, track)| Some((name, track?))).collect()))
    }

    /// The same as it was to be seen by each series at the end of its window; `None` where nothing is hidden from any.
    pub(super) fn seen_by(&self, window: &Window<'_>) -> Option<Self> {
        let track = |s: usize| match self {
            Self::Constant(_) => None,
            Self::Shared(track) => Some(track),
            Self::PerSeries(tracks) => tracks.get(window.name(s)),
        };
        let series = 0..window.series_count();
        if !series.clone().any(|s| track(s).is_some_and(|track| track.hides_from(window.end_ms(s)))) {
            return None;
        }
        // Series that share a track and an end share what is seen.
        let mut seen: HashMap<(*const f64, Option<i64>, i64), Track> = HashMap::new();
        let of_series = |s: usize| {
            let name = window.name(s).to_string();
            let (Some(track), end_ms) = (track(s), window.end_ms(s)) else { return (name, None) };
            let cut = || if track.hides_from(end_ms) { track.repeated_from(end_ms) } else { track.clone() };
            let own = seen.entry((track.values.as_ptr(), track.expected_from_ms, end_ms)).or_insert_with(cut);
            (name, Some(own.clone()))
        };
        Some(Self::of_each(series.map(of_series).collect()))
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

    #[test]
    fn an_early_window_sees_nothing_that_came_later() {
        let hour = DAY_MS / 24;
        let track = |later: f64| {
            let values = (0..60).map(|step| if step < 30 { f64::from(step) } else { later }).collect();
            Track::new(0, hour, values).expected_from(50 * hour)
        };
        let seen = |track: Track, end_ms: i64| {
            let mut panel = crate::Panel::new(hour);
            panel.push("a".into(), 0, &[1.0; 60]);
            let window = panel.window_until(|_| (end_ms / hour) as usize);
            let known = Known::Shared(track);
            known.seen_by(&window).unwrap_or(known)
        };
        let early = seen(track(7.0), 30 * hour);
        assert_eq!(early, seen(track(9.0), 30 * hour), "no value past the end tells anything");
        let at = [29, 30, 53, 54, 59, 60].map(|step| early.at("a", step * hour));
        assert_eq!(at, [Some(29.0), Some(6.0), Some(29.0), Some(6.0), Some(11.0), None]);
        assert_eq!(seen(track(7.0), 50 * hour).at("a", 55 * hour), Some(7.0), "what was expected then is seen then");
        let short = seen(track(7.0), 3 * hour);
        assert_eq!(short.at("a", 20 * hour), Some(2.0), "before a day has passed the last value holds");
        assert_eq!(seen(track(7.0), 0).at("a", 0), None, "nothing known is nothing to go on with");
    }
}
