//! Chronos-Bolt (Ansari et al., *Chronos: learning the language of time series*, arXiv 2403.07815, and the package
//! `chronos-forecasting`): patches of a scaled series through an encoder, and all quantiles of the next steps from one step of
//! a decoder.

use candle_core::{Device, Result, Tensor};
use candle_nn::{Activation, Module};
use rayon::prelude::*;
use serde::Deserialize;

use super::t5::{Sizes, Stack, times};
use crate::weights::{Weights, WeightsError};

/// The scale of a series that does not move.
const LEAST_SCALE: f64 = 1e-5;
/// Sizes that no checkpoint has.
const MOST: usize = 1 << 16;
const MOST_LAYERS: usize = 256;

/// Why a folder's files are no checkpoint of Chronos-Bolt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChronosError {
    /// `config.json` is not one, or lacks a key.
    #[error("config.json: {0}")]
    Config(String),
    /// It describes what no network can be.
    #[error("config.json: {key} is {given}, which no network has")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What stands there.
        given: String,
    },
    /// The weights are not those that it describes.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

#[derive(Clone, Debug, Deserialize)]
struct Config {
    d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_layers: usize,
    num_decoder_layers: Option<usize>,
    num_heads: usize,
    relative_attention_num_buckets: usize,
    #[serde(default = "usual_distance")]
    relative_attention_max_distance: usize,
    layer_norm_epsilon: f64,
    #[serde(default = "usual_activation")]
    feed_forward_proj: String,
    decoder_start_token_id: usize,
    chronos_config: Chronos,
}

fn usual_distance() -> usize {
    128
}

fn usual_activation() -> String {
    "relu".into()
}

#[derive(Clone, Debug, Deserialize)]
struct Chronos {
    context_length: usize,
    prediction_length: usize,
    input_patch_size: usize,
    input_patch_stride: usize,
    quantiles: Vec<f64>,
    #[serde(default)]
    use_reg_token: bool,
}

impl Config {
    fn read(text: &str) -> std::result::Result<Self, ChronosError> {
        let own: Self = serde_json::from_str(text).map_err(|error| ChronosError::Config(error.to_string()))?;
        let Chronos { context_length, prediction_length, input_patch_size, input_patch_stride, quantiles, .. } =
            &own.chronos_config;
        for (key, given, most) in [
            ("d_model", own.d_model, MOST),
            ("d_kv", own.d_kv, MOST),
            ("d_ff", own.d_ff, MOST),
            ("num_heads", own.num_heads, MOST),
            ("num_layers", own.num_layers, MOST_LAYERS),
            ("num_decoder_layers", own.num_decoder_layers.unwrap_or(own.num_layers), MOST_LAYERS),
            ("relative_attention_max_distance", own.relative_attention_max_distance, 1 << 24),
            ("chronos_config.context_length", *context_length, 1 << 20),
            ("chronos_config.prediction_length", *prediction_length, MOST),
            ("chronos_config.input_patch_size", *input_patch_size, *context_length),
            ("chronos_config.input_patch_stride", *input_patch_stride, *input_patch_size),
        ] {
            if !(1..=most).contains(&given) {
                return Err(ChronosError::OutOfRange { key, given: given.to_string() });
            }
        }
        if !(own.layer_norm_epsilon > 0.0 && own.layer_norm_epsilon < 1.0) {
            let key = "layer_norm_epsilon";
            return Err(ChronosError::OutOfRange { key, given: own.layer_norm_epsilon.to_string() });
        }
        let buckets = own.relative_attention_num_buckets;
        if !(4..=MOST).contains(&buckets) || own.relative_attention_max_distance <= buckets / 2 {
            let key = "relative_attention_num_buckets";
            return Err(ChronosError::OutOfRange { key, given: buckets.to_string() });
        }
        let rising = quantiles.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = quantiles.iter().all(|level| *level > 0.0 && *level < 1.0);
        // Levels beyond the outer ones are drawn from these and the middle.
        let spans = quantiles.first().is_some_and(|low| *low < 0.5) && quantiles.last().is_some_and(|high| *high > 0.5);
        if !(rising && inside && spans && quantiles.len() < 1_000) {
            let key = "chronos_config.quantiles";
            return Err(ChronosError::OutOfRange { key, given: format!("{quantiles:?}") });
        }
        if own.decoder_start_token_id >= own.tokens() {
            let (key, given) = ("decoder_start_token_id", own.decoder_start_token_id.to_string());
            return Err(ChronosError::OutOfRange { key, given });
        }
        Ok(own)
    }

    /// Rows of the table of embeddings: where a decoder begins, and what may end a context.
    fn tokens(&self) -> usize {
        1 + usize::from(self.chronos_config.use_reg_token)
    }

