//! Several series on one grid become one: what a region's sum and a workload's demand have in common.

use std::borrow::Cow;

use foreshadow_models::Panel;

use crate::config::Function;
use crate::telemetry::{Selector, SeriesKey};

/// Steps by which a part may end before the newest one and still be late rather than gone: scrapes at different offsets
/// end in different steps, and a sum without the late ones would end in a dip.
const LATE_STEPS: i64 = 3;

/// One series on the grid `index × step`.
#[derive(Clone, Debug)]
pub(crate) struct Gridded<'a> {
    pub(crate) key: SeriesKey,
    pub(crate) name: &'a str,
    pub(crate) step_ms: i64,
    pub(crate) first: i64,
    /// One a step, NaN where unobserved; observed at both ends.
    pub(crate) values: Cow<'a, [f64]>,
}

impl<'a> Gridded<'a> {
    /// A series of a panel; `None` where it holds nothing or its name is no key. Each sample counts for the step it falls
    /// in, so that series scraped at different offsets meet.
    pub(crate) fn of(panel: &'a Panel, s: usize) -> Option<Self> {
        let key: SeriesKey = panel.name(s).parse().ok()?;
        let first = panel.start_ms(s).div_euclid(panel.step_ms());
        let series = Self { key, name: panel.name(s), step_ms: panel.step_ms(), first, values: panel.values(s).into() };
        Some(series).filter(|series| !series.values.is_empty())
    }

    pub(crate) fn last(&self) -> i64 {
        self.first + self.values.len() as i64 - 1
    }

    pub(crate) fn at(&self, index: i64) -> f64 {
        usize::try_from(index - self.first).ok().and_then(|at| self.values.get(at)).copied().unwrap_or(f64::NAN)
    }
}

/// The series of panels that a selector means, without those that hold nothing.
pub(crate) fn matching<'a>(selector: &Selector, panels: &'a [Panel]) -> Vec<Gridded<'a>> {
    let series = panels.iter().flat_map(|panel| (0..panel.series_count()).map(move |s| (panel, s)));
    series.filter_map(|(panel, s)| Gridded::of(panel, s)).filter(|series| selector.matches(&series.key)).collect()
}

/// A series whose step is not that of the first, with both.
pub(crate) fn other_step<'a, 'b>(series: impl IntoIterator<Item = &'b Gridded<'a>>) -> Option<(&'a str, i64, i64)>
where
    'a: 'b,
{
    let mut series = series.into_iter();
    let step_ms = series.next()?.step_ms;
    series.find(|series| series.step_ms != step_ms).map(|series| (series.name, series.step_ms, step_ms))
}

/// A built series: its start and one value a step, NaN where a part of it was unobserved.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// Sampling interval.
    pub step_ms: i64,
    /// Time of the first value.
    pub start_ms: i64,
    /// Its values.
    pub values: Vec<f64>,
    /// Whether each part still takes part at the end, in the order of the parts.
    pub lasting: Vec<bool>,
}

/// Makes one series of parts of one step; `None` where they were never all observed at once.
///
/// A part takes part from its first sample to its last; one that ends a few steps before the newest is late and takes
/// part to the end. A step at which a part that takes part was not observed stays unobserved, since a sum or a maximum
/// without it would be a dip that never was. The last `lookback_steps` are kept.
pub(crate) fn join(parts: &[Gridded<'_>], function: Function, lookback_steps: usize) -> Option<Built> {
    let newest = parts.iter().map(Gridded::last).max()?;
    let lasting: Vec<bool> = parts.iter().map(|part| part.last() >= newest.saturating_sub(LATE_STEPS)).collect();
    let ends = parts.iter().zip(&lasting).filter(|(_, lasting)| **lasting);
    let last = ends.map(|(part, _)| part.last()).min()?;
    let lookback = i64::try_from(lookback_steps).unwrap_or(i64::MAX);
    // Parts may have lived decades apart.
    let first = parts.iter().map(|part| part.first).min()?.max(last.saturating_sub(lookback) + 1);
    let steps = usize::try_from(last - first + 1).ok()?;
    let mut joined: Vec<Option<f64>> = vec![None; steps];
    for part in parts {
        for index in part.first.max(first)..=part.last().min(last) {
            let (own, joined) = (part.at(index), &mut joined[(index - first) as usize]);
            *joined = Some(match (*joined, function) {
                (None, _) => own,
                (Some(others), Function::Sum) => others + own, // NaN stays NaN
                (Some(others), _) if others.is_nan() || own.is_nan() => f64::NAN,
                (Some(others), Function::Max) => others.max(own),
            });
        }
    }
    let values: Vec<f64> = joined.into_iter().map(|y| y.filter(|y| y.is_finite()).unwrap_or(f64::NAN)).collect();
    let seen = values.iter().position(|y| !y.is_nan())?;
    let until = values.iter().rposition(|y| !y.is_nan())?;
    let step_ms = parts.first()?.step_ms;
    Some(Built { step_ms, start_ms: (first + seen as i64) * step_ms, values: values[seen..=until].to_vec(), lasting })
}
