//! Threads for work on numbers, apart from the async runtime's, behind a bounded queue.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// A fixed set of threads; the queue before them never grows past its capacity.
#[derive(Debug)]
pub struct Worker {
    queue: SyncSender<Job>,
    capacity: usize,
    waiting: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WorkError {
    /// Ask again later.
    #[error("the queue holds {capacity} requests, its most")]
    Full {
        /// Jobs the queue holds.
        capacity: usize,
    },
    /// The job panicked; the thread goes on with the next.
    #[error("the work on this request broke off")]
    Panicked,
}

impl Worker {
    /// Starts `thread_count` threads with room for `capacity` waiting jobs.
    ///
    /// # Panics
    /// When the system gives no thread, as only happens at start-up on a machine without resources.
    pub fn start(thread_count: usize, capacity: usize) -> Self {
        let (queue, jobs) = sync_channel(capacity);
        let jobs = Arc::new(Mutex::new(jobs));
        let start = |index| {
            let jobs = jobs.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            thread.spawn(move || work(&jobs)).expect("the system starts a thread")
        };
        let threads = (0..thread_count.max(1)).map(start).collect();
        Self { queue, capacity, waiting: Arc::default(), threads }
    }

    /// Jobs in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs a job on one of the threads.
    ///
    /// # Errors
    /// [`WorkError::Full`] at once when the queue is; [`WorkError::Panicked`] when the job was.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, WorkError> {
        let (answer, answered) = oneshot::channel();
        let waiting = self.waiting.clone();
        let job = Box::new(move || {
            waiting.fetch_sub(1, Ordering::Relaxed);
            let _ = answer.send(job()); // the request may have been given up
        });
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send(job).map_err(|error| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => WorkError::Full { capacity: self.capacity },
                TrySendError::Disconnected(_) => WorkError::Panicked,
            }
        })?;
        answered.await.map_err(|_| WorkError::Panicked)
    }

    /// Works off the queue and stops. Blocks until that is done.
    pub fn finish(self) {
        drop(self.queue);
        for thread in self.threads {
            let _ = thread.join(); // a job's panic is caught, so there is none to tell of
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting and let go before the work.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
            tracing::error!("a request's work panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_panic_stays_with_its_job() {
        let worker = Worker::start(1, 1);
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (started, has_started) = oneshot::channel();
        let blocking = worker.run(move || {
            started.send(()).unwrap();
            held.recv().unwrap();
            1
        });
        let mut blocking = Box::pin(blocking);
        let second = async {
            has_started.await.unwrap();
            let mut queued = Box::pin(worker.run::<()>(|| panic!("as it should")));
            assert!(tokio::time::timeout(std::time::Duration::ZERO, &mut queued).await.is_err());
            assert_eq!(worker.run(|| 3).await, Err(WorkError::Full { capacity: 1 }));
            release.send(()).unwrap();
            queued.await
        };
        let (first, second) = tokio::join!(&mut blocking, second);
        assert_eq!((first, second), (Ok(1), Err(WorkError::Panicked)));
        drop(blocking);
        assert_eq!(worker.run(|| 4).await, Ok(4));
        worker.finish();
    }
}
