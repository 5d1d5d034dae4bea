//! ARMA residuals and their gradient: one unit a series, each filter over the steps in several launches.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, CHUNK, array};
use crate::{ArmaGradient, ArmaOrder, KernelError};

pub(crate) fn arma_gradient<R: Runtime>(
    y: &Buffer<R>,
    order: ArmaOrder,
    coefficients: &[f64],
    skip: usize,
) -> Result<ArmaGradient, KernelError> {
    if y.gpu().has_f64() {
        gradient::<R, f64>(y, order, coefficients, skip, |value| value)
    } else {
        gradient::<R, f32>(y, order, coefficients, skip, |value| value as f32)
    }
}

/// The filters of [`crate::arma_gradient`], each over a copy of the series; where a polynomial has no coefficients
/// its filter copies.
fn gradient<R: Runtime, F: Float + CubeElement + Into<f64>>(
    y: &Buffer<R>,
    order: ArmaOrder,
    coefficients: &[f64],
    skip: usize,
    narrow: impl Fn(f64) -> F,
) -> Result<ArmaGradient, KernelError> {
    let (series, count) = (y.series(), order.coefficients());
    let [ar, seasonal_ar, ma, seasonal_ma] = order.blocks();
    let mut first = 0;
    let mut block = |len: usize, lag: usize| {
        let rows = (first..first + len).flat_map(|i| (0..series).map(move |s| s * count + i));
        let taps: Vec<F> = rows.map(|at| narrow(coefficients[at])).collect();
        first += len;
        Taps { handle: y.gpu().upload(&taps), len, lag }
    };
    let (ar, seasonal_ar) = (block(ar, 1), block(seasonal_ar, order.season));
    let (ma, seasonal_ma) = (block(ma, 1), block(seasonal_ma, order.season));
    let copy = y.gpu().empty::<F>(y.steps() * series);
    widen::<R, F>(y, &copy);
    let divided = filter::<R, F>(y, &copy, &seasonal_ma, true);
    let z = filter::<R, F>(y, &divided, &ma, true);
    let u = filter::<R, F>(y, &z, &seasonal_ar, false);
    let s = filter::<R, F>(y, &z, &ar, false);
    let e = filter::<R, F>(y, &u, &ar, false);
    let by_ma = filter::<R, F>(y, &e, &ma, true);
    let by_seasonal = filter::<R, F>(y, &e, &seasonal_ma, true);
    let sums = y.gpu().upload(&vec![narrow(0.0); (1 + count) * series]);
    sum::<R, F>(y, &e, &e, &sums, 0, 0, skip);
    let mut row = 1;
    for (copy, taps) in [(&u, &ar), (&s, &seasonal_ar), (&by_ma, &ma), (&by_seasonal, &seasonal_ma)] {
        for j in 1..=taps.len {
            sum::<R, F>(y, &e, copy, &sums, row, j * taps.lag, skip);
            row += 1;
        }
    }
    let sums: Vec<F> = y.gpu().download(&sums, "the ARMA gradient")?;
    let sums: Vec<f64> = sums.into_iter().map(Into::into).collect();
    let by = |s: usize, i: usize| -2.0 * sums[(1 + i) * series + s];
    Ok(ArmaGradient {
        sse: sums[..series].to_vec(),
        coefficients: (0..series).flat_map(|s| (0..count).map(move |i| (s, i))).map(|(s, i)| by(s, i)).collect(),
    })
}

/// One polynomial's coefficients, a row a coefficient.
struct Taps {
    handle: Handle,
    len: usize,
    lag: usize,
}

fn widen<R: Runtime, F: Float + CubeElement>(y: &Buffer<R>, output: &Handle) {
    let count = y.steps() * y.series();
    let (cubes, dim) = y.gpu().one_unit_per(count);
    // SAFETY: both hold `steps * series` elements; units past the last one stop.
    unsafe {
        widen_kernel::launch_unchecked::<F, R>(
            y.gpu().client(),
            cubes,
            dim,
            y.arg(),
            array(output, count),
            count as u32,
        );
    }
}

