//! `[source]`: where telemetry comes from.

use std::fmt;
use std::time::Duration;

use foreshadow_models::RawSeries;
use serde::Deserialize;

use super::error::{Refusal, in_range, span_ms};
use crate::telemetry::{PrometheusSpec, Selector, SourceError, Spool, TableSpec, TimeUnit};

/// Where telemetry comes from.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// A long table in a file.
    File(TableSpec),
    /// A Prometheus server.
    Prometheus(PrometheusSpec),
}

impl fmt::Display for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(table) => write!(f, "{}", table.path.display()),
            Self::Prometheus(prometheus) => write!(f, "{prometheus}"),
        }
    }
}

impl SourceConfig {
    /// The table, where it is one.
    pub fn table(&self) -> Option<&TableSpec> {
        match self {
            Self::File(table) => Some(table),
            Self::Prometheus(_) => None,
        }
    }

    /// Reads everything there is of it, up to `now_ms`. Blocks; not to be called from an async task.
    ///
    /// # Errors
    /// [`SourceError`] names the file and row, or the server and query.
    pub fn read(&self, now_ms: i64) -> Result<Vec<RawSeries>, SourceError> {
        let mut spool = Spool::default();
        self.read_into(now_ms, &mut spool)?;
        (0..spool.series_count()).map(|series| Ok(spool.take(series)?)).collect()
    }

    /// The same for a fleet that may be larger than memory.
    ///
    /// # Errors
    /// As [`SourceConfig::read`], and [`SourceError::Spool`] where what overflows finds no place.
    pub fn read_into(&self, now_ms: i64, spool: &mut Spool) -> Result<(), SourceError> {
        match self {
            Self::File(table) => table.read_into(spool),
            Self::Prometheus(prometheus) => Ok(prometheus.read_into(now_ms, spool)?),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    file: Option<RawFile>,
    prometheus: Option<RawPrometheus>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    path: Option<String>,
    time_column: Option<String>,
    value_column: Option<String>,
    label_columns: Option<Vec<String>>,
    time_unit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrometheus {
    url: Option<String>,
    #[serde(default)]
    queries: Vec<String>,
    range: Option<String>,
    step: Option<String>,
    timeout: Option<String>,
    retries: Option<u32>,
}

impl TryFrom<RawSource> for SourceConfig {
    type Error = Refusal;

    fn try_from(raw: RawSource) -> Result<Self, Refusal> {
        match (raw.file, raw.prometheus) {
            (Some(file), None) => table(file).map(Self::File).map_err(|r| r.within("file")),
            (None, Some(prometheus)) => {
                self::prometheus(prometheus).map(Self::Prometheus).map_err(|r| r.within("prometheus"))
            }
            (Some(_), Some(_)) => Err(Refusal {
                key: String::new(),
                found: "both a file and a prometheus".into(),
                way_out: "keep one of [source.file] and [source.prometheus]".into(),
            }),
            (None, None) => Err(Refusal::missing("", "write [source.file] or [source.prometheus]")),
        }
    }
}

fn table(raw: RawFile) -> Result<TableSpec, Refusal> {
    let way_out = "name a .csv, .csv.gz or .parquet file";
    let path = raw.path.filter(|path| !path.is_empty()).ok_or_else(|| Refusal::missing("path", way_out))?;
    let mut spec = TableSpec::new(path);
    spec.time_column = raw.time_column.unwrap_or(spec.time_column);
    spec.value_column = raw.value_column.unwrap_or(spec.value_column);
    spec.label_columns = raw.label_columns;
    if let Some(unit) = raw.time_unit {
        spec.time_unit = <TimeUnit as clap::ValueEnum>::from_str(&unit, false)
            .map_err(|_| Refusal::new("time_unit", unit, "one of auto, s, ms, us, ns, rfc3339 is needed"))?;
    }
    Ok(spec)
}

fn prometheus(raw: RawPrometheus) -> Result<PrometheusSpec, Refusal> {
    let way_out = "an address such as \"http://127.0.0.1:9090\" is needed";
    let text = raw.url.ok_or_else(|| Refusal::missing("url", way_out))?;
    let parsed = reqwest::Url::parse(&text).ok();
    let Some(url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) else {
        return Err(Refusal::new("url", text, way_out));
    };
    if raw.queries.is_empty() {
        return Err(Refusal::new(
            "queries",
            raw.queries,
            "name at least one selector, such as 'node_load1{job=\"node\"}'",
        ));
    }
    let step_ms = raw.step.map(|step| span_ms("step", &step, "1s", "1d")).transpose()?;
    // Raw samples can be had of selectors only; resampling takes any expression.
    if step_ms.is_none() {
        for query in &raw.queries {
            query.parse::<Selector>().map_err(|error| {
                Refusal::new("queries", query, format!("{error}; or set `step` to have an expression evaluated"))
            })?;
        }
    }
    let timeout_ms = span_ms("timeout", raw.timeout.as_deref().unwrap_or("30s"), "1s", "10m")?;
    Ok(PrometheusSpec {
        url,
        queries: raw.queries,
        range_ms: span_ms("range", raw.range.as_deref().unwrap_or("28d"), "1m", "3650d")?,
        step_ms,
        timeout: Duration::from_millis(timeout_ms.unsigned_abs()),
        retries: in_range("retries", raw.retries.unwrap_or(3), 0..=10)?,
    })
}
