//! Exponential smoothing by maximum likelihood: every form with an additive or a relative error, none, a
//! steady or a damped trend, and no season, one that adds or one that multiplies.
//!
//! Each form is a model of its own; [`AutoEts`] picks one by AICc, as is customary, and the backtest picks among
//! models by what they forecast: one-step criteria do not see a slow season. Source: Hyndman, Koehler, Ord and
//! Snyder, *Forecasting with Exponential Smoothing*, 2008.

use std::borrow::Cow;

use foreshadow_kernels::{
    Device, Effect, EtsFit, EtsForm, EtsHint, KernelError, LANES, Lanes, Smoothing, Trend, ets_fit,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::auto::{AutoEts, FittedAutoEts};
use self::recursion::{Learned, run};
use self::states::Standing;
use crate::artifact::{Artifact, Kept, Whole};
use crate::device::{self, Placed};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

mod auto;
mod recursion;
mod states;

/// One ETS form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ets {
    form: EtsForm,
}

/// What ETS learned of one series, in the series' unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EtsParameters {
    /// The smoothing weights.
    pub smoothing: Smoothing,
    /// Level before the first step.
    pub level: f64,
    /// Slope before the first step; 0 without one.
    pub slope: f64,
    /// Season before the first step, the first step's slot first; empty without one. It sums to zero where it
    /// adds, and to its length where it multiplies.
    pub season: Vec<f64>,
}

impl Ets {
    /// An ETS model of additive error with this trend and an additive season of so many steps, 1 for none.
    ///
    /// # Panics
    /// For a season of no steps.
    pub fn new(trend: Trend, season: usize) -> Self {
        Self::of(EtsForm::additive(trend, season))
    }

    /// The ETS model of this form. One with a relative error or a season that multiplies fits series above
    /// zero only; any other series is [`FitStatus::NotConverged`].
    ///
    /// # Panics
    /// For a season of no steps, and for a season that multiplies under an error that adds.
    pub fn of(form: EtsForm) -> Self {
        assert!(form.season > 0, "a season has steps");
        assert!(!form.scales() || form.is_relative(), "a season that multiplies takes a relative error");
        Self { form }
    }

    /// Every additive form with this season, for a backtest to pick from.
    pub fn forms(season: usize) -> [Self; 3] {
        [Trend::None, Trend::Additive, Trend::Damped].map(|trend| Self::new(trend, season))
    }

    /// Fits every series of the window in one batch; [`Model::fit`] with what it learned in sight.
    pub fn learn(&self, window: &Window<'_>) -> FittedEts {
        self.learn_on(window, &Device::Cpu).expect("host memory refuses nothing")
    }

    /// The same where a device says.
    ///
    /// # Errors
    /// [`KernelError::Device`] when it refuses the work.
    pub fn learn_on(&self, window: &Window<'_>, device: &Device) -> Result<FittedEts, KernelError> {
        let count = window.series_count();
        let prepared: Vec<_> = (0..count).into_par_iter().map(|s| Prepared::of(window.values(s), self.form)).collect();
        let fitted: Vec<usize> = (0..count).filter(|&s| prepared[s].is_ok()).collect();
        let of = |s: usize| *prepared[s].as_ref().expect("only prepared series are fitted");
        let fit = |some: &[usize]| -> Result<Vec<_>, KernelError> {
            let chosen: Vec<Prepared> = some.iter().map(|&s| of(s)).collect();
            let fit = fit_form(self.form, window, some, &chosen, &[], device)?;
            let end = |i: usize| end_of(self.form, &fit, i, window.values(some[i]), chosen[i]);
            Ok((0..some.len()).into_par_iter().with_min_len(LANES).map(end).collect())
        };
        let together = device::together(device, window.longest(), fitted.len().max(1));
        let learned = device::each(device, fitted.chunks(together).collect(), fit)?;
        let mut parameters: Vec<_> = (0..count).map(|_| None).collect();
        let mut ends = Vec::with_capacity(fitted.len());
        let mut standing = Standing::default();
        let mut status: Vec<_> = prepared.into_iter().map(|p| p.err().unwrap_or(FitStatus::Fitted)).collect();
        for (s, (learned, sound)) in fitted.into_iter().zip(learned.into_iter().flatten()) {
            if sound {
                parameters[s] = Some(learned.parameters);
                ends.push((s, learned.end));
            } else {
                status[s] = FitStatus::NotConverged;
            }
        }
        standing.add(self.form, &ends);
        for s in (0..count).filter(|&s| status[s] == FitStatus::Constant) {
            parameters[s] = Some(EtsParameters::constant(window.values(s)[0], self.form));
            standing.add_constant(s, window.values(s)[0]);
        }
        Ok(FittedEts { status, parameters, standing })
    }
}

