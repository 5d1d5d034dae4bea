//! `foreshadow_recommendation`: the capacity one workload needs, from the engine's current issue.
//! Terraform reads it once and freezes it in the plan.

mod schema;

use std::time::Duration;

use foreshadow_api::v1 as pb;

use crate::engine::{Engine, Failure};
use crate::provider::Connection;
use crate::sdk::validate::{duration_ms, timestamp_text};
use crate::sdk::{Answer, DataSource, Diagnostic, Diagnostics, Outcome, Path, Record, Schema, Value};

/// The data source.
pub struct Recommendation {
    connection: Connection,
}

impl Recommendation {
    /// Asks through a connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

impl DataSource for Recommendation {
    fn schema(&self) -> Schema {
        schema::schema()
    }

    fn validate(&self, config: &Record) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let (Some(min), Some(max)) = (config.get("min").as_i64(), config.get("max").as_i64())
            && min > max
        {
            let detail = format!("min is {min}, and max {max} lies below it.");
            found.push(Diagnostic::error("No capacity between min and max", detail).at(Path::attribute("max")));
        }
        found
    }

    fn read(&self, config: Record) -> Answer<'_> {
        Box::pin(async move {
            match self.connection.engine() {
                Ok(engine) => read(&engine, config, now_ms()).await,
                Err(diagnostic) => diagnostic.into(),
            }
        })
    }
}

/// The data source is where this provider meets the clock: its answer is frozen in the plan.
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

async fn read(engine: &Engine, config: Record, now_ms: i64) -> Outcome {
    let workload = config.get("workload").as_str().unwrap_or_default();
    match engine.recommend(&request(&config)).await {
        Ok(answer) => {
            let cutoff_ms = answer.evidence.as_ref().map(|evidence| evidence.cutoff_ms);
            let age_ms = cutoff_ms.map_or(0, |cutoff| now_ms.saturating_sub(cutoff)).max(0) as u64;
            let limit = engine.settings().max_staleness;
            if limit.is_some_and(|limit| Duration::from_millis(age_ms) > limit) {
                let age = format!("the last observation behind the forecast is {} s old", age_ms / 1_000);
                return unavailable(engine, config, &age, "max_staleness", now_ms);
            }
            let mut outcome = Outcome::default();
            if answer.stale {
                let detail = format!(
                    "The issue behind the recommendation for {workload:?} is late: its slot lies more than one slot back."
                );
                outcome.diagnostics.push(Diagnostic::warning("Stale recommendation", detail));
            }
            outcome.record = Some(filled(config, &answer));
            outcome
        }
        Err(failure) if failure.is_not_found() => {
            let detail = format!("{}.", sentence(&failure));
            Diagnostic::error(format!("No workload {workload:?}"), detail).at(Path::attribute("workload")).into()
        }
        Err(Failure::Unavailable(why)) => unavailable(engine, config, &why, "endpoint", now_ms),
        Err(failure) => Diagnostic::error("No recommendation", format!("{}.", sentence(&failure))).into(),
    }
}

fn sentence(failure: &Failure) -> String {
    let text = failure.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// What is left without the engine: the fallback, told as such, or an error at the setting to mend.
fn unavailable(engine: &Engine, config: Record, why: &str, setting: &str, now_ms: i64) -> Outcome {
    let workload = config.get("workload").as_str().unwrap_or_default().to_owned();
    let fallback = config.get("fallback").get("replicas").clone();
    if fallback.is_null() || !engine.settings().use_fallback {
        let detail = format!(
            "For {workload:?}, by the provider's `{setting}`: {why}. Give the data source a `fallback`, and leave the provider's `on_unavailable` at \"fallback\", where a plan must go on without the engine."
        );
        return Diagnostic::error("No recommendation from the engine", detail).into();
    }
    let slot_ms = engine.settings().slot.as_millis() as i64;
    let mut record = config;
    record.set("replicas", fallback);
    record.set("source", Value::string("fallback"));
    record.set("schedule", Value::List(Vec::new()));
    record.set("confidence", Value::int(0));
    record.set("slot_start", time(now_ms.div_euclid(slot_ms) * slot_ms));
    record.set("slot_seconds", Value::int(slot_ms / 1_000));
    record.set("stale", Value::Bool(true));
    let warning = Diagnostic::warning("Fallback capacity", format!("For {workload:?}: {why}. Its fallback stands in."));
    Outcome { diagnostics: warning.into(), ..record.into() }
}

fn request(config: &Record) -> pb::RecommendRequest {
    pb::RecommendRequest {
        workload: config.get("workload").as_str().unwrap_or_default().to_owned(),
        quantile: config.get("quantile").as_f64(),
        horizon_ms: config.get("horizon").as_str().and_then(duration_ms).map(|span| span as i64),
        target_utilization: config.get("target_utilization").as_f64(),
        min: config.get("min").as_i64(),
        max: config.get("max").as_i64(),
        step: config.get("step").as_i64(),
    }
}

fn time(ms: i64) -> Value {
    timestamp_text(ms).map_or(Value::Null, Value::String)
}

/// The configuration with the engine's answer beside it.
fn filled(config: Record, answer: &pb::Recommendation) -> Record {
    let schedule = answer
        .schedule
        .iter()
        .map(|entry| Value::object([("start", time(entry.start_ms)), ("replicas", Value::int(entry.replicas))]));
    let evidence = answer.evidence.as_ref().map_or(Value::Null, |evidence| {
        Value::object([
            ("model", Value::string(&evidence.model)),
            ("coverage", Value::float(evidence.coverage95_percent / 100.0)),
            ("cutoff", time(evidence.cutoff_ms)),
            ("peak_demand", Value::float(evidence.peak_demand)),
            ("peak_at", time(evidence.peak_ms)),
            ("unit_capacity", Value::float(evidence.unit_capacity)),
            ("target_utilization", Value::float(evidence.target_utilization)),
            ("quantile", Value::float(evidence.quantile)),
            ("drivers", Value::List(evidence.drivers.iter().map(Value::string).collect())),
        ])
    });
    let mut record = config;
    record.set("replicas", Value::int(answer.replicas));
    record.set("source", Value::string("forecast"));
    record.set("schedule", Value::List(schedule.collect()));
    record.set("confidence", Value::float(answer.confidence));
    record.set("slot_start", time(answer.slot_start_ms));
    record.set("slot_seconds", Value::int(answer.slot_length_ms / 1_000));
    record.set("issue_id", Value::string(&answer.issue_id));
    record.set("stale", Value::Bool(answer.stale));
    record.set("evidence", evidence);
    record
}
