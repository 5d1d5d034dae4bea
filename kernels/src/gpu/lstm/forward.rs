//! Windows, what networks say of them, and what that costs.

use cubecl::prelude::*;

use super::super::array;
use super::tiles::{ALIGNED, columns_of, keep, math, recall};
use super::{Bank, CELL, FACTS, OWN, Past, RECORD, Sizes, UNITS, part};

impl<R: Runtime, E: Past> Bank<'_, R, E> {
    /// Makes the windows of a step of training, or of a look at the rest.
    pub(super) fn show(&self, taken: u32, rest: bool) {
        let places = self.models * self.sizes.rows();
        let (cubes, dim) = self.each(places);
        // SAFETY: every table was made for so many models, and the series have the steps that the facts tell of.
        unsafe {
            show::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                array(&self.inputs.0, self.inputs.1),
                array(&self.targets.0, self.targets.1),
                array(&self.facts, self.models * FACTS),
                array(&self.pass.x, self.rows(self.sizes.inputs)),
                array(&self.pass.y, self.rows(self.sizes.targets)),
                places as u32,
                taken,
                u32::from(rest),
                f32::NAN, // WGSL has no word for one
                self.sizes,
            );
        }
    }

    /// Works out the cells of every layer at every step, what the networks say, what that costs and its slopes.
    pub(super) fn forward(&self) {
        let chunks = self.sizes.windows.div_ceil(self.sizes.together());
        for layer in 0..self.layout.shape.layers {
            let (cubes, dim) = self.cubes(self.models * chunks as usize);
            // The first layer reads nothing of a layer below.
            let below = layer.checked_sub(1).map_or_else(|| self.of_asked(), |below| self.of_hidden(below));
            // SAFETY: as in `show`; cubes past the last stop.
            unsafe {
                forward::launch_unchecked::<E, R>(
                    self.gpu.client(),
                    cubes,
                    dim,
                    self.of_weights(&self.weights),
                    array(&self.pass.x, self.rows(self.sizes.inputs)),
                    below,
                    self.of_records(layer),
                    self.of_hidden(layer),
                    array(&self.pass.y, self.rows(self.sizes.targets)),
                    array(&self.levels, self.sizes.levels as usize),
                    array(&self.pass.slopes, self.rows(self.sizes.outputs)),
                    self.of_costs(&self.pass.costs),
                    self.of_costs(&self.pass.known),
                    (self.models as u32) * chunks,
                    self.layout.block(layer, 0).start as u32,
                    layer > 0,
                    layer + 1 == self.layout.shape.layers,
                    self.sizes,
                );
            }
        }
    }
}

/// Wellons' `lowbias32`, as in `crate::lstm::place`.
#[cube]
fn mixed(number: u32) -> u32 {
    let first = (number ^ (number >> 16u32)) * 0x7feb_352du32;
    let second = (first ^ (first >> 15u32)) * 0x846c_a68bu32;
    second ^ (second >> 16u32)
}

/// One unit a step of a window.
#[cube(launch_unchecked)]
fn show(
    inputs: &Array<f32>,
    targets: &Array<f32>,
    facts: &Array<u32>,
    x: &mut Array<f32>,
    y: &mut Array<f32>,
    places: u32,
    taken: u32,
    rest: u32,
    unknown: f32,
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS as u32;
    if at < places {
        let (row, window) = part(at, sizes.windows);
        let (model, t) = part(row, sizes.length);
        let fact = (model * FACTS as u32) as usize;
        let first = facts[fact];
        let steps = facts[fact + 1];
        let learned = facts[fact + 2];
        let mut from = 0u32.runtime();
        let mut counted = 0u32.runtime();
        if rest == 0u32 {
            let places = learned + 1 - sizes.length;
            from = mixed(facts[fact + 3] ^ mixed(taken * sizes.windows + window)) % places;
        } else {
            // A window for each length of the rest, from the end; nothing of the others counts.
            counted = steps;
            if window * sizes.length + learned < steps {
                from = steps - (window + 1) * sizes.length;
                counted = learned;
            }
        }
        let step = from + t;
        for i in 0..sizes.inputs {
            x[(at * sizes.inputs + i) as usize] = inputs[((first + step) * sizes.inputs + i) as usize];
        }
        for k in 0..sizes.targets {
            let mut value = unknown;
            if step >= counted {
                value = targets[((first + step) * sizes.targets + k) as usize];
            }
            y[(at * sizes.targets + k) as usize] = value;
        }
    }
}

