//! The command line itself: columns by any name, one command's output as another's input, help that helps.

use std::path::PathBuf;

use foreshadow_tests::foreshadow;
use serde_json::Value;
use tempfile::TempDir;

const COMMANDS: [&str; 10] =
    ["demo", "forecast", "backtest", "train", "explain", "simulate", "serve", "doctor", "config", "completions"];

fn written(folder: &TempDir, name: &str, text: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

fn forecast(arguments: &[&str]) -> Value {
    let fixed = ["forecast", "--models", "naive", "--horizon", "2", "--output", "json"];
    foreshadow(&[&fixed, arguments].concat()).json()
}

/// Numbers this small would be taken for seconds; one of them is a time that no calendar has.
#[test]
fn columns_by_other_names_and_times_in_milliseconds_are_read_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..5).map(|at| format!("{at}.5,{},\"eu, west\",x{at},web\n", 60_000 * at)).collect();
    let absurd = format!("9,{0},\"eu, west\",x9,web\n9,{0},here,x9,gone\n", i64::MAX);
    let input = written(&folder, "odd.csv", &format!("Wert [1/s],when?,the region,noise,host\n{rows}{absurd}"));
    let named = ["--input", &input, "--value-column", "Wert [1/s]", "--time-column", "when?"];
    let told = forecast(&[&named[..], &["--label-columns", "the region,host", "--time-unit", "ms"]].concat());
    let series = told["series"].as_array().unwrap();
    assert_eq!(series.len(), 1, "a column that is no label parts no series: {told}");
    assert_eq!(series[0]["series"], r#"{host="web","the region"="eu, west"}"#);
    assert_eq!(
        (&series[0]["step_ms"], &series[0]["cutoff_ms"], &series[0]["notes"]["absurd_times"]),
        (&60_000.into(), &240_000.into(), &1.into())
    );
    assert_eq!(series[0]["mean"], serde_json::json!([4.5, 4.5]));
    assert_eq!(told["rejected"][0]["series"], r#"{host="gone","the region"="here"}"#);
    let reason = told["rejected"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("1 of 1 samples lie beyond the year 9999"), "{reason}");

    // The same numbers are other times in other units, and without --label-columns each row is a series.
    let seconds = written(&folder, "seconds.csv", &format!("Wert [1/s],when?,the region,noise,host\n{rows}"));
    let named = ["--input", &seconds, "--value-column", "Wert [1/s]", "--time-column", "when?"];
    let told = forecast(&[&named[..], &["--label-columns", "host", "--time-unit", "s"]].concat());
    assert_eq!(
        (&told["series"][0]["series"], &told["series"][0]["step_ms"]),
        (&r#"{host="web"}"#.into(), &60_000_000.into())
    );
    let fixed = ["forecast", "--models", "naive", "--horizon", "2", "--output", "json", "--time-unit", "ms"];
    let run = foreshadow(&[&fixed, &named[..]].concat());
    run.assert_failed(3, &["none of 5 series can be forecast; the first, ", "one sample only"]);
    let parted: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((parted["series"].as_array().unwrap().len(), parted["rejected"].as_array().unwrap().len()), (0, 5));

    let wrong = ["forecast", "--input", &input, "--value-column", "value", "--time-column", "when?"];
    foreshadow(&wrong).assert_failed(3, &["has no column \"value\"", "Wert [1/s], when?, the region, noise, host"]);
    foreshadow(&["forecast", "--time-unit", "ms"]).assert_failed(2, &["--input"]);
}

#[test]
fn a_simulated_fleet_is_forecast_by_the_next_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let simulated = |name: &str, seed: &str| {
        let out = path(name);
        let fixed = ["simulate", "--workloads", "1", "--days", "2", "--end-ms", "1760000400000"];
        let run = foreshadow(&[&fixed[..], &["--seed", seed, "--out", &out]].concat());
        assert_eq!(run.code, Some(0), "{}", run.err);
        assert!(run.err.contains("12 simulated series of 2 days"), "{}", run.err);
        forecast(&["--input", &out])
    };
    let told = simulated("fleet.csv.gz", "7");
    let series = told["series"].as_array().unwrap();
    assert_eq!((series.len(), told["rejected"].as_array().unwrap().len()), (12, 0));
    for series in series {
        assert!(series["series"].as_str().unwrap().contains(r#"simulated="true""#), "{series}");
        assert_eq!(series["step_ms"], 300_000);
        assert!(series["mean"].as_array().unwrap().iter().all(|mean| mean.as_f64().unwrap() >= 0.0), "{series}");
    }
    assert_eq!(told, simulated("fleet.parquet", "7"), "the same seed gives the same fleet, in any kind of table");
    assert_ne!(told, simulated("other.csv", "8"));
    let ending = foreshadow(&["simulate", "--out", &path("fleet.txt")]);
    ending.assert_failed(3, &["fleet.txt is no table by its name", ".csv, .csv.gz or .parquet"]);
}

#[test]
fn every_command_explains_itself() {
    let told = foreshadow(&["--help"]);
    assert_eq!(told.code, Some(0), "{}", told.err);
    for command in COMMANDS {
        let listed = told.out.lines().any(|line| line.split_whitespace().next() == Some(command));
        assert!(listed, "{command} is missing in {}", told.out);
        let help = foreshadow(&[command, "--help"]);
        assert_eq!(help.code, Some(0), "{command}: {}", help.err);
        let usage = help.out.lines().find(|line| line.starts_with("Usage: "));
        assert!(usage.is_some_and(|line| line.starts_with(&format!("Usage: foreshadow {command}"))), "{}", help.out);
        let version = foreshadow(&[command, "--version"]);
        assert!(
            version.code == Some(0) && version.out.contains(env!("CARGO_PKG_VERSION")),
            "{command}: {}",
            version.out
        );
    }
    for command in ["forecast", "backtest", "train", "explain", "simulate", "serve", "config", "completions"] {
        let help = foreshadow(&[command, "--help"]).out;
        let call = format!("foreshadow {command} ");
        let example = help.lines().any(|line| line.trim_start_matches("Example:").trim().starts_with(&call));
        assert!(help.contains("Example") && example, "{command} has no example: {help}");
    }
    assert!(told.out.contains("Exit codes: 0 done"), "{}", told.out);
    foreshadow(&[]).assert_failed(2, &["Usage: foreshadow <COMMAND>"]);
    foreshadow(&["forcast"]).assert_failed(2, &["forcast", "forecast"]);
}

#[test]
fn completions_name_every_command_and_flag() {
    for shell in ["bash", "zsh", "fish"] {
        let script = foreshadow(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{shell}: {}", script.err);
        for word in COMMANDS.into_iter().chain(["mase-season", "label-columns", "log-format"]) {
            assert!(script.out.contains(word), "{shell} does not complete {word}");
        }
    }
    foreshadow(&["completions", "tcsh"]).assert_failed(2, &["tcsh", "bash"]);
}

#[test]
fn the_printed_configuration_is_one_that_is_accepted_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..60).map(|at| format!("{},{}\n", 60 * at, at % 7)).collect();
    let input = written(&folder, "small.csv", &format!("timestamp,value\n{rows}"));
    let printed = foreshadow(&["config"]);
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let config = written(&folder, "foreshadow.toml", &printed.out);
    let asked = ["forecast", "--input", &input, "--output", "json"];
    let plain = foreshadow(&asked).json();
    assert_eq!(plain["series"][0]["mean"].as_array().unwrap().len(), 288);
    assert_eq!(foreshadow(&[&asked[..], &["--config", &config]].concat()).json(), plain);
    let changed = written(&folder, "changed.toml", &printed.out.replace("horizon_steps = 288", "horizon_steps = 7"));
    let changed = foreshadow(&[&asked[..], &["--config", &changed]].concat()).json();
    assert_eq!(changed["series"][0]["mean"].as_array().unwrap().len(), 7, "it is this file that is read");
}
