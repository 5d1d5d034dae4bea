//! `foreshadow train` as a user runs it: a network that forecasts series it never saw, a kill in the middle, bad files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use foreshadow_tests::{Run, foreshadow, program};
use serde_json::Value;
use tempfile::TempDir;

const DAY: usize = 24;
const STEPS: usize = 480;

fn noise(t: usize, s: usize) -> f64 {
    ((t * 7_919 + s * 104_729) % 1_009) as f64 / 1_009.0 - 0.5
}

/// A day that comes every day at a height of its own, and pushes that fade within hours of coming.
fn pushed(s: usize) -> impl Iterator<Item = f64> {
    let (mut push, height) = (0.0, (1 + s % 7) as f64);
    (0..STEPS).map(move |t| {
        push = 0.8 * push + if (t * 31 + s * 17).is_multiple_of(29) { 6.0 } else { 0.0 };
        height * (10.0 + 3.0 * (t as f64 / DAY as f64 * std::f64::consts::TAU).sin() + push + 0.5 * noise(t, s))
    })
}

/// A table of such series, hourly.
fn fleet(folder: &TempDir, name: &str, series: std::ops::Range<usize>) -> String {
    let row = |s: usize, (t, value): (usize, f64)| format!("s{s},{},{value}\n", 1_760_000_400 + 3_600 * t);
    let rows: String = series.flat_map(|s| pushed(s).enumerate().map(move |at| row(s, at))).collect();
    let path = folder.path().join(name);
    std::fs::write(&path, format!("id,timestamp,value\n{rows}")).unwrap();
    path.to_str().unwrap().into()
}

fn train<'a>(input: &'a str, to: &'a str, further: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["train", "--input", input, "--to", to, "--horizon", "12", "--hidden", "16", "--length", "24"];
    [&fixed, further].concat()
}

fn beside(to: &str, ending: &str) -> PathBuf {
    Path::new(&format!("{to}{ending}")).into()
}

#[test]
fn a_network_forecasts_series_that_it_never_saw() {
    let folder = tempfile::tempdir().unwrap();
    let (known, unseen) = (fleet(&folder, "known.csv", 0..12), fleet(&folder, "unseen.csv", 40..52));
    let to = folder.path().join("fleet.safetensors").to_str().unwrap().to_owned();
    let told = foreshadow(&train(&known, &to, &["--steps", "200", "--output", "json"])).json();
    assert_eq!(told["series"], 12);
    assert!(told["gain_percent"].as_f64().unwrap() > 10.0, "{told}");
    assert!(!beside(&to, ".checkpoint").exists() && !beside(&to, ".part").exists(), "what is done with is gone");
    let mase = |models: &str| {
        let asked = ["backtest", "--input", &unseen, "--horizon", "12", "--models", models, "--output", "json"];
        let told: Value = foreshadow(&asked).json();
        assert_eq!((told["failed"].as_u64(), told["fallback"].as_u64()), (Some(0), Some(0)), "{models}: {told}");
        told["mase"].as_f64().unwrap()
    };
    let (own, naive) = (mase(&format!("lstm-global={to}")), mase("snaive"));
    assert!(own < 0.8 * naive, "{own} and {naive}");
    let asked = ["forecast", "--input", &unseen, "--horizon", "24", "--models", &format!("lstm-global={to}")];
    foreshadow(&asked).assert_failed(4, &["--models", "trained for 12 steps ahead, and 24 are asked for"]);
}

