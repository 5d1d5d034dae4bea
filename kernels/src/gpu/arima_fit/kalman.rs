//! A Kalman filter over series with gaps, undifferenced: the ARMA state and the steps that differencing looks back on,
//! the latter diffuse. One unit a cell of each covariance; three launches a step.
//!
//! Source: Durbin and Koopman, *Time Series Analysis by State Space Methods*, 2nd ed., chapters 4 and 5.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::curvature::{Innovations, told};
use super::{
    COUNT_ROWS, COUNTED, CROSS, FAR, FIRST, GAPPED, Group, LOGS, ONES, ORIGIN, PRODUCT, SQUARES, SUM_ROWS, UNIT_ROWS,
};
use crate::gpu::{array, is_nan, ln};

/// Variance of what nothing is known of, in units of the noise's.
const DIFFUSE: f32 = 1e8;
/// An innovation of more variance than this tells of the start alone and is not counted.
const TELLS_OF_START: f32 = 1e5;
/// Rows of a step: one over the innovation's variance where there is an observation, else nothing; the variance of what
/// would be observed once that was.
const INVERSE: u32 = 0;
const UNSEEN: u32 = 1;
const STEP_ROWS: usize = 2;

/// What the launches of a filter share.
struct Filter<'a, R: Runtime> {
    group: &'a Group<'a, R>,
    innovations: Option<&'a Innovations<'a, R>>,
    /// Stands in where nobody asks for innovations.
    none: Handle,
    /// Lags and weights of the steps that differencing adds back.
    lags: Handle,
    weights: Handle,
    terms: usize,
    /// Covariance of each element of the state with the observation.
    gain: Handle,
    step: Handle,
}

/// Filters the series of a group that have gaps.
pub(super) fn run<R: Runtime, F: Float + CubeElement>(
    group: &Group<'_, R>,
    stationary: &Handle,
    innovations: Option<&Innovations<'_, R>>,
) {
    let (gpu, size) = (group.gpu, group.model.size());
    let carried = group.model.carried.iter().copied().enumerate();
    let (lags, weights): (Vec<u32>, Vec<f64>) =
        carried.filter(|(_, weight)| *weight != 0.0).map(|(lag, weight)| (lag as u32, weight)).unzip();
    let filter = Filter {
        group,
        innovations,
        none: gpu.empty_floats(1),
        terms: lags.len(),
        lags: gpu.upload(&lags),
        weights: gpu.upload_floats(weights.into_iter()),
        gain: gpu.empty_floats(size * group.series()),
        step: gpu.empty_floats(STEP_ROWS * group.series()),
    };
    let square = || gpu.empty_floats(size * size * group.series());
    let (mut covariance, mut next) = (square(), square());
    filter.launch_begin::<F>(stationary, &covariance);
    for t in 0..group.columns.steps {
        filter.launch_observe::<F>(&covariance);
        filter.launch_learn::<F>(t);
        filter.launch_ahead::<F>(&covariance, &next, t);
        std::mem::swap(&mut covariance, &mut next);
    }
}

