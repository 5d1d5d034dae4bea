//! A damped Gauss-Newton way down a conditional sum of squares, a unit a series, a place a launch; see the CPU's twin.
#![allow(clippy::too_many_lines)] // a unit's numbers stay in registers: a helper would send them through memory
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::pack::Packed;
use super::place::{Blocks, damped_step, place, pull_back};
use super::sums::{Passes, moment_rows};
use crate::ArmaOrder;
use crate::arima_fit::MAX_BLOCK;
use crate::arima_fit::limits::FARTHEST;
use crate::arima_fit::limits::descent::{LONGEST, MAX_TRIALS, SETTLED};
use crate::gpu::{array, is_number};

/// The sum of squares of a place that has none, or was not reached.
pub(super) const NOWHERE: f32 = 1e37;
/// Share of the sum of squares that a step must still promise in the digits of an `f32`.
const SETTLED_SINGLE: f32 = 1e-4;

/// The ends of all orders' ways, a row a free number of each order after the other, and a row of sums an order.
pub(super) struct Ends {
    pub(super) free: Handle,
    pub(super) sums: Handle,
    /// The first row of each order's free numbers, and how many there are in all.
    pub(super) first: Vec<usize>,
    pub(super) rows: usize,
}

/// One order's ways down of all series of a chunk.
pub(super) struct Descent<'a, R: Runtime> {
    passes: Passes<'a, R>,
    packed: &'a Packed<'a, R>,
    blocks: Blocks,
    count: usize,
    orders: usize,
    trial: Handle,
    coefficients: Handle,
    jacobian: Handle,
    moments: Handle,
    rows: Handle,
    walks: Handle,
}

/// Rows of a way: its damping, its sum of squares, then free numbers, slopes, a triangle of products, the triangle's
/// factor and the step; last the slopes and products by the coefficients.
const DAMPING: usize = 0;
const SUM: usize = 1;
const FREE: usize = 2;

fn way_rows(count: usize) -> usize {
    2 + 4 * count + 3 * (count * (count + 1) / 2)
}

impl<'a, R: Runtime> Descent<'a, R> {
    pub(super) fn new<F: Float + CubeElement>(
        packed: &'a Packed<'a, R>,
        order: ArmaOrder,
        margin: f64,
        of: &Handle,
        orders: usize,
    ) -> Self {
        let (gpu, series, count) = (packed.own.gpu, packed.own.series, order.coefficients());
        Self {
            passes: Passes::new::<F>(packed, order, of, series),
            packed,
            blocks: Blocks::alike(gpu, order, margin),
            count,
            orders,
            trial: gpu.empty_floats(count * series),
            coefficients: gpu.empty_floats(count * series),
            jacobian: gpu.empty_floats(count * count * series),
            moments: gpu.empty_floats(moment_rows(count) * series),
            rows: gpu.empty_floats(way_rows(count) * series),
            walks: gpu.empty::<u32>(series),
        }
    }

    pub(super) fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    fn arg(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.packed.own.series)
    }

    /// Goes down from the better of where the best smaller order ended, with nothing for the coefficient that it lacks,
    /// and of another start where there is one; keeps the end where it is lower than what the ways before it found.
    ///
    /// `parents` are smaller orders, by their place and that of the lacking coefficient.
    pub(super) fn go<F: Float + CubeElement>(
        &self,
        ends: &Ends,
        order_index: usize,
        parents: &[(usize, usize)],
        other: Option<&Handle>,
        is_first_way: bool,
    ) {
        let (gpu, series) = (self.packed.own.gpu, self.packed.own.series);
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
        let parents: Vec<u32> =
            parents.iter().flat_map(|&(parent, at)| [parent as u32, ends.first[parent] as u32, at as u32]).collect();
        let parent_count = parents.len() / 3;
        let nothing = gpu.empty_floats(self.count * series);
        let listed = gpu.upload(&parents);
        let settled = if gpu.has_f64() { SETTLED as f32 } else { SETTLED_SINGLE };
        let starts = usize::from(!parents.is_empty() || other.is_none()) + usize::from(other.is_some());
        for index in 0..=MAX_TRIALS {
            // SAFETY: each array was made with the rows that it is passed with, a parent's rows lie among the ends';
            // units past the last series stop.
            unsafe {
                go_on::launch_unchecked::<F, R>(
                    gpu.client(),
                    cubes.clone(),
                    dim,
                    array(&ends.free, ends.rows * series),
                    array(&ends.sums, self.orders * series),
                    array(&listed, parents.len()),
                    self.arg(other.unwrap_or(&nothing), self.count),
                    self.arg(&self.moments, moment_rows(self.count)),
                    self.arg(&self.trial, self.count),
                    self.arg(&self.coefficients, self.count),
                    self.arg(&self.jacobian, self.count * self.count),
                    self.arg(&self.rows, way_rows(self.count)),
                    self.arg(&self.walks, 1),
                    self.blocks.lengths(),
                    self.blocks.shrink(),
                    series as u32,
                    self.count as u32,
                    parent_count as u32,
                    starts as u32,
                    index as u32,
                    settled,
                );
            }
            if index < MAX_TRIALS {
                self.passes.run::<F>(&self.blocks, &self.coefficients, &self.walks, &self.moments);
            }
        }
        // SAFETY: as above; the order's own rows are among the ends'.
        unsafe {
            keep::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                self.arg(&self.rows, way_rows(self.count)),
                array(&ends.free, ends.rows * series),
                array(&ends.sums, self.orders * series),
                series as u32,
                self.count as u32,
                ends.first[order_index] as u32,
                order_index as u32,
                u32::from(is_first_way),
            );
        }
    }
}

