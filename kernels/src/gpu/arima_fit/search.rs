//! A damped search for the exact likelihood's top, a unit a model, a place a round of launches; see the CPU's twin.
//!
//! Slopes are central differences, a column a likelihood. So is the curvature, looked at anew wherever a search arrives
//! and mended by what the step there showed: products of how the innovations move, and no less along a free number than
//! the likelihoods to both sides of it say, which near the unit circle is more: there the variances rule.
#![allow(clippy::too_many_lines)] // a unit's numbers stay in registers: a helper would send them through memory
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;
use rayon::prelude::*;

use super::SUM_ROWS;
use super::criterion::{counted, log_likelihood, logs, profiled};
use super::curvature::triangle;
use super::place::{Blocks, coefficient_count, length, place, place_moved, pull_back};
use super::quadratic::{ahead, direction, invert, mend};
use crate::arima_fit::limits::search::{ASTRAY, FREE as FREE_DAMPING, NEAR, SPAN, STUCK};
use crate::arima_fit::{ArimaEffort, MAX_BLOCK};
use crate::gpu::{Gpu, array, is_number};

/// Rows of a search: its damping, the negative log-likelihood where it is, what the step under way promises and what
/// the next one would; then free numbers, coefficients and the step; slopes by the coefficients and
/// the triangle of a curvature, both once more by the free numbers; both as they were looked at, and a factor.
const DAMPING: usize = 0;
const VALUE: usize = 1;
const HELD: usize = 2;
pub(super) const PROMISED: usize = 3;
pub(super) const FREE: usize = 4;
/// Rows of counters: places looked at, one where the search settled, and one where the curvature was mended.
pub(super) const EVALUATIONS: usize = 0;
pub(super) const CONVERGED: usize = 1;
const MENDED: usize = 2;
pub(super) const FLAG_ROWS: usize = 3;
/// Half the span of a central difference and nats that are told apart in the digits of an `f32`, whose sums are known to
/// some 1e-6 of their size.
const SPAN_SINGLE: f32 = 1e-2;
const SETTLED_SINGLE: f32 = 1e-3;

pub(super) fn search_rows(count: usize) -> usize {
    FREE + 6 * count + 4 * triangle(count)
}

/// The searches of models of one order.
pub(super) struct Search<'a, R: Runtime> {
    pub(super) gpu: &'a Gpu<R>,
    pub(super) models: usize,
    pub(super) count: usize,
    pub(super) constant: bool,
    pub(super) blocks: Blocks,
    /// The place that is looked at next, its coefficients and their derivatives.
    pub(super) trial: Handle,
    pub(super) coefficients: Handle,
    pub(super) jacobian: Handle,
    /// The derivatives where it is.
    own_jacobian: Handle,
    /// The coefficients of every column: of the trial, then of each free number up and down.
    pub(super) moved: Handle,
    /// Products of how free numbers move the innovations, a triangle.
    pub(super) products: Handle,
    /// Derivatives of the free numbers by the coefficients, at the trial.
    inverse: Handle,
    pub(super) rows: Handle,
    pub(super) flags: Handle,
    pub(super) walks: Handle,
    /// Whether likelihoods are known to the digits that a second difference takes: a diffuse start leaves too few.
    bends: bool,
}

/// Columns of a model.
pub(super) fn variants(count: usize) -> usize {
    2 * count + 1
}

impl<'a, R: Runtime> Search<'a, R> {
    /// Models of up to `count` coefficients, and the free numbers that each begins at.
    pub(super) fn new(
        gpu: &'a Gpu<R>,
        blocks: Blocks,
        count: usize,
        constant: bool,
        bends: bool,
        starts: &[&[f64]],
    ) -> Self {
        let free = |own: &&[f64], i: usize| own.get(i).copied().unwrap_or(0.0);
        let models = starts.len();
        let rows: Vec<Vec<f64>> =
            (0..count).into_par_iter().map(|i| starts.iter().map(|own| free(own, i)).collect()).collect();
        Self {
            gpu,
            models,
            count,
            constant,
            blocks,
            trial: gpu.upload_floats(rows.into_iter().flatten()),
            coefficients: gpu.empty_floats(count * models),
            jacobian: gpu.empty_floats(count * count * models),
            own_jacobian: gpu.empty_floats(count * count * models),
            moved: gpu.empty_floats(count * variants(count) * models),
            products: gpu.empty_floats(triangle(count) * models),
            inverse: gpu.empty_floats(count * count * models),
            rows: gpu.empty_floats(search_rows(count) * models),
            flags: gpu.empty::<u32>(FLAG_ROWS * models),
            walks: gpu.upload(&vec![1_u32; models]),
            bends,
        }
    }

