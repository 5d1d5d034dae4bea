//! One network's way forward over a batch of windows, and back through time.

use pulp::Simd;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

use super::blocks::{Numbers, add_outer, product, set_products};
use super::empty;
use crate::lstm::{GATES, Layout};

/// What is kept of a vector of units at a step: the gates, on the way back their slopes, then the cell and its `tanh`.
const RECORD: usize = 6;
const CELL: usize = 4;
const SQUASHED: usize = 5;
/// Windows whose gates are worked out together: with four gates their sums fill the registers of AVX2.
const ROWS: usize = 3;

/// The memory of a network's pass over so many windows of one length.
pub(super) struct Pass<'l, S: Simd> {
    layout: &'l Layout,
    windows: usize,
    length: usize,
    targets: usize,
    /// `[length][windows][inputs]`.
    pub(super) x: Vec<f32>,
    /// `[length][windows][targets]`; NaN where nothing is known.
    pub(super) y: Vec<f32>,
    /// `[length][windows][out vectors]`: what the network says, after [`Pass::loss`] the slopes of that.
    pub(super) outputs: Vec<S::f32s>,
    /// The slopes of the weights, as they are laid out.
    pub(super) gradient: Vec<S::f32s>,
    /// Of each layer `[length][units][windows][RECORD]`.
    records: Vec<Vec<S::f32s>>,
    /// Of each layer `[1 + length][windows][units]`, nothing at first.
    hidden: Vec<Vec<S::f32s>>,
    /// `[length][windows][units]`: what the head, or the layer above, asks of the one at work.
    asked: Vec<S::f32s>,
    /// `[windows][units]`: what the step after asks of it.
    carried: Vec<S::f32s>,
    /// `[units][windows]`: the same of the cells.
    carried_cells: Vec<S::f32s>,
    /// Weights with rows and columns changed: `[units][4 gates][lanes]` by what they read, in vectors of that.
    turned: Vec<S::f32s>,
    ones: Vec<f32>,
}

impl<'l, S: Simd> Pass<'l, S> {
    pub(super) fn new(simd: S, layout: &'l Layout, windows: usize, length: usize, targets: usize) -> Self {
        let (shape, units) = (layout.shape, layout.units);
        let vectors = |count: usize| vec![simd.splat_f32s(0.0); count];
        let records = length * units * windows * RECORD;
        let hidden = (1 + length) * windows * units;
        Self {
            layout,
            windows,
            length,
            targets,
            x: vec![0.0; length * windows * shape.inputs],
            y: vec![f32::NAN; length * windows * targets],
            outputs: vectors(length * windows * layout.out_vectors),
            gradient: empty(simd, layout),
            records: (0..shape.layers).map(|_| vectors(records)).collect(),
            hidden: (0..shape.layers).map(|_| vectors(hidden)).collect(),
            asked: vectors(length * windows * units),
            carried: vectors(windows * units),
            carried_cells: vectors(units * windows),
            turned: vectors(units * GATES * layout.lanes * units),
            ones: vec![1.0; windows],
        }
    }

    /// What the network says at every step of every window.
    #[inline(always)]
    pub(super) fn forward(&mut self, simd: S, weights: &[S::f32s]) {
        let shape = self.layout.shape;
        for layer in 0..shape.layers {
            for t in 0..self.length {
                self.step(simd, weights, layer, t);
            }
        }
        let width = self.layout.out_vectors;
        let head = &weights[self.layout.head()];
        let (rows, bias) = head.split_at(shape.hidden * width);
        let top = &self.hidden[shape.layers - 1][self.windows * self.layout.units..];
        let top = Numbers { values: cast_slice(top), ..self.units() };
        set_products(simd, bias, &[top], &[rows], &mut self.outputs);
    }

