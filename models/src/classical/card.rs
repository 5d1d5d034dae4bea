//! Rho, Delta and their calibrated average, Card: the best entry of one method a series on the hourly series of M4.
//!
//! Source: Doornik, Castle and Hendry, Card forecasts for M4, International Journal of Forecasting 36 (2020), and
//! Castle, Doornik and Hendry, Forecasting principles from experience with forecasting competitions, Forecasting
//! 3(1) (2021). Delta extends a series by its growth rates, the largest left out and the trend damped to the
//! smallest of several estimates of one sign; Rho by a first-order autoregression that becomes a random walk where
//! the data allow one; Card takes the mean of both as if it had been observed, estimates a richer autoregression
//! over history and forecast together, and forecasts by its fitted values.
//!
//! Where the text says nothing of two seasons, or is bettered on held-out parts of the M4 hourly training series:
//!
//! - Delta goes on from the last step only where the means of whole seasons wander (their squared changes are under
//!   0.9 of their variance; for a series without a season the published 1.2 of its steps is kept). Else it goes on
//!   from the mean of the last season and the last six, with the longer season where the series has one.
//! - With two seasons Rho is the mean of two autoregressions: one with a mean for each place of the season and, as
//!   regressors, the values one season and one longer season ago, and one with a mean for each place of the longer.
//! - The calibration's regressors are the last two values, the three around one season ago, and a mean for each
//!   place of the longest season that shows; its estimate sees two seasons of the forecast, so that no forecast
//!   hangs on how far ahead one asks. The breaks that the published one allows are left out, as it does with hours.
//! - The published intervals are replaced by the spread of the errors as they add up, never wider than the seasonal
//!   naive forecast's.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::calibrate::Calibration;
use self::delta::Growth;
use self::prepare::{Prepared, prepare};
use self::pretests::Pretests;
use self::rho::{Path, Walks};
use crate::append::append_each;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::{
    AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window,
    normal_quantile,
};

mod calibrate;
mod delta;
mod prepare;
mod pretests;
mod regression;
mod rho;

/// Delta: damped growth rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Its seasons.
    pub seasons: CardSeasons,
}

/// Rho: a first-order autoregression with seasonal means, or a random walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rho {
    /// Its seasons.
    pub seasons: CardSeasons,
}

/// Card: the calibrated average of Rho and Delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its seasons.
    pub seasons: CardSeasons,
}

/// The seasons that a Card model may use. One that a series does not show three times it does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardSeasons {
    /// Steps in a season; 1 for none.
    pub season: usize,
    /// Steps in a longer one, such as the week beside the day; 1 for none.
    pub longer: usize,
}

impl CardSeasons {
    /// A season and a longer one, each 1 for none.
    pub fn new(season: usize, longer: usize) -> Self {
        let season = season.max(1);
        Self { season, longer: if longer > season { longer } else { 1 } }
    }

    fn name(self, family: &str) -> String {
        let part = |steps: usize, before: &str| if steps > 1 { format!("{before}{steps}") } else { String::new() };
        format!("{family}{}{}", part(self.season, ""), part(self.longer, "_"))
    }
}

/// Which of the three forecasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Delta,
    Rho,
    Card,
}

/// What was learned of one series.
#[derive(Clone, Serialize, Deserialize)]
struct Learned {
    own: Prepared,
    growth: Option<Growth>,
    walks: Option<Walks>,
    calibration: Option<Calibration>,
}

/// Rho, Delta or Card after it has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub struct FittedCard {
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

macro_rules! card_model {
    ($model:ident, $name:literal, $part:expr) => {
        impl $model {
            /// The model with a season and a longer one, each 1 for none.
            pub fn new(season: usize, longer: usize) -> Self {
                Self { seasons: CardSeasons::new(season, longer) }
            }

            /// Fits every series of the window; [`Model::fit`] without its box.
            pub fn learn(&self, window: &Window<'_>) -> FittedCard {
                FittedCard::learn(window, self.seasons, $part)
            }
        }

        impl Model for $model {
            fn name(&self) -> String {
                self.seasons.name($name)
            }

            fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
                Ok(Box::new(self.learn(window)))
            }
        }
    };
}

card_model!(Delta, "delta", Part::Delta);
card_model!(Rho, "rho", Part::Rho);
card_model!(Card, "card", Part::Card);

impl FittedCard {
    fn learn(window: &Window<'_>, seasons: CardSeasons, part: Part) -> Self {
        let (status, learned) =
            (0..window.series_count()).into_par_iter().map(|s| learn(window.values(s), seasons, part)).unzip();
        Self { status, learned }
    }
}

