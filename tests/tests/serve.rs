//! `foreshadow serve` from outside: its end, and a disk that fills up under it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foreshadow::store::{RedbStore, Store};
use foreshadow_api::v1 as pb;
use foreshadow_tests::Tmpfs;
use foreshadow_tests::serving::{Serving, spawn};

/// A configuration with a short table of telemetry beside it, the store being in `store`.
fn configuration(folder: &Path, store: &Path) -> PathBuf {
    let rows: String =
        (0..400_i64).map(|step| format!("{},requests,{}\n", 1_700_000_000 + 60 * step, step % 7)).collect();
    let input = folder.join("input.csv");
    std::fs::write(&input, format!("timestamp,metric,value\n{rows}")).unwrap();
    let config = format!(
        "[source.file]\npath = {input:?}\n[forecast]\nhorizon_steps = 60\nmodels = [\"naive\"]\n[store]\npath = {store:?}\n\
         [serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n"
    );
    let path = folder.join("foreshadow.toml");
    std::fs::write(&path, config).unwrap();
    path
}

fn decision(slot_start_ms: i64) -> pb::RecordDecisionRequest {
    let (name, reason, actor) = ("web".into(), "peak 300".into(), "api".into());
    pb::RecordDecisionRequest { name, slot_start_ms, proposed: 15, replicas: 14, reason, actor }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_finishes_what_is_in_flight_and_ends_with_zero() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let serving = Serving::start(&configuration(folder.path(), &store)).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..16_i64 {
        let (mut client, stop) = (serving.client().await, stop.clone());
        writers.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for slot in (writer..).step_by(16) {
                match client.record_decision(decision(slot)).await {
                    Ok(_) => acknowledged.push(slot),
                    // A refused connection or one that was told to go away: nothing was promised.
                    Err(status) => {
                        assert!(stop.load(Ordering::SeqCst), "refused before the end: {status}");
                        break;
                    }
                }
            }
            acknowledged
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Ordering::SeqCst);
    serving.terminate();
    let (status, told) = tokio::task::spawn_blocking(move || serving.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{told}");
    let mut last = Vec::new();
    for writer in writers {
        last.extend(writer.await.unwrap());
    }
    assert!(last.len() > 50, "{} decisions before the end", last.len());
    let newest = last.iter().max().copied().unwrap();
    let store = RedbStore::open(&store).expect("a drained engine has closed its store");
    assert!(store.latest_decision("web").unwrap().unwrap().slot_start_ms >= newest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_loses_nothing_and_heals_when_freed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(&folder.path().join("disk"), "size=6m") else { return };
    let serving = Serving::start(&configuration(folder.path(), &disk.path().join("store"))).unwrap();
    let mut client = serving.client().await;
    client.record_decision(decision(0)).await.unwrap();
    let ballast = disk.path().join("ballast");
    let _ = std::fs::write(&ballast, vec![1; 6 << 20]); // as much as fits
    let mut acknowledged = 0;
    let refused = loop {
        match client.record_decision(decision(acknowledged + 1)).await {
            Ok(_) => acknowledged += 1,
            Err(status) => break status,
        }
        assert!(acknowledged < 100_000, "the disk never filled up");
    };
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused}");
    assert!(refused.message().contains("ledger.redb could not be"), "{refused}");
    let (code, why) = serving.get("/readyz");
    assert!(code == 503 && why.contains("No space left on device"), "{code}: {why}");
    let latest = async || {
        let request = pb::GetDecisionRequest { name: "web".into() };
        serving.client().await.get_decision(request).await.map(|decision| decision.into_inner().slot_start_ms)
    };
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(serving.get("/readyz"), (200, "ready\n".into()));
    assert!(latest().await.unwrap() >= acknowledged, "an acknowledged decision is lost");
    client.record_decision(decision(acknowledged + 2)).await.unwrap();
    assert_eq!(latest().await.unwrap(), acknowledged + 2);
}

/// Waits for a child without a test hanging on it.
fn ended(child: &mut Child, within: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < within {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn sigterm_during_the_start_ends_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), &folder.path().join("store"));
    for wait_ms in [0, 20, 60] {
        let mut child = spawn(&config);
        std::thread::sleep(Duration::from_millis(wait_ms));
        Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
        assert!(ended(&mut child, Duration::from_secs(10)), "after {wait_ms} ms");
        child.wait().unwrap();
    }
}
