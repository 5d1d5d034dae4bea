//! One small LSTM network for each series, all trained in one batch.
//!
//! A network is shown the latest steps of its series and answers, for some steps ahead, with quantiles of how far they will
//! lie off what the usual cycle says (`Frame`): a direct forecast, as Wen, Torkkola, Narayanaswamy and Madeka advise (*A
//! multi-horizon quantile recurrent forecaster*, arXiv 1711.11053). The newest fifth of the series chooses among its weights,
//! and tells how far it is to be trusted.

use std::borrow::Cow;
use std::ops::Range;

use foreshadow_kernels::{Device, KernelError, LstmEffort, LstmSeries, LstmShape, lstm_forward, lstm_train};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, INPUTS, LEVELS};
use super::trust::trust;
use super::watched::{Watched, choosing};
use super::ways::{Fleet, spread};
use crate::append::append_each;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::device::Placed;
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

/// Steps that a network looks back on.
const LENGTH: usize = 48;
const HIDDEN: usize = 32;
/// Series whose windows are in memory together: some hundred megabytes at four thousand steps.
const TOGETHER: usize = 256;
/// Places of the choosing part that tell how far a network is to be trusted.
const PLACES: usize = 64;

/// A bank of LSTM networks, one a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LstmBank {
    /// Steps ahead that its networks are trained for.
    pub horizon: Horizon,
    /// How they are trained.
    effort: LstmEffort,
}

impl LstmBank {
    /// A bank that forecasts so far ahead.
    pub fn new(horizon: Horizon) -> Self {
        Self { horizon, effort: LstmEffort { length: LENGTH, ..LstmEffort::default() } }
    }

    fn shape(outputs: usize) -> LstmShape {
        LstmShape { inputs: INPUTS, hidden: HIDDEN, layers: 1, outputs }
    }

    /// Steps that a series must have: those before anything is expected, as many windows as make learning one worth it, and
    /// what is furthest ahead of them.
    fn needed(&self, frame: &Frame) -> usize {
        frame.warm_up() + 3 * self.effort.length + self.horizon.steps()
    }

    /// `earlier`: weights that series begin with, in the window's order; those of other sizes are not looked at.
    fn learn_on(
        &self,
        window: &Window<'_>,
        seed: u64,
        device: &Device,
        earlier: &[Option<Vec<f32>>],
    ) -> Result<FittedLstmBank, KernelError> {
        let count = window.series_count();
        let (mut status, mut learned) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for from in (0..count).step_by(TOGETHER) {
            let (some, bank) = self.fit_some(window, from..(from + TOGETHER).min(count), seed, device, earlier)?;
            status.extend(some);
            learned.extend(bank);
        }
        Ok(FittedLstmBank { status, learned })
    }

    fn fit_some(
        &self,
        window: &Window<'_>,
        series: Range<usize>,
        seed: u64,
        device: &Device,
        earlier: &[Option<Vec<f32>>],
    ) -> Result<(Vec<FitStatus>, Vec<Option<Learned>>), KernelError> {
        let prepare = |s: usize| self.prepare(window.values(s), window.start_ms(s), window.step_ms());
        let prepared: Vec<Result<Prepared, FitStatus>> = series.clone().into_par_iter().map(prepare).collect();
        let moving =
            |(s, own)| Some((s, Result::as_ref(own).ok().filter(|own: &&Prepared| own.watched.frame.moves())?));
        let taught: Vec<(usize, &Prepared)> = series.zip(&prepared).filter_map(moving).collect();
        let shape = Self::shape(taught.first().map_or(LEVELS.len(), |(_, own)| own.watched.frame.outputs()));
        let learning: Vec<LstmSeries<'_>> = taught.iter().map(|(_, own)| own.learning(seed as u32)).collect();
        let seeded = shape.seeded(seed);
        let weights = |(s, _): &(usize, _)| {
            let earlier = earlier.get(*s).and_then(Option::as_ref).filter(|weights| weights.len() == seeded.len());
            earlier.unwrap_or(&seeded).iter().copied()
        };
        let begin: Vec<f32> = taught.iter().flat_map(weights).collect();
        let fit = lstm_train(device, shape, &learning, &LEVELS, &self.effort, &begin)?;
        let mut trained = fit.weights.chunks_exact(shape.weights());
        let learn = |own: Result<Prepared, FitStatus>| {
            let own = match own {
                Ok(own) => own,
                Err(status) => return (status, None),
            };
            if !own.watched.frame.moves() {
                return (own.status, Some(Learned { watched: own.watched, weights: Vec::new() }));
            }
            let weights = trained.next().expect("a network for each that moves");
            let trust = own.trust(shape, weights);
            // Nothing that it says may be better than what is expected without it.
            match own.watched.believing(trust) {
                Some(watched) => (own.status, Some(Learned { watched, weights: weights.to_vec() })),
                None => (FitStatus::NotConverged, None),
            }
        };
        Ok(prepared.into_iter().map(learn).unzip())
    }

