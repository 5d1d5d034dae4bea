//! The screen of many orders on a device: ways down to every order, one after the other, then the exact likelihood where
//! the best end. What is kept of each series comes down at last.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;
use rayon::prelude::*;

use super::criterion::{aicc, log_likelihood, logs};
use super::descent::{Descent, Ends, NOWHERE};
use super::pack::Packed;
use super::place::{Blocks, place_moved};
use super::prepare::Columns;
use super::regression::Products;
use super::short::Short;
use super::{CROSS, FIRST, Group, Model, ONES, SQUARES, SUM_ROWS, TOTAL, columns, largest, sums};
use crate::arima_fit::limits::descent::{BEGIN, COMPETING};
use crate::arima_fit::{ArimaCandidate, Differencing, Ladder};
use crate::gpu::{Gpu, RowBuffer, array};
use crate::{ArmaOrder, KernelError};

const OPERATION: &str = "the ARIMA screen";
/// Criteria of an order: of its model with a constant, where it may have one, and of that without.
const KINDS: usize = 2;

pub(super) fn screen<R: Runtime, F: Float + CubeElement>(
    y: &RowBuffer<R>,
    differencing: Differencing,
    orders: &[ArmaOrder],
    margin: f64,
    keep: usize,
) -> Result<Vec<Vec<ArimaCandidate>>, KernelError> {
    let ladder = Ladder::new(orders);
    let reach = |of: fn(ArmaOrder) -> usize| ladder.orders.iter().map(|order| of(*order)).max().unwrap_or(0);
    let before = reach(ArmaOrder::ar_reach);
    let keep = keep.min(KINDS * ladder.orders.len());
    let steps = before + y.width();
    let of_order = |order: &ArmaOrder| {
        let model = Model::new(differencing, *order, true);
        let exact = if Short::<R>::fits(*order, steps) { 0 } else { model.room(steps) };
        sums::room(*order, steps).max(exact)
    };
    let kept = keep * (2 + reach(ArmaOrder::coefficients));
    let ends: usize = ladder.orders.iter().map(|order| order.coefficients() + KINDS).sum();
    let room = ladder.orders.iter().map(of_order).max().unwrap_or(0).max(steps).max(kept).max(ends);
    let together = (largest::<R, F>(y.gpu()) / room).max(1);
    let mut found = Vec::with_capacity(y.count());
    for first in (0..y.count()).step_by(together) {
        let of: Vec<u32> = (first as u32..(first + together).min(y.count()) as u32).collect();
        let seen = columns(y).take::<F>(&y.gpu().upload(&of), of.len());
        let packed = Packed::new::<F>(&seen, differencing, before);
        drop(seen);
        let places: Vec<u32> = (0..of.len() as u32).collect();
        let of = y.gpu().upload(&places);
        let screen = Screen { packed: &packed, differencing, ladder: &ladder, margin, of };
        found.extend(screen.run::<F>(keep)?);
    }
    Ok(found)
}

/// The series that are screened together.
struct Screen<'a, R: Runtime> {
    packed: &'a Packed<'a, R>,
    differencing: Differencing,
    ladder: &'a Ladder,
    margin: f64,
    of: Handle,
}

