//! Times as files spell them.

/// What a number in a time column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TimeUnit {
    /// By the column's type, or by how large most of the first numbers are.
    Auto,
    /// Seconds since the epoch.
    S,
    /// Milliseconds since the epoch.
    Ms,
    /// Microseconds since the epoch.
    Us,
    /// Nanoseconds since the epoch.
    Ns,
    /// Text such as 2026-11-23T12:00:00Z; without an offset it is UTC.
    Rfc3339,
}

/// What must stand in a time column, for a message.
pub(super) const EXPECTED: &str = "a time in the unit of --time-unit";

impl TimeUnit {
    /// `Auto` settled by one number: seconds up to the year 5138, milliseconds and microseconds from
    /// 1973 on.
    pub(super) fn settled_by(self, number: i64) -> Self {
        match (self, number.unsigned_abs()) {
            (Self::Auto, 0..100_000_000_000) => Self::S,
            (Self::Auto, 100_000_000_000..100_000_000_000_000) => Self::Ms,
            (Self::Auto, 100_000_000_000_000..100_000_000_000_000_000) => Self::Us,
            (Self::Auto, _) => Self::Ns,
            (settled, _) => settled,
        }
    }

    /// `Auto` settled by what most of the numbers say, the earlier of equals, so that one broken time does not
    /// speak for all; still `Auto` without a number.
    pub(super) fn settled_by_most(self, numbers: impl Iterator<Item = i64>) -> Self {
        let mut votes: Vec<(Self, usize)> = Vec::new();
        for unit in numbers.map(|number| self.settled_by(number)) {
            match votes.iter_mut().find(|(known, _)| *known == unit) {
                Some((_, count)) => *count += 1,
                None => votes.push((unit, 1)),
            }
        }
        let most = votes.into_iter().rev().max_by_key(|(_, count)| *count);
        most.map_or(self, |(unit, _)| unit)
    }

    /// Milliseconds since the epoch of a number in this unit; `None` when it does not fit or this is text.
    pub(super) fn to_ms(self, number: i64) -> Option<i64> {
        match self {
            Self::S => number.checked_mul(1_000),
            Self::Ms => Some(number),
            Self::Us => Some(number.div_euclid(1_000)),
            Self::Ns => Some(number.div_euclid(1_000_000)),
            Self::Auto | Self::Rfc3339 => None,
        }
    }

    /// Milliseconds of a number with a fraction, such as `1700000000.5` seconds.
    pub(super) fn float_to_ms(self, number: f64) -> Option<i64> {
        let per_ms = match self {
            Self::S => 1e-3,
            Self::Ms => 1.0,
            Self::Us => 1e3,
            Self::Ns => 1e6,
            Self::Auto | Self::Rfc3339 => return None,
        };
        let ms = (number / per_ms).round();
        (ms.abs() < 9e15).then_some(ms as i64)
    }
}

/// Milliseconds of a text such as `2026-11-23T12:00:00Z` or `2026-11-23 12:00:00`.
pub fn parse_time(text: &str) -> Option<i64> {
    let zoned = text.parse::<jiff::Timestamp>().ok();
    let instant = zoned.or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        jiff::tz::Offset::UTC.to_timestamp(civil).ok()
    });
    instant.map(|instant| instant.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_settles_its_unit() {
        for (number, unit) in [
            (1_700_000_000, TimeUnit::S),
            (1_700_000_000_000, TimeUnit::Ms),
            (1_700_000_000_000_000, TimeUnit::Us),
            (1_700_000_000_000_000_000, TimeUnit::Ns),
        ] {
            let settled = TimeUnit::Auto.settled_by(number);
            assert_eq!((settled, settled.to_ms(number)), (unit, Some(1_700_000_000_000)));
            assert_eq!(settled.float_to_ms(number as f64), Some(1_700_000_000_000));
        }
        assert_eq!(TimeUnit::Ms.settled_by(5), TimeUnit::Ms);
        assert_eq!(TimeUnit::S.to_ms(i64::MAX), None);
    }

    #[test]
    fn a_text_is_utc_unless_it_says_otherwise() {
        for (text, ms) in [
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("1970-01-01T01:00:01.25+01:00", Some(1_250)),
            ("1970-01-01 00:00:01", Some(1_000)),
            ("1970-01-02", Some(86_400_000)),
            ("yesterday", None),
        ] {
            assert_eq!(parse_time(text), ms, "{text}");
        }
    }
}
