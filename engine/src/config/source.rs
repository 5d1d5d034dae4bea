//! `[source]`: where telemetry comes from.

use std::time::Duration;

use serde::Deserialize;

use super::error::{Refusal, in_range, span_ms};
use crate::telemetry::{PrometheusSpec, Selector, TableSpec, TimeUnit};

/// Where telemetry comes from.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// A long table in a file.
    File(TableSpec),
    /// A Prometheus server.
    Prometheus(PrometheusSpec),
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
    path: String,
    time_column: Option<String>,
    value_column: Option<String>,
    label_columns: Option<Vec<String>>,
    time_unit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrometheus {
    url: String,
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
    if raw.path.is_empty() {
        return Err(Refusal::new("path", raw.path, "name a .csv, .csv.gz or .parquet file"));
    }
    let mut spec = TableSpec::new(raw.path);
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
    let url =
        reqwest::Url::parse(&raw.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let Some(url) = url else {
        return Err(Refusal::new("url", raw.url, "an address such as \"http://127.0.0.1:9090\" is needed"));
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
