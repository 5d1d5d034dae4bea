//! Automatic ARIMA without a season and with one of 24: series a second, and likelihood against statsforecast.

use foreshadow_kernels::{ArmaOrder, Batch, Differencing, Rows, arima_likelihood};
use foreshadow_models::classical::{Arima, ArimaParameters, FittedArima};
use foreshadow_models::{FitStatus, Fitted, Panel};
use serde_json::Value;

use crate::fit::{Cost, fit};
use crate::peers::numbers;
use crate::{BenchError, BenchPanel, Context, Figures, Scale, bench_panel_of, peer};

const SEED: u64 = 31;
/// Copies of each series: a fit takes tens of milliseconds.
const COPIES: usize = 4;
/// Nats that a fit may be less likely than its peer's and still count as no worse.
const ROOM_NATS: f64 = 1e-3;
/// How much higher a criterion may be and still count as no worse.
const ROOM_AICC: f64 = 1e-2;

/// A family as it is timed: its season, its least cost, and the originals that its peer is given.
struct Family {
    name: &'static str,
    /// What its peer is called in `peers/contenders.py`.
    peer: &'static str,
    season: usize,
    cost: Cost,
    peer_series: usize,
}

const FAMILIES: [Family; 2] = [
    Family {
        name: "autoarima",
        peer: "autoarima",
        season: 1,
        // Thirty orders, sixty gradients each, twenty operations a step.
        cost: Cost { flop: 36_000.0 * 672.0, bytes: 672.0 * 8.0 },
        peer_series: usize::MAX,
    },
    Family {
        name: "sarima24",
        peer: "sarima",
        season: 24,
        cost: Cost { flop: 150e6, bytes: 672.0 * 8.0 },
        peer_series: 5,
    },
];

/// Takes the ARIMA figures.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not there.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let bench = bench_panel_of(context, SEED, COPIES)?;
    let window = bench.panel.window();
    let count = window.series_count();
    for family in &FAMILIES {
        let model = Arima::auto(family.season);
        let prefix = format!("{}.", family.name);
        let (fitted, cpu_seconds) = fit(&prefix, count, family.cost, context, figures, || model.learn(&window));
        let capped = fitted.status().iter().filter(|s| **s == FitStatus::NotConverged).count();
        figures.add(&format!("{prefix}capped_series"), capped as f64, "series");
        if context.peers && context.scale != Scale::Smoke {
            against_statsforecast(family, &bench, &fitted, cpu_seconds / count as f64, figures)?;
        }
    }
    Ok(())
}

/// Scores both fits of the peer's order by one function, and both choices by one criterion, on the unchanged series.
fn against_statsforecast(
    family: &Family,
    bench: &BenchPanel,
    fitted: &FittedArima,
    seconds_a_series: f64,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let originals: Vec<usize> = bench.originals.iter().copied().take(family.peer_series).collect();
    let ran = peer(family.peer, &bench.panel, &originals, &[family.season], 1)?;
    let (mut gains, mut chosen) = (Vec::new(), Vec::new());
    for (fit, &s) in ran.fits().iter().zip(&originals) {
        let values = bench.panel.values(s);
        let Some(theirs) = peer_parameters(fit, family.season) else { continue };
        gains.push(gain(values, &theirs));
        let our_choice = fitted.parameters(s).map_or(f64::INFINITY, |own| aicc(values, own));
        chosen.push(aicc(values, &theirs) - our_choice);
    }
    let percent = |good: usize, of: usize| 100.0 * good as f64 / of.max(1) as f64;
    gains.sort_by(f64::total_cmp);
    let prefix = family.name;
    let good = gains.iter().filter(|gain| **gain >= -ROOM_NATS).count();
    figures.add(&format!("{prefix}.parity_percent"), percent(good, gains.len()), "%");
    figures.add(&format!("{prefix}.likelihood_gain_least"), gains.first().copied().unwrap_or(f64::NAN), "nats");
    figures.add(
        &format!("{prefix}.likelihood_gain_median"),
        gains.get(gains.len() / 2).copied().unwrap_or(f64::NAN),
        "nats",
    );
    let no_worse = chosen.iter().filter(|gain| **gain >= -ROOM_AICC).count();
    figures.add(&format!("{prefix}.aicc_no_worse_percent"), percent(no_worse, chosen.len()), "%");
    figures.add(&format!("{prefix}.peer_failures"), (originals.len() - gains.len()) as f64, "series");
    figures.add(&format!("{prefix}.ratio"), ran.fit_seconds_a_series() / seconds_a_series, "x");
    Ok(())
}

