//! What moves the series from outside, such as predicted traffic or deploys: read beside the telemetry, joined to it by
//! labels, and brought to its step.

mod future;
mod samples;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use foreshadow_models::classical::{CustomProphet, Known, Mode, ProphetConfigError, Regressor, Standardise, Track};
use foreshadow_models::{BacktestError, Horizon, Local, Panel, PredictError, RawSeries, WallClock};

use crate::telemetry::{Selector, SeriesKey};
use samples::Samples;

/// Names listed of what a file holds.
const LISTED: usize = 8;
/// Times the longest series of a panel that values shared by all of them may span.
const MOST_SHARED: usize = 4;

/// A regressor as it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The series that are it; those of its name where `None`.
    pub series: Option<&'a Selector>,
    /// Whether values past a cutoff are known there.
    pub known_future: bool,
    /// How it joins the trend; as seasons do where `None`.
    pub mode: Option<Mode>,
    /// Standard deviation of its coefficient's prior; that of holidays where `None`.
    pub prior_scale: Option<f64>,
}

/// Regressors with their values, before it is known which series they move.
#[derive(Clone, Debug, Default)]
pub struct Regressors {
    all: Vec<Driver>,
    /// Whether a series that several of one regressor agree with does without it.
    for_built: bool,
}

/// One regressor: the series that it is made of.
#[derive(Clone, Debug)]
struct Driver {
    name: String,
    known_future: bool,
    mode: Option<Mode>,
    prior_scale: Option<f64>,
    series: Arc<[DriverSeries]>,
}

#[derive(Debug)]
struct DriverSeries {
    /// As it is spelled in its file.
    name: String,
    /// Labels that a series it moves agrees with, where that has them.
    labels: Vec<(String, String)>,
    samples: Samples,
}

/// Prophet with the regressors of a panel.
#[derive(Clone, Debug)]
pub struct Bound {
    /// The family.
    pub prophet: CustomProphet,
    /// What is not known of them.
    pub lacking: Vec<Lack>,
}

/// A regressor that a series has to do without: Prophet, which would use it, has no forecast of that series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// The series.
    pub series: String,
    /// The regressor.
    pub regressor: String,
    /// The first step at which it is not known; `None` where no single series of it agrees with the labels.
    pub at_ms: Option<i64>,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regressor = &self.regressor;
        match self.at_ms.map(|at_ms| (at_ms, jiff::Timestamp::from_millisecond(at_ms))) {
            None => write!(f, "no single series of regressor {regressor} agrees with its labels"),
            Some((_, Ok(time))) => write!(f, "regressor {regressor} is not known at {time}"),
            Some((at_ms, Err(_))) => write!(f, "regressor {regressor} is not known at {at_ms} ms"),
        }
    }
}

/// How regressors whose future is not known go on past each series' end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Future {
    /// As `auto` expects.
    Forecast,
    /// The day before repeats itself, as it does past every earlier cutoff.
    Repeated,
}

