//! `foreshadow demo` as a new user runs it, with `terraform` and without, and its report in a real browser.

use std::path::Path;
use std::process::Command;

use foreshadow_tests::{program, required};
use serde_json::Value;

fn demo(folder: &Path, path: &str, format: &str) -> String {
    let output = Command::new(program("foreshadow"))
        .args(["demo", "--output", format, "--device", "cpu"])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("CARGO") // or it builds the provider anew, without these tests' assertions
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the answer is text")
}

fn demo_json(folder: &Path, path: &str) -> Value {
    serde_json::from_str(&demo(folder, path, "json")).expect("one JSON object")
}

fn numbers<'a>(rows: &'a Value, key: &str) -> Vec<f64> {
    let rows: &'a Vec<Value> = rows.as_array().expect("rows");
    rows.iter().map(|row| row[key].as_f64().unwrap_or_else(|| panic!("{key} in {row}"))).collect()
}

#[test]
fn the_main_job_needs_nothing_else_installed() {
    let folder = tempfile::tempdir().unwrap();
    let told = demo_json(folder.path(), "");
    let series = told["series"].as_array().unwrap();
    assert_eq!(series.len(), 2 + 3 * 40 * 4);
    assert_eq!(series.iter().filter(|row| row["simulated"] == false).count(), 2, "the real ones are told apart");
    let covered = mean(&numbers(&told["series"], "coverage95_percent"));
    assert!((80.0..=100.0).contains(&covered), "{covered} % of the last day inside the 95 % band");
    let simulated = series.iter().filter(|row| row["simulated"] == true).cloned().collect();
    let [ours, naive] = ["mase", "mase_seasonal_naive"].map(|key| mean(&numbers(&simulated, key)));
    assert!(ours <= naive, "a mean MASE of {ours} against seasonal naive's {naive}");
    let episodes = series.iter().flat_map(|row| row["anomalies"].as_array().unwrap());
    let mut found = 0;
    for episode in episodes {
        let [start, end] = ["start_ms", "end_ms"].map(|key| episode[key].as_i64().unwrap());
        assert!(end - start >= 2 * 300_000, "three steps of five minutes at least: {episode}");
        assert!(episode["half_widths"].as_f64().unwrap().abs() > 2.0, "past the threshold: {episode}");
        found += 1;
    }
    assert!(found > 0, "no anomaly on any of {} series", series.len());
    a_region_runs_short(&told["workloads"]);
    let hcl = told["terraform"]["hcl"].as_str().expect("the HCL where no terraform is");
    assert!(hcl.contains("foreshadow_recommendation") && told["terraform"]["absent"].is_string(), "{told}");
    opens_without_internet(&folder.path().join("report.html"));
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// What runs now is too little in one region, and the recommendation says so.
fn a_region_runs_short(workloads: &Value) {
    assert_eq!(workloads.as_array().unwrap().len(), 120);
    assert!(numbers(workloads, "replicas_now").iter().all(|replicas| *replicas > 0.0));
    assert!(numbers(workloads, "replicas_recommended").iter().all(|replicas| *replicas >= 1.0));
    let short = workloads.as_array().unwrap().iter().filter(|row| row["region"] == "ap-south").cloned().collect();
    let [now, wanted] = ["replicas_now", "replicas_recommended"].map(|key| numbers(&short, key).iter().sum::<f64>());
    assert!(wanted > now, "ap-south runs short with {now} replicas, and {wanted} are recommended");
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
    if !required("chromium", "the report in a browser") {
        return;
    }
    let profile = tempfile::tempdir().unwrap();
    let browser = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"])
        .args(["--virtual-time-budget=20000", "--no-first-run", "--disable-sync", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", report.display()))
        .output()
        .expect("the browser starts");
    let drawn = String::from_utf8_lossy(&browser.stdout);
    let plots = drawn.matches("class=\"main-svg\"").count();
    assert!(plots >= 3, "{plots} plots were drawn: {}", String::from_utf8_lossy(&browser.stderr));
}

#[test]
fn a_real_plan_is_shown_where_terraform_is() {
    if !required("terraform", "the demo's plan") {
        return;
    }
    let path = std::env::var("PATH").unwrap_or_default();
    assert!(program("terraform-provider-foreshadow").exists(), "the demo takes the one beside it");
    let folder = tempfile::tempdir().unwrap();
    let told = demo_json(folder.path(), &path)["terraform"].clone();
    let plan = told["plan"].as_str().unwrap_or_else(|| panic!("no plan: {}", told["absent"]));
    assert!(plan.contains("foreshadow_scaling_decision") && plan.contains("3 to add"), "{plan}");
}

/// The rows under the first header that holds all these words, each cell trimmed.
fn rows<'a>(text: &'a str, header: &[&str]) -> Vec<Vec<&'a str>> {
    let lines = || text.lines().map(|line| line.trim_matches(['│', ' ']));
    let at = lines().position(|line| header.iter().all(|word| line.contains(word)));
    let at = at.unwrap_or_else(|| panic!("no header with {header:?} in {text}"));
    let cells = |line: &'a str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    lines().skip(at + 2).take_while(|line| !line.starts_with('└')).map(cells).collect()
}

#[test]
fn a_person_reads_tables_that_tell_simulated_from_real() {
    let folder = tempfile::tempdir().unwrap();
    let text = demo(folder.path(), "", "table");
    for words in [
        "2 real and 480 simulated series (seed 1)",
        "The last day, held out",
        "In all: a mean MASE of",
        "of 482 series with an anomaly",
        "Real series: azure_vm_2019_total, from Azure Public Dataset V2",
        "CC BY 4.0",
        "No plan was made of this: terraform is not on PATH.",
        "Report with plots: report.html",
    ] {
        assert!(text.contains(words), "{words:?} is missing in {text}");
    }
    let series = rows(&text, &["series", "champion", "MASE", "seasonal naive", "gain", "in 95 % band", "anomalies"]);
    assert_eq!(series.len(), 10, "the most telling ones: {series:?}");
    let (real, simulated): (Vec<_>, Vec<_>) = series.iter().partition(|row| row[0].starts_with("azure_vm_2019_total "));
    assert_eq!((real.len(), simulated.len()), (2, 8));
    assert!(real.iter().all(|row| !row[0].contains("simulated")), "{real:?}");
    assert!(simulated.iter().all(|row| row[0].ends_with(" (simulated)")), "{simulated:?}");

    let regions = rows(&text, &["region", "workloads", "replicas now", "recommended", "change"]);
    let names: Vec<&str> = regions.iter().map(|row| row[0]).collect();
    assert_eq!(names, ["eu-west", "us-east", "ap-south"]);
    for row in &regions {
        let [workloads, now, wanted] = [1, 2, 3].map(|at| row[at].parse::<f64>().unwrap());
        assert_eq!((workloads, row[4]), (40.0, format!("{:+.0} %", 100.0 * (wanted - now) / now).as_str()), "{row:?}");
    }
    let pressing =
        rows(&text, &["workload", "model", "peak demand", "use of what runs", "replicas now", "recommended"]);
    let uses: Vec<f64> = pressing.iter().map(|row| row[4].trim_end_matches(" %").parse().unwrap()).collect();
    assert!(
        uses.len() == 10 && uses.is_sorted_by(|a, b| a >= b) && uses[0] > 100.0,
        "the most pressing first: {uses:?}"
    );
}
