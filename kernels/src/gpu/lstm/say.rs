//! What networks say: a unit a cell, which keeps nothing of a step but its cell.

use cubecl::prelude::*;
use cubecl::server::Handle;
use rayon::prelude::*;

use super::super::{Gpu, array};
use super::forward::{gates, squash};
use super::{Sizes, layout, part};
use crate::KernelError;
use crate::lstm::LstmShape;

/// Units of a cube, where a layer has no more.
const UNITS: u32 = 64;

/// Networks in a device's memory, with a window of each, and nothing else than what fits into a piece of that.
#[derive(Debug)]
pub struct Piece<R: Runtime> {
    gpu: Gpu<R>,
    sizes: Sizes,
    layers: usize,
    models: usize,
    weights: Handle,
    x: Handle,
}

/// What a piece's networks said, `[models][steps][outputs]`.
#[derive(Debug)]
pub struct Said<R: Runtime> {
    gpu: Gpu<R>,
    handle: Handle,
    numbers: usize,
}

impl<R: Runtime> Said<R> {
    /// Brings it down.
    pub(crate) fn download(&self) -> Result<Vec<f32>, KernelError> {
        let mut all: Vec<f32> = self.gpu.download(&self.handle, "what LSTM networks say")?;
        all.truncate(self.numbers);
        Ok(all)
    }
}

/// Copies networks to a device, as many at a time as go into a piece of its memory.
pub(crate) fn pieces<'a, R: Runtime>(
    gpu: &'a Gpu<R>,
    shape: LstmShape,
    weights: &'a [f32],
    x: &'a [f32],
) -> Result<impl Iterator<Item = Piece<R>> + 'a, KernelError> {
    let layout = layout(shape, false)?;
    let models = weights.len() / shape.weights();
    let own = (x.len() / models.max(1)).max(1);
    let steps = own / shape.inputs;
    let sizes = Sizes::new(&layout, 1, 1, steps, false);
    let widest = own.max(steps * shape.outputs).max(sizes.weights());
    let together = (gpu.largest_piece() / size_of::<f32>() / widest).min(u32::MAX as usize / widest).max(1);
    let parts = weights.chunks(together * shape.weights()).zip(x.chunks(together * own));
    Ok(parts.map(move |(weights, x)| {
        let models = x.len() / own;
        let mut packed = vec![0.0; models * sizes.weights()];
        let places = packed.par_chunks_mut(sizes.weights()).zip(weights.par_chunks(shape.weights()));
        places.for_each(|(packed, own)| layout.pack(own, packed));
        let (weights, x) = (gpu.upload(&packed), gpu.upload(x));
        Piece { gpu: gpu.clone(), sizes, layers: shape.layers, models, weights, x }
    }))
}

impl<R: Runtime> Piece<R> {
    /// Asks its networks.
    pub(crate) fn forward(&self) -> Said<R> {
        let Self { gpu, sizes, models, .. } = self;
        let numbers = models * (sizes.length * sizes.outputs) as usize;
        let handle = gpu.empty::<f32>(numbers);
        let together = (UNITS / sizes.units).max(1);
        // Where weights have no room beside the units, they are read from where they lie at every step.
        let bytes = size_of::<f32>() * (sizes.weights() + sizes.units as usize * self.layers) * together as usize;
        let near = bytes <= gpu.client().properties().hardware.max_shared_memory_size;
        let dim = CubeDim::new_1d(together * sizes.units);
        let units = models.div_ceil(together as usize) * (together * sizes.units) as usize;
        let cubes = cubecl::calculate_cube_count_elemwise(gpu.client(), units, dim);
        // SAFETY: every table was made for so many models and steps; what stands for a network past the last one is not
        // written.
        unsafe {
            say::launch_unchecked::<R>(
                gpu.client(),
                cubes,
                dim,
                array(&self.weights, models * sizes.weights()),
                array(&self.x, models * (sizes.length * sizes.inputs) as usize),
                array(&handle, numbers),
                *models as u32,
                self.layers,
                together,
                near,
                *sizes,
            );
        }
        Said { gpu: gpu.clone(), handle, numbers }
    }
}

/// A weight of a network, `at` from where its own begin far away and near.
#[cube]
fn weight_at(far: &Array<f32>, near: &SharedMemory<f32>, from: (u32, u32), at: u32, #[comptime] is_near: bool) -> f32 {
    if is_near { near[(from.1 + at) as usize] } else { far[(from.0 + at) as usize] }
}

