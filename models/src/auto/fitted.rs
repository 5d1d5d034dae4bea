//! What serves every series, and what could: forecasts, paths, and what is said to be judged later.

use serde::{Deserialize, Serialize};

use super::Choice;
use super::blend::Blend;
use super::kept::KeptAuto;
use crate::append::expect_points;
use crate::artifact::{Artifact, Kept};
use crate::bounds::Bounds;
use crate::conformal::Intervals;
use crate::live::{Said, Width, leads};
use crate::local::Way;
use crate::{AppendError, Chosen, FitStatus, Fitted, Forecast, Horizon, PredictError, Quantiles, sample_paths};

/// A fitted champion for every series.
pub struct FittedAuto {
    pub(super) status: Vec<FitStatus>,
    pub(super) picks: Vec<Pick>,
    /// From the clocks that it was fitted on back to real time.
    pub(super) way: Option<Way>,
    pub(super) parts: Vec<Part>,
}

/// What serves one series, and what could.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Pick {
    pub(super) choice: Choice,
    pub(super) intervals: Option<Intervals>,
    /// What was declared that it lies between.
    pub(super) declared: Bounds,
    /// Whether its history never was negative.
    pub(super) non_negative: bool,
    pub(super) served: Blend,
    pub(super) width: Width,
    /// What could serve it where it is followed, by name.
    pub(super) challengers: Vec<(String, Blend)>,
    /// What its folds recommend.
    pub(super) recommended: String,
    /// Its family that remembers a single season.
    pub(super) stand_in: String,
}

impl Pick {
    /// Declared ones, and zero below a series that never was negative.
    fn bounds(&self) -> Bounds {
        if self.non_negative { self.declared.or_zero() } else { self.declared }
    }
}

/// A fitted candidate and the series it has a part in.
pub(super) struct Part {
    pub(super) candidate: usize,
    pub(super) fitted: Box<dyn Fitted>,
    pub(super) members: Vec<usize>,
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
