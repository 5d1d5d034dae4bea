//! A step of Adam, and what a look at the rest means for it: a cube a network.

use cubecl::prelude::*;

use super::super::{array, is_number};
use super::{Bank, COUNTS, DIVERGED, FACTS, Past, RUNNING, STOPPED, Sizes, UNITS};
use crate::lstm::{ADAM, LEAST, LstmEffort, rate};

impl<R: Runtime, E: Past> Bank<'_, R, E> {
    /// What Adam and the looks at the rest begin with.
    pub(super) fn begin(&self) {
        let places = self.models * self.sizes.weights();
        let (cubes, dim) = self.each(places);
        let of = |handle| self.of_weights(handle);
        // SAFETY: every table was made for so many models; units past the last place stop.
        unsafe {
            begin::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                of(&self.weights),
                of(&self.best),
                of(&self.mean),
                of(&self.square),
                places as u32,
            );
        }
    }

    /// Keeps the last weights of networks that were never judged.
    pub(super) fn keep_unjudged(&self) {
        let places = self.models * self.sizes.weights();
        let (cubes, dim) = self.each(places);
        // SAFETY: as in `begin`.
        unsafe {
            keep_unjudged::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                self.of_weights(&self.weights),
                self.of_weights(&self.best),
                array(&self.facts, self.models * FACTS),
                array(&self.counts, self.models * COUNTS),
                places as u32,
                self.sizes,
            );
        }
    }

    /// Moves the weights of every network that still learns.
    pub(super) fn step(&self, effort: &LstmEffort, taken: usize) {
        let (cubes, dim) = self.cubes(self.models);
        let left = |decay: f32| 1.0 - decay.powi(taken as i32 + 1);
        // SAFETY: every table was made for so many models; cubes past the last stop.
        unsafe {
            step::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                self.of_weights(&self.weights),
                self.of_gradient(),
                self.of_weights(&self.mean),
                self.of_weights(&self.square),
                self.of_costs(&self.pass.costs),
                self.of_costs(&self.pass.known),
                array(&self.counts, self.models * COUNTS),
                self.models as u32,
                rate(effort, taken) / left(ADAM.0),
                1.0 / left(ADAM.1),
                effort.clip,
                self.sizes,
            );
        }
    }

    /// Keeps weights that are better on the rest than any before, and ends what gained nothing for long.
    pub(super) fn judge(&self, patience: u32, is_first: bool) {
        let (cubes, dim) = self.cubes(self.models);
        // SAFETY: as in `step`.
        unsafe {
            judge::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                self.of_weights(&self.weights),
                self.of_weights(&self.best),
                self.of_costs(&self.pass.costs),
                self.of_costs(&self.pass.known),
                array(&self.losses, self.models),
                array(&self.counts, self.models * COUNTS),
                self.models as u32,
                patience,
                u32::from(is_first),
                self.sizes,
            );
        }
    }
}

#[cube(launch_unchecked)]
fn begin(weights: &Array<f32>, best: &mut Array<f32>, mean: &mut Array<f32>, square: &mut Array<f32>, places: u32) {
    if (ABSOLUTE_POS as u32) < places {
        best[ABSOLUTE_POS] = weights[ABSOLUTE_POS];
        mean[ABSOLUTE_POS] = 0.0f32;
        square[ABSOLUTE_POS] = 0.0f32;
    }
}

#[cube(launch_unchecked)]
fn keep_unjudged(
    weights: &Array<f32>,
    best: &mut Array<f32>,
    facts: &Array<u32>,
    counts: &Array<u32>,
    places: u32,
    #[comptime] sizes: Sizes,
) {
    let at = ABSOLUTE_POS as u32;
    if at < places {
        let model = at / comptime!(sizes.vectors * sizes.units);
        let rest = facts[(model * FACTS as u32 + comptime!(FACTS as u32 - 1)) as usize];
        if rest == 0u32 && counts[(model * COUNTS as u32) as usize] == RUNNING {
            best[at as usize] = weights[at as usize];
        }
    }
}

/// A network's slope of a weight, before it is shared out among the steps.
#[cube]
fn slope_of(gradient: &Array<f32>, model: u32, at: u32, #[comptime] sizes: Sizes) -> f32 {
    let width = comptime!(sizes.vectors * sizes.units);
    let mut sum = 0.0f32;
    for own in 0..comptime!(sizes.parts()) {
        sum += gradient[((model * comptime!(sizes.parts()) + own) * width + at) as usize];
    }
    sum
}

