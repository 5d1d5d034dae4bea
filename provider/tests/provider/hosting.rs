//! The provider under a strict host: TLS, services, newer messages, log lines, and its end.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Map, Value as Json};
use terraform_provider_foreshadow::sdk::validate::timestamp_ms;
use tfplugin6_proto::plugin::Empty;
use tfplugin6_proto::plugin::grpc_controller_client::GrpcControllerClient;
use tfplugin6_proto::plugin::grpc_stdio_client::GrpcStdioClient;
use tfplugin6_proto::tfplugin6 as pb;
use tfplugin6_proto::tfplugin6::provider_client::ProviderClient;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::provider;
use crate::support::host::{COOKIE, HOST_PEM, Plugin, STRANGER_PEM};
use crate::support::raw;

const H2: &[&[u8]] = &[b"h2"];

async fn shut_down(channel: Channel, plugin: Plugin) -> String {
    let _ = GrpcControllerClient::new(channel).shutdown(Empty {}).await;
    let socket = plugin.socket.clone();
    let (code, took, log) = plugin.ended(Duration::from_secs(5));
    assert_eq!(code, Some(0), "{log}");
    assert!(took < Duration::from_millis(1_900), "a host kills after 2 s; this took {took:?}");
    assert!(!socket.parent().unwrap().exists(), "the socket's folder is left behind");
    log
}

#[tokio::test]
async fn the_pinned_host_is_served_and_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::start(provider(), Some(HOST_PEM), folder.path());
    let channel = plugin.channel(Some(HOST_PEM), H2).await.unwrap();
    let mut client = ProviderClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    let schema = client.get_provider_schema(pb::get_provider_schema::Request {}).await.unwrap().into_inner();
    assert!(schema.resource_schemas.contains_key("foreshadow_scaling_decision"));
    assert!(schema.data_source_schemas.contains_key("foreshadow_recommendation"));
    assert!(schema.server_capabilities.unwrap().get_provider_schema_optional);
    let asked = HealthCheckRequest { service: "plugin".to_owned() };
    assert_eq!(HealthClient::new(channel.clone()).check(asked).await.unwrap().into_inner().status, 1);
    let mut stdio = GrpcStdioClient::new(channel.clone()).stream_stdio(()).await.unwrap().into_inner();
    let silent = tokio::time::timeout(Duration::from_millis(200), stdio.message()).await;
    assert!(silent.is_err(), "the stream stays open and empty");
    let log = shut_down(channel, plugin).await;
    check_lines(&log);
    assert!(log.contains("peak_kib"), "{log}");
}

#[tokio::test]
async fn nobody_else_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::start(provider(), Some(HOST_PEM), folder.path());
    for stranger in [None, Some(STRANGER_PEM)] {
        // In TLS 1.3 a client learns of a refusal with its first read.
        let refused = match plugin.channel(stranger, H2).await {
            Err(_) => true,
            Ok(channel) => ProviderClient::new(channel).get_metadata(pb::get_metadata::Request {}).await.is_err(),
        };
        assert!(refused, "served {}", if stranger.is_some() { "a wrong certificate" } else { "no certificate" });
    }
    assert!(plugin.channel(Some(HOST_PEM), &[b"http/1.1"]).await.is_err(), "served without h2");
    let mut plain = ProviderClient::new(plugin.plain_channel().await.unwrap());
    assert!(plain.get_metadata(pb::get_metadata::Request {}).await.is_err(), "served in plaintext");
    // A handshake that never goes on holds up nobody.
    let _hung = tokio::net::UnixStream::connect(&plugin.socket).await.unwrap();
    let channel = plugin.channel(Some(HOST_PEM), H2).await.unwrap();
    ProviderClient::new(channel.clone()).get_metadata(pb::get_metadata::Request {}).await.unwrap();
    let log = shut_down(channel, plugin).await;
    assert!(log.contains("refused a connection"), "{log}");
    check_lines(&log);
}

/// Every line is one object of strings, as the host that dies of anything else demands.
fn check_lines(log: &str) {
    assert!(!log.is_empty());
    for line in log.lines() {
        assert!(line.len() < 65_536);
        let object: Map<String, Json> = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(object.values().all(Json::is_string), "{line}");
        for name in ["@level", "@message", "@module", "@timestamp"] {
            assert!(object.contains_key(name), "{line}");
        }
        let time = object["@timestamp"].as_str().unwrap();
        assert!(timestamp_ms(time).is_some() && time.len() == "2026-01-01T00:00:00.000000Z".len(), "{time}");
    }
}

