//! The running engine: gRPC and HTTP on this machine, work on its own threads, a drained end.

mod convert;
mod engine;
mod explain;
mod gauges;
mod grpc;
mod http;
mod listen;
mod status;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::act::Workload;
use crate::clock::Clock;
use crate::config::Listen;
use crate::issue::Issue;
use crate::live::Live;
use crate::store::{Store, StoreError};
use engine::Engine;
pub use engine::{EngineError, chain};
pub use explain::Refused;
pub use listen::ListenError;
use listen::Listener;

/// How the service is run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where gRPC is served.
    pub grpc: Listen,
    /// Where `/metrics`, `/healthz`, `/readyz` and `/explain` are served; nowhere without it.
    pub http: Option<Listen>,
    /// Workloads whose capacity can be asked for.
    pub workloads: Vec<Workload>,
    /// Requests that may wait for a worker; one more is refused.
    pub queue: usize,
    /// How long requests in flight may take after the end was asked for.
    pub drain: Duration,
}

impl Settings {
    /// Free ports of this machine's loopback, for tests and the demo.
    pub fn on_free_ports(workloads: Vec<Workload>) -> Self {
        let free = Listen::Tcp(([127, 0, 0, 1], 0).into());
        Self { grpc: free.clone(), http: Some(free), workloads, queue: 64, drain: Duration::from_secs(10) }
    }
}

/// Why the service could not start.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ServiceError {
    /// A listener could not be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Listen(#[from] ListenError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system refused what the async runtime needs.
    #[error("the service's threads could not start")]
    Runtime(#[source] std::io::Error),
}

/// A running service. Dropping it without [`Handle::shutdown`] ends it the same way.
#[derive(Debug)]
pub struct Handle {
    grpc: Listen,
    http: Option<Listen>,
    engine: Option<Arc<Engine>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the service on threads of its own and serves the store's last issue at once.
///
/// # Errors
/// [`ServiceError`] when an address is taken or the store cannot be read.
pub fn start(settings: Settings, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Handle, ServiceError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("service")
        .enable_all()
        .build()
        .map_err(ServiceError::Runtime)?;
    let inside = runtime.enter(); // listeners register with it
    let grpc = Listener::bind(&settings.grpc)?;
    let http = settings.http.as_ref().map(Listener::bind).transpose()?;
    let engine = Arc::new(Engine::start(&settings, store, clock)?);
    let (stop, stopped) = watch::channel(false);
    let addresses = (grpc.address().clone(), http.as_ref().map(|http| http.address().clone()));
    drop(inside);
    let served = engine.clone();
    let drain = settings.drain;
    let serve = move || {
        runtime.block_on(async move {
            let http = async {
                if let Some(listener) = http {
                    http::serve(listener, served.clone(), stopped.clone()).await;
                }
            };
            let both = async { tokio::join!(grpc::serve(grpc, served.clone(), stopped.clone()), http) };
            let mut ending = stopped.clone();
            let overtime = async {
                // An error means that the handle is gone, which asks for the end as well.
                let _ = ending.wait_for(|stop| *stop).await;
                tokio::time::sleep(drain).await;
            };
            tokio::select! {
                _ = both => {}
                () = overtime => tracing::warn!("requests in flight were cut off after {drain:?}"),
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
    };
    let thread = std::thread::Builder::new().name("service".into()).spawn(serve).map_err(ServiceError::Runtime)?;
    Ok(Handle { grpc: addresses.0, http: addresses.1, engine: Some(engine), stop, thread: Some(thread) })
}

impl Handle {
    /// Where gRPC is served, with the port that was given.
    pub fn grpc(&self) -> &Listen {
        &self.grpc
    }

    /// Where HTTP is served, if it is.
    pub fn http(&self) -> Option<&Listen> {
        self.http.as_ref()
    }

    /// Stores an issue with what was known live when it was made, and serves it from then on. Blocks until both are
    /// durable.
    ///
    /// # Errors
    /// [`StoreError`] when it was not written; the one before it is still served.
    pub fn publish(&self, issue: Issue, live: &Live) -> Result<(), StoreError> {
        self.engine().publish(issue, live)
    }

    /// What was known live when the last issue was made.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn live(&self) -> Result<Live, StoreError> {
        self.engine().live()
    }

    /// The issue served now.
    pub fn issue(&self) -> Option<Arc<Issue>> {
        self.engine().issue().ok()
    }

    /// Tells clients and `/readyz` why the last refresh brought nothing, or that it did.
    pub fn set_trouble(&self, trouble: Option<String>) {
        self.engine().set_trouble(trouble);
    }

    /// Takes no more requests, finishes those in flight, writes what waits, and closes the store.
    pub fn shutdown(mut self) {
        self.end();
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("only `end` takes the engine, and nothing follows it")
    }

    fn end(&mut self) {
        let _ = self.stop.send(true); // nobody listens when the thread has ended by itself
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic in it was told by the panic hook
        }
        if let Some(engine) = self.engine.take().and_then(Arc::into_inner) {
            engine.finish();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
