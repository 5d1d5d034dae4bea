//! Complex exponential smoothing on a GPU: one unit a series, its state between launches in memory.
#![allow(clippy::too_many_lines)] // a unit's level and sums stay in registers: a helper would send them through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{CHUNK, RowBuffer, array, is_nan};
use crate::{CES_TRIANGLE, CES_WEIGHTS, CesForm, CesSquares, KernelError};

/// Rows of a pair and its derivatives: `a`, `b`, four of each.
const PAIR: usize = 2 + 2 * CES_WEIGHTS;
/// Rows of the sums: squares, slope and curvature.
const SUMS: usize = 1 + CES_WEIGHTS + CES_TRIANGLE;

/// The row of the squares, slope and curvature after it.
pub(super) const SQUARES: u32 = PAIR as u32;

pub(crate) fn ces_squares<R: Runtime>(
    y: &RowBuffer<R>,
    form: CesForm,
    season: usize,
    weights: &[[f64; CES_WEIGHTS]],
    start: &[f64],
) -> Result<CesSquares, KernelError> {
    let (gpu, series) = (y.gpu(), y.count());
    let own = (0..CES_WEIGHTS).flat_map(|k| weights.iter().map(move |own| own[k]));
    let passes = Passes::new(y, form, season, gpu.upload_floats(own), start);
    passes.run();
    let ends = gpu.download_floats(&passes.state, "complex exponential smoothing")?;
    let of = |row: usize, s: usize| ends[(PAIR + row) * series + s];
    Ok(CesSquares {
        sse: (0..series).map(|s| of(0, s)).collect(),
        slope: (0..series).map(|s| std::array::from_fn(|k| of(1 + k, s))).collect(),
        curvature: (0..series).map(|s| std::array::from_fn(|at| of(1 + CES_WEIGHTS + at, s))).collect(),
    })
}

/// What passes over a batch share on its device, in the floats that it has; every row has one value a series.
pub(super) struct Passes<'a, R: Runtime> {
    y: &'a RowBuffer<R>,
    form: CesForm,
    weights: Handle,
    start: Handle,
    start_len: usize,
    /// 0 where a series rests while others are passed over.
    walks: Handle,
    /// The level's pair, then the sums.
    state: Handle,
    /// A pair for each place of the season, place by place.
    ring: Handle,
    places: usize,
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

impl<'a, R: Runtime> Passes<'a, R> {
    /// Passes with four rows of weights, from [`CesForm::start_len`] values a series.
    pub(super) fn new(y: &'a RowBuffer<R>, form: CesForm, season: usize, weights: Handle, start: &[f64]) -> Self {
        let (gpu, series, start_len) = (y.gpu(), y.count(), form.start_len(season));
        let places = (start_len - usize::from(form.has_level())).max(1);
        let rows = (0..start_len).flat_map(|i| (0..series).map(move |s| s * start_len + i));
        Self {
            y,
            form,
            weights,
            start: gpu.upload_floats(rows.map(|at| start[at])),
            start_len,
            walks: gpu.upload(&vec![1_u32; series]),
            state: gpu.empty_floats((PAIR + SUMS) * series),
            ring: gpu.empty_floats(PAIR * places * series),
            places,
        }
    }

    /// Forward, back and forward again over every series that walks, each with its weights.
    pub(super) fn run(&self) {
        if self.y.gpu().has_f64() { self.run_in::<f64>() } else { self.run_in::<f32>() }
    }

    fn run_in<F: Float + CubeElement>(&self) {
        let chunks = || (0..self.y.width()).step_by(CHUNK);
        self.launch_begin::<F>();
        chunks().for_each(|first| self.launch::<F>(first, Task::Over));
        self.launch_rest::<F>();
        chunks().rev().for_each(|first| self.launch::<F>(first, Task::Back));
        self.launch_rest::<F>();
        chunks().for_each(|first| self.launch::<F>(first, Task::Count));
    }

