//! The exact likelihood of short models without a season, a unit a model, its state in registers.
//!
//! The recursion is the one over series without gaps, see `filter`, from where `start` says.
#![allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::curvature::{row_of, told, triangle};
use super::pack::Packed;
use super::place::{Blocks, coefficient_count, length};
use super::start::{begin, is_asked};
use super::{COUNTED, CROSS, FAR, FIRST, LOGS, ONES, PRODUCT, SHORT, SQUARES, SUM_ROWS, TOTAL};
use crate::ArmaOrder;
use crate::gpu::{CHUNK, array, ln};

/// How many times larger than a process' variance that of its autoregression may be for enough digits to be left for a
/// difference, in either float.
const TRUSTED: f32 = 1e5;
const TRUSTED_SINGLE: f32 = 1e2;
/// A change of the covariance so small that it is none beside the difference of two likelihoods: columns that are
/// compared come to rest at steps of their own, and what a root near the unit circle has still to bring is some ten
/// thousand times as much, at every step.
pub(super) const AT_REST: f32 = 1e-20;

/// Units of a cube whose models tell products of their innovations, and steps that it keeps of those.
const UNITS: usize = 128;
const SLOTS: usize = 8;

/// Models of one order, or of orders within it, on packed series, `variants` columns a model.
pub(super) struct Short<'a, R: Runtime> {
    packed: &'a Packed<'a, R>,
    order: ArmaOrder,
    constant: bool,
    of: Handle,
    models: usize,
    variants: usize,
    start: Handle,
}

impl<'a, R: Runtime> Short<'a, R> {
    /// Whether a model is short enough for series of so many steps.
    pub(super) fn fits(order: ArmaOrder, steps: usize) -> bool {
        order.seasonal_ar + order.seasonal_ma == 0 && order.ar.max(order.ma) <= SHORT && steps <= CHUNK
    }

    /// Elements of a model's state.
    pub(super) fn width(order: ArmaOrder) -> usize {
        order.ar.max(order.ma + 1)
    }

    pub(super) fn new(
        packed: &'a Packed<'a, R>,
        order: ArmaOrder,
        constant: bool,
        of: &Handle,
        models: usize,
        variants: usize,
    ) -> Self {
        let start = packed.own.gpu.empty_floats((Self::width(order) + 1) * models * variants);
        Self { packed, order, constant, of: of.clone(), models, variants, start }
    }

    pub(super) fn own_width(&self) -> usize {
        Self::width(self.order)
    }

    fn columns(&self) -> usize {
        self.models * self.variants
    }

    /// Sums of every column whose model walks, from a row of each coefficient; the state they end in where it is asked
    /// for, that of the series before that of ones.
    pub(super) fn run<F: Float + CubeElement>(
        &self,
        blocks: &Blocks,
        coefficients: &Handle,
        walks: &Handle,
        sums: &Handle,
        state: Option<&Handle>,
        products: Option<&Handle>,
    ) {
        let (own, order, width) = (&self.packed.own, self.order, Self::width(self.order));
        let Some((cubes, dim)) = own.gpu.one_unit_per_any(self.columns()) else { return };
        let cells = triangle(order.coefficients());
        let (filters, of_filter) = match products {
            Some(_) => {
                let dim = CubeDim::new_1d(UNITS as u32);
                let units = self.models.div_ceil(UNITS / self.variants) * UNITS;
                (cubecl::calculate_cube_count_elemwise(own.gpu.client(), units, dim), dim)
            }
            None => (cubes.clone(), dim),
        };
        let none = own.gpu.empty_floats(1);
        // SAFETY: each array was made with the rows that it is passed with, and `of` names packed series; units past the
        // last column stop.
        unsafe {
            begin::launch_unchecked::<F, R>(
                own.gpu.client(),
                cubes,
                dim,
                array(coefficients, order.coefficients() * self.columns()),
                array(walks, self.models),
                blocks.lengths(),
                array(&self.start, (width + 1) * self.columns()),
                self.columns() as u32,
                self.variants as u32,
                if own.gpu.has_f64() { TRUSTED } else { TRUSTED_SINGLE },
                width,
                blocks.alike,
            );
            filter::launch_unchecked::<F, R>(
                own.gpu.client(),
                filters,
                of_filter,
                own.arg(),
                self.packed.counts(),
                self.packed.units(),
                array(&self.of, self.models),
                array(coefficients, order.coefficients() * self.columns()),
                array(walks, self.models),
                blocks.lengths(),
                array(&self.start, (width + 1) * self.columns()),
                array(sums, SUM_ROWS * self.columns()),
                state.map_or(array(&none, 1), |state| array(state, 2 * width * self.columns())),
                products.map_or(array(&none, 1), |products| array(products, cells * self.models)),
                own.series as u32,
                own.steps as u32,
                self.packed.before as u32,
                self.columns() as u32,
                self.variants as u32,
                width,
                blocks.alike,
                self.constant,
                self.packed.centred && !self.constant,
                state.is_some(),
                products.map_or(0, |_| cells.div_ceil(self.variants)),
            );
        }
    }
}