    /// What a network is to see of a series, or why it cannot learn it.
    fn prepare(&self, values: &[f64], start_ms: i64, step_ms: i64) -> Result<Prepared, FitStatus> {
        let horizon = self.horizon.steps();
        let (status, frame) = Frame::measured(values, step_ms, horizon, &Fleet::default())?;
        let observed = values.iter().filter(|y| !y.is_nan()).count();
        let needed = self.needed(&frame);
        if status == FitStatus::Fitted && observed < needed {
            return Err(FitStatus::TooShort { observed, needed });
        }
        let (from, most) = (frame.warm_up(), LENGTH + frame.reach() + 1);
        let watched = Watched::of(frame, values, start_ms, most);
        if !watched.frame.moves() {
            return Ok(Prepared { status, watched, inputs: Vec::new(), targets: Vec::new(), learned_steps: 0 });
        }
        let split = values.len() - choosing(values.len() - from, horizon);
        let inputs = watched.frame.inputs(values, start_ms, from);
        let targets = watched.frame.targets(values, from, split);
        Ok(Prepared { status, watched, inputs, targets, learned_steps: split - from })
    }
}

/// A series on its way to its network.
struct Prepared {
    status: FitStatus,
    watched: Watched,
    inputs: Vec<f32>,
    targets: Vec<f32>,
    learned_steps: usize,
}

impl Prepared {
    fn learning(&self, seed: u32) -> LstmSeries<'_> {
        let Self { inputs, targets, learned_steps, .. } = self;
        LstmSeries { inputs, targets, learned_steps: *learned_steps, seed }
    }

    /// How far a network is to be trusted, by the part that chooses.
    fn trust(&self, shape: LstmShape, weights: &[f32]) -> Vec<Option<f32>> {
        let (steps, knots) = (self.inputs.len() / INPUTS, self.watched.frame.outputs() / LEVELS.len());
        let first = self.learned_steps.max(LENGTH);
        let places = spread(first..steps, PLACES);
        let shown: Vec<f32> =
            (places.iter()).flat_map(|t| &self.inputs[(t + 1 - LENGTH) * INPUTS..(t + 1) * INPUTS]).copied().collect();
        let told = lstm_forward(&Device::Cpu, shape, &weights.repeat(places.len()), &shown)
            .expect("a frame shows what its network reads");
        let last = told.chunks_exact(shape.outputs).skip(LENGTH - 1).step_by(LENGTH);
        let said: Vec<f32> = last.flatten().copied().collect();
        let targets: Vec<f32> =
            places.iter().flat_map(|t| &self.targets[t * knots..(t + 1) * knots]).copied().collect();
        trust(&said, &targets, &self.watched.frame.ahead(), steps - first)
    }
}

/// One series' network, and what it is shown for a forecast.
#[derive(Clone, Serialize, Deserialize)]
struct Learned {
    watched: Watched,
    /// None where what is expected always comes.
    weights: Vec<f32>,
}

impl Learned {
    /// What the network says at the last step.
    fn said(&self) -> Vec<f32> {
        if self.weights.is_empty() {
            return Vec::new();
        }
        let Watched { frame, recent, start_ms, .. } = &self.watched;
        let from = recent.len().saturating_sub(LENGTH);
        let shape = LstmBank::shape(frame.outputs());
        let inputs = frame.inputs(recent, *start_ms, from);
        let said =
            lstm_forward(&Device::Cpu, shape, &self.weights, &inputs).expect("a frame shows what its network reads");
        said[said.len() - shape.outputs..].to_vec()
    }
}

/// A bank that has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FittedLstmBank {
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl Model for LstmBank {
    fn name(&self) -> String {
        "lstm-bank".into()
    }

    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        self.refit(window, seed, &[])
    }

    fn refit(&self, window: &Window<'_>, seed: u64, learned: &[Option<Vec<f32>>]) -> Result<Box<dyn Fitted>, FitError> {
        self.refit_on(window, seed, &Device::Cpu, learned).map_err(|source| self.refused(window, source))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.placed(device))
    }
}

impl Placed for LstmBank {
    fn fit_on(&self, window: &Window<'_>, seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError> {
        self.refit_on(window, seed, device, &[])
    }

    fn refit_on(
        &self,
        window: &Window<'_>,
        seed: u64,
        device: &Device,
        learned: &[Option<Vec<f32>>],
    ) -> Result<Box<dyn Fitted>, KernelError> {
        Ok(Box::new(self.learn_on(window, seed, device, learned)?))
    }
}

impl Fitted for FittedLstmBank {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "lstm-bank"
    }

    fn learned(&self, series: usize) -> Option<&[f32]> {
        self.learned[series].as_ref().map(|own| own.weights.as_slice()).filter(|weights| !weights.is_empty())
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::LstmBank(Cow::Borrowed(self))))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, |own, value, _| own.watched.append(value))
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.status.len(), horizon, quantiles.clone());
        let said: Vec<Option<Vec<f32>>> = self.learned.par_iter().map(|own| Some(own.as_ref()?.said())).collect();
        for (s, (own, said)) in self.learned.iter().zip(said).enumerate() {
            if let (Some(own), Some(said)) = (own, said) {
                own.watched.forecast(&said, horizon, &mut forecast, s);
            }
        }
        Ok(forecast)
    }
}

impl Whole for FittedLstmBank {
    fn is_whole(&self) -> bool {
        let sized = |own: &Learned| {
            let needed =
                if own.watched.frame.moves() { LstmBank::shape(own.watched.frame.outputs()).weights() } else { 0 };
            own.weights.len() == needed && own.weights.iter().all(|weight| weight.is_finite())
        };
        each_is_whole(&self.status, &self.learned, |own| own.watched.is_whole() && sized(own))
    }
}

#[cfg(test)]
mod tests;
