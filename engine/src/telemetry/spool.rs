//! Samples on their way in: in memory as far as that is granted, past it in a temporary file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use foreshadow_models::RawSeries;

/// What a sample takes in the file: its time and its value, eight bytes each, as they were read. What tells where the
/// samples before lie takes as much.
const STORED_BYTES: u64 = 16;

/// What a sample takes in memory: a vector that has just grown is a third empty on average.
const HELD_BYTES: u64 = 24;

/// The samples of many series as a source tells them, series by series or all mixed up.
///
/// Samples of a series keep the order that they came in and read back to the bit, wherever they were kept.
#[derive(Debug)]
pub struct Spool {
    /// Samples that may be held in memory.
    granted: u64,
    held: u64,
    series: Vec<Spooled>,
    overflow: Option<Overflow>,
}

/// One series: what was put away of it last, and what came since.
#[derive(Debug)]
struct Spooled {
    stored: Chunk,
    samples: usize,
    held: RawSeries,
}

/// Samples that lie together in the file: where those before them lie, their times, then their values. Of a series that is
/// told a few samples at a time, memory so holds one place and not all.
#[derive(Clone, Copy, Debug, Default)]
struct Chunk {
    at: u64,
    /// None where nothing was put away.
    samples: u64,
}

#[derive(Debug)]
struct Overflow {
    file: File,
    folder: PathBuf,
    end: u64,
}

