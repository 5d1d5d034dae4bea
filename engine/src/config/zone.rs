//! Time zones by their names in the IANA database, a copy of which is built in.

use foreshadow_models::WallClock;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::error::Refusal;

/// Names listed of what an unknown one may have meant.
const LISTED: usize = 3;

/// A time zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// The zone of a name such as `Europe/Berlin`, in any case.
    pub(super) fn named(key: &str, text: &str) -> Result<Self, Refusal> {
        TimeZone::get(text).map(Self).map_err(|_| {
            let nearest = nearest(text).join(", ");
            Refusal::new(
                key,
                text,
                format!("a name of the IANA time zone database is needed; the nearest are {nearest}"),
            )
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// Its clocks from one instant to another, milliseconds since the epoch; `None` where they show UTC all along.
    pub fn clock(&self, from_ms: i64, to_ms: i64) -> Option<WallClock> {
        let at = |ms: i64| {
            let second = ms.div_euclid(1_000).clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
            Timestamp::from_second(second).expect("it was clamped to what a timestamp holds")
        };
        let (from, to) = (at(from_ms), at(to_ms));
        let offset_ms = |seconds: i32| i64::from(seconds) * 1_000;
        let first = offset_ms(self.0.to_offset(from).seconds());
        let mut last = first;
        let mut changes = Vec::new();
        for change in self.0.following(from).take_while(|change| change.timestamp() <= to) {
            let next = offset_ms(change.offset().seconds());
            if next != last {
                changes.push((change.timestamp().as_millisecond(), next));
            }
            last = next;
        }
        (first != 0 || !changes.is_empty()).then(|| WallClock::new(self.name(), first, changes))
    }
}

/// The names that are spelled most like a text, whole or by their last part.
fn nearest(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        let place = name.rsplit('/').next().unwrap_or(&name);
        strsim::jaro_winkler(&text, &name).max(strsim::jaro_winkler(&text, place))
    };
    let mut names: Vec<(f64, String)> =
        jiff::tz::db().available().map(|name| (likeness(name.as_str()), name.as_str().to_string())).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    names.into_iter().take(LISTED).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::parse_time;

    fn ms(text: &str) -> i64 {
        parse_time(text).unwrap()
    }

    #[test]
    fn a_zone_knows_its_changes_on_a_bare_machine() {
        let clock =
            Zone::named("time_zone", "europe/berlin").unwrap().clock(ms("2025-01-01"), ms("2026-01-01")).unwrap();
        assert_eq!(clock.name(), "Europe/Berlin");
        for (utc, local) in [
            ("2025-03-30T00:59:59Z", "2025-03-30T01:59:59"),
            ("2025-03-30T01:00:00Z", "2025-03-30T03:00:00"),
            ("2025-10-26T00:59:59Z", "2025-10-26T02:59:59"),
            ("2025-10-26T01:00:00Z", "2025-10-26T02:00:00"),
        ] {
            assert_eq!(clock.local_ms(ms(utc)), ms(local), "{utc}");
        }
        let howe = Zone::named("time_zone", "Australia/Lord_Howe").unwrap().clock(ms("2025-01-01"), ms("2026-01-01"));
        let shown = howe.unwrap().local_ms(ms("2025-10-04T15:30:00Z"));
        assert_eq!(shown, ms("2025-10-05T02:30:00"), "half an hour was skipped at 02:00");
    }

    #[test]
    fn clocks_that_show_utc_are_none() {
        assert_eq!(Zone::default().clock(0, i64::MAX), None);
        let london = Zone::named("time_zone", "Europe/London").unwrap();
        assert_eq!(london.clock(ms("2025-01-01"), ms("2025-03-01")), None);
        assert!(london.clock(ms("2025-01-01"), ms("2025-04-01")).is_some());
        assert!(london.clock(i64::MIN, i64::MIN + 1).is_some(), "times beyond any calendar are no matter");
    }

    #[test]
    fn an_unknown_zone_is_refused_with_the_nearest_names() {
        for (text, meant) in
            [("Europe/Berln", "Europe/Berlin"), ("berlin", "Europe/Berlin"), ("US/Pacifc", "US/Pacific")]
        {
            if text == "berlin" || Zone::named("time_zone", text).is_err() {
                let refusal = Zone::named("time_zone", text).unwrap_err();
                assert!(refusal.way_out.contains(meant), "{text}: {}", refusal.way_out);
            }
        }
    }
}
