//! The network while it learns, on burn, which derives: on the cores, and on a GPU with the feature `burn-gpu`.

use burn::backend::{Autodiff, Flex};
use burn::grad_clipping::GradientClippingConfig;
use burn::module::{AutodiffModule, Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Recorder};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use foreshadow_kernels::{Device, KernelError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::neural::frame::{INPUTS, LEVELS};
use crate::neural::network::Meaning;

type Keeper = BinBytesRecorder<FullPrecisionSettings>;

/// Slopes longer than that are cut.
const LONGEST: f32 = 1.0;
/// Windows that are looked at together.
const TOGETHER: usize = 256;

/// Windows of series.
#[derive(Clone, Debug, Default)]
pub(super) struct Windows {
    /// `[windows, length, INPUTS]`.
    pub(super) shown: Vec<f32>,
    /// `[windows, others]`.
    pub(super) others: Vec<f32>,
    /// `[windows, knots]`, NaN where nothing came.
    pub(super) targets: Vec<f32>,
}

/// A layer of an LSTM, with its gates in PyTorch's order: input, forget, cell, output. burn's own has a matrix for each gate,
/// products that are too small.
#[derive(Module, Debug)]
struct Layer<B: Backend> {
    by_input: Linear<B>,
    by_hidden: Linear<B>,
}

impl<B: Backend> Layer<B> {
    /// `[windows, hidden]` after each step of `[windows, inputs]`.
    fn forward(&self, steps: Vec<Tensor<B, 2>>) -> Vec<Tensor<B, 2>> {
        let (device, windows) = (steps[0].device(), steps[0].dims()[0]);
        let units = self.by_hidden.weight.dims()[0];
        let mut hidden = Tensor::zeros([windows, units], &device);
        let mut cell = Tensor::zeros([windows, units], &device);
        let step = |shown| {
            let gates = self.by_input.forward(shown) + self.by_hidden.forward(hidden.clone());
            let gate = |at: usize| gates.clone().narrow(1, at * units, units);
            let [input, forget, output] = [0, 1, 3].map(|at| sigmoid(gate(at)));
            cell = forget * cell.clone() + input * gate(2).tanh();
            hidden = output * cell.clone().tanh();
            hidden.clone()
        };
        steps.into_iter().map(step).collect()
    }
}

#[derive(Module, Debug)]
struct Net<B: Backend> {
    layers: Vec<Layer<B>>,
    mix: Linear<B>,
    head: Linear<B>,
}

impl<B: Backend> Net<B> {
    fn forward(&self, shown: Tensor<B, 3>, others: Tensor<B, 2>) -> Tensor<B, 2> {
        let length = shown.dims()[1];
        let steps = (0..length).map(|t| shown.clone().narrow(1, t, 1).squeeze_dim(1)).collect();
        let last = self.layers.iter().fold(steps, |steps, layer| layer.forward(steps)).pop();
        let last = last.expect("a window has a step");
        let mixed = relu(self.mix.forward(Tensor::cat(vec![last, others], 1)));
        self.head.forward(mixed)
    }
}

/// A network that learns somewhere.
pub(super) trait Learn: Send {
    /// One step of Adam.
    fn step(&mut self, windows: &Windows, rate: f64);

    /// Mean quantile loss, all knots alike.
    ///
    /// # Errors
    /// [`KernelError::Device`] where a device does not answer.
    fn loss(&self, windows: &Windows) -> Result<f64, KernelError>;

    /// The weights in the order of [`Meaning::weights`].
    ///
    /// # Errors
    /// As [`Learn::loss`].
    fn weights(&self) -> Result<Vec<Vec<f32>>, KernelError>;

    /// What [`Learn::resume`] reads.
    ///
    /// # Panics
    /// Where a device does not answer: burn's records have no error for that.
    fn bytes(&self) -> Vec<u8>;

    /// Becomes what it was when it made those bytes, wherever that was; `false` of others.
    fn resume(&mut self, bytes: &[u8]) -> bool;

    /// What the network says of windows.
    #[cfg(test)]
    fn says(&self, windows: &Windows) -> Vec<f32>;
}

/// A network that begins to learn on a device; on the cores where this program was built without `burn-gpu`.
pub(super) fn learner(meaning: &Meaning, seed: u64, device: &Device) -> Box<dyn Learn> {
    match device {
        #[cfg(feature = "burn-gpu")]
        Device::Wgpu(gpu) => {
            let place = (gpu.kind(), gpu.device().clone());
            Box::new(Learner::<Autodiff<burn::backend::Wgpu>>::seeded(meaning, seed, place))
        }
        #[cfg(feature = "burn-gpu")]
        Device::Cuda(gpu) => {
            let place = (gpu.kind(), gpu.device().clone());
            Box::new(Learner::<Autodiff<burn::backend::Cuda>>::seeded(meaning, seed, place))
        }
        _ => Box::new(Learner::<Autodiff<Flex>>::seeded(meaning, seed, ("cpu", Default::default()))),
    }
}

/// A network, and how Adam moves it.
struct Learner<B: AutodiffBackend> {
    meaning: Meaning,
    /// For messages.
    kind: &'static str,
    device: B::Device,
    net: Net<B>,
    adam: OptimizerAdaptor<Adam, Net<B>, B>,
}

impl<B: AutodiffBackend> Learner<B> {
    /// Small weights by seed, the same on every device; a head of zeros, so that it begins by saying that what is expected
    /// will come.
    fn seeded(meaning: &Meaning, seed: u64, (kind, device): (&'static str, B::Device)) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let weights = |(name, shape): (String, Vec<usize>)| {
            let count = shape.iter().product();
            let range = 1.0 / (*shape.last().expect("weights have a shape") as f32).sqrt();
            let mut all: Vec<f32> = (0..count).map(|_| random.random_range(-range..range)).collect();
            if name.starts_with("head") || shape.len() == 1 {
                all.fill(0.0);
            }
            if name.contains("bias_ih") {
                // Remember at first: Jozefowicz, Zaremba and Sutskever, ICML 2015.
                all[meaning.hidden..2 * meaning.hidden].fill(1.0);
            }
            all
        };
        let weights: Vec<Vec<f32>> = meaning.weights().into_iter().map(weights).collect();
        let clip = GradientClippingConfig::Norm(LONGEST);
        let adam = AdamConfig::new().with_grad_clipping(Some(clip)).init();
        Self { meaning: meaning.clone(), kind, net: net(meaning, &weights, &device), adam, device }
    }

    fn read<T: Backend, const D: usize>(&self, tensor: Tensor<T, D>) -> Result<Vec<f32>, KernelError> {
        let refused = |reason: String| KernelError::Device { device: self.kind, operation: "to read", reason };
        let data = tensor.try_into_data().map_err(|error| refused(error.to_string()))?;
        data.to_vec().map_err(|error| refused(format!("{error:?}")))
    }
}

impl<B: AutodiffBackend> Learn for Learner<B> {
    fn step(&mut self, windows: &Windows, rate: f64) {
        let loss = loss(&self.net, &self.meaning, windows, &self.device) / windows.seen() as f32;
        let slopes = GradientsParams::from_grads(loss.backward(), &self.net);
        self.net = self.adam.step(rate, self.net.clone(), slopes);
    }

    fn loss(&self, windows: &Windows) -> Result<f64, KernelError> {
        let net = self.net.valid();
        let parts = windows.in_parts(&self.meaning, TOGETHER);
        let of = |part: Windows| Ok(f64::from(self.read(loss(&net, &self.meaning, &part, &self.device))?[0]));
        let sum = parts.map(of).sum::<Result<f64, KernelError>>()?;
        Ok(sum / windows.seen() as f64)
    }

    fn weights(&self) -> Result<Vec<Vec<f32>>, KernelError> {
        let bias = |linear: &Linear<B>| self.read(linear.bias.as_ref().expect("every layer has one").val());
        // As PyTorch has them, `[out, in]`.
        let turned = |linear: &Linear<B>| self.read(linear.weight.val().transpose());
        let of_layer = |Layer { by_input, by_hidden }: &Layer<B>| {
            [turned(by_input), turned(by_hidden), bias(by_input), bias(by_hidden)]
        };
        let of_linear = |linear: &Linear<B>| [turned(linear), bias(linear)];
        let ends = [&self.net.mix, &self.net.head].into_iter().flat_map(of_linear);
        self.net.layers.iter().flat_map(of_layer).chain(ends).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        let whole = (Keeper::default().record(self.net.clone().into_record(), ()))
            .and_then(|net| Ok((net, Keeper::default().record(self.adam.to_record(), ())?)))
            .expect("memory grows");
        postcard::to_stdvec(&whole).expect("memory grows, and every length is known")
    }

    fn resume(&mut self, bytes: &[u8]) -> bool {
        let mut read = || {
            let (net, adam): (Vec<u8>, Vec<u8>) = postcard::from_bytes(bytes).ok()?;
            let net = Keeper::default().load(net, &self.device).ok()?;
            let adam = Keeper::default().load(adam, &self.device).ok()?;
            self.net = self.net.clone().load_record(net);
            self.adam = self.adam.clone().load_record(adam);
            Some(())
        };
        read().is_some()
    }

    #[cfg(test)]
    fn says(&self, windows: &Windows) -> Vec<f32> {
        let (shown, others) = windows.tensors(&self.meaning, &self.device);
        self.read(self.net.valid().forward(shown, others)).unwrap()
    }
}

impl Windows {
    fn count(&self, meaning: &Meaning) -> usize {
        self.targets.len() / meaning.knots()
    }

    /// Targets that are known; 1 of none.
    fn seen(&self) -> usize {
        self.targets.iter().filter(|target| !target.is_nan()).count().max(1)
    }

    /// So many windows each, in their order.
    fn in_parts<'a>(&'a self, meaning: &Meaning, each: usize) -> impl Iterator<Item = Self> + use<'a> {
        let (window, other, knots) = (meaning.length * INPUTS, meaning.others(), meaning.knots());
        let shown = self.shown.chunks(each * window).zip(self.others.chunks(each * other));
        shown.zip(self.targets.chunks(each * knots)).map(|((shown, others), targets)| Self {
            shown: shown.into(),
            others: others.into(),
            targets: targets.into(),
        })
    }

    fn tensors<B: Backend>(&self, meaning: &Meaning, device: &B::Device) -> (Tensor<B, 3>, Tensor<B, 2>) {
        let count = self.count(meaning);
        let shown = TensorData::new(self.shown.clone(), [count, meaning.length, INPUTS]);
        let others = TensorData::new(self.others.clone(), [count, meaning.others()]);
        (Tensor::from_data(shown, device), Tensor::from_data(others, device))
    }
}