    /// A row of a layer's units.
    #[inline(always)]
    fn units(&self) -> Numbers<'static> {
        Numbers { values: &[], width: self.layout.units * self.layout.lanes, used: self.layout.shape.hidden }
    }

    /// One layer's step.
    #[inline(always)]
    fn step(&mut self, simd: S, weights: &[S::f32s], layer: usize, t: usize) {
        let (windows, units) = (self.windows, self.layout.units);
        let (of_units, inputs) = (self.units(), self.layout.shape.inputs_of(layer));
        let (below, own) = self.hidden.split_at_mut(layer);
        let at = t * windows * units;
        let input = match below.last() {
            None => Numbers { values: &self.x[t * windows * inputs..], width: inputs, used: inputs },
            Some(below) => Numbers { values: cast_slice(&below[at + windows * units..]), ..of_units },
        };
        let (past, now) = own[0][at..].split_at_mut(windows * units);
        let past = Numbers { values: cast_slice(past), ..of_units };
        let size = windows * RECORD;
        let (before, records) = self.records[layer].split_at_mut(t * units * size);
        for unit in 0..units {
            let block = &weights[self.layout.block(layer, unit)];
            let before = if t == 0 { None } else { Some(&before[((t - 1) * units + unit) * size..][..size]) };
            let mut cells = Cells {
                block,
                input,
                past,
                before,
                records: &mut records[unit * size..][..size],
                now: &mut *now,
                unit,
                units,
            };
            let mut first = 0;
            while first + ROWS <= windows {
                cells.step::<ROWS>(simd, first);
                first += ROWS;
            }
            while first < windows {
                cells.step::<1>(simd, first);
                first += 1;
            }
        }
    }

    /// The mean loss over levels and known steps; the outputs become its slopes.
    #[inline(always)]
    pub(super) fn loss(&mut self, levels: &[f32]) -> f64 {
        let outputs: &mut [f32] = cast_slice_mut(&mut self.outputs);
        let mut known = 0;
        for y in &self.y {
            known += usize::from(!y.is_nan());
        }
        let count = (known * levels.len()).max(1);
        let share = 1.0 / count as f32;
        let mut sum = 0.0;
        let width = self.layout.out_vectors * self.layout.lanes;
        for (y, outputs) in self.y.chunks_exact(self.targets).zip(outputs.chunks_exact_mut(width)) {
            let (outputs, rest) = outputs.split_at_mut(self.targets * levels.len());
            for (y, outputs) in y.iter().zip(outputs.chunks_exact_mut(levels.len())) {
                for (output, level) in outputs.iter_mut().zip(levels) {
                    let error = *y - *output;
                    let slope = match error {
                        _ if y.is_nan() => 0.0,
                        _ if error > 0.0 => -level,
                        _ => 1.0 - level,
                    };
                    sum -= if y.is_nan() { 0.0 } else { f64::from(slope * error) };
                    *output = slope * share;
                }
            }
            rest.fill(0.0);
        }
        sum / count as f64
    }

    /// Fills in the slopes of the weights from those of the outputs.
    #[inline(always)]
    pub(super) fn backward(&mut self, simd: S, weights: &[S::f32s]) {
        self.gradient.fill(simd.splat_f32s(0.0));
        self.head_backward(simd, weights);
        for layer in (0..self.layout.shape.layers).rev() {
            self.carried.fill(simd.splat_f32s(0.0));
            self.carried_cells.fill(simd.splat_f32s(0.0));
            self.turn(weights, layer, self.layout.shape.inputs_of(layer));
            for t in (0..self.length).rev() {
                self.cells_backward(simd, layer, t);
                self.add_slopes(simd, layer, t);
                if t > 0 {
                    self.ask(simd, layer, t, false);
                }
            }
            if layer > 0 {
                self.turn(weights, layer, 0);
                for t in 0..self.length {
                    self.ask(simd, layer, t, true);
                }
            }
        }
    }

    /// The head's slopes, and what it asks of the layer below.
    #[inline(always)]
    fn head_backward(&mut self, simd: S, weights: &[S::f32s]) {
        let Layout { shape, lanes, units, out_vectors, .. } = *self.layout;
        let top = &self.hidden[shape.layers - 1][self.windows * units..];
        let top = Numbers { values: cast_slice(top), ..self.units() };
        let (slopes, bias) = self.gradient[self.layout.head()].split_at_mut(shape.hidden * out_vectors);
        add_outer(simd, top, &self.outputs, out_vectors, slopes, out_vectors);
        let all = Numbers { values: &[1.0], width: 0, used: 1 };
        add_outer(simd, all, &self.outputs, out_vectors, bias, out_vectors);
        let head: &[f32] = cast_slice(&weights[self.layout.head()]);
        let zero = vec![simd.splat_f32s(0.0); units];
        let mut turned = vec![zero[0]; shape.outputs * units];
        let values: &mut [f32] = cast_slice_mut(&mut turned);
        for output in 0..shape.outputs {
            for unit in 0..shape.hidden {
                values[output * units * lanes + unit] = head[unit * out_vectors * lanes + output];
            }
        }
        let slopes = Numbers { values: cast_slice(&self.outputs), width: out_vectors * lanes, used: shape.outputs };
        set_products(simd, &zero, &[slopes], &[&turned], &mut self.asked);
    }

    /// The slopes of a step's gates, in the gates' place.
    #[inline(always)]
    fn cells_backward(&mut self, simd: S, layer: usize, t: usize) {
        let (windows, units) = (self.windows, self.layout.units);
        let size = windows * RECORD;
        let (before, records) = self.records[layer].split_at_mut(t * units * size);
        let (one, zero) = (simd.splat_f32s(1.0), simd.splat_f32s(0.0));
        for unit in 0..units {
            for window in 0..windows {
                let at = (unit * windows + window) * RECORD;
                let record = &mut records[at..][..RECORD];
                let before = if t == 0 { zero } else { before[(t - 1) * units * size + at + CELL] };
                let place = window * units + unit;
                let asked = simd.add_f32s(self.asked[t * windows * units + place], self.carried[place]);
                let (i, f, g, o, squashed) = (record[0], record[1], record[2], record[3], record[SQUASHED]);
                // The slope of a sigmoid is `a (1 - a)`, that of `tanh` `1 - a^2`.
                let of_output = simd.mul_f32s(simd.mul_f32s(asked, squashed), o);
                let flat = simd.negate_mul_add_e_f32s(squashed, squashed, one);
                let carried = &mut self.carried_cells[unit * windows + window];
                let cell = simd.mul_add_e_f32s(simd.mul_f32s(asked, o), flat, *carried);
                let into = simd.mul_f32s(cell, i);
                let kept = simd.mul_f32s(cell, f);
                record[0] = simd.mul_f32s(simd.mul_f32s(into, g), simd.sub_f32s(one, i));
                record[1] = simd.mul_f32s(simd.mul_f32s(kept, before), simd.sub_f32s(one, f));
                record[2] = simd.mul_f32s(into, simd.negate_mul_add_e_f32s(g, g, one));
                record[3] = simd.mul_f32s(of_output, simd.sub_f32s(one, o));
                *carried = kept;
            }
        }
    }

    /// Adds a step's part to the slopes of a layer's weights.
    #[inline(always)]
    fn add_slopes(&mut self, simd: S, layer: usize, t: usize) {
        let (windows, units, hidden) = (self.windows, self.layout.units, self.layout.shape.hidden);
        let (of_units, inputs) = (self.units(), self.layout.shape.inputs_of(layer));
        let at = t * windows * units;
        let input = match layer.checked_sub(1) {
            None => Numbers { values: &self.x[t * windows * inputs..], width: inputs, used: inputs },
            Some(below) => Numbers { values: cast_slice(&self.hidden[below][at + windows * units..]), ..of_units },
        };
        let past = Numbers { values: cast_slice(&self.hidden[layer][at..]), ..of_units };
        let ones = Numbers { values: &self.ones, width: 1, used: 1 };
        let size = windows * RECORD;
        for unit in 0..units {
            let slopes = &self.records[layer][(t * units + unit) * size..][..size];
            let own = &mut self.gradient[self.layout.block(layer, unit)];
            let (of_input, rest) = own.split_at_mut(inputs * GATES);
            let (of_past, of_bias) = rest.split_at_mut(hidden * GATES);
            add_outer(simd, input, slopes, RECORD, of_input, GATES);
            if t > 0 {
                add_outer(simd, past, slopes, RECORD, of_past, GATES);
            }
            add_outer(simd, ones, slopes, RECORD, of_bias, GATES);
        }
    }

    /// What a step's gates ask of the units a step before, or of the layer `below`.
    #[inline(always)]
    fn ask(&mut self, simd: S, layer: usize, t: usize, below: bool) {
        let (windows, units, lanes) = (self.windows, self.layout.units, self.layout.lanes);
        let zero = vec![simd.splat_f32s(0.0); units];
        let records: &[f32] = cast_slice(&self.records[layer]);
        let (size, width) = (windows * RECORD * lanes, GATES * lanes);
        let mut slopes = Vec::with_capacity(units);
        let mut turned = Vec::with_capacity(units);
        for unit in 0..units {
            let values = &records[(t * units + unit) * size..][..size];
            slopes.push(Numbers { values, width: RECORD * lanes, used: width });
            turned.push(&self.turned[unit * width * units..][..width * units]);
        }
        let to = if below { &mut self.asked[t * windows * units..][..windows * units] } else { &mut self.carried };
        set_products(simd, &zero, &slopes, &turned, to);
    }

    /// Turns the weights of a layer that read its units, or the layer below: those of rows from `first` on.
    fn turn(&mut self, weights: &[S::f32s], layer: usize, first: usize) {
        let Layout { shape, lanes, units, .. } = *self.layout;
        let turned: &mut [f32] = cast_slice_mut(&mut self.turned);
        for unit in 0..units {
            let block: &[f32] = cast_slice(&weights[self.layout.block(layer, unit)]);
            for row in 0..shape.hidden {
                for lane in 0..GATES * lanes {
                    turned[(unit * GATES * lanes + lane) * units * lanes + row] =
                        block[(first + row) * GATES * lanes + lane];
                }
            }
        }
    }
}

