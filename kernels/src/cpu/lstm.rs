//! Banks of LSTM networks on the cores: a network a task, eight or sixteen units a vector.

mod blocks;
mod pass;
mod train;

use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::lstm::{Layout, LstmEffort, LstmFit, LstmGradient, LstmSeries, LstmShape};
use pass::Pass;
use train::{Learned, Training};

/// See [`crate::lstm_gradient`].
pub(crate) fn lstm_gradient(
    shape: LstmShape,
    windows: usize,
    weights: &[f32],
    x: &[f32],
    y: &[f32],
    levels: &[f32],
) -> LstmGradient {
    let models = weights.len() / shape.weights();
    if y.is_empty() {
        return LstmGradient { loss: vec![0.0; models], gradient: vec![0.0; weights.len()] };
    }
    let arch = Arch::new();
    let own = x.par_chunks(x.len() / models).zip(y.par_chunks(y.len() / models));
    let each = weights.par_chunks(shape.weights()).zip(own);
    let told: Vec<(f64, Vec<f32>)> =
        each.map(|(weights, (x, y))| arch.dispatch(Gradient { shape, windows, weights, x, y, levels })).collect();
    let (loss, gradients): (Vec<f64>, Vec<Vec<f32>>) = told.into_iter().unzip();
    LstmGradient { loss, gradient: gradients.concat() }
}

/// See [`crate::lstm_train`].
pub(crate) fn lstm_train(
    shape: LstmShape,
    series: &[LstmSeries<'_>],
    levels: &[f32],
    effort: &LstmEffort,
    weights: &[f32],
) -> LstmFit {
    let arch = Arch::new();
    let each = series.par_iter().zip(weights.par_chunks(shape.weights()));
    let learned: Vec<Learned> = each
        .map(|(series, weights)| arch.dispatch(Training { shape, series: *series, levels, effort: *effort, weights }))
        .collect();
    LstmFit {
        loss: learned.iter().map(|own| own.loss).collect(),
        steps: learned.iter().map(|own| own.steps).collect(),
        end: learned.iter().map(|own| own.end).collect(),
        weights: learned.into_iter().flat_map(|own| own.weights).collect(),
    }
}

/// See [`crate::lstm_forward`].
pub(crate) fn lstm_forward(shape: LstmShape, weights: &[f32], x: &[f32]) -> Vec<f32> {
    let models = weights.len() / shape.weights();
    if x.is_empty() {
        return Vec::new();
    }
    let arch = Arch::new();
    let each = weights.par_chunks(shape.weights()).zip(x.par_chunks(x.len() / models));
    each.flat_map_iter(|(weights, x)| arch.dispatch(Forward { shape, weights, x })).collect()
}

/// Vectors of nothing, as many as the weights of a network take.
fn empty<S: Simd>(simd: S, layout: &Layout) -> Vec<S::f32s> {
    vec![simd.splat_f32s(0.0); layout.vectors()]
}

/// Weights in vectors.
fn packed<S: Simd>(simd: S, layout: &Layout, weights: &[f32]) -> Vec<S::f32s> {
    let mut packed = empty(simd, layout);
    layout.pack(weights, cast_slice_mut(&mut packed));
    packed
}

/// One network's gradient, as pulp dispatches it.
struct Gradient<'a> {
    shape: LstmShape,
    windows: usize,
    weights: &'a [f32],
    x: &'a [f32],
    y: &'a [f32],
    levels: &'a [f32],
}

impl WithSimd for Gradient<'_> {
    type Output = (f64, Vec<f32>);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, Vec<f32>) {
        let Self { shape, windows, weights, x, y, levels } = self;
        let layout = Layout::new(shape, S::F32_LANES);
        let targets = shape.outputs / levels.len();
        let mut pass = Pass::new(simd, &layout, windows, y.len() / (windows * targets), targets);
        pass.x.copy_from_slice(x);
        pass.y.copy_from_slice(y);
        let packed = packed(simd, &layout, weights);
        pass.forward(simd, &packed);
        let loss = pass.loss(levels);
        pass.backward(simd, &packed);
        (loss, layout.flat(cast_slice(&pass.gradient)))
    }
}

/// One network's answers.
struct Forward<'a> {
    shape: LstmShape,
    weights: &'a [f32],
    x: &'a [f32],
}

impl WithSimd for Forward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { shape, weights, x } = self;
        let layout = Layout::new(shape, S::F32_LANES);
        let mut pass = Pass::new(simd, &layout, 1, x.len() / shape.inputs, 0);
        pass.x.copy_from_slice(x);
        pass.forward(simd, &packed(simd, &layout, weights));
        let outputs: &[f32] = cast_slice(&pass.outputs);
        let row = layout.out_vectors * layout.lanes;
        outputs.chunks_exact(row).flat_map(|row| &row[..shape.outputs]).copied().collect()
    }
}
