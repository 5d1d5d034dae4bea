//! The shrunk fit, a cube of units a series, which never waits for another. The constants of a Gram are read by all its
//! series; a series' own state is in its cube's shared memory, and between launches in the device's.
//!
//! `crate::cpu` eliminates the normal coefficients anew for each ridge. Here they are turned to the vectors of a
//! [`crate::shrink::spectrum::Spectrum`], once a Gram and on the host, so that no series has a matrix of its own but
//! the active signs' factor.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a kernel's loads and stores are told in one place
#![allow(clippy::collapsible_if)] // cubecl reads what a runtime condition is for even where a comptime one says no

use cubecl::prelude::*;

use super::{RowBuffer, array, is_number};
use crate::KernelError;
use crate::shrink::{ALTERNATION_CAP, ELIMINATION_CAP, STEP_CAP};

mod state;
mod steps;
mod tables;

use state::{
    ACTIVE, AFTER, ALTERNATION, BEFORE, BEGUN, BROKEN, CAPPED, CONVERGED, COUNTERS, ELIMINATION, FROM, KEPT, LARGEST,
    NEWEST, NONE, PAIRS, RIDGE, ROUND, SOLVES, STAGE, STEP, STEPS, State, UNITS, VARIANCE, all, mine,
};
use steps::{advance, aim, eliminate, refactor, spread, steepest, unbar};

pub(crate) use tables::Tables;
use tables::{
    FIRST_TOLERANCE, FLOOR, LAPLACE, MOST_ITERATIONS, NOISE, PIVOT, RIDGE_TOLERANCE, ROUNDING, STEEPER, TOLERANCE,
    iterations, padded, table_len,
};

/// Steps of one series altogether; some tens are usual, and past these it did not converge. Fewer on software Vulkan,
/// where each launch wakes every cube to see whether it has ended.
const STEP_BUDGET: u32 = 4_096;
const SOFTWARE_BUDGET: u32 = 512;

/// What a fit leaves on the device.
pub(crate) struct Ends<R: Runtime> {
    pub(crate) x: RowBuffer<R>,
    pub(crate) noise: RowBuffer<R>,
    pub(crate) solves: RowBuffer<R>,
    pub(crate) converged: RowBuffer<R>,
}

pub(crate) fn shrink<R: Runtime>(
    tables: &Tables<R>,
    moments: &RowBuffer<R>,
    cross: &RowBuffer<R>,
    start: &RowBuffer<R>,
) -> Result<Ends<R>, KernelError> {
    let (gpu, series) = (&tables.gpu, tables.series);
    let one = || RowBuffer::empty(gpu, series, 1);
    let ends = Ends {
        x: RowBuffer::empty(gpu, series, tables.normal + tables.hinges)?,
        noise: one()?,
        solves: one()?,
        converged: one()?,
    };
    if gpu.has_f64() {
        launch::<R, f64>(tables, moments, cross, start, &ends)?;
    } else {
        launch::<R, f32>(tables, moments, cross, start, &ends)?;
    }
    gpu.accepted("the shrunk fit")?;
    Ok(ends)
}

fn launch<R: Runtime, F: Float>(
    tables: &Tables<R>,
    moments: &RowBuffer<R>,
    cross: &RowBuffer<R>,
    start: &RowBuffer<R>,
    ends: &Ends<R>,
) -> Result<(), KernelError> {
    let (gpu, series, hinges) = (&tables.gpu, tables.series, tables.hinges);
    if series == 0 {
        return Ok(());
    }
    let dim = CubeDim::new_1d(UNITS as u32);
    let cubes = cubecl::calculate_cube_count_elemwise(gpu.client(), series * UNITS, dim);
    let goes_on = gpu.is_software();
    let kept = if goes_on { series } else { 0 };
    let levels = RowBuffer::empty(gpu, kept, KEPT)?;
    let mark_rows = COUNTERS + 2 * hinges;
    let marks = gpu.empty::<u32>(mark_rows * kept);
    let (budget, steps) = match goes_on {
        true => (SOFTWARE_BUDGET, ((MOST_ITERATIONS / iterations(hinges)) as u32).max(1)),
        false => (STEP_BUDGET, STEP_BUDGET),
    };
    for first in (0..budget).step_by(steps as usize) {
        // SAFETY: the tables hold what `Tables::upload` made them with, each of `gram_of` was checked to be a Gram that
        // is there; `cross`, `start` and `x` hold an order's rows, `moments` two, `levels` and `marks` as many as it
        // keeps where a fit goes on in another launch, the others one, each row one value a series. Cubes past the last
        // series stop.
        unsafe {
            fit::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                array(&tables.tables, tables.len),
                array(&tables.gram_of, series),
                moments.arg(),
                cross.arg(),
                start.arg(),
                ends.x.arg(),
                ends.noise.arg(),
                ends.solves.arg(),
                ends.converged.arg(),
                levels.arg(),
                array(&marks, mark_rows * kept),
                tables.grams as u32,
                tables.normal as u32,
                hinges as u32,
                steps,
                u32::from(first == 0),
                f32::NAN,
                padded(tables.normal),
                padded(hinges),
                goes_on,
            );
        }
    }
    Ok(())
}

