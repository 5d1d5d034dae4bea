//! What networks say: a unit a cell, which keeps nothing of a step but its cell.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::super::{Gpu, array};
use super::forward::{add, gates, squash};
use super::{Sizes, UNITS, part};

/// Works out `[models][steps][outputs]` of so many networks and steps; `weights` are in their vectors.
pub(super) fn launch<R: Runtime>(
    gpu: &Gpu<R>,
    sizes: Sizes,
    layers: usize,
    (models, steps): (usize, usize),
    (weights, x, said): (&Handle, &Handle, &Handle),
) {
    let together = UNITS / sizes.units as usize;
    let dim = CubeDim::new_1d(UNITS as u32);
    let cubes = cubecl::calculate_cube_count_elemwise(gpu.client(), models.div_ceil(together) * UNITS, dim);
    // SAFETY: every table was made for so many models and steps; what stands for a network past the last one is not written.
    unsafe {
        say::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            array(weights, models * sizes.weights()),
            array(x, models * steps * sizes.inputs as usize),
            array(said, models * steps * sizes.outputs as usize),
            models as u32,
            steps as u32,
            layers,
            sizes,
        );
    }
}

/// A group of units has the cells of all layers of a network.
#[cube(launch_unchecked)]
fn say(
    weights: &Array<f32>,
    x: &Array<f32>,
    said: &mut Array<f32>,
    models: u32,
    steps: u32,
    #[comptime] layers: usize,
    #[comptime] sizes: Sizes,
) {
    let units = comptime!(sizes.units);
    let mut last = SharedMemory::<f32>::new(comptime!(UNITS * layers));
    let mut cells = Array::<f32>::new(layers);
    let mut sums = Array::<f32>::new(4usize);
    let (group, unit) = part(UNIT_POS, units);
    let own = CUBE_POS as u32 * comptime!(UNITS as u32 / sizes.units) + group;
    // One past the last is worked on as the last, and not written.
    let model = u32::min(own, models - 1u32);
    let from = model * comptime!(sizes.vectors * sizes.units);
    #[unroll]
    for layer in 0..layers {
        cells[layer] = 0.0f32;
        last[comptime!(layer * UNITS) + UNIT_POS as usize] = 0.0f32;
    }
    sync_cube();
    for t in 0..steps {
        #[unroll]
        for layer in 0..layers {
            let inputs = comptime!(if layer > 0 { sizes.hidden } else { sizes.inputs });
            let below = comptime!(layer.saturating_sub(1) * UNITS);
            // The first layer has rows of its own width.
            let before = comptime!(layer as u32 * (2 * sizes.hidden + 1));
            let block = comptime!(if layer > 0 { before - sizes.hidden + sizes.inputs } else { before });
            let first = from + comptime!(block * 4 * sizes.units) + unit;
            let bias = first + comptime!((inputs + sizes.hidden) * 4 * sizes.units);
            #[unroll]
            for gate in 0..4usize {
                sums[gate] = weights[(bias + comptime!(gate as u32 * units)) as usize];
            }
            for k in 0..inputs {
                let row = first + k * comptime!(4 * sizes.units);
                let value = if comptime!(layer > 0) {
                    last[below + (group * units + k) as usize]
                } else {
                    x[((model * steps + t) * inputs + k) as usize]
                };
                add(&mut sums, 0usize, value, weights, row, units);
            }
            for k in 0..sizes.hidden {
                let row = first + (inputs + k) * comptime!(4 * sizes.units);
                let value = last[comptime!(layer * UNITS) + (group * units + k) as usize];
                add(&mut sums, 0usize, value, weights, row, units);
            }
            sync_cube();
            gates(&mut sums, 0usize);
            cells[layer] = sums[1] * cells[layer] + sums[0] * sums[2];
            last[comptime!(layer * UNITS) + UNIT_POS as usize] = sums[3] * squash(cells[layer]);
            sync_cube();
        }
        for turn in 0..comptime!(sizes.outputs.div_ceil(sizes.units)) {
            let output = turn * units + unit;
            if output < sizes.outputs && own < models {
                let head = from + comptime!(sizes.head * sizes.units) + output;
                let mut sum = weights[(head + comptime!(sizes.hidden * sizes.wide)) as usize];
                for k in 0..sizes.hidden {
                    let value = last[comptime!((layers - 1) * UNITS) + (group * units + k) as usize];
                    sum += value * weights[(head + k * sizes.wide) as usize];
                }
                said[((model * steps + t) * sizes.outputs + output) as usize] = sum;
            }
        }
    }
}
