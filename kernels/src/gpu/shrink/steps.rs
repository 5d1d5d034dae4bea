//! What one series does in one step of its shrunk fit, as parts of the kernel.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;

/// Places of a unit's counters.
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
pub(super) const COUNTERS: usize = 8;

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

/// Places of a unit's levels.
pub(super) const VARIANCE: usize = 0;
pub(super) const RIDGE: usize = 1;
/// The largest product of a residual with a Laplace column.
pub(super) const LARGEST: usize = 2;
/// `change * (right + gradient)`, summed over the Laplace coefficients.
pub(super) const PAIRS: usize = 3;
pub(super) const LEVELS: usize = 4;

/// Widest row of the Gram that a unit holds in registers.
const REGISTERS: usize = 32;

/// Inverses and right sides along the vectors, of the ridge as it is.
#[cube]
pub(super) fn eliminate<F: Float>(
    table: &Array<F>,
    values: usize,
    level: &Array<F>,
    up: &Array<F>,
    held: &Array<F>,
    inverse: &mut Array<F>,
    right: &mut Array<F>,
    #[comptime] d: usize,
) {
    let ridge = level[RIDGE];
    #[unroll]
    for m in 0..d {
        let sum = table[values + m] + ridge;
        inverse[m] = F::new(0.0f32);
        if sum > table[values + d + m] {
            inverse[m] = F::new(1.0f32) / sum;
        }
        right[m] = up[m] - ridge * held[m];
    }
}

/// Changes of the Laplace coefficients, and of the normal ones along the vectors.
#[cube]
pub(super) fn spread<F: Float>(
    table: &Array<F>,
    across: usize,
    x: &Array<F>,
    begin: &Array<F>,
    inverse: &Array<F>,
    right: &Array<F>,
    change: &mut Array<F>,
    along: &mut Array<F>,
    hinges: u32,
    #[comptime] d: usize,
) {
    #[unroll]
    for m in 0..d {
        along[m] = right[m];
    }
    for i in 0..hinges {
        let j = i as usize;
        let moved = x[j] - begin[j];
        change[j] = moved;
        if moved != F::new(0.0f32) {
            let row = across + j * d;
            #[unroll]
            for m in 0..d {
                along[m] -= table[row + m] * moved;
            }
        }
    }
    #[unroll]
    for m in 0..d {
        along[m] *= inverse[m];
    }
}

/// The Laplace coefficient at zero whose gradient is steepest, if it is steeper than `weight`; twice its number, and one
/// more where it is to be positive. Leaves [`PAIRS`].
#[cube]
pub(super) fn steepest<F: Float>(
    table: &Array<F>,
    across: usize,
    cross: &Array<F>,
    cross_at: usize,
    series: usize,
    change: &Array<F>,
    along: &Array<F>,
    place: &Array<u32>,
    barred: &Array<u32>,
    level: &mut Array<F>,
    threshold: F,
    hinges: u32,
    #[comptime] d: usize,
    #[comptime] h: usize,
    #[comptime] rolled: bool,
) -> u32 {
    let gram = across + h * d;
    let mut near = Array::<F>::new(h);
    if comptime!(!rolled && h <= REGISTERS) {
        #[unroll]
        for j in 0..h {
            near[j] = change[j];
        }
    }
    let mut most = threshold + F::new(0.0f32);
    let mut best = NONE.runtime();
    let mut pairs = F::new(0.0f32);
    for i in 0..hinges {
        let l = i as usize;
        let own = cross[cross_at + l * series];
        let mut gradient = own + F::new(0.0f32);
        let row = across + l * d;
        #[unroll]
        for m in 0..d {
            gradient -= table[row + m] * along[m];
        }
        let row = gram + l * h;
        if comptime!(!rolled && h <= REGISTERS) {
            #[unroll]
            for j in 0..h {
                gradient -= table[row + j] * near[j];
            }
        } else {
            for j in 0..hinges {
                gradient -= table[row + j as usize] * change[j as usize];
            }
        }
        pairs += change[l] * (own + gradient);
        let steep = gradient.abs();
        if steep > most && place[l] == 0u32 && barred[l] == 0u32 {
            most = steep + F::new(0.0f32);
            best = 2 * i;
            if gradient > F::new(0.0f32) {
                best = 2 * i + 1;
            }
        }
    }
    level[PAIRS] = pairs;
    best
}

