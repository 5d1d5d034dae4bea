//! What the service answers from: the current issue, the ledger, and whether both are well.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::Settings;
use crate::act::{Ask, Drivers, RecommendError, Recommendation, Workload, recommend};
use crate::clock::Clock;
use crate::explain::{Explanation, Unfound, find};
use crate::issue::{Issue, Missing, Shadow, Slot};
use crate::live::Live;
use crate::store::{Decision, LedgerWriter, Recorded, Store, StoreError};
use crate::worker::{WorkError, Worker};

/// Threads for requests' work.
const THREADS: usize = 2;

/// Decisions that may wait for the disk.
const LEDGER_QUEUE: usize = 4_096;

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The first fit takes a while; `/readyz` tells when it is done.
    #[error("there is no issue yet: {reason}")]
    NoIssue {
        /// What is being waited for, or what went wrong.
        reason: String,
    },
    /// Series are spelled `name{key="value"}` with sorted keys.
    #[error("issue {issue} has no shadow of {series}, only of {count} others")]
    UnknownSeries {
        /// The series asked for.
        series: String,
        /// The issue.
        issue: String,
        /// Series it has.
        count: usize,
    },
    /// The series was read, but could not be forecast.
    #[error("{series} has no shadow: {reason}")]
    NoShadow {
        /// The series asked for.
        series: String,
        /// Why not.
        reason: String,
    },
    /// A word means no one series.
    #[error(transparent)]
    Unfound(#[from] Unfound),
    /// Add it to the configuration as a `[[workload]]`.
    #[error("no workload is called {workload}; there are: {known}")]
    UnknownWorkload {
        /// The workload asked for.
        workload: String,
        /// Those there are.
        known: String,
    },
    /// Nothing was decided under that name.
    #[error("the ledger has no decision named {name}")]
    NoDecision {
        /// The name.
        name: String,
    },
    /// A decision stands; the next slot takes a new one.
    #[error("for {} at slot {} the ledger has another decision: {} replicas by {}",
        standing.name, standing.slot_start_ms, standing.replicas, standing.actor)]
    Conflict {
        /// The decision that stands.
        standing: Box<Decision>,
    },
    /// A field of the request cannot be used.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// Why not.
        reason: String,
    },
    /// No capacity could be recommended.
    #[error(transparent)]
    Recommend(#[from] RecommendError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The work was not done.
    #[error(transparent)]
    Work(#[from] WorkError),
}

/// What a recommendation belongs to, and whether a refresh was missed.
#[derive(Debug)]
pub(super) struct Recommended {
    pub(super) workload: String,
    pub(super) recommendation: Recommendation,
    pub(super) slot: Slot,
    pub(super) issue_id: String,
    pub(super) stale: bool,
}

/// Whether an issue can be served.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) ready: bool,
    pub(super) reason: String,
    pub(super) issue: Option<Arc<Issue>>,
    pub(super) age_ms: i64,
}

/// An issue and what drives each workload in it.
#[derive(Debug)]
struct Current {
    issue: Arc<Issue>,
    drivers: Vec<Drivers>,
}

impl Current {
    fn new(issue: Issue, workloads: &[Workload]) -> Arc<Self> {
        Arc::new(Self { drivers: Drivers::of(workloads, &issue), issue: Arc::new(issue) })
    }
}

pub(super) struct Engine {
    workloads: Arc<Vec<Workload>>,
    current: RwLock<Option<Arc<Current>>>,
    trouble: Mutex<Option<String>>,
    store: Arc<dyn Store>,
    ledger: LedgerWriter,
    worker: Worker,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("workloads", &self.workloads).finish_non_exhaustive()
    }
}

impl Engine {
    pub(super) fn start(settings: &Settings, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        crate::observe::counters(); // before the first request is counted
        let current = store.latest_issue()?.map(|issue| Current::new(issue, &settings.workloads));
        Ok(Self {
            workloads: Arc::new(settings.workloads.clone()),
            current: RwLock::new(current),
            trouble: Mutex::new(None),
            ledger: LedgerWriter::start(store.clone(), LEDGER_QUEUE),
            worker: Worker::start(THREADS, settings.queue),
            store,
            clock,
        })
    }

    /// Works off what was accepted. The store closes when its last holder lets go of it.
    pub(super) fn finish(self) {
        self.worker.finish();
        self.ledger.finish();
    }

    pub(super) fn live(&self) -> Result<Live, StoreError> {
        self.store.live()
    }

