//! `foreshadow serve` on a Prometheus server that is not there yet, comes, goes and comes back.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use foreshadow::issue::Slot;
use foreshadow_api::v1 as pb;
use foreshadow_api::v1::foreshadow_client::ForeshadowClient;
use foreshadow_tests::metric_server::MetricServer;
use foreshadow_tests::serving::Serving;
use tonic::transport::Channel;

const SLOT_MS: i64 = 1_000;

/// A failed source is asked again within 15 s, or at the next slot.
const RETRY: Duration = Duration::from_secs(15);

fn configuration(folder: &Path, server: SocketAddr) -> PathBuf {
    let config = format!(
        "[source.prometheus]\nurl = \"http://{server}\"\nqueries = [\"requests\"]\nrange = \"1m\"\ntimeout = \"1s\"\nretries = 0\n\
         [issue]\nslot = \"1s\"\n[forecast]\nhorizon_steps = 60\nmodels = [\"naive\"]\n[store]\npath = {store:?}\n\
         [serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n",
        store = folder.join("store"),
    );
    let path = folder.join("foreshadow.toml");
    std::fs::write(&path, config).unwrap();
    path
}

/// Polls `/readyz` until its answer is as wanted.
fn wait_for(serving: &Serving, within: Duration, wanted: impl Fn(u16, &str) -> bool) -> String {
    let began = Instant::now();
    loop {
        let (code, text) = serving.get("/readyz");
        if wanted(code, &text) {
            return text;
        }
        assert!(began.elapsed() < within, "after {within:?} /readyz still says {code}: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn shadow(client: &mut ForeshadowClient<Channel>) -> pb::Shadow {
    client.get_shadow(pb::GetShadowRequest { series: "requests".into() }).await.unwrap().into_inner()
}

/// Every issue that is served for a while, as soon as it is.
async fn issues(client: &mut ForeshadowClient<Channel>, during: Duration) -> Vec<pb::Shadow> {
    let mut issues: Vec<pb::Shadow> = Vec::new();
    let began = Instant::now();
    while began.elapsed() < during {
        let served = shadow(client).await;
        if issues.last().is_none_or(|last| last.issue_id != served.issue_id) {
            issues.push(served);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    issues
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_source_is_told_and_survived_and_every_slot_has_one_issue() {
    let folder = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let serving = Serving::start(&configuration(folder.path(), address)).unwrap();
    let mut client = serving.client().await;

    let why = wait_for(&serving, RETRY, |_, text| text.contains("cannot be reached"));
    assert!(why.starts_with("not ready: there is no issue yet"), "{why}");
    assert!(why.contains(&format!("http://{address}")), "{why}");
    assert_eq!(serving.get("/readyz").0, 503);
    let refused = client.get_shadow(pb::GetShadowRequest { series: "requests".into() }).await.unwrap_err();
    assert!(
        refused.code() == tonic::Code::Unavailable && refused.message().contains(&address.to_string()),
        "{refused}"
    );

    let server = MetricServer::start_at(address);
    wait_for(&serving, RETRY, |code, text| (code, text) == (200, "ready\n"));
    let during = Duration::from_secs(6);
    let served = issues(&mut client, during).await;
    let slots: Vec<i64> = served.iter().map(|shadow| Slot::of(shadow.cutoff_ms, SLOT_MS).start_ms).collect();
    assert!(slots.windows(2).all(|pair| pair[0] < pair[1]), "at most one issue a slot: {slots:?}");
    // The first may be in its last moment when it is seen; a slot may be missed on a busy machine.
    let most = during.as_secs() as usize + 2;
    assert!((4..=most).contains(&served.len()), "{} issues in {during:?}", served.len());
    for pair in served.windows(2) {
        assert!(pair[0].mean[0] < pair[1].mean[0], "a later issue tells of later telemetry");
    }
    assert!(served.iter().all(|shadow| shadow.mean == [shadow.mean[0]; 60] && shadow.model == "naive"));

    drop(server);
    let is_overdue = |code, text: &str| code == 200 && text.starts_with("ready, but a refresh is overdue");
    let why = wait_for(&serving, RETRY, is_overdue);
    assert!(why.contains(&format!("http://{address} cannot be reached")), "{why}");
    let kept = issues(&mut client, Duration::from_secs(2)).await;
    assert_eq!(kept.len(), 1, "the last issue stays");
    assert!(kept[0].cutoff_ms >= *slots.last().unwrap());

    let _server = MetricServer::start_at(address);
    wait_for(&serving, RETRY, |code, text| (code, text) == (200, "ready\n"));
    assert!(shadow(&mut client).await.cutoff_ms > kept[0].cutoff_ms);

    serving.terminate();
    let (status, told) = serving.wait();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(told.contains("no new issue") && told.contains("cannot be reached"), "an outage is logged: {told}");
}
