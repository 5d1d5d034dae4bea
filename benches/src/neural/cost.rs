//! `lstm_bank.*`: what training a bank takes, beside PyTorch on the same work and beside plain matrix products.

use foreshadow_kernels::{Device, LstmEffort, LstmSeries, LstmShape, lstm_gradient, lstm_train};
use serde::{Deserialize, Serialize};

use crate::cuda::refused;
use crate::peers::torch;
use crate::{BenchError, Context, Figures, Scale, clock};

/// The bank of the figures: 32 units that see one number a step, and answer three levels.
pub(super) const SHAPE: LstmShape = LstmShape { inputs: 1, hidden: 32, layers: 1, outputs: 3 };
pub(super) const LEVELS: [f32; 3] = [0.1, 0.5, 0.9];
/// All steps are taken: nothing of a series is held back to stop by.
pub(super) const EFFORT: LstmEffort =
    LstmEffort { length: 48, windows: 64, steps: 200, rate: 0.01, clip: 1.0, look_every: 200, patience: 200 };
const MODELS: usize = 1_000;
/// Networks and steps of the comparison: a minute of the slowest way.
const COMPARED: usize = 32;
const COMPARED_STEPS: usize = 50;
pub(super) const STEPS: usize = 672;

/// Training, as `peers/lstm.py` is asked for it.
#[derive(Serialize)]
pub(super) struct Training<'a> {
    hidden: usize,
    layers: usize,
    levels: &'a [f32],
    steps: usize,
    rate: f32,
    clip: f32,
    windows: usize,
    length: usize,
    values: &'a [Vec<f32>],
}

impl<'a> Training<'a> {
    /// That of the figures, in so many steps, of a network for each series.
    pub(super) fn of(values: &'a [Vec<f32>], steps: usize) -> Self {
        let LstmEffort { rate, clip, windows, length, .. } = EFFORT;
        let LstmShape { hidden, layers, .. } = SHAPE;
        Self { hidden, layers, levels: &LEVELS, steps, rate, clip, windows, length, values }
    }
}

#[derive(Deserialize)]
struct Trained {
    loop_seconds: f64,
    bmm_seconds: f64,
    loss: f64,
    matmul_gflops: f64,
}

/// One network on given windows, as `peers/lstm.py` is asked for its gradient.
#[derive(Serialize)]
struct Given<'a> {
    hidden: usize,
    layers: usize,
    levels: &'a [f32],
    weights: &'a [f32],
    x: Vec<Vec<&'a [f32]>>,
    y: Vec<&'a [f32]>,
}

#[derive(Deserialize)]
struct Gradient {
    loss: f64,
    gradient: Vec<f64>,
}

/// Takes the figures; PyTorch is asked where peers are.
///
/// # Errors
/// [`BenchError`] when a batch fails, or PyTorch cannot be had.
pub(super) fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let models = if context.scale == Scale::Smoke { 2 } else { MODELS };
    let values = values(models);
    let before = peak_mib(true);
    let (seconds, _) = train(&Device::Cpu, &values, EFFORT.steps)?;
    let after = peak_mib(false);
    figures.add(&format!("lstm_bank.seconds_{models}"), seconds, "s");
    if let (Some(before), Some(after)) = (before, after) {
        figures.add("lstm_bank.peak_mib", after - before, "MiB");
    }
    let gflops = step_flop() * (models * EFFORT.steps) as f64 / seconds / 1e9;
    figures.add("lstm_bank.gflops", gflops, "GFLOP/s");
    if context.peers {
        beside_torch(&values[..COMPARED], figures)?;
    }
    Ok(())
}

/// Products of a step of training and of its way back: three of `[windows, hidden + inputs]` by `[hidden + inputs, 4 hidden]`
/// at each step of a window.
pub(super) fn step_flop() -> f64 {
    24.0 * (EFFORT.windows * EFFORT.length * SHAPE.hidden * (SHAPE.hidden + SHAPE.inputs)) as f64
}

/// Ours before and after PyTorch's, so that a machine that slows down does not do so for one of them.
fn beside_torch(values: &[Vec<f32>], figures: &mut Figures) -> Result<(), BenchError> {
    let (before, weights) = train(&Device::Cpu, values, COMPARED_STEPS)?;
    let theirs: Trained = torch("lstm.py", &Training::of(values, COMPARED_STEPS))?;
    let (after, _) = train(&Device::Cpu, values, COMPARED_STEPS)?;
    let ours = f64::midpoint(before, after);
    let gflops = step_flop() * (values.len() * COMPARED_STEPS) as f64 / ours / 1e9;
    figures.add("lstm_bank.torch_loop_seconds_1000", at_full_size(theirs.loop_seconds, values.len()), "s");
    figures.add("lstm_bank.torch_bmm_seconds_1000", at_full_size(theirs.bmm_seconds, values.len()), "s");
    figures.add("lstm_bank.ratio_torch", theirs.loop_seconds.min(theirs.bmm_seconds) / ours, "x");
    figures.add("lstm_bank.loss", loss(values, &weights)?, "");
    figures.add("lstm_bank.torch_loss", theirs.loss, "");
    figures.add("lstm_bank.matmul_gflops", theirs.matmul_gflops, "GFLOP/s");
    figures.add("lstm_bank.matmul_share_percent", 100.0 * gflops / theirs.matmul_gflops, "%");
    figures.add("lstm_bank.torch_gradient_error", gradient_error(values)?, "");
    Ok(())
}

