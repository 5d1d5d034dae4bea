//! Settings: one TOML file, then the environment, then flags; each is checked once, before anything opens.
//!
//! A later layer wins. `FORESHADOW_SERVE_GRPC` sets `serve.grpc`, and so on for every key outside
//! lists of tables such as `[[workload]]`.

use std::path::Path;

use foreshadow_models::Quantiles;
use foreshadow_models::classical::CustomProphet;
use serde::Deserialize;

use crate::telemetry::TableSpec;

mod aggregate;
mod error;
mod forecast;
mod prophet;
mod regressor;
mod series;
mod serve;
mod source;
mod workload;
mod zone;

pub use aggregate::{AggregateConfig, Function};
pub use error::{ConfigError, Refusal, parse_span_ms};
pub use forecast::ForecastConfig;
pub use regressor::RegressorConfig;
pub use series::{Ceiling, SeriesConfig};
pub use serve::{IssueConfig, Listen, ServeConfig, StoreConfig};
pub use source::SourceConfig;
pub use workload::{Capacity, Demand, WorkloadConfig};
pub use zone::Zone;

/// The commented default configuration: every key, what it means, and its default.
pub const DEFAULT: &str = include_str!("config/default.toml");

/// Environment variables start with this.
const ENV_PREFIX: &str = "FORESHADOW_";

/// Sections that the environment may set, as they are spelled there.
const ENV_SECTIONS: [(&str, &[&str]); 7] = [
    ("SOURCE_FILE_", &["source", "file"]),
    ("SOURCE_PROMETHEUS_", &["source", "prometheus"]),
    ("FORECAST_", &["forecast"]),
    ("PROPHET_", &["prophet"]),
    ("ISSUE_", &["issue"]),
    ("STORE_", &["store"]),
    ("SERVE_", &["serve"]),
];

/// Every setting, checked: the only ways in are [`Config::load`] and [`Config::from_toml`].
#[derive(Clone, Debug)]
pub struct Config {
    source: Option<SourceConfig>,
    forecast: ForecastConfig,
    prophet: CustomProphet,
    regressors: Vec<RegressorConfig>,
    regressor_table: Option<TableSpec>,
    series: Vec<SeriesConfig>,
    issue: IssueConfig,
    store: StoreConfig,
    serve: ServeConfig,
    workloads: Vec<WorkloadConfig>,
    aggregates: Vec<AggregateConfig>,
}

/// A setting from outside the file.
#[derive(Clone, Debug)]
pub struct Override {
    /// Who set it, as a person would look for it: `--grpc` or `FORESHADOW_SERVE_GRPC`.
    pub origin: String,
    /// The sections and the key.
    pub path: Vec<String>,
    /// What it is set to.
    pub value: toml::Value,
}

impl Override {
    /// The setting that a flag makes, `key` being spelled `serve.grpc`.
    pub fn flag(origin: &str, key: &str, value: impl Into<toml::Value>) -> Self {
        Self { origin: origin.into(), path: key.split('.').map(String::from).collect(), value: value.into() }
    }

