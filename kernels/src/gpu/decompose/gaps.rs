//! Series with gaps: which they are, and their local fits, each from the observed steps nearest to it.
#![allow(clippy::too_many_lines)] // a fit's sums stay in registers: a helper would send them through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{GAPS, HOPELESS, WHOLE};
use crate::KernelError;
use crate::decompose::loess::Loess;
use crate::gpu::{Buffer, Gpu, array};

/// 1 for each series that has gaps, else 0.
pub(super) fn launch_holes<R: Runtime>(y: &Buffer<R>) -> Handle {
    let (gpu, series) = (y.gpu(), y.series());
    let holed = gpu.empty::<u32>(series);
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: `holed` holds one element a series; units past the last stop.
    unsafe { holes::launch_unchecked::<R>(gpu.client(), cubes, dim, y.arg(), array(&holed, series), y.steps() as u32) }
    holed
}

/// Which series [`launch_holes`] found.
pub(super) fn series_with_gaps<R: Runtime>(gpu: &Gpu<R>, holed: &Handle) -> Result<Vec<u32>, KernelError> {
    let holed: Vec<u32> = gpu.download(holed, "the decomposition")?;
    Ok((0..holed.len() as u32).filter(|&s| holed[s as usize] == 1).collect())
}

/// A batch of some series alone.
pub(super) fn take_series<R: Runtime>(y: &Buffer<R>, chosen: &[u32]) -> Buffer<R> {
    let own = y.empty(y.steps(), chosen.len());
    launch_moves(&own, chosen, y, true);
    own
}

/// Puts series where they were taken from.
pub(super) fn with_series<R: Runtime>(own: &Buffer<R>, chosen: &[u32], all: &Buffer<R>) {
    launch_moves(own, chosen, all, false);
}

fn launch_moves<R: Runtime>(own: &Buffer<R>, chosen: &[u32], all: &Buffer<R>, is_taken: bool) {
    let (gpu, count) = (own.gpu(), chosen.len());
    let (cubes, dim) = gpu.one_unit_per(own.steps() * count);
    let chosen = gpu.upload(chosen);
    // SAFETY: `own` holds a value a step and chosen series, `all` one a step and series, of which the chosen are some;
    // units past the last stop.
    unsafe {
        let (own, chosen, all_series) = (own.arg(), array(&chosen, count), all.series() as u32);
        moves::launch_unchecked::<R>(gpu.client(), cubes, dim, own, chosen, all.arg(), all_series, is_taken);
    }
}

/// Raises the mark of each series that has gaps, or that never observed some slot of this season.
pub(super) fn launch_marks<R: Runtime>(y: &Buffer<R>, season: usize, marks: &Handle) {
    let (gpu, steps, series) = (y.gpu(), y.steps() as u32, y.series());
    let counts = gpu.empty::<u32>(season * series);
    let (cubes, dim) = gpu.one_unit_per(season * series);
    // SAFETY: `counts` holds one element a slot and series, `marks` one a series; the kernels read no step
    // past the last, and units past the last slot and series stop.
    unsafe {
        let out = array(&counts, season * series);
        count::launch_unchecked::<R>(gpu.client(), cubes, dim, y.arg(), out, steps, series as u32, season as u32);
        let (cubes, dim) = gpu.one_unit_per(series);
        let counts = array(&counts, season * series);
        mark::launch_unchecked::<R>(gpu.client(), cubes, dim, counts, array(marks, series), steps, season as u32);
    }
}

/// Local fits at the rows of a batch: row `stride * place + slot` is fitted at `place - past` from the steps
/// `slot, slot + stride, …`.
pub(super) struct Fit {
    pub(super) rows: usize,
    pub(super) stride: usize,
    pub(super) past: usize,
    pub(super) loess: Loess,
}

/// Fits the series with gaps; `y` tells what was observed and `x` its values.
pub(super) fn launch_fits<R: Runtime>(y: &Buffer<R>, marks: &Handle, fit: &Fit, x: &Buffer<R>, out: &Buffer<R>) {
    let (gpu, series) = (y.gpu(), y.series());
    let (cubes, dim) = gpu.one_unit_per(fit.rows * series);
    // SAFETY: `y` and `x` hold `steps * series` elements, `out` as many rows as are fitted, `marks` one element
    // a series; a unit reads no step past the last of its slot, and units past the last row stop.
    unsafe {
        fits::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            y.arg(),
            x.arg(),
            array(marks, series),
            out.arg(),
            fit.rows as u32,
            y.steps() as u32,
            fit.stride as u32,
            fit.past as u32,
            fit.loess.window as u32,
            fit.loess.degree == 1,
        );
    }
}

#[cube(launch_unchecked)]
fn holes(y: &Array<f32>, holed: &mut Array<u32>, steps: u32) {
    let s = ABSOLUTE_POS;
    let series = holed.len();
    if s < series {
        let mut missing = 0u32;
        for t in 0..steps {
            if y[t as usize * series + s].is_nan() {
                missing = 1u32;
            }
        }
        holed[s] = missing;
    }
}

