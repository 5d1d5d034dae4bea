use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::issue::tests::{issue, shadow};
use crate::live::tests::{same_tracks, served};

pub(super) fn decision(name: &str, slot_start_ms: i64, replicas: i64) -> Decision {
    Decision {
        name: name.into(),
        slot_start_ms,
        proposed: replicas + 1,
        replicas,
        reason: "demand 49.0 at 02:20".into(),
        recorded_ms: 1_000 + slot_start_ms,
        actor: "api".into(),
    }
}

pub(super) fn numbered_issue(number: usize) -> Issue {
    issue(vec![shadow("a", number as i64 * 60_000, 1_000, &[number as f64, 2.0], 1.0)], 60_000)
}

/// What every store keeps, and how it answers.
pub(super) fn keeps_its_promises(store: &dyn Store) {
    assert_eq!(store.live().unwrap().tracks().len(), 0);
    assert!(store.latest_issue().unwrap().is_none() && store.latest_decision("a").unwrap().is_none());
    for number in 0..KEPT_ISSUES + 3 {
        let live: Live = [(format!("s{number}"), served("ets", number as i64))].into_iter().collect();
        store.publish(&numbered_issue(number), &live).unwrap();
        assert!(same_tracks(&store.live().unwrap(), &live));
        assert_eq!(store.track("s0").unwrap().is_some(), number == 0);
        assert_eq!(store.latest_issue().unwrap(), Some(numbered_issue(number)));
    }
    assert_eq!(store.issue(numbered_issue(2).id()).unwrap(), None);
    assert_eq!(store.issue(numbered_issue(3).id()).unwrap(), Some(numbered_issue(3)));
    store.publish(&numbered_issue(3), &Live::default()).unwrap();
    assert_eq!(store.latest_issue().unwrap(), Some(numbered_issue(3)), "an issue published again is the latest");

    let (first, later, other) = (decision("a", -60, 3), decision("a", 60, 4), decision("a!", 900, 5));
    let again = Decision { recorded_ms: 77, ..first.clone() };
    let against = Decision { replicas: 9, ..first.clone() };
    let batch = [later.clone(), first.clone(), other, again, against.clone()];
    let recorded = store.record(&batch).unwrap();
    assert_eq!(recorded[0], Recorded::Created(later.clone()));
    assert_eq!(recorded[1], Recorded::Created(first.clone()));
    assert_eq!(recorded[3], Recorded::Repeated(first.clone()));
    assert_eq!(recorded[4], Recorded::Conflict(first.clone()));
    assert_eq!(store.record(&[against]).unwrap(), [Recorded::Conflict(first)]);
    assert_eq!(store.latest_decision("a").unwrap(), Some(later), "the latest slot, however late it came");
    assert!(store.latest_decision("").unwrap().is_none());
}

#[test]
fn memory_keeps_its_promises() {
    keeps_its_promises(&MemoryStore::default());
}

/// Counts commits and takes its time over each.
#[derive(Default)]
struct Slow {
    inner: MemoryStore,
    commits: Mutex<Vec<usize>>,
    /// While it is set a commit does not end.
    held: AtomicBool,
    /// Whether a commit was begun.
    begun: AtomicBool,
}

impl Store for Slow {
    fn publish(&self, issue: &Issue, live: &Live) -> Result<(), StoreError> {
        self.inner.publish(issue, live)
    }
    fn live(&self) -> Result<Live, StoreError> {
        self.inner.live()
    }
    fn track(&self, series: &str) -> Result<Option<Track>, StoreError> {
        self.inner.track(series)
    }
    fn latest_issue(&self) -> Result<Option<Issue>, StoreError> {
        self.inner.latest_issue()
    }
    fn issue(&self, id: &str) -> Result<Option<Issue>, StoreError> {
        self.inner.issue(id)
    }
    fn record(&self, decisions: &[Decision]) -> Result<Vec<Recorded>, StoreError> {
        self.begun.store(true, Ordering::SeqCst);
        while self.held.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        self.commits.lock().unwrap().push(decisions.len());
        std::thread::sleep(std::time::Duration::from_millis(20));
        self.inner.record(decisions)
    }
    fn latest_decision(&self, name: &str) -> Result<Option<Decision>, StoreError> {
        self.inner.latest_decision(name)
    }
    fn check(&self) -> Result<(), StoreError> {
        self.inner.check()
    }
}

#[tokio::test]
async fn decisions_that_wait_share_a_commit_and_a_full_queue_says_so() {
    let store = Arc::new(Slow::default());
    let writer = Arc::new(LedgerWriter::start(store.clone(), 100));
    let request = |number: i64| {
        let writer = writer.clone();
        tokio::spawn(async move { writer.record(decision("a", number, number)).await })
    };
    // The first is with the disk, which takes until all others were asked for: a hundred of them find room.
    store.held.store(true, Ordering::SeqCst);
    let first = request(150);
    while !store.begun.load(Ordering::SeqCst) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let requests: Vec<_> = (0..150).map(request).collect();
    tokio::task::yield_now().await;
    store.held.store(false, Ordering::SeqCst);
    assert!(matches!(first.await.unwrap(), Ok(Recorded::Created(_))));
    let (mut created, mut busy) = (0, 0);
    for request in requests {
        match request.await.unwrap() {
            Ok(Recorded::Created(_)) => created += 1,
            Err(StoreError::Busy { waiting: 100 }) => busy += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((created, busy), (100, 50));
    let commits = store.commits.lock().unwrap().clone();
    assert_eq!(commits.iter().sum::<usize>(), created + 1);
    assert!(commits.len() <= 10, "{commits:?}");
}

#[tokio::test]
async fn finishing_commits_what_waits() {
    let store = Arc::new(Slow::default());
    let writer = LedgerWriter::start(store.clone(), 100);
    let requests: Vec<_> = (0..5).map(|number| Box::pin(writer.record(decision("a", number, 1)))).collect();
    let mut requests = requests;
    for request in &mut requests {
        // Polled once: queued, not answered.
        assert!(tokio::time::timeout(std::time::Duration::ZERO, request).await.is_err());
    }
    drop(requests);
    tokio::task::spawn_blocking(|| writer.finish()).await.unwrap();
    assert_eq!(store.latest_decision("a").unwrap().unwrap().slot_start_ms, 4);
}
