//! Blocks of T5 (Raffel et al., *Exploring the limits of transfer learning*, arXiv 1910.10683), version 1.0 and 1.1, with a
//! mask over what is attended to; candle's own T5 takes no mask and no embeddings.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;
use candle_nn::{Activation, Module};

use crate::weights::{Weights, WeightsError};

/// Sizes of a stack.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    pub(super) model: usize,
    pub(super) head: usize,
    pub(super) heads: usize,
    pub(super) inner: usize,
    pub(super) buckets: usize,
    pub(super) farthest: usize,
    pub(super) epsilon: f64,
    pub(super) gated: bool,
    pub(super) activation: Activation,
}

/// `x · w'`, for weights `[out, in]`.
pub(super) fn times(x: &Tensor, weights: &Tensor) -> Result<Tensor> {
    x.broadcast_matmul(&weights.t()?)
}

/// Scaled to a mean square of one, with no shift.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    weight: Tensor,
    epsilon: f64,
}

impl Norm {
    pub(super) fn read(weights: &Weights, name: &str, sizes: &Sizes) -> std::result::Result<Self, WeightsError> {
        Ok(Self { weight: weights.get(&format!("{name}.weight"), &[sizes.model])?, epsilon: sizes.epsilon })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let square = x.sqr()?.mean_keepdim(D::Minus1)?;
        x.broadcast_div(&(square + self.epsilon)?.sqrt()?)?.broadcast_mul(&self.weight)
    }
}

#[derive(Clone, Debug)]
struct Attention {
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    heads: usize,
    head: usize,
}

impl Attention {
    fn read(weights: &Weights, name: &str, sizes: &Sizes) -> std::result::Result<Self, WeightsError> {
        let inner = sizes.heads * sizes.head;
        let get = |part: &str, shape: [usize; 2]| weights.get(&format!("{name}.{part}.weight"), &shape);
        Ok(Self {
            query: get("q", [inner, sizes.model])?,
            key: get("k", [inner, sizes.model])?,
            value: get("v", [inner, sizes.model])?,
            out: get("o", [sizes.model, inner])?,
            heads: sizes.heads,
            head: sizes.head,
        })
    }

    /// `[batch, steps, model]` that attends to `[batch, others, model]`; `bias` is added to the scores of each pair,
    /// `[batch or 1, heads or 1, steps or 1, others]`.
    fn forward(&self, x: &Tensor, others: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (batch, steps, _) = x.dims3()?;
        let split = |x: Tensor| {
            let (_, steps, _) = x.dims3()?;
            x.reshape((batch, steps, self.heads, self.head))?.transpose(1, 2)?.contiguous()
        };
        let query = split(times(x, &self.query)?)?;
        let (key, value) = (split(times(others, &self.key)?)?, split(times(others, &self.value)?)?);
        // T5 does not divide by the root of a head's width.
        let scores = query.matmul(&key.transpose(2, 3)?.contiguous()?)?.broadcast_add(bias)?;
        let seen = softmax(&scores, D::Minus1)?.matmul(&value)?;
        times(&seen.transpose(1, 2)?.reshape((batch, steps, self.heads * self.head))?, &self.out)
    }
}

#[derive(Clone, Debug)]
struct FeedForward {
    norm: Norm,
    /// One, or two that are multiplied.
    inner: Vec<Tensor>,
    out: Tensor,
    activation: Activation,
}