fn learn(values: &[f64], seasons: CardSeasons, part: Part) -> (FitStatus, Option<Learned>) {
    let own = match prepare(values, seasons) {
        Ok(own) => own,
        Err(FitStatus::Constant) => {
            let own = Prepared::constant(values[0]);
            return (FitStatus::Constant, Some(Learned { own, growth: None, walks: None, calibration: None }));
        }
        Err(status) => return (status, None),
    };
    let tests = Pretests::of(&own.x, own.seasons);
    let growth = (part != Part::Rho).then(|| Growth::learn(&own.x, &tests));
    let walks = (part != Part::Delta).then(|| Walks::learn(&own.x, &tests));
    let mut learned = Learned { own, growth, walks, calibration: None };
    if part == Part::Card {
        let ahead = 2 * tests.seasons.season.max(4);
        let mut path = std::mem::take(&mut learned.own.x);
        let (average, _) = learned.average(&path, ahead);
        path.extend(average);
        learned.calibration = Calibration::learn(&path, &tests);
        path.truncate(path.len() - ahead);
        learned.own.x = path;
    }
    let finite = learned.forecast(1).0.iter().all(|v| v.is_finite());
    learned.own.keep_tail();
    if finite { (FitStatus::Fitted, Some(learned)) } else { (FitStatus::NotConverged, None) }
}

impl Learned {
    /// Mean of Rho and Delta, or the one of them that there is, with its spread, after the steps of `past`.
    fn average(&self, past: &[f64], steps: usize) -> (Vec<f64>, Vec<f64>) {
        let growth = self.growth.as_ref().map(|growth| growth.ahead(steps));
        let walks = self.walks.as_ref().map(|walks| walks.ahead(&Path { past, own: &self.own }, steps));
        match (growth, walks) {
            (Some(growth), Some(walks)) => {
                let mean = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| 0.5 * (a + b)).collect();
                (mean(&growth.0, &walks.0), mean(&growth.1, &walks.1))
            }
            (growth, walks) => growth.or(walks).unwrap_or_else(|| (vec![past[0]; steps], vec![0.0; steps])),
        }
    }

    /// Takes in one more step; returns the status from then on, `None` where it stays.
    fn append(&mut self, value: f64, status: &FitStatus) -> Option<FitStatus> {
        let moved = *status == FitStatus::Constant && value != self.own.x[0];
        if value.is_nan() {
            self.own.unseen += 1;
        } else if value.is_infinite() || moved {
            return Some(FitStatus::Outdated);
        } else {
            // What nobody saw went by as it was expected.
            let unseen = std::mem::take(&mut self.own.unseen);
            let expected = self.average(&self.own.x, unseen).0;
            expected.into_iter().for_each(|x| self.pass(x, f64::NAN));
            let x = self.own.on_scale(value);
            self.pass(x, x);
        }
        None
    }

    /// Lets a step pass at `x`, of which `seen` was seen.
    fn pass(&mut self, x: f64, seen: f64) {
        self.own.x.rotate_left(1);
        *self.own.x.last_mut().expect("a series has steps") = self.own.bound(x);
        self.own.steps += 1;
        self.growth.iter_mut().for_each(|growth| growth.pass(seen));
        self.walks.iter_mut().for_each(Walks::pass);
    }

    /// Whether it may have been learned.
    fn is_whole(&self) -> bool {
        let known = self.own.x.len();
        self.own.is_whole()
            && self.growth.iter().all(Growth::is_whole)
            && self.walks.iter().all(|walks| walks.is_whole(known))
            && self.calibration.iter().all(|calibration| calibration.is_whole(known))
            && self.forecast(1).0.iter().all(|v| v.is_finite())
    }

    /// Mean and standard deviation of each step ahead of the window's end, on the scale of the fit.
    fn forecast(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        // Unobserved steps at a window's end are a longer way ahead.
        let (unseen, past) = (self.own.unseen, &self.own.x);
        let (mut mean, mut spread) = self.average(past, steps + unseen);
        if let Some(calibration) = &self.calibration {
            mean = calibration.ahead(past, &mean, self.own.steps);
        }
        for (step, (mean, spread)) in mean.iter_mut().zip(&mut spread).enumerate() {
            *mean = self.own.bound(*mean);
            *spread = spread.min(self.own.widest(step));
        }
        (mean.split_off(unseen), spread.split_off(unseen))
    }
}

impl Fitted for FittedCard {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "card"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Card(Cow::Borrowed(self))))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, Learned::append)
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let curves: Vec<_> =
            self.learned.par_iter().map(|own| own.as_ref().map(|own| own.forecast(horizon.steps()))).collect();
        let mut forecast = Forecast::empty(self.learned.len(), horizon, quantiles.clone());
        let widths: Vec<f64> = quantiles.levels().iter().map(|level| normal_quantile(*level)).collect();
        for (s, (learned, curve)) in self.learned.iter().zip(curves).enumerate() {
            let (Some(learned), Some((mean, spread))) = (learned, curve) else { continue };
            let told = |out: &mut [f64], width: f64| {
                for ((out, mean), spread) in out.iter_mut().zip(&mean).zip(&spread) {
                    *out = learned.own.in_unit(mean + width * spread);
                }
            };
            told(forecast.mean_mut(s), 0.0);
            widths.iter().enumerate().for_each(|(index, width)| told(forecast.quantile_mut(s, index), *width));
        }
        Ok(forecast)
    }
}

impl Whole for FittedCard {
    fn is_whole(&self) -> bool {
        each_is_whole(&self.status, &self.learned, Learned::is_whole)
    }
}

#[cfg(test)]
mod tests;
