//! Sums of many series over their steps, one unit a series: each value is read once and meets every column there.
#![allow(clippy::collapsible_if)] // what is known when a kernel is compiled stands apart from what is not
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a unit's sums stay in registers: a helper would send them through memory

use cubecl::prelude::*;

use super::products::Terms;
use super::{Buffer, CHUNK, RowBuffer, is_nan, is_number};
use crate::KernelError;

/// Columns whose sums a unit holds at once: with their coefficients, most of the registers it has.
const MOST_COLUMNS: usize = 40;

/// Columns of which a unit has room for two steps' values: those need not wait for each other.
const FEW_COLUMNS: usize = 16;

/// Steps that a value is asked for before it is needed.
const AHEAD: usize = 4;

/// See [`crate::regression::row_moments`].
pub(crate) fn row_moments<R: Runtime>(y: &RowBuffer<R>) -> Result<RowBuffer<R>, KernelError> {
    let gpu = y.gpu();
    let moments = RowBuffer::empty(gpu, y.count(), 2)?;
    let Some((cubes, dim)) = gpu.one_unit_per_any(y.count()) else { return Ok(moments) };
    for first in (0..y.width().max(1)).step_by(CHUNK) {
        let last = (first + CHUNK).min(y.width());
        let (y, moments) = (y.arg(), moments.arg());
        let (cubes, first, last) = (cubes.clone(), first as u32, last as u32);
        // SAFETY: `moments` holds two rows of one value a row of `y`, which has `last` of them or more; units past the
        // last row stop.
        unsafe {
            if gpu.has_f64() {
                moments_kernel::launch_unchecked::<f64, R>(gpu.client(), cubes, dim, y, moments, first, last);
            } else {
                moments_kernel::launch_unchecked::<f32, R>(gpu.client(), cubes, dim, y, moments, first, last);
            }
        }
    }
    gpu.accepted("moments")?;
    Ok(moments)
}

/// See [`crate::regression::scaled_start`].
pub(crate) fn scaled_start<R: Runtime>(
    x: &Terms<R>,
    y: &Buffer<R>,
) -> Result<(RowBuffer<R>, RowBuffer<R>), KernelError> {
    let scale = RowBuffer::empty(x.gpu(), x.series(), 1)?;
    let start = RowBuffer::empty(x.gpu(), x.series(), x.order())?;
    if x.gpu().has_f64() {
        launch_start::<R, f64>(x, y, &scale, &start)?;
    } else {
        launch_start::<R, f32>(x, y, &scale, &start)?;
    }
    x.gpu().accepted("scales")?;
    Ok((scale, start))
}

fn launch_start<R: Runtime, F: Float>(
    x: &Terms<R>,
    y: &Buffer<R>,
    scale: &RowBuffer<R>,
    start: &RowBuffer<R>,
) -> Result<(), KernelError> {
    let gpu = x.gpu();
    let Some((cubes, dim)) = gpu.one_unit_per_any(x.series()) else { return Ok(()) };
    let sums = RowBuffer::empty(gpu, x.series(), 2)?;
    for first in (0..x.steps().max(1)).step_by(CHUNK) {
        let last = (first + CHUNK).min(x.steps());
        // SAFETY: `y` was checked to hold one value a step and series; `sums` holds two rows, `start` an order's,
        // `scale` one, of one value a series; the terms are what `Terms::upload` made them with. Units past the last
        // series stop.
        unsafe {
            start_kernel::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                x.observed(),
                x.layout_of(),
                y.arg(),
                sums.arg(),
                scale.arg(),
                start.arg(),
                x.layouts() as u32,
                x.order() as u32,
                first as u32,
                last as u32,
                u32::from(last == x.steps()),
                f32::NAN,
            );
        }
    }
    Ok(())
}

/// See [`crate::regression::scaled_sums`].
pub(crate) fn scaled_sums<R: Runtime>(
    x: &Terms<R>,
    y: &Buffer<R>,
    scale: &RowBuffer<R>,
    about: &RowBuffer<R>,
) -> Result<(RowBuffer<R>, RowBuffer<R>), KernelError> {
    let sums = Sums::new(x)?;
    if x.gpu().has_f64() {
        sums.launch::<f64, f32>(x, || y.arg(), Some((scale, about)))?;
    } else {
        sums.launch::<f32, f32>(x, || y.arg(), Some((scale, about)))?;
    }
    x.gpu().accepted("scaled sums")?;
    Ok((sums.moments, sums.cross))
}