    fn sizes(&self) -> std::result::Result<Sizes, ChronosError> {
        let word = self.feed_forward_proj.as_str();
        let (gated, word) = word.strip_prefix("gated-").map_or((false, word), |word| (true, word));
        let activation = match (gated, word) {
            (_, "relu") => Activation::Relu,
            (_, "silu") => Activation::Silu,
            // The gated one of T5 1.1 means the approximation.
            (true, "gelu") | (_, "gelu_new") => Activation::NewGelu,
            (false, "gelu") => Activation::Gelu,
            _ => {
                let given = self.feed_forward_proj.clone();
                return Err(ChronosError::OutOfRange { key: "feed_forward_proj", given });
            }
        };
        Ok(Sizes {
            model: self.d_model,
            head: self.d_kv,
            heads: self.num_heads,
            inner: self.d_ff,
            buckets: self.relative_attention_num_buckets,
            farthest: self.relative_attention_max_distance,
            epsilon: self.layer_norm_epsilon,
            gated,
            activation,
        })
    }
}

/// Weights and what is added.
type Layer = (Tensor, Tensor);

/// Two layers, and one past them.
#[derive(Clone, Debug)]
struct Residual {
    hidden: Layer,
    output: Layer,
    residual: Layer,
    activation: Activation,
}

