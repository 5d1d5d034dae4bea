//! MSTL with a day and a week: series a second, and its seasons and accuracy beside statsforecast's.

use foreshadow_models::classical::{FittedMstl, Mstl};
use foreshadow_models::{FitStatus, Fitted, Panel};
use serde_json::Value;

use crate::fit::{Cost, fit};
use crate::peers::numbers;
use crate::{BenchError, BenchPanel, Context, Figures, bench_panel, mase, peer};

const SEASONS: [usize; 2] = [24, 168];
const SEED: u64 = 168;
/// Ten alternations of smoothers that look at 533 values for each of 672 steps; and the smoothing's passes.
const COST: Cost = Cost { flop: 10.0 * 2.0 * 267.0 * 672.0 + 3.0 * 20.0 * 20.0 * 672.0, bytes: 672.0 * 8.0 };
/// How far a season may lie from the peer's, as a share of the series' spread: our decomposition is in `f32`.
const ROOM: f64 = 1e-4;

/// Takes the MSTL figures.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not there.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let bench = bench_panel(context, SEED)?;
    let window = bench.panel.window();
    let model = Mstl::new(&SEASONS);
    let count = window.series_count();
    let (fitted, cpu_seconds) = fit("mstl.", count, COST, context, figures, || {
        model.learn(&window).expect("no season that the series cannot hold")
    });
    let capped = fitted.status().iter().filter(|s| **s == FitStatus::NotConverged).count();
    figures.add("mstl.capped_series", capped as f64, "series");
    if context.peers {
        against_statsforecast(&bench, &fitted, cpu_seconds / count as f64, figures)?;
    }
    mase::figures("mstl", &model, context, figures)
}

/// Compares the last cycles of the timed run's own decomposition with statsforecast's, on the unchanged series.
fn against_statsforecast(
    bench: &BenchPanel,
    fitted: &FittedMstl,
    seconds_a_series: f64,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let broken = |reason: String| BenchError::Program { program: "peer mstl".into(), reason };
    let ran = peer("mstl", &bench.panel, &bench.originals, &SEASONS, 1)?;
    let fits = ran.fits();
    let (mut equal, mut furthest) = (0, 0.0_f64);
    for (fit, &s) in fits.iter().zip(&bench.originals) {
        let apart = apart(bench.panel.values(s), fitted.cycles(s), fit);
        let apart = apart.ok_or_else(|| broken(format!("a fit without its cycles: {fit}")))?;
        equal += usize::from(apart <= ROOM);
        furthest = furthest.max(apart);
    }
    figures.add("mstl.parity_percent", 100.0 * equal as f64 / fits.len() as f64, "%");
    figures.add("mstl.furthest_season", furthest, "spreads");
    figures.add("mstl.ratio", ran.fit_seconds_a_series() / seconds_a_series, "x");
    Ok(())
}

/// Whether our seasons of each series are statsforecast's.
pub(crate) fn equal(panel: &Panel, seasons: &[usize], fits: &[&Value]) -> Vec<Option<bool>> {
    let carried = |steps: &usize| (2..=Mstl::LONGEST_SEASON).contains(steps);
    let seasons: Vec<usize> = seasons.iter().copied().filter(carried).collect();
    let learned = (!seasons.is_empty()).then(|| Mstl::new(&seasons).learn(&panel.window()).ok());
    let Some(fitted) = learned.flatten() else { return vec![None; fits.len()] };
    let judged = |(s, fit): (usize, &&Value)| Some(apart(panel.values(s), fitted.cycles(s), fit)? <= ROOM);
    fits.iter().enumerate().map(judged).collect()
}

/// How far the last cycles lie apart at most, in spreads of the series; endless where the seasons told are others.
fn apart(values: &[f64], ours: Option<&[Vec<f64>]>, fit: &Value) -> Option<f64> {
    let theirs = fit["cycles"].as_array()?.iter().map(numbers).collect::<Option<Vec<_>>>()?.concat();
    let Some(ours) = ours.map(<[_]>::concat).filter(|ours| ours.len() == theirs.len()) else {
        return Some(f64::INFINITY);
    };
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let spread = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt();
    Some(ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / spread).fold(0.0, f64::max))
}