/// What the values of series are added up to.
pub(super) struct Sums<R: Runtime> {
    pub(super) moments: RowBuffer<R>,
    pub(super) cross: RowBuffer<R>,
}

impl<R: Runtime> Sums<R> {
    pub(super) fn new(x: &Terms<R>) -> Result<Self, KernelError> {
        let rows = |width| RowBuffer::empty(x.gpu(), x.series(), width);
        Ok(Self { moments: rows(2)?, cross: rows(x.order())? })
    }

    /// Adds up values, or where a scale and coefficients are given what these leave of them.
    pub(super) fn launch<F: Float, Y: Float>(
        &self,
        x: &Terms<R>,
        y: impl Fn() -> ArrayArg<R>,
        about: Option<(&RowBuffer<R>, &RowBuffer<R>)>,
    ) -> Result<(), KernelError> {
        let gpu = x.gpu();
        if x.series() == 0 {
            return Ok(());
        }
        // Small cubes: a unit takes so many registers that few large ones find room beside each other.
        let dim = CubeDim::new_1d(gpu.client().properties().hardware.max_units_per_cube.min(64));
        let cubes = cubecl::calculate_cube_count_elemwise(gpu.client(), x.series(), dim);
        let (steps, shared) = (x.steps(), x.shared());
        let carry = RowBuffer::empty(gpu, x.series(), 2)?;
        let none = RowBuffer::empty(gpu, 1, 1)?;
        let (scale, factors) = about.unwrap_or((&none, &none));
        let whole = shared <= MOST_COLUMNS;
        // Columns that are not held are gone through at each step.
        let chunk = (CHUNK / if whole { 1 } else { shared + 1 }).max(1);
        for from in (0..shared).step_by(MOST_COLUMNS) {
            let width = (shared - from).min(MOST_COLUMNS);
            // From the last step back, as hinges are summed; of no steps at all, sums of nothing.
            for first in (0..steps.max(1)).step_by(chunk).rev() {
                let last = (first + chunk).min(steps);
                // SAFETY: `y` was checked to hold one value a step and series; `cross` and `factors` hold an order's
                // rows, `moments` and `carry` two, `scale` one, of one value a series; `scale` and `factors` are not
                // read where there are none. The terms are what `Terms::upload` made them with, knots on the grid.
                // Units past the last series stop.
                unsafe {
                    sums_kernel::launch_unchecked::<F, Y, R>(
                        gpu.client(),
                        cubes.clone(),
                        dim,
                        x.columns(),
                        x.knots(),
                        x.observed(),
                        x.layout_of(),
                        y(),
                        scale.arg(),
                        factors.arg(),
                        self.cross.arg(),
                        self.moments.arg(),
                        carry.arg(),
                        x.layouts() as u32,
                        x.hinges() as u32,
                        first as u32,
                        last as u32,
                        steps as u32,
                        f32::NAN,
                        shared,
                        from,
                        width,
                        about.is_some(),
                        if width <= FEW_COLUMNS { 2 } else { 1 },
                    );
                }
            }
        }
        Ok(())
    }
}

#[cube(launch_unchecked)]
fn moments_kernel<F: Float>(y: &Array<F>, moments: &mut Array<F>, first: u32, last: u32) {
    let s = ABSOLUTE_POS;
    let rows = moments.len() / 2;
    if s < rows {
        let mut count = F::new(0.0f32);
        let mut square = F::new(0.0f32);
        if first > 0 {
            count = moments[s];
            square = moments[rows + s];
        }
        for t in first..last {
            let value = y[t as usize * rows + s];
            if !is_nan::<F>(value) {
                count += F::new(1.0f32);
                square += value * value;
            }
        }
        moments[s] = count;
        moments[rows + s] = square;
    }
}

