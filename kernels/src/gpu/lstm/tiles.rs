//! Products of small matrices in half precision, summed up in `f32` by the matrix units of a device: a plane of a cube a
//! tile of 16 by 16.
//!
//! A cube's windows are the rows of its tables in shared memory, whose rows are longer than what they hold, so that those
//! of a tile begin in different banks.

use cubecl::ir::FastMath;
use cubecl::prelude::*;
use half::f16;

use super::{Sizes, UNITS, part};

/// Rows and columns of a tile.
const TILE: u32 = 16;
/// Units of a plane, and planes of a cube.
pub(super) const PLANE: u32 = 32;
const PLANES: u32 = UNITS as u32 / PLANE;
/// Numbers that a row in shared memory is longer.
pub(super) const SKEW: u32 = 8;
/// Bytes that a tile's place is a multiple of.
pub(super) const ALIGNED: usize = 32;
/// The most that a number of half precision is let be.
const MOST: f32 = 60_000.0;
/// Tiles of slopes that a plane has registers for.
const MOST_TILES: u32 = 20;
/// Tiles of the four gates of a cube's windows that a plane works on.
const TURNS: u32 = 2;

/// What a compiler may make of sums and quotients: half precision has no use for their last bits.
pub(super) fn math<T: Default + Extend<FastMath>>(half: bool) -> T {
    use FastMath::{AllowReciprocal, NotInf, NotNaN, ReducedPrecision, UnsignedZero};
    let mut allowed = T::default();
    if half {
        allowed.extend([AllowReciprocal, NotInf, NotNaN, ReducedPrecision, UnsignedZero]);
    }
    allowed
}

impl Sizes {
    /// What rows in shared memory are longer.
    pub(super) fn skew(&self) -> u32 {
        if self.half { SKEW } else { 0 }
    }

    /// So many numbers, or one where no tiles are.
    pub(super) fn if_half(&self, count: u32) -> usize {
        if self.half { count as usize } else { 1 }
    }

    /// Where the constant stands among what a step sees: after the units of the step before, and its inputs.
    fn constant(&self, above: bool) -> u32 {
        self.units + if above { self.units } else { self.inputs }
    }

    /// All that a step sees, up to whole tiles.
    pub(super) fn reach(&self, above: bool) -> u32 {
        (self.constant(above) + 1).next_multiple_of(TILE)
    }

    /// Tiles of the slopes of a layer's weights.
    fn tiles(&self, above: bool) -> u32 {
        self.reach(above) / TILE * self.column_tiles()
    }

    fn column_tiles(&self) -> u32 {
        4 * self.units / TILE
    }

    /// Whether what a cube shares on the way there and back has room in so many bytes, and a plane's tiles of slopes in its
    /// registers.
    pub(super) fn fits(&self, layers: usize, bytes: usize) -> bool {
        let (half, single) = (size_of::<f16>() as u32, size_of::<f32>() as u32);
        let (wide, narrow, together) = (4 * self.units + SKEW, self.units + SKEW, self.together());
        let kept = self.units * wide * half;
        let there = together * (narrow * half + wide * single) + kept;
        let of_layer = |above: bool| {
            let seen = together * (self.reach(above) + SKEW) * half;
            let weights = if above { 2 * kept } else { kept };
            together * (wide * half + 2 * narrow * single) + seen + weights + self.units * self.outputs * single
        };
        let above = layers > 1;
        let back = of_layer(false).max(if above { of_layer(true) } else { 0 });
        let tiles = self.tiles(false).max(if above { self.tiles(true) } else { 0 });
        // Every table begins at a multiple of its alignment.
        there.max(back) as usize + 8 * ALIGNED <= bytes && tiles <= MOST_TILES * PLANES
    }
}

