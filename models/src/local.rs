//! Clocks of a place: what they show at an instant, and series put on them, so that days and weeks follow local time.

mod read;
mod window;

pub use read::AsRead;
pub use window::Local;
pub(crate) use window::Way;

/// How far the clocks of a place are ahead of UTC, and when that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WallClock {
    name: String,
    first_offset_ms: i64,
    /// Instants in UTC, rising, each with the offset from then on.
    changes: Vec<(i64, i64)>,
}

impl WallClock {
    /// Clocks that are `first_offset_ms` ahead of UTC until the first of `changes`: instants in UTC, each with the offset
    /// from then on, all in milliseconds.
    ///
    /// # Panics
    /// When the instants do not rise.
    pub fn new(name: impl Into<String>, first_offset_ms: i64, changes: Vec<(i64, i64)>) -> Self {
        assert!(changes.is_sorted_by(|a, b| a.0 < b.0), "changes of a clock in the order of time");
        Self { name: name.into(), first_offset_ms, changes }
    }

    /// What the place is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the clocks show at an instant, as if that were UTC.
    pub fn local_ms(&self, utc_ms: i64) -> i64 {
        let passed = self.changes.partition_point(|(at_ms, _)| *at_ms <= utc_ms);
        utc_ms + self.offset_ms(passed)
    }

    /// The instant at which the clocks show a time: the first of two, and of a time that they skip the instant at which
    /// they do so.
    pub fn utc_ms(&self, local_ms: i64) -> i64 {
        let ends = self.changes.iter().map(|(at_ms, _)| *at_ms).chain([i64::MAX]);
        let mut start_ms = i64::MIN;
        for (passed, end_ms) in ends.enumerate() {
            let utc_ms = local_ms - self.offset_ms(passed);
            if utc_ms < end_ms {
                return utc_ms.max(start_ms);
            }
            start_ms = end_ms;
        }
        unreachable!("the last offset never ends")
    }

    /// The instants after `from_ms` and up to `to_ms` at which the offset changes.
    fn changes_between(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = i64> {
        let first = self.changes.partition_point(|(at_ms, _)| *at_ms <= from_ms);
        self.changes[first..].iter().map(|(at_ms, _)| *at_ms).take_while(move |at_ms| *at_ms <= to_ms)
    }

    fn offset_ms(&self, passed: usize) -> i64 {
        passed.checked_sub(1).map_or(self.first_offset_ms, |last| self.changes[last].1)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const HOUR: i64 = 3_600_000;

    /// An hour ahead of UTC, two from hour 100 to hour 200.
    pub(crate) fn summer() -> WallClock {
        WallClock::new("Somewhere", HOUR, vec![(100 * HOUR, 2 * HOUR), (200 * HOUR, HOUR)])
    }

    #[test]
    fn clocks_skip_an_hour_and_repeat_one() {
        let clock = summer();
        let shown = [99, 100, 199, 200, 201].map(|hour| clock.local_ms(hour * HOUR) / HOUR);
        assert_eq!(shown, [100, 102, 201, 201, 202]);
        let instants = [100, 101, 102, 200, 201, 202].map(|shown| clock.utc_ms(shown * HOUR) / HOUR);
        assert_eq!(instants, [99, 100, 100, 198, 199, 201], "101 is skipped, 201 comes twice");
        assert_eq!(clock.changes_between(100 * HOUR, 200 * HOUR).collect::<Vec<_>>(), [200 * HOUR]);
    }
}
