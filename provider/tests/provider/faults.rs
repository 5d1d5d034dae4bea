//! An engine that is down, hung, starting, stale, or not known yet; and a user who interrupts.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::terraform::finished;
use crate::{web, workspace};

const DECISION: &str = "foreshadow_scaling_decision.web";
const FALLBACK: &str = "fallback = { replicas = 24 }";

#[test]
fn without_a_fallback_an_engine_that_is_down_stops_the_plan_at_the_endpoint() {
    let Some((terraform, mut engine)) = workspace() else { return };
    terraform.write(&web(&engine, "max_retries = 1", "", ""));
    engine.stop();
    terraform.plan(&[]).expect(1).says("No recommendation from the engine").says("engine.sock").says("fallback");
}

#[test]
fn with_a_fallback_plans_applies_and_destroys_go_on_without_the_engine() {
    let Some((terraform, mut engine)) = workspace() else { return };
    let configuration = web(&engine, "max_retries = 0", FALLBACK, "");
    terraform.write(&configuration);
    terraform.apply(&[]).expect(0);
    engine.stop();
    let run = terraform.plan(&[]).expect(0);
    run.says("Fallback capacity").says("Decision not refreshed").says("No changes");
    terraform.write(&web(&engine, "max_retries = 0\n  on_unavailable = \"error\"", FALLBACK, ""));
    terraform.plan(&[]).expect(1).says("No recommendation from the engine");

    // A new decision cannot be written down, and is not pretended to be.
    terraform.write(&configuration.replace("name       = \"checkout-web\"", "name       = \"other\""));
    terraform.apply(&[]).expect(1).says("The decision was not recorded");
    terraform.write(&configuration);
    terraform.run(&["destroy", "-auto-approve", "-no-color"]).expect(0);
    assert_eq!(terraform.state_of(DECISION), serde_json::Value::Null);
}

#[test]
fn a_fallbacks_values_are_marked_as_such() {
    let Some((terraform, mut engine)) = workspace() else { return };
    let configuration = web(&engine, "max_retries = 0\n  slot = \"1h\"", FALLBACK, "");
    let data_only = configuration.split("resource \"foreshadow_scaling_decision\"").next().unwrap().to_owned();
    terraform.write(&data_only);
    engine.stop();
    terraform.apply(&[]).expect(0);
    let data = terraform.state_of("data.foreshadow_recommendation.web");
    assert_eq!((&data["source"], &data["replicas"], &data["confidence"]), (&"fallback".into(), &24.into(), &0.into()));
    assert!(data["slot_start"].as_str().unwrap().ends_with(":00:00Z"), "{data}");
    assert_eq!(
        (&data["stale"], &data["evidence"], &data["schedule"]),
        (&true.into(), &().into(), &serde_json::json!([]))
    );
}

#[test]
fn a_hung_engine_is_left_at_the_deadline() {
    let Some((terraform, engine)) = workspace() else { return };
    engine.script().delay = Duration::from_secs(60);
    terraform.write(&web(&engine, "request_timeout = \"1s\"", "", ""));
    let started = Instant::now();
    terraform.plan(&[]).expect(1).says("no answer within 1s");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn an_engine_that_is_starting_is_asked_again() {
    let Some((terraform, engine)) = workspace() else { return };
    engine.script().refusals = 2;
    terraform.write(&web(&engine, "", "", ""));
    terraform.plan(&[]).expect(2).says("replicas = 24");
    engine.script().refusals = 2;
    terraform.write(&web(&engine, "max_retries = 1", "", ""));
    terraform.plan(&[]).expect(1).says("starting");
}

#[test]
fn a_stale_issue_is_told_and_past_its_limit_refused() {
    let Some((terraform, engine)) = workspace() else { return };
    engine.script().stale = true;
    terraform.write(&web(&engine, "", "", ""));
    terraform.plan(&[]).expect(2).says("Stale recommendation");
    terraform.write(&web(&engine, "max_staleness = \"15m\"", "", "")); // the script's issue is from January 2026
    terraform.plan(&[]).expect(1).says("the last observation behind the forecast is").says("max_staleness");
    terraform.write(&web(&engine, "max_staleness = \"15m\"", FALLBACK, ""));
    terraform.plan(&[]).expect(2).says("Its fallback stands in");
}

#[test]
fn a_workload_nobody_knows_is_told_at_its_attribute_even_with_a_fallback() {
    let Some((terraform, engine)) = workspace() else { return };
    terraform.write(&web(&engine, "", FALLBACK, "").replace("workload = \"checkout-web\"", "workload = \"chekout\""));
    terraform.plan(&[]).expect(1).says("No workload \"chekout\"").says("workload = \"chekout\"");
}

#[test]
fn an_endpoint_that_is_not_known_yet_fails_the_read_and_names_it() {
    let Some((terraform, engine)) = workspace() else { return };
    let endpoint = format!("endpoint = \"{}\"", engine.endpoint());
    let configuration = web(&engine, "", "", "").replace(&endpoint, "endpoint = terraform_data.engine.output")
        + &format!("resource \"terraform_data\" \"engine\" {{\n  input = \"{}\"\n}}\n", engine.endpoint());
    terraform.write(&configuration);
    terraform.plan(&[]).expect(1).says("The engine is not known yet").says("endpoint");
}

#[test]
fn the_environment_configures_what_the_block_leaves_out() {
    let Some((terraform, engine)) = workspace() else { return };
    let configuration = web(&engine, "", "", "");
    terraform.write(&configuration.replace(&format!("endpoint = \"{}\"", engine.endpoint()), ""));
    let mut command = terraform.command(&["plan", "-detailed-exitcode", "-no-color"]);
    command.env("FORESHADOW_ENDPOINT", engine.endpoint());
    finished(command).expect(2).says("replicas = 24");
    let mut command = terraform.command(&["plan", "-detailed-exitcode", "-no-color"]);
    command.env("FORESHADOW_ENDPOINT", "https://elsewhere");
    finished(command).expect(1).says("Invalid endpoint");
}

#[test]
fn an_interrupt_ends_a_hung_plan_at_once_and_leaves_nothing() {
    let Some((terraform, engine)) = workspace() else { return };
    engine.script().delay = Duration::from_secs(600);
    terraform.write(&web(&engine, "request_timeout = \"10m\"", "", ""));
    let child =
        terraform.command(&["plan", "-no-color"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let provider_runs = || !terraform.left_behind().is_empty();
    let started = Instant::now();
    while !provider_runs() {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2)); // long enough for the read to hang
    let interrupted = Instant::now();
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert!(interrupted.elapsed() < Duration::from_secs(20), "{:?}", interrupted.elapsed());
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(terraform.left_behind(), Vec::<std::path::PathBuf>::new(), "{text}");
    assert_eq!(terraform.still_running(), Vec::<std::path::PathBuf>::new(), "{text}");
}
