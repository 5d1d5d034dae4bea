//! Replicas for a workload from an issue.
//!
//! `replicas = ceil(max over the horizon of the demand quantile ÷ (unit capacity × target))`, rounded up to
//! the step, then bounded. A function of workload, request and issue alone: asked twice, it answers the same.

use super::{Ask, Drivers, Workload};
use crate::issue::{Issue, Shadow};

/// Capacity for one workload, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendation {
    /// Units wanted over the whole horizon, stepped and bounded.
    pub replicas: i64,
    /// Least share, over the drivers, of held-out values at or under the quantile; 0 where no backtest was made.
    pub confidence: f64,
    /// Units wanted from each time on, the lead time taken off, equal neighbours joined.
    pub schedule: Vec<ScheduleEntry>,
    /// What the number rests on.
    pub evidence: Evidence,
}

/// Units to have asked for from a time on, so that they carry load when they are needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// When to ask.
    pub start_ms: i64,
    /// Units.
    pub replicas: i64,
}

/// What a recommendation rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// Models behind the drivers, each once.
    pub model: String,
    /// The least coverage of the 95 % band over the drivers; 0 where no backtest was made.
    pub coverage95_percent: f64,
    /// The oldest cutoff of the drivers.
    pub cutoff_ms: i64,
    /// Highest demand over the horizon, at the quantile.
    pub peak_demand: f64,
    /// When it is reached first.
    pub peak_ms: i64,
    /// Demand that one unit carries at full use.
    pub unit_capacity: f64,
    /// Share of it planned with.
    pub target: f64,
    /// Quantile of demand.
    pub quantile: f64,
    /// Series that demand was read from, sorted.
    pub drivers: Vec<String>,
}

/// Why no capacity could be recommended.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum RecommendError {
    /// A setting of the request is outside what can be worked with.
    #[error("{field} is {value}; it must lie in {allowed}")]
    OutOfRange {
        /// The request's field.
        field: &'static str,
        /// What was asked.
        value: String,
        /// What may be asked.
        allowed: String,
    },
    /// Check the selector against the telemetry's labels.
    #[error("no series of issue {issue} drives workload {workload}")]
    NoDrivers {
        /// The workload.
        workload: String,
        /// The issue.
        issue: String,
    },
    /// A sum without one of its parts would be too low, so it is refused.
    #[error("{series}, which drives workload {workload}, has no shadow: {reason}")]
    MissingDriver {
        /// The workload.
        workload: String,
        /// The series.
        series: String,
        /// Why it has none.
        reason: String,
    },
    /// The series stopped long before the others did.
    #[error("the shadow of {series} ends before the capacity of workload {workload} could be ready")]
    Lagging {
        /// The workload.
        workload: String,
        /// The series.
        series: String,
    },
}

/// Recommends capacity from an issue, given which of its shadows drive the workload.
///
/// Without an own horizon it looks one slot and one lead time past the issue's cutoff: what is asked for in
/// this slot must last until what is asked for in the next one is ready. Demand of several series is the sum
/// of their quantiles at each time, which is what it would be if all peaked together; as series that do not
/// move together peak apart, it errs to the high side for the levels allowed, from the median up.
///
/// # Errors
/// [`RecommendError`]: a request out of range, no driver, a driver without a shadow or with one too old.
pub fn recommend(
    workload: &Workload,
    ask: &Ask,
    issue: &Issue,
    drivers: &Drivers,
) -> Result<Recommendation, RecommendError> {
    let drivers = present(workload, issue, drivers)?;
    let plan = Plan::new(workload, ask, issue, &drivers)?;
    let times = plan.times(workload, issue, &drivers)?;
    let demand: Vec<f64> = times.iter().map(|time| plan.demand(&drivers, *time)).collect();
    let peak = (0..demand.len()).fold(0, |best, at| if demand[at] > demand[best] { at } else { best });
    let step_ms = drivers.iter().map(|shadow| shadow.step_ms()).min().expect("drivers is not empty");
    let accuracies = || drivers.iter().map(|shadow| shadow.accuracy());
    let least =
        |of: fn(&Shadow, f64) -> f64| drivers.iter().map(|s| of(s, plan.quantile)).fold(f64::INFINITY, f64::min);
    let judged = accuracies().all(|accuracy| accuracy.is_some());
    let mut models: Vec<&str> = drivers.iter().map(|shadow| shadow.model()).collect();
    models.sort_unstable();
    models.dedup();
    Ok(Recommendation {
        replicas: plan.units(demand[peak]),
        confidence: if judged { least(held_out_share) } else { 0.0 },
        schedule: plan.schedule(&times, &demand, issue.slot().start_ms, step_ms + workload.lead_time_ms),
        evidence: Evidence {
            model: models.join(", "),
            coverage95_percent: if judged { least(coverage95) } else { 0.0 },
            cutoff_ms: drivers.iter().map(|shadow| shadow.cutoff_ms()).min().expect("drivers is not empty"),
            peak_demand: demand[peak],
            peak_ms: times[peak],
            unit_capacity: workload.unit_capacity,
            target: plan.target,
            quantile: plan.quantile,
            drivers: drivers.iter().map(|shadow| shadow.series().to_string()).collect(),
        },
    })
}

/// The driving shadows, which must all be there.
fn present<'a>(workload: &Workload, issue: &'a Issue, drivers: &Drivers) -> Result<Vec<&'a Shadow>, RecommendError> {
    if let Some(missing) = drivers.missing(issue) {
        return Err(RecommendError::MissingDriver {
            workload: workload.name.clone(),
            series: missing.series.clone(),
            reason: missing.reason.clone(),
        });
    }
    let shadows: Vec<_> = drivers.shadows(issue).collect();
    if shadows.is_empty() {
        return Err(RecommendError::NoDrivers { workload: workload.name.clone(), issue: issue.id().into() });
    }
    Ok(shadows)
}

