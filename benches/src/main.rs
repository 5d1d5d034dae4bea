//! `foreshadow-bench`: the project's figures, each `area.measure: value unit` on a line of its own.

use std::path::PathBuf;

use clap::Parser;
use foreshadow_benches::peers::{Choice, Effort};
use foreshadow_benches::{
    BenchError, Context, Figures, Scale, accuracy, arima, autoets, ceilings, cuda, demo, dhr, ets, m4, mstl, neural,
    peers, plot, prophet, provider, score, switch, telemetry, theta, update,
};
use miette::IntoDiagnostic;

/// Takes the project's figures and prints each as `area.measure: value unit`.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Run everything once on a small panel, without peers: does it work at all?
    #[arg(long)]
    smoke: bool,
    /// The figures in their full sizes, peers side by side (the default).
    #[arg(long, conflicts_with = "smoke")]
    quick: bool,
    /// The areas to take, by name; all of the quick figures without one.
    #[arg(value_name = "AREA", value_parser = clap::builder::PossibleValuesParser::new(AREAS.map(|(name, _)| name)))]
    areas: Vec<String>,
    /// A long table that replaces the bench panel.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Where the JSON of all figures goes; a page with them as a plot goes beside it.
    #[arg(long, value_name = "FILE", default_value = "foreshadow-bench.json")]
    json: PathBuf,
    /// In `peers`, take cells anew that an earlier run kept.
    #[arg(long)]
    fresh: bool,
    /// In `peers`, minutes after which nothing more is begun; a further run goes on where this one stopped.
    #[arg(long, value_name = "N", default_value_t = Effort::default().minutes)]
    minutes: f64,
    /// In `peers`, CPU-seconds that a peer may take on one set: it is given as many series as that is good for.
    #[arg(long, value_name = "N", default_value_t = Effort::default().cell_seconds)]
    peer_seconds: f64,
    /// In `peers`, ask peers for one window after the other, in a process each: where some are far dearer than the first.
    #[arg(long)]
    apart: bool,
    /// In `peers`, whom to take alone, beside the family of ours that a peer is compared with; everybody without it.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(Choice::contenders()))]
    contenders: Vec<String>,
    /// In `peers`, what to take alone: sets of telemetry, the table, the growth; everything without it.
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(Choice::sets()))]
    sets: Vec<String>,
    /// Answers one cell of `peers`, whose work lies in the file; in a process of its own for its memory.
    #[arg(long, hide = true, value_name = "FILE", exclusive = true)]
    cell: Option<PathBuf>,
}

/// What takes the figures of one area.
type Area = fn(&Context, &mut Figures) -> Result<(), BenchError>;

const AREAS: [(&str, Area); 19] = [
    ("prophet", prophet::figures),
    ("ets", ets::figures),
    ("autoets", autoets::figures),
    ("arima", arima::figures),
    ("theta", theta::figures),
    ("mstl", mstl::figures),
    ("dhr", dhr::figures),
    ("score", score::figures),
    ("update", update::figures),
    ("m4", m4::run),
    ("provider", provider::figures),
    ("demo", demo::run),
    ("accuracy", accuracy::figures),
    ("telemetry", telemetry::figures),
    ("switch", switch::figures),
    ("neural", neural::figures),
    ("lstm-cuda", neural::device::figures),
    ("cuda", cuda::figures),
    ("peers", peers::figures),
];

/// Areas that a run without names leaves out: they take minutes.
const LONG: [&str; 8] = ["arima", "dhr", "switch", "telemetry", "neural", "lstm-cuda", "cuda", "peers"];

fn main() -> miette::Result<()> {
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.cell {
        return peers::answer_file(path).map_err(|reason| miette::miette!("{reason}"));
    }
    let scale = if arguments.smoke { Scale::Smoke } else { Scale::Quick };
    let ceilings = ceilings::measure();
    let (data, peers) = (Context::data_folder(), scale == Scale::Quick);
    let Arguments { fresh, minutes, peer_seconds: cell_seconds, apart, contenders, sets, .. } = arguments;
    let effort = Effort { fresh, minutes, cell_seconds, apart };
    let choice = Choice { contenders, sets };
    let context = Context { data, input: arguments.input, scale, ceilings, peers, effort, choice };
    let mut figures = Figures::default();
    figures.add("machine.fma_gflops", ceilings.fma_gflops, "GFLOP/s");
    figures.add("machine.triad_gbps", ceilings.triad_gbps, "GB/s");
    let mut failed = Vec::new();
    let wanted = |name: &str| match arguments.areas.as_slice() {
        [] => scale == Scale::Smoke || !LONG.contains(&name),
        named => named.iter().any(|named| named == name),
    };
    for (name, area) in AREAS.into_iter().filter(|(name, _)| wanted(name)) {
        match area(&context, &mut figures) {
            Ok(()) => {}
            Err(error @ BenchError::NoData(_)) => figures.skip(name, &error),
            Err(error) => failed.push(format!("{name}: {error}")),
        }
    }
    std::fs::write(&arguments.json, format!("{:#}\n", figures.to_json())).into_diagnostic()?;
    std::fs::write(arguments.json.with_extension("html"), plot::page(&figures)).into_diagnostic()?;
    if failed.is_empty() { Ok(()) } else { Err(miette::miette!("{}", failed.join("\n"))) }
}
