//! The panels that figures are taken on.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use foreshadow_models::Panel;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{BenchError, Context, Scale};

const STEPS: usize = 672;
const COPIES: usize = 100;
const HOUR_MS: i64 = 3_600_000;

/// The panel of the figures, and where its originals lie in it.
pub struct BenchPanel {
    /// 10,000 hourly series of 672 steps, or the table given by `--input`.
    pub panel: Panel,
    /// Index in the panel of each unchanged series, in the order of [`m4_training`].
    pub originals: Vec<usize>,
}

/// The 100 M4 hourly series' training parts, by id: `(id, start in ms, values)`.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or cannot be read.
pub fn m4_training(context: &Context) -> Result<Vec<(String, i64, Vec<f64>)>, BenchError> {
    let ends = train_ends(&context.telemetry("splits.csv")?)?;
    let mut series: BTreeMap<String, (i64, Vec<f64>)> = BTreeMap::new();
    let path = context.telemetry("m4_hourly.parquet")?;
    let broken = |reason: String| BenchError::Read { path: path.clone(), reason };
    let file = File::open(&path).map_err(|e| broken(e.to_string()))?;
    let reader = SerializedFileReader::new(file).map_err(|e| broken(e.to_string()))?;
    for row in reader.get_row_iter(None).map_err(|e| broken(e.to_string()))? {
        let (id, time_ms, value) = sample(&row.map_err(|e| broken(e.to_string()))?)
            .ok_or_else(|| broken("a row without series_id, timestamp or value".into()))?;
        if ends.get(&id).is_some_and(|end_ms| time_ms <= *end_ms) {
            series.entry(id).or_insert_with(|| (time_ms, Vec::new())).1.push(value);
        }
    }
    Ok(series.into_iter().map(|(id, (start_ms, values))| (id, start_ms, values)).collect())
}

fn sample(row: &Row) -> Option<(String, i64, f64)> {
    let (mut id, mut time_ms, mut value) = (None, None, None);
    for (name, field) in row.get_column_iter() {
        match (name.as_str(), field) {
            ("series_id", Field::Str(text)) => id = Some(text.clone()),
            ("timestamp", Field::Long(seconds)) => time_ms = Some(seconds * 1_000),
            ("value", Field::Double(number)) => value = Some(*number),
            _ => {}
        }
    }
    Some((id?, time_ms?, value?))
}

fn train_ends(path: &Path) -> Result<BTreeMap<String, i64>, BenchError> {
    let broken = |reason: String| BenchError::Read { path: path.into(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| broken(e.to_string()))?;
    let row = |line: &str| {
        let mut cells = line.split(',');
        let (_, id, _) = (cells.next()?, cells.next()?, cells.next()?);
        Some((id.to_string(), cells.next()?.parse::<i64>().ok()? * 1_000))
    };
    text.lines().skip(1).map(|line| row(line).ok_or_else(|| broken(format!("not a split: {line}")))).collect()
}

/// The bench panel: the last 672 training steps of the 100 M4 hourly series, each 100 times with a
/// seeded level, scale and 1 % noise (the first copy unchanged), shuffled. A smoke run takes 2 copies.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or cannot be read.
pub fn bench_panel(context: &Context, seed: u64) -> Result<BenchPanel, BenchError> {
    let copies = if context.scale == Scale::Smoke { 2 } else { COPIES };
    let originals = m4_training(context)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<(usize, usize)> =
        (0..copies).flat_map(|copy| (0..originals.len()).map(move |s| (copy, s))).collect();
    order.shuffle(&mut rng);
    let mut panel = Panel::new(HOUR_MS);
    let mut at = vec![0; originals.len()];
    for (index, (copy, s)) in order.into_iter().enumerate() {
        let (id, _, values) = &originals[s];
        let skip = values.len() - STEPS.min(values.len());
        let mut last = values[skip..].to_vec();
        if copy == 0 {
            at[s] = index;
        } else {
            disturb(&mut last, &mut rng);
        }
        // One start for all, as a fleet scraped together has: the copies share their timestamps.
        panel.push(format!("{id}/{copy}"), 0, &last);
    }
    Ok(BenchPanel { panel, originals: at })
}

/// Another level, another scale, and noise of 1 % of the mean.
fn disturb(values: &mut [f64], rng: &mut ChaCha8Rng) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (scale, level) = (rng.random_range(0.2..5.0), rng.random_range(-0.5..0.5) * mean);
    for value in values {
        // A sum of twelve uniforms has variance one: near enough to normal for a bench's noise.
        let noise: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        *value = scale * (*value + level + 0.01 * mean * noise);
    }
}
