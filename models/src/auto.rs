//! `Auto`: every series gets what did best on its own past, one family or several weighted by how they did there, with
//! intervals from folds that had no part in the choice.
//!
//! Each series is worked on from its own values alone, so that no neighbour, broken or sound, changes what it gets.

mod blend;
mod folds;
mod kept;
mod pool;
mod run;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use serde::{Deserialize, Serialize};

use crate::append::expect_points;
use crate::artifact::{Artifact, Kept};
use crate::backtest::HeldOut;
use crate::bounds::Bounds;
use crate::classical::CustomProphet;
use crate::conformal::Intervals;
use crate::live::{Said, Width, leads};
use crate::local::{Local, Way};
use crate::{
    AppendError, BacktestError, Chosen, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles,
    Window, sample_paths,
};
use blend::Blend;
pub(crate) use blend::Kind;
use folds::{FoldLimits, Folds};
pub(crate) use kept::KeptAuto;
use pool::Seasons;
use run::Run;

/// Newest picking folds that screen the candidates.
const SCREEN: usize = 2;

/// Picks a family for each series by rolling-origin loss over `horizon`.
#[derive(Clone, Debug)]
pub struct Auto {
    horizon: Horizon,
    screen: usize,
    prophet: CustomProphet,
    beside: Vec<Beside>,
}

/// A family that is asked for beside the pool's own.
#[derive(Clone)]
struct Beside(Arc<dyn Model>);

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name())
    }
}

/// What is known live of a series before its next forecast; see [`crate::live::Track`].
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The family that should serve it, where it can; `None` leaves the choice to the folds.
    pub champion: Option<String>,
    /// What its bands are widened by.
    pub width: Width,
    /// How its families did since they were asked.
    pub lived: Vec<Lived>,
}

/// How one family did on a series since it was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Lived {
    /// Its name.
    pub name: String,
    /// Its mean absolute error over the horizon.
    pub error: f64,
    /// Whole horizons' worth of values behind that.
    pub horizons: f64,
}

/// What was picked for one series, and how it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The champion, and why it is a naive one where nothing else could be picked.
    pub chosen: Chosen,
    /// The families behind it with their weights: itself, or the parts of an ensemble.
    pub parts: Vec<(String, f64)>,
    /// Seasons the series was found to have, in steps, the most correlated first.
    pub seasons: Vec<usize>,
    /// Mean absolute error on the picking folds of every candidate and of the ensembles, which each fold judged by
    /// what the others made; `None` where one of the folds defeated it, too few judged it, or the newest left it no chance.
    pub losses: Vec<(String, Option<f64>)>,
    /// Folds that picked.
    pub picking_folds: usize,
    /// How the champion did on the folds that did not pick; `None` where the series is too short for one.
    pub held_out: Option<HeldOut>,
}

/// A fitted champion for every series.
pub struct FittedAuto {
    status: Vec<FitStatus>,
    picks: Vec<Pick>,
    /// From the clocks that it was fitted on back to real time.
    way: Option<Way>,
    parts: Vec<Part>,
}

/// What serves one series, and what could.
#[derive(Clone, Serialize, Deserialize)]
struct Pick {
    choice: Choice,
    intervals: Option<Intervals>,
    /// What was declared that it lies between.
    declared: Bounds,
    /// Whether its history never was negative.
    non_negative: bool,
    served: Blend,
    width: Width,
    /// What could serve it where it is followed, by name.
    challengers: Vec<(String, Blend)>,
    /// What its folds recommend.
    recommended: String,
    /// Its family that remembers a single season.
    stand_in: String,
}

impl Pick {
    /// Declared ones, and zero below a series that never was negative.
    fn bounds(&self) -> Bounds {
        if self.non_negative { self.declared.or_zero() } else { self.declared }
    }
}

/// A fitted candidate and the series it has a part in.
struct Part {
    candidate: usize,
    fitted: Box<dyn Fitted>,
    members: Vec<usize>,
}

impl Auto {
    /// Picks for forecasts of `horizon` steps.
    pub fn new(horizon: Horizon) -> Self {
        Self { horizon, screen: SCREEN, prophet: CustomProphet::default(), beside: Vec::new() }
    }

