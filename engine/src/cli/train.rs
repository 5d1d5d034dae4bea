//! `foreshadow train`: one network for a whole fleet, as a file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use foreshadow_models::neural::{GlobalEffort, Progress, Training, TrainingError};
use foreshadow_models::{BuildOptions, Local, Panel, PanelSet, Window};
use serde::Serialize;

use super::fleet::Fleet;
use super::output::{self, Format};
use super::progress::Step;
use super::settings::{Settings, open};
use super::{Exit, Failure, regressors};
use crate::config::Override;
use crate::families::Working;

const EXAMPLES: &str = "Examples:
  foreshadow train --input metrics.parquet --horizon 288 --to fleet.safetensors
  foreshadow backtest --input metrics.parquet --horizon 288 --models lstm-global=fleet.safetensors
  foreshadow forecast --input new.parquet --horizon 288 --models lstm-global=fleet.safetensors
  foreshadow train --input metrics.parquet --horizon 288 --to fleet.safetensors --device cuda   # built with --features burn-gpu

It learns of 512 series at most, drawn by seed from those that fit --memory, and forecasts series that it never saw. What it \
has come to lies beside the file as FILE.checkpoint; after a kill the same command goes on from there. A file that is there \
already is replaced once a better network than none is ready, and not before.";

const USUAL: GlobalEffort = GlobalEffort::USUAL;

/// Flags of `foreshadow train`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// File to write, .safetensors by custom; weights have the names that PyTorch gives them
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Steps of training at most; it ends sooner where nothing more is to be won
    #[arg(long, value_name = "COUNT", default_value_t = USUAL.steps as u32, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steps: u32,
    /// Units of the network's layer
    #[arg(long, value_name = "COUNT", default_value_t = USUAL.hidden as u16, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    hidden: u16,
    /// Steps that the network looks back on
    #[arg(long, value_name = "COUNT", default_value_t = USUAL.length as u16, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    length: u16,
    /// Begin anew, whatever lies in FILE.checkpoint
    #[arg(long)]
    afresh: bool,
    /// Table and csv have one row, json the same
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    settings: Settings,
}

/// Why there is no network.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum TrainError {
    #[error("not one of {series_count} series can be learned of")]
    #[diagnostic(help(
        "a series must move, and have --horizon and twice --length steps beside the first cycle; a shorter --horizon asks for less"
    ))]
    Nothing { series_count: usize },
    #[error("{path} cannot be gone on from")]
    #[diagnostic(help("--afresh begins anew"))]
    Checkpoint {
        path: String,
        #[source]
        source: TrainingError,
    },
    #[error("{path} is as it was")]
    #[diagnostic(help("--afresh with another --seed or a smaller --hidden may hold"))]
    Diverged {
        path: String,
        #[source]
        source: TrainingError,
    },
    #[error("the device failed")]
    #[diagnostic(help("the same command goes on from the checkpoint, where one is; --device cpu always works"))]
    Device(#[source] TrainingError),
    #[error("no network was better than what is expected without one, {without:.4}; {path} is as it was")]
    #[diagnostic(help("more series, longer ones, more --steps or a shorter --horizon leave it more to learn"))]
    NoBetter { path: String, without: f64 },
    #[error("{path} is a folder")]
    #[diagnostic(help("--to names the file that is to be written"))]
    Folder { path: String },
    #[error("cannot use {path}")]
    #[diagnostic(help("check that the folder exists, may be written and has room"))]
    Disk {
        path: String,
        #[source]
        source: io::Error,
    },
}

