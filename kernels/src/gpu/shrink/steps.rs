//! What one series' cube does in one step of its shrunk fit, as parts of the kernel. Every part ends in step: what a
//! unit left in shared memory is there for the others.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a factor's row is made in one place

use cubecl::prelude::*;

use super::state::{ACTIVE, BEGUN, FROM, NEWEST, NONE, PAIRS, RIDGE, State, UNITS, mine};

/// Inverses and right sides along the vectors, of the ridge as it is.
#[cube]
pub(super) fn eliminate<F: Float>(table: &Array<F>, values: usize, state: &mut State<F>, #[comptime] d: usize) {
    let ridge = state.level[RIDGE];
    #[unroll]
    for turn in 0..comptime!(d.div_ceil(UNITS)) {
        let m = mine(turn) as usize;
        if m < d {
            let sum = table[values + m] + ridge;
            let mut inverse = F::new(0.0f32);
            if sum > table[values + d + m] {
                inverse = F::new(1.0f32) / sum;
            }
            state.inverse[m] = inverse;
            state.right[m] = state.up[m] - ridge * state.held[m];
        }
    }
    sync_cube();
}

/// Lets every coefficient enter again.
#[cube]
pub(super) fn unbar<F: Float>(state: &mut State<F>, #[comptime] h: usize) {
    #[unroll]
    for turn in 0..comptime!(h.div_ceil(UNITS)) {
        let j = mine(turn) as usize;
        if j < h {
            state.barred[j] = 0u32;
        }
    }
    sync_cube();
}

/// Changes of the Laplace coefficients, and of the normal ones along the vectors.
#[cube]
pub(super) fn spread<F: Float>(
    table: &Array<F>,
    across: usize,
    state: &mut State<F>,
    hinges: u32,
    #[comptime] d: usize,
    #[comptime] h: usize,
) {
    #[unroll]
    for turn in 0..comptime!(h.div_ceil(UNITS)) {
        let j = mine(turn) as usize;
        if j < h {
            state.change[j] = state.x[j] - state.begin[j];
        }
    }
    sync_cube();
    #[unroll]
    for turn in 0..comptime!(d.div_ceil(UNITS)) {
        let m = mine(turn) as usize;
        if m < d {
            let mut rest = state.right[m] + F::new(0.0f32);
            for a in 0..state.count[ACTIVE] {
                let j = state.order[a as usize] as usize;
                rest -= table[across + j * d + m] * state.change[j];
            }
            if state.count[BEGUN] == 1u32 {
                for j in 0..hinges {
                    let j = j as usize;
                    if state.place[j] == 0u32 && state.change[j] != F::new(0.0f32) {
                        rest -= table[across + j * d + m] * state.change[j];
                    }
                }
            }
            state.along[m] = rest * state.inverse[m];
        }
    }
    sync_cube();
}

/// The Laplace coefficient at zero whose gradient is steepest, if it is steeper than `threshold`; twice its number, and
/// one more where it is to be positive. Leaves [`PAIRS`].
#[cube]
pub(super) fn steepest<F: Float>(
    table: &Array<F>,
    gram: usize,
    state: &mut State<F>,
    threshold: F,
    hinges: u32,
    #[comptime] d: usize,
    #[comptime] h: usize,
) -> u32 {
    let mut most = threshold + F::new(0.0f32);
    let mut best = NONE.runtime();
    let mut pairs = F::new(0.0f32);
    #[unroll]
    for turn in 0..comptime!(h.div_ceil(UNITS)) {
        let own = mine(turn);
        let l = own as usize;
        if own < hinges {
            let mut gradient = state.cross[turn] + F::new(0.0f32);
            #[unroll]
            for m in 0..d {
                gradient -= state.across[turn * d + m] * state.along[m];
            }
            for a in 0..state.count[ACTIVE] {
                let j = state.order[a as usize] as usize;
                gradient -= table[gram + j * h + l] * state.change[j];
            }
            if state.count[BEGUN] == 1u32 {
                for j in 0..hinges {
                    let j = j as usize;
                    if state.place[j] == 0u32 && state.change[j] != F::new(0.0f32) {
                        gradient -= table[gram + j * h + l] * state.change[j];
                    }
                }
            }
            pairs += state.change[l] * (state.cross[turn] + gradient);
            let steep = gradient.abs();
            if steep > most && state.place[l] == 0u32 && state.barred[l] == 0u32 {
                most = steep + F::new(0.0f32);
                best = 2 * own;
                if gradient > F::new(0.0f32) {
                    best = 2 * own + 1;
                }
            }
        }
    }
    let unit = UNIT_POS as usize;
    state.steep[unit] = most;
    state.best[unit] = best;
    state.pairs[unit] = pairs;
    sync_cube();
    // Halves meet; of two as steep the first one.
    #[unroll]
    for turn in 0..comptime!(UNITS.ilog2()) {
        let half = comptime!((UNITS >> (turn + 1)) as u32);
        if UNIT_POS < half {
            let other = (UNIT_POS + half) as usize;
            let both = state.pairs[unit] + state.pairs[other];
            state.pairs[unit] = both;
            let as_steep = state.steep[other] == state.steep[unit] && state.best[other] < state.best[unit];
            if as_steep || state.steep[other] > state.steep[unit] {
                state.steep[unit] = state.steep[other];
                state.best[unit] = state.best[other];
            }
        }
        sync_cube();
    }
    state.level[PAIRS] = state.pairs[0];
    let found = state.best[0] + 0u32;
    sync_cube();
    found
}