/// The largest value's magnitude, and with the last step the mean beside it.
#[cube(launch_unchecked)]
fn start_kernel<F: Float>(
    observed: &Array<u32>,
    layout_of: &Array<u32>,
    y: &Array<f32>,
    sums: &mut Array<F>,
    scale: &mut Array<F>,
    start: &mut Array<F>,
    layouts: u32,
    order: u32,
    first: u32,
    last: u32,
    ends: u32,
    missing: f32,
) {
    let s = ABSOLUTE_POS;
    let series = layout_of.len();
    if s < series {
        let zero = F::new(0.0f32);
        let layout = layout_of[s];
        let mut most = zero + zero;
        let mut sum = zero + zero;
        let mut count = zero + zero;
        if first > 0 {
            most = scale[s];
            sum = sums[s];
            count = sums[series + s];
        }
        for t in first..last {
            let value = y[t as usize * series + s];
            if observed[(t * layouts + layout) as usize] == 1 && !value.is_nan() {
                let wide = F::cast_from(value);
                most = max(most, wide.abs());
                sum += wide;
                count += F::new(1.0f32);
            }
        }
        sums[s] = sum;
        sums[series + s] = count;
        if ends == 1 {
            let mut mean = zero + zero;
            if most > zero {
                mean = sum / most / count;
            } else {
                most = F::new(1.0f32);
            }
            if !is_number::<F>(most) || !is_number::<F>(mean) {
                most = F::cast_from(missing);
                mean = F::cast_from(missing);
            }
            start[s] = mean;
            for i in 1..order {
                start[i as usize * series + s] = zero;
            }
        }
        scale[s] = most;
    }
}

/// The step so many before one, but none before `first`.
#[cube]
fn before(step: u32, steps: u32, first: u32) -> usize {
    let mut at = first + 0;
    if step >= first + steps {
        at = step - steps;
    }
    at as usize
}

