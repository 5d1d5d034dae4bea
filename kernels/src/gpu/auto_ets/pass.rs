//! One place of every series that still searches: its worth and its slope, by the recursion and its adjoint.
#![allow(clippy::manual_div_ceil)] // of numbers that a kernel is given
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory

use cubecl::prelude::*;

use super::descend::AT_VALUE;
use super::prepare::{CENTRE, INVERSE_SCALE, OBSERVED, OFFSET, SETTLED_AT};
use super::{DONE, FLOOR, NOTHING, NOWHERE, Rounds, SLOPE, START};
use crate::gpu::{array, is_number, ln};

/// The product of one plus each relative error leaves its range upwards here, downwards at one over it.
const RANGE: f32 = 1e15;
/// Steps whose values are read together.
const AT_ONCE: u32 = 4;

pub(super) fn launch<R: Runtime, F: Float + CubeElement>(rounds: &Rounds<'_, R>) {
    let Rounds { panel, form, scratch, .. } = rounds;
    let (gpu, series, steps) = (panel.y.gpu(), panel.y.series(), panel.y.steps());
    let (cubes, dim) = rounds.units();
    let held = scratch.held(*form);
    // SAFETY: `Panel`, `Scratch` and `Search` made each array with the rows that it is passed with; the arrays that
    // a form lacks are not touched. Units past the last series stop.
    unsafe {
        pass::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            panel.y.arg(),
            panel.units(),
            panel.firsts(form.season),
            rounds.search.list(rounds.round()),
            rounds.search.tally(),
            rounds.search.phase(),
            rounds.search.state(),
            rounds.search.trial(),
            array(&scratch.ring, held.ring * series),
            array(&scratch.errors, steps * series),
            array(&scratch.slopes, held.slopes * series),
            array(&scratch.levels, held.scaled * series),
            array(&scratch.seasons, held.scaled * series),
            rounds.search.gradient(),
            rounds.search.value(),
            rounds.round(),
            series as u32,
            form.season as u32,
            steps as u32,
            form.trend == crate::Trend::Damped,
            form.is_relative(),
            form.scales(),
            held.near,
            // Loads that do not wait for one another; software compiles the copies for longer than it then runs.
            if gpu.is_software() { 1 } else { AT_ONCE },
        );
    }
}

/// What a slot holds, in shared memory where it has room.
#[cube]
fn held<F: Float>(near: &SharedMemory<F>, far: &Array<F>, slot: u32, series: u32, s: u32, #[comptime] size: u32) -> F {
    if size > 1u32 { near[(slot * CUBE_DIM + UNIT_POS) as usize] } else { far[(slot * series + s) as usize] }
}

#[cube]
fn hold<F: Float>(
    near: &mut SharedMemory<F>,
    far: &mut Array<F>,
    slot: u32,
    series: u32,
    s: u32,
    value: F,
    #[comptime] size: u32,
) {
    if size > 1u32 {
        near[(slot * CUBE_DIM + UNIT_POS) as usize] = value;
    } else {
        far[(slot * series + s) as usize] = value;
    }
}

