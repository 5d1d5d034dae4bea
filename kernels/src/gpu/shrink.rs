//! The shrunk fit, one unit a series. The constants of a Gram are read by all its series; a series' own state is in
//! its unit's memory, and between launches in the device's.
//!
//! `crate::cpu` eliminates the normal coefficients anew for each ridge. Here they are turned to the vectors of a
//! [`crate::shrink::spectrum::Spectrum`], once a Gram and on the host, so that no unit holds a matrix of its own but the
//! active signs' factor.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a unit's sums stay in registers: a helper would send them through memory

use cubecl::prelude::*;

use super::{RowBuffer, array, is_number};
use crate::KernelError;
use crate::shrink::{ALTERNATION_CAP, ELIMINATION_CAP, STEP_CAP};

mod steps;
mod tables;

use steps::{
    ACTIVE, ALTERNATION, BROKEN, CAPPED, CONVERGED, COUNTERS, ELIMINATION, FROM, LARGEST, LEVELS, NEWEST, NONE, PAIRS,
    RIDGE, ROUND, SOLVES, STAGE, STEP, STEPS, VARIANCE, advance, aim, eliminate, refactor, spread, steepest,
};

pub(crate) use tables::Tables;
use tables::{
    FIRST_TOLERANCE, FLOOR, LAPLACE, MOST_ITERATIONS, NOISE, PIVOT, RIDGE_TOLERANCE, ROUNDING, STEEPER, TOLERANCE,
    iterations, padded, table_len,
};

