//! Complex exponential smoothing on a GPU: one unit a series, its state between launches in memory.
#![allow(clippy::too_many_lines)] // a unit's level and sums stay in registers: a helper would send them through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{CHUNK, RowBuffer, array, is_nan};
use crate::ces::SECOND;
use crate::{CES_TRIANGLE, CES_WEIGHTS, CesForm, CesSquares, KernelError};

/// Rows of a pair and its derivatives: `a`, `b`, four of each.
const PAIR: usize = 2 + 2 * CES_WEIGHTS;
/// Rows of the sums: squares, slope and curvature.
const SUMS: usize = 1 + CES_WEIGHTS + CES_TRIANGLE;

pub(crate) fn ces_squares<R: Runtime>(
    y: &RowBuffer<R>,
    form: CesForm,
    season: usize,
    weights: &[[f64; CES_WEIGHTS]],
    start: &[f64],
) -> Result<CesSquares, KernelError> {
    if y.gpu().has_f64() {
        squares::<R, f64>(y, form, season, weights, start, |value| value)
    } else {
        squares::<R, f32>(y, form, season, weights, start, |value| value as f32)
    }
}

/// What the launches of one evaluation share; every row has one value a series.
struct Passes {
    weights: Handle,
    /// The level's pair, then the sums.
    state: Handle,
    /// A pair for each place of the season, place by place.
    ring: Handle,
    places: usize,
}

fn squares<R: Runtime, F: Float + CubeElement + Into<f64>>(
    y: &RowBuffer<R>,
    form: CesForm,
    season: usize,
    weights: &[[f64; CES_WEIGHTS]],
    start: &[f64],
    narrow: impl Fn(f64) -> F,
) -> Result<CesSquares, KernelError> {
    let (gpu, series, steps) = (y.gpu(), y.count(), y.width());
    let (len, first) = (form.start_len(season), usize::from(form.has_level()));
    let places = len - first;
    let zero = narrow(0.0);
    let own: Vec<F> = (0..CES_WEIGHTS).flat_map(|k| weights.iter().map(move |own| own[k])).map(&narrow).collect();
    let mut state = vec![zero; (PAIR + SUMS) * series];
    let mut ring = vec![zero; PAIR * places.max(1) * series];
    for s in 0..series {
        if form.has_level() {
            state[s] = narrow(start[s * len]);
            state[series + s] = narrow(SECOND * start[s * len]);
        }
        for place in 0..places {
            let a = start[s * len + first + place];
            ring[PAIR * place * series + s] = narrow(a);
            let b = if form == CesForm::Partial { 0.0 } else { SECOND * a };
            ring[(PAIR * place + 1) * series + s] = narrow(b);
        }
    }
    let (weights, state, ring) = (gpu.upload(&own), gpu.upload(&state), gpu.upload(&ring));
    let passes = Passes { weights, state, ring, places: places.max(1) };
    let chunks = || (0..steps).step_by(CHUNK);
    chunks().for_each(|first| launch::<R, F>(y, form, &passes, first, Task::Over));
    launch_rest::<R, F>(y, form, &passes);
    chunks().rev().for_each(|first| launch::<R, F>(y, form, &passes, first, Task::Back));
    launch_rest::<R, F>(y, form, &passes);
    chunks().for_each(|first| launch::<R, F>(y, form, &passes, first, Task::Count));
    let ends: Vec<F> = gpu.download(&passes.state, "complex exponential smoothing")?;
    let ends: Vec<f64> = ends.into_iter().map(Into::into).collect();
    let of = |row: usize, s: usize| ends[(PAIR + row) * series + s];
    Ok(CesSquares {
        sse: (0..series).map(|s| of(0, s)).collect(),
        slope: (0..series).map(|s| std::array::from_fn(|k| of(1 + k, s))).collect(),
        curvature: (0..series).map(|s| std::array::from_fn(|at| of(1 + CES_WEIGHTS + at, s))).collect(),
    })
}

/// What a launch does with its steps.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    /// Goes over them.
    Over,
    /// Goes back over them.
    Back,
    /// Goes over them and counts their errors.
    Count,
}

/// Whether the places of the season are pairs.
fn is_paired(form: CesForm) -> bool {
    matches!(form, CesForm::Simple | CesForm::Full)
}