impl<R: Runtime> Screen<'_, R> {
    fn gpu(&self) -> &Gpu<R> {
        self.packed.own.gpu
    }

    fn series(&self) -> usize {
        self.packed.own.series
    }

    fn rows(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.series())
    }

    fn run<F: Float + CubeElement>(&self, keep: usize) -> Result<Vec<Vec<ArimaCandidate>>, KernelError> {
        let ends = self.descend::<F>();
        let criteria = self.criteria::<F>(&ends);
        self.pick::<F>(&ends, &criteria, keep)
    }

    /// Goes down to every order.
    fn descend<F: Float + CubeElement>(&self) -> Ends {
        let orders = &self.ladder.orders;
        let mut rows = 0;
        let first = orders.iter().map(|order| {
            rows += order.coefficients();
            rows - order.coefficients()
        });
        let first = first.collect();
        let ends = Ends {
            free: self.gpu().empty_floats(rows * self.series()),
            sums: self.gpu().empty_floats(orders.len() * self.series()),
            first,
            rows,
        };
        let reach = orders.iter().map(|order| order.longest_lag()).max().unwrap_or(0);
        let season = orders.iter().map(|order| order.season).max().unwrap_or(1);
        let products = Products::new::<F>(self.packed, reach, season);
        for (index, (order, parents)) in orders.iter().zip(&self.ladder.parents).enumerate() {
            let descent = Descent::new::<F>(self.packed, *order, self.margin, &self.of, orders.len());
            if order.ma + order.seasonal_ma == 0 || order.coefficients() < 2 {
                descent.go::<F>(&ends, index, parents, None, true);
                continue;
            }
            let regressed = products.start::<F>(*order, descent.blocks());
            if self.ladder.thorough {
                for (way, parent) in parents.iter().enumerate() {
                    descent.go::<F>(&ends, index, &[*parent], None, way == 0);
                }
                descent.go::<F>(&ends, index, &[], Some(&regressed), parents.is_empty());
            } else {
                descent.go::<F>(&ends, index, parents, Some(&regressed), true);
            }
        }
        ends
    }

    /// Akaike's corrected criterion of every order's models.
    fn criteria<F: Float + CubeElement>(&self, ends: &Ends) -> Handle {
        let (gpu, series, orders) = (self.gpu(), self.series(), &self.ladder.orders);
        let criteria = gpu.empty_floats(KINDS * orders.len() * series);
        let near = gpu.empty::<u32>(series);
        let counts: Vec<u32> = orders.iter().map(|order| order.coefficients() as u32).collect();
        let best = gpu.empty_floats(series);
        let steps = (self.packed.own.steps - self.packed.before) as u32;
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return criteria };
        // SAFETY: each array was made with the rows that it is passed with; units past the last series stop.
        unsafe {
            lowest::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                self.rows(&ends.sums, orders.len()),
                self.packed.counts(),
                array(&gpu.upload(&counts), counts.len()),
                self.rows(&best, 1),
                series as u32,
                steps,
                orders.len() as u32,
            );
        }
        for (index, order) in orders.iter().enumerate() {
            // SAFETY: as above.
            unsafe {
                compete::launch_unchecked::<F, R>(
                    gpu.client(),
                    cubes.clone(),
                    dim,
                    self.rows(&ends.sums, orders.len()),
                    self.packed.counts(),
                    self.rows(&best, 1),
                    self.rows(&near, 1),
                    self.rows(&criteria, KINDS * orders.len()),
                    series as u32,
                    steps,
                    index as u32,
                    order.coefficients() as u32,
                    u32::from(self.ladder.thorough),
                    u32::from(self.may_have_constant()),
                );
            }
            let sums = self.exact::<F>(*order, ends, ends.first[index], &near);
            // SAFETY: as above.
            unsafe {
                score::launch_unchecked::<F, R>(
                    gpu.client(),
                    cubes.clone(),
                    dim,
                    self.rows(&sums, SUM_ROWS),
                    self.packed.counts(),
                    self.packed.units(),
                    self.rows(&near, 1),
                    self.rows(&criteria, KINDS * orders.len()),
                    series as u32,
                    steps,
                    index as u32,
                    order.coefficients() as u32,
                    self.may_have_constant(),
                    self.differencing.of(&[]).lost_steps() > 0,
                );
            }
        }
        criteria
    }

    fn may_have_constant(&self) -> bool {
        self.differencing.of(&[]).may_have_constant()
    }

    /// Sums of the exact likelihood where an order's ways ended.
    fn exact<F: Float + CubeElement>(&self, order: ArmaOrder, ends: &Ends, row: usize, near: &Handle) -> Handle {
        let (gpu, series, count) = (self.gpu(), self.series(), order.coefficients());
        let coefficients = gpu.empty_floats(count * series);
        let blocks = Blocks::alike(gpu, order, self.margin);
        let (cubes, dim) = gpu.one_unit_per(series);
        // SAFETY: the order's rows are among the ends', and there is a row a coefficient; units past the last series
        // stop.
        unsafe {
            ended::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                array(&ends.free, ends.rows * series),
                array(&coefficients, count * series),
                blocks.lengths(),
                blocks.shrink(),
                series as u32,
                row as u32,
                count as u32,
            );
        }
        if Short::<R>::fits(order, self.packed.own.steps) {
            let sums = gpu.empty_floats(SUM_ROWS * series);
            let short = Short::new(self.packed, order, self.may_have_constant(), &self.of, series, 1);
            short.run::<F>(&blocks, &coefficients, near, &sums, None, None);
            return sums;
        }
        let model = Model::new(self.differencing, order, true);
        let filled = Columns { values: self.packed.filled.values.clone(), ..self.packed.filled };
        let group = Group::new::<F>(filled, &model);
        group.filter::<F>(&coefficients, false, None);
        group.sums
    }

    /// The best models of every series, brought to the host.
    fn pick<F: Float + CubeElement>(
        &self,
        ends: &Ends,
        criteria: &Handle,
        keep: usize,
    ) -> Result<Vec<Vec<ArimaCandidate>>, KernelError> {
        let (gpu, series, orders) = (self.gpu(), self.series(), &self.ladder.orders);
        let most = orders.iter().map(|order| order.coefficients()).max().unwrap_or(0);
        let picked = gpu.empty::<u32>(keep * series);
        let best = gpu.empty_floats(keep * (1 + most) * series);
        let layout: Vec<u32> = orders
            .iter()
            .zip(&ends.first)
            .flat_map(|(order, &row)| [row as u32, order.coefficients() as u32])
            .collect();
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return Ok(Vec::new()) };
        // SAFETY: each array was made with the rows that it is passed with; units past the last series stop.
        unsafe {
            choose::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                self.rows(criteria, KINDS * orders.len()),
                array(&ends.free, ends.rows * series),
                array(&gpu.upload(&layout), layout.len()),
                array(&picked, keep * series),
                array(&best, keep * (1 + most) * series),
                series as u32,
                (KINDS * orders.len()) as u32,
                keep as u32,
                most as u32,
            );
        }
        let picked: Vec<u32> = gpu.download(&picked, OPERATION)?;
        let best = gpu.download_floats(&best, OPERATION)?;
        let one = |s: usize, rank: usize| {
            let kind = *picked.get(rank * series + s)? as usize;
            let order = *orders.get(kind / KINDS)?;
            let at = |i: usize| best[(rank * (1 + most) + i) * series + s];
            let free = (1..=order.coefficients()).map(at).collect();
            Some(ArimaCandidate { order, margin: self.margin, constant: kind.is_multiple_of(KINDS), aicc: at(0), free })
        };
        Ok((0..series).into_par_iter().map(|s| (0..keep).map_while(|rank| one(s, rank)).collect()).collect())
    }
}

