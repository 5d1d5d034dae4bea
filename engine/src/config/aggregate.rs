//! `[[aggregate]]`: series that are the sum or the maximum of others.

use serde::Deserialize;

use super::error::Refusal;
use crate::telemetry::Selector;

/// Series whose names start so are the program's own.
const OWN_PREFIX: &str = "foreshadow_";

/// What parts become together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// All of them.
    Sum,
    /// The largest of them.
    Max,
}

/// One aggregate: a series for each set of values that its parts have of some labels.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateConfig {
    name: String,
    function: Function,
    select: Selector,
    by: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAggregate {
    name: String,
    function: String,
    select: String,
    by: Option<Vec<String>>,
}

impl AggregateConfig {
    /// Checks every table.
    pub(super) fn all(raw: Vec<RawAggregate>) -> Result<Vec<Self>, Refusal> {
        let mut checked: Vec<Self> = Vec::with_capacity(raw.len());
        for (index, raw) in raw.into_iter().enumerate() {
            let within = |refusal: Refusal| refusal.within(&format!("aggregate[{index}]"));
            if raw.name.is_empty() || checked.iter().any(|earlier| earlier.name == raw.name) {
                return Err(within(Refusal::new("name", raw.name, "give every aggregate a name of its own")));
            }
            checked.push(raw.try_into().map_err(within)?);
        }
        Ok(checked)
    }

    /// The metric's name of its series.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its parts become.
    pub fn function(&self) -> Function {
        self.function
    }

    /// The series that are its parts.
    pub fn select(&self) -> &Selector {
        &self.select
    }

    /// Labels that its series keep, one series for each set of their values; none for one series of all parts.
    pub fn by(&self) -> &[String] {
        &self.by
    }
}

impl TryFrom<RawAggregate> for AggregateConfig {
    type Error = Refusal;

    fn try_from(raw: RawAggregate) -> Result<Self, Refusal> {
        if raw.name.starts_with(OWN_PREFIX) {
            let way_out = format!("names that start with {OWN_PREFIX} are the program's own: choose another");
            return Err(Refusal::new("name", raw.name, way_out));
        }
        let function = match raw.function.as_str() {
            "sum" => Function::Sum,
            "max" => Function::Max,
            other => return Err(Refusal::new("function", other, "sum or max is needed")),
        };
        let by = raw.by.unwrap_or_default();
        for (at, label) in by.iter().enumerate() {
            let way_out = match label.as_str() {
                "" => "a label has a name",
                "__name__" => "`name` names the metric: leave it out",
                _ if by[..at].contains(label) => "name every label once",
                _ => continue,
            };
            return Err(Refusal::new("by", label, way_out));
        }
        let select = raw.select.parse().map_err(|error| Refusal::new("select", &raw.select, error))?;
        Ok(Self { name: raw.name, function, select, by })
    }
}
