//! ARIMA on a device, as many series at a time as their cells have room for: the exact likelihood, the screen of many
//! orders by sums of squares, and the search for the likelihood's top.

use cubecl::prelude::*;
use cubecl::server::Handle;

use self::curvature::Innovations;
use self::prepare::Columns;
use super::{Gpu, RowBuffer, array};
use crate::arima_fit::{ArimaCandidate, ArimaEffort, ArimaFit, ArimaLikelihood, Differencing};
use crate::{ArmaOrder, KernelError};

mod criterion;
mod curvature;
mod descent;
mod filter;
mod filtered;
mod fit;
mod kalman;
mod pack;
mod place;
mod prepare;
mod quadratic;
mod regression;
mod screen;
mod search;
mod short;
mod sides;
mod start;
mod stationary;
mod sums;

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
/// The most coefficients a side of a model that is worked on in registers.
const SHORT: usize = 5;

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
    fn new(differencing: Differencing, order: ArmaOrder, constant: bool) -> Self {
        let shape = differencing.of(&[]);
        Self {
            order,
            differencing,
            constant: constant && shape.may_have_constant(),
            width: order.ar_reach().max(order.ma_reach() + 1),
            carried: shape.carried(),
        }
    }

    fn size(&self) -> usize {
        self.width + self.carried.len()
    }

    /// Floats that a series asks for.
    fn room(&self, steps: usize) -> usize {
        4 * self.width * self.width + 2 * self.size() * self.size() + 3 * steps
    }
}

/// See [`crate::arima_screen`].
pub(crate) fn arima_screen<R: Runtime>(
    y: &RowBuffer<R>,
    differencing: Differencing,
    orders: &[ArmaOrder],
    margin: f64,
    keep: usize,
) -> Result<Vec<Vec<ArimaCandidate>>, KernelError> {
    if y.gpu().has_f64() {
        screen::screen::<R, f64>(y, differencing, orders, margin, keep)
    } else {
        screen::screen::<R, f32>(y, differencing, orders, margin, keep)
    }
}

/// See [`crate::arima_fit()`].
pub(crate) fn arima_fit<R: Runtime>(
    y: &RowBuffer<R>,
    differencing: Differencing,
    starts: &[(usize, &ArimaCandidate)],
    effort: ArimaEffort,
) -> Result<Vec<ArimaFit>, KernelError> {
    if y.gpu().has_f64() {
        fit::fit::<R, f64>(y, differencing, starts, effort)
    } else {
        fit::fit::<R, f32>(y, differencing, starts, effort)
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
    let model = Model::new(differencing, order, constant);
    if y.gpu().has_f64() {
        likelihoods::<R, f64>(y, &model, coefficients)
    } else {
        likelihoods::<R, f32>(y, &model, coefficients)
    }
}

fn likelihoods<R: Runtime, F: Float + CubeElement>(
    y: &RowBuffer<R>,
    model: &Model,
    coefficients: &[f64],
) -> Result<Vec<ArimaLikelihood>, KernelError> {
    let (gpu, count) = (y.gpu(), model.order.coefficients());
    let together = (largest::<R, F>(gpu) / model.room(y.width())).max(1);
    let mut found = Vec::with_capacity(y.count());
    for first in (0..y.count()).step_by(together) {
        let some = first..(first + together).min(y.count());
        let rows = (0..count).flat_map(|i| some.clone().map(move |s| coefficients[s * count + i]));
        let own = gpu.upload_floats(rows);
        let of: Vec<u32> = some.clone().map(|s| s as u32).collect();
        let series = columns(y).take::<F>(&gpu.upload(&of), some.len());
        found.extend(Group::new::<F>(series, model).find::<F>(&own)?);
    }
    Ok(found)
}

fn columns<R: Runtime>(y: &RowBuffer<R>) -> Columns<'_, R> {
    Columns { gpu: y.gpu(), series: y.count(), steps: y.width(), values: y.handle().clone() }
}

/// Floats of the largest piece of memory that what is worked on together may take.
fn largest<R: Runtime, F: Float>(gpu: &Gpu<R>) -> usize {
    gpu.largest_piece() / ROOM / size_of::<F>()
}

