//! `foreshadow backtest` as a user runs it: measures that can be computed by hand, every family, and no look ahead.

use std::path::Path;

use foreshadow_tests::{Run, foreshadow, telemetry};
use serde_json::{Value, json};
use tempfile::TempDir;

const START_S: i64 = 1_760_000_400;
const HOUR_S: i64 = 3_600;

/// Of the normal distribution: its quantile of 0.975, and those of 0.9, 0.8, 0.7 and 0.6.
const Z975: f64 = 1.959_963_984_540_054;
const DECILES: [f64; 4] = [1.281_551_565_544_601, 0.841_621_233_572_914, 0.524_400_512_708_041, 0.253_347_103_135_8];

const SMAPE_OF_SQUARES: f64 = (200.0 * 11.0 / 61.0 + 200.0 * 24.0 / 74.0) / 2.0;

fn written(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().into()
}

/// Times, in seconds, and values.
type Samples = Vec<(i64, f64)>;

/// Series of the data set `d` by their `series_id`, each with its samples.
fn table(series: &[(&str, Samples)]) -> String {
    let rows = series
        .iter()
        .flat_map(|(id, samples)| samples.iter().map(move |(time, value)| format!("d,{id},{time},{value}\n")));
    "dataset,series_id,timestamp,value\n".to_owned() + &rows.collect::<String>()
}

fn hourly(values: impl IntoIterator<Item = f64>) -> Samples {
    values.into_iter().enumerate().map(|(step, value)| (START_S + step as i64 * HOUR_S, value)).collect()
}

/// Splits that leave `steps` hours to train on.
fn splits(ids: &[&str], steps: i64) -> String {
    let row = |id: &&str| format!("d,{id},{},{}\n", START_S + (steps - 1) * HOUR_S, START_S + steps * HOUR_S);
    "dataset,series_id,train_end,test_start\n".to_owned() + &ids.iter().map(row).collect::<String>()
}

/// 0, 1, 4, … 49: changes of 1, 3, 5, … an hour.
fn squares() -> Samples {
    hourly((0..8).map(|step| f64::from(step * step)))
}

fn backtest(input: &str, further: &[&str]) -> Run {
    foreshadow(&[&["backtest", "--input", input], further].concat())
}

fn json_of(input: &str, further: &[&str]) -> Value {
    backtest(input, &[further, &["--output", "json"]].concat()).json()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_near(found: &Value, wanted: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{found} is no number"));
    assert!((found - wanted).abs() <= 1e-9 * wanted.abs(), "{found} is not {wanted}");
}

/// Naive says 25 twice, where 36 and 49 come: errors of 11 and 24 after hourly changes of 5 in the mean.
#[test]
fn every_measure_is_the_one_computed_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(&folder, "squares.csv", &table(&[("a", squares())]));
    let fixed = ["--models", "naive", "--horizon", "2", "--origins", "1", "--mase-season", "1"];
    let told = json_of(&input, &fixed);
    assert_eq!(
        keys(&told),
        ["series", "failed", "fallback", "unscaled", "mase", "smape", "wql", "msis95", "coverage", "seconds", "models"]
    );
    let counts = ["series", "failed", "fallback", "unscaled"].map(|key| told[key].as_u64().unwrap());
    assert_eq!(counts, [1, 0, 0, 0]);
    assert_eq!((&told["mase"], &told["models"]), (&json!(3.5), &json!({"naive": {"count": 1, "mase": 3.5}})));
    assert_near(&told["smape"], SMAPE_OF_SQUARES);
    // The root mean square of the changes 1, 3, 5, 7 and 9, and more by √2 two steps ahead.
    let spread = 33.0_f64.sqrt();
    let spreads = [spread, spread * 2.0_f64.sqrt()];
    // 11 lies inside the 95 % band of the first step, 24 outside that of the second, and both outside the 80 % bands.
    assert_eq!(told["coverage"], json!({"80": 0.0, "95": 50.0}));
    let widths = 2.0 * Z975 * (spreads[0] + spreads[1]);
    assert_near(&told["msis95"], (widths + 40.0 * (24.0 - Z975 * spreads[1])) / 2.0 / 5.0);
    let pinball = |error: f64, spread: f64| {
        let above = DECILES.iter().zip([0.9, 0.8, 0.7, 0.6]).map(|(z, q)| (z * spread, q));
        let below = DECILES.iter().zip([0.1, 0.2, 0.3, 0.4]).map(|(z, q)| (-z * spread, q));
        let levels = above.chain(below).chain([(0.0, 0.5)]);
        levels.map(|(at, q)| if error >= at { q * (error - at) } else { (1.0 - q) * (at - error) }).sum::<f64>()
    };
    let loss = pinball(11.0, spreads[0]) + pinball(24.0, spreads[1]);
    assert_near(&told["wql"], 2.0 * loss / 9.0 / (36.0 + 49.0));
    let seconds = told["seconds"].as_f64().unwrap();
    assert!((0.0..60.0).contains(&seconds), "{seconds} s");
}