/// Whether our fit of the order that a peer chose for each series is as likely as the peer's.
pub(crate) fn no_worse(panel: &Panel, seasons: &[usize], fits: &[&Value]) -> Vec<Option<bool>> {
    let judged = |(s, fit): (usize, &&Value)| {
        let theirs = peer_parameters(fit, seasons[0])?;
        Some(gain(panel.values(s), &theirs) >= -ROOM_NATS)
    };
    fits.iter().enumerate().map(judged).collect()
}

/// How much likelier our fit of the peer's order is than the peer's, in nats.
fn gain(values: &[f64], theirs: &ArimaParameters) -> f64 {
    let ours = same_order(values, theirs).map_or(f64::NEG_INFINITY, |own| log_likelihood(values, &own));
    ours - log_likelihood(values, theirs)
}

/// Our exact fit of the peer's order.
fn same_order(values: &[f64], theirs: &ArimaParameters) -> Option<ArimaParameters> {
    let ArimaParameters { order, differences, seasonal_differences, .. } = *theirs;
    let model = Arima::seasonal(
        [order.ar, differences, order.ma],
        [order.seasonal_ar, seasonal_differences, order.seasonal_ma],
        order.season,
    );
    let model = if theirs.constant.is_some() { model } else { model.without_constant() };
    let mut panel = Panel::new(3_600_000);
    panel.push("one".into(), 0, values);
    model.learn(&panel.window()).parameters(0).cloned()
}

/// Parameters as statsforecast gives them: its constant is the slope a step where a series is differenced once.
fn peer_parameters(fit: &Value, season: usize) -> Option<ArimaParameters> {
    let order: Vec<usize> =
        fit["order"].as_array()?.iter().map(|v| v.as_u64().map(|v| v as usize)).collect::<Option<_>>()?;
    let [ar, differences, ma, seasonal_ar, seasonal_differences, seasonal_ma] = order[..] else { return None };
    if differences + seasonal_differences > 2 {
        return None; // ours has no such model
    }
    let mut coefficients = Vec::new();
    for name in ["ar", "sar", "ma", "sma"] {
        coefficients.extend(numbers(&fit[name])?);
    }
    let steps = if seasonal_differences > 0 { season as f64 } else { 1.0 };
    Some(ArimaParameters {
        order: ArmaOrder { ar, seasonal_ar, ma, seasonal_ma, season },
        differences,
        seasonal_differences,
        coefficients,
        constant: fit["constant"].as_f64().map(|constant| constant * steps),
        spread: f64::NAN,
        log_likelihood: f64::NAN,
        aicc: f64::NAN,
    })
}

/// The exact log-likelihood of a series at given parameters: both fits' one judge.
pub(crate) fn log_likelihood(values: &[f64], parameters: &ArimaParameters) -> f64 {
    let differencing = Differencing {
        differences: parameters.differences,
        seasonal_differences: parameters.seasonal_differences,
        season: parameters.order.season,
    };
    let constant = parameters.constant.unwrap_or(0.0);
    let explained = |t: usize| match (parameters.differences, parameters.seasonal_differences) {
        (0, 0) => constant,
        (1, 0) => constant * t as f64,
        (0, 1) => constant * t as f64 / parameters.order.season as f64,
        _ => 0.0,
    };
    let rest: Vec<f64> = values.iter().enumerate().map(|(t, value)| value - explained(t)).collect();
    let rest = Batch::Cpu(Rows::new(1, rest.len(), rest).expect("one row"));
    let found = arima_likelihood(&rest, differencing, parameters.order, &parameters.coefficients, false);
    found.expect("a model has its coefficients, and host memory refuses nothing")[0].log_likelihood()
}

/// Akaike's criterion, corrected for small samples, of one likelihood for both.
fn aicc(values: &[f64], parameters: &ArimaParameters) -> f64 {
    let lost = parameters.differences + parameters.order.season * parameters.seasonal_differences;
    let n = (values.len() - lost) as f64;
    let k = (parameters.order.coefficients() + 1 + usize::from(parameters.constant.is_some())) as f64;
    -2.0 * log_likelihood(values, parameters) + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
}
