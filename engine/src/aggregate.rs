//! Series made of others, and forecasts of both that agree.

mod coherent;
mod grid;

use std::collections::{BTreeMap, HashMap, HashSet};

use foreshadow_models::{Panel, PanelSet, Rejected, SeriesNotes};

use crate::config::{AggregateConfig, Function};
use crate::telemetry::SeriesKey;

pub use coherent::{Apart, Said, reconcile};
pub use grid::Built;
pub(crate) use grid::{Gridded, join, matching, other_step};

/// Why a series could not be made of others.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum AggregateError {
    /// Check the selector against the telemetry's labels.
    #[error("no series matches {selector}")]
    NoMatch {
        /// The selector.
        selector: String,
    },
    /// Check the spelling of `by`: all parts would become one series in silence.
    #[error("no series that matches {selector} has the label {label}")]
    NoLabel {
        /// The selector.
        selector: String,
        /// The label.
        label: String,
    },
    /// Only series of one sampling interval can be joined.
    #[error("{series} has a step of {step_ms} ms beside one of {other_ms} ms")]
    Steps {
        /// The series.
        series: String,
        /// Its step.
        step_ms: i64,
        /// The step of the first part.
        other_ms: i64,
    },
    /// All of the parts were rejected.
    #[error("none of its parts can be read")]
    NoPart,
    /// The parts were never all observed at once.
    #[error("no step has all of its parts")]
    Never,
    /// Give the aggregate another name.
    #[error("the telemetry has a series of that name: give the aggregate another")]
    Taken,
}

/// A series that was made of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Its identity.
    pub series: String,
    /// What its parts became.
    pub function: Function,
    /// Identities of the parts that it has at its end; those that were gone by then are no part of its future.
    pub parts: Vec<String>,
    /// Identities of those that could not be read, without which it was made.
    pub unread: Vec<String>,
}

impl Whole {
    /// What a person should know of a series that was made without some of its parts.
    pub fn incomplete(&self) -> Option<String> {
        let first = self.unread.first()?;
        let others = match self.unread.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} others"),
        };
        Some(format!("{} is made without {first}{others}, which could not be read", self.series))
    }
}

/// Whether a panel's series were made of others; those of one panel all were, or none.
pub fn is_of(wholes: &[Whole], panel: &Panel) -> bool {
    panel.series_count() > 0 && wholes.iter().any(|whole| whole.series == panel.name(0))
}

/// A series that is to be made of others, known by their names alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its identity.
    pub series: String,
    /// What its parts become.
    pub function: Function,
    /// Identities of its parts, sorted: what is made does not hang on the order in which they are read.
    pub parts: Vec<String>,
}

/// What the configured aggregates come to on a fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be made, in the order of the configuration.
    pub wanted: Vec<Wanted>,
    /// What cannot be made, by name.
    pub rejected: Vec<Rejected>,
}

impl Plan {
    /// Which series of a fleet become one, by the labels in their names. No aggregate is made of another. A label that
    /// some parts lack is the empty text, as everywhere.
    pub fn of<'a>(aggregates: &[AggregateConfig], names: impl Iterator<Item = &'a str>) -> Self {
        let mut plan = Self::default();
        if aggregates.is_empty() {
            return plan;
        }
        let names: Vec<(&str, Option<SeriesKey>)> = names.map(|name| (name, name.parse().ok())).collect();
        let taken: HashSet<&str> = names.iter().map(|(name, _)| *name).collect();
        for config in aggregates {
            match groups(config, &names) {
                Err(error) => {
                    let series = SeriesKey::new([("__name__".into(), config.name().into())]).to_string();
                    let name = if taken.contains(series.as_str()) { beside(&series) } else { series };
                    plan.rejected.push(Rejected { name, reason: error.to_string() });
                }
                Ok(groups) => {
                    for (key, mut parts) in groups {
                        let series = key.to_string();
                        if taken.contains(series.as_str()) {
                            let reason = AggregateError::Taken.to_string();
                            plan.rejected.push(Rejected { name: beside(&series), reason });
                            continue;
                        }
                        parts.sort_unstable();
                        let parts = parts.into_iter().map(String::from).collect();
                        plan.wanted.push(Wanted { series, function: config.function(), parts });
                    }
                }
            }
        }
        plan
    }
}

