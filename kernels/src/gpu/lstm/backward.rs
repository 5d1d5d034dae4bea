//! Back through time, and the slopes of the weights.

use cubecl::prelude::*;

use super::super::array;
use super::forward::squash;
use super::tiles::{ALIGNED, begin, frame, keep, keep_head, learn, leave, math, send_back, show_inputs, within_half};
use super::{Bank, CELL, GATES, OWN, Past, RECORD, Sizes, part};

/// Rows of weights whose slopes a unit sums together.
const ROWS: usize = 8;
/// Outputs of a network up to which a loop over them is written out.
const UNROLLED: u32 = 8;

impl<R: Runtime, E: Past> Bank<'_, R, E> {
    /// The slopes of a layer's weights, and what the layer asks of the one below.
    pub(super) fn backward(&self, layer: usize) {
        let inputs = self.layout.shape.inputs_of(layer) as u32;
        if !self.sizes.half {
            self.turn(layer, inputs);
        }
        let chunks = self.sizes.windows.div_ceil(self.sizes.together());
        let (cubes, dim) = self.cubes(self.models * chunks as usize);
        // SAFETY: every table was made for so many models; cubes past the last stop.
        unsafe {
            backward::launch_unchecked::<E, R>(
                self.gpu.client(),
                cubes,
                dim,
                self.turned(),
                self.of_weights(&self.weights),
                array(&self.pass.x, self.rows(self.sizes.inputs)),
                self.of_hidden(layer.saturating_sub(1)),
                self.of_hidden(layer),
                array(&self.pass.slopes, self.rows(self.sizes.outputs)),
                self.of_asked(),
                self.of_records(layer),
                self.of_gradient(),
                (self.models as u32) * chunks,
                self.layout.block(layer, 0).start as u32,
                layer > 0,
                layer + 1 == self.layout.shape.layers,
                self.sizes,
            );
        }
        if self.sizes.half {
            return;
        }
        self.slopes(layer);
        if layer > 0 {
            self.turn(layer, 0);
            let places = self.models * self.sizes.rows() * self.sizes.units as usize;
            let (cubes, dim) = self.each(places);
            // SAFETY: as before; units past the last place stop.
            unsafe {
                ask::launch_unchecked::<E, R>(
                    self.gpu.client(),
                    cubes,
                    dim,
                    self.turned(),
                    self.of_records(layer),
                    self.of_asked(),
                    places as u32,
                    self.sizes,
                );
            }
        }
    }

    fn turned(&self) -> ArrayArg<R> {
        array(&self.pass.turned, self.models * GATES * (self.sizes.units * self.sizes.units) as usize)
    }

    /// Turns a layer's weights of rows from `first` on.
    fn turn(&self, layer: usize, first: u32) {
        let places = self.models * GATES * (self.sizes.units * self.sizes.units) as usize;
        let (cubes, dim) = self.each(places);
        // SAFETY: as before.
        unsafe {
            turn::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                self.of_weights(&self.weights),
                self.turned(),
                places as u32,
                self.layout.block(layer, 0).start as u32 + first * GATES as u32,
                self.sizes,
            );
        }
    }

    /// The slopes of a layer's weights.
    fn slopes(&self, layer: usize) {
        let rows = self.layout.rows(layer) as u32;
        let blocks = rows.div_ceil(ROWS as u32);
        let places = self.models * (blocks * GATES as u32 * self.sizes.units) as usize;
        let (cubes, dim) = self.each(places);
        // SAFETY: as before.
        unsafe {
            slopes::launch_unchecked::<E, R>(
                self.gpu.client(),
                cubes,
                dim,
                array(&self.pass.x, self.rows(self.sizes.inputs)),
                self.of_hidden(layer.saturating_sub(1)),
                self.of_hidden(layer),
                self.of_records(layer),
                self.of_gradient(),
                places as u32,
                self.layout.block(layer, 0).start as u32,
                layer > 0,
                self.sizes,
            );
        }
    }
}

/// One unit a weight, in the order in which they are read.
#[cube(launch_unchecked)]
fn turn(weights: &Array<f32>, turned: &mut Array<f32>, places: u32, block: u32, #[comptime] sizes: Sizes) {
    let at = ABSOLUTE_POS as u32;
    if at < places {
        let (line, row) = part(at, sizes.units);
        let (model, column) = part(line, comptime!(4 * sizes.units));
        let mut weight = 0.0f32;
        if row < sizes.hidden {
            let vector = model * sizes.vectors + block + row * GATES as u32;
            weight = weights[(vector * sizes.units + column) as usize];
        }
        turned[at as usize] = weight;
    }
}

