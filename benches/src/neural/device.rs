//! `cuda.lstm_bank.*`: ten thousand networks trained on an NVIDIA GPU, a hundred thousand asked, and PyTorch on the same card.

use std::time::Instant;

use foreshadow_kernels::{Device, LstmBatch};
use serde::{Deserialize, Serialize};

use super::cost::{EFFORT, SHAPE, Training, loss, step_flop, train, values};
use crate::cuda::{on_card, refused};
use crate::peers::torch;
use crate::{BenchError, Context, Figures, Scale};

const TRAINED: usize = 10_000;
const ASKED: usize = 100_000;
const SMOKE: usize = 4;
/// Networks and steps of PyTorch's ways: seconds of each.
const LOOPED: (usize, usize) = (4, 25);
const TOGETHER: (usize, usize) = (1_000, 10);
/// Bytes of a step of a window of one network: in half precision what is kept of each cell is written once and read once, its
/// units are read twice; the window's numbers and the slopes of what it costs.
const PAST_BYTES: f64 = 2.0 * ((2 * 5 + 3) * SHAPE.hidden) as f64 + 4.0 * 14.0;

#[derive(Serialize)]
struct OnCard<'a> {
    device: &'static str,
    way: &'static str,
    #[serde(flatten)]
    training: Training<'a>,
}

#[derive(Deserialize)]
struct Took {
    /// Of the steps asked for, and of thrice as many.
    seconds: [f64; 2],
}

/// Takes the figures of a CUDA device; of any GPU in a smoke run, where the bank is small.
///
/// # Errors
/// [`BenchError`] when the device refuses the work, or PyTorch cannot be had.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    on_card("lstm-cuda", context, figures, on)
}

fn on(device: &Device, context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let smoke = context.scale == Scale::Smoke;
    let models = if smoke { SMOKE } else { TRAINED };
    let values = values(models);
    // The first one compiles.
    let steps = if smoke { 2 } else { EFFORT.steps };
    let (first, _) = train(device, &values[..SMOKE], steps)?;
    let (seconds, weights) = train(device, &values, steps)?;
    let (same, on_cpu) = (&values[..SMOKE], train(&Device::Cpu, &values[..SMOKE], steps)?.1);
    figures.add("cuda.lstm_bank.loss", loss(same, &weights[..SMOKE * SHAPE.weights()])?, "");
    figures.add("cuda.lstm_bank.cpu_loss", loss(same, &on_cpu)?, "");
    if smoke {
        return asked(device, SMOKE, figures, false);
    }
    figures.add("cuda.lstm_bank.first_seconds", first, "s");
    figures.add("cuda.lstm_bank.seconds_10k", seconds, "s");
    let steps_taken = (models * EFFORT.steps) as f64;
    figures.add("cuda.lstm_bank.gflops", step_flop() * steps_taken / seconds / 1e9, "GFLOP/s");
    let began = Instant::now();
    if let Some(ceilings) = device.ceilings(&|| began.elapsed().as_secs_f64()).map_err(refused)? {
        let bytes = PAST_BYTES * (EFFORT.windows * EFFORT.length) as f64 * steps_taken;
        figures.add("cuda.lstm_bank.triad_share_percent", 100.0 * bytes / 1e9 / seconds / ceilings.triad_gbps, "%");
    }
    asked(device, ASKED, figures, true)?;
    if context.peers {
        beside_torch(&values, seconds, figures)?;
    }
    Ok(())
}

/// Networks that lie on the device with a window each: what asking them takes, the first time left out.
fn asked(device: &Device, models: usize, figures: &mut Figures, timed: bool) -> Result<(), BenchError> {
    let own: Vec<f32> = SHAPE.seeded(1);
    let weights: Vec<f32> = (0..models).flat_map(|_| own.iter().copied()).collect();
    let x: Vec<f32> = (0..models * EFFORT.length).map(|at| ((at * 7_919) % 101) as f32 / 50.0 - 1.0).collect();
    let start = Instant::now();
    let batch = LstmBatch::to_device(device, SHAPE, &weights, &x).map_err(refused)?;
    device.wait().map_err(refused)?;
    let transfer = start.elapsed().as_secs_f64();
    let ask = || -> Result<f64, BenchError> {
        let start = Instant::now();
        let said = batch.forward();
        device.wait().map_err(refused)?;
        let spent = start.elapsed().as_secs_f64();
        drop(said);
        Ok(spent)
    };
    ask()?;
    let mut seconds = (0..5).map(|_| ask()).collect::<Result<Vec<f64>, _>>()?;
    seconds.sort_by(f64::total_cmp);
    if timed {
        figures.add("cuda.lstm_bank.forward_100k_ms", 1e3 * seconds[2], "ms");
        figures.add("cuda.lstm_bank.forward_transfer_seconds", transfer, "s");
    }
    Ok(())
}

/// PyTorch's ways on the card, on parts of the work.
fn beside_torch(values: &[Vec<f32>], ours: f64, figures: &mut Figures) -> Result<(), BenchError> {
    let mut least = f64::INFINITY;
    for (way, (networks, steps)) in [("loop", LOOPED), ("bmm", TOGETHER)] {
        let training = Training::of(&values[..networks], steps);
        let took: Took = torch("lstm.py", &OnCard { device: "cuda", way, training })?;
        // What the shorter run takes besides its steps, the longer one takes too.
        let of_steps = (took.seconds[1] - took.seconds[0]) / 2.0;
        let whole = of_steps * (TRAINED * EFFORT.steps) as f64 / (networks * steps) as f64;
        figures.add(&format!("cuda.lstm_bank.torch_{way}_seconds_10k"), whole, "s");
        least = least.min(whole);
    }
    figures.add("cuda.lstm_bank.ratio_torch", least / ours, "x");
    Ok(())
}
