//! Long tables: one row a sample, a column for the time, one for the value, the others naming the series.

use std::path::PathBuf;

/// A table and what its columns mean.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSpec {
    /// The file; its ending says what it is.
    pub path: PathBuf,
    /// Column of the sample's time.
    pub time_column: String,
    /// Column of the sample's value.
    pub value_column: String,
    /// Columns that name the series together; `None` takes every other text column.
    pub label_columns: Option<Vec<String>>,
    /// What a number in the time column counts.
    pub time_unit: TimeUnit,
}

/// What a number in a time column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum TimeUnit {
    /// By the column's type, or by how large the first number is.
    Auto,
    /// Seconds since the epoch.
    S,
    /// Milliseconds since the epoch.
    Ms,
    /// Microseconds since the epoch.
    Us,
    /// Nanoseconds since the epoch.
    Ns,
    /// Text such as 2026-11-23T12:00:00Z.
    Rfc3339,
}

impl TableSpec {
    /// A table with the usual columns: `timestamp`, `value`, and text columns that name the series.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            time_column: "timestamp".into(),
            value_column: "value".into(),
            label_columns: None,
            time_unit: TimeUnit::Auto,
        }
    }
}
