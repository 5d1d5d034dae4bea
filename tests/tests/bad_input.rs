//! Everything that may come in wrong: the exit code, what the message names, and that nobody else suffers.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use foreshadow_tests::{Run, foreshadow, program, repository, run};
use serde_json::Value;
use tempfile::TempDir;

const SERIES: usize = 300;
const STEPS: usize = 120;
const HOUR_S: i64 = 3_600;
const START_S: i64 = 1_760_000_400;
const YEAR_2200_S: i64 = 7_258_118_400;

/// The value of a sound series: a level, a day and noise that a seed would repeat.
fn value(series: usize, step: usize) -> f64 {
    let mut bits = (series * STEPS + step) as u64 ^ 0x9e37_79b9_7f4a_7c15;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let noise = (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
    let day = (step as f64 / 24.0 * std::f64::consts::TAU).sin();
    50.0 + series as f64 + 10.0 * day + 3.0 * noise
}

/// Time and value as they stand in the file.
type Rows = Vec<(i64, String)>;

fn sound(series: usize) -> Rows {
    (0..STEPS).map(|step| (START_S + step as i64 * HOUR_S, value(series, step).to_string())).collect()
}

/// The fleet as CSV, its first series being `first`, or missing when that is empty.
fn table(first: &Rows) -> String {
    let mut text = String::from("host,timestamp,value\n");
    for series in 0..SERIES {
        let rows = if series == 0 { first.clone() } else { sound(series) };
        text.extend(rows.iter().map(|(time, value)| format!("h{series:03},{time},{value}\n")));
    }
    text
}

fn written(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn forecast(input: &Path, further: &[&str]) -> Run {
    let fixed = ["forecast", "--input", input.to_str().unwrap(), "--horizon", "6", "--output", "json"];
    foreshadow(&[&fixed, further].concat())
}

/// The forecast of one series, without what was mended on the way.
fn of<'a>(answer: &'a Value, host: &str) -> Option<&'a Value> {
    let name = format!("{{host=\"{host}\"}}");
    answer["series"].as_array().unwrap().iter().find(|series| series["series"] == name.as_str())
}

