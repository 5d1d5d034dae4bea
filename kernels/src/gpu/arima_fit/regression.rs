//! Coefficients to begin from: a regression on the past and on the errors of a long autoregression, a unit a series.
//!
//! Source: Hannan and Rissanen, Recursive estimation of mixed autoregressive-moving average order, Biometrika 69(1),
//! 1982.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::FIRST;
use super::pack::Packed;
use super::place::{Blocks, damped_step, free_numbers};
use crate::ArmaOrder;
use crate::arima_fit::MAX_BLOCK;
use crate::arima_fit::limits::INSIDE;
use crate::gpu::{CHUNK, array, is_number};

/// Share of the diagonal that a regression adds to it: two columns may say the same.
const RIDGE: f32 = 1e-6;

/// Products of series and of their long autoregressions' errors with either, some steps ago: a row a lag, first of the
/// series and itself, then of the errors and themselves, of the series and earlier errors, and of the errors and earlier
/// values.
pub(super) struct Products<'a, R: Runtime> {
    packed: &'a Packed<'a, R>,
    rows: Handle,
    /// Lags of the series' own products, and of each of the others.
    longest: usize,
    reach: usize,
}

impl<'a, R: Runtime> Products<'a, R> {
    /// All products that models with lags up to `reach` ask for.
    pub(super) fn new<F: Float + CubeElement>(packed: &'a Packed<'a, R>, reach: usize, season: usize) -> Self {
        let (gpu, series, steps) = (packed.own.gpu, packed.own.series, packed.own.steps);
        let longest = (reach + season).max(20);
        let products =
            Self { packed, rows: gpu.empty_floats((longest + 1 + 3 * (reach + 1)) * series), longest, reach };
        let taps = gpu.empty_floats(longest * series);
        let errors = gpu.empty_floats(steps * series);
        let own = &packed.own.values;
        products.lagged::<F>(own, &errors, true, 0, longest);
        if let Some((cubes, dim)) = gpu.one_unit_per_any(series) {
            // SAFETY: each array was made with the rows that it is passed with; units past the last series stop.
            unsafe {
                levinson::launch_unchecked::<F, R>(
                    gpu.client(),
                    cubes,
                    dim,
                    products.arg(),
                    packed.counts(),
                    array(&taps, longest * series),
                    series as u32,
                    (steps - packed.before) as u32,
                    longest as u32,
                );
            }
        }
        if let Some((cubes, dim)) = gpu.one_unit_per_any(steps * series) {
            // SAFETY: as above.
            unsafe {
                leave::launch_unchecked::<F, R>(
                    gpu.client(),
                    cubes,
                    dim,
                    packed.own.arg(),
                    packed.counts(),
                    array(&taps, longest * series),
                    array(&errors, steps * series),
                    series as u32,
                    steps as u32,
                    packed.before as u32,
                    longest as u32,
                );
            }
        }
        let after = longest + 1;
        products.lagged::<F>(&errors, own, true, after, reach);
        products.lagged::<F>(own, &errors, false, after + reach + 1, reach);
        products.lagged::<F>(&errors, own, false, after + 2 * (reach + 1), reach);
        products
    }

    fn arg(&self) -> ArrayArg<R> {
        array(&self.rows, (self.longest + 1 + 3 * (self.reach + 1)) * self.packed.own.series)
    }

    /// Sums of one column with another, or with itself, up to `last` steps ago.
    fn lagged<F: Float + CubeElement>(&self, left: &Handle, right: &Handle, alone: bool, row: usize, last: usize) {
        let own = &self.packed.own;
        let Some((cubes, dim)) = own.gpu.one_unit_per_any((last + 1) * own.series) else { return };
        for first in (0..own.steps).step_by(CHUNK) {
            // SAFETY: both columns have the packed series' rows, the products those that are written; units past the
            // last sum stop.
            unsafe {
                lagged::launch_unchecked::<F, R>(
                    own.gpu.client(),
                    cubes.clone(),
                    dim,
                    array(left, own.steps * own.series),
                    array(right, own.steps * own.series),
                    self.packed.counts(),
                    self.arg(),
                    own.series as u32,
                    self.packed.before as u32,
                    row as u32,
                    last as u32,
                    first as u32,
                    (first + CHUNK).min(own.steps) as u32,
                    alone,
                );
            }
        }
    }