/// Copies the weights of a layer's units, which begin at `first`, into `[units][4 gates of units]`.
#[cube]
pub(super) fn keep<E: Float>(weights: &Array<f32>, kept: &mut SharedMemory<E>, first: u32, #[comptime] sizes: Sizes) {
    let columns = comptime!(4 * sizes.units);
    for turn in 0..comptime!(columns * sizes.units / UNITS as u32) {
        let at = turn * UNITS as u32 + UNIT_POS;
        let (row, column) = part(at, columns);
        let mut weight = 0.0f32;
        if row < sizes.hidden {
            weight = weights[(first + at) as usize];
        }
        kept[(row * comptime!(columns + SKEW) + column) as usize] = E::cast_from(weight);
    }
}

/// Copies the weights of the head, which begin at `first`, into `[units][outputs]`.
#[cube]
pub(super) fn keep_head(weights: &Array<f32>, head: &mut SharedMemory<f32>, first: u32, #[comptime] sizes: Sizes) {
    let all = comptime!(sizes.units * sizes.outputs);
    for turn in 0..comptime!(all.div_ceil(UNITS as u32)) {
        let at = turn * UNITS as u32 + UNIT_POS;
        let (unit, output) = part(at, sizes.outputs);
        if at < all {
            let mut weight = 0.0f32;
            if unit < sizes.hidden {
                weight = weights[(first + unit * sizes.wide + output) as usize];
            }
            head[at as usize] = weight;
        }
    }
}

/// A plane's columns of the weights, tile below tile.
#[cube]
pub(super) fn columns_of<E: Float>(
    kept: &SharedMemory<E>,
    columns: &mut Sequence<cmma::Matrix<E>>,
    #[comptime] sizes: Sizes,
) {
    let wide = comptime!(4 * sizes.units + SKEW);
    #[unroll]
    for turn in 0..TURNS {
        let tile = turn * PLANES + UNIT_POS / PLANE;
        let column = tile % comptime!(sizes.column_tiles());
        #[unroll]
        for k in 0..comptime!(sizes.units / TILE) {
            let from = (k * TILE * wide + column * TILE) as usize;
            columns.push(cmma::Matrix::<E>::from_slice(
                cmma::MatrixIdent::B,
                16usize,
                16usize,
                16usize,
                cmma::MatrixLayout::RowMajor,
                &kept.slice(from, kept.len()),
                wide,
            ));
        }
    }
}

/// The share of the units of the step before in the sums of the gates of this one.
#[cube]
pub(super) fn recall<E: Float>(
    last: &SharedMemory<E>,
    columns: &Sequence<cmma::Matrix<E>>,
    recalled: &mut SharedMemory<f32>,
    #[comptime] sizes: Sizes,
) {
    let wide = comptime!(4 * sizes.units + SKEW);
    let stride = comptime!(sizes.units + SKEW);
    let deep = comptime!((sizes.units / TILE) as usize);
    #[unroll]
    for turn in 0..TURNS {
        let (row, column) = part(turn * PLANES + UNIT_POS / PLANE, comptime!(sizes.column_tiles()));
        let sum = nothing();
        #[unroll]
        for k in 0..deep {
            let from = (row * comptime!(TILE * stride) + comptime!(k as u32 * TILE)) as usize;
            let windows = cmma::Matrix::<E>::from_slice(
                cmma::MatrixIdent::A,
                16usize,
                16usize,
                16usize,
                cmma::MatrixLayout::RowMajor,
                &last.slice(from, last.len()),
                stride,
            );
            cmma::execute(&windows, columns.index(comptime!(turn as usize * deep + k)), &sum, &sum);
        }
        let to = (row * comptime!(TILE * wide) + column * TILE) as usize;
        let end = recalled.len();
        cmma::store(&mut recalled.slice_mut(to, end), &sum, wide, cmma::MatrixLayout::RowMajor);
    }
}

#[cube]
fn nothing() -> cmma::Matrix<f32> {
    cmma::Matrix::<f32>::from_value(
        cmma::MatrixIdent::Accumulator,
        16usize,
        16usize,
        16usize,
        cmma::MatrixLayout::Undefined,
        0.0f32,
    )
}

