//! `/metrics`, `/healthz`, `/readyz` and `/explain`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;

use super::engine::Engine;
use super::explain;
use super::gauges;
use super::listen::{Listener, Socket};

/// Serves until told to stop, then finishes the requests in flight.
pub(super) async fn serve(listener: Listener, engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/explain", get(explain::get))
        .with_state(engine);
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await; // a gone sender stops as well
    };
    let served = match listener.socket {
        Socket::Tcp(socket) => axum::serve(socket, router).with_graceful_shutdown(stop).await,
        Socket::Unix(socket, _file) => axum::serve(socket, router).with_graceful_shutdown(stop).await,
    };
    if let Err(error) = served {
        tracing::error!(%error, "HTTP ended");
    }
}

async fn readyz(State(engine): State<Arc<Engine>>) -> (StatusCode, String) {
    let health = engine.health();
    match (health.ready, health.reason.as_str()) {
        (true, "") => (StatusCode::OK, "ready\n".into()),
        (true, reason) => (StatusCode::OK, format!("ready, but {reason}\n")),
        (false, reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")),
    }
}

async fn metrics(State(engine): State<Arc<Engine>>) -> Response {
    let health = engine.health();
    metrics::gauge!("foreshadow_ready").set(f64::from(u8::from(health.ready)));
    metrics::gauge!("foreshadow_issue_age_seconds").set(health.age_ms as f64 / 1e3);
    metrics::gauge!("foreshadow_series").set(health.issue.as_ref().map_or(0, |issue| issue.shadows().len()) as f64);
    metrics::gauge!("foreshadow_queue_waiting").set(engine.worker().waiting() as f64);
    metrics::gauge!("foreshadow_ledger_waiting").set(engine.ledger_waiting() as f64);
    let now_ms = engine.now_ms();
    let render = move || {
        let mut text = crate::observe::counters().render();
        if let Some(issue) = health.issue {
            gauges::write(&mut text, &issue, now_ms);
        }
        text
    };
    match engine.worker().run(render).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
