//! `lstm_bank.*`, `neural.*` and `lstm_global.*`: what training a bank of networks costs, and what networks are worth on real
//! telemetry, one a series and one for all.

mod cost;
pub mod device;
mod pretrained;
mod saved;

use std::collections::BTreeMap;

use foreshadow_kernels::Device;
use foreshadow_models::classical::SeasonalNaive;
use foreshadow_models::neural::{GlobalEffort, LstmBank, LstmGlobal, Network, Training};
use foreshadow_models::{Auto, Backtest, Horizon, Model, Origins, Panel, Quantiles, Window, backtest};

use crate::telemetry::{DAY_MS, ORIGINS, SERIES, SETS, drawn};
use crate::{BenchError, Context, Figures, Scale};

/// Series of a step and half on which networks join automatic selection: one of a bank is trained for every fold.
const POOLED: usize = 2;

/// Takes the figures; a smoke run takes two networks, and one set of four series.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or a batch fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let (sets, series, pooled) = match context.scale {
        Scale::Smoke => (&SETS[4..5], 4, 1),
        Scale::Quick => (&SETS[..], SERIES, POOLED),
    };
    // First, for a bank that takes what others gave back adds nothing to the program's memory.
    cost::figures(context, figures)?;
    let (mut logs, mut pooled_pairs) = (Vec::new(), Vec::new());
    for set in sets {
        let (mut bank, mut global, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
        for panel in by_step(&drawn(context, set, series, |_| true)?) {
            let window = panel.window();
            let horizon = Horizon::new(window.steps_in(DAY_MS)).expect("a day has steps");
            let naive = SeasonalNaive { season: horizon.steps() };
            bank.extend(judge(&window, [&LstmBank::new(horizon), &naive], horizon, ORIGINS)?);
            let halves = [0, 1].map(|from| every_second(&window, from));
            let of_half = |half| learned(half, horizon);
            // One core each.
            let (all, of_halves) = rayon::join(|| learned(&window, horizon), || halves.each_ref().map(of_half));
            if let Some((network, origins)) = all? {
                let family = LstmGlobal::trained("lstm-global", network);
                global.extend(judge(&window, [&family, &naive], horizon, origins)?);
            }
            for (half, others) in of_halves.into_iter().zip(halves.iter().rev()) {
                let Some((network, origins)) = half? else { continue };
                let family = LstmGlobal::trained("lstm-global", network);
                unseen.extend(judge(others, [&family, &naive], horizon, origins)?);
                let some = others.only(&(0..others.series_count().min(pooled)).collect::<Vec<_>>());
                let own = Auto::new(horizon);
                let more = own.clone().beside(Box::new(LstmBank::new(horizon))).beside(Box::new(family));
                pooled_pairs.extend(judge(&some, [&more, &own], horizon, origins)?);
            }
        }
        let [_, _, unseen] = [
            ("neural", "mase_ratio", bank),
            ("neural", "global_mase_ratio", global),
            ("lstm_global", "mase_ratio_unseen", unseen),
        ]
        .map(|(area, name, pairs)| {
            let (key, count) = (format!("{area}.{set}.{name}"), pairs.len());
            let ratio = ratio(&pairs);
            match ratio {
                Some(ratio) => figures.add(&key, ratio, ""),
                None => figures.skip(&key, &"no series of it can be learned"),
            }
            figures.add(&format!("{key}_windows"), count as f64, "");
            ratio
        });
        logs.extend(unseen.map(f64::ln));
    }
    if !logs.is_empty() {
        let geometric_mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        figures.add("lstm_global.mase_ratio_unseen", geometric_mean, "");
    }
    let sum = |of: fn(&(f64, f64)) -> f64| pooled_pairs.iter().map(of).sum::<f64>();
    figures.add("neural.pool_windows", pooled_pairs.len() as f64, "");
    if !pooled_pairs.is_empty() {
        figures.add("neural.pool_loss_percent", 100.0 * (sum(|pair| pair.0) / sum(|pair| pair.1) - 1.0), "%");
    }
    figures.add("pretrained.package_error", pretrained::error()?, "");
    figures.add("lstm_global.pytorch_error", saved::error()?, "");
    Ok(())
}

/// One panel a step: networks do not look at which second of a minute a series is sampled, and few panels keep the cores busy.
fn by_step(panels: &[Panel]) -> Vec<Panel> {
    let mut all: BTreeMap<i64, Panel> = BTreeMap::new();
    for panel in panels {
        let own = all.entry(panel.step_ms()).or_insert_with(|| Panel::new(panel.step_ms()));
        (0..panel.series_count()).for_each(|s| own.push(panel.name(s).into(), panel.start_ms(s), panel.values(s)));
    }
    all.into_values().collect()
}

/// Every second series of a window, from one of the first two on.
fn every_second<'a>(window: &Window<'a>, from: usize) -> Window<'a> {
    window.only(&(from..window.series_count()).step_by(2).collect::<Vec<_>>())
}

/// The median MASE of a family over that of another; `None` where it has none.
fn ratio(pairs: &[(f64, f64)]) -> Option<f64> {
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = pairs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    (!pairs.is_empty()).then(|| median(|pair| pair.0) / median(|pair| pair.1))
}

/// A network that learned of series what was known before the oldest of so many newest origins: of as many as leave something
/// to learn. `None` where none does.
fn learned(window: &Window<'_>, horizon: Horizon) -> Result<Option<(Network, usize)>, BenchError> {
    let begin = |origins: usize| {
        let known = window.until(|s| window.values(s).len().saturating_sub(origins * horizon.steps()));
        Some((Training::begin(&[known], horizon, 0, GlobalEffort::USUAL, &Device::Cpu).ok()?, origins))
    };
    let Some((training, origins)) = (1..=ORIGINS).rev().find_map(begin) else { return Ok(None) };
    let network = training.run().map_err(|error| BenchError::Fit(error.to_string()))?;
    Ok(Some((network, origins)))
}

/// MASE of two families at the newest origins, wherever both have one.
fn judge(
    window: &Window<'_>,
    models: [&dyn Model; 2],
    horizon: Horizon,
    count: usize,
) -> Result<Vec<(f64, f64)>, BenchError> {
    let season = horizon.steps();
    let origins = Origins::rolling(window, horizon, count, season);
    let test: Backtest<'_> = backtest(window, &models, origins, horizon, &Quantiles::standard(), 0, &|_, _| ())
        .map_err(|error| BenchError::Fit(error.to_string()))?;
    let pairs = (0..window.series_count()).flat_map(|s| (0..count).map(move |origin| (s, origin)));
    let mase = |model, (s, origin): (usize, usize)| test.score(model, origin, s, season).mase();
    Ok(pairs.filter_map(|pair| Some((mase(0, pair)?, mase(1, pair)?))).collect())
}