/// A NaN stays one.
#[cube]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0f32 / (1.0f32 + (0.0f32 - x).exp())
}

#[cube]
pub(super) fn squash(x: f32) -> f32 {
    2.0f32 * sigmoid(2.0f32 * x) - 1.0f32
}

/// Adds a number's share to the four gates of a unit, whose weights begin at `row`.
#[cube]
pub(super) fn add(
    sums: &mut Array<f32>,
    #[comptime] first: usize,
    value: f32,
    weights: &Array<f32>,
    row: u32,
    #[comptime] units: u32,
) {
    #[unroll]
    for g in 0..4usize {
        sums[comptime!(first + g)] += value * weights[(row + comptime!(g as u32 * units)) as usize];
    }
}

/// The gates of a unit in the place of their sums.
#[cube]
pub(super) fn gates(sums: &mut Array<f32>, #[comptime] first: usize) {
    sums[first] = sigmoid(sums[first]);
    sums[comptime!(first + 1)] = sigmoid(sums[comptime!(first + 1)]);
    sums[comptime!(first + 2)] = squash(sums[comptime!(first + 2)]);
    sums[comptime!(first + 3)] = sigmoid(sums[comptime!(first + 3)]);
}

/// One cube some windows of a network, one unit a cell of some of these: a group of units has the cells of its windows.
#[cube(launch_unchecked, fast_math = math(sizes.half))]
#[allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory
fn forward<E: Float>(
    weights: &Array<f32>,
    x: &Array<f32>,
    below: &Array<E>,
    records: &mut Array<E>,
    hidden: &mut Array<E>,
    y: &Array<f32>,
    levels: &Array<f32>,
    slopes: &mut Array<f32>,
    costs: &mut Array<f32>,
    known: &mut Array<f32>,
    cubes: u32,
    block: u32,
    #[comptime] above: bool,
    #[comptime] speaks: bool,
    #[comptime] sizes: Sizes,
) {
    let units = comptime!(sizes.units);
    let together = comptime!(sizes.together());
    let chunks = comptime!(sizes.windows.div_ceil(together));
    let inputs = comptime!(if above { sizes.hidden } else { sizes.inputs });
    let stride = comptime!(sizes.units + sizes.skew());
    let wide = comptime!(4 * sizes.units + sizes.skew());
    if (CUBE_POS as u32) < cubes {
        let mut last = SharedMemory::<E>::new_aligned(comptime!((together * stride) as usize), ALIGNED);
        let mut recalled = SharedMemory::<f32>::new_aligned(comptime!(sizes.if_half(together * wide)), ALIGNED);
        let mut kept = SharedMemory::<E>::new_aligned(comptime!(sizes.if_half(sizes.units * wide)), ALIGNED);
        let (model, chunk) = part(CUBE_POS as u32, chunks);
        let (group, unit) = part(UNIT_POS, units);
        let own = group * OWN as u32;
        let size = comptime!(sizes.windows * sizes.units);
        let mut cells = Array::<f32>::new(OWN);
        let mut sums = Array::<f32>::new(comptime!(4 * OWN));
        let mut bias = Array::<f32>::new(4usize);
        let spoken = comptime!(sizes.spoken(speaks));
        let mut own_costs = Array::<f32>::new(comptime!(spoken.max(1)));
        let mut own_known = Array::<f32>::new(comptime!(spoken.max(1)));
        #[unroll]
        for turn in 0..spoken {
            own_costs[turn] = 0.0f32;
            own_known[turn] = 0.0f32;
        }
        let mut window = Array::<u32>::new(OWN);
        #[unroll]
        for r in 0..OWN {
            cells[r] = 0.0f32;
            last[((own + comptime!(r as u32)) * stride + unit) as usize] = E::new(0.0f32);
            // One past the last is read as the last, and not written.
            window[r] = u32::min(chunk * together + own + comptime!(r as u32), comptime!(sizes.windows - 1));
            let first = model * comptime!(sizes.length + 1) * size + window[r] * units + unit;
            hidden[first as usize] = E::new(0.0f32);
        }
        let from = (model * comptime!(sizes.vectors) + block) * units + unit;
        #[unroll]
        for gate in 0..4usize {
            let row = from + comptime!((inputs + sizes.hidden) * 4 + gate as u32) * units;
            bias[gate] = weights[row as usize];
        }
        let mut columns = Sequence::<cmma::Matrix<E>>::new();
        if comptime!(sizes.half) {
            keep(weights, &mut kept, from - unit + comptime!(inputs * 4 * sizes.units), sizes);
            sync_cube();
            columns_of(&kept, &mut columns, sizes);
        }
        sync_cube();
        for t in 0..sizes.length {
            #[unroll]
            for i in 0..comptime!(4 * OWN) {
                sums[i] = bias[comptime!(i % 4)];
            }
            // A layer above reads the step's units, which lie one row further on.
            let step = if above { model * comptime!(sizes.length + 1) + t + 1 } else { model * sizes.length + t };
            for k in 0..inputs {
                let row = from + k * comptime!(4 * sizes.units);
                #[unroll]
                for r in 0..OWN {
                    let value = if above {
                        f32::cast_from(below[((step * sizes.windows + window[r]) * units + k) as usize])
                    } else {
                        x[((step * sizes.windows + window[r]) * inputs + k) as usize]
                    };
                    add(&mut sums, r * 4, value, weights, row, units);
                }
            }
            if comptime!(sizes.half) {
                recall(&last, &columns, &mut recalled, sizes);
                sync_cube();
                #[unroll]
                for i in 0..comptime!(4 * OWN) {
                    let at = (own + comptime!((i / 4) as u32)) * wide + comptime!((i % 4) as u32) * units + unit;
                    sums[i] += recalled[at as usize];
                }
            } else {
                for k in 0..sizes.hidden {
                    let row = from + (inputs + k) * comptime!(4 * sizes.units);
                    #[unroll]
                    for r in 0..OWN {
                        let value = f32::cast_from(last[((own + comptime!(r as u32)) * stride + k) as usize]);
                        add(&mut sums, r * 4, value, weights, row, units);
                    }
                }
                sync_cube();
            }
            let record = (model * sizes.length + t) * RECORD as u32;
            #[unroll]
            for r in 0..OWN {
                gates(&mut sums, r * 4);
                cells[r] = sums[r * 4 + 1] * cells[r] + sums[r * 4] * sums[r * 4 + 2];
                let told = E::cast_from(sums[r * 4 + 3] * squash(cells[r]));
                last[((own + comptime!(r as u32)) * stride + unit) as usize] = told;
                if chunk * together + own + comptime!(r as u32) < sizes.windows {
                    let place = window[r] * units + unit;
                    #[unroll]
                    for gate in 0..4usize {
                        let at = (record + comptime!(gate as u32)) * size + place;
                        records[at as usize] = E::cast_from(sums[r * 4 + gate]);
                    }
                    records[((record + CELL) * size + place) as usize] = E::cast_from(cells[r]);
                    hidden[((model * comptime!(sizes.length + 1) + t + 1) * size + place) as usize] = told;
                }
            }
            sync_cube();
            #[unroll]
            for turn in 0..spoken {
                let (row, output) = part(comptime!((turn * UNITS) as u32) + UNIT_POS, sizes.outputs);
                let own = chunk * together + row;
                if row < together && own < sizes.windows {
                    let head = (model * sizes.vectors + sizes.head) * units + output;
                    let mut said = weights[(head + comptime!(sizes.hidden * sizes.wide)) as usize];
                    for k in 0..sizes.hidden {
                        let value = f32::cast_from(last[(row * stride + k) as usize]);
                        said += value * weights[(head + k * sizes.wide) as usize];
                    }
                    let at = (model * sizes.length + t) * sizes.windows + own;
                    let right = y[(at * sizes.targets + output / sizes.levels) as usize];
                    let mut slope = 0.0f32;
                    if !right.is_nan() {
                        let level = levels[(output % sizes.levels) as usize];
                        let error = right - said;
                        slope = 1.0f32 - level;
                        if error > 0.0f32 {
                            slope = 0.0f32 - level;
                        }
                        own_costs[turn] -= slope * error;
                        own_known[turn] += 1.0f32;
                    }
                    slopes[(at * sizes.outputs + output) as usize] = slope;
                }
            }
        }
        #[unroll]
        for turn in 0..spoken {
            let (row, output) = part(comptime!((turn * UNITS) as u32) + UNIT_POS, sizes.outputs);
            let own = chunk * together + row;
            if row < together && own < sizes.windows {
                let at = ((model * sizes.windows + own) * sizes.outputs + output) as usize;
                costs[at] = own_costs[turn];
                known[at] = own_known[turn];
            }
        }
    }
}
