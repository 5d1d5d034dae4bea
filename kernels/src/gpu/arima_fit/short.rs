//! The exact likelihood of short models without a season, a unit a model, its state in registers.
//!
//! The recursion is the one over series without gaps, see `filter`, from where `start` says.
#![allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::pack::Packed;
use super::place::{Blocks, length};
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
const AT_REST: f32 = 1e-20;

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
    ) {
        let (own, order, width) = (&self.packed.own, self.order, Self::width(self.order));
        let Some((cubes, dim)) = own.gpu.one_unit_per_any(self.columns()) else { return };
        // SAFETY: each array was made with the rows that it is passed with, and `of` names packed series; units past the
        // last column stop.
        unsafe {
            begin::launch_unchecked::<F, R>(
                own.gpu.client(),
                cubes.clone(),
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
                cubes,
                dim,
                own.arg(),
                self.packed.counts(),
                self.packed.units(),
                array(&self.of, self.models),
                array(coefficients, order.coefficients() * self.columns()),
                array(walks, self.models),
                blocks.lengths(),
                array(&self.start, (width + 1) * self.columns()),
                array(sums, SUM_ROWS * self.columns()),
                match state {
                    Some(state) => array(state, 2 * width * self.columns()),
                    None => array(&own.gpu.empty_floats(1), 1),
                },
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
            );
        }
    }
}

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
) {
    let c = ABSOLUTE_POS as u32;
    if c < columns && is_asked(walks, lengths, columns, variants, c, alike) {
        let zero = F::new(0.0f32);
        let ar = length(lengths, 0usize, (columns / variants) as usize, (c / variants) as usize, alike) as u32;
        let one = F::new(1.0f32);
        let s = of[(c / variants) as usize];
        let mut phi = Array::<F>::new(width);
        let mut gain = Array::<F>::new(width);
        let mut change = Array::<F>::new(width);
        let mut a = Array::<F>::new(width);
        let mut b = Array::<F>::new(width);
        #[unroll]
        for i in 0..width {
            phi[i] = zero;
            if (i as u32) < ar {
                phi[i] = coefficients[i * columns as usize + c as usize];
            }
            gain[i] = start[i * columns as usize + c as usize];
            change[i] = start[i * columns as usize + c as usize];
            a[i] = zero;
            b[i] = zero;
        }
        let mut variance = start[width * columns as usize + c as usize];
        let mut inverse = one / variance;
        let mut scale = zero - inverse;
        let mut rests = false;
        let mut squares = zero + zero;
        let mut cross = zero + zero;
        let mut ones = zero + zero;
        let mut logs = zero + zero;
        let mut product = one + zero;
        let mut resting = 0u32.runtime();
        let begun = before + counts[(FIRST * series + s) as usize];
        let mut mean = zero + zero;
        if moves {
            // A model without a constant sees what was taken off.
            mean = units[(TOTAL * series + s) as usize] / F::cast_from(u32::max(steps, begun + 1) - begun);
        }
        // The next value is under way while a step is worked on.
        let mut coming = zero + zero;
        if begun < steps {
            coming = own[(begun * series + s) as usize];
        }
        for t in begun..steps {
            let y = coming + mean;
            if t + 1 < steps {
                coming = own[((t + 1) * series + s) as usize];
            }
            let a0 = a[0];
            let b0 = b[0];
            let gone = y - a0;
            let pull = gone * inverse;
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
    }
}