impl<R: Runtime> Filter<'_, R> {
    fn square(&self, handle: &Handle) -> ArrayArg<R> {
        self.group.rows(handle, self.group.model.size() * self.group.model.size())
    }

    fn lags(&self) -> ArrayArg<R> {
        array(&self.lags, self.terms)
    }

    fn weights(&self) -> ArrayArg<R> {
        array(&self.weights, self.terms)
    }

    fn gain(&self) -> ArrayArg<R> {
        self.group.rows(&self.gain, self.group.model.size())
    }

    fn step(&self) -> ArrayArg<R> {
        self.group.rows(&self.step, STEP_ROWS)
    }

    fn counts(&self) -> ArrayArg<R> {
        self.group.rows(&self.group.counts, COUNT_ROWS)
    }

    fn sums(&self) -> ArrayArg<R> {
        self.group.rows(&self.group.sums, SUM_ROWS)
    }

    fn state(&self) -> ArrayArg<R> {
        self.group.rows(&self.group.state, 2 * self.group.model.size())
    }

    fn launch_begin<F: Float + CubeElement>(&self, stationary: &Handle, covariance: &Handle) {
        let (gpu, model, series) = (self.group.gpu, self.group.model, self.group.series());
        let (cubes, dim) = gpu.one_unit_per(model.size() * model.size() * series);
        // SAFETY: each array was made with the rows that it is passed with; units past the last cell stop.
        unsafe {
            begin::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                self.group.rows(stationary, model.width * model.width),
                self.counts(),
                self.square(covariance),
                self.sums(),
                self.state(),
                series as u32,
                model.width as u32,
                model.size() as u32,
            );
        }
    }

    fn launch_observe<F: Float + CubeElement>(&self, covariance: &Handle) {
        let (gpu, model, series) = (self.group.gpu, self.group.model, self.group.series());
        let (cubes, dim) = gpu.one_unit_per(model.size() * series);
        // SAFETY: as above; lags lie within what differencing looks back on.
        unsafe {
            observe::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                self.counts(),
                self.square(covariance),
                self.lags(),
                self.weights(),
                self.gain(),
                series as u32,
                model.width as u32,
                model.size() as u32,
                self.terms as u32,
            );
        }
    }

    fn launch_learn<F: Float + CubeElement>(&self, t: usize) {
        let (group, model, series) = (self.group, self.group.model, self.group.series());
        let (cubes, dim) = group.gpu.one_unit_per(series);
        let (tells, rows, variants) =
            self.innovations.map_or((&self.none, 1, 1), |own| (&own.values, own.steps * series, own.variants));
        let differencing = model.differencing;
        // What a constant makes: one, the step over this many, or nothing.
        let (grows, divisor) = match (differencing.differences, differencing.seasonal_differences) {
            (0, 0) => (0_u32, 1),
            (1, 0) => (1, 1),
            (0, 1) => (1, differencing.season),
            _ => (2, 1),
        };
        // SAFETY: as above; `t` is a step of the series.
        unsafe {
            learn::launch_unchecked::<F, R>(
                group.gpu.client(),
                cubes,
                dim,
                group.columns.arg(),
                group.rows(&group.units, UNIT_ROWS),
                self.counts(),
                group.rows(&group.ar, model.width),
                self.lags(),
                self.weights(),
                self.gain(),
                self.step(),
                self.sums(),
                self.state(),
                array(tells, rows),
                series as u32,
                variants as u32,
                model.width as u32,
                model.size() as u32,
                self.terms as u32,
                t as u32,
                grows,
                divisor as u32,
                self.innovations.is_some(),
            );
        }
    }

    fn launch_ahead<F: Float + CubeElement>(&self, covariance: &Handle, next: &Handle, t: usize) {
        let (group, model, series) = (self.group, self.group.model, self.group.series());
        let (cubes, dim) = group.gpu.one_unit_per(model.size() * model.size() * series);
        // SAFETY: as above; `next` is another square than `covariance`.
        unsafe {
            ahead::launch_unchecked::<F, R>(
                group.gpu.client(),
                cubes,
                dim,
                self.counts(),
                group.rows(&group.ar, model.width),
                group.rows(&group.ma, model.width),
                self.gain(),
                self.step(),
                self.square(covariance),
                self.square(next),
                series as u32,
                model.width as u32,
                model.size() as u32,
                t as u32,
            );
        }
    }
}

#[cube(launch_unchecked)]
fn begin<F: Float>(
    stationary: &Array<F>,
    counts: &Array<u32>,
    covariance: &mut Array<F>,
    sums: &mut Array<F>,
    state: &mut Array<F>,
    series: u32,
    width: u32,
    size: u32,
) {
    let at = ABSOLUTE_POS as u32;
    let s = at % series;
    if at < size * size * series && counts[(GAPPED * series + s) as usize] == 1u32 {
        let zero = F::new(0.0f32);
        let i = at / series / size;
        let j = at / series % size;
        let mut cell = zero + zero;
        if i < width && j < width {
            cell = stationary[((i * width + j) * series + s) as usize];
        } else if i == j {
            cell = F::new(DIFFUSE);
        }
        covariance[at as usize] = cell;
        if j == 0u32 {
            state[(i * series + s) as usize] = zero;
            state[((size + i) * series + s) as usize] = zero;
        }
        if i == 0u32 && j == 0u32 {
            for row in 0..SUM_ROWS as u32 {
                sums[(row * series + s) as usize] = zero;
            }
            sums[(PRODUCT * series + s) as usize] = F::new(1.0f32);
        }
    }
}

