//! Settings that flags make, on top of the configuration file and the environment.

use std::convert::Infallible;
use std::path::PathBuf;

use foreshadow_kernels::{Device, DeviceChoice, KernelError};
use foreshadow_models::RawSeries;
use foreshadow_models::classical::CustomProphet;

use super::Failure;
use super::memory;
use super::progress::Step;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError, Override, Refusal, SourceConfig};
use crate::families::{self, Given, Regressors};
use crate::pipeline::PipelineSettings;
use crate::reading::Reading;
use crate::telemetry::TimeUnit;

/// Where telemetry comes from and how it is forecast.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// Configuration file; `foreshadow config` prints one
    #[arg(long, env = "FORESHADOW_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Steps ahead [default: 288]
    #[arg(long, value_name = "STEPS")]
    horizon: Option<usize>,
    /// Steps kept before each series' last sample [default: 8192]
    #[arg(long, value_name = "STEPS")]
    lookback: Option<usize>,
    /// Families to use, by name; snaive24 or mstl24_168 say the seasons [default: auto]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = trimmed)]
    models: Vec<String>,
    /// Table of what moves the series, each metric of it by its labels, known past their ends as well (predicted
    /// traffic, deploys as 0 and 1); read as --input is. Prophet and auto use it; [[regressor]] in --config says more of each
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    regressors: Option<PathBuf>,
    /// Clocks that days and weeks follow, such as Europe/Berlin [default: UTC]; times that are read and printed stay UTC.
    /// [[series]] in --config says it of some series, and which are counters or bounded
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Where families are fitted: cpu, cuda, wgpu, or auto for the best there is [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// What series may take in memory, such as 2GiB; larger fleets go batch by batch [default: half of what is free]
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Seed of everything random
    #[arg(long)]
    seed: Option<u32>,
    #[command(flatten)]
    source: Source,
}

/// Where telemetry comes from.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Input")]
struct Source {
    /// Table of samples: .csv, .csv.gz or .parquet, one row a sample
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Column of the sample's time [default: timestamp]
    #[arg(long, value_name = "NAME", requires = "input")]
    time_column: Option<String>,
    /// Column of the sample's value [default: value]
    #[arg(long, value_name = "NAME", requires = "input")]
    value_column: Option<String>,
    /// Columns that name a series together [default: every other column of text or whole numbers]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "input")]
    label_columns: Vec<String>,
    /// What a number in the time column counts [default: auto]
    #[arg(long, value_name = "UNIT", requires = "input")]
    time_unit: Option<TimeUnit>,
}

/// A name without the blanks that may stand around it in a list.
fn trimmed(name: &str) -> Result<String, Infallible> {
    Ok(name.trim().to_owned())
}

impl Settings {
    /// Reads and checks everything, flags winning over the environment and that over the file.
    pub(super) fn load(&self) -> Result<Config, Failure> {
        self.load_with(&[])
    }

