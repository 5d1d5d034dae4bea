//! `kill -9` in the middle of everything: whatever was acknowledged is there afterwards, by value.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use foreshadow::store::{Decision, Recorded, RedbStore, Store};
use foreshadow_api::v1 as pb;
use foreshadow_tests::serving::{Serving, spawn};

const KILLS: usize = 50;

/// Every so many rounds the kill comes while the engine starts, writes its issue or opens the store.
const EARLY_EVERY: usize = 6;

/// Requests in flight at any time.
const WRITERS: usize = 48;

/// Steps of telemetry, at one minute.
const STEPS: i64 = 400;

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

/// Telemetry that differs from round to round, so that each start has an issue of its own to write.
fn write_inputs(folder: &Path, round: usize) {
    let row = |step: i64| {
        let value = 100.0 + round as f64 + (step % 7) as f64;
        format!("{},requests,{value}\n", (1_700_000_000 + 60 * step) * 1_000)
    };
    let rows: String = (0..STEPS).map(row).collect();
    std::fs::write(folder.join("input.csv"), format!("timestamp,metric,value\n{rows}")).unwrap();
    let config = format!(
        "[source.file]\npath = {input:?}\n[forecast]\nhorizon_steps = 60\nmodels = [\"naive\"]\n[store]\npath = {store:?}\n\
         [serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n",
        input = folder.join("input.csv"),
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
    // Twelve issues are kept; besides those that were told, a killed start may have written some.
    for told in issues.iter().rev().take(4) {
        let issue = store.issue(&told.issue_id).expect("the catalogue can be read").expect("an acknowledged issue");
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
    let (mut all, mut issues) = (Vec::new(), Vec::new());
    let (mut streamed, mut streaming_kills) = (Duration::ZERO, 0);
    for round in 0..KILLS {
        write_inputs(folder.path(), round);
        if round % EARLY_EVERY == EARLY_EVERY - 1 {
            let mut child = spawn(&folder.path().join("foreshadow.toml"));
            std::thread::sleep(Duration::from_millis(dice.below(120)));
            child.kill().unwrap();
            child.wait().unwrap();
            verify(folder.path(), &[], &issues);
            continue;
        }
        let mut serving = match Serving::start(&folder.path().join("foreshadow.toml")) {
            Ok(serving) => serving,
            Err((status, told)) => panic!("round {round}: {status}: {told}"),
        };
        let told = Arc::new(Mutex::new(Told::default()));
        let request = pb::GetShadowRequest { series: r#"{metric="requests"}"#.into() };
        let shadow = serving.client().await.get_shadow(request).await.unwrap().into_inner();
        assert_eq!(shadow.mean[0], 100.0 + round as f64 + ((STEPS - 1) % 7) as f64);
        told.lock().unwrap().issues.push(shadow);
        let start = Instant::now();
        stream(&serving, round, &told).await;
        tokio::time::sleep(Duration::from_millis(150 + dice.below(350))).await;
        serving.kill();
        streamed += start.elapsed();
        let before_the_end = told.lock().unwrap().decisions.len();
        assert!(before_the_end > 0, "round {round}: nothing was in flight");
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
    let rate = all.len() as f64 / streamed.as_secs_f64();
    println!("{KILLS} kills, {streaming_kills} mid-stream, {} decisions, {rate:.0} a second in flight", all.len());
    assert!(rate >= 100.0, "{rate:.0} decisions a second in flight");
}
