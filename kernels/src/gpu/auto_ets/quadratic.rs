//! The quadratic that Gauss and Newton make of a place: what each unknown does to the errors, a unit an unknown, and
//! the sums of the products of all pairs of those answers.
//!
//! With `q'` the change of the level ahead and `s'` that of the season, a step changes by
//!
//! ```text
//! drift' = phi slope' + slope [phi];  q' = level' + drift'
//! level' = (1 - alpha) q' - alpha k s' + e [alpha];  season' = (1 - gamma) s' - gamma b q' + e [gamma]
//! slope' = drift' - beta (q' + k s') + e [beta]
//! ```
//!
//! with `k = b = 1`, or `k = q (1 + r) / s` and `b = s (1 + r) / q` where the season multiplies. Where a slot is first
//! observed its error is an unknown itself, and what the others do goes into the season.
#![allow(clippy::manual_div_ceil)] // of numbers that a kernel is given
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory

use cubecl::prelude::*;

use super::newton::{Width, entries_of};
use super::prepare::{CENTRE, INVERSE_SCALE, OBSERVED, OFFSET};
use super::{FLOOR, Rounds, SLOPE, START};
use crate::Trend;
use crate::gpu::array;

/// Steps whose answers lie side by side in shared memory.
const TILE: u32 = 32;
/// Columns and rows of the products that one unit sums up.
const BLOCK: u32 = 8;
/// One plus a relative error past which its weight grows no more: `f32` holds the square.
const STEEPEST: f32 = 1e6;
/// Share of the square of Gauss and Newton that is the least curvature of a relative error.
const LEAST_BEND: f32 = 0.2;
/// What is told of a step.
const GAP: u32 = 0;
const SEEN: u32 = 1;
const FRESH: u32 = 2;

/// The root of what a relative error weighs, of one plus which `ratio` is; `bends` tells how it grows.
#[cube]
pub(super) fn weight_of(ratio: f32, bends: f32) -> f32 {
    let steep = f32::min(ratio, STEEPEST);
    let bend = steep * (1.0f32 + bends * (steep - 1.0f32));
    f32::max(bend, LEAST_BEND * steep * steep).sqrt()
}

pub(super) fn launch<R: Runtime, F: Float + CubeElement>(rounds: &Rounds<'_, R>) {
    let Rounds { panel, form, search, scratch, .. } = rounds;
    let (gpu, series, steps) = (panel.y.gpu(), panel.y.series(), panel.y.steps());
    let held = scratch.held(*form);
    let width = Width::of(*form);
    let (cubes, dim) = width.cubes(series, steps);
    // SAFETY: `Panel`, `Scratch` and `Search` made each array with the rows that it is passed with; the arrays that
    // a form lacks are not touched, and what a cube has too many of units writes nothing.
    unsafe {
        quadratic::launch_unchecked::<F, R>(
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
            array(&scratch.levels, held.scaled * series),
            array(&scratch.seasons, held.scaled * series),
            search.hessian(),
            rounds.fresh_round(),
            series as u32,
            form.season as u32,
            steps as u32,
            width.unknowns,
            width.groups,
            form.season as u32 * width.unknowns * width.groups,
            form.trend != Trend::None,
            form.trend == Trend::Damped,
            form.is_relative(),
            form.scales(),
            // Software compiles what is unrolled for longer than it then runs.
            !gpu.is_software(),
        );
    }
}

