//! `foreshadow explain`: a fleet whose users change is followed, and every answer says why.

use std::path::{Path, PathBuf};

use foreshadow_tests::{Run, foreshadow};
use tempfile::TempDir;

const SERIES: &str = r#"requests_per_second{region="eu-west",simulated="true",workload="checkout-eu-west-1"}"#;

/// Five weeks of a fleet whose users change three days before its end.
fn fleet(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("fleet.parquet");
    let out = path.to_str().unwrap();
    let asked = ["simulate", "--seed", "5", "--workloads", "1", "--days", "35", "--turn-days", "32", "--out", out];
    let simulated = foreshadow(&asked);
    assert_eq!(simulated.code, Some(0), "{}", simulated.err);
    path
}

fn explain(series: &str, input: &Path, further: &[&str]) -> Run {
    let fixed = ["explain", series, "--input", input.to_str().unwrap(), "--horizon", "288", "--lookback", "4032"];
    foreshadow(&[&fixed, further].concat())
}

#[test]
fn a_series_is_told_with_its_families_its_changes_and_a_plot() {
    let folder = tempfile::tempdir().unwrap();
    let (input, page) = (fleet(&folder), folder.path().join("why.html"));
    let told = explain(SERIES, &input, &["--output", "json", "--plot", page.to_str().unwrap()]).json();
    assert_eq!((told["series"].as_str(), told["issues"].as_u64()), (Some(SERIES), Some(12)));
    let champion = told["champion"].as_str().unwrap();
    let families = told["families"].as_array().unwrap();
    let own = families.iter().find(|family| family["name"] == champion).expect("the champion is among the families");
    assert!(own["error_live"].is_number() && families.len() > 5);
    for switch in told["switches"].as_array().unwrap() {
        assert!(!switch["reason"].as_str().unwrap().is_empty() && switch["from"] != switch["to"]);
    }
    let numbers = |key: &str| told[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
    let (low, mean, high) = (numbers("low95"), numbers("mean"), numbers("high95"));
    assert_eq!(mean.len(), 288);
    assert!(low.iter().zip(&high).all(|(low, high)| low <= high));
    let html = std::fs::read_to_string(page).unwrap();
    assert!(html.contains("checkout-eu-west-1") && html.contains("Plotly"));
    let text = explain(SERIES, &input, &["--issues", "2"]).out;
    for expected in ["served by", "error live", "serves", "Live: 2 issues, 6 hours apart", "⠀"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn a_family_asked_for_beside_auto_s_own_is_told_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let input = fleet(&folder);
    let named = |models: &str| -> Vec<String> {
        let told = explain(SERIES, &input, &["--issues", "1", "--output", "json", "--models", models]).json();
        let families = told["families"].as_array().unwrap();
        families.iter().map(|family| family["name"].as_str().unwrap().into()).collect()
    };
    let (own, with) = (named("auto"), named("auto+theta2+drift"));
    assert!(!own.contains(&"theta_dotm2".into()) && with.contains(&"theta_dotm2".into()), "{with:?}");
    assert_eq!(with.len(), own.len() + 1, "drift is one of auto's own: {with:?}");
    explain(SERIES, &input, &["--models", "auto+gpt"]).assert_failed(4, &["auto+gpt", "auto+NAME"]);
}

#[test]
fn a_word_that_names_none_or_many_is_refused_with_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let input = fleet(&folder);
    explain("nowhere", &input, &[]).assert_failed(3, &["nowhere", "12 series", "checkout-eu-west-1"]);
    explain("checkout", &input, &[]).assert_failed(3, &["checkout", "any of 12 series", "name one"]);
    let said = ["`forecast.models` is [\"theta\"]", "explain shows how auto chooses"];
    explain(SERIES, &input, &["--models", "theta"]).assert_failed(4, &said);
    explain(SERIES, &input, &["--models", "auto,theta"]).assert_failed(4, &["explain shows how auto chooses"]);
    let plot = folder.path().join("no/such/folder.html");
    explain(SERIES, &input, &["--issues", "0", "--plot", plot.to_str().unwrap()]).assert_failed(7, &["folder.html"]);
}
