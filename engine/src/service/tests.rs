use std::sync::Arc;

use foreshadow_api::v1 as pb;
use foreshadow_api::v1::foreshadow_client::ForeshadowClient;
use foreshadow_models::RawSeries;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::*;
use crate::clock::FixedClock;
use crate::config::Demand;
use crate::live::Live;
use crate::pipeline::{PipelineSettings, make_issue};
use crate::store::MemoryStore;

const MINUTE: i64 = 60_000;

/// Four days of five-minute steps that end at `end_ms`, a daily wave between 100 and 300.
fn telemetry(end_ms: i64) -> Vec<RawSeries> {
    let times_ms: Vec<i64> = (0..4 * 288).map(|step| end_ms - (4 * 288 - 1 - step) * 5 * MINUTE).collect();
    let wave = |time: &i64| 200.0 + 100.0 * ((*time / MINUTE % 1_440) as f64 / 1_440.0 * std::f64::consts::TAU).sin();
    let values = times_ms.iter().map(wave).collect();
    vec![RawSeries { name: r#"requests{app="web"}"#.into(), times_ms, values }]
}

fn workload() -> Workload {
    Workload {
        name: "web".into(),
        demand: Demand::Series(r#"requests{app="web"}"#.parse().unwrap()),
        unit_capacity: 25.0,
        target: 0.8,
        quantile: 0.9,
        lead_time_ms: 10 * MINUTE,
        min: 1,
        max: 100,
        step: 1,
    }
}

fn issue_until(end_ms: i64) -> Issue {
    let settings = PipelineSettings { models: vec!["snaive".into()], ..PipelineSettings::default() };
    make_issue(telemetry(end_ms), &[workload()], &settings, &mut Live::default(), end_ms).unwrap()
}

fn running(end_ms: i64, store: Arc<dyn Store>) -> Handle {
    start(Settings::on_free_ports(vec![workload()]), store, Arc::new(FixedClock(end_ms))).unwrap()
}

async fn client(handle: &Handle) -> ForeshadowClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", handle.grpc())).unwrap();
    ForeshadowClient::new(endpoint.connect().await.unwrap())
}

fn asked() -> pb::RecommendRequest {
    pb::RecommendRequest { workload: "web".into(), ..Default::default() }
}

fn decision(slot_start_ms: i64, replicas: i64) -> pb::RecordDecisionRequest {
    let (name, reason, actor) = ("web".into(), "peak 300".into(), "api".into());
    pb::RecordDecisionRequest { name, slot_start_ms, proposed: 15, replicas, reason, actor }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_is_served_and_decisions_are_kept() {
    let end_ms = 20_000 * 1_440 * MINUTE; // a midnight, where the wave stands at 200 and rises
    let handle = running(end_ms, Arc::new(MemoryStore::default()));
    let mut client = client(&handle).await;
    assert_eq!(client.recommend(asked()).await.unwrap_err().code(), Code::Unavailable);
    assert!(!client.health(pb::HealthRequest {}).await.unwrap().into_inner().ready);

    handle.publish(issue_until(end_ms), &Live::default()).unwrap();
    let health = client.health(pb::HealthRequest {}).await.unwrap().into_inner();
    assert!(health.ready && health.reason.is_empty() && health.series == 1, "{health:?}");
    let answer = client.recommend(asked()).await.unwrap().into_inner();
    assert_eq!((answer.slot_start_ms, answer.slot_length_ms, answer.stale), (end_ms, 30 * MINUTE, false));
    // Forty minutes ahead the wave, repeated from the day before, stands at 200 + 100 sin(2π · 40 / 1440),
    // which is 217.4, and each unit carries 20.
    assert_eq!((answer.replicas, answer.issue_id), (11, health.issue_id.clone()));
    let evidence = answer.evidence.unwrap();
    assert_eq!((evidence.model.as_str(), evidence.cutoff_ms), ("snaive288", end_ms));
    assert!((evidence.peak_demand - 217.36).abs() < 0.01 && evidence.peak_ms == end_ms + 40 * MINUTE, "{evidence:?}");

    let request = pb::GetShadowRequest { series: r#"requests{app="web"}"#.into() };
    let shadow = client.get_shadow(request).await.unwrap().into_inner();
    assert_eq!((shadow.mean.len(), shadow.quantiles.len(), shadow.issue_id), (288, 11, health.issue_id));
    // The wave repeats itself, and two of the three days before the last one have a day before them.
    let accuracy = shadow.accuracy.unwrap();
    assert_eq!((accuracy.folds, accuracy.mase, accuracy.coverage95_percent), (3, None, 100.0), "no change is no scale");
    assert_eq!(answer.confidence, 1.0);

    let first = client.record_decision(decision(0, 15)).await.unwrap().into_inner();
    let again = client.record_decision(decision(0, 15)).await.unwrap().into_inner();
    assert!(first.created && !again.created && first.decision == again.decision);
    assert_eq!(client.record_decision(decision(0, 16)).await.unwrap_err().code(), Code::AlreadyExists);
    let latest = client.get_decision(pb::GetDecisionRequest { name: "web".into() }).await.unwrap().into_inner();
    assert_eq!(Some(latest), first.decision);
    drop(client);
    handle.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_answered_says_why() {
    let handle = running(0, Arc::new(MemoryStore::default()));
    handle.publish(issue_until(0), &Live::default()).unwrap();
    let mut client = client(&handle).await;
    let error = client.get_shadow(pb::GetShadowRequest { series: "nope".into() }).await.unwrap_err();
    assert!(error.code() == Code::NotFound && error.message().contains("nope, only of 1 others"), "{error}");
    let unknown = pb::RecommendRequest { workload: "api".into(), ..Default::default() };
    let error = client.recommend(unknown).await.unwrap_err();
    assert!(error.code() == Code::NotFound && error.message().ends_with("there are: web"), "{error}");
    let error = client.recommend(pb::RecommendRequest { quantile: Some(0.2), ..asked() }).await.unwrap_err();
    assert!(error.code() == Code::InvalidArgument && error.message().starts_with("quantile is 0.2"), "{error}");
    let long = pb::RecordDecisionRequest { reason: "x".repeat(5_000), ..decision(0, 1) };
    assert_eq!(client.record_decision(long).await.unwrap_err().code(), Code::InvalidArgument);
    let huge = pb::RecordDecisionRequest { reason: "x".repeat(50_000), ..decision(0, 1) };
    assert_eq!(client.record_decision(huge).await.unwrap_err().code(), Code::OutOfRange);
    let none = client.get_decision(pb::GetDecisionRequest { name: "web".into() }).await.unwrap_err();
    assert_eq!(none.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_refresh_is_told_and_the_last_issue_is_served_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    running(0, store.clone()).publish(issue_until(0), &Live::default()).unwrap();
    for (now, stale) in [(59 * MINUTE, false), (60 * MINUTE, true)] {
        let handle = running(now, store.clone());
        assert_eq!(client(&handle).await.recommend(asked()).await.unwrap().into_inner().stale, stale);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_hold_the_present_moment_with_the_series_labels() {
    let handle = running(0, Arc::new(MemoryStore::default()));
    let Some(Listen::Tcp(address)) = handle.http().cloned() else { panic!("no HTTP") };
    let get = async |path: &str| {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let unready = get("/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("the first fit is running"), "{unready}");
    handle.publish(issue_until(0), &Live::default()).unwrap();
    assert!(get("/readyz").await.ends_with("ready\n") && get("/healthz").await.ends_with("ok\n"));
    let text = get("/metrics").await;
    let labels = r#"{horizon="0s",shadow_model="snaive288",shadow_of="requests",app="web"}"#;
    assert!(text.contains(&format!("shadow_yhat{labels} 202.18")), "{text}");
    assert!(text.contains("shadow_yhat_upper{") && text.contains("foreshadow_issue_age_seconds"), "{text}");
}

#[test]
fn a_taken_port_and_a_stale_socket_file_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // its file stays, as after a kill
    let settings = Settings { grpc: Listen::Unix(path.clone()), http: None, ..Settings::on_free_ports(Vec::new()) };
    let start =
        |settings: &Settings| super::start(settings.clone(), Arc::new(MemoryStore::default()), Arc::new(FixedClock(0)));
    let handle = start(&settings).unwrap();
    let error = start(&settings).unwrap_err().to_string();
    assert!(error.starts_with("unix:/") && error.ends_with("is in use by another program"), "{error}");
    handle.shutdown();
    assert!(!path.exists(), "the socket's file goes with the service");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let grpc = Listen::Tcp(taken.local_addr().unwrap());
    let error = start(&Settings { grpc: grpc.clone(), ..settings.clone() }).unwrap_err().to_string();
    assert_eq!(error, format!("{grpc} is in use by another program"));
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "kept").unwrap();
    let error = start(&Settings { grpc: Listen::Unix(file.clone()), ..settings }).unwrap_err();
    assert!(matches!(error, ServiceError::Listen(ListenError::NotASocket { .. })), "{error}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_a_request_and_answers_the_next() {
    let settings = Settings { queue: 1, ..Settings::on_free_ports(vec![workload()]) };
    let handle = start(settings, Arc::new(MemoryStore::default()), Arc::new(FixedClock(0))).unwrap();
    handle.publish(issue_until(0), &Live::default()).unwrap();
    let mut client = client(&handle).await;
    let engine = handle.engine.clone().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let mut blocked = Vec::new();
    // Both threads at work and one more waiting is all there is room for.
    for _ in 0..3 {
        let (engine, held) = (engine.clone(), held.clone());
        let job = move || drop(held.lock().map(|held| held.recv()));
        blocked.push(tokio::spawn(async move { engine.worker().run(job).await }));
        tokio::time::sleep(Duration::from_millis(50)).await; // until a thread has taken it
    }
    while engine.worker().waiting() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = client.recommend(asked()).await.unwrap_err();
    assert!(error.code() == Code::ResourceExhausted && error.message().contains("its most"), "{error}");
    drop(release);
    for job in blocked {
        job.await.unwrap().unwrap();
    }
    assert_eq!(client.recommend(asked()).await.unwrap().into_inner().workload, "web");
    drop((engine, client));
    handle.shutdown();
}