/// Series that are worked on together; every row has one value a series.
struct Group<'a, R: Runtime> {
    gpu: &'a Gpu<R>,
    model: &'a Model,
    columns: Columns<'a, R>,
    differenced: Columns<'a, R>,
    /// Both sides of the models multiplied out, as many rows as the state has elements: from lag 1 on, and from lag 0.
    ar: Handle,
    ma: Handle,
    counts: Handle,
    units: Handle,
    sums: Handle,
    /// The state of the series, then that of what a constant makes. After as many elements as the process has come
    /// those that differencing looks back on.
    state: Handle,
}

impl<'a, R: Runtime> Group<'a, R> {
    fn new<F: Float + CubeElement>(columns: Columns<'a, R>, model: &'a Model) -> Self {
        let (gpu, series) = (columns.gpu, columns.series);
        let differenced = columns.differenced::<F>(model.differencing);
        let (counts, units) = columns.measure::<F>(&differenced);
        Self {
            gpu,
            model,
            differenced,
            ar: gpu.empty_floats(model.width * series),
            ma: gpu.empty_floats(model.width * series),
            counts,
            units,
            sums: gpu.empty_floats(SUM_ROWS * series),
            state: gpu.empty_floats(2 * model.size() * series),
            columns,
        }
    }

    fn series(&self) -> usize {
        self.columns.series
    }

    fn rows(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.series())
    }

    /// Filters every series by coefficients, a row each; those with gaps too, where some have them. Innovations go where
    /// they are asked for.
    fn filter<F: Float + CubeElement>(
        &self,
        coefficients: &Handle,
        gapped: bool,
        innovations: Option<&Innovations<'_, R>>,
    ) {
        sides::multiply_out::<R, F>(self, coefficients);
        let covariance = stationary::covariance::<R, F>(self);
        filter::run::<R, F>(self, &covariance, innovations);
        if gapped {
            kalman::run::<R, F>(self, &covariance, innovations);
        }
    }

    /// The first observed step of every series, and whether it has gaps.
    fn begun(&self) -> Result<Vec<(usize, bool)>, KernelError> {
        let counts: Vec<u32> = self.gpu.download(&self.counts, OPERATION)?;
        let row = |row: u32| &counts[row as usize * self.series()..][..self.series()];
        Ok(row(FIRST).iter().zip(row(GAPPED)).map(|(first, gapped)| (*first as usize, *gapped == 1)).collect())
    }

    fn find<F: Float + CubeElement>(&self, coefficients: &Handle) -> Result<Vec<ArimaLikelihood>, KernelError> {
        let begun = self.begun()?;
        self.filter::<F>(coefficients, begun.iter().any(|(_, gapped)| *gapped), None);
        self.collect(&begun)
    }

    /// What a filter found, of series that begin and have gaps as said.
    fn collect(&self, begun: &[(usize, bool)]) -> Result<Vec<ArimaLikelihood>, KernelError> {
        let sums = self.gpu.download_floats(&self.sums, OPERATION)?;
        let state = self.gpu.download_floats(&self.state, OPERATION)?;
        let units = self.gpu.download_floats(&self.units, OPERATION)?;
        let one =
            |(s, &(first, gapped)): (usize, &(usize, bool))| self.likelihood(s, first, gapped, [&sums, &state, &units]);
        Ok(begun.iter().enumerate().map(one).collect())
    }

    /// What was found of one series, its constant at its best.
    fn likelihood(&self, s: usize, first: usize, gapped: bool, [sums, state, units]: [&[f64]; 3]) -> ArimaLikelihood {
        let (series, width, lost) = (self.series(), self.model.width, self.model.carried.len());
        let sum = |row: u32| sums[row as usize * series + s];
        let of = |column: usize, i: usize| state[(column * self.model.size() + i) * series + s];
        let best = if sum(ONES) > 0.0 { sum(CROSS) / sum(ONES) } else { 0.0 };
        let best = if self.model.constant { best } else { 0.0 };
        let counted = self.differenced.steps.saturating_sub(first);
        let mean = if gapped || counted == 0 { 0.0 } else { units[TOTAL as usize * series + s] / counted as f64 };
        let squares = sum(SQUARES) - best * sum(CROSS);
        let own = self.columns.steps - first;
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
