//! Additive exponential smoothing by maximum likelihood: ETS(A,N,N), (A,A,N), (A,Ad,N), (A,N,A), (A,A,A)
//! and (A,Ad,A).
//!
//! Each form is a model of its own and the backtest picks among them: one-step criteria such as AICc do
//! not see a slow season. Source: Hyndman, Koehler, Ord and Snyder, *Forecasting with Exponential
//! Smoothing*, 2008.

use foreshadow_kernels::{EtsForm, LANES, Lanes, Smoothing, Trend, ets_fit};
use rayon::prelude::*;

use self::recursion::{Learned, run};
use crate::{FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

mod recursion;

/// One additive ETS form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ets {
    form: EtsForm,
}

/// What ETS learned of one series, in the series' unit.
#[derive(Clone, Debug, PartialEq)]
pub struct EtsParameters {
    /// The smoothing weights.
    pub smoothing: Smoothing,
    /// Level before the first step.
    pub level: f64,
    /// Slope before the first step; 0 without one.
    pub slope: f64,
    /// Season before the first step, the first step's slot first, summing to zero; empty without one.
    pub season: Vec<f64>,
}

impl Ets {
    /// An ETS model with this trend and a season of so many steps, 1 for none.
    ///
    /// # Panics
    /// For a season of no steps.
    pub fn new(trend: Trend, season: usize) -> Self {
        assert!(season > 0, "a season has steps");
        Self { form: EtsForm { trend, season } }
    }

    /// Every form with this season, for a backtest to pick from.
    pub fn forms(season: usize) -> [Self; 3] {
        [Trend::None, Trend::Additive, Trend::Damped].map(|trend| Self::new(trend, season))
    }

    /// Fits every series of the window in one batch; [`Model::fit`] with what it learned in sight.
    pub fn learn(&self, window: &Window<'_>) -> FittedEts {
        let count = window.series_count();
        let prepared: Vec<_> = (0..count).into_par_iter().map(|s| self.prepare(window.values(s))).collect();
        let fitted: Vec<usize> = (0..count).filter(|&s| prepared[s].is_ok()).collect();
        let steps = fitted.iter().map(|&s| window.values(s).len()).max().unwrap_or(0);
        let scale_of: Vec<_> = fitted.iter().filter_map(|&s| prepared[s].as_ref().ok().copied()).collect();
        let y = Lanes::from_fn(steps, fitted.len(), |t, i| {
            let (centre, scale) = scale_of[i];
            window.values(fitted[i]).get(t).map_or(f32::NAN, |v| ((v - centre) / scale) as f32)
        });
        let fit = ets_fit(&y, self.form);
        let mut learned: Vec<_> = (0..count).map(|_| None).collect();
        let mut status: Vec<_> = prepared.into_iter().map(|p| p.err().unwrap_or(FitStatus::Fitted)).collect();
        let len = self.form.start_len();
        let ends: Vec<_> = (0..fitted.len())
            .into_par_iter()
            .with_min_len(LANES)
            .map(|i| {
                let start = &fit.start[i * len..][..len];
                run(window.values(fitted[i]), self.form, scale_of[i], &fit.smoothing[i], start)
            })
            .collect();
        for (i, end) in ends.into_iter().enumerate() {
            if fit.converged[i] && end.is_finite() {
                learned[fitted[i]] = Some(end);
            } else {
                status[fitted[i]] = FitStatus::NotConverged;
            }
        }
        for s in (0..count).filter(|&s| status[s] == FitStatus::Constant) {
            learned[s] = Some(Learned::constant(window.values(s)[0], self.form));
        }
        FittedEts { form: self.form, status, learned }
    }

    /// Centre and scale of a series, or why it cannot be fitted.
    fn prepare(&self, values: &[f64]) -> Result<(f64, f64), FitStatus> {
        let seen = || values.iter().filter(|v| !v.is_nan());
        let observed = seen().count();
        if observed == 0 {
            return Err(FitStatus::NoData);
        }
        if seen().all(|v| *v == values[0]) {
            return Err(FitStatus::Constant);
        }
        let EtsForm { season, .. } = self.form;
        // Two looks at the season, and as many steps more than unknowns as leave a spread to tell.
        let needed = (2 * season).max(self.unknowns() + 3);
        let all_slots = (0..season).all(|slot| values.iter().skip(slot).step_by(season).any(|v| !v.is_nan()));
        if observed < needed || !all_slots {
            return Err(FitStatus::TooShort { observed, needed });
        }
        let centre = seen().sum::<f64>() / observed as f64;
        let scale = (seen().map(|v| (v - centre) * (v - centre)).sum::<f64>() / observed as f64).sqrt();
        if scale.is_normal() && centre.is_finite() { Ok((centre, scale)) } else { Err(FitStatus::NotConverged) }
    }

    /// Weights and states that a fit chooses.
    fn unknowns(&self) -> usize {
        unknowns(self.form)
    }
}

fn unknowns(form: EtsForm) -> usize {
    let slope = match form.trend {
        Trend::None => 0,
        Trend::Additive => 2,
        Trend::Damped => 3,
    };
    // alpha and the level; gamma and the season, whose sum is the level's.
    2 + slope + if form.season > 1 { form.season } else { 0 }
}

impl Model for Ets {
    fn name(&self) -> String {
        let trend = match self.form.trend {
            Trend::None => "n",
            Trend::Additive => "a",
            Trend::Damped => "ad",
        };
        match self.form.season {
            1 => format!("ets_a{trend}n"),
            season => format!("ets_a{trend}a{season}"),
        }
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)))
    }
}

/// ETS after it has learned a window.
pub struct FittedEts {
    form: EtsForm,
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl FittedEts {
    /// What was learned of one series; `None` where its status is not usable.
    pub fn parameters(&self, series: usize) -> Option<&EtsParameters> {
        self.learned[series].as_ref().map(|learned| &learned.parameters)
    }
}

impl Fitted for FittedEts {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.learned.len(), horizon, quantiles.clone());
        for (s, learned) in self.learned.iter().enumerate() {
            let Some(learned) = learned else { continue };
            let (mean, spread) = learned.ahead(self.form, horizon.steps());
            forecast.set_normal(s, &mean, |step| spread[step]);
        }
        Ok(forecast)
    }
}

#[cfg(test)]
mod tests;
