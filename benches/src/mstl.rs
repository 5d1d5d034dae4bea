//! MSTL with a day and a week: series a second, and its seasons and accuracy beside statsforecast's.

use foreshadow_models::classical::{FittedMstl, Mstl};
use foreshadow_models::{FitStatus, Fitted};
use serde_json::{Value, json};

use crate::fit::{Cost, fit};
use crate::{BenchError, BenchPanel, Context, Figures, bench_panel, mase, peer_fits};

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

fn broken(reason: impl Into<String>) -> BenchError {
    BenchError::Program { program: "peers/mstl.py".into(), reason: reason.into() }
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

/// Compares the last cycles of the timed run's own decomposition with statsforecast's, on the unchanged series.
fn against_statsforecast(
    bench: &BenchPanel,
    fitted: &FittedMstl,
    seconds_a_series: f64,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let series: Vec<&[f64]> = bench.originals.iter().map(|&s| bench.panel.values(s)).collect();
    let work = json!({ "seasons": SEASONS, "series": series });
    let (fits, seconds) = peer_fits("mstl.py", &work, series.len())?;
    let (mut equal, mut furthest) = (0, 0.0_f64);
    for ((values, fit), &s) in series.iter().zip(&fits).zip(&bench.originals) {
        let cycles = fit["cycles"].as_array().and_then(|all| all.iter().map(numbers).collect::<Option<Vec<_>>>());
        let theirs = cycles.ok_or_else(|| broken("a fit without its cycles"))?.concat();
        let Some(ours) = fitted.cycles(s).map(<[_]>::concat).filter(|ours| ours.len() == theirs.len()) else {
            continue;
        };
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let spread = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt();
        let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / spread).fold(0.0, f64::max);
        equal += usize::from(apart <= ROOM);
        furthest = furthest.max(apart);
    }
    figures.add("mstl.parity_percent", 100.0 * equal as f64 / series.len() as f64, "%");
    figures.add("mstl.furthest_season", furthest, "spreads");
    figures.add("mstl.ratio", seconds / series.len() as f64 / seconds_a_series, "x");
    Ok(())
}
