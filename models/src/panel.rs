//! Many series on one regular grid, and the window of them that a model may see.

mod build;
mod rate;

use std::ops::Range;
use std::sync::Arc;

use crate::bounds::{Bounds, Limits};
use crate::local::WallClock;

pub use build::{BuildOptions, HeldOutPart, PanelSet, RawSeries, Rejected, SeriesNotes};

/// Series that share one step and phase, each with its own start and cutoff.
///
/// Logically `[steps, series]` with an observed mask; stored series by series without the rows that lie
/// before a series' first value or after its last, in `f64`, an unobserved step being NaN.
#[derive(Clone, Debug)]
pub struct Panel {
    step_ms: i64,
    names: Vec<String>,
    starts_ms: Vec<i64>,
    offsets: Vec<usize>,
    values: Vec<f64>,
    limits: Vec<Limits>,
    clock: Option<Arc<WallClock>>,
}

impl Panel {
    /// An empty panel of one step, in milliseconds.
    ///
    /// # Panics
    /// When `step_ms` is not positive.
    pub fn new(step_ms: i64) -> Self {
        assert!(step_ms > 0, "a step of {step_ms} ms");
        Self {
            step_ms,
            names: Vec::new(),
            starts_ms: Vec::new(),
            offsets: vec![0],
            values: Vec::new(),
            limits: Vec::new(),
            clock: None,
        }
    }

    /// The same with its days and weeks by the clocks of a place; those of UTC where `None`. Its times stay UTC.
    #[must_use]
    pub fn with_clock(self, clock: Option<Arc<WallClock>>) -> Self {
        Self { clock, ..self }
    }

    /// Adds a series whose first value lies at `start_ms`; NaN marks an unobserved step, and NaN at
    /// either end is cut away.
    pub fn push(&mut self, name: String, start_ms: i64, values: &[f64]) {
        let last = values.iter().rposition(|v| !v.is_nan()).map_or(0, |at| at + 1);
        self.push_to_the_end(name, start_ms, &values[..last]);
    }

    /// The same with NaN at the end kept: what is forecast comes after it.
    pub(crate) fn push_to_the_end(&mut self, name: String, start_ms: i64, values: &[f64]) {
        let first = values.iter().position(|v| !v.is_nan()).unwrap_or(values.len());
        self.names.push(name);
        self.starts_ms.push(start_ms + first as i64 * self.step_ms);
        self.values.extend_from_slice(&values[first..]);
        self.offsets.push(self.values.len());
        self.limits.push(Limits::default());
    }

    /// Declares what a series' forecasts must lie between.
    pub fn limit(&mut self, series: usize, limits: Limits) {
        self.limits[series] = limits;
    }

    /// Some steps of one series, with its clocks and its bounds.
    ///
    /// # Panics
    /// When there are not that many steps.
    #[must_use]
    pub fn part(&self, series: usize, steps: Range<usize>) -> Self {
        let mut part = Self::new(self.step_ms).with_clock(self.clock.clone());
        let start_ms = self.start_ms(series) + steps.start as i64 * self.step_ms;
        part.push(self.name(series).into(), start_ms, &self.values(series)[steps]);
        part.limit(0, self.limits[series].clone());
        part
    }

    /// The clocks that its days and weeks follow; `None` for those of UTC.
    pub fn clock(&self) -> Option<&Arc<WallClock>> {
        self.clock.as_ref()
    }

    /// What a series' forecasts must lie between.
    pub fn limits(&self, series: usize) -> &Limits {
        &self.limits[series]
    }

    /// Sampling interval in milliseconds.
    pub fn step_ms(&self) -> i64 {
        self.step_ms
    }

    /// Steps in a time span, at least one: `steps_in(86_400_000)` is the daily season.
    pub fn steps_in(&self, span_ms: i64) -> usize {
        ((span_ms as f64 / self.step_ms as f64).round() as usize).max(1)
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.names.len()
    }

