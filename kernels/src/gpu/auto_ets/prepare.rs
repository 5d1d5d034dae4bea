//! What every search over a panel asks of its series: their unit, and when each slot is first observed.
#![allow(clippy::too_many_lines)] // as in the pass

use cubecl::prelude::*;
use cubecl::server::Handle;

use crate::gpu::{Buffer, array, is_number, ln};

/// Rows of [`Panel::units`]: mean and one over the standard deviation of what is observed, the mean in standard
/// deviations, the number of observed steps, the least value in standard deviations, the sum of the logarithms of
/// the values in standard deviations, and the step from which every slot of the longest season has been observed.
pub(super) const CENTRE: u32 = 0;
pub(super) const INVERSE_SCALE: u32 = 1;
pub(super) const OFFSET: u32 = 2;
pub(super) const OBSERVED: u32 = 3;
pub(super) const LEAST: u32 = 4;
pub(super) const LOGS: u32 = 5;
pub(super) const SETTLED_AT: u32 = 6;
pub(super) const UNIT_ROWS: usize = 7;
/// A product of values is told by its logarithm from here on.
const FAR: f32 = 1e9;

/// A panel that is ready for searches.
pub(super) struct Panel<'a, R: Runtime> {
    pub(super) y: &'a Buffer<R>,
    units: Handle,
    /// One more than the step at which the one slot of no season is first observed; 0 where it never is.
    first: Handle,
    /// The same of each slot of the season.
    firsts: Handle,
    season: usize,
}

impl<'a, R: Runtime> Panel<'a, R> {
    /// Series in any unit, or with offsets those that are standardised already.
    pub(super) fn new<F: Float + CubeElement>(y: &'a Buffer<R>, season: usize, offsets: Option<&[f64]>) -> Self {
        let (gpu, series) = (y.gpu(), y.series());
        let given = gpu.upload_floats(offsets.unwrap_or_default().iter().copied());
        let units = gpu.empty::<F>(UNIT_ROWS * series);
        let (first, firsts) = (gpu.empty::<u32>(series), gpu.empty::<u32>(season * series));
        let panel = Self { y, units, first, firsts, season };
        let (cubes, dim) = gpu.one_unit_per(series);
        // SAFETY: the arrays have the rows named above; units past the last series stop.
        unsafe {
            measure::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                y.arg(),
                array(&given, offsets.map_or(0, <[f64]>::len)),
                panel.units(),
                panel.firsts(1),
                panel.firsts(season),
                series as u32,
                y.steps() as u32,
                season as u32,
                offsets.is_some(),
            );
        }
        panel
    }

    pub(super) fn units(&self) -> ArrayArg<R> {
        array(&self.units, UNIT_ROWS * self.y.series())
    }

    pub(super) fn unit_rows(&self) -> &Handle {
        &self.units
    }

    pub(super) fn firsts(&self, season: usize) -> ArrayArg<R> {
        if season == 1 {
            array(&self.first, self.y.series())
        } else {
            array(&self.firsts, self.season * self.y.series())
        }
    }
}

#[cube(launch_unchecked)]
fn measure<F: Float>(
    y: &Array<f32>,
    offsets: &Array<F>,
    units: &mut Array<F>,
    first: &mut Array<u32>,
    firsts: &mut Array<u32>,
    series: u32,
    steps: u32,
    season: u32,
    #[comptime] given: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        first[s as usize] = 0u32;
        for slot in 0..season {
            firsts[(slot * series + s) as usize] = 0u32;
        }
        let mut sum = zero + zero;
        let mut observed = zero + zero;
        let mut least = F::new(3.4e38f32);
        let mut settled = 0u32;
        let mut slot = 0u32;
        for t in 0..steps {
            let value = y[(t * series + s) as usize];
            if !value.is_nan() {
                let value = F::cast_from(value);
                sum += value;
                observed += F::new(1.0f32);
                least = F::min(least, value);
                // Without a season both arrays are one, so the slots come first.
                let own = (slot * series + s) as usize;
                if firsts[own] == 0u32 {
                    firsts[own] = t + 1;
                    settled = t + 1;
                }
                if first[s as usize] == 0u32 {
                    first[s as usize] = t + 1;
                }
            }
            slot += 1u32;
            if slot == season {
                slot = 0u32;
            }
        }
        let mut centre = sum / observed;
        let mut squares = zero + zero;
        for t in 0..steps {
            let value = y[(t * series + s) as usize];
            if !value.is_nan() {
                let way = F::cast_from(value) - centre;
                squares += way * way;
            }
        }
        let scale = (squares / observed).sqrt();
        let mut inverse = F::new(1.0f32) / scale;
        let mut offset = centre * inverse;
        // What a standardised value lacks to be one of the series in its own unit.
        let mut lacks = zero + zero;
        if given {
            centre = zero + zero;
            inverse = F::new(1.0f32);
            offset = offsets[s as usize];
            lacks = offset + zero;
        }
        let lowest = least * inverse + lacks;
        let mut logs = zero + zero;
        if lowest > zero && is_number::<F>(inverse) && inverse > zero {
            let mut product = F::new(1.0f32);
            for t in 0..steps {
                let value = y[(t * series + s) as usize];
                if !value.is_nan() {
                    product *= F::cast_from(value) * inverse + lacks;
                    if product > F::new(FAR) || product < F::new(1.0f32) / F::new(FAR) {
                        logs += ln::<F>(product);
                        product = F::new(1.0f32);
                    }
                }
            }
            logs += ln::<F>(product);
        }
        let mut complete = true;
        for slot in 0..season {
            if firsts[(slot * series + s) as usize] == 0u32 {
                complete = false;
            }
        }
        // A season with a slot that is never observed is marked by a number of steps that no panel has.
        if !complete {
            settled = steps + 1;
        }
        units[(CENTRE * series + s) as usize] = centre;
        units[(INVERSE_SCALE * series + s) as usize] = inverse;
        units[(OFFSET * series + s) as usize] = offset;
        units[(OBSERVED * series + s) as usize] = observed;
        units[(LEAST * series + s) as usize] = lowest;
        units[(LOGS * series + s) as usize] = logs;
        units[(SETTLED_AT * series + s) as usize] = F::cast_from(settled);
    }
}
