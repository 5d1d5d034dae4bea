//! Where the weights of a network lie for vectors, or units of a device, to go over them.

use super::{GATES, LstmShape};

/// The weights of a network in vectors of units. A layer is `[units / lanes][inputs, hidden and bias][4 gates]`: what a
/// vector of units reads lies together, and all gates of a unit are known at once. The head is `[hidden and bias][outputs /
/// lanes]`. Units and outputs that fill up a vector have weights of nothing, and keep them: their slopes are nothing too.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) shape: LstmShape,
    pub(crate) lanes: usize,
    /// Vectors of the units of a layer.
    pub(crate) units: usize,
    /// Vectors of the outputs.
    pub(crate) out_vectors: usize,
    /// Where each layer begins, in vectors.
    layers: Vec<usize>,
    /// Where the head begins.
    head: usize,
    /// Vectors in all.
    vectors: usize,
    /// The place of every weight as [`LstmShape::weights`] counts them.
    places: Vec<u32>,
}

impl Layout {
    pub(crate) fn new(shape: LstmShape, lanes: usize) -> Self {
        let (units, out_vectors) = (shape.hidden.div_ceil(lanes), shape.outputs.div_ceil(lanes));
        let mut at = 0;
        let mut layers = Vec::with_capacity(shape.layers);
        for layer in 0..shape.layers {
            layers.push(at);
            at += units * (shape.inputs_of(layer) + shape.hidden + 1) * GATES;
        }
        let vectors = at + (shape.hidden + 1) * out_vectors;
        let mut layout = Self { shape, lanes, units, out_vectors, layers, head: at, vectors, places: Vec::new() };
        layout.places = layout.all_places();
        layout
    }

    fn all_places(&self) -> Vec<u32> {
        let LstmShape { hidden, layers, outputs, .. } = self.shape;
        let lanes = self.lanes;
        let mut places = Vec::with_capacity(self.shape.weights());
        for layer in 0..layers {
            let (inputs, rows) = (self.shape.inputs_of(layer), self.rows(layer));
            for (first, width) in [(0, inputs), (inputs, hidden), (inputs + hidden, 1)] {
                for gate in 0..GATES {
                    for unit in 0..hidden {
                        let block = self.layers[layer] + unit / lanes * rows * GATES + gate;
                        let row = |row: usize| ((block + row * GATES) * lanes + unit % lanes) as u32;
                        places.extend((first..first + width).map(row));
                    }
                }
            }
        }
        let of_head = |output: usize, row: usize| {
            ((self.head + row * self.out_vectors + output / lanes) * lanes + output % lanes) as u32
        };
        for output in 0..outputs {
            places.extend((0..hidden).map(|row| of_head(output, row)));
        }
        places.extend((0..outputs).map(|output| of_head(output, hidden)));
        places
    }

    /// Rows of a layer: what it reads, its own units a step ago, and the bias.
    pub(crate) fn rows(&self, layer: usize) -> usize {
        self.shape.inputs_of(layer) + self.shape.hidden + 1
    }

    /// The vectors that a vector of a layer's units is made by, `[rows][4 gates]`.
    pub(crate) fn block(&self, layer: usize, unit: usize) -> std::ops::Range<usize> {
        let width = self.rows(layer) * GATES;
        let from = self.layers[layer] + unit * width;
        from..from + width
    }

    /// The vectors of the head.
    pub(crate) fn head(&self) -> std::ops::Range<usize> {
        self.head..self.vectors
    }

    /// Vectors of all weights.
    pub(crate) fn vectors(&self) -> usize {
        self.vectors
    }

    /// Fills in weights as they are worked on; what no weight has a place in stays as it is.
    pub(crate) fn pack(&self, weights: &[f32], packed: &mut [f32]) {
        for (weight, place) in weights.iter().zip(&self.places) {
            packed[*place as usize] = *weight;
        }
    }

    /// Weights, or their slopes, as [`LstmShape::weights`] lays them out.
    pub(crate) fn flat(&self, packed: &[f32]) -> Vec<f32> {
        self.places.iter().map(|place| packed[*place as usize]).collect()
    }

    /// [`Layout::flat`] in memory that is there.
    pub(crate) fn flat_into(&self, packed: &[f32], flat: &mut [f32]) {
        flat.iter_mut().zip(&self.places).for_each(|(flat, place)| *flat = packed[*place as usize]);
    }
}
