//! `kill -9` in the middle of everything: whatever was acknowledged is there afterwards, by value.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foreshadow::store::{Decision, Recorded, RedbStore, Store};
use foreshadow_api::v1 as pb;
use foreshadow_tests::metric_server::MetricServer;
use foreshadow_tests::serving::{Serving, spawn};

const KILLS: usize = 50;

/// Every so many rounds the kill comes while the engine starts, writes its issue or opens the store.
const EARLY_EVERY: usize = 6;

/// Decisions in flight at any time.
const WRITERS: usize = 48;

/// Issues that must still be held, of the twelve that are kept: a killed engine may have written some more.
const HELD_ISSUES: usize = 8;

/// A small generator, so that a failing run can be repeated: xorshift64*, Vigna 2016.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }
}

/// What clients were told.
#[derive(Default)]
struct Told {
    decisions: Vec<Decision>,
    /// Issues with the shadow of the one series, in the order they were served.
    issues: Vec<pb::Shadow>,
}

/// A slot of one second, so that issues are made and written while decisions stream.
fn write_config(folder: &Path, server: &MetricServer) {
    let config = format!(
        "[source.prometheus]\nurl = {url:?}\nqueries = [\"requests\"]\nrange = \"1m\"\n[issue]\nslot = \"1s\"\n\
         [forecast]\nhorizon_steps = 60\nmodels = [\"naive\"]\n[store]\npath = {store:?}\n\
         [serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n",
        url = server.url(),
        store = folder.join("store"),
    );
    std::fs::write(folder.join("foreshadow.toml"), config).unwrap();
}

/// Asks for decisions as fast as they are answered, until the engine is gone.
async fn stream(serving: &Serving, round: usize, told: &Arc<Mutex<Told>>) {
    for writer in 0..WRITERS {
        let (mut client, told) = (serving.client().await, told.clone());
        tokio::spawn(async move {
            for slot in 0.. {
                let request = pb::RecordDecisionRequest {
                    name: format!("round-{round}-writer-{writer}"),
                    slot_start_ms: slot,
                    proposed: slot % 97,
                    replicas: slot % 89,
                    reason: format!("peak {slot} of writer {writer}"),
                    actor: "api".into(),
                };
                let Ok(answer) = client.record_decision(request).await else { return };
                let decision = answer.into_inner().decision.expect("an answer holds the decision");
                told.lock().unwrap().decisions.push(from_wire(decision));
            }
        });
    }
}