/// The noise's variance that is best for a sum of squared residuals.
#[cube]
fn variance<F: Float>(tables: &Array<F>, settings: usize, count: F, square: F) -> F {
    let rest = max(square, F::new(0.0f32));
    let spread = (count * count + F::new(4.0f32) * rest / tables[settings + NOISE]).sqrt();
    let mut best = F::new(0.0f32);
    if count + spread > best {
        best = F::new(2.0f32) * rest / (count + spread);
    }
    max(best, tables[settings + FLOOR])
}

/// The sum of squared residuals where `along` and [`PAIRS`] stand.
#[cube]
fn residual<F: Float>(square: F, state: &State<F>, #[comptime] d: usize) -> F {
    let ridge = state.level[RIDGE];
    let mut rest = square - state.level[PAIRS];
    for m in 0..comptime!(d as u32) {
        let m = m as usize;
        let (along, held) = (state.along[m], state.held[m]);
        rest -= along * (state.right[m] + ridge * (held + held + along));
    }
    rest
}

/// What a series does once no coefficient wants to enter: the noise follows, then the ridge follows the noise.
#[cube]
fn settle<F: Float>(tables: &Array<F>, settings: usize, next: F, state: &mut State<F>, #[comptime] h: usize) {
    let before = state.level[VARIANCE] + F::new(0.0f32);
    let mut tolerance = tables[settings + TOLERANCE];
    if state.count[ROUND] == 0u32 {
        tolerance = tables[settings + FIRST_TOLERANCE];
    }
    state.level[VARIANCE] = next;
    if (next - before).abs() <= tolerance * next {
        state.count[ROUND] += 1u32;
        if (next - state.level[RIDGE]).abs() <= tables[settings + RIDGE_TOLERANCE] * next {
            state.count[STAGE] = CONVERGED;
        } else if state.count[ROUND] == ELIMINATION_CAP {
            state.count[STAGE] = CAPPED;
        } else {
            state.count[STAGE] = ELIMINATION;
        }
    } else {
        // Each alternation leaves about the same share of its distance from where they lead: that place is near.
        let moved = before - state.level[BEFORE];
        if state.count[ALTERNATION] > 0 && moved != F::new(0.0f32) {
            let share = (next - state.level[AFTER]) / moved;
            if share.abs() < F::new(0.9f32) {
                let further = next + share / (F::new(1.0f32) - share) * (next - before);
                state.level[VARIANCE] = max(further, tables[settings + FLOOR]);
            }
        }
        state.level[BEFORE] = before;
        state.level[AFTER] = next;
        state.count[ALTERNATION] += 1u32;
        if state.count[ALTERNATION] == ALTERNATION_CAP {
            state.count[STAGE] = CAPPED;
        }
        state.count[STEP] = 0u32;
        state.count[NEWEST] = NONE;
        unbar::<F>(state, h);
    }
}

