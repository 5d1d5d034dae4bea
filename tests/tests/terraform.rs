//! The whole road with nothing played: the real telemetry that comes with the demo, the engine as its users start
//! it, and the real `terraform` with our provider.

#[path = "../../provider/tests/provider/support/terraform.rs"]
#[allow(dead_code)] // the provider's own tests use the rest
mod terraform;

use std::fs;
use std::path::Path;

use foreshadow::telemetry::TableSpec;
use foreshadow_tests::serving::Serving;
use foreshadow_tests::{program, repository, required};
use terraform::Terraform;

const DECISION: &str = "foreshadow_scaling_decision.web";
/// Core-percents that one replica serves.
const UNIT_CAPACITY: f64 = 10_000.0;
const TARGET: f64 = 0.7;
const FALLBACK: i64 = 7;

fn start(folder: &Path) -> Serving {
    Serving::start(&folder.join("engine.toml")).unwrap_or_else(|(status, told)| panic!("{status}: {told}"))
}

fn stop(engine: Serving) {
    engine.terminate();
    let (status, told) = engine.wait();
    assert!(status.success(), "{status}: {told}");
}

/// The samples of one real load, oldest first: the CPU that all machines of a region used.
fn real_load() -> Vec<(i64, f64)> {
    let series = TableSpec::new(repository().join("engine/data/azure_vm_2019_total.parquet")).read().unwrap();
    let cpu = series.into_iter().find(|series| series.name.contains(r#"metric="cpu_usage""#)).unwrap();
    cpu.times_ms.into_iter().zip(cpu.values).collect()
}

fn write_input(folder: &Path, samples: &[(i64, f64)]) {
    let rows: String =
        samples.iter().map(|(time_ms, value)| format!("cpu_usage,{},{value}\n", time_ms / 1_000)).collect();
    fs::write(folder.join("load.csv"), "metric,timestamp,value\n".to_owned() + &rows).unwrap();
}

fn engine_settings(folder: &Path, socket: &Path) -> String {
    format!(
        r#"
[source.file]
path = {:?}
[forecast]
models = ["snaive"]
[store]
path = {:?}
[serve]
grpc = "unix:{}"
http = "127.0.0.1:0"
[[workload]]
name = "web"
demand = '{{metric="cpu_usage"}}'
unit_capacity = {UNIT_CAPACITY:?}
target = {TARGET:?}
lead_time = "1h"
max = 10000
"#,
        folder.join("load.csv"),
        folder.join("store"),
        socket.display()
    )
}

fn configuration(socket: &Path, data: &str) -> String {
    format!(
        r#"
provider "foreshadow" {{
  endpoint    = "unix:{}"
  max_retries = 1
}}
data "foreshadow_recommendation" "web" {{
  workload = "web"
  quantile = 0.9
  {data}
}}
resource "foreshadow_scaling_decision" "web" {{
  name       = "web"
  proposed   = data.foreshadow_recommendation.web.replicas
  schedule   = data.foreshadow_recommendation.web.schedule
  slot_start = data.foreshadow_recommendation.web.slot_start
  confidence = data.foreshadow_recommendation.web.confidence
}}
"#,
        socket.display()
    )
}

/// A saved plan's change of the decision.
fn planned(terraform: &Terraform) -> serde_json::Value {
    let shown = terraform.run(&["show", "-json", "saved"]).expect(0).output;
    serde_json::from_str::<serde_json::Value>(&shown).unwrap()["resource_changes"][0]["change"]["after"].clone()
}

#[test]
fn capacity_of_a_real_workload_is_planned_applied_frozen_and_destroyed() {
    if !required("terraform", "the whole road under a real terraform") {
        return;
    }
    let samples = real_load();
    let terraform = Terraform::new(&program("terraform-provider-foreshadow")).expect("terraform is on PATH");
    let folder = terraform.path("");
    let socket = folder.join("engine.sock");
    fs::write(folder.join("engine.toml"), engine_settings(&folder, &socket)).unwrap();
    terraform.write(&configuration(&socket, ""));
    terraform.run(&["validate", "-no-color"]).expect(0).says("The configuration is valid");
    // A day of 5-minute samples is 288; each engine sees a quarter of a day more than the one before.
    write_input(&folder, &samples[..samples.len() - 288]);
    let engine = start(&folder);
    terraform.apply(&[]).expect(0).says("first decision");
    let data = terraform.state_of("data.foreshadow_recommendation.web");
    let replicas = data["replicas"].as_i64().unwrap();
    let peak = data["evidence"]["peak_demand"].as_f64().unwrap();
    assert_eq!(replicas, (peak / (UNIT_CAPACITY * TARGET)).ceil() as i64, "{data}");
    assert!(replicas > 1, "{data}");
    assert_eq!(terraform.state_of(DECISION)["replicas"], replicas);
    terraform.plan(&[]).expect(0).says("No changes");
    stop(engine);

    // The next issue moves the forecast: the plan shows it, with its reason.
    write_input(&folder, &samples[..samples.len() - 216]);
    let engine = start(&folder);
    terraform.plan(&["-out=saved"]).expect(2).says("the band of");
    stop(engine);
    // And the one after that moves it again: the saved plan applies what was approved.
    write_input(&folder, &samples[..samples.len() - 144]);
    let engine = start(&folder);
    let approved = planned(&terraform);
    terraform.run(&["apply", "-no-color", "saved"]).expect(0);
    let state = terraform.state_of(DECISION);
    for name in ["replicas", "decided_slot", "reason"] {
        assert_eq!(state[name], approved[name], "{name}");
    }
    assert_ne!(state["replicas"], replicas);
    terraform.plan(&[]).expect(2);
    stop(engine);
    without_the_engine(&terraform, &socket);
    let engine = start(&folder);
    terraform.run(&["destroy", "-auto-approve", "-no-color"]).expect(0);
    stop(engine);
    assert_eq!(terraform.left_behind(), Vec::<std::path::PathBuf>::new());
}

/// A plan stops and says which engine is missing, unless a fallback is given, which it plans with a warning.
fn without_the_engine(terraform: &Terraform, socket: &Path) {
    let address = socket.to_str().unwrap();
    terraform.plan(&[]).expect(1).says("No recommendation from the engine").says(address);
    terraform.write(&configuration(socket, &format!("fallback = {{ replicas = {FALLBACK} }}")));
    terraform.plan(&["-out=saved"]).expect(2).says("Warning: Fallback capacity").says(address);
    assert_eq!(planned(terraform)["replicas"], FALLBACK);
    terraform.write(&configuration(socket, ""));
}
