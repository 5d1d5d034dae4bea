//! Quantiles along time: order statistics built bit by bit, so that no sort and no scratch panel is needed.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, CHUNK, array};
use crate::KernelError;

/// Scratch of one unit a level and series.
struct Search {
    /// The bits of the order statistic that are known, as a key that orders as its value does.
    found: Handle,
    /// Values seen below the key on trial, and for the last pass those not above the one found.
    below: Handle,
    /// Least key above the one found.
    next: Handle,
    units: usize,
}

pub(crate) fn quantiles<R: Runtime>(y: &Buffer<R>, levels: &[f32]) -> Result<Buffer<R>, KernelError> {
    let gpu = y.gpu();
    let quantiles = y.empty(levels.len(), y.series());
    let units = levels.len() * y.series();
    let zeros = vec![0_u32; units];
    let search = Search { found: gpu.upload(&zeros), below: gpu.upload(&zeros), next: gpu.upload(&zeros), units };
    let weights = gpu.upload(levels);
    let (cubes, dim) = gpu.one_unit_per(units);
    let observed = count_observed(y);
    for bit in (0..32_u32).rev() {
        count_chunks(y, &search, 1 << bit);
        // SAFETY: the scratch and `observed` hold what `Search` and `count_observed` say, `weights` one value
        // a level; units past the last stop.
        unsafe {
            decide::launch_unchecked::<R>(
                gpu.client(),
                cubes.clone(),
                dim,
                array(&search.found, units),
                array(&search.below, units),
                array(&observed, y.series()),
                array(&weights, levels.len()),
                y.series() as u32,
                1 << bit,
            );
        }
    }
    count_chunks(y, &search, 0);
    // SAFETY: as above; `quantiles` holds one element a unit.
    unsafe {
        interpolate::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            array(&search.found, units),
            array(&search.below, units),
            array(&search.next, units),
            array(&observed, y.series()),
            array(&weights, levels.len()),
            quantiles.arg(),
            y.series() as u32,
            f32::NAN,
        );
    }
    gpu.accepted("quantiles")?;
    Ok(quantiles)
}

/// Observed steps of each series.
fn count_observed<R: Runtime>(y: &Buffer<R>) -> Handle {
    let count = y.gpu().upload(&vec![0_u32; y.series()]);
    let (cubes, dim) = y.gpu().one_unit_per(y.series());
    for first in (0..y.steps()).step_by(CHUNK) {
        let last = (first + CHUNK).min(y.steps()) as u32;
        // SAFETY: `y` holds `steps * series`, `count` one element a series; units past the last stop.
        unsafe {
            observe::launch_unchecked::<R>(
                y.gpu().client(),
                cubes.clone(),
                dim,
                y.arg(),
                array(&count, y.series()),
                y.series() as u32,
                first as u32,
                last,
            );
        }
    }
    count
}

/// Counts below the key on trial: what was found with `bit` set, or for `bit` 0 the key above it.
fn count_chunks<R: Runtime>(y: &Buffer<R>, search: &Search, bit: u32) {
    let (cubes, dim) = y.gpu().one_unit_per(search.units);
    for first in (0..y.steps()).step_by(CHUNK) {
        let last = (first + CHUNK).min(y.steps()) as u32;
        // SAFETY: the scratch holds one element a unit, `y` holds `steps * series`; units past the last stop.
        unsafe {
            count_below::launch_unchecked::<R>(
                y.gpu().client(),
                cubes.clone(),
                dim,
                y.arg(),
                array(&search.found, search.units),
                array(&search.below, search.units),
                array(&search.next, search.units),
                y.series() as u32,
                bit,
                first as u32,
                last,
            );
        }
    }
}

/// A key that orders as unsigned integers do, and so does the value it comes from.
#[cube]
fn key_of(value: f32) -> u32 {
    let bits = u32::reinterpret(value);
    select(bits >> 31 == 1, !bits, bits | 0x8000_0000u32)
}

#[cube]
fn value_of(key: u32) -> f32 {
    f32::reinterpret(select(key >> 31 == 1, key & 0x7fff_ffffu32, !key))
}

#[cube(launch_unchecked)]
fn observe(y: &Array<f32>, count: &mut Array<u32>, series: u32, first: u32, last: u32) {
    let s = ABSOLUTE_POS;
    if s < count.len() {
        let mut observed = count[s];
        for t in first..last {
            if !y[(t * series + s as u32) as usize].is_nan() {
                observed += 1;
            }
        }
        count[s] = observed;
    }
}

#[cube(launch_unchecked)]
fn count_below(
    y: &Array<f32>,
    found: &Array<u32>,
    below: &mut Array<u32>,
    next: &mut Array<u32>,
    series: u32,
    bit: u32,
    first: u32,
    last: u32,
) {
    let at = ABSOLUTE_POS;
    if at < found.len() {
        let s = at as u32 % series;
        // The last pass counts those not above what was found, and keeps the least above it.
        let trial = select(bit == 0, found[at] + 1, found[at] | bit);
        let mut count = select(first == 0, 0u32, below[at]);
        let mut least = select(first == 0, 0xffff_ffffu32, next[at]);
        for t in first..last {
            let value = y[(t * series + s) as usize];
            if !value.is_nan() {
                let key = key_of(value);
                if key < trial {
                    count += 1;
                } else {
                    least = min(least, key);
                }
            }
        }
        below[at] = count;
        next[at] = least;
    }
}

/// The statistic of rank `k` has a bit set when no more than `k` values lie below the key that has it.
#[cube(launch_unchecked)]
fn decide(
    found: &mut Array<u32>,
    below: &Array<u32>,
    observed: &Array<u32>,
    levels: &Array<f32>,
    series: u32,
    bit: u32,
) {
    let at = ABSOLUTE_POS;
    if at < found.len() {
        let s = at as u32 % series;
        let level = levels[(at as u32 / series) as usize];
        let h = f32::cast_from(max(observed[s as usize], 1u32) - 1) * level;
        if below[at] <= u32::cast_from(h) {
            found[at] = found[at] | bit;
        }
    }
}

#[cube(launch_unchecked)]
fn interpolate(
    found: &Array<u32>,
    below: &Array<u32>,
    next: &Array<u32>,
    observed: &Array<u32>,
    levels: &Array<f32>,
    quantiles: &mut Array<f32>,
    series: u32,
    missing: f32,
) {
    let at = ABSOLUTE_POS;
    if at < found.len() {
        let count = observed[at % series as usize];
        let mut quantile = missing;
        if count > 0 {
            let h = f32::cast_from(count - 1) * levels[at / series as usize];
            let rank = u32::cast_from(h);
            let low = value_of(found[at]);
            let mut high = low;
            // No value but those up to `rank` lies at or below the one found: the next one is greater.
            if below[at] == rank + 1 && rank + 1 < count {
                high = value_of(next[at]);
            }
            let share = h - f32::cast_from(rank);
            quantile = (1.0f32 - share) * low + share * high;
        }
        quantiles[at] = quantile;
    }
}