#[cube(launch_unchecked)]
fn quadratic<F: Float>(
    y: &Array<f32>,
    units: &Array<F>,
    firsts: &Array<u32>,
    list: &Array<u32>,
    tally: &Array<u32>,
    trial: &Array<F>,
    values: &Array<F>,
    errors: &Array<f32>,
    slopes: &Array<f32>,
    levels: &Array<f32>,
    seasons: &Array<f32>,
    hessian: &mut Array<f32>,
    round: u32,
    series: u32,
    season: u32,
    steps: u32,
    #[comptime] width: u32,
    #[comptime] groups: u32,
    #[comptime] ring_len: u32,
    #[comptime] sloped: bool,
    #[comptime] damped: bool,
    #[comptime] relative: bool,
    #[comptime] scaled: bool,
    #[comptime] unrolled: bool,
) {
    let side = comptime!(width / BLOCK);
    let tiles = comptime!(side * (side + 1) / 2);
    let splits = comptime!(width / tiles);
    let stride = comptime!(width + 1);
    // Rows past a tile's steps are read where its steps do not part evenly.
    let rows_len = comptime!(if width * width > (TILE + splits) * (width + 1) {
        width * width
    } else {
        (TILE + splits) * (width + 1)
    });
    let all = comptime!(width * groups);
    let mut moves = SharedMemory::<f32>::new(comptime!(ring_len as usize));
    let mut rows = SharedMemory::<f32>::new(comptime!((rows_len * groups) as usize));
    let mut told = SharedMemory::<u32>::new(comptime!((TILE * groups) as usize));
    let mut met = SharedMemory::<f32>::new(comptime!((TILE * groups) as usize));
    let mut drifts = SharedMemory::<f32>::new(comptime!(if damped { (TILE * groups) as usize } else { 1 }));
    let mut weighs = SharedMemory::<f32>::new(comptime!(if relative { (TILE * groups) as usize } else { 1 }));
    let mut others = SharedMemory::<f32>::new(comptime!(if relative { (TILE * groups) as usize } else { 1 }));
    let mut ties = SharedMemory::<f32>::new(comptime!(if scaled { (TILE * groups) as usize } else { 1 }));
    let mut backs = SharedMemory::<f32>::new(comptime!(if scaled { (TILE * groups) as usize } else { 1 }));
    let mut shares = SharedMemory::<f32>::new(comptime!(if scaled { (TILE * groups) as usize } else { 1 }));

    let count = tally[round as usize];
    let group = UNIT_POS / width;
    let lane = UNIT_POS % width;
    let (turns, each) = entries_of(count, groups);
    for turn in 0..turns {
        let entry = turn * each + CUBE_POS as u32 * groups + group;
        let s = list[u32::min(entry, count - 1) as usize];
        let mine = group * rows_len;
        let told_at = group * TILE;

        let alpha = f32::cast_from(trial[s as usize]);
        let share_b = f32::cast_from(trial[(series + s) as usize]);
        let share_g = f32::cast_from(trial[(2 * series + s) as usize]);
        let phi = f32::cast_from(trial[(3 * series + s) as usize]);
        let mut beta = 0.0f32;
        let mut gamma = 0.0f32;
        // What this unit's unknown takes of an error by level, slope and season, and of the slope by the damping.
        let mut by_alpha = 0.0f32;
        let mut by_beta = 0.0f32;
        let mut by_gamma = 0.0f32;
        let mut by_phi = 0.0f32;
        let mut slope = 0.0f32;
        let mut level = 0.0f32;
        if lane == 0u32 {
            by_alpha = 1.0f32;
        }
        if sloped {
            beta = FLOOR + (alpha - FLOOR) * share_b;
            if lane == 0u32 {
                by_beta = share_b + 0.0f32;
            }
            if lane == 1u32 {
                by_beta = alpha - FLOOR;
            }
            if lane == SLOPE {
                slope = 1.0f32;
            }
        }
        if share_g >= 0.0f32 {
            gamma = FLOOR + (1.0f32 - alpha - FLOOR) * share_g;
            if lane == 0u32 {
                by_gamma = 0.0f32 - share_g;
            }
            if lane == 2u32 {
                by_gamma = 1.0f32 - alpha - FLOOR;
            }
        }
        if damped && lane == 3u32 {
            by_phi = 1.0f32;
        }
        let centre =
            f32::cast_from(units[(CENTRE * series + s) as usize] * units[(INVERSE_SCALE * series + s) as usize]);
        let inverse = f32::cast_from(units[(INVERSE_SCALE * series + s) as usize]);
        let offset = f32::cast_from(units[(OFFSET * series + s) as usize]);
        for slot in 0..season {
            moves[(slot * all + UNIT_POS) as usize] = 0.0f32;
        }
        for past in 0..splits {
            rows[(mine + (TILE + past) * stride + lane) as usize] = 0.0f32;
        }

        let tile = lane % tiles;
        let split = lane / tiles;
        let mut upper = 0u32;
        while (upper + 1) * (upper + 2) / 2 <= tile {
            upper += 1u32;
        }
        let left = (tile - upper * (upper + 1) / 2) * BLOCK;
        let upper = upper * BLOCK;
        let mut across = Array::<f32>::new(BLOCK as usize);
        let mut sums = Array::<f32>::new((BLOCK * BLOCK) as usize);
        #[unroll(unrolled)]
        for i in 0..BLOCK * BLOCK {
            sums[i as usize] = 0.0f32;
        }

        let mut slot = 0u32;
        let tiles_of_steps = (steps + TILE - 1) / TILE;
        for part in 0..tiles_of_steps {
            let first = part * TILE;
            let mut own = lane + 0u32;
            while own < TILE {
                let t = first + own;
                let to = (told_at + own) as usize;
                let mut tells = 0u32;
                let mut error = 0.0f32;
                if t < steps {
                    let at = (t * series + s) as usize;
                    error = errors[at];
                    if damped {
                        drifts[to] = slopes[at];
                    }
                    if error.is_nan() {
                        error = 0.0f32;
                    } else {
                        tells = SEEN + 0u32;
                        if firsts[((t % season) * series + s) as usize] == t + 1 {
                            tells = FRESH + 0u32;
                        }
                        if scaled {
                            let q = levels[at];
                            let b = seasons[at];
                            let ratio = 1.0f32 + error;
                            if tells == FRESH {
                                weighs[to] = q;
                                others[to] = b;
                                ties[to] = error;
                                backs[to] = ratio;
                            } else {
                                let root = weight_of(ratio, 2.0f32);
                                weighs[to] = root / q;
                                others[to] = root / b;
                                ties[to] = q * ratio / b;
                                backs[to] = b * ratio / q;
                            }
                            shares[to] = b * error;
                            error *= q;
                        } else if relative {
                            let whole = y[at] * inverse - centre + offset;
                            let expected = whole - error;
                            let ratio = whole / expected;
                            weighs[to] = weight_of(ratio, 3.0f32) / expected;
                            // What a relative error of one is as an error.
                            others[to] = expected / ratio;
                        }
                    }
                }
                told[to] = tells;
                met[to] = error;
                own += comptime!(width);
            }
            sync_cube();
            for i in 0..TILE {
                let from = (told_at + i) as usize;
                let tells = told[from];
                let error = met[from];
                let at = (slot * all + UNIT_POS) as usize;
                let mut drift = 0.0f32;
                if sloped {
                    drift = phi * slope;
                    if damped {
                        drift += drifts[from] * by_phi;
                    }
                }
                let ahead = level + drift;
                let mut row = 0.0f32;
                if tells == GAP {
                    level = ahead + 0.0f32;
                    slope = drift + 0.0f32;
                } else {
                    let held = moves[at];
                    if tells == SEEN {
                        if scaled {
                            let tied = ties[from] * held;
                            row = weighs[from] * ahead + others[from] * held;
                            level = (1.0f32 - alpha) * ahead - alpha * tied + error * by_alpha;
                            slope = drift - beta * (ahead + tied) + error * by_beta;
                            moves[at] = (1.0f32 - gamma) * held - gamma * backs[from] * ahead + shares[from] * by_gamma;
                        } else {
                            row = ahead + held;
                            level = (1.0f32 - alpha) * ahead - alpha * held + error * by_alpha;
                            slope = drift - beta * row + error * by_beta;
                            moves[at] = (1.0f32 - gamma) * held - gamma * ahead + error * by_gamma;
                            if relative {
                                row *= weighs[from];
                            }
                        }
                    } else {
                        if lane == START + slot {
                            row = 1.0f32;
                        }
                        if scaled {
                            let q = weighs[from];
                            let b = others[from];
                            let r = ties[from];
                            let grown = ahead * r + q * row;
                            let begun = 0.0f32 - b * (ahead / q + row / backs[from]);
                            level = ahead + alpha * grown + error * by_alpha;
                            slope = drift + beta * grown + error * by_beta;
                            moves[at] = begun + gamma * (begun * r + b * row) + shares[from] * by_gamma;
                        } else {
                            let mut change = row + 0.0f32;
                            if relative {
                                change *= others[from];
                            }
                            level = ahead + alpha * change + error * by_alpha;
                            slope = drift + beta * change + error * by_beta;
                            moves[at] = gamma * change - ahead - change + error * by_gamma;
                        }
                    }
                }
                rows[(mine + i * stride + lane) as usize] = row;
                slot += 1u32;
                if slot == season {
                    slot = 0u32;
                }
            }
            sync_cube();
            if split < splits {
                let mut i = split + 0u32;
                while i < TILE {
                    let base = mine + i * stride;
                    #[unroll(unrolled)]
                    for b in 0..BLOCK {
                        across[b as usize] = rows[(base + left + b) as usize];
                    }
                    #[unroll(unrolled)]
                    for a in 0..BLOCK {
                        let down = rows[(base + upper + a) as usize];
                        #[unroll(unrolled)]
                        for b in 0..BLOCK {
                            sums[(a * BLOCK + b) as usize] += down * across[b as usize];
                        }
                    }
                    i += comptime!(splits);
                }
            }
            sync_cube();
        }
        for i in 0..width {
            rows[(mine + i * width + lane) as usize] = 0.0f32;
        }
        sync_cube();
        for adds in 0..splits {
            if split == adds {
                #[unroll(unrolled)]
                for a in 0..BLOCK {
                    #[unroll(unrolled)]
                    for b in 0..BLOCK {
                        rows[(mine + (upper + a) * width + left + b) as usize] += sums[(a * BLOCK + b) as usize];
                    }
                }
            }
            sync_cube();
        }
        if entry < count {
            let scale = f32::cast_from(units[(OBSERVED * series + s) as usize] / values[(series + s) as usize]);
            for i in 0..width {
                let down = u32::max(i, lane);
                let across = u32::min(i, lane);
                let sum = rows[(mine + down * width + across) as usize];
                hessian[(s * width * width + i * width + lane) as usize] = scale * sum;
            }
        }
        sync_cube();
    }
}