/// At most `budget` steps of each series, from its start where this is its `first` launch. A cube does a series.
#[cube(launch_unchecked)]
fn fit<F: Float>(
    tables: &Array<F>,
    gram_of: &Array<u32>,
    moments: &Array<F>,
    cross: &Array<F>,
    start: &Array<F>,
    ends: &mut Array<F>,
    noise: &mut Array<F>,
    solves: &mut Array<F>,
    converged: &mut Array<F>,
    levels: &mut Array<F>,
    marks: &mut Array<u32>,
    grams: u32,
    normal: u32,
    hinges: u32,
    budget: u32,
    first: u32,
    missing: f32,
    #[comptime] d: usize,
    #[comptime] h: usize,
    #[comptime] goes_on: bool,
) {
    let s = CUBE_POS;
    let series = gram_of.len();
    let mut ended = s >= series;
    if goes_on {
        if !ended && first == 0u32 {
            ended = marks[STAGE * series + s] >= CONVERGED;
        }
    }
    let mut state = State::<F>::new(d, h);
    if !ended {
        let zero = F::new(0.0f32);
        let size = comptime!(table_len(d, h));
        let settings = grams as usize * size;
        let across = gram_of[s] as usize * size;
        let gram = across + comptime!(h * d);
        let vectors = across + comptime!(h * d + h * h);
        let values = across + comptime!(h * d + h * h + d * d);
        let cross_at = normal as usize * series + s;
        let turns = comptime!(h.div_ceil(UNITS));
        let wide_turns = comptime!(d.div_ceil(UNITS));

        let observed = moments[s];
        let square = moments[series + s];
        let mut sound = is_number::<F>(observed) && is_number::<F>(square);
        // What the vectors make of the products and of the start, which `part` and `along` hold until then.
        #[unroll]
        for turn in 0..wide_turns {
            let i = mine(turn);
            if i < comptime!(d as u32) {
                let at = i as usize;
                state.part[at] = zero;
                state.along[at] = zero;
                if i < normal {
                    let own = cross[at * series + s];
                    let from = start[at * series + s];
                    sound = sound && is_number::<F>(own) && is_number::<F>(from);
                    state.part[at] = own;
                    state.along[at] = from * tables[values + comptime!(2 * d) + at];
                }
            }
        }
        #[unroll]
        for i in 0..COUNTERS {
            state.count[i] = 0u32;
            if goes_on {
                if first == 0u32 {
                    state.count[i] = marks[i * series + s];
                }
            }
        }
        #[unroll]
        for turn in 0..turns {
            let own = mine(turn);
            let j = own as usize;
            state.cross[turn] = zero;
            #[unroll]
            for m in 0..d {
                state.across[turn * d + m] = zero;
            }
            if j < h {
                state.x[j] = zero;
                state.begin[j] = zero;
                state.positive[j] = 0u32;
                state.barred[j] = 0u32;
                state.place[j] = 0u32;
            }
            if own < hinges {
                let product = cross[cross_at + j * series];
                let from = start[cross_at + j * series];
                sound = sound && is_number::<F>(product) && is_number::<F>(from);
                state.cross[turn] = product;
                #[unroll]
                for m in 0..d {
                    state.across[turn * d + m] = tables[across + j * d + m];
                }
                state.begin[j] = from;
                state.x[j] = from;
                state.change[j] = product.abs();
                state.positive[j] = u32::cast_from(from > zero);
                if goes_on {
                    if first == 0u32 {
                        state.x[j] = ends[cross_at + j * series];
                        state.order[j] = marks[(COUNTERS + j) * series + s];
                        let mark = marks[(COUNTERS + hinges as usize + j) * series + s];
                        state.positive[j] = mark % 2;
                        state.barred[j] = mark / 2;
                    }
                }
            }
        }
        sound = all::<F>(&mut state, sound);
        #[unroll]
        for turn in 0..wide_turns {
            let m = mine(turn) as usize;
            if m < d {
                let mut up = zero + zero;
                let mut held = zero + zero;
                for i in 0..normal {
                    let part = tables[vectors + i as usize * d + m];
                    up += part * state.part[i as usize];
                    held += part * state.along[i as usize];
                }
                state.up[m] = up;
                state.held[m] = held;
            }
        }
        state.level[LARGEST] = zero;
        for i in 0..hinges {
            let j = i as usize;
            state.level[LARGEST] = max(state.level[LARGEST], state.change[j]);
            if first == 1u32 && state.begin[j] != zero {
                if UNIT_POS == 0 {
                    state.order[state.count[ACTIVE] as usize] = i;
                    state.place[j] = state.count[ACTIVE] + 1;
                }
                state.count[ACTIVE] += 1u32;
                state.count[BEGUN] = 1u32;
            }
        }
        if first == 0u32 && UNIT_POS == 0 {
            for a in 0..state.count[ACTIVE] {
                state.place[state.order[a as usize] as usize] = a + 1;
            }
        }
        state.count[FROM] = 0u32;
        sync_cube();

        if first == 1u32 {
            state.count[NEWEST] = NONE;
            state.count[STAGE] = ELIMINATION;
            state.level[VARIANCE] = variance::<F>(tables, settings, observed, square);
            state.level[BEFORE] = zero;
            state.level[AFTER] = zero;
            if state.count[BEGUN] == 0u32 {
                // Without signs: as large a noise as the optimum can have, where Stan's search starts too.
                state.level[RIDGE] = state.level[VARIANCE] + zero;
                state.level[PAIRS] = zero;
                eliminate::<F>(tables, values, &mut state, d);
                spread::<F>(tables, across, &mut state, hinges, d, h);
                let rest = residual::<F>(square, &state, d);
                state.level[VARIANCE] = variance::<F>(tables, settings, observed, rest);
                state.count[SOLVES] = 1u32;
                sync_cube();
            }
            if !sound {
                state.count[STAGE] = BROKEN;
            }
        } else {
            #[unroll]
            for i in 0..KEPT {
                state.level[i] = levels[i * series + s];
            }
            eliminate::<F>(tables, values, &mut state, d);
        }

        let floor = tables[settings + PIVOT];
        let mut left = budget + 0u32;
        while state.count[STAGE] < CONVERGED && left > 0 {
            if state.count[STAGE] == ELIMINATION {
                state.level[RIDGE] = state.level[VARIANCE] + zero;
                state.count[SOLVES] += 1u32;
                state.count[STAGE] = STEPS;
                state.count[ALTERNATION] = 0u32;
                state.count[STEP] = 0u32;
                state.count[NEWEST] = NONE;
                state.count[FROM] = 0u32;
                unbar::<F>(&mut state, h);
                eliminate::<F>(tables, values, &mut state, d);
            }
            refactor::<F>(tables, across, &mut state, floor, d, h);
            let weight = state.level[VARIANCE] / tables[settings + LAPLACE];
            aim::<F>(tables, across, &mut state, weight, hinges, d, h);
            state.count[STEP] += 1u32;
            state.count[SOLVES] += 1u32;
            left -= 1u32;
            let met = advance::<F>(&mut state, h);
            if !met {
                spread::<F>(tables, across, &mut state, hinges, d, h);
                // Above the weight by more than the gradient's own rounding.
                let threshold = weight * (F::new(1.0f32) + tables[settings + STEEPER])
                    + tables[settings + ROUNDING] * state.level[LARGEST];
                let best = steepest::<F>(tables, gram, &mut state, threshold, hinges, d, h);
                if best != NONE {
                    let newest = best / 2;
                    state.count[FROM] = state.count[ACTIVE] + 0u32;
                    if UNIT_POS == 0 {
                        state.positive[newest as usize] = best % 2;
                        state.order[state.count[ACTIVE] as usize] = newest;
                        state.place[newest as usize] = state.count[ACTIVE] + 1;
                    }
                    state.count[ACTIVE] += 1u32;
                    state.count[NEWEST] = newest;
                    sync_cube();
                } else {
                    let rest = residual::<F>(square, &state, d);
                    let next = variance::<F>(tables, settings, observed, rest);
                    settle::<F>(tables, settings, next, &mut state, h);
                }
            }
            if state.count[STAGE] == STEPS && state.count[STEP] == STEP_CAP {
                state.count[STAGE] = CAPPED;
            }
        }

        spread::<F>(tables, across, &mut state, hinges, d, h);
        let blank = F::cast_from(missing);
        let mut ends_well = state.count[STAGE] != BROKEN && is_number::<F>(state.level[VARIANCE]);
        #[unroll]
        for turn in 0..wide_turns {
            let i = mine(turn);
            if i < normal {
                let at = i as usize;
                let mut value = start[at * series + s];
                #[unroll]
                for m in 0..d {
                    value += tables[vectors + at * d + m] * state.along[m];
                }
                ends_well = ends_well && is_number::<F>(value);
                ends[at * series + s] = value;
            }
        }
        #[unroll]
        for turn in 0..turns {
            let own = mine(turn);
            if own < hinges {
                ends_well = ends_well && is_number::<F>(state.x[own as usize]);
            }
        }
        ends_well = all::<F>(&mut state, ends_well);
        if !ends_well {
            state.count[STAGE] = BROKEN;
            #[unroll]
            for turn in 0..wide_turns {
                if mine(turn) < normal {
                    ends[mine(turn) as usize * series + s] = blank;
                }
            }
        }
        #[unroll]
        for turn in 0..turns {
            let own = mine(turn);
            let j = own as usize;
            if own < hinges {
                ends[cross_at + j * series] = select(ends_well, state.x[j], blank);
                if goes_on {
                    marks[(COUNTERS + j) * series + s] = state.order[j];
                    marks[(COUNTERS + hinges as usize + j) * series + s] = state.positive[j] + 2 * state.barred[j];
                }
            }
        }
        if UNIT_POS == 0 {
            noise[s] = select(ends_well, state.level[VARIANCE].sqrt(), blank);
            solves[s] = F::cast_from(state.count[SOLVES]);
            converged[s] = F::cast_from(u32::cast_from(state.count[STAGE] == CONVERGED));
            if goes_on {
                #[unroll]
                for i in 0..KEPT {
                    levels[i * series + s] = state.level[i];
                }
                #[unroll]
                for i in 0..COUNTERS {
                    marks[i * series + s] = state.count[i];
                }
            }
        }
    }
}