    /// The same with further flags of a command's own.
    pub(super) fn load_with(&self, further: &[Override]) -> Result<Config, Failure> {
        let mut overrides = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            let text = value.to_string_lossy();
            if value.to_str().is_none() && Override::from_env(name, &text).is_some() {
                let message = "its value is not UTF-8".into();
                return Err(ConfigError::Parse { place: name.into(), message }.into());
            }
            overrides.extend(Override::from_env(name, &text));
        }
        overrides.sort_by(|a, b| a.origin.cmp(&b.origin));
        overrides.extend(self.flags());
        overrides.extend_from_slice(further);
        let config = Config::load(self.config.as_deref(), &overrides)?;
        for name in config.forecast().models() {
            let Some(family) = families::family(name, 1, &given(&config, config.prophet(), &Device::Cpu)) else {
                let refusal = Refusal::new("forecast.models", name, format!("known families are {}", families::KNOWN));
                let place = if self.models.is_empty() { "the configuration" } else { "--models" };
                return Err(ConfigError::Invalid { refusal, place: place.into() }.into());
            };
            let device = config.forecast().device();
            if matches!(device, DeviceChoice::Wgpu | DeviceChoice::Cuda) && family.on(&Device::Cpu).is_none() {
                let reason = format!("{name} is fitted on the CPU alone; on a GPU go {}", families::ON_DEVICES);
                let refusal = Refusal::new("forecast.device", device, reason);
                let place = if self.device.is_none() { "the configuration" } else { "--device" };
                return Err(ConfigError::Invalid { refusal, place: place.into() }.into());
            }
        }
        Ok(config)
    }

    /// The source, which must be there.
    pub(super) fn source<'a>(&self, config: &'a Config) -> Result<&'a SourceConfig, Failure> {
        let refusal = || Refusal::missing("source", "give --input FILE, or --config FILE with a [source]");
        let missing = || ConfigError::Invalid { refusal: refusal(), place: "the configuration".into() };
        Ok(config.source().ok_or_else(missing)?)
    }

    /// Reads all telemetry of the source, which must be there.
    pub(super) fn read(&self, config: &Config) -> Result<Vec<RawSeries>, Failure> {
        let source = self.source(config)?;
        let _step = Step::new(format!("reading {source}"));
        Ok(source.read(SystemClock.now_ms())?)
    }

    fn flags(&self) -> Vec<Override> {
        let source = &self.source;
        let path = |path: &PathBuf| toml::Value::from(path.display().to_string());
        let count = |count: usize| toml::Value::from(i64::try_from(count).unwrap_or(i64::MAX));
        let list = |names: &Vec<String>| (!names.is_empty()).then(|| toml::Value::from(names.clone()));
        let unit = |unit: TimeUnit| clap::ValueEnum::to_possible_value(&unit).expect("no unit is hidden");
        [
            ("--input", "source.file.path", source.input.as_ref().map(path)),
            ("--time-column", "source.file.time_column", source.time_column.clone().map(toml::Value::from)),
            ("--value-column", "source.file.value_column", source.value_column.clone().map(toml::Value::from)),
            ("--label-columns", "source.file.label_columns", list(&source.label_columns)),
            ("--time-unit", "source.file.time_unit", source.time_unit.map(|u| unit(u).get_name().into())),
            ("--horizon", "forecast.horizon_steps", self.horizon.map(count)),
            ("--lookback", "forecast.lookback_steps", self.lookback.map(count)),
            ("--models", "forecast.models", list(&self.models)),
            ("--regressors", "forecast.regressors", self.regressors.as_ref().map(path)),
            ("--time-zone", "forecast.time_zone", self.time_zone.clone().map(toml::Value::from)),
            ("--device", "forecast.device", self.device.map(|device| toml::Value::from(device.to_string()))),
            ("--memory", "forecast.memory", self.memory.clone().map(toml::Value::from)),
            ("--seed", "forecast.seed", self.seed.map(|seed| i64::from(seed).into())),
        ]
        .into_iter()
        .filter_map(|(flag, key, value)| Some(Override::flag(flag, key, value?)))
        .collect()
    }
}

/// How the configuration has telemetry become an issue, with the regressors that were read and the device that was opened.
pub(super) fn pipeline_settings(config: &Config, regressors: Regressors, device: Device) -> PipelineSettings {
    PipelineSettings {
        slot_ms: config.issue().slot_ms(),
        horizon: config.forecast().horizon(),
        quantiles: config.quantiles(),
        lookback_steps: config.forecast().lookback_steps(),
        reading: Reading::from(config),
        models: config.forecast().models().to_vec(),
        prophet: config.prophet().clone(),
        regressors,
        refit_after_ms: config.forecast().refit_after_ms(),
        memory_bytes: memory::budget_bytes(config),
        device,
        networks: config.forecast().networks().clone(),
        aggregates: config.aggregates().to_vec(),
        seed: config.forecast().seed(),
    }
}

/// What the configuration gives families, with a Prophet that was bound to its regressors.
pub(super) fn given<'a>(config: &'a Config, prophet: &'a CustomProphet, device: &'a Device) -> Given<'a> {
    let forecast = config.forecast();
    Given { horizon: forecast.horizon(), prophet, networks: forecast.networks(), device }
}

/// A device cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the device cannot be used")]
#[diagnostic(help("foreshadow doctor tells what is missing; --device cpu always works"))]
pub(super) struct NoDevice(#[source] KernelError);

/// Opens the device that was asked for.
///
/// # Errors
/// [`NoDevice`] with what is missing.
pub(super) fn open(choice: DeviceChoice) -> Result<Device, NoDevice> {
    Device::open(choice).map_err(NoDevice)
}

/// The family to forecast with: one, so that every series gets one forecast.
pub(super) fn only_model(config: &Config) -> Result<&str, Failure> {
    match config.forecast().models() {
        [name] => Ok(name),
        several => {
            let way_out = "name one family, or auto to have the best chosen for each series";
            let refusal = Refusal::new("forecast.models", several, way_out);
            Err(ConfigError::Invalid { refusal, place: "forecast".into() }.into())
        }
    }
}
