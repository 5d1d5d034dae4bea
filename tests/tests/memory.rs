//! A fleet larger than `forecast.memory` as its users meet it: the same answers, batch by batch, in memory that does not grow
//! with the fleet.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use foreshadow_tests::{foreshadow, program};
use serde_json::Value;
use tempfile::TempDir;

const START_S: i64 = 1_760_000_400;
const HOURS: usize = 21 * 24;
const HOSTS: usize = 20;

/// Three weeks of hours of a fleet, all series of an hour beside each other: requests, a counter, and cores that bound
/// what is used of them.
fn fleet(folder: &TempDir) -> String {
    let mut rows = String::from("timestamp,__name__,host,region,value\n");
    for hour in 0..HOURS {
        for host in (0..HOSTS).rev() {
            let day = ((hour + 5 * host) as f64 / 24.0 * std::f64::consts::TAU).sin();
            let noise = ((hour * (17 + host)) * 7_919 % 101) as f64 / 101.0;
            let requests = (50.0 + 4.0 * host as f64) * (1.0 + 0.3 * day + 0.2 * noise);
            let (at, region) = (START_S + 3_600 * hour as i64, ["eu", "us", "ap"][host % 3]);
            let told = [("rps", requests), ("sent_total", hour as f64 * 1e6), ("used", requests), ("cores", 100.0)];
            for (name, value) in told {
                writeln!(rows, "{at},{name},h{host:02},{region},{value}").unwrap();
            }
        }
    }
    rows += "1760000400,once,h99,eu,1\n";
    let path = folder.path().join("fleet.csv");
    std::fs::write(&path, rows).unwrap();
    path.to_str().unwrap().into()
}

/// What a command says with little memory and with much.
fn little_and_much(arguments: &[&str]) -> [String; 2] {
    ["1MiB", "1GiB"].map(|memory| {
        let run = foreshadow(&[arguments, &["--horizon", "24", "--memory", memory]].concat());
        assert_eq!(run.code, Some(0), "{}", run.err);
        run.out
    })
}

#[test]
fn batches_say_what_the_whole_fleet_says_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let input = fleet(&folder);
    for (family, output, paths) in
        [("auto", "json", "2"), ("auto", "csv", "2"), ("mstl", "csv", "0"), ("snaive", "table", "0")]
    {
        let asked = ["forecast", "--input", &input, "--models", family, "--output", output, "--paths", paths];
        let [little, much] = little_and_much(&asked);
        assert!(little == much, "{family} {output}");
        let rows = if output == "csv" { 4 * HOSTS * 24 + 1 } else { 1 };
        assert!(little.lines().count() >= rows && little.contains("h19"), "{family} {output}");
    }
    let asked = ["backtest", "--input", &input, "--models", "ridge", "--output", "csv"];
    let [little, much] = little_and_much(&asked);
    assert!(little == much && little.lines().count() == 4 * HOSTS + 2, "{little}");
}

#[test]
fn what_hangs_together_is_not_parted() {
    let folder = tempfile::tempdir().unwrap();
    let input = fleet(&folder);
    let tables = "[[aggregate]]\nname = 'rps_by_region'\nfunction = 'sum'\nselect = 'rps'\nby = ['region']\n\
                  [[aggregate]]\nname = 'busiest'\nfunction = 'max'\nselect = 'used{region=\"eu\"}'\n\
                  [[aggregate]]\nname = 'lost'\nfunction = 'sum'\nselect = 'nope'\n\
                  [[series]]\nselect = 'sent_total'\ncounter = true\n\
                  [[series]]\nselect = 'used'\nmaximum = 'cores'\n\
                  [[series]]\nselect = 'typo'\nminimum = 0\n";
    let config = folder.path().join("foreshadow.toml");
    std::fs::write(&config, tables).unwrap();
    let asked =
        ["forecast", "--config", config.to_str().unwrap(), "--input", &input, "--models", "snaive", "--output", "json"];
    let told = little_and_much(&asked).map(|out| {
        let mut told: Value = serde_json::from_str(&out).unwrap();
        let rows = told["series"].as_array_mut().unwrap();
        rows.sort_by_key(|row| row["series"].as_str().unwrap().to_string());
        told
    });
    assert!(told[0] == told[1]);
    let names: Vec<&str> =
        told[0]["series"].as_array().unwrap().iter().map(|row| row["series"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 4 * HOSTS + 4, "three regions and the busiest");
    let rejected: Vec<&Value> = told[0]["rejected"].as_array().unwrap().iter().map(|row| &row["series"]).collect();
    assert_eq!(rejected, ["lost", r#"once{host="h99",region="eu"}"#]);
    let used =
        told[0]["series"].as_array().unwrap().iter().find(|row| row["series"] == r#"used{host="h19",region="us"}"#);
    assert_eq!(used.unwrap()["read_as"]["maximum"], 100.0, "its own cores bound it");
    let run = foreshadow(&[&asked[..], &["--memory", "1MiB"]].concat());
    assert_eq!(run.err.matches("no series matches series[2].select, typo").count(), 1, "{}", run.err);
    assert_eq!(run.err.matches("lost is left out").count(), 1, "{}", run.err);
}

#[test]
fn memory_that_cannot_be_is_refused_by_its_key() {
    for amount in ["lots", "12", "-1GiB"] {
        let memory = format!("--memory={amount}");
        foreshadow(&["forecast", "--input", "x.csv", &memory]).assert_failed(4, &["forecast.memory", amount, "2GiB"]);
    }
    let folder = tempfile::tempdir().unwrap();
    let run = |folder: &Path, input: &str| {
        let mut command = Command::new(program("foreshadow"));
        command.args(["forecast", "--input", input, "--memory", "1MiB", "--models", "naive"]).env("TMPDIR", folder);
        foreshadow_tests::run(&mut command)
    };
    let input = fleet(&folder);
    run(&folder.path().join("gone"), &input).assert_failed(7, &["forecast.memory", "gone", "TMPDIR"]);
}

/// The most memory that a command had in use, in KiB.
fn peak_kib(arguments: &[&str]) -> u64 {
    let mut command = Command::new(program("foreshadow"));
    let mut child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[test]
fn a_fleet_four_times_as_large_takes_the_same_memory() {
    let folder = tempfile::tempdir().unwrap();
    let input = |workloads: &str| {
        let out = folder.path().join(format!("{workloads}.parquet")).to_str().unwrap().to_string();
        let run = foreshadow(&["simulate", "--workloads", workloads, "--days", "14", "--out", &out]);
        assert_eq!(run.code, Some(0), "{}", run.err);
        out
    };
    let (small, large) = (input("20"), input("80"));
    let peak = |input: &str, memory: &str| {
        peak_kib(&["forecast", "--input", input, "--models", "snaive", "--output", "csv", "--memory", memory])
    };
    let [one, four, unbounded] = [peak(&small, "32MiB"), peak(&large, "32MiB"), peak(&large, "4GiB")];
    println!("peak of 240 series {one} KiB, of 960 {four} KiB, of 960 at once {unbounded} KiB");
    assert!(four < one + one / 4 && four + four / 2 < unbounded, "{one} {four} {unbounded}");
}