#[test]
fn more_origins_and_another_season_change_what_they_should() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(&folder, "squares.csv", &table(&[("a", squares())]));
    let mase = |models: &str, origins: &str, season: &[&str]| {
        let fixed = ["--models", models, "--horizon", "2", "--origins", origins];
        json_of(&input, &[&fixed, season].concat())
    };
    // The older origin sees 0, 1, 4, 9: errors of 7 and 16 after changes of 3 in the mean.
    assert_near(&mase("naive", "2", &["--mase-season", "1"])["mase"], (35.0 / 5.0 + 23.0 / 3.0) / 4.0);
    // Two hours apart the changes are 4, 8, 12 and 16.
    assert_near(&mase("naive", "1", &["--mase-season", "2"])["mase"], 35.0 / 10.0 / 2.0);
    // Seasonal naive takes the same season: 16 and 25 where 36 and 49 come.
    let seasonal = mase("snaive", "1", &["--mase-season", "2"]);
    assert_near(&seasonal["mase"], (20.0 + 24.0) / 10.0 / 2.0);
    assert_eq!(keys(&seasonal["models"]), ["snaive2"]);
    // A day has 24 hours, which six hours cannot be scaled by; what needs no scale is measured all the same.
    let unscaled = mase("naive", "1", &[]);
    assert_eq!(
        (&unscaled["unscaled"], &unscaled["mase"], &unscaled["msis95"]),
        (&json!(1), &Value::Null, &Value::Null)
    );
    assert_near(&unscaled["smape"], SMAPE_OF_SQUARES);
    // The third origin sees two hours, one change of 1, and the fourth none: errors of 3 and 8.
    let oldest = mase("naive", "4", &["--mase-season", "1"]);
    assert_near(&oldest["mase"], (35.0 / 5.0 + 23.0 / 3.0 + 11.0) / 6.0);
}

