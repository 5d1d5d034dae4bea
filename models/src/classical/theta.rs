//! The theta method and its optimised and dynamic forms, as state space models.
//!
//! Source: Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler, Models for optimising the theta method and
//! their relationship to state space models, International Journal of Forecasting 32 (2016); the season is
//! found, taken out and put back as statsforecast 2.1.1 does it.

use std::borrow::Cow;
use std::ops::Range;

use foreshadow_kernels::{Device, KernelError, LANES, Lanes, ThetaForm, UNCOUNTED, autocorrelations, theta_fit};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::recursion::{Learned, Point, run};
pub use self::season::ThetaSeason;
use crate::append::append_each;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::device::{self, Placed};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

mod recursion;
pub(in crate::classical) mod season;

/// Series that one task takes from its values to its parameters: few lanes stay empty, and all of it in cache.
const TOGETHER: usize = 4 * LANES;

/// Spread of what was left of a series, as a share of the whole, that is rounding and no more.
const FLAT: f64 = 1e-13;

/// A theta model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theta {
    /// Which of the four.
    pub form: ThetaForm,
    /// Steps in a season; 1 for none, and under 4 none is looked for.
    pub season: usize,
}

/// What a theta model learned of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThetaParameters {
    /// Level before the first step, in the series' unit with its season taken out.
    pub level: f64,
    /// Weight of the level.
    pub alpha: f64,
    /// Theta, from 1 to 10^10.
    pub theta: f64,
    /// The season that was taken out.
    pub season: ThetaSeason,
}

/// A series on its way from its values to its fit: what is left without its season, and in which unit.
struct Prepared {
    season: ThetaSeason,
    values: Vec<f64>,
    unit: Unit,
}

impl Theta {
    /// A theta model with a season of so many steps, 1 for none.
    pub fn new(form: ThetaForm, season: usize) -> Self {
        Self { form, season }
    }

    /// The dynamic optimised theta model, DOT.
    pub fn dot(season: usize) -> Self {
        Self::new(ThetaForm::Dotm, season)
    }

    /// Fits every series of the window in one batch; [`Model::fit`] with what it learned in sight.
    pub fn learn(&self, window: &Window<'_>) -> FittedTheta {
        self.learn_on(window, &Device::Cpu).expect("host memory refuses nothing")
    }

    /// The same where a device says.
    ///
    /// # Errors
    /// [`KernelError::Device`] when it refuses the work.
    pub fn learn_on(&self, window: &Window<'_>, device: &Device) -> Result<FittedTheta, KernelError> {
        let (count, steps) = (window.series_count(), window.longest());
        let together = device::together(device, steps, TOGETHER);
        let starts: Vec<usize> = (0..count).step_by(together).collect();
        let some = |s: usize| self.learn_some(window, s..(s + together).min(count), device);
        let parts: Vec<Vec<_>> = device::each(device, starts, some)?;
        let (mut status, mut learned) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (s, end) in parts.into_iter().flatten().enumerate() {
            let constant = || Learned::constant(window.values(s)[0], self.form);
            status.push(end.as_ref().err().cloned().unwrap_or(FitStatus::Fitted));
            learned.push(if status[s] == FitStatus::Constant { Some(constant()) } else { end.ok() });
        }
        Ok(FittedTheta { status, learned })
    }

    /// Fits a few series, from their values to what they learned.
    fn learn_some(
        &self,
        window: &Window<'_>,
        series: Range<usize>,
        device: &Device,
    ) -> Result<Vec<Result<Learned, FitStatus>>, KernelError> {
        let values: Vec<&[f64]> = series.map(|s| window.values(s)).collect();
        let units: Vec<_> = values.par_iter().with_min_len(TOGETHER).map(|values| self.unit(values)).collect();
        let seasonal = self.seasonal(&values, &units, device)?;
        let prepared: Vec<_> = (values.par_iter().zip(units).zip(seasonal))
            .with_min_len(TOGETHER)
            .map(|((values, unit), seasonal)| unit.and_then(|unit| self.prepare(values, unit, seasonal)))
            .collect();
        let ready: Vec<&Prepared> = prepared.iter().flatten().collect();
        let steps = ready.iter().map(|own| own.values.len()).max().unwrap_or(0);
        let y = Lanes::from_fn(steps, ready.len(), |t, i| {
            ready[i].values.get(t).map_or(f32::NAN, |v| ready[i].unit.standardise(*v) as f32)
        });
        let fit = theta_fit(&device::put(y, device)?, self.form)?;
        let mut next = 0..ready.len();
        let place = |own: &Result<Prepared, FitStatus>| own.is_ok().then(|| next.next()).flatten();
        let places: Vec<Option<usize>> = prepared.iter().map(place).collect();
        let learn = |(prepared, place): (Result<Prepared, FitStatus>, Option<usize>)| {
            let own = prepared?;
            let i = place.expect("every prepared series was fitted");
            let point = Point { alpha: fit.alpha[i], level: fit.level[i], share: fit.share[i] };
            let learned = run(own, self.form, point);
            if fit.converged[i] && learned.is_finite() { Ok(learned) } else { Err(FitStatus::NotConverged) }
        };
        Ok(prepared.into_par_iter().zip(places).with_min_len(TOGETHER).map(learn).collect())
    }