#[tokio::test]
async fn newer_hosts_are_tolerated() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::start(provider(), None, folder.path());
    let channel = plugin.plain_channel().await.unwrap();
    for method in [
        "/tfplugin6.Provider/ListResource",
        "/tfplugin6.Provider/ValidateListResourceConfig",
        "/tfplugin6.Provider/PlanAction",
        "/tfplugin6.Provider/ReadStateBytes",
        "/plugin.GRPCBroker/StartStream",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ] {
        assert_eq!(
            raw::call(channel.clone(), method, Vec::new()).await.unwrap_err().code(),
            Code::Unimplemented,
            "{method}"
        );
    }
    // A plan request of protocol 6.11: identities, planned private data, and a field nobody knows.
    let mut request = prost::Message::encode_to_vec(&pb::plan_resource_change::Request {
        type_name: "foreshadow_scaling_decision".to_owned(),
        prior_state: Some(null()),
        proposed_new_state: Some(null()),
        config: Some(null()),
        prior_private: b"kept".to_vec(),
        prior_identity: Some(pb::ResourceIdentityData { identity_data: Some(null()) }),
        ..Default::default()
    });
    request.extend_from_slice(&[9 << 3 | 2, 2, 1, 2]); // planned_private = 9
    request.extend_from_slice(&[0xfa, 0x3f, 1, 7]); // field 1023
    let answer = raw::call(channel.clone(), "/tfplugin6.Provider/PlanResourceChange", request).await.unwrap();
    let answer: pb::plan_resource_change::Response = prost::Message::decode(&*answer).unwrap();
    assert_eq!((answer.planned_state, answer.diagnostics), (Some(null()), Vec::new()));
    assert_eq!(answer.planned_private, b"kept");

    let mut client = ProviderClient::new(channel.clone());
    let identities = client.get_resource_identity_schemas(pb::get_resource_identity_schemas::Request {}).await.unwrap();
    assert!(identities.into_inner().identity_schemas.is_empty());
    let request = pb::upgrade_resource_identity::Request { type_name: "x".to_owned(), ..Default::default() };
    assert_eq!(client.upgrade_resource_identity(request).await.unwrap().into_inner().diagnostics.len(), 1);
    shut_down(channel, plugin).await;
}

fn null() -> pb::DynamicValue {
    pb::DynamicValue { msgpack: vec![0xc0], json: Vec::new() }
}