/// The filter of every column. Where a unit is asked for some pairs, those of free numbers that its column takes on tell
/// the products of how they move the innovations: a model's columns lie in one cube then, which keeps a few steps.
#[cube(launch_unchecked)]
fn filter<F: Float>(
    own: &Array<F>,
    counts: &Array<u32>,
    units: &Array<F>,
    of: &Array<u32>,
    coefficients: &Array<F>,
    walks: &Array<u32>,
    lengths: &Array<u32>,
    start: &Array<F>,
    sums: &mut Array<F>,
    state: &mut Array<F>,
    products: &mut Array<F>,
    series: u32,
    steps: u32,
    before: u32,
    columns: u32,
    variants: u32,
    #[comptime] width: usize,
    #[comptime] alike: bool,
    #[comptime] constant: bool,
    #[comptime] moves: bool,
    #[comptime] keeps: bool,
    #[comptime] pairs: usize,
) {
    let zero = F::new(0.0f32);
    let one = F::new(1.0f32);
    let unit = UNIT_POS;
    let models = columns / variants;
    let mut c = ABSOLUTE_POS as u32;
    let mut column = 0u32.runtime();
    let mut wanted = true;
    if comptime!(pairs > 0) {
        let together = comptime!(UNITS as u32) / variants;
        let first = CUBE_POS as u32 * together;
        column = unit % variants;
        c = (first + unit / variants) * variants + column;
        if unit >= together * variants {
            c = columns + 0;
        }
        // A cube of which no model walks has nothing to wait for.
        wanted = false;
        for m in first..u32::min(first + together, models) {
            wanted = wanted || walks[m as usize] == 1u32;
        }
    }
    let mut asked = false;
    if c < columns {
        asked = is_asked(walks, lengths, columns, variants, c, alike);
    }
    let mut phi = Array::<F>::new(width);
    let mut gain = Array::<F>::new(width);
    let mut change = Array::<F>::new(width);
    let mut a = Array::<F>::new(width);
    let mut b = Array::<F>::new(width);
    #[unroll]
    for i in 0..width {
        phi[i] = zero;
        gain[i] = zero;
        change[i] = zero;
        a[i] = zero;
        b[i] = zero;
    }
    let mut m = 0usize.runtime();
    let mut s = 0u32.runtime();
    let mut begun = steps + 0;
    let mut variance = one + zero;
    let mut mean = zero + zero;
    let mut count = 0u32.runtime();
    if asked {
        m = (c / variants) as usize;
        s = of[m];
        count = coefficient_count(lengths, models as usize, m, alike) as u32;
        let ar = length(lengths, 0usize, models as usize, m, alike) as u32;
        #[unroll]
        for i in 0..width {
            if (i as u32) < ar {
                phi[i] = coefficients[i * columns as usize + c as usize];
            }
            gain[i] = start[i * columns as usize + c as usize];
            change[i] = start[i * columns as usize + c as usize];
        }
        variance = start[width * columns as usize + c as usize];
        begun = before + counts[(FIRST * series + s) as usize];
        if moves {
            // A model without a constant sees what was taken off.
            mean = units[(TOTAL * series + s) as usize] / F::cast_from(u32::max(steps, begun + 1) - begun);
        }
    }
    let mut inverse = one / variance;
    let mut scale = zero - inverse;
    let mut rests = false;
    let mut squares = zero + zero;
    let mut cross = zero + zero;
    let mut ones = zero + zero;
    let mut logs = zero + zero;
    let mut product = one + zero;
    let mut resting = 0u32.runtime();
    // An array of nothing cannot be made.
    let shares = comptime!(pairs.max(1));
    let kept = comptime!(if pairs > 0 { UNITS * SLOTS } else { 1 });
    let mut innovations = SharedMemory::<F>::new(kept);
    let mut turns = SharedMemory::<F>::new(kept);
    let mut found = Array::<F>::new(shares);
    let mut rows = Array::<u32>::new(shares);
    let mut others = Array::<u32>::new(shares);
    #[unroll]
    for k in 0..pairs {
        found[k] = zero;
        let mut cell = column + (k as u32) * (2 * count + 1);
        if cell >= count * (count + 1) / 2 {
            cell = 0u32;
        }
        let row = row_of(cell);
        rows[k] = unit - column + 1 + 2 * row;
        others[k] = unit - column + 1 + 2 * (cell - row * (row + 1) / 2);
    }
    let mut t = begun + 0;
    let mut last = steps + 0;
    if comptime!(pairs > 0) {
        t = 0u32;
        last = 0u32;
        if wanted {
            // Past the last step nothing is told, so that a cube rests after as many steps each time.
            last = steps.div_ceil(comptime!(SLOTS as u32)) * comptime!(SLOTS as u32);
        }
    }
    // The next value is under way while a step is worked on.
    let mut coming = zero + zero;
    if t < steps && asked {
        coming = own[(t * series + s) as usize];
    }
    while t < last {
        let y = coming + mean;
        if t + 1 < steps && asked {
            coming = own[((t + 1) * series + s) as usize];
        }
        let mut tells = zero + zero;
        if t >= begun && t < steps {
            let a0 = a[0];
            let b0 = b[0];
            let gone = y - a0;
            let pull = gone * inverse;
            tells = told::<F>(column, gone, inverse);
            squares += gone * pull;
            let mut left = zero + zero;
            if constant {
                left = one - b0;
                cross += left * pull;
                ones += left * left * inverse;
            }
            let pull_ones = left * inverse;
            if rests {
                resting += 1u32;
                #[unroll]
                for i in 0..width {
                    let mut next = phi[i] * a0 + gain[i] * pull;
                    if comptime!(i + 1 < width) {
                        next += a[comptime!(i + 1)];
                    }
                    a[i] = next;
                    if constant {
                        let mut next_ones = phi[i] * b0 + gain[i] * pull_ones;
                        if comptime!(i + 1 < width) {
                            next_ones += b[comptime!(i + 1)];
                        }
                        b[i] = next_ones;
                    }
                }
            } else {
                product *= variance;
                if product > F::new(FAR) {
                    logs += ln::<F>(product);
                    product = one + zero;
                }
                let changed = change[0];
                let moved = scale * changed;
                let after = variance + moved * changed;
                let share = changed / after;
                let mut most = zero + zero;
                #[unroll]
                for i in 0..width {
                    let mut next = phi[i] * a0 + gain[i] * pull;
                    let mut ahead = phi[i] * changed;
                    if comptime!(i + 1 < width) {
                        next += a[comptime!(i + 1)];
                        ahead += change[comptime!(i + 1)];
                    }
                    a[i] = next;
                    if constant {
                        let mut next_ones = phi[i] * b0 + gain[i] * pull_ones;
                        if comptime!(i + 1 < width) {
                            next_ones += b[comptime!(i + 1)];
                        }
                        b[i] = next_ones;
                    }
                    let new_gain = gain[i] + moved * ahead;
                    gain[i] = new_gain;
                    let own_change = ahead - share * new_gain;
                    change[i] = own_change;
                    most = F::max(most, own_change * own_change);
                }
                scale += moved * moved * inverse;
                variance = after + zero;
                inverse = one / variance;
                rests = scale.abs() * most < F::new(AT_REST);
            }
        }
        if comptime!(pairs > 0) {
            let slot = t % comptime!(SLOTS as u32);
            innovations[(slot * comptime!(UNITS as u32) + unit) as usize] = tells;
            if slot + 1 == comptime!(SLOTS as u32) {
                sync_cube();
                #[unroll]
                for slot in 0..SLOTS {
                    let at = comptime!(slot * UNITS) + unit as usize;
                    let mut turn = innovations[at];
                    if asked && column % 2 == 1u32 {
                        turn -= innovations[at + 1];
                    }
                    turns[at] = turn;
                }
                sync_cube();
                #[unroll]
                for slot in 0..SLOTS {
                    let at = comptime!((slot * UNITS) as u32);
                    let weight = turns[(at + unit - column) as usize];
                    #[unroll]
                    for k in 0..pairs {
                        found[k] += weight * turns[(at + rows[k]) as usize] * turns[(at + others[k]) as usize];
                    }
                }
            }
        }
        t += 1u32;
    }
    if asked {
        logs += F::cast_from(resting) * ln::<F>(variance);
        let columns = columns as usize;
        let c = c as usize;
        sums[SQUARES as usize * columns + c] = squares;
        sums[CROSS as usize * columns + c] = cross;
        sums[ONES as usize * columns + c] = ones;
        sums[LOGS as usize * columns + c] = logs;
        sums[PRODUCT as usize * columns + c] = product;
        sums[COUNTED as usize * columns + c] = F::cast_from(u32::max(steps, begun) - begun);
        if keeps {
            #[unroll]
            for i in 0..width {
                state[i * columns + c] = a[i];
                state[(i + width) * columns + c] = b[i];
            }
        }
        #[unroll]
        for k in 0..pairs {
            let cell = column + (k as u32) * (2 * count + 1);
            if cell < count * (count + 1) / 2 {
                products[cell as usize * models as usize + m] = found[k];
            }
        }
    }
}