    /// Centre and scale of a series, or why it cannot be fitted.
    fn unit(&self, values: &[f64]) -> Result<Unit, FitStatus> {
        let observed = values.iter().filter(|v| !v.is_nan()).count();
        if observed == 0 {
            return Err(FitStatus::NoData);
        }
        if values.iter().all(|v| v.is_nan() || *v == values[0]) {
            return Err(FitStatus::Constant);
        }
        // As many counted steps more than unknowns as leave a spread to tell.
        let needed = UNCOUNTED + unknowns(self.form) + 2;
        if observed < needed {
            return Err(FitStatus::TooShort { observed, needed });
        }
        Unit::of(values).ok_or(FitStatus::NotConverged)
    }

    /// Which series have the season, tested as [`season::is_seasonal`] says.
    fn seasonal(
        &self,
        values: &[&[f64]],
        units: &[Result<Unit, FitStatus>],
        device: &Device,
    ) -> Result<Vec<bool>, KernelError> {
        let mut seasonal = vec![false; values.len()];
        let long = |&i: &usize| units[i].is_ok() && values[i].len() >= 2 * self.season;
        let tested: Vec<usize> = (0..values.len()).filter(long).collect();
        if self.season < season::SHORTEST || tested.is_empty() {
            return Ok(seasonal);
        }
        let unit_of: Vec<Unit> = tested.iter().filter_map(|&i| units[i].as_ref().ok().copied()).collect();
        let steps = tested.iter().map(|&i| values[i].len()).max().unwrap_or(0);
        let y = Lanes::from_fn(steps, tested.len(), |t, i| {
            values[tested[i]].get(t).map_or(f32::NAN, |v| unit_of[i].standardise(*v) as f32)
        });
        let found = autocorrelations(&device::put(y, device)?, self.season)?.to_host()?;
        for (i, &own) in tested.iter().enumerate() {
            let observed = values[own].iter().filter(|v| !v.is_nan()).count();
            seasonal[own] = season::is_seasonal(&found.column(i), observed);
        }
        Ok(seasonal)
    }

    /// Takes the season out, if there is one.
    fn prepare(&self, values: &[f64], unit: Unit, seasonal: bool) -> Result<Prepared, FitStatus> {
        let season = if seasonal {
            let observed = values.iter().filter(|v| !v.is_nan()).count();
            let unseen = FitStatus::TooShort { observed, needed: 2 * self.season };
            ThetaSeason::of(values, self.season).ok_or(unseen)?
        } else {
            ThetaSeason::None
        };
        let values = season.without(values);
        let own = Unit::of(&values).filter(|own| own.scale > FLAT * (unit.centre.abs() + unit.scale));
        // What is nothing but rounding keeps the unit it was taken out of.
        let unit = own.unwrap_or(Unit { centre: mean(&values), ..unit });
        Ok(Prepared { season, values, unit })
    }
}

fn unknowns(form: ThetaForm) -> usize {
    2 + usize::from(form.is_optimised())
}

/// What a series is measured in while it is fitted: a shift or another scale changes nothing of the method.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Unit {
    centre: f64,
    scale: f64,
}

impl Unit {
    /// Mean and standard deviation; `None` where they are not numbers, or nothing moves.
    fn of(values: &[f64]) -> Option<Self> {
        let centre = mean(values);
        let (squares, observed) = sum(values.iter().map(|v| (v - centre) * (v - centre)));
        let scale = (squares / observed).sqrt();
        (scale.is_normal() && centre.is_finite()).then_some(Self { centre, scale })
    }

    fn standardise(self, value: f64) -> f64 {
        (value - self.centre) / self.scale
    }
}

fn mean(values: &[f64]) -> f64 {
    let (total, observed) = sum(values.iter().copied());
    total / observed
}

/// Sum and number of what is not NaN.
fn sum(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.filter(|v| !v.is_nan()).fold((0.0, 0.0), |(total, count), v| (total + v, count + 1.0))
}

impl Model for Theta {
    fn name(&self) -> String {
        let form = match self.form {
            ThetaForm::Stm => "stm",
            ThetaForm::Otm => "otm",
            ThetaForm::Dstm => "dstm",
            ThetaForm::Dotm => "dotm",
        };
        match self.season {
            0 | 1 => format!("theta_{form}"),
            season => format!("theta_{form}{season}"),
        }
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.placed(device))
    }
}

impl Placed for Theta {
    fn fit_on(&self, window: &Window<'_>, _seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError> {
        Ok(Box::new(self.learn_on(window, device)?))
    }
}

/// A theta model after it has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub struct FittedTheta {
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl FittedTheta {
    /// What was learned of one series; `None` where its status is not usable.
    pub fn parameters(&self, series: usize) -> Option<&ThetaParameters> {
        self.learned[series].as_ref().map(|learned| &learned.parameters)
    }
}

impl Fitted for FittedTheta {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "theta"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Theta(Cow::Borrowed(self))))
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let ahead = |learned: &Option<Learned>| Some(learned.as_ref()?.ahead(horizon.steps()));
        Ok(Forecast::normal(horizon, quantiles, self.learned.iter().map(ahead)))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, |own, point, status| {
            let answers = if *status == FitStatus::Constant { own.repeats(point) } else { own.append(point) };
            (!answers).then_some(FitStatus::Outdated)
        })
    }
}

impl Whole for FittedTheta {
    fn is_whole(&self) -> bool {
        each_is_whole(&self.status, &self.learned, Learned::is_whole)
    }
}

#[cfg(test)]
mod tests;
