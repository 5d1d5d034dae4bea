//! `foreshadow doctor`: what is here is named, and what is not comes with what to install.

use std::process::Command;

use foreshadow_tests::{foreshadow, program, run};
use serde_json::Value;

fn findings() -> Vec<Value> {
    foreshadow(&["doctor", "--output", "json"]).json().as_array().expect("a list").clone()
}

fn found<'a>(findings: &'a [Value], what: &str) -> &'a Value {
    let named = findings.iter().find(|finding| finding["what"] == what);
    named.unwrap_or_else(|| panic!("{what} is not looked for: {findings:?}"))
}

#[test]
fn everything_looked_for_is_here_or_comes_with_what_to_do() {
    let told = findings();
    assert_eq!(found(&told, "device cpu")["here"], true);
    for device in ["cuda", "wgpu", "cpu"] {
        let device = found(&told, &format!("device {device}"));
        let said = device["said"].as_str().unwrap();
        assert!(!said.is_empty() && (device["here"] == true || said.contains("install ")), "{device}");
    }
    let automatic = told.iter().filter(|finding| finding["said"].as_str().unwrap().contains("what auto takes")).count();
    assert_eq!(automatic, 1, "auto takes one device: {told:?}");
    for (name, remedy) in [
        ("terraform", "https://developer.hashicorp.com/terraform/install"),
        ("prometheus", "apt-get install prometheus"),
        ("promtool", "apt-get install prometheus"),
        ("chromium", "apt-get install chromium"),
        ("python3", "apt-get install python3"),
    ] {
        let tool = found(&told, name);
        let said = tool["said"].as_str().unwrap();
        let version = said.chars().any(|letter| letter.is_ascii_digit()) && !said.contains("not on PATH");
        let advice = said.starts_with("not on PATH; ") && said.contains(remedy);
        assert!(if tool["here"] == true { version } else { advice }, "{tool}");
    }
    let provider = found(&told, "terraform-provider-foreshadow");
    assert_eq!(provider["said"], program("terraform-provider-foreshadow").display().to_string());
    assert_eq!(provider["here"], true, "it is built beside the program under test");
}

#[test]
fn a_bare_machine_is_told_what_every_tool_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("foreshadow");
    std::fs::copy(program("foreshadow"), &alone).unwrap();
    let mut command = Command::new(&alone);
    let told = run(command.args(["doctor", "--output", "json"]).env("PATH", "").current_dir(&folder)).json();
    let told = told.as_array().unwrap();
    for name in ["terraform", "prometheus", "promtool", "chromium", "python3"] {
        let tool = found(told, name);
        assert!(tool["here"] == false && tool["said"].as_str().unwrap().starts_with("not on PATH; "), "{tool}");
    }
    let provider = found(told, "terraform-provider-foreshadow");
    assert!(provider["here"] == false && provider["said"].as_str().unwrap().contains("cargo build"), "{provider}");
}

#[test]
fn table_and_csv_tell_the_same_findings() {
    let told = findings();
    let shown = foreshadow(&["doctor"]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    let rows = foreshadow(&["doctor", "--output", "csv"]).csv();
    assert_eq!(rows[0], ["what", "here", "said"]);
    assert_eq!(rows.len(), told.len() + 1);
    for (finding, row) in told.iter().zip(&rows[1..]) {
        let [what, said] = ["what", "said"].map(|key| finding[key].as_str().unwrap());
        assert_eq!([what, &finding["here"].to_string(), said], row[..]);
        assert!(shown.out.contains(what) && shown.out.contains(said), "{what} is missing in {}", shown.out);
    }
}

#[test]
fn a_device_that_is_not_here_is_a_setting_to_mend_and_no_crash() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let report = report.to_str().unwrap();
    if found(&findings(), "device cuda")["here"] == true {
        println!("skipped: the demo on a CUDA that is missing: this machine has one");
    } else {
        let run = foreshadow(&["demo", "--device", "cuda", "--report", report]);
        run.assert_failed(4, &["the device cannot be used", "no cuda device", "install ", "foreshadow doctor"]);
        assert!(run.out.is_empty() && !folder.path().join("report.html").exists(), "{}", run.out);
    }
    let unknown = foreshadow(&["demo", "--device", "gpu", "--report", report]);
    unknown.assert_failed(2, &["unknown device `gpu`", "auto, cpu, wgpu or cuda"]);
}
