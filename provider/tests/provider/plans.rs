//! Plans that change when they should, and stay empty when they should.

use foreshadow_api::v1::Decision;

use crate::support::stub_engine::{HALF_HOUR_MS, SLOT_MS};
use crate::support::terraform::Terraform;
use crate::{provider, web, workspace};

const DECISION: &str = "foreshadow_scaling_decision.web";

#[test]
fn the_main_road_from_validate_to_destroy() {
    let Some((terraform, engine)) = workspace() else { return };
    terraform.write(&web(&engine, "", "", ""));
    terraform.run(&["validate"]).expect(0);
    terraform.plan(&[]).expect(2).says("replicas = 24").says("first decision");
    terraform.apply(&[]).expect(0);
    let data = terraform.state_of("data.foreshadow_recommendation.web");
    assert_eq!((&data["quantile"], &data["replicas"], &data["source"]), (&0.95.into(), &24.into(), &"forecast".into()));
    assert_eq!(data["schedule"][1]["start"], "2026-01-05T10:30:00Z");
    assert_eq!(data["evidence"]["coverage"], 0.945);
    terraform.plan(&[]).expect(0).says("No changes");
    terraform.plan(&["-refresh=false"]).expect(0);

    // The forecast wavers inside the band, issue after issue: everything volatile moves, no plan does.
    for (slot, replicas) in [(1, 25), (2, 21), (3, 24)] {
        {
            let mut script = engine.script();
            (script.slot_start_ms, script.replicas, script.confidence) =
                (SLOT_MS + slot * HALF_HOUR_MS, replicas, 0.9 + slot as f64 / 1e3);
        }
        terraform.plan(&[]).expect(0).says("No changes");
    }
    engine.script().replicas = 26;
    terraform.plan(&[]).expect(2).says("24 -> 26").says("proposed 26 is above the band of 24 (+5 %)");

    // A saved plan applies what was approved, although the forecast has moved on.
    terraform.plan(&["-out=saved"]).expect(2);
    let calls = engine.script().recommend_calls;
    {
        let mut script = engine.script();
        (script.replicas, script.slot_start_ms) = (70, SLOT_MS + 4 * HALF_HOUR_MS);
    }
    terraform.run(&["apply", "-no-color", "saved"]).expect(0);
    assert_eq!(engine.script().recommend_calls, calls, "applying a saved plan asks for no new forecast");
    let state = terraform.state_of(DECISION);
    assert_eq!((&state["replicas"], &state["decided_slot"]), (&26.into(), &"2026-01-05T11:30:00Z".into()));
    assert_eq!(terraform.state_of("terraform_data.scaled")["output"]["replicas"], 26);
    let ledger = engine.script().ledger["checkout-web"].clone();
    let written: Vec<_> = ledger.iter().map(|decision| (decision.replicas, decision.actor.as_str())).collect();
    assert_eq!(written, [(24, "terraform"), (26, "terraform")]);

    terraform.plan(&[]).expect(2).says("26 -> 70");
    terraform.run(&["destroy", "-auto-approve", "-no-color"]).expect(0);
    assert_eq!(terraform.state_of(DECISION), serde_json::Value::Null);
    assert_eq!(engine.script().ledger["checkout-web"].len(), 2, "the ledger keeps what was decided");
    assert_eq!(terraform.left_behind(), Vec::<std::path::PathBuf>::new());
    assert_eq!(terraform.still_running(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn limits_hold_a_decision_and_tell_why_it_was_cut() {
    let Some((terraform, engine)) = workspace() else { return };
    terraform.write(&web(&engine, "", "", "min_confidence = 0.8\n  max_step = 4"));
    terraform.apply(&[]).expect(0);
    let set = |slot: i64, replicas, confidence| {
        let mut script = engine.script();
        (script.slot_start_ms, script.replicas, script.confidence) =
            (SLOT_MS + slot * HALF_HOUR_MS, replicas, confidence);
    };
    set(1, 60, 0.79);
    terraform.plan(&[]).expect(0);
    set(0, 60, 0.99); // the slot is decided
    terraform.plan(&[]).expect(0);
    set(1, 60, 0.99);
    terraform.apply(&[]).expect(0).says("24 -> 28").says("limited to a step of 4");
    terraform.plan(&[]).expect(0).says("No changes");
    set(2, 60, 0.99);
    terraform.plan(&[]).expect(2).says("28 -> 32");
    // A changed limit alone changes the limit alone.
    set(1, 60, 0.99);
    terraform.write(&web(&engine, "", "", "min_confidence = 0.7\n  max_step = 4"));
    terraform.apply(&[]).expect(0).says("0.8 -> 0.7");
    assert_eq!(engine.script().ledger["checkout-web"].len(), 2);
    terraform.plan(&[]).expect(0);
}

#[test]
fn a_first_decision_without_confidence_takes_the_fallback_or_stops() {
    let Some((terraform, engine)) = workspace() else { return };
    engine.script().confidence = 0.2;
    terraform.write(&web(&engine, "", "", "min_confidence = 0.8"));
    terraform.plan(&[]).expect(1).says("No confident proposal").says("confidence = data");
    terraform.write(&web(&engine, "", "", "min_confidence = 0.8\n  fallback = { replicas = 12 }"));
    terraform.apply(&[]).expect(0);
    assert_eq!(terraform.state_of(DECISION)["replicas"], 12);
    terraform.plan(&[]).expect(0);
}

#[test]
fn what_is_unknown_is_decided_at_apply() {
    let Some((terraform, engine)) = workspace() else { return };
    let configuration = web(&engine, "", "", "")
        .replace("proposed   = data.foreshadow_recommendation.web.replicas", "proposed   = terraform_data.load.output")
        + "resource \"terraform_data\" \"load\" {\n  input = 30\n}\n";
    terraform.write(&configuration);
    terraform.plan(&[]).expect(2).says("replicas = (known after apply)");
    terraform.apply(&[]).expect(0);
    assert_eq!(terraform.state_of(DECISION)["replicas"], 30);
    terraform.plan(&[]).expect(0);
    // Where only a part is unknown, the decision waits for a plan that knows everything.
    engine.script().slot_start_ms += HALF_HOUR_MS;
    terraform.write(&configuration.replace("input = 30", "input = 60"));
    terraform.apply(&[]).expect(0);
    assert_eq!(terraform.state_of(DECISION)["replicas"], 30);
    terraform.apply(&[]).expect(0).says("30 -> 60");
    terraform.plan(&[]).expect(0);
}

#[test]
fn a_recommendation_that_comes_at_apply_is_judged_there() {
    let Some((terraform, engine)) = workspace() else { return };
    let before = "resource \"terraform_data\" \"before\" {\n  input = 1\n}\n";
    let configuration = web(&engine, "", "depends_on = [terraform_data.before]", "") + before;
    terraform.write(&configuration);
    terraform.apply(&[]).expect(0).says("replicas = (known after apply)");
    for (input, replicas, decided) in [("2", 25, 24), ("3", 50, 50)] {
        {
            let mut script = engine.script();
            (script.slot_start_ms, script.replicas) = (script.slot_start_ms + HALF_HOUR_MS, replicas);
        }
        terraform.write(&configuration.replace("input = 1", &format!("input = {input}")));
        terraform.apply(&[]).expect(0);
        assert_eq!(terraform.state_of(DECISION)["replicas"], decided);
        terraform.plan(&[]).expect(0);
    }
}

#[test]
fn an_operators_override_is_found_and_an_import_goes_on_from_it() {
    let Some((terraform, engine)) = workspace() else { return };
    terraform.write(&web(&engine, "", "", ""));
    terraform.apply(&[]).expect(0);
    let by_hand = Decision {
        name: "checkout-web".to_owned(),
        slot_start_ms: SLOT_MS + HALF_HOUR_MS,
        proposed: 24,
        replicas: 40,
        reason: "launch day".to_owned(),
        recorded_ms: SLOT_MS + HALF_HOUR_MS + 1,
        actor: "api".to_owned(),
    };
    engine.script().ledger.get_mut("checkout-web").unwrap().push(by_hand);
    terraform.plan(&[]).expect(2).says("24 -> 40");
    terraform.apply(&["-refresh-only"]).expect(0).says("launch day");
    assert_eq!(terraform.state_of(DECISION)["replicas"], 40);

    terraform.run(&["state", "rm", DECISION]).expect(0);
    terraform.run(&["import", "-no-color", DECISION, "checkout-web"]).expect(0);
    assert_eq!(terraform.state_of(DECISION)["replicas"], 40);
    terraform.apply(&[]).expect(0); // the limits are not in the ledger: they enter the state here
    assert_eq!(terraform.state_of(DECISION)["replicas"], 40);
    terraform.plan(&[]).expect(0);
    terraform.run(&["state", "rm", DECISION]).expect(0);
    terraform.run(&["import", "-no-color", DECISION, "nobody"]).expect(1).says("No decision named \"nobody\"");

    // A name that the ledger has lost is gone, and is decided anew.
    terraform.run(&["import", "-no-color", DECISION, "checkout-web"]).expect(0);
    engine.script().ledger.clear();
    terraform.plan(&[]).expect(2).says("1 to add").says("first decision");
}

#[test]
fn a_new_name_is_a_new_decision() {
    let Some((terraform, engine)) = workspace() else { return };
    terraform.write(&web(&engine, "", "", ""));
    terraform.apply(&[]).expect(0);
    terraform.write(&web(&engine, "", "", "").replace("name       = \"checkout-web\"", "name       = \"web\""));
    terraform.plan(&[]).expect(2).says("forces replacement");
    terraform.apply(&[]).expect(0);
    assert_eq!(engine.script().ledger["web"].len(), 1);
    terraform.plan(&[]).expect(0);
}

#[test]
fn mistakes_are_told_at_their_attribute_before_anything_is_asked() {
    let Some(terraform) = Terraform::new(provider()) else { return };
    terraform.write(
        r#"
data "foreshadow_recommendation" "web" {
  workload = " "
  quantile = 1
  horizon  = "2 hours"
  min      = 9
  max      = 3
  step     = 0
  fallback = { replicas = -1 }
}
resource "foreshadow_scaling_decision" "web" {
  name           = "web"
  proposed       = 2.5
  slot_start     = "noon"
  schedule       = [{ start = "2026-01-01T00:00:00Z", replicas = 1 }, { start = "later", replicas = 1 }]
  band           = { up = -1, down = 2 }
  cooldown       = "0s"
  min_confidence = 0.5
}
"#,
    );
    let run = terraform.run(&["validate", "-json"]).expect(1);
    let report: serde_json::Value = serde_json::from_str(&run.output).unwrap();
    let mut summaries: Vec<_> = report["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|told| told["summary"].as_str().unwrap().to_owned())
        .collect();
    summaries.sort();
    let expected = [
        "Invalid cooldown",
        "Invalid down",
        "Invalid horizon",
        "Invalid proposed",
        "Invalid quantile",
        "Invalid replicas",
        "Invalid slot_start",
        "Invalid start",
        "Invalid step",
        "Invalid up",
        "Invalid workload",
        "Missing confidence",
        "No capacity between min and max",
    ];
    assert_eq!(summaries, expected);
    let at_line = |summary: &str| {
        let found = report["diagnostics"].as_array().unwrap().iter().find(|told| told["summary"] == summary).cloned();
        found.unwrap()["snippet"]["code"].as_str().unwrap_or_default().trim().to_owned()
    };
    assert_eq!(at_line("Invalid horizon"), "horizon  = \"2 hours\"");
    assert_eq!(at_line("No capacity between min and max"), "max      = 3");
    terraform.write(
        r#"
provider "foreshadow" {
  endpoint    = "https://engine.internal"
  max_retries = 1.5
}
data "foreshadow_recommendation" "web" {
  workload = "checkout-web"
}
"#,
    );
    terraform.run(&["validate"]).expect(1).says("Invalid endpoint").says("Invalid max_retries").says("must begin with");
}
