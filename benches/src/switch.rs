//! `switch.*`: what it is worth to change the champion as a fleet is lived with, on two simulated fleets followed issue
//! by issue: one whose users all change on one day, and one whose users stay.
//!
//! A fixed champion is one family, or kind of blend, that serves every series at every issue; its bands come from its own
//! folds and are followed live as ours are. It is refitted at every issue, and a blend weighs its parts anew.

use std::collections::BTreeMap;

use foreshadow::live::Live;
use foreshadow::simulate::{Fleet, FleetSpec};
use foreshadow_models::metrics::{Accuracy, SeriesScore, score};
use foreshadow_models::{Auto, Fitted, Forecast, Horizon, Panel, Quantiles, Wish};

use crate::{BenchError, Context, Figures, Scale};

pub(crate) const HOUR_MS: i64 = 3_600_000;
/// Steps of the simulation in an hour, and hours in a day.
const STEPS_AN_HOUR: usize = 12;
pub(crate) const DAY: usize = 24;
/// Days of the fleets, the day on which users change, and the day of the first issue.
pub(crate) const DAYS: usize = 42;
const TURN: usize = 28;
pub(crate) const FIRST: usize = 21;
/// Hours between issues.
const SPACING: usize = 6;
/// Another seed than those that the rule was settled on.
const SEED: u64 = 2_024;
/// Fixed champions that are run whole: the best by mean absolute error.
const RUN_WHOLE: usize = 3;

/// Takes the figures.
///
/// # Errors
/// [`BenchError`] when a batch fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let (turned, stays) = (fleet(context, Some(TURN)), fleet(context, None));
    let spacing = if context.scale == Scale::Smoke { 7 * DAY } else { SPACING };
    let (ours, best) = against_fixed(&turned, spacing)?;
    figures.add("switch.gain_percent", 100.0 * (1.0 - ours.loss / best), "%");
    figures.add("switch.turned_switches_per_100", ours.switches_per_100(), "switches");
    let (ours, best) = against_fixed(&stays, spacing)?;
    figures.add("switch.stationary_loss_percent", 100.0 * (ours.loss / best - 1.0), "%");
    figures.add("switch.flaps_per_100", ours.switches_per_100(), "switches");
    Ok(())
}

/// Demand by the hour; `turn_days` is the day on which its users change, if they do.
pub(crate) fn fleet(context: &Context, turn_days: Option<usize>) -> Panel {
    let workloads = if context.scale == Scale::Smoke { 1 } else { 8 };
    let end_ms = 1_700_006_400_000; // a whole day
    let fleet = Fleet::simulate(&FleetSpec { seed: SEED, end_ms, days: DAYS, workloads, turn_days });
    let mut panel = Panel::new(HOUR_MS);
    for series in fleet.series.iter().filter(|series| series.key.label("__name__") == "requests_per_second") {
        let mean = |steps: &[f64]| {
            let known: Vec<f64> = steps.iter().copied().filter(|value| !value.is_nan()).collect();
            known.iter().sum::<f64>() / known.len() as f64 // NaN for an hour without a sample
        };
        let hours: Vec<f64> = series.values.chunks_exact(STEPS_AN_HOUR).map(mean).collect();
        panel.push(series.key.to_string(), fleet.start_ms.div_euclid(HOUR_MS) * HOUR_MS, &hours);
    }
    panel
}

/// A fleet followed from its first issue to its last.
struct Followed {
    /// Weighted quantile loss over all issues and series.
    loss: f64,
    /// Mean absolute error of each family that could serve, summed over the series' own scale.
    errors: BTreeMap<String, (f64, usize)>,
    switches: usize,
    /// Issues of all series.
    issues: usize,
}

impl Followed {
    fn switches_per_100(&self) -> f64 {
        100.0 * self.switches as f64 / self.issues as f64
    }

    /// Names of the families that could serve nearly always, the smallest error first.
    fn best(&self) -> Vec<String> {
        let mut known: Vec<(&String, f64)> = self
            .errors
            .iter()
            .filter(|(_, (_, count))| 100 * count >= 95 * self.issues)
            .map(|(name, (sum, count))| (name, sum / *count as f64))
            .collect();
        known.sort_by(|a, b| a.1.total_cmp(&b.1));
        known.into_iter().map(|(name, _)| name.clone()).collect()
    }
}

/// A fleet with switching, and the smallest loss of those fixed champions that err least on average.
fn against_fixed(panel: &Panel, spacing: usize) -> Result<(Followed, f64), BenchError> {
    let ours = follow(panel, spacing, None)?;
    let fixed = ours.best().into_iter().take(RUN_WHOLE).map(|name| Ok(follow(panel, spacing, Some(&name))?.loss));
    let fixed: Vec<f64> = fixed.collect::<Result<_, BenchError>>()?;
    let best = fixed.into_iter().fold(f64::INFINITY, f64::min);
    Ok((ours, best))
}

fn follow(panel: &Panel, spacing: usize, fixed: Option<&str>) -> Result<Followed, BenchError> {
    let failed = |error: &dyn std::error::Error| BenchError::Fit(error.to_string());
    let (horizon, levels) = (Horizon::new(DAY).expect("a day has hours"), Quantiles::standard());
    let mut live = Live::default();
    let mut scores: Vec<SeriesScore> = vec![SeriesScore::default(); panel.series_count()];
    let mut errors: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    let mut issues = 0;
    for end in (FIRST * DAY..=(DAYS - 1) * DAY).step_by(spacing) {
        let seen = panel.window_until(|_| end);
        let wish = |series: usize| {
            let own = live.wish(&seen, series);
            match fixed {
                Some(name) => Wish { champion: Some(name.into()), lived: Vec::new(), ..own },
                None => own,
            }
        };
        let wishes: Vec<Wish> = (0..panel.series_count()).map(wish).collect();
        let fitted = Auto::new(horizon).follow(&seen, 0, &wishes, &|_, _| ()).map_err(|e| failed(&e))?;
        let forecast: Forecast = fitted.predict(horizon, &levels).map_err(|e| failed(&e))?;
        let ends_ms: Vec<i64> = (0..seen.series_count()).map(|series| seen.end_ms(series)).collect();
        for (series, said) in
            fitted.said(&ends_ms, seen.step_ms(), &forecast).map_err(|e| failed(&e))?.into_iter().enumerate()
        {
            let actual = &panel.values(series)[end..end + DAY];
            scores[series].add(&score(&forecast, series, actual, None));
            let Some(said) = said else { continue };
            issues += 1;
            let level = panel.values(series).iter().filter(|v| !v.is_nan()).map(|v| v.abs()).sum::<f64>();
            let scale = level / panel.values(series).len() as f64;
            for (name, values) in &said.values {
                let at = said.times_ms.iter().map(|time| ((time - panel.start_ms(series)) / HOUR_MS) as usize);
                let missed: Vec<f64> = at
                    .zip(values)
                    .map(|(at, value)| (panel.values(series)[at] - value).abs())
                    .filter(|error| error.is_finite())
                    .collect();
                if !missed.is_empty() {
                    let sum = errors.entry(name.clone()).or_default();
                    sum.0 += missed.iter().sum::<f64>() / missed.len() as f64 / scale;
                    sum.1 += 1;
                }
            }
            live.track_mut(panel.name(series)).serve(said);
        }
    }
    let switches = live.tracks().map(|(_, track)| track.switches().len()).sum();
    let loss = Accuracy::of(&scores).wql.ok_or_else(|| BenchError::Fit("no forecast of the fleet".into()))?;
    Ok(Followed { loss, errors, switches, issues })
}
