//! Real telemetry for golden tests: `FORESHADOW_DATA`, by default `shared/data` beside the repository.

use std::path::PathBuf;

use arrow::array::{Array, Float64Array, Int64Array, StringArray};
use arrow::datatypes::DataType;
use foreshadow_models::{BuildOptions, Panel, PanelSet, RawSeries};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A file of the data folder; says that the test is skipped where it is absent.
pub(crate) fn file(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("FORESHADOW_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")), PathBuf::from);
    let path = root.join(name);
    if !path.is_file() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// The one panel of a file whose series share step and phase.
pub(crate) fn panel(name: &str) -> Option<Panel> {
    let mut raw: Vec<RawSeries> = Vec::new();
    let reader = std::fs::File::open(file(name)?).unwrap();
    for batch in ParquetRecordBatchReaderBuilder::try_new(reader).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let text = arrow::compute::cast(batch.column_by_name("series_id").unwrap(), &DataType::Utf8).unwrap();
        let ids = text.as_any().downcast_ref::<StringArray>().unwrap();
        let times = batch.column_by_name("timestamp").unwrap().as_any().downcast_ref::<Int64Array>().unwrap();
        let values = batch.column_by_name("value").unwrap().as_any().downcast_ref::<Float64Array>().unwrap();
        for row in 0..batch.num_rows() {
            if raw.last().is_none_or(|last| last.name != ids.value(row)) {
                raw.push(RawSeries { name: ids.value(row).into(), ..RawSeries::default() });
            }
            let series = raw.last_mut().expect("a series was pushed for this row");
            series.times_ms.push(times.value(row) * 1_000);
            series.values.push(values.value(row));
        }
    }
    let mut set = PanelSet::build(raw, &BuildOptions::default());
    assert_eq!(set.panels.len(), 1, "{name} has one step and phase");
    set.panels.pop()
}

/// Training steps of each series of a panel, as the official splits give them.
pub(crate) fn train_steps(panel: &Panel) -> Vec<usize> {
    let path = file("splits.csv").expect("the splits lie beside the series");
    let splits = std::fs::read_to_string(path).unwrap();
    let train_end = |name: &str| {
        let row = splits.lines().find(|line| line.split(',').nth(1) == Some(name)).expect("a split for each series");
        row.split(',').nth(3).unwrap().parse::<i64>().unwrap() * 1_000
    };
    (0..panel.series_count())
        .map(|s| ((train_end(panel.name(s)) - panel.start_ms(s)) / panel.step_ms() + 1) as usize)
        .collect()
}