    fn rows(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.y.count())
    }

    pub(super) fn weights(&self) -> ArrayArg<R> {
        self.rows(&self.weights, CES_WEIGHTS)
    }

    pub(super) fn walks(&self) -> ArrayArg<R> {
        self.rows(&self.walks, 1)
    }

    pub(super) fn state(&self) -> ArrayArg<R> {
        self.rows(&self.state, PAIR + SUMS)
    }

    fn ring(&self) -> ArrayArg<R> {
        self.rows(&self.ring, PAIR * self.places)
    }

    /// Whether the places of the season are pairs.
    fn is_paired(&self) -> bool {
        matches!(self.form, CesForm::Simple | CesForm::Full)
    }

    fn launch<F: Float + CubeElement>(&self, first: usize, task: Task) {
        let (gpu, series) = (self.y.gpu(), self.y.count());
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
        let last = (first + CHUNK).min(self.y.width());
        // SAFETY: `y` holds `width * series` elements, `weights` four rows, `state` `PAIR + SUMS` rows and `ring` `PAIR`
        // rows a place, each row one value a series; units past the last series stop, and steps end before `last`.
        unsafe {
            go_over::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                self.y.arg(),
                self.weights(),
                self.walks(),
                self.state(),
                self.ring(),
                series as u32,
                first as u32,
                last as u32,
                self.places as u32,
                self.form.has_level(),
                self.is_paired(),
                self.form == CesForm::Partial,
                task == Task::Back,
                task == Task::Count,
            );
        }
    }

    fn launch_rest<F: Float + CubeElement>(&self) {
        let (gpu, series) = (self.y.gpu(), self.y.count());
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
        // SAFETY: as in `launch`; places end before `places`.
        unsafe {
            rest::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                self.weights(),
                self.walks(),
                self.state(),
                self.ring(),
                series as u32,
                self.places as u32,
                self.form.has_level(),
                self.is_paired(),
            );
        }
    }

    fn launch_begin<F: Float + CubeElement>(&self) {
        let (gpu, series) = (self.y.gpu(), self.y.count());
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
        // SAFETY: as in `launch`; `start` has a row for the level, where there is one, and one a place.
        unsafe {
            begin::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                self.rows(&self.start, self.start_len),
                self.walks(),
                self.state(),
                self.ring(),
                series as u32,
                self.places as u32,
                self.form.has_level(),
                self.is_paired(),
                self.form == CesForm::Partial,
            );
        }
    }
}

/// Puts every pair at its start and clears the sums.
#[cube(launch_unchecked)]
fn begin<F: Float>(
    start: &Array<F>,
    walks: &Array<u32>,
    state: &mut Array<F>,
    ring: &mut Array<F>,
    series: u32,
    places: u32,
    #[comptime] level: bool,
    #[comptime] paired: bool,
    #[comptime] added: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series && walks[s as usize] == 1u32 {
        let zero = F::new(0.0f32);
        // `SECOND`, which no `f32` is.
        let share = F::new(10.0f32) / F::new(11.0f32);
        for row in 0..(PAIR + SUMS) as u32 {
            state[(row * series + s) as usize] = zero;
        }
        let mut first = 0u32;
        if level {
            let a = start[s as usize];
            state[s as usize] = a;
            state[(series + s) as usize] = share * a;
            first = 1u32;
        }
        for place in 0..places {
            let own = 10u32 * place;
            for row in 0..10u32 {
                ring[((own + row) * series + s) as usize] = zero;
            }
            if paired || added {
                let a = start[((first + place) * series + s) as usize];
                ring[(own * series + s) as usize] = a;
                if paired {
                    ring[((own + 1) * series + s) as usize] = share * a;
                }
            }
        }
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
    walks: &Array<u32>,
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
    if s < series && walks[s as usize] == 1u32 {
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
    walks: &Array<u32>,
    state: &mut Array<F>,
    ring: &mut Array<F>,
    series: u32,
    places: u32,
    #[comptime] level: bool,
    #[comptime] paired: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series && walks[s as usize] == 1u32 {
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
