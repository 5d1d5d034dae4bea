//! Families on a device as their users meet them: `--device` of `forecast`, and what cannot be done there.

use std::fmt::Write as _;

use foreshadow_kernels::device::present;
use foreshadow_kernels::{Device, DeviceChoice};
use foreshadow_tests::foreshadow;
use serde_json::Value;
use tempfile::TempDir;

/// Ten days of hours of two hosts.
fn table(folder: &TempDir) -> String {
    let mut rows = String::from("timestamp,host,value\n");
    for hour in 0..240 {
        for host in 0..2 {
            let day = (f64::from(hour) / 24.0 * std::f64::consts::TAU).sin();
            let noise = f64::from((hour * (17 + host)) * 7_919 % 101) / 101.0;
            writeln!(rows, "{},h{host},{}", 1_760_000_400 + 3_600 * i64::from(hour), 20.0 + 5.0 * day + noise).unwrap();
        }
    }
    let path = folder.path().join("hosts.csv");
    std::fs::write(&path, rows).unwrap();
    path.to_str().unwrap().into()
}

/// Every mean of a forecast, series by series.
fn means(input: &str, family: &str, device: &str) -> Vec<f64> {
    let asked = ["forecast", "--input", input, "--horizon", "24", "--models", family, "--device", device];
    let run = foreshadow(&[&asked[..], &["--output", "json"]].concat());
    assert_eq!(run.code, Some(0), "{family} on {device}: {}", run.err);
    let told: Value = serde_json::from_str(&run.out).unwrap();
    let series = told["series"].as_array().unwrap();
    assert_eq!(series.len(), 2);
    series.iter().flat_map(|own| own["mean"].as_array().unwrap()).map(|mean| mean.as_f64().unwrap()).collect()
}

#[test]
fn a_forecast_from_a_device_is_that_from_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let input = table(&folder);
    for device in present().into_iter().filter(|device| device.kind() != "cpu") {
        for family in ["theta", "ets", "mstl", "prophet"] {
            let (here, there) = (means(&input, family, "cpu"), means(&input, family, device.kind()));
            let room = if device.has_f64() { 0.02 } else { 0.1 };
            let apart = here.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(here.len() == 48 && there.len() == 48 && apart <= room, "{family} on {device}: {apart} apart");
        }
    }
}

#[test]
fn what_a_device_cannot_do_is_told_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let input = table(&folder);
    let run = |more: &[&str]| foreshadow(&[&["forecast", "--input", &input, "--horizon", "24"], more].concat());
    let refused = run(&["--device", "cuda"]);
    assert_eq!(refused.code, Some(4), "{}", refused.err);
    for told in ["--device", "forecast.device", "auto is fitted on the CPU alone", "theta"] {
        assert!(refused.err.contains(told), "{told}: {}", refused.err);
    }
    let unknown = run(&["--device", "gpu"]);
    assert!(unknown.code == Some(2) && unknown.err.contains("choose auto, cpu, wgpu or cuda"), "{}", unknown.err);
    let config = folder.path().join("foreshadow.toml");
    std::fs::write(&config, "[forecast]\nmodels = ['theta']\ndevice = 'tpu'\n").unwrap();
    let written = run(&["--config", config.to_str().unwrap()]);
    assert!(written.code == Some(4) && written.err.contains("forecast.device"), "{}", written.err);
    if let Err(missing) = Device::open(DeviceChoice::Cuda) {
        let gone = run(&["--device", "cuda", "--models", "theta"]);
        assert_eq!(gone.code, Some(4), "{}", gone.err);
        assert!(
            gone.err.contains("--device cpu always works") && gone.err.contains(&missing.to_string()),
            "{}",
            gone.err
        );
    }
    let any = run(&["--device", "auto"]);
    assert_eq!(any.code, Some(0), "auto takes the best there is: {}", any.err);
}
