//! `foreshadow serve`: telemetry to issues on a schedule, answered until told to stop.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use foreshadow_kernels::Device;
use miette::Diagnostic;
use tokio::signal::unix::{SignalKind, signal};

use super::regressors::{self, ReadError};
use super::settings::{NoDevice, open, pipeline_settings};
use crate::act::Workload;
use crate::clock::{Clock, MovedClock, SystemClock};
use crate::config::{Config, SourceConfig};
use crate::issue::{Issue, Slot};
use crate::live::Live;
use crate::pipeline::{PipelineError, make_issue};
use crate::service::{self, Handle, ServiceError, Settings};
use crate::store::{RedbStore, Store, StoreError};
use crate::telemetry::SourceError;

/// Why `serve` could not start, or had to end.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub(super) enum ServeError {
    /// No source is set.
    #[error("there is no telemetry to serve")]
    #[diagnostic(help("give --input FILE, or --config FILE with a [source.prometheus] section"))]
    NoSource,
    /// The source could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(#[from] SourceError),
    /// The regressors could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Regressors(#[from] ReadError),
    /// The device cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Device(#[from] NoDevice),
    /// No issue could be made of a fixed source.
    #[error("no issue can be made")]
    Issue(#[from] PipelineError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The service could not start.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Service(#[from] ServiceError),
    /// The system refused what waiting for a signal needs.
    #[error("cannot wait for the signal to stop")]
    Signal(#[source] std::io::Error),
}

/// Serves until SIGTERM or SIGINT, then drains and closes the store.
///
/// A file is read once and its end is the cutoff; Prometheus is read anew at the start of every slot. The
/// last stored issue is served from the first moment; a file's is told ready once its own issue is made.
///
/// # Errors
/// [`ServeError`] when something is missing at the start. Later faults are logged, told by `/readyz`, and
/// tried again at the next slot.
pub(super) fn run(config: &Config) -> Result<(), ServeError> {
    let source = config.source().ok_or(ServeError::NoSource)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ServeError::Signal)?;
    let mut stop = runtime.block_on(async { Stop::new() }).map_err(ServeError::Signal)?;
    let workloads: Vec<Workload> = config.workloads().iter().map(Workload::from).collect();
    regressors::read(config)?; // what cannot be read is told before anything opens
    if let Some(told) = regressors::unused(config) {
        tracing::warn!(told, "regressors are configured for nothing");
    }
    let device = open(config.forecast().device())?;
    let road = Road { source, workloads: &workloads, config, device };
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(config.store().path())?);
    let settings = Settings {
        grpc: config.serve().grpc().clone(),
        http: Some(config.serve().http().clone()),
        workloads: workloads.clone(),
        queue: config.serve().queue(),
        drain: config.serve().drain(),
    };
    match source {
        SourceConfig::File(_) => {
            let clock = Arc::new(MovedClock::default());
            let handle = service::start(settings, store, clock.clone())?;
            clock.move_to(handle.issue().map_or(0, |last| last.cutoff_ms()));
            let mut live = handle.live()?;
            let issue = road.issue(&mut live, SystemClock.now_ms())?;
            clock.move_to(issue.cutoff_ms());
            handle.publish(issue, &live)?;
            announce(&handle);
            runtime.block_on(stop.wait());
            handle.shutdown();
        }
        SourceConfig::Prometheus(_) => {
            let handle = service::start(settings, store, Arc::new(SystemClock))?;
            announce(&handle);
            std::thread::scope(|scope| {
                let (ended, end) = std::sync::mpsc::channel();
                let refreshing = scope.spawn(|| road.refresh(&handle, end));
                runtime.block_on(stop.wait());
                drop(ended);
                let _ = refreshing.join(); // its panic was told by the panic hook
            });
            handle.shutdown();
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Tells scripts where to connect, one line, once both sockets take connections.
fn announce(handle: &Handle) {
    let http = handle.http().map(|http| format!(" http={http}")).unwrap_or_default();
    // Nobody reading is no reason to stop.
    let _ = writeln!(std::io::stdout(), "serving grpc={}{http}", handle.grpc());
    tracing::info!(grpc = %handle.grpc(), http = handle.http().map(tracing::field::display), "serving");
}

/// From the source to an issue, with everything it takes.
struct Road<'a> {
    source: &'a SourceConfig,
    workloads: &'a [Workload],
    config: &'a Config,
    device: Device,
}

impl Road<'_> {
    fn issue(&self, live: &mut Live, now_ms: i64) -> Result<Issue, ServeError> {
        let raw = self.source.read(now_ms)?;
        // Read anew as well: predictions are written again as time goes on.
        let settings = pipeline_settings(self.config, regressors::read(self.config)?, self.device.clone());
        Ok(make_issue(raw, self.workloads, &settings, live, now_ms)?)
    }

    /// Makes an issue and publishes it where it is the first of its slot: that one stays, so that an answer does not
    /// change within it. A stored one of the future was made from other telemetry, or under a clock gone wild.
    /// `live` is what the last published one left, read from the store where it is not at hand.
    fn renew(&self, handle: &Handle, live: &mut Option<Live>, now_ms: i64) -> Result<(), ServeError> {
        let mut own = live.take().map_or_else(|| handle.live(), Ok)?;
        let issue = self.issue(&mut own, now_ms)?;
        let slot_is_new = |current: Arc<Issue>| {
            let stored = current.slot().start_ms;
            issue.slot().start_ms > stored || stored > now_ms
        };
        if handle.issue().is_none_or(slot_is_new) {
            handle.publish(issue, &own)?;
            *live = Some(own);
        }
        Ok(())
    }

    /// Makes an issue now and at the start of every slot, until the other end of `end` is dropped.
    fn refresh(&self, handle: &Handle, end: std::sync::mpsc::Receiver<()>) {
        let mut live = None;
        loop {
            let renewed = self.renew(handle, &mut live, SystemClock.now_ms());
            let trouble = renewed.err().map(|error| service::chain(&error));
            let failed = trouble.is_some();
            if let Some(trouble) = &trouble {
                tracing::error!(error = trouble, "no new issue");
            }
            handle.set_trouble(trouble);
            let next_slot = Slot::of(SystemClock.now_ms(), self.config.issue().slot_ms()).end_ms();
            let until_slot = Duration::from_millis((next_slot - SystemClock.now_ms()).max(0).unsigned_abs());
            // A source that was down is asked again before the slot is over.
            let pause = if failed { until_slot.min(Duration::from_secs(15)) } else { until_slot };
            if end.recv_timeout(pause) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return;
            }
        }
    }
}

/// SIGTERM and SIGINT, heard from the start so that none is missed while the first issue is made.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: draining"),
        }
    }
}
