//! `[[workload]]`: whose capacity is recommended, from which demand, inside which bounds.

use serde::Deserialize;

use super::error::{Refusal, in_range, span_ms};
use crate::telemetry::Selector;

/// One workload: its demand and how demand becomes replicas.
#[derive(Clone, Debug)]
pub struct WorkloadConfig {
    name: String,
    demand: Demand,
    unit_capacity: f64,
    target: f64,
    quantile: f64,
    lead_time_ms: i64,
    min: i64,
    max: i64,
    step: i64,
}

/// What a workload is asked for. Several series that a selector means are summed.
#[derive(Clone, Debug, PartialEq)]
pub enum Demand {
    /// Demand as it is measured.
    Series(Selector),
    /// Utilisation times the capacity there was at the time: what would have been asked for had our own
    /// scaling not moved it.
    Utilisation {
        /// Share of the capacity in use.
        utilisation: Selector,
        /// The capacity at the time.
        capacity: Capacity,
    },
}

/// The capacity that utilisation is a share of.
#[derive(Clone, Debug, PartialEq)]
pub enum Capacity {
    /// It never changes.
    Number(f64),
    /// A recorded series.
    Series(Selector),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkload {
    name: String,
    demand: Option<String>,
    utilisation: Option<String>,
    capacity: Option<RawCapacity>,
    unit_capacity: f64,
    target: Option<f64>,
    quantile: Option<f64>,
    lead_time: Option<String>,
    min: Option<i64>,
    max: i64,
    step: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawCapacity {
    Number(f64),
    Series(String),
}

impl TryFrom<RawWorkload> for WorkloadConfig {
    type Error = Refusal;

    fn try_from(raw: RawWorkload) -> Result<Self, Refusal> {
        if raw.name.is_empty() {
            return Err(Refusal::new("name", raw.name, "give the workload a name"));
        }
        let min = in_range("min", raw.min.unwrap_or(1), 0..=1_000_000)?;
        Ok(Self {
            demand: demand(raw.demand, raw.utilisation, raw.capacity)?,
            name: raw.name,
            unit_capacity: in_range("unit_capacity", raw.unit_capacity, 1e-9..=1e18)?,
            target: in_range("target", raw.target.unwrap_or(0.7), 0.01..=1.0)?,
            quantile: in_range("quantile", raw.quantile.unwrap_or(0.9), 0.5..=0.999)?,
            lead_time_ms: span_ms("lead_time", raw.lead_time.as_deref().unwrap_or("15m"), "0s", "30d")?,
            min,
            max: in_range("max", raw.max, min.max(1)..=1_000_000)?,
            step: in_range("step", raw.step.unwrap_or(1), 1..=100_000)?,
        })
    }
}

fn demand(
    demand: Option<String>,
    utilisation: Option<String>,
    capacity: Option<RawCapacity>,
) -> Result<Demand, Refusal> {
    match (demand, utilisation, capacity) {
        (Some(demand), None, None) => Ok(Demand::Series(selector("demand", &demand)?)),
        (None, Some(utilisation), Some(capacity)) => Ok(Demand::Utilisation {
            utilisation: selector("utilisation", &utilisation)?,
            capacity: match capacity {
                RawCapacity::Number(number) => Capacity::Number(in_range("capacity", number, 1e-9..=1e18)?),
                RawCapacity::Series(text) => Capacity::Series(selector("capacity", &text)?),
            },
        }),
        (None, Some(_), None) => Err(Refusal::missing("capacity", "demand is utilisation times capacity: give both")),
        (None, None, _) => Err(Refusal::missing("demand", "name the series to forecast, or utilisation and capacity")),
        (Some(demand), ..) => Err(Refusal::new("demand", demand, "keep either demand, or utilisation and capacity")),
    }
}

fn selector(key: &str, text: &str) -> Result<Selector, Refusal> {
    text.parse().map_err(|error| Refusal::new(key, text, error))
}

impl WorkloadConfig {
    /// What it is called, here and in a plan.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is asked for.
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// Demand that one replica serves at full use, in the demand's unit.
    pub fn unit_capacity(&self) -> f64 {
        self.unit_capacity
    }

    /// Share of its capacity that a replica should be used at, in `(0, 1]`.
    pub fn target(&self) -> f64 {
        self.target
    }

    /// Quantile of the forecast demand to be ready for.
    pub fn quantile(&self) -> f64 {
        self.quantile
    }

    /// Time from a decision to capacity in use, milliseconds.
    pub fn lead_time_ms(&self) -> i64 {
        self.lead_time_ms
    }

    /// Fewest replicas.
    pub fn min(&self) -> i64 {
        self.min
    }

    /// Most replicas.
    pub fn max(&self) -> i64 {
        self.max
    }

    /// Replicas are a multiple of it.
    pub fn step(&self) -> i64 {
        self.step
    }
}
