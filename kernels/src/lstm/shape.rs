//! The sizes of a network, and how its weights lie.

use super::GATES;
use crate::KernelError;

/// Sizes of every network of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LstmShape {
    /// Numbers that a step shows.
    pub inputs: usize,
    /// Units of each layer.
    pub hidden: usize,
    /// Layers; each reads the units of the one below.
    pub layers: usize,
    /// Numbers that a step is answered with.
    pub outputs: usize,
}

/// What the forget gates begin with, so that a cell remembers before it has learned to: Jozefowicz, Zaremba and Sutskever,
/// *An empirical exploration of recurrent network architectures*, 2015, section 3.4.
const REMEMBERS: f32 = 1.0;

impl LstmShape {
    /// Weights of one network. Layer by layer `W_x` `[4 hidden, inputs]`, `W_h` `[4 hidden, hidden]` and `b` `[4 hidden]`,
    /// the gates in PyTorch's order `i, f, g, o`; then the head's `[outputs, hidden]` and `[outputs]`. PyTorch has two
    /// biases a gate, of which this is the sum.
    pub fn weights(&self) -> usize {
        let cells = |layer| GATES * self.hidden * (self.inputs_of(layer) + self.hidden + 1);
        (0..self.layers).map(cells).sum::<usize>() + self.outputs * (self.hidden + 1)
    }

    /// Numbers that a layer reads at a step.
    pub(crate) fn inputs_of(&self, layer: usize) -> usize {
        if layer == 0 { self.inputs } else { self.hidden }
    }

    /// Targets of a step, each answered at every level.
    pub(crate) fn targets(&self, levels: &[f32]) -> Result<usize, KernelError> {
        for (operand, size) in [("inputs of a step", self.inputs), ("units", self.hidden), ("layers", self.layers)] {
            expect_some(operand, size)?;
        }
        expect_some("outputs", self.outputs)?;
        let targets = self.outputs / levels.len().max(1);
        crate::error::expect_len("levels", levels.len(), self.outputs / targets.max(1))?;
        crate::error::expect_len("outputs", self.outputs, targets * levels.len()).map(|()| targets)
    }

    /// Weights to begin with, uniform within `1 / sqrt(hidden)` as PyTorch draws them, the forget gates open.
    pub fn seeded(&self, seed: u64) -> Vec<f32> {
        let bound = 1.0 / (self.hidden as f32).sqrt();
        let mut weights: Vec<f32> = (0..self.weights() as u64).map(|at| bound * symmetric(draw(seed, at))).collect();
        let mut at = 0;
        for layer in 0..self.layers {
            at += GATES * self.hidden * (self.inputs_of(layer) + self.hidden);
            weights[at + self.hidden..at + 2 * self.hidden].fill(REMEMBERS);
            at += GATES * self.hidden;
        }
        weights
    }
}

/// # Errors
/// [`KernelError::Shape`] where there is none of it.
pub(super) fn expect_some(operand: &'static str, size: usize) -> Result<(), KernelError> {
    if size == 0 { Err(KernelError::Shape { operand, found: 0, needed: 1 }) } else { Ok(()) }
}

/// The number of that place in a seed's stream, uniform over all of `u64`: SplitMix64, as Steele, Lea and Flood give it
/// (*Fast splittable pseudorandom number generators*, OOPSLA 2014).
fn draw(seed: u64, at: u64) -> u64 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = seed.wrapping_add(at.wrapping_add(1).wrapping_mul(GOLDEN));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The place of that number in a seed's stream, of so many: Wellons' `lowbias32` (*Prospecting for hash functions*, 2018), in
/// 32 bits since shaders have no more. Places are some thousands, so that the remainder favours none by more than a
/// part in a million.
pub(crate) fn place(seed: u32, at: u32, places: u32) -> u32 {
    mixed(seed ^ mixed(at)) % places
}

fn mixed(number: u32) -> u32 {
    let mut x = number ^ (number >> 16);
    x = x.wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// A draw as a number in `[-1, 1)`.
fn symmetric(draw: u64) -> f32 {
    (draw >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
}
