//! `foreshadow.v1`: decode, ask the engine, encode.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foreshadow_api::v1 as pb;
use foreshadow_api::v1::foreshadow_server::{Foreshadow, ForeshadowServer};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::engine::{Engine, EngineError};
use super::listen::{Listener, Socket};
use super::{convert, status::to_status};
use crate::clock::{Clock, SystemClock};

/// Largest request: a decision with its longest texts, twice over.
const REQUEST_BYTES: usize = 16 * 1_024;

/// Longest time for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Requests of one connection at once.
const STREAMS: u32 = 1_024;

struct Service {
    engine: Arc<Engine>,
}

/// Serves until told to stop, then finishes the requests in flight.
pub(super) async fn serve(listener: Listener, engine: Arc<Engine>, mut stopped: watch::Receiver<bool>) {
    let service = ForeshadowServer::new(Service { engine }).max_decoding_message_size(REQUEST_BYTES);
    let router = Server::builder().timeout(TIMEOUT).max_concurrent_streams(STREAMS).add_service(service);
    let stop = async move {
        let _ = stopped.wait_for(|stop| *stop).await; // a gone sender stops as well
    };
    let served = match listener.socket {
        Socket::Tcp(socket) => {
            let incoming = TcpIncoming::from(socket).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, stop).await
        }
        Socket::Unix(socket, _file) => router.serve_with_incoming_shutdown(UnixListenerStream::new(socket), stop).await,
    };
    if let Err(error) = served {
        tracing::error!(error = super::engine::chain(&error), "gRPC ended");
    }
}

/// Answers a request, counted and timed.
async fn answer<T>(
    method: &'static str,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<Response<T>, Status> {
    let start = Instant::now();
    let answer = work.await.map(Response::new).map_err(to_status);
    let code = answer.as_ref().map_or_else(|status| status.code(), |_| tonic::Code::Ok);
    metrics::histogram!("foreshadow_request_seconds", "method" => method).record(start.elapsed().as_secs_f64());
    metrics::counter!("foreshadow_requests_total", "method" => method, "code" => format!("{code:?}")).increment(1);
    tracing::debug!(method, ?code, "answered");
    answer
}

#[tonic::async_trait]
impl Foreshadow for Service {
    async fn get_shadow(&self, request: Request<pb::GetShadowRequest>) -> Result<Response<pb::Shadow>, Status> {
        let series = request.into_inner().series;
        answer("GetShadow", async {
            let issue = self.engine.issue_with(&series)?;
            let encode = move || {
                let shadow = issue.shadow(&series).expect("`issue_with` found it");
                convert::shadow(shadow, &issue)
            };
            Ok(self.engine.worker().run(encode).await?)
        })
        .await
    }

    async fn recommend(&self, request: Request<pb::RecommendRequest>) -> Result<Response<pb::Recommendation>, Status> {
        let request = request.into_inner();
        let ask = convert::ask(&request);
        answer("Recommend", async { Ok(self.engine.recommend(request.workload, ask).await?.into()) }).await
    }

    async fn record_decision(
        &self,
        request: Request<pb::RecordDecisionRequest>,
    ) -> Result<Response<pb::RecordDecisionResponse>, Status> {
        answer("RecordDecision", async {
            // The ledger tells when it was written by the machine's clock, also where telemetry is a file's.
            let decision = convert::decision(request.into_inner(), SystemClock.now_ms())?;
            let (decision, created) = self.engine.record(decision).await?;
            Ok(pb::RecordDecisionResponse { decision: Some(decision.into()), created })
        })
        .await
    }

    async fn get_decision(&self, request: Request<pb::GetDecisionRequest>) -> Result<Response<pb::Decision>, Status> {
        let name = request.into_inner().name;
        answer("GetDecision", async { Ok(self.engine.decision(name).await?.into()) }).await
    }

    async fn health(&self, _request: Request<pb::HealthRequest>) -> Result<Response<pb::HealthResponse>, Status> {
        answer("Health", async { Ok(self.engine.health().into()) }).await
    }
}
