//! Demand built before fitting: utilisation × capacity at the time, summed over the units.

use std::collections::BTreeMap;

use foreshadow_models::Panel;

use super::Workload;
use crate::config::{Capacity, Demand};
use crate::telemetry::{Selector, SeriesKey};

/// Why a workload's demand could not be built.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DemandError {
    /// Check the selector against the telemetry's labels.
    #[error("no series matches {selector}")]
    NoMatch {
        /// The selector.
        selector: String,
    },
    /// Give the capacity the same labels as the utilisation, or one series for all.
    #[error("{utilisation} has {found} capacity series with its labels where one is needed")]
    NoCapacity {
        /// The utilisation series.
        utilisation: String,
        /// Capacity series found for it.
        found: usize,
    },
    /// Only series of one sampling interval can be multiplied and added.
    #[error("{series} has a step of {step_ms} ms beside one of {other_ms} ms")]
    Steps {
        /// The series.
        series: String,
        /// Its step.
        step_ms: i64,
        /// The step of the first utilisation series.
        other_ms: i64,
    },
    /// The units were never all observed at once.
    #[error("no step has every utilisation and its capacity")]
    Never,
}

/// A built series: its start and one value a step, NaN where a part of it was unobserved.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// Sampling interval.
    pub step_ms: i64,
    /// Time of the first value.
    pub start_ms: i64,
    /// Demand.
    pub values: Vec<f64>,
}

/// Builds the demand of a workload that is sized on utilisation; `None` for one that is not.
///
/// Each sample counts for the step it falls in, so that units scraped at different offsets add up. A unit
/// takes part from its first sample to its last; a step at which a unit that takes part was not observed
/// stays unobserved, since a sum without it would be a dip that never was. Capacity holds until it is
/// recorded anew. Of the sum the last `lookback_steps` are kept.
///
/// # Errors
/// [`DemandError`]: nothing matches, capacity does not pair up, or steps differ.
pub fn build(workload: &Workload, panels: &[Panel], lookback_steps: usize) -> Option<Result<Built, DemandError>> {
    let Demand::Utilisation { utilisation, capacity } = &workload.demand else { return None };
    Some(sum(utilisation, capacity, panels, lookback_steps))
}

/// One series on the grid `index × step`.
#[derive(Clone, Copy)]
struct Gridded<'a> {
    name: &'a str,
    step_ms: i64,
    first: i64,
    values: &'a [f64],
}

impl Gridded<'_> {
    fn last(&self) -> i64 {
        self.first + self.values.len() as i64 - 1
    }

    fn at(&self, index: i64) -> f64 {
        usize::try_from(index - self.first).ok().and_then(|at| self.values.get(at)).copied().unwrap_or(f64::NAN)
    }
}

fn sum(
    utilisation: &Selector,
    capacity: &Capacity,
    panels: &[Panel],
    lookback_steps: usize,
) -> Result<Built, DemandError> {
    let units = matching(utilisation, panels);
    let Some(step_ms) = units.first().map(|unit| unit.step_ms) else {
        return Err(DemandError::NoMatch { selector: utilisation.to_string() });
    };
    let capacities = match capacity {
        Capacity::Number(_) => Vec::new(),
        Capacity::Series(selector) => matching(selector, panels),
    };
    let mut total: BTreeMap<i64, f64> = BTreeMap::new();
    for unit in &units {
        let behind = match capacity {
            Capacity::Number(_) => None,
            Capacity::Series(_) => Some(pair(unit, &capacities)?),
        };
        for series in [Some(*unit), behind].into_iter().flatten() {
            if series.step_ms != step_ms {
                let series_name = series.name.to_string();
                return Err(DemandError::Steps { series: series_name, step_ms: series.step_ms, other_ms: step_ms });
            }
        }
        let mut held = f64::NAN;
        if let Some(behind) = behind {
            // What was last recorded before the unit's first sample still holds there.
            held = (behind.first..unit.first).rev().map(|index| behind.at(index)).find(|v| !v.is_nan()).unwrap_or(held);
        }
        for index in unit.first..=unit.last() {
            let now = match (capacity, behind) {
                (Capacity::Number(number), _) => *number,
                (_, Some(behind)) => behind.at(index),
                (Capacity::Series(_), None) => f64::NAN,
            };
            held = if now.is_nan() { held } else { now };
            *total.entry(index).or_insert(0.0) += unit.at(index) * held; // NaN stays NaN
        }
    }
    let observed = || total.iter().filter(|(_, demand)| !demand.is_nan()).map(|(index, _)| *index);
    let (Some(first), Some(last)) = (observed().next(), observed().next_back()) else {
        return Err(DemandError::Never);
    };
    // Units may have lived decades apart.
    let oldest = last.saturating_sub(i64::try_from(lookback_steps).unwrap_or(i64::MAX)) + 1;
    let first = observed().find(|index| *index >= oldest).unwrap_or(first);
    let values = (first..=last).map(|index| total.get(&index).copied().unwrap_or(f64::NAN)).collect();
    Ok(Built { step_ms, start_ms: first * step_ms, values })
}

