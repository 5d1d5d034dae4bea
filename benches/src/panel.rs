//! The panels that figures are taken on.

use std::collections::BTreeMap;
use std::path::Path;

use foreshadow::service::chain;
use foreshadow::telemetry::{SeriesKey, SourceError, TableSpec};
use foreshadow_models::{BuildOptions, Panel, PanelSet, RawSeries};
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
    let mut training = Vec::new();
    for series in read(&context.telemetry("m4_hourly.parquet")?)? {
        let key: Option<SeriesKey> = series.name.parse().ok();
        let id = key.and_then(|key| key.labels().iter().find(|(label, _)| label == "series_id").cloned());
        let Some((id, end_ms)) = id.and_then(|(_, id)| Some((ends.get(&id).copied()?, id))).map(|(e, id)| (id, e))
        else {
            continue;
        };
        let steps = series.times_ms.partition_point(|time| *time <= end_ms);
        training.push((id, series.times_ms[0], series.values[..steps].to_vec()));
    }
    training.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(training)
}

pub(crate) fn read(path: &Path) -> Result<Vec<RawSeries>, BenchError> {
    let broken = |error: SourceError| BenchError::Read { path: path.into(), reason: chain(&error) };
    TableSpec::new(path).read().map_err(broken)
}

/// The 100 M4 hourly series whole, and how many steps of each are for training.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or cannot be read.
pub fn m4_split(context: &Context) -> Result<(Panel, Vec<usize>), BenchError> {
    let training = m4_training(context)?;
    let mut whole = read(&context.telemetry("m4_hourly.parquet")?)?;
    whole.sort_by(|a, b| a.name.cmp(&b.name));
    let mut panel = Panel::new(HOUR_MS);
    let mut steps = Vec::new();
    for (id, start_ms, values) in training {
        let own = |series: &&RawSeries| series.name.contains(&format!("series_id=\"{id}\""));
        let series = whole.iter().find(own).expect("the training part was read from it");
        panel.push(id, start_ms, &series.values);
        steps.push(values.len());
    }
    Ok((panel, steps))
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
    bench_panel_of(context, seed, COPIES)
}

/// [`bench_panel`] with so many copies of each series: for families that take seconds a hundred.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or cannot be read.
pub fn bench_panel_of(context: &Context, seed: u64, copies: usize) -> Result<BenchPanel, BenchError> {
    if let Some(path) = &context.input {
        return given_panel(path);
    }
    let copies = if context.scale == Scale::Smoke { 2 } else { copies };
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

/// The table given by `--input`: the largest panel of one step and phase in it, every series an original.
fn given_panel(path: &Path) -> Result<BenchPanel, BenchError> {
    let set = PanelSet::build(read(path)?, &BuildOptions::default());
    let panel = set.panels.into_iter().max_by_key(Panel::series_count);
    let panel = panel.ok_or_else(|| BenchError::Read { path: path.into(), reason: "it has no series".into() })?;
    let originals = (0..panel.series_count()).collect();
    Ok(BenchPanel { panel, originals })
}

/// Another level, another scale, and noise of 1 % of the mean.
pub(crate) fn disturb(values: &mut [f64], rng: &mut ChaCha8Rng) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (scale, level) = (rng.random_range(0.2..5.0), rng.random_range(-0.5..0.5) * mean);
    for value in values {
        // A sum of twelve uniforms has variance one: near enough to normal for a bench's noise.
        let noise: f64 = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
        *value = scale * (*value + level + 0.01 * mean * noise);
    }
}
