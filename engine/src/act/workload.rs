//! What a workload needs, and what one request may change of it.

use crate::config::{Demand, WorkloadConfig};
use crate::telemetry::SeriesKey;

/// A workload to size. A [`WorkloadConfig`] makes a checked one; who makes one in code sees to it that
/// `unit_capacity` and `step` are positive, `target` lies in `(0, 1]`, `quantile` in `[0.5, 1)`,
/// `0 ≤ min ≤ max`, and `lead_time_ms` is not negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Its name, by which clients ask.
    pub name: String,
    /// What it is sized on.
    pub demand: Demand,
    /// Demand that one unit carries at full use.
    pub unit_capacity: f64,
    /// Share of a unit's capacity to plan with.
    pub target: f64,
    /// Quantile of demand to be ready for.
    pub quantile: f64,
    /// From asking for a unit until it carries load.
    pub lead_time_ms: i64,
    /// Fewest units.
    pub min: i64,
    /// Most units.
    pub max: i64,
    /// Units come in multiples of this; the bounds come first.
    pub step: i64,
}

impl Workload {
    /// Identity of the demand series built for a workload that is sized on utilisation.
    pub fn demand_series(&self) -> String {
        let labels = [("__name__", "foreshadow_demand"), ("workload", self.name.as_str())];
        SeriesKey::new(labels.map(|(key, value)| (key.to_string(), value.to_string()))).to_string()
    }
}

impl From<&WorkloadConfig> for Workload {
    fn from(config: &WorkloadConfig) -> Self {
        Self {
            name: config.name().into(),
            demand: config.demand().clone(),
            unit_capacity: config.unit_capacity(),
            target: config.target(),
            quantile: config.quantile(),
            lead_time_ms: config.lead_time_ms(),
            min: config.min(),
            max: config.max(),
            step: config.step(),
        }
    }
}

/// One request's own settings; what is absent is the workload's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ask {
    /// Quantile of demand to be ready for.
    pub quantile: Option<f64>,
    /// How far past the cutoff to look.
    pub horizon_ms: Option<i64>,
    /// Share of a unit's capacity to plan with.
    pub target: Option<f64>,
    /// Fewest units.
    pub min: Option<i64>,
    /// Most units.
    pub max: Option<i64>,
    /// Units come in multiples of this.
    pub step: Option<i64>,
}