#[test]
fn without_a_split_a_series_failed_and_without_a_change_it_is_unscaled() {
    let folder = tempfile::tempdir().unwrap();
    let constant = hourly([4.5; 8]);
    let input = written(&folder, "t.csv", &table(&[("a", squares()), ("b", squares()), ("c", constant)]));
    let at = written(&folder, "splits.csv", &splits(&["a", "c"], 6));
    let fixed = ["--models", "naive", "--horizon", "2", "--mase-season", "1", "--splits", &at];
    let told = json_of(&input, &fixed);
    let counts = ["series", "failed", "fallback", "unscaled"].map(|key| told[key].as_u64().unwrap());
    assert_eq!(counts, [3, 1, 0, 1]);
    assert_eq!((&told["mase"], &told["models"]["naive"]), (&json!(3.5), &json!({"count": 2, "mase": 3.5})));
    assert_near(&told["smape"], SMAPE_OF_SQUARES / 2.0);
    assert_eq!(told["coverage"]["95"], json!(75.0), "a constant stays inside its band of no width");

    let rows = backtest(&input, &[&fixed[..], &["--output", "csv"]].concat()).csv();
    assert_eq!(
        rows[0],
        ["series", "family", "model", "status", "steps", "mase", "smape", "msis95", "coverage95_percent", "reason"]
    );
    let name = |id: &str| format!(r#"{{dataset="d",series_id="{id}"}}"#);
    assert_eq!(rows[1][..6], [&name("a"), "naive", "naive", "fitted", "2", "3.5"]);
    assert_eq!(rows[2], [&name("b"), "naive", "", "no_split", "0", "", "", "", "", "--splits has no row of it"]);
    assert_eq!(rows[3], [&name("c"), "naive", "naive", "constant", "2", "", "0", "", "100", ""]);
    assert_eq!(rows.len(), 4);

    let shown = backtest(&input, &fixed);
    let words = ["│ MASE", "sMAPE %", "wql", "MSIS 95", "in 80 % band", "in 95 % band", "│ naive", "│ 3.500"];
    for word in words.into_iter().chain(["3 series in", "1 failed, 0 fell back, 1 without a scale"]) {
        assert!(shown.out.contains(word), "{word:?} is missing in {}", shown.out);
    }
    let both = backtest(&input, &[&fixed[..], &["--origins", "2"]].concat());
    assert_eq!(both.code, Some(2), "{}", both.err);
    assert!(both.err.contains("--splits") && both.err.contains("--origins"), "{}", both.err);
}

/// Noise that a seed would repeat, in −0.5 to 0.5.
fn noise(at: usize) -> f64 {
    let mut bits = at as u64 ^ 0x9e37_79b9_7f4a_7c15;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// A level, a trend, a day of some height and noise.
fn day(steps: usize, slope: f64, height: f64, seed: usize) -> Vec<f64> {
    let value = |step: usize| {
        let angle = step as f64 / 24.0 * std::f64::consts::TAU;
        100.0 + slope * step as f64 + height * (angle.sin() + 0.3 * (2.0 * angle).cos()) + noise(seed + step)
    };
    (0..steps).map(value).collect()
}

#[test]
fn every_family_works_alone_and_the_seasonal_ones_beat_naive() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = [(0.02, 10.0, 0), (-0.01, 20.0, 9_000)].map(|(slope, height, seed)| day(288, slope, height, seed));
    let input = written(&folder, "days.csv", &table(&[("a", hourly(a)), ("b", hourly(b))]));
    let of = |name: &str| json_of(&input, &["--models", name, "--horizon", "24", "--origins", "2"]);
    let floor = of("naive")["mase"].as_f64().unwrap();
    for (name, model, is_seasonal) in [
        ("naive", "naive", false),
        ("drift", "drift", false),
        ("snaive", "snaive24", true),
        ("ridge", "ridge24", true),
        ("prophet", "prophet", true),
        ("ets", "ets_ana24", true),
        ("ets_aaa", "ets_aaa24", true),
        ("ets_aada", "ets_aada24", true),
        ("ets_ann", "ets_ann", false),
        ("ets_aan", "ets_aan", false),
        ("ets_aadn", "ets_aadn", false),
    ] {
        let told = of(name);
        assert_eq!((&told["series"], &told["failed"], &told["fallback"]), (&json!(2), &json!(0), &json!(0)), "{name}");
        assert_eq!(told["models"], json!({model: {"count": 2, "mase": told["mase"]}}), "{name}");
        let mase = told["mase"].as_f64().unwrap();
        assert!(mase.is_finite() && (mase < floor / 4.0) == is_seasonal, "{name}: {mase} against naive's {floor}");
        let covered = told["coverage"]["95"].as_f64().unwrap();
        assert!(covered >= 75.0, "{name}: {covered} % in the 95 % band");
    }
    let best = of("auto");
    assert_eq!((&best["series"], &best["failed"], &best["fallback"]), (&json!(2), &json!(0), &json!(0)));
    assert!(best["mase"].as_f64().unwrap() < floor / 4.0, "{best}");
    let refused = foreshadow(&["forecast", "--input", &input, "--models", "naive,drift", "--horizon", "24"]);
    refused.assert_failed(4, &["name one family, or auto"]);
}

/// Naive is off by 3.5 mean changes, what came two hours before by 4.4; a network has too little to learn from.
#[test]
fn several_families_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let input = written(&folder, "squares.csv", &table(&[("a", squares()), ("b", squares())]));
    let fixed = ["--horizon", "2", "--origins", "1", "--mase-season", "1", "--models"];
    let families = ["snaive2", "naive", "lstm-bank"];
    let listed = families.join(", ");
    let [of_one, of_all] = [families[1], &listed].map(|names| [&fixed[..], &[names]].concat());
    let run = backtest(&input, &[&of_all[..], &["--output", "json"]].concat());
    let unjudged = r#"{dataset="d",series_id="a"} is not judged by lstm-bank: too_short"#;
    assert!(run.err.contains(unjudged) && !run.err.contains("by naive"), "{}", run.err);
    let told = run.json()["families"].as_array().unwrap().clone();
    assert_eq!(told.iter().map(|own| own["family"].as_str().unwrap()).collect::<Vec<_>>(), families);
    let measures = |of: &Value| ["series", "failed", "best", "mase"].map(|key| of[key].clone());
    assert_near(&told[0]["mase"], 4.4);
    assert_eq!(measures(&told[0])[..3], [json!(2), json!(0), json!(0)]);
    assert_eq!(measures(&told[1]), [json!(2), json!(0), json!(2), json!(3.5)]);
    assert_eq!(measures(&told[2]), [json!(2), json!(2), json!(0), Value::Null]);
    let alone = json_of(&input, &of_one);
    for key in keys(&alone).into_iter().filter(|key| *key != "seconds") {
        assert_eq!(told[1][key], alone[key], "{key} of a family does not depend on the others");
    }
    let rows = backtest(&input, &[&of_all[..], &["--output", "csv"]].concat()).csv();
    let told: Vec<[&str; 3]> = rows[1..].iter().map(|row| [1, 2, 3].map(|column| row[column].as_str())).collect();
    let of_series =
        [["snaive2", "snaive2", "fitted"], ["naive", "naive", "fitted"], ["lstm-bank", "lstm-bank", "too_short"]];
    assert_eq!(told, [of_series, of_series].concat());
    let shown = backtest(&input, &of_all).out;
    for word in ["│ family ", "best on", "│ snaive2 ", "4.400", "│ naive ", "3.500", "2 series; means are over"] {
        assert!(shown.contains(word), "{word:?} is missing in {shown}");
    }
}

