//! How series are read, as a user says it: counters, bounds and time zones, by every command.

use foreshadow_tests::foreshadow;
use serde_json::Value;
use tempfile::TempDir;

const HOUR_S: i64 = 3_600;
/// 2025-03-27T23:00:00Z, midnight in Berlin; its clocks are put forward 50 hours later.
const START_S: i64 = 1_743_116_400;

fn written(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

/// A table of series, each sampled by the hour for `hours` from `START_S` less ten weeks.
fn table(hours: i64, series: &[(&str, &dyn Fn(i64) -> f64)]) -> String {
    let start_s = START_S - 70 * 24 * HOUR_S;
    let rows = series.iter().flat_map(|(name, value)| {
        (0..hours).map(move |hour| format!("{name},{},{}\n", start_s + hour * HOUR_S, value(hour)))
    });
    "__name__,timestamp,value\n".to_owned() + &rows.collect::<String>()
}

fn json(command: &[&str], input: &str, config: &str, further: &[&str]) -> Value {
    let fixed = ["--input", input, "--config", config, "--output", "json"];
    foreshadow(&[command, &fixed, further].concat()).json()
}

fn only<'a>(told: &'a Value, name: &str) -> &'a Value {
    told["series"].as_array().unwrap().iter().find(|series| series["series"] == name).unwrap()
}

/// 5,000 requests an hour; the counter starts anew every 300 hours.
fn requests(hour: i64) -> f64 {
    5_000.0 * (hour % 300 + 1) as f64
}

/// Ten at night, a hundred from 8:00 to 20:00 by the clocks of Berlin.
fn load(hour: i64) -> f64 {
    let shown = if hour >= 70 * 24 + 50 { hour + 1 } else { hour };
    if (8..20).contains(&shown.rem_euclid(24)) { 100.0 } else { 10.0 }
}

#[test]
fn a_counter_is_a_rate_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(&folder, "a.csv", &table(1_000, &[("requests", &requests)]));
    let silent = written(&folder, "silent.toml", "");
    let config = written(&folder, "a.toml", "[[series]]\nselect = 'requests'\ncounter = true\n");
    let forecast = ["forecast", "--models", "naive", "--horizon", "3"];
    let told = json(&forecast, &input, &config, &[]);
    let series = only(&told, "requests");
    let mean = series["mean"][0].as_f64().unwrap();
    assert!((mean - 5_000.0 / 3_600.0).abs() < 1e-12, "{mean}");
    assert_eq!((&series["read_as"]["per_second"], &series["notes"]["resets"]), (&true.into(), &3.into()));
    let as_is = foreshadow(&[&forecast[..], &["--input", &input, "--config", &silent]].concat());
    assert!(as_is.err.contains("requests only rises") && as_is.err.contains("counter = true"), "{}", as_is.err);
    let tested = json(&["backtest", "--models", "naive", "--horizon", "24"], &input, &config, &[]);
    assert!(tested["smape"].as_f64().unwrap() < 1e-9, "a steady rate has no error: {tested}");
    let explained = json(&["explain", "requests", "--horizon", "24", "--issues", "1"], &input, &config, &[]);
    assert_eq!(explained["read_as"]["per_second"], true);
    assert!((explained["mean"][0].as_f64().unwrap() - 5_000.0 / 3_600.0).abs() < 1e-9);
}

#[test]
fn bounds_hold_for_every_command_and_what_lies_outside_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let used = |hour: i64| 90.0 + hour as f64 / 80.0;
    let cores = |hour: i64| if hour < 500 { 64.0 } else { 101.0 };
    let input = written(&folder, "a.csv", &table(900, &[("used", &used), ("cores", &cores)]));
    let config = written(&folder, "a.toml", "[[series]]\nselect = 'used'\nminimum = 95\nmaximum = 'cores'\n");
    let ran =
        foreshadow(&["forecast", "--models", "drift", "--input", &input, "--config", &config, "--output", "json"]);
    // The first 400 are below 95, 99 more above it while there are fewer cores than that, the last 19 above 101.
    assert!(
        ran.err.contains("used: 518 of 900 values lie outside series[0].minimum and series[0].maximum"),
        "{}",
        ran.err
    );
    let (told, free) = (ran.json(), ["forecast", "--models", "drift", "--input", &input, "--output", "json"]);
    let free = foreshadow(&free).json();
    let (bound, free) = (only(&told, "used"), only(&free, "used"));
    let most = |series: &Value, curve: &str| {
        let curve = if curve == "mean" { &series["mean"] } else { &series["quantiles"][curve] };
        curve.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).fold(f64::NEG_INFINITY, f64::max)
    };
    for curve in ["mean", "0.5", "0.9", "0.975"] {
        assert!(most(bound, curve) <= 101.0 && most(free, curve) > 101.0, "{curve}");
    }
    assert_eq!((&bound["read_as"]["minimum"], &bound["read_as"]["maximum"]), (&95.0.into(), &101.0.into()));
    let explained =
        foreshadow(&["explain", "used", "--horizon", "24", "--issues", "0", "--input", &input, "--config", &config]);
    assert!(explained.out.contains("bounded from 95.00 to 101.0"), "{}", explained.out);
    let apart = written(&folder, "b.toml", "[[series]]\nselect = 'used'\nmaximum = 'core'\n");
    let told = json(&["forecast", "--models", "naive"], &input, &apart, &[]);
    assert_eq!(told["rejected"][0]["series"], "used");
    assert!(told["rejected"][0]["reason"].as_str().unwrap().contains("series[0].maximum"), "{told}");
    assert_eq!(told["series"].as_array().unwrap().len(), 1, "the other goes on");
}

