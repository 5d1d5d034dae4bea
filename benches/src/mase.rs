//! `FAMILY.mase` and `FAMILY.peer_mase`: one family's accuracy on the 100 M4 hourly series beside its peer's.

use foreshadow_models::metrics::{SeriesScore, score, seasonal_scale};
use foreshadow_models::{Backtest, Forecast, Horizon, Model, Origins, Quantiles, backtest};
use serde_json::{Value, json};

use crate::panel::m4_split;
use crate::{BenchError, Context, Figures, peer};

const HORIZON: usize = 48;
/// Season of the error's scale.
const SEASON: usize = 24;

/// Takes both figures, the peer's where peers are asked for; `family` is our name of it and that in
/// `peers/forecast.py`.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not there, or the family refuses the batch.
pub fn figures(family: &str, model: &dyn Model, context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let (panel, train) = m4_split(context)?;
    let horizon = Horizon::new(HORIZON).expect("48 is not zero");
    let levels = Quantiles::standard();
    let origins = Origins::at(train);
    let test = backtest(&panel.window(), &[model], origins, horizon, &levels, 0, &|_, _| ());
    let test = test.map_err(|error| BenchError::Fit(error.to_string()))?;
    let scores = test.scores(0, SEASON);
    let known: Vec<f64> = scores.iter().filter_map(SeriesScore::mase).collect();
    figures.add(&format!("{family}.mase"), mean(&known), "");
    figures.add(&format!("{family}.unfit_series"), (scores.len() - known.len()) as f64, "series");
    if context.peers {
        peer_figures(family, &test, panel.series_count(), figures)?;
    }
    Ok(())
}

fn peer_figures(family: &str, test: &Backtest<'_>, count: usize, figures: &mut Figures) -> Result<(), BenchError> {
    let broken = |reason: String| BenchError::Program { program: "peers/forecast.py".into(), reason };
    let series: Vec<&[f64]> = (0..count).map(|s| test.train(0, s)).collect();
    let answer = peer("forecast.py", &json!({ "family": family, "horizon": HORIZON, "series": series }))?;
    let means = answer["means"].as_array().filter(|means| means.len() == count);
    let means = means.ok_or_else(|| broken("not one answer a series".into()))?;
    let mut forecast = Forecast::empty(count, Horizon::new(HORIZON).expect("48 is not zero"), Quantiles::standard());
    let mut known = Vec::with_capacity(count);
    for (s, mean) in means.iter().enumerate() {
        let mean: Option<Vec<f64>> = mean.as_array().and_then(|mean| mean.iter().map(Value::as_f64).collect());
        let Some(mean) = mean.filter(|mean| mean.len() == HORIZON) else { continue };
        forecast.set_normal(s, &mean, |_| 0.0);
        known.extend(score(&forecast, s, test.actual(0, s), seasonal_scale(test.train(0, s), SEASON)).mase());
    }
    figures.add(&format!("{family}.peer_mase"), mean(&known), "");
    figures.add(&format!("{family}.peer_failures"), (count - known.len()) as f64, "series");
    Ok(())
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}
