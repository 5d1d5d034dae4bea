//! One LSTM network for a whole fleet, which forecasts series that it never saw too.
//!
//! It is shown what a network of a bank is, and how the series is measured: what else could have been expected, and how much
//! it moves. It answers with quantiles of how far the next steps lie off what is expected, as there. Each series tells by its
//! own newest part how far the network is to be trusted there; one that is too short for that goes by the fleet.

mod learner;
#[cfg(test)]
mod tests;
mod training;

use std::borrow::Cow;

use foreshadow_kernels::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, LEVELS};
use super::network::{Network, TOGETHER};
use super::trust::trust;
use super::watched::{Watched, choosing};
use super::ways::spread;
use crate::append::append_each;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};
use training::shown;

pub use training::{GlobalEffort, Progress, Training, TrainingError};

/// Values that a series must have.
const LEAST_SEEN: usize = 3;

/// A family of one network for all series.
#[derive(Clone, Debug)]
pub struct LstmGlobal {
    name: String,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Trained anew by each fit.
    Training(Horizon, GlobalEffort, Device),
    Trained(Network),
}

impl LstmGlobal {
    /// A network that each fit trains anew on the cores, for so many steps ahead, on the series that it is to forecast.
    pub fn new(horizon: Horizon, effort: GlobalEffort) -> Self {
        Self { name: "lstm-global".into(), source: Source::Training(horizon, effort, Device::Cpu) }
    }

    /// A network that was trained before, and what the family is called then.
    pub fn trained(name: &str, network: Network) -> Self {
        Self { name: name.into(), source: Source::Trained(network) }
    }

    /// The network for a window: the one that is there, or one that is trained on it. `None` where nothing can be learned.
    fn network(&self, window: &Window<'_>, seed: u64) -> Result<Option<Network>, FitError> {
        let (horizon, effort, device) = match &self.source {
            Source::Trained(network) => return Ok(Some(network.clone())),
            Source::Training(horizon, effort, device) => (*horizon, *effort, device),
        };
        let begun = Training::begin(std::slice::from_ref(window), horizon, seed, effort, device);
        match begun.and_then(Training::run) {
            Ok(network) => Ok(Some(network)),
            Err(TrainingError::Device(source)) => {
                Err(FitError::Kernel { family: self.name(), series_count: window.series_count(), source })
            }
            Err(_) => Ok(None),
        }
    }
}

/// What the network is to see of a series, or why it says nothing of it.
fn watch(network: &Network, window: &Window<'_>, s: usize) -> Result<(FitStatus, Watched), FitStatus> {
    let (meaning, values, start_ms) = (network.meaning(), window.values(s), window.start_ms(s));
    if meaning.step_ms != window.step_ms() {
        return Err(FitStatus::OtherStep { trained_ms: meaning.step_ms });
    }
    let (status, frame) = Frame::measured(values, window.step_ms(), meaning.horizon, &meaning.fleet)?;
    let observed = values.iter().filter(|y| !y.is_nan()).count();
    if status == FitStatus::Fitted && observed < LEAST_SEEN {
        return Err(FitStatus::TooShort { observed, needed: LEAST_SEEN });
    }
    let most = meaning.length + frame.farthest() + 1;
    let moving = frame.moves().then(|| believed(network, &frame, values, start_ms));
    let watched = Watched::of(frame, values, start_ms, most);
    match moving {
        None => Ok((status, watched)),
        // Nothing that it says may be better than what is expected without it.
        Some(trust) => watched.believing(trust).map(|own| (status, own)).ok_or(FitStatus::NotConverged),
    }
}

/// How far the network is to be trusted, by the newest part of a series, or by the fleet where that is too short.
fn believed(network: &Network, frame: &Frame, values: &[f64], start_ms: i64) -> Vec<Option<f32>> {
    let meaning = network.meaning();
    let choosing = choosing(values.len(), meaning.horizon);
    if choosing < TOGETHER || values.len() < meaning.length + frame.warm_up() + choosing {
        return meaning.trust.clone();
    }
    let (mut windows, mut others, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    let places = values.len() - choosing - 1..values.len() - 1;
    for t in spread(places, TOGETHER) {
        windows.extend(shown(frame, &values[..=t], start_ms, meaning.length));
        others.extend(frame.others(&values[..=t]));
        targets.extend(frame.target(values, t));
    }
    trust(&network.say(&windows, &others), &targets, &frame.ahead(), choosing)
}

/// A network with the series that it is to forecast.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FittedLstmGlobal {
    network: Option<Network>,
    status: Vec<FitStatus>,
    watched: Vec<Option<Watched>>,
}

impl Model for LstmGlobal {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        let network = self.network(window, seed)?;
        let of = |s: usize| match &network {
            Some(network) => match watch(network, window, s) {
                Ok((status, own)) => (status, Some(own)),
                Err(status) => (status, None),
            },
            None => (without(window.values(s)), None),
        };
        let (status, watched) = (0..window.series_count()).into_par_iter().map(of).unzip();
        Ok(Box::new(FittedLstmGlobal { network, status, watched }))
    }

    fn is_trained(&self) -> bool {
        matches!(self.source, Source::Trained(_))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        let Source::Training(horizon, effort, _) = self.source else { return None };
        if !cfg!(feature = "burn-gpu") {
            return None;
        }
        let source = Source::Training(horizon, effort, device.clone());
        Some(Box::new(Self { name: self.name.clone(), source }))
    }
}

/// Why a series has no forecast where no network could be trained.
fn without(values: &[f64]) -> FitStatus {
    if values.iter().all(|y| y.is_nan()) { FitStatus::NoData } else { FitStatus::NotConverged }
}

impl Fitted for FittedLstmGlobal {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "lstm-global"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::LstmGlobal(Cow::Borrowed(self))))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.watched, points, |own, value, _| own.append(value))
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.status.len(), horizon, quantiles.clone());
        let Some(network) = &self.network else { return Ok(forecast) };
        let meaning = network.meaning();
        let moving: Vec<&Watched> = self.watched.iter().flatten().filter(|own| own.frame.moves()).collect();
        let show = |own: &&Watched| shown(&own.frame, &own.recent, own.start_ms, meaning.length);
        let windows: Vec<f32> = moving.par_iter().flat_map_iter(show).collect();
        let others: Vec<f32> = moving.par_iter().flat_map_iter(|own| own.frame.others(&own.recent)).collect();
        let said = network.say(&windows, &others);
        let mut said = said.chunks_exact(meaning.knots() * LEVELS.len());
        for (s, own) in self.watched.iter().enumerate().filter_map(|(s, own)| Some((s, own.as_ref()?))) {
            let said = if own.frame.moves() { said.next().expect("an answer to each window") } else { &[] };
            own.forecast(said, horizon, &mut forecast, s);
        }
        Ok(forecast)
    }
}

impl Whole for FittedLstmGlobal {
    fn is_whole(&self) -> bool {
        let Some(network) = &self.network else {
            return each_is_whole(&self.status, &self.watched, |_| false);
        };
        let (step_ms, knots) = (network.meaning().step_ms, network.meaning().knots());
        each_is_whole(&self.status, &self.watched, |own| {
            let fits = own.frame.step_ms() == step_ms && own.frame.outputs() == knots * LEVELS.len();
            own.is_whole() && fits
        })
    }
}
