//! `foreshadow demo`: the main job on data that comes with the program, with nothing else installed.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use foreshadow_kernels::DeviceChoice;
use foreshadow_models::{BuildOptions, Panel, PanelSet, RawSeries};

use self::analysis::{AnalysisError, Finding};
use self::capacity::{RegionSum, Sizing};
use self::terraform::Plan;
use super::output::Output;
use super::progress::Step;
use super::settings::open;
use super::{Exit, Failure, output};
use crate::clock::{Clock, SystemClock};
use crate::issue::Issue;
use crate::live::Live;
use crate::pipeline::{PipelineError, PipelineSettings, make_issue};
use crate::simulate::{Fleet, FleetSpec};
use crate::telemetry::{SeriesKey, TableSpec};

mod analysis;
mod capacity;
mod plots;
mod report;
mod table;
mod terraform;

/// CPU and memory of all virtual machines of one Azure region, 30 days at 5 minutes; see `data/ATTRIBUTION.md`.
const REAL: &[u8] = include_bytes!("../../data/azure_vm_2019_total.parquet");
const ATTRIBUTION: &str = "Real series: azure_vm_2019_total, from Azure Public Dataset V2 (Microsoft; Cortez et al., \
SOSP 2017), summed by Fernández et al., doi 10.5281/zenodo.14564847, CC BY 4.0. Its times are relative; weekday names mean nothing.";

/// Flags of `foreshadow demo`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The same seed gives the same simulated fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the report with its plots is written; it opens without a network
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    report: PathBuf,
    /// Device that scores the fleet: auto, cpu, wgpu or cuda
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Show every series and workload, not only the most telling ones
    #[arg(long)]
    all: bool,
    /// Table for people, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Why the demo ended early.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum DemoError {
    #[error("the demo's series could not be forecast")]
    Analysis(#[from] AnalysisError),
    #[error("the demo's issue could not be made")]
    Issue(#[from] PipelineError),
    #[error("the demo's temporary folder cannot be used")]
    #[diagnostic(help("TMPDIR names another place for it"))]
    Folder(#[source] io::Error),
    #[error("cannot write the report {path}")]
    #[diagnostic(help("--report names another file"))]
    Report {
        path: String,
        #[source]
        source: io::Error,
    },
}

/// Everything the demo found, for the table, the JSON object and the report.
struct Outcome {
    seed: u64,
    device: &'static str,
    seconds: f64,
    findings: Vec<Finding>,
    sizings: Vec<Sizing>,
    /// Why some workloads could not be sized.
    unsized_workloads: Vec<String>,
    regions: Vec<RegionSum>,
    issue: Issue,
    plan: Plan,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let started = Instant::now();
    let device = open(args.device)?;
    let folder = tempfile::tempdir().map_err(|source| Failure::new(Exit::Disk, DemoError::Folder(source)))?;
    let fault = |error: DemoError| Failure::new(Exit::Fault, error);
    let unwritable =
        |source| Failure::new(Exit::Disk, DemoError::Report { path: args.report.display().to_string(), source });
    // Before the work, which would be lost; what stands there stays until the new report is made.
    OpenOptions::new().create(true).append(true).open(&args.report).map_err(unwritable)?;

    let step = Step::new("simulating a fleet of three regions");
    let real = real_panels(folder.path())?;
    let now_ms = SystemClock.now_ms();
    let fleet = Fleet::simulate(&FleetSpec::new(args.seed, now_ms));
    drop(step);
    let step = Step::new("issuing shadows for the last day and scoring it");
    let mut findings = Vec::new();
    for panel in real.iter().chain([&analysis::rates(&fleet.panel())]) {
        let progress = |done, of| step.set(done, of);
        findings.extend(analysis::last_day(panel, args.seed, &device, &progress).map_err(|e| fault(e.into()))?);
    }
    drop(step);
    let step = Step::new("issuing shadows for the next day and sizing every workload");
    let workloads = capacity::workloads(&fleet);
    let settings = PipelineSettings { seed: args.seed, ..PipelineSettings::default() };
    let issue =
        make_issue(demand(&fleet), &workloads, &settings, &mut Live::default(), now_ms).map_err(|e| fault(e.into()))?;
    let (sizings, refused) = capacity::size(&fleet, &workloads, &issue);
    drop(step);
    let step = Step::new("asking terraform for a plan");
    let plan = terraform::plan(folder.path(), workloads, &issue, &capacity::most_pressing(&sizings));
    drop(step);
    let outcome = Outcome {
        seed: args.seed,
        device: device.kind(),
        seconds: started.elapsed().as_secs_f64(),
        regions: capacity::by_region(&sizings),
        unsized_workloads: refused.iter().map(ToString::to_string).collect(),
        findings,
        sizings,
        issue,
        plan,
    };
    let page = report::page(&outcome).into_string();
    std::fs::write(&args.report, page).map_err(unwritable)?;
    match args.output {
        Output::Json => output::print_json(&table::json(&outcome, &args.report)),
        Output::Table => output::print(&table::text(&outcome, &args.report, args.all)),
    }
}

/// The series that come with the program, through the same reader as any other table.
fn real_panels(folder: &Path) -> Result<Vec<Panel>, Failure> {
    let path = folder.join("azure_vm_2019_total.parquet");
    std::fs::write(&path, REAL).map_err(|source| Failure::new(Exit::Disk, DemoError::Folder(source)))?;
    let raw = TableSpec::new(path).read()?;
    Ok(PanelSet::build(raw, &BuildOptions::default()).panels)
}

/// The series that workloads are sized on.
fn demand(fleet: &Fleet) -> Vec<RawSeries> {
    let wanted: Vec<SeriesKey> = fleet.workloads.iter().map(|workload| workload.demand.clone()).collect();
    let names: std::collections::HashSet<String> = wanted.iter().map(ToString::to_string).collect();
    fleet.samples().filter(|series| names.contains(&series.name)).collect()
}
