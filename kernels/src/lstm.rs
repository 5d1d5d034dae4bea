//! Banks of small LSTM networks, one for each series: their sizes, what they learn from and how.

mod data;
mod layout;
mod shape;

use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;

use crate::error::expect_len;
use crate::{Device, KernelError, cpu, gpu};

pub use data::{LstmEffort, LstmEnd, LstmFit, LstmSeries};
pub(crate) use layout::Layout;
pub use shape::LstmShape;
use shape::expect_some;
pub(crate) use shape::place;

/// Adam's decays, and what keeps it from dividing by nothing: its authors' own.
pub(crate) const ADAM: (f32, f32) = (0.9, 0.999);
pub(crate) const LEAST: f32 = 1e-8;

/// Gates of a cell: input, forget, candidate and output, in PyTorch's order.
pub(crate) const GATES: usize = 4;

/// What one pass over every network's windows tells.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmGradient {
    /// Each network's mean quantile loss over the levels and the steps that are known, in the unit of the targets;
    /// 0 where none is.
    pub loss: Vec<f64>,
    /// `[models, weights]`: its derivatives.
    pub gradient: Vec<f32>,
}

/// The quantile loss of every network on windows of its own, and its derivatives by backpropagation through time.
///
/// The cell is `i, f, o = sigmoid(z_i, z_f, z_o)`, `g = tanh(z_g)` of `z = W_x x + W_h h + b`; then `c = f c + i g` and
/// `h = o tanh(c)`, both zero before a window. The head reads the last layer's `h` at every step: `q = W_q h + b_q`, the
/// levels of the first target, then those of the next. A level `p` costs `max(p (y - q), (p - 1) (y - q))`; at a tie the
/// derivative is that from above.
///
/// - `weights`: `[models, weights]`, each as [`LstmShape::weights`] lays them out.
/// - `x`: `[models, length, windows, inputs]`, finite.
/// - `y`: `[models, length, windows, targets]`; NaN where nothing is known, which costs nothing.
/// - `levels`: in `(0, 1)`; there are as many outputs as targets times levels.
///
/// About `24 windows length hidden (hidden + inputs)` FLOP a network and layer; a network's weights and its windows' past
/// stay in a core's cache. In `f32`, sums over windows included.
/// Source: Hochreiter and Schmidhuber, *Long short-term memory*, Neural Computation 9(8), 1997, with the forget gate of
/// Gers, Schmidhuber and Cummins, 2000; the loss of Koenker and Bassett, 1978.
///
/// # Errors
/// [`KernelError::Shape`] where an operand has another size, or a layer more units than a cube;
/// [`KernelError::Device`] when the device refuses the work.
pub fn lstm_gradient(
    device: &Device,
    shape: LstmShape,
    windows: usize,
    weights: &[f32],
    x: &[f32],
    y: &[f32],
    levels: &[f32],
) -> Result<LstmGradient, KernelError> {
    let targets = shape.targets(levels)?;
    let models = weights.len() / shape.weights();
    expect_len("weights", weights.len(), models * shape.weights())?;
    let length = y.len() / (models * windows * targets).max(1);
    expect_len("targets", y.len(), models * length * windows * targets)?;
    expect_len("inputs", x.len(), models * length * windows * shape.inputs)?;
    match device {
        Device::Cpu => Ok(cpu::lstm::lstm_gradient(shape, windows, weights, x, y, levels)),
        Device::Wgpu(gpu) => gpu::lstm::lstm_gradient(gpu, shape, windows, weights, x, y, levels),
        Device::Cuda(gpu) => gpu::lstm::lstm_gradient(gpu, shape, windows, weights, x, y, levels),
    }
}

