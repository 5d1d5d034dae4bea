//! `foreshadow_scaling_decision`: the sticky judge between a wavering forecast and what scales by it.
//! Inside its band it plans exactly what it holds, volatile arguments included, so a second plan is
//! empty; past it, it decides once a slot and writes the decision into the engine's ledger.

pub mod judge;
mod schema;
#[cfg(test)]
mod tests;

use foreshadow_api::v1 as pb;
use tonic::Code;

use self::judge::{Limits, Proposal, Standing, Verdict};
use crate::engine::Failure;
use crate::provider::Connection;
use crate::sdk::validate::{self, duration_ms, timestamp_ms, timestamp_text};
use crate::sdk::value::Unknown;
use crate::sdk::{Answer, Diagnostic, Diagnostics, Outcome, Path, Record, Resource, Schema, Value};

/// Arguments that follow the forecast. While the decision holds they keep their prior values:
/// Terraform allows that, and it is what keeps the plan empty.
const VOLATILE: [&str; 4] = ["proposed", "schedule", "slot_start", "confidence"];
/// Arguments the judgement rests on.
const JUDGED: [&str; 8] =
    ["proposed", "slot_start", "confidence", "band", "cooldown", "min_confidence", "max_step", "fallback"];
/// What the judgement yields.
const DECIDED: [&str; 3] = ["replicas", "decided_slot", "reason"];

/// The resource.
pub struct ScalingDecision {
    connection: Connection,
    schema: Schema,
}

impl ScalingDecision {
    /// Writes and reads decisions through a connection.
    pub fn new(connection: Connection) -> Self {
        Self { connection, schema: schema::schema() }
    }

    /// Writes the planned decision down. The engine keeps one decision for a name and a slot.
    async fn record(&self, planned: &Record) -> Result<(), Diagnostic> {
        let engine = self.connection.engine()?;
        let request = pb::RecordDecisionRequest {
            name: text(planned, "name"),
            slot_start_ms: timestamp_ms(&text(planned, "decided_slot")).unwrap_or_default(),
            proposed: planned.get("proposed").as_i64().unwrap_or_default(),
            replicas: planned.get("replicas").as_i64().unwrap_or_default(),
            reason: text(planned, "reason"),
            actor: "terraform".to_owned(),
        };
        match engine.record(&request).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(status)) if status.code() == Code::AlreadyExists => {
                let detail = format!(
                    "{}. A slot is decided once: plan again in the next slot, or import {:?} to go on from the decision that stands.",
                    status.message(),
                    request.name
                );
                Err(Diagnostic::error("The slot has another decision", detail).at(Path::attribute("slot_start")))
            }
            Err(failure) => Err(Diagnostic::error("The decision was not recorded", format!("{failure}."))),
        }
    }
}

impl Resource for ScalingDecision {
    fn schema(&self) -> Schema {
        self.schema.clone()
    }

    fn validate(&self, config: &Record) -> Diagnostics {
        let mut found = Diagnostics::default();
        if !config.get("min_confidence").is_null() && config.get("confidence").is_null() {
            let detail =
                "min_confidence has nothing to compare with: hand the recommendation's confidence to the decision.";
            found.push(Diagnostic::error("Missing confidence", detail).at(Path::attribute("confidence")));
        }
        found
    }

    fn plan(&self, prior: Option<&Record>, config: &Record) -> Outcome {
        let mut outcome = Outcome::default();
        // Values that were unknown when Terraform validated are checked here.
        outcome.diagnostics.append(validate::validate(&self.schema, config));
        if outcome.diagnostics.has_error() {
            return outcome;
        }
        if prior.is_some_and(|prior| prior.get("name") != config.get("name")) {
            outcome.replace.push(Path::attribute("name"));
        }
        let prior = prior.filter(|_| outcome.replace.is_empty());
        match plan(prior, config) {
            Ok(planned) => outcome.record = Some(planned),
            Err(diagnostic) => outcome.diagnostics.push(diagnostic),
        }
        outcome
    }

    fn create(&self, planned: Record) -> Answer<'_> {
        Box::pin(async move {
            match self.record(&planned).await {
                Ok(()) => planned.into(),
                Err(diagnostic) => diagnostic.into(),
            }
        })
    }

    fn update(&self, prior: Record, planned: Record) -> Answer<'_> {
        Box::pin(async move {
            if DECIDED.iter().all(|name| prior.get(name) == planned.get(name)) {
                return planned.into(); // only a limit changed: there is no new decision to write down
            }
            match self.record(&planned).await {
                Ok(()) => planned.into(),
                Err(diagnostic) => Outcome { record: Some(prior), ..diagnostic.into() },
            }
        })
    }

    /// The ledger only grows: what was decided stays written, and Terraform forgets it.
    fn delete(&self, _: Record) -> Answer<'_> {
        Box::pin(async { Outcome::default() })
    }

    fn read(&self, state: Record) -> Answer<'_> {
        Box::pin(async move {
            let engine = match self.connection.engine() {
                Ok(engine) => engine,
                Err(diagnostic) => return Outcome { record: Some(state), ..diagnostic.into() },
            };
            let name = text(&state, "name");
            match engine.decision(&name).await {
                Ok(decision) => observed(state, &decision).into(),
                Err(failure) if failure.is_not_found() => Outcome::default(),
                Err(Failure::Unavailable(why)) => {
                    let detail = format!(
                        "{why}. The state of {name:?} is kept as it was; an operator's override would not show."
                    );
                    let warning = Diagnostic::warning("Decision not refreshed", detail);
                    Outcome { diagnostics: warning.into(), ..state.into() }
                }
                Err(failure) => {
                    let error = Diagnostic::error("Decision not refreshed", format!("{failure}."));
                    Outcome { record: Some(state), ..error.into() }
                }
            }
        })
    }

    fn import(&self, id: String) -> Answer<'_> {
        Box::pin(async move {
            let engine = match self.connection.engine() {
                Ok(engine) => engine,
                Err(diagnostic) => return diagnostic.into(),
            };
            match engine.decision(&id).await {
                Ok(decision) => imported(&self.schema, &decision).into(),
                Err(failure) if failure.is_not_found() => {
                    Diagnostic::error(format!("No decision named {id:?}"), "The engine's ledger has none.").into()
                }
                Err(failure) => Diagnostic::error("Nothing was imported", format!("{failure}.")).into(),
            }
        })
    }
}

