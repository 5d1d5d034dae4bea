//! ETS(A,N,A) with a season of 24: series a second, and likelihood against statsforecast.

use foreshadow_kernels::Trend;
use foreshadow_models::classical::{Ets, EtsParameters, FittedEts};
use foreshadow_models::{FitStatus, Fitted};
use serde_json::Value;

use crate::fit::{Cost, fit};
use crate::{BenchError, BenchPanel, Context, Figures, bench_panel, mase, peer};

const SEASON: usize = 24;
const SEED: u64 = 24;
/// Sixty passes of value and adjoint at 48 operations a step.
const COST: Cost = Cost { flop: 60.0 * 48.0 * 672.0, bytes: 672.0 * 8.0 };
/// Nats that a fit may be less likely than its peer's and still count as no worse.
const ROOM_NATS: f64 = 1e-3;

/// Takes the ETS figures.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not there.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let bench = bench_panel(context, SEED)?;
    let window = bench.panel.window();
    let model = Ets::new(Trend::None, SEASON);
    let count = window.series_count();
    let (fitted, cpu_seconds) = fit("ets.", count, COST, context, figures, || model.learn(&window));
    let capped = fitted.status().iter().filter(|s| **s == FitStatus::NotConverged).count();
    figures.add("ets.capped_series", capped as f64, "series");
    if context.peers {
        against_statsforecast(&bench, &fitted, cpu_seconds / count as f64, figures)?;
    }
    mase::figures("ets", &model, context, figures)
}

/// Scores the timed run's own parameters and statsforecast's by one function, on the unchanged series.
fn against_statsforecast(
    bench: &BenchPanel,
    fitted: &FittedEts,
    seconds_a_series: f64,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let series: Vec<&[f64]> = bench.originals.iter().map(|&s| bench.panel.values(s)).collect();
    let broken = |reason: String| BenchError::Program { program: "peer ets".into(), reason };
    let ran = peer("ets", &bench.panel, &bench.originals, &[SEASON], 1)?;
    let fits = ran.fits();
    let mut gains = Vec::with_capacity(series.len());
    for ((values, fit), &s) in series.iter().zip(&fits).zip(&bench.originals) {
        let theirs = peer_parameters(fit).ok_or_else(|| broken(format!("not an ETS(A,N,A): {fit}")))?;
        let ours = fitted.parameters(s).map_or(f64::NEG_INFINITY, |own| log_likelihood(values, own));
        gains.push(ours - log_likelihood(values, &theirs));
    }
    gains.sort_by(f64::total_cmp);
    let good = gains.iter().filter(|gain| **gain >= -ROOM_NATS).count();
    figures.add("ets.likelihood_parity_percent", 100.0 * good as f64 / gains.len() as f64, "%");
    figures.add("ets.likelihood_gain_least", gains[0], "nats");
    figures.add("ets.likelihood_gain_median", gains[gains.len() / 2], "nats");
    figures.add("ets.ratio", ran.fit_seconds_a_series() / seconds_a_series, "x");
    Ok(())
}

/// Parameters as statsforecast gives them: weights, level, and the season, its latest slot first and one too many.
fn peer_parameters(fit: &Value) -> Option<EtsParameters> {
    if fit["kind"].as_str() != Some("ANAN") {
        return None;
    }
    let par = fit["par"].as_array()?;
    let number = |at: usize| par.get(at)?.as_f64();
    let mut season: Vec<f64> = par.get(5..)?.iter().map(Value::as_f64).collect::<Option<_>>()?;
    season.truncate(SEASON);
    season.reverse();
    let smoothing = foreshadow_kernels::Smoothing { alpha: number(0)?, beta: 0.0, gamma: number(2)?, phi: 1.0 };
    (season.len() == SEASON).then_some(EtsParameters { smoothing, level: number(4)?, slope: 0.0, season })
}

/// `-n/2 ln(sse)` of ETS(A,N,A), both fits' one judge.
fn log_likelihood(values: &[f64], parameters: &EtsParameters) -> f64 {
    let mut level = parameters.level;
    let mut season = parameters.season.clone();
    let mut sse = 0.0;
    for (t, value) in values.iter().enumerate() {
        let error = value - level - season[t % SEASON];
        level += parameters.smoothing.alpha * error;
        season[t % SEASON] += parameters.smoothing.gamma * error;
        sse += error * error;
    }
    -0.5 * values.len() as f64 * f64::ln(sse)
}