fn launch<R: Runtime, F: Float + CubeElement>(
    y: &RowBuffer<R>,
    form: CesForm,
    passes: &Passes,
    first: usize,
    task: Task,
) {
    let (gpu, series) = (y.gpu(), y.count());
    let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
    let last = (first + CHUNK).min(y.width());
    // SAFETY: `y` holds `width * series` elements, `weights` four rows, `state` `PAIR + SUMS` rows and `ring` `PAIR`
    // rows a place, each row one value a series; units past the last series stop, and steps end before `last`.
    unsafe {
        go_over::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            y.arg(),
            array(&passes.weights, CES_WEIGHTS * series),
            array(&passes.state, (PAIR + SUMS) * series),
            array(&passes.ring, PAIR * passes.places * series),
            series as u32,
            first as u32,
            last as u32,
            passes.places as u32,
            form.has_level(),
            is_paired(form),
            form == CesForm::Partial,
            task == Task::Back,
            task == Task::Count,
        );
    }
}

fn launch_rest<R: Runtime, F: Float + CubeElement>(y: &RowBuffer<R>, form: CesForm, passes: &Passes) {
    let (gpu, series) = (y.gpu(), y.count());
    let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
    // SAFETY: as in `launch`; places end before `places`.
    unsafe {
        rest::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            array(&passes.weights, CES_WEIGHTS * series),
            array(&passes.state, (PAIR + SUMS) * series),
            array(&passes.ring, PAIR * passes.places * series),
            series as u32,
            passes.places as u32,
            form.has_level(),
            is_paired(form),
        );
    }
}

/// A number `a` of a pair and the one `under` it, or their derivatives, take `e`, and `more_a` and `more_b` beside it.
#[cube]
fn take_one<F: Float>(rows: &mut Array<F>, a: usize, under: usize, w0: F, w1: F, e: F, more_a: F, more_b: F) {
    let one = F::new(1.0f32);
    let first = rows[a];
    let second = rows[under];
    rows[a] = first + more_a + (w1 - one) * second + (w0 - w1) * e;
    rows[under] = first + more_b + (one - w0) * second + (w0 + w1) * e;
}

/// The pair that begins at row `row` takes an error with its derivatives by the four weights, of which the first two
/// are its own, or the last two.
#[cube]
fn take<F: Float>(
    rows: &mut Array<F>,
    row: u32,
    s: u32,
    series: u32,
    w0: F,
    w1: F,
    e: F,
    de0: F,
    de1: F,
    de2: F,
    de3: F,
    #[comptime] alphas: bool,
) {
    let zero = F::new(0.0f32);
    let a = (row * series + s) as usize;
    let b = ((row + 1) * series + s) as usize;
    let a0 = ((row + 2) * series + s) as usize;
    let a1 = ((row + 3) * series + s) as usize;
    let a2 = ((row + 4) * series + s) as usize;
    let a3 = ((row + 5) * series + s) as usize;
    let b0 = ((row + 6) * series + s) as usize;
    let b1 = ((row + 7) * series + s) as usize;
    let b2 = ((row + 8) * series + s) as usize;
    let b3 = ((row + 9) * series + s) as usize;
    let left = rows[b] - e;
    if alphas {
        take_one::<F>(rows, a0, b0, w0, w1, de0, e, zero - left);
        take_one::<F>(rows, a1, b1, w0, w1, de1, left, e);
        take_one::<F>(rows, a2, b2, w0, w1, de2, zero, zero);
        take_one::<F>(rows, a3, b3, w0, w1, de3, zero, zero);
    } else {
        take_one::<F>(rows, a0, b0, w0, w1, de0, zero, zero);
        take_one::<F>(rows, a1, b1, w0, w1, de1, zero, zero);
        take_one::<F>(rows, a2, b2, w0, w1, de2, e, zero - left);
        take_one::<F>(rows, a3, b3, w0, w1, de3, left, e);
    }
    take_one::<F>(rows, a, b, w0, w1, e, zero, zero);
}

