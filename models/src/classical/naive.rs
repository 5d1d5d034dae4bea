//! Naive, drift and seasonal naive: the floor that every other family must beat.
//!
//! Source: Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed., 5.2 and 5.5.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::append::append_each;
use crate::artifact::{Artifact, Kept, MOST_LIVED, Whole, each_is_whole};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

/// Every step ahead is the last observed value.
#[derive(Clone, Copy, Debug)]
pub struct Naive;

/// The last observed value and the mean change a step from the first one.
#[derive(Clone, Copy, Debug)]
pub struct Drift;

/// Every step ahead is the last observed value of the same place in the season.
#[derive(Clone, Copy, Debug)]
pub struct SeasonalNaive {
    /// Steps in a season, at least one.
    pub season: usize,
}

impl Model for Naive {
    fn name(&self) -> String {
        "naive".into()
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(FittedNaive::fit(window, 1, false)))
    }
}

impl Model for Drift {
    fn name(&self) -> String {
        "drift".into()
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(FittedNaive::fit(window, 1, true)))
    }
}

impl Model for SeasonalNaive {
    fn name(&self) -> String {
        format!("snaive{}", self.season)
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(FittedNaive::fit(window, self.season, false)))
    }
}

/// What one series left behind.
#[derive(Clone, Serialize, Deserialize)]
struct Learned {
    /// The latest value of each place in the season.
    cycle: Vec<f64>,
    /// The latest season as it came, NaN where unobserved.
    recent: Vec<f64>,
    /// The next step's place in both.
    place: usize,
    changes: Changes,
    first: f64,
    last: f64,
    steps: usize,
    /// Steps between first and last observation, which widen a drift's interval.
    span: usize,
}

/// Changes over a season of steps, counted from one near their mean.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Changes {
    base: f64,
    count: f64,
    sum: f64,
    squares: f64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FittedNaive {
    drift: bool,
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl FittedNaive {
    fn fit(window: &Window<'_>, season: usize, drift: bool) -> Self {
        let (status, learned) =
            (0..window.series_count()).into_par_iter().map(|s| learn(window.values(s), season, drift)).unzip();
        Self { drift, status, learned }
    }
}

/// The latest value of each place in the season, the next step's place first; `None` where one was never observed.
pub(super) fn latest_cycle(values: &[f64], season: usize) -> Option<Vec<f64>> {
    let latest = |place: usize| {
        let newest = values.len().checked_sub(season - place)?;
        (0..=newest).rev().step_by(season).map(|t| values[t]).find(|v| !v.is_nan())
    };
    (0..season).map(latest).collect()
}

fn learn(values: &[f64], season: usize, drift: bool) -> (FitStatus, Option<Learned>) {
    let observed = values.iter().filter(|v| !v.is_nan()).count();
    let needed = if drift { 2 } else { season };
    if observed == 0 {
        return (FitStatus::NoData, None);
    }
    let Some(cycle) = latest_cycle(values, season).filter(|_| observed >= needed) else {
        return (FitStatus::TooShort { observed, needed }, None);
    };
    let last = values.iter().rposition(|v| !v.is_nan()).expect("observed > 0");
    let slope = if drift { (values[last] - values[0]) / last as f64 } else { 0.0 };
    let mut changes = Changes { base: slope, count: 0.0, sum: 0.0, squares: 0.0 };
    values.iter().zip(values.iter().skip(season)).for_each(|(before, after)| changes.see(after - before));
    let first = values[0]; // a window starts at an observed step
    let constant = values.iter().all(|v| v.is_nan() || *v == first);
    let status = if constant { FitStatus::Constant } else { FitStatus::Fitted };
    let recent = values[values.len() - season..].to_vec();
    let (steps, last, span) = (values.len(), values[last], last);
    (status, Some(Learned { cycle, recent, place: 0, changes, first, last, steps, span }))
}

impl Changes {
    fn see(&mut self, change: f64) {
        if !change.is_nan() {
            let above = change - self.base;
            self.count += 1.0;
            self.sum += above;
            self.squares += above * above;
        }
    }

    /// Root mean square of their distances from a slope.
    fn spread(&self, slope: f64) -> f64 {
        let off = slope - self.base;
        let squares = self.squares - off * (2.0 * self.sum - off * self.count);
        if self.count > 0.0 { (squares.max(0.0) / self.count).sqrt() } else { 0.0 }
    }
}

impl Learned {
    /// Mean change a step.
    fn slope(&self, drift: bool) -> f64 {
        if drift { (self.last - self.first) / self.span as f64 } else { 0.0 }
    }

    /// Takes in one more step; returns the status from then on, `None` where it stays.
    fn append(&mut self, value: f64, status: &FitStatus) -> Option<FitStatus> {
        let place = self.place;
        self.place = (place + 1) % self.cycle.len();
        self.steps += 1;
        let before = std::mem::replace(&mut self.recent[place], value);
        if value.is_nan() {
            return None;
        }
        let moved = value != self.last;
        (self.cycle[place], self.last, self.span) = (value, value, self.steps - 1);
        self.changes.see(value - before);
        match (value.is_finite() && self.changes.squares.is_finite(), status) {
            (false, _) => Some(FitStatus::Outdated),
            (true, FitStatus::Constant) if moved => Some(FitStatus::Fitted),
            _ => None,
        }
    }
}

impl Fitted for FittedNaive {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "naive"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Naive(Cow::Borrowed(self))))
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.learned.len(), horizon, quantiles.clone());
        for (s, learned) in self.learned.iter().enumerate() {
            let Some(learned) = learned else { continue };
            let (season, slope) = (learned.cycle.len(), learned.slope(self.drift));
            // A window may end unobserved: drift goes on from the last observation through that gap.
            let through_gap = slope * (learned.steps - 1 - learned.span) as f64;
            let mean: Vec<f64> = (0..horizon.steps())
                .map(|step| learned.cycle[(learned.place + step) % season] + through_gap + slope * (step + 1) as f64)
                .collect();
            let spread = learned.changes.spread(slope);
            // FPP3 table 5.2: variance grows with the seasons ahead, and for drift with the span too.
            forecast.set_normal(s, &mean, |step| {
                let ahead = if self.drift { (step + 1) as f64 } else { (step / season + 1) as f64 };
                let from_slope = if self.drift { 1.0 + ahead / learned.span.max(1) as f64 } else { 1.0 };
                spread * (ahead * from_slope).sqrt()
            });
        }
        Ok(forecast)
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, Learned::append)
    }
}