/// Values of chosen series, from the batch of all or to it.
#[cube(launch_unchecked)]
fn moves(own: &mut Array<f32>, chosen: &Array<u32>, all: &mut Array<f32>, series: u32, #[comptime] is_taken: bool) {
    let at = ABSOLUTE_POS;
    let count = chosen.len();
    if at < own.len() {
        let place = (at / count) * series as usize + chosen[at % count] as usize;
        if is_taken {
            own[at] = all[place];
        } else {
            all[place] = own[at];
        }
    }
}

/// Observed steps of each slot, one unit a slot and series.
#[cube(launch_unchecked)]
fn count(y: &Array<f32>, counts: &mut Array<u32>, steps: u32, series: u32, season: u32) {
    let at = ABSOLUTE_POS;
    if at < counts.len() {
        let s = at as u32 % series;
        let slot = at as u32 / series;
        let mut seen = 0u32;
        for cycle in 0..(steps - slot).div_ceil(season) {
            if !y[((cycle * season + slot) * series + s) as usize].is_nan() {
                seen += 1;
            }
        }
        counts[at] = seen;
    }
}

#[cube(launch_unchecked)]
fn mark(counts: &Array<u32>, marks: &mut Array<u32>, steps: u32, season: u32) {
    let s = ABSOLUTE_POS as u32;
    let series = marks.len() as u32;
    if s < series {
        let mut seen = 0u32;
        let mut bare_slots = 0u32;
        for slot in 0..season {
            let of_slot = counts[(slot * series + s) as usize];
            seen += of_slot;
            bare_slots += u32::cast_from(of_slot == 0);
        }
        if bare_slots > 0 {
            marks[s as usize] = HOPELESS;
        } else if seen < steps && marks[s as usize] == WHOLE {
            marks[s as usize] = GAPS;
        }
    }
}

/// One unit a row and series.
#[cube(launch_unchecked)]
fn fits(
    y: &Array<f32>,
    x: &Array<f32>,
    marks: &Array<u32>,
    out: &mut Array<f32>,
    rows: u32,
    steps: u32,
    stride: u32,
    past: u32,
    window: u32,
    #[comptime] line: bool,
) {
    let series = marks.len() as u32;
    let s = ABSOLUTE_POS as u32 % series;
    let row = ABSOLUTE_POS as u32 / series;
    if row < rows && marks[s as usize] != WHOLE {
        let slot = row % stride;
        let places = i32::cast_from((steps - slot).div_ceil(stride));
        let at = i32::cast_from(row / stride) - i32::cast_from(past);
        // The nearest observed places, the earlier one of two as near first.
        let mut left = at - 1;
        let mut right = at;
        if left >= places {
            left = places - 1;
        }
        if right < 0 {
            right = 0i32;
        }
        let mut low = places;
        let mut high = 0i32;
        let mut found = 0u32;
        while found < window && (left >= 0 || right < places) {
            let is_left = left >= 0 && (right >= places || at - left <= right - at);
            // A variable made from another shares its register: `let mut place = right` would move both.
            let place = select(is_left, left, right);
            if is_left {
                left -= 1;
            } else {
                right += 1;
            }
            if !y[((u32::cast_from(place) * stride + slot) * series + s) as usize].is_nan() {
                found += 1;
                if place < low {
                    low = place;
                }
                if place > high {
                    high = place;
                }
            }
        }
        let mut reach = f32::cast_from(at - low);
        if high - at > at - low {
            reach = f32::cast_from(high - at);
        }
        reach += f32::cast_from((window - found) / 2);
        let mut total = 0.0f32;
        let mut by_place = 0.0f32;
        let mut by_square = 0.0f32;
        let mut by_value = 0.0f32;
        let mut by_both = 0.0f32;
        let mut nearest = f32::cast_from(places) + 2.0f32;
        let mut closest = 0.0f32;
        for place in low..high + 1 {
            let from = ((u32::cast_from(place) * stride + slot) * series + s) as usize;
            if !y[from].is_nan() {
                let value = x[from];
                let away = f32::cast_from(place - at);
                let distance = away.abs();
                let mut weight = 0.0f32;
                if distance <= 0.001f32 * reach {
                    weight = 1.0f32;
                } else if distance <= 0.999f32 * reach {
                    let share = distance / reach;
                    let rest = 1.0f32 - share * share * share;
                    weight = rest * rest * rest;
                }
                total += weight;
                by_place += weight * away;
                by_square += weight * away * away;
                by_value += weight * value;
                by_both += weight * away * value;
                if distance < nearest {
                    nearest = distance;
                    closest = value;
                }
            }
        }
        let mut fit = closest;
        if total > 0.0f32 {
            fit = by_value / total;
            if line {
                let centre = by_place / total;
                let square = by_square / total - centre * centre;
                let least = 0.001f32 * (f32::cast_from(places) - 1.0f32);
                if square > least * least {
                    fit -= centre * (by_both / total - centre * fit) / square;
                }
            }
        }
        out[(row * series + s) as usize] = fit;
    }
}
