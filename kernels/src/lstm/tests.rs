use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::device;
use crate::reference;

const LEVELS: [f32; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
/// Inputs, units, layers, levels, targets, windows, steps: units and outputs that fill no vector, just one, and several; rows
/// that fill no block; windows of several cubes, the last of which they do not fill.
const SHAPES: [[usize; 7]; 10] = [
    [1, 1, 1, 1, 1, 1, 1],
    [2, 12, 1, 3, 1, 5, 7],
    [3, 8, 2, 2, 3, 4, 6],
    [1, 32, 1, 3, 1, 7, 12],
    [4, 17, 2, 9, 2, 3, 5],
    [1, 64, 1, 1, 1, 2, 9],
    [5, 16, 1, 3, 9, 8, 4],
    [2, 64, 3, 3, 2, 37, 5],
    [1, 32, 1, 3, 1, 70, 4],
    [1, 100, 1, 3, 1, 19, 4],
];

fn shape(inputs: usize, hidden: usize, layers: usize, outputs: usize) -> LstmShape {
    LstmShape { inputs, hidden, layers, outputs }
}

fn uniform(count: usize, bound: f32, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| rng.random_range(-bound..bound)).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() <= tolerance, "{found} at {at} where {expected} is right");
    }
}

#[test]
fn the_reference_s_slopes_are_those_of_its_loss() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (shape, windows, length) = (shape(2, 5, 2, 4), 3, 4);
    let weights = wide(&uniform(shape.weights(), 0.6, &mut rng));
    let x = wide(&uniform(length * windows * 2, 1.0, &mut rng));
    let y = wide(&uniform(length * windows * 2, 1.0, &mut rng));
    let levels = [0.3, 0.9];
    let loss = |weights: &[f64]| reference::lstm::lstm_gradient(shape, windows, weights, &x, &y, &levels).0;
    let (_, gradient) = reference::lstm::lstm_gradient(shape, windows, &weights, &x, &y, &levels);
    for at in 0..weights.len() {
        let moved = |by: f64| {
            let mut moved = weights.clone();
            moved[at] += by;
            loss(&moved)
        };
        let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
        assert!((slope - gradient[at]).abs() < 1e-8, "{at}: {slope} and {}", gradient[at]);
    }
}

#[test]
fn loss_and_gradient_are_the_reference_s() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for [inputs, hidden, layers, levels, targets, windows, length] in SHAPES {
        let (shape, models) = (shape(inputs, hidden, layers, levels * targets), 3);
        let levels = &LEVELS[..levels];
        let weights = uniform(models * shape.weights(), 0.6, &mut rng);
        let x = uniform(models * length * windows * inputs, 2.0, &mut rng);
        let mut y = uniform(models * length * windows * targets, 2.0, &mut rng);
        y.iter_mut().step_by(5).skip(1).for_each(|y| *y = f32::NAN);
        for (device, model) in device::present().iter().flat_map(|device| (0..models).map(move |model| (device, model)))
        {
            let told = lstm_gradient(device, shape, windows, &weights, &x, &y, levels).unwrap();
            let of = |values: &[f32]| {
                let width = values.len() / models;
                wide(&values[model * width..][..width])
            };
            let levels = wide(levels);
            let (loss, gradient) =
                reference::lstm::lstm_gradient(shape, windows, &of(&weights), &of(&x), &of(&y), &levels);
            // A gate is off by a few units in its last place, and so much again at each step that it reaches.
            assert!((told.loss[model] - loss).abs() < 1e-6, "{shape:?}: {} and {loss}", told.loss[model]);
            let width = shape.weights();
            assert_close(&told.gradient[model * width..][..width], &gradient, 2e-6);
        }
    }
}

