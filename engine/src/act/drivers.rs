//! Which shadows of an issue a workload is sized on, found once an issue rather than at every request.

use super::Workload;
use crate::config::Demand;
use crate::issue::{Issue, Missing, Shadow};
use crate::telemetry::SeriesKey;

/// A workload's driving shadows, as places in one issue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drivers {
    shadows: Vec<usize>,
    /// The first of [`Issue::missing`] that should drive it.
    missing: Option<usize>,
}

impl Drivers {
    /// The drivers of each workload, in their order. Every name of the issue is parsed once.
    pub fn of(workloads: &[Workload], issue: &Issue) -> Vec<Self> {
        let built: Vec<String> = workloads.iter().map(Workload::demand_series).collect();
        let mut all = vec![Self::default(); workloads.len()];
        let mut visit = |series: &str, take: &mut dyn FnMut(&mut Self)| {
            let key = series.parse::<SeriesKey>().ok();
            for ((workload, built), drivers) in workloads.iter().zip(&built).zip(&mut all) {
                let drives = match &workload.demand {
                    Demand::Series(selector) => key.as_ref().is_some_and(|key| selector.matches(key)),
                    Demand::Utilisation { .. } => series == built,
                };
                if drives {
                    take(drivers);
                }
            }
        };
        for (at, shadow) in issue.shadows().iter().enumerate() {
            visit(shadow.series(), &mut |drivers| drivers.shadows.push(at));
        }
        for (at, missing) in issue.missing().iter().enumerate() {
            visit(&missing.series, &mut |drivers| drivers.missing = drivers.missing.or(Some(at)));
        }
        all
    }

    /// The driving shadows, sorted by series.
    pub(super) fn shadows<'a>(&self, issue: &'a Issue) -> impl Iterator<Item = &'a Shadow> {
        self.shadows.iter().map(|at| &issue.shadows()[*at])
    }

    /// A driving series without a shadow.
    pub(super) fn missing<'a>(&self, issue: &'a Issue) -> Option<&'a Missing> {
        self.missing.map(|at| &issue.missing()[at])
    }
}