#[cube(launch_unchecked)]
fn pass<F: Float>(
    y: &Array<f32>,
    units: &Array<F>,
    firsts: &Array<u32>,
    list: &Array<u32>,
    tally: &Array<u32>,
    phase: &Array<u32>,
    state: &Array<F>,
    trial: &Array<F>,
    ring: &mut Array<F>,
    errors: &mut Array<f32>,
    slopes: &mut Array<f32>,
    levels: &mut Array<f32>,
    seasons: &mut Array<f32>,
    gradient: &mut Array<F>,
    values: &mut Array<F>,
    round: u32,
    series: u32,
    season: u32,
    steps: u32,
    #[comptime] damped: bool,
    #[comptime] relative: bool,
    #[comptime] scaled: bool,
    #[comptime] size: u32,
    #[comptime] at_once: u32,
) {
    let entry = ABSOLUTE_POS as u32;
    let mut near = SharedMemory::<F>::new(comptime!(size as usize));
    let count = tally[round as usize];
    let mut s = 0u32;
    if entry < count {
        s = list[entry as usize];
    }
    if entry < count && phase[s as usize] < DONE {
        let one = F::new(1.0f32);
        let zero = F::new(0.0f32);
        let floor = F::new(FLOOR);
        let centre = units[(CENTRE * series + s) as usize];
        let inverse = units[(INVERSE_SCALE * series + s) as usize];
        let offset = units[(OFFSET * series + s) as usize];
        let observed = units[(OBSERVED * series + s) as usize];
        let settled = u32::cast_from(units[(SETTLED_AT * series + s) as usize]);
        let alpha = trial[s as usize];
        let share_b = trial[(series + s) as usize];
        let share_g = trial[(2 * series + s) as usize];
        let phi = trial[(3 * series + s) as usize];
        // A form without a slope keeps one of 0, and a form without a season one slot of weight 0.
        let mut beta = zero + zero;
        let mut gamma = zero + zero;
        if share_b >= zero {
            beta = floor + (alpha - floor) * share_b;
        }
        if share_g >= zero {
            gamma = floor + (one - alpha - floor) * share_g;
        }
        for slot in 0..season {
            let start = trial[((START + slot) * series + s) as usize];
            hold::<F>(&mut near, ring, slot, series, s, start, size);
        }
        let mut level = zero + zero;
        if scaled {
            level = one + zero;
        }
        let mut slope = trial[(SLOPE * series + s) as usize];
        let mut sse = zero + zero;
        let mut product = one + zero;
        let mut ranges = zero + zero;
        let mut slot = 0u32;
        let mut next = Array::<f32>::new(at_once as usize);
        for part in 0..(steps + at_once - 1) / at_once {
            let first = part * at_once;
            #[unroll]
            for j in 0..at_once {
                next[j as usize] = y[(u32::min(first + j, steps - 1) * series + s) as usize];
            }
            #[unroll]
            for j in 0..at_once {
                let t = first + j;
                if t < steps {
                    let seen = next[j as usize];
                    let at = (t * series + s) as usize;
                    if damped {
                        slopes[at] = f32::cast_from(slope);
                    }
                    let drift = phi * slope;
                    let ahead = level + drift;
                    let mut error = zero + zero;
                    let mut before = one + zero;
                    if !seen.is_nan() {
                        let value = (F::cast_from(seen) - centre) * inverse;
                        let whole = value + offset;
                        let own = held::<F>(&near, ring, slot, series, s, size);
                        let mut fresh = false;
                        if t < settled {
                            fresh = firsts[(slot * series + s) as usize] == t + 1;
                        }
                        before = own + zero;
                        let mut ratio = one + zero;
                        if scaled {
                            if fresh {
                                before = whole / (ahead * (one + own));
                                error = own + zero;
                                ratio = one + own;
                            } else {
                                ratio = whole / (ahead * own);
                                error = ratio - one;
                            }
                            sse += error * error;
                            hold::<F>(&mut near, ring, slot, series, s, before * (one + gamma * error), size);
                        } else {
                            if fresh {
                                if relative {
                                    error = whole - whole / (one + own);
                                } else {
                                    error = own + zero;
                                }
                                before = value - ahead - error;
                            } else {
                                error = value - ahead - own;
                            }
                            hold::<F>(&mut near, ring, slot, series, s, before + gamma * error, size);
                            if relative {
                                ratio = whole / (whole - error);
                                let share = error / (whole - error);
                                sse += share * share;
                            } else {
                                sse += error * error;
                            }
                        }
                        if relative {
                            product *= ratio;
                            if product > F::new(RANGE) {
                                product /= F::new(RANGE);
                                ranges += one;
                            } else if product < one / F::new(RANGE) {
                                product *= F::new(RANGE);
                                ranges -= one;
                            }
                            // Where an expected value is not positive the product ends, for good.
                            if ratio <= zero {
                                product = zero + zero;
                            }
                        }
                    }
                    // A gap's error is the gap itself.
                    if seen.is_nan() {
                        errors[at] = seen;
                    } else {
                        errors[at] = f32::cast_from(error);
                    }
                    if scaled {
                        levels[at] = f32::cast_from(ahead);
                        seasons[at] = f32::cast_from(before);
                        level = ahead * (one + alpha * error);
                        slope = drift + beta * ahead * error;
                    } else {
                        level = ahead + alpha * error;
                        slope = drift + beta * error;
                    }
                    slot += 1u32;
                    if slot == season {
                        slot = 0u32;
                    }
                }
            }
        }
        let mut nothing = F::new(NOTHING) * observed;
        if relative && offset > one {
            nothing /= offset * offset;
        }
        let whole_sse = sse + nothing;
        values[(series + s) as usize] = whole_sse;
        let mut worth = F::new(2.0f32) * F::new(NOWHERE);
        if is_number::<F>(whole_sse) && product > zero {
            let mut growth = zero + zero;
            if relative {
                growth = ln::<F>(product) + ranges * ln::<F>(F::new(RANGE));
            }
            worth = F::new(0.5f32) * observed * ln::<F>(whole_sse) - growth;
        }
        values[s as usize] = worth;
        // No search goes to where the likelihood falls, and so none asks for the slope there.
        if worth <= state[(AT_VALUE * series + s) as usize] {
            let variance = sse / observed;
            for slot in 0..season {
                hold::<F>(&mut near, ring, slot, series, s, zero, size);
            }
            let mut by_level = zero + zero;
            let mut by_slope = zero + zero;
            let mut by_alpha = zero + zero;
            let mut by_beta = zero + zero;
            let mut by_gamma = zero + zero;
            let mut by_phi = zero + zero;
            let mut next_y = Array::<f32>::new(at_once as usize);
            let mut next_slopes = Array::<f32>::new(at_once as usize);
            let mut next_levels = Array::<f32>::new(at_once as usize);
            let mut next_seasons = Array::<f32>::new(at_once as usize);
            for part in 0..(steps + at_once - 1) / at_once {
                let first = part * at_once;
                #[unroll]
                for j in 0..at_once {
                    let at = ((steps - 1 - u32::min(first + j, steps - 1)) * series + s) as usize;
                    next[j as usize] = errors[at];
                    if damped {
                        next_slopes[j as usize] = slopes[at];
                    }
                    if scaled {
                        next_levels[j as usize] = levels[at];
                        next_seasons[j as usize] = seasons[at];
                    } else if relative {
                        next_y[j as usize] = y[at];
                    }
                }
                #[unroll]
                for j in 0..at_once {
                    if first + j < steps {
                        let t = steps - 1 - first - j;
                        if slot == 0u32 {
                            slot = season + 0u32;
                        }
                        slot -= 1u32;
                        let mut ahead = by_level + zero;
                        if !next[j as usize].is_nan() {
                            let error = F::cast_from(next[j as usize]);
                            let own = held::<F>(&near, ring, slot, series, s, size);
                            let mut fresh = false;
                            if t < settled {
                                fresh = firsts[(slot * series + s) as usize] == t + 1;
                            }
                            if scaled {
                                let q = F::cast_from(next_levels[j as usize]);
                                let before = F::cast_from(next_seasons[j as usize]);
                                let ratio = one + error;
                                let level_q = by_level * q;
                                let slope_q = by_slope * q;
                                let season_b = own * before;
                                let pull =
                                    error - variance / ratio + alpha * level_q + beta * slope_q + gamma * season_b;
                                by_alpha += error * level_q;
                                by_beta += error * slope_q;
                                by_gamma += error * season_b;
                                let grown = own * (one + gamma * error);
                                ahead = by_level * (one + alpha * error) + by_slope * beta * error;
                                if fresh {
                                    ahead -= grown * before / q;
                                    hold::<F>(&mut near, ring, slot, series, s, pull - grown * before / ratio, size);
                                } else {
                                    ahead -= pull * ratio / q;
                                    hold::<F>(&mut near, ring, slot, series, s, grown - pull * ratio / before, size);
                                }
                            } else {
                                let mut pushed = error + zero;
                                let mut steep = one + zero;
                                if relative {
                                    let whole = (F::cast_from(next_y[j as usize]) - centre) * inverse + offset;
                                    let expected = whole - error;
                                    steep = whole / (expected * expected);
                                    pushed = (error * steep - variance) / expected;
                                }
                                let pull = pushed + alpha * by_level + beta * by_slope + gamma * own;
                                by_alpha += error * by_level;
                                by_beta += error * by_slope;
                                by_gamma += error * own;
                                if fresh {
                                    ahead -= own;
                                    hold::<F>(&mut near, ring, slot, series, s, (pull - own) / steep, size);
                                } else {
                                    ahead -= pull;
                                    hold::<F>(&mut near, ring, slot, series, s, own - pull, size);
                                }
                            }
                        }
                        if damped {
                            by_phi += F::cast_from(next_slopes[j as usize]) * (by_slope + ahead);
                        }
                        by_slope = phi * (by_slope + ahead);
                        by_level = ahead + zero;
                    }
                }
            }
            let scale = observed / whole_sse;
            let mut from_b = zero + zero;
            let mut from_g = zero + zero;
            if share_b >= zero {
                from_b = share_b * by_beta;
                gradient[(series + s) as usize] = scale * (alpha - floor) * by_beta;
                gradient[(SLOPE * series + s) as usize] = scale * by_slope;
            }
            if share_g >= zero {
                from_g = share_g * by_gamma;
                gradient[(2 * series + s) as usize] = scale * (one - alpha - floor) * by_gamma;
            }
            if damped {
                gradient[(3 * series + s) as usize] = scale * by_phi;
            }
            gradient[s as usize] = scale * (by_alpha + from_b - from_g);
            for slot in 0..season {
                gradient[((START + slot) * series + s) as usize] =
                    scale * held::<F>(&near, ring, slot, series, s, size);
            }
        }
    }
}
