//! The sums of a model of any order, each filter's output left in memory: a unit a model, then one a sum.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::FIRST;
use super::curvature::row_of;
use super::pack::Packed;
use super::prepare::Columns;
use super::sums::moment_rows;
use crate::ArmaOrder;
use crate::gpu::{CHUNK, array};

/// Filtered copies of a series: itself, `y/Θ`, `z = y/θΘ`, `u = Φz`, `s = φz`, `e = φu`, `e/θ` and `e/Θ`.
const COPIES: usize = 8;

/// Floats a model that its copies ask for.
pub(super) fn room(steps: usize) -> usize {
    COPIES * steps
}

/// Models of one order and the copies of their series.
pub(super) struct Filtered<'a, R: Runtime> {
    packed: &'a Packed<'a, R>,
    order: ArmaOrder,
    of: Handle,
    own: Columns<'a, R>,
    copies: Handle,
    /// The copy and the lag of each coefficient's column, and last those of the residuals.
    columns: Handle,
}

/// A polynomial: its first coefficient, how many it has, and the lag between them.
type Taps = (usize, usize, usize);

impl<'a, R: Runtime> Filtered<'a, R> {
    pub(super) fn new<F: Float + CubeElement>(
        packed: &'a Packed<'a, R>,
        order: ArmaOrder,
        of: &Handle,
        models: usize,
    ) -> Self {
        let own = packed.own.take::<F>(of, models);
        let lags = |copy: u32, len: usize, lag: usize| (1..=len).map(move |j| [copy, (j * lag) as u32]);
        let columns: Vec<u32> = lags(3, order.ar, 1)
            .chain(lags(4, order.seasonal_ar, order.season))
            .chain(lags(6, order.ma, 1))
            .chain(lags(7, order.seasonal_ma, order.season))
            .chain([[5, 0]])
            .flatten()
            .collect();
        let copies = own.gpu.empty_floats(COPIES * own.steps * models);
        Self { packed, order, of: of.clone(), columns: own.gpu.upload(&columns), copies, own }
    }

    fn copies(&self) -> ArrayArg<R> {
        array(&self.copies, COPIES * self.own.steps * self.own.series)
    }

