//! Sample paths from outside: whole futures that agree with the bands they are drawn of.

use std::path::PathBuf;

use foreshadow_tests::{Run, foreshadow};
use tempfile::TempDir;

/// Three weeks of hours that come and go by the day, with a disturbance that never repeats.
fn load(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("load.csv");
    let row = |hour: u32| {
        let day = (f64::from(hour) / 24.0 * std::f64::consts::TAU).sin();
        let value = 50.0 + 20.0 * day + 4.0 * (f64::from(hour * hour) * 0.7).sin();
        format!("{},load,{value}\n", 1_700_000_000 + 3_600 * hour)
    };
    let text: String = (0..21 * 24).map(row).collect();
    std::fs::write(&path, format!("timestamp,series,value\n{text}")).unwrap();
    path
}

fn forecast(input: &std::path::Path, further: &[&str]) -> Run {
    foreshadow(&[&["forecast", "--input", input.to_str().unwrap(), "--horizon", "24"], further].concat())
}

#[test]
fn paths_agree_with_the_bands_and_come_again_by_seed() {
    let folder = tempfile::tempdir().unwrap();
    let input = load(&folder);
    let told = forecast(&input, &["--paths", "400", "--output", "json"]).json();
    let series = &told["series"][0];
    let paths = series["paths"].as_array().unwrap();
    assert_eq!((paths.len(), paths[0].as_array().unwrap().len()), (400, 24));
    for (level, share) in [("0.1", 0.1), ("0.5", 0.5), ("0.9", 0.9)] {
        let edge = series["quantiles"][level].as_array().unwrap();
        let under = |step: usize| {
            let edge = edge[step].as_f64().unwrap();
            paths.iter().filter(|path| path[step].as_f64().unwrap() <= edge).count() as f64 / 400.0
        };
        // Four standard errors of a share of 400.
        let room = 4.0 * (share * (1.0 - share) / 400.0_f64).sqrt();
        assert!((0..24).all(|step| (under(step) - share).abs() <= room), "level {level}");
    }
    let again = forecast(&input, &["--paths", "400", "--output", "json"]).json();
    assert_eq!(told["series"], again["series"]);
    let none = forecast(&input, &["--output", "json"]).json();
    assert!(none["series"][0].get("paths").is_none());
}

#[test]
fn csv_has_a_column_a_path_and_a_family_alone_draws_none() {
    let folder = tempfile::tempdir().unwrap();
    let input = load(&folder);
    let told = forecast(&input, &["--paths", "3", "--output", "csv"]);
    let header = told.out.lines().next().unwrap();
    assert!(header.ends_with(",path1,path2,path3"), "{header}");
    assert!(told.out.lines().skip(1).all(|line| line.rsplit(',').take(3).all(|cell| cell.parse::<f64>().is_ok())));
    let refused = forecast(&input, &["--paths", "3", "--models", "snaive"]);
    assert!(
        refused.code != Some(0) && refused.err.contains("--paths") && refused.err.contains("auto"),
        "{}",
        refused.err
    );
}