/// The sum of what every unit of a cube has, the same for all.
#[cube]
fn sum(own: f32, shared: &mut SharedMemory<f32>) -> f32 {
    sync_cube();
    shared[UNIT_POS as usize] = own;
    sync_cube();
    let mut all = 0.0f32;
    for i in 0..UNITS as u32 {
        all += shared[i as usize];
    }
    all
}

/// A unit's part of the sum of a network's table of windows and outputs.
#[cube]
fn part_of(values: &Array<f32>, model: u32, #[comptime] rows: u32) -> f32 {
    let mut sum = 0.0f32;
    for turn in 0..comptime!(rows.div_ceil(UNITS as u32)) {
        let row = turn * UNITS as u32 + UNIT_POS;
        if row < rows {
            sum += values[(model * rows + row) as usize];
        }
    }
    sum
}

#[cube(launch_unchecked)]
fn step(
    weights: &mut Array<f32>,
    gradient: &Array<f32>,
    mean: &mut Array<f32>,
    square: &mut Array<f32>,
    costs: &Array<f32>,
    known: &Array<f32>,
    counts: &mut Array<u32>,
    models: u32,
    rate: f32,
    spread: f32,
    clip: f32,
    #[comptime] sizes: Sizes,
) {
    let rows = comptime!(sizes.windows * sizes.outputs);
    let width = comptime!(sizes.vectors * sizes.units);
    let model = CUBE_POS as u32;
    if model < models {
        let mut shared = SharedMemory::<f32>::new(UNITS);
        let count = (model * COUNTS as u32) as usize;
        let is_running = counts[count] == RUNNING;
        let cost = sum(part_of(costs, model, rows), &mut shared);
        let share = 1.0f32 / f32::max(sum(part_of(known, model, rows), &mut shared), 1.0f32);
        let mut squares = 0.0f32;
        for turn in 0..comptime!(width.div_ceil(UNITS as u32)) {
            let at = turn * UNITS as u32 + UNIT_POS;
            if at < width {
                let slope = share * slope_of(gradient, model, at, sizes);
                squares += slope * slope;
            }
        }
        let norm = sum(squares, &mut shared).sqrt();
        let is_sound = is_number::<f32>(cost) && is_number::<f32>(norm);
        let mut shrink = share * 1.0f32;
        if norm > clip {
            shrink = share * clip / norm;
        }
        if is_running {
            if is_sound {
                for turn in 0..comptime!(width.div_ceil(UNITS as u32)) {
                    let own = turn * UNITS as u32 + UNIT_POS;
                    if own < width {
                        let at = (model * width + own) as usize;
                        let slope = shrink * slope_of(gradient, model, own, sizes);
                        let m = ADAM.0 * mean[at] + (1.0f32 - ADAM.0) * slope;
                        let v = ADAM.1 * square[at] + (1.0f32 - ADAM.1) * slope * slope;
                        mean[at] = m;
                        square[at] = v;
                        weights[at] -= rate * m / ((v * spread).sqrt() + LEAST);
                    }
                }
            }
            if UNIT_POS == 0u32 {
                if is_sound {
                    counts[count + 2] += 1u32;
                } else {
                    counts[count] = DIVERGED;
                }
            }
        }
    }
}

#[cube(launch_unchecked)]
fn judge(
    weights: &Array<f32>,
    best: &mut Array<f32>,
    costs: &Array<f32>,
    known: &Array<f32>,
    losses: &mut Array<f32>,
    counts: &mut Array<u32>,
    models: u32,
    patience: u32,
    is_first: u32,
    #[comptime] sizes: Sizes,
) {
    let rows = comptime!(sizes.windows * sizes.outputs);
    let width = comptime!(sizes.vectors * sizes.units);
    let model = CUBE_POS as u32;
    if model < models {
        let mut shared = SharedMemory::<f32>::new(UNITS);
        let count = (model * COUNTS as u32) as usize;
        let is_running = counts[count] == RUNNING;
        let before = losses[model as usize];
        let cost = sum(part_of(costs, model, rows), &mut shared);
        let seen = sum(part_of(known, model, rows), &mut shared);
        let loss = cost / seen;
        if is_running && seen > 0.0f32 {
            let is_better = loss < before;
            if is_better {
                for turn in 0..comptime!(width.div_ceil(UNITS as u32)) {
                    let own = turn * UNITS as u32 + UNIT_POS;
                    if own < width {
                        best[(model * width + own) as usize] = weights[(model * width + own) as usize];
                    }
                }
            }
            if UNIT_POS == 0u32 {
                if is_better || is_first == 1u32 {
                    losses[model as usize] = loss;
                    counts[count + 1] = 0u32;
                } else {
                    counts[count + 1] += 1u32;
                    if counts[count + 1] >= patience {
                        counts[count] = STOPPED;
                    }
                }
            }
        }
    }
}