    fn rows(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.own.series)
    }

    /// Passes over the series of every model that walks, from a row of each coefficient.
    pub(super) fn run<F: Float + CubeElement>(&self, coefficients: &Handle, walks: &Handle, moments: &Handle) {
        let order = self.order;
        self.copy::<F>();
        let mut first = 0;
        let mut taps = |len: usize, lag: usize| {
            first += len;
            (first - len, len, lag)
        };
        let (ar, seasonal_ar) = (taps(order.ar, 1), taps(order.seasonal_ar, order.season));
        let (ma, seasonal_ma) = (taps(order.ma, 1), taps(order.seasonal_ma, order.season));
        for (from, to, taps, divides) in [
            (0, 1, seasonal_ma, true),
            (1, 2, ma, true),
            (2, 3, seasonal_ar, false),
            (2, 4, ar, false),
            (3, 5, ar, false),
            (5, 6, ma, true),
            (5, 7, seasonal_ma, true),
        ] {
            self.filter::<F>((from, to), taps, divides, coefficients, walks);
        }
        self.sum::<F>(walks, moments);
    }

    /// The packed series as the first copy.
    fn copy<F: Float + CubeElement>(&self) {
        let count = self.own.steps * self.own.series;
        let Some((cubes, dim)) = self.own.gpu.one_unit_per_any(count) else { return };
        // SAFETY: the copies begin with as many rows as the series have; units past the last value stop.
        unsafe {
            copy::launch_unchecked::<F, R>(
                self.own.gpu.client(),
                cubes,
                dim,
                self.own.arg(),
                self.copies(),
                count as u32,
            );
        }
    }

    /// Multiplies a copy by a polynomial or divides it, into another.
    fn filter<F: Float + CubeElement>(
        &self,
        (from, to): (usize, usize),
        (first_tap, taps, lag): Taps,
        divides: bool,
        coefficients: &Handle,
        walks: &Handle,
    ) {
        let own = &self.own;
        let Some((cubes, dim)) = own.gpu.one_unit_per_any(own.series) else { return };
        let stride = (CHUNK / (taps + 1)).max(1);
        for first in (0..own.steps).step_by(stride) {
            // SAFETY: there are `COPIES` copies of `steps` rows and a row a coefficient; no lag reaches before the first
            // step. Units past the last model stop.
            unsafe {
                filter::launch_unchecked::<F, R>(
                    own.gpu.client(),
                    cubes.clone(),
                    dim,
                    self.copies(),
                    self.rows(coefficients, self.order.coefficients()),
                    self.rows(walks, 1),
                    own.series as u32,
                    (from * own.steps) as u32,
                    (to * own.steps) as u32,
                    first_tap as u32,
                    taps as u32,
                    lag as u32,
                    first as u32,
                    (first + stride).min(own.steps) as u32,
                    divides,
                );
            }
        }
    }

    fn sum<F: Float + CubeElement>(&self, walks: &Handle, moments: &Handle) {
        let (own, count) = (&self.own, self.order.coefficients());
        let Some((cubes, dim)) = own.gpu.one_unit_per_any(moment_rows(count) * own.series) else { return };
        for first in (0..own.steps).step_by(CHUNK) {
            // SAFETY: a column's copy is one of those there are, and its lag no more than `t`; units past the last sum
            // stop.
            unsafe {
                sum::launch_unchecked::<F, R>(
                    own.gpu.client(),
                    cubes.clone(),
                    dim,
                    self.copies(),
                    array(&self.columns, 2 * (count + 1)),
                    self.packed.counts(),
                    self.rows(&self.of, 1),
                    self.rows(walks, 1),
                    self.rows(moments, moment_rows(count)),
                    self.packed.own.series as u32,
                    own.series as u32,
                    own.steps as u32,
                    self.packed.before as u32,
                    count as u32,
                    first as u32,
                    (first + CHUNK).min(own.steps) as u32,
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn copy<F: Float>(own: &Array<F>, copies: &mut Array<F>, count: u32) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        copies[at] = own[at];
    }
}

/// `out[t] = in[t] - Σ c[j] past[t - j lag]`, the past being the output's where it divides, else the input's.
#[cube(launch_unchecked)]
fn filter<F: Float>(
    copies: &mut Array<F>,
    coefficients: &Array<F>,
    walks: &Array<u32>,
    models: u32,
    from: u32,
    to: u32,
    first_tap: u32,
    taps: u32,
    lag: u32,
    first: u32,
    last: u32,
    #[comptime] divides: bool,
) {
    let m = ABSOLUTE_POS as u32;
    if m < models && walks[m as usize] == 1u32 {
        for t in first..last {
            let mut sum = copies[((from + t) * models + m) as usize];
            for j in 0..taps {
                let back = (j + 1) * lag;
                if back <= t {
                    let tap = coefficients[((first_tap + j) * models + m) as usize];
                    if divides {
                        sum -= tap * copies[((to + t - back) * models + m) as usize];
                    } else {
                        sum -= tap * copies[((from + t - back) * models + m) as usize];
                    }
                }
            }
            copies[((to + t) * models + m) as usize] = sum;
        }
    }
}

/// A unit a sum: of the squares, of each coefficient's column with the residuals, or of a pair of columns.
#[cube(launch_unchecked)]
fn sum<F: Float>(
    copies: &Array<F>,
    columns: &Array<u32>,
    counts: &Array<u32>,
    of: &Array<u32>,
    walks: &Array<u32>,
    moments: &mut Array<F>,
    series: u32,
    models: u32,
    steps: u32,
    before: u32,
    count: u32,
    first: u32,
    last: u32,
) {
    let at = ABSOLUTE_POS as u32;
    let m = at % models;
    let row = at / models;
    if row < 1 + count + count * (count + 1) / 2 && walks[m as usize] == 1u32 {
        let mut left = count + 0u32;
        let mut right = count + 0u32;
        let mut sign = F::new(1.0f32);
        if row > 0u32 && row <= count {
            left = row - 1;
            sign = F::new(-1.0f32);
        } else if row > count {
            left = row_of(row - 1 - count);
            right = row - 1 - count - left * (left + 1) / 2;
        }
        let left_lag = columns[(2 * left + 1) as usize];
        let right_lag = columns[(2 * right + 1) as usize];
        let left_copy = columns[(2 * left) as usize] * steps;
        let right_copy = columns[(2 * right) as usize] * steps;
        let counted = before + counts[(FIRST * series + of[m as usize]) as usize];
        let farthest = u32::max(counted, u32::max(left_lag, right_lag));
        let mut total = F::new(0.0f32);
        if first > 0u32 {
            total = moments[at as usize];
        }
        for t in u32::max(first, farthest)..last {
            total += sign
                * copies[((left_copy + t - left_lag) * models + m) as usize]
                * copies[((right_copy + t - right_lag) * models + m) as usize];
        }
        moments[at as usize] = total;
    }
}