    fn arg(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.models)
    }

    fn span(&self) -> f32 {
        if self.gpu.has_f64() { SPAN as f32 } else { SPAN_SINGLE }
    }

    /// The coefficients at and about every trial.
    pub(super) fn spread<F: Float + CubeElement>(&self) {
        let columns = variants(self.count) * self.models;
        let Some((cubes, dim)) = self.gpu.one_unit_per_any(columns) else { return };
        // SAFETY: each array was made with the rows that it is passed with; units past the last column stop.
        unsafe {
            spread::launch_unchecked::<F, R>(
                self.gpu.client(),
                cubes,
                dim,
                self.arg(&self.trial, self.count),
                self.arg(&self.coefficients, self.count),
                self.arg(&self.jacobian, self.count * self.count),
                array(&self.moved, self.count * columns),
                self.arg(&self.walks, 1),
                self.blocks.lengths(),
                self.blocks.shrink(),
                self.models as u32,
                self.count as u32,
                variants(self.count) as u32,
                self.span(),
                self.blocks.alike,
            );
        }
    }

    /// Takes what a look at every trial told, and says where to look next.
    pub(super) fn step<F: Float + CubeElement>(&self, sums: &Handle, effort: ArimaEffort, round: usize) {
        let columns = variants(self.count) * self.models;
        let Some((cubes, dim)) = self.gpu.one_unit_per_any(self.models) else { return };
        let mut settled = effort.settled() as f32;
        if !self.gpu.has_f64() {
            settled = settled.max(SETTLED_SINGLE);
        }
        // SAFETY: as above.
        unsafe {
            step::launch_unchecked::<F, R>(
                self.gpu.client(),
                cubes,
                dim,
                array(sums, SUM_ROWS * columns),
                self.arg(&self.products, triangle(self.count)),
                self.arg(&self.trial, self.count),
                self.arg(&self.coefficients, self.count),
                self.arg(&self.jacobian, self.count * self.count),
                self.arg(&self.own_jacobian, self.count * self.count),
                self.arg(&self.inverse, self.count * self.count),
                self.blocks.lengths(),
                self.blocks.shrink(),
                self.arg(&self.rows, search_rows(self.count)),
                self.arg(&self.flags, FLAG_ROWS),
                self.arg(&self.walks, 1),
                self.models as u32,
                self.count as u32,
                variants(self.count) as u32,
                round as u32,
                effort.most_looks() as u32,
                settled,
                self.span(),
                self.blocks.alike,
                self.constant,
                self.bends,
            );
        }
    }

    /// The coefficients where every search ended, to which all walk once more.
    pub(super) fn end<F: Float + CubeElement>(&self) {
        let Some((cubes, dim)) = self.gpu.one_unit_per_any(self.models) else { return };
        // SAFETY: as above.
        unsafe {
            end::launch_unchecked::<F, R>(
                self.gpu.client(),
                cubes,
                dim,
                self.arg(&self.rows, search_rows(self.count)),
                self.arg(&self.coefficients, self.count),
                self.arg(&self.walks, 1),
                self.blocks.lengths(),
                self.blocks.shrink(),
                self.models as u32,
                self.count as u32,
                self.blocks.alike,
            );
        }
    }

    /// Every search ends where it begins, nothing known of it.
    pub(super) fn stay<F: Float + CubeElement>(&self) {
        let Some((cubes, dim)) = self.gpu.one_unit_per_any(self.models) else { return };
        // SAFETY: as above.
        unsafe {
            stay::launch_unchecked::<F, R>(
                self.gpu.client(),
                cubes,
                dim,
                self.arg(&self.trial, self.count),
                self.arg(&self.rows, search_rows(self.count)),
                self.arg(&self.flags, FLAG_ROWS),
                self.models as u32,
                self.count as u32,
            );
        }
    }
}