/// Steps `first..last` of the recursion, or back over them.
#[cube(launch_unchecked)]
fn go_over<F: Float>(
    y: &Array<F>,
    weights: &Array<F>,
    state: &mut Array<F>,
    ring: &mut Array<F>,
    series: u32,
    first: u32,
    last: u32,
    places: u32,
    #[comptime] level: bool,
    #[comptime] paired: bool,
    #[comptime] added: bool,
    #[comptime] back: bool,
    #[comptime] counts: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        let w0 = weights[s as usize];
        let w1 = weights[(series + s) as usize];
        let w2 = weights[(2 * series + s) as usize];
        let w3 = weights[(3 * series + s) as usize];
        let mut sse = state[(10 * series + s) as usize];
        let mut slope0 = state[(11 * series + s) as usize];
        let mut slope1 = state[(12 * series + s) as usize];
        let mut slope2 = state[(13 * series + s) as usize];
        let mut slope3 = state[(14 * series + s) as usize];
        let mut curve00 = state[(15 * series + s) as usize];
        let mut curve10 = state[(16 * series + s) as usize];
        let mut curve11 = state[(17 * series + s) as usize];
        let mut curve20 = state[(18 * series + s) as usize];
        let mut curve21 = state[(19 * series + s) as usize];
        let mut curve22 = state[(20 * series + s) as usize];
        let mut curve30 = state[(21 * series + s) as usize];
        let mut curve31 = state[(22 * series + s) as usize];
        let mut curve32 = state[(23 * series + s) as usize];
        let mut curve33 = state[(24 * series + s) as usize];
        for i in first..last {
            let t = if back { first + last - 1 - i } else { i };
            let place = 10 * (t % places);
            let value = y[(t * series + s) as usize];
            let seen = !is_nan::<F>(value);
            let mut e = zero;
            let mut de0 = zero;
            let mut de1 = zero;
            let mut de2 = zero;
            let mut de3 = zero;
            if seen {
                e = value;
                if level {
                    e -= state[s as usize];
                    de0 -= state[(2 * series + s) as usize];
                    de1 -= state[(3 * series + s) as usize];
                    de2 -= state[(4 * series + s) as usize];
                    de3 -= state[(5 * series + s) as usize];
                }
                if paired || added {
                    e -= ring[(place * series + s) as usize];
                    de0 -= ring[((place + 2) * series + s) as usize];
                    de1 -= ring[((place + 3) * series + s) as usize];
                    de2 -= ring[((place + 4) * series + s) as usize];
                    de3 -= ring[((place + 5) * series + s) as usize];
                }
            }
            if level {
                take::<F>(state, 0u32, s, series, w0, w1, e, de0, de1, de2, de3, true);
            }
            if paired {
                if level {
                    take::<F>(ring, place, s, series, w2, w3, e, de0, de1, de2, de3, false);
                } else {
                    take::<F>(ring, place, s, series, w0, w1, e, de0, de1, de2, de3, true);
                }
            }
            if added {
                let own = (place * series + s) as usize;
                let by0 = ((place + 2) * series + s) as usize;
                let by1 = ((place + 3) * series + s) as usize;
                let by2 = ((place + 4) * series + s) as usize;
                ring[own] = ring[own] + w2 * e;
                ring[by0] = ring[by0] + w2 * de0;
                ring[by1] = ring[by1] + w2 * de1;
                ring[by2] = ring[by2] + e + w2 * de2;
            }
            if counts {
                // Without errors by a weight that the form lacks, its sums stay 0.
                sse += e * e;
                slope0 += e * de0;
                slope1 += e * de1;
                slope2 += e * de2;
                slope3 += e * de3;
                curve00 += de0 * de0;
                curve10 += de1 * de0;
                curve11 += de1 * de1;
                curve20 += de2 * de0;
                curve21 += de2 * de1;
                curve22 += de2 * de2;
                curve30 += de3 * de0;
                curve31 += de3 * de1;
                curve32 += de3 * de2;
                curve33 += de3 * de3;
            }
        }
        if counts {
            state[(10 * series + s) as usize] = sse;
            state[(11 * series + s) as usize] = slope0;
            state[(12 * series + s) as usize] = slope1;
            state[(13 * series + s) as usize] = slope2;
            state[(14 * series + s) as usize] = slope3;
            state[(15 * series + s) as usize] = curve00;
            state[(16 * series + s) as usize] = curve10;
            state[(17 * series + s) as usize] = curve11;
            state[(18 * series + s) as usize] = curve20;
            state[(19 * series + s) as usize] = curve21;
            state[(20 * series + s) as usize] = curve22;
            state[(21 * series + s) as usize] = curve30;
            state[(22 * series + s) as usize] = curve31;
            state[(23 * series + s) as usize] = curve32;
            state[(24 * series + s) as usize] = curve33;
        }
    }
}

/// Every pair goes one step on without an error, between two passes.
#[cube(launch_unchecked)]
fn rest<F: Float>(
    weights: &Array<F>,
    state: &mut Array<F>,
    ring: &mut Array<F>,
    series: u32,
    places: u32,
    #[comptime] level: bool,
    #[comptime] paired: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        let w0 = weights[s as usize];
        let w1 = weights[(series + s) as usize];
        let w2 = weights[(2 * series + s) as usize];
        let w3 = weights[(3 * series + s) as usize];
        if level {
            take::<F>(state, 0u32, s, series, w0, w1, zero, zero, zero, zero, zero, true);
        }
        if paired {
            for place in 0..places {
                if level {
                    take::<F>(ring, 10 * place, s, series, w2, w3, zero, zero, zero, zero, zero, false);
                } else {
                    take::<F>(ring, 10 * place, s, series, w0, w1, zero, zero, zero, zero, zero, true);
                }
            }
        }
    }
}
