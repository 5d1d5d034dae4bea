//! The fit of a window: series that share their columns go together.

use std::collections::BTreeMap;
use std::sync::Arc;

use foreshadow_kernels::products::Layout;
use foreshadow_kernels::{Device, KernelError};
use rayon::prelude::*;

use super::config::{Growth, Settings};
use super::features::{self, Features, Grid, Seasons};
use super::{FittedProphet, Learned, Trend, bent, logistic, straight};
use crate::device;
use crate::{FitStatus, Window};

/// Precision of `k` and `m`, whose prior is normal with a deviation of 5.
pub(super) const TREND_PRECISION: f64 = 1.0 / 25.0;
pub(super) const NOISE_SCALE: f64 = 0.5;
/// Observations at least: a line through two of them would be certain.
const LEAST: usize = 8;
/// Noise of a count of 1e12 that is told to its last digit: less is rounding.
pub(super) const NOISE_FLOOR: f64 = 1e-12;
/// Scale up to which whatever goes on, a trend or a regressor's effect ([`features::FURTHEST`]), stays in f64's range.
const MOST_SCALE: f64 = 1e300;
const MOST_DRIVEN_SCALE: f64 = 1e200;

/// What series must share to share their columns: grid steps, seasons, the number of changepoints and, where
/// columns know the calendar, that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) steps: usize,
    seasons: Seasons,
    pub(super) knots: usize,
    calendar: Option<Calendar>,
}

/// Where a grid begins, and the series itself if its regressors are its own or its gaps change their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Calendar {
    start_ms: i64,
    series: Option<usize>,
}

/// A series that can be fitted.
pub(super) struct Candidate {
    pub(super) series: usize,
    pub(super) layout: Layout,
    pub(super) observed: usize,
}

pub(super) type Fit = (usize, FitStatus, Option<Learned>);

/// The series of one shape, and their columns.
pub(super) struct Group<'a> {
    pub(super) window: &'a Window<'a>,
    pub(super) settings: &'a Settings,
    pub(super) shape: Shape,
    pub(super) features: Arc<Features>,
    /// Waves of every step.
    waves: &'a [Vec<f64>],
    /// Columns after them, of every step; nothing where there are none.
    calendar: Vec<Vec<f64>>,
}

impl Group<'_> {
    /// One of the columns beside the trend, at a step.
    pub(super) fn value(&self, step: usize, column: usize) -> f64 {
        let waves = 2 * self.features.periods.len();
        if column < waves { self.waves[step][column] } else { self.calendar[step][column - waves] }
    }

    /// Time of every step, the span being one.
    pub(super) fn time(&self) -> Vec<f64> {
        let span = (self.shape.steps - 1) as f64;
        (0..self.shape.steps).map(|t| t as f64 / span).collect()
    }

    /// A series with its parameters: `m`, `k`, the columns' coefficients; the bends; the noise.
    pub(super) fn finish(&self, one: &Candidate, found: Found) -> Fit {
        let numbers = || found.smooth.iter().chain(&found.delta).chain([&found.sigma, &found.y_scale]);
        let most_scale = if self.settings.regressors.is_empty() { MOST_SCALE } else { MOST_DRIVEN_SCALE };
        if !found.converged || numbers().any(|number| !number.is_finite()) || found.y_scale > most_scale {
            return (one.series, FitStatus::NotConverged, None);
        }
        if let Err(why) = self.check_range_ahead(one) {
            return (one.series, why, None);
        }
        let learned = Learned {
            span_steps: self.shape.steps - 1,
            window_steps: self.window.values(one.series).len(),
            start_ms: self.window.start_ms(one.series),
            features: Arc::clone(&self.features),
            trend: match self.settings.growth {
                Growth::Linear => Trend::Linear,
                Growth::Flat => Trend::Flat,
                Growth::Logistic { .. } => Trend::Logistic,
            },
            y_scale: found.y_scale,
            smooth: found.smooth,
            delta: found.delta,
            knots: one.layout.knots.clone(),
            sigma: found.sigma,
        };
        (one.series, FitStatus::Fitted, Some(learned))
    }

    /// Whether regressors stay in range as far ahead as they were asked to be known for.
    fn check_range_ahead(&self, one: &Candidate) -> Result<(), FitStatus> {
        let (name, end_ms) = (self.window.name(one.series), self.window.end_ms(one.series));
        let ahead = if self.settings.regressors.is_empty() { 0 } else { self.settings.ahead_steps };
        for step in 0..ahead {
            let at_ms = end_ms + step as i64 * self.window.step_ms();
            let lacking = |index: usize| FitStatus::Input { name: self.settings.regressors[index].name.clone(), at_ms };
            self.features.calendar(self.settings, name, at_ms).map_err(lacking)?;
        }
        Ok(())
    }
}

