//! What the demo finds out of every series: its last day held out, forecast and scored.

use foreshadow_kernels::{Device, KernelError, Lanes, score};
use foreshadow_models::classical::SeasonalNaive;
use foreshadow_models::metrics::{self, seasonal_scale};
use foreshadow_models::{
    Auto, BacktestError, FitError, Fitted, Forecast, Horizon, Model, Panel, PredictError, Quantiles,
};

use crate::clock::DAY_MS;
use crate::telemetry::SeriesKey;

/// Half-widths of the 95 % band past which a value is an anomaly.
const THRESHOLD: f32 = 2.0;
/// Anomalous steps nearer than this belong to one episode, and a shorter one is none.
const EPISODE_GAP_STEPS: usize = 3;
const EPISODE_MIN_STEPS: usize = 3;
/// Days of history that a finding keeps for its plot.
const SHOWN_DAYS: usize = 4;

/// Why the demo could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnalysisError {
    #[error("the models could not be judged")]
    Backtest(#[from] BacktestError),
    #[error("the seasonal naive yardstick could not be fitted")]
    Fit(#[from] FitError),
    #[error("the shadows could not be forecast")]
    Predict(#[from] PredictError),
    #[error("the last day could not be scored")]
    Score(#[from] KernelError),
}

/// One series and its held-out last day.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) key: SeriesKey,
    /// The family that was trusted, `none` where the series has no forecast.
    pub(super) champion: String,
    /// Mean absolute error of the last day over the mean change from day to day.
    pub(super) mase: Option<f64>,
    pub(super) mase_seasonal_naive: Option<f64>,
    /// Percent of the last day's values inside the 95 % band.
    pub(super) coverage95_percent: Option<f64>,
    pub(super) episodes: Vec<Episode>,
    pub(super) shown: Curve,
}

/// An anomaly from its first step to its last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Episode {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// The furthest value, in half-widths of the band; negative below the shadow.
    pub(super) worst: f64,
}

/// The newest days of a series with the shadow of the last one.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) start_ms: i64,
    pub(super) step_ms: i64,
    pub(super) values: Vec<f64>,
    /// Index of the shadow's first step among the values.
    pub(super) cutoff: usize,
    pub(super) mean: Vec<f64>,
    pub(super) low: Vec<f64>,
    pub(super) high: Vec<f64>,
}

impl Finding {
    pub(super) fn is_simulated(&self) -> bool {
        self.key.label("simulated") == "true"
    }

    /// Error that the champion saved against seasonal naive, in percent.
    pub(super) fn gain_percent(&self) -> Option<f64> {
        let (ours, theirs) = (self.mase?, self.mase_seasonal_naive?);
        (theirs > 0.0).then(|| 100.0 * (1.0 - ours / theirs))
    }

    /// How far the worst of its anomalies lay from the band's middle.
    pub(super) fn worst(&self) -> f64 {
        self.episodes.iter().map(|episode| episode.worst.abs()).fold(0.0, f64::max)
    }
}

