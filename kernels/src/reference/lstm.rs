//! Plain twins of the operations on one network, with the derivatives taken by the chain rule cell by cell.

use crate::lstm::{GATES, LstmEffort, LstmShape, place};

/// A step of one layer of one window, as the way back needs it.
struct Step {
    input: Vec<f64>,
    before: (Vec<f64>, Vec<f64>),
    gates: Vec<f64>,
    cell: Vec<f64>,
    hidden: Vec<f64>,
}

/// The weights of a layer, by their places in all weights.
struct Layer {
    inputs: usize,
    of_input: usize,
    of_hidden: usize,
    bias: usize,
}

fn layers(shape: LstmShape) -> (Vec<Layer>, usize) {
    let mut at = 0;
    let mut layers = Vec::new();
    for layer in 0..shape.layers {
        let inputs = if layer == 0 { shape.inputs } else { shape.hidden };
        let of_hidden = at + GATES * shape.hidden * inputs;
        let bias = of_hidden + GATES * shape.hidden * shape.hidden;
        layers.push(Layer { inputs, of_input: at, of_hidden, bias });
        at = bias + GATES * shape.hidden;
    }
    (layers, at)
}

/// `[steps][outputs]` of one window, and what led there, `[layers][steps]`.
fn window(shape: LstmShape, weights: &[f64], x: &[Vec<f64>]) -> (Vec<Vec<f64>>, Vec<Vec<Step>>) {
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let (layers, head) = layers(shape);
    let n = shape.hidden;
    let mut told: Vec<Vec<f64>> = x.to_vec();
    let mut all = Vec::new();
    for layer in &layers {
        let mut before = (vec![0.0; n], vec![0.0; n]);
        let mut steps = Vec::new();
        for input in &told {
            let gate = |row: usize| {
                let of_input = &weights[layer.of_input + row * layer.inputs..][..layer.inputs];
                let of_hidden = &weights[layer.of_hidden + row * n..][..n];
                let z = weights[layer.bias + row] + dot(of_input, input) + dot(of_hidden, &before.0);
                if row / n == 2 { z.tanh() } else { sigmoid(z) }
            };
            let gates: Vec<f64> = (0..GATES * n).map(gate).collect();
            let cell: Vec<f64> = (0..n).map(|u| gates[n + u] * before.1[u] + gates[u] * gates[2 * n + u]).collect();
            let hidden: Vec<f64> = (0..n).map(|u| gates[3 * n + u] * cell[u].tanh()).collect();
            let after = (hidden.clone(), cell.clone());
            steps.push(Step {
                input: input.clone(),
                before: std::mem::replace(&mut before, after),
                gates,
                cell,
                hidden,
            });
        }
        told = steps.iter().map(|step| step.hidden.clone()).collect();
        all.push(steps);
    }
    let output = |hidden: &Vec<f64>, o: usize| {
        dot(&weights[head + o * n..][..n], hidden) + weights[head + shape.outputs * n + o]
    };
    let outputs = told.iter().map(|hidden| (0..shape.outputs).map(|o| output(hidden, o)).collect()).collect();
    (outputs, all)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// One network's [`crate::lstm_forward`]: `x` is `[steps, inputs]`.
pub fn lstm_forward(shape: LstmShape, weights: &[f64], x: &[f64]) -> Vec<f64> {
    let rows: Vec<Vec<f64>> = x.chunks(shape.inputs).map(<[f64]>::to_vec).collect();
    window(shape, weights, &rows).0.concat()
}

/// One network's [`crate::lstm_gradient`]: `x` is `[length, windows, inputs]`, `y` `[length, windows, targets]`.
pub fn lstm_gradient(
    shape: LstmShape,
    windows: usize,
    weights: &[f64],
    x: &[f64],
    y: &[f64],
    levels: &[f64],
) -> (f64, Vec<f64>) {
    let (n, i, targets) = (shape.hidden, shape.inputs, shape.outputs / levels.len());
    let length = y.len() / (windows * targets);
    let (layers, head) = layers(shape);
    let known = y.iter().filter(|y| !y.is_nan()).count();
    let share = 1.0 / ((known * levels.len()).max(1)) as f64;
    let mut loss = 0.0;
    let mut gradient = vec![0.0; weights.len()];
    for w in 0..windows {
        let rows: Vec<Vec<f64>> = (0..length).map(|t| x[(t * windows + w) * i..][..i].to_vec()).collect();
        let (outputs, all) = window(shape, weights, &rows);
        // What is asked of each step's units from above.
        let mut asked = vec![vec![0.0; n]; length];
        for t in 0..length {
            let own = &y[(t * windows + w) * targets..][..targets];
            let answered = (0..shape.outputs).map(|o| (o, own[o / levels.len()], levels[o % levels.len()]));
            for (o, y, level) in answered.filter(|(_, y, _)| !y.is_nan()) {
                let error = y - outputs[t][o];
                loss += share * f64::max(level * error, (level - 1.0) * error);
                let slope = share * if error > 0.0 { -level } else { 1.0 - level };
                for u in 0..n {
                    gradient[head + o * n + u] += slope * all[shape.layers - 1][t].hidden[u];
                    asked[t][u] += slope * weights[head + o * n + u];
                }
                gradient[head + shape.outputs * n + o] += slope;
            }
        }
        for (layer, steps) in layers.iter().zip(&all).rev() {
            asked = layer_backward(layer, n, steps, &asked, weights, &mut gradient);
        }
    }
    (loss, gradient)
}

/// Adds one layer's slopes, and returns what it asks of its inputs.
fn layer_backward(
    layer: &Layer,
    n: usize,
    steps: &[Step],
    asked: &[Vec<f64>],
    weights: &[f64],
    gradient: &mut [f64],
) -> Vec<Vec<f64>> {
    let mut below = vec![vec![0.0; layer.inputs]; steps.len()];
    let (mut of_hidden, mut of_cell) = (vec![0.0; n], vec![0.0; n]);
    for (t, step) in steps.iter().enumerate().rev() {
        let mut slopes = vec![0.0; GATES * n];
        for u in 0..n {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| step.gates[gate * n + u]);
            let squashed = step.cell[u].tanh();
            let hidden = asked[t][u] + of_hidden[u];
            let cell = of_cell[u] + hidden * o * (1.0 - squashed * squashed);
            slopes[u] = cell * g * i * (1.0 - i);
            slopes[n + u] = cell * step.before.1[u] * f * (1.0 - f);
            slopes[2 * n + u] = cell * i * (1.0 - g * g);
            slopes[3 * n + u] = hidden * squashed * o * (1.0 - o);
            of_cell[u] = cell * f;
        }
        of_hidden.fill(0.0);
        for (row, slope) in slopes.iter().enumerate() {
            for k in 0..layer.inputs {
                gradient[layer.of_input + row * layer.inputs + k] += slope * step.input[k];
                below[t][k] += slope * weights[layer.of_input + row * layer.inputs + k];
            }
            for k in 0..n {
                gradient[layer.of_hidden + row * n + k] += slope * step.before.0[k];
                of_hidden[k] += slope * weights[layer.of_hidden + row * n + k];
            }
            gradient[layer.bias + row] += slope;
        }
    }
    below
}

