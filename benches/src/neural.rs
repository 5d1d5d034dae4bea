//! `lstm_bank.*`, `neural.*` and `lstm_global.*`: what training a bank of networks costs, and what networks are worth on real
//! telemetry, one a series and one for all.

mod cost;
pub mod device;
mod pretrained;

use foreshadow_models::classical::SeasonalNaive;
use foreshadow_models::neural::{GlobalEffort, LstmBank, LstmGlobal, Network, Training};
use foreshadow_models::{Auto, Backtest, Horizon, Model, Origins, Panel, Quantiles, Window, backtest};

use crate::telemetry::{DAY_MS, ORIGINS, SERIES, SETS, drawn};
use crate::{BenchError, Context, Figures, Scale};

/// Series of a panel on which networks join automatic selection: one of a bank is trained for every fold.
const POOLED: usize = 4;

/// Takes the figures; a smoke run takes two networks, and one set of four series.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or a batch fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let (sets, series, pooled) = match context.scale {
        Scale::Smoke => (&SETS[4..5], 4, 1),
        Scale::Quick => (&SETS[..], SERIES, POOLED),
    };
    let (mut logs, mut pooled_pairs) = (Vec::new(), Vec::new());
    for set in sets {
        let panels = drawn(context, set, series, |_| true)?;
        let (mut bank, mut global, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
        let mut steps: Vec<i64> = panels.iter().map(Panel::step_ms).collect();
        steps.sort_unstable();
        steps.dedup();
        for step_ms in steps {
            let windows: Vec<Window<'_>> =
                panels.iter().filter(|panel| panel.step_ms() == step_ms).map(Panel::window).collect();
            let horizon = Horizon::new(windows[0].steps_in(DAY_MS)).expect("a day has steps");
            let naive = SeasonalNaive { season: horizon.steps() };
            for window in &windows {
                bank.extend(judge(window, [&LstmBank::new(horizon), &naive], horizon)?);
            }
            if let Some(network) = learned(&windows, horizon)? {
                let family = LstmGlobal::trained("lstm-global", network);
                for window in &windows {
                    global.extend(judge(window, [&family, &naive], horizon)?);
                }
            }
            let Some(network) = learned(&every_second(&windows, 0), horizon)? else { continue };
            let family = LstmGlobal::trained("lstm-global", network);
            let mut left = pooled;
            for window in every_second(&windows, 1) {
                unseen.extend(judge(&window, [&family, &naive], horizon)?);
                let some = window.only(&(0..window.series_count().min(left)).collect::<Vec<_>>());
                left -= some.series_count();
                let own = Auto::new(horizon);
                let more = own.clone().beside(Box::new(LstmBank::new(horizon))).beside(Box::new(family.clone()));
                if some.series_count() > 0 {
                    pooled_pairs.extend(judge(&some, [&more, &own], horizon)?);
                }
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
    cost::figures(context, figures)
}

/// Every second series of all windows, from one of the first two on.
fn every_second<'a>(windows: &[Window<'a>], from: usize) -> Vec<Window<'a>> {
    let mut before = 0;
    let own = windows.iter().map(|window| {
        let own: Vec<usize> = (0..window.series_count()).filter(|s| (before + s) % 2 == from).collect();
        before += window.series_count();
        window.only(&own)
    });
    own.collect()
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

/// A network that learned of series what was known before the first origin; `None` where there is nothing to learn.
fn learned(windows: &[Window<'_>], horizon: Horizon) -> Result<Option<Network>, BenchError> {
    let known: Vec<Window<'_>> = windows
        .iter()
        .map(|window| window.until(|s| window.values(s).len().saturating_sub(ORIGINS * horizon.steps())))
        .collect();
    let training = Training::begin(&known, horizon, 0, GlobalEffort::USUAL);
    training.map(Training::run).transpose().map_err(|error| BenchError::Fit(error.to_string()))
}

/// MASE of two families, wherever both have one.
fn judge(window: &Window<'_>, models: [&dyn Model; 2], horizon: Horizon) -> Result<Vec<(f64, f64)>, BenchError> {
    let season = horizon.steps();
    let origins = Origins::rolling(window, horizon, ORIGINS, season);
    let test: Backtest<'_> = backtest(window, &models, origins, horizon, &Quantiles::standard(), 0, &|_, _| ())
        .map_err(|error| BenchError::Fit(error.to_string()))?;
    let pairs = (0..window.series_count()).flat_map(|s| (0..ORIGINS).map(move |origin| (s, origin)));
    let mase = |model, (s, origin): (usize, usize)| test.score(model, origin, s, season).mase();
    Ok(pairs.filter_map(|pair| Some((mase(0, pair)?, mase(1, pair)?))).collect())
}