/// Adds a number's share to the four gates of a unit, whose weights begin at `row`.
#[cube]
fn add_near(
    sums: &mut Array<f32>,
    value: f32,
    weights: &Array<f32>,
    near: &SharedMemory<f32>,
    from: (u32, u32),
    row: u32,
    #[comptime] is_near: bool,
    #[comptime] units: u32,
) {
    #[unroll]
    for gate in 0..4u32 {
        sums[gate as usize] += value * weight_at(weights, near, from, row + gate * units, is_near);
    }
}

/// A group of units has the cells of all layers of a network.
#[cube(launch_unchecked)]
#[allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory
fn say(
    weights: &Array<f32>,
    x: &Array<f32>,
    said: &mut Array<f32>,
    models: u32,
    #[comptime] layers: usize,
    #[comptime] together: u32,
    #[comptime] is_near: bool,
    #[comptime] sizes: Sizes,
) {
    let units = comptime!(sizes.units);
    let cube = comptime!((together * sizes.units) as usize);
    let width = comptime!(sizes.vectors * sizes.units);
    let mut near = SharedMemory::<f32>::new(comptime!(if is_near { (together * width) as usize } else { 1 }));
    let mut last = SharedMemory::<f32>::new(comptime!(cube * layers));
    let mut cells = Array::<f32>::new(layers);
    let mut sums = Array::<f32>::new(4usize);
    let (group, unit) = part(UNIT_POS, units);
    let own = CUBE_POS as u32 * together + group;
    // One past the last is worked on as the last, and not written.
    let model = u32::min(own, models - 1u32);
    let from = (model * width, group * width);
    if is_near {
        for turn in 0..comptime!(width / sizes.units) {
            let at = turn * units + unit;
            near[(from.1 + at) as usize] = weights[(from.0 + at) as usize];
        }
    }
    #[unroll]
    for layer in 0..layers {
        cells[layer] = 0.0f32;
        last[comptime!(layer * cube) + UNIT_POS as usize] = 0.0f32;
    }
    sync_cube();
    for t in 0..sizes.length {
        #[unroll]
        for layer in 0..layers {
            let inputs = comptime!(if layer > 0 { sizes.hidden } else { sizes.inputs });
            let below = comptime!(layer.saturating_sub(1) * cube);
            // The first layer has rows of its own width.
            let before = comptime!(layer as u32 * (2 * sizes.hidden + 1));
            let block = comptime!(if layer > 0 { before - sizes.hidden + sizes.inputs } else { before });
            let first = comptime!(block * 4 * sizes.units) + unit;
            let bias = first + comptime!((inputs + sizes.hidden) * 4 * sizes.units);
            #[unroll]
            for gate in 0..4u32 {
                sums[gate as usize] = weight_at(weights, &near, from, bias + gate * units, is_near);
            }
            for k in 0..inputs {
                let value = if comptime!(layer > 0) {
                    last[below + (group * units + k) as usize]
                } else {
                    x[((model * sizes.length + t) * inputs + k) as usize]
                };
                add_near(
                    &mut sums,
                    value,
                    weights,
                    &near,
                    from,
                    first + k * comptime!(4 * sizes.units),
                    is_near,
                    units,
                );
            }
            for k in 0..sizes.hidden {
                let value = last[comptime!(layer * cube) + (group * units + k) as usize];
                let row = first + (inputs + k) * comptime!(4 * sizes.units);
                add_near(&mut sums, value, weights, &near, from, row, is_near, units);
            }
            sync_cube();
            gates(&mut sums, 0usize);
            cells[layer] = sums[1] * cells[layer] + sums[0] * sums[2];
            last[comptime!(layer * cube) + UNIT_POS as usize] = sums[3] * squash(cells[layer]);
            sync_cube();
        }
        for turn in 0..comptime!(sizes.outputs.div_ceil(sizes.units)) {
            let output = turn * units + unit;
            if output < sizes.outputs && own < models {
                let head = comptime!(sizes.head * sizes.units) + output;
                let mut sum = weight_at(weights, &near, from, head + comptime!(sizes.hidden * sizes.wide), is_near);
                for k in 0..sizes.hidden {
                    let value = last[comptime!((layers - 1) * cube) + (group * units + k) as usize];
                    sum += value * weight_at(weights, &near, from, head + k * sizes.wide, is_near);
                }
                said[((model * sizes.length + t) * sizes.outputs + output) as usize] = sum;
            }
        }
    }
}
