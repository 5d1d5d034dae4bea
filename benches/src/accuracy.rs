//! `auto.*`: accuracy and calibration of automatic selection on the 100 M4 hourly series, official split.

use foreshadow_models::classical::SeasonalNaive;
use foreshadow_models::metrics::SeriesScore;
use foreshadow_models::{Auto, Backtest, Horizon, Model, Origins, Panel, Quantiles, backtest};
use rayon::prelude::*;

use crate::clock::timed;
use crate::panel::m4_split;
use crate::{BenchError, Context, Figures};

const SEASON: usize = 24;
const HORIZON: usize = 48;
/// Steps of a horizon block whose coverage is looked at apart.
const BLOCK: usize = 6;

/// Takes the figures.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or a batch fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let (panel, train) = m4_split(context)?;
    let horizon = Horizon::new(HORIZON).expect("48 is not zero");
    let (auto, naive) = (Auto::new(horizon), SeasonalNaive { season: SEASON });
    let whole = auto.clone().unscreened();
    let models: [&dyn Model; 3] = [&auto, &naive, &whole];
    let levels = Quantiles::standard();
    let test = backtest(&panel.window(), &models, Origins::at(train.clone()), horizon, &levels, 0, &|_, _| ());
    let test = test.map_err(|error| BenchError::Fit(error.to_string()))?;
    let naive2: Vec<SeriesScore> =
        (0..panel.series_count()).into_par_iter().map(|s| naive2_score(&panel, &test, s)).collect();
    let (ours, seasonal) = (test.scores(0, SEASON), test.scores(1, SEASON));
    figures.add("auto.m4_naive2_mase", mean(&naive2, SeriesScore::mase), "");
    figures.add("auto.m4_naive2_smape", mean(&naive2, SeriesScore::smape), "%");
    figures.add("auto.m4_snaive_owa", owa(&seasonal, &naive2), "");
    figures.add("auto.m4_mase", mean(&ours, SeriesScore::mase), "");
    figures.add("auto.m4_smape", mean(&ours, SeriesScore::smape), "%");
    figures.add("auto.m4_owa", owa(&ours, &naive2), "");
    figures.add("auto.msis95", mean(&ours, SeriesScore::msis95), "");
    let regret = owa(&ours, &naive2) / owa(&test.scores(2, SEASON), &naive2) - 1.0;
    figures.add("auto.screen_regret_percent", 100.0 * regret, "%");
    let seen = panel.window_until(|s| train[s]);
    for (name, model) in [("auto.series_per_second", &auto), ("auto.unscreened_series_per_second", &whole)] {
        let (fitted, spent) = timed(|| model.run(&seen, 0, &|_, _| ()));
        fitted.map_err(|error| BenchError::Fit(error.to_string()))?;
        figures.add(name, spent.series_per_second(panel.series_count()), "series/s");
    }
    let blocks: Vec<f64> = (0..HORIZON / BLOCK).map(|block| coverage(&panel, &test, block)).collect();
    figures.add("auto.coverage95_percent", blocks.iter().sum::<f64>() / blocks.len() as f64, "%");
    figures.add("auto.coverage95_worst_block_percent", blocks.iter().copied().fold(f64::INFINITY, f64::min), "%");
    Ok(())
}

pub(crate) fn mean(scores: &[SeriesScore], of: impl Fn(&SeriesScore) -> Option<f64>) -> f64 {
    let known: Vec<f64> = scores.iter().filter_map(of).collect();
    known.iter().sum::<f64>() / known.len() as f64
}

/// The M4 competition's overall weighted average against Naive2.
pub(crate) fn owa(scores: &[SeriesScore], naive2: &[SeriesScore]) -> f64 {
    let ratio = |of: fn(&SeriesScore) -> Option<f64>| mean(scores, of) / mean(naive2, of);
    (ratio(SeriesScore::mase) + ratio(SeriesScore::smape)) / 2.0
}

/// Percent of a block's values inside the 95 % band, over all series.
fn coverage(panel: &Panel, test: &Backtest<'_>, block: usize) -> f64 {
    let (low, high) = (0, Quantiles::standard().levels().len() - 1);
    let (mut inside, mut count) = (0, 0);
    for s in 0..panel.series_count() {
        let forecast = &test.fold(0, 0).forecast;
        let (low, high) = (forecast.quantile(s, low), forecast.quantile(s, high));
        for step in block * BLOCK..(block + 1) * BLOCK {
            let y = test.actual(0, s)[step];
            inside += usize::from(low[step] <= y && y <= high[step]);
            count += 1;
        }
    }
    100.0 * f64::from(inside as u32) / f64::from(count as u32)
}

fn naive2_score(panel: &Panel, test: &Backtest<'_>, s: usize) -> SeriesScore {
    let train = test.train(0, s);
    let horizon = Horizon::new(HORIZON).expect("48 is not zero");
    let mut forecast = foreshadow_models::Forecast::empty(panel.series_count(), horizon, Quantiles::standard());
    let mean = naive2(train);
    forecast.set_normal(s, &mean, |_| 0.0);
    let scale = foreshadow_models::metrics::seasonal_scale(train, SEASON);
    foreshadow_models::metrics::score(&forecast, s, test.actual(0, s), scale)
}

/// The competition's yardstick: the last value, after a multiplicative season is taken out where a test finds
/// one.
///
/// Source: Makridakis, Spiliotis, Assimakopoulos, *The M4 Competition*, Int. J. Forecasting 36(1), 2020, and its
/// published benchmarks.
pub(crate) fn naive2(train: &[f64]) -> Vec<f64> {
    let indices = if is_seasonal(train) { seasonal_indices(train) } else { vec![1.0; SEASON] };
    let n = train.len();
    let level = train[n - 1] / indices[(n - 1) % SEASON];
    (0..HORIZON).map(|step| level * indices[(n + step) % SEASON]).collect()
}

/// Whether the autocorrelation one season apart passes its 90 % limit.
fn is_seasonal(y: &[f64]) -> bool {
    let n = y.len() as f64;
    let centre = y.iter().sum::<f64>() / n;
    let total: f64 = y.iter().map(|y| (y - centre) * (y - centre)).sum();
    let correlation =
        |lag: usize| y.iter().zip(&y[lag..]).map(|(a, b)| (a - centre) * (b - centre)).sum::<f64>() / total;
    let below: f64 = (1..SEASON).map(|lag| correlation(lag).powi(2)).sum();
    correlation(SEASON).abs() > 1.645 * ((1.0 + 2.0 * below) / n).sqrt()
}

/// Classical multiplicative decomposition by a centred moving average; indices of mean one, the first step's first.
fn seasonal_indices(y: &[f64]) -> Vec<f64> {
    let half = SEASON / 2;
    let mut sums = vec![(0.0, 0_usize); SEASON];
    for t in half..y.len() - half {
        let ends = 0.5 * (y[t - half] + y[t + half]);
        let trend = (ends + y[t - half + 1..t + half].iter().sum::<f64>()) / SEASON as f64;
        let (sum, count) = &mut sums[t % SEASON];
        *sum += y[t] / trend;
        *count += 1;
    }
    let means: Vec<f64> = sums.iter().map(|(sum, count)| sum / *count as f64).collect();
    let level = means.iter().sum::<f64>() / SEASON as f64;
    means.iter().map(|mean| mean / level).collect()
}