/// Takes the coefficient at a position out of the active ones and sets it to zero; `barred` is whether it may not
/// enter.
#[cube]
pub(super) fn leave<F: Float>(position: u32, state: &mut State<F>, barred: u32, #[comptime] h: usize) {
    let gone = state.order[position as usize] + 0u32;
    sync_cube();
    #[unroll]
    for turn in 0..comptime!(h.div_ceil(UNITS)) {
        let own = mine(turn);
        let j = own as usize;
        if j < h {
            let place = state.place[j] + 0u32;
            if own == gone {
                state.x[j] = F::new(0.0f32);
                state.place[j] = 0u32;
                state.barred[j] = barred;
            } else if place > position {
                state.place[j] = place - 1;
                state.order[(place - 2) as usize] = own;
            }
        }
    }
    state.count[ACTIVE] -= 1u32;
    sync_cube();
}

/// Makes the factor's rows from [`FROM`] on; a coefficient that the ones before it span leaves.
///
/// A row is the Gram's, less what the normal coefficients explain of it, and then less the rows above it. It ends in
/// the inverse of its pivot's root.
#[cube]
pub(super) fn refactor<F: Float>(
    table: &Array<F>,
    across: usize,
    state: &mut State<F>,
    floor: F,
    #[comptime] d: usize,
    #[comptime] h: usize,
) {
    let gram = across + h * d;
    let turns = comptime!(h.div_ceil(UNITS));
    let mut i = state.count[FROM] + 0u32;
    while i < state.count[ACTIVE] {
        let own = state.order[i as usize] as usize;
        #[unroll]
        for turn in 0..comptime!(d.div_ceil(UNITS)) {
            let m = mine(turn) as usize;
            if m < d {
                state.part[m] = table[across + own * d + m] * state.inverse[m];
            }
        }
        sync_cube();
        #[unroll]
        for turn in 0..turns {
            let j = mine(turn) as usize;
            if j < h {
                let place = state.place[j];
                if place > 0u32 && place <= i + 1 {
                    let mut value = table[gram + own * h + j];
                    #[unroll]
                    for m in 0..d {
                        value -= state.part[m] * state.across[turn * d + m];
                    }
                    state.target[(place - 1) as usize] = value;
                }
            }
        }
        sync_cube();
        let row = i * (i + 1) / 2;
        let mut rest = Array::<F>::new(turns);
        #[unroll]
        for turn in 0..turns {
            rest[turn] = F::new(0.0f32);
            if mine(turn) <= i {
                rest[turn] = state.target[mine(turn) as usize];
            }
        }
        for a in 0..i {
            let above = a * (a + 1) / 2;
            #[unroll]
            for turn in 0..turns {
                if mine(turn) == a {
                    state.factor[(row + a) as usize] = rest[turn] * state.factor[(above + a) as usize];
                }
            }
            sync_cube();
            let solved = state.factor[(row + a) as usize];
            #[unroll]
            for turn in 0..turns {
                let b = mine(turn);
                if b > a && b < i {
                    rest[turn] -= solved * state.factor[(b * (b + 1) / 2 + a) as usize];
                }
                if b == i {
                    rest[turn] -= solved * solved;
                }
            }
        }
        #[unroll]
        for turn in 0..turns {
            if mine(turn) == i {
                state.target[i as usize] = rest[turn];
            }
        }
        sync_cube();
        let pivot = state.target[i as usize];
        if pivot > floor * table[gram + own * h + own] {
            if UNIT_POS == 0 {
                state.factor[(row + i) as usize] = F::new(1.0f32) / pivot.sqrt();
            }
            i += 1u32;
        } else {
            leave::<F>(i, state, 1u32, h);
        }
        sync_cube();
    }
    state.count[FROM] = state.count[ACTIVE];
}