fn matching<'a>(selector: &Selector, panels: &'a [Panel]) -> Vec<Gridded<'a>> {
    let series = panels.iter().flat_map(|panel| (0..panel.series_count()).map(move |s| (panel, s)));
    let matches = |panel: &Panel, s| panel.name(s).parse::<SeriesKey>().is_ok_and(|key| selector.matches(&key));
    let gridded = |(panel, s): (&'a Panel, usize)| Gridded {
        name: panel.name(s),
        step_ms: panel.step_ms(),
        first: panel.start_ms(s).div_euclid(panel.step_ms()),
        values: panel.values(s),
    };
    series.filter(|(panel, s)| matches(panel, *s)).map(gridded).filter(|unit| !unit.values.is_empty()).collect()
}

/// The capacity series with the unit's labels, or the only one there is when it has none of them.
fn pair<'a>(unit: &Gridded<'_>, capacities: &[Gridded<'a>]) -> Result<Gridded<'a>, DemandError> {
    let labels = |name: &str| {
        let key: SeriesKey = name.parse().expect("`matching` parsed it");
        key.labels().iter().filter(|(label, _)| label != "__name__").cloned().collect::<Vec<_>>()
    };
    let wanted = labels(unit.name);
    let same: Vec<_> = capacities.iter().filter(|capacity| labels(capacity.name) == wanted).collect();
    match (same.as_slice(), capacities) {
        ([one], _) => Ok(**one),
        ([], [one]) if labels(one.name).is_empty() => Ok(*one),
        _ => Err(DemandError::NoCapacity { utilisation: unit.name.into(), found: same.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    fn workload(capacity: Capacity) -> Workload {
        let utilisation = "util".parse().unwrap();
        Workload {
            name: "web".into(),
            demand: Demand::Utilisation { utilisation, capacity },
            unit_capacity: 1.0,
            target: 1.0,
            quantile: 0.9,
            lead_time_ms: 0,
            min: 0,
            max: 9,
            step: 1,
        }
    }

    fn panel(phase: i64, series: &[(&str, i64, &[f64])]) -> Panel {
        let mut panel = Panel::new(10);
        for (name, index, values) in series {
            panel.push((*name).into(), index * 10 + phase, values);
        }
        panel
    }

    fn recorded() -> Capacity {
        Capacity::Series("cap".parse().unwrap())
    }

    fn same(left: &[f64], right: &[f64]) -> bool {
        left.len() == right.len() && left.iter().zip(right).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
    }

    #[test]
    fn units_at_different_offsets_add_up_and_a_missed_sample_is_a_gap() {
        let panels = [
            panel(0, &[(r#"util{u="a"}"#, 1, &[0.5, 0.5, 0.5, 0.5])]),
            panel(7, &[(r#"util{u="b"}"#, 2, &[0.25, NAN, 0.75])]),
        ];
        let built = build(&workload(Capacity::Number(4.0)), &panels, 100).unwrap().unwrap();
        assert_eq!((built.step_ms, built.start_ms), (10, 10));
        assert!(same(&built.values, &[2.0, 3.0, NAN, 5.0]), "{:?}", built.values);
    }

    #[test]
    fn capacity_holds_until_it_is_recorded_anew_and_pairs_by_labels() {
        let panels = [panel(
            0,
            &[
                (r#"util{u="a"}"#, 1, &[0.5, 0.5, 0.5, 0.5]),
                (r#"cap{u="a"}"#, 0, &[2.0, NAN, NAN, 8.0]),
                (r#"cap{u="b"}"#, 0, &[100.0; 5]),
            ],
        )];
        let built = build(&workload(recorded()), &panels, 100).unwrap().unwrap();
        assert!(same(&built.values, &[1.0, 1.0, 4.0, 4.0]), "{:?}", built.values);
    }

    #[test]
    fn units_that_lived_far_apart_span_no_more_than_the_lookback() {
        let long_ago = panel(0, &[(r#"util{u="a"}"#, -1_000_000_000_000, &[0.5, 0.5])]);
        let now = panel(0, &[(r#"util{u="b"}"#, 7, &[1.0, 2.0, 3.0])]);
        let built = build(&workload(Capacity::Number(1.0)), &[long_ago, now], 2).unwrap().unwrap();
        assert_eq!((built.start_ms, &built.values[..]), (80, &[2.0, 3.0][..]));
    }

    #[test]
    fn what_cannot_be_built_says_why() {
        let unit: (&str, i64, &[f64]) = (r#"util{u="a"}"#, 0, &[0.5, 0.5]);
        let error = |capacity, panels: &[Panel]| build(&workload(capacity), panels, 100).unwrap().unwrap_err();
        assert_eq!(error(recorded(), &[]), DemandError::NoMatch { selector: "util".into() });
        let utilisation = unit.0.to_string();
        assert_eq!(error(recorded(), &[panel(0, &[unit])]), DemandError::NoCapacity { utilisation, found: 0 });
        let mut other = Panel::new(60);
        other.push(r#"cap{u="a"}"#.into(), 0, &[1.0, 1.0]);
        assert!(matches!(error(recorded(), &[panel(0, &[unit]), other]), DemandError::Steps { other_ms: 10, .. }));
        let late = panel(0, &[unit, (r#"cap{u="a"}"#, 5, &[1.0, 1.0])]);
        assert_eq!(error(recorded(), &[late]), DemandError::Never);
    }
}