/// Covariance of each element of the state with the observation.
#[cube(launch_unchecked)]
fn observe<F: Float>(
    counts: &Array<u32>,
    covariance: &Array<F>,
    lags: &Array<u32>,
    weights: &Array<F>,
    gain: &mut Array<F>,
    series: u32,
    width: u32,
    size: u32,
    terms: u32,
) {
    let at = ABSOLUTE_POS as u32;
    let s = at % series;
    if at < size * series && counts[(GAPPED * series + s) as usize] == 1u32 {
        let i = at / series;
        let mut sum = covariance[(i * size * series + s) as usize];
        for k in 0..terms {
            let column = width + lags[k as usize];
            sum += weights[k as usize] * covariance[((i * size + column) * series + s) as usize];
        }
        gain[at as usize] = sum;
    }
}

/// The observation that the elements of a state from row `from` on make.
#[cube]
fn seen<F: Float>(
    state: &Array<F>,
    lags: &Array<u32>,
    weights: &Array<F>,
    from: u32,
    width: u32,
    terms: u32,
    series: u32,
    s: u32,
) -> F {
    let mut sum = state[(from * series + s) as usize];
    for k in 0..terms {
        sum += weights[k as usize] * state[((from + width + lags[k as usize]) * series + s) as usize];
    }
    sum
}

/// A state learns from an innovation, as a share of its variance, and goes one step on.
#[cube]
fn go_on<F: Float>(
    state: &mut Array<F>,
    gain: &Array<F>,
    ar: &Array<F>,
    share: F,
    expected: F,
    from: u32,
    width: u32,
    size: u32,
    series: u32,
    s: u32,
) {
    let first = state[(from * series + s) as usize] + gain[s as usize] * share;
    for i in 0..width {
        let mut next = ar[(i * series + s) as usize] * first;
        if i + 1 < width {
            next += state[((from + i + 1) * series + s) as usize] + gain[((i + 1) * series + s) as usize] * share;
        }
        state[((from + i) * series + s) as usize] = next;
    }
    for back in 0..size - width {
        let i = size - 1 - back;
        if i > width {
            let before = state[((from + i - 1) * series + s) as usize] + gain[((i - 1) * series + s) as usize] * share;
            state[((from + i) * series + s) as usize] = before;
        } else {
            state[((from + i) * series + s) as usize] = expected;
        }
    }
}

/// Takes the observation of a step, where there is one, and takes the state to the next.
#[cube(launch_unchecked)]
fn learn<F: Float>(
    values: &Array<F>,
    units: &Array<F>,
    counts: &Array<u32>,
    ar: &Array<F>,
    lags: &Array<u32>,
    weights: &Array<F>,
    gain: &Array<F>,
    step: &mut Array<F>,
    sums: &mut Array<F>,
    state: &mut Array<F>,
    innovations: &mut Array<F>,
    series: u32,
    variants: u32,
    width: u32,
    size: u32,
    terms: u32,
    t: u32,
    grows: u32,
    divisor: u32,
    #[comptime] tells: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if tells && s < series && counts[(GAPPED * series + s) as usize] == 1u32 {
        innovations[(t * series + s) as usize] = F::new(0.0f32);
    }
    if s < series && counts[(GAPPED * series + s) as usize] == 1u32 && t >= counts[(FIRST * series + s) as usize] {
        let zero = F::new(0.0f32);
        let one = F::new(1.0f32);
        let variance = seen::<F>(gain, lags, weights, 0u32, width, terms, series, s);
        let mut expected = seen::<F>(state, lags, weights, 0u32, width, terms, series, s);
        let mut expected_ones = seen::<F>(state, lags, weights, size, width, terms, series, s);
        let mut value = values[(t * series + s) as usize];
        let mut inverse = zero + zero;
        let mut unseen = variance + zero;
        let mut share = zero + zero;
        let mut share_ones = zero + zero;
        if !is_nan::<F>(value) {
            if size > width {
                value -= units[(ORIGIN * series + s) as usize];
            }
            let mut column = zero + zero;
            if grows == 0u32 {
                column = one + zero;
            } else if grows == 1u32 {
                column = F::cast_from(t - counts[(FIRST * series + s) as usize]) / F::cast_from(divisor);
            }
            inverse = one / variance;
            unseen = zero + zero;
            let gone = value - expected;
            let left = column - expected_ones;
            share = gone * inverse;
            share_ones = left * inverse;
            // What is observed is known, whatever was expected.
            expected = value + zero;
            expected_ones = column + zero;
            if variance < F::new(TELLS_OF_START) {
                if tells {
                    let column = s % variants;
                    innovations[(t * series + s) as usize] = told::<F>(column, gone, inverse);
                }
                sums[(SQUARES * series + s) as usize] += gone * share;
                sums[(CROSS * series + s) as usize] += gone * share_ones;
                sums[(ONES * series + s) as usize] += left * share_ones;
                sums[(COUNTED * series + s) as usize] += one;
                let product = sums[(PRODUCT * series + s) as usize] * variance;
                sums[(PRODUCT * series + s) as usize] = product;
                if product > F::new(FAR) {
                    sums[(LOGS * series + s) as usize] += ln::<F>(product);
                    sums[(PRODUCT * series + s) as usize] = one;
                }
            }
        }
        step[(INVERSE * series + s) as usize] = inverse;
        step[(UNSEEN * series + s) as usize] = unseen;
        go_on::<F>(state, gain, ar, share, expected, 0u32, width, size, series, s);
        go_on::<F>(state, gain, ar, share_ones, expected_ones, size, width, size, series, s);
    }
}