/// A vector of a layer's units at a step.
struct Cells<'a, S: Simd> {
    block: &'a [S::f32s],
    input: Numbers<'a>,
    past: Numbers<'a>,
    /// The records of the step before.
    before: Option<&'a [S::f32s]>,
    records: &'a mut [S::f32s],
    /// `[windows][units]`.
    now: &'a mut [S::f32s],
    unit: usize,
    units: usize,
}

impl<S: Simd> Cells<'_, S> {
    /// Works out the gates and cells of `R` windows.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)]
    fn step<const R: usize>(&mut self, simd: S, first: usize) {
        let (of_input, rest) = self.block.split_at(self.input.used * GATES);
        let (of_past, bias) = rest.split_at(self.past.used * GATES);
        let mut inputs: [&[f32]; R] = [&[]; R];
        let mut past: [&[f32]; R] = [&[]; R];
        for r in 0..R {
            inputs[r] = self.input.row(first + r);
            past[r] = self.past.row(first + r);
        }
        let start = [[bias[0], bias[1], bias[2], bias[3]]; R];
        let sums = product::<S, R, GATES>(simd, inputs, of_input, GATES, start);
        let sums = product::<S, R, GATES>(simd, past, of_past, GATES, sums);
        for r in 0..R {
            let window = first + r;
            let half = simd.splat_f32s(0.5);
            let halved = |gate: usize| simd.mul_f32s(half, sums[r][gate]);
            // A sigmoid is `(1 + tanh(x / 2)) / 2`.
            let (i, f) = tanh_of_two(simd, halved(0), halved(1));
            let (g, o) = tanh_of_two(simd, sums[r][2], halved(3));
            let i = simd.mul_add_e_f32s(half, i, half);
            let f = simd.mul_add_e_f32s(half, f, half);
            let o = simd.mul_add_e_f32s(half, o, half);
            let mut cell = simd.mul_f32s(i, g);
            if let Some(before) = self.before {
                cell = simd.mul_add_e_f32s(f, before[window * RECORD + CELL], cell);
            }
            let squashed = tanh(simd, cell);
            self.records[window * RECORD..][..RECORD].copy_from_slice(&[i, f, g, o, cell, squashed]);
            self.now[window * self.units + self.unit] = simd.mul_f32s(o, squashed);
        }
    }
}