    /// The setting that an environment variable makes; `None` for a variable that is no setting.
    pub fn from_env(name: &str, text: &str) -> Option<Self> {
        let rest = name.strip_prefix(ENV_PREFIX)?;
        let (section, key) = ENV_SECTIONS.iter().find_map(|(at, path)| Some((path, rest.strip_prefix(at)?)))?;
        let mut path: Vec<String> = section.iter().map(|part| part.to_string()).collect();
        path.push(key.to_lowercase());
        // `48` is a number and `["auto"]` a list; anything that is not TOML is meant as text.
        let parsed = toml::from_str::<toml::Table>(&format!("value = {text}")).ok();
        let value = parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| text.into());
        Some(Self { origin: name.into(), path, value })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawConfig {
    source: Option<source::RawSource>,
    forecast: forecast::RawForecast,
    prophet: prophet::RawProphet,
    regressor: Vec<regressor::RawRegressor>,
    series: Vec<series::RawSeriesConfig>,
    issue: serve::RawIssue,
    store: serve::RawStore,
    serve: serve::RawServe,
    workload: Vec<workload::RawWorkload>,
    aggregate: Vec<aggregate::RawAggregate>,
}

impl Config {
    /// Reads and checks the file, if there is one, with `overrides` on top, the last one winning.
    ///
    /// # Errors
    /// [`ConfigError`] names the file and line, the variable or the flag, the key, and what would do.
    pub fn load(path: Option<&Path>, overrides: &[Override]) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Self::from_toml("", "the defaults", overrides) };
        let shown = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
        let text = String::from_utf8(bytes).map_err(|source| {
            let line = source.as_bytes()[..source.utf8_error().valid_up_to()].split(|b| *b == b'\n').count();
            ConfigError::Parse { place: format!("{shown} line {line}"), message: "the text is not UTF-8".into() }
        })?;
        Self::from_toml(&text, &shown, overrides)
    }

    /// The same for a text in hand; `file` is what messages call it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &str, file: &str, overrides: &[Override]) -> Result<Self, ConfigError> {
        let refused = |source: toml::de::Error| {
            let line = source.span().map(|span| error::line_at(text, span.start));
            let place = line.map_or(file.to_string(), |line| format!("{file} line {line}"));
            ConfigError::Parse { place, message: error::of_key(text, &source) }
        };
        let mut raw: RawConfig = toml::from_str(text).map_err(refused)?;
        let mut table: toml::Table = toml::from_str(text).map_err(refused)?;
        for setting in overrides {
            set(&mut table, setting);
            raw = RawConfig::deserialize(table.clone()).map_err(|source| ConfigError::Parse {
                place: setting.origin.clone(),
                message: source.message().into(),
            })?;
        }
        Self::try_from(raw).map_err(|refusal| {
            let set_by = overrides.iter().rev().find(|setting| setting.path.join(".") == refusal.key);
            let place = match set_by {
                Some(setting) => setting.origin.clone(),
                None => error::place_of(text, file, &refusal.key),
            };
            ConfigError::Invalid { refusal, place }
        })
    }

    /// Where telemetry comes from; `None` when no source is set.
    pub fn source(&self) -> Option<&SourceConfig> {
        self.source.as_ref()
    }

    /// What is forecast and how.
    pub fn forecast(&self) -> &ForecastConfig {
        &self.forecast
    }

    /// How the family `prophet` is fitted.
    pub fn prophet(&self) -> &CustomProphet {
        &self.prophet
    }

    /// What moves the series, in the order of the file.
    pub fn regressors(&self) -> &[RegressorConfig] {
        &self.regressors
    }

    /// A table whose every metric is a regressor with a known future; `None` where [`Config::regressors`] tells which are.
    pub fn regressor_table(&self) -> Option<&TableSpec> {
        self.regressor_table.as_ref()
    }

    /// How series are read, in the order of the file.
    pub fn series(&self) -> &[SeriesConfig] {
        &self.series
    }

    /// How often an issue is made.
    pub fn issue(&self) -> &IssueConfig {
        &self.issue
    }

    /// Where issues and decisions are kept.
    pub fn store(&self) -> &StoreConfig {
        &self.store
    }

    /// Where the service listens.
    pub fn serve(&self) -> &ServeConfig {
        &self.serve
    }

    /// The workloads whose capacity is recommended, in the order of the file.
    pub fn workloads(&self) -> &[WorkloadConfig] {
        &self.workloads
    }

    /// The series that are made of others, in the order of the file.
    pub fn aggregates(&self) -> &[AggregateConfig] {
        &self.aggregates
    }

    /// The levels that every forecast must carry: the configured ones and each workload's own.
    pub fn quantiles(&self) -> Quantiles {
        let mut levels = self.forecast.quantiles().levels().to_vec();
        levels.extend(self.workloads.iter().map(WorkloadConfig::quantile));
        levels.sort_by(f64::total_cmp);
        levels.dedup_by(|a, b| (*a - *b).abs() < 1e-9);
        Quantiles::new(levels).expect("every level was checked to lie inside (0, 1), and they are sorted")
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = Refusal;

    fn try_from(raw: RawConfig) -> Result<Self, Refusal> {
        let source = raw.source.map(SourceConfig::try_from).transpose().map_err(|r| r.within("source"))?;
        let table = source.as_ref().and_then(SourceConfig::table);
        let usual = raw.forecast.regressors.as_deref();
        let prophet: CustomProphet = raw.prophet.try_into().map_err(|r: Refusal| r.within("prophet"))?;
        let regressors = RegressorConfig::all(raw.regressor, usual, table, &prophet)?;
        let regressor_table = usual.filter(|_| regressors.is_empty()).map(|file| regressor::table(file, table));
        let checked =
            |(index, raw)| SeriesConfig::try_from(raw).map_err(|r: Refusal| r.within(&format!("series[{index}]")));
        let series = raw.series.into_iter().enumerate().map(checked).collect::<Result<_, _>>()?;
        let mut workloads: Vec<WorkloadConfig> = Vec::with_capacity(raw.workload.len());
        for (index, raw) in raw.workload.into_iter().enumerate() {
            let section = format!("workload[{index}]");
            let workload = WorkloadConfig::try_from(raw).map_err(|r| r.within(&section))?;
            if workloads.iter().any(|earlier| earlier.name() == workload.name()) {
                let way_out = "give every workload a name of its own";
                return Err(Refusal::new("name", workload.name(), way_out).within(&section));
            }
            workloads.push(workload);
        }
        Ok(Self {
            forecast: raw.forecast.try_into().map_err(|r: Refusal| r.within("forecast"))?,
            prophet,
            regressors,
            regressor_table,
            series,
            issue: raw.issue.try_into().map_err(|r: Refusal| r.within("issue"))?,
            store: raw.store.try_into().map_err(|r: Refusal| r.within("store"))?,
            serve: raw.serve.try_into().map_err(|r: Refusal| r.within("serve"))?,
            source,
            workloads,
            aggregates: AggregateConfig::all(raw.aggregate)?,
        })
    }
}

/// Sets one key, making the tables on the way to it. Naming one kind of source drops the other.
fn set(table: &mut toml::Table, setting: &Override) {
    let (key, sections) = setting.path.split_last().expect("an override names a key");
    if let ([source, kind], Some(sources)) = (sections, table.get_mut("source").and_then(|at| at.as_table_mut())) {
        sources.retain(|other, _| source != "source" || other == kind);
    }
    let mut at = table;
    for section in sections {
        let entry = at.entry(section.clone()).or_insert_with(|| toml::Table::new().into());
        at = entry.as_table_mut().expect("the text was deserialized before, so its sections are tables");
    }
    at.insert(key.clone(), setting.value.clone());
}

#[cfg(test)]
mod tests;