/// Takes what was found at the trial before, and says where to look next.
#[cube(launch_unchecked)]
fn go_on<F: Float>(
    ends: &Array<F>,
    end_sums: &Array<F>,
    parents: &Array<u32>,
    other: &Array<F>,
    moments: &Array<F>,
    trial: &mut Array<F>,
    coefficients: &mut Array<F>,
    jacobian: &mut Array<F>,
    rows: &mut Array<F>,
    walks: &mut Array<u32>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    series: u32,
    count: u32,
    parent_count: u32,
    starts: u32,
    index: u32,
    settled: f32,
) {
    let s = ABSOLUTE_POS;
    let series = series as usize;
    let count = count as usize;
    let mut looks = false;
    if s < series {
        let zero = F::new(0.0f32);
        let slopes = FREE + count;
        let products = slopes + count;
        let factor = products + count * (count + 1) / 2;
        let step = factor + count * (count + 1) / 2;
        let mut held = Array::<u32>::new(comptime!(4 * MAX_BLOCK));
        for i in 0..count {
            held[i] = 0u32;
        }
        if index == 0u32 {
            rows[DAMPING * series + s] = F::new(1e-3f32);
            rows[SUM * series + s] = F::new(NOWHERE);
            for i in 0..count {
                rows[(FREE + i) * series + s] = zero;
            }
            walks[s] = 1u32;
            looks = true;
            if parent_count > 0u32 {
                let mut best = 0u32.runtime();
                for other in 1..parent_count {
                    let own = end_sums[parents[(3 * other) as usize] as usize * series + s];
                    if own < end_sums[parents[(3 * best) as usize] as usize * series + s] {
                        best = other + 0u32;
                    }
                }
                let from = parents[(3 * best + 1) as usize] as usize;
                let lacks = parents[(3 * best + 2) as usize] as usize;
                for i in 0..count {
                    let mut value = zero + zero;
                    if i < lacks {
                        value = ends[(from + i) * series + s];
                    } else if i > lacks {
                        value = ends[(from + i - 1) * series + s];
                    }
                    trial[i * series + s] = value;
                }
            } else {
                for i in 0..count {
                    trial[i * series + s] = other[i * series + s];
                }
            }
        } else if walks[s] == 1u32 {
            let sum = moments[s];
            let before = rows[SUM * series + s];
            let sound = is_number::<F>(sum);
            let better = sound && sum < before;
            // Where nothing is gained the damping grows tenfold, up to a hundred.
            let damping = rows[DAMPING * series + s];
            let mut open = sound && damping < F::new(10.0f32);
            let mut steps_on = sound && damping < F::new(10.0f32);
            if better {
                rows[SUM * series + s] = sum;
                for i in 0..count {
                    rows[(FREE + i) * series + s] = trial[i * series + s];
                }
                for i in 0..count + count * (count + 1) / 2 {
                    rows[(step + count + i) * series + s] = moments[(1 + i) * series + s];
                }
                pull_back::<F>(rows, step + count, slopes, jacobian, lengths, count, series, s, true);
            }
            if index <= starts {
                // Every start is looked at before the way down ends.
                open = index < starts || (rows[SUM * series + s] < F::new(NOWHERE) && count > 0);
                steps_on = index == starts && rows[SUM * series + s] < F::new(NOWHERE) && count > 0;
            } else if better {
                rows[DAMPING * series + s] = F::max(damping * F::new(0.2f32), F::new(1e-6f32));
                open = before - sum > F::cast_from(settled) * sum;
                steps_on = before - sum > F::cast_from(settled) * sum;
            } else {
                rows[DAMPING * series + s] = damping * F::new(10.0f32);
            }
            if steps_on {
                let ridge = F::new(1e-9f32) * rows[SUM * series + s];
                let damping = rows[DAMPING * series + s];
                let positive =
                    damped_step::<F>(rows, products, slopes, factor, step, damping, ridge, &held, count, series, s);
                let mut promised = zero + zero;
                for i in 0..count {
                    let mut by = rows[(step + i) * series + s];
                    if positive == 0u32 || !is_number::<F>(by) {
                        by = zero + zero;
                    }
                    promised -= rows[(slopes + i) * series + s] * by;
                    by = F::min(F::max(by, F::new((0.0 - LONGEST) as f32)), F::new(LONGEST as f32));
                    let to = rows[(FREE + i) * series + s] + by;
                    trial[i * series + s] =
                        F::min(F::max(to, F::new((0.0 - FARTHEST) as f32)), F::new(FARTHEST as f32));
                }
                if index > starts && better {
                    open = promised > F::cast_from(settled) * sum;
                }
            } else if open {
                for i in 0..count {
                    trial[i * series + s] = other[i * series + s];
                }
            }
            open = open && index < MAX_TRIALS as u32;
            looks = open;
            if !open {
                walks[s] = 0u32;
            }
        }
        if looks {
            place::<F>(trial, coefficients, jacobian, lengths, shrink, count, series, s, true);
        }
    }
}

/// Keeps where a way ended.
#[cube(launch_unchecked)]
fn keep<F: Float>(
    rows: &Array<F>,
    ends: &mut Array<F>,
    end_sums: &mut Array<F>,
    series: u32,
    count: u32,
    first: u32,
    order: u32,
    is_first_way: u32,
) {
    let s = ABSOLUTE_POS;
    let series = series as usize;
    if s < series {
        let at = order as usize * series + s;
        let sum = rows[SUM * series + s];
        if is_first_way == 1u32 || sum < end_sums[at] {
            end_sums[at] = sum;
            for i in 0..count as usize {
                ends[(first as usize + i) * series + s] = rows[(FREE + i) * series + s];
            }
        }
    }
}
