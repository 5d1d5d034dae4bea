//! Series made ready for sums of squares: gaps filled, differenced, centred, with what is thought to come before them.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::prepare::Columns;
use super::{COUNT_ROWS, FIRST, TOTAL, UNIT_ROWS};
use crate::arima_fit::Differencing;
use crate::gpu::{CHUNK, array, is_nan};

/// Steps of one launch that fills gaps: each may look through all seasons three times.
const FILLED_TOGETHER: usize = 64;

/// Series made ready, a row a step.
pub(super) struct Packed<'a, R: Runtime> {
    /// Differenced and centred, after `before` rows of what is thought to come before; zeros before that.
    pub(super) own: Columns<'a, R>,
    pub(super) before: usize,
    /// Whether their means were taken off.
    pub(super) centred: bool,
    pub(super) filled: Columns<'a, R>,
    /// Of the series filled.
    pub(super) counts: Handle,
    pub(super) units: Handle,
}

impl<'a, R: Runtime> Packed<'a, R> {
    /// `seen` begin with their first observed step.
    pub(super) fn new<F: Float + CubeElement>(
        seen: &Columns<'a, R>,
        differencing: Differencing,
        before: usize,
    ) -> Self {
        let filled = filled::<R, F>(seen, differencing.season);
        let differenced = filled.differenced::<F>(differencing);
        let (counts, units) = filled.measure::<F>(&differenced);
        let steps = before + differenced.steps;
        let own = Columns { steps, values: seen.gpu.empty_floats(steps * seen.series), ..differenced };
        let shape = differencing.of(&[]);
        if let Some((cubes, dim)) = seen.gpu.one_unit_per_any(steps * seen.series) {
            // SAFETY: each array was made with the rows that it is passed with; units past the last value stop.
            unsafe {
                pack::launch_unchecked::<F, R>(
                    seen.gpu.client(),
                    cubes,
                    dim,
                    differenced.arg(),
                    array(&counts, COUNT_ROWS * seen.series),
                    array(&units, UNIT_ROWS * seen.series),
                    own.arg(),
                    seen.series as u32,
                    differenced.steps as u32,
                    before as u32,
                    differencing.season as u32,
                    u32::from(shape.lost_steps() == 0),
                    u32::from(shape.may_have_constant()),
                );
            }
        }
        Self { own, before, centred: shape.may_have_constant(), filled, counts, units }
    }

    pub(super) fn counts(&self) -> ArrayArg<R> {
        array(&self.counts, COUNT_ROWS * self.own.series)
    }

    pub(super) fn units(&self) -> ArrayArg<R> {
        array(&self.units, UNIT_ROWS * self.own.series)
    }
}

/// Each gap from the same slot of the seasons about it, moved by how the ends of the gap differ from theirs; without
/// a season, a line across.
fn filled<'a, R: Runtime, F: Float + CubeElement>(seen: &Columns<'a, R>, season: usize) -> Columns<'a, R> {
    let (gpu, series) = (seen.gpu, seen.series);
    let filled = Columns { values: gpu.empty_floats(seen.steps * series), ..*seen };
    let gaps = gpu.empty::<u32>(2 * series);
    let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return filled };
    let stride = if season < 2 { CHUNK / 4 } else { FILLED_TOGETHER };
    for first in (0..seen.steps).step_by(stride) {
        // SAFETY: both hold `steps` rows, `gaps` two; units past the last series stop.
        unsafe {
            fill::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                seen.arg(),
                filled.arg(),
                array(&gaps, 2 * series),
                series as u32,
                seen.steps as u32,
                season as u32,
                first as u32,
                (first + stride).min(seen.steps) as u32,
            );
        }
    }
    filled
}

