//! The whole road with nothing played: real telemetry, the engine as its users start it, and the real
//! `terraform` with our provider.

#[path = "../../provider/tests/provider/support/terraform.rs"]
#[allow(dead_code)] // the provider's own tests use the rest
mod terraform;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use foreshadow_tests::{program, telemetry};
use terraform::Terraform;

const DECISION: &str = "foreshadow_scaling_decision.web";
const UNIT_CAPACITY: f64 = 20.0;
const TARGET: f64 = 0.7;

/// `foreshadow serve` on a file; it is killed when dropped.
struct Served(Child);

impl Served {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(program("foreshadow"));
        command.args(["serve", "--config", "engine.toml"]).current_dir(folder);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("serving grpc="), "{line}");
        Self(child)
    }

    fn stop(mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The samples of one real load series, oldest first, as lines of a table.
fn real_load() -> Option<Vec<String>> {
    let table = telemetry("quickstart.csv.gz")?;
    let unpacked = Command::new("gzip").args(["-dc"]).arg(table).output().unwrap();
    assert!(unpacked.status.success());
    let text = String::from_utf8(unpacked.stdout).unwrap();
    Some(text.lines().filter(|line| line.starts_with("crane,crane/input9,")).map(str::to_owned).collect())
}

fn write_input(folder: &Path, samples: &[String]) {
    let header = "dataset,series_id,resource,metric,region,timestamp,value\n";
    fs::write(folder.join("load.csv"), header.to_owned() + &samples.join("\n") + "\n").unwrap();
}

fn engine_settings(socket: &Path) -> String {
    format!(
        r#"
[source.file]
path = "load.csv"
label_columns = ["resource", "metric"]
[forecast]
models = ["snaive"]
[serve]
grpc = "unix:{}"
http = "127.0.0.1:0"
[[workload]]
name = "web"
demand = '{{metric="load",resource="workload-9"}}'
unit_capacity = {UNIT_CAPACITY:?}
target = {TARGET:?}
lead_time = "1h"
max = 10000
"#,
        socket.display()
    )
}

fn configuration(socket: &Path) -> String {
    format!(
        r#"
provider "foreshadow" {{
  endpoint = "unix:{}"
}}
data "foreshadow_recommendation" "web" {{
  workload = "web"
  quantile = 0.9
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

#[test]
fn capacity_of_a_real_workload_is_planned_applied_frozen_and_destroyed() {
    let Some(samples) = real_load() else { return };
    let Some(terraform) = Terraform::new(&program("terraform-provider-foreshadow")) else { return };
    let folder = terraform.path("");
    let socket = folder.join("engine.sock");
    fs::write(folder.join("engine.toml"), engine_settings(&socket)).unwrap();
    terraform.write(&configuration(&socket));
    // A day of 5-minute samples is 288; each engine sees a quarter of a day more than the one before.
    write_input(&folder, &samples[..samples.len() - 288]);
    let engine = Served::start(&folder);
    terraform.apply(&[]).expect(0).says("first decision");
    let data = terraform.state_of("data.foreshadow_recommendation.web");
    let replicas = data["replicas"].as_i64().unwrap();
    let peak = data["evidence"]["peak_demand"].as_f64().unwrap();
    assert_eq!(replicas, (peak / (UNIT_CAPACITY * TARGET)).ceil() as i64, "{data}");
    assert!(replicas > 1, "{data}");
    assert_eq!(terraform.state_of(DECISION)["replicas"], replicas);
    terraform.plan(&[]).expect(0).says("No changes");
    engine.stop();

    // The next issue moves the forecast: the plan shows it, with its reason.
    write_input(&folder, &samples[..samples.len() - 216]);
    let engine = Served::start(&folder);
    terraform.plan(&["-out=saved"]).expect(2).says("the band of");
    engine.stop();
    // And the one after that moves it again: the saved plan applies what was approved.
    write_input(&folder, &samples[..samples.len() - 144]);
    let engine = Served::start(&folder);
    let planned: serde_json::Value =
        serde_json::from_str(&terraform.run(&["show", "-json", "saved"]).expect(0).output).unwrap();
    let approved = planned["resource_changes"][0]["change"]["after"].clone();
    terraform.run(&["apply", "-no-color", "saved"]).expect(0);
    let state = terraform.state_of(DECISION);
    for name in ["replicas", "decided_slot", "reason"] {
        assert_eq!(state[name], approved[name], "{name}");
    }
    assert_ne!(state["replicas"], replicas);
    terraform.plan(&[]).expect(2);
    terraform.run(&["destroy", "-auto-approve", "-no-color"]).expect(0);
    engine.stop();
    assert_eq!(terraform.left_behind(), Vec::<std::path::PathBuf>::new());
}