/// What a step sees beside its units and inputs: the constant, and nothing past it.
#[cube]
pub(super) fn frame<E: Float>(seen: &mut SharedMemory<E>, #[comptime] above: bool, #[comptime] sizes: Sizes) {
    let reach = comptime!(sizes.reach(above));
    for turn in 0..comptime!((sizes.together() * reach).div_ceil(UNITS as u32)) {
        let (row, column) = part(turn * UNITS as u32 + UNIT_POS, reach);
        if row < comptime!(sizes.together()) {
            let mut value = E::new(0.0f32);
            if column == comptime!(sizes.constant(above)) {
                value = E::new(1.0f32);
            }
            seen[(row * comptime!(reach + SKEW) + column) as usize] = value;
        }
    }
}

/// The nearest number that half precision reaches.
#[cube]
pub(super) fn within_half(value: f32) -> f32 {
    clamp(value, 0.0f32 - MOST, MOST)
}

/// The inputs of a step of a cube's windows, as far as half precision reaches.
#[cube]
pub(super) fn show_inputs<E: Float>(
    x: &Array<f32>,
    seen: &mut SharedMemory<E>,
    step: u32,
    chunk: u32,
    #[comptime] sizes: Sizes,
) {
    let together = comptime!(sizes.together());
    for turn in 0..comptime!((together * sizes.inputs).div_ceil(UNITS as u32)) {
        let (row, input) = part(turn * UNITS as u32 + UNIT_POS, sizes.inputs);
        if row < together {
            let window = u32::min(chunk * together + row, comptime!(sizes.windows - 1));
            let value = x[((step * sizes.windows + window) * sizes.inputs + input) as usize];
            let value = within_half(value);
            let to = row * comptime!(sizes.reach(false) + SKEW) + comptime!(sizes.units) + input;
            seen[to as usize] = E::cast_from(value);
        }
    }
}

/// What the gates of a step ask of the units that the weights are of, in two halves that are to be added.
#[cube]
pub(super) fn send_back<E: Float>(
    gates: &SharedMemory<E>,
    kept: &SharedMemory<E>,
    backs: &mut SharedMemory<f32>,
    #[comptime] sizes: Sizes,
) {
    let wide = comptime!(4 * sizes.units + SKEW);
    let narrow = comptime!(sizes.units + SKEW);
    let deep = comptime!(sizes.column_tiles() / 2);
    let (half, tile) = part(UNIT_POS / PLANE, comptime!(PLANES / 2));
    let (row, column) = part(tile, comptime!(sizes.units / TILE));
    let sum = nothing();
    #[unroll]
    for k in 0..deep {
        let along = (half * deep + k) * TILE;
        let windows = cmma::Matrix::<E>::from_slice(
            cmma::MatrixIdent::A,
            16usize,
            16usize,
            16usize,
            cmma::MatrixLayout::RowMajor,
            &gates.slice((row * comptime!(TILE * wide) + along) as usize, gates.len()),
            wide,
        );
        let turned = cmma::Matrix::<E>::from_slice(
            cmma::MatrixIdent::B,
            16usize,
            16usize,
            16usize,
            cmma::MatrixLayout::ColMajor,
            &kept.slice((column * comptime!(TILE * wide) + along) as usize, kept.len()),
            wide,
        );
        cmma::execute(&windows, &turned, &sum, &sum);
    }
    let to = (half * comptime!(sizes.together() * narrow) + row * comptime!(TILE * narrow) + column * TILE) as usize;
    let end = backs.len();
    cmma::store(&mut backs.slice_mut(to, end), &sum, narrow, cmma::MatrixLayout::RowMajor);
}

/// A plane's tiles of a layer's slopes, before a step is seen.
#[cube]
pub(super) fn begin(learned: &mut Sequence<cmma::Matrix<f32>>, #[comptime] above: bool, #[comptime] sizes: Sizes) {
    #[unroll]
    for _ in 0..comptime!(sizes.tiles(above).div_ceil(PLANES)) {
        learned.push(nothing());
    }
}