    /// The series' identity.
    pub fn name(&self, series: usize) -> &str {
        &self.names[series]
    }

    /// Every step from a series' first observation to its last, oldest first; NaN where unobserved.
    pub fn values(&self, series: usize) -> &[f64] {
        &self.values[self.offsets[series]..self.offsets[series + 1]]
    }

    /// Time of the first of [`Panel::values`], milliseconds since the epoch.
    pub fn start_ms(&self, series: usize) -> i64 {
        self.starts_ms[series]
    }

    /// Time of the last observed step: the cutoff of a forecast from the whole panel.
    pub fn cutoff_ms(&self, series: usize) -> i64 {
        self.start_ms(series) + (self.values(series).len() as i64 - 1) * self.step_ms
    }

    /// The whole panel as a window.
    pub fn window(&self) -> Window<'_> {
        self.window_until(|_| usize::MAX)
    }

    /// The part of the panel before an end of its own for each series.
    ///
    /// `end` gives, from a series' index, how many of its [`Panel::values`] may be seen; more than there
    /// are means all.
    pub fn window_until(&self, end: impl Fn(usize) -> usize) -> Window<'_> {
        let ends = (0..self.series_count()).map(|s| end(s).min(self.values(s).len())).collect();
        Window { panel: self, members: (0..self.series_count()).collect(), ends, lookback: usize::MAX }
    }
}

/// What a model may see: for each series the steps before its end, never one after it.
#[derive(Clone, Debug)]
pub struct Window<'a> {
    panel: &'a Panel,
    /// The panel's series, in the window's order.
    members: Vec<usize>,
    /// Where each member ends, in steps of its [`Panel::values`].
    ends: Vec<usize>,
    lookback: usize,
}

impl<'a> Window<'a> {
    /// The same window, looking back at most `steps` steps from each series' end; never further than it did.
    #[must_use]
    pub fn with_lookback(mut self, steps: usize) -> Self {
        self.lookback = self.lookback.min(steps);
        self
    }

    /// The same window with each series ending earlier: `visible` gives, from a series' index, how many of
    /// its [`Window::values`] may still be seen; more than there are means all, and 0 leaves nothing. A
    /// lookback then counts from the new end.
    #[must_use]
    pub fn until(&self, visible: impl Fn(usize) -> usize) -> Self {
        let cut = |s: usize| match (visible(s), self.range(s)) {
            (0, _) => 0,
            (visible, (from, to)) => from.saturating_add(visible).min(to),
        };
        Self { ends: (0..self.series_count()).map(cut).collect(), ..self.clone() }
    }

    /// The window of some of its series, in the order given.
    ///
    /// # Panics
    /// When an index lies outside the window.
    #[must_use]
    pub fn only(&self, series: &[usize]) -> Self {
        let members = series.iter().map(|s| self.members[*s]).collect();
        let ends = series.iter().map(|s| self.ends[*s]).collect();
        Self { panel: self.panel, members, ends, lookback: self.lookback }
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.members.len()
    }

    /// Sampling interval in milliseconds.
    pub fn step_ms(&self) -> i64 {
        self.panel.step_ms()
    }

    /// Steps in a time span, at least one.
    pub fn steps_in(&self, span_ms: i64) -> usize {
        self.panel.steps_in(span_ms)
    }