/// Notes every issue that is served, as soon as it is.
async fn watch(serving: &Serving, told: &Arc<Mutex<Told>>) {
    let (mut client, told) = (serving.client().await, told.clone());
    tokio::spawn(async move {
        loop {
            let request = pb::GetShadowRequest { series: "requests".into() };
            match client.get_shadow(request).await {
                Ok(shadow) => {
                    let (shadow, issues) = (shadow.into_inner(), &mut told.lock().unwrap().issues);
                    if issues.last().is_none_or(|last| last.issue_id != shadow.issue_id) {
                        issues.push(shadow);
                    }
                }
                Err(status) if status.code() == tonic::Code::Unavailable && status.message().contains("no issue") => {}
                Err(_) => return,
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}

/// Commits of the ledger so far, as the engine counts them.
fn commits(serving: &Serving) -> f64 {
    let (_, text) = serving.get("/metrics");
    let count = text.lines().find_map(|line| line.strip_prefix("foreshadow_ledger_batch_size_count "));
    count.map_or(0.0, |count| count.parse().unwrap())
}

/// Time until a kill: any within a second and a half, or where the next issue is being written.
fn patience(dice: &mut Dice) -> Duration {
    if dice.below(2) == 0 {
        return Duration::from_millis(100 + dice.below(1_400));
    }
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    Duration::from_millis(1_000 - now_ms % 1_000 + dice.below(40))
}

fn from_wire(decision: pb::Decision) -> Decision {
    Decision {
        name: decision.name,
        slot_start_ms: decision.slot_start_ms,
        proposed: decision.proposed,
        replicas: decision.replicas,
        reason: decision.reason,
        recorded_ms: decision.recorded_ms,
        actor: decision.actor,
    }
}

/// Opens the store of the dead engine and looks for all that was told in the rounds so far.
fn verify(folder: &Path, decisions: &[Decision], issues: &[pb::Shadow]) {
    let store = RedbStore::open(&folder.join("store")).expect("the store opens after a kill");
    for decisions in decisions.chunks(5_000) {
        let held = store.record(decisions).expect("the ledger can be read");
        for (decision, held) in decisions.iter().zip(held) {
            // One that was lost would be created here, and one that differs would be a conflict.
            assert_eq!(held, Recorded::Repeated(decision.clone()), "an acknowledged decision");
        }
    }
    let newest = store.latest_issue().expect("the catalogue can be read");
    for told in issues.iter().rev().take(HELD_ISSUES) {
        let issue = store.issue(&told.issue_id).expect("the catalogue can be read").expect("an acknowledged issue");
        assert!(newest.as_ref().is_some_and(|newest| newest.slot().start_ms >= issue.slot().start_ms));
        let shadow = issue.shadow(&told.series).expect("its series");
        let mean: Vec<f64> = (0..shadow.steps()).map(|step| shadow.mean(step)).collect();
        assert_eq!(mean, told.mean, "the shadow of issue {}", told.issue_id);
        assert_eq!((shadow.cutoff_ms(), shadow.model()), (told.cutoff_ms, told.model.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let server = MetricServer::start();
    write_config(folder.path(), &server);
    let config = folder.path().join("foreshadow.toml");
    let (mut all, mut issues) = (Vec::new(), Vec::new());
    let (mut streamed, mut streaming_kills, mut committed) = (Duration::ZERO, 0, 0.0);
    for round in 0..KILLS {
        if round % EARLY_EVERY == EARLY_EVERY - 1 {
            let mut child = spawn(&config);
            std::thread::sleep(Duration::from_millis(dice.below(120)));
            child.kill().unwrap();
            child.wait().unwrap();
            verify(folder.path(), &[], &issues);
            continue;
        }
        let mut serving = match Serving::start(&config) {
            Ok(serving) => serving,
            Err((status, told)) => panic!("round {round}: {status}: {told}"),
        };
        let told = Arc::new(Mutex::new(Told::default()));
        let start = Instant::now();
        watch(&serving, &told).await;
        stream(&serving, round, &told).await;
        tokio::time::sleep(patience(&mut dice)).await;
        committed += commits(&serving);
        serving.kill();
        streamed += start.elapsed();
        assert!(!told.lock().unwrap().decisions.is_empty(), "round {round}: nothing was in flight");
        streaming_kills += 1;
        serving.wait();
        // Answers that were on their way when the engine died count as acknowledged too.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let told = std::mem::take(&mut *told.lock().unwrap());
        issues.extend(told.issues);
        verify(folder.path(), &told.decisions, &issues);
        all.extend(told.decisions);
    }
    verify(folder.path(), &all, &issues);
    let mut served: Vec<f64> = issues.iter().map(|shadow| shadow.mean[0]).collect();
    served.dedup();
    assert!(served.len() >= streaming_kills / 2, "{} issues while decisions streamed", served.len());
    assert!(served.iter().all(|value| *value <= server.answers() as f64), "each issue tells of its own telemetry");
    let (seconds, decisions) = (streamed.as_secs_f64(), all.len());
    let rate = committed / seconds;
    println!(
        "{KILLS} kills, {streaming_kills} mid-stream; {} issues and {decisions} decisions acknowledged, {:.0} a second \
         in {rate:.0} commits",
        served.len(),
        decisions as f64 / seconds
    );
    assert!(rate >= 100.0, "{rate:.0} commits a second in flight");
}
