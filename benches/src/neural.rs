//! `lstm_bank.*` and `neural.*`: what training a bank of networks costs, and what it is worth on real telemetry.

mod cost;
pub mod device;

use foreshadow_models::classical::SeasonalNaive;
use foreshadow_models::neural::LstmBank;
use foreshadow_models::{Backtest, Horizon, Model, Origins, Panel, Quantiles, backtest};

use crate::telemetry::{DAY_MS, ORIGINS, SERIES, SETS, drawn};
use crate::{BenchError, Context, Figures, Scale};

/// Takes the figures; a smoke run takes two networks, and one set of two series.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or a batch fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    cost::figures(context, figures)?;
    let (sets, series) = match context.scale {
        Scale::Smoke => (&SETS[4..5], 2),
        Scale::Quick => (&SETS[..], SERIES),
    };
    for set in sets {
        let mut pairs = Vec::new();
        for panel in drawn(context, set, series, |_| true)? {
            pairs.extend(judge(&panel)?);
        }
        if pairs.is_empty() {
            figures.skip(&format!("neural.{set}"), &"no series of it can be learned");
            continue;
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