    /// Free numbers of every series' regression; zeros where it has no answer.
    pub(super) fn start<F: Float + CubeElement>(&self, order: ArmaOrder, blocks: &Blocks) -> Handle {
        let (own, count) = (&self.packed.own, order.coefficients());
        let free = own.gpu.empty_floats(count * own.series);
        let rows = count * (count + 1) + 2 * count;
        let system = own.gpu.empty_floats(rows * own.series);
        let lags: Vec<u32> = (1..=order.ar)
            .chain((1..=order.seasonal_ar).map(|j| j * order.season))
            .chain(1..=order.ma)
            .chain((1..=order.seasonal_ma).map(|j| j * order.season))
            .map(|lag| lag as u32)
            .collect();
        let Some((cubes, dim)) = own.gpu.one_unit_per_any(own.series) else { return free };
        // SAFETY: each array was made with the rows that it is passed with; units past the last series stop.
        unsafe {
            regress::launch_unchecked::<F, R>(
                own.gpu.client(),
                cubes,
                dim,
                self.arg(),
                array(&own.gpu.upload(&lags), count),
                blocks.lengths(),
                blocks.shrink(),
                array(&system, rows * own.series),
                array(&free, count * own.series),
                own.series as u32,
                count as u32,
                (order.ar + order.seasonal_ar) as u32,
                (self.longest + 1) as u32,
                (self.reach + 1) as u32,
            );
        }
        free
    }
}

/// `Σ left[t] right[t - lag]` from a series' first step on, a unit a lag.
#[cube(launch_unchecked)]
fn lagged<F: Float>(
    left: &Array<F>,
    right: &Array<F>,
    counts: &Array<u32>,
    products: &mut Array<F>,
    series: u32,
    before: u32,
    row: u32,
    longest: u32,
    first: u32,
    last: u32,
    #[comptime] alone: bool,
) {
    let at = ABSOLUTE_POS as u32;
    let s = at % series;
    let lag = at / series;
    if lag <= longest {
        let to = ((row + lag) * series + s) as usize;
        let mut sum = F::new(0.0f32);
        if first > 0u32 {
            sum = products[to];
        }
        let begun = before + counts[(FIRST * series + s) as usize] + lag;
        for t in u32::max(first, begun)..last {
            let now = left[(t * series + s) as usize];
            if alone {
                sum += now * left[((t - lag) * series + s) as usize];
            } else {
                sum += now * right[((t - lag) * series + s) as usize];
            }
        }
        products[to] = sum;
    }
}

/// How long a series' autoregression is: it depends on its own length alone.
#[cube]
fn own_order(counts: &Array<u32>, steps: u32, longest: u32, series: u32, s: u32) -> u32 {
    let begun = counts[(FIRST * series + s) as usize];
    u32::min(longest, (u32::max(steps, begun) - begun) / 4)
}

/// Coefficients of the best predictor, by the Durbin-Levinson recursion.
#[cube(launch_unchecked)]
fn levinson<F: Float>(
    products: &Array<F>,
    counts: &Array<u32>,
    taps: &mut Array<F>,
    series: u32,
    steps: u32,
    longest: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        for i in 0..longest {
            taps[(i * series + s) as usize] = zero;
        }
        let order = own_order(counts, steps, longest, series, s);
        let all = products[s as usize];
        let mut variance = all + zero;
        let mut goes_on = true;
        for n in 0..order {
            goes_on = goes_on && variance > F::new(1e-12f32) * all;
            if goes_on {
                let mut partial = products[((n + 1) * series + s) as usize];
                for i in 0..n {
                    partial -= taps[(i * series + s) as usize] * products[((n - i) * series + s) as usize];
                }
                partial /= variance;
                // Each with its mirror image, which is made of it.
                for i in 0..n.div_ceil(2u32) {
                    let early = (i * series + s) as usize;
                    let late = ((n - 1 - i) * series + s) as usize;
                    let a = taps[early];
                    let b = taps[late];
                    taps[early] = a - partial * b;
                    if early != late {
                        taps[late] = b - partial * a;
                    }
                }
                taps[(n * series + s) as usize] = partial;
                variance *= F::new(1.0f32) - partial * partial;
            }
        }
    }
}

