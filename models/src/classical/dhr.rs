//! Dynamic harmonic regression: sines and cosines for seasons of any length, an ARIMA for what they leave.
//!
//! Each season has as many waves as the least corrected Akaike criterion of a regression whitened by an autoregression asks
//! for, not of every number of waves with an ARIMA of its own: that is one regression a series instead of a hundred fits.
//! What they leave gets an ARIMA without a season, chosen as [`super::Arima::auto`] does; the waves' coefficients are then
//! estimated anew by generalised least squares under it, and it is fitted anew to what these leave. The level, or the slope
//! of a differenced series, is the ARIMA's.
//!
//! Source: Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed., 10.5 and 12.1; Young, Pedregal and
//! Tych, Dynamic harmonic regression, Journal of Forecasting 18, 1999, from which the name comes and whose waves also drift;
//! these do not.

use std::borrow::Cow;
use std::collections::BTreeMap;

use foreshadow_kernels::KernelError;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::ahead::Learned;
use self::grid::Grid;
use self::prepare::{Ready, prepare};
use self::regress::{Regressed, regress};
use self::waves::Waves;
use super::ArimaParameters;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::{FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

mod ahead;
mod autoregression;
mod errors;
mod factor;
mod generalised;
mod grid;
mod prepare;
mod regress;
mod rows;
mod waves;

/// Series of a chunk: their values stay in the second-level cache, and one Gram matrix serves many.
const CHUNK: usize = 64;

/// Dynamic harmonic regression with these seasons. A mean leaves the range that a series was seen in by ten ranges at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhr {
    /// Rising, in steps.
    seasons: Vec<usize>,
}

/// A wave of one series, in its unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhrWave {
    /// Steps in its season.
    pub season: usize,
    /// Turns in a season.
    pub turns: usize,
    /// What its sine is multiplied by; its phase is counted from the first step of the window.
    pub sine: f64,
    /// What its cosine is multiplied by.
    pub cosine: f64,
}

/// What dynamic harmonic regression learned of one series, in the series' unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhrParameters {
    /// The waves of each season.
    pub waves: Vec<DhrWave>,
    /// The ARIMA of what they leave. Its likelihood and its criterion are the whole model's, the coefficients of the waves
    /// counted.
    pub errors: ArimaParameters,
}

impl Dhr {
    /// A model with seasons of so many steps, in any order. A series goes without those that it does not hold twice.
    ///
    /// # Panics
    /// Without a season, or for one of fewer than two steps.
    pub fn new(seasons: &[usize]) -> Self {
        let mut seasons = seasons.to_vec();
        seasons.sort_unstable();
        seasons.dedup();
        assert!(seasons.first().is_some_and(|&shortest| shortest >= 2), "{seasons:?}");
        Self { seasons }
    }

    /// Fits every series of the window in one batch; [`Model::fit`] with what it learned in sight.
    ///
    /// # Errors
    /// [`FitError::Kernel`] when the regression was refused.
    pub fn learn(&self, window: &Window<'_>) -> Result<FittedDhr, FitError> {
        let count = window.series_count();
        let waves = Waves::new(&self.seasons);
        let refused = |source| FitError::Kernel { family: self.name(), series_count: count, source };
        let (mut status, regressed) = regress_all(window, &waves).map_err(refused)?;
        let mut learned: Vec<Option<Learned>> = (0..count).map(|_| None).collect();
        for (s, own) in errors::learn(window, &waves, regressed) {
            match own {
                Ok(own) if own.is_finite() => learned[s] = Some(own),
                Ok(_) => status[s] = FitStatus::NotConverged,
                Err(why) => status[s] = why,
            }
        }
        for s in (0..count).filter(|&s| status[s] == FitStatus::Constant) {
            learned[s] = Some(Learned::constant(window.values(s)[0])); // a window starts at an observed step
        }
        Ok(FittedDhr { status, learned })
    }
}

/// A series that tells some waves, and its regression on them.
type Waved = (Ready, Regressed);

/// The waves of every series that has any, and each series' status so far.
fn regress_all(window: &Window<'_>, waves: &Waves) -> Result<(Vec<FitStatus>, Vec<Waved>), KernelError> {
    let mut of_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    (0..window.series_count()).for_each(|s| of_length.entry(window.values(s).len()).or_default().push(s));
    let regress_length = |(steps, members): (usize, Vec<usize>)| {
        let grid = Grid::new(steps, waves);
        let (mut ready, mut refused) = (Vec::new(), Vec::new());
        for s in members {
            match prepare(s, window.values(s), &grid) {
                Ok(own) => ready.push(own),
                Err(why) => refused.push((s, why)),
            }
        }
        let chunks = ready.par_chunks(CHUNK).map(|chunk| regress(&grid, |s| window.values(s), chunk));
        let regressed: Vec<Vec<Regressed>> = chunks.collect::<Result<_, _>>()?;
        Ok((refused, ready.into_iter().zip(regressed.into_iter().flatten()).collect::<Vec<Waved>>()))
    };
    let lengths = of_length.into_par_iter().map(regress_length).collect::<Result<Vec<_>, _>>()?;
    let mut status = vec![FitStatus::Fitted; window.series_count()];
    let mut all = Vec::new();
    for (refused, regressed) in lengths {
        refused.into_iter().for_each(|(s, why)| status[s] = why);
        all.extend(regressed);
    }
    Ok((status, all))
}

impl Model for Dhr {
    fn name(&self) -> String {
        let seasons: Vec<String> = self.seasons.iter().map(ToString::to_string).collect();
        format!("dhr{}", seasons.join("_"))
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)?))
    }
}

/// Dynamic harmonic regression after it has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub struct FittedDhr {
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl FittedDhr {
    /// What was learned of one series; `None` where its status is not usable.
    pub fn parameters(&self, series: usize) -> Option<&DhrParameters> {
        self.learned[series].as_ref().map(|learned| &learned.parameters)
    }
}

impl Fitted for FittedDhr {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "dhr"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Dhr(Cow::Borrowed(self))))
    }

    /// The bands are those of the errors' ARIMA: that the coefficients are estimates widens them by nothing.
    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let ahead = |learned: &Option<Learned>| Some(learned.as_ref()?.ahead(horizon.steps()));
        Ok(Forecast::normal(horizon, quantiles, self.learned.iter().map(ahead)))
    }
}

impl Whole for FittedDhr {
    fn is_whole(&self) -> bool {
        each_is_whole(&self.status, &self.learned, Learned::is_whole)
    }
}

#[cfg(test)]
mod tests;
