//! Banks of LSTM networks on a device: a cube a network and some of its windows, whose units and cells stay with it from a
//! window's first step to its last. Nothing comes down before a bank is trained.

use std::marker::PhantomData;

use cubecl::prelude::*;
use cubecl::server::Handle;
use half::f16;
use rayon::prelude::*;

use super::{Gpu, array};
use crate::lstm::{GATES, Layout, LstmEffort, LstmEnd, LstmFit, LstmGradient, LstmSeries, LstmShape};
use crate::{KernelError, lstm};

mod backward;
mod forward;
pub(crate) mod gradient;
mod head;
mod learn;
mod say;
mod tiles;

pub(crate) use say::pieces;
pub use say::{Piece, Said};

/// Units of a cube.
const UNITS: usize = 256;
/// Windows that each unit of a cube works on: their sums are its registers.
const OWN: usize = 4;
/// Units of a layer that half precision is made for.
const HALF_UNITS: std::ops::RangeInclusive<usize> = 16..=64;
/// What is kept of a unit at a step: its gates, and its cell. In `f32` the slopes of the gates take their place on the way back.
const RECORD: usize = 5;
const CELL: u32 = 4;
/// What is told of a series: its first step, its steps, those that are learned, its seed, and whether a rest of it is known.
const FACTS: usize = 5;
/// What is counted of a series: how it ended, looks without a gain, and steps taken.
const COUNTS: usize = 3;
const RUNNING: u32 = 0;
const STOPPED: u32 = 1;
const DIVERGED: u32 = 2;

/// Sizes that a kernel is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sizes {
    inputs: u32,
    /// Units of a layer with those that fill it up to a power of two.
    units: u32,
    hidden: u32,
    outputs: u32,
    /// Outputs with those that fill up their vectors.
    wide: u32,
    targets: u32,
    levels: u32,
    windows: u32,
    length: u32,
    /// Vectors of `units` that a network's weights take.
    vectors: u32,
    head: u32,
    /// Whether products are in half precision, by a device's matrix units.
    half: bool,
}

impl Sizes {
    fn new(layout: &Layout, levels: usize, windows: usize, length: usize, half: bool) -> Self {
        let LstmShape { inputs, hidden, outputs, .. } = layout.shape;
        Self {
            inputs: inputs as u32,
            units: layout.lanes as u32,
            hidden: hidden as u32,
            outputs: outputs as u32,
            wide: (layout.out_vectors * layout.lanes) as u32,
            targets: (outputs / levels) as u32,
            levels: levels as u32,
            windows: windows as u32,
            length: length as u32,
            vectors: layout.vectors() as u32,
            head: layout.head().start as u32,
            half,
        }
    }

    /// Windows that a cube works on.
    fn together(&self) -> u32 {
        (UNITS * OWN) as u32 / self.units
    }

    /// Outputs of a cube's windows that a unit of a layer that speaks works on.
    fn spoken(&self, speaks: bool) -> usize {
        if speaks { (self.together() * self.outputs).div_ceil(UNITS as u32) as usize } else { 0 }
    }

    /// Parts that the slopes of a network's weights come in, each of some of its windows.
    fn parts(&self) -> u32 {
        if self.half { self.windows.div_ceil(self.together()) } else { 1 }
    }

    /// Steps of all windows of a network.
    fn rows(&self) -> usize {
        (self.length * self.windows) as usize
    }

    /// Numbers of a network's weights.
    fn weights(&self) -> usize {
        (self.vectors * self.units) as usize
    }
}

/// See [`crate::lstm_gradient`].
pub(crate) fn lstm_gradient<R: Runtime>(
    gpu: &Gpu<R>,
    shape: LstmShape,
    windows: usize,
    weights: &[f32],
    x: &[f32],
    y: &[f32],
    levels: &[f32],
) -> Result<LstmGradient, KernelError> {
    gradient::gradient::<R, f32>(gpu, (shape, windows), weights, (x, y), levels)
}

/// What the past of a pass is kept in.
trait Past: Float + CubeElement {
    /// Whether its products are those of matrix units.
    const HALF: bool;
}

impl Past for f32 {
    const HALF: bool = false;
}

impl Past for f16 {
    const HALF: bool = true;
}