#[test]
fn half_precision_is_off_by_what_its_numbers_hold() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut served = 0;
    for [inputs, hidden, layers, levels, targets, windows, length] in
        [SHAPES.as_slice(), &[[2, 32, 2, 3, 1, 64, 12]]].concat()
    {
        let (shape, models) = (shape(inputs, hidden, layers, levels * targets), 3);
        let levels = &LEVELS[..levels];
        let weights = uniform(models * shape.weights(), 0.6, &mut rng);
        let x = uniform(models * length * windows * inputs, 2.0, &mut rng);
        let mut y = uniform(models * length * windows * targets, 2.0, &mut rng);
        y.iter_mut().step_by(5).skip(1).for_each(|y| *y = f32::NAN);
        for device in device::present() {
            let told = match &device {
                Device::Cuda(gpu) => {
                    gpu::lstm::gradient::gradient_in_half(gpu, shape, windows, &weights, &x, &y, levels)
                }
                Device::Wgpu(gpu) => {
                    gpu::lstm::gradient::gradient_in_half(gpu, shape, windows, &weights, &x, &y, levels)
                }
                Device::Cpu => None,
            };
            let Some(told) = told else { continue };
            let told = told.unwrap();
            served += 1;
            for model in 0..models {
                let of = |values: &[f32]| wide(&values[model * (values.len() / models)..][..values.len() / models]);
                let (loss, gradient) =
                    reference::lstm::lstm_gradient(shape, windows, &of(&weights), &of(&x), &of(&y), &wide(levels));
                assert!((told.loss[model] - loss).abs() < 2e-3 * loss, "{shape:?}: {} and {loss}", told.loss[model]);
                // Eleven bits a factor, and as many again at each step that an error reaches.
                let largest = gradient.iter().map(|slope| slope.abs()).fold(0.0, f64::max);
                assert_close(&told.gradient[model * shape.weights()..][..shape.weights()], &gradient, 5e-3 * largest);
            }
        }
    }
    if served == 0 {
        println!("skipped: LSTM networks in half precision: no device here has matrix units");
    }
}

#[test]
fn networks_that_lie_on_a_device_say_what_carried_ones_do() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let (shape, models, steps) = (shape(2, 12, 2, 3), 70, 9);
    let weights = uniform(models * shape.weights(), 0.6, &mut rng);
    let x = uniform(models * steps * 2, 2.0, &mut rng);
    for device in device::present() {
        let batch = LstmBatch::to_device(&device, shape, &weights, &x).unwrap();
        let said = batch.forward().to_host().unwrap();
        assert_eq!(said.len(), models * steps * 3);
        assert_eq!(said, lstm_forward(&device, shape, &weights, &x).unwrap());
        assert_eq!(said, batch.forward().to_host().unwrap(), "asking changes nothing");
        assert!(LstmBatch::to_device(&device, shape, &weights[1..], &x).is_err());
    }
}

#[test]
fn what_is_said_is_the_reference_s() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    // With such weights the largest networks are chaotic: over so many steps they make more of every rounding.
    for [inputs, hidden, layers, levels, targets, ..] in SHAPES.into_iter().take(7) {
        let outputs = levels * targets;
        let (shape, models, steps) = (shape(inputs, hidden, layers, outputs), 5, 40);
        let weights = uniform(models * shape.weights(), 0.6, &mut rng);
        let x = uniform(models * steps * inputs, 2.0, &mut rng);
        for device in device::present() {
            let said = lstm_forward(&device, shape, &weights, &x).unwrap();
            for model in 0..models {
                let of = |values: &[f32], width: usize| wide(&values[model * width..][..width]);
                let (weights, x) = (of(&weights, shape.weights()), of(&x, steps * inputs));
                let expected = reference::lstm::lstm_forward(shape, &weights, &x);
                assert_close(&said[model * steps * outputs..][..steps * outputs], &expected, 5e-6);
            }
        }
    }
}

/// A wave of a period with noise, what is right after each step being the next value.
struct Wave {
    inputs: Vec<f32>,
    targets: Vec<f32>,
}

impl Wave {
    fn new(steps: usize, period: f32, noise: f32, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let value = |t: usize| (t as f32 / period * std::f32::consts::TAU).sin();
        let values: Vec<f32> = (0..=steps).map(|t| value(t) + noise * rng.random_range(-1.0_f32..1.0)).collect();
        Self { inputs: values[..steps].to_vec(), targets: values[1..].to_vec() }
    }

    fn series(&self, learned_steps: usize, seed: u32) -> LstmSeries<'_> {
        LstmSeries { inputs: &self.inputs, targets: &self.targets, learned_steps, seed }
    }
}

const SMALL: LstmShape = LstmShape { inputs: 1, hidden: 8, layers: 1, outputs: 3 };
const QUICK: LstmEffort =
    LstmEffort { length: 24, windows: 16, steps: 120, rate: 0.02, clip: 1.0, look_every: 10, patience: 5 };

fn begin(count: usize) -> Vec<f32> {
    (0..count as u64).flat_map(|seed| SMALL.seeded(seed)).collect()
}

