//! Series made of others, and forecasts of both that agree.

mod coherent;
mod grid;

use std::collections::{BTreeMap, HashSet};

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
}

/// Whether a panel's series were made of others; those of one panel all were, or none.
pub fn is_of(wholes: &[Whole], panel: &Panel) -> bool {
    panel.series_count() > 0 && wholes.iter().any(|whole| whole.series == panel.name(0))
}

/// Identities of the series that an aggregate would make of some, each with its parts' places among them.
fn groups<'a>(
    config: &AggregateConfig,
    keys: impl Iterator<Item = &'a SeriesKey>,
) -> Result<BTreeMap<SeriesKey, Vec<usize>>, AggregateError> {
    let selector = || config.select().to_string();
    let mut groups: BTreeMap<SeriesKey, Vec<usize>> = BTreeMap::new();
    let mut unseen: Vec<&String> = config.by().iter().collect();
    for (at, key) in keys.enumerate() {
        unseen.retain(|label| key.label(label).is_empty());
        let kept = config.by().iter().map(|label| (label.clone(), key.label(label).to_string()));
        let name = ("__name__".to_string(), config.name().to_string());
        groups.entry(SeriesKey::new(kept.chain([name]))).or_default().push(at);
    }
    match unseen.first() {
        _ if groups.is_empty() => Err(AggregateError::NoMatch { selector: selector() }),
        Some(label) => Err(AggregateError::NoLabel { selector: selector(), label: label.to_string() }),
        None => Ok(groups),
    }
}

/// Makes the configured series of those of `set` and adds them to it, a panel a step; what cannot be made is rejected by
/// name, and the others go on. No aggregate is made of another.
///
/// The parts become one as [`grid::join`] says. A label that some parts lack is the empty text, as everywhere.
pub fn extend(set: &mut PanelSet, aggregates: &[AggregateConfig], lookback_steps: usize) -> Vec<Whole> {
    if aggregates.is_empty() {
        return Vec::new();
    }
    let made = Made::of(set, aggregates, lookback_steps);
    for panel in made.panels.into_values() {
        let missing = |s| panel.values(s).iter().filter(|y| y.is_nan()).count();
        let notes = |s| SeriesNotes { missing_steps: missing(s), ..SeriesNotes::default() };
        set.notes.push((0..panel.series_count()).map(notes).collect());
        set.panels.push(panel);
    }
    set.rejected.extend(made.rejected);
    made.wholes
}

#[derive(Default)]
struct Made {
    /// By their step.
    panels: BTreeMap<i64, Panel>,
    wholes: Vec<Whole>,
    rejected: Vec<Rejected>,
}

impl Made {
    fn of(set: &PanelSet, aggregates: &[AggregateConfig], lookback_steps: usize) -> Self {
        let names = set.panels.iter().flat_map(|panel| (0..panel.series_count()).map(|s| panel.name(s)));
        let taken: HashSet<&str> = names.chain(set.rejected.iter().map(|rejected| rejected.name.as_str())).collect();
        let mut made = Self::default();
        for config in aggregates {
            let parts = matching(config.select(), &set.panels);
            match groups(config, parts.iter().map(|part| &part.key)) {
                Err(error) => made.refuse(SeriesKey::new([("__name__".into(), config.name().into())]), &error, &taken),
                Ok(groups) => {
                    for (key, places) in groups {
                        let parts: Vec<Gridded<'_>> = places.into_iter().map(|at| parts[at].clone()).collect();
                        made.make(key, &parts, config.function(), lookback_steps, &taken);
                    }
                }
            }
        }
        made
    }

    fn make(
        &mut self,
        key: SeriesKey,
        parts: &[Gridded<'_>],
        function: Function,
        lookback_steps: usize,
        taken: &HashSet<&str>,
    ) {
        let series = key.to_string();
        let built = match other_step(parts) {
            _ if taken.contains(series.as_str()) => Err(AggregateError::Taken),
            Some((series, step_ms, other_ms)) => {
                Err(AggregateError::Steps { series: series.into(), step_ms, other_ms })
            }
            None => join(parts, function, lookback_steps).ok_or(AggregateError::Never),
        };
        match built {
            Err(error) => self.refuse(key, &error, taken),
            Ok(Built { step_ms, start_ms, values, lasting }) => {
                let panel = self.panels.entry(step_ms).or_insert_with(|| Panel::new(step_ms));
                panel.push(series.clone(), start_ms, &values);
                let parts = parts.iter().zip(lasting).filter(|(_, lasting)| *lasting);
                let parts = parts.map(|(part, _)| part.name.to_string()).collect();
                self.wholes.push(Whole { series, function, parts });
            }
        }
    }

    /// What is refused must not be taken for the series whose name it would have had.
    fn refuse(&mut self, key: SeriesKey, error: &AggregateError, taken: &HashSet<&str>) {
        let series = key.to_string();
        let name = if taken.contains(series.as_str()) { format!("aggregate {series}") } else { series };
        self.rejected.push(Rejected { name, reason: error.to_string() });
    }
}

#[cfg(test)]
mod tests;