/// Issues a shadow for the last day of every series from what lay before it, then scores that day.
pub(super) fn last_day(
    panel: &Panel,
    seed: u64,
    device: &Device,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Finding>, AnalysisError> {
    let season = panel.steps_in(DAY_MS);
    let horizon = Horizon::new(season).expect("a day has steps");
    let window = panel.window_until(|s| panel.values(s).len().saturating_sub(season));
    let fitted = Auto::new(horizon).run(&window, seed, progress)?;
    let levels = Quantiles::standard();
    let forecast = fitted.predict(horizon, &levels)?;
    let naive = SeasonalNaive { season }.fit(&window, seed)?.predict(horizon, &levels)?;
    let actual: Vec<&[f64]> = (0..panel.series_count()).map(|s| &panel.values(s)[window.values(s).len()..]).collect();
    let scores = half_widths_away(&forecast, &actual, device)?;
    let findings = (0..panel.series_count()).map(|s| {
        let scale = seasonal_scale(window.values(s), season);
        let (ours, theirs) =
            (metrics::score(&forecast, s, actual[s], scale), metrics::score(&naive, s, actual[s], scale));
        let chosen = fitted.chosen(s);
        Finding {
            key: panel.name(s).parse().expect("every series of the demo is named by its key"),
            champion: chosen.map_or_else(|| "none".into(), |chosen| chosen.champion),
            mase: ours.mase(),
            mase_seasonal_naive: theirs.mase(),
            coverage95_percent: ours.coverage95(),
            episodes: episodes(&scores.column(s)[..actual[s].len()], window.end_ms(s), panel.step_ms()),
            shown: curve(panel, s, &forecast, season),
        }
    });
    Ok(findings.collect())
}

/// The seed rule on the whole fleet at once.
fn half_widths_away(forecast: &Forecast, actual: &[&[f64]], device: &Device) -> Result<Lanes, KernelError> {
    let levels = forecast.quantiles();
    let (low, high) = (levels.index_of(0.025), levels.index_of(0.975));
    let (low, high) = low.zip(high).expect("the standard levels hold the 95 % band");
    let band = |step: usize, s: usize| (forecast.quantile(s, low)[step], forecast.quantile(s, high)[step]);
    let steps = forecast.horizon().steps();
    let value = |step: usize, s: usize| actual[s].get(step).copied().unwrap_or(f64::NAN);
    let middle = |step: usize, s: usize| 0.5 * (band(step, s).0 + band(step, s).1);
    let deviation = Lanes::from_fn(steps, actual.len(), |step, s| (value(step, s) - middle(step, s)) as f32);
    let half = Lanes::from_fn(steps, actual.len(), |step, s| (0.5 * (band(step, s).1 - band(step, s).0)) as f32);
    let threshold = vec![THRESHOLD; actual.len()];
    score(&deviation.to_device(device)?, &half.to_device(device)?, &threshold)?.score.to_host()
}

/// Runs of scores past the threshold; short calms inside one are part of it.
fn episodes(scores: &[f32], start_ms: i64, step_ms: i64) -> Vec<Episode> {
    let mut found: Vec<(usize, usize, f32)> = Vec::new();
    for (step, score) in scores.iter().enumerate().filter(|(_, score)| score.abs() > THRESHOLD) {
        match found.last_mut() {
            Some((_, end, worst)) if step - *end <= EPISODE_GAP_STEPS => {
                *end = step;
                *worst = if score.abs() > worst.abs() { *score } else { *worst };
            }
            _ => found.push((step, step, *score)),
        }
    }
    let time = |step: usize| start_ms + step as i64 * step_ms;
    let long = found.into_iter().filter(|(start, end, _)| end + 1 - start >= EPISODE_MIN_STEPS);
    long.map(|(start, end, worst)| Episode { start_ms: time(start), end_ms: time(end), worst: worst.into() }).collect()
}

fn curve(panel: &Panel, s: usize, forecast: &Forecast, season: usize) -> Curve {
    let values = panel.values(s);
    let from = values.len().saturating_sub(SHOWN_DAYS * season);
    let band = |level| forecast.quantiles().index_of(level).map(|index| forecast.quantile(s, index).to_vec());
    Curve {
        start_ms: panel.start_ms(s) + from as i64 * panel.step_ms(),
        step_ms: panel.step_ms(),
        values: values[from..].to_vec(),
        cutoff: values.len().saturating_sub(season) - from,
        mean: forecast.mean(s).to_vec(),
        low: band(0.025).unwrap_or_default(),
        high: band(0.975).unwrap_or_default(),
    }
}

/// The panel with every counter (`…_total`) as its rate a second: a counter's level says nothing, and a
/// reset is a gap of one step.
pub(super) fn rates(panel: &Panel) -> Panel {
    let seconds = panel.step_ms() as f64 / 1000.0;
    let mut out = Panel::new(panel.step_ms());
    for s in 0..panel.series_count() {
        let key: SeriesKey = panel.name(s).parse().expect("every series of the demo is named by its key");
        let name = key.label("__name__");
        if !name.ends_with("_total") {
            out.push(panel.name(s).into(), panel.start_ms(s), panel.values(s));
            continue;
        }
        let rate = |pair: &[f64]| if pair[1] >= pair[0] { (pair[1] - pair[0]) / seconds } else { f64::NAN };
        let values: Vec<f64> = panel.values(s).windows(2).map(rate).collect();
        let renamed = ("__name__".to_string(), format!("{name}:rate"));
        let key = SeriesKey::new(key.labels().iter().cloned().chain([renamed]));
        out.push(key.to_string(), panel.start_ms(s) + panel.step_ms(), &values);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_bridges_short_calms_and_needs_three_steps() {
        let scores = [0.0, 2.1, 0.0, -3.0, f32::NAN, 0.0, 0.0, 0.0, 9.0, 0.0];
        let found = episodes(&scores, 1_000, 10);
        assert_eq!(found, [Episode { start_ms: 1_010, end_ms: 1_030, worst: -3.0 }]);
    }

    #[test]
    fn a_counter_becomes_its_rate_and_a_reset_a_gap() {
        let mut panel = Panel::new(10_000);
        panel.push("sent_total{a=\"b\"}".into(), 0, &[10.0, 30.0, 5.0, 25.0]);
        panel.push("load{a=\"b\"}".into(), 0, &[1.0, 2.0]);
        let out = rates(&panel);
        assert_eq!(out.name(0), "sent_total:rate{a=\"b\"}");
        assert_eq!((out.start_ms(0), out.values(0)[0], out.values(0)[2]), (10_000, 2.0, 2.0));
        assert!(out.values(0)[1].is_nan());
        assert_eq!(out.values(1), [1.0, 2.0]);
    }

    #[test]
    fn a_spike_in_the_last_day_is_an_episode_and_a_usual_day_is_none() {
        let mut panel = Panel::new(3_600_000);
        let usual: Vec<f64> = (0..24 * 21).map(|t| 10.0 + (t % 24) as f64 + ((t * 7_919) % 13) as f64 * 0.1).collect();
        let mut spiked = usual.clone();
        let length = spiked.len();
        spiked[length - 6..length - 3].fill(300.0);
        panel.push("a".into(), 0, &usual);
        panel.push("b".into(), 0, &spiked);
        let found = last_day(&panel, 1, &Device::Cpu, &|_, _| ()).unwrap();
        assert!(found[0].episodes.is_empty(), "{:?}", found[0].episodes);
        assert_eq!(found[1].episodes.len(), 1);
        assert_eq!(found[1].episodes[0].start_ms, (length as i64 - 6) * 3_600_000);
        assert!(found[1].coverage95_percent.unwrap() < found[0].coverage95_percent.unwrap());
    }
}