/// Why regressors cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum RegressorError {
    /// Its file has other series only.
    #[error("no series of {file} is regressor {name}")]
    #[diagnostic(help("its series are {present}; `series` in the regressor's table selects some of them"))]
    Nothing {
        /// The regressor.
        name: String,
        /// Where it was looked for.
        file: String,
        /// What is there.
        present: String,
    },
    /// Two of its series agree with the labels of one that it is to move.
    #[error("regressor {name}: both {first} and {second} apply to {series}")]
    #[diagnostic(help("give them labels that tell which series they move, or select one with `series`"))]
    Ambiguous {
        /// The regressor.
        name: String,
        /// One of its series.
        first: String,
        /// Another.
        second: String,
        /// The series to be moved.
        series: String,
    },
    /// It cannot stand beside the other settings.
    #[error("the regressors cannot be used with the settings of Prophet")]
    #[diagnostic(help("regressors, seasons and holidays need names of their own"))]
    Refused(#[from] ProphetConfigError),
    /// Regressors whose future is not known could not be forecast.
    #[error("the regressors could not be forecast")]
    Fit(#[from] BacktestError),
    /// As before.
    #[error("the regressors could not be forecast")]
    Predict(#[from] PredictError),
}

impl Regressors {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The same for series that are built of others: one that keeps few labels agrees with the regressors of all its
    /// parts, and does without them.
    #[must_use]
    pub fn for_built(&self) -> Self {
        Self { for_built: true, ..self.clone() }
    }

    /// Adds one from the series of a file.
    ///
    /// # Errors
    /// [`RegressorError::Nothing`] where none of them is it.
    pub fn add(&mut self, wanted: &Wanted<'_>, file: &str, raw: &[RawSeries]) -> Result<(), RegressorError> {
        let is_it = |key: &SeriesKey| match wanted.series {
            Some(selector) => selector.matches(key),
            None => key.name_label().is_none_or(|label| key.label(label) == wanted.name),
        };
        let series: Arc<[DriverSeries]> = keyed(raw).filter(|(_, key)| is_it(key)).map(DriverSeries::from).collect();
        if series.is_empty() {
            let mut present: Vec<&str> = raw.iter().take(LISTED).map(|series| series.name.as_str()).collect();
            present.extend((raw.len() > LISTED).then_some("…"));
            let (name, file) = (wanted.name.into(), file.into());
            return Err(RegressorError::Nothing { name, file, present: present.join(", ") });
        }
        self.all.push(Driver {
            name: wanted.name.into(),
            known_future: wanted.known_future,
            mode: wanted.mode,
            prior_scale: wanted.prior_scale,
            series,
        });
        Ok(())
    }

    /// Adds every metric of a file, its future being known there; series without a metric's name are called `unnamed`.
    pub fn add_all(&mut self, unnamed: &str, raw: &[RawSeries]) {
        let mut by_name: BTreeMap<String, Vec<DriverSeries>> = BTreeMap::new();
        for (series, key) in keyed(raw) {
            let name = key.name_label().map_or(unnamed, |label| key.label(label)).to_string();
            by_name.entry(name).or_default().push((series, key).into());
        }
        let (known_future, mode, prior_scale) = (true, None, None);
        let driver = |(name, series): (String, Vec<DriverSeries>)| Driver {
            name,
            known_future,
            mode,
            prior_scale,
            series: series.into(),
        };
        self.all.extend(by_name.into_iter().map(driver));
    }

    /// `prophet` with the regressors of a panel's series, known for `horizon` steps past each one's end.
    ///
    /// A series of a regressor moves those that give no label of it another value. Its values hold until its next
    /// sample, the last one as long as its commonest step. Where the panel follows the clocks of a place, so do they.
    ///
    /// # Errors
    /// [`RegressorError`] where two series of a regressor move one of the panel, or a regressor's name is taken.
    pub fn bind(
        &self,
        prophet: &CustomProphet,
        panel: &Panel,
        horizon: Horizon,
        future: Future,
        seed: u64,
    ) -> Result<Bound, RegressorError> {
        if self.is_empty() {
            return Ok(Bound { prophet: prophet.clone(), lacking: Vec::new() });
        }
        let Some(local) = Local::of(&panel.window()) else {
            return self.bind_on(prophet, panel, horizon, future, seed);
        };
        let shifted =
            Self { for_built: self.for_built, all: self.all.iter().map(|driver| driver.on(local.clock())).collect() };
        let mut bound = shifted.bind_on(prophet, local.panel(), local.horizon(horizon), future, seed)?;
        for at_ms in bound.lacking.iter_mut().filter_map(|lack| lack.at_ms.as_mut()) {
            *at_ms = local.clock().utc_ms(*at_ms);
        }
        Ok(bound)
    }

    fn bind_on(
        &self,
        prophet: &CustomProphet,
        panel: &Panel,
        horizon: Horizon,
        future: Future,
        seed: u64,
    ) -> Result<Bound, RegressorError> {
        let keys: Vec<Option<SeriesKey>> = (0..panel.series_count()).map(|s| panel.name(s).parse().ok()).collect();
        let mut config = prophet.config().clone();
        let mut lacking = Vec::new();
        for driver in &self.all {
            let join = |(s, key): (usize, &Option<SeriesKey>)| match driver.join(key.as_ref(), panel.name(s)) {
                Err(RegressorError::Ambiguous { .. }) if self.for_built => Ok(None),
                joined => joined,
            };
            let joined: Vec<Option<usize>> = keys.iter().enumerate().map(join).collect::<Result<_, _>>()?;
            let tracks = if driver.known_future {
                driver.known_tracks(panel, &joined, horizon)
            } else {
                future::tracks(driver, panel, &joined, horizon, future, seed)?
            };
            let lack = |(s, track): (usize, &Option<Track>)| driver.lack(panel, s, track.as_ref(), horizon);
            lacking.extend(tracks.iter().enumerate().filter_map(lack));
            let named = (0..panel.series_count()).map(|s| panel.name(s).to_string());
            config.regressors.push(Regressor {
                name: driver.name.clone(),
                known: Known::of_each(named.zip(tracks).collect()),
                prior_scale: driver.prior_scale,
                standardise: Standardise::Automatic,
                mode: driver.mode,
            });
        }
        config.ahead_steps = config.ahead_steps.max(horizon.steps());
        Ok(Bound { prophet: config.build()?, lacking })
    }
}

impl Driver {
    /// The same with times as the clocks of a place show them.
    fn on(&self, clock: &WallClock) -> Self {
        let shifted = |series: &DriverSeries| DriverSeries {
            name: series.name.clone(),
            labels: series.labels.clone(),
            samples: series.samples.on(clock),
        };
        Self { series: self.series.iter().map(shifted).collect(), name: self.name.clone(), ..*self }
    }

    /// The one of its series that moves another.
    fn join(&self, key: Option<&SeriesKey>, name: &str) -> Result<Option<usize>, RegressorError> {
        let agrees = |(label, value): &(String, String)| {
            key.is_none_or(|key| key.label(label).is_empty() || key.label(label) == value)
        };
        let mut joined = (0..self.series.len()).filter(|at| self.series[*at].labels.iter().all(agrees));
        match (joined.next(), joined.next()) {
            (Some(first), Some(second)) => Err(RegressorError::Ambiguous {
                name: self.name.clone(),
                first: self.series[first].name.clone(),
                second: self.series[second].name.clone(),
                series: name.into(),
            }),
            (first, _) => Ok(first),
        }
    }

    /// Its values at the steps of every series of a panel and at those ahead.
    fn known_tracks(&self, panel: &Panel, joined: &[Option<usize>], horizon: Horizon) -> Vec<Option<Track>> {
        let step_ms = panel.step_ms();
        let own = |s: usize| (panel.start_ms(s), panel.values(s).len() + horizon.steps());
        let everyone = || (0..joined.len()).map(own);
        let first_ms = everyone().map(|(start_ms, _)| start_ms).min().unwrap_or_default();
        let end_ms = everyone().map(|(start_ms, steps)| start_ms + steps as i64 * step_ms).max().unwrap_or_default();
        let span = ((end_ms - first_ms) / step_ms) as usize;
        let longest = everyone().map(|(_, steps)| steps).max().unwrap_or_default();
        // Series that are moved alike share their values, unless they lie far apart.
        let is_shared = span <= MOST_SHARED * longest;
        let mut made: HashMap<(usize, i64, usize), Track> = HashMap::new();
        let track = |(s, at): (usize, &Option<usize>)| {
            let (at, (start_ms, steps)) = ((*at)?, if is_shared { (first_ms, span) } else { own(s) });
            let samples = &self.series[at].samples;
            let make = || Track::new(start_ms, step_ms, samples.on_grid(start_ms, step_ms, steps, i64::MAX));
            Some(made.entry((at, start_ms, steps)).or_insert_with(make).clone())
        };
        joined.iter().enumerate().map(track).collect()
    }

    /// What is not known of it where a series needs it.
    fn lack(&self, panel: &Panel, s: usize, track: Option<&Track>, horizon: Horizon) -> Option<Lack> {
        let (name, values, start_ms) = (panel.name(s), panel.values(s), panel.start_ms(s));
        let lack = |at_ms| Lack { series: name.into(), regressor: self.name.clone(), at_ms };
        let Some(track) = track else { return Some(lack(None)) };
        let known = Known::Shared(track.clone());
        let is_needed = |step: &usize| values.get(*step).is_none_or(|value| !value.is_nan());
        let time = |step: usize| start_ms + step as i64 * panel.step_ms();
        let mut needed = (0..values.len() + horizon.steps()).filter(is_needed).map(time);
        needed.find(|at_ms| known.at(name, *at_ms).is_none()).map(|at_ms| lack(Some(at_ms)))
    }
}

impl From<(&RawSeries, SeriesKey)> for DriverSeries {
    fn from((raw, key): (&RawSeries, SeriesKey)) -> Self {
        Self { name: raw.name.clone(), labels: key.labels_but_name(), samples: Samples::new(raw) }
    }
}

fn keyed(raw: &[RawSeries]) -> impl Iterator<Item = (&RawSeries, SeriesKey)> {
    raw.iter().map(|series| (series, series.name.parse().unwrap_or_else(|_| SeriesKey::new([]))))
}

#[cfg(test)]
mod tests;
