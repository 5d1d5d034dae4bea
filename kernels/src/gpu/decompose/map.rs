//! MSTL without gaps as the one linear map that it is: what it makes of unit impulses, times the batch.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Gaps, staged};
use crate::decompose::{INNER_ROUNDS, Parts, Stl, rounds};
use crate::gpu::{Buffer, Gpu, array};

/// Outputs that a unit makes at once, of as many series: their sums take half of the registers it has.
const OUTPUTS: usize = 8;
const OF_SERIES: usize = 8;
/// Steps whose values are asked for together.
const TOGETHER: usize = 4;
/// Units side by side that share their weights: those of a plane, on most devices.
const SIDE_BY_SIDE: usize = 32;
/// Values that one read brings where the rows allow it, and weights that it always does.
const WIDE: usize = 4;

/// A multiplication of the map costs a quarter of one of a smoother, or less: it waits for no memory.
const CHEAPER: usize = 4;
/// Multiplications that may go into making a map, whatever the batch: a few milliseconds of a large GPU, a second of a
/// software Vulkan.
const MOST_TO_MAKE: [usize; 2] = [1 << 32, 1 << 26];

/// Whether the map of so many steps is made. That is no matter of the batch: a series has the same bits in any.
pub(super) fn pays(is_software: bool, steps: usize, stls: &[Stl]) -> bool {
    let alternation = |stl: &Stl| stl.windows.season.min(steps / stl.season) + stl.windows.low_pass + stl.windows.trend;
    let smoothers = rounds(stls.len()) * INNER_ROUNDS * stls.iter().map(alternation).sum::<usize>();
    (stls.len() + 1) * steps <= CHEAPER * smoothers
        && steps * steps * smoothers <= MOST_TO_MAKE[usize::from(is_software)]
}

/// Trend and seasons of a grid's steps as sums over all of them.
pub(super) struct Map<R: Runtime> {
    gpu: Gpu<R>,
    steps: usize,
    /// Of the trend, then of each season: `[blocks, steps, OUTPUTS]`, zeros past the last output.
    weights: Vec<Handle>,
}

impl<R: Runtime> Map<R> {
    /// Decomposes an impulse at each of so many steps, on the device of `y`.
    pub(super) fn new(y: &Buffer<R>, stls: &[Stl]) -> Self {
        let (gpu, steps) = (y.gpu(), y.steps());
        let units = y.empty(steps, steps);
        let (cubes, dim) = gpu.one_unit_per(steps * steps);
        // SAFETY: one element a unit; units past the last stop.
        unsafe { impulses::launch_unchecked::<R>(gpu.client(), cubes, dim, units.arg(), steps as u32) }
        let Parts { trend, seasons, .. } = staged(&units, stls, Gaps::None);
        let weights = [&trend].into_iter().chain(&seasons).map(|answers| {
            let count = steps.next_multiple_of(OUTPUTS) * steps;
            let weights = gpu.empty::<f32>(count);
            let (cubes, dim) = gpu.one_unit_per(count);
            let own = array(&weights, count);
            // SAFETY: `weights` holds one element a unit, `answers` a row of `steps` for each step; units past the
            // last stop.
            unsafe { lay::launch_unchecked::<R>(gpu.client(), cubes, dim, answers.arg(), own, steps as u32, OUTPUTS) }
            weights
        });
        Self { gpu: gpu.clone(), steps, weights: weights.collect() }
    }

    /// The parts of every series; of one with gaps, nothing in particular.
    pub(super) fn apply(&self, y: &Buffer<R>) -> Parts<Buffer<R>> {
        let empty = || y.empty(y.steps(), y.series());
        let remainder = empty();
        let mut parts = self.weights.iter().enumerate().map(|(i, weights)| {
            let part = empty();
            self.launch(weights, y, &part, &remainder, i == 0);
            part
        });
        let trend = parts.next().expect("a map has a trend");
        let seasons = parts.collect();
        Parts { trend, seasons, remainder }
    }

    /// One part, which is taken from `y` or else from what the parts before it left of that.
    fn launch(&self, weights: &Handle, y: &Buffer<R>, part: &Buffer<R>, rest: &Buffer<R>, is_first: bool) {
        let (steps, series, blocks) = (self.steps, y.series(), self.steps.div_ceil(OUTPUTS));
        let wide = if series.is_multiple_of(WIDE) { WIDE } else { 1 };
        let tiles = series.div_ceil(SIDE_BY_SIDE * OF_SERIES);
        let (cubes, dim) = self.gpu.one_unit_per(tiles * blocks * SIDE_BY_SIDE);
        let rows = |batch: &Buffer<R>| batch.arg_of(wide);
        let count = steps.next_multiple_of(OUTPUTS) * steps;
        // SAFETY: `weights` holds `OUTPUTS` elements a block and step, the batches `series` a step, read and written
        // as many at once as divide that; units read no series past the last, and write none past it nor past the
        // last step.
        unsafe {
            weigh_all::launch_unchecked::<R>(
                self.gpu.client(),
                cubes,
                dim,
                wide,
                WIDE,
                array(weights, count / WIDE),
                rows(y),
                rows(part),
                rows(rest),
                steps as u32,
                (series / wide) as u32,
                blocks as u32,
                is_first,
                OF_SERIES / wide,
            );
        }
    }
}

