//! `FAMILY.mase` and `FAMILY.peer_mase`: one family's accuracy on the 100 M4 hourly series beside its peer's.

use foreshadow_models::metrics::{SeriesScore, score, seasonal_scale};
use foreshadow_models::{Backtest, Forecast, Horizon, Model, Origins, Panel, Quantiles, backtest};

use crate::panel::m4_split;
use crate::peers::Said;
use crate::{BenchError, Context, Figures, peer};

const HORIZON: usize = 48;
/// A day, which also scales errors, and a week.
const SEASONS: [usize; 2] = [24, 168];

/// Takes both figures, the peer's where peers are asked for; `family` is our name of it and that in
/// `peers/contenders.py`.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not there, or the family refuses the batch.
pub fn figures(family: &str, model: &dyn Model, context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    take(family, model, context, context.peers, figures)
}

/// Takes ours alone, where no peer ends on all series within the hour.
///
/// # Errors
/// As [`figures`].
pub fn own_figures(
    family: &str,
    model: &dyn Model,
    context: &Context,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    take(family, model, context, false, figures)
}

fn take(
    family: &str,
    model: &dyn Model,
    context: &Context,
    peers: bool,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let (panel, train) = m4_split(context)?;
    let horizon = Horizon::new(HORIZON).expect("48 is not zero");
    let levels = Quantiles::standard();
    let origins = Origins::at(train);
    let test = backtest(&panel.window(), &[model], origins, horizon, &levels, 0, &|_, _| ());
    let test = test.map_err(|error| BenchError::Fit(error.to_string()))?;
    let scores = test.scores(0, SEASONS[0]);
    let known: Vec<f64> = scores.iter().filter_map(SeriesScore::mase).collect();
    figures.add(&format!("{family}.mase"), mean(&known), "");
    figures.add(&format!("{family}.unfit_series"), (scores.len() - known.len()) as f64, "series");
    if peers {
        peer_figures(family, &test, &panel, figures)?;
    }
    Ok(())
}

fn peer_figures(family: &str, test: &Backtest<'_>, panel: &Panel, figures: &mut Figures) -> Result<(), BenchError> {
    let (count, horizon) = (panel.series_count(), Horizon::new(HORIZON).expect("48 is not zero"));
    let mut seen = Panel::new(panel.step_ms());
    (0..count).for_each(|s| seen.push(panel.name(s).into(), panel.start_ms(s), test.train(0, s)));
    let ran = peer(family, &seen, &Vec::from_iter(0..count), &SEASONS, HORIZON)?;
    let mut forecast = Forecast::empty(count, horizon, Quantiles::standard());
    let mut known = Vec::with_capacity(count);
    for (s, said) in ran.rows.iter().enumerate() {
        let Said::Forecast { mean, .. } = said else { continue };
        let mean: Option<Vec<f64>> = mean.iter().copied().collect();
        let Some(mean) = mean.filter(|mean| mean.len() == HORIZON) else { continue };
        forecast.set_normal(s, &mean, |_| 0.0);
        known.extend(score(&forecast, s, test.actual(0, s), seasonal_scale(test.train(0, s), SEASONS[0])).mase());
    }
    figures.add(&format!("{family}.peer_mase"), mean(&known), "");
    figures.add(&format!("{family}.peer_failures"), (count - known.len()) as f64, "series");
    Ok(())
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}
