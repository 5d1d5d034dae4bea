//! Back through time, and the slopes of the weights.

use cubecl::prelude::*;

use super::super::array;
use super::{Bank, CELL, GATES, OWN, RECORD, SQUASHED, Sizes, UNITS, part};

/// Rows of weights whose slopes a unit sums together.
const ROWS: usize = 8;

impl<R: Runtime> Bank<'_, R> {
    /// The slopes of a layer's gates, in their place, and what the layer asks of the one below.
    pub(super) fn backward(&self, layer: usize) {
        let inputs = self.layout.shape.inputs_of(layer) as u32;
        self.turn(layer, inputs);
        let chunks = self.sizes.windows.div_ceil(self.sizes.together());
        let (cubes, dim) = self.cubes(self.models * chunks as usize);
        // SAFETY: every table was made for so many models; cubes past the last stop.
        unsafe {
            backward::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                self.turned(),
                array(&self.pass.asked, self.rows(self.sizes.units)),
                self.of_records(layer),
                (self.models as u32) * chunks,
                self.sizes,
            );
        }
        if layer > 0 {
            self.turn(layer, 0);
            let places = self.models * self.sizes.rows() * self.sizes.units as usize;
            let (cubes, dim) = self.each(places);
            // SAFETY: as before; units past the last place stop.
            unsafe {
                ask::launch_unchecked::<R>(
                    self.gpu.client(),
                    cubes,
                    dim,
                    self.turned(),
                    self.of_records(layer),
                    array(&self.pass.asked, self.rows(self.sizes.units)),
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
    pub(super) fn slopes(&self, layer: usize) {
        let rows = self.layout.rows(layer) as u32;
        let blocks = rows.div_ceil(ROWS as u32);
        let places = self.models * (blocks * GATES as u32 * self.sizes.units) as usize;
        let (cubes, dim) = self.each(places);
        let input = match layer.checked_sub(1) {
            None => array(&self.pass.x, self.rows(self.sizes.inputs)),
            Some(below) => self.of_hidden(below),
        };
        // SAFETY: as before.
        unsafe {
            slopes::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                input,
                self.of_hidden(layer),
                self.of_records(layer),
                self.of_weights(&self.gradient),
                places as u32,
                self.layout.block(layer, 0).start as u32,
                layer > 0,
                self.sizes,
            );
        }
    }

    /// The slopes of the head's weights.
    pub(super) fn head_slopes(&self) {
        let places = self.models * ((self.sizes.hidden + 1) * self.sizes.wide) as usize;
        let (cubes, dim) = self.each(places);
        // SAFETY: as before.
        unsafe {
            head_slopes::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                self.of_hidden(self.layout.shape.layers - 1),
                array(&self.pass.slopes, self.rows(self.sizes.outputs)),
                self.of_weights(&self.gradient),
                places as u32,
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

/// One cube some windows of a network, one unit a cell of some of these.
#[cube(launch_unchecked)]
fn backward(turned: &Array<f32>, asked: &Array<f32>, records: &mut Array<f32>, cubes: u32, #[comptime] sizes: Sizes) {
    let units = comptime!(sizes.units);
    let together = comptime!((UNITS * OWN) as u32 / sizes.units);
    let chunks = comptime!(sizes.windows.div_ceil(together));
    if (CUBE_POS as u32) < cubes {
        let mut gates = SharedMemory::<f32>::new(comptime!(GATES * UNITS * OWN));
        let (model, chunk) = part(CUBE_POS as u32, chunks);
        let (group, unit) = part(UNIT_POS, units);
        let own = group * OWN as u32;
        let size = comptime!(sizes.windows * sizes.units);
        let mut carried = Array::<f32>::new(OWN);
        let mut cells = Array::<f32>::new(OWN);
        let mut place = Array::<u32>::new(OWN);
        #[unroll]
        for r in 0..OWN {
            carried[r] = 0.0f32;
            cells[r] = 0.0f32;
            let window = u32::min(chunk * together + own + comptime!(r as u32), comptime!(sizes.windows - 1));
            place[r] = window * units + unit;
        }
        let from = model * comptime!(4 * sizes.units * sizes.units) + unit;
        for back in 0..sizes.length {
            let t = comptime!(sizes.length - 1) - back;
            let step = model * sizes.length + t;
            let record = step * RECORD as u32;
            #[unroll]
            for r in 0..OWN {
                let i = records[(record * size + place[r]) as usize];
                let f = records[((record + 1) * size + place[r]) as usize];
                let g = records[((record + 2) * size + place[r]) as usize];
                let o = records[((record + 3) * size + place[r]) as usize];
                let squashed = records[((record + SQUASHED) * size + place[r]) as usize];
                let mut before = 0.0f32;
                if t > 0u32 {
                    before = records[((record + CELL - RECORD as u32) * size + place[r]) as usize];
                }
                let wanted = asked[(step * size + place[r]) as usize] + carried[r];
                let cell = cells[r] + wanted * o * (1.0f32 - squashed * squashed);
                let at = (own + comptime!(r as u32)) * comptime!(4 * sizes.units) + unit;
                gates[at as usize] = cell * g * i * (1.0f32 - i);
                gates[(at + units) as usize] = cell * before * f * (1.0f32 - f);
                gates[(at + 2 * units) as usize] = cell * i * (1.0f32 - g * g);
                gates[(at + 3 * units) as usize] = wanted * squashed * o * (1.0f32 - o);
                cells[r] = cell * f;
            }
            sync_cube();
            #[unroll]
            for r in 0..OWN {
                carried[r] = 0.0f32;
                if chunk * together + own + comptime!(r as u32) < sizes.windows {
                    #[unroll]
                    for g in 0..4u32 {
                        let at = (own + comptime!(r as u32)) * comptime!(4 * sizes.units) + g * units + unit;
                        records[((record + g) * size + place[r]) as usize] = gates[at as usize];
                    }
                }
            }
            for column in 0..comptime!(4 * sizes.units) {
                let weight = turned[(from + column * units) as usize];
                #[unroll]
                for r in 0..OWN {
                    let at = (own + comptime!(r as u32)) * comptime!(4 * sizes.units) + column;
                    carried[r] += weight * gates[at as usize];
                }
            }
            sync_cube();
        }
    }
}

/// What a layer asks of the one below: one unit a unit of that at a step of a window.
#[cube(launch_unchecked)]
fn ask(turned: &Array<f32>, records: &Array<f32>, asked: &mut Array<f32>, places: u32, #[comptime] sizes: Sizes) {
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
                sum += weight * records[(record + k) as usize];
            }
        }
        asked[at as usize] = sum;
    }
}

/// One unit some rows of a gate of a unit.
#[cube(launch_unchecked)]
fn slopes(
    input: &Array<f32>,
    hidden: &Array<f32>,
    records: &Array<f32>,
    gradient: &mut Array<f32>,
    places: u32,
    block: u32,
    #[comptime] above: bool,
    #[comptime] sizes: Sizes,
) {
    let inputs = comptime!(if above { sizes.hidden } else { sizes.inputs });
    let width = comptime!(if above { sizes.units } else { sizes.inputs });
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
                let slope = records[((record + window) * sizes.units + unit) as usize];
                #[unroll]
                for r in 0..ROWS {
                    let row = first + comptime!(r as u32);
                    let mut value = 1.0f32;
                    if row < inputs {
                        value = input[((present + window) * width + row) as usize];
                    } else if row < comptime!(inputs + sizes.hidden) {
                        value = hidden[((past + window) * sizes.units + row - inputs) as usize];
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

/// One unit a weight of the head.
#[cube(launch_unchecked)]
fn head_slopes(
    hidden: &Array<f32>,
    slopes: &Array<f32>,
    gradient: &mut Array<f32>,
    places: u32,
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS as u32;
    if at < places {
        let (line, output) = part(at, sizes.wide);
        let (model, k) = part(line, comptime!(sizes.hidden + 1));
        let mut sum = 0.0f32;
        if output < sizes.outputs {
            for t in 0..sizes.length {
                for window in 0..sizes.windows {
                    let row = (model * sizes.length + t) * sizes.windows + window;
                    let next = (model * comptime!(sizes.length + 1) + t + 1) * sizes.windows + window;
                    let mut value = 1.0f32;
                    if k < sizes.hidden {
                        value = hidden[(next * sizes.units + k) as usize];
                    }
                    sum += value * slopes[(row * sizes.outputs + output) as usize];
                }
            }
        }
        let from = (model * sizes.vectors + sizes.head) * sizes.units;
        gradient[(from + k * sizes.wide + output) as usize] = sum;
    }
}
