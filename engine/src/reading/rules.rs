//! What the tables of `[[series]]` say of one series.

use std::sync::Arc;

use foreshadow_models::{Limits, Maximum, Panel, RawSeries};

use crate::config::{Ceiling, SeriesConfig, Zone};
use crate::telemetry::SeriesKey;

/// How series are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    rules: Vec<SeriesConfig>,
    zone: Zone,
}

/// Everything that is said of one series, with the index of the table that says it.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) counter: Option<bool>,
    pub(super) zone: &'a Zone,
    minimum: Option<(usize, f64)>,
    maximum: Option<(usize, &'a Ceiling)>,
}

/// A series that may bound others.
#[derive(Debug)]
pub(super) struct Capacity {
    rule: usize,
    /// Its labels, the metric's name aside.
    labels: Vec<(String, String)>,
    /// Finite values, in the order of time.
    records: Arc<[(i64, f64)]>,
}

impl Asked<'_> {
    /// The keys that bound the series.
    pub(super) fn bounding_keys(&self) -> Vec<String> {
        let minimum = self.minimum.map(|(rule, _)| format!("series[{rule}].minimum"));
        let maximum = self.maximum.map(|(rule, _)| format!("series[{rule}].maximum"));
        minimum.into_iter().chain(maximum).collect()
    }
}

impl Reading {
    /// By the tables, in the order of the file, and the zone of series that they give none.
    pub fn new(rules: Vec<SeriesConfig>, zone: Zone) -> Self {
        Self { rules, zone }
    }

    /// Whether nothing is said of any series.
    pub(super) fn is_silent(&self) -> bool {
        self.rules.is_empty() && self.zone == Zone::default()
    }

    /// What is said of a series; of one whose name is no key, what is said of all.
    pub(super) fn asked(&self, key: Option<&SeriesKey>) -> Asked<'_> {
        let mut asked = Asked { counter: None, zone: &self.zone, minimum: None, maximum: None };
        let speaks = |rule: &SeriesConfig| key.is_some_and(|key| rule.select().matches(key));
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| speaks(rule)) {
            asked.counter = rule.counter().or(asked.counter);
            asked.zone = rule.zone().unwrap_or(asked.zone);
            asked.minimum = rule.minimum().map(|value| (index, value)).or(asked.minimum);
            asked.maximum = rule.maximum().map(|ceiling| (index, ceiling)).or(asked.maximum);
        }
        // What bounds others is not bounded by itself.
        if let (Some((_, Ceiling::Series(selector))), Some(key)) = (asked.maximum, key)
            && selector.matches(key)
        {
            asked.maximum = None;
        }
        asked
    }

    /// Indices of tables that speak of none of these series.
    pub(super) fn unmatched(&self, keys: &[Option<SeriesKey>]) -> Vec<usize> {
        let speaks = |index: &usize| keys.iter().flatten().any(|key| self.rules[*index].select().matches(key));
        (0..self.rules.len()).filter(|index| !speaks(index)).collect()
    }

    /// What is told of tables that speak of no series that is in the panels either.
    pub(super) fn still_unmatched(&self, unmatched: &[usize], panels: &[Panel]) -> Vec<String> {
        if unmatched.is_empty() {
            return Vec::new();
        }
        let names = panels.iter().flat_map(|panel| (0..panel.series_count()).map(move |s| panel.name(s)));
        let keys: Vec<Option<SeriesKey>> = names.map(|name| name.parse().ok()).collect();
        let still = self.unmatched(&keys);
        let told = |index: &usize| format!("no series matches series[{index}].select, {}", self.rules[*index].select());
        unmatched.iter().filter(|index| still.contains(index)).map(told).collect()
    }

    /// A series as what bounds others, once for each table that takes it for that.
    pub(super) fn recorded(&self, series: &RawSeries, key: Option<&SeriesKey>) -> Vec<Capacity> {
        let is_it = |rule: &SeriesConfig| match (rule.maximum(), key) {
            (Some(Ceiling::Series(selector)), Some(key)) => selector.matches(key),
            _ => false,
        };
        let mut rules =
            self.rules.iter().enumerate().filter(|(_, rule)| is_it(rule)).map(|(index, _)| index).peekable();
        let (Some(_), Some(key)) = (rules.peek(), key) else { return Vec::new() };
        let samples = series.times_ms.iter().copied().zip(series.values.iter().copied());
        let mut records: Vec<(i64, f64)> = samples.filter(|(_, value)| value.is_finite()).collect();
        records.sort_by_key(|(time, _)| *time); // stable: of equal times the last read is the last
        let records: Arc<[(i64, f64)]> = records.into();
        let capacity = |rule| Capacity { rule, labels: key.labels_but_name(), records: records.clone() };
        rules.map(capacity).collect()
    }

    /// The bounds of a series, or why they cannot be had.
    pub(super) fn limits(
        &self,
        asked: &Asked<'_>,
        key: Option<&SeriesKey>,
        capacities: &[Capacity],
    ) -> Result<Limits, String> {
        let minimum = asked.minimum.map(|(_, value)| value);
        let maximum = match (asked.maximum, key) {
            (Some((rule, Ceiling::Number(most))), _) => {
                if let Some((other, least)) = asked.minimum.filter(|(_, least)| least >= most) {
                    return Err(format!(
                        "series[{other}].minimum, {least}, is not below series[{rule}].maximum, {most}"
                    ));
                }
                Some(Maximum::Constant(*most))
            }
            (Some((rule, Ceiling::Series(selector))), Some(key)) => {
                let records = paired(rule, &key.labels_but_name(), capacities);
                let records = records.map_err(|count| {
                    format!("{count} series match series[{rule}].maximum, {selector}, with its labels; one is needed")
                })?;
                Some(Maximum::Recorded(records.clone()))
            }
            (_, None) | (None, _) => None,
        };
        Ok(Limits { minimum, maximum })
    }
}

/// What bounds a series: the one with its labels, or the only one there is when that has none; else how many have them.
fn paired<'a>(
    rule: usize,
    labels: &[(String, String)],
    capacities: &'a [Capacity],
) -> Result<&'a Arc<[(i64, f64)]>, usize> {
    let own: Vec<&Capacity> = capacities.iter().filter(|capacity| capacity.rule == rule).collect();
    let same: Vec<&Capacity> = own.iter().copied().filter(|capacity| capacity.labels == labels).collect();
    match (same.as_slice(), own.as_slice()) {
        ([one], _) => Ok(&one.records),
        ([], [one]) if one.labels.is_empty() => Ok(&one.records),
        _ => Err(same.len()),
    }
}
