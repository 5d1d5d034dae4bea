//! `[[series]]`: how series are read, and what their forecasts must lie between.

use serde::Deserialize;

use super::error::Refusal;
use super::zone::Zone;
use crate::telemetry::Selector;

/// What is said of some series; each key is that of a later table where that has it.
#[derive(Clone, Debug)]
pub struct SeriesConfig {
    select: Selector,
    counter: Option<bool>,
    minimum: Option<f64>,
    maximum: Option<Ceiling>,
    zone: Option<Zone>,
}

/// The most that a series can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Ceiling {
    /// It never changes.
    Number(f64),
    /// A recorded series with the labels of the one that it bounds.
    Series(Selector),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSeriesConfig {
    select: String,
    counter: Option<bool>,
    minimum: Option<f64>,
    maximum: Option<RawCeiling>,
    time_zone: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawCeiling {
    Number(f64),
    Series(String),
}

impl TryFrom<RawSeriesConfig> for SeriesConfig {
    type Error = Refusal;

    fn try_from(raw: RawSeriesConfig) -> Result<Self, Refusal> {
        let selector = |key: &str, text: &str| text.parse::<Selector>().map_err(|error| Refusal::new(key, text, error));
        let number = |key: &str, value: f64| {
            if value.is_finite() { Ok(value) } else { Err(Refusal::new(key, value, "a finite number is needed")) }
        };
        let ceiling = |raw| match raw {
            RawCeiling::Number(value) => number("maximum", value).map(Ceiling::Number),
            RawCeiling::Series(text) => selector("maximum", &text).map(Ceiling::Series),
        };
        let minimum = raw.minimum.map(|value| number("minimum", value)).transpose()?;
        let maximum = raw.maximum.map(ceiling).transpose()?;
        if let (Some(least), Some(Ceiling::Number(most))) = (minimum, &maximum)
            && least >= *most
        {
            return Err(Refusal::new("maximum", most, format!("a number above the minimum, {least}, is needed")));
        }
        Ok(Self {
            select: selector("select", &raw.select)?,
            counter: raw.counter,
            minimum,
            maximum,
            zone: raw.time_zone.map(|name| Zone::named("time_zone", &name)).transpose()?,
        })
    }
}

impl SeriesConfig {
    /// The series it speaks of.
    pub fn select(&self) -> &Selector {
        &self.select
    }

    /// Whether they count up and are read as rates per second; `None` where it says nothing of that.
    pub fn counter(&self) -> Option<bool> {
        self.counter
    }

    /// The least they can be, finite.
    pub fn minimum(&self) -> Option<f64> {
        self.minimum
    }

    /// The most they can be, above [`SeriesConfig::minimum`].
    pub fn maximum(&self) -> Option<&Ceiling> {
        self.maximum.as_ref()
    }

    /// The clocks that their days and weeks follow.
    pub fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }
}