    /// The series' identity.
    pub fn name(&self, series: usize) -> &'a str {
        self.panel.name(self.members[series])
    }

    /// The steps that may be seen, oldest first; NaN where unobserved. It starts at an observed step and
    /// may end in NaN: the forecast's first step is the one after the slice, observed end or not. Empty
    /// for a series without an observation.
    pub fn values(&self, series: usize) -> &'a [f64] {
        let (from, to) = self.range(series);
        &self.panel.values(self.members[series])[from..to]
    }

    /// Time of the first of [`Window::values`], milliseconds since the epoch.
    pub fn start_ms(&self, series: usize) -> i64 {
        self.panel.start_ms(self.members[series]) + self.range(series).0 as i64 * self.step_ms()
    }

    /// Time of the first step to forecast.
    pub fn end_ms(&self, series: usize) -> i64 {
        self.panel.start_ms(self.members[series]) + self.ends[series] as i64 * self.step_ms()
    }

    /// The clocks that its days and weeks follow; `None` for those of UTC.
    pub fn clock(&self) -> Option<&'a Arc<WallClock>> {
        self.panel.clock()
    }

    /// What a forecast of the series must lie between, as far as that was known before its end.
    pub fn bounds(&self, series: usize) -> Bounds {
        self.limits(series).known_before(self.end_ms(series))
    }

    /// What was declared of the series.
    pub(crate) fn limits(&self, series: usize) -> &'a Limits {
        self.panel.limits(self.members[series])
    }

    /// Time of the first observation of the series in the whole panel.
    pub(crate) fn panel_start_ms(&self, series: usize) -> i64 {
        self.panel.start_ms(self.members[series])
    }

    /// The longest series of the window, in steps.
    pub fn longest(&self) -> usize {
        (0..self.series_count()).map(|s| self.values(s).len()).max().unwrap_or(0)
    }

    fn range(&self, series: usize) -> (usize, usize) {
        let end = self.ends[series];
        let values = &self.panel.values(self.members[series])[..end];
        let from = end.saturating_sub(self.lookback);
        let from = values[from..].iter().position(|v| !v.is_nan()).map_or(end, |skip| from + skip);
        (from, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel() -> Panel {
        let mut panel = Panel::new(1_000);
        panel.push("a".into(), 10_000, &[f64::NAN, 1.0, f64::NAN, 3.0, 4.0, f64::NAN]);
        panel.push("b".into(), 0, &[f64::NAN]);
        panel
    }

    #[test]
    fn a_series_runs_from_its_first_observation_to_its_last() {
        let panel = panel();
        assert_eq!(panel.values(0)[0], 1.0);
        assert_eq!(panel.values(0).len(), 4);
        assert_eq!((panel.start_ms(0), panel.cutoff_ms(0)), (11_000, 14_000));
        assert!(panel.values(1).is_empty());
    }

    #[test]
    fn a_window_never_shows_a_step_past_its_end() {
        let panel = panel();
        let window = panel.window_until(|_| 2);
        assert_eq!(window.values(0)[0], 1.0);
        assert!(window.values(0)[1].is_nan() && window.values(0).len() == 2);
        assert_eq!(window.end_ms(0), 13_000);
        assert!(window.values(1).is_empty());
    }

    #[test]
    fn a_window_narrows_in_time_and_to_some_series() {
        let panel = panel();
        let window = panel.window().with_lookback(3);
        let earlier = window.until(|_| 1);
        assert_eq!((earlier.values(0)[0], earlier.end_ms(0)), (1.0, 14_000), "the lookback counts from the new end");
        assert!(window.until(|_| 0).values(0).is_empty());
        let swapped = window.only(&[1, 0]);
        assert_eq!((swapped.name(1), swapped.values(1)), ("a", window.values(0)));
    }

    #[test]
    fn a_part_keeps_clocks_and_bounds() {
        let mut panel = panel().with_clock(Some(Arc::new(WallClock::new("Somewhere", 5, Vec::new()))));
        panel.limit(0, Limits { minimum: Some(2.0), maximum: None });
        let part = panel.part(0, 2..4);
        assert_eq!((part.values(0), part.start_ms(0)), (&[3.0, 4.0][..], 13_000));
        assert_eq!((part.window().bounds(0).low(), part.clock().unwrap().name()), (2.0, "Somewhere"));
    }

    #[test]
    fn a_lookback_cuts_the_oldest_steps_and_the_gap_they_leave() {
        let panel = panel();
        let window = panel.window().with_lookback(3);
        assert_eq!(window.values(0), [3.0, 4.0]);
        assert_eq!(window.start_ms(0), 13_000);
    }
}
