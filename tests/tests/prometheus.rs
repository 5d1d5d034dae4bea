//! A real Prometheus as a source: what comes out of it is what went into it, sample for sample.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use foreshadow_tests::{foreshadow, required, run};
use serde_json::Value;
use tempfile::TempDir;

const STEP_S: i64 = 15;
const HOSTS: usize = 4;
/// Two days of 15 s are 11,520 samples: more than `query_range` gives in one answer.
const SAMPLES: i64 = 2 * 86_400 / STEP_S;

/// A server of our own, stopped by its own process id.
struct Prometheus {
    child: Child,
    url: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().expect("our own child can be killed");
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(folder: &TempDir, data: &Path) -> Self {
        let config = folder.path().join("prometheus.yml");
        fs::write(&config, "").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, url: format!("http://{address}") };
        let began = Instant::now();
        while !server.is_ready() {
            assert!(began.elapsed() < Duration::from_secs(60), "prometheus does not get ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn is_ready(&self) -> bool {
        let asked = TcpStream::connect(self.url.trim_start_matches("http://")).and_then(|mut stream| {
            stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        asked.is_ok_and(|answer| answer.contains(" 200 OK"))
    }
}

/// The same samples as OpenMetrics and as CSV, the last a few hours ago.
fn samples() -> (String, String) {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let end_s = (now_s - 5 * 3_600) / STEP_S * STEP_S;
    let mut metrics = String::from("# TYPE load gauge\n");
    let mut table = String::from("__name__,host,timestamp,value\n");
    for host in 0..HOSTS {
        for at in 0..SAMPLES {
            let time_s = end_s - (SAMPLES - 1 - at) * STEP_S;
            let value = 10.0 + host as f64 + (at as f64 / 240.0).sin() + ((at * 7_919) % 101) as f64 / 100.0;
            writeln!(metrics, "load{{host=\"h{host}\"}} {value} {time_s}").unwrap();
            writeln!(table, "load,h{host},{time_s},{value}").unwrap();
        }
    }
    metrics.push_str("# EOF\n");
    (metrics, table)
}

fn forecast(arguments: &[&str]) -> Value {
    let fixed = ["forecast", "--models", "snaive240", "--horizon", "8", "--lookback", "20000", "--output", "json"];
    foreshadow(&[&fixed, arguments].concat()).json()
}

fn config(folder: &TempDir, server: &Prometheus, further: &str) -> PathBuf {
    let path = folder.path().join("foreshadow.toml");
    let source =
        format!("[source.prometheus]\nurl = '{}'\nqueries = ['load{{host=~\"h.\"}}']\nrange = '3d'\n", server.url);
    fs::write(&path, source + further).unwrap();
    path
}

#[test]
fn what_is_read_is_what_was_written() {
    if !["prometheus", "promtool"].iter().all(|name| required(name, "a real Prometheus")) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (metrics, table) = samples();
    let (text, csv, data) = (folder.path().join("m.txt"), folder.path().join("m.csv"), folder.path().join("data"));
    fs::write(&text, metrics).unwrap();
    fs::write(&csv, table).unwrap();
    let made = run(Command::new("promtool").args(["tsdb", "create-blocks-from", "openmetrics"]).args([&text, &data]));
    assert_eq!(made.code, Some(0), "{}", made.err);
    let server = Prometheus::start(&folder, &data);

    let from_file = forecast(&["--input", csv.to_str().unwrap()]);
    let raw = forecast(&["--config", config(&folder, &server, "").to_str().unwrap()]);
    assert_eq!(raw["series"].as_array().unwrap().len(), HOSTS);
    assert_eq!(raw, from_file, "every sample, bit for bit");

    // Resampled at the samples' own times the past is the same; then the server's look-back holds the last
    // value for five minutes more.
    let resampled = forecast(&["--config", config(&folder, &server, "step = '15s'").to_str().unwrap()]);
    for (resampled, raw) in resampled["series"].as_array().unwrap().iter().zip(raw["series"].as_array().unwrap()) {
        let held_ms = resampled["cutoff_ms"].as_i64().unwrap() - raw["cutoff_ms"].as_i64().unwrap();
        assert!((0..=300_000).contains(&held_ms) && resampled["notes"]["missing_steps"] == 0, "{resampled}");
    }

    let nothing = config(&folder, &server, "");
    fs::write(&nothing, fs::read_to_string(&nothing).unwrap().replace("load", "no_such_metric")).unwrap();
    let run = foreshadow(&["forecast", "--config", nothing.to_str().unwrap()]);
    assert_eq!(run.code, Some(5), "{}", run.err);
    assert!(run.err.contains("has no sample of no_such_metric"), "{}", run.err);
}
