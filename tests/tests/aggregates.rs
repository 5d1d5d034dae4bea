//! `[[aggregate]]` as its users meet it: sums and maxima are forecast, backtested, served and explained like any other
//! series, and forecasts of a sum and its parts agree.

use std::path::{Path, PathBuf};

use foreshadow_tests::serving::Serving;
use foreshadow_tests::{Run, foreshadow};
use serde_json::Value;
use tempfile::TempDir;

const START_S: i64 = 1_760_000_400;
const HOURS: usize = 21 * 24;
const EU: &str = r#"rps{host="a",region="eu"}"#;
const US: &str = r#"rps{host="b",region="us"}"#;
const TABLES: &str = "[[aggregate]]\nname = 'total'\nfunction = 'sum'\nselect = 'rps'\n\
                      [[aggregate]]\nname = 'top'\nfunction = 'max'\nselect = 'rps'\n\
                      [[aggregate]]\nname = 'lost'\nfunction = 'sum'\nselect = 'nope'\n";

/// Three weeks of hours of two hosts whose days differ, and a configuration that adds them up.
fn configured(folder: &TempDir) -> PathBuf {
    let value = |host: usize, hour: usize| {
        let day = ((hour + 5 * host) as f64 / 24.0 * std::f64::consts::TAU).sin();
        let noise = ((hour * (17 + host)) * 7_919 % 101) as f64 / 101.0;
        (50.0 + 40.0 * host as f64) * (1.0 + 0.3 * day + 0.2 * noise)
    };
    let hosts = [("a", "eu"), ("b", "us")];
    let rows: String = (0..HOURS)
        .flat_map(|hour| hosts.iter().enumerate().map(move |(at, host)| (hour, at, host)))
        .map(|(hour, at, (host, region))| {
            format!("{},rps,{host},{region},{}\n", START_S + 3_600 * hour as i64, value(at, hour))
        })
        .collect();
    let input = folder.path().join("input.csv");
    std::fs::write(&input, format!("timestamp,__name__,host,region,value\n{rows}")).unwrap();
    let store = folder.path().join("store");
    let text = format!(
        "{TABLES}[source.file]\npath = {input:?}\n[forecast]\nhorizon_steps = 24\n[store]\npath = {store:?}\n\
         [serve]\ngrpc = '127.0.0.1:0'\nhttp = '127.0.0.1:0'\n"
    );
    let path = folder.path().join("foreshadow.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn with(command: &[&str], config: &Path, further: &[&str]) -> Run {
    foreshadow(&[command, &["--config", config.to_str().unwrap()], further].concat())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn mean_of(told: &Value, series: &str) -> Vec<f64> {
    let found = told["series"].as_array().unwrap().iter().find(|row| row["series"] == series);
    numbers(&found.unwrap_or_else(|| panic!("{series} is not in {told}"))["mean"])
}

#[test]
fn a_forecast_of_a_sum_is_that_of_its_parts_and_a_maximum_is_under_none() {
    let folder = tempfile::tempdir().unwrap();
    let run = with(&["forecast"], &configured(&folder), &["--output", "json"]);
    let told = run.json();
    let [eu, us, total, top] = [EU, US, "total", "top"].map(|series| mean_of(&told, series));
    for step in 0..24 {
        let parts = eu[step] + us[step];
        assert!((total[step] - parts).abs() <= 1e-9 * parts, "{step}: {} {parts}", total[step]);
        assert!(top[step] >= eu[step].max(us[step]), "{step}");
    }
    assert_eq!(told["rejected"][0]["series"], "lost");
    assert!(run.err.contains("lost is left out: no series matches nope"), "{}", run.err);
    assert!(told.get("not_coherent").is_none());
}

#[test]
fn a_sum_without_the_forecast_of_a_part_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(&folder);
    let text = std::fs::read_to_string(folder.path().join("input.csv")).unwrap();
    // Of the second host the last ten hours are left: too few for a day's season.
    let from = START_S + 3_600 * (HOURS as i64 - 10);
    let is_kept =
        |line: &&str| !line.contains(",b,") || line.split(',').next().unwrap().parse::<i64>().unwrap() >= from;
    let kept: Vec<&str> = text.lines().filter(is_kept).collect();
    std::fs::write(folder.path().join("input.csv"), kept.join("\n")).unwrap();
    let run = with(&["forecast"], &config, &["--output", "json", "--models", "snaive"]);
    let told = run.json();
    let left = &told["not_coherent"][0];
    assert_eq!(left["series"], "total");
    assert_eq!(left["reason"], format!("its part {US} has no forecast"));
    assert!(run.err.contains("total is forecast without regard to its parts"), "{}", run.err);
}

#[test]
fn a_sum_that_lacks_a_part_says_so_and_agrees_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(&folder);
    let input = folder.path().join("input.csv");
    let text = std::fs::read_to_string(&input).unwrap();
    let mut kept: Vec<String> = text.lines().filter(|line| !line.contains(",b,")).map(String::from).collect();
    kept.push(format!("{START_S},rps,b,us,1"));
    std::fs::write(&input, kept.join("\n")).unwrap();
    let run = with(&["forecast"], &config, &["--output", "json"]);
    let told = run.json();
    assert!(run.err.contains(&format!("total is made without {US}, which could not be read")), "{}", run.err);
    for (total, part) in mean_of(&told, "total").into_iter().zip(mean_of(&told, EU)) {
        assert!((total - part).abs() <= 1e-9 * part, "one part is left, which is the sum: {total} and {part}");
    }
    assert!(told.get("not_coherent").is_none());
}