/// The older origin sees two days of a five-day horizon and blends by weight; at the newer one the mean of three is clearly
/// better.
#[test]
fn each_origin_counts_for_the_champion_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let whole = day(48 + 2 * 120, 0.0, 30.0, 0);
    let cut = written(&folder, "cut.csv", &table(&[("a", hourly(whole[..48 + 120].to_vec()))]));
    let input = written(&folder, "whole.csv", &table(&[("a", hourly(whole))]));
    let told = |input: &str, models: &str, origins: &str| {
        json_of(input, &["--models", models, "--horizon", "120", "--origins", origins])
    };
    let both = told(&input, "auto", "2");
    assert_eq!((both["fallback"].clone(), both["models"].as_object().unwrap().len()), (json!(0), 2), "{both}");
    let alone = |input: &str| {
        let champion = backtest(input, &["--horizon", "120", "--origins", "1", "--output", "csv"]).csv()[1][2].clone();
        (champion, told(input, "auto", "1")["mase"].as_f64().unwrap())
    };
    let (newer, older) = (alone(&input), alone(&cut));
    for (model, mase) in [&newer, &older] {
        assert_eq!(both["models"][model]["count"], 1, "{model}: {both}");
        assert_near(&both["models"][model]["mase"], *mase);
    }
    assert_near(&both["mase"], (newer.1 + older.1) / 2.0);
    assert!(newer.1 < older.1 / 4.0, "{newer:?} {older:?}");
}

