//! How series are read: counters as rates, days and weeks by the clocks of a place, forecasts between bounds.

mod rules;

use std::sync::Arc;

use foreshadow_models::{BuildOptions, Horizon, Limits, Local, Panel, PanelSet, RawSeries, Rejected, SeriesNotes};

use crate::config::{Config, Zone};
use crate::telemetry::SeriesKey;
pub use rules::{Bonds, Reading};
use rules::{Capacities, Capacity};

/// Clocks are known that long past a horizon, for forecasts of local time that reach a little further.
const MARGIN_MS: i64 = 2 * 86_400_000;

/// Panels with counters as rates, and what is needed to finish them. Series that are built of theirs may be added.
#[derive(Debug)]
pub struct Read {
    /// The panels, in UTC.
    pub set: PanelSet,
    capacities: Capacities,
    /// Whether tables speak of none of the series read.
    unmatched: bool,
}

/// What every part of a fleet must know of the whole.
#[derive(Clone, Debug, Default)]
pub struct Known(Vec<Capacity>);

impl From<&Config> for Reading {
    fn from(config: &Config) -> Self {
        Self::new(config.series().to_vec(), config.forecast().zone().clone())
    }
}

impl Reading {
    /// Builds the panels of a whole fleet.
    pub fn build(&self, raw: Vec<RawSeries>, options: BuildOptions) -> Read {
        let keys: Vec<Option<SeriesKey>> = self.keys(raw.iter().map(|series| series.name.as_str()));
        let unmatched = !self.of_none(&keys).is_empty();
        let (set, own) = self.panels(raw, &keys, options);
        Read { set, capacities: Capacities::of(own), unmatched }
    }

    /// Builds the panels of a part of a fleet that has all or none of the series of each of its [`Bonds::ties`].
    pub fn build_part(&self, raw: Vec<RawSeries>, options: BuildOptions, known: &Known) -> Read {
        let keys = self.keys(raw.iter().map(|series| series.name.as_str()));
        let (set, own) = self.panels(raw, &keys, options);
        Read { set, capacities: Capacities::of_part(own, known.0.clone()), unmatched: false }
    }

    /// What every part of a fleet must know, from the samples of the series of [`Bonds::known_to_all`].
    pub fn known(&self, bonds: &Bonds, raw: &[RawSeries]) -> Known {
        Known(self.bounding_all(bonds, raw))
    }

    /// Keys of series as far as anything is said of any.
    pub fn keys<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Option<SeriesKey>> {
        if self.is_silent() { Vec::new() } else { names.map(|name| name.parse().ok()).collect() }
    }

    fn panels(
        &self,
        raw: Vec<RawSeries>,
        keys: &[Option<SeriesKey>],
        mut options: BuildOptions,
    ) -> (PanelSet, Vec<Capacity>) {
        let mut capacities = Vec::new();
        for (series, key) in raw.iter().zip(keys) {
            if self.asked(key.as_ref()).counter == Some(true) {
                options.counters.insert(series.name.clone());
            }
            capacities.extend(self.recorded(series, key.as_ref()));
        }
        (PanelSet::build(raw, &options), capacities)
    }
}

impl Read {
    /// Adds a panel of series that were built of those read.
    pub fn push(&mut self, panel: Panel) {
        self.set.notes.push(vec![SeriesNotes::default(); panel.series_count()]);
        self.set.panels.push(panel);
    }

    /// Gives every series its clocks and its bounds, and tells what a person should know. A series whose bounds cannot be
    /// had is rejected.
    ///
    /// Series of one panel have the same clocks, need equally many local steps for `horizon` real ones, and lie on one
    /// local grid.
    pub fn finish(self, reading: &Reading, horizon: Horizon) -> (PanelSet, Vec<String>) {
        let Self { set, capacities, unmatched } = self;
        let mut warnings = reading.still_unmatched(unmatched, &set.panels);
        let mut done = PanelSet { rejected: set.rejected, ..PanelSet::default() };
        for (panel, notes) in set.panels.into_iter().zip(set.notes) {
            if reading.is_silent() {
                warnings.extend(counters(&panel, &notes));
                done.panels.push(panel);
                done.notes.push(notes);
                continue;
            }
            for part in by_zone(&panel, notes, reading, &capacities, &mut done.rejected, &mut warnings) {
                for Part { panel, notes, .. } in by_local_steps(part, horizon) {
                    warnings.extend(counters(&panel, &notes));
                    done.panels.push(panel);
                    done.notes.push(notes);
                }
            }
        }
        (done, warnings)
    }
}

/// Series of a panel that are alike in something.
struct Part<K> {
    key: K,
    panel: Panel,
    notes: Vec<SeriesNotes>,
}

