//! `lstm_bank.*`, `neural.*` and `lstm_global.*`: what training a bank of networks costs, and what networks are worth on real
//! telemetry, one a series and one for all.

mod cost;
pub mod device;

use foreshadow_models::classical::SeasonalNaive;
use foreshadow_models::neural::{GlobalEffort, LstmBank, LstmGlobal, Training};
use foreshadow_models::{Auto, Backtest, Horizon, Model, Origins, Quantiles, Window, backtest};

use crate::telemetry::{DAY_MS, ORIGINS, SERIES, SETS, drawn};
use crate::{BenchError, Context, Figures, Scale};

/// Series of a set on which networks join automatic selection: each is trained for every fold.
const POOLED: usize = 4;

/// Takes the figures; a smoke run takes two networks, and one set of four series.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or a batch fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    cost::figures(context, figures)?;
    let (sets, series) = match context.scale {
        Scale::Smoke => (&SETS[4..5], 4),
        Scale::Quick => (&SETS[..], SERIES),
    };
    let mut logs = Vec::new();
    for set in sets {
        let panels = drawn(context, set, series, |_| true)?;
        let (mut bank, mut global, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
        for panel in &panels {
            let horizon = Horizon::new(panel.steps_in(DAY_MS)).expect("a day has steps");
            let window = panel.window();
            bank.extend(judge(&window, &LstmBank::new(horizon), horizon)?);
            global.extend(judge(&window, &LstmGlobal::new(horizon), horizon)?);
            unseen.extend(judge_unseen(&window, horizon)?);
        }
        let [bank, global, unseen] = [
            ("neural", "bank_mase_ratio", bank),
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
        let best = [bank, global].into_iter().flatten().reduce(f64::min);
        best.into_iter().for_each(|best| figures.add(&format!("neural.{set}.mase_ratio"), best, ""));
        logs.extend(unseen.map(f64::ln));
    }
    if !logs.is_empty() {
        let geometric_mean = (logs.iter().sum::<f64>() / logs.len() as f64).exp();
        figures.add("lstm_global.mase_ratio_unseen", geometric_mean, "");
    }
    figures.add("neural.pool_loss_percent", pool_loss(context, sets)?, "%");
    Ok(())
}

/// What the mean MASE of automatic selection gains by networks among its candidates, in percent.
fn pool_loss(context: &Context, sets: &[&str]) -> Result<f64, BenchError> {
    let series = if context.scale == Scale::Smoke { 1 } else { POOLED };
    let (mut with, mut without) = (0.0, 0.0);
    for set in sets {
        for panel in drawn(context, set, series, |_| true)? {
            let horizon = Horizon::new(panel.steps_in(DAY_MS)).expect("a day has steps");
            let own = Auto::new(horizon);
            let networks: [Box<dyn Model>; 2] = [Box::new(LstmBank::new(horizon)), Box::new(LstmGlobal::new(horizon))];
            let more = networks.into_iter().fold(own.clone(), Auto::beside);
            let mase = |pairs: Vec<(f64, f64)>| pairs.iter().map(|pair| pair.0).sum::<f64>();
            with += mase(judge(&panel.window(), &more, horizon)?);
            without += mase(judge(&panel.window(), &own, horizon)?);
        }
    }
    Ok(100.0 * (with / without - 1.0))
}

/// The median MASE of a family over that of seasonal naive; `None` where it has none.
fn ratio(pairs: &[(f64, f64)]) -> Option<f64> {
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = pairs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    (!pairs.is_empty()).then(|| median(|pair| pair.0) / median(|pair| pair.1))
}

/// The same of every second series by a network that was trained on the others, on what was known before the first origin.
fn judge_unseen(window: &Window<'_>, horizon: Horizon) -> Result<Vec<(f64, f64)>, BenchError> {
    let (known, unseen): (Vec<usize>, Vec<usize>) = (0..window.series_count()).partition(|s| s % 2 == 0);
    let known = window.only(&known);
    let known = known.until(|s| known.values(s).len().saturating_sub(ORIGINS * horizon.steps()));
    let Some(mut training) = Training::begin(&known, horizon, 0, GlobalEffort::default()) else {
        return Ok(Vec::new());
    };
    while !training.is_done() {
        training.advance();
    }
    let network = training.finish().map_err(|error| BenchError::Fit(error.to_string()))?;
    judge(&window.only(&unseen), &LstmGlobal::trained(horizon, network), horizon)
}

/// MASE of a family and of seasonal naive, wherever both have one.
fn judge(window: &Window<'_>, family: &dyn Model, horizon: Horizon) -> Result<Vec<(f64, f64)>, BenchError> {
    let season = horizon.steps();
    let models: [&dyn Model; 2] = [family, &SeasonalNaive { season }];
    let origins = Origins::rolling(window, horizon, ORIGINS, season);
    let test: Backtest<'_> = backtest(window, &models, origins, horizon, &Quantiles::standard(), 0, &|_, _| ())
        .map_err(|error| BenchError::Fit(error.to_string()))?;
    let pairs = (0..window.series_count()).flat_map(|s| (0..ORIGINS).map(move |origin| (s, origin)));
    let mase = |model, (s, origin): (usize, usize)| test.score(model, origin, s, season).mase();
    Ok(pairs.filter_map(|pair| Some((mase(0, pair)?, mase(1, pair)?))).collect())
}