/// One cube some windows of a network, one unit a cell of some of these. In half precision the sums over windows are made on
/// the way, of which each cube leaves its part; elsewhere the slopes of the gates take the place of these.
#[cube(launch_unchecked, fast_math = math(sizes.half))]
#[allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory
fn backward<E: Float>(
    turned: &Array<f32>,
    weights: &Array<f32>,
    x: &Array<f32>,
    below: &Array<E>,
    hidden: &Array<E>,
    spoken: &Array<f32>,
    asked: &mut Array<E>,
    records: &mut Array<E>,
    gradient: &mut Array<f32>,
    cubes: u32,
    block: u32,
    #[comptime] above: bool,
    #[comptime] speaks: bool,
    #[comptime] sizes: Sizes,
) {
    let units = comptime!(sizes.units);
    let together = comptime!(sizes.together());
    let chunks = comptime!(sizes.windows.div_ceil(together));
    let wide = comptime!(4 * sizes.units + sizes.skew());
    let narrow = comptime!(sizes.units + sizes.skew());
    let seen_wide = comptime!(sizes.reach(above) + sizes.skew());
    if (CUBE_POS as u32) < cubes {
        let mut gates = SharedMemory::<E>::new_aligned(comptime!((together * wide) as usize), ALIGNED);
        let mut seen = SharedMemory::<E>::new_aligned(comptime!(sizes.if_half(together * seen_wide)), ALIGNED);
        let mut kept = SharedMemory::<E>::new_aligned(comptime!(sizes.if_half(sizes.units * wide)), ALIGNED);
        let mut kept_below = SharedMemory::<E>::new_aligned(
            comptime!(if above { sizes.if_half(sizes.units * wide) } else { 1 }),
            ALIGNED,
        );
        let mut backs = SharedMemory::<f32>::new_aligned(comptime!(sizes.if_half(2 * together * narrow)), ALIGNED);
        let mut head = SharedMemory::<f32>::new(comptime!(sizes.if_half(sizes.units * sizes.outputs)));
        let mut learned = Sequence::<cmma::Matrix<f32>>::new();
        let (model, chunk) = part(CUBE_POS as u32, chunks);
        let (group, unit) = part(UNIT_POS, units);
        let own = group * OWN as u32;
        let size = comptime!(sizes.windows * sizes.units);
        let mut carried = Array::<f32>::new(OWN);
        let mut cells = Array::<f32>::new(OWN);
        let mut present = Array::<f32>::new(OWN);
        let mut kept_gates = Array::<E>::new(comptime!(4 * OWN));
        let mut past = Array::<E>::new(OWN);
        let mut place = Array::<u32>::new(OWN);
        #[unroll]
        for r in 0..OWN {
            carried[r] = 0.0f32;
            cells[r] = 0.0f32;
            let window = u32::min(chunk * together + own + comptime!(r as u32), comptime!(sizes.windows - 1));
            place[r] = window * units + unit;
            let last = (model * sizes.length + comptime!(sizes.length - 1)) * RECORD as u32 + CELL;
            present[r] = f32::cast_from(records[(last * size + place[r]) as usize]);
        }
        let of_head = (model * sizes.vectors + sizes.head) * units;
        if comptime!(sizes.half) {
            keep_head(weights, &mut head, of_head, sizes);
            let inputs = comptime!(if above { sizes.hidden } else { sizes.inputs });
            let rows = (model * comptime!(sizes.vectors) + block) * units;
            keep(weights, &mut kept, rows + comptime!(inputs * 4 * sizes.units), sizes);
            if above {
                keep(weights, &mut kept_below, rows, sizes);
            }
            frame(&mut seen, above, sizes);
            begin(&mut learned, above, sizes);
            sync_cube();
        }
        let from = model * comptime!(4 * sizes.units * sizes.units) + unit;
        for back in 0..sizes.length {
            let t = comptime!(sizes.length - 1) - back;
            let step = model * sizes.length + t;
            let record = step * RECORD as u32;
            // All that a step reads is asked for before any of it is used.
            let earlier = (step - u32::min(t, 1u32)) * RECORD as u32 + CELL;
            #[unroll]
            for r in 0..OWN {
                #[unroll]
                for gate in 0..4usize {
                    let at = (record + comptime!(gate as u32)) * size + place[r];
                    kept_gates[comptime!(r * 4 + gate)] = records[at as usize];
                }
                past[r] = records[(earlier * size + place[r]) as usize];
                if comptime!(sizes.half) {
                    let row = (own + comptime!(r as u32)) * seen_wide + unit;
                    let before = model * comptime!(sizes.length + 1) + t;
                    seen[row as usize] = hidden[(before * size + place[r]) as usize];
                    if above {
                        seen[(row + units) as usize] = below[((before + 1) * size + place[r]) as usize];
                    }
                }
                if speaks {
                    let window = place[r] / units;
                    let from = (step * sizes.windows + window) * sizes.outputs;
                    #[unroll(sizes.outputs <= UNROLLED)]
                    for o in 0..sizes.outputs {
                        let slope = spoken[(from + o) as usize];
                        if comptime!(sizes.half) {
                            carried[r] += slope * head[(unit * sizes.outputs + o) as usize];
                        } else if unit < sizes.hidden {
                            carried[r] += slope * weights[(of_head + unit * sizes.wide + o) as usize];
                        }
                    }
                } else {
                    carried[r] += f32::cast_from(asked[(step * size + place[r]) as usize]);
                }
            }
            #[unroll]
            for r in 0..OWN {
                let i = f32::cast_from(kept_gates[comptime!(r * 4)]);
                let f = f32::cast_from(kept_gates[comptime!(r * 4 + 1)]);
                let g = f32::cast_from(kept_gates[comptime!(r * 4 + 2)]);
                let o = f32::cast_from(kept_gates[comptime!(r * 4 + 3)]);
                let squashed = squash(present[r]);
                let mut before = f32::cast_from(past[r]);
                if t == 0u32 {
                    before = 0.0f32;
                }
                present[r] = before;
                let wanted = carried[r];
                let cell = cells[r] + wanted * o * (1.0f32 - squashed * squashed);
                let at = (own + comptime!(r as u32)) * wide + unit;
                let mut by_i = cell * g * i * (1.0f32 - i);
                let mut by_f = cell * before * f * (1.0f32 - f);
                let mut by_g = cell * i * (1.0f32 - g * g);
                let mut by_o = wanted * squashed * o * (1.0f32 - o);
                if comptime!(sizes.half) {
                    // A window past the last is none.
                    if chunk * together + own + comptime!(r as u32) >= sizes.windows {
                        by_i = 0.0f32;
                        by_f = 0.0f32;
                        by_g = 0.0f32;
                        by_o = 0.0f32;
                    }
                    // A slope that explodes is long rather than none: the whole gradient is cut later.
                    by_i = within_half(by_i);
                    by_f = within_half(by_f);
                    by_g = within_half(by_g);
                    by_o = within_half(by_o);
                }
                gates[at as usize] = E::cast_from(by_i);
                gates[(at + units) as usize] = E::cast_from(by_f);
                gates[(at + 2 * units) as usize] = E::cast_from(by_g);
                gates[(at + 3 * units) as usize] = E::cast_from(by_o);
                cells[r] = cell * f;
            }
            if comptime!(sizes.half) {
                if !above {
                    show_inputs(x, &mut seen, step, chunk, sizes);
                }
                sync_cube();
                send_back(&gates, &kept, &mut backs, sizes);
                learn(&seen, &gates, &mut learned, above, sizes);
                sync_cube();
                #[unroll]
                for r in 0..OWN {
                    let at = (own + comptime!(r as u32)) * narrow + unit;
                    carried[r] = backs[at as usize] + backs[(at + together * narrow) as usize];
                }
                if above {
                    sync_cube();
                    send_back(&gates, &kept_below, &mut backs, sizes);
                    sync_cube();
                    #[unroll]
                    for r in 0..OWN {
                        if chunk * together + own + comptime!(r as u32) < sizes.windows {
                            let at = (own + comptime!(r as u32)) * narrow + unit;
                            let sum = backs[at as usize] + backs[(at + together * narrow) as usize];
                            asked[(step * size + place[r]) as usize] = E::cast_from(within_half(sum));
                        }
                    }
                }
            } else {
                sync_cube();
                #[unroll]
                for r in 0..OWN {
                    carried[r] = 0.0f32;
                    if chunk * together + own + comptime!(r as u32) < sizes.windows {
                        #[unroll]
                        for g in 0..4u32 {
                            let at = (own + comptime!(r as u32)) * wide + g * units + unit;
                            records[((record + g) * size + place[r]) as usize] = gates[at as usize];
                        }
                    }
                }
                for column in 0..comptime!(4 * sizes.units) {
                    let weight = turned[(from + column * units) as usize];
                    #[unroll]
                    for r in 0..OWN {
                        let at = (own + comptime!(r as u32)) * wide + column;
                        carried[r] += weight * f32::cast_from(gates[at as usize]);
                    }
                }
                sync_cube();
            }
        }
        if comptime!(sizes.half) {
            sync_cube();
            let to = ((model * chunks + chunk) * comptime!(sizes.vectors) + block) * units;
            leave(&learned, &mut backs, gradient, to, above, sizes);
        }
    }
}

