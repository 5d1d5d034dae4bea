//! `foreshadow doctor`: what this machine has, and what could be installed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use foreshadow_kernels::device;
use serde::Serialize;

use super::Failure;
use super::output::{self, Format};
use super::progress::Step;

/// Programs that we work with and what they are for.
const PROGRAMS: [(&str, &str); 5] = [
    ("terraform", "capacity in a plan: https://developer.hashicorp.com/terraform/install"),
    ("prometheus", "a source of telemetry: apt-get install prometheus"),
    ("promtool", "to fill a Prometheus from files: apt-get install prometheus"),
    ("chromium", "pictures of the report, in tests: apt-get install chromium"),
    ("python3", "the peers that foreshadow-bench compares with: apt-get install python3 python3-venv"),
];

/// The plugin that terraform starts.
const PROVIDER: &str = "terraform-provider-foreshadow";

/// Flags of `foreshadow doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "A GPU that is named here compiled a probe kernel and answered it rightly.")]
pub(super) struct Args {
    /// How the findings are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// One thing looked for.
#[derive(Serialize)]
struct Finding {
    what: String,
    here: bool,
    /// What was found, or what to do about it.
    said: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let step = Step::new("trying every device");
    let mut findings = devices();
    drop(step);
    findings.extend(PROGRAMS.map(|(name, purpose)| program(name, purpose)));
    findings.extend([provider(), telemetry()]);
    match args.output {
        Format::Json => output::print_json(&findings),
        Format::Table => {
            let mut table = output::table(&["", "here", "found, or what to do"]);
            for finding in findings {
                table.add_row([finding.what, word(finding.here).into(), finding.said]);
            }
            output::print(&format!("{table}\n"))
        }
        Format::Csv => {
            let mut rows = csv::Writer::from_writer(Vec::new());
            for finding in findings {
                rows.serialize(finding).expect("a vector takes every row");
            }
            output::print(&String::from_utf8_lossy(&rows.into_inner().expect("a vector takes every row")))
        }
    }
}

fn word(here: bool) -> &'static str {
    if here { "yes" } else { "no" }
}

fn devices() -> Vec<Finding> {
    let reports = device::report();
    let taken = reports.iter().position(|report| report.automatic);
    let finding = |(at, report): (usize, device::Report)| {
        let what = format!("device {}", report.device);
        match report.found {
            Ok(name) if Some(at) == taken => Finding { what, here: true, said: format!("{name}; what auto takes") },
            Ok(name) => Finding { what, here: true, said: name },
            Err(error) => Finding { what, here: false, said: error.to_string() },
        }
    };
    reports.into_iter().enumerate().map(finding).collect()
}

/// The first line a program says of its version, when it is on PATH.
fn program(name: &str, purpose: &str) -> Finding {
    let asked = Command::new(name).arg("--version").stdin(Stdio::null()).output();
    let what = name.to_string();
    match asked {
        Ok(answer) => {
            let said = [answer.stdout, answer.stderr].concat(); // some tell their version as an error
            let said = String::from_utf8_lossy(&said);
            Finding { what, here: true, said: said.lines().next().unwrap_or("it says no version").into() }
        }
        Err(_) => Finding { what, here: false, said: format!("not on PATH; {purpose}") },
    }
}

/// The provider beside this executable, which the demo's plan takes.
fn provider() -> Finding {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(PROVIDER)));
    let here = beside.filter(|path| path.is_file());
    let absent =
        || format!("not beside this executable; the demo's plan: cargo build --release --workspace --bin {PROVIDER}");
    Finding {
        what: PROVIDER.into(),
        here: here.is_some(),
        said: here.map_or_else(absent, |path| path.display().to_string()),
    }
}

/// Real telemetry for tests and benches.
fn telemetry() -> Finding {
    let folder = std::env::var_os("FORESHADOW_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let here = folder.join("catalog.csv").exists();
    let shown = folder.display();
    let said =
        if here { shown.to_string() } else { format!("nothing at {shown}; FORESHADOW_DATA names another folder") };
    Finding { what: "telemetry for tests".into(), here, said }
}