/// Steps of one series altogether; some tens are usual, and past these it did not converge.
const STEP_BUDGET: u32 = 4_096;

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
    // Small cubes: a unit takes most of the registers there are, and series end at different times.
    let dim = CubeDim::new_1d(gpu.client().properties().hardware.max_units_per_cube.min(64));
    let cubes = cubecl::calculate_cube_count_elemwise(gpu.client(), series, dim);
    let levels = RowBuffer::empty(gpu, series, 2)?;
    let mark_rows = COUNTERS + 2 * hinges;
    let marks = gpu.empty::<u32>(mark_rows * series);
    let steps = match gpu.is_software() {
        true => ((MOST_ITERATIONS / iterations(hinges)) as u32).max(1),
        false => STEP_BUDGET,
    };
    for first in (0..STEP_BUDGET).step_by(steps as usize) {
        // SAFETY: the tables hold what `Tables::upload` made them with, each of `gram_of` was checked to be a Gram
        // that is there; `cross`, `start` and `x` hold an order's rows, `moments` and `levels` two, `marks` as many as it
        // keeps, the others one, each row one value a series. Units past the last series stop.
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
                array(&marks, mark_rows * series),
                tables.grams as u32,
                tables.normal as u32,
                hinges as u32,
                steps,
                u32::from(first == 0),
                f32::NAN,
                padded(tables.normal),
                padded(hinges),
                gpu.is_software(),
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
fn residual<F: Float>(
    square: F,
    level: &Array<F>,
    along: &Array<F>,
    right: &Array<F>,
    held: &Array<F>,
    #[comptime] d: usize,
) -> F {
    let ridge = level[RIDGE];
    let mut rest = square - level[PAIRS];
    #[unroll]
    for m in 0..d {
        rest -= along[m] * (right[m] + ridge * (held[m] + held[m] + along[m]));
    }
    rest
}

/// What a series does once no coefficient wants to enter: the noise follows, then the ridge follows the noise.
#[cube]
fn settle<F: Float>(
    tables: &Array<F>,
    settings: usize,
    next: F,
    count: &mut Array<u32>,
    level: &mut Array<F>,
    barred: &mut Array<u32>,
    hinges: u32,
) {
    let before = level[VARIANCE];
    let mut tolerance = tables[settings + TOLERANCE];
    if count[ROUND] == 0u32 {
        tolerance = tables[settings + FIRST_TOLERANCE];
    }
    level[VARIANCE] = next;
    if (next - before).abs() <= tolerance * next {
        count[ROUND] += 1u32;
        if (next - level[RIDGE]).abs() <= tables[settings + RIDGE_TOLERANCE] * next {
            count[STAGE] = CONVERGED;
        } else if count[ROUND] == ELIMINATION_CAP {
            count[STAGE] = CAPPED;
        } else {
            count[STAGE] = ELIMINATION;
        }
    } else {
        count[ALTERNATION] += 1u32;
        if count[ALTERNATION] == ALTERNATION_CAP {
            count[STAGE] = CAPPED;
        }
        count[STEP] = 0u32;
        count[NEWEST] = NONE;
        for j in 0..hinges {
            barred[j as usize] = 0u32;
        }
    }
}

/// At most `budget` steps of each series, from its start where this is its `first` launch.
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
    #[comptime] rolled: bool,
) {
    let s = ABSOLUTE_POS;
    let series = gram_of.len();
    let mut ended = s >= series;
    if !ended && first == 0u32 {
        ended = marks[STAGE * series + s] >= CONVERGED;
    }
    if !ended {
        let zero = F::new(0.0f32);
        let size = comptime!(table_len(d, h));
        let settings = grams as usize * size;
        let across = gram_of[s] as usize * size;
        let vectors = across + comptime!(h * d + h * h);
        let values = across + comptime!(h * d + h * h + d * d);
        let cross_at = normal as usize * series + s;

        let mut count = Array::<u32>::new(COUNTERS);
        let mut level = Array::<F>::new(LEVELS);
        let mut up = Array::<F>::new(d);
        let mut held = Array::<F>::new(d);
        let mut inverse = Array::<F>::new(d);
        let mut right = Array::<F>::new(d);
        let mut along = Array::<F>::new(d);
        let mut x = Array::<F>::new(h);
        let mut begin = Array::<F>::new(h);
        let mut change = Array::<F>::new(h);
        let mut target = Array::<F>::new(h);
        let mut factor = Array::<F>::new(comptime!(h * (h + 1) / 2));
        let mut order = Array::<u32>::new(h);
        let mut place = Array::<u32>::new(h);
        let mut positive = Array::<u32>::new(h);
        let mut barred = Array::<u32>::new(h);

        let observed = moments[s];
        let square = moments[series + s];
        let mut sound = is_number::<F>(observed) && is_number::<F>(square);
        #[unroll]
        for m in 0..d {
            up[m] = zero;
            held[m] = zero;
        }
        for i in 0..normal {
            let own = cross[i as usize * series + s];
            let from = start[i as usize * series + s];
            sound = sound && is_number::<F>(own) && is_number::<F>(from);
            let weight = from * tables[values + comptime!(2 * d) + i as usize];
            #[unroll]
            for m in 0..d {
                let part = tables[vectors + i as usize * d + m];
                up[m] += part * own;
                held[m] += part * weight;
            }
        }
        level[LARGEST] = zero;
        #[unroll]
        for j in 0..h {
            change[j] = zero;
        }
        #[unroll]
        for i in 0..COUNTERS {
            count[i] = 0u32;
            if first == 0u32 {
                count[i] = marks[i * series + s];
            }
        }
        let mut moved = 0u32.runtime();
        for i in 0..hinges {
            let j = i as usize;
            let own = cross[cross_at + j * series];
            let from = start[cross_at + j * series];
            sound = sound && is_number::<F>(own) && is_number::<F>(from);
            level[LARGEST] = max(level[LARGEST], own.abs());
            begin[j] = from;
            x[j] = from;
            place[j] = 0u32;
            if first == 1u32 {
                positive[j] = u32::cast_from(from > zero);
                barred[j] = 0u32;
                if from != zero {
                    order[count[ACTIVE] as usize] = i;
                    count[ACTIVE] += 1u32;
                    moved = 1u32;
                }
            } else {
                x[j] = ends[cross_at + j * series];
                order[j] = marks[(COUNTERS + j) * series + s];
                let mark = marks[(COUNTERS + hinges as usize + j) * series + s];
                positive[j] = mark % 2;
                barred[j] = mark / 2;
            }
        }
        for a in 0..count[ACTIVE] {
            place[order[a as usize] as usize] = a + 1;
        }
        count[FROM] = 0u32;

        if first == 1u32 {
            count[NEWEST] = NONE;
            count[STAGE] = ELIMINATION;
            level[VARIANCE] = variance::<F>(tables, settings, observed, square);
            if moved == 0u32 {
                // Without signs: as large a noise as the optimum can have, where Stan's search starts too.
                level[RIDGE] = level[VARIANCE];
                level[PAIRS] = zero;
                eliminate::<F>(tables, values, &level, &up, &held, &mut inverse, &mut right, d);
                #[unroll]
                for m in 0..d {
                    along[m] = right[m] * inverse[m];
                }
                let rest = residual::<F>(square, &level, &along, &right, &held, d);
                level[VARIANCE] = variance::<F>(tables, settings, observed, rest);
                count[SOLVES] = 1u32;
            }
            if !sound {
                count[STAGE] = BROKEN;
            }
        } else {
            level[VARIANCE] = levels[s];
            level[RIDGE] = levels[series + s];
        }

        let floor = tables[settings + PIVOT];
        let mut left = budget + 0;
        while count[STAGE] < CONVERGED && left > 0 {
            if count[STAGE] == ELIMINATION {
                level[RIDGE] = level[VARIANCE];
                count[SOLVES] += 1u32;
                count[STAGE] = STEPS;
                count[ALTERNATION] = 0u32;
                count[STEP] = 0u32;
                count[NEWEST] = NONE;
                count[FROM] = 0u32;
                for j in 0..hinges {
                    barred[j as usize] = 0u32;
                }
            }
            eliminate::<F>(tables, values, &level, &up, &held, &mut inverse, &mut right, d);
            let mut inside = true;
            while inside {
                refactor::<F>(
                    tables,
                    across,
                    &inverse,
                    floor,
                    &mut factor,
                    &mut count,
                    &mut order,
                    &mut place,
                    &mut barred,
                    &mut x,
                    hinges,
                    d,
                    h,
                );
                let weight = level[VARIANCE] / tables[settings + LAPLACE];
                aim::<F>(
                    tables,
                    across,
                    cross,
                    cross_at,
                    series,
                    &begin,
                    &inverse,
                    &right,
                    &factor,
                    &count,
                    &order,
                    &place,
                    &positive,
                    &mut target,
                    weight,
                    hinges,
                    d,
                    h,
                );
                count[STEP] += 1u32;
                count[SOLVES] += 1u32;
                left -= 1u32;
                let met = advance::<F>(&target, &mut count, &mut order, &mut place, &positive, &mut barred, &mut x);
                if !met {
                    spread::<F>(tables, across, &x, &begin, &inverse, &right, &mut change, &mut along, hinges, d);
                    // Above the weight by more than the gradient's own rounding.
                    let threshold = weight * (F::new(1.0f32) + tables[settings + STEEPER])
                        + tables[settings + ROUNDING] * level[LARGEST];
                    let best = steepest::<F>(
                        tables, across, cross, cross_at, series, &change, &along, &place, &barred, &mut level,
                        threshold, hinges, d, h, rolled,
                    );
                    if best != NONE {
                        let newest = best / 2;
                        positive[newest as usize] = best % 2;
                        order[count[ACTIVE] as usize] = newest;
                        count[FROM] = count[ACTIVE];
                        count[ACTIVE] += 1u32;
                        place[newest as usize] = count[ACTIVE];
                        count[NEWEST] = newest;
                    } else {
                        let rest = residual::<F>(square, &level, &along, &right, &held, d);
                        let next = variance::<F>(tables, settings, observed, rest);
                        settle::<F>(tables, settings, next, &mut count, &mut level, &mut barred, hinges);
                    }
                }
                if count[STAGE] == STEPS && count[STEP] == STEP_CAP {
                    count[STAGE] = CAPPED;
                }
                inside = !rolled && count[STAGE] == STEPS && left > 0;
            }
        }

        spread::<F>(tables, across, &x, &begin, &inverse, &right, &mut change, &mut along, hinges, d);
        let blank = F::cast_from(missing);
        sound = count[STAGE] != BROKEN && is_number::<F>(level[VARIANCE]);
        for i in 0..normal {
            let mut value = start[i as usize * series + s];
            #[unroll]
            for m in 0..d {
                value += tables[vectors + i as usize * d + m] * along[m];
            }
            sound = sound && is_number::<F>(value);
            ends[i as usize * series + s] = value;
        }
        for i in 0..hinges {
            let j = i as usize;
            sound = sound && is_number::<F>(x[j]);
            ends[cross_at + j * series] = x[j];
            marks[(COUNTERS + j) * series + s] = order[j];
            marks[(COUNTERS + hinges as usize + j) * series + s] = positive[j] + 2 * barred[j];
        }
        if !sound {
            count[STAGE] = BROKEN;
            for i in 0..normal + hinges {
                ends[i as usize * series + s] = blank;
            }
        }
        noise[s] = select(sound, level[VARIANCE].sqrt(), blank);
        solves[s] = F::cast_from(count[SOLVES]);
        converged[s] = F::cast_from(u32::cast_from(count[STAGE] == CONVERGED));
        levels[s] = level[VARIANCE];
        levels[series + s] = level[RIDGE];
        #[unroll]
        for i in 0..COUNTERS {
            marks[i * series + s] = count[i];
        }
    }
}
