//! One pass over windows that are given, and what it tells of every network.

use cubecl::prelude::*;

use super::super::Gpu;
use super::{Bank, Past, Sizes, layout, together};
use crate::KernelError;
use crate::lstm::{LstmGradient, LstmSeries, LstmShape};

pub(super) fn gradient<R: Runtime, E: Past>(
    gpu: &Gpu<R>,
    (shape, windows): (LstmShape, usize),
    weights: &[f32],
    (x, y): (&[f32], &[f32]),
    levels: &[f32],
) -> Result<LstmGradient, KernelError> {
    const OPERATION: &str = "the LSTM gradient";
    let layout = layout(shape, E::HALF)?;
    let targets = shape.outputs / levels.len();
    let models = weights.len() / shape.weights();
    let mut told = LstmGradient { loss: vec![0.0; models], gradient: vec![0.0; weights.len()] };
    if y.is_empty() {
        return Ok(told);
    }
    let length = y.len() / (models * windows * targets);
    let sizes = Sizes::new(&layout, levels.len(), windows, length, E::HALF);
    let of =
        |values: &[f32], width: usize, first: usize, count: usize| values[first * width..][..count * width].to_vec();
    let (each, together) = (sizes.rows(), together::<R, E>(gpu, &sizes, shape.layers, length)?);
    let said = windows * shape.outputs;
    for first in (0..models).step_by(together) {
        let count = together.min(models - first);
        let begin: Vec<&[f32]> = weights.chunks(shape.weights()).skip(first).take(count).collect();
        let none = LstmSeries { inputs: &[], targets: &[], learned_steps: 0, seed: 0 };
        let mut bank = Bank::<R, E>::new(gpu, &layout, sizes, &vec![none; count], levels, &begin);
        bank.pass.x = gpu.upload(&of(x, each * shape.inputs, first, count));
        bank.pass.y = gpu.upload(&of(y, each * targets, first, count));
        bank.differentiate();
        let costs: Vec<f32> = gpu.download(&bank.pass.costs, OPERATION)?;
        let known: Vec<f32> = gpu.download(&bank.pass.known, OPERATION)?;
        let gradient: Vec<f32> = gpu.download(&bank.gradient, OPERATION)?;
        for own in 0..count {
            let sum = |values: &[f32]| values[own * said..][..said].iter().copied().map(f64::from).sum::<f64>();
            let seen = sum(&known).max(1.0);
            told.loss[first + own] = sum(&costs) / seen;
            let parts = sizes.parts() as usize * sizes.weights();
            let to = &mut told.gradient[(first + own) * shape.weights()..][..shape.weights()];
            for part in gradient[own * parts..][..parts].chunks(sizes.weights()) {
                to.iter_mut().zip(layout.flat(part)).for_each(|(to, slope)| *to += slope / seen as f32);
            }
        }
    }
    Ok(told)
}

/// [`crate::lstm_gradient`] as [`crate::lstm_train`] takes it where the device's matrix units serve; `None` elsewhere.
#[cfg(test)]
pub(crate) fn gradient_in_half<R: Runtime>(
    gpu: &Gpu<R>,
    shape: LstmShape,
    windows: usize,
    weights: &[f32],
    x: &[f32],
    y: &[f32],
    levels: &[f32],
) -> Option<Result<LstmGradient, KernelError>> {
    match super::serves_half(gpu, shape) {
        Ok(false) => None,
        Ok(true) => Some(gradient::<R, half::f16>(gpu, (shape, windows), weights, (x, y), levels)),
        Err(refused) => Some(Err(refused)),
    }
}
