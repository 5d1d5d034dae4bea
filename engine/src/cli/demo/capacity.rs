//! What every workload runs on and what the next day calls for.

use crate::act::{Ask, Drivers, RecommendError, Recommendation, Workload, recommend};
use crate::clock::DAY_MS;
use crate::config::Demand;
use crate::issue::Issue;
use crate::simulate::{Fleet, SimulatedWorkload};

const LEAD_TIME_MS: i64 = 600_000;
/// Share of a replica to plan with, and the quantile of demand to be ready for.
const TARGET: f64 = 0.75;
const QUANTILE: f64 = 0.9;
/// No policy of the demo asks for more than this many times what runs now.
const MOST_TIMES: i64 = 4;

/// One workload: what it has and what it should have.
#[derive(Clone, Debug)]
pub(super) struct Sizing {
    pub(super) workload: SimulatedWorkload,
    pub(super) recommendation: Recommendation,
}

/// A region's sum.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RegionSum {
    pub(super) region: String,
    pub(super) workloads: usize,
    pub(super) now: i64,
    pub(super) recommended: i64,
}

impl Sizing {
    pub(super) fn change(&self) -> i64 {
        self.recommendation.replicas - self.workload.replicas
    }

    /// Share of what runs now that the forecast peak would use.
    pub(super) fn peak_use(&self) -> f64 {
        self.recommendation.evidence.peak_demand / (self.workload.replicas as f64 * self.workload.unit_capacity)
    }
}

/// The workloads as the engine is told of them: demand, unit capacity, target, bounds.
pub(super) fn workloads(fleet: &Fleet) -> Vec<Workload> {
    let workload = |w: &SimulatedWorkload| Workload {
        name: w.name.clone(),
        demand: Demand::Series(w.demand.to_string().parse().expect("a series' name selects that series")),
        unit_capacity: w.unit_capacity,
        target: TARGET,
        quantile: QUANTILE,
        lead_time_ms: LEAD_TIME_MS,
        min: 2,
        max: w.replicas * MOST_TIMES,
        step: 1,
    };
    fleet.workloads.iter().map(workload).collect()
}

/// Sizes every workload for the next day; those without a shadow come back with the reason.
pub(super) fn size(fleet: &Fleet, workloads: &[Workload], issue: &Issue) -> (Vec<Sizing>, Vec<RecommendError>) {
    let ask = Ask { horizon_ms: Some(DAY_MS), ..Ask::default() };
    let mut sizings = Vec::new();
    let mut refused = Vec::new();
    let drivers = Drivers::of(workloads, issue);
    for ((simulated, workload), drivers) in fleet.workloads.iter().zip(workloads).zip(&drivers) {
        match recommend(workload, &ask, issue, drivers) {
            Ok(recommendation) => sizings.push(Sizing { workload: simulated.clone(), recommendation }),
            Err(error) => refused.push(error),
        }
    }
    (sizings, refused)
}

/// Sums by region, in the order of their first workload.
pub(super) fn by_region(sizings: &[Sizing]) -> Vec<RegionSum> {
    let mut sums: Vec<RegionSum> = Vec::new();
    for sizing in sizings {
        let region = sizing.workload.region;
        let at = sums.iter().position(|sum| sum.region == region).unwrap_or_else(|| {
            sums.push(RegionSum { region: region.into(), workloads: 0, now: 0, recommended: 0 });
            sums.len() - 1
        });
        let sum = &mut sums[at];
        sum.workloads += 1;
        sum.now += sizing.workload.replicas;
        sum.recommended += sizing.recommendation.replicas;
    }
    sums
}

/// The workloads by what their forecast peak would use of what runs now, the most pressing first.
pub(super) fn most_pressing(sizings: &[Sizing]) -> Vec<&Sizing> {
    let mut sorted: Vec<&Sizing> = sizings.iter().collect();
    sorted.sort_by(|a, b| b.peak_use().total_cmp(&a.peak_use()));
    sorted
}
