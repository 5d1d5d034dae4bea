//! The exact likelihood of ARIMA models on a device, as many series at a time as their cells have room for.

use std::ops::Range;

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Gpu, RowBuffer, array};
use crate::arima_fit::{ArimaLikelihood, Differencing};
use crate::{ArmaOrder, KernelError};

mod filter;
mod kalman;
mod prepare;
mod stationary;

/// Share of the largest piece of a device's memory that the series worked on together may take.
const ROOM: usize = 4;
const OPERATION: &str = "the ARIMA likelihood";
/// Rows of counters: the first observed step, the observed ones, and one where some after the first are not.
const FIRST: u32 = 0;
const OBSERVED: u32 = 1;
const GAPPED: u32 = 2;
const COUNT_ROWS: usize = 3;
/// Rows of a series' unit: its first observation, and the sum of it differenced.
const ORIGIN: u32 = 0;
const TOTAL: u32 = 1;
const UNIT_ROWS: usize = 2;
/// Rows of sums: squared innovations over their variances, those of the series with what a constant makes, and of that
/// alone; the variances' logarithms, the innovations counted, and the product of the variances since the last logarithm.
const SQUARES: u32 = 0;
const CROSS: u32 = 1;
const ONES: u32 = 2;
const LOGS: u32 = 3;
const COUNTED: u32 = 4;
const PRODUCT: u32 = 5;
const SUM_ROWS: usize = 6;
/// A product of variances is told by its logarithm from here on.
const FAR: f32 = 1e9;

/// What the models of a batch have in common.
struct Model {
    order: ArmaOrder,
    differencing: Differencing,
    constant: bool,
    /// Elements of the ARMA process' state.
    width: usize,
    /// Weights of the steps before in the sum that differencing subtracts, the latest first.
    carried: Vec<f64>,
}

impl Model {
    fn size(&self) -> usize {
        self.width + self.carried.len()
    }

    /// Floats that a series asks for.
    fn room(&self, steps: usize) -> usize {
        4 * self.width * self.width + 2 * self.size() * self.size() + 3 * steps
    }
}

/// See [`crate::arima_likelihood()`].
pub(crate) fn arima_likelihood<R: Runtime>(
    y: &RowBuffer<R>,
    differencing: Differencing,
    order: ArmaOrder,
    coefficients: &[f64],
    constant: bool,
) -> Result<Vec<ArimaLikelihood>, KernelError> {
    let shape = differencing.of(&[]);
    let model = Model {
        order,
        differencing,
        constant: constant && shape.may_have_constant(),
        width: order.ar_reach().max(order.ma_reach() + 1),
        carried: shape.carried(),
    };
    let float = if y.gpu().has_f64() { size_of::<f64>() } else { size_of::<f32>() };
    let together = (y.gpu().largest_piece() / ROOM / float / model.room(y.width())).max(1);
    let mut found = Vec::with_capacity(y.count());
    for first in (0..y.count()).step_by(together) {
        let some = first..(first + together).min(y.count());
        let own = &coefficients[some.start * order.coefficients()..some.end * order.coefficients()];
        let group = Group::new(y, &model, some, own);
        found.extend(if y.gpu().has_f64() { group.find::<f64>(y)? } else { group.find::<f32>(y)? });
    }
    Ok(found)
}

/// Series that are worked on together; every row has one value a series.
struct Group<'a, R: Runtime> {
    gpu: &'a Gpu<R>,
    model: &'a Model,
    some: Range<usize>,
    steps: usize,
    /// Both sides of the models multiplied out, as many rows as the state has elements: from lag 1 on, and from lag 0.
    ar: Handle,
    ma: Handle,
    values: Handle,
    counts: Handle,
    units: Handle,
    sums: Handle,
    /// The state of the series, then that of what a constant makes. After as many elements as the process has come
    /// those that differencing looks back on.
    state: Handle,
}

