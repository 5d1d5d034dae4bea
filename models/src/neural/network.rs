//! A network for a whole fleet, as its file holds it: weights by the names that PyTorch gives them, run by candle.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::rnn::{LSTM, LSTMConfig, RNN};
use candle_nn::{Linear, Module, VarBuilder};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::frame::{INPUTS, LEVELS, others};
use super::ways::{Fleet, knots};
use crate::artifact::MOST_STEPS;
use crate::weights::{Weights, WeightsError};

/// The key of a file's metadata that tells what the network is for.
const KEY: &str = "foreshadow";
/// Units and layers that a network may have, and steps that it may look back on.
const MOST_UNITS: usize = 1_024;
const MOST_LAYERS: usize = 4;
const MOST_LENGTH: usize = 4_096;
/// Windows that are worked on together: always so many, for products of fewer rows are summed up in another order, and what
/// is said of a series may not hang on its neighbours.
pub(super) const TOGETHER: usize = 48;

/// Why bytes are not a network of a fleet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// Not a file of weights, or not those that its metadata call for.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Nothing says what it is for.
    #[error("its metadata have no key `{KEY}` that says what the network forecasts ({0})")]
    NoMeaning(String),
    /// A newer version wrote it.
    #[error("a network of format {given}; this version reads {}", Meaning::FORMAT)]
    Format {
        /// What it says.
        given: u32,
    },
    /// Numbers that fit no network.
    #[error("{key} is {given}, which no network here has")]
    OutOfRange {
        /// Of the metadata.
        key: &'static str,
        /// What stands there.
        given: String,
    },
}

/// What a network is for, and what it has of a fleet beside its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Meaning {
    pub(super) format: u32,
    /// Steps that it looks back on.
    pub(super) length: usize,
    pub(super) hidden: usize,
    pub(super) layers: usize,
    /// Steps ahead that it was trained for.
    pub(super) horizon: usize,
    pub(super) step_ms: i64,
    /// What a series is measured by where it has just begun, or shows no cycle.
    pub(super) fleet: Fleet,
    /// How far it was right of series that had just begun, a knot each: for those that are too short to tell themselves.
    pub(super) trust: Vec<Option<f32>>,
}

impl Meaning {
    /// The format that is written and read.
    pub(super) const FORMAT: u32 = 1;

    pub(super) fn knots(&self) -> usize {
        knots(self.horizon).len()
    }

    /// Numbers that tell how a series is measured.
    pub(super) fn others(&self) -> usize {
        others(self.knots())
    }

    fn outputs(&self) -> usize {
        self.knots() * LEVELS.len()
    }

    fn check(&self) -> Result<(), NetworkError> {
        let refuse = |key, given: &dyn fmt::Debug| Err(NetworkError::OutOfRange { key, given: format!("{given:?}") });
        if self.format != Self::FORMAT {
            return Err(NetworkError::Format { given: self.format });
        }
        for (key, given, most) in [
            ("length", self.length, MOST_LENGTH),
            ("hidden", self.hidden, MOST_UNITS),
            ("layers", self.layers, MOST_LAYERS),
            ("horizon", self.horizon, MOST_STEPS),
        ] {
            if !(1..=most).contains(&given) {
                return refuse(key, &given);
            }
        }
        if self.step_ms < 1 {
            return refuse("step_ms", &self.step_ms);
        }
        let odd = |(key, given)| NetworkError::OutOfRange { key, given };
        self.fleet.check(self.knots()).map_err(odd)?;
        if self.trust.len() != self.knots() || !self.trust.iter().flatten().all(|share| (0.0..=1.0).contains(share)) {
            return refuse("trust", &format_args!("{}", serde_json::json!(self.trust)));
        }
        Ok(())
    }

    /// Names and shapes of its weights.
    pub(super) fn weights(&self) -> Vec<(String, Vec<usize>)> {
        let (hidden, gates) = (self.hidden, 4 * self.hidden);
        let mut all = Vec::new();
        for layer in 0..self.layers {
            let inputs = if layer == 0 { INPUTS } else { hidden };
            all.push((format!("lstm.weight_ih_l{layer}"), vec![gates, inputs]));
            all.push((format!("lstm.weight_hh_l{layer}"), vec![gates, hidden]));
            all.push((format!("lstm.bias_ih_l{layer}"), vec![gates]));
            all.push((format!("lstm.bias_hh_l{layer}"), vec![gates]));
        }
        let shown = hidden + self.others();
        all.push(("mix.weight".into(), vec![hidden, shown]));
        all.push(("mix.bias".into(), vec![hidden]));
        all.push(("head.weight".into(), vec![self.outputs(), hidden]));
        all.push(("head.bias".into(), vec![self.outputs()]));
        all
    }
}

/// One network for a whole fleet: an LSTM over the latest steps of a series, and two layers that take its last state with
/// how the series is measured to quantiles of what will come.
#[derive(Clone)]
pub struct Network {
    meaning: Meaning,
    layers: Vec<LSTM>,
    mix: Linear,
    head: Linear,
    bytes: Arc<[u8]>,
}