#[cube(launch_unchecked)]
fn spread<F: Float>(
    trial: &Array<F>,
    coefficients: &mut Array<F>,
    jacobian: &mut Array<F>,
    moved: &mut Array<F>,
    walks: &Array<u32>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    models: u32,
    count: u32,
    variants: u32,
    span: f32,
    #[comptime] alike: bool,
) {
    let models = models as usize;
    let most = count as usize;
    let variants = variants as usize;
    let c = ABSOLUTE_POS;
    if c < models * variants {
        let m = c / variants;
        let variant = c % variants;
        let count = coefficient_count(lengths, models, m, alike);
        if walks[m] == 1u32 && variant <= 2 * count {
            let mut which = most + 0;
            let mut by = F::cast_from(span);
            if variant == 0 {
                place::<F>(trial, coefficients, jacobian, lengths, shrink, most, models, m, alike);
            } else {
                which = (variant - 1) / 2;
                if variant % 2 != 1 {
                    by = F::new(0.0f32) - by;
                }
            }
            let columns = models * variants;
            place_moved::<F>(trial, 0usize, moved, lengths, shrink, which, by, models, m, columns, c, alike);
        }
    }
}

#[cube(launch_unchecked)]
fn stay<F: Float>(trial: &Array<F>, rows: &mut Array<F>, flags: &mut Array<u32>, models: u32, count: u32) {
    let m = ABSOLUTE_POS;
    let models = models as usize;
    if m < models {
        rows[PROMISED * models + m] = F::new(0.0f32);
        flags[EVALUATIONS * models + m] = 0u32;
        flags[CONVERGED * models + m] = 0u32;
        for i in 0..count as usize {
            rows[(FREE + i) * models + m] = trial[i * models + m];
        }
    }
}

#[cube(launch_unchecked)]
fn end<F: Float>(
    rows: &Array<F>,
    coefficients: &mut Array<F>,
    walks: &mut Array<u32>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    models: u32,
    count: u32,
    #[comptime] alike: bool,
) {
    let m = ABSOLUTE_POS;
    let models = models as usize;
    if m < models {
        walks[m] = 1u32;
        let zero = F::new(0.0f32);
        let none = count as usize;
        place_moved::<F>(rows, FREE, coefficients, lengths, shrink, none, zero, models, m, models, m, alike);
    }
}