impl FeedForward {
    fn read(weights: &Weights, name: &str, sizes: &Sizes) -> std::result::Result<Self, WeightsError> {
        let names: &[&str] = if sizes.gated { &["wi_0", "wi_1"] } else { &["wi"] };
        let inner =
            |part: &&str| weights.get(&format!("{name}.DenseReluDense.{part}.weight"), &[sizes.inner, sizes.model]);
        Ok(Self {
            norm: Norm::read(weights, &format!("{name}.layer_norm"), sizes)?,
            inner: names.iter().map(inner).collect::<std::result::Result<_, _>>()?,
            out: weights.get(&format!("{name}.DenseReluDense.wo.weight"), &[sizes.model, sizes.inner])?,
            activation: sizes.activation,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let normed = self.norm.forward(x)?;
        let mut inner = self.activation.forward(&times(&normed, &self.inner[0])?)?;
        if let Some(gate) = self.inner.get(1) {
            inner = (inner * times(&normed, gate)?)?;
        }
        x + times(&inner, &self.out)?
    }
}

#[derive(Clone, Debug)]
struct Block {
    own: (Norm, Attention),
    /// What a decoder attends to of an encoder.
    other: Option<(Norm, Attention)>,
    after: FeedForward,
}

/// An encoder, or a decoder.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    blocks: Vec<Block>,
    norm: Norm,
    /// `[buckets, heads]`.
    bias: Tensor,
    sizes: Sizes,
    decodes: bool,
}

impl Stack {
    pub(super) fn read(
        weights: &Weights,
        name: &str,
        layers: usize,
        sizes: &Sizes,
    ) -> std::result::Result<Self, WeightsError> {
        let decodes = name == "decoder";
        let attention = |layer: String, kind: &str| {
            let norm = Norm::read(weights, &format!("{layer}.layer_norm"), sizes)?;
            Ok((norm, Attention::read(weights, &format!("{layer}.{kind}"), sizes)?))
        };
        let block = |at: usize| {
            let layer = |layer: usize| format!("{name}.block.{at}.layer.{layer}");
            let other = decodes.then(|| attention(layer(1), "EncDecAttention")).transpose()?;
            let after = FeedForward::read(weights, &layer(1 + usize::from(decodes)), sizes)?;
            Ok(Block { own: attention(layer(0), "SelfAttention")?, other, after })
        };
        let bias = format!("{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        Ok(Self {
            blocks: (0..layers).map(block).collect::<std::result::Result<_, _>>()?,
            norm: Norm::read(weights, &format!("{name}.final_layer_norm"), sizes)?,
            bias: weights.get(&bias, &[sizes.buckets, sizes.heads])?,
            sizes: sizes.clone(),
            decodes,
        })
    }

    /// `[batch, steps, model]`. `hidden`: `[batch, 1, 1, others]`, what is added to the scores of steps that are not to be
    /// attended to, in what a decoder is told, `told`, or else in `x` itself.
    pub(super) fn forward(&self, x: &Tensor, hidden: &Tensor, told: Option<&Tensor>) -> Result<Tensor> {
        let (_, steps, _) = x.dims3()?;
        let places = self.places(steps)?;
        let bias = if self.decodes { places } else { places.broadcast_add(hidden)? };
        let mut x = x.clone();
        for Block { own, other, after } in &self.blocks {
            let normed = own.0.forward(&x)?;
            x = (&x + own.1.forward(&normed, &normed, &bias)?)?;
            if let (Some((norm, attention)), Some(told)) = (other, told) {
                x = (&x + attention.forward(&norm.forward(&x)?, told, hidden)?)?;
            }
            x = after.forward(&x)?;
        }
        self.norm.forward(&x)
    }

    /// `[1, heads, steps, steps]`: what is added to the score of each pair by how far they are apart.
    fn places(&self, steps: usize) -> Result<Tensor> {
        let bucket = |(from, to): (usize, usize)| self.bucket(to as i64 - from as i64);
        let pairs = (0..steps).flat_map(|from| (0..steps).map(move |to| (from, to)));
        let buckets: Vec<u32> = pairs.map(bucket).collect();
        let buckets = Tensor::from_vec(buckets, steps * steps, self.bias.device())?;
        let bias = self.bias.index_select(&buckets, 0)?.reshape((steps, steps, self.sizes.heads))?;
        bias.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()
    }

    /// Near places have a bucket each, far ones share them by the logarithm of their distance.
    fn bucket(&self, ahead: i64) -> u32 {
        let (mut first, mut count) = (0, self.sizes.buckets as i64);
        let mut apart = (-ahead).max(0);
        if !self.decodes {
            count /= 2;
            first = if ahead > 0 { count } else { 0 };
            apart = ahead.abs();
        }
        let near = count / 2;
        if apart < near {
            return (first + apart) as u32;
        }
        // In `f32`, as PyTorch has it: the bucket that a distance falls into hangs on it.
        let share = (apart as f32 / near as f32).ln() / (self.sizes.farthest as f64 / near as f64).ln() as f32;
        let far = near + (share * (count - near) as f32) as i64;
        (first + far.min(count - 1)) as u32
    }
}