fn train(series: &[LstmSeries<'_>], effort: &LstmEffort, weights: &[f32]) -> LstmFit {
    lstm_train(&Device::Cpu, SMALL, series, &[0.1, 0.5, 0.9], effort, weights).unwrap()
}

#[test]
fn networks_learn_their_own_waves() {
    let waves: Vec<Wave> = (0..6).map(|at| Wave::new(400, 7.0 + 3.0 * at as f32, 0.1, at)).collect();
    let series: Vec<LstmSeries<'_>> = waves.iter().enumerate().map(|(at, wave)| wave.series(320, at as u32)).collect();
    for device in device::present() {
        let train =
            |effort: LstmEffort| lstm_train(&device, SMALL, &series, &[0.1, 0.5, 0.9], &effort, &begin(6)).unwrap();
        let (untaught, taught) = (train(LstmEffort { steps: 0, ..QUICK }), train(QUICK));
        for at in 0..6 {
            // Noise within a tenth leaves 0.02 to lose over the three levels; a wave without a memory about 0.2.
            let (before, after) = (untaught.loss[at], taught.loss[at]);
            assert!(before > 0.15 && after < 0.06, "{at}: {before} and {after} on {device}");
            assert!(taught.steps[at] > 20 && matches!(taught.end[at], LstmEnd::Done | LstmEnd::Stopped));
        }
        assert_eq!(train(QUICK), taught, "the same bits once more on {device}");
    }
}

#[test]
fn steps_of_training_are_the_reference_s() {
    let effort = LstmEffort { length: 12, windows: 8, steps: 15, rate: 0.02, clip: 0.1, ..QUICK };
    for (layers, targets) in [(1, 1), (2, 2)] {
        let shape = LstmShape { inputs: 1, hidden: 8, layers, outputs: 3 * targets };
        let wave = Wave::new(60 * targets, 9.0, 0.3, 5);
        let (inputs, mut known) = (&wave.inputs[..60], wave.targets.clone());
        known[3..9].fill(f32::NAN);
        let series = LstmSeries { inputs, targets: &known, learned_steps: 60, seed: 9 };
        let begin = shape.seeded(4);
        let shown = (&wide(inputs)[..], &wide(&known)[..]);
        let levels = [0.1_f32, 0.5, 0.9];
        let expected = reference::lstm::lstm_train(shape, shown, 9, &wide(&levels), &effort, &wide(&begin));
        let gone = begin.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        assert!(gone > 0.1, "{gone}");
        for device in device::present() {
            // In half precision the same happens to slopes a thousand times as large.
            let device = match device {
                Device::Cuda(gpu) => Device::Cuda(gpu.without_matrix_units()),
                device => device,
            };
            let fit = lstm_train(&device, shape, &[series], &levels, &effort, &begin).unwrap();
            // Adam divides a slope by its size: one that is nothing but rounding moves a weight as much as any other.
            assert_close(&fit.weights, &expected, 2e-3);
        }
    }
}

#[test]
fn a_network_s_bits_hang_on_its_own_series_alone() {
    let waves: Vec<Wave> = (0..3).map(|at| Wave::new(200, 9.0 + at as f32, 0.3, at)).collect();
    let series: Vec<LstmSeries<'_>> = waves.iter().enumerate().map(|(at, wave)| wave.series(150, at as u32)).collect();
    let weights = begin(3);
    let (all, again) = (train(&series, &QUICK, &weights), train(&series, &QUICK, &weights));
    assert_eq!(all, again);
    let width = SMALL.weights();
    let alone = train(&series[2..], &QUICK, &weights[2 * width..]);
    assert_eq!(alone.weights, all.weights[2 * width..]);
    let other = train(&[LstmSeries { seed: 77, ..series[2] }], &QUICK, &weights[2 * width..]);
    assert_ne!(other.weights, alone.weights);
}

#[test]
fn training_that_gains_nothing_stops_and_the_best_weights_stay() {
    // In the rest the contrary is right: the better the wave is known, the worse it goes there.
    let mut wave = Wave::new(300, 8.0, 0.0, 1);
    wave.targets[200..].iter_mut().for_each(|y| *y = -*y);
    for device in device::present() {
        let train = |effort: LstmEffort, weights: &[f32]| {
            lstm_train(&device, SMALL, &[wave.series(200, 1)], &[0.1, 0.5, 0.9], &effort, weights).unwrap()
        };
        let fit = train(QUICK, &begin(1));
        assert!(fit.end[0] == LstmEnd::Stopped && fit.steps[0] < 120, "{fit:?} on {device}");
        let kept = train(LstmEffort { steps: 0, ..QUICK }, &fit.weights);
        assert_eq!(
            (kept.loss[0], &kept.weights),
            (fit.loss[0], &fit.weights),
            "the loss is of those weights, {device}"
        );
    }
}

#[test]
fn what_cannot_be_learned_is_told_and_leaves_its_neighbours_alone() {
    let good = Wave::new(200, 9.0, 0.1, 1);
    let mut broken = Wave::new(200, 9.0, 0.1, 2);
    broken.inputs[20..40].fill(f32::NAN);
    let mut huge = Wave::new(200, 9.0, 0.1, 3);
    huge.targets.iter_mut().for_each(|y| *y *= f32::MAX);
    let dead = Wave { inputs: vec![0.0; 200], targets: vec![f32::NAN; 200] };
    let short = Wave::new(20, 9.0, 0.1, 4);
    let series =
        [good.series(150, 0), broken.series(150, 1), huge.series(150, 2), dead.series(150, 3), short.series(15, 4)];
    let weights = begin(5);
    for device in device::present() {
        let train = |series: &[LstmSeries<'_>], weights: &[f32]| {
            lstm_train(&device, SMALL, series, &[0.1, 0.5, 0.9], &QUICK, weights).unwrap()
        };
        let fit = train(&series, &weights);
        let ends = [fit.end[1], fit.end[2], fit.end[3], fit.end[4]];
        assert_eq!(ends, [LstmEnd::Diverged, LstmEnd::Diverged, LstmEnd::Nothing, LstmEnd::Nothing], "on {device}");
        let width = SMALL.weights();
        assert_eq!(fit.weights[width..], weights[width..], "they keep what they had");
        let alone = train(&series[..1], &weights[..width]);
        assert_eq!((&alone.weights[..], alone.loss[0]), (&fit.weights[..width], fit.loss[0]), "on {device}");
    }
}

#[test]
fn without_a_rest_the_last_weights_stay() {
    let wave = Wave::new(200, 9.0, 0.1, 1);
    let fit = train(&[wave.series(200, 0)], &QUICK, &begin(1));
    assert!(fit.loss[0].is_nan() && fit.end[0] == LstmEnd::Done && fit.steps[0] == 120);
    assert_ne!(fit.weights, begin(1));
}

#[test]
fn operands_of_another_size_are_refused_by_name() {
    let weights = begin(2);
    let refused = |error: KernelError| error.to_string();
    assert!(
        refused(lstm_forward(&Device::Cpu, SMALL, &weights[1..], &[0.0; 4]).unwrap_err()).starts_with("weights has")
    );
    assert!(refused(lstm_forward(&Device::Cpu, SMALL, &weights, &[0.0; 5]).unwrap_err()).starts_with("inputs has"));
    let told = lstm_gradient(&Device::Cpu, SMALL, 2, &weights, &[0.0; 8], &[0.0; 8], &LEVELS[..2]);
    assert!(refused(told.unwrap_err()).starts_with("levels has 2 values"));
    let wave = Wave::new(50, 9.0, 0.1, 1);
    let series = LstmSeries { targets: &wave.targets[1..], ..wave.series(40, 0) };
    let late = lstm_train(&Device::Cpu, SMALL, &[wave.series(51, 0)], &LEVELS[..3], &QUICK, &begin(1));
    assert!(refused(late.unwrap_err()).starts_with("learned steps has 51"));
    let told = lstm_train(&Device::Cpu, SMALL, &[series], &LEVELS[..3], &QUICK, &begin(1));
    assert!(refused(told.unwrap_err()).starts_with("inputs has 50 values"));
    for (shape, operand) in [
        (LstmShape { inputs: 0, ..SMALL }, "inputs of a step"),
        (LstmShape { hidden: 0, ..SMALL }, "units"),
        (LstmShape { layers: 0, ..SMALL }, "layers"),
        (LstmShape { outputs: 0, ..SMALL }, "outputs"),
    ] {
        let told = lstm_gradient(&Device::Cpu, shape, 2, &weights, &[0.0; 8], &[0.0; 8], &[]);
        assert!(refused(told.unwrap_err()).starts_with(operand));
        assert!(refused(lstm_forward(&Device::Cpu, shape, &weights, &[0.0; 8]).unwrap_err()).starts_with(operand));
    }
    for (effort, operand) in [
        (LstmEffort { length: 0, ..QUICK }, "steps of a window"),
        (LstmEffort { windows: 0, ..QUICK }, "windows of a step"),
    ] {
        let told = lstm_train(&Device::Cpu, SMALL, &[wave.series(40, 0)], &LEVELS[..3], &effort, &begin(1));
        assert!(refused(told.unwrap_err()).starts_with(operand));
    }
    let none = lstm_train(&Device::Cpu, SMALL, &[], &LEVELS[..3], &QUICK, &[]).unwrap();
    assert!(none.weights.is_empty() && none.end.is_empty());
}
