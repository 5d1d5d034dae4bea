//! Figures of Prophet's model: series a second, with and without gaps, and its objective beside Stan's.

use std::f64::consts::TAU;

use foreshadow_models::classical::{FittedProphet, Parameters, Prophet};
use foreshadow_models::{FitStatus, Fitted, Panel};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::clock::{Spent, median_of};
use crate::fit::{Cost, fit};
use crate::{BenchError, Context, Figures, bench_panel, peer};

const SEED: u64 = 4;
const DAY_MS: f64 = 86_400_000.0;
/// Prophet's seasons in its order: period in days and waves.
const SEASONS: [(f64, usize); 3] = [(365.25, 10), (7.0, 3), (1.0, 4)];

/// Takes every figure of the area.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not to be had.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let bench = bench_panel(context, SEED)?;
    let fitted = speed("prophet.", &bench.panel, context, figures);
    speed("prophet.gaps_", &with_gaps(&bench.panel, SEED), context, figures);
    if context.peers {
        beside_stan(&bench.panel, &bench.originals, &fitted, figures)?;
    }
    Ok(())
}

/// X'Y once at 2 × 672 × 41, and some twenty solves of up to 41 unknowns.
const COST: Cost = Cost { flop: 0.6e6, bytes: 672.0 * 8.0 };

fn speed(prefix: &str, panel: &Panel, context: &Context, figures: &mut Figures) -> FittedProphet {
    let (fitted, _) = fit(prefix, panel.series_count(), COST, context, figures, || learn(panel));
    let capped = fitted.status().iter().filter(|status| **status == FitStatus::NotConverged).count();
    figures.add(&format!("{prefix}not_converged"), capped as f64, "series");
    fitted
}

fn learn(panel: &Panel) -> FittedProphet {
    Prophet.learn(&panel.window()).expect("the fit builds every operand that its kernels check")
}

/// The panel with a tenth of its series each missing 2 % of steps of its own, ends kept.
fn with_gaps(panel: &Panel, seed: u64) -> Panel {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut holed = Panel::new(panel.step_ms());
    for s in 0..panel.series_count() {
        let mut values = panel.values(s).to_vec();
        if rng.random_range(0..10) == 0 {
            let mut left = values.len() / 50;
            while left > 0 {
                let step = rng.random_range(1..values.len() - 1);
                left -= usize::from(!values[step].is_nan());
                values[step] = f64::NAN;
            }
        }
        holed.push(panel.name(s).into(), panel.start_ms(s), &values);
    }
    holed
}

/// Whether our fit of each series has no higher objective than Stan's.
pub(crate) fn no_worse(panel: &Panel, _seasons: &[usize], fits: &[&Value]) -> Vec<Option<bool>> {
    let fitted = learn(panel);
    let judged = |(s, fit): (usize, &&Value)| {
        let stan = objective(&parameters(fit)?, panel, s);
        let ours = fitted.parameters(s).map_or(f64::INFINITY, |found| objective(&found, panel, s));
        Some(is_no_worse(ours, stan))
    };
    fits.iter().enumerate().map(judged).collect()
}

fn is_no_worse(ours: f64, stan: f64) -> bool {
    ours <= stan + 1e-6 * stan.abs().max(1.0)
}

/// The timed fit's parameters of the original series against those of `prophet` on CmdStan, both scored
/// by [`objective`].
fn beside_stan(
    panel: &Panel,
    originals: &[usize],
    fitted: &FittedProphet,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let mut alone = Panel::new(panel.step_ms());
    for &s in originals {
        alone.push(panel.name(s).into(), panel.start_ms(s), panel.values(s));
    }
    let every: Vec<usize> = (0..alone.series_count()).collect();
    let ran = peer("prophet", &alone, &every, &[alone.steps_in(DAY_MS as i64)], 1)?;
    let broken = |what: &str| BenchError::Program { program: "peer prophet".into(), reason: what.into() };
    let fits = ran.fits();
    let (mut not_worse, mut gains) = (0, Vec::new());
    for ((at, &s), fit) in originals.iter().enumerate().zip(&fits) {
        let stan = objective(&parameters(fit).ok_or_else(|| broken("a fit without its parameters"))?, &alone, at);
        // A series of ours without a fit counts as worse.
        let ours = fitted.parameters(s).map_or(f64::INFINITY, |found| objective(&found, &alone, at));
        not_worse += usize::from(is_no_worse(ours, stan));
        gains.push(stan - ours);
    }
    gains.sort_by(f64::total_cmp);
    figures.add("prophet.objective_not_worse_percent", 100.0 * f64::from(not_worse as u32) / fits.len() as f64, "%");
    figures.add("prophet.objective_least_gain", gains[0], "nats");
    figures.add("prophet.objective_median_gain", gains[gains.len() / 2], "nats");
    let stan_seconds = ran.fit_cpu_seconds;
    let (_, spent): (_, Spent) = median_of(21, || learn(&alone));
    figures.add("prophet.peer_series_per_second", fits.len() as f64 / (stan_seconds / 2.0), "series/s");
    figures.add("prophet.ratio", stan_seconds / spent.cpu_seconds, "times");
    Ok(())
}

fn parameters(fit: &Value) -> Option<Parameters> {
    let many = |name: &str| fit[name].as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    Some(Parameters {
        k: fit["k"].as_f64()?,
        m: fit["m"].as_f64()?,
        delta: many("delta")?,
        beta: many("beta")?,
        sigma: fit["sigma_obs"].as_f64()?,
        y_scale: fit["y_scale"].as_f64()?,
        changepoints: many("changepoints")?,
    })
}

/// Prophet's objective of one series, by its definition; written from `prophet.stan`, not from our fit.
///
/// The seasons are told by the number of `beta`: every subset of year, week and day has its own.
pub fn objective(found: &Parameters, panel: &Panel, s: usize) -> f64 {
    let values = panel.values(s);
    let waves = seasons(found.beta.len());
    let (mut rss, mut count) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
        let time = i as f64 / (values.len() - 1) as f64;
        let bends = found.changepoints.iter().zip(&found.delta).map(|(at, delta)| delta * (time - at).max(0.0));
        let days = (panel.start_ms(s) + i as i64 * panel.step_ms()) as f64 / DAY_MS;
        let seasonal = waves.iter().zip(found.beta.chunks_exact(2)).map(|(period, beta)| {
            let (sine, cosine) = (TAU * days / period).sin_cos();
            beta[0] * sine + beta[1] * cosine
        });
        let fitted = found.m + found.k * time + bends.sum::<f64>() + seasonal.sum::<f64>();
        rss += (value / found.y_scale - fitted).powi(2);
        count += 1.0;
    }
    let variance = found.sigma * found.sigma;
    let squares = |all: &[f64]| all.iter().map(|v| v * v).sum::<f64>();
    let bends: f64 = found.delta.iter().map(|delta| delta.abs()).sum();
    count * found.sigma.ln()
        + rss / (2.0 * variance)
        + (found.k * found.k + found.m * found.m) / 50.0
        + bends / 0.05
        + squares(&found.beta) / 200.0
        + 2.0 * variance
}

fn seasons(coefficients: usize) -> Vec<f64> {
    let subsets = (0..8_usize).map(|subset| {
        let on = SEASONS.into_iter().enumerate().filter(move |(i, _)| subset >> i & 1 == 1);
        on.flat_map(|(_, (period, order))| (1..=order).map(move |wave| period / wave as f64)).collect::<Vec<_>>()
    });
    // Without a season Prophet still has one column, of zeros, that says nothing.
    subsets.into_iter().find(|waves| 2 * waves.len() == coefficients).unwrap_or_default()
}