fn held_out_share(shadow: &Shadow, level: f64) -> f64 {
    shadow.accuracy().map_or(0.0, |accuracy| accuracy.share_at(level))
}

fn coverage95(shadow: &Shadow, _level: f64) -> f64 {
    shadow.accuracy().map_or(0.0, |accuracy| accuracy.coverage95_percent)
}

/// A request's settings over its workload's, checked.
struct Plan {
    quantile: f64,
    horizon_ms: i64,
    target: f64,
    unit_capacity: f64,
    min: i64,
    max: i64,
    step: i64,
}

impl Plan {
    fn new(workload: &Workload, ask: &Ask, issue: &Issue, drivers: &[&Shadow]) -> Result<Self, RecommendError> {
        let until_next = issue.slot().length_ms.saturating_add(workload.lead_time_ms);
        let plan = Self {
            quantile: ask.quantile.unwrap_or(workload.quantile),
            horizon_ms: ask.horizon_ms.unwrap_or(until_next),
            target: ask.target.unwrap_or(workload.target),
            unit_capacity: workload.unit_capacity,
            min: ask.min.unwrap_or(workload.min),
            max: ask.max.unwrap_or(workload.max),
            step: ask.step.unwrap_or(workload.step),
        };
        let highest = drivers.iter().filter_map(|s| s.levels().last()).fold(1.0, |a: f64, b| a.min(*b));
        let longest = drivers.iter().map(|s| s.end_ms() - s.cutoff_ms()).min().unwrap_or(0);
        let check = |inside: bool, field, value: &dyn ToString, allowed: String| {
            if inside { Ok(()) } else { Err(RecommendError::OutOfRange { field, value: value.to_string(), allowed }) }
        };
        check((0.5..=highest).contains(&plan.quantile), "quantile", &plan.quantile, format!("[0.5, {highest}]"))?;
        let horizon = format!("[1, {longest}] ms, which the issue's shadows cover");
        check((1..=longest).contains(&plan.horizon_ms), "horizon_ms", &plan.horizon_ms, horizon)?;
        check(plan.target > 0.0 && plan.target <= 1.0, "target_utilization", &plan.target, "(0, 1]".into())?;
        check(plan.min >= 0, "min", &plan.min, "[0, max]".into())?;
        check(plan.max >= plan.min, "max", &plan.max, format!("[{}, …), min being its floor", plan.min))?;
        check(plan.step >= 1, "step", &plan.step, "[1, …)".into())?;
        Ok(plan)
    }

    /// Times to look at: the steps of the finest driver from the issue's cutoff to the end of the horizon, or
    /// to where the first driver ends if it lags a little.
    fn times(&self, workload: &Workload, issue: &Issue, drivers: &[&Shadow]) -> Result<Vec<i64>, RecommendError> {
        let from = issue.cutoff_ms();
        let shortest = drivers.iter().min_by_key(|shadow| shadow.end_ms()).expect("drivers is not empty");
        let until = (from.saturating_add(self.horizon_ms)).min(shortest.end_ms());
        let finest = drivers.iter().min_by_key(|shadow| (shadow.step_ms(), -shadow.cutoff_ms()));
        let finest = finest.expect("drivers is not empty");
        let needed = from.saturating_add(workload.lead_time_ms.min(self.horizon_ms));
        // A horizon shorter than a step still looks at the step it lies in.
        let first = finest.step_at(from + 1).map(|step| finest.time_ms(step)).filter(|time| *time <= shortest.end_ms());
        let (Some(first), true) = (first, until >= needed) else {
            return Err(RecommendError::Lagging { workload: workload.name.clone(), series: shortest.series().into() });
        };
        Ok((first..=until.max(first)).step_by(finest.step_ms() as usize).collect())
    }

    fn demand(&self, drivers: &[&Shadow], time_ms: i64) -> f64 {
        let at = |shadow: &Shadow| shadow.step_at(time_ms).and_then(|step| shadow.quantile_at(self.quantile, step));
        drivers.iter().map(|shadow| at(shadow).expect("times and quantile were checked against every driver")).sum()
    }

    fn units(&self, demand: f64) -> i64 {
        // A billionth of a unit is rounding of the division, not demand.
        let needed = (demand / (self.unit_capacity * self.target) * (1.0 - 1e-9)).ceil().max(0.0);
        let stepped = (needed / self.step as f64).ceil() * self.step as f64;
        (stepped as i64).clamp(self.min, self.max) // `as` saturates, so huge demand is `max`
    }

    fn schedule(&self, times: &[i64], demand: &[f64], slot_start_ms: i64, ahead_ms: i64) -> Vec<ScheduleEntry> {
        let mut schedule: Vec<ScheduleEntry> = Vec::new();
        for (time, demand) in times.iter().zip(demand) {
            let entry = ScheduleEntry { start_ms: (time - ahead_ms).max(slot_start_ms), replicas: self.units(*demand) };
            match schedule.last_mut() {
                // What should have been asked for before the slot began is asked for at its start, together.
                Some(last) if last.start_ms == entry.start_ms => last.replicas = last.replicas.max(entry.replicas),
                Some(last) if last.replicas == entry.replicas => {}
                _ => schedule.push(entry),
            }
        }
        schedule
    }
}

#[cfg(test)]
mod tests;