/// How a series is standardised.
#[derive(Clone, Copy, Debug)]
struct Prepared {
    centre: f64,
    scale: f64,
}

impl Prepared {
    /// Centre and scale of a series, or why it cannot be fitted.
    fn of(values: &[f64], form: EtsForm) -> Result<Self, FitStatus> {
        let seen = || values.iter().filter(|v| !v.is_nan());
        let observed = seen().count();
        if observed == 0 {
            return Err(FitStatus::NoData);
        }
        if seen().all(|v| *v == values[0]) {
            return Err(FitStatus::Constant);
        }
        let season = form.season;
        // Two looks at the season, and as many steps more than unknowns as leave a spread to tell.
        let needed = (2 * season).max(form.unknowns() + 3);
        let all_slots = (0..season).all(|slot| values.iter().skip(slot).step_by(season).any(|v| !v.is_nan()));
        if observed < needed || !all_slots {
            return Err(FitStatus::TooShort { observed, needed });
        }
        let least = seen().fold(f64::INFINITY, |least, v| v.min(least));
        if form.is_relative() && least <= 0.0 {
            return Err(FitStatus::NotConverged);
        }
        let centre = seen().sum::<f64>() / observed as f64;
        let scale = (seen().map(|v| (v - centre) * (v - centre)).sum::<f64>() / observed as f64).sqrt();
        // The kernel holds values in `f32`: about their centre it would lose the digits of those near zero, which
        // a relative error needs; about zero, those of a small movement far from it.
        let centre = if form.is_relative() && least < scale { 0.0 } else { centre };
        if scale.is_normal() && centre.is_finite() { Ok(Self { centre, scale }) } else { Err(FitStatus::NotConverged) }
    }

    fn offset(self) -> f64 {
        self.centre / self.scale
    }
}

/// Fits a form to some series of a window, each standardised as prepared.
fn fit_form(
    form: EtsForm,
    window: &Window<'_>,
    series: &[usize],
    prepared: &[Prepared],
    hints: &[EtsHint],
    device: &Device,
) -> Result<EtsFit, KernelError> {
    let steps = series.iter().map(|&s| window.values(s).len()).max().unwrap_or(0);
    let y = Lanes::from_fn(steps, series.len(), |t, i| {
        let Prepared { centre, scale } = prepared[i];
        window.values(series[i]).get(t).map_or(f32::NAN, |v| ((v - centre) / scale) as f32)
    });
    let offset: Vec<f64> = prepared.iter().map(|prepared| prepared.offset()).collect();
    ets_fit(&device::put(y, device)?, &offset, form, hints)
}

/// Where one series of a fit ends, and whether its search did and its numbers are some to forecast from.
fn end_of(form: EtsForm, fit: &EtsFit, index: usize, values: &[f64], prepared: Prepared) -> (Learned, bool) {
    let len = form.start_len();
    let start = &fit.start[index * len..][..len];
    let end = run(values, form, (prepared.centre, prepared.scale), &fit.smoothing[index], start);
    let sound = fit.converged[index] && end.end.is_sound(form);
    (end, sound)
}

/// The form's letters and season, such as `aada24`.
fn letters(form: EtsForm) -> String {
    let of = |effect| if effect == Effect::Additive { "a" } else { "m" };
    let trend = match form.trend {
        Trend::None => "n",
        Trend::Additive => "a",
        Trend::Damped => "ad",
    };
    match form.season {
        1 => format!("{}{trend}n", of(form.error)),
        season => format!("{}{trend}{}{season}", of(form.error), of(form.seasonal)),
    }
}

impl Model for Ets {
    fn name(&self) -> String {
        format!("ets_{}", letters(self.form))
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.placed(device))
    }
}

impl Placed for Ets {
    fn fit_on(&self, window: &Window<'_>, _seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError> {
        Ok(Box::new(self.learn_on(window, device)?))
    }
}

/// ETS after it has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub struct FittedEts {
    status: Vec<FitStatus>,
    parameters: Vec<Option<EtsParameters>>,
    standing: Standing,
}

impl FittedEts {
    /// What was learned of one series; `None` where its status is not usable.
    pub fn parameters(&self, series: usize) -> Option<&EtsParameters> {
        self.parameters[series].as_ref().filter(|_| self.status[series].is_usable())
    }
}

impl Fitted for FittedEts {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "ets"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Ets(Cow::Borrowed(self))))
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        Ok(self.standing.predict(self.status.len(), horizon, quantiles))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        self.standing.append(&mut self.status, points)
    }
}

impl Whole for FittedEts {
    fn is_whole(&self) -> bool {
        self.parameters.len() == self.status.len() && self.standing.is_whole(&self.status)
    }
}

#[cfg(test)]
mod tests;