/// Whether a device trains such networks in half precision: it has matrix units, and room for what they share.
fn serves_half<R: Runtime>(gpu: &Gpu<R>, shape: LstmShape) -> Result<bool, KernelError> {
    let suits = HALF_UNITS.contains(&shape.hidden.next_power_of_two().max(*HALF_UNITS.start()));
    if !suits || !gpu.has_matrix_units() {
        return Ok(false);
    }
    let sizes = Sizes::new(&layout(shape, true)?, 1, 1, 1, true);
    Ok(sizes.fits(shape.layers, gpu.client().properties().hardware.max_shared_memory_size))
}

/// How the weights of a network lie on a device: a vector has all units of a layer.
fn layout(shape: LstmShape, half: bool) -> Result<Layout, KernelError> {
    let lanes = shape.hidden.next_power_of_two().max(if half { *HALF_UNITS.start() } else { OWN });
    if lanes > UNITS {
        return Err(KernelError::Shape { operand: "hidden units", found: shape.hidden, needed: UNITS });
    }
    Ok(Layout::new(shape, lanes))
}

/// See [`crate::lstm_train`].
pub(crate) fn lstm_train<R: Runtime>(
    gpu: &Gpu<R>,
    shape: LstmShape,
    series: &[LstmSeries<'_>],
    levels: &[f32],
    effort: &LstmEffort,
    weights: &[f32],
) -> Result<LstmFit, KernelError> {
    let train = if serves_half(gpu, shape)? { train::<R, f16> } else { train::<R, f32> };
    train(gpu, shape, series, levels, effort, weights)
}

fn train<R: Runtime, E: Past>(
    gpu: &Gpu<R>,
    shape: LstmShape,
    series: &[LstmSeries<'_>],
    levels: &[f32],
    effort: &LstmEffort,
    weights: &[f32],
) -> Result<LstmFit, KernelError> {
    let layout = layout(shape, E::HALF)?;
    let sizes = Sizes::new(&layout, levels.len(), effort.windows, effort.length, E::HALF);
    let mut fit = LstmFit {
        weights: weights.to_vec(),
        loss: vec![f64::NAN; series.len()],
        steps: vec![0; series.len()],
        end: vec![LstmEnd::Nothing; series.len()],
    };
    let taught: Vec<usize> =
        (0..series.len()).filter(|s| lstm::can_learn(&series[*s], effort, sizes.targets as usize)).collect();
    let longest = series.iter().map(|own| own.targets.len() / sizes.targets as usize).max().unwrap_or(0);
    for batch in taught.chunks(together::<R, E>(gpu, &sizes, shape.layers, longest)?) {
        let own: Vec<LstmSeries<'_>> = batch.iter().map(|s| series[*s]).collect();
        let begin: Vec<&[f32]> = batch.iter().map(|s| &weights[s * shape.weights()..][..shape.weights()]).collect();
        let bank = Bank::<R, E>::new(gpu, &layout, sizes, &own, levels, &begin);
        bank.train(effort);
        bank.collect(batch, &mut fit)?;
    }
    Ok(fit)
}

/// See [`crate::lstm_forward`]: networks are carried up, asked and forgotten one piece after the other.
pub(crate) fn lstm_forward<R: Runtime>(
    gpu: &Gpu<R>,
    shape: LstmShape,
    weights: &[f32],
    x: &[f32],
) -> Result<Vec<f32>, KernelError> {
    let mut told = Vec::with_capacity(x.len() / shape.inputs * shape.outputs);
    for piece in pieces(gpu, shape, weights, x)? {
        told.extend(piece.forward().download()?);
    }
    Ok(told)
}

/// Networks that a device has room for, and places for in 32 bits; their series have `steps` at most.
///
/// # Errors
/// [`KernelError::Shape`] where not even one has.
fn together<R: Runtime, E: Past>(
    gpu: &Gpu<R>,
    sizes: &Sizes,
    layers: usize,
    steps: usize,
) -> Result<usize, KernelError> {
    let (units, inputs, targets) = (sizes.units as usize, sizes.inputs as usize, sizes.targets as usize);
    let (rows, weights, outputs) = (sizes.rows(), sizes.weights(), sizes.outputs as usize);
    let slopes = sizes.parts() as usize * weights;
    let turned = if E::HALF { 0 } else { GATES * units * units };
    let seen = steps * inputs.max(targets);
    let widest = (rows * (RECORD * units).max(inputs).max(outputs)).max(slopes).max(turned).max(seen);
    if widest > u32::MAX as usize {
        return Err(KernelError::Shape { operand: "numbers of a network", found: widest, needed: u32::MAX as usize });
    }
    // Records, units and what is asked of them; windows and slopes; weights with the best, Adam's two and their slopes.
    let past = rows * units * (layers * (RECORD + 1) + 1) * size_of::<E>();
    let others = rows * (inputs + targets + outputs) + 4 * weights + slopes + turned + 2 * seen;
    let all = past + others * size_of::<f32>();
    // A piece is a quarter of a device's memory or less: two of them leave room for what else lies there.
    let room = (gpu.largest_piece() / size_of::<f32>() / widest).min(2 * gpu.largest_piece() / all);
    Ok(room.min(u32::MAX as usize / widest).max(1))
}

/// A bank in a device's memory.
struct Bank<'a, R: Runtime, E> {
    gpu: &'a Gpu<R>,
    layout: &'a Layout,
    sizes: Sizes,
    models: usize,
    inputs: (Handle, usize),
    targets: (Handle, usize),
    facts: Handle,
    levels: Handle,
    /// Each `[models][vectors][units]`.
    weights: Handle,
    best: Handle,
    mean: Handle,
    square: Handle,
    /// `[models][parts][vectors][units]`.
    gradient: Handle,
    counts: Handle,
    losses: Handle,
    pass: Pass,
    past: PhantomData<E>,
}

/// What a pass over the windows of all networks leaves.
struct Pass {
    /// `[models][length][windows][inputs]`.
    x: Handle,
    /// `[models][length][windows][targets]`.
    y: Handle,
    /// Of each layer `[models][length][RECORD][windows][units]`.
    records: Vec<Handle>,
    /// Of each layer `[models][1 + length][windows][units]`.
    hidden: Vec<Handle>,
    /// `[models][length][windows][outputs]`.
    slopes: Handle,
    /// `[models][length][windows][units]`: what a layer asks of the one below, if there are two.
    asked: Handle,
    /// `[models][windows][outputs]`: what a window costs, and how much of it is known.
    costs: Handle,
    known: Handle,
    /// `[models][4 gates][units][units]`.
    turned: Handle,
}

impl<'a, R: Runtime, E: Past> Bank<'a, R, E> {
    fn new(
        gpu: &'a Gpu<R>,
        layout: &'a Layout,
        sizes: Sizes,
        series: &[LstmSeries<'_>],
        levels: &[f32],
        begin: &[&[f32]],
    ) -> Self {
        let models = series.len();
        let (rows, units, layers) = (models * sizes.rows(), sizes.units as usize, layout.shape.layers);
        let all = models * sizes.weights();
        let mut packed = vec![0.0; all];
        let places = packed.par_chunks_mut(sizes.weights());
        places.zip(begin).for_each(|(packed, own)| layout.pack(own, packed));
        let mut facts = Vec::with_capacity(models * FACTS);
        let mut first = 0;
        for own in series {
            let steps = own.targets.len() / sizes.targets as usize;
            let rest = own.targets[own.learned_steps * sizes.targets as usize..].iter().any(|y| !y.is_nan());
            facts.extend([first as u32, steps as u32, own.learned_steps as u32, own.seed, u32::from(rest)]);
            first += steps;
        }
        let inputs: Vec<f32> = series.iter().flat_map(|own| own.inputs).copied().collect();
        let targets: Vec<f32> = series.iter().flat_map(|own| own.targets).copied().collect();
        let empty = |count: usize| gpu.empty::<f32>(count);
        let past = |count: usize| gpu.empty::<E>(count);
        let hidden = models * (1 + sizes.length as usize) * sizes.windows as usize * units;
        let costs = models * (sizes.windows * sizes.outputs) as usize;
        let bank = Self {
            gpu,
            layout,
            sizes,
            models,
            inputs: (gpu.upload(&inputs), inputs.len()),
            targets: (gpu.upload(&targets), targets.len()),
            facts: gpu.upload(&facts),
            levels: gpu.upload(levels),
            weights: gpu.upload(&packed),
            best: empty(all),
            mean: empty(all),
            square: empty(all),
            gradient: empty(all * sizes.parts() as usize),
            counts: gpu.upload(&vec![0_u32; models * COUNTS]),
            losses: gpu.upload(&vec![f32::INFINITY; models]),
            pass: Pass {
                x: empty(rows * sizes.inputs as usize),
                y: empty(rows * sizes.targets as usize),
                records: (0..layers).map(|_| past(rows * RECORD * units)).collect(),
                hidden: (0..layers).map(|_| past(hidden)).collect(),
                slopes: empty(rows * sizes.outputs as usize),
                asked: past(if layers > 1 { rows * units } else { 1 }),
                costs: empty(costs),
                known: empty(costs),
                turned: empty(if E::HALF { 1 } else { models * GATES * units * units }),
            },
            past: PhantomData,
        };
        bank.begin();
        bank
    }

    /// The whole training, launch after launch.
    fn train(&self, effort: &LstmEffort) {
        self.look(effort, 0);
        for taken in 0..effort.steps {
            self.show(taken as u32, false);
            self.differentiate();
            self.step(effort, taken);
            if (taken + 1) % effort.look_every.max(1) == 0 || taken + 1 == effort.steps {
                self.look(effort, taken as u32 + 1);
            }
        }
    }

    /// The cost of the windows at hand and its slopes, which nothing is divided by yet.
    fn differentiate(&self) {
        self.forward();
        self.head_slopes();
        (0..self.layout.shape.layers).rev().for_each(|layer| self.backward(layer));
    }

    /// The loss on what training does not see, and what follows from it.
    fn look(&self, effort: &LstmEffort, taken: u32) {
        self.show(0, true);
        self.forward();
        self.judge(effort.patience as u32, taken == 0);
    }

    /// Brings down what was learned: the best on the rest, and the last where no rest tells.
    fn collect(&self, batch: &[usize], fit: &mut LstmFit) -> Result<(), KernelError> {
        const OPERATION: &str = "the LSTM bank";
        let counts: Vec<u32> = self.gpu.download(&self.counts, OPERATION)?;
        let losses: Vec<f32> = self.gpu.download(&self.losses, OPERATION)?;
        let facts: Vec<u32> = self.gpu.download(&self.facts, OPERATION)?;
        self.keep_unjudged();
        let best: Vec<f32> = self.gpu.download(&self.best, OPERATION)?;
        let width = self.layout.shape.weights();
        let mut flat = vec![0.0; batch.len() * width];
        let places = flat.par_chunks_mut(width).zip(best.par_chunks(self.sizes.weights()));
        places.for_each(|(flat, own)| self.layout.flat_into(own, flat));
        for (own, s) in batch.iter().enumerate() {
            let rest = facts[own * FACTS + FACTS - 1] == 1;
            let end = match counts[own * COUNTS] {
                STOPPED => LstmEnd::Stopped,
                DIVERGED => LstmEnd::Diverged,
                _ => LstmEnd::Done,
            };
            fit.weights[s * width..][..width].copy_from_slice(&flat[own * width..][..width]);
            fit.loss[*s] = if rest { f64::from(losses[own]) } else { f64::NAN };
            fit.steps[*s] = counts[own * COUNTS + 2];
            fit.end[*s] = end;
        }
        Ok(())
    }

    /// How to launch a unit for each of so many places.
    fn each(&self, places: usize) -> (CubeCount, CubeDim) {
        self.gpu.one_unit_per(places)
    }

    /// How to launch so many whole cubes.
    fn cubes(&self, count: usize) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new_1d(UNITS as u32);
        (cubecl::calculate_cube_count_elemwise(self.gpu.client(), count * UNITS, dim), dim)
    }

    /// Numbers of a table that has so many for each step of each window of every network.
    fn rows(&self, width: u32) -> usize {
        self.models * self.sizes.rows() * width as usize
    }

    fn of_weights(&self, handle: &Handle) -> ArrayArg<R> {
        array(handle, self.models * self.sizes.weights())
    }

    fn of_gradient(&self) -> ArrayArg<R> {
        array(&self.gradient, self.models * self.sizes.parts() as usize * self.sizes.weights())
    }

    fn of_asked(&self) -> ArrayArg<R> {
        array(&self.pass.asked, if self.layout.shape.layers > 1 { self.rows(self.sizes.units) } else { 1 })
    }

    fn of_costs(&self, handle: &Handle) -> ArrayArg<R> {
        array(handle, self.models * (self.sizes.windows * self.sizes.outputs) as usize)
    }

    fn of_hidden(&self, layer: usize) -> ArrayArg<R> {
        let rows = self.models * (1 + self.sizes.length as usize) * self.sizes.windows as usize;
        array(&self.pass.hidden[layer], rows * self.sizes.units as usize)
    }

    fn of_records(&self, layer: usize) -> ArrayArg<R> {
        array(&self.pass.records[layer], self.rows(RECORD as u32 * self.sizes.units))
    }
}

/// Where a cube or a unit stands in a bank: `at` over `width` and what is left.
#[cube]
fn part(at: u32, width: u32) -> (u32, u32) {
    (at / width, at % width)
}