/// A cell of the covariance once the step was observed.
#[cube]
fn known<F: Float>(
    covariance: &Array<F>,
    gain: &Array<F>,
    inverse: F,
    i: u32,
    j: u32,
    size: u32,
    series: u32,
    s: u32,
) -> F {
    covariance[((i * size + j) * series + s) as usize]
        - inverse * gain[(i * series + s) as usize] * gain[(j * series + s) as usize]
}

/// Takes every covariance to the next step.
#[cube(launch_unchecked)]
fn ahead<F: Float>(
    counts: &Array<u32>,
    ar: &Array<F>,
    ma: &Array<F>,
    gain: &Array<F>,
    step: &Array<F>,
    covariance: &Array<F>,
    next: &mut Array<F>,
    series: u32,
    width: u32,
    size: u32,
    t: u32,
) {
    let at = ABSOLUTE_POS as u32;
    let s = at % series;
    if at < size * size * series && counts[(GAPPED * series + s) as usize] == 1u32 {
        let zero = F::new(0.0f32);
        let row = at / series / size;
        let column = at / series % size;
        if t < counts[(FIRST * series + s) as usize] {
            next[at as usize] = covariance[at as usize];
        } else {
            // The covariance is symmetric.
            let i = u32::min(row, column);
            let j = u32::max(row, column);
            let inverse = step[(INVERSE * series + s) as usize];
            let mut cell = zero + zero;
            if j < width {
                let tap = ar[(i * series + s) as usize];
                let other = ar[(j * series + s) as usize];
                cell = tap * other * known::<F>(covariance, gain, inverse, 0u32, 0u32, size, series, s)
                    + ma[(i * series + s) as usize] * ma[(j * series + s) as usize];
                if j + 1 < width {
                    cell += tap * known::<F>(covariance, gain, inverse, 0u32, j + 1, size, series, s);
                    cell += known::<F>(covariance, gain, inverse, i + 1, j + 1, size, series, s);
                }
                if i + 1 < width {
                    cell += other * known::<F>(covariance, gain, inverse, 0u32, i + 1, size, series, s);
                }
            } else if j == width {
                // What was observed is known, so nothing varies with it.
                if i == width {
                    cell = step[(UNSEEN * series + s) as usize];
                } else if inverse == zero {
                    cell = ar[(i * series + s) as usize] * gain[s as usize];
                    if i + 1 < width {
                        cell += gain[((i + 1) * series + s) as usize];
                    }
                }
            } else if i < width {
                cell =
                    ar[(i * series + s) as usize] * known::<F>(covariance, gain, inverse, 0u32, j - 1, size, series, s);
                if i + 1 < width {
                    cell += known::<F>(covariance, gain, inverse, i + 1, j - 1, size, series, s);
                }
            } else if i == width {
                if inverse == zero {
                    cell = gain[((j - 1) * series + s) as usize];
                }
            } else {
                cell = known::<F>(covariance, gain, inverse, i - 1, j - 1, size, series, s);
            }
            next[at as usize] = cell;
        }
    }
}
