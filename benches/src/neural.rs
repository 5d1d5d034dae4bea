//! `lstm_bank.*` and `neural.*`: what training a bank of networks costs, and what it is worth on real telemetry.

use std::time::Instant;

use foreshadow_kernels::{Device, LstmEffort, LstmSeries, LstmShape, lstm_train};
use foreshadow_models::classical::SeasonalNaive;
use foreshadow_models::neural::LstmBank;
use foreshadow_models::{Backtest, Horizon, Model, Origins, Panel, Quantiles, backtest};

use crate::telemetry::{DAY_MS, ORIGINS, SERIES, SETS, drawn};
use crate::{BenchError, Context, Figures, Scale};

/// The bank of the figures: 32 units that see one number a step, and answer three levels.
const SHAPE: LstmShape = LstmShape { inputs: 1, hidden: 32, layers: 1, outputs: 3 };
const LEVELS: [f32; 3] = [0.1, 0.5, 0.9];
const EFFORT: LstmEffort =
    LstmEffort { length: 48, windows: 64, steps: 200, rate: 0.01, clip: 1.0, look_every: 200, patience: 200 };
const MODELS: usize = 1_000;
const STEPS: usize = 672;

/// Takes the figures; a smoke run takes two networks, and one set of two series.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or a batch fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    cost(context, figures)?;
    let (sets, series) = match context.scale {
        Scale::Smoke => (&SETS[4..5], 2),
        Scale::Quick => (&SETS[..], SERIES),
    };
    for set in sets {
        let mut pairs = Vec::new();
        for panel in drawn(context, set, series, |_| true)? {
            pairs.extend(judge(&panel)?);
        }
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = pairs.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        figures.add(&format!("neural.{set}.mase_ratio"), median(|pair| pair.0) / median(|pair| pair.1), "");
    }
    Ok(())
}

/// Seconds of a bank's training, all of whose steps are taken.
fn cost(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let models = if context.scale == Scale::Smoke { 2 } else { MODELS };
    let value =
        |s: usize, t: usize| (t as f32 * (0.2 + s as f32 * 1e-3)).sin() + ((t * 7_919 + s) % 101) as f32 / 101.0;
    let values: Vec<Vec<f32>> = (0..models).map(|s| (0..=STEPS).map(|t| value(s, t)).collect()).collect();
    let series: Vec<LstmSeries<'_>> = (values.iter().enumerate())
        .map(|(s, values)| LstmSeries {
            inputs: &values[..STEPS],
            targets: &values[1..],
            learned_steps: STEPS,
            seed: s as u32,
        })
        .collect();
    let weights: Vec<f32> = (0..models as u64).flat_map(|seed| SHAPE.seeded(seed)).collect();
    let began = Instant::now();
    let fit = lstm_train(&Device::Cpu, SHAPE, &series, &LEVELS, &EFFORT, &weights)
        .map_err(|error| BenchError::Fit(error.to_string()))?;
    let seconds = began.elapsed().as_secs_f64();
    let steps: u32 = fit.steps.iter().sum();
    let flop = 24.0 * (EFFORT.windows * EFFORT.length * SHAPE.hidden * (SHAPE.hidden + SHAPE.inputs)) as f64;
    figures.add(&format!("lstm_bank.seconds_{models}"), seconds, "s");
    figures.add("lstm_bank.gflops", flop * f64::from(steps) / seconds / 1e9, "GFLOP/s");
    Ok(())
}

/// MASE of the bank and of seasonal naive, wherever both have one.
fn judge(panel: &Panel) -> Result<Vec<(f64, f64)>, BenchError> {
    let season = panel.steps_in(DAY_MS);
    let horizon = Horizon::new(season).expect("a day has steps");
    let (bank, seasonal) = (LstmBank::new(horizon), SeasonalNaive { season });
    let models: [&dyn Model; 2] = [&bank, &seasonal];
    let window = panel.window();
    let origins = Origins::rolling(&window, horizon, ORIGINS, season);
    let test: Backtest<'_> = backtest(&window, &models, origins, horizon, &Quantiles::standard(), 0, &|_, _| ())
        .map_err(|error| BenchError::Fit(error.to_string()))?;
    let pairs = (0..panel.series_count()).flat_map(|s| (0..ORIGINS).map(move |origin| (s, origin)));
    let mase = |model, (s, origin): (usize, usize)| test.score(model, origin, s, season).mase();
    Ok(pairs.filter_map(|pair| Some((mase(0, pair)?, mase(1, pair)?))).collect())
}