#[test]
fn a_killed_training_goes_on_and_ends_where_it_would_have() {
    let folder = tempfile::tempdir().unwrap();
    let known = fleet(&folder, "known.csv", 0..4);
    let paths = ["whole", "cut"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let [whole, cut] = &paths;
    let further = ["--steps", "120"];
    let done = |run: Run| assert_eq!(run.code, Some(0), "{}", run.err);
    done(foreshadow(&train(&known, whole, &further)));
    let mut command = Command::new(program("foreshadow"));
    command.args(train(&known, cut, &further)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let (checkpoint, began) = (beside(cut, ".checkpoint"), Instant::now());
    let first = loop {
        match std::fs::read(&checkpoint) {
            Ok(bytes) => break bytes,
            Err(_) => assert!(began.elapsed() < Duration::from_secs(60), "nothing is kept"),
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    // One look further, so that there is something to go on from.
    while std::fs::read(&checkpoint).is_ok_and(|bytes| bytes == first) {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing moves");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(checkpoint.exists() && !Path::new(cut).exists(), "it was cut off in the middle");
    // Another training does not go on from it, and says how to begin anew.
    let other = foreshadow(&train(&known, cut, &["--steps", "120", "--seed", "9"]));
    other.assert_failed(3, &["cut.checkpoint cannot be gone on from", "of another training", "--afresh"]);
    let resumed = foreshadow(&train(&known, cut, &further));
    assert!(resumed.err.contains("going on from"), "{}", resumed.err);
    done(resumed);
    assert!(std::fs::read(whole).unwrap() == std::fs::read(cut).unwrap(), "the same bits");
    std::fs::write(&checkpoint, "damaged").unwrap();
    foreshadow(&train(&known, cut, &further)).assert_failed(3, &["the checkpoint is damaged", "--afresh"]);
    done(foreshadow(&train(&known, cut, &["--steps", "120", "--afresh"])));
    assert!(std::fs::read(whole).unwrap() == std::fs::read(cut).unwrap());
}

#[test]
fn what_cannot_be_trained_or_read_says_why_and_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let known = fleet(&folder, "known.csv", 0..2);
    let to = at("fleet.safetensors");
    std::fs::write(&to, "kept").unwrap();
    let flat = at("flat.csv");
    let rows: String = (0..400).map(|t| format!("{},7\n", 3_600 * t)).collect();
    std::fs::write(&flat, format!("timestamp,value\n{rows}")).unwrap();
    foreshadow(&train(&flat, &to, &[])).assert_failed(3, &["not one of 1 series can be learned of", "must move"]);
    let nowhere = at("no/such/folder.safetensors");
    foreshadow(&train(&known, &nowhere, &[])).assert_failed(3, &["no/such/folder.safetensors", "folder exists"]);
    assert_eq!(std::fs::read(&to).unwrap(), b"kept");
    // The folder of its part is where the file would go: training is not lost by that.
    std::fs::create_dir(beside(&to, ".part")).unwrap();
    let unwritten = train(&known, &to, &["--steps", "60"]);
    foreshadow(&unwritten).assert_failed(7, &["cannot use", "fleet.safetensors"]);
    assert!(beside(&to, ".checkpoint").exists() && std::fs::read(&to).unwrap() == b"kept");
    std::fs::remove_dir(beside(&to, ".part")).unwrap();
    let written = foreshadow(&unwritten);
    assert!(written.code == Some(0) && written.err.contains("step 60 of 60"), "{}", written.err);
    assert!(!beside(&to, ".checkpoint").exists());
    std::fs::write(&to, "kept").unwrap();
    let own = folder.path().to_str().unwrap();
    foreshadow(&train(&known, own, &[])).assert_failed(3, &["is a folder", "--to names the file"]);
    // A configuration may ask for the very network that is to be made.
    let new = at("new.safetensors");
    let named = format!("lstm-global={new}");
    let made = foreshadow(&train(&known, &new, &["--steps", "60", "--models", &named]));
    assert_eq!(made.code, Some(0), "{}", made.err);
    let asked = |file: &str| {
        foreshadow(&["forecast", "--input", &known, "--horizon", "12", "--models", &format!("lstm-global={file}")])
    };
    let place = "forecast.models";
    asked(&to).assert_failed(4, &[place, "is no network that `foreshadow train` writes", "not a whole safetensors"]);
    asked(&at("missing")).assert_failed(4, &[place, "missing cannot be read"]);
    foreshadow(&["train", "--input", &known]).assert_failed(2, &["--to <FILE>"]);
}
