//! The search over weights and start together: limited-memory BFGS in the box of the weights, a step of every
//! series a launch.
//!
//! Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., algorithm 7.4, with the weights that lie on a bound
//! and would leave the box held there.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // as in the pass

use cubecl::prelude::*;

use super::prepare::{OBSERVED, OFFSET};
use super::{BEGINS, CONVERGED, DONE, FLOOR, MEMORY, NOWHERE, Rounds, SEARCHES, SLOPE, START};
use crate::gpu::{array, is_number};

/// Gain in log-likelihood under which a step is not worth its evaluation.
const SETTLED: f32 = 1e-6;
/// Places that a search may look at.
pub(super) const MAX_EVALUATIONS: u32 = 300;
/// Rows of [`super::Search::state`]: share of the direction on trial, the scale that the memory tells, and the worth
/// of the place that a step begins from.
pub(super) const STRIDE: u32 = 0;
pub(super) const SCALE: u32 = 1;
pub(super) const AT_VALUE: u32 = 2;
pub(super) const STATE_ROWS: usize = 3;
/// Rows of counters: pairs learned since the memory was cleared, evaluations, and whether the search settled.
pub(super) const PAIRS: u32 = 0;
pub(super) const EVALUATIONS: u32 = 1;
pub(super) const ENDED: u32 = 2;
pub(super) const COUNT_ROWS: usize = 3;

pub(super) fn launch<R: Runtime, F: Float + CubeElement>(rounds: &Rounds<'_, R>) {
    let Rounds { panel, form, search, scratch, .. } = rounds;
    let held = scratch.held(*form);
    let (gpu, series) = (panel.y.gpu(), panel.y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: `Search` made each array with the rows that it is passed with; units past the last series stop.
    unsafe {
        descend::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            panel.units(),
            array(&scratch.slopes, held.slopes * series),
            search.phase(),
            search.counts(),
            search.state(),
            search.at(),
            search.trial(),
            search.value(),
            search.gradient(),
            search.at_gradient(),
            search.direction(),
            search.moves(),
            search.changes(),
            search.inverses(),
            search.preconditioner(),
            series as u32,
            panel.y.steps() as u32,
            (START as usize + form.season) as u32,
            form.is_relative(),
            form.trend == crate::Trend::Damped,
        );
    }
}

/// A coordinate's bounds. Those of a start are far away.
#[cube]
fn lowest<F: Float>(i: u32) -> F {
    let mut bound = F::new(-1e30f32);
    if i == 0u32 {
        bound = F::new(FLOOR);
    } else if i < 3u32 {
        bound = F::new(0.0f32);
    } else if i == 3u32 {
        bound = F::new(0.8f32);
    }
    bound
}

#[cube]
fn highest<F: Float>(i: u32) -> F {
    let mut bound = F::new(1e30f32);
    if i == 0u32 {
        bound = F::new(0.9999f32);
    } else if i < 3u32 {
        bound = F::new(1.0f32);
    } else if i == 3u32 {
        bound = F::new(0.98f32);
    }
    bound
}

/// The squares of the errors that a slope of one makes, and those that phi makes, as far as the level goes.
#[cube]
fn reaches<F: Float>(
    slopes: &Array<f32>,
    alpha: F,
    beta: F,
    phi: F,
    steps: u32,
    series: u32,
    s: u32,
    #[comptime] damped: bool,
) -> (F, F) {
    let one = F::new(1.0f32);
    let zero = F::new(0.0f32);
    let mut level = zero + zero;
    let mut slope = one + zero;
    let mut squares = one + zero;
    let mut by_level = zero + zero;
    let mut by_slope = zero + zero;
    let mut by_squares = zero + zero;
    for t in 0..steps {
        let drift = phi * slope;
        let ahead = level + drift;
        squares += ahead * ahead;
        level = (one - alpha) * ahead;
        slope = drift - beta * ahead;
        if damped {
            let drift = phi * by_slope + F::cast_from(slopes[(t * series + s) as usize]);
            let ahead = by_level + drift;
            by_squares += ahead * ahead;
            by_level = (one - alpha) * ahead;
            by_slope = drift - beta * ahead;
        }
    }
    (squares, by_squares)
}

/// Sum of the squares of so many powers.
#[cube]
fn fading<F: Float>(keep: F, cycles: F) -> F {
    let one = F::new(1.0f32);
    let square = keep * keep;
    // 1 + k² + … of as many terms, by the sooner of its two bounds.
    F::min(cycles, one / F::max(one - square, F::new(1e-3f32)))
}

#[cube]
fn preconditioned<F: Float>(diagonal: &Array<F>, i: u32, series: u32, s: u32) -> F {
    let row = u32::min(i, START);
    diagonal[(row * series + s) as usize]
}

/// Whether a coordinate may move the way the slope points.
#[cube]
fn is_free<F: Float>(point: F, by: F, i: u32) -> bool {
    let zero = F::new(0.0f32);
    let low = point <= lowest::<F>(i) && by > zero;
    let high = point >= highest::<F>(i) && by < zero;
    !(low || high)
}