/// Quantile loss of what came, summed up over windows and knots; the mean of the levels.
fn loss<B: Backend>(net: &Net<B>, meaning: &Meaning, windows: &Windows, device: &B::Device) -> Tensor<B, 1> {
    let (count, levels) = (windows.targets.len(), LEVELS.len());
    let (shown, others) = windows.tensors(meaning, device);
    let said = net.forward(shown, others).reshape([count, levels]);
    let seen: Vec<f32> = windows.targets.iter().map(|target| f32::from(u8::from(!target.is_nan()))).collect();
    let came: Vec<f32> = windows.targets.iter().map(|target| if target.is_nan() { 0.0 } else { *target }).collect();
    let column = |values: Vec<f32>| Tensor::<B, 2>::from_data(TensorData::new(values, [count, 1]), device);
    let (seen, came) = (column(seen), column(came));
    let level = Tensor::<B, 2>::from_data([LEVELS], device);
    let off = came - said;
    let pinball = (off.clone() * level.clone()).max_pair(off * (level - 1.0));
    (pinball * seen).sum() / levels as f32
}

/// A network of weights in the order of [`Meaning::weights`].
fn net<B: Backend>(meaning: &Meaning, weights: &[Vec<f32>], device: &B::Device) -> Net<B> {
    let mut weights = meaning.weights().into_iter().zip(weights).map(|((_, shape), all)| (shape, all.clone()));
    let mut next = || weights.next().expect("weights of every name");
    let layer = |_| {
        let [to_input, to_hidden, (_, by_input), (_, by_hidden)] = [next(), next(), next(), next()];
        Layer { by_input: linear(to_input, by_input, device), by_hidden: linear(to_hidden, by_hidden, device) }
    };
    let layers = (0..meaning.layers).map(layer).collect();
    let [mix, head] = [0; 2].map(|_| {
        let (own, (_, bias)) = (next(), next());
        linear(own, bias, device)
    });
    Net { layers, mix, head }
}

/// A layer of weights `[out, in]`.
fn linear<B: Backend>((shape, weights): (Vec<usize>, Vec<f32>), bias: Vec<f32>, device: &B::Device) -> Linear<B> {
    let mut own: Linear<B> = LinearConfig::new(shape[1], shape[0]).init(device);
    let turned = Tensor::<B, 2>::from_data(TensorData::new(weights, shape), device).transpose();
    own.weight = Param::from_data(turned.into_data(), device);
    let count = bias.len();
    own.bias = Some(Param::from_data(TensorData::new(bias, vec![count]), device));
    own
}
