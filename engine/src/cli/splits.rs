//! Where each series' training part ends and its test part starts, from a table.

use std::collections::HashMap;
use std::path::Path;

use foreshadow_models::{HeldOutPart, Panel, RawSeries};
use serde::Deserialize;

use crate::telemetry::{SeriesKey, SourceError};

/// Splits by `dataset` and `series_id`.
pub(super) struct Splits(HashMap<(String, String), Split>);

/// One series' split, milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Split {
    train_end_ms: i64,
    test_start_ms: i64,
}

/// A row of the table; times are seconds since the epoch.
#[derive(Deserialize)]
struct Row {
    dataset: String,
    series_id: String,
    train_end: i64,
    test_start: i64,
}

impl Splits {
    /// Reads the table.
    pub(super) fn read(path: &Path) -> Result<Self, SourceError> {
        let shown = path.display().to_string();
        let file = std::fs::File::open(path).map_err(|source| SourceError::Read { path: shown.clone(), source })?;
        let mut splits = HashMap::new();
        for (row, record) in (1..).zip(csv::Reader::from_reader(file).into_deserialize::<Row>()) {
            let record = record.map_err(|source| SourceError::Row { path: shown.clone(), row, source })?;
            if record.train_end >= record.test_start {
                return Err(SourceError::Cell {
                    path: shown,
                    row,
                    column: "test_start".into(),
                    found: record.test_start.to_string(),
                    expected: "a time after train_end",
                });
            }
            let (Some(train_end_ms), Some(test_start_ms)) =
                (record.train_end.checked_mul(1_000), record.test_start.checked_mul(1_000))
            else {
                return Err(SourceError::Cell {
                    path: shown,
                    row,
                    column: "train_end".into(),
                    found: record.train_end.to_string(),
                    expected: "seconds since the epoch",
                });
            };
            let split = Split { train_end_ms, test_start_ms };
            splits.insert((record.dataset, record.series_id), split);
        }
        Ok(Self(splits))
    }

    /// The split of a series, by its labels `dataset` and `series_id`.
    pub(super) fn of(&self, name: &str) -> Option<Split> {
        let key: SeriesKey = name.parse().ok()?;
        self.0.get(&(key.label("dataset").into(), key.label("series_id").into())).copied()
    }
}

impl Split {
    /// Drops the samples between the two parts, so that neither shows them.
    pub(super) fn part(&self, series: &mut RawSeries) {
        let between = |time: i64| time > self.train_end_ms && time < self.test_start_ms;
        let kept: Vec<usize> = (0..series.times_ms.len()).filter(|at| !between(series.times_ms[*at])).collect();
        if kept.len() < series.times_ms.len() {
            series.values = kept.iter().map(|at| series.values[*at]).collect();
            series.times_ms = kept.iter().map(|at| series.times_ms[*at]).collect();
        }
    }

    /// The test part, at most one horizon long.
    pub(super) fn held_out(&self, horizon_steps: usize) -> HeldOutPart {
        HeldOutPart { start_ms: self.test_start_ms, steps: horizon_steps }
    }

    /// Steps of a panel's series that lie before the test part.
    pub(super) fn train_steps(&self, panel: &Panel, series: usize) -> usize {
        let before = self.test_start_ms - panel.start_ms(series);
        let steps = (before + (panel.step_ms() - 1) / 2).div_euclid(panel.step_ms());
        usize::try_from(steps).unwrap_or(0).min(panel.values(series).len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Splits, SourceError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("splits.csv");
        std::fs::write(&path, text).unwrap();
        Splits::read(&path)
    }

    #[test]
    fn a_series_is_parted_at_its_row() {
        let splits = read("dataset,series_id,train_end,test_start\nd,a,2,4\n").unwrap();
        let split = splits.of(r#"{dataset="d",series_id="a",region="x"}"#).unwrap();
        assert!(splits.of(r#"{series_id="a"}"#).is_none());
        let mut series = RawSeries {
            name: "a".into(),
            times_ms: vec![1_000, 2_000, 3_000, 4_000, 5_000],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0],
        };
        split.part(&mut series);
        assert_eq!(series.times_ms, [1_000, 2_000, 4_000, 5_000]);
        let mut panel = Panel::new(1_000);
        panel.push("a".into(), 1_000, &[1.0, 2.0, f64::NAN, 4.0, 5.0]);
        assert_eq!(split.train_steps(&panel, 0), 3, "two observed steps and the one between the parts");
    }

    #[test]
    fn a_bad_row_is_named() {
        let error = |text| read(text).err().expect("a refusal").to_string();
        assert!(error("dataset,series_id,train_end,test_start\nd,a,x,4\n").contains("splits.csv row 1"));
        assert!(
            error("dataset,series_id,train_end,test_start\nd,a,1,2\nd,b,4,4\n")
                .contains("row 2, column \"test_start\"")
        );
    }
}
