//! `[forecast]`: what is forecast, and by which families.

use std::fs;

use foreshadow_kernels::{DeviceChoice, UnknownDevice};
use foreshadow_models::neural::Network;
use foreshadow_models::pretrained::ChronosBolt;
use foreshadow_models::{Horizon, Quantiles};
use serde::Deserialize;

use super::error::{Refusal, bytes, in_range, span_ms};
use super::zone::Zone;
use crate::families::{Networks, Read, WantedNetwork};

/// Bytes of a network's file.
const LARGEST_NETWORK: u64 = 1 << 31;

/// What is forecast and how.
#[derive(Clone, Debug)]
pub struct ForecastConfig {
    horizon: Horizon,
    lookback_steps: usize,
    models: Vec<String>,
    networks: Networks,
    quantiles: Quantiles,
    refit_after_ms: i64,
    memory_bytes: Option<u64>,
    device: DeviceChoice,
    zone: Zone,
    seed: u64,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawForecast {
    horizon_steps: usize,
    lookback_steps: usize,
    models: Vec<String>,
    quantiles: Vec<f64>,
    /// Checked beside the `[[regressor]]` tables.
    pub(super) regressors: Option<String>,
    refit_after: String,
    memory: Option<String>,
    device: String,
    time_zone: String,
    seed: u64,
}

impl Default for RawForecast {
    fn default() -> Self {
        Self {
            horizon_steps: 288,
            lookback_steps: 8_192,
            models: vec!["auto".into()],
            quantiles: Quantiles::standard().levels().to_vec(),
            regressors: None,
            refit_after: "1d".into(),
            memory: None,
            device: DeviceChoice::Cpu.to_string(),
            time_zone: Zone::default().name().into(),
            seed: 1,
        }
    }
}

impl TryFrom<RawForecast> for ForecastConfig {
    type Error = Refusal;

    fn try_from(raw: RawForecast) -> Result<Self, Refusal> {
        let horizon_steps = in_range("horizon_steps", raw.horizon_steps, 1..=20_000)?;
        if raw.models.is_empty() {
            return Err(Refusal::new("models", raw.models, "name families, or [\"auto\"] for all of them"));
        }
        if let Some(at) = (1..raw.models.len()).find(|at| raw.models[..*at].contains(&raw.models[*at])) {
            return Err(Refusal::new("models", &raw.models[at], "name each family once"));
        }
        let quantiles = Quantiles::new(raw.quantiles.clone())
            .filter(|quantiles| !quantiles.levels().is_empty())
            .ok_or_else(|| Refusal::new("quantiles", raw.quantiles, "rising levels inside (0, 1) are needed"))?;
        Ok(Self {
            horizon: Horizon::new(horizon_steps).expect("the range above starts at 1"),
            networks: networks(&raw.models, horizon_steps)?,
            lookback_steps: in_range("lookback_steps", raw.lookback_steps, 16..=1_000_000)?,
            models: raw.models,
            quantiles,
            refit_after_ms: span_ms("refit_after", &raw.refit_after, "0s", "28d")?,
            memory_bytes: raw.memory.as_deref().map(|text| bytes("memory", text)).transpose()?,
            device: raw
                .device
                .parse()
                .map_err(|unknown: UnknownDevice| Refusal::new("device", raw.device, unknown.to_string()))?,
            zone: Zone::named("time_zone", &raw.time_zone)?,
            seed: raw.seed,
        })
    }
}

/// The networks that names ask for, read from their files.
fn networks(models: &[String], horizon_steps: usize) -> Result<Networks, Refusal> {
    let mut networks = Networks::default();
    for (name, wanted) in Networks::all_wanted(models) {
        let read = match wanted {
            WantedNetwork::Global(path) => global(path, horizon_steps).map(Read::Global),
            WantedNetwork::Pretrained(folder) => pretrained(folder).map(|own| Read::Pretrained(own.into())),
        };
        networks.insert(name, read.map_err(|reason| Refusal::new("models", name, reason))?);
    }
    Ok(networks)
}

/// The network of a fleet in a file, or why there is none.
fn global(path: &str, horizon_steps: usize) -> Result<Network, String> {
    let network = Network::read(&bytes_of(path)?)
        .map_err(|error| format!("{path} is no network that `foreshadow train` writes: {error}"))?;
    let trained = network.horizon();
    match trained < horizon_steps {
        true => Err(format!(
            "{path} was trained for {trained} steps ahead, and {horizon_steps} are asked for; train one for them"
        )),
        false => Ok(network),
    }
}

/// The checkpoint in a folder, or why there is none.
fn pretrained(folder: &str) -> Result<ChronosBolt, String> {
    let [config, weights] = ["config.json", "model.safetensors"].map(|name| format!("{folder}/{name}"));
    let text = String::from_utf8(bytes_of(&config)?).map_err(|error| format!("{config} is no text: {error}"))?;
    ChronosBolt::read(&text, &bytes_of(&weights)?)
        .map_err(|error| format!("{folder} is no checkpoint of Chronos-Bolt: {error}"))
}

/// A file that is not too large to be a network.
fn bytes_of(path: &str) -> Result<Vec<u8>, String> {
    let size = fs::metadata(path).map_err(|error| format!("{path} cannot be read: {error}"))?.len();
    match size > LARGEST_NETWORK {
        true => Err(format!("{path} has {size} bytes; a network has {LARGEST_NETWORK} at most")),
        false => fs::read(path).map_err(|error| format!("{path} cannot be read: {error}")),
    }
}

impl ForecastConfig {
    /// Steps ahead.
    pub fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// Steps kept before each series' last sample.
    pub fn lookback_steps(&self) -> usize {
        self.lookback_steps
    }

    /// Families by name; `auto` is all of them with the best chosen for each series.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// Networks that [`ForecastConfig::models`] ask for.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// Quantile levels of a shadow; [`super::Config::quantiles`] adds those of the workloads.
    pub fn quantiles(&self) -> &Quantiles {
        &self.quantiles
    }

    /// How long `serve` goes on with a fit, in milliseconds, before its series is fitted anew.
    pub fn refit_after_ms(&self) -> i64 {
        self.refit_after_ms
    }

    /// What the series of a command may take in memory; `None` for a share of what is free.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }

    /// Where families are fitted.
    pub fn device(&self) -> DeviceChoice {
        self.device
    }

    /// The clocks that days and weeks follow, those of UTC by default.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Seed of everything random in a fit.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}