/// Takes the coefficient at a position out of the active ones and sets it to zero.
#[cube]
pub(super) fn leave<F: Float>(
    position: u32,
    count: &mut Array<u32>,
    order: &mut Array<u32>,
    place: &mut Array<u32>,
    x: &mut Array<F>,
) -> u32 {
    let own = order[position as usize];
    x[own as usize] = F::new(0.0f32);
    place[own as usize] = 0u32;
    for i in position + 1..count[ACTIVE] {
        let later = order[i as usize];
        order[(i - 1) as usize] = later;
        place[later as usize] = i;
    }
    count[ACTIVE] -= 1u32;
    own
}

/// Makes the factor's rows from [`FROM`] on; a coefficient that the ones before it span leaves.
///
/// A row is the Gram's, less what the normal coefficients explain of it, and then less the rows above it. It ends in
/// the inverse of its pivot's root.
#[cube]
pub(super) fn refactor<F: Float>(
    table: &Array<F>,
    across: usize,
    inverse: &Array<F>,
    floor: F,
    factor: &mut Array<F>,
    count: &mut Array<u32>,
    order: &mut Array<u32>,
    place: &mut Array<u32>,
    barred: &mut Array<u32>,
    x: &mut Array<F>,
    hinges: u32,
    #[comptime] d: usize,
    #[comptime] h: usize,
) {
    let gram = across + h * d;
    let mut scaled = Array::<F>::new(d);
    let mut i = count[FROM] + 0;
    while i < count[ACTIVE] {
        let own = order[i as usize] as usize;
        let diagonal = table[gram + own * h + own];
        let mut pivot = diagonal + F::new(0.0f32);
        #[unroll]
        for m in 0..d {
            let value = table[across + own * d + m];
            scaled[m] = value * inverse[m];
            pivot -= scaled[m] * value;
        }
        let row = (i * (i + 1) / 2) as usize;
        // All coefficients in their own order: neighbouring units read the same values.
        for j in 0..hinges {
            let position = place[j as usize];
            if position > 0 && position <= i {
                let mut value = table[gram + own * h + j as usize];
                #[unroll]
                for m in 0..d {
                    value -= scaled[m] * table[across + j as usize * d + m];
                }
                factor[row + position as usize - 1] = value;
            }
        }
        for a in 0..i {
            let above = (a * (a + 1) / 2) as usize;
            let mut value = factor[row + a as usize];
            for b in 0..a {
                value -= factor[row + b as usize] * factor[above + b as usize];
            }
            value *= factor[above + a as usize];
            factor[row + a as usize] = value;
            pivot -= value * value;
        }
        if pivot > floor * diagonal {
            factor[row + i as usize] = F::new(1.0f32) / pivot.sqrt();
            i += 1u32;
        } else {
            let gone = leave::<F>(i, count, order, place, x);
            barred[gone as usize] = 1u32;
        }
    }
    count[FROM] = count[ACTIVE];
}