/// Samples could not be put away, or not be read back.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the samples that forecast.memory leaves no room for cannot be kept in a file in {folder}")]
#[diagnostic(help("TMPDIR names another folder; more forecast.memory needs less of it, or none"))]
pub struct SpoolError {
    /// Where the file lies.
    pub folder: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl Default for Spool {
    /// Holds everything in memory.
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

impl Spool {
    /// Holds at most so many bytes of samples in memory.
    pub fn new(granted_bytes: u64) -> Self {
        Self { granted: granted_bytes / HELD_BYTES, held: 0, series: Vec::new(), overflow: None }
    }

    /// Takes note of another series and tells its index.
    pub fn add(&mut self, name: String) -> usize {
        let held = RawSeries { name, ..RawSeries::default() };
        self.series.push(Spooled { stored: Chunk::default(), samples: 0, held });
        self.series.len() - 1
    }

    /// Adds a sample to a series.
    ///
    /// # Errors
    /// [`SpoolError`] when what overflows cannot be put away.
    pub fn push(&mut self, series: usize, time_ms: i64, value: f64) -> Result<(), SpoolError> {
        self.extend(series, &[time_ms], std::iter::once(value))
    }

    /// Adds samples to a series, one value a time.
    ///
    /// # Errors
    /// As [`Spool::push`].
    pub fn extend(
        &mut self,
        series: usize,
        times_ms: &[i64],
        values: impl Iterator<Item = f64>,
    ) -> Result<(), SpoolError> {
        let spooled = &mut self.series[series];
        spooled.held.times_ms.extend_from_slice(times_ms);
        spooled.held.values.extend(values);
        spooled.samples += times_ms.len();
        self.held += times_ms.len() as u64;
        if self.held > self.granted { self.put_away() } else { Ok(()) }
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// The identity of a series that was not taken.
    pub fn name(&self, series: usize) -> &str {
        &self.series[series].held.name
    }

    /// Samples that were told of a series.
    pub fn samples(&self, series: usize) -> usize {
        self.series[series].samples
    }

    /// What is held in memory.
    pub fn held_bytes(&self) -> u64 {
        self.held * HELD_BYTES
    }

    /// What a series of so many samples takes in memory.
    pub fn bytes_of(samples: usize) -> u64 {
        samples as u64 * HELD_BYTES
    }

    /// Whether some samples lie in a file.
    pub fn has_overflown(&self) -> bool {
        self.overflow.is_some()
    }

    /// A series, which stays.
    ///
    /// # Errors
    /// [`SpoolError`] when the file cannot be read back.
    pub fn read(&self, series: usize) -> Result<RawSeries, SpoolError> {
        let Spooled { stored, samples, held } = &self.series[series];
        let Some(overflow) = self.overflow.as_ref().filter(|_| stored.samples > 0) else { return Ok(held.clone()) };
        let (mut times_ms, mut values) = (vec![0; *samples], vec![0.0; *samples]);
        let mut end = samples - held.times_ms.len();
        times_ms[end..].copy_from_slice(&held.times_ms);
        values[end..].copy_from_slice(&held.values);
        let (mut chunk, mut bytes) = (*stored, Vec::new());
        while chunk.samples > 0 {
            overflow.read(chunk, &mut bytes)?;
            let (before, own) = bytes.as_chunks::<8>().0.split_at(2);
            let (times, numbers) = own.split_at(chunk.samples as usize);
            let from = end - times.len();
            times_ms[from..end].iter_mut().zip(times).for_each(|(slot, bytes)| *slot = i64::from_le_bytes(*bytes));
            values[from..end].iter_mut().zip(numbers).for_each(|(slot, bytes)| *slot = f64::from_le_bytes(*bytes));
            chunk = Chunk { at: u64::from_le_bytes(before[0]), samples: u64::from_le_bytes(before[1]) };
            end = from;
        }
        Ok(RawSeries { name: held.name.clone(), times_ms, values })
    }

    /// A series, of which nothing stays in memory.
    ///
    /// # Errors
    /// As [`Spool::read`].
    pub fn take(&mut self, series: usize) -> Result<RawSeries, SpoolError> {
        let whole = (self.series[series].stored.samples > 0).then(|| self.read(series)).transpose()?;
        let own = &mut self.series[series];
        (own.stored, own.samples) = (Chunk::default(), 0);
        let held = std::mem::take(&mut own.held);
        self.held -= held.times_ms.len() as u64;
        Ok(whole.unwrap_or(held))
    }

    /// Writes all that is held to the end of the file, series after series.
    fn put_away(&mut self) -> Result<(), SpoolError> {
        let overflow = match &mut self.overflow {
            Some(overflow) => overflow,
            none => none.insert(Overflow::open(&folder())?),
        };
        let Overflow { file, folder, end } = overflow;
        let failed = |source| SpoolError { folder: folder.display().to_string(), source };
        let mut out = BufWriter::with_capacity(1 << 20, &*file);
        for Spooled { stored, held, .. } in self.series.iter_mut().filter(|own| !own.held.times_ms.is_empty()) {
            let (times_ms, values) = (std::mem::take(&mut held.times_ms), std::mem::take(&mut held.values));
            let before = [stored.at, stored.samples].map(u64::to_le_bytes).into_iter();
            let own =
                times_ms.iter().map(|time| time.to_le_bytes()).chain(values.iter().map(|value| value.to_le_bytes()));
            for bytes in before.chain(own) {
                out.write_all(&bytes).map_err(failed)?;
            }
            *stored = Chunk { at: *end, samples: times_ms.len() as u64 };
            *end += (1 + stored.samples) * STORED_BYTES;
        }
        out.flush().map_err(failed)?;
        self.held = 0;
        Ok(())
    }
}

impl Overflow {
    /// A file without a name: it is gone when the process is.
    fn open(folder: &Path) -> Result<Self, SpoolError> {
        let failed = |source| SpoolError { folder: folder.display().to_string(), source };
        Ok(Self { file: tempfile::tempfile_in(folder).map_err(failed)?, folder: folder.into(), end: 0 })
    }

    fn read(&self, chunk: Chunk, bytes: &mut Vec<u8>) -> Result<(), SpoolError> {
        bytes.resize((1 + chunk.samples as usize) * STORED_BYTES as usize, 0);
        let failed = |source| SpoolError { folder: self.folder.display().to_string(), source };
        self.file.read_exact_at(bytes, chunk.at).map_err(failed)
    }
}

/// Where large temporary files belong: what `/tmp` holds lies in memory on many machines.
fn folder() -> PathBuf {
    let usual = Path::new("/var/tmp");
    match std::env::var_os("TMPDIR") {
        None if usual.is_dir() => usual.into(),
        _ => std::env::temp_dir(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of three series, mixed up; values that a careless copy would change.
    fn told(spool: &mut Spool) {
        let values = [1.5, f64::NAN, -0.0, f64::INFINITY, 1e-310, 0.1 + 0.2];
        for name in ["a", "b", "c"] {
            spool.add(name.into());
        }
        for at in 0..600_i64 {
            let series = (at * at % 7 % 3) as usize;
            spool.push(series, i64::MAX - at, values[at as usize % 6]).unwrap();
        }
        spool.extend(1, &[3, 2, 3], [7.0, 8.0, 9.0].into_iter()).unwrap();
    }

    fn bits(series: &RawSeries) -> (String, Vec<i64>, Vec<u64>) {
        (series.name.clone(), series.times_ms.clone(), series.values.iter().map(|value| value.to_bits()).collect())
    }

    #[test]
    fn what_overflows_reads_back_to_the_bit_and_in_its_order() {
        let mut whole = Spool::default();
        told(&mut whole);
        assert!(!whole.has_overflown());
        for granted in [0, HELD_BYTES, 50 * HELD_BYTES, 602 * HELD_BYTES] {
            let mut spool = Spool::new(granted);
            told(&mut spool);
            assert!(spool.has_overflown() && spool.held <= granted / HELD_BYTES, "{granted}");
            for series in [2, 0, 1] {
                assert_eq!(spool.samples(series), whole.samples(series));
                let own = bits(&whole.read(series).unwrap());
                assert_eq!(bits(&spool.read(series).unwrap()), own, "{granted}");
                assert_eq!(bits(&spool.take(series).unwrap()), own, "{granted}");
            }
            assert_eq!(spool.held, 0);
        }
        let own = bits(&whole.read(1).unwrap());
        assert_eq!(bits(&whole.take(1).unwrap()), own);
        assert!(whole.take(1).unwrap().values.is_empty(), "it was taken");
    }

    #[test]
    fn a_folder_that_takes_no_file_is_named() {
        let error = Overflow::open(Path::new("/nowhere/at all")).unwrap_err();
        assert!(error.to_string().contains("forecast.memory") && error.to_string().contains("/nowhere/at all"));
    }
}
