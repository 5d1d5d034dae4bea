//! Complex exponential smoothing.
//!
//! Source: Svetunkov, Kourentzes and Ord, Complex exponential smoothing, Naval Research Logistics 69 (2022); where a
//! series starts, the three passes, the ranges of the weights and the count of what was estimated are those of
//! statsforecast 2.1.1's `AutoCES`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use foreshadow_kernels::{CES_WEIGHTS, CesForm, Device, KernelError, LANES, Rows, ces_fit};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::recursion::{Learned, learn};
use self::start::{Prepared, prepare};
use crate::append::append_each;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::device::{self, Placed};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

mod recursion;
mod start;

/// Series that one task takes from its values to its parameters: as many as keep the lanes of a search busy.
const TOGETHER: usize = 8 * LANES;

/// Squared error a step below which a fit counts as perfect, on a series of unit scale.
const NOTHING: f64 = 1e-20;

/// Complex exponential smoothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ces {
    /// Its form; `None` for the one with the least corrected Akaike criterion.
    pub form: Option<CesForm>,
    /// Steps in a season; 1 for none.
    pub season: usize,
}

/// What complex exponential smoothing learned of one series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CesParameters {
    /// The form that was fitted.
    pub form: CesForm,
    /// `[alpha_0, alpha_1, beta_0, beta_1]`; 0 where the form has none.
    pub weights: [f64; CES_WEIGHTS],
    /// Log-likelihood as statsforecast states it: `-n / 2 log(sum of squared errors)`.
    pub log_likelihood: f64,
    /// Corrected Akaike criterion.
    pub aicc: f64,
}

/// The fit of one form to one series of unit scale.
struct FormFit {
    form: CesForm,
    weights: [f64; CES_WEIGHTS],
    sse: f64,
    aicc: f64,
    converged: bool,
}

impl Ces {
    /// One form with a season of so many steps, 1 for none.
    pub fn new(form: CesForm, season: usize) -> Self {
        Self { form: Some(form), season: season.max(1) }
    }

    /// The form with the least corrected Akaike criterion, for each series.
    pub fn auto(season: usize) -> Self {
        Self { form: None, season: season.max(1) }
    }

    /// Fits every series of the window in one batch; [`Model::fit`] with what it learned in sight.
    pub fn learn(&self, window: &Window<'_>) -> FittedCes {
        self.learn_on(window, &Device::Cpu).expect("host memory refuses nothing")
    }

    /// The same where a device says.
    ///
    /// # Errors
    /// [`KernelError::Device`] when it refuses the work.
    pub fn learn_on(&self, window: &Window<'_>, device: &Device) -> Result<FittedCes, KernelError> {
        let count = window.series_count();
        let prepared: Vec<_> = (0..count).into_par_iter().map(|s| prepare(window.values(s), self)).collect();
        // A batch has one length, and a series must not feel another's.
        let mut of_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (s, own) in prepared.iter().enumerate() {
            if let Ok(own) = own {
                of_length.entry(own.y.len()).or_default().push(s);
            }
        }
        let in_batches = |(steps, members): (&usize, &'_ Vec<usize>)| -> Vec<Vec<usize>> {
            // In `f64`.
            members.chunks(device::together(device, 2 * steps, TOGETHER)).map(<[usize]>::to_vec).collect()
        };
        let batches: Vec<Vec<usize>> = of_length.iter().flat_map(in_batches).collect();
        let of = |s: usize| prepared[s].as_ref().expect("only prepared series are in a batch");
        let fit = |members: &Vec<usize>| {
            let own: Vec<&Prepared> = members.iter().map(|s| of(*s)).collect();
            let best = self.fit_some(&own, device)?;
            Ok(own.par_iter().zip(best).with_min_len(TOGETHER).map(|(own, best)| learn(own, best)).collect())
        };
        let fitted: Vec<Vec<_>> = device::each(device, batches.iter().collect(), fit)?;
        let mut ends: Vec<Result<Learned, FitStatus>> =
            prepared.iter().map(|own| Err(own.as_ref().err().cloned().unwrap_or(FitStatus::NotConverged))).collect();
        for (s, end) in batches.into_iter().flatten().zip(fitted.into_iter().flatten()) {
            ends[s] = end;
        }
        let mut fitted = FittedCes { status: Vec::with_capacity(count), learned: Vec::with_capacity(count) };
        for (s, end) in ends.into_iter().enumerate() {
            fitted.status.push(end.as_ref().err().cloned().unwrap_or(FitStatus::Fitted));
            let constant = fitted.status[s] == FitStatus::Constant;
            fitted.learned.push(if constant { Some(Learned::constant(window.values(s)[0])) } else { end.ok() });
        }
        Ok(fitted)
    }