/// Steps of a series once differenced.
#[cube]
fn observed<F: Float>(counts: &Array<u32>, steps: u32, series: u32, s: u32) -> F {
    let begun = counts[(FIRST * series + s) as usize];
    F::cast_from(u32::max(steps, begun) - begun)
}

/// The criterion of an order's sum of squares.
#[cube]
fn of_sum<F: Float>(sum: F, observed: F, count: u32) -> F {
    let likelihood = log_likelihood::<F>(observed, sum, F::new(0.0f32));
    aicc::<F>(likelihood, observed, F::cast_from(count + 1), F::new(NOWHERE))
}

/// The lowest criterion of a sum of squares.
#[cube(launch_unchecked)]
fn lowest<F: Float>(
    sums: &Array<F>,
    counts: &Array<u32>,
    coefficients: &Array<u32>,
    best: &mut Array<F>,
    series: u32,
    steps: u32,
    orders: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let observed = observed::<F>(counts, steps, series, s);
        let mut lowest = F::new(NOWHERE);
        for order in 0..orders {
            let sum = sums[(order * series + s) as usize];
            if sum < F::new(NOWHERE) {
                lowest = F::min(lowest, of_sum::<F>(sum, observed, coefficients[order as usize]));
            }
        }
        best[s as usize] = lowest;
    }
}

/// Which series an order comes near the best of; of the others its sum's criterion stands.
#[cube(launch_unchecked)]
fn compete<F: Float>(
    sums: &Array<F>,
    counts: &Array<u32>,
    best: &Array<F>,
    near: &mut Array<u32>,
    criteria: &mut Array<F>,
    series: u32,
    steps: u32,
    order: u32,
    count: u32,
    thorough: u32,
    may_have_constant: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let nowhere = F::new(NOWHERE);
        let sum = sums[(order * series + s) as usize];
        let mut criterion = nowhere + F::new(0.0f32);
        if sum < nowhere {
            criterion = of_sum::<F>(sum, observed::<F>(counts, steps, series, s), count);
        }
        let mut is_near = 0u32;
        let mut with = nowhere + F::new(0.0f32);
        let mut without = nowhere + F::new(0.0f32);
        if thorough == 1u32 || criterion <= best[s as usize] + F::new(COMPETING as f32) {
            is_near = 1u32;
        } else if may_have_constant == 1u32 {
            with = criterion + F::new(0.0f32);
        } else {
            without = criterion + F::new(0.0f32);
        }
        near[s as usize] = is_near;
        criteria[(2 * order * series + s) as usize] = with;
        criteria[((2 * order + 1) * series + s) as usize] = without;
    }
}