/// One network's [`crate::lstm_train`] over all steps, without a look at the rest: `inputs` is `[steps, inputs]`, `targets`
/// `[steps, targets]` of what is learned.
pub fn lstm_train(
    shape: LstmShape,
    (inputs, targets): (&[f64], &[f64]),
    seed: u32,
    levels: &[f64],
    effort: &LstmEffort,
    weights: &[f64],
) -> Vec<f64> {
    let (n, per) = (effort.windows, shape.outputs / levels.len());
    let places = (targets.len() / per - effort.length + 1) as u32;
    let mut weights = weights.to_vec();
    let (mut mean, mut square) = (vec![0.0; weights.len()], vec![0.0; weights.len()]);
    let decays: [f64; 2] = [0.9, 0.999];
    for taken in 0..effort.steps {
        let from = |window: usize| place(seed, (taken * n + window) as u32, places) as usize;
        let drawn = |values: &[f64], width: usize| -> Vec<f64> {
            let at = (0..effort.length).flat_map(|t| (0..n).map(move |window| (t, window)));
            at.flat_map(|(t, window)| values[(from(window) + t) * width..][..width].to_vec()).collect()
        };
        let (x, y) = (drawn(inputs, shape.inputs), drawn(targets, per));
        let (_, gradient) = lstm_gradient(shape, n, &weights, &x, &y, levels);
        let norm = dot(&gradient, &gradient).sqrt();
        let share = f64::min(1.0, f64::from(effort.clip) / norm);
        let turn = std::f64::consts::PI * taken as f64 / effort.steps as f64;
        let rate = f64::from(effort.rate) * 0.5 * (1.0 + turn.cos());
        let left = decays.map(|decay| 1.0 - decay.powi(taken as i32 + 1));
        for at in 0..weights.len() {
            let slope = share * gradient[at];
            mean[at] = decays[0] * mean[at] + (1.0 - decays[0]) * slope;
            square[at] = decays[1] * square[at] + (1.0 - decays[1]) * slope * slope;
            let size = (square[at] / left[1]).sqrt() + 1e-8;
            weights[at] -= rate * mean[at] / left[0] / size;
        }
    }
    weights
}
