//! Wire to domain and back.

use foreshadow_api::v1 as pb;

use super::engine::{EngineError, Health, Recommended};
use crate::act::Ask;
use crate::issue::{Issue, Shadow};
use crate::store::Decision;

/// Longest name or actor, and longest reason, in bytes.
const NAME_BYTES: usize = 1_024;
const REASON_BYTES: usize = 4_096;

pub(super) fn ask(request: &pb::RecommendRequest) -> Ask {
    Ask {
        quantile: request.quantile,
        horizon_ms: request.horizon_ms,
        target: request.target_utilization,
        min: request.min,
        max: request.max,
        step: request.step,
    }
}

pub(super) fn decision(request: pb::RecordDecisionRequest, recorded_ms: i64) -> Result<Decision, EngineError> {
    let invalid = |field, reason: String| Err(EngineError::Invalid { field, reason });
    if request.name.is_empty() {
        return invalid("name", "it must not be empty".into());
    }
    for (field, text, most) in [
        ("name", &request.name, NAME_BYTES),
        ("actor", &request.actor, NAME_BYTES),
        ("reason", &request.reason, REASON_BYTES),
    ] {
        if text.len() > most {
            return invalid(field, format!("{} bytes, of which {most} are allowed", text.len()));
        }
    }
    for (field, value) in [("proposed", request.proposed), ("replicas", request.replicas)] {
        if value < 0 {
            return invalid(field, format!("{value} is negative"));
        }
    }
    Ok(Decision {
        name: request.name,
        slot_start_ms: request.slot_start_ms,
        proposed: request.proposed,
        replicas: request.replicas,
        reason: request.reason,
        recorded_ms,
        actor: request.actor,
    })
}

impl From<Decision> for pb::Decision {
    fn from(decision: Decision) -> Self {
        Self {
            name: decision.name,
            slot_start_ms: decision.slot_start_ms,
            proposed: decision.proposed,
            replicas: decision.replicas,
            reason: decision.reason,
            recorded_ms: decision.recorded_ms,
            actor: decision.actor,
        }
    }
}

pub(super) fn shadow(shadow: &Shadow, issue: &Issue) -> pb::Shadow {
    let steps = 0..shadow.steps();
    let quantile = |(index, level): (usize, &f64)| pb::Quantile {
        level: *level,
        values: steps.clone().map(|step| shadow.quantile(index, step)).collect(),
    };
    pb::Shadow {
        series: shadow.series().into(),
        issue_id: issue.id().into(),
        model: shadow.model().into(),
        cutoff_ms: shadow.cutoff_ms(),
        step_ms: shadow.step_ms(),
        mean: steps.clone().map(|step| shadow.mean(step)).collect(),
        quantiles: shadow.levels().iter().enumerate().map(quantile).collect(),
        accuracy: shadow.accuracy().map(|accuracy| pb::Accuracy {
            mase: accuracy.mase,
            mase_seasonal_naive: accuracy.mase_seasonal_naive,
            coverage95_percent: accuracy.coverage95_percent,
            folds: accuracy.folds,
        }),
        version: Shadow::VERSION,
    }
}

impl From<Recommended> for pb::Recommendation {
    fn from(recommended: Recommended) -> Self {
        let recommendation = recommended.recommendation;
        let evidence = recommendation.evidence;
        let entry =
            |entry: crate::act::ScheduleEntry| pb::ScheduleEntry { start_ms: entry.start_ms, replicas: entry.replicas };
        Self {
            workload: recommended.workload,
            replicas: recommendation.replicas,
            slot_start_ms: recommended.slot.start_ms,
            slot_length_ms: recommended.slot.length_ms,
            issue_id: recommended.issue_id,
            confidence: recommendation.confidence,
            stale: recommended.stale,
            schedule: recommendation.schedule.into_iter().map(entry).collect(),
            evidence: Some(pb::Evidence {
                model: evidence.model,
                coverage95_percent: evidence.coverage95_percent,
                cutoff_ms: evidence.cutoff_ms,
                peak_demand: evidence.peak_demand,
                peak_ms: evidence.peak_ms,
                unit_capacity: evidence.unit_capacity,
                target_utilization: evidence.target,
                quantile: evidence.quantile,
                drivers: evidence.drivers,
            }),
        }
    }
}

impl From<Health> for pb::HealthResponse {
    fn from(health: Health) -> Self {
        let issue = health.issue.as_deref();
        Self {
            ready: health.ready,
            reason: health.reason,
            issue_id: issue.map(|issue| issue.id().to_string()).unwrap_or_default(),
            cutoff_ms: issue.map_or(0, Issue::cutoff_ms),
            age_ms: health.age_ms,
            series: issue.map_or(0, |issue| issue.shadows().len() as u64),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