#[tokio::test]
async fn a_stop_aborts_what_is_in_flight_and_serving_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let engine = crate::support::stub_engine::StubEngine::start(folder.path());
    engine.script().delay = Duration::from_secs(60);
    let plugin = Plugin::start(provider(), None, folder.path());
    let channel = plugin.plain_channel().await.unwrap();
    let mut client = ProviderClient::new(channel.clone());
    configure(&mut client, &engine.endpoint()).await;
    let mut reading = client.clone();
    let read = tokio::spawn(async move { reading.read_data_source(read_web()).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!read.is_finished());
    let stopped = client.stop_provider(pb::stop_provider::Request {}).await.unwrap().into_inner();
    assert_eq!(stopped.error, "");
    let aborted = tokio::time::timeout(Duration::from_secs(2), read).await.unwrap().unwrap().unwrap().into_inner();
    assert_eq!(aborted.diagnostics[0].summary, "Interrupted");
    engine.script().delay = Duration::ZERO;
    let answered = client.read_data_source(read_web()).await.unwrap().into_inner();
    assert_eq!(answered.diagnostics, []);
    // A signal to the process group is the host's to handle.
    let sent = Command::new("kill").args(["-INT", &plugin.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.get_metadata(pb::get_metadata::Request {}).await.unwrap();
    shut_down(channel, plugin).await;
}

fn object(entries: &[(&str, rmpv::Value)]) -> Option<pb::DynamicValue> {
    let map = entries.iter().map(|(name, value)| (rmpv::Value::from(*name), value.clone())).collect();
    let mut msgpack = Vec::new();
    rmpv::encode::write_value(&mut msgpack, &rmpv::Value::Map(map)).unwrap();
    Some(pb::DynamicValue { msgpack, json: Vec::new() })
}

async fn configure(client: &mut ProviderClient<Channel>, endpoint: &str) {
    let config = object(&[("endpoint", endpoint.into()), ("request_timeout", "5m".into())]);
    let request = pb::configure_provider::Request { config, ..Default::default() };
    assert_eq!(client.configure_provider(request).await.unwrap().into_inner().diagnostics, []);
}

fn read_web() -> pb::read_data_source::Request {
    let config = object(&[("workload", "checkout-web".into()), ("quantile", "0.95".into())]);
    pb::read_data_source::Request { type_name: "foreshadow_recommendation".to_owned(), config, ..Default::default() }
}

#[tokio::test]
async fn values_come_back_as_terraform_wrote_them() {
    let folder = tempfile::tempdir().unwrap();
    let engine = crate::support::stub_engine::StubEngine::start(folder.path());
    let plugin = Plugin::start(provider(), None, folder.path());
    let channel = plugin.plain_channel().await.unwrap();
    let mut client = ProviderClient::new(channel.clone());
    // Before it is configured, a read is told so and nothing falls over.
    let early = client.read_data_source(read_web()).await.unwrap().into_inner();
    assert_eq!(early.diagnostics[0].summary, "The provider is not configured");
    configure(&mut client, &engine.endpoint()).await;
    let answer = client.read_data_source(read_web()).await.unwrap().into_inner();
    let state = rmpv::decode::read_value(&mut &*answer.state.unwrap().msgpack).unwrap();
    let names: Vec<_> = state.as_map().unwrap().iter().map(|(name, _)| name.as_str().unwrap().to_owned()).collect();
    assert!(names.is_sorted(), "{names:?}");
    let get =
        |name: &str| state.as_map().unwrap().iter().find(|(key, _)| key.as_str() == Some(name)).unwrap().1.clone();
    assert_eq!(get("quantile"), "0.95".into(), "a decimal stays a decimal");
    assert_eq!(get("replicas"), 24.into());
    assert_eq!(get("horizon"), rmpv::Value::Nil);
    // Garbage is answered by a diagnostic and not by a broken connection.
    let garbage = Some(pb::DynamicValue { msgpack: vec![0xdf, 0xff, 0xff, 0xff, 0xff], json: Vec::new() });
    let request = pb::read_data_source::Request { config: garbage, ..read_web() };
    let told = client.read_data_source(request).await.unwrap().into_inner().diagnostics;
    assert_eq!(told[0].summary, "Unreadable value");
    shut_down(channel, plugin).await;
}

#[test]
fn a_person_who_starts_it_is_told_in_one_sentence() {
    for cookie in [None, Some("wrong")] {
        let mut command = Command::new(provider());
        command.env_remove(COOKIE.0).stdin(Stdio::null());
        cookie.map(|value| command.env(COOKIE.0, value));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.lines().count() == 1 && told.contains("Terraform starts it by itself"), "{told}");
    }
}

#[test]
fn a_termination_and_a_hosts_death_end_it_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::start(provider(), None, folder.path());
    let socket = plugin.socket.clone();
    Command::new("kill").args(["-TERM", &plugin.child.id().to_string()]).status().unwrap();
    assert_eq!(plugin.ended(Duration::from_secs(5)).0, Some(0));
    assert!(!socket.parent().unwrap().exists());

    // A host that is killed cannot ask for an end.
    let script = format!("{} & echo $! >&2; wait", provider().display());
    let mut host = Command::new("sh");
    host.args(["-c", &script]).env(COOKIE.0, COOKIE.1).env("TMPDIR", folder.path());
    let mut host = host.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(host.stdout.as_mut().unwrap()), &mut line).unwrap();
    let socket = std::path::PathBuf::from(line.split('|').nth(3).unwrap());
    assert!(socket.exists());
    host.kill().unwrap();
    host.wait().unwrap();
    let started = std::time::Instant::now();
    while socket.exists() {
        assert!(started.elapsed() < Duration::from_secs(10), "the orphan serves on");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn terraform_attaches_to_a_provider_started_by_hand() {
    let Some((terraform, engine)) = crate::workspace() else { return };
    terraform.write(&crate::web(&engine, "", "", ""));
    let mut by_hand = Command::new(provider())
        .arg("--debug")
        .env("TMPDIR", terraform.path("tmp"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(by_hand.stdout.take().unwrap()), &mut line).unwrap();
    let attach = line.trim().strip_prefix("export TF_REATTACH_PROVIDERS='").and_then(|line| line.strip_suffix('\''));
    let mut plan = terraform.command(&["plan", "-no-color"]);
    plan.env("TF_REATTACH_PROVIDERS", attach.expect("the line that a shell takes"));
    crate::support::terraform::finished(plan).expect(0).says("replicas = 24");
    assert!(engine.script().recommend_calls > 0);
    assert_eq!(by_hand.try_wait().unwrap(), None, "it outlives the plan, for the next one");
    let interrupted = Command::new("kill").arg("-INT").arg(by_hand.id().to_string()).status().unwrap();
    assert!(interrupted.success() && by_hand.wait().unwrap().success(), "Ctrl-C ends it in order");
    assert_eq!(terraform.left_behind(), Vec::<std::path::PathBuf>::new());
}