/// What is refused must not be taken for the series whose name it would have had.
fn beside(series: &str) -> String {
    format!("aggregate {series}")
}

/// Identities of the series that an aggregate would make of some, each with its parts.
fn groups<'a>(
    config: &AggregateConfig,
    names: &[(&'a str, Option<SeriesKey>)],
) -> Result<BTreeMap<SeriesKey, Vec<&'a str>>, AggregateError> {
    let selector = || config.select().to_string();
    let mut groups: BTreeMap<SeriesKey, Vec<&str>> = BTreeMap::new();
    let mut unseen: Vec<&String> = config.by().iter().collect();
    let parts = names.iter().filter_map(|(name, key)| Some((name, key.as_ref()?)));
    for (name, key) in parts.filter(|(_, key)| config.select().matches(key)) {
        unseen.retain(|label| key.label(label).is_empty());
        let kept = config.by().iter().map(|label| (label.clone(), key.label(label).to_string()));
        let own = ("__name__".to_string(), config.name().to_string());
        groups.entry(SeriesKey::new(kept.chain([own]))).or_default().push(name);
    }
    match unseen.first() {
        _ if groups.is_empty() => Err(AggregateError::NoMatch { selector: selector() }),
        Some(label) => Err(AggregateError::NoLabel { selector: selector(), label: label.to_string() }),
        None => Ok(groups),
    }
}

/// Makes what is wanted of the series of `set` and adds it to them, a panel a step; what cannot be made is rejected by
/// name, and the others go on. `set` holds all series that could be parts of what is wanted, but for those that were
/// rejected.
///
/// The parts become one as [`grid::join`] says.
pub fn extend(set: &mut PanelSet, wanted: &[Wanted], lookback_steps: usize) -> Vec<Whole> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let (mut panels, mut wholes, mut rejected) = (BTreeMap::new(), Vec::new(), Vec::new());
    let series = set.panels.iter().flat_map(|panel| (0..panel.series_count()).map(move |s| (panel, s)));
    let places: HashMap<&str, (&Panel, usize)> = series.map(|(panel, s)| (panel.name(s), (panel, s))).collect();
    for wanted in wanted {
        match made(wanted, &places, lookback_steps) {
            Err(error) => rejected.push(Rejected { name: wanted.series.clone(), reason: error.to_string() }),
            Ok((built, whole)) => {
                let panel = panels.entry(built.step_ms).or_insert_with(|| Panel::new(built.step_ms));
                panel.push(whole.series.clone(), built.start_ms, &built.values);
                wholes.push(whole);
            }
        }
    }
    for panel in panels.into_values() {
        let missing = |s| panel.values(s).iter().filter(|y| y.is_nan()).count();
        let notes = |s| SeriesNotes { missing_steps: missing(s), ..SeriesNotes::default() };
        set.notes.push((0..panel.series_count()).map(notes).collect());
        set.panels.push(panel);
    }
    set.rejected.extend(rejected);
    wholes
}

fn made(
    wanted: &Wanted,
    places: &HashMap<&str, (&Panel, usize)>,
    lookback_steps: usize,
) -> Result<(Built, Whole), AggregateError> {
    let (mut parts, mut unread) = (Vec::new(), Vec::new());
    for name in &wanted.parts {
        match places.get(name.as_str()).and_then(|(panel, s)| Gridded::of(panel, *s)) {
            Some(part) => parts.push(part),
            None => unread.push(name.clone()),
        }
    }
    if parts.is_empty() {
        return Err(AggregateError::NoPart);
    }
    if let Some((series, step_ms, other_ms)) = other_step(&parts) {
        return Err(AggregateError::Steps { series: series.into(), step_ms, other_ms });
    }
    let built = join(&parts, wanted.function, lookback_steps).ok_or(AggregateError::Never)?;
    let lasting = parts.iter().zip(&built.lasting).filter(|(_, lasting)| **lasting);
    let parts = lasting.map(|(part, _)| part.name.to_string()).collect();
    Ok((built, Whole { series: wanted.series.clone(), function: wanted.function, parts, unread }))
}

#[cfg(test)]
mod tests;
