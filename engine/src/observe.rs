//! Logs and counters of the running engine.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Upper bounds of the request histogram, in seconds.
const SECONDS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Starts logging to standard error. What is told is set by `FORESHADOW_LOG`, such as
/// `info,foreshadow::store=debug`; a second call changes nothing.
pub fn start_logging(format: LogFormat) {
    let filter = EnvFilter::builder().with_env_var("FORESHADOW_LOG").try_from_env();
    let filter = filter.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Refused when somebody logs already, which is as good.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// The process's counters, for `/metrics`. Engines in one process share them.
pub fn counters() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full("foreshadow_request_seconds".into()), &SECONDS)
            .and_then(|b| {
                b.set_buckets_for_metric(
                    Matcher::Full("foreshadow_ledger_batch_size".into()),
                    &[1.0, 4.0, 16.0, 64.0, 256.0],
                )
            })
            .expect("the buckets are not empty");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        // Refused when the program embedding this library has a recorder; then ours stays empty.
        let _ = metrics::set_global_recorder(recorder);
        handle
    })
}
