//! A fleet that never was: seeded, the same on every run, every series labelled `simulated="true"`.
//!
//! It is made from how load comes about, not from what forecasting families assume: people who wake, work
//! and shop in their time zones, requests that arrive by chance, machines that queue what they cannot
//! serve, operators who add replicas on Mondays. So no family fits it exactly, and none has an unfair lead.

use foreshadow_models::{Panel, RawSeries};
use rayon::prelude::*;

use self::demand::Demand;
use self::draw::Draw;
use self::faults::Outages;
use self::machine::Machine;
use crate::telemetry::SeriesKey;

mod demand;
mod draw;
mod faults;
mod machine;
#[cfg(test)]
mod tests;

/// Sampling interval.
pub const STEP_MS: i64 = 300_000;
const STEPS_A_DAY: usize = 288;

/// The regions, with their clocks' distance from UTC in hours.
const REGIONS: [(&str, f64); 3] = [("eu-west", 1.0), ("us-east", -5.0), ("ap-south", 5.5)];
/// The region whose machines run out, and the one with the flash crowd.
const SHORT_REGION: usize = 2;
const CROWDED_REGION: usize = 1;
/// Where the streams of chance begin that turns are drawn from.
const TURNS: u64 = 1_000_000;
/// Names of workloads; each comes several times, numbered.
const NAMES: [&str; 10] =
    ["checkout", "search", "login", "catalogue", "media", "payments", "reports", "backup", "telemetry", "gateway"];

/// What fleet to simulate.
#[derive(Clone, Copy, Debug)]
pub struct FleetSpec {
    /// Seed of everything random.
    pub seed: u64,
    /// The newest sample is the last whole step at or before this time.
    pub end_ms: i64,
    /// Days of history, at least one.
    pub days: usize,
    /// Workloads in each of the three regions, at least one.
    pub workloads: usize,
    /// Days after which other users come with habits of their own, to every workload; `None` for never.
    pub turn_days: Option<usize>,
}

impl FleetSpec {
    /// Four weeks of 40 workloads in each region.
    pub fn new(seed: u64, end_ms: i64) -> Self {
        Self { seed, end_ms, days: 28, workloads: 40, turn_days: None }
    }
}

/// A simulated fleet: what its operators would know, and what their monitoring would have recorded.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Time of the first step.
    pub start_ms: i64,
    /// The workloads, region by region.
    pub workloads: Vec<SimulatedWorkload>,
    /// Four series a workload, in the order of the workloads.
    pub series: Vec<SimulatedSeries>,
}

/// One workload and what it runs on at the end.
#[derive(Clone, Debug)]
pub struct SimulatedWorkload {
    /// Its name, unique in the fleet.
    pub name: String,
    /// Where it runs.
    pub region: &'static str,
    /// Requests a second that one replica serves at full use.
    pub unit_capacity: f64,
    /// Replicas at the end.
    pub replicas: i64,
    /// Identity of its demand, in requests a second.
    pub demand: SeriesKey,
}

/// One recorded series, a value a step; NaN where nothing was recorded.
#[derive(Clone, Debug)]
pub struct SimulatedSeries {
    /// Its labels, `simulated="true"` among them.
    pub key: SeriesKey,
    /// One value a step.
    pub values: Vec<f64>,
}

impl Fleet {
    /// Simulates a fleet: a function of the specification alone.
    pub fn simulate(spec: &FleetSpec) -> Self {
        let steps = spec.days.max(1) * STEPS_A_DAY;
        let last_ms = spec.end_ms.div_euclid(STEP_MS) * STEP_MS;
        let start_ms = last_ms - (steps as i64 - 1) * STEP_MS;
        let outages: Vec<Outages> =
            (0..REGIONS.len()).map(|region| Outages::of_region(spec.seed, region, steps)).collect();
        let places: Vec<(usize, usize)> =
            (0..REGIONS.len()).flat_map(|region| (0..spec.workloads.max(1)).map(move |at| (region, at))).collect();
        let made: Vec<_> = places
            .into_par_iter()
            .map(|(region, at)| workload(spec, region, at, start_ms, steps, &outages[region]))
            .collect();
        let (workloads, series): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        Self { start_ms, workloads, series: series.into_iter().flatten().collect() }
    }

    /// The series as one panel.
    pub fn panel(&self) -> Panel {
        let mut panel = Panel::new(STEP_MS);
        for series in &self.series {
            panel.push(series.key.to_string(), self.start_ms, &series.values);
        }
        panel
    }

    /// The series as samples, without the steps at which nothing was recorded.
    pub fn samples(&self) -> impl Iterator<Item = RawSeries> + '_ {
        self.series.iter().map(|series| {
            let recorded = series.values.iter().enumerate().filter(|(_, value)| !value.is_nan());
            let (times_ms, values) = recorded.map(|(at, value)| (self.start_ms + at as i64 * STEP_MS, *value)).unzip();
            RawSeries { name: series.key.to_string(), times_ms, values }
        })
    }
}

fn workload(
    spec: &FleetSpec,
    region: usize,
    at: usize,
    start_ms: i64,
    steps: usize,
    outages: &Outages,
) -> (SimulatedWorkload, Vec<SimulatedSeries>) {
    let stream = (region * 10_000 + at) as u64;
    let mut draw = Draw::new(spec.seed, stream);
    let name = format!("{}-{}-{}", NAMES[at % NAMES.len()], REGIONS[region].0, at / NAMES.len() + 1);
    let mut demand = Demand::draw(&mut draw, region, at);
    if let Some(days) = spec.turn_days {
        // From a stream of its own: what was before the turn is what it would have been without.
        demand.turn(days * STEPS_A_DAY, &mut Draw::new(spec.seed, TURNS + stream), region, at);
    }
    let requests = demand.requests_per_second(&mut draw, start_ms, steps);
    let machine = Machine::draw(&mut draw, region == SHORT_REGION);
    let run = machine.run(&mut draw, &requests);
    let (unit_capacity, replicas) = (machine.unit_capacity, run.replicas);
    let recorded = [
        ("requests_per_second", requests),
        ("cpu_utilisation_percent", run.cpu_percent),
        ("memory_working_set_bytes", run.memory_bytes),
        ("network_transmit_bytes_total", run.sent_bytes_total),
    ];
    let key = |metric: &str| {
        let labels = [("__name__", metric), ("region", REGIONS[region].0), ("simulated", "true"), ("workload", &name)];
        SeriesKey::new(labels.map(|(label, value)| (label.to_string(), value.to_string())))
    };
    let series = recorded
        .into_iter()
        .map(|(metric, mut values)| {
            outages.lose(&mut draw, &mut values);
            SimulatedSeries { key: key(metric), values }
        })
        .collect();
    let demand = key("requests_per_second");
    (SimulatedWorkload { name, region: REGIONS[region].0, unit_capacity, replicas, demand }, series)
}
