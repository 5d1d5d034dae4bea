//! The store without a disk, for tests and the demo: everything is lost with the process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foreshadow_models::live::Track;

use super::{Decision, KEPT_ISSUES, Recorded, Store, StoreError};
use crate::issue::Issue;
use crate::live::Live;

/// Issues and decisions in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    issues: VecDeque<Issue>,
    tracks: BTreeMap<String, Track>,
    decisions: BTreeMap<String, BTreeMap<i64, Decision>>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each change below is one insertion, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn publish(&self, issue: &Issue, live: &Live) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.tracks = live.tracks().map(|(series, track)| (series.into(), track.clone())).collect();
        inner.issues.retain(|kept| kept.id() != issue.id());
        inner.issues.push_back(issue.clone());
        if inner.issues.len() > KEPT_ISSUES {
            inner.issues.pop_front();
        }
        Ok(())
    }

    fn live(&self) -> Result<Live, StoreError> {
        Ok(self.lock().tracks.clone().into_iter().collect())
    }

    fn track(&self, series: &str) -> Result<Option<Track>, StoreError> {
        Ok(self.lock().tracks.get(series).cloned())
    }

    fn latest_issue(&self) -> Result<Option<Issue>, StoreError> {
        Ok(self.lock().issues.back().cloned())
    }

    fn issue(&self, id: &str) -> Result<Option<Issue>, StoreError> {
        Ok(self.lock().issues.iter().find(|issue| issue.id() == id).cloned())
    }

    fn record(&self, decisions: &[Decision]) -> Result<Vec<Recorded>, StoreError> {
        let mut inner = self.lock();
        let mut record = |decision: &Decision| {
            let slots = inner.decisions.entry(decision.name.clone()).or_default();
            match slots.get(&decision.slot_start_ms) {
                Some(held) if held.agrees_with(decision) => Recorded::Repeated(held.clone()),
                Some(held) => Recorded::Conflict(held.clone()),
                None => {
                    slots.insert(decision.slot_start_ms, decision.clone());
                    Recorded::Created(decision.clone())
                }
            }
        };
        Ok(decisions.iter().map(&mut record).collect())
    }

    fn latest_decision(&self, name: &str) -> Result<Option<Decision>, StoreError> {
        Ok(self.lock().decisions.get(name).and_then(|slots| slots.values().next_back()).cloned())
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
