//! Long tables: one row a sample, a column for the time, one for the value, the others naming the series.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use foreshadow_models::RawSeries;

use super::{SeriesKey, SourceError, Spool};

mod csv;
mod parquet;
mod time;

pub use time::{TimeUnit, parse_time};

/// A table and what its columns mean.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSpec {
    /// The file; its ending says what it is.
    pub path: PathBuf,
    /// Column of the sample's time.
    pub time_column: String,
    /// Column of the sample's value.
    pub value_column: String,
    /// Columns that name the series together; `None` takes every other column of text, whole numbers or truth
    /// values, which in CSV is every other column.
    pub label_columns: Option<Vec<String>>,
    /// What a number in the time column counts.
    pub time_unit: TimeUnit,
}

impl TableSpec {
    /// A table with the usual columns: `timestamp`, `value`, and others that name the series.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            time_column: "timestamp".into(),
            value_column: "value".into(),
            label_columns: None,
            time_unit: TimeUnit::Auto,
        }
    }

    /// Reads the whole table: its series in the order of their first rows, each named by all its labels.
    ///
    /// A value that is empty, null or not finite stays in its series as what it is: whoever builds a panel
    /// counts and drops it.
    ///
    /// # Errors
    /// [`SourceError`] names the file, and the row and column where there is one.
    pub fn read(&self) -> Result<Vec<RawSeries>, SourceError> {
        let mut spool = Spool::default();
        self.read_into(&mut spool)?;
        (0..spool.series_count()).map(|series| Ok(spool.take(series)?)).collect()
    }

    /// The same for a fleet that may be larger than memory.
    ///
    /// # Errors
    /// As [`TableSpec::read`], and [`SourceError::Spool`] where what overflows finds no place.
    pub fn read_into(&self, spool: &mut Spool) -> Result<(), SourceError> {
        let name = self.path.to_string_lossy().to_lowercase();
        if name.ends_with(".parquet") {
            parquet::read(self, spool)?;
        } else if name.ends_with(".csv") || name.ends_with(".csv.gz") {
            csv::read(self, spool)?;
        } else {
            return Err(SourceError::Ending { path: shown(&self.path) });
        }
        if spool.series_count() == 0 { Err(SourceError::Empty { path: shown(&self.path) }) } else { Ok(()) }
    }

    /// Where the columns stand among those of the file; `is_label` tells which may name a series.
    fn columns(&self, present: &[String], is_label: impl Fn(usize) -> bool) -> Result<Columns, SourceError> {
        let find = |column: &String| {
            present.iter().position(|name| name == column).ok_or_else(|| SourceError::Column {
                path: shown(&self.path),
                column: column.clone(),
                present: present.join(", "),
            })
        };
        let (time, value) = (find(&self.time_column)?, find(&self.value_column)?);
        let labels = match &self.label_columns {
            Some(columns) => columns.iter().map(find).collect::<Result<_, _>>()?,
            None => (0..present.len()).filter(|at| *at != time && *at != value && is_label(*at)).collect(),
        };
        Ok(Columns { time, value, labels })
    }

    fn cell(&self, row: u64, column: &str, found: impl Into<String>, expected: &'static str) -> SourceError {
        SourceError::Cell { path: shown(&self.path), row, column: column.into(), found: found.into(), expected }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

struct Columns {
    time: usize,
    value: usize,
    labels: Vec<usize>,
}

/// Series as their rows come, found again by the spelling of their labels.
struct Gather<'a> {
    index: HashMap<Vec<u8>, usize>,
    spool: &'a mut Spool,
    /// The labels of the last row and its series: rows of one series mostly stand together.
    last: Option<(Vec<u8>, usize)>,
}

impl<'a> Gather<'a> {
    fn into(spool: &'a mut Spool) -> Self {
        Self { index: HashMap::new(), spool, last: None }
    }

    /// The series whose label values are spelled by `joined`; `key` names it when it is new.
    fn series<E>(&mut self, joined: &[u8], key: impl FnOnce() -> Result<SeriesKey, E>) -> Result<usize, E> {
        match &self.last {
            Some((last, at)) if last == joined => Ok(*at),
            _ => {
                let at = match self.index.get(joined) {
                    Some(at) => *at,
                    None => {
                        let at = self.spool.add(key()?.to_string());
                        self.index.insert(joined.to_vec(), at);
                        at
                    }
                };
                let kept = self.last.get_or_insert_default();
                kept.0.clear();
                kept.0.extend_from_slice(joined);
                kept.1 = at;
                Ok(at)
            }
        }
    }
}

#[cfg(test)]
mod tests;