#[cube(launch_unchecked)]
fn step<F: Float>(
    sums: &Array<F>,
    products: &Array<F>,
    trial: &mut Array<F>,
    coefficients: &Array<F>,
    jacobian: &Array<F>,
    own_jacobian: &mut Array<F>,
    inverse: &mut Array<F>,
    lengths: &Array<u32>,
    shrink: &Array<F>,
    rows: &mut Array<F>,
    flags: &mut Array<u32>,
    walks: &mut Array<u32>,
    models: u32,
    count: u32,
    variants: u32,
    round: u32,
    most_looks: u32,
    settled: f32,
    span: f32,
    #[comptime] alike: bool,
    #[comptime] constant: bool,
    #[comptime] bends: bool,
) {
    let m = ABSOLUTE_POS;
    let models = models as usize;
    let most = count as usize;
    let variants = variants as usize;
    if m < models && walks[m] == 1u32 {
        let zero = F::new(0.0f32);
        let span = F::cast_from(span);
        let columns = models * variants;
        let count = coefficient_count(lengths, models, m, alike);
        let triangle = count * (count + 1) / 2;
        let place = FREE + most;
        let step = place + most;
        let by_place = step + most;
        let bent = by_place + most;
        let slopes = bent + most * (most + 1) / 2;
        let pulled = slopes + most;
        let look = pulled + most * (most + 1) / 2;
        let fresh = look + most;
        let factor = fresh + most * (most + 1) / 2;
        let mut held = Array::<u32>::new(comptime!(4 * MAX_BLOCK));
        let first = m * variants;
        let observed = counted::<F>(sums, columns, first);
        let squares = profiled::<F>(sums, columns, first, constant);
        let value = zero - log_likelihood::<F>(observed, squares, logs::<F>(sums, columns, first));
        let sound = is_number::<F>(value) && is_number::<F>(squares);
        let damping_at = DAMPING * models + m;
        let value_at = VALUE * models + m;
        let mended_at = MENDED * models + m;
        flags[EVALUATIONS * models + m] = round + 1;
        let before = rows[value_at];
        let held_back = rows[HELD * models + m];
        let accepted = sound && (round == 0u32 || value < before - F::new(1e-4f32) * held_back);
        let mut looks_anew = false;
        if accepted {
            let weight = F::new(0.25f32) / (span * span * F::max(squares / observed, F::new(1e-30f32)));
            for i in 0..triangle {
                rows[(pulled + i) * models + m] = weight * products[i * models + m];
            }
            for i in 0..count {
                let up = first + 1 + 2 * i;
                let above = profiled::<F>(sums, columns, up, constant);
                let below = profiled::<F>(sums, columns, up + 1, constant);
                let ahead = zero - log_likelihood::<F>(observed, above, logs::<F>(sums, columns, up));
                let behind = zero - log_likelihood::<F>(observed, below, logs::<F>(sums, columns, up + 1));
                rows[(slopes + i) * models + m] = (ahead - behind) / (span + span);
                let own = (pulled + i * (i + 1) / 2 + i) * models + m;
                let bend = (ahead + behind - value - value) / (span * span);
                if bends && bend > rows[own] {
                    rows[own] = bend;
                }
            }
            // Derivatives by the coefficients are those by the free numbers, pulled back the other way about.
            invert::<F>(jacobian, inverse, lengths, most, models, m, alike);
            pull_back::<F>(rows, slopes, look, inverse, lengths, most, models, m, alike);
            for i in 0..triangle {
                rows[(bent + i) * models + m] = rows[(fresh + i) * models + m];
            }
            if round == 0u32 {
                rows[damping_at] = F::new(1e-3f32);
                flags[mended_at] = 0u32;
            } else {
                let damping = rows[damping_at];
                if before - value > F::new(0.5f32) * held_back {
                    rows[damping_at] = F::max(F::new(0.1f32) * damping, F::new(FREE_DAMPING as f32));
                } else {
                    rows[damping_at] = F::new(2.0f32) * damping;
                }
                flags[mended_at] = 1u32;
                for i in 0..count {
                    let moved = coefficients[i * models + m] - rows[(place + i) * models + m];
                    rows[(step + i) * models + m] = moved;
                }
                mend::<F>(rows, bent, step, by_place, look, count, models, m);
            }
            for i in 0..count {
                rows[(FREE + i) * models + m] = trial[i * models + m];
                rows[(place + i) * models + m] = coefficients[i * models + m];
                rows[(by_place + i) * models + m] = rows[(look + i) * models + m];
            }
            let mut from = 0usize.runtime();
            for block in 0..4usize {
                let len = length(lengths, block, models, m, alike);
                for i in 0..len * len {
                    let at = ((from + i / len) * most + from + i % len) * models + m;
                    own_jacobian[at] = jacobian[at];
                }
                from += len;
            }
            rows[value_at] = value;
        } else if round > 0u32 {
            let damping = F::max(F::new(10.0f32) * rows[damping_at], F::new(1e-2f32));
            rows[damping_at] = damping;
            if flags[mended_at] == 1u32 && damping > F::new(ASTRAY as f32) {
                rows[damping_at] = F::new(1e-2f32);
                flags[mended_at] = 0u32;
                looks_anew = true;
            }
        } else {
            for i in 0..count {
                rows[(FREE + i) * models + m] = trial[i * models + m];
            }
        }
        let lost = round == 0u32 && !accepted;
        if lost || count == 0 {
            rows[PROMISED * models + m] = zero;
            flags[CONVERGED * models + m] = u32::cast_from(accepted);
            walks[m] = 0u32;
        } else {
            if looks_anew {
                for i in 0..triangle {
                    rows[(bent + i) * models + m] = rows[(fresh + i) * models + m];
                }
            }
            if looks_anew || accepted {
                pull_back::<F>(rows, by_place, slopes, own_jacobian, lengths, most, models, m, alike);
            }
            let free_damping = F::new(FREE_DAMPING as f32);
            let promised =
                direction::<F>(rows, pulled, slopes, factor, step, free_damping, &mut held, count, models, m);
            let stuck = rows[damping_at] > F::new(STUCK as f32);
            let mut enough = F::cast_from(settled);
            if stuck {
                enough = F::new(NEAR as f32);
            }
            let known = is_number::<F>(promised);
            if !known || promised.abs() < F::cast_from(settled) || stuck || round + 1 >= most_looks {
                rows[PROMISED * models + m] = promised;
                flags[CONVERGED * models + m] = u32::cast_from(known && promised.abs() < enough);
                walks[m] = 0u32;
            } else {
                let damping = rows[damping_at];
                rows[HELD * models + m] =
                    direction::<F>(rows, pulled, slopes, factor, step, damping, &mut held, count, models, m);
                ahead::<F>(rows, place, step, own_jacobian, lengths, shrink, trial, most, models, m, alike);
            }
        }
    }
}
