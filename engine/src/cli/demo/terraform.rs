//! A real `terraform plan` from a service that lives as long as the plan takes.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::capacity::Sizing;
use crate::act::Workload;
use crate::clock::SystemClock;
use crate::config::Listen;
use crate::issue::Issue;
use crate::live::Live;
use crate::service::{self, Settings};
use crate::store::MemoryStore;

const PROVIDER: &str = "terraform-provider-foreshadow";
/// Workloads in the plan.
const PLANNED: usize = 3;
/// What terraform may take before it is stopped.
const PATIENCE: Duration = Duration::from_secs(20);

/// A plan, or what it would be made from and why it is not there.
pub(super) enum Plan {
    Made { hcl: String, text: String },
    Absent { hcl: String, reason: String },
}

/// Plans the capacity of the most pressing workloads.
pub(super) fn plan(folder: &Path, workloads: Vec<Workload>, issue: &Issue, pressing: &[&Sizing]) -> Plan {
    let socket = folder.join("engine.sock");
    let hcl = configuration(&socket, &pressing[..pressing.len().min(PLANNED)]);
    match made(folder, &socket, &hcl, workloads, issue) {
        Ok(text) => Plan::Made { hcl, text },
        Err(reason) => Plan::Absent { hcl, reason },
    }
}

fn made(folder: &Path, socket: &Path, hcl: &str, workloads: Vec<Workload>, issue: &Issue) -> Result<String, String> {
    let Some(terraform) = on_path("terraform") else { return Err("terraform is not on PATH".into()) };
    let provider = provider()?;
    let settings = Settings { grpc: Listen::Unix(socket.into()), http: None, ..Settings::on_free_ports(workloads) };
    let handle = service::start(settings, Arc::new(MemoryStore::default()), Arc::new(SystemClock))
        .map_err(|error| format!("the service did not start: {error}"))?;
    handle
        .publish(issue.clone(), &Live::default())
        .map_err(|error| format!("the issue could not be stored: {error}"))?;
    let text = ask(&terraform, folder, provider.parent().unwrap_or(Path::new(".")), hcl);
    handle.shutdown();
    text
}

/// Two blocks a workload: the recommendation, and the decision that judges it.
fn configuration(socket: &Path, pressing: &[&Sizing]) -> String {
    let mut hcl = format!(
        "terraform {{\n  required_providers {{\n    foreshadow = {{\n      source = \"foreshadow/foreshadow\"\n    }}\n  }}\n}}\n\n\
         provider \"foreshadow\" {{\n  endpoint = \"unix:{}\"\n}}\n",
        socket.display()
    );
    for sizing in pressing {
        let (name, now) = (&sizing.workload.name, sizing.workload.replicas);
        let id = name.replace('-', "_");
        let _ = write!(
            hcl,
            "\ndata \"foreshadow_recommendation\" \"{id}\" {{\n  workload = \"{name}\"\n  horizon  = \"24h\"\n  \
             fallback = {{ replicas = {now} }}\n}}\n\n\
             resource \"foreshadow_scaling_decision\" \"{id}\" {{\n  name       = \"{name}\"\n  \
             proposed   = data.foreshadow_recommendation.{id}.replicas\n  \
             slot_start = data.foreshadow_recommendation.{id}.slot_start\n}}\n\n\
             output \"{id}_replicas\" {{\n  value = foreshadow_scaling_decision.{id}.replicas\n}}\n"
        );
    }
    hcl
}

fn ask(terraform: &Path, folder: &Path, provider_folder: &Path, hcl: &str) -> Result<String, String> {
    let text = |error: std::io::Error| format!("its files could not be written: {error}");
    let work = folder.join("terraform");
    std::fs::create_dir_all(&work).map_err(text)?;
    std::fs::write(work.join("main.tf"), hcl).map_err(text)?;
    let override_file = folder.join("terraform.rc");
    let own = format!(
        "provider_installation {{\n  dev_overrides {{\n    \"foreshadow/foreshadow\" = {:?}\n  }}\n}}\n",
        provider_folder.display().to_string()
    );
    std::fs::write(&override_file, own).map_err(text)?;
    let (stdout, stderr) = (folder.join("plan.out"), folder.join("plan.err"));
    let file = |path: &Path| std::fs::File::create(path).map_err(text);
    let mut command = Command::new(terraform);
    // The user's own settings of terraform and of the engine are for other plans.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("TF_") || name.starts_with("FORESHADOW_") {
            command.env_remove(&*name);
        }
    }
    let mut child = command
        .args(["plan", "-no-color", "-input=false", "-lock=false"])
        .current_dir(&work)
        .env("TF_CLI_CONFIG_FILE", &override_file)
        .env("TF_DATA_DIR", folder.join("terraform.data"))
        .env("TF_IN_AUTOMATION", "1")
        .env("CHECKPOINT_DISABLE", "1")
        .stdin(Stdio::null())
        .stdout(file(&stdout)?)
        .stderr(file(&stderr)?)
        .spawn()
        .map_err(|error| format!("terraform did not start: {error}"))?;
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            _ => {
                let _ = child.kill(); // it has ended by itself
                let _ = child.wait();
                return Err(format!("terraform did not answer within {} s", PATIENCE.as_secs()));
            }
        }
    };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    if status.success() { Ok(without_override_warning(&read(&stdout))) } else { Err(said(&read(&stderr))) }
}

/// The plan from its own first words on: above them terraform warns of the override that we set.
fn without_override_warning(text: &str) -> String {
    let begin = ["Terraform used the selected providers", "data.foreshadow_recommendation", "No changes."];
    let from = begin.iter().filter_map(|words| text.find(words)).min().unwrap_or(0);
    text[from..].to_string()
}

/// The first error that terraform told.
fn said(stderr: &str) -> String {
    let error = stderr.lines().find(|line| line.contains("Error:")).unwrap_or("it said nothing");
    format!("terraform failed: {}", error.trim_start_matches(['│', ' ']))
}

/// The provider beside this executable; under `cargo run` it is built first, which costs nothing where it is new.
fn provider() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("this executable cannot be found: {error}"))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let beside = folder.join(PROVIDER);
    // Set for whatever cargo runs, a test included; the package's name tells that it runs this program.
    let runs_us = std::env::var_os("CARGO_PKG_NAME").is_some_and(|name| name == env!("CARGO_PKG_NAME"));
    let Some(cargo) = std::env::var_os("CARGO").filter(|_| runs_us) else {
        let absent = || format!("{PROVIDER} does not lie beside this executable");
        return beside.exists().then_some(beside).ok_or_else(absent);
    };
    let mut build = Command::new(cargo);
    // Of the whole workspace, as the demo was built: a package alone would select other features of its
    // dependencies and build them anew.
    build.args(["build", "--release", "--quiet", "--workspace", "--bin", PROVIDER]).stdout(Stdio::null());
    if let Some(target) = folder.parent() {
        build.env("CARGO_TARGET_DIR", target);
    }
    if let Some(package) = std::env::var_os("CARGO_MANIFEST_DIR") {
        build.current_dir(package);
    }
    let built = build.status().is_ok_and(|status| status.success()) && beside.exists();
    if built { Ok(beside) } else { Err(format!("cargo could not build {PROVIDER}")) }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_begins_where_terraform_stops_warning() {
        let text =
            "\nWarning: Provider development overrides are in effect\n\nTerraform used the selected providers to\n";
        assert_eq!(without_override_warning(text), "Terraform used the selected providers to\n");
        assert_eq!(without_override_warning("else"), "else");
        assert_eq!(said("╷\n│ Error: No workload\n│\n"), "terraform failed: Error: No workload");
    }
}
