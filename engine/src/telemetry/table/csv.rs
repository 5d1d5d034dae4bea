//! Comma-separated tables, gzipped or not.

use std::fs::File;
use std::io::{BufReader, Read};
use std::str;

use csv::{ByteRecord, Reader};
use flate2::read::MultiGzDecoder;

use super::time::{EXPECTED, TimeUnit, parse_time};
use super::{Columns, Gather, TableSpec, shown};
use crate::telemetry::{SeriesKey, SourceError, Spool};

/// Rows that settle the unit of the time column.
const VOTERS: usize = 1_000;

pub(super) fn read(spec: &TableSpec, spool: &mut Spool) -> Result<(), SourceError> {
    let mut reader = open(spec)?;
    let header = reader.byte_headers().map_err(|source| failed(spec, 0, source))?;
    let present: Vec<String> = header.iter().map(|name| String::from_utf8_lossy(name).trim().to_string()).collect();
    if present.is_empty() {
        return Err(SourceError::Empty { path: shown(&spec.path) });
    }
    let columns = spec.columns(&present, |_| true)?;
    let unit = match spec.time_unit {
        TimeUnit::Auto => voted(open(spec)?, columns.time),
        given => given,
    };
    gather(spec, &mut reader, &present, &columns, unit, spool)
}

fn open(spec: &TableSpec) -> Result<Reader<Box<dyn Read>>, SourceError> {
    let opened = File::open(&spec.path).map_err(|source| SourceError::Read { path: shown(&spec.path), source })?;
    let file = BufReader::with_capacity(1 << 18, opened);
    let gzipped = spec.path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let input: Box<dyn Read> = if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    Ok(csv::ReaderBuilder::new().buffer_capacity(1 << 18).from_reader(input))
}

/// The unit that most of the first rows' times are in. What cannot be read is told when it is read again.
fn voted(reader: Reader<Box<dyn Read>>, column: usize) -> TimeUnit {
    let records = reader.into_byte_records().map_while(Result::ok).take(VOTERS);
    let number = |record: ByteRecord| {
        let text = str::from_utf8(record.get(column)?).ok()?.trim();
        text.parse::<i64>().ok().or_else(|| Some(text.parse::<f64>().ok().filter(|n| n.is_finite())? as i64))
    };
    TimeUnit::Auto.settled_by_most(records.filter_map(number))
}

fn gather(
    spec: &TableSpec,
    reader: &mut Reader<impl Read>,
    present: &[String],
    columns: &Columns,
    mut unit: TimeUnit,
    spool: &mut Spool,
) -> Result<(), SourceError> {
    let mut gather = Gather::into(spool);
    let mut record = ByteRecord::new();
    let mut joined = Vec::new();
    for row in 1.. {
        if !reader.read_byte_record(&mut record).map_err(|source| failed(spec, row, source))? {
            break;
        }
        let refuse = |column: usize, expected| {
            let found = format!("\"{}\"", String::from_utf8_lossy(&record[column]).escape_debug());
            spec.cell(row, &present[column], found, expected)
        };
        let time_ms = time(&record[columns.time], &mut unit).ok_or_else(|| refuse(columns.time, EXPECTED))?;
        let value = value(&record[columns.value]).ok_or_else(|| refuse(columns.value, "a number"))?;
        joined.clear();
        for label in &columns.labels {
            joined.extend_from_slice(&record[*label]);
            joined.push(0xff); // in no UTF-8 text
        }
        let key = || {
            let label = |at: &usize| match str::from_utf8(&record[*at]) {
                Ok(text) => Ok((present[*at].clone(), text.to_string())),
                Err(_) => Err(refuse(*at, "UTF-8 text")),
            };
            let labels = columns.labels.iter().map(label).collect::<Result<Vec<_>, SourceError>>()?;
            Ok::<_, SourceError>(SeriesKey::new(labels))
        };
        let series = gather.series(&joined, key)?;
        gather.spool.push(series, time_ms, value)?;
    }
    Ok(())
}

/// An empty cell is an unobserved value.
fn value(cell: &[u8]) -> Option<f64> {
    match cell.trim_ascii() {
        b"" => Some(f64::NAN),
        text => str::from_utf8(text).ok()?.parse().ok(),
    }
}

fn time(cell: &[u8], unit: &mut TimeUnit) -> Option<i64> {
    let text = str::from_utf8(cell.trim_ascii()).ok()?;
    if *unit != TimeUnit::Rfc3339 {
        if let Ok(number) = text.parse::<i64>() {
            *unit = unit.settled_by(number);
            return unit.to_ms(number);
        }
        if let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) {
            *unit = unit.settled_by(number as i64);
            return unit.float_to_ms(number);
        }
        if *unit != TimeUnit::Auto {
            return None;
        }
    }
    let time = parse_time(text)?;
    *unit = TimeUnit::Rfc3339;
    Some(time)
}

fn failed(spec: &TableSpec, row: u64, source: csv::Error) -> SourceError {
    let path = shown(&spec.path);
    match source.kind() {
        csv::ErrorKind::Io(_) => match source.into_kind() {
            csv::ErrorKind::Io(source) => {
                SourceError::Read { path: format!("{path} after row {}", row.max(1) - 1), source }
            }
            _ => unreachable!("the kind was just looked at"),
        },
        _ => SourceError::Row { path, row, source },
    }
}