/// Multiplies a copy by a polynomial or divides it, into a new one.
fn filter<R: Runtime, F: Float + CubeElement>(y: &Buffer<R>, input: &Handle, taps: &Taps, divide: bool) -> Handle {
    if taps.len == 0 {
        return input.clone();
    }
    let (steps, series) = (y.steps(), y.series());
    let output = y.gpu().empty::<F>(steps * series);
    // A step goes round its own loop once and round the inner one a time more than it has taps.
    let stride = (CHUNK / (taps.len + 1)).max(1);
    for first in (0..steps).step_by(stride) {
        let (cubes, dim) = y.gpu().one_unit_per(series);
        // SAFETY: the copies hold `steps * series` elements, `taps` a row of `series` a coefficient. Steps before
        // `first` of the output were written by the launches before, and no lag reaches before the first step.
        unsafe {
            filter_kernel::launch_unchecked::<F, R>(
                y.gpu().client(),
                cubes,
                dim,
                array(input, steps * series),
                array(&output, steps * series),
                array(&taps.handle, taps.len * series),
                series as u32,
                taps.len as u32,
                taps.lag as u32,
                first as u32,
                (first + stride).min(steps) as u32,
                divide,
            );
        }
    }
    output
}

/// Adds the products of the residuals with a copy seen `lag` steps ago to a row of sums.
fn sum<R: Runtime, F: Float + CubeElement>(
    y: &Buffer<R>,
    left: &Handle,
    right: &Handle,
    sums: &Handle,
    row: usize,
    lag: usize,
    skip: usize,
) {
    let (steps, series) = (y.steps(), y.series());
    let rows = sums.clone();
    for first in (skip.max(lag)..steps).step_by(CHUNK) {
        let (cubes, dim) = y.gpu().one_unit_per(series);
        // SAFETY: the copies hold `steps * series` elements and `first` is no less than `lag`; `row` lies inside
        // the sums, which have a row for the squares and one for each coefficient.
        unsafe {
            sum_kernel::launch_unchecked::<F, R>(
                y.gpu().client(),
                cubes,
                dim,
                array(left, steps * series),
                array(right, steps * series),
                array(&rows, (row + 1) * series),
                series as u32,
                row as u32,
                lag as u32,
                first as u32,
                (first + CHUNK).min(steps) as u32,
            );
        }
    }
}

#[cube(launch_unchecked)]
fn widen_kernel<F: Float>(input: &Array<f32>, output: &mut Array<F>, count: u32) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        output[at] = F::cast_from(input[at]);
    }
}

/// `out[t] = in[t] - Σ c[j] past[t - j lag]`, the past being the output's where it divides, else the input's.
#[cube(launch_unchecked)]
fn filter_kernel<F: Float>(
    input: &Array<F>,
    output: &mut Array<F>,
    taps: &Array<F>,
    series: u32,
    count: u32,
    lag: u32,
    first: u32,
    last: u32,
    #[comptime] divide: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        for t in first..last {
            let at = (t * series + s) as usize;
            let mut sum = input[at];
            for j in 0..count {
                let back = (j + 1) * lag;
                if back <= t {
                    let past = ((t - back) * series + s) as usize;
                    let tap = taps[(j * series + s) as usize];
                    if divide {
                        sum -= tap * output[past];
                    } else {
                        sum -= tap * input[past];
                    }
                }
            }
            output[at] = sum;
        }
    }
}

#[cube(launch_unchecked)]
fn sum_kernel<F: Float>(
    left: &Array<F>,
    right: &Array<F>,
    sums: &mut Array<F>,
    series: u32,
    row: u32,
    lag: u32,
    first: u32,
    last: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let to = (row * series + s) as usize;
        let mut sum = sums[to];
        for t in first..last {
            sum += left[(t * series + s) as usize] * right[((t - lag) * series + s) as usize];
        }
        sums[to] = sum;
    }
}