/// What a layer asks of the one below: one unit a unit of that at a step of a window.
#[cube(launch_unchecked)]
fn ask<E: Float>(turned: &Array<f32>, records: &Array<E>, asked: &mut Array<E>, places: u32, #[comptime] sizes: Sizes) {
    let at = ABSOLUTE_POS as u32;
    if at < places {
        let (row, unit) = part(at, sizes.units);
        let (step, window) = part(row, sizes.windows);
        let model = step / sizes.length;
        let from = model * comptime!(4 * sizes.units * sizes.units) + unit;
        let mut sum = 0.0f32;
        for g in 0..4u32 {
            let record = ((step * RECORD as u32 + g) * sizes.windows + window) * sizes.units;
            for k in 0..sizes.units {
                let weight = turned[(from + (g * sizes.units + k) * sizes.units) as usize];
                sum += weight * f32::cast_from(records[(record + k) as usize]);
            }
        }
        asked[at as usize] = E::cast_from(sum);
    }
}

/// One unit some rows of a gate of a unit.
#[cube(launch_unchecked)]
fn slopes<E: Float>(
    x: &Array<f32>,
    below: &Array<E>,
    hidden: &Array<E>,
    records: &Array<E>,
    gradient: &mut Array<f32>,
    places: u32,
    block: u32,
    #[comptime] above: bool,
    #[comptime] sizes: Sizes,
) {
    let inputs = comptime!(if above { sizes.hidden } else { sizes.inputs });
    let rows = comptime!(inputs + sizes.hidden + 1);
    let columns = comptime!(4 * sizes.units);
    let at = ABSOLUTE_POS as u32;
    if at < places {
        let (line, column) = part(at, columns);
        let (model, rows_from) = part(line, comptime!(rows.div_ceil(ROWS as u32)));
        let first = rows_from * ROWS as u32;
        let (gate, unit) = part(column, sizes.units);
        let mut sums = Array::<f32>::new(ROWS);
        #[unroll]
        for r in 0..ROWS {
            sums[r] = 0.0f32;
        }
        for t in 0..sizes.length {
            let step = model * sizes.length + t;
            let past = (model * comptime!(sizes.length + 1) + t) * sizes.windows;
            let present = if above { past + sizes.windows } else { step * sizes.windows };
            let record = (step * RECORD as u32 + gate) * sizes.windows;
            for window in 0..sizes.windows {
                let slope = f32::cast_from(records[((record + window) * sizes.units + unit) as usize]);
                #[unroll]
                for r in 0..ROWS {
                    let row = first + comptime!(r as u32);
                    let mut value = 1.0f32;
                    if row < inputs {
                        if above {
                            value = f32::cast_from(below[((present + window) * sizes.units + row) as usize]);
                        } else {
                            value = x[((present + window) * inputs + row) as usize];
                        }
                    } else if row < comptime!(inputs + sizes.hidden) {
                        value = f32::cast_from(hidden[((past + window) * sizes.units + row - inputs) as usize]);
                    }
                    sums[r] += value * slope;
                }
            }
        }
        #[unroll]
        for r in 0..ROWS {
            let row = first + comptime!(r as u32);
            if row < rows {
                let vector = model * sizes.vectors + block + row * 4u32 + gate;
                gradient[(vector * sizes.units + unit) as usize] = sums[r];
            }
        }
    }
}