/// The optimum among the active coefficients with their signs, into `target`.
#[cube]
pub(super) fn aim<F: Float>(
    table: &Array<F>,
    across: usize,
    state: &mut State<F>,
    weight: F,
    hinges: u32,
    #[comptime] d: usize,
    #[comptime] h: usize,
) {
    let gram = across + h * d;
    let begun = state.count[BEGUN] == 1u32;
    #[unroll]
    for turn in 0..comptime!(d.div_ceil(UNITS)) {
        let m = mine(turn) as usize;
        if m < d {
            let mut pull = state.right[m] + F::new(0.0f32);
            // A coefficient that was in the start and is zero now has moved by minus its start.
            if begun {
                for j in 0..hinges {
                    let j = j as usize;
                    if state.place[j] == 0u32 && state.begin[j] != F::new(0.0f32) {
                        pull += table[across + j * d + m] * state.begin[j];
                    }
                }
            }
            state.part[m] = pull * state.inverse[m];
        }
    }
    sync_cube();
    #[unroll]
    for turn in 0..comptime!(h.div_ceil(UNITS)) {
        let own = mine(turn) as usize;
        if own < h {
            let place = state.place[own];
            if place > 0u32 {
                let mut value = state.cross[turn] - weight;
                if state.positive[own] == 0u32 {
                    value += weight + weight;
                }
                #[unroll]
                for m in 0..d {
                    value -= state.across[turn * d + m] * state.part[m];
                }
                if begun {
                    for j in 0..hinges {
                        let j = j as usize;
                        if state.place[j] == 0u32 && state.begin[j] != F::new(0.0f32) {
                            value += table[gram + j * h + own] * state.begin[j];
                        }
                    }
                }
                state.target[(place - 1) as usize] = value;
            }
        }
    }
    sync_cube();
    substitute::<F>(state, h);
}

/// Solves with the factor and its transpose, and adds the start.
#[cube]
fn substitute<F: Float>(state: &mut State<F>, #[comptime] h: usize) {
    let turns = comptime!(h.div_ceil(UNITS));
    let active = state.count[ACTIVE] + 0u32;
    let mut rest = Array::<F>::new(turns);
    #[unroll]
    for turn in 0..turns {
        rest[turn] = F::new(0.0f32);
        if mine(turn) < active {
            rest[turn] = state.target[mine(turn) as usize];
        }
    }
    for a in 0..active {
        let above = a * (a + 1) / 2;
        #[unroll]
        for turn in 0..turns {
            if mine(turn) == a {
                rest[turn] *= state.factor[(above + a) as usize];
                state.target[a as usize] = rest[turn];
            }
        }
        sync_cube();
        #[unroll]
        for turn in 0..turns {
            let b = mine(turn);
            if b > a && b < active {
                rest[turn] -= state.factor[(b * (b + 1) / 2 + a) as usize] * state.target[a as usize];
            }
        }
    }
    for back in 0..active {
        let a = active - 1 - back;
        let row = a * (a + 1) / 2;
        #[unroll]
        for turn in 0..turns {
            if mine(turn) == a {
                rest[turn] *= state.factor[(row + a) as usize];
                state.target[a as usize] = rest[turn];
            }
        }
        sync_cube();
        #[unroll]
        for turn in 0..turns {
            let b = mine(turn);
            if b < a {
                rest[turn] -= state.factor[(row + b) as usize] * state.target[a as usize];
            }
        }
    }
    #[unroll]
    for turn in 0..turns {
        let a = mine(turn);
        if a < active {
            state.target[a as usize] = rest[turn] + state.begin[state.order[a as usize] as usize];
        }
    }
    sync_cube();
}

/// Goes to `target`, or as far as the active coefficient that first meets zero; that one leaves. Whether one did.
#[cube]
pub(super) fn advance<F: Float>(state: &mut State<F>, #[comptime] h: usize) -> bool {
    let zero = F::new(0.0f32);
    let mut shortest = F::new(2.0f32);
    let mut first = NONE.runtime();
    for a in 0..state.count[ACTIVE] {
        let j = state.order[a as usize] as usize;
        let there = state.target[a as usize];
        let crosses = select(state.positive[j] == 1u32, there <= zero, there >= zero);
        if crosses {
            let way = state.x[j] - there;
            let mut length = F::new(0.0f32);
            if way != zero {
                length = state.x[j] / way;
            }
            length = max(zero, min(F::new(1.0f32), length));
            if length < shortest {
                shortest = length + zero;
                first = a + 0;
            }
        }
    }
    sync_cube();
    let met = first != NONE;
    #[unroll]
    for turn in 0..comptime!(h.div_ceil(UNITS)) {
        let a = mine(turn);
        if a < state.count[ACTIVE] {
            let j = state.order[a as usize] as usize;
            let there = state.target[a as usize];
            state.x[j] = select(met, state.x[j] + shortest * (there - state.x[j]), there);
        }
    }
    sync_cube();
    if met {
        let newest = state.order[first as usize] == state.count[NEWEST];
        leave::<F>(first, state, u32::cast_from(newest && shortest == zero), h);
        state.count[FROM] = first;
        state.count[NEWEST] = NONE;
    }
    met
}
