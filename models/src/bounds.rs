//! What a forecast of a series must lie between.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The least and the most that a series can be, both ends belonging to it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    low: f64,
    high: f64,
}

impl Bounds {
    /// Any number.
    pub const NONE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    /// From `low` to `high`; `None` where one is NaN or `low` lies above `high`.
    pub fn new(low: f64, high: f64) -> Option<Self> {
        (low <= high).then_some(Self { low, high })
    }

    /// The least; negative infinity where there is none.
    pub fn low(&self) -> f64 {
        self.low
    }

    /// The most; infinity where there is none.
    pub fn high(&self) -> f64 {
        self.high
    }

    /// The value, or the bound that it lies beyond. NaN stays NaN, and values in order stay in order.
    pub fn hold(&self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }

    /// Whether they may be held to, whoever wrote them.
    pub(crate) fn is_whole(&self) -> bool {
        self.low <= self.high
    }

    /// Whether the value lies between them; NaN does not.
    pub fn contain(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// The same of a series that never was negative: zero is its least unless another was declared.
    #[must_use]
    pub(crate) fn or_zero(self) -> Self {
        if self.low == f64::NEG_INFINITY && self.high >= 0.0 { Self { low: 0.0, ..self } } else { self }
    }
}

/// Bounds that were declared of a series, before it is known when they are asked for.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The least, in the series' unit.
    pub minimum: Option<f64>,
    /// The most, in the series' unit.
    pub maximum: Option<Maximum>,
}

/// The most that a series can be.
#[derive(Clone, Debug)]
pub enum Maximum {
    /// Always the same.
    Constant(f64),
    /// Finite values as they were recorded, in the order of their times (milliseconds since the epoch); each holds until
    /// the next, the last one for ever.
    Recorded(Arc<[(i64, f64)]>),
}

impl Limits {
    /// The same with the times of what was recorded moved.
    pub(crate) fn moved(&self, to: impl Fn(i64) -> i64) -> Self {
        let Some(Maximum::Recorded(records)) = &self.maximum else { return self.clone() };
        let mut moved: Vec<(i64, f64)> = records.iter().map(|(at_ms, value)| (to(*at_ms), *value)).collect();
        moved.sort_by_key(|(at_ms, _)| *at_ms); // stable: of equal times the later one recorded stays last
        Self { maximum: Some(Maximum::Recorded(moved.into())), ..*self }
    }

    /// The bounds of what comes from `end_ms` on, as far as they were known before it. A recorded maximum under the
    /// minimum is taken for the minimum.
    pub fn known_before(&self, end_ms: i64) -> Bounds {
        let low = self.minimum.unwrap_or(f64::NEG_INFINITY);
        let high = match &self.maximum {
            None => f64::INFINITY,
            Some(Maximum::Constant(high)) => *high,
            Some(Maximum::Recorded(records)) => {
                let known = records.partition_point(|(time, _)| *time < end_ms);
                known.checked_sub(1).map_or(f64::INFINITY, |last| records[last].1)
            }
        };
        Bounds { low, high: high.max(low) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_held_and_nan_is_not_hidden() {
        let bounds = Bounds::new(0.0, 100.0).unwrap();
        assert_eq!([-3.0, 0.0, 57.0, 100.0, 1e300].map(|v| bounds.hold(v)), [0.0, 0.0, 57.0, 100.0, 100.0]);
        assert!(bounds.hold(f64::NAN).is_nan() && !bounds.contain(f64::NAN));
        assert!(Bounds::new(1.0, 0.0).is_none() && Bounds::new(f64::NAN, 0.0).is_none());
        assert_eq!(Bounds::NONE.hold(-1e308), -1e308);
    }

    #[test]
    fn a_recorded_maximum_is_the_last_one_known() {
        let records: Arc<[(i64, f64)]> = vec![(10, 8.0), (20, 4.0)].into();
        let limits = Limits { minimum: Some(5.0), maximum: Some(Maximum::Recorded(records)) };
        let high = [10, 11, 20, 21, i64::MAX].map(|end| limits.known_before(end).high());
        assert_eq!(high, [f64::INFINITY, 8.0, 8.0, 5.0, 5.0], "under the minimum it is the minimum");
    }

    #[test]
    fn a_declared_minimum_goes_before_a_guessed_one() {
        assert_eq!(Bounds::NONE.or_zero().low(), 0.0);
        assert_eq!(Bounds::new(-5.0, 9.0).unwrap().or_zero().low(), -5.0);
        assert_eq!(Bounds::new(f64::NEG_INFINITY, -1.0).unwrap().or_zero().low(), f64::NEG_INFINITY);
    }
}