fn at_full_size(seconds: f64, networks: usize) -> f64 {
    seconds * (MODELS * EFFORT.steps) as f64 / (networks * COMPARED_STEPS) as f64
}

/// Waves of many periods with noise.
pub(super) fn values(models: usize) -> Vec<Vec<f32>> {
    let value =
        |s: usize, t: usize| (t as f32 * (0.2 + s as f32 * 1e-3)).sin() + ((t * 7_919 + s) % 101) as f32 / 101.0;
    (0..models).map(|s| (0..=STEPS).map(|t| value(s, t)).collect()).collect()
}

/// Seconds of training a network for each series, and their weights.
pub(super) fn train(device: &Device, values: &[Vec<f32>], steps: usize) -> Result<(f64, Vec<f32>), BenchError> {
    let series: Vec<LstmSeries<'_>> = (values.iter().enumerate())
        .map(|(s, values)| LstmSeries {
            inputs: &values[..STEPS],
            targets: &values[1..],
            learned_steps: STEPS,
            seed: s as u32,
        })
        .collect();
    let weights: Vec<f32> = (0..values.len() as u64).flat_map(|seed| SHAPE.seeded(seed)).collect();
    let effort = LstmEffort { steps, ..EFFORT };
    let (fit, spent) = clock::timed(|| lstm_train(device, SHAPE, &series, &LEVELS, &effort, &weights));
    Ok((spent.wall_seconds, fit.map_err(refused)?.weights))
}

/// The mean loss of networks on windows that are spread over the series of each.
pub(super) fn loss(values: &[Vec<f32>], weights: &[f32]) -> Result<f64, BenchError> {
    let (x, y) = windows(values);
    let told = lstm_gradient(&Device::Cpu, SHAPE, EFFORT.windows, weights, &x, &y, &LEVELS);
    let losses = told.map_err(refused)?.loss;
    Ok(losses.iter().sum::<f64>() / losses.len() as f64)
}

/// `[models, length, windows]` of what each network sees and is to tell.
fn windows(values: &[Vec<f32>]) -> (Vec<f32>, Vec<f32>) {
    let LstmEffort { windows, length, .. } = EFFORT;
    let from = |window: usize| window * (STEPS - length) / windows;
    let places = || (0..length).flat_map(|t| (0..windows).map(move |window| from(window) + t));
    let shown = |later: usize| values.iter().flat_map(|own| places().map(move |at| own[at + later])).collect();
    (shown(0), shown(1))
}

/// The largest difference between PyTorch's derivatives and ours, as a share of the largest one, or between the losses.
fn gradient_error(values: &[Vec<f32>]) -> Result<f64, BenchError> {
    let weights = SHAPE.seeded(1);
    let (x, y) = windows(&values[..1]);
    let given = Given {
        hidden: SHAPE.hidden,
        layers: SHAPE.layers,
        levels: &LEVELS,
        weights: &weights,
        x: x.chunks(EFFORT.windows * SHAPE.inputs).map(|row| row.chunks(SHAPE.inputs).collect()).collect(),
        y: y.chunks(EFFORT.windows).collect(),
    };
    let theirs: Gradient = torch("lstm.py", &given)?;
    let ours = lstm_gradient(&Device::Cpu, SHAPE, EFFORT.windows, &weights, &x, &y, &LEVELS).map_err(refused)?;
    if theirs.gradient.len() != ours.gradient.len() {
        return Err(BenchError::Fit(format!("PyTorch has {} derivatives", theirs.gradient.len())));
    }
    // A NaN is the largest in total order: none is passed over.
    let most = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).max_by(f64::total_cmp).unwrap_or(f64::NAN);
    let off = most(&mut theirs.gradient.iter().zip(&ours.gradient).map(|(theirs, ours)| theirs - f64::from(*ours)));
    let share = off / most(&mut theirs.gradient.iter().copied());
    Ok(most(&mut [share, theirs.loss - ours.loss[0]].into_iter()))
}

/// This process' largest resident set since it was last forgotten, where the system tells.
fn peak_mib(forget: bool) -> Option<f64> {
    if forget {
        std::fs::write("/proc/self/clear_refs", "5").ok()?;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::lacks_torch;

    #[test]
    fn loss_and_derivatives_are_pytorch_s() {
        if lacks_torch("PyTorch's derivatives") {
            return;
        }
        // Both sum three thousand slopes, most of which cancel, in `f32`.
        let error = gradient_error(&values(1)).unwrap();
        assert!(error < 1e-4, "{error}");
    }
}