#[cube(launch_unchecked)]
fn descend<F: Float>(
    units: &Array<F>,
    slopes: &Array<f32>,
    phases: &mut Array<u32>,
    counts: &mut Array<u32>,
    state: &mut Array<F>,
    at: &mut Array<F>,
    trial: &mut Array<F>,
    values: &Array<F>,
    gradient: &Array<F>,
    at_gradient: &mut Array<F>,
    direction: &mut Array<F>,
    moves: &mut Array<f32>,
    changes: &mut Array<f32>,
    inverses: &mut Array<F>,
    diagonal: &mut Array<F>,
    series: u32,
    steps: u32,
    length: u32,
    #[comptime] relative: bool,
    #[comptime] damped: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series && phases[s as usize] < DONE {
        let zero = F::new(0.0f32);
        let one = F::new(1.0f32);
        let observed = units[(OBSERVED * series + s) as usize];
        let value = values[s as usize];
        let pairs_at = (PAIRS * series + s) as usize;
        let stride_at = (STRIDE * series + s) as usize;
        let sloped = at[(series + s) as usize] >= zero || trial[(series + s) as usize] >= zero;
        let seasonal = at[(2 * series + s) as usize] >= zero || trial[(2 * series + s) as usize] >= zero;
        let evaluations = counts[(EVALUATIONS * series + s) as usize] + 1;
        counts[(EVALUATIONS * series + s) as usize] = evaluations;
        let mut phase = phases[s as usize];
        let mut aims = false;
        let mut takes = false;
        if phase == BEGINS {
            if value < F::new(NOWHERE) {
                phase = SEARCHES + 0u32;
                aims = true;
                takes = true;
                counts[pairs_at] = 0u32;
                let alpha = trial[s as usize];
                let share_b = F::max(trial[(series + s) as usize], zero);
                let share_g = F::max(trial[(2 * series + s) as usize], zero);
                let beta = F::new(FLOOR) + (alpha - F::new(FLOOR)) * share_b;
                let gamma = F::new(FLOOR) + (one - alpha - F::new(FLOOR)) * share_g;
                // About the information that so many steps hold on each coordinate.
                let per = observed / values[(series + s) as usize];
                let mut slope = one + zero;
                let mut by_phi = one + zero;
                if sloped {
                    let phi = trial[(3 * series + s) as usize];
                    let squares = reaches::<F>(slopes, alpha, beta, phi, steps, series, s, damped);
                    slope = squares.0;
                    by_phi = squares.1;
                }
                let offset = units[(OFFSET * series + s) as usize];
                if relative && offset > one {
                    slope /= offset * offset;
                    by_phi /= offset * offset;
                }
                let cycles = observed / F::cast_from(length - START);
                let mut keep = one - gamma;
                if !seasonal {
                    keep = one - alpha;
                }
                diagonal[s as usize] = F::max(F::new(0.5f32) * observed / alpha, one);
                diagonal[(series + s) as usize] = F::new(0.5f32) * observed / F::max(share_b, F::new(0.01f32));
                diagonal[(2 * series + s) as usize] = F::new(0.25f32) * observed / F::max(share_g, F::new(0.01f32));
                diagonal[(3 * series + s) as usize] = F::max(per * by_phi, one);
                diagonal[(SLOPE * series + s) as usize] = per * slope;
                diagonal[(START * series + s) as usize] = per * fading::<F>(keep, cycles);
            } else {
                phase = DONE + 0u32;
            }
        } else {
            let mut expected = zero + zero;
            for i in 0..length {
                let own = (i * series + s) as usize;
                expected += at_gradient[own] * (trial[own] - at[own]);
            }
            let before = state[(AT_VALUE * series + s) as usize];
            if value < F::new(NOWHERE) && value <= before + F::new(1e-4f32) * expected {
                aims = true;
                takes = true;
                let pairs = counts[pairs_at];
                let slot = pairs % MEMORY;
                let mut curvature = zero + zero;
                let mut change_squares = zero + zero;
                for i in 0..length {
                    let own = (i * series + s) as usize;
                    let moved = trial[own] - at[own];
                    let changed = gradient[own] - at_gradient[own];
                    curvature += moved * changed;
                    change_squares += changed * changed / preconditioned::<F>(diagonal, i, series, s);
                    let kept = ((slot * length + i) * series + s) as usize;
                    moves[kept] = f32::cast_from(moved);
                    changes[kept] = f32::cast_from(changed);
                }
                if curvature > F::new(1e-7f32) * change_squares && change_squares > zero {
                    inverses[(slot * series + s) as usize] = one / curvature;
                    state[(SCALE * series + s) as usize] = curvature / change_squares;
                    counts[pairs_at] = pairs + 1;
                }
            } else {
                let stride = state[stride_at];
                if zero - expected < F::new(SETTLED) || stride < F::new(1e-5f32) {
                    if counts[pairs_at] > 0u32 {
                        // What the memory says may be worn out: once more without it.
                        counts[pairs_at] = 0u32;
                        state[(SCALE * series + s) as usize] = one;
                        aims = true;
                    } else {
                        phase = CONVERGED + 0u32;
                    }
                } else {
                    let mut best_share = F::new(0.1f32);
                    if value < F::new(NOWHERE) {
                        best_share = F::new(-0.5f32) * expected / (value - before - expected);
                        best_share = F::min(F::max(best_share, F::new(0.1f32)), F::new(0.5f32));
                    }
                    let stride = stride * best_share;
                    state[stride_at] = stride;
                    for i in 0..length {
                        let own = (i * series + s) as usize;
                        let to = at[own] + stride * direction[own];
                        trial[own] = to;
                    }
                }
            }
        }
        if aims {
            // A worn memory aims anew from where it stood, with the slope that it had there.
            let mut worth = value + zero;
            if !takes {
                worth = state[(AT_VALUE * series + s) as usize];
            }
            state[(AT_VALUE * series + s) as usize] = worth;
            let pairs = counts[pairs_at];
            let kept = u32::min(pairs, MEMORY);
            for i in 0..length {
                let own = (i * series + s) as usize;
                let mut by = at_gradient[own];
                if takes {
                    by = gradient[own];
                    at_gradient[own] = by;
                    at[own] = trial[own];
                }
                let mut pull = by + zero;
                if !is_free::<F>(at[own], by, i) {
                    pull = zero + zero;
                }
                direction[own] = pull;
            }
            let mut coefficients = Array::<F>::new(MEMORY as usize);
            for k in 0..kept {
                let slot = (pairs - 1 - k) % MEMORY;
                let mut dot = zero + zero;
                for i in 0..length {
                    let row = ((slot * length + i) * series + s) as usize;
                    dot += F::cast_from(moves[row]) * direction[(i * series + s) as usize];
                }
                let share = dot * inverses[(slot * series + s) as usize];
                coefficients[k as usize] = share;
                for i in 0..length {
                    let row = ((slot * length + i) * series + s) as usize;
                    direction[(i * series + s) as usize] -= share * F::cast_from(changes[row]);
                }
            }
            let mut scale = one + zero;
            if kept > 0u32 {
                scale = state[(SCALE * series + s) as usize];
            }
            for i in 0..length {
                direction[(i * series + s) as usize] *= scale / preconditioned::<F>(diagonal, i, series, s);
            }
            for back in 0..kept {
                let k = kept - 1 - back;
                let slot = (pairs - 1 - k) % MEMORY;
                let mut dot = zero + zero;
                for i in 0..length {
                    let row = ((slot * length + i) * series + s) as usize;
                    dot += F::cast_from(changes[row]) * direction[(i * series + s) as usize];
                }
                let share = coefficients[k as usize] - dot * inverses[(slot * series + s) as usize];
                for i in 0..length {
                    let row = ((slot * length + i) * series + s) as usize;
                    direction[(i * series + s) as usize] += share * F::cast_from(moves[row]);
                }
            }
            // Downhill, inside the box; where that is no way down, along the slope alone.
            let mut promised = zero + zero;
            for i in 0..length {
                let own = (i * series + s) as usize;
                let has = ((i != 1u32 && i != SLOPE) || sloped) && (i != 2u32 || seasonal) && (i != 3u32 || damped);
                let from = at[own];
                let by = at_gradient[own];
                let mut step = zero + zero;
                if has && is_free::<F>(from, by, i) {
                    let to = F::min(F::max(from - direction[own], lowest::<F>(i)), highest::<F>(i));
                    step = to - from;
                }
                direction[own] = step;
                promised -= by * step;
            }
            let downhill = promised > zero;
            if !downhill {
                promised = zero + zero;
                counts[pairs_at] = 0u32;
                for i in 0..length {
                    let own = (i * series + s) as usize;
                    let has = ((i != 1u32 && i != SLOPE) || sloped) && (i != 2u32 || seasonal) && (i != 3u32 || damped);
                    let from = at[own];
                    let by = at_gradient[own];
                    let mut step = zero + zero;
                    if has && is_free::<F>(from, by, i) {
                        let to = from - by / preconditioned::<F>(diagonal, i, series, s);
                        step = F::min(F::max(to, lowest::<F>(i)), highest::<F>(i)) - from;
                    }
                    direction[own] = step;
                    promised -= by * step;
                }
            }
            state[stride_at] = one;
            for i in 0..length {
                let own = (i * series + s) as usize;
                trial[own] = at[own] + direction[own];
            }
            let mut enough = F::new(SETTLED);
            if kept == 0u32 {
                enough = F::new(0.1f32 * SETTLED);
            }
            let goes_on = promised > enough;
            if !goes_on {
                phase = CONVERGED + 0u32;
                if !is_number::<F>(promised) {
                    phase = DONE + 0u32;
                }
            }
        }
        if phase == SEARCHES && evaluations >= MAX_EVALUATIONS {
            phase = DONE + 0u32;
        }
        if phase == CONVERGED {
            counts[(ENDED * series + s) as usize] = 1u32;
            phase = DONE + 0u32;
        }
        phases[s as usize] = phase;
    }
}
