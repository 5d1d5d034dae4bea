//! Group commit: decisions that arrive while the disk is busy share the next commit.

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};

use super::{Decision, Recorded, Store, StoreError};

/// Decisions that one commit takes at most.
const BATCH: usize = 512;

type Waiting = (Decision, oneshot::Sender<Result<Recorded, StoreError>>);

/// The ledger's only writer: a thread of its own that commits whatever has gathered, then answers all of it.
///
/// With an fsync of 4 ms a commit a request would be 250 a second at most; shared, the disk sets how long one
/// waits and not how many are served.
#[derive(Debug)]
pub struct LedgerWriter {
    queue: mpsc::Sender<Waiting>,
    thread: JoinHandle<()>,
}

impl LedgerWriter {
    /// Starts the writer with room for `capacity` waiting decisions.
    ///
    /// # Panics
    /// When the system gives no thread, as only happens at start-up on a machine without resources.
    pub fn start(store: Arc<dyn Store>, capacity: usize) -> Self {
        let (queue, waiting) = mpsc::channel(capacity);
        let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || write_all(&*store, waiting));
        Self { queue, thread: thread.expect("the system starts a thread") }
    }

    /// Records one decision and answers once it is durable.
    ///
    /// # Errors
    /// [`StoreError::Busy`] at once when too many wait already; else what became of the commit.
    pub async fn record(&self, decision: Decision) -> Result<Recorded, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send((decision, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy { waiting: self.queue.max_capacity() },
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Decisions waiting for the disk.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Commits what still waits and stops. Blocks until that is done.
    pub fn finish(self) {
        drop(self.queue);
        // A panicked writer has answered nobody, so nothing acknowledged is lost with it.
        let _ = self.thread.join();
    }
}

fn write_all(store: &dyn Store, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
        let (decisions, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        metrics::histogram!("foreshadow_ledger_batch_size").record(decisions.len() as f64);
        let answer = |answer: oneshot::Sender<_>, recorded| {
            let _ = answer.send(recorded); // the request may have been given up
        };
        match store.record(&decisions) {
            Ok(recorded) => answers.into_iter().zip(recorded).for_each(|(to, recorded)| answer(to, Ok(recorded))),
            Err(error) => answers.into_iter().for_each(|to| answer(to, Err(error.clone()))),
        }
    }
}