/// The part of a key, a new one where there is none.
fn part_of<K: PartialEq>(parts: &mut Vec<Part<K>>, key: K, of: &Panel) -> usize {
    parts.iter().position(|part| part.key == key).unwrap_or_else(|| {
        let panel = Panel::new(of.step_ms()).with_clock(of.clock().cloned());
        parts.push(Part { key, panel, notes: Vec::new() });
        parts.len() - 1
    })
}

impl<K> Part<K> {
    fn push(&mut self, from: &Panel, series: usize, limits: Limits, notes: SeriesNotes) {
        self.panel.push(from.name(series).into(), from.start_ms(series), from.values(series));
        self.panel.limit(self.panel.series_count() - 1, limits);
        self.notes.push(notes);
    }
}

/// A panel's series by their zones, each with its bounds.
fn by_zone(
    panel: &Panel,
    notes: Vec<SeriesNotes>,
    reading: &Reading,
    capacities: &Capacities,
    rejected: &mut Vec<Rejected>,
    warnings: &mut Vec<String>,
) -> Vec<Part<Zone>> {
    let mut parts: Vec<Part<Zone>> = Vec::new();
    for (s, mut notes) in notes.into_iter().enumerate() {
        let name = panel.name(s);
        let key: Option<SeriesKey> = name.parse().ok();
        let asked = reading.asked(key.as_ref());
        let limits = match reading.limits(&asked, key.as_ref(), capacities) {
            Ok(limits) => limits,
            Err(reason) => {
                rejected.push(Rejected { name: name.into(), reason });
                continue;
            }
        };
        notes.looks_like_counter &= asked.counter.is_none();
        notes.out_of_bounds = out_of_bounds(panel, s, &limits);
        if notes.out_of_bounds > 0 {
            let (count, steps) = (notes.out_of_bounds, panel.values(s).len());
            let keys = asked.bounding_keys().join(" and ");
            warnings.push(format!("{name}: {count} of {steps} values lie outside {keys}; they are left as they are"));
        }
        let at = part_of(&mut parts, asked.zone.clone(), panel);
        parts[at].push(panel, s, limits, notes);
    }
    parts
}

/// Values that lie outside of what was known of their bounds at the time.
fn out_of_bounds(panel: &Panel, series: usize, limits: &Limits) -> usize {
    if limits.minimum.is_none() && limits.maximum.is_none() {
        return 0;
    }
    let is_outside = |(step, value): &(usize, &f64)| {
        let at_ms = panel.start_ms(series) + *step as i64 * panel.step_ms();
        !value.is_nan() && !limits.known_before(at_ms + 1).contain(**value)
    };
    panel.values(series).iter().enumerate().filter(is_outside).count()
}

/// A part on its clocks, its series by the local steps that they need.
fn by_local_steps(part: Part<Zone>, horizon: Horizon) -> Vec<Part<(usize, i64)>> {
    let Part { key: zone, panel, notes } = part;
    let every = || 0..panel.series_count();
    let from_ms = every().map(|s| panel.start_ms(s)).min().unwrap_or_default();
    let end_ms = every().map(|s| panel.cutoff_ms(s)).max().unwrap_or_default();
    let ahead_ms = (horizon.steps() as i64 + 1).saturating_mul(panel.step_ms());
    let clock =
        zone.clock(from_ms.saturating_sub(MARGIN_MS), end_ms.saturating_add(ahead_ms).saturating_add(MARGIN_MS));
    let panel = panel.with_clock(clock.map(Arc::new));
    let Some(local) = Local::of(&panel.window()) else { return vec![Part { key: (0, 0), panel, notes }] };
    let mut parts = Vec::new();
    for (s, notes) in notes.into_iter().enumerate() {
        let key = (local.horizon_of(s, horizon), local.panel().start_ms(s).rem_euclid(panel.step_ms()));
        let at = part_of(&mut parts, key, &panel);
        parts[at].push(&panel, s, panel.limits(s).clone(), notes);
    }
    parts
}

/// What is told of series that look like counters.
fn counters<'a>(panel: &'a Panel, notes: &'a [SeriesNotes]) -> impl Iterator<Item = String> + 'a {
    let told = move |(s, _): (usize, &SeriesNotes)| {
        let name = panel.name(s);
        format!(
            "{name} only rises, as a counter does, and is forecast as the number it is; counter = true in a [[series]] \
             table that selects it makes it a rate, counter = false ends this warning"
        )
    };
    notes.iter().enumerate().filter(|(_, notes)| notes.looks_like_counter).map(told)
}

#[cfg(test)]
mod tests;
