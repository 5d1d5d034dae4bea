//! Parquet tables, read batch by batch and only the columns that matter.

use std::fs::File;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::{cast, partition};
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, TimeUnit as ArrowUnit};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::time::{EXPECTED, TimeUnit, parse_time};
use super::{Columns, Gather, TableSpec, shown};
use crate::telemetry::{SeriesKey, SourceError, Spool};

const BATCH_ROWS: usize = 65_536;

pub(super) fn read(spec: &TableSpec, spool: &mut Spool) -> Result<(), SourceError> {
    let file = File::open(&spec.path).map_err(|source| SourceError::Read { path: shown(&spec.path), source })?;
    let damaged = |rows, source| SourceError::Parquet { path: shown(&spec.path), rows, source };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|source| damaged(0, source))?;
    let schema = builder.schema().clone();
    let present: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let columns = spec.columns(&present, |at| is_label(schema.field(at).data_type()))?;
    let roots = columns.labels.iter().copied().chain([columns.time, columns.value]);
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let batches =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|source| damaged(0, source))?;
    let mut table = Table { spec, present: &present, gather: Gather::into(spool), unit: spec.time_unit, rows: 0 };
    for batch in batches {
        let batch = batch.map_err(|source| damaged(table.rows, external(source)))?;
        let places = table.places(&columns, &batch.schema());
        table.take(&places, &batch)?;
        table.rows += batch.num_rows() as u64;
    }
    Ok(())
}

fn external(source: ArrowError) -> ParquetError {
    match source {
        ArrowError::ExternalError(source) => match source.downcast::<ParquetError>() {
            Ok(source) => *source,
            Err(source) => ParquetError::External(source),
        },
        ArrowError::ParquetError(told) => ParquetError::General(told.trim_start_matches("Parquet error: ").into()),
        source => ParquetError::External(Box::new(source)),
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// Whether a column can name a series: a number with a fraction, a time or a nested value does not.
fn is_label(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_label(value),
        kind => is_text(kind) || kind.is_integer() || *kind == DataType::Boolean,
    }
}

struct Table<'a> {
    spec: &'a TableSpec,
    present: &'a [String],
    gather: Gather<'a>,
    unit: TimeUnit,
    rows: u64,
}

impl Table<'_> {
    /// Where the wanted columns stand in the batches, which hold no others.
    fn places(&self, columns: &Columns, batch: &Schema) -> Columns {
        let place = |at: &usize| batch.index_of(&self.present[*at]).expect("the projection kept every wanted column");
        Columns {
            time: place(&columns.time),
            value: place(&columns.value),
            labels: columns.labels.iter().map(place).collect(),
        }
    }

    fn take(&mut self, columns: &Columns, batch: &RecordBatch) -> Result<(), SourceError> {
        let name = |at: usize| batch.schema_ref().field(at).name().clone();
        let (time_name, value_name) = (name(columns.time), name(columns.value));
        let times = self.times(&time_name, batch.column(columns.time))?;
        let values = self.values(&value_name, batch.column(columns.value))?;
        let labels: Vec<(String, ArrayRef)> = columns
            .labels
            .iter()
            .map(|at| {
                let text = cast(batch.column(*at), &DataType::Utf8);
                let text = text.map_err(|_| self.refuse(0, &name(*at), batch.column(*at).data_type(), "text"))?;
                Ok((name(*at), text))
            })
            .collect::<Result<_, SourceError>>()?;
        let arrays: Vec<ArrayRef> = labels.iter().map(|(_, array)| array.clone()).collect();
        let mut ranges = match arrays.is_empty() {
            true => Vec::new(),
            false => partition(&arrays).expect("text columns of one length can be compared").ranges(),
        };
        if arrays.is_empty() {
            ranges.push(0..batch.num_rows());
        }
        for range in ranges {
            let label = |array: &ArrayRef| match array.is_null(range.start) {
                true => String::new(),
                false => array.as_string::<i32>().value(range.start).to_string(),
            };
            let mut joined = Vec::new();
            for (_, array) in &labels {
                joined.extend_from_slice(label(array).as_bytes());
                joined.push(0xff); // in no UTF-8 text
            }
            let key = || {
                Ok::<_, SourceError>(SeriesKey::new(labels.iter().map(|(name, array)| (name.clone(), label(array)))))
            };
            let series = self.gather.series(&joined, key)?;
            let value = |at: usize| if values.is_null(at) { f64::NAN } else { values.value(at) };
            self.gather.spool.extend(series, &times[range.clone()], range.map(value))?;
        }
        Ok(())
    }

    /// A refusal of a row of the batch in hand, counted from 0 in it.
    fn refuse(&self, at: usize, column: &str, found: impl ToString, expected: &'static str) -> SourceError {
        self.spec.cell(self.rows + at as u64 + 1, column, found.to_string(), expected)
    }

    fn values(&self, column: &str, array: &ArrayRef) -> Result<Float64Array, SourceError> {
        let numeric = array.data_type().is_numeric();
        let cast = numeric.then(|| cast(array, &DataType::Float64).ok()).flatten();
        let values = cast.ok_or_else(|| self.refuse(0, column, array.data_type(), "a number"))?;
        Ok(values.as_primitive::<Float64Type>().clone())
    }

    /// Milliseconds since the epoch, one a row.
    fn times(&mut self, column: &str, array: &ArrayRef) -> Result<Vec<i64>, SourceError> {
        if let Some(null) = (0..array.len()).find(|at| array.is_null(*at)) {
            return Err(self.refuse(null, column, "null", EXPECTED));
        }
        let kind = array.data_type().clone();
        if is_text(&kind) {
            let text = cast(array, &DataType::Utf8).expect("text becomes text");
            let parsed = text.as_string::<i32>().iter().flatten().map(parse_time).collect::<Vec<_>>();
            let refused = |at| self.refuse(at, column, text.as_string::<i32>().value(at), EXPECTED);
            return parsed.into_iter().enumerate().map(|(at, time)| time.ok_or_else(|| refused(at))).collect();
        }
        let unit = match &kind {
            DataType::Timestamp(ArrowUnit::Second, _) => TimeUnit::S,
            DataType::Timestamp(ArrowUnit::Millisecond, _) => TimeUnit::Ms,
            DataType::Timestamp(ArrowUnit::Microsecond, _) => TimeUnit::Us,
            DataType::Timestamp(ArrowUnit::Nanosecond, _) => TimeUnit::Ns,
            kind if kind.is_integer() => self.unit,
            kind => return Err(self.refuse(0, column, kind, EXPECTED)),
        };
        let numbers = cast(array, &DataType::Int64).map_err(|_| self.refuse(0, column, &kind, EXPECTED))?;
        let numbers: &Int64Array = numbers.as_primitive::<Int64Type>();
        let unit =
            unit.settled_by_most((0..numbers.len()).filter(|at| numbers.is_valid(*at)).map(|at| numbers.value(at)));
        self.unit = if kind.is_integer() { unit } else { self.unit };
        let ms = |(at, number): (usize, &i64)| {
            let refused = || self.refuse(at, column, number, EXPECTED);
            if numbers.is_null(at) { Err(refused()) } else { unit.to_ms(*number).ok_or_else(refused) }
        };
        numbers.values().iter().enumerate().map(ms).collect()
    }
}