/// Steps `first..last` of the sums with `width` shared columns after `from`, and with the hinges where that is 0.
///
/// Going back, with `d` the time from one step to the next, a hinge's product with what comes after its knot grows by
/// `d` times the sum of it: one addition a step for all hinges at once. What is fitted to a step is two numbers of the
/// line that its hinges bend.
#[cube(launch_unchecked)]
fn sums_kernel<F: Float, Y: Float>(
    columns: &Array<F>,
    knots: &Array<u32>,
    observed: &Array<u32>,
    layout_of: &Array<u32>,
    y: &Array<Y>,
    scale: &Array<F>,
    factors: &Array<F>,
    cross: &mut Array<F>,
    moments: &mut Array<F>,
    carry: &mut Array<F>,
    layouts: u32,
    hinges: u32,
    first: u32,
    last: u32,
    steps: u32,
    missing: f32,
    #[comptime] shared: usize,
    #[comptime] from: usize,
    #[comptime] width: usize,
    #[comptime] residual: bool,
    #[comptime] together: usize,
) {
    let s = ABSOLUTE_POS;
    let series = layout_of.len();
    if s < series {
        let zero = F::new(0.0f32);
        let layout = layout_of[s];
        let mut sums = Array::<F>::new(width);
        let mut own = Array::<F>::new(width);
        #[unroll]
        for i in 0..width {
            sums[i] = zero;
            if last < steps {
                sums[i] = cross[(from + i) * series + s];
            }
            if residual {
                own[i] = factors[(from + i) * series + s];
            }
        }
        let mut total = zero + zero;
        let mut area = zero + zero;
        let mut count = zero + zero;
        let mut square = zero + zero;
        let mut later = zero + zero;
        if last < steps {
            total = carry[s];
            area = carry[series + s];
            count = moments[s];
            square = moments[series + s];
            later = columns[last as usize * shared + 1];
        }
        // Hinges whose knots lie after these steps are summed already, and the line is not bent by them yet.
        let mut ahead = hinges + 0;
        let mut passing = true;
        while ahead > 0 && passing {
            passing = knots[((ahead - 1) * layouts + layout) as usize] >= last;
            if passing {
                ahead -= 1u32;
            }
        }
        let mut slope = zero + zero;
        let mut offset = zero + zero;
        let mut share = zero + zero;
        if residual {
            share = F::new(1.0f32) / scale[s];
            for j in 0..ahead {
                let bend = factors[(shared + j as usize) * series + s];
                slope += bend;
                offset -= bend * columns[knots[(j * layouts + layout) as usize] as usize * shared + 1];
            }
        }
        // From knot to knot the line does not bend; a hinge's sum is told at its knot, before the value there.
        let mut end = last + 0u32;
        // Values are asked for some steps before they are needed.
        let mut read = Array::<Y>::new(AHEAD);
        let mut stale = true;
        while end > first {
            let mut begin = first + 0u32;
            let mut knot = 0u32.runtime();
            if ahead > 0 {
                knot = knots[((ahead - 1) * layouts + layout) as usize];
            }
            let bends = ahead > 0 && knot >= first;
            if bends {
                begin = knot + 1;
            }
            let mut left = end - begin;
            if stale {
                #[unroll]
                for u in 0..AHEAD {
                    read[u] = y[before(end, comptime!(u as u32 + 1), first) * series + s];
                }
            }
            while left > 0 {
                let mut now = Array::<F>::new(together);
                let mut values = Array::<F>::new(together);
                let mut seen = Array::<F>::new(together);
                #[unroll]
                for u in 0..together {
                    let t = before(end, comptime!(u as u32 + 1), begin);
                    let row = t * shared;
                    let mut value = F::cast_from(read[u]);
                    let mut counts = zero + zero;
                    if observed[t * layouts as usize + layout as usize] == 1 && !is_nan::<Y>(read[u]) {
                        counts = F::new(1.0f32);
                    }
                    if comptime!(u > 0) {
                        if left <= comptime!(u as u32) {
                            counts = zero + zero;
                        }
                    }
                    now[u] = columns[row + 1];
                    if residual {
                        value = value * share - (slope * now[u] + offset);
                        let mut other = zero + zero; // two sums, for each addition waits for the one before
                        if comptime!(width == shared) {
                            #[unroll]
                            for i in 0..width {
                                if comptime!(i % 2 == 0) {
                                    value -= own[i] * columns[row + i];
                                } else {
                                    other -= own[i] * columns[row + i];
                                }
                            }
                        } else {
                            for i in 0..comptime!(shared as u32) {
                                value -= factors[i as usize * series + s] * columns[row + i as usize];
                            }
                        }
                        value += other;
                    }
                    // What was not observed counts as nothing.
                    values[u] = select(counts > zero, value, zero);
                    seen[u] = counts;
                }
                #[unroll]
                for u in 0..comptime!(AHEAD - together) {
                    read[u] = read[u + together];
                }
                #[unroll]
                for u in 0..together {
                    let step = before(end, comptime!((u + AHEAD) as u32 + 1), first);
                    read[u + comptime!(AHEAD - together)] = y[step * series + s];
                }
                #[unroll]
                for u in 0..together {
                    area += (later - now[u]) * total;
                    later = now[u] + zero;
                    total += values[u];
                    square += values[u] * values[u];
                    count += seen[u];
                }
                #[unroll]
                for u in 0..together {
                    let row = before(end, comptime!(u as u32 + 1), begin) * shared;
                    #[unroll]
                    for i in 0..width {
                        sums[i] += values[u] * columns[row + from + i];
                    }
                }
                let done = u32::min(left, comptime!(together as u32));
                stale = done < comptime!(together as u32);
                left -= done;
                end -= done;
            }
            if bends {
                ahead -= 1u32;
                let now = columns[knot as usize * shared + 1];
                area += (later - now) * total;
                later = now + zero;
                let column = (shared + ahead as usize) * series + s;
                if comptime!(from == 0) {
                    cross[column] = area;
                }
                if residual {
                    let bend = factors[column];
                    slope -= bend;
                    offset += bend * now;
                }
            }
        }
        #[unroll]
        for i in 0..width {
            cross[(from + i) * series + s] = sums[i];
        }
        carry[s] = total;
        carry[series + s] = area;
        #[allow(clippy::collapsible_if)] // only a kernel of residuals may look at the scale
        if residual {
            if first == 0u32 && !is_number::<F>(scale[s]) {
                square = F::cast_from(missing);
            }
        }
        moments[s] = count;
        moments[series + s] = square;
    }
}