/// Where a fit ended, in the scaled unit.
pub(super) struct Found {
    pub(super) smooth: Vec<f64>,
    pub(super) delta: Vec<f64>,
    pub(super) sigma: f64,
    pub(super) y_scale: f64,
    pub(super) converged: bool,
}

pub(super) fn fit(
    window: &Window<'_>,
    settings: &Arc<Settings>,
    device: &Device,
) -> Result<FittedProphet, KernelError> {
    let settings = &settings.seen_by(window).map_or_else(|| Arc::clone(settings), Arc::new);
    let sorted: Vec<Result<(Shape, Candidate), FitStatus>> =
        (0..window.series_count()).into_par_iter().map(|s| examine(window, settings, s)).collect();
    let mut status = Vec::with_capacity(sorted.len());
    let mut learned: Vec<Option<Learned>> = Vec::with_capacity(sorted.len());
    let mut shapes: BTreeMap<Shape, Vec<Candidate>> = BTreeMap::new();
    for (s, one) in sorted.into_iter().enumerate() {
        match one {
            Ok((shape, candidate)) => {
                shapes.entry(shape).or_default().push(candidate);
                status.push(FitStatus::NotConverged); // until its chunk says otherwise
                learned.push(None);
            }
            Err(why) => {
                learned.push((why == FitStatus::Constant).then(|| constant(window, s)));
                status.push(why);
            }
        }
    }
    let waves = Waves::new(window, settings, shapes.keys());
    let group = |(shape, candidates): (&Shape, &Vec<Candidate>)| {
        fit_group(window, settings, &waves, *shape, candidates, device)
    };
    for (s, why, fit) in device::each(device, shapes.iter().collect(), group)?.into_iter().flatten() {
        status[s] = why;
        learned[s] = fit;
    }
    let by_name = settings.has_calendar() || matches!(settings.growth, Growth::Logistic { .. });
    let names = (0..if by_name { window.series_count() } else { 0 }).map(|s| window.name(s).to_string()).collect();
    let (settings, step_ms) = (Arc::clone(settings), window.step_ms());
    Ok(FittedProphet { family: String::new(), settings, names, step_ms, status, learned })
}

fn fit_group(
    window: &Window<'_>,
    settings: &Settings,
    waves: &Waves,
    shape: Shape,
    candidates: &[Candidate],
    device: &Device,
) -> Result<Vec<Fit>, KernelError> {
    let (shared, waves) = waves.of(shape.seasons);
    let mut group = Group { window, settings, shape, features: Arc::clone(shared), waves, calendar: Vec::new() };
    if let Some(calendar) = shape.calendar {
        let one = &candidates[0];
        let (series, step_ms) = (window.name(one.series), window.step_ms());
        let missing: &[u32] = if calendar.series.is_some() { &one.layout.missing } else { &[] };
        let grid = Grid { series, start_ms: calendar.start_ms, step_ms, steps: shape.steps, missing };
        match Features::new(settings, shape.seasons, &grid) {
            Ok(features) => group.features = Arc::new(features),
            Err(why) => return Ok(candidates.iter().map(|one| (one.series, why.clone(), None)).collect()),
        }
        let columns = group.features.columns() - 2 * group.features.periods.len();
        // Where a regressor is unknown the step is unobserved, and whatever stands there is masked.
        let row =
            |step| group.features.calendar(settings, series, grid.time(step)).unwrap_or_else(|_| vec![0.0; columns]);
        group.calendar = (0..shape.steps).map(row).collect();
    }
    if settings.growth == Growth::Linear && !group.features.multiplies.contains(&true) {
        straight::fit(&group, candidates, device)
    } else {
        bent::fit(&group, candidates)
    }
}

