//! Demand built before fitting: utilisation × capacity at the time, summed over the units.

use foreshadow_models::Panel;

use super::Workload;
use crate::aggregate::{Built, Gridded, join, matching, other_step};
use crate::config::{Capacity, Demand, Function};
use crate::telemetry::Selector;

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

/// Builds the demand of a workload that is sized on utilisation; `None` for one that is not.
///
/// Units add up as the parts of an aggregate do ([`join`]). Capacity holds until it is recorded anew. Of the sum the
/// last `lookback_steps` are kept.
///
/// # Errors
/// [`DemandError`]: nothing matches, capacity does not pair up, or steps differ.
pub fn build(workload: &Workload, panels: &[Panel], lookback_steps: usize) -> Option<Result<Built, DemandError>> {
    let Demand::Utilisation { utilisation, capacity } = &workload.demand else { return None };
    Some(sum(utilisation, capacity, panels, lookback_steps))
}

fn sum(
    utilisation: &Selector,
    capacity: &Capacity,
    panels: &[Panel],
    lookback_steps: usize,
) -> Result<Built, DemandError> {
    let units = matching(utilisation, panels);
    if units.is_empty() {
        return Err(DemandError::NoMatch { selector: utilisation.to_string() });
    }
    let capacities = match capacity {
        Capacity::Number(_) => Vec::new(),
        Capacity::Series(selector) => matching(selector, panels),
    };
    let behind: Vec<&Gridded<'_>> = match capacity {
        Capacity::Number(_) => Vec::new(),
        Capacity::Series(_) => units.iter().map(|unit| pair(unit, &capacities)).collect::<Result<_, _>>()?,
    };
    if let Some((series, step_ms, other_ms)) = other_step(units.iter().chain(behind.iter().copied())) {
        return Err(DemandError::Steps { series: series.into(), step_ms, other_ms });
    }
    let demand = |(at, unit): (usize, &Gridded<'_>)| match capacity {
        Capacity::Number(number) => unit.values.iter().map(|used| used * number).collect(),
        Capacity::Series(_) => used_of(unit, behind[at]),
    };
    let values: Vec<Vec<f64>> = units.iter().enumerate().map(demand).collect();
    let demands: Vec<Gridded<'_>> =
        units.into_iter().zip(values).map(|(unit, values)| Gridded { values: values.into(), ..unit }).collect();
    join(&demands, Function::Sum, lookback_steps).ok_or(DemandError::Never)
}

/// A unit's utilisation times the capacity that was last recorded, be it before the unit's first sample.
fn used_of(unit: &Gridded<'_>, capacity: &Gridded<'_>) -> Vec<f64> {
    let before = (capacity.first..unit.first).rev().map(|index| capacity.at(index)).find(|v| !v.is_nan());
    let mut held = before.unwrap_or(f64::NAN);
    let used = |(index, used): (i64, &f64)| {
        let now = capacity.at(index);
        held = if now.is_nan() { held } else { now };
        used * held // NaN stays NaN
    };
    (unit.first..).zip(unit.values.iter()).map(used).collect()
}

/// The capacity series with the unit's labels, or the only one there is when it has none of them.
fn pair<'a, 'b>(unit: &Gridded<'_>, capacities: &'b [Gridded<'a>]) -> Result<&'b Gridded<'a>, DemandError> {
    let labels =
        |of: &Gridded<'_>| of.key.labels().iter().filter(|(label, _)| label != "__name__").cloned().collect::<Vec<_>>();
    let wanted = labels(unit);
    let same: Vec<_> = capacities.iter().filter(|capacity| labels(capacity) == wanted).collect();
    match (same.as_slice(), capacities) {
        ([one], _) => Ok(*one),
        ([], [one]) if labels(one).is_empty() => Ok(one),
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
    fn a_unit_that_lags_a_step_behind_leaves_no_dip() {
        let panels =
            [panel(0, &[(r#"util{u="a"}"#, 1, &[0.5, 0.5, 0.5])]), panel(9, &[(r#"util{u="b"}"#, 1, &[0.25, 0.25])])];
        let built = build(&workload(Capacity::Number(4.0)), &panels, 100).unwrap().unwrap();
        assert_eq!((built.start_ms, &built.values[..]), (10, &[3.0, 3.0][..]));
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
