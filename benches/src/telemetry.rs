//! `telemetry.*`: automatic selection against seasonal naive on real telemetry, one default configuration.

use foreshadow_models::classical::{Naive, SeasonalNaive};
use foreshadow_models::metrics::SeriesScore;
use foreshadow_models::{Auto, Backtest, BuildOptions, Horizon, Model, Origins, Panel, PanelSet, Quantiles, backtest};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::panel::read;
use crate::{BenchError, Context, Figures, Scale};

pub(crate) const SETS: [&str; 6] =
    ["nab", "smd", "msft_cloud_monitoring", "crane", "azure_vm_2019_total", "cloudcluster_pools"];
/// Steps kept of each series, series drawn of each set, and cutoffs a day apart.
pub(crate) const STEPS: usize = 4_032;
pub(crate) const SERIES: usize = 24;
pub(crate) const ORIGINS: usize = 3;
pub(crate) const SEED: u64 = 24;
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Takes the figures of every set; a smoke run takes one set of two series.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or a batch fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let (sets, series) = match context.scale {
        Scale::Smoke => (&SETS[4..5], 2),
        Scale::Quick => (&SETS[..], SERIES),
    };
    let mut ratios = Vec::new();
    for set in sets {
        let mut pairs = Vec::new();
        for panel in drawn(context, set, series, |_| true)? {
            pairs.extend(judge(&panel)?);
        }
        let (ours, naive) = (mean_of(&pairs, |p| p.auto.mase()), mean_of(&pairs, |p| p.seasonal.mase()));
        ratios.push(ours / naive);
        figures.add(&format!("telemetry.{set}.mase_ratio"), ours / naive, "");
        figures.add(&format!("telemetry.{set}.coverage95_percent"), mean_of(&pairs, |p| p.auto.coverage95()), "%");
        figures.add(
            &format!("telemetry.{set}.msis95_ratio"),
            mean_of(&pairs, |p| p.auto.msis95()) / mean_of(&pairs, |p| p.seasonal.msis95()),
            "",
        );
    }
    let geometric = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64;
    figures.add("telemetry.mase_ratio_geometric_mean", geometric.exp(), "");
    if context.scale == Scale::Quick {
        let mut pairs = Vec::new();
        for panel in drawn(context, "nab", usize::MAX, |name| name.contains("realAWSCloudwatch"))? {
            pairs.extend(judge(&panel)?);
        }
        figures.add("nab_cloudwatch.mase_median", median(&pairs, |p| p.auto.mase()), "");
        figures.add("nab_cloudwatch.naive_mase_median", median(&pairs, |p| p.naive.mase()), "");
    }
    Ok(())
}

/// One series at one cutoff by each of the three.
struct Judged {
    auto: SeriesScore,
    seasonal: SeriesScore,
    naive: SeriesScore,
}

/// The newest steps of series drawn by seed, as panels.
pub(crate) fn drawn(
    context: &Context,
    set: &str,
    count: usize,
    keep: impl Fn(&str) -> bool,
) -> Result<Vec<Panel>, BenchError> {
    let mut raw = read(&context.telemetry(&format!("{set}.parquet"))?)?;
    raw.retain(|series| keep(&series.name));
    raw.sort_by(|a, b| a.name.cmp(&b.name));
    raw.shuffle(&mut ChaCha8Rng::seed_from_u64(SEED));
    raw.truncate(count);
    Ok(PanelSet::build(raw, &BuildOptions::lookback(STEPS)).panels)
}

/// Cutoffs at which both ours and seasonal naive have a scaled error.
fn judge(panel: &Panel) -> Result<Vec<Judged>, BenchError> {
    let season = panel.steps_in(DAY_MS);
    let horizon = Horizon::new(season).expect("a day has steps");
    let (auto, seasonal) = (Auto::new(horizon), SeasonalNaive { season });
    let models: [&dyn Model; 3] = [&auto, &seasonal, &Naive];
    let window = panel.window();
    let origins = Origins::rolling(&window, horizon, ORIGINS, season);
    let test: Backtest<'_> = backtest(&window, &models, origins, horizon, &Quantiles::standard(), 0, &|_, _| ())
        .map_err(|error| BenchError::Fit(error.to_string()))?;
    let pairs = (0..panel.series_count()).flat_map(|s| (0..ORIGINS).map(move |origin| (s, origin)));
    let judged = pairs.map(|(s, origin)| {
        let score = |model| test.score(model, origin, s, season);
        Judged { auto: score(0), seasonal: score(1), naive: score(2) }
    });
    Ok(judged.filter(|judged| judged.auto.mase().is_some() && judged.seasonal.mase().is_some()).collect())
}

fn known(pairs: &[Judged], of: impl Fn(&Judged) -> Option<f64>) -> Vec<f64> {
    pairs.iter().filter_map(of).collect()
}

fn mean_of(pairs: &[Judged], of: impl Fn(&Judged) -> Option<f64>) -> f64 {
    let known = known(pairs, of);
    known.iter().sum::<f64>() / known.len() as f64
}

fn median(pairs: &[Judged], of: impl Fn(&Judged) -> Option<f64>) -> f64 {
    let mut known = known(pairs, of);
    known.sort_by(f64::total_cmp);
    known[known.len() / 2]
}