/// Tells the series that can be fitted, with its rows and changepoints, from those that cannot.
fn examine(window: &Window<'_>, settings: &Settings, s: usize) -> Result<(Shape, Candidate), FitStatus> {
    let values = window.values(s);
    let steps = values.iter().rposition(|v| !v.is_nan()).map_or(0, |last| last + 1);
    let values = &values[..steps];
    let missing: Vec<u32> = values.iter().enumerate().filter(|(_, v)| v.is_nan()).map(|(t, _)| t as u32).collect();
    let observed = steps - missing.len();
    match observed {
        0 => return Err(FitStatus::NoData),
        1..LEAST => return Err(FitStatus::TooShort { observed, needed: LEAST }),
        _ if values.iter().all(|v| v.is_nan() || *v == values[0]) => return Err(FitStatus::Constant),
        _ => {}
    }
    let needed = Seasons::needed_steps(settings, window.step_ms() as f64);
    if steps < needed {
        return Err(FitStatus::TooShort { observed, needed });
    }
    check_ahead(window, settings, s)?;
    let knots = match settings.growth {
        Growth::Flat => Vec::new(),
        _ => changepoints(settings, &missing, observed),
    };
    let step_ms = window.step_ms() as f64;
    let closest_ms = closest(values, &missing) as f64 * step_ms;
    let seasons = Seasons::of(settings, (steps - 1) as f64 * step_ms, closest_ms);
    let alone = settings.regressors.iter().any(|regressor| regressor.known.is_per_series())
        || !settings.regressors.is_empty() && !missing.is_empty();
    let calendar =
        settings.has_calendar().then(|| Calendar { start_ms: window.start_ms(s), series: alone.then_some(s) });
    let shape = Shape { steps, seasons, knots: knots.len(), calendar };
    Ok((shape, Candidate { series: s, layout: Layout { missing, knots }, observed }))
}

/// Whether all that is known beside a series reaches as far ahead as was asked for.
fn check_ahead(window: &Window<'_>, settings: &Settings, s: usize) -> Result<(), FitStatus> {
    let (name, steps) = (window.name(s), window.values(s).len());
    for step in steps..steps + settings.ahead_steps {
        let at_ms = window.start_ms(s) + step as i64 * window.step_ms();
        let lacking = |name: &str| FitStatus::Input { name: name.into(), at_ms };
        if let Some(lost) = settings.regressors.iter().find(|regressor| regressor.known.at(name, at_ms).is_none()) {
            return Err(lacking(&lost.name));
        }
        if let Growth::Logistic { capacity, floor } = &settings.growth {
            logistic::bounds(capacity, floor.as_ref(), name, at_ms).map_err(lacking)?;
        }
    }
    Ok(())
}

/// The steps of Prophet's changepoints: even places, halves to even, among the first 80 % of the observed
/// rows, the first row left out (`set_changepoints`).
fn changepoints(settings: &Settings, missing: &[u32], observed: usize) -> Vec<u32> {
    let history = (observed as f64 * settings.changepoint_range).floor() as usize;
    let count = settings.changepoint_count.min(history.saturating_sub(1));
    let apart = history.saturating_sub(1) as f64 / count.max(1) as f64;
    let mut passed = 0; // missing steps before the row
    let mut step_of = |row: u32| {
        while missing.get(passed).is_some_and(|&step| step <= row + passed as u32) {
            passed += 1;
        }
        row + passed as u32
    };
    (1..=count).map(|i| step_of((i as f64 * apart).round_ties_even() as u32)).collect()
}

/// Least distance, in steps, between two observations.
fn closest(values: &[f64], missing: &[u32]) -> usize {
    if 2 * missing.len() + 1 < values.len() {
        return 1; // more than every other step is there
    }
    let seen: Vec<usize> = (0..values.len()).filter(|&t| !values[t].is_nan()).collect();
    seen.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(1)
}

/// The waves of every step of the longest series, reckoned once.
struct Waves {
    seasons: Vec<(Seasons, Arc<Features>, Vec<Vec<f64>>)>,
}

impl Waves {
    fn new<'a>(window: &Window<'_>, settings: &Settings, shapes: impl Iterator<Item = &'a Shape>) -> Self {
        let mut longest: BTreeMap<Seasons, usize> = BTreeMap::new();
        for shape in shapes {
            let steps = longest.entry(shape.seasons).or_default();
            *steps = shape.steps.max(*steps);
        }
        let step_ms = window.step_ms() as f64;
        let rows = |(seasons, steps): (Seasons, usize)| {
            let features = Features::of_waves(settings, seasons);
            let row = |t| features::waves(&features.periods, t as f64 * step_ms);
            let rows = (0..steps).into_par_iter().map(row).collect();
            (seasons, Arc::new(features), rows)
        };
        Self { seasons: longest.into_iter().map(rows).collect() }
    }

    fn of(&self, seasons: Seasons) -> (&Arc<Features>, &[Vec<f64>]) {
        let (_, features, rows) =
            self.seasons.iter().find(|(known, ..)| *known == seasons).expect("new saw every shape");
        (features, rows)
    }
}

/// A series that never changes: its value, and no width.
fn constant(window: &Window<'_>, s: usize) -> Learned {
    let values = window.values(s);
    Learned {
        span_steps: values.len(),
        window_steps: values.len(),
        start_ms: window.start_ms(s),
        features: Arc::new(Features::none()),
        trend: Trend::Flat,
        y_scale: 1.0,
        smooth: vec![values[0], 0.0],
        delta: Vec::new(),
        knots: Vec::new(),
        sigma: 0.0,
    }
}