#[test]
fn a_backtest_judges_what_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(&folder);
    let rows = with(&["backtest"], &config, &["--output", "csv", "--models", "snaive", "--origins", "2"]).csv();
    let row = |series: &str| rows.iter().find(|row| row[0] == series).unwrap_or_else(|| panic!("{series} in {rows:?}"));
    for series in [EU, US, "total", "top"] {
        assert_eq!((row(series)[3].as_str(), row(series)[4].as_str()), ("fitted", "48"), "{series}");
    }
    assert_eq!(row("lost")[3], "rejected");
    // Seasonal naive of a sum is the sum of its parts': nothing moves. Where another family sees the sum apart, it does.
    let alone = folder.path().join("alone.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&alone, text.replace(TABLES, "")).unwrap();
    let mase = |config: &Path, models: &str| -> String {
        let rows = with(&["backtest"], config, &["--output", "csv", "--models", models]).csv();
        rows.iter().find(|row| row[0] == EU).unwrap()[5].clone()
    };
    let close = |a: &str, b: &str| (a.parse::<f64>().unwrap() - b.parse::<f64>().unwrap()).abs() < 1e-9;
    assert!(close(&mase(&config, "snaive"), &mase(&alone, "snaive")));
    assert!(!close(&mase(&config, "theta"), &mase(&alone, "theta")), "a part is judged as it was served");
    let splits = folder.path().join("splits.csv");
    std::fs::write(&splits, "dataset,series_id,train_end,test_start\nd,a,1760000400,1760004000\n").unwrap();
    let run = with(&["backtest"], &config, &["--models", "naive", "--splits", splits.to_str().unwrap()]);
    assert!(run.err.contains("[[aggregate]] is not looked at beside --splits"), "{}", run.err);
}

