//! The slopes of the head's weights.

use cubecl::prelude::*;

use super::super::array;
use super::{Bank, Past, Sizes, UNITS, part};

/// Outputs whose slopes a unit sums together.
const OUTPUTS: usize = 4;

impl<R: Runtime, E: Past> Bank<'_, R, E> {
    /// The slopes of the head's weights.
    pub(super) fn head_slopes(&self) {
        let count = self.models * self.sizes.parts() as usize;
        let (cubes, dim) = self.cubes(count);
        // SAFETY: as before; cubes past the last stop.
        unsafe {
            head_slopes::launch_unchecked::<E, R>(
                self.gpu.client(),
                cubes,
                dim,
                self.of_hidden(self.layout.shape.layers - 1),
                array(&self.pass.slopes, self.rows(self.sizes.outputs)),
                self.of_gradient(),
                count as u32,
                self.sizes,
            );
        }
    }
}

/// The sum over the groups of a cube of what the same unit of each has.
#[cube]
fn over_groups(own: f32, shared: &mut SharedMemory<f32>, #[comptime] units: u32) -> f32 {
    shared[UNIT_POS as usize] = own;
    sync_cube();
    let mut sum = 0.0f32;
    for group in 0..comptime!(UNITS as u32 / units) {
        sum += shared[(group * units + UNIT_POS % units) as usize];
    }
    sync_cube();
    sum
}

/// One cube a network and a part of its windows, which its groups share out among them; one unit a unit of the last layer.
#[cube(launch_unchecked)]
fn head_slopes<E: Float>(
    hidden: &Array<E>,
    slopes: &Array<f32>,
    gradient: &mut Array<f32>,
    cubes: u32,
    #[comptime] sizes: Sizes,
) {
    let units = comptime!(sizes.units);
    let groups = comptime!(UNITS as u32 / sizes.units);
    if (CUBE_POS as u32) < cubes {
        let mut shared = SharedMemory::<f32>::new(UNITS);
        let mut sums = Array::<f32>::new(OUTPUTS);
        let mut biases = Array::<f32>::new(OUTPUTS);
        let (model, own) = part(CUBE_POS as u32, comptime!(sizes.parts()));
        let (group, unit) = part(UNIT_POS, units);
        let together = comptime!(sizes.windows.div_ceil(sizes.parts()));
        let to = (CUBE_POS as u32 * sizes.vectors + sizes.head) * units;
        for block in 0..comptime!(sizes.outputs.div_ceil(OUTPUTS as u32)) {
            #[unroll]
            for o in 0..OUTPUTS {
                sums[o] = 0.0f32;
                biases[o] = 0.0f32;
            }
            for t in 0..sizes.length {
                for turn in 0..comptime!(together.div_ceil(groups)) {
                    let row = turn * groups + group;
                    let window = own * together + row;
                    if row < together && window < sizes.windows {
                        let next = (model * comptime!(sizes.length + 1) + t + 1) * sizes.windows + window;
                        let value = f32::cast_from(hidden[(next * units + unit) as usize]);
                        let from = ((model * sizes.length + t) * sizes.windows + window) * sizes.outputs;
                        #[unroll]
                        for o in 0..OUTPUTS {
                            let output = block * OUTPUTS as u32 + comptime!(o as u32);
                            if output < sizes.outputs {
                                let slope = slopes[(from + output) as usize];
                                sums[o] += value * slope;
                                biases[o] += slope;
                            }
                        }
                    }
                }
            }
            #[unroll]
            for o in 0..OUTPUTS {
                let output = block * OUTPUTS as u32 + comptime!(o as u32);
                let sum = over_groups(sums[o], &mut shared, units);
                let bias = over_groups(biases[o], &mut shared, units);
                if group == 0u32 && output < sizes.outputs {
                    if unit < sizes.hidden {
                        gradient[(to + unit * sizes.wide + output) as usize] = sum;
                    }
                    if unit == 0u32 {
                        gradient[(to + comptime!(sizes.hidden * sizes.wide) + output) as usize] = bias;
                    }
                }
            }
        }
        // What fills up an output's vectors has no slope.
        let filling = comptime!(sizes.wide - sizes.outputs);
        for turn in 0..comptime!(((sizes.hidden + 1) * filling).div_ceil(UNITS as u32)) {
            let (row, output) = part(turn * UNITS as u32 + UNIT_POS, comptime!(filling.max(1)));
            if row <= sizes.hidden {
                gradient[(to + row * sizes.wide + sizes.outputs + output) as usize] = 0.0f32;
            }
        }
    }
}
