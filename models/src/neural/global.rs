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

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, LEVELS, spread, trust};
use super::network::Network;
use crate::append::append_each;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};
use training::{CHOOSING, shown};

pub use training::{GlobalEffort, Progress, Training, TrainingError};

/// Places of a series that tell how far the network is to be trusted.
const PLACES: usize = 48;
/// Values that a series must have.
const LEAST_SEEN: usize = 3;
/// Times that steps can be added to.
const FURTHEST_MS: u64 = 1 << 60;

/// A family of one network for all series.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmGlobal {
    /// Steps ahead that its network is trained for.
    pub horizon: Horizon,
    effort: GlobalEffort,
    network: Option<Network>,
}

impl LstmGlobal {
    /// A network that each fit trains anew on the series that it is to forecast.
    pub fn new(horizon: Horizon) -> Self {
        Self { horizon, effort: GlobalEffort::default(), network: None }
    }

    /// A network that was trained before.
    pub fn trained(horizon: Horizon, network: Network) -> Self {
        Self { network: Some(network), ..Self::new(horizon) }
    }

    /// The same, trained otherwise.
    #[must_use]
    pub fn with_effort(self, effort: GlobalEffort) -> Self {
        Self { effort, ..self }
    }

    /// The network for a window: the one that is there, or one that is trained on it. `None` where nothing can be learned.
    fn network(&self, window: &Window<'_>, seed: u64) -> Option<Network> {
        if self.network.is_some() {
            return self.network.clone();
        }
        let mut training = Training::begin(window, self.horizon, seed, self.effort)?;
        while !training.is_done() {
            training.advance();
        }
        training.finish().ok()
    }
}

/// What is known of a series, as the network is to see it.
#[derive(Clone, Serialize, Deserialize)]
struct Watched {
    frame: Frame,
    /// Share of what the network says that is believed, a knot each.
    trust: Vec<f32>,
    recent: Vec<f64>,
    start_ms: i64,
}

impl Watched {
    fn of(network: &Network, window: &Window<'_>, s: usize) -> Result<(FitStatus, Self), FitStatus> {
        let (meaning, values, step_ms) = (network.meaning(), window.values(s), window.step_ms());
        if meaning.step_ms != step_ms {
            return Err(FitStatus::OtherStep { trained_ms: meaning.step_ms });
        }
        let keep = |frame: Frame, trust| {
            let from = values.len().saturating_sub(meaning.length + frame.farthest() + 1);
            let (recent, start_ms) = (values[from..].to_vec(), window.start_ms(s) + from as i64 * step_ms);
            Self { frame, trust, recent, start_ms }
        };
        let frame = match Frame::of(values, step_ms, meaning.horizon, meaning.season) {
            Ok(frame) => frame,
            Err(FitStatus::Constant) => {
                let value = values.iter().copied().find(|y| !y.is_nan()).unwrap_or(f64::NAN);
                return Ok((FitStatus::Constant, keep(Frame::constant(value, step_ms, meaning.horizon), Vec::new())));
            }
            Err(status) => return Err(status),
        };
        let observed = values.iter().filter(|y| !y.is_nan()).count();
        if observed < LEAST_SEEN {
            return Err(FitStatus::TooShort { observed, needed: LEAST_SEEN });
        }
        if !frame.moves() {
            return Ok((FitStatus::Fitted, keep(frame, Vec::new())));
        }
        let trust = Self::trust(network, &frame, values, window.start_ms(s));
        // Nothing that it says is better than what is expected without it.
        if trust.iter().all(|share| *share == 0.0) {
            return Err(FitStatus::NotConverged);
        }
        Ok((FitStatus::Fitted, keep(frame, trust)))
    }

    /// How far the network is to be trusted, by the newest part of a series, or by the fleet where that is too short.
    fn trust(network: &Network, frame: &Frame, values: &[f64], start_ms: i64) -> Vec<f32> {
        let meaning = network.meaning();
        let choosing = (values.len() / CHOOSING).max(meaning.horizon);
        if choosing < PLACES || values.len() < meaning.length + frame.warm_up() + choosing {
            return meaning.trust.clone();
        }
        let places = spread(values.len() - choosing - 1..values.len() - 1, PLACES);
        let (mut windows, mut others, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for t in places {
            windows.extend(shown(frame, &values[..=t], start_ms, meaning.length));
            others.extend(frame.others(&values[..=t]));
            targets.extend(frame.target(values, t));
        }
        trust(&network.say(&windows, &others), &targets, meaning.knots())
    }

    /// Takes in one more step; returns the status from then on, `None` where it stays.
    fn append(&mut self, value: f64) -> Option<FitStatus> {
        let is_new = !self.frame.moves() && self.frame.is_off(&self.recent, value);
        self.recent.remove(0);
        self.recent.push(value);
        self.start_ms += self.frame.step_ms();
        (is_new || value.is_infinite()).then_some(FitStatus::Outdated)
    }
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
        "lstm-global".into()
    }

    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        let network = self.network(window, seed);
        let watch = |s: usize| match &network {
            Some(network) => match Watched::of(network, window, s) {
                Ok((status, own)) => (status, Some(own)),
                Err(status) => (status, None),
            },
            None => (without(window.values(s)), None),
        };
        let (status, watched) = (0..window.series_count()).into_par_iter().map(watch).unzip();
        Ok(Box::new(FittedLstmGlobal { network, status, watched }))
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
        let asked: Vec<(usize, &Watched)> =
            self.watched.iter().enumerate().filter_map(|(s, own)| Some((s, own.as_ref()?))).collect();
        let moving = |own: &Watched| own.frame.moves();
        let show = |(_, own): &(usize, &Watched)| {
            moving(own).then(|| shown(&own.frame, &own.recent, own.start_ms, meaning.length)).unwrap_or_default()
        };
        let measure =
            |(_, own): &(usize, &Watched)| moving(own).then(|| own.frame.others(&own.recent)).unwrap_or_default();
        let windows: Vec<f32> = asked.par_iter().flat_map_iter(show).collect();
        let others: Vec<f32> = asked.par_iter().flat_map_iter(measure).collect();
        let said = network.say(&windows, &others);
        let mut said = said.chunks_exact(meaning.knots() * LEVELS.len());
        for (s, own) in asked {
            let said = if moving(own) { said.next().expect("an answer to each window") } else { &[] };
            let (mean, bands) = own.frame.curves(&own.recent, (said, &own.trust), horizon.steps(), quantiles.levels());
            forecast.mean_mut(s).copy_from_slice(&mean);
            for (index, band) in bands.iter().enumerate() {
                forecast.quantile_mut(s, index).copy_from_slice(band);
            }
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
            let sized = !own.frame.moves() || own.trust.len() == knots;
            let fits = own.frame.step_ms() == step_ms && own.frame.outputs() == knots * LEVELS.len();
            let finite = own.trust.iter().all(|share| share.is_finite());
            let dated = own.start_ms.unsigned_abs() < FURTHEST_MS;
            own.frame.is_whole(own.recent.len()) && sized && fits && finite && dated
        })
    }
}