const TRAIN: usize = 432;
const HORIZON: usize = 24;

/// Mean |y − f| over the mean change from day to day of the training part.
fn mase(train: &[f64], actual: &[f64], forecast: &Value) -> f64 {
    let changes: Vec<f64> = train.iter().zip(&train[24..]).map(|(before, after)| (after - before).abs()).collect();
    let scale = changes.iter().sum::<f64>() / changes.len() as f64;
    let forecast = forecast.as_array().unwrap().iter().map(|mean| mean.as_f64().unwrap());
    actual.iter().zip(forecast).map(|(y, f)| (y - f).abs()).sum::<f64>() / HORIZON as f64 / scale
}

/// What `auto` chooses and says is what `forecast` does of a file that ends with the training part, whatever values
/// come after it and at whatever times.
#[test]
fn nothing_of_the_test_part_reaches_the_training_part() {
    let folder = tempfile::tempdir().unwrap();
    let ids = ["days", "trend", "noise"];
    let whole = [(0.0, 10.0, 0), (0.5, 0.2, 5_000), (0.0, 0.0, 9_000)];
    let whole = whole.map(|(slope, height, seed)| day(TRAIN + HORIZON, slope, height, seed));
    let series = |of: &dyn Fn(&[f64]) -> Samples| {
        let series: Vec<_> = ids.into_iter().zip(&whole).map(|(id, values)| (id, of(values))).collect();
        table(&series)
    };
    let at = written(&folder, "splits.csv", &splits(&ids, TRAIN as i64));
    let train = written(&folder, "train.csv", &series(&|values| hourly(values[..TRAIN].to_vec())));
    let plain = written(&folder, "plain.csv", &series(&|values| hourly(values.to_vec())));
    // Other values, three an hour around each step and far more of them than of the training part, so that their
    // own step would be the commonest; of one step's values the latest counts.
    let other = |step: usize| -3.0 * noise(step) + 7.0;
    let late = |values: &[f64]| {
        let mut samples = hourly(values[..TRAIN].to_vec());
        for step in TRAIN..3 * TRAIN {
            let time = START_S + step as i64 * HOUR_S;
            samples.extend([(time - 1_201, -1.0), (time, 1e6), (time + 1_200, other(step))]);
        }
        samples
    };
    let changed = written(&folder, "changed.csv", &series(&late));

    let steps = HORIZON.to_string();
    let forecast = ["forecast", "--input", &train, "--horizon", &steps, "--output", "json"];
    let forecasts = foreshadow(&forecast).json();
    let tested = |input: &str| backtest(input, &["--splits", &at, "--horizon", &steps, "--output", "csv"]).csv();
    let (plain, changed) = (tested(&plain), tested(&changed));
    for (id, values) in ids.iter().zip(&whole) {
        let name = format!(r#"{{dataset="d",series_id="{id}"}}"#);
        let row = |rows: &[Vec<String>]| rows.iter().find(|row| row[0] == name).unwrap().clone();
        let forecast = forecasts["series"].as_array().unwrap().iter().find(|series| series["series"] == *name).unwrap();
        let others: Vec<f64> = (TRAIN..TRAIN + HORIZON).map(other).collect();
        for (row, actual) in [(row(&plain), &values[TRAIN..]), (row(&changed), &others)] {
            assert_eq!(row[2], forecast["model"], "{id}");
            assert_eq!((&row[3], row[4].as_str()), (&forecast["status"].as_str().unwrap().to_owned(), "24"), "{id}");
            let wanted = mase(&values[..TRAIN], actual, &forecast["mean"]);
            let found: f64 = row[5].parse().unwrap();
            assert!((found - wanted).abs() <= 1e-9 * wanted, "{id}: {found} is not {wanted}");
        }
    }
}

/// Hours at which a job runs, which no season tells.
fn job(hour: usize) -> f64 {
    f64::from(u8::from(noise(hour / 5) > 0.2))
}

/// A series that a job lifts by half is forecast far better by who knows when the job runs; a job that is known up to
/// each cutoff alone helps little, and what it does later changes nothing.
#[test]
fn a_known_regressor_is_worth_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let values = |hour: usize| 20.0 + 2.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin() + 10.0 * job(hour);
    let input = written(&folder, "in.csv", &table(&[("a", hourly((0..TRAIN + HORIZON).map(values)))]));
    let at = written(&folder, "splits.csv", &splits(&["a"], TRAIN as i64));
    let jobs = |name: &str, of: &dyn Fn(usize) -> f64| {
        let row = |hour: usize| format!("job,{},{}\n", START_S + hour as i64 * HOUR_S, of(hour));
        let rows: String = (0..TRAIN + HORIZON).map(row).collect();
        written(&folder, name, &format!("metric,timestamp,value\n{rows}"))
    };
    let plain = jobs("jobs.csv", &job);
    let other = jobs("other.csv", &|hour| if hour < TRAIN { job(hour) } else { 1.0 - job(hour) });
    let unknown = written(&folder, "f.toml", "[[regressor]]\nname = 'job'\nknown_future = false\n");
    for model in ["prophet", "auto"] {
        let mase = |further: &[&str]| {
            let fixed = ["--splits", &at, "--horizon", "24", "--models", model];
            let told = json_of(&input, &[&fixed, further].concat());
            assert_eq!(told["failed"], json!(0), "{told}");
            told["mase"].as_f64().unwrap()
        };
        let (without, with) = (mase(&[]), mase(&["--regressors", &plain]));
        assert!(with < 0.2 * without, "{model}: {with} with the regressor, {without} without");
        let hidden = |file: &str| mase(&["--regressors", file, "--config", &unknown]);
        assert_eq!(hidden(&plain), hidden(&other), "{model}");
        assert!(hidden(&plain) > 2.0 * with, "{model}");
    }
}