    pub(super) fn publish(&self, issue: Issue, live: &Live) -> Result<(), StoreError> {
        self.store.publish(&issue, live)?;
        tracing::info!(issue = issue.id(), series = issue.shadows().len(), "issue published");
        let current = Current::new(issue, &self.workloads);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(current);
        Ok(())
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn issue(&self) -> Result<Arc<Issue>, EngineError> {
        Ok(self.current()?.issue.clone())
    }

    fn current(&self) -> Result<Arc<Current>, EngineError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        let trouble = || self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        current.ok_or_else(|| EngineError::NoIssue { reason: trouble().unwrap_or("the first fit is running".into()) })
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(super) fn ledger_waiting(&self) -> usize {
        self.ledger.waiting()
    }

    /// The issue, once it is known to hold a shadow of the series.
    pub(super) fn issue_with(&self, series: &str) -> Result<Arc<Issue>, EngineError> {
        let issue = self.issue()?;
        if issue.shadow(series).is_some() {
            return Ok(issue);
        }
        let series = series.to_string();
        if let Some(missing) = issue.missing().iter().find(|missing| missing.series == series) {
            return Err(EngineError::NoShadow { series, reason: missing.reason.clone() });
        }
        let (count, issue) = (issue.shadows().len(), issue.id().to_string());
        Err(EngineError::UnknownSeries { series, issue, count })
    }

    /// Why the one series that a word means is forecast as it is.
    pub(super) async fn explain(&self, wanted: String) -> Result<Explanation, EngineError> {
        let (issue, store) = (self.issue()?, self.store.clone());
        let work = move || {
            let shadows = issue.shadows().iter().map(Shadow::series);
            let missing = issue.missing();
            let names: Vec<&str> = shadows.chain(missing.iter().map(|missing| missing.series.as_str())).collect();
            let at = find(&names, &wanted)?;
            let Some(shadow) = issue.shadows().get(at) else {
                let Missing { series, reason } = missing[at - issue.shadows().len()].clone();
                return Err(EngineError::NoShadow { series, reason });
            };
            let track = store.track(shadow.series())?;
            Ok(Explanation::of_issue(&issue, shadow, track.as_ref()))
        };
        self.worker.run(work).await?
    }

    pub(super) async fn recommend(&self, workload: String, ask: Ask) -> Result<Recommended, EngineError> {
        let Some(at) = self.workloads.iter().position(|known| known.name == workload) else {
            let known = self.workloads.iter().map(|workload| workload.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(EngineError::UnknownWorkload { workload, known });
        };
        let current = self.current()?;
        let issue = current.issue.clone();
        let workloads = self.workloads.clone();
        let work = move || recommend(&workloads[at], &ask, &current.issue, &current.drivers[at]);
        let recommendation = self.worker.run(work).await??;
        Ok(Recommended {
            workload,
            recommendation,
            slot: issue.slot(),
            issue_id: issue.id().into(),
            stale: self.is_stale(&issue),
        })
    }

    pub(super) async fn record(&self, decision: Decision) -> Result<(Decision, bool), EngineError> {
        match self.ledger.record(decision).await? {
            Recorded::Created(decision) => Ok((decision, true)),
            Recorded::Repeated(decision) => Ok((decision, false)),
            Recorded::Conflict(standing) => Err(EngineError::Conflict { standing: Box::new(standing) }),
        }
    }

    pub(super) async fn decision(&self, name: String) -> Result<Decision, EngineError> {
        let (store, asked) = (self.store.clone(), name.clone());
        let decision = self.worker.run(move || store.latest_decision(&asked)).await??;
        decision.ok_or(EngineError::NoDecision { name })
    }

    pub(super) fn health(&self) -> Health {
        let issue = self.issue();
        let writable = self.store.check();
        let reason = match (&issue, &writable) {
            (Err(error), _) => error.to_string(),
            (_, Err(error)) => chain(error),
            (Ok(issue), Ok(())) if self.is_stale(issue) => {
                let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
                format!("a refresh is overdue: {}", trouble.unwrap_or("the telemetry ends too early".into()))
            }
            _ => String::new(),
        };
        let age_ms = issue.as_ref().map_or(0, |issue| (self.now_ms() - issue.cutoff_ms()).max(0));
        Health { ready: issue.is_ok() && writable.is_ok(), reason, issue: issue.ok(), age_ms }
    }

    /// A refresh was missed: an issue is made at each slot's start from telemetry that ends in the slot before,
    /// so one that is two slots back is late. It changes at a slot's start only, so that within one slot the
    /// same request has the same answer.
    fn is_stale(&self, issue: &Issue) -> bool {
        let slot = issue.slot();
        Slot::of(self.now_ms(), slot.length_ms).start_ms > slot.start_ms.saturating_add(slot.length_ms)
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
