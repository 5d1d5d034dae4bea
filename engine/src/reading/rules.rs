//! What the tables of `[[series]]` say of one series.

use std::collections::HashMap;
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
#[derive(Clone, Debug)]
pub(super) struct Capacity {
    rule: usize,
    /// Its labels, the metric's name aside.
    labels: Vec<(String, String)>,
    /// Finite values, in the order of time.
    records: Arc<[(i64, f64)]>,
}

/// Series that may bound others, as far as one part of a fleet must know them.
#[derive(Clone, Debug, Default)]
pub(super) struct Capacities {
    own: Vec<Capacity>,
    /// The only one of its table, without labels: it bounds all that have none of their own.
    of_all: Vec<Capacity>,
}

/// What the series of a fleet must know of each other, by their indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bonds {
    /// Series that bound each other: none of them can be read without the others.
    pub ties: Vec<Vec<usize>>,
    /// Series that bound all others, each with its table.
    of_all: Vec<(usize, usize)>,
}

impl Bonds {
    /// Series that every part of a fleet must know.
    pub fn known_to_all(&self) -> impl Iterator<Item = usize> + '_ {
        self.of_all.iter().map(|(_, series)| *series)
    }
}

impl Capacities {
    /// Of a whole fleet.
    pub(super) fn of(own: Vec<Capacity>) -> Self {
        let alone = |one: &&Capacity| own.iter().filter(|other| other.rule == one.rule).count() == 1;
        let of_all = own.iter().filter(|one| one.labels.is_empty()).filter(alone).cloned().collect();
        Self { own, of_all }
    }

    /// Of a part of a fleet, which has `of_all` that bound every series of it.
    pub(super) fn of_part(own: Vec<Capacity>, of_all: Vec<Capacity>) -> Self {
        Self { own, of_all }
    }

    /// What bounds a series: the one with its labels, or the only one there is when that has none; else how many have them.
    fn paired(&self, rule: usize, labels: &[(String, String)]) -> Result<&Arc<[(i64, f64)]>, usize> {
        let of_rule = |of: &'_ &Capacity| of.rule == rule;
        let same: Vec<&Capacity> = self.own.iter().filter(of_rule).filter(|own| own.labels == labels).collect();
        match (same.as_slice(), self.of_all.iter().find(of_rule)) {
            ([one], _) => Ok(&one.records),
            ([], Some(one)) => Ok(&one.records),
            _ => Err(same.len()),
        }
    }
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
    fn unmatched(&self, keys: &[Option<SeriesKey>]) -> Vec<usize> {
        let speaks = |index: &usize| keys.iter().flatten().any(|key| self.rules[*index].select().matches(key));
        (0..self.rules.len()).filter(|index| !speaks(index)).collect()
    }

    /// What is told of tables that speak of no series that is in the panels, where some spoke of none that was read.
    pub(super) fn still_unmatched(&self, unmatched: bool, panels: &[Panel]) -> Vec<String> {
        if !unmatched {
            return Vec::new();
        }
        let names = panels.iter().flat_map(|panel| (0..panel.series_count()).map(move |s| panel.name(s)));
        let keys: Vec<Option<SeriesKey>> = names.map(|name| name.parse().ok()).collect();
        self.of_none(&keys)
    }

    /// What is told of tables that speak of none of these series.
    pub fn of_none(&self, keys: &[Option<SeriesKey>]) -> Vec<String> {
        let told = |index: usize| format!("no series matches series[{index}].select, {}", self.rules[index].select());
        self.unmatched(keys).into_iter().map(told).collect()
    }

    /// What the series of a fleet must know of each other. `is_read` tells of each whether it is one of the telemetry: the
    /// others are to be built of those.
    pub fn bonds(&self, keys: &[Option<SeriesKey>], is_read: impl Fn(usize) -> bool) -> Bonds {
        let mut bonds = Bonds::default();
        for (index, rule) in self.rules.iter().enumerate() {
            let Some(Ceiling::Series(selector)) = rule.maximum() else { continue };
            let named = || keys.iter().enumerate().filter_map(|(s, key)| Some((s, key.as_ref()?)));
            let mut alike: HashMap<Vec<(String, String)>, Vec<usize>> = HashMap::new();
            let bounding = named().filter(|(s, key)| is_read(*s) && selector.matches(key));
            bounding.for_each(|(s, key)| alike.entry(key.labels_but_name()).or_default().push(s));
            let mut all = alike.iter().flat_map(|(labels, series)| series.iter().map(move |s| (labels, *s)));
            if let (Some((labels, series)), None) = (all.next(), all.next())
                && labels.is_empty()
            {
                bonds.of_all.push((index, series));
                continue;
            }
            for (s, key) in named().filter(|(_, key)| rule.select().matches(key)) {
                if let Some(own) = alike.get_mut(&key.labels_but_name()).filter(|own| !own.contains(&s)) {
                    own.push(s);
                }
            }
            let mut ties: Vec<Vec<usize>> = alike.into_values().filter(|own| own.len() > 1).collect();
            ties.sort_unstable(); // no order of a hash table goes further than this
            bonds.ties.extend(ties);
        }
        bonds
    }

    /// The series that bound all others, from their samples in the order of [`Bonds::known_to_all`].
    pub(super) fn bounding_all(&self, bonds: &Bonds, raw: &[RawSeries]) -> Vec<Capacity> {
        let capacity = |((rule, _), series): (&(usize, usize), &RawSeries)| {
            let key = series.name.parse().ok();
            self.recorded(series, key.as_ref()).into_iter().find(|capacity| capacity.rule == *rule)
        };
        bonds.of_all.iter().zip(raw).filter_map(capacity).collect()
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
        capacities: &Capacities,
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
                let records = capacities.paired(rule, &key.labels_but_name());
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
