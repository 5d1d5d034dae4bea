//! The dynamic optimised theta model with a season of 24: series a second, and its objective against statsforecast's.

use foreshadow_models::classical::{FittedTheta, Theta, ThetaParameters, ThetaSeason};
use foreshadow_models::{FitStatus, Fitted, Panel};
use serde_json::Value;

use crate::fit::{Cost, fit};
use crate::{BenchError, BenchPanel, Context, Figures, bench_panel, mase, peer};

const SEASON: usize = 24;
const SEED: u64 = 25;
/// Twenty-five passes of 22 operations a step, and 24 lags of the test for a season.
const COST: Cost = Cost { flop: (25.0 * 22.0 + 2.0 * 24.0) * 672.0, bytes: 672.0 * 8.0 };
/// By which share a fit's objective may be higher than its peer's and still count as no worse.
const ROOM: f64 = 1e-6;

/// Takes the theta figures.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not there.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let bench = bench_panel(context, SEED)?;
    let window = bench.panel.window();
    let model = Theta::dot(SEASON);
    let count = window.series_count();
    let (fitted, cpu_seconds) = fit("theta.", count, COST, context, figures, || model.learn(&window));
    let capped = fitted.status().iter().filter(|s| **s == FitStatus::NotConverged).count();
    figures.add("theta.capped_series", capped as f64, "series");
    if context.peers {
        against_statsforecast(&bench, &fitted, cpu_seconds / count as f64, figures)?;
    }
    mase::figures("theta", &model, context, figures)
}

/// Scores the timed run's own parameters and statsforecast's by one function, on the unchanged series.
fn against_statsforecast(
    bench: &BenchPanel,
    fitted: &FittedTheta,
    seconds_a_series: f64,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let broken = |reason: String| BenchError::Program { program: "peer theta".into(), reason };
    let ran = peer("theta", &bench.panel, &bench.originals, &[SEASON], 1)?;
    let fits = ran.fits();
    let mut worse = Vec::with_capacity(fits.len());
    let mut same_season = 0;
    for (fit, &s) in fits.iter().zip(&bench.originals) {
        let own = fitted.parameters(s);
        same_season +=
            usize::from(own.is_some_and(|own| Some(kind(&own.season)) == fit["season"].as_str().or(Some(""))));
        let excess = excess(bench.panel.values(s), own, fit);
        worse.push(100.0 * excess.ok_or_else(|| broken(format!("not a theta model: {fit}")))?);
    }
    worse.sort_by(f64::total_cmp);
    let good = worse.iter().filter(|worse| **worse <= 100.0 * ROOM).count();
    figures.add("theta.parity_percent", 100.0 * good as f64 / worse.len() as f64, "%");
    figures.add("theta.objective_excess_most_percent", worse[worse.len() - 1], "%");
    figures.add("theta.objective_excess_median_percent", worse[worse.len() / 2], "%");
    figures.add("theta.same_season_percent", 100.0 * same_season as f64 / worse.len() as f64, "%");
    figures.add("theta.ratio", ran.fit_seconds_a_series() / seconds_a_series, "x");
    Ok(())
}

/// Whether our fit of each series leaves no more error than statsforecast's parameters.
pub(crate) fn no_worse(panel: &Panel, seasons: &[usize], fits: &[&Value]) -> Vec<Option<bool>> {
    let fitted = Theta::dot(seasons[0]).learn(&panel.window());
    let judged = |(s, fit): (usize, &&Value)| Some(excess(panel.values(s), fitted.parameters(s), fit)? <= ROOM);
    fits.iter().enumerate().map(judged).collect()
}

/// By which share our objective is higher than the peer's, both with our season taken out; endless without a fit of ours.
fn excess(values: &[f64], own: Option<&ThetaParameters>, fit: &Value) -> Option<f64> {
    let season = own.map_or(ThetaSeason::None, |own| own.season.clone());
    let theirs = peer_parameters(fit, season)?;
    let ours = own.map_or(f64::INFINITY, |own| objective(values, own));
    Some(ours / objective(values, &theirs) - 1.0)
}

/// The peer's word for how a season was taken out.
fn kind(season: &ThetaSeason) -> &'static str {
    match season {
        ThetaSeason::None => "",
        ThetaSeason::Added(_) => "additive",
        ThetaSeason::Multiplied(_) => "multiplicative",
    }
}

fn peer_parameters(fit: &Value, season: ThetaSeason) -> Option<ThetaParameters> {
    let number = |name: &str| fit[name].as_f64();
    Some(ThetaParameters { level: number("level")?, alpha: number("alpha")?, theta: number("theta")?, season })
}

/// Squared one-step errors past the third step of the dynamic model as Fiorucci et al. 2016 write it, both fits'
/// one judge; statsforecast divides them by the mean size of the series.
fn objective(values: &[f64], parameters: &ThetaParameters) -> f64 {
    let ThetaParameters { level, alpha, theta, ref season } = *parameters;
    let without = |t: usize| match season {
        ThetaSeason::None => values[t],
        ThetaSeason::Added(places) => values[t] - places[t % places.len()],
        ThetaSeason::Multiplied(places) => values[t] / places[t % places.len()],
    };
    let first = without(0);
    let (mut level, mut mean, mut intercept, mut slope) = (alpha * first + (1.0 - alpha) * level, first, first, 0.0);
    let (mut weight, mut sse) = (1.0 - alpha, 0.0);
    for t in 1..values.len() {
        let (y, i) = (without(t), t as f64);
        let drift = intercept * weight + slope * (1.0 - weight * (1.0 - alpha)) / alpha;
        let error = y - level - (1.0 - 1.0 / theta) * drift;
        sse += if t < 3 { 0.0 } else { error * error };
        level = alpha * y + (1.0 - alpha) * level;
        weight *= 1.0 - alpha;
        slope = ((i - 1.0) * slope + 6.0 * (y - mean) / (i + 1.0)) / (i + 2.0);
        mean = (i * mean + y) / (i + 1.0);
        intercept = mean - slope * (i + 2.0) / 2.0;
    }
    sse
}
