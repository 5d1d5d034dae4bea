//! `foreshadow simulate`: a seeded fleet as a long table.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use flate2::{Compression, write::GzEncoder};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as ParquetCompression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::progress::Step;
use super::{Exit, Failure};
use crate::clock::{Clock, SystemClock};
use crate::simulate::{Fleet, FleetSpec, STEP_MS};

const EXAMPLES: &str = "Examples:
  foreshadow simulate --seed 7 --out fleet.parquet
  foreshadow simulate --workloads 5 --days 14 --out fleet.csv.gz

Every series carries the label simulated=\"true\".";

/// Columns of the table: the sample, then what names its series.
const LABELS: [&str; 4] = ["__name__", "region", "workload", "simulated"];

/// Flags of `foreshadow simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The same seed gives the same fleet
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// File to write; its ending, .csv, .csv.gz or .parquet, says how
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Days of history
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(u16).range(1..=366))]
    days: u16,
    /// Workloads in each of the three regions
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    workloads: u16,
    /// Days after which other users come to every workload, with habits of their own [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=366))]
    turn_days: Option<u16>,
    /// Newest sample, in milliseconds since the epoch [default: now]
    #[arg(long, value_name = "MS")]
    end_ms: Option<i64>,
}

/// Why the table could not be written.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum SimulateError {
    #[error("{path} is no table by its name")]
    #[diagnostic(help("a name that ends in .csv, .csv.gz or .parquet is needed"))]
    Ending { path: String },
    #[error("cannot write {path}")]
    #[diagnostic(help("check that the folder exists, may be written and has room"))]
    Write {
        path: String,
        #[source]
        source: io::Error,
    },
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let end_ms = args.end_ms.unwrap_or_else(|| SystemClock.now_ms());
    let step = Step::new("simulating the fleet");
    let spec = FleetSpec {
        seed: args.seed,
        end_ms,
        days: args.days.into(),
        workloads: args.workloads.into(),
        turn_days: args.turn_days.map(Into::into),
    };
    let kind = Kind::of(&args.out)
        .ok_or_else(|| Failure::new(Exit::Input, SimulateError::Ending { path: args.out.display().to_string() }))?;
    let fleet = Fleet::simulate(&spec);
    write(&fleet, &args.out, kind, &step).map_err(|source| {
        let exit = if source.kind() == io::ErrorKind::NotFound { Exit::Input } else { Exit::Disk };
        Failure::new(exit, SimulateError::Write { path: args.out.display().to_string(), source })
    })?;
    drop(step);
    eprintln!("{}: {} simulated series of {} days", args.out.display(), fleet.series.len(), args.days);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Csv,
    Gzip,
    Parquet,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        let name = path.to_string_lossy().to_lowercase();
        let ends = [(".csv", Self::Csv), (".csv.gz", Self::Gzip), (".parquet", Self::Parquet)];
        ends.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, kind)| kind)
    }
}

fn write(fleet: &Fleet, path: &Path, kind: Kind, step: &Step) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    match kind {
        Kind::Csv => write_csv(fleet, &mut file, step)?,
        Kind::Gzip => {
            let mut packed = GzEncoder::new(&mut file, Compression::fast());
            write_csv(fleet, &mut packed, step)?;
            packed.finish()?;
        }
        Kind::Parquet => write_parquet(fleet, &mut file, step).map_err(|error| match error {
            ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(source) => *source,
                Err(source) => io::Error::other(source),
            },
            other => io::Error::other(other),
        })?,
    }
    file.flush()
}

fn write_csv(fleet: &Fleet, out: &mut impl Write, step: &Step) -> io::Result<()> {
    writeln!(out, "timestamp,value,{}", LABELS.join(","))?;
    for (at, series) in fleet.series.iter().enumerate() {
        // Names of the simulator hold no comma and no quote.
        let labels = LABELS.map(|label| series.key.label(label)).join(",");
        for (at, value) in series.values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            writeln!(out, "{},{value},{labels}", (fleet.start_ms + at as i64 * STEP_MS) / 1000)?;
        }
        step.set(at + 1, fleet.series.len());
    }
    Ok(())
}

fn write_parquet(fleet: &Fleet, out: &mut (impl Write + Send), step: &Step) -> Result<(), ParquetError> {
    let packed = ParquetCompression::ZSTD(ZstdLevel::try_new(3)?);
    let properties = WriterProperties::builder().set_compression(packed).build();
    let mut writer: Option<ArrowWriter<_>> = None;
    let mut out = Some(out);
    for (at, series) in fleet.series.iter().enumerate() {
        let recorded = || series.values.iter().enumerate().filter(|(_, value)| !value.is_nan());
        let times = recorded().map(|(at, _)| (fleet.start_ms + at as i64 * STEP_MS) / 1000);
        let values = recorded().map(|(_, value)| *value);
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("timestamp", Arc::new(Int64Array::from_iter_values(times))),
            ("value", Arc::new(Float64Array::from_iter_values(values))),
        ];
        for label in LABELS {
            let text = series.key.label(label);
            columns.push((label, Arc::new(StringArray::from_iter_values(recorded().map(|_| text)))));
        }
        let batch = RecordBatch::try_from_iter(columns)?;
        if let Some(out) = out.take() {
            writer = Some(ArrowWriter::try_new(out, batch.schema(), Some(properties.clone()))?);
        }
        writer.as_mut().expect("the first series opens the writer").write(&batch)?;
        step.set(at + 1, fleet.series.len());
    }
    writer.map_or(Ok(()), |writer| writer.close().map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::TableSpec;

    #[test]
    fn every_kind_of_table_reads_back_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let fleet =
            Fleet::simulate(&FleetSpec { seed: 1, end_ms: 1_700_481_600_000, days: 1, workloads: 1, turn_days: None });
        let wanted: Vec<_> = fleet.samples().collect();
        for name in ["fleet.csv", "fleet.csv.gz", "fleet.parquet"] {
            let path = folder.path().join(name);
            write(&fleet, &path, Kind::of(&path).unwrap(), &Step::new("")).unwrap();
            let read = TableSpec::new(&path).read().unwrap();
            assert_eq!(read.len(), 12);
            for (read, wanted) in read.iter().zip(&wanted) {
                assert_eq!(
                    (&read.name, &read.times_ms, &read.values),
                    (&wanted.name, &wanted.times_ms, &wanted.values)
                );
            }
        }
        assert_eq!(Kind::of(Path::new("fleet.txt")), None);
    }
}