impl<'a, R: Runtime> Group<'a, R> {
    fn new(y: &'a RowBuffer<R>, model: &'a Model, some: Range<usize>, coefficients: &[f64]) -> Self {
        let (gpu, series, width) = (y.gpu(), some.len(), model.width);
        let (mut ar, mut ma) = (vec![0.0; width * series], vec![0.0; width * series]);
        ma[..series].fill(1.0);
        for s in 0..series {
            let count = model.order.coefficients();
            let (left, right) = model.order.multiplied_out(&coefficients[s * count..][..count]);
            left.iter().enumerate().for_each(|(i, tap)| ar[i * series + s] = *tap);
            right.iter().enumerate().for_each(|(i, tap)| ma[(1 + i) * series + s] = *tap);
        }
        Self {
            gpu,
            model,
            steps: y.width(),
            ar: gpu.upload_floats(ar.into_iter()),
            ma: gpu.upload_floats(ma.into_iter()),
            values: gpu.empty_floats(y.width() * series),
            counts: gpu.empty::<u32>(COUNT_ROWS * series),
            units: gpu.empty_floats(UNIT_ROWS * series),
            sums: gpu.empty_floats(SUM_ROWS * series),
            state: gpu.empty_floats(2 * model.size() * series),
            some,
        }
    }

    fn series(&self) -> usize {
        self.some.len()
    }

    /// Steps of the series once differenced.
    fn differenced_steps(&self) -> usize {
        self.steps.saturating_sub(self.model.carried.len())
    }

    fn rows(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.series())
    }

    fn find<F: Float + CubeElement>(&self, y: &RowBuffer<R>) -> Result<Vec<ArimaLikelihood>, KernelError> {
        let differenced = prepare::prepare::<R, F>(self, y);
        let covariance = stationary::covariance::<R, F>(self);
        filter::run::<R, F>(self, &differenced, &covariance);
        let counts: Vec<u32> = self.gpu.download(&self.counts, OPERATION)?;
        let row = |row: u32| &counts[row as usize * self.series()..][..self.series()];
        let (first, gapped) = (row(FIRST), row(GAPPED));
        if gapped.contains(&1) {
            kalman::run::<R, F>(self, &covariance);
        }
        let sums = self.gpu.download_floats(&self.sums, OPERATION)?;
        let state = self.gpu.download_floats(&self.state, OPERATION)?;
        let units = self.gpu.download_floats(&self.units, OPERATION)?;
        let one = |s: usize| self.likelihood(s, first[s] as usize, gapped[s] == 1, [&sums, &state, &units]);
        Ok((0..self.series()).map(one).collect())
    }

    /// What was found of one series, its constant at its best.
    fn likelihood(&self, s: usize, first: usize, gapped: bool, [sums, state, units]: [&[f64]; 3]) -> ArimaLikelihood {
        let (series, width, lost) = (self.series(), self.model.width, self.model.carried.len());
        let sum = |row: u32| sums[row as usize * series + s];
        let of = |column: usize, i: usize| state[(column * self.model.size() + i) * series + s];
        let best = if sum(ONES) > 0.0 { sum(CROSS) / sum(ONES) } else { 0.0 };
        let best = if self.model.constant { best } else { 0.0 };
        let counted = self.differenced_steps().saturating_sub(first);
        let mean = if gapped || counted == 0 { 0.0 } else { units[TOTAL as usize * series + s] / counted as f64 };
        let squares = sum(SQUARES) - best * sum(CROSS);
        let own = self.steps - first;
        let shape = self.model.differencing.of(&[]);
        let looked_back = |i: usize| {
            let column = shape.constant_column(own as f64 - 1.0 - i as f64);
            units[ORIGIN as usize * series + s] + of(0, width + i) - best * (of(1, width + i) - column)
        };
        let tail = if gapped {
            (0..lost).map(looked_back).collect()
        } else {
            (0..lost.min(own)).map(|i| of(0, width + i)).collect()
        };
        // Nothing is known of a diffuse start in the digits of an `f32`.
        let unknown = gapped && lost > 0 && !self.gpu.has_f64();
        ArimaLikelihood {
            observed: sum(COUNTED) as usize,
            squares: if unknown { f64::NAN } else { squares.max(0.0) },
            logs: sum(LOGS) + sum(PRODUCT).ln(),
            constant: self.model.constant.then_some(best + if self.model.constant { mean } else { 0.0 }),
            state: (0..width).map(|i| of(0, i) - best * of(1, i)).collect(),
            tail,
        }
    }
}