/// The coefficients where an order's ways ended.
#[cube(launch_unchecked)]
fn ended<F: Float>(
    ends: &Array<F>,
    coefficients: &mut Array<F>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    series: u32,
    row: u32,
    count: u32,
) {
    let s = ABSOLUTE_POS;
    let series = series as usize;
    if s < series {
        let none = count as usize;
        let zero = F::new(0.0f32);
        place_moved::<F>(ends, row as usize, coefficients, lengths, shrink, none, zero, series, s, series, s, true);
    }
}

/// The criteria of the exact likelihood with and without a constant.
#[cube(launch_unchecked)]
fn score<F: Float>(
    sums: &Array<F>,
    counts: &Array<u32>,
    units: &Array<F>,
    near: &Array<u32>,
    criteria: &mut Array<F>,
    series: u32,
    steps: u32,
    order: u32,
    count: u32,
    #[comptime] may_have_constant: bool,
    #[comptime] differenced: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series && near[s as usize] == 1u32 {
        let observed = observed::<F>(counts, steps, series, s);
        let nowhere = F::new(NOWHERE);
        let logs = logs::<F>(sums, series as usize, s as usize);
        let mut squares = sums[(SQUARES * series + s) as usize];
        let mut with = nowhere + F::new(0.0f32);
        if may_have_constant {
            let cross = sums[(CROSS * series + s) as usize];
            let ones = sums[(ONES * series + s) as usize];
            let left = squares - cross * cross / ones;
            with = aicc::<F>(log_likelihood::<F>(observed, left, logs), observed, F::cast_from(count + 2), nowhere);
            let mean = units[(TOTAL * series + s) as usize] / observed;
            squares += mean * (F::new(2.0f32) * cross + mean * ones);
        }
        let mut without = nowhere + F::new(0.0f32);
        if differenced {
            let likelihood = log_likelihood::<F>(observed, squares, logs);
            without = aicc::<F>(likelihood, observed, F::cast_from(count + 1), nowhere);
        }
        criteria[(2 * order * series + s) as usize] = with;
        criteria[((2 * order + 1) * series + s) as usize] = without;
    }
}

/// Brings the best of each series to the front: which they are, their criterion and their free numbers.
#[cube(launch_unchecked)]
fn choose<F: Float>(
    criteria: &Array<F>,
    ends: &Array<F>,
    layout: &Array<u32>,
    picked: &mut Array<u32>,
    best: &mut Array<F>,
    series: u32,
    kinds: u32,
    keep: u32,
    most: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let mut last = F::new(0.0f32 - NOWHERE);
        let mut last_kind = 0u32.runtime();
        for rank in 0..keep {
            let mut lowest = F::new(NOWHERE);
            let mut chosen = kinds + 0u32;
            for kind in 0..kinds {
                let own = criteria[(kind * series + s) as usize];
                let is_left = own > last || (own == last && kind > last_kind);
                if is_left && own < lowest {
                    lowest = own + F::new(0.0f32);
                    chosen = kind + 0u32;
                }
            }
            picked[(rank * series + s) as usize] = chosen;
            if chosen < kinds {
                last = lowest + F::new(0.0f32);
                last_kind = chosen + 0u32;
                best[(rank * (1 + most) * series + s) as usize] = lowest;
                let row = layout[(chosen / 2 * 2) as usize];
                for i in 0..layout[(chosen / 2 * 2 + 1) as usize] {
                    let free = ends[((row + i) * series + s) as usize];
                    best[((rank * (1 + most) + 1 + i) * series + s) as usize] =
                        F::min(F::max(free, F::new((0.0 - BEGIN) as f32)), F::new(BEGIN as f32));
                }
            } else {
                last = F::new(NOWHERE);
            }
        }
    }
}