fn m4(models: &str) -> Option<Value> {
    let (input, splits) = (telemetry("m4_hourly.parquet")?, telemetry("splits.csv")?);
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let further = ["--splits", &text(&splits), "--horizon", "48", "--mase-season", "24", "--models", models];
    Some(json_of(&text(&input), &further))
}

/// NumPy makes 1.07317 and 14.3821 of the same hundred series.
#[test]
fn seasonal_naive_on_m4_hourly_has_its_known_error() {
    let Some(told) = m4("snaive") else { return };
    assert_eq!((&told["series"], &told["failed"], &told["unscaled"]), (&json!(100), &json!(0), &json!(0)));
    let of = |key: &str| told[key].as_f64().unwrap();
    assert!((of("mase") - 1.0732).abs() <= 0.0005, "{told}");
    assert!((of("smape") - 14.382).abs() <= 0.005, "{told}");
}

#[test]
fn the_best_of_all_families_on_m4_hourly_is_good_and_knows_how_good() {
    let Some(told) = m4("auto") else { return };
    assert_eq!((&told["series"], &told["failed"]), (&json!(100), &json!(0)));
    let mase = told["mase"].as_f64().unwrap();
    assert!(mase <= 0.90, "{told}");
    let covered = told["coverage"]["95"].as_f64().unwrap();
    assert!((90.0..=98.0).contains(&covered), "{told}");
    let models = told["models"].as_object().unwrap();
    let count: u64 = models.values().map(|model| model["count"].as_u64().unwrap()).sum();
    assert_eq!(count, 100, "{models:?}");
}