    /// The same with every family tried on every fold, the hopeless and the dear too: what the screen and the budget
    /// are measured against.
    #[must_use]
    pub fn unscreened(self) -> Self {
        Self { screen: usize::MAX, ..self }
    }

    /// The same with a Prophet of the caller's in place of the one by default.
    #[must_use]
    pub fn with_prophet(self, prophet: CustomProphet) -> Self {
        Self { prophet, ..self }
    }

    /// The same with a family beside its own, tried on every series however dear it is; one that is tried anyway changes
    /// nothing.
    #[must_use]
    pub fn beside(mut self, family: Box<dyn Model>) -> Self {
        self.beside.push(Beside(family.into()));
        self
    }

    /// Picks, calibrates and fits every series of the window. `progress` hears how many batches are done,
    /// of at most how many.
    ///
    /// # Errors
    /// [`BacktestError`] when a whole batch could not be worked on.
    pub fn run(
        &self,
        window: &Window<'_>,
        seed: u64,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FittedAuto, BacktestError> {
        self.run_with(window, seed, None, progress)
    }

    /// The same for series that are followed live, one wish each: what could serve a series is fitted beside what
    /// does, so that [`FittedAuto::said`] can tell what each of them expects.
    ///
    /// # Errors
    /// As [`Auto::run`].
    pub fn follow(
        &self,
        window: &Window<'_>,
        seed: u64,
        wishes: &[Wish],
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FittedAuto, BacktestError> {
        self.run_with(window, seed, Some(wishes), progress)
    }

    fn run_with(
        &self,
        window: &Window<'_>,
        seed: u64,
        wishes: Option<&[Wish]>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FittedAuto, BacktestError> {
        let Some(local) = Local::of(window) else { return self.run_on(window, seed, wishes, progress) };
        let mut fitted = self.run_on(&local.panel().window(), seed, wishes, progress)?;
        let way = local.into_way();
        fitted.status = way.statuses(&fitted.status);
        fitted.way = Some(way);
        Ok(fitted)
    }

    fn run_on(
        &self,
        window: &Window<'_>,
        seed: u64,
        wishes: Option<&[Wish]>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<FittedAuto, BacktestError> {
        let seasons = pool::seasons(window);
        let folds: Vec<Folds> =
            (0..window.series_count()).map(|s| self.folds(window.values(s).len(), &seasons[s])).collect();
        let mut pool = pool::candidates(&seasons, &self.prophet);
        if self.screen < usize::MAX {
            let fits = |s: usize| folds[s].picking.len() + folds[s].calibrating.len() + 1;
            pool::afford(&mut pool, |s| window.values(s).len(), fits);
        }
        pool::join(&mut pool, self.beside.iter().map(|family| family.0.clone()), seasons.len());
        let (horizon, screen, done) = (self.horizon, self.screen, AtomicUsize::new(0));
        Run { window, horizon, seed, seasons, folds, pool, screen, wishes, done, progress }.finish()
    }

    fn folds(&self, length: usize, seasons: &Seasons) -> Folds {
        Folds::new(length, self.horizon, seasons.main(), FoldLimits { picking: 6, calibrating: 8 })
    }
}

impl Model for Auto {
    fn name(&self) -> String {
        self.beside.iter().fold("auto".into(), |name, own| format!("{name}+{}", own.0.name()))
    }

    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        match self.run(window, seed, &|_, _| ()) {
            Ok(fitted) => Ok(Box::new(fitted)),
            Err(BacktestError::Fit { source, .. }) => Err(source),
            Err(BacktestError::Predict { source: PredictError::Kernel { family, series_count, source }, .. }) => {
                Err(FitError::Kernel { family, series_count, source })
            }
            Err(BacktestError::Predict { source: PredictError::Input { family, name, series, at_ms }, .. }) => {
                Err(FitError::Input { family, name, series, at_ms })
            }
        }
    }
}

impl FittedAuto {
    /// What was picked for a series, and how it did.
    pub fn choice(&self, series: usize) -> &Choice {
        &self.picks[series].choice
    }

    /// Takes another width for a series' bands, and what it is declared to lie between by now.
    pub fn set(&mut self, series: usize, width: Width, declared: Bounds) {
        let pick = &mut self.picks[series];
        (pick.width, pick.declared) = (width, declared);
    }

    /// What every family that could serve a series expects at the [`leads`] of a forecast, to be judged once they have
    /// come; `None` for a series without a forecast. `ends_ms` are the times of the series' first steps to forecast.
    ///
    /// # Errors
    /// [`PredictError`] when a batch as a whole could not be worked on.
    pub fn said(&self, ends_ms: &[i64], step_ms: i64, forecast: &Forecast) -> Result<Vec<Option<Said>>, PredictError> {
        let leads = leads(forecast.horizon());
        let none = Quantiles::new(Vec::new()).expect("no level is out of order");
        let horizon = self.horizon_ahead(forecast.horizon());
        let step = |s: usize, lead: usize| self.way.as_ref().map_or(lead, |way| way.local_step(s, lead));
        let at_leads = |part: &Part| -> Result<Vec<Vec<f64>>, PredictError> {
            let said = part.fitted.predict(horizon, &none)?;
            let of = |at: usize| leads.iter().map(|lead| said.mean(at)[step(part.members[at], *lead)]).collect();
            Ok((0..part.members.len()).map(of).collect())
        };
        let means: Vec<Vec<Vec<f64>>> = self.parts.iter().map(at_leads).collect::<Result<_, _>>()?;
        let places = self.places();
        let of_series = |s: usize| -> Option<Said> {
            if !self.status[s].is_usable() || !forecast.is_finite(s) {
                return None;
            }
            let own = |candidate: usize| {
                let (p, at) = places[s].iter().find(|(p, _)| self.parts[*p].candidate == candidate)?;
                Some(means[*p][*at].as_slice())
            };
            let held = |values: Vec<f64>| values.into_iter().map(|f| self.picks[s].bounds().hold(f)).collect();
            let value = |(name, blend): &(String, Blend)| Some((name.clone(), held(blend.mean(own)?)));
            let levels = forecast.quantiles().levels();
            let last = levels.len().checked_sub(1)?;
            let ends = |lead: &usize| (forecast.quantile(s, 0)[*lead], forecast.quantile(s, last)[*lead]);
            let Pick { choice, challengers, recommended, stand_in, .. } = &self.picks[s];
            let promised =
                choice.losses.iter().find(|(name, _)| *name == choice.chosen.champion).and_then(|(_, loss)| *loss);
            let cutoff_ms = ends_ms[s] - step_ms;
            Some(Said {
                cutoff_ms,
                times_ms: leads.iter().map(|lead| cutoff_ms + (*lead as i64 + 1) * step_ms).collect(),
                champion: choice.chosen.champion.clone(),
                recommended: recommended.clone(),
                stand_in: stand_in.clone(),
                promised,
                values: challengers.iter().filter_map(value).collect(),
                band: leads.iter().map(ends).collect(),
                outside: (levels[0], 1.0 - levels[last]),
            })
        };
        Ok((0..self.status.len()).map(of_series).collect())
    }

    /// So many futures of a series that a forecast of this fit holds possible, `[paths, horizon]`; `None` where it has no
    /// finite forecast with two quantiles. The same seed and name give the same paths. See [`sample_paths`].
    pub fn paths(
        &self,
        name: &str,
        series: usize,
        forecast: &Forecast,
        count: usize,
        seed: u64,
    ) -> Option<Vec<Vec<f64>>> {
        // Without folds the errors of neighbouring steps are taken to go together: no sum is too narrow then.
        let persistence = self.picks[series].intervals.as_ref().map_or(1.0, Intervals::persistence);
        let seed = seed ^ (u64::from(crc32fast::hash(name.as_bytes())) << 32);
        sample_paths(forecast, series, persistence, &self.picks[series].bounds(), count, seed)
    }

    /// For each series its parts that were fitted, and its place in each.
    fn places(&self) -> Vec<Vec<(usize, usize)>> {
        let mut places: Vec<Vec<(usize, usize)>> = vec![Vec::new(); self.status.len()];
        for (p, part) in self.parts.iter().enumerate() {
            for (at, s) in part.members.iter().enumerate().filter(|(at, _)| part.fitted.status()[*at].is_usable()) {
                places[*s].push((p, at));
            }
        }
        places
    }

    /// Steps that its parts must forecast for some real ones.
    fn horizon_ahead(&self, horizon: Horizon) -> Horizon {
        self.way.as_ref().map_or(horizon, |way| way.horizon(horizon))
    }

    /// What it says of the steps ahead on the clocks that it was fitted on.
    fn say(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let none = Quantiles::new(Vec::new()).expect("no level is out of order");
        // A series without folds to calibrate on has the bands of the family that leads.
        let bare = |part: &Part, s: &usize| {
            self.picks[*s].intervals.is_none() && self.picks[*s].served.leader() == part.candidate
        };
        let say = |part: &Part| {
            let levels = if part.members.iter().any(|s| bare(part, s)) { quantiles } else { &none };
            part.fitted.predict(horizon, levels)
        };
        let said: Vec<Forecast> = self.parts.iter().map(say).collect::<Result<_, _>>()?;
        let places = self.places();
        let mut forecast = Forecast::empty(self.status.len(), horizon, quantiles.clone());
        for s in (0..self.status.len()).filter(|s| self.status[*s].is_usable()) {
            let own = |candidate: usize| places[s].iter().find(|(p, _)| self.parts[*p].candidate == candidate);
            let Pick { served, intervals, width, .. } = &self.picks[s];
            let Some(mean) = served.mean(|candidate| own(candidate).map(|(p, at)| said[*p].mean(*at))) else {
                continue;
            };
            for (index, level) in quantiles.levels().iter().enumerate() {
                let band = forecast.quantile_mut(s, index);
                match (intervals, own(served.leader())) {
                    (Some(intervals), _) => {
                        for (step, q) in band.iter_mut().enumerate() {
                            let median = intervals.offset(step, 0.5);
                            *q = mean[step] + median + width.of(intervals.offset(step, *level) - median);
                        }
                    }
                    (None, Some((p, at))) => {
                        let (centre, edge) = (said[*p].mean(*at), said[*p].quantile(*at, index));
                        let around = mean.iter().zip(edge.iter().zip(centre));
                        band.iter_mut()
                            .zip(around)
                            .for_each(|(q, (mean, (edge, centre)))| *q = mean + width.of(edge - centre));
                    }
                    (None, None) => {}
                }
            }
            forecast.mean_mut(s).copy_from_slice(&mean);
            forecast.hold(s, &self.picks[s].bounds());
        }
        Ok(forecast)
    }
}

impl Width {
    /// What it makes of a distance from the median.
    fn of(self, distance: f64) -> f64 {
        distance * if distance < 0.0 { self.below } else { self.above }
    }
}

impl Fitted for FittedAuto {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "auto"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        KeptAuto::of(self).map(|kept| Artifact(Kept::Auto(kept)))
    }

    /// Every family that serves a series or could moves on; one that the point leaves without an answer has no say from
    /// then on, and a series that has lost all that serve it is outdated.
    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        expect_points(points, self.status.len())?;
        if self.way.is_some() {
            return Err(AppendError::Refit { family: self.family() }); // a step of real time is none of local clocks
        }
        for part in &mut self.parts {
            let own: Vec<f64> = part.members.iter().map(|s| points[*s]).collect();
            part.fitted.append(&own)?;
        }
        for (pick, point) in self.picks.iter_mut().zip(points) {
            pick.non_negative &= point.is_nan() || *point >= 0.0;
        }
        let places = self.places();
        let Self { status, picks, parts, .. } = self;
        for (s, status) in status.iter_mut().enumerate().filter(|(_, status)| status.is_usable()) {
            let serving = places[s].iter().filter(|(p, _)| picks[s].served.holds(parts[*p].candidate));
            let mut own = serving.map(|(p, at)| &parts[*p].fitted.status()[*at]).peekable();
            // One that stood still and moves has been chosen for as something else.
            let stays = own.peek().is_some() && (*status != FitStatus::Constant || own.all(|own| own == status));
            if !stays {
                *status = FitStatus::Outdated;
            }
        }
        Ok(())
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let Some(way) = &self.way else { return self.say(horizon, quantiles) };
        let local = self.say(way.horizon(horizon), quantiles).map_err(|error| way.error(error))?;
        Ok(way.back(&local, horizon))
    }

    fn chosen(&self, series: usize) -> Option<Chosen> {
        Some(self.picks[series].choice.chosen.clone())
    }
}

#[cfg(test)]
mod tests;
