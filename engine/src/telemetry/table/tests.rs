use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

fn written(name: &str, bytes: &[u8]) -> (TempDir, TableSpec) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, TableSpec::new(path))
}

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const TABLE: &str = "host,region,timestamp,value\na,eu,60,1\nb,,60,2\na,eu,120,\nb,,120,nan\na,eu,180,3.5\n";

#[test]
fn rows_gather_by_all_their_labels() {
    for (name, bytes) in [("t.csv", TABLE.as_bytes().to_vec()), ("t.csv.gz", gzipped(TABLE))] {
        let (_folder, spec) = written(name, &bytes);
        let series = spec.read().unwrap();
        assert_eq!(series.len(), 2);
        assert_eq!(series[0].name, r#"{host="a",region="eu"}"#);
        assert_eq!(series[1].name, r#"{host="b"}"#, "an empty label is none");
        assert_eq!(series[0].times_ms, [60_000, 120_000, 180_000]);
        assert_eq!((series[0].values[0], series[0].values[2]), (1.0, 3.5));
        assert!(series[0].values[1].is_nan() && series[1].values[1].is_nan());
    }
}

#[test]
fn columns_are_chosen_by_name() {
    let (_folder, mut spec) = written("t.csv", b"when,x,y,name\n2026-01-01T00:00:00Z,1,2,n\n");
    spec.time_column = "when".into();
    spec.value_column = "y".into();
    spec.label_columns = Some(vec!["name".into()]);
    let series = spec.read().unwrap();
    assert_eq!((series[0].name.as_str(), series[0].values[0]), (r#"{name="n"}"#, 2.0));
    assert_eq!(series[0].times_ms[0], 1_767_225_600_000);
    spec.value_column = "z".into();
    let error = spec.read().unwrap_err();
    assert!(error.to_string().ends_with("t.csv has no column \"z\""), "{error}");
    assert!(miette::Diagnostic::help(&error).unwrap().to_string().contains("when, x, y, name"));
}

#[test]
fn a_bad_row_is_named() {
    let with = |row: &str| format!("{TABLE}{row}\n").into_bytes();
    let mut broken_text = TABLE.as_bytes().to_vec();
    broken_text.extend(b"\xff,eu,60,1\n");
    let cut = gzipped(TABLE)[..30].to_vec();
    for (name, bytes, said) in [
        ("t.csv", with("a,eu,240,much"), "row 6, column \"value\": \"much\" is not a number"),
        ("t.csv", with("a,eu,soon,1"), "row 6, column \"timestamp\": \"soon\" is not a time"),
        ("t.csv", with("a,eu,1"), "row 6 cannot be read"),
        ("t.csv", broken_text, "row 6, column \"host\": \"\u{fffd}\" is not UTF-8 text"),
        ("t.csv.gz", cut, "t.csv.gz after row"),
        ("t.csv", Vec::new(), "t.csv holds no row"),
        ("t.csv", b"timestamp,value\n".to_vec(), "t.csv holds no row"),
        ("t.txt", Vec::new(), "t.txt is no table by its name"),
        ("t.parquet", b"PAR1 and no more".to_vec(), "t.parquet cannot be read as Parquet after row 0"),
    ] {
        let (_folder, spec) = written(name, &bytes);
        let error = spec.read().unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(miette::Diagnostic::help(&error).is_some());
    }
}

/// The bundle's own Parquet against its own gzipped CSV, sample for sample.
#[test]
fn parquet_and_csv_agree_on_real_telemetry() {
    let data = std::env::var("FORESHADOW_DATA").unwrap_or_else(|_| "../shared/data".into());
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(data); // relative to the repository
    if !data.join("quickstart.csv.gz").exists() {
        println!("skipped: no telemetry at {}", data.display());
        return;
    }
    let quick = TableSpec::new(data.join("quickstart.csv.gz")).read().unwrap();
    let azure = TableSpec::new(data.join("azure_vm_2019_total.parquet")).read().unwrap();
    assert_eq!((quick.len(), azure.len()), (11, 2));
    let mut compared = 0;
    for series in &azure {
        assert_eq!(series.values.len(), 8_640);
        let Some(same) = quick.iter().find(|other| other.name == series.name) else { continue };
        assert_eq!(same.times_ms, series.times_ms);
        let close = same.values.iter().zip(&series.values).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs());
        assert!(close, "{}: the CSV is rounded to ten digits", series.name);
        compared += 1;
    }
    assert!(compared > 0, "the quick start holds a series of the Azure file");
}

#[test]
fn every_label_of_a_parquet_table_tells_series_apart() {
    use ::arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch};
    use ::parquet::arrow::ArrowWriter;
    use std::sync::Arc;
    let columns: [(&str, ArrayRef); 5] = [
        ("timestamp", Arc::new(Int64Array::from(vec![60, 120, 60, 120]))),
        ("value", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0, 4.0]))),
        ("shard", Arc::new(Int32Array::from(vec![7, 7, 8, 8]))),
        ("spot", Arc::new(BooleanArray::from(vec![true, true, true, false]))),
        ("load", Arc::new(Float64Array::from(vec![0.1, 0.2, 0.3, 0.4]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let (_folder, spec) = written("t.parquet", &bytes);
    let names: Vec<_> = spec.read().unwrap().into_iter().map(|series| series.name).collect();
    let expected = [r#"{shard="7",spot="true"}"#, r#"{shard="8",spot="true"}"#, r#"{shard="8",spot="false"}"#];
    assert_eq!(names, expected, "a number with a fraction is no label");
}

#[test]
fn one_broken_time_does_not_speak_for_all() {
    let rows: String = (0..20).map(|i| format!("b,{},{i}\n", 1_700_000_000 + 60 * i)).collect();
    let text = format!("host,timestamp,value\na,9223372036854775,1\n{rows}");
    let (_folder, spec) = written("t.csv", text.as_bytes());
    let series = spec.read().unwrap();
    assert_eq!((series[1].times_ms[0], series[1].times_ms[1]), (1_700_000_000_000, 1_700_000_060_000));
}