/// Trains a network for every series, each on windows of its own.
///
/// A step draws `effort.windows` windows of `effort.length` steps, with repetition, from the part that is learned, takes
/// the gradient of [`lstm_gradient`], shortens it to `effort.clip` where it is longer, and goes one step of Adam at a rate
/// that falls along half a cosine. Now and then the windows of the rest are looked at: the weights that are best there are
/// what is kept, those that training began with among them, and a series that gained nothing for a while is done. A series
/// whose loss or gradient is no number any more ends with the best it had. Which windows are drawn follows from the series'
/// own seed: what a network learns hangs on nothing else in the bank, and is the same to the bit on the same device.
///
/// On a GPU with matrix units, layers of up to 64 units are trained in half precision where it has room for that: factors and
/// what is kept of the past have eleven bits and end at 60,000, sums, weights and Adam are in `f32`. [`lstm_gradient`] and
/// [`lstm_forward`] are in `f32` everywhere.
///
/// - `levels`: in `(0, 1)`; there are as many outputs as targets times levels.
/// - `weights`: `[series, weights]` to begin with, [`LstmShape::seeded`] or what an earlier training gave.
/// - Returns what every network learned, its loss in the unit of the targets, and how it ended.
///
/// A step costs what [`lstm_gradient`] does. On the CPU a series is a task, whose weights stay in its core's cache.
/// Source: Kingma and Ba, *Adam*, arXiv 1412.6980; Pascanu, Mikolov and Bengio, arXiv 1211.5063, section 3.2 (clipping);
/// Loshchilov and Hutter, arXiv 1608.03983 (cosine).
///
/// # Errors
/// As [`lstm_gradient`].
pub fn lstm_train(
    device: &Device,
    shape: LstmShape,
    series: &[LstmSeries<'_>],
    levels: &[f32],
    effort: &LstmEffort,
    weights: &[f32],
) -> Result<LstmFit, KernelError> {
    let targets = shape.targets(levels)?;
    expect_len("weights", weights.len(), series.len() * shape.weights())?;
    expect_some("steps of a window", effort.length)?;
    expect_some("windows of a step", effort.windows)?;
    for own in series {
        let steps = own.targets.len() / targets;
        expect_len("targets", own.targets.len(), steps * targets)?;
        expect_len("inputs", own.inputs.len(), steps * shape.inputs)?;
        expect_len("learned steps", own.learned_steps, own.learned_steps.min(steps))?;
    }
    match device {
        Device::Cpu => Ok(cpu::lstm::lstm_train(shape, series, levels, effort, weights)),
        Device::Wgpu(gpu) => gpu::lstm::lstm_train(gpu, shape, series, levels, effort, weights),
        Device::Cuda(gpu) => gpu::lstm::lstm_train(gpu, shape, series, levels, effort, weights),
    }
}

/// Adam's rate at a step of training.
pub(crate) fn rate(effort: &LstmEffort, taken: usize) -> f32 {
    let turn = std::f32::consts::PI * taken as f32 / effort.steps as f32;
    effort.rate * 0.5 * (1.0 + turn.cos())
}

/// Whether a window of a series fits into what is to be learned, and a target of that is known.
pub(crate) fn can_learn(series: &LstmSeries<'_>, effort: &LstmEffort, targets: usize) -> bool {
    let learned = &series.targets[..series.learned_steps * targets];
    learned.len() >= effort.length.max(1) * targets && learned.iter().any(|y| !y.is_nan())
}

/// What every network says at each step of one window, from nothing known before it.
///
/// - `weights`: `[models, weights]`.
/// - `x`: `[models, steps, inputs]`, finite.
/// - Returns `[models, steps, outputs]`.
///
/// # Errors
/// As [`lstm_gradient`].
pub fn lstm_forward(device: &Device, shape: LstmShape, weights: &[f32], x: &[f32]) -> Result<Vec<f32>, KernelError> {
    expect_windows(shape, weights, x)?;
    match device {
        Device::Cpu => Ok(cpu::lstm::lstm_forward(shape, weights, x)),
        Device::Wgpu(gpu) => gpu::lstm::lstm_forward(gpu, shape, weights, x),
        Device::Cuda(gpu) => gpu::lstm::lstm_forward(gpu, shape, weights, x),
    }
}

fn expect_windows(shape: LstmShape, weights: &[f32], x: &[f32]) -> Result<(), KernelError> {
    shape.targets(&[0.5])?;
    let models = weights.len() / shape.weights();
    expect_len("weights", weights.len(), models * shape.weights())?;
    let steps = x.len() / (models * shape.inputs).max(1);
    expect_len("inputs", x.len(), models * steps * shape.inputs)
}

/// Networks and a window of each in a device's memory: asked again and again, they carry nothing up.
#[derive(Debug)]
pub enum LstmBatch {
    /// In host memory: the shape, `[models, weights]` and `[models, steps, inputs]`.
    Cpu(LstmShape, Vec<f32>, Vec<f32>),
    /// In the memory of a wgpu adapter.
    Wgpu(Vec<gpu::lstm::Piece<WgpuRuntime>>),
    /// In the memory of an NVIDIA GPU.
    Cuda(Vec<gpu::lstm::Piece<CudaRuntime>>),
}

/// What networks said, where it was said.
#[derive(Debug)]
pub enum LstmSaid {
    /// In host memory.
    Cpu(Vec<f32>),
    /// In the memory of a wgpu adapter.
    Wgpu(Vec<gpu::lstm::Said<WgpuRuntime>>),
    /// In the memory of an NVIDIA GPU.
    Cuda(Vec<gpu::lstm::Said<CudaRuntime>>),
}

impl LstmSaid {
    /// Copies it to host memory: `[models, steps, outputs]`.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device refused this copy or the work that led to it.
    pub fn to_host(&self) -> Result<Vec<f32>, KernelError> {
        match self {
            Self::Cpu(said) => Ok(said.clone()),
            Self::Wgpu(parts) => {
                Ok(parts.iter().map(gpu::lstm::Said::download).collect::<Result<Vec<_>, _>>()?.concat())
            }
            Self::Cuda(parts) => {
                Ok(parts.iter().map(gpu::lstm::Said::download).collect::<Result<Vec<_>, _>>()?.concat())
            }
        }
    }
}

impl LstmBatch {
    /// Copies networks and their windows to a device, as [`lstm_forward`] takes them.
    ///
    /// # Errors
    /// As [`lstm_gradient`].
    pub fn to_device(device: &Device, shape: LstmShape, weights: &[f32], x: &[f32]) -> Result<Self, KernelError> {
        expect_windows(shape, weights, x)?;
        Ok(match device {
            Device::Cpu => Self::Cpu(shape, weights.to_vec(), x.to_vec()),
            Device::Wgpu(gpu) => Self::Wgpu(gpu::lstm::pieces(gpu, shape, weights, x)?.collect()),
            Device::Cuda(gpu) => Self::Cuda(gpu::lstm::pieces(gpu, shape, weights, x)?.collect()),
        })
    }

    /// [`lstm_forward`] there.
    pub fn forward(&self) -> LstmSaid {
        match self {
            Self::Cpu(shape, weights, x) => LstmSaid::Cpu(cpu::lstm::lstm_forward(*shape, weights, x)),
            Self::Wgpu(pieces) => LstmSaid::Wgpu(pieces.iter().map(gpu::lstm::Piece::forward).collect()),
            Self::Cuda(pieces) => LstmSaid::Cuda(pieces.iter().map(gpu::lstm::Piece::forward).collect()),
        }
    }
}

#[cfg(test)]
mod tests;
