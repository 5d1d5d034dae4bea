//! What a series' cube keeps: some in its shared memory, some in its units, each on their own or all alike.

use cubecl::prelude::*;

/// Units of a series' cube: one a Laplace coefficient and position of the factor, in as many turns as it takes. One
/// plane of an NVIDIA GPU, whose units need not wait for others.
pub(super) const UNITS: usize = 32;

/// Places of a series' counters.
pub(super) const ACTIVE: usize = 0;
/// The coefficient that entered last, or [`NONE`].
pub(super) const NEWEST: usize = 1;
/// Steps for this weight.
pub(super) const STEP: usize = 2;
/// Changes of the weight for this ridge.
pub(super) const ALTERNATION: usize = 3;
/// Changes of the ridge.
pub(super) const ROUND: usize = 4;
/// Systems solved.
pub(super) const SOLVES: usize = 5;
/// One of the stages below.
pub(super) const STAGE: usize = 6;
/// The first row of the factor that no longer holds; kept by no launch.
pub(super) const FROM: usize = 7;
/// 1 where some Laplace coefficient was in the start.
pub(super) const BEGUN: usize = 8;
pub(super) const COUNTERS: usize = 9;

/// Signs enter and leave.
pub(super) const STEPS: u32 = 0;
/// The ridge is to follow the noise.
pub(super) const ELIMINATION: u32 = 1;
/// Stages from here on are ends.
pub(super) const CONVERGED: u32 = 2;
pub(super) const CAPPED: u32 = 3;
/// Met what is no number.
pub(super) const BROKEN: u32 = 4;

pub(super) const NONE: u32 = u32::MAX;

/// Places of a series' levels.
pub(super) const VARIANCE: usize = 0;
pub(super) const RIDGE: usize = 1;
/// The variance of the alternation before this one, and the one that it led to.
pub(super) const BEFORE: usize = 2;
pub(super) const AFTER: usize = 3;
/// Levels that are kept between launches.
pub(super) const KEPT: usize = 4;
/// The largest product of a residual with a Laplace column.
pub(super) const LARGEST: usize = 4;
/// `change * (right + gradient)`, summed over the Laplace coefficients.
pub(super) const PAIRS: usize = 5;
pub(super) const LEVELS: usize = 6;

/// What a cube knows of its series.
#[derive(CubeType)]
pub(super) struct State<F: Float> {
    /// Of each Laplace coefficient: its value, its start, its change, and 1 where it is to be positive, where it may
    /// not enter.
    pub(super) x: SharedMemory<F>,
    pub(super) begin: SharedMemory<F>,
    pub(super) change: SharedMemory<F>,
    pub(super) positive: SharedMemory<u32>,
    pub(super) barred: SharedMemory<u32>,
    /// Its position among the active ones, from 1, or 0.
    pub(super) place: SharedMemory<u32>,
    /// Of each position: its coefficient, and where that is to go.
    pub(super) order: SharedMemory<u32>,
    pub(super) target: SharedMemory<F>,
    /// Lower triangle, row by row; the pivots' roots inverted.
    pub(super) factor: SharedMemory<F>,
    /// Along each vector: products and start, and of the ridge as it is the inverse, the right side, the change.
    pub(super) up: SharedMemory<F>,
    pub(super) held: SharedMemory<F>,
    pub(super) inverse: SharedMemory<F>,
    pub(super) right: SharedMemory<F>,
    pub(super) along: SharedMemory<F>,
    pub(super) part: SharedMemory<F>,
    /// Of each unit, for what all of them say together.
    pub(super) steep: SharedMemory<F>,
    pub(super) pairs: SharedMemory<F>,
    pub(super) best: SharedMemory<u32>,
    /// Of a unit's own coefficients: the product with the residual, and the row across the vectors.
    pub(super) cross: Array<F>,
    pub(super) across: Array<F>,
    /// The same in every unit.
    pub(super) count: Array<u32>,
    pub(super) level: Array<F>,
}

/// How many elements of shared memory a cube takes of floats and of `u32`.
pub(super) fn shared(d: usize, h: usize) -> (usize, usize) {
    (h * (h + 1) / 2 + 4 * h + 6 * d + 2 * UNITS, 4 * h + UNITS)
}

#[cube]
impl<F: Float> State<F> {
    pub(super) fn new(#[comptime] d: usize, #[comptime] h: usize) -> State<F> {
        let own = comptime!(h.div_ceil(UNITS));
        State::<F> {
            x: SharedMemory::new(h),
            begin: SharedMemory::new(h),
            change: SharedMemory::new(h),
            positive: SharedMemory::new(h),
            barred: SharedMemory::new(h),
            place: SharedMemory::new(h),
            order: SharedMemory::new(h),
            target: SharedMemory::new(h),
            factor: SharedMemory::new(comptime!(h * (h + 1) / 2)),
            up: SharedMemory::new(d),
            held: SharedMemory::new(d),
            inverse: SharedMemory::new(d),
            right: SharedMemory::new(d),
            along: SharedMemory::new(d),
            part: SharedMemory::new(d),
            steep: SharedMemory::new(UNITS),
            pairs: SharedMemory::new(UNITS),
            best: SharedMemory::new(UNITS),
            cross: Array::new(own),
            across: Array::new(comptime!(own * d)),
            count: Array::new(COUNTERS),
            level: Array::new(LEVELS),
        }
    }
}

/// A unit's own place in some turn.
#[cube]
pub(super) fn mine(#[comptime] turn: usize) -> u32 {
    UNIT_POS + comptime!((turn * UNITS) as u32)
}

/// Whether every unit says so.
#[cube]
pub(super) fn all<F: Float>(state: &mut State<F>, own: bool) -> bool {
    state.best[UNIT_POS as usize] = u32::cast_from(own);
    sync_cube();
    let mut every = true;
    for unit in 0..comptime!(UNITS as u32) {
        every = every && state.best[unit as usize] == 1u32;
    }
    sync_cube();
    every
}