/// What the nearest seasons on either side of a gap that begins at `gap` hold at a step: their mean, 0 where none holds
/// anything. What was observed comes before the gap filled, and after it as it is.
#[cube]
fn in_season<F: Float>(
    seen: &Array<F>,
    filled: &Array<F>,
    step: u32,
    gap: u32,
    steps: u32,
    season: u32,
    series: u32,
    s: u32,
) -> F {
    let zero = F::new(0.0f32);
    let mut sum = zero + zero;
    let mut found = zero + zero;
    if season >= 2u32 {
        let mut at = step + 0u32;
        let mut looks = true;
        while looks && at >= season {
            at -= season;
            if at < gap {
                let value = filled[(at * series + s) as usize];
                if !is_nan::<F>(value) {
                    sum += value;
                    found += F::new(1.0f32);
                    looks = false;
                }
            }
        }
        at = step + season;
        looks = true;
        while looks && at < steps {
            let value = seen[(at * series + s) as usize];
            if !is_nan::<F>(value) {
                sum += value;
                found += F::new(1.0f32);
                looks = false;
            }
            at += season;
        }
        if found > zero {
            sum /= found;
        }
    }
    sum
}

#[cube(launch_unchecked)]
fn fill<F: Float>(
    seen: &Array<F>,
    filled: &mut Array<F>,
    gaps: &mut Array<u32>,
    series: u32,
    steps: u32,
    season: u32,
    first: u32,
    last: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        // Where the latest gap began and ended; no gap begins at none.
        let mut gap = 0u32;
        let mut end = 0u32;
        let mut begun = false;
        if first > 0u32 {
            gap = gaps[s as usize];
            end = gaps[(series + s) as usize];
            begun = !is_nan::<F>(filled[((first - 1) * series + s) as usize]);
        }
        for t in first..last {
            let mut value = seen[(t * series + s) as usize];
            if !is_nan::<F>(value) {
                begun = true;
            } else if begun {
                if t >= end {
                    gap = t + 0u32;
                    end = t + 1u32;
                    let mut looks = true;
                    while looks && end < steps {
                        if is_nan::<F>(seen[(end * series + s) as usize]) {
                            end += 1u32;
                        } else {
                            looks = false;
                        }
                    }
                }
                let from = gap - 1;
                let shape = in_season::<F>(seen, filled, t, gap, steps, season, series, s);
                let before = filled[(from * series + s) as usize]
                    - in_season::<F>(seen, filled, from, gap, steps, season, series, s);
                let mut after = before + F::new(0.0f32);
                if end < steps {
                    after = seen[(end * series + s) as usize]
                        - in_season::<F>(seen, filled, end, gap, steps, season, series, s);
                }
                let share = F::cast_from(t - from) / F::cast_from(end - from);
                value = shape + before + share * (after - before);
            }
            filled[(t * series + s) as usize] = value;
        }
        gaps[s as usize] = gap;
        gaps[(series + s) as usize] = end;
    }
}

#[cube(launch_unchecked)]
fn pack<F: Float>(
    differenced: &Array<F>,
    counts: &Array<u32>,
    units: &Array<F>,
    own: &mut Array<F>,
    series: u32,
    steps: u32,
    before: u32,
    season: u32,
    repeats: u32,
    centred: u32,
) {
    let at = ABSOLUTE_POS as u32;
    if at < (before + steps) * series {
        let s = at % series;
        let t = at / series;
        let zero = F::new(0.0f32);
        let begun = counts[(FIRST * series + s) as usize];
        let mut value = zero + zero;
        if begun < steps {
            let mut mean = zero + zero;
            if centred == 1u32 {
                mean = units[(TOTAL * series + s) as usize] / F::cast_from(steps - begun);
            }
            if t >= before + begun {
                value = differenced[((t - before) * series + s) as usize] - mean;
            } else if repeats == 1u32 && t >= begun {
                // What is differenced is about noise, of which a repeated season would be a wrong memory.
                let cycle = u32::max(u32::min(season, steps - begun), 1u32);
                let ago = (before + begun - t) % cycle;
                value = differenced[((begun + (cycle - ago) % cycle) * series + s) as usize] - mean;
            }
        }
        own[at as usize] = value;
    }
}
