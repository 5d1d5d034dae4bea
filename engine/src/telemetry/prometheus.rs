//! A Prometheus server as a source.

use std::time::Duration;

/// A server and what to ask it for.
#[derive(Clone, Debug, PartialEq)]
pub struct PrometheusSpec {
    /// Where its HTTP API lies.
    pub url: reqwest::Url,
    /// Selectors, or any expression when `step_ms` is set.
    pub queries: Vec<String>,
    /// How far back.
    pub range_ms: i64,
    /// Resample by this step instead of taking raw samples.
    pub step_ms: Option<i64>,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Further attempts after a fault that may pass.
    pub retries: u32,
}