/// What the long autoregression leaves, a unit a step; nothing before it can look back.
#[cube(launch_unchecked)]
fn leave<F: Float>(
    own: &Array<F>,
    counts: &Array<u32>,
    taps: &Array<F>,
    errors: &mut Array<F>,
    series: u32,
    steps: u32,
    before: u32,
    longest: u32,
) {
    let at = ABSOLUTE_POS as u32;
    if at < steps * series {
        let s = at % series;
        let t = at / series;
        let order = own_order(counts, steps - before, longest, series, s);
        let begun = before + counts[(FIRST * series + s) as usize] + order;
        let mut sum = F::new(0.0f32);
        if t >= begun {
            sum = own[at as usize];
            for i in 0..order {
                sum -= taps[(i * series + s) as usize] * own[((t - 1 - i) * series + s) as usize];
            }
        }
        errors[at as usize] = sum;
    }
}

/// The product of two columns, errors from `first_error` on: the later of the two is the one of the smaller lag.
#[cube]
fn product<F: Float>(
    products: &Array<F>,
    lags: &Array<u32>,
    i: u32,
    j: u32,
    first_error: u32,
    own_rows: u32,
    rows: u32,
    series: u32,
    s: u32,
) -> F {
    let mut later = i + 0u32;
    let mut earlier = j + 0u32;
    if lags[j as usize] < lags[i as usize] {
        later = j + 0u32;
        earlier = i + 0u32;
    }
    let mut row = lags[earlier as usize] - lags[later as usize];
    if later >= first_error {
        row += own_rows;
        if earlier < first_error {
            row += 2 * rows;
        }
    } else if earlier >= first_error {
        row += own_rows + rows;
    }
    products[(row * series + s) as usize]
}

#[cube(launch_unchecked)]
fn regress<F: Float>(
    products: &Array<F>,
    lags: &Array<u32>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    system: &mut Array<F>,
    free: &mut Array<F>,
    series: u32,
    count: u32,
    first_error: u32,
    own_rows: u32,
    rows: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        let triangle = count * (count + 1) / 2;
        let mut held = Array::<u32>::new(comptime!(4 * MAX_BLOCK));
        for i in 0..count {
            held[i as usize] = 0u32;
            for j in 0..i + 1 {
                system[((i * (i + 1) / 2 + j) * series + s) as usize] =
                    product::<F>(products, lags, i, j, first_error, own_rows, rows, series, s);
            }
            let mut row = lags[i as usize];
            if i >= first_error {
                row += own_rows + rows;
            }
            system[((2 * triangle + i) * series + s) as usize] = zero - products[(row * series + s) as usize];
        }
        let positive = damped_step::<F>(
            system,
            0usize,
            2 * triangle as usize,
            triangle as usize,
            (2 * triangle + count) as usize,
            F::new(RIDGE),
            zero,
            &held,
            count as usize,
            series as usize,
            s as usize,
        );
        let mut sound = positive == 1u32;
        let mut coefficients = Array::<F>::new(comptime!(4 * MAX_BLOCK));
        for i in 0..count {
            let own = system[((2 * triangle + count + i) * series + s) as usize];
            sound = sound && is_number::<F>(own);
            coefficients[i as usize] = own;
        }
        if !sound {
            for i in 0..count {
                coefficients[i as usize] = zero;
            }
        }
        let inside = F::new(INSIDE as f32);
        free_numbers::<F>(&coefficients, free, lengths, shrink, inside, series as usize, s as usize);
    }
}