impl Whole for FittedNaive {
    fn is_whole(&self) -> bool {
        let whole = |own: &Learned| {
            let season = own.cycle.len();
            let cyclic = own.place < season && own.recent.len() == season && own.cycle.iter().all(|v| v.is_finite());
            let drifting = !self.drift || (season == 1 && own.span > 0);
            cyclic && drifting && own.span < own.steps && own.steps < MOST_LIVED && own.slope(self.drift).is_finite()
        };
        each_is_whole(&self.status, &self.learned, whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Panel;

    fn fit(model: &dyn Model, values: &[f64]) -> (FitStatus, Vec<f64>) {
        let mut panel = Panel::new(1_000);
        panel.push("a".into(), 0, values);
        let fitted = model.fit(&panel.window(), 0).unwrap();
        let forecast = fitted.predict(Horizon::new(4).unwrap(), &Quantiles::standard()).unwrap();
        (fitted.status()[0].clone(), forecast.mean(0).to_vec())
    }

    #[test]
    fn each_repeats_what_its_name_says() {
        let values = [1.0, 5.0, 3.0, 7.0];
        assert_eq!(fit(&Naive, &values), (FitStatus::Fitted, vec![7.0; 4]));
        assert_eq!(fit(&Drift, &values), (FitStatus::Fitted, vec![9.0, 11.0, 13.0, 15.0]));
        assert_eq!(fit(&SeasonalNaive { season: 2 }, &values), (FitStatus::Fitted, vec![3.0, 7.0, 3.0, 7.0]));
    }

    #[test]
    fn a_gap_takes_the_latest_observation_of_the_same_place() {
        let values = [1.0, 5.0, f64::NAN, 7.0];
        assert_eq!(fit(&SeasonalNaive { season: 2 }, &values).1, [1.0, 7.0, 1.0, 7.0]);
    }

    #[test]
    fn too_short_constant_and_empty_are_told_apart() {
        assert_eq!(fit(&SeasonalNaive { season: 3 }, &[1.0, 2.0]).0, FitStatus::TooShort { observed: 2, needed: 3 });
        assert_eq!(fit(&Naive, &[2.0, 2.0]).0, FitStatus::Constant);
        assert_eq!(fit(&Naive, &[f64::NAN]).0, FitStatus::NoData);
    }

    #[test]
    fn a_window_that_ends_unobserved_forecasts_from_its_end() {
        let mut panel = Panel::new(1_000);
        panel.push("a".into(), 0, &[1.0, 2.0, f64::NAN, f64::NAN, 9.0]);
        let fitted = Drift.fit(&panel.window_until(|_| 4), 0).unwrap();
        let forecast = fitted.predict(Horizon::new(1).unwrap(), &Quantiles::standard()).unwrap();
        assert_eq!(forecast.mean(0), [5.0]);
    }
}
