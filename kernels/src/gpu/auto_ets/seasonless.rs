//! The quadratic of a form without a season, whose unknowns are few: a unit a series walks all of their answers at once.
//! See [`super::quadratic`] for the recursion; the one slot of a season is what the start is kept in.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;

use super::newton::Width;
use super::prepare::{CENTRE, INVERSE_SCALE, OBSERVED, OFFSET};
use super::quadratic::weight_of;
use super::{FLOOR, Rounds, SLOPE, START};
use crate::Trend;
use crate::gpu::array;

/// Unknowns of a form: alpha, the share of beta, phi, the first slope and the first error.
const UNKNOWNS: [u32; 5] = [0, 1, 3, SLOPE, START];
const COUNT: usize = UNKNOWNS.len();
const BETA: usize = 1;
const PHI: usize = 2;
const FIRST_SLOPE: usize = 3;
const FIRST: usize = 4;
/// Rows of the quadratic that a step is made by.
const USED: u32 = START + 1;

pub(super) fn launch<R: Runtime, F: Float + CubeElement>(rounds: &Rounds<'_, R>) {
    let Rounds { panel, form, search, scratch, .. } = rounds;
    let (gpu, series, steps) = (panel.y.gpu(), panel.y.series(), panel.y.steps());
    let held = scratch.held(*form);
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: `Panel`, `Scratch` and `Search` made each array with the rows that it is passed with; units past the list's
    // end stop.
    unsafe {
        seasonless::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            panel.y.arg(),
            panel.units(),
            panel.firsts(form.season),
            search.fresh(),
            search.tally(),
            search.trial(),
            search.value(),
            array(&scratch.errors, steps * series),
            array(&scratch.slopes, held.slopes * series),
            search.hessian(),
            rounds.fresh_round(),
            series as u32,
            steps as u32,
            Width::of(*form).unknowns,
            form.trend != Trend::None,
            form.trend == Trend::Damped,
            form.is_relative(),
        );
    }
}

/// Whether a form has an unknown.
fn has(unknown: usize, sloped: bool, damped: bool) -> bool {
    match unknown {
        BETA | FIRST_SLOPE => sloped,
        PHI => damped,
        _ => true,
    }
}

/// Where the product of two unknowns is summed up.
fn pair(one: usize, other: usize) -> usize {
    one * (one + 1) / 2 + other
}

#[cube(launch_unchecked)]
#[allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory
fn seasonless<F: Float>(
    y: &Array<f32>,
    units: &Array<F>,
    firsts: &Array<u32>,
    list: &Array<u32>,
    tally: &Array<u32>,
    trial: &Array<F>,
    values: &Array<F>,
    errors: &Array<f32>,
    slopes: &Array<f32>,
    hessian: &mut Array<f32>,
    round: u32,
    series: u32,
    steps: u32,
    #[comptime] width: u32,
    #[comptime] sloped: bool,
    #[comptime] damped: bool,
    #[comptime] relative: bool,
) {
    let entry = ABSOLUTE_POS as u32;
    if entry < tally[round as usize] {
        let s = list[entry as usize];
        let alpha = f32::cast_from(trial[s as usize]);
        let share_b = f32::cast_from(trial[(series + s) as usize]);
        let phi = f32::cast_from(trial[(3 * series + s) as usize]);
        let mut beta = 0.0f32;
        if sloped {
            beta = FLOOR + (alpha - FLOOR) * share_b;
        }
        let inverse = f32::cast_from(units[(INVERSE_SCALE * series + s) as usize]);
        let centre =
            f32::cast_from(units[(CENTRE * series + s) as usize] * units[(INVERSE_SCALE * series + s) as usize]);
        let offset = f32::cast_from(units[(OFFSET * series + s) as usize]);
        let first = firsts[s as usize];
        let mut level = Array::<f32>::new(COUNT);
        let mut slope = Array::<f32>::new(COUNT);
        let mut held = Array::<f32>::new(COUNT);
        let mut rows = Array::<f32>::new(COUNT);
        let mut sums = Array::<f32>::new(comptime!(COUNT * (COUNT + 1) / 2));
        #[unroll]
        for u in 0..COUNT {
            level[u] = 0.0f32;
            slope[u] = 0.0f32;
            held[u] = 0.0f32;
            #[unroll]
            for v in 0..comptime!(u + 1) {
                sums[comptime!(pair(u, v))] = 0.0f32;
            }
        }
        if sloped {
            slope[FIRST_SLOPE] = 1.0f32;
        }
        for t in 0..steps {
            let at = (t * series + s) as usize;
            let error = errors[at];
            let is_seen = !error.is_nan();
            let is_fresh = is_seen && first == t + 1;
            let mut weight = 1.0f32;
            let mut change = 1.0f32;
            if relative && is_seen {
                let whole = y[at] * inverse - centre + offset;
                let expected = whole - error;
                let ratio = whole / expected;
                weight = weight_of(ratio, 3.0f32) / expected;
                // What a relative error of one is as an error.
                change = expected / ratio;
            }
            let mut own_slope = 0.0f32;
            if damped {
                own_slope = slopes[at];
            }
            #[unroll]
            for u in 0..COUNT {
                if comptime!(has(u, sloped, damped)) {
                    let mut drift = 0.0f32;
                    if sloped {
                        drift = phi * slope[u];
                    }
                    if comptime!(damped && u == PHI) {
                        drift += own_slope;
                    }
                    let ahead = level[u] + drift;
                    // What the unknown takes of an error by level and slope.
                    let mut by_level = 0.0f32;
                    let mut by_slope = 0.0f32;
                    if comptime!(u == 0) {
                        by_level = error + 0.0f32;
                        by_slope = error * share_b;
                    }
                    if comptime!(u == BETA) {
                        by_slope = error * (alpha - FLOOR);
                    }
                    let mut row = ahead + held[u];
                    let mut pull = 0.0f32 - row;
                    if is_fresh {
                        row = if comptime!(u == FIRST) { 1.0f32.runtime() } else { 0.0f32.runtime() };
                        pull = row * change;
                        held[u] = 0.0f32 - ahead - pull;
                    } else {
                        row *= weight;
                    }
                    if is_seen {
                        level[u] = ahead + alpha * pull + by_level;
                        slope[u] = drift + beta * pull + by_slope;
                        rows[u] = row;
                    } else {
                        level[u] = ahead + 0.0f32;
                        slope[u] = drift + 0.0f32;
                        rows[u] = 0.0f32;
                    }
                    #[unroll]
                    for v in 0..comptime!(u + 1) {
                        if comptime!(has(v, sloped, damped)) {
                            sums[comptime!(pair(u, v))] += rows[u] * rows[v];
                        }
                    }
                }
            }
        }
        let scale = f32::cast_from(units[(OBSERVED * series + s) as usize] / values[(series + s) as usize]);
        let whole = s * comptime!(width * width);
        for i in 0..USED {
            for j in 0..USED {
                hessian[(whole + i * width + j) as usize] = 0.0f32;
            }
        }
        #[unroll]
        for u in 0..COUNT {
            #[unroll]
            for v in 0..comptime!(u + 1) {
                let sum = scale * sums[comptime!(pair(u, v))];
                hessian[(whole + comptime!(UNKNOWNS[u] * width + UNKNOWNS[v])) as usize] = sum;
                hessian[(whole + comptime!(UNKNOWNS[v] * width + UNKNOWNS[u])) as usize] = sum;
            }
        }
    }
}