#[test]
fn a_running_service_tells_why_it_serves_what() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&configured(&folder)).unwrap();
    let url = format!("http://{}", serving.http());
    let ask = |series: &str, further: &[&str]| foreshadow(&[&["explain", series, "--server", &url], further].concat());
    let told = |series: &str| ask(series, &["--output", "json"]).json();
    let (eu, us, total) = (told("eu"), told(US), told("total"));
    assert_eq!((eu["series"].as_str(), total["followed"].as_bool()), (Some(EU), Some(true)));
    let [eu, us, sum] = [&eu, &us, &total].map(|told| numbers(&told["mean"]));
    assert!((0..24).all(|step| (sum[step] - eu[step] - us[step]).abs() < 1e-4), "{sum:?}");
    let families = total["families"].as_array().unwrap();
    let champion = families.iter().find(|family| family["name"] == total["champion"]).expect("it is one of them");
    assert!(champion["error_live"].is_null() && families.len() > 3, "nothing came yet");
    assert!(total["held_out"]["folds"].as_u64().unwrap() > 0 && total["switches"].as_array().unwrap().is_empty());
    assert!(numbers(&total["low95"]).iter().zip(numbers(&total["high95"])).all(|(low, high)| *low <= high));
    let page = folder.path().join("why.html");
    let text = ask("total", &["--plot", page.to_str().unwrap()]).out;
    for expected in ["served by", "held out", "No change of family so far", "⠀"] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(std::fs::read_to_string(page).unwrap().contains("Plotly"));

    let (status, json) = serving.get("/explain?series=total");
    assert_eq!((status, serde_json::from_str::<Value>(&json).unwrap()), (200, total));
    let (status, page) = serving.get_as("/explain?series=total", "text/html,application/xhtml+xml");
    assert!(status == 200 && page.contains("<h2>total</h2>") && page.contains("Plotly"), "{status}");
}

#[test]
fn what_a_service_cannot_explain_says_what_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(&configured(&folder)).unwrap();
    let url = format!("http://{}", serving.http());
    let ask = |series: &str| foreshadow(&["explain", series, "--server", &url]);
    ask("nowhere").assert_failed(3, &["no series is called nowhere", "there are 5 series", EU]);
    ask("rps").assert_failed(3, &["rps may be any of 2 series", "name one", US]);
    ask("lost").assert_failed(3, &["lost has no shadow: no series matches nope"]);
    let (status, text) = serving.get("/explain?series=nowhere");
    assert!(status == 404 && text.contains("there are 5 series"), "{status}: {text}");
    let (status, page) = serving.get_as("/explain?series=%3Cscript%3E", "text/html");
    assert!(status == 404 && page.contains("&lt;script&gt;") && page.contains("name=\"series\""), "{status}");
    assert_eq!(serving.get("/explain").0, 400);
    let (status, text) = serving.get(&format!("/explain?series={}", "x".repeat(9_000)));
    assert!(status == 414 && text.contains("8192 are the most"), "{status}: {text}");
    assert_eq!(serving.get("/healthz"), (200, "ok\n".into()));

    let gone = format!("http://{}", serving.http());
    drop(serving);
    foreshadow(&["explain", "total", "--server", &gone])
        .assert_failed(5, &["cannot be asked", "is `foreshadow serve` running"]);
    foreshadow(&["explain", "total", "--server", "ftp://h"]).assert_failed(4, &["ftp://h", "http://127.0.0.1:7461"]);
    foreshadow(&["explain", "total", "--server", &gone, "--input", "a.csv"]).assert_failed(2, &["--input"]);
}

#[test]
fn a_service_on_a_socket_of_its_own_is_asked_there() {
    let folder = tempfile::tempdir().unwrap();
    let (config, socket) = (configured(&folder), folder.path().join("http.sock"));
    let text = std::fs::read_to_string(&config).unwrap();
    let on_socket = text.replace("http = '127.0.0.1:0'", &format!("http = 'unix:{}'", socket.display()));
    std::fs::write(&config, on_socket).unwrap();
    let serving = Serving::start(&config).unwrap();
    let told = foreshadow(&["explain", "total", "--server", serving.http(), "--output", "json"]).json();
    assert_eq!(told["series"], "total");
}

#[test]
fn an_aggregate_is_explained_from_telemetry_too() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(&folder);
    let run = with(&["explain", "total"], &config, &["--issues", "0", "--output", "json"]);
    assert_eq!((run.json()["series"].as_str(), run.json()["mean"].as_array().unwrap().len()), (Some("total"), 24));
    assert!(run.err.contains("total is made of 2 parts"), "{}", run.err);
}