impl Network {
    /// The network of a file's bytes: safetensors whose metadata hold `foreshadow`, a JSON object.
    ///
    /// Weights have the names and shapes of `torch.nn.LSTM` as `lstm` and of `torch.nn.Linear` as `mix` and `head`:
    /// `head(relu(mix(cat(last hidden state, how the series is measured))))`.
    ///
    /// # Errors
    /// [`NetworkError`] for any other bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, NetworkError> {
        let (weights, meaning) = Weights::read(bytes, KEY)?;
        let meaning = meaning.ok_or_else(|| NetworkError::NoMeaning("none is there".into()))?;
        let meaning: Meaning =
            serde_json::from_str(&meaning).map_err(|error| NetworkError::NoMeaning(error.to_string()))?;
        meaning.check()?;
        let named = |(name, shape): (String, Vec<usize>)| {
            let own = weights.get(&name, &shape)?;
            Ok((name, own))
        };
        let tensors = meaning.weights().into_iter().map(named).collect::<Result<_, WeightsError>>()?;
        Ok(Self::of(meaning, tensors, bytes.into()))
    }

    fn of(meaning: Meaning, tensors: HashMap<String, Tensor>, bytes: Arc<[u8]>) -> Self {
        let linear = |name: &str| {
            Linear::new(tensors[&format!("{name}.weight")].clone(), Some(tensors[&format!("{name}.bias")].clone()))
        };
        let (mix, head) = (linear("mix"), linear("head"));
        let all = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let layer = |layer_idx: usize| {
            let inputs = if layer_idx == 0 { INPUTS } else { meaning.hidden };
            let config = LSTMConfig { layer_idx, ..LSTMConfig::default() };
            LSTM::new(inputs, meaning.hidden, config, all.pp("lstm")).expect("its weights are there")
        };
        let layers = (0..meaning.layers).map(layer).collect();
        Self { meaning, layers, mix, head, bytes }
    }

    /// A network of weights in the order of [`Meaning::weights`].
    pub(super) fn made(meaning: &Meaning, weights: &[Vec<f32>]) -> Result<Self, NetworkError> {
        let text = serde_json::to_string(meaning).expect("plain numbers");
        let bytes: Vec<Vec<u8>> =
            weights.iter().map(|all| all.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
        let view = |((name, shape), bytes): ((String, Vec<usize>), _)| {
            (name, TensorView::new(Dtype::F32, shape, bytes).expect("as many values as its shape has"))
        };
        let views = meaning.weights().into_iter().zip(&bytes).map(|(named, bytes)| view((named, bytes.as_slice())));
        let metadata = HashMap::from([(KEY.to_owned(), text)]);
        let file = safetensors::serialize(views, Some(metadata)).expect("every name is there once");
        Self::read(&file)
    }

    /// The bytes of its file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Milliseconds between the steps of series that it was trained on.
    pub fn step_ms(&self) -> i64 {
        self.meaning.step_ms
    }

    /// Steps ahead that it was trained for.
    pub fn horizon(&self) -> usize {
        self.meaning.horizon
    }

    pub(super) fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// What it reads of a window: numbers of its steps, and numbers that tell how its series is measured.
    pub fn reads(&self) -> (usize, usize) {
        (self.meaning.length * INPUTS, self.meaning.others())
    }

    /// What it says of windows, `[windows, knots, levels]`.
    ///
    /// - `shown`: `[windows, length, inputs]`; `others`: `[windows, others]`, see [`Network::reads`].
    ///
    /// # Panics
    /// When they are not of as many windows.
    pub fn say(&self, shown: &[f32], others: &[f32]) -> Vec<f32> {
        let (window, other) = self.reads();
        assert_eq!((shown.len() % window, shown.len() / window * other), (0, others.len()), "windows differ");
        let some = |(shown, others): (&[f32], &[f32])| {
            let count = shown.len() / window;
            let filled = |part: &[f32], width: usize| [part, &vec![0.0; (TOGETHER - count) * width]].concat();
            let mut said = self
                .say_some(&filled(shown, window), &filled(others, other))
                .expect("weights and windows have the shapes that were checked");
            said.truncate(said.len() / TOGETHER * count);
            said
        };
        let together = shown.par_chunks(TOGETHER * window).zip(others.par_chunks(TOGETHER * other));
        together.flat_map_iter(some).collect()
    }

    fn say_some(&self, shown: &[f32], others: &[f32]) -> candle_core::Result<Vec<f32>> {
        let Meaning { length, .. } = self.meaning;
        let mut steps = Tensor::from_slice(shown, (TOGETHER, length, INPUTS), &Device::Cpu)?;
        let mut last = None;
        for (at, layer) in self.layers.iter().enumerate() {
            let states = layer.seq(&steps)?;
            last = states.last().map(|state| state.h().clone());
            if at + 1 < self.layers.len() {
                steps = layer.states_to_tensor(&states)?;
            }
        }
        let last = last.expect("a network has a layer and a window a step");
        let others = Tensor::from_slice(others, (TOGETHER, self.meaning.others()), &Device::Cpu)?;
        let mixed = self.mix.forward(&Tensor::cat(&[&last, &others], 1)?)?.relu()?;
        self.head.forward(&mixed)?.flatten_all()?.to_vec1()
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Network").field("meaning", &self.meaning).finish_non_exhaustive()
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// As the bytes of its file.
impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::read(&Vec::<u8>::deserialize(from)?).map_err(D::Error::custom)
    }
}