/// Past this `tanh` is 1 to an `f32`.
const FLAT: f32 = 7.905_311;
/// Odd and even coefficients, the highest first, of the rational approximation of `tanh` to a few units in the last place
/// that Eigen has (`generic_fast_tanh_float`).
const ODD: [f32; 7] =
    [-2.760_768_5e-16, 2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619e-4, 4.893_524_6e-3];
const EVEN: [f32; 4] = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3];

/// What `tanh` is the quotient of. A NaN stays one.
#[inline(always)]
fn tanh_parts<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let bound = simd.splat_f32s(FLAT);
    let within = simd.max_f32s(simd.neg_f32s(bound), simd.min_f32s(bound, x));
    let square = simd.mul_f32s(within, within);
    let mut odd = simd.splat_f32s(ODD[0]);
    for k in 1..ODD.len() {
        odd = simd.mul_add_e_f32s(odd, square, simd.splat_f32s(ODD[k]));
    }
    let mut even = simd.splat_f32s(EVEN[0]);
    for k in 1..EVEN.len() {
        even = simd.mul_add_e_f32s(even, square, simd.splat_f32s(EVEN[k]));
    }
    (simd.mul_f32s(odd, within), even)
}

#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (odd, even) = tanh_parts(simd, x);
    simd.div_f32s(odd, even)
}

/// Two at the price of one division, which is what takes longest.
#[inline(always)]
fn tanh_of_two<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> (S::f32s, S::f32s) {
    let (of_x, of_y) = (tanh_parts(simd, x), tanh_parts(simd, y));
    let turned = simd.div_f32s(simd.splat_f32s(1.0), simd.mul_f32s(of_x.1, of_y.1));
    let left = simd.mul_f32s(simd.mul_f32s(of_x.0, of_y.1), turned);
    (left, simd.mul_f32s(simd.mul_f32s(of_y.0, of_x.1), turned))
}
