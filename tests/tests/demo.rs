//! `foreshadow demo` as a new user runs it, with `terraform` and without, and its report in a real browser.

use std::path::Path;
use std::process::Command;

use foreshadow_tests::program;
use serde_json::Value;

fn demo(folder: &Path, path: &str) -> Value {
    let output = Command::new(program("foreshadow"))
        .args(["demo", "--output", "json", "--device", "cpu"])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn numbers<'a>(rows: &'a Value, key: &str) -> Vec<f64> {
    let rows: &'a Vec<Value> = rows.as_array().expect("rows");
    rows.iter().map(|row| row[key].as_f64().unwrap_or_else(|| panic!("{key} in {row}"))).collect()
}

#[test]
fn the_main_job_needs_nothing_else_installed() {
    let folder = tempfile::tempdir().unwrap();
    let told = demo(folder.path(), "");
    let series = told["series"].as_array().unwrap();
    assert_eq!(series.len(), 2 + 3 * 40 * 4);
    assert_eq!(series.iter().filter(|row| row["simulated"] == false).count(), 2, "the real ones are told apart");
    let coverage = numbers(&told["series"], "coverage95_percent");
    let mean = coverage.iter().sum::<f64>() / coverage.len() as f64;
    assert!((80.0..=100.0).contains(&mean), "{mean} % of the last day inside the 95 % band");
    assert_eq!(told["workloads"].as_array().unwrap().len(), 120);
    assert!(numbers(&told["workloads"], "replicas_recommended").iter().all(|replicas| *replicas >= 1.0));
    let hcl = told["terraform"]["hcl"].as_str().expect("the HCL where no terraform is");
    assert!(hcl.contains("foreshadow_recommendation") && told["terraform"]["absent"].is_string(), "{told}");
    opens_without_internet(&folder.path().join("report.html"));
}

/// No script, style or picture comes from elsewhere, and a browser draws the plots.
fn opens_without_internet(report: &Path) {
    let page = std::fs::read_to_string(report).expect("the report was written");
    for outside in ["<script src", "<script async src", "<script type=\"text/javascript\" src", "<link ", "<img "] {
        let markup = page.lines().filter(|line| line.len() < 10_000); // the embedded libraries' text holds markup too
        let loads: Vec<&str> = markup.filter(|line| line.contains(outside) && line.contains("http")).collect();
        assert!(loads.is_empty(), "the report loads from elsewhere: {loads:?}");
    }
    assert!(page.contains("CC BY 4.0") && page.contains("simulated"), "attribution and label");
    let profile = tempfile::tempdir().unwrap();
    let browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"])
        .args(["--virtual-time-budget=20000", "--no-first-run", "--disable-sync", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", report.display()))
        .output();
    let Ok(browser) = browser else {
        assert!(std::env::var_os("CI").is_none(), "chromium can be installed: apt-get install chromium");
        println!("skipped: the report in a browser: chromium is not on PATH");
        return;
    };
    let drawn = String::from_utf8_lossy(&browser.stdout);
    let plots = drawn.matches("class=\"main-svg\"").count();
    assert!(plots >= 3, "{plots} plots were drawn: {}", String::from_utf8_lossy(&browser.stderr));
}

#[test]
fn a_real_plan_is_shown_where_terraform_is() {
    let path = std::env::var("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join("terraform").exists());
    if !there {
        println!("skipped: the demo's plan: terraform is not on PATH");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let plan = demo(folder.path(), &path)["terraform"]["plan"].as_str().expect("a plan").to_string();
    assert!(plan.contains("foreshadow_scaling_decision") && plan.contains("3 to add"), "{plan}");
}