#[test]
fn days_follow_the_clocks_and_times_stay_those_of_utc() {
    let folder = tempfile::tempdir().unwrap();
    let hours = 70 * 24 + 48; // the clocks change two hours later
    let input = written(&folder, "a.csv", &table(hours, &[("load", &load)]));
    let fixed = ["forecast", "--models", "snaive", "--horizon", "24", "--input", &input];
    let told = foreshadow(&[&fixed[..], &["--time-zone", "Europe/Berlin", "--output", "csv"]].concat()).csv();
    assert_eq!(told[1][3], "2025-03-29T23:00:00Z");
    for (step, row) in told[1..].iter().enumerate() {
        assert_eq!(row[4].parse::<f64>().unwrap(), load(hours + step as i64), "{row:?}");
    }
    let as_utc = foreshadow(&[&fixed[..], &["--output", "csv"]].concat()).csv();
    assert!((0..24).any(|step| as_utc[step + 1][4].parse::<f64>().unwrap() != load(hours + step as i64)));
    let backtest = |further: &[&str]| {
        let later = written(&folder, "b.csv", &table(hours + 24, &[("load", &load)]));
        let fixed = ["backtest", "--models", "snaive", "--horizon", "24", "--origins", "1", "--output", "json"];
        let told = foreshadow(&[&fixed[..], &["--input", &later], further].concat()).json();
        told["smape"].as_f64().unwrap()
    };
    assert!(backtest(&[]) > 1.0);
    assert_eq!(backtest(&["--time-zone", "Europe/Berlin"]), 0.0);
}

#[test]
fn what_cannot_be_meant_is_refused_with_key_and_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(&folder, "a.csv", &table(30, &[("load", &load)]));
    let zone = foreshadow(&["forecast", "--input", &input, "--time-zone", "Europe/Berln"]);
    zone.assert_failed(4, &["--time-zone", "forecast.time_zone", "Europe/Berlin"]);
    let config = written(&folder, "a.toml", "[[series]]\nselect = 'load'\nminimum = 3\nmaximum = 2\n");
    let bounds = foreshadow(&["forecast", "--input", &input, "--config", &config]);
    bounds.assert_failed(4, &["line 4", "series[0].maximum", "above the minimum, 3"]);
    let other = written(&folder, "b.toml", "[[series]]\nselect = 'laod'\nminimum = 3\n");
    let unmatched = foreshadow(&["forecast", "--models", "naive", "--input", &input, "--config", &other]);
    assert!(unmatched.err.contains("no series matches series[0].select, laod"), "{}", unmatched.err);
    assert_eq!(unmatched.code, Some(0));
}

#[test]
fn a_leap_second_is_the_second_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let times = ["31T23:59:20Z", "31T23:59:30Z", "31T23:59:40Z", "31T23:59:50Z", "31T23:59:60Z"];
    let rows: String = times.iter().map(|time| format!("2016-12-{time},1\n")).collect();
    let input = written(&folder, "a.csv", &format!("timestamp,value\n{rows}"));
    let zone = ["--time-zone", "Europe/Berlin"];
    let told =
        foreshadow(&[&["forecast", "--models", "naive", "--input", &input, "--output", "json"], &zone[..]].concat());
    let told = told.json();
    assert_eq!((&told["series"][0]["step_ms"], &told["series"][0]["notes"]["snapped"]), (&10_000.into(), &1.into()));
    assert_eq!(told["series"][0]["status"], "constant");
}