/// Series `j` is zero but for one at step `j`.
#[cube(launch_unchecked)]
fn impulses(units: &mut Array<f32>, steps: u32) {
    let at = ABSOLUTE_POS as u32;
    if at < steps * steps {
        units[at as usize] = f32::cast_from(u32::cast_from(at / steps == at % steps));
    }
}

/// The weights of a block's outputs beside one another; none past the last output.
#[cube(launch_unchecked)]
fn lay(answers: &Array<f32>, weights: &mut Array<f32>, steps: u32, #[comptime] outputs: usize) {
    let at = ABSOLUTE_POS as u32;
    let own = outputs as u32;
    let row = at / own;
    if row < steps.div_ceil(own) * steps {
        let output = row / steps * own + at % own;
        let mut weight = 0.0f32;
        if output < steps {
            weight = answers[(output * steps + row % steps) as usize];
        }
        weights[at as usize] = weight;
    }
}

/// One unit a block of outputs and a few vectors of series, which lie [`SIDE_BY_SIDE`] apart so that neighbours read
/// neighbours. `vectors` is how many vectors a row has.
#[cube(launch_unchecked)]
fn weigh_all<N: Size, W: Size>(
    weights: &Array<Vector<f32, W>>,
    y: &Array<Vector<f32, N>>,
    part: &mut Array<Vector<f32, N>>,
    rest: &mut Array<Vector<f32, N>>,
    steps: u32,
    vectors: u32,
    blocks: u32,
    #[comptime] is_first: bool,
    #[comptime] own: usize,
) {
    let place = ABSOLUTE_POS as u32;
    let side = comptime!(SIDE_BY_SIDE as u32);
    let job = place / side;
    let block = job % blocks;
    let first = job / blocks * (own as u32 * side) + place % side;
    if first < vectors {
        let mut at = Array::<u32>::new(own);
        let mut sums = Array::<Vector<f32, N>>::new(comptime!(OUTPUTS * own));
        #[unroll]
        for v in 0..own {
            // One past the last is read as the last, and not written.
            at[v] = u32::min(first + comptime!(v as u32) * side, vectors - 1);
        }
        #[unroll]
        for i in 0..comptime!(OUTPUTS * own) {
            sums[i] = Vector::new(0.0f32);
        }
        let mut row = block * steps * comptime!((OUTPUTS / WIDE) as u32);
        let mut from = 0u32.runtime();
        for _ in 0..steps / comptime!(TOGETHER as u32) {
            #[unroll]
            for _ in 0..comptime!(TOGETHER as u32) {
                add::<N, W>(weights, y, &at, &mut sums, row, from, own);
                row += comptime!((OUTPUTS / WIDE) as u32);
                from += vectors;
            }
        }
        for _ in 0..steps % comptime!(TOGETHER as u32) {
            add::<N, W>(weights, y, &at, &mut sums, row, from, own);
            row += comptime!((OUTPUTS / WIDE) as u32);
            from += vectors;
        }
        #[unroll]
        for o in 0..OUTPUTS {
            let output = block * comptime!(OUTPUTS as u32) + comptime!(o as u32);
            #[unroll]
            for v in 0..own {
                let vector = first + comptime!(v as u32) * side;
                if output < steps && vector < vectors {
                    let to = (output * vectors + vector) as usize;
                    let value = sums[o * own + v];
                    part[to] = value;
                    if is_first {
                        rest[to] = y[to] - value;
                    } else {
                        rest[to] -= value;
                    }
                }
            }
        }
    }
}

/// Adds what one step gives to each output.
#[cube]
fn add<N: Size, W: Size>(
    weights: &Array<Vector<f32, W>>,
    y: &Array<Vector<f32, N>>,
    at: &Array<u32>,
    sums: &mut Array<Vector<f32, N>>,
    row: u32,
    from: u32,
    #[comptime] own: usize,
) {
    let mut values = Array::<Vector<f32, N>>::new(own);
    #[unroll]
    for v in 0..own {
        values[v] = y[(from + at[v]) as usize];
    }
    #[unroll]
    for part in 0..comptime!(OUTPUTS / WIDE) {
        let four = weights[row as usize + part];
        #[unroll]
        for o in 0..WIDE {
            let weight = Vector::<f32, N>::new(four[o]);
            #[unroll]
            for v in 0..own {
                sums[(part * WIDE + o) * own + v] += weight * values[v];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_of_a_short_grid_alone_is_made() {
        let made = |is_software: bool, steps: usize, seasons: &[usize]| {
            let stls = seasons.iter().enumerate().map(|(i, &season)| Stl::new(season, i, steps));
            pays(is_software, steps, &stls.collect::<Vec<_>>())
        };
        assert!(made(false, 672, &[24, 168]) && made(false, 672, &[24]) && made(true, 220, &[12, 24]));
        // Too many steps for what the smoothers cost, too many to make a map of, too many for a CPU in disguise.
        assert!(!made(false, 5_000, &[6, 24]) && !made(false, 40_320, &[24, 168]) && !made(true, 672, &[24, 168]));
    }
}
