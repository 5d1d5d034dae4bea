use proptest::prelude::*;

use super::*;
use crate::sdk::Number;

const SLOT: &str = "2026-01-05T10:00:00Z";
const LATER: &str = "2026-01-05T10:30:00Z";

fn resource() -> ScalingDecision {
    ScalingDecision::new(Connection::default())
}

fn config(proposed: i64, slot_start: &str) -> Record {
    let mut config = Record::empty(&schema::schema());
    config.set("name", Value::string("web"));
    config.set("proposed", Value::int(proposed));
    config.set("slot_start", Value::string(slot_start));
    config.set("confidence", Value::Number(Number::parse("0.97").unwrap()));
    config.set("band", Value::object([("up", Value::float(0.05)), ("down", Value::float(0.15))]));
    config
}

fn decided(resource: &ScalingDecision, prior: Option<&Record>, config: &Record) -> Record {
    let outcome = resource.plan(prior, config);
    assert_eq!(outcome.diagnostics, Diagnostics::default());
    outcome.record.unwrap()
}

#[test]
fn a_held_decision_is_the_prior_state_byte_for_byte() {
    let resource = resource();
    let prior = decided(&resource, None, &config(24, SLOT));
    assert_eq!(prior.get("replicas").as_i64(), Some(24));
    let held = decided(&resource, Some(&prior), &config(25, LATER));
    assert_eq!(held.encode(), prior.encode());
    let moved = decided(&resource, Some(&prior), &config(26, LATER));
    assert_eq!((moved.get("replicas").as_i64(), moved.get("decided_slot").as_str()), (Some(26), Some(LATER)));
}

#[test]
fn unknown_in_is_unknown_out_and_certainly_not_null() {
    let resource = resource();
    for name in ["proposed", "slot_start", "confidence", "band", "max_step"] {
        let mut config = config(24, SLOT);
        config.set(name, Value::unknown());
        let planned = decided(&resource, None, &config);
        for name in DECIDED {
            assert_eq!(planned.get(name), &Value::Unknown(Unknown::not_null()), "{name}");
        }
        assert_eq!(planned.get("id").as_str(), Some("web"));
    }
    let mut inside = config(24, SLOT);
    inside.set("band", Value::object([("up", Value::unknown()), ("down", Value::Null)]));
    assert!(decided(&resource, None, &inside).get("replicas").has_unknown());
}

#[test]
fn a_value_that_is_known_only_now_is_checked_now() {
    let mut wrong = config(24, SLOT);
    wrong.set("proposed", Value::float(2.5));
    let outcome = resource().plan(None, &wrong);
    assert_eq!(outcome.record, None);
    assert_eq!(outcome.diagnostics.iter().next().unwrap().summary(), "Invalid proposed");
}

#[test]
fn state_of_an_older_shape_is_read() {
    let json = br#"{"id":"web","name":"web","proposed":24,"slot_start":"2026-01-05T10:00:00Z","replicas":24,
        "decided_slot":"2026-01-05T10:00:00Z","reason":"first decision","gone":1}"#;
    let state = Record::from_json(json, &schema::schema()).unwrap().unwrap();
    assert_eq!(standing(&state).unwrap().replicas, 24);
    assert!(state.get("band").is_null());
}

#[test]
fn an_override_moves_what_was_decided_and_nothing_else() {
    let state = decided(&resource(), None, &config(24, SLOT));
    let mut decision = pb::Decision {
        name: "web".to_owned(),
        slot_start_ms: timestamp_ms(SLOT).unwrap(),
        proposed: 24,
        replicas: 24,
        reason: "first decision".to_owned(),
        ..Default::default()
    };
    assert_eq!(observed(state.clone(), &decision).encode(), state.encode());
    (decision.replicas, decision.reason) = (40, "launch".to_owned());
    let moved = observed(state.clone(), &decision);
    assert_eq!((moved.get("replicas").as_i64(), moved.get("reason").as_str()), (Some(40), Some("launch")));
    assert_eq!(moved.get("proposed"), state.get("proposed"));
}

fn records() -> impl Strategy<Value = Record> {
    let slots = (0_i64..6).prop_map(|slot| timestamp_text(1_767_607_200_000 + slot * 1_800_000).unwrap());
    (0_i64..60, slots, 0.0..=1.0_f64, prop::option::of(1_i64..5), prop::option::of(0.0..1.0_f64), any::<bool>())
        .prop_map(|(proposed, slot, confidence, step, least, cooled)| {
            let mut config = config(proposed, &slot);
            config.set("confidence", Value::float(confidence));
            config.set("max_step", step.map_or(Value::Null, Value::int));
            config.set("min_confidence", least.map_or(Value::Null, Value::float));
            config.set("cooldown", if cooled { Value::string("1h") } else { Value::Null });
            config.set("fallback", Value::object([("replicas", Value::int(12))]));
            config
        })
}

proptest! {
    /// Terraform plans twice and compares; then it plans what it applied, and wants silence.
    #[test]
    fn a_plan_repeats_itself_and_what_it_made_is_left_alone(first in records(), rest in prop::collection::vec(records(), 0..8)) {
        let resource = resource();
        let mut state = None;
        for config in std::iter::once(&first).chain(&rest) {
            let planned = decided(&resource, state.as_ref(), config);
            prop_assert_eq!(&planned, &decided(&resource, state.as_ref(), config));
            prop_assert_eq!(&planned, &decided(&resource, Some(&planned), config));
            prop_assert!(DECIDED.iter().all(|name| !planned.get(name).is_null()));
            state = Some(planned);
        }
    }
}
