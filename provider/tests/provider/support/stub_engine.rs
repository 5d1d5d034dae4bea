//! An engine whose answers the test sets: the wire is real, the forecasts are not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use foreshadow_api::v1 as pb;
use foreshadow_api::v1::foreshadow_server::{Foreshadow, ForeshadowServer};
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// 2026-01-05T10:00:00Z, a slot's start.
pub(crate) const SLOT_MS: i64 = 1_767_607_200_000;
pub(crate) const HALF_HOUR_MS: i64 = 1_800_000;

/// What the engine answers.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) replicas: i64,
    pub(crate) slot_start_ms: i64,
    pub(crate) confidence: f64,
    pub(crate) stale: bool,
    /// Calls wait this long before they are answered.
    pub(crate) delay: Duration,
    /// Calls that are refused as unavailable before one is answered.
    pub(crate) refusals: u32,
    pub(crate) ledger: BTreeMap<String, Vec<pb::Decision>>,
    pub(crate) recommend_calls: u32,
}

/// A running engine; it ends when dropped.
pub(crate) struct StubEngine {
    script: Arc<Mutex<Script>>,
    socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl StubEngine {
    pub(crate) fn start(folder: &Path) -> Self {
        let script = Script {
            replicas: 24,
            slot_start_ms: SLOT_MS,
            confidence: 0.97,
            stale: false,
            delay: Duration::ZERO,
            refusals: 0,
            ledger: BTreeMap::new(),
            recommend_calls: 0,
        };
        let script = Arc::new(Mutex::new(script));
        let socket = folder.join("engine.sock");
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (service, path) = (Service(script.clone()), socket.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::bind(path).unwrap();
                ready.send(()).unwrap();
                let served = tonic::transport::Server::builder()
                    .add_service(ForeshadowServer::new(service))
                    .serve_with_incoming(UnixListenerStream::new(listener));
                tokio::select! {
                    served = served => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().unwrap();
        Self { script, socket, stop: Some(stop), thread: Some(thread) }
    }

    /// What it answers from now on.
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// Ends it; its socket stays behind, as after a crash.
    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
            self.thread.take().unwrap().join().unwrap();
        }
    }
}

impl Drop for StubEngine {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Service(Arc<Mutex<Script>>);

impl Service {
    async fn enter(&self) -> Result<(), Status> {
        let delay = {
            let mut script = self.0.lock().unwrap();
            if script.refusals > 0 {
                script.refusals -= 1;
                return Err(Status::unavailable("starting"));
            }
            script.delay
        };
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

#[tonic::async_trait]
impl Foreshadow for Service {
    async fn get_shadow(&self, _: Request<pb::GetShadowRequest>) -> Result<Response<pb::Shadow>, Status> {
        Err(Status::not_found("no shadows here"))
    }

    async fn recommend(&self, request: Request<pb::RecommendRequest>) -> Result<Response<pb::Recommendation>, Status> {
        self.enter().await?;
        let request = request.into_inner();
        let mut script = self.0.lock().unwrap();
        script.recommend_calls += 1;
        if request.workload != "checkout-web" {
            return Err(Status::not_found(format!("workload {:?} is none of: checkout-web", request.workload)));
        }
        let (min, max) = (request.min.unwrap_or(0), request.max.unwrap_or(i64::MAX));
        let replicas = script.replicas.clamp(min, max);
        let entries = 2 + (script.slot_start_ms / HALF_HOUR_MS) % 2; // schedules differ in length, too
        let schedule = (0..entries).map(|at| pb::ScheduleEntry {
            start_ms: script.slot_start_ms + at * HALF_HOUR_MS,
            replicas: replicas + at,
        });
        Ok(Response::new(pb::Recommendation {
            workload: request.workload,
            replicas,
            slot_start_ms: script.slot_start_ms,
            slot_length_ms: HALF_HOUR_MS,
            issue_id: format!("issue-{}", script.slot_start_ms),
            confidence: script.confidence,
            stale: script.stale,
            schedule: schedule.collect(),
            evidence: Some(pb::Evidence {
                model: "snaive(288)".to_owned(),
                coverage95_percent: 94.5,
                cutoff_ms: script.slot_start_ms + 60_000,
                peak_demand: 1_234.5,
                peak_ms: script.slot_start_ms + HALF_HOUR_MS,
                unit_capacity: 60.0,
                target_utilization: request.target_utilization.unwrap_or(0.7),
                quantile: request.quantile.unwrap_or(0.95),
                drivers: vec!["requests{app=\"checkout\"}".to_owned()],
            }),
        }))
    }

    async fn record_decision(
        &self,
        request: Request<pb::RecordDecisionRequest>,
    ) -> Result<Response<pb::RecordDecisionResponse>, Status> {
        self.enter().await?;
        let request = request.into_inner();
        let mut script = self.0.lock().unwrap();
        let decisions = script.ledger.entry(request.name.clone()).or_default();
        if let Some(found) = decisions.iter().find(|found| found.slot_start_ms == request.slot_start_ms) {
            if found.replicas != request.replicas || found.proposed != request.proposed {
                return Err(Status::already_exists(format!("slot already has {} replicas", found.replicas)));
            }
            return Ok(Response::new(pb::RecordDecisionResponse { decision: Some(found.clone()), created: false }));
        }
        let decision = pb::Decision {
            name: request.name,
            slot_start_ms: request.slot_start_ms,
            proposed: request.proposed,
            replicas: request.replicas,
            reason: request.reason,
            recorded_ms: request.slot_start_ms + 1,
            actor: request.actor,
        };
        decisions.push(decision.clone());
        Ok(Response::new(pb::RecordDecisionResponse { decision: Some(decision), created: true }))
    }

    async fn get_decision(&self, request: Request<pb::GetDecisionRequest>) -> Result<Response<pb::Decision>, Status> {
        self.enter().await?;
        let script = self.0.lock().unwrap();
        let name = &request.get_ref().name;
        let latest = script.ledger.get(name).and_then(|decisions| decisions.last());
        latest.cloned().map(Response::new).ok_or_else(|| Status::not_found(format!("no decision {name:?}")))
    }

    async fn health(&self, _: Request<pb::HealthRequest>) -> Result<Response<pb::HealthResponse>, Status> {
        Ok(Response::new(pb::HealthResponse { ready: true, ..Default::default() }))
    }
}