/// The optimum among the active coefficients with their signs, into `target`.
#[cube]
pub(super) fn aim<F: Float>(
    table: &Array<F>,
    across: usize,
    cross: &Array<F>,
    cross_at: usize,
    series: usize,
    begin: &Array<F>,
    inverse: &Array<F>,
    right: &Array<F>,
    factor: &Array<F>,
    count: &Array<u32>,
    order: &Array<u32>,
    place: &Array<u32>,
    positive: &Array<u32>,
    target: &mut Array<F>,
    weight: F,
    hinges: u32,
    #[comptime] d: usize,
    #[comptime] h: usize,
) {
    let gram = across + h * d;
    let mut pull = Array::<F>::new(d);
    #[unroll]
    for m in 0..d {
        pull[m] = right[m];
    }
    let mut gone = 0u32.runtime();
    // A coefficient that was in the start and is zero now has moved by minus its start.
    for i in 0..hinges {
        let j = i as usize;
        if place[j] == 0u32 && begin[j] != F::new(0.0f32) {
            gone += 1u32;
            #[unroll]
            for m in 0..d {
                pull[m] += table[across + j * d + m] * begin[j];
            }
        }
    }
    #[unroll]
    for m in 0..d {
        pull[m] *= inverse[m];
    }
    for i in 0..hinges {
        let j = i as usize;
        let position = place[j];
        if position > 0 {
            let mut value = cross[cross_at + j * series] - weight;
            if positive[j] == 0u32 {
                value += weight + weight;
            }
            #[unroll]
            for m in 0..d {
                value -= table[across + j * d + m] * pull[m];
            }
            if gone > 0 {
                for l in 0..hinges {
                    if place[l as usize] == 0u32 {
                        value += table[gram + j * h + l as usize] * begin[l as usize];
                    }
                }
            }
            target[position as usize - 1] = value;
        }
    }
    substitute::<F>(factor, count[ACTIVE], target);
    for a in 0..count[ACTIVE] {
        target[a as usize] += begin[order[a as usize] as usize];
    }
}

/// Solves with the factor and its transpose.
#[cube]
fn substitute<F: Float>(factor: &Array<F>, active: u32, target: &mut Array<F>) {
    for a in 0..active {
        let row = (a * (a + 1) / 2) as usize;
        let mut value = target[a as usize];
        for b in 0..a {
            value -= factor[row + b as usize] * target[b as usize];
        }
        target[a as usize] = value * factor[row + a as usize];
    }
    for back in 0..active {
        let a = active - 1 - back;
        let row = (a * (a + 1) / 2) as usize;
        let solved = target[a as usize] * factor[row + a as usize];
        target[a as usize] = solved;
        for b in 0..a {
            target[b as usize] -= factor[row + b as usize] * solved;
        }
    }
}

/// Goes to `target`, or as far as the active coefficient that first meets zero; that one leaves. Whether one did.
#[cube]
pub(super) fn advance<F: Float>(
    target: &Array<F>,
    count: &mut Array<u32>,
    order: &mut Array<u32>,
    place: &mut Array<u32>,
    positive: &Array<u32>,
    barred: &mut Array<u32>,
    x: &mut Array<F>,
) -> bool {
    let zero = F::new(0.0f32);
    let mut shortest = F::new(2.0f32);
    let mut first = NONE.runtime();
    for a in 0..count[ACTIVE] {
        let j = order[a as usize] as usize;
        let there = target[a as usize];
        let crosses = select(positive[j] == 1u32, there <= zero, there >= zero);
        if crosses {
            let way = x[j] - there;
            let mut length = F::new(0.0f32);
            if way != zero {
                length = x[j] / way;
            }
            length = max(zero, min(F::new(1.0f32), length));
            if length < shortest {
                shortest = length + zero;
                first = a + 0;
            }
        }
    }
    let met = first != NONE;
    let length = select(met, shortest, F::new(1.0f32));
    for a in 0..count[ACTIVE] {
        let j = order[a as usize] as usize;
        let there = target[a as usize];
        x[j] = select(met, x[j] + length * (there - x[j]), there);
    }
    if met {
        let left = leave::<F>(first, count, order, place, x);
        barred[left as usize] = u32::cast_from(left == count[NEWEST] && length == zero);
        count[FROM] = first;
        count[NEWEST] = NONE;
    }
    met
}