    /// The best form of each of a few series of one length.
    fn fit_some(&self, own: &[&Prepared], device: &Device) -> Result<Vec<Option<FormFit>>, KernelError> {
        let mut best: Vec<Option<FormFit>> = own.iter().map(|_| None).collect();
        for form in CesForm::ALL {
            let members: Vec<usize> = (0..own.len()).filter(|&i| own[i].may_be(form)).collect();
            if members.is_empty() {
                continue;
            }
            let y: Vec<f64> = members.iter().flat_map(|&i| own[i].y.iter().copied()).collect();
            let start: Vec<f64> = members.iter().flat_map(|&i| own[i].start(form)).collect();
            let steps = own[members[0]].y.len();
            let y = Rows::new(members.len(), steps, y)?;
            let fit = ces_fit(&device::put_rows(y, device)?, form, self.season, &start)?;
            for (at, i) in members.into_iter().enumerate() {
                let (weights, sse, converged) = (fit.weights[at], fit.sse[at], fit.converged[at]);
                let aicc = aicc(form, sse, own[i].observed);
                // A fit that is not a number is never the least.
                if best[i].as_ref().is_none_or(|best| aicc < best.aicc || best.sse.is_nan()) {
                    best[i] = Some(FormFit { form, weights, sse, aicc, converged });
                }
            }
        }
        Ok(best)
    }
}

/// Numbers that statsforecast counts as estimated: the components of the state and the variance.
fn estimated(form: CesForm) -> usize {
    match form {
        CesForm::None | CesForm::Simple => 3,
        CesForm::Partial => 4,
        CesForm::Full => 5,
    }
}

/// Corrected Akaike criterion, up to a constant of the unit.
fn aicc(form: CesForm, sse: f64, observed: f64) -> f64 {
    let log_likelihood = -0.5 * observed * sse.max(NOTHING * observed).ln();
    foreshadow_kernels::aicc(log_likelihood, observed, estimated(form))
}

impl Model for Ces {
    fn name(&self) -> String {
        let form = match self.form {
            None => "ces",
            Some(CesForm::None) => "ces_n",
            Some(CesForm::Simple) => "ces_s",
            Some(CesForm::Partial) => "ces_p",
            Some(CesForm::Full) => "ces_f",
        };
        if self.season > 1 { format!("{form}{}", self.season) } else { form.into() }
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.placed(device))
    }
}

impl Placed for Ces {
    fn fit_on(&self, window: &Window<'_>, _seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError> {
        Ok(Box::new(self.learn_on(window, device)?))
    }
}

/// Complex exponential smoothing after it has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub struct FittedCes {
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl FittedCes {
    /// What was learned of one series; `None` where it was not fitted.
    pub fn parameters(&self, series: usize) -> Option<&CesParameters> {
        self.learned[series].as_ref().and_then(|learned| learned.parameters.as_ref())
    }
}

impl Fitted for FittedCes {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "ces"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Ces(Cow::Borrowed(self))))
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let ahead = |learned: &Option<Learned>| Some(learned.as_ref()?.ahead(horizon.steps()));
        Ok(Forecast::normal(horizon, quantiles, self.learned.iter().map(ahead)))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, |own, point, _| {
            (!own.append(point)).then_some(FitStatus::Outdated)
        })
    }
}

impl Whole for FittedCes {
    fn is_whole(&self) -> bool {
        each_is_whole(&self.status, &self.learned, Learned::is_whole)
    }
}

#[cfg(test)]
mod tests;
