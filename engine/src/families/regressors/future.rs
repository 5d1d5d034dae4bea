//! Regressors whose future is not known: each is forecast first, from what was seen of it at the cutoff.

use std::collections::BTreeMap;

use foreshadow_models::classical::Track;
use foreshadow_models::{Auto, Fitted, Horizon, Panel, Quantiles};

use super::{Driver, Future, RegressorError};

/// One of a regressor's series as it was seen at the end of a series that it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    at: usize,
    start_ms: i64,
    /// Steps of the series that it moves.
    steps: usize,
}

/// Values up to each series' own cutoff and what is expected past it: by `auto` where that has a forecast, else (and
/// for every past cutoff) the day before repeats itself. No sample past a series' end is looked at.
///
/// A regressor that ends before the series does is forecast from its own end, by at most a horizon more.
pub(super) fn tracks(
    driver: &Driver,
    panel: &Panel,
    joined: &[Option<usize>],
    horizon: Horizon,
    future: Future,
    seed: u64,
) -> Result<Vec<Option<Track>>, RegressorError> {
    let asked = |(s, at): (usize, &Option<usize>)| {
        Some(Asked { at: (*at)?, start_ms: panel.start_ms(s), steps: panel.values(s).len() })
    };
    let asked: Vec<Option<Asked>> = joined.iter().enumerate().map(asked).collect();
    let step_ms = panel.step_ms();
    let seen = |asked: &Asked| {
        let cutoff_ms = asked.start_ms + (asked.steps as i64 - 1) * step_ms;
        let samples = &driver.series[asked.at].samples;
        let mut values = samples.on_grid(asked.start_ms, step_ms, asked.steps, cutoff_ms);
        let known = values.iter().rposition(|value| value.is_finite()).map_or(0, |last| last + 1);
        let is_stale = values.len() - known > horizon.steps();
        values.truncate(if is_stale { 0 } else { known });
        (*asked, values)
    };
    let mut made: BTreeMap<Asked, Vec<f64>> = asked.iter().flatten().map(seen).collect();
    let known: BTreeMap<Asked, usize> = made.iter().map(|(asked, values)| (*asked, values.len())).collect();
    if future == Future::Forecast {
        extend(&mut made, step_ms, horizon, seed)?;
    }
    let mut tracks: BTreeMap<Asked, Track> = BTreeMap::new();
    for (asked, mut values) in made {
        let steps = asked.steps + horizon.steps();
        let known_end_ms = asked.start_ms + known[&asked] as i64 * step_ms;
        let is_forecast = values.len() == steps;
        values.resize(steps, f64::NAN);
        let track = Track::new(asked.start_ms, step_ms, values);
        let track = if is_forecast { track } else { track.repeated_from(known_end_ms) };
        tracks.insert(asked, track.expected_from(known_end_ms));
    }
    let track = |asked: &Option<Asked>| tracks.get(asked.as_ref()?).cloned();
    Ok(asked.iter().map(track).collect())
}

/// Appends to each series what `auto` expects of it, where that is a forecast.
fn extend(
    made: &mut BTreeMap<Asked, Vec<f64>>,
    step_ms: i64,
    horizon: Horizon,
    seed: u64,
) -> Result<(), RegressorError> {
    let mut by_length: BTreeMap<usize, Vec<Asked>> = BTreeMap::new();
    for (asked, values) in made.iter().filter(|(_, values)| !values.is_empty()) {
        by_length.entry(asked.steps - values.len() + horizon.steps()).or_default().push(*asked);
    }
    let none = Quantiles::new(Vec::new()).expect("no level is out of order");
    for (steps, asked) in by_length {
        let mut panel = Panel::new(step_ms);
        for (index, asked) in asked.iter().enumerate() {
            panel.push(index.to_string(), asked.start_ms, &made[asked]);
        }
        let horizon = Horizon::new(steps).expect("a horizon and more is not zero");
        let fitted = Auto::new(horizon).run(&panel.window(), seed, &|_, _| ())?;
        let forecast = fitted.predict(horizon, &none)?;
        for (s, asked) in asked.iter().enumerate() {
            if fitted.status()[s].is_usable() && forecast.mean(s).iter().all(|value| value.is_finite()) {
                made.get_mut(asked).expect("it was listed").extend(forecast.mean(s));
            }
        }
    }
    Ok(())
}