/// What the broken series is expected to become.
enum Outcome {
    /// Left out, with a reason that says this.
    Rejected(&'static str),
    /// Forecast, with this status and this many samples mended, by the note's name.
    Forecast(&'static str, &'static str, u64),
}

/// One broken series of three hundred, in every way.
fn broken_series() -> Vec<(&'static str, Rows, Outcome)> {
    let with = |change: &dyn Fn(&mut Rows)| {
        let mut rows = sound(0);
        change(&mut rows);
        rows
    };
    let every_tenth = |rows: &mut Rows, text: &str| rows.iter_mut().step_by(10).for_each(|row| row.1 = text.into());
    let swapped = with(&|rows| (0..STEPS).step_by(2).for_each(|at| rows.swap(at, at + 1)));
    let mixed = with(&|rows| {
        let (last, _) = rows[STEPS - 1];
        rows.extend((1..20).map(|at| (last + at * 300, "7".into())));
    });
    vec![
        (
            "nothing but NaN",
            with(&|rows| rows.iter_mut().for_each(|row| row.1 = "NaN".into())),
            Outcome::Rejected("no finite value among 120"),
        ),
        ("NaN here and there", with(&|rows| every_tenth(rows, "NaN")), Outcome::Forecast("fitted", "not_finite", 12)),
        ("infinities", with(&|rows| every_tenth(rows, "-inf")), Outcome::Forecast("fitted", "not_finite", 12)),
        ("empty cells", with(&|rows| every_tenth(rows, "")), Outcome::Forecast("fitted", "not_finite", 12)),
        (
            "constant",
            with(&|rows| rows.iter_mut().for_each(|row| row.1 = "4.5".into())),
            Outcome::Forecast("constant", "not_finite", 0),
        ),
        ("one sample", with(&|rows| rows.truncate(1)), Outcome::Rejected("one sample only")),
        ("three samples", with(&|rows| rows.truncate(3)), Outcome::Forecast("fitted", "missing_steps", 0)),
        (
            "equal duplicates",
            with(&|rows| rows.extend_from_within(50..60)),
            Outcome::Forecast("fitted", "equal_duplicates", 10),
        ),
        (
            "contradicting duplicates",
            with(&|rows| rows.extend((50..60).map(|at| (START_S + at * HOUR_S, "9".into())))),
            Outcome::Forecast("fitted", "conflicting", 10),
        ),
        ("unsorted", swapped, Outcome::Forecast("fitted", "out_of_order", 60)),
        ("mixed steps", mixed, Outcome::Forecast("fitted", "equal_duplicates", 16)),
        ("gaps", with(&|rows| drop(rows.drain(40..70))), Outcome::Forecast("fitted", "missing_steps", 30)),
        (
            "numbers near the end of f64",
            with(&|rows| every_tenth(rows, "1e300")),
            Outcome::Forecast("fitted", "not_finite", 0),
        ),
        ("one spike", with(&|rows| rows[60].1 = "1e30".into()), Outcome::Forecast("fitted", "absurd_values", 1)),
        // A forecast starts after the last sample: the lookback before the year 2200 holds that one alone.
        (
            "time far ahead",
            with(&|rows| rows.push((YEAR_2200_S, "7".into()))),
            Outcome::Forecast("constant", "beyond_lookback", STEPS as u64),
        ),
        (
            "a time no calendar has",
            with(&|rows| rows.push((i64::MAX / 1_000, "7".into()))),
            Outcome::Forecast("fitted", "absurd_times", 1),
        ),
        (
            "a time no calendar has as the file's first",
            with(&|rows| rows.insert(0, (i64::MAX / 1_000, "7".into()))),
            Outcome::Forecast("fitted", "absurd_times", 1),
        ),
    ]
}

#[test]
fn one_broken_series_changes_no_bit_of_the_other_299() {
    let folder = tempfile::tempdir().unwrap();
    let without = forecast(&written(&folder, "fleet.csv", table(&Vec::new())), &[]).json();
    assert_eq!(without["series"].as_array().unwrap().len(), SERIES - 1);
    for (what, rows, outcome) in broken_series() {
        let run = forecast(&written(&folder, "fleet.csv", table(&rows)), &[]);
        let with = run.json();
        for series in 1..SERIES {
            let host = format!("h{series:03}");
            assert_eq!(of(&with, &host), of(&without, &host), "{what} changed {host}");
        }
        let rejected: Vec<&Value> = with["rejected"].as_array().unwrap().iter().collect();
        match (outcome, of(&with, "h000")) {
            (Outcome::Rejected(reason), None) => {
                assert_eq!((rejected.len(), &rejected[0]["series"]), (1, &Value::from(r#"{host="h000"}"#)), "{what}");
                assert!(rejected[0]["reason"].as_str().unwrap().contains(reason), "{what}: {rejected:?}");
                assert!(run.err.contains(r#"{host="h000"} is left out"#), "{what}: {}", run.err);
            }
            (Outcome::Forecast(status, note, count), Some(broken)) => {
                assert_eq!(
                    (&broken["status"], &broken["notes"][note]),
                    (&Value::from(status), &Value::from(count)),
                    "{what}: {broken}"
                );
                let mean = broken["mean"].as_array().unwrap();
                assert!(mean.iter().all(|mean| mean.as_f64().is_some_and(f64::is_finite)), "{what}: {mean:?}");
                assert_eq!(run.err.contains("ends in the future"), what == "time far ahead", "{what}: {}", run.err);
            }
            (_, found) => panic!("{what}: {found:?}, {rejected:?}"),
        }
    }
}

#[test]
fn one_spike_is_nothing_that_a_family_learns() {
    let folder = tempfile::tempdir().unwrap();
    for at in [0, 60, STEPS - 1] {
        let mut rows = sound(0);
        rows[at].1 = "1e30".into();
        let text: String = rows.iter().map(|(time, value)| format!("a,{time},{value}\n")).collect();
        let input = written(&folder, "spike.csv", format!("host,timestamp,value\n{text}"));
        for family in ["auto", "naive", "theta", "ces", "autoets", "mstl", "autoarima", "sarima", "prophet"] {
            let run = forecast(&input, &["--models", family]);
            let told = run.json();
            let mean = told["series"][0]["mean"].as_array().unwrap();
            let sound = mean.iter().all(|mean| mean.as_f64().is_some_and(|mean| (30.0..70.0).contains(&mean)));
            assert!(sound, "{family}, spike at {at}: {mean:?}");
            assert!(run.err.contains("{host=\"a\"}: one value is more than 16 million times"), "{}", run.err);
        }
    }
}

#[test]
fn a_backtest_says_why_a_series_is_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(&folder, "short.csv", table(&Vec::new()));
    let run = foreshadow(&["backtest", "--input", input.to_str().unwrap(), "--models", "naive", "--horizon", "500"]);
    let none = r#"none of 299 series can be judged; the first, {host="h001"}: no_data"#;
    run.assert_failed(3, &["{host=\"h001\"} is not judged: no_data at its cutoffs", none, "--origins"]);
    assert!(run.out.contains("299 failed"), "{}", run.out);

    let rows: Rows = sound(0).into_iter().take(3).collect();
    let input = written(&folder, "begun.csv", table(&rows));
    let run = foreshadow(&["backtest", "--input", input.to_str().unwrap(), "--horizon", "1", "--output", "csv"]);
    assert!(run.err.contains("{host=\"h000\"} fell back by auto: no fold could be scored"), "{}", run.err);
    let fell_back = |row: &Vec<String>| row[9].starts_with("no fold could be scored");
    assert_eq!(run.csv().iter().map(fell_back).filter(|fell_back| *fell_back).count(), 1);
}

#[test]
fn a_forecast_says_why_a_series_has_none_and_fails_where_no_series_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Rows = sound(0).into_iter().take(3).collect();
    let input = written(&folder, "begun.csv", table(&rows));
    let run = forecast(&input, &["--models", "snaive"]);
    assert!(run.err.contains("{host=\"h000\"} has no forecast: too_short: 3 values"), "{}", run.err);
    let told = run.json();
    assert_eq!(of(&told, "h000").unwrap()["reason"], "too_short: 3 values are observed, 24 needed");
    assert!(of(&told, "h001").unwrap().get("reason").is_none());
    let told = forecast(&input, &[]).json();
    let fallback = |host: &str| of(&told, host).unwrap()["fallback"].as_str().unwrap_or_default().to_owned();
    assert!(fallback("h000").starts_with("no fold could be scored") && fallback("h001").is_empty());

    let run = forecast(&input, &["--models", "snaive7000"]);
    let none =
        "none of 300 series can be forecast; the first, {host=\"h000\"}: too_short: 3 values are observed, 7000 needed";
    run.assert_failed(3, &[none, "and 295 more"]);
    let told: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(told["series"].as_array().unwrap().len(), SERIES, "what is known of each is printed all the same");
}

#[test]
fn one_broken_series_changes_no_row_of_the_other_299_in_a_backtest() {
    let folder = tempfile::tempdir().unwrap();
    let tested = |rows: &Rows| {
        let input = written(&folder, "fleet.csv", table(rows));
        let fixed = ["backtest", "--models", "snaive", "--horizon", "6", "--output", "csv", "--input"];
        let rows = foreshadow(&[&fixed[..], &[input.to_str().unwrap()]].concat()).csv();
        rows.into_iter().skip(1).partition::<Vec<_>, _>(|row| row[0] == r#"{host="h000"}"#)
    };
    let (_, without) = tested(&Vec::new());
    assert_eq!(without.len(), SERIES - 1);
    assert!(without.iter().all(|row| row[3] == "fitted" && row[4] == "18" && !row[5].is_empty()), "{without:?}");
    for (what, rows, outcome) in broken_series() {
        let (broken, others) = tested(&rows);
        assert_eq!(others.len(), without.len(), "{what}");
        for (with, without) in others.iter().zip(&without) {
            assert_eq!(with, without, "{what} changed a row");
        }
        let is_rejected = matches!(outcome, Outcome::Rejected(_));
        assert!(broken.len() == 1 && (broken[0][3] == "rejected") == is_rejected, "{what}: {broken:?}");
    }
}

#[test]
fn order_and_equal_duplicates_change_nothing_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = sound(0);
    rows.reverse();
    rows.extend_from_within(10..20);
    let [plain, mended] = [sound(0), rows].map(|rows| {
        let answer = forecast(&written(&folder, "fleet.csv", table(&rows)), &[]).json();
        let series = of(&answer, "h000").unwrap();
        ["model", "cutoff_ms", "mean", "quantiles"].map(|key| series[key].clone())
    });
    assert_eq!(plain, mended);
}

/// Nothing after the cutoff is looked at: neither when it is NaN nor when `--cutoff` forbids it.
#[test]
fn the_future_changes_no_bit() {
    let folder = tempfile::tempdir().unwrap();
    let cutoff = START_S + 99 * HOUR_S;
    let blind = |text: String| {
        let hide = |line: &str| {
            let (head, value) = line.rsplit_once(',').unwrap();
            let time: i64 = head.rsplit_once(',').unwrap().1.parse().unwrap_or_default();
            let value = if time > cutoff { "NaN" } else { value };
            format!("{head},{value}\n")
        };
        text.lines().map(hide).collect::<String>()
    };
    let whole = written(&folder, "whole.csv", table(&sound(0)));
    let hidden = written(&folder, "hidden.csv", blind(table(&sound(0))));
    let at = ["--cutoff", "2025-10-13T12:00:00Z"]; // START_S and 99 hours
    let answers = [forecast(&whole, &at), forecast(&hidden, &at), forecast(&hidden, &[])].map(|run| run.json());
    assert_eq!(of(&answers[0], "h007").unwrap()["cutoff_ms"], cutoff * 1_000);
    for series in 0..SERIES {
        let host = format!("h{series:03}");
        let told = |answer| {
            let series = of(answer, &host).unwrap();
            ["model", "status", "cutoff_ms", "mean", "quantiles"].map(|key| series[key].clone())
        };
        assert_eq!(told(&answers[0]), told(&answers[1]), "{host}");
        assert_eq!(told(&answers[0]), told(&answers[2]), "{host}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let head = "host,timestamp,value\na,1,1\na,2,2\n";
    let not_text = [head.as_bytes(), b"\xfe\xff,3,3\n"].concat();
    for (name, bytes, said) in [
        ("empty.csv", Vec::new(), ["empty.csv holds no row", "a header and at least one row"]),
        ("header.csv", b"host,timestamp,value\n".to_vec(), ["header.csv holds no row", "at least one row"]),
        ("text.csv", not_text, ["text.csv row 3, column \"host\"", "is not UTF-8 text"]),
        (
            "word.csv",
            format!("{head}a,3,three\n").into(),
            ["word.csv row 3, column \"value\"", "\"three\" is not a number"],
        ),
        (
            "time.csv",
            format!("{head}a,noon,3\n").into(),
            ["time.csv row 3, column \"timestamp\"", "\"noon\" is not a time"],
        ),
        (
            "seconds.csv",
            format!("{head}a,{},3\n", i64::MAX).into(),
            ["seconds.csv row 3, column \"timestamp\"", "\"9223372036854775807\" is not a time"],
        ),
        ("short.csv", format!("{head}a,3\n").into(), ["short.csv row 3 cannot be read", "found record with 2 fields"]),
        (
            "column.csv",
            b"host,time,value\na,1,1\n".to_vec(),
            ["column.csv has no column \"timestamp\"", "host, time, value"],
        ),
        (
            "not.parquet",
            b"PAR1 but no more".to_vec(),
            ["not.parquet cannot be read as Parquet", "cut short or damaged"],
        ),
        ("not.csv.gz", head.into(), ["cannot read", "not.csv.gz after row 0"]),
        ("table.xlsx", Vec::new(), ["table.xlsx is no table by its name", ".csv, .csv.gz or .parquet"]),
    ] {
        forecast(&written(&folder, name, bytes), &[]).assert_failed(3, &said);
    }
    forecast(Path::new("/no/such.csv"), &[]).assert_failed(3, &["cannot read /no/such.csv", "No such file"]);
}

#[test]
fn regressors_that_cannot_be_used_are_named_with_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(&folder, "in.csv", table(&sound(0)));
    let run = |name: &str, bytes: &str, further: &[&str]| {
        let file = written(&folder, name, bytes);
        forecast(&input, &[&["--models", "prophet", "--regressors", file.to_str().unwrap()], further].concat())
    };
    let head = "metric,timestamp,value\nload,1,1\nload,2,2\n";
    let word = run("word.csv", &format!("{head}load,3,three\n"), &[]);
    word.assert_failed(3, &["word.csv row 3, column \"value\"", "\"three\" is not a number"]);
    run("empty.csv", "", &[]).assert_failed(3, &["empty.csv holds no row"]);
    let two = "metric,zone,timestamp,value\nload,a,1,1\nload,b,1,2\n";
    let both =
        ["regressor load: both {metric=\"load\",zone=\"a\"} and {metric=\"load\",zone=\"b\"} apply to {host=\"h000\"}"];
    run("two.csv", two, &[]).assert_failed(3, &both);
    let config = written(&folder, "f.toml", "[[regressor]]\nname = 'rain'\n");
    let none = run("load.csv", head, &["--config", config.to_str().unwrap()]);
    none.assert_failed(3, &["load.csv is regressor rain", "its series are {metric=\"load\"}"]);
    // A regressor of one series, whose future is missing for another, spoils no third.
    let mut rows = String::from("metric,host,timestamp,value\n");
    for (host, steps) in [("h000", STEPS + 6), ("h001", STEPS + 5)] {
        rows.extend((0..steps).map(|step| format!("load,{host},{},{}\n", START_S + step as i64 * HOUR_S, step % 7)));
    }
    let told = run("part.csv", &rows, &[]);
    assert!(
        told.err.contains("{host=\"h001\"} is left out by Prophet: regressor load is not known at"),
        "{}",
        told.err
    );
    let answer = told.json();
    let status = |host| of(&answer, host).unwrap()["status"].as_str().unwrap();
    assert_eq!(["h000", "h001", "h002"].map(status), ["fitted", "bad_input", "bad_input"]);
    assert_eq!(answer["lacking"].as_array().unwrap().len(), SERIES - 1);
    // A family that they do not move says so.
    let file = written(&folder, "idle.csv", head);
    let silent = forecast(&input, &["--models", "theta", "--regressors", file.to_str().unwrap()]);
    assert!(silent.err.contains("theta does not look at regressors: prophet and auto do"), "{}", silent.err);
    assert!(!silent.err.contains("left out by Prophet"), "{}", silent.err);
    assert!(!told.err.contains("does not look at regressors"), "{}", told.err);
}

#[test]
fn a_parquet_file_cut_anywhere_is_an_error_not_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(repository().join("engine/data/azure_vm_2019_total.parquet")).unwrap();
    for part in [4, 8, bytes.len() / 2, bytes.len() - 1] {
        let cut = written(&folder, "cut.parquet", &bytes[..part]);
        forecast(&cut, &["--models", "naive"]).assert_failed(3, &["cut.parquet cannot be read as Parquet"]);
    }
    let mut damaged = bytes.clone();
    damaged[4..64].fill(0xa5); // the footer is whole, the first page's header is not
    let damaged = written(&folder, "damaged.parquet", damaged);
    forecast(&damaged, &["--models", "naive"]).assert_failed(3, &["damaged.parquet cannot be read as Parquet"]);
}

#[test]
fn a_setting_that_cannot_be_used_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    for (text, said) in [
        ("[forecast]\nhorizon = 3", ["f.toml line 2: unknown field `horizon`", "foreshadow config"]),
        ("[forecast]\nhorizon_steps = 0", ["f.toml line 2: `forecast.horizon_steps` is 0", "from 1 to 20000"]),
        ("[serve]\ngrpc = '0.0.0.0:7460'", ["line 2: `serve.grpc` is \"0.0.0.0:7460\"", "127.0.0.1:PORT"]),
        ("[forecast]\nmodels = ['oracle']", ["`forecast.models` is \"oracle\"", "known families are"]),
        ("[prophet]\nseasonality = 3", ["f.toml line 2: unknown field `seasonality`", "foreshadow config"]),
        ("[prophet]\nholidays = ['XX']", ["f.toml line 2: `prophet.holidays` is \"XX\"", "countries are known as AD"]),
        ("", ["`source` is not set", "--input FILE"]),
    ] {
        let config = written(&folder, "f.toml", text);
        foreshadow(&["forecast", "--config", config.to_str().unwrap()]).assert_failed(4, &said);
    }
    let mut command = Command::new(program("foreshadow"));
    let run = run(command.args(["forecast", "--input", "a.csv"]).env("FORESHADOW_FORECAST_SEED", "many"));
    run.assert_failed(4, &["FORESHADOW_FORECAST_SEED: invalid type"]);
    foreshadow(&["forecast", "--horizn", "3"]).assert_failed(2, &["--horizn", "--horizon"]);
}

/// A server that gives the same bytes to everybody, or nothing at all.
fn server(answer: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            if let Some(answer) = answer {
                let _ = stream.read(&mut [0; 4_096]);
                let _ = stream.write_all(answer.as_bytes());
            } else {
                held.push(stream);
            }
        }
    });
    format!("http://{address}")
}

#[test]
fn a_prometheus_that_is_down_slow_or_nonsense_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>";
    for (url, said) in [
        (format!("http://{down}"), ["cannot be reached, after 2 attempts", "is the server up"]),
        (server(None), ["did not answer within 1 s, after 2 attempts", "timeout"]),
        (server(Some(page)), ["does not answer as Prometheus does", "<html>"]),
        (server(Some("SSH-2.0-OpenSSH_9\r\n")), ["cannot be reached", "caused by|invalid HTTP version parsed"]),
    ] {
        let text = format!("[source.prometheus]\nurl = '{url}'\nqueries = ['up']\ntimeout = '1s'\nretries = 1");
        let config = written(&folder, "f.toml", text);
        let run = foreshadow(&["forecast", "--config", config.to_str().unwrap()]);
        let said: Vec<&str> = said.iter().map(|said| said.rsplit('|').next().unwrap()).collect();
        run.assert_failed(5, &said);
        assert!(run.err.contains(&url), "{}", run.err);
    }
}