impl Residual {
    fn read(
        weights: &Weights,
        name: &str,
        [from, inner, to]: [usize; 3],
        activation: Activation,
    ) -> std::result::Result<Self, WeightsError> {
        let layer = |part: &str, from: usize, to: usize| {
            let weight = weights.get(&format!("{name}.{part}.weight"), &[to, from])?;
            Ok((weight, weights.get(&format!("{name}.{part}.bias"), &[to])?))
        };
        Ok(Self {
            hidden: layer("hidden_layer", from, inner)?,
            output: layer("output_layer", inner, to)?,
            residual: layer("residual_layer", from, to)?,
            activation,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let apply = |x: &Tensor, (weight, bias): &Layer| times(x, weight)?.broadcast_add(bias);
        let inner = self.activation.forward(&apply(x, &self.hidden)?)?;
        apply(&inner, &self.output)? + apply(x, &self.residual)?
    }
}

/// A checkpoint of Chronos-Bolt.
#[derive(Clone, Debug)]
pub struct ChronosBolt {
    config: Config,
    /// `[tokens, model]`.
    shared: Tensor,
    embedding: Residual,
    encoder: Stack,
    decoder: Stack,
    head: Residual,
    mark: u32,
}

impl ChronosBolt {
    /// The network of `config.json` and `model.safetensors`.
    ///
    /// # Errors
    /// [`ChronosError`] names the key or the weights that are not as they should be.
    pub fn read(config: &str, weights: &[u8]) -> std::result::Result<Self, ChronosError> {
        let mark = crc32fast::hash(weights) ^ crc32fast::hash(config.as_bytes());
        let config = Config::read(config)?;
        let sizes = config.sizes()?;
        let (weights, _) = Weights::read(weights, "")?;
        let Chronos { input_patch_size, prediction_length, quantiles, .. } = &config.chronos_config;
        let said = quantiles.len() * prediction_length;
        let [into, out] = [[2 * input_patch_size, config.d_ff, config.d_model], [config.d_model, config.d_ff, said]];
        let activation = sizes.activation;
        let layers = config.num_decoder_layers.unwrap_or(config.num_layers);
        Ok(Self {
            shared: weights.get("shared.weight", &[config.tokens(), config.d_model])?,
            embedding: Residual::read(&weights, "input_patch_embedding", into, activation)?,
            encoder: Stack::read(&weights, "encoder", config.num_layers, &sizes)?,
            decoder: Stack::read(&weights, "decoder", layers, &sizes)?,
            head: Residual::read(&weights, "output_patch_embedding", out, activation)?,
            config,
            mark,
        })
    }

    /// A number that other checkpoints do not have.
    pub fn mark(&self) -> u32 {
        self.mark
    }

    /// Latest steps that it looks at.
    pub fn context_length(&self) -> usize {
        self.config.chronos_config.context_length
    }

    /// Steps ahead that it says at once; more are said of what it said.
    pub fn prediction_length(&self) -> usize {
        self.config.chronos_config.prediction_length
    }

    /// The levels that it says, rising.
    pub fn levels(&self) -> &[f64] {
        &self.config.chronos_config.quantiles
    }

    /// What it says of a series, `[levels, steps]`; NaN marks an unobserved value.
    ///
    /// Past what it says at once each quantile is taken for what came, and the quantiles of all that is said of those are
    /// next, as the package does.
    pub(super) fn say(&self, series: &[f64], steps: usize) -> Vec<f64> {
        let (count, length) = (self.levels().len(), self.prediction_length());
        let mut said = self.quantiles(series);
        let mut all: Vec<Vec<f64>> = vec![Vec::new(); count];
        let mut paths = vec![series.to_vec(); count];
        loop {
            all.iter_mut().zip(said.chunks_exact(length)).for_each(|(level, said)| level.extend(said));
            if all[0].len() >= steps {
                break;
            }
            for (path, said) in paths.iter_mut().zip(said.chunks_exact(length)) {
                path.extend(said);
                path.drain(..path.len().saturating_sub(self.context_length()));
            }
            let told: Vec<Vec<f64>> = paths.par_iter().map(|path| self.quantiles(path)).collect();
            said = self.merged(&told);
        }
        all.into_iter().flat_map(|level| level[..steps].to_vec()).collect()
    }

    /// Quantiles over what was said of each path, `[levels, prediction_length]` of `[paths][levels, prediction_length]`.
    fn merged(&self, told: &[Vec<f64>]) -> Vec<f64> {
        let (count, length) = (self.levels().len(), self.prediction_length());
        let mut merged = vec![0.0; count * length];
        for step in 0..length {
            let mut all: Vec<f64> =
                told.iter().flat_map(|own| (0..count).map(move |level| own[level * length + step])).collect();
            all.sort_unstable_by(f64::total_cmp);
            for (at, level) in self.levels().iter().enumerate() {
                let place = level * (all.len() - 1) as f64;
                let (below, share) = (place as usize, place.fract());
                let above = (below + 1).min(all.len() - 1);
                merged[at * length + step] = all[below] + share * (all[above] - all[below]);
            }
        }
        merged
    }

    /// `[levels, prediction_length]` after a context. Each is worked on by itself: products over several would be summed up
    /// by their number, and what is said of a series may not hang on its neighbours.
    fn quantiles(&self, context: &[f64]) -> Vec<f64> {
        let own = Scaled::of(context);
        let said = self.forward(&own.values).expect("weights and patches have the shapes that were checked");
        said.into_iter().map(|y| f64::from(y) * own.scale + own.mean).collect()
    }

    fn forward(&self, values: &[f32]) -> Result<Vec<f32>> {
        let Chronos { input_patch_size: size, input_patch_stride: stride, use_reg_token, .. } =
            self.config.chronos_config;
        let length = values.len().max(1).next_multiple_of(size);
        let before = length - values.len();
        let at = |t: usize| t.checked_sub(before).map_or(f32::NAN, |t| values[t]);
        let patches = (length - size) / stride + 1;
        let (mut shown, mut hidden) = (Vec::new(), Vec::new());
        for patch in 0..patches {
            let own: Vec<f32> = (patch * stride..patch * stride + size).map(at).collect();
            shown.extend(own.iter().map(|y| if y.is_nan() { 0.0 } else { *y }));
            shown.extend(own.iter().map(|y| f32::from(u8::from(!y.is_nan()))));
            hidden.push(if own.iter().all(|y| y.is_nan()) { f32::MIN } else { 0.0 });
        }
        let device = &Device::Cpu;
        let mut x = self.embedding.forward(&Tensor::from_vec(shown, (1, patches, 2 * size), device)?)?;
        if use_reg_token {
            hidden.push(0.0);
            x = Tensor::cat(&[&x, &self.token(1)?], 1)?;
        }
        let count = hidden.len();
        let hidden = Tensor::from_vec(hidden, (1, 1, 1, count), device)?;
        let told = self.encoder.forward(&x, &hidden, None)?;
        let last = self.decoder.forward(&self.token(self.config.decoder_start_token_id)?, &hidden, Some(&told))?;
        self.head.forward(&last)?.flatten_all()?.to_vec1()
    }

    /// `[1, 1, model]` of a row of the table.
    fn token(&self, row: usize) -> Result<Tensor> {
        self.shared.narrow(0, row, 1)?.unsqueeze(0)
    }
}

/// A context in its own measure.
struct Scaled {
    values: Vec<f32>,
    mean: f64,
    scale: f64,
}

impl Scaled {
    fn of(values: &[f64]) -> Self {
        let (mean, scale) = measures(values);
        let scale = if scale == 0.0 { LEAST_SCALE } else { scale };
        Self { values: values.iter().map(|y| ((y - mean) / scale) as f32).collect(), mean, scale }
    }
}

/// Mean and standard deviation of what was observed.
pub(super) fn measures(values: &[f64]) -> (f64, f64) {
    let seen = || values.iter().copied().filter(|y| !y.is_nan());
    let count = seen().count().max(1) as f64;
    let mean = seen().map(|y| y / count).sum::<f64>();
    (mean, seen().map(|y| (y - mean) * (y - mean) / count).sum::<f64>().sqrt())
}