/// The planned state: a function of the prior state and the configuration, and of nothing else.
fn plan(prior: Option<&Record>, config: &Record) -> Result<Record, Diagnostic> {
    let mut planned = config.clone();
    match config.get("name") {
        Value::Unknown(_) => planned.set("id", Value::Unknown(Unknown::not_null())),
        name => planned.set("id", name.clone()),
    }
    if JUDGED.iter().any(|name| config.get(name).has_unknown()) {
        match prior.filter(|_| !wholly_unknown(config)) {
            Some(prior) => hold(&mut planned, prior),
            None => DECIDED.iter().for_each(|name| planned.set(name, Value::Unknown(Unknown::not_null()))),
        }
        return Ok(planned);
    }
    let standing = prior.and_then(standing);
    match (judge::judge(standing.as_ref(), &proposal(config)?, &limits(config)), prior) {
        (Verdict::Hold, Some(prior)) => hold(&mut planned, prior),
        (Verdict::Decide { replicas, reason }, _) => {
            planned.set("replicas", Value::int(replicas));
            planned.set("decided_slot", config.get("slot_start").clone());
            planned.set("reason", Value::String(reason));
        }
        (Verdict::Undecidable | Verdict::Hold, _) => {
            let detail = "The proposal's confidence is below min_confidence, and there is no earlier decision to hold. Set `fallback`, or wait for a better forecast.";
            return Err(Diagnostic::error("No confident proposal", detail).at(Path::attribute("confidence")));
        }
    }
    Ok(planned)
}

/// Whether everything volatile is still to come, as when a whole recommendation is. Terraform plans
/// again once it is known, and then any verdict fits the first plan. Where only a part is unknown, it
/// would hold us to the known part, which only one verdict keeps: that decision waits for a plan
/// that knows everything.
fn wholly_unknown(config: &Record) -> bool {
    VOLATILE.iter().all(|name| matches!(config.get(name), Value::Null | Value::Unknown(_)))
}

/// Everything as it stands. What is volatile may keep its prior value only where both the prior state
/// and the configuration have one: after an import some have none.
fn hold(planned: &mut Record, prior: &Record) {
    for name in VOLATILE {
        if !prior.get(name).is_null() && !planned.get(name).is_null() {
            planned.keep(name, prior);
        }
    }
    DECIDED.iter().for_each(|name| planned.keep(name, prior));
}

fn standing(prior: &Record) -> Option<Standing> {
    let decided_slot_ms = timestamp_ms(prior.get("decided_slot").as_str()?)?;
    Some(Standing { replicas: prior.get("replicas").as_i64()?, decided_slot_ms })
}

fn proposal(config: &Record) -> Result<Proposal, Diagnostic> {
    let missing =
        |name| Diagnostic::error(format!("Missing {name}"), format!("{name} is null.")).at(Path::attribute(name));
    Ok(Proposal {
        replicas: config.get("proposed").as_i64().ok_or_else(|| missing("proposed"))?,
        slot_start_ms: config.get("slot_start").as_str().and_then(timestamp_ms).ok_or_else(|| missing("slot_start"))?,
        confidence: config.get("confidence").as_f64(),
    })
}

fn limits(config: &Record) -> Limits {
    let band = config.get("band");
    Limits {
        up: band.get("up").as_f64().unwrap_or(0.0),
        down: band.get("down").as_f64().unwrap_or(0.0),
        cooldown_ms: config.get("cooldown").as_str().and_then(duration_ms).map_or(0, |span| span as i64),
        min_confidence: config.get("min_confidence").as_f64(),
        max_step: config.get("max_step").as_i64(),
        fallback: config.get("fallback").get("replicas").as_i64(),
    }
}

/// The state as the ledger has it: an operator's decision overrides ours.
fn observed(mut state: Record, decision: &pb::Decision) -> Record {
    let same = timestamp_ms(&text(&state, "decided_slot")) == Some(decision.slot_start_ms)
        && state.get("replicas").as_i64() == Some(decision.replicas);
    if !same {
        state.set("replicas", Value::int(decision.replicas));
        state.set("decided_slot", slot(decision));
        state.set("reason", Value::string(&decision.reason));
    }
    state
}

fn imported(schema: &Schema, decision: &pb::Decision) -> Record {
    let mut state = Record::empty(schema);
    state.set("id", Value::string(&decision.name));
    state.set("name", Value::string(&decision.name));
    state.set("proposed", Value::int(decision.proposed));
    state.set("slot_start", slot(decision));
    state.set("replicas", Value::int(decision.replicas));
    state.set("decided_slot", slot(decision));
    state.set("reason", Value::string(&decision.reason));
    state
}

fn slot(decision: &pb::Decision) -> Value {
    timestamp_text(decision.slot_start_ms).map_or(Value::Null, Value::String)
}

fn text(record: &Record, name: &str) -> String {
    record.get(name).as_str().unwrap_or_default().to_owned()
}
