//! Issues and decisions, kept: a trait, its redb files and its in-memory twin.

mod commit;
mod file;
mod memory;
mod redb_store;

pub use commit::LedgerWriter;
pub use memory::MemoryStore;
pub use redb_store::RedbStore;

use std::path::PathBuf;
use std::sync::Arc;

use foreshadow_models::live::Track;

use crate::bytes::DecodeError;
use crate::issue::Issue;
use crate::live::Live;

/// Issues kept besides the current one's predecessors; older ones are dropped as a new one is written.
pub const KEPT_ISSUES: usize = 12;

/// One decision, as the ledger holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was decided on, such as a workload.
    pub name: String,
    /// The slot it was decided for.
    pub slot_start_ms: i64,
    /// Units the engine proposed.
    pub proposed: i64,
    /// Units decided.
    pub replicas: i64,
    /// Why, in the decider's words.
    pub reason: String,
    /// When the engine wrote it down.
    pub recorded_ms: i64,
    /// Who decided.
    pub actor: String,
}

impl Decision {
    /// Whether another decision for the same name and slot says the same; when it was written aside.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let timeless = |decision: &Self| Self { recorded_ms: 0, ..decision.clone() };
        timeless(self) == timeless(other)
    }
}

/// What became of a decision handed to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Written now, durably.
    Created(Decision),
    /// The same had been written before; this is that one.
    Repeated(Decision),
    /// Another decision stands for that name and slot, and stays.
    Conflict(Decision),
}

/// Why the store could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Stop the other process, or give this one a store of its own.
    #[error("{path} is open in another process; stop it or choose another folder with --store")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Use the version that wrote it; the file is as it was.
    #[error("{path} has format version {found}; this program knows version {known} and left the file as it was")]
    Version {
        /// The file.
        path: PathBuf,
        /// What stands in it.
        found: u32,
        /// What this program writes.
        known: u32,
    },
    /// Free the disk or make it writable; nothing acknowledged is lost.
    #[error("{path} could not be {done}")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, such as `written`.
        done: &'static str,
        /// What the system or the database said.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The file holds what this program never wrote.
    #[error("{path} is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where reading stopped.
        #[source]
        source: DecodeError,
    },
    /// The engine is shutting down.
    #[error("the store is closed")]
    Closed,
    /// Ask again later.
    #[error("{waiting} decisions wait for the disk already")]
    Busy {
        /// Requests in the queue.
        waiting: usize,
    },
}

/// Where issues and decisions are kept. One writer at a time; whatever returns `Ok` is durable.
pub trait Store: Send + Sync {
    /// Writes an issue, and what was known live when it was made, fits among it, as a whole or not at all.
    ///
    /// # Errors
    /// [`StoreError`] when it was not written.
    fn publish(&self, issue: &Issue, live: &Live) -> Result<(), StoreError>;

    /// What was known live when the last issue was made.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn live(&self) -> Result<Live, StoreError>;

    /// What was known live of one series then.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn track(&self, series: &str) -> Result<Option<Track>, StoreError>;

    /// The issue written last.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn latest_issue(&self) -> Result<Option<Issue>, StoreError>;

    /// A kept issue by its id.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn issue(&self, id: &str) -> Result<Option<Issue>, StoreError>;

    /// Writes decisions in their order with one commit, each at most once for its name and slot.
    ///
    /// # Errors
    /// [`StoreError`] when none of them was written.
    fn record(&self, decisions: &[Decision]) -> Result<Vec<Recorded>, StoreError>;

    /// The decision of a name with the latest slot.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    fn latest_decision(&self, name: &str) -> Result<Option<Decision>, StoreError>;

    /// Makes sure that a write would succeed, as far as that can be told; for readiness.
    ///
    /// # Errors
    /// [`StoreError`] of the last write, when it failed and the fault persists.
    fn check(&self) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests;