/// Adds a step of a cube's windows to the slopes: what it saw times the slopes of its gates.
#[cube]
pub(super) fn learn<E: Float>(
    seen: &SharedMemory<E>,
    gates: &SharedMemory<E>,
    learned: &mut Sequence<cmma::Matrix<f32>>,
    #[comptime] above: bool,
    #[comptime] sizes: Sizes,
) {
    let wide = comptime!(4 * sizes.units + SKEW);
    let seen_wide = comptime!(sizes.reach(above) + SKEW);
    #[unroll]
    for turn in 0..comptime!(sizes.tiles(above).div_ceil(PLANES)) {
        let tile = turn * PLANES + UNIT_POS / PLANE;
        if tile < comptime!(sizes.tiles(above)) {
            let (row, column) = part(tile, comptime!(sizes.column_tiles()));
            #[unroll]
            for k in 0..comptime!(sizes.together() / TILE) {
                let turned = cmma::Matrix::<E>::from_slice(
                    cmma::MatrixIdent::A,
                    16usize,
                    16usize,
                    16usize,
                    cmma::MatrixLayout::ColMajor,
                    &seen.slice((k * TILE * seen_wide + row * TILE) as usize, seen.len()),
                    seen_wide,
                );
                let slopes = cmma::Matrix::<E>::from_slice(
                    cmma::MatrixIdent::B,
                    16usize,
                    16usize,
                    16usize,
                    cmma::MatrixLayout::RowMajor,
                    &gates.slice((k * TILE * wide + column * TILE) as usize, gates.len()),
                    wide,
                );
                let sum = learned.index(comptime!(turn as usize));
                cmma::execute(&turned, &slopes, sum, sum);
            }
        }
    }
}

/// Writes the slopes where the layer's begin, by way of shared memory: a layer's units need not fill their tiles.
#[cube]
pub(super) fn leave(
    learned: &Sequence<cmma::Matrix<f32>>,
    through: &mut SharedMemory<f32>,
    gradient: &mut Array<f32>,
    to: u32,
    #[comptime] above: bool,
    #[comptime] sizes: Sizes,
) {
    let inputs = comptime!(if above { sizes.hidden } else { sizes.inputs });
    let (plane, lane) = part(UNIT_POS, PLANE);
    let room = plane * comptime!(TILE * TILE);
    #[unroll]
    for turn in 0..comptime!(sizes.tiles(above).div_ceil(PLANES)) {
        let tile = turn * PLANES + plane;
        let is_one = tile < comptime!(sizes.tiles(above));
        if is_one {
            let end = through.len();
            cmma::store(
                &mut through.slice_mut(room as usize, end),
                learned.index(comptime!(turn as usize)),
                TILE,
                cmma::MatrixLayout::RowMajor,
            );
        }
        sync_cube();
        if is_one {
            let (row, column) = part(tile, comptime!(sizes.column_tiles()));
            for each in 0..comptime!(TILE * TILE / PLANE) {
                let (k, own) = part(each * PLANE + lane, TILE);
                let k = row * TILE + k;
                // Rows of the weights are of inputs, units and the constant; none is past them.
                let mut line = comptime!(inputs + sizes.hidden + 1).runtime();
                if k < sizes.hidden {
                    line = k + inputs;
                } else if k == comptime!(sizes.constant(above)) {
                    line = comptime!(inputs + sizes.hidden).runtime();
                } else if k >= comptime!(sizes.units) && k < comptime!(sizes.units + inputs) {
                    line = k - comptime!(sizes.units);
                }
                if line <= comptime!(inputs + sizes.hidden) {
                    let at = to + line * comptime!(4 * sizes.units) + column * TILE + own;
                    gradient[at as usize] = through[(room + each * PLANE + lane) as usize];
                }
            }
        }
        sync_cube();
    }
}