impl TrainError {
    fn of_begun(error: TrainingError, series_count: usize) -> Self {
        match error {
            TrainingError::Nothing => Self::Nothing { series_count },
            error => Self::Device(error),
        }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        let exit = match &error {
            TrainError::Nothing { .. } | TrainError::Checkpoint { .. } | TrainError::Folder { .. } => Exit::Input,
            TrainError::Disk { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::Input,
            TrainError::Disk { .. } => Exit::Disk,
            TrainError::Diverged { .. } | TrainError::Device(_) | TrainError::NoBetter { .. } => Exit::Fault,
        };
        Self::new(exit, error)
    }
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Summary {
    file: String,
    series: usize,
    steps: usize,
    loss_without: f64,
    loss: f64,
    gain_percent: f64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // Not the families of a file: they may ask for the very network that is to be made.
    let config = args.settings.load_with(&[Override::flag("train", "forecast.models", vec!["lstm-global"])])?;
    output::tell(regressors::unused(&config).as_slice());
    let forecast = config.forecast();
    let (horizon, seed, device) = (forecast.horizon(), forecast.seed(), open(forecast.device())?);
    let (checkpoint, shown) = (beside(&args.to), args.to.display().to_string());
    if args.to.is_dir() || args.to.file_name().is_none() {
        return Err(TrainError::Folder { path: shown }.into());
    }
    let unusable = |path: &Path, source| TrainError::Disk { path: path.display().to_string(), source };
    let lookback_steps = forecast.lookback_steps();
    let working = Working { family: "lstm-global", lookback_steps, horizon, levels: 0 };
    let message = |count| format!("{count} series");
    let mut fleet = Fleet::read(&args.settings, &config, &[], |samples| working.bytes(samples), message)?;
    let mut read: Option<PanelSet> = None;
    let mut left = 0;
    fleet.each(|fleet, part| {
        match read {
            None => read = Some(fleet.panels(part, BuildOptions::lookback(lookback_steps), horizon).set),
            Some(_) => left += part.raw.len(),
        }
        Ok(())
    })?;
    drop(fleet);
    let set = read.unwrap_or_default();
    let panels = largest(&set);
    output::tell(&left_out(&set, &panels, left));
    let effort =
        GlobalEffort { steps: args.steps as usize, hidden: args.hidden.into(), length: args.length.into(), ..USUAL };
    // Its days and weeks are those that it will be asked by.
    let locals: Vec<Option<Local>> = panels.iter().map(|panel| Local::of(&panel.window())).collect();
    let on_clocks = panels.iter().zip(&locals);
    let windows: Vec<Window<'_>> = on_clocks
        .map(|(panel, local)| local.as_ref().map_or_else(|| panel.window(), |local| local.panel().window()))
        .collect();
    let series_count = panels.iter().map(|panel| panel.series_count()).sum();
    let begun = Training::begin(&windows, horizon, seed, effort, &device);
    let mut training = begun.map_err(|error| TrainError::of_begun(error, series_count))?;
    let kept = match fs::read(&checkpoint) {
        Ok(kept) if !args.afresh => Some(kept),
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(unusable(&checkpoint, source).into()),
        _ => None,
    };
    if let Some(kept) = kept {
        let path = checkpoint.display().to_string();
        training = training.resume(&kept).map_err(|source| TrainError::Checkpoint { path: path.clone(), source })?;
        output::tell(&[format!("going on from {path}, step {} of {}", training.progress().step, args.steps)]);
    }
    let bar = Step::new("");
    // Written before the first step as well: what cannot be is known before an hour of training.
    loop {
        write(&checkpoint, &training.checkpoint()).map_err(|source| unusable(&checkpoint, source))?;
        let progress = training.progress();
        bar.tell(told(&progress));
        bar.set(progress.step, progress.steps);
        if training.is_done() {
            break;
        }
        training.advance().map_err(TrainError::Device)?;
    }
    drop(bar);
    let (Progress { step, best, without, .. }, series) = (training.progress(), training.series_count());
    let made = match training.finish() {
        Err(source) => Err(TrainError::Diverged { path: shown.clone(), source }),
        Ok(_) if best >= without => Err(TrainError::NoBetter { path: shown.clone(), without }),
        // A network that could not be written is made again of its checkpoint, which stays.
        Ok(network) => Ok(write(&args.to, network.bytes()).map_err(|source| unusable(&args.to, source))?),
    };
    // Of a training that has ended nothing is to be gone on with, whatever it came to.
    fs::remove_file(&checkpoint).map_err(|source| unusable(&checkpoint, source))?;
    made?;
    let gain_percent = 100.0 * (1.0 - best / without);
    print(&Summary { file: shown, series, steps: step, loss_without: without, loss: best, gain_percent }, args.output)
}

fn told(progress: &Progress) -> String {
    let Progress { best, without, .. } = progress;
    format!("training; loss {best:.4}, {without:.4} without a network")
}

/// The panels of the step that most series have: a network knows one.
fn largest(set: &PanelSet) -> Vec<&Panel> {
    let of = |step_ms: i64| set.panels.iter().filter(move |panel| panel.step_ms() == step_ms);
    let series = |step_ms: &i64| of(*step_ms).map(Panel::series_count).sum::<usize>();
    let steps = set.panels.iter().map(Panel::step_ms);
    steps.max_by_key(series).map_or_else(Vec::new, |step_ms| of(step_ms).collect())
}

fn left_out(set: &PanelSet, panels: &[&Panel], unread: usize) -> Vec<String> {
    let count = |panels: &mut dyn Iterator<Item = &Panel>| panels.map(Panel::series_count).sum::<usize>();
    let others = count(&mut set.panels.iter()) - count(&mut panels.iter().copied());
    let step_s = panels.first().map_or(0.0, |panel| panel.step_ms() as f64 / 1e3);
    let other = format!("{others} series are not learned of: their step is not {step_s} s, which most have");
    let unread_ones = format!("{unread} series are not looked at: --memory holds no more at once");
    let all = [(others, other), (unread, unread_ones)];
    all.into_iter().filter(|(count, _)| *count > 0).map(|(_, told)| told).collect()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

/// Replaces a file at once or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn print(summary: &Summary, format: Format) -> Result<(), Failure> {
    let Summary { file, series, steps, loss_without, loss, gain_percent } = summary;
    match format {
        Format::Json => output::print_json(summary),
        Format::Csv => {
            let mut rows = csv::Writer::from_writer(Vec::new());
            rows.serialize(summary).expect("a vector takes every row");
            output::print(&String::from_utf8_lossy(&rows.into_inner().expect("a vector takes every row")))
        }
        Format::Table => {
            let mut table = output::table(&["file", "series", "steps", "loss without", "loss", "gain %"]);
            table.add_row([
                file.clone(),
                series.to_string(),
                steps.to_string(),
                format!("{loss_without:.4}"),
                format!("{loss:.4}"),
                format!("{gain_percent:.1}"),
            ]);
            output::print(&format!("{table}\n"))
        }
    }
}
