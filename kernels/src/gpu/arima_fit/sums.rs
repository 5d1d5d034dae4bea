//! Squared residuals of a model, and the sums that a Gauss-Newton step is made of, a unit a model.
//!
//! The derivatives are the series filtered, seen some steps ago. A short model without a season keeps them in registers
//! and passes over the series once; any other leaves each filter's output in memory.
#![allow(clippy::too_many_lines)] // a unit's sums stay in registers: a helper would send them through memory
#![allow(clippy::collapsible_if)] // conditions of the compiler and of a unit do not short-circuit together
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::filtered::{self, Filtered};
use super::pack::Packed;
use super::place::{Blocks, length};
use super::{FIRST, SHORT};
use crate::ArmaOrder;
use crate::gpu::{CHUNK, array};

/// Models on packed series, of one order or, where they are short, of orders within it.
pub(super) struct Passes<'a, R: Runtime> {
    packed: &'a Packed<'a, R>,
    order: ArmaOrder,
    /// The series of each model.
    of: Handle,
    pub(super) models: usize,
    filtered: Option<Filtered<'a, R>>,
}

/// Rows that a pass writes: the squares, their half slopes and a triangle of products.
pub(super) fn moment_rows(count: usize) -> usize {
    1 + count + count * (count + 1) / 2
}

/// Floats a model that a pass asks for besides.
pub(super) fn room(order: ArmaOrder, steps: usize) -> usize {
    if is_short(order, steps) { 0 } else { filtered::room(steps) }
}

fn is_short(order: ArmaOrder, steps: usize) -> bool {
    order.seasonal_ar + order.seasonal_ma == 0 && order.ar <= SHORT && order.ma <= SHORT && steps <= CHUNK
}

impl<'a, R: Runtime> Passes<'a, R> {
    pub(super) fn new<F: Float + CubeElement>(
        packed: &'a Packed<'a, R>,
        order: ArmaOrder,
        of: &Handle,
        models: usize,
    ) -> Self {
        let filtered = (!is_short(order, packed.own.steps)).then(|| Filtered::new::<F>(packed, order, of, models));
        Self { packed, order, of: of.clone(), models, filtered }
    }

    /// Passes over the series of every model that walks, from a row of each coefficient.
    pub(super) fn run<F: Float + CubeElement>(
        &self,
        blocks: &Blocks,
        coefficients: &Handle,
        walks: &Handle,
        moments: &Handle,
    ) {
        match &self.filtered {
            None => self.in_registers::<F>(blocks, coefficients, walks, moments),
            Some(filtered) => filtered.run::<F>(coefficients, walks, moments),
        }
    }

    fn in_registers<F: Float + CubeElement>(
        &self,
        blocks: &Blocks,
        coefficients: &Handle,
        walks: &Handle,
        moments: &Handle,
    ) {
        let (own, order) = (&self.packed.own, self.order);
        let Some((cubes, dim)) = own.gpu.one_unit_per_any(self.models) else { return };
        // One kernel serves the models up to a reach: each is compiled once.
        let reach = order.ar.max(order.ma);
        let (p, q) = if order.ma == 0 { (reach, 0) } else { (reach, reach) };
        // SAFETY: each array was made with the rows that it is passed with, and `of` names packed series; units past the
        // last model stop.
        unsafe {
            pass::launch_unchecked::<F, R>(
                own.gpu.client(),
                cubes,
                dim,
                own.arg(),
                self.packed.counts(),
                array(&self.of, self.models),
                array(coefficients, order.coefficients() * self.models),
                array(walks, self.models),
                blocks.lengths(),
                array(moments, moment_rows(order.coefficients()) * self.models),
                own.series as u32,
                self.models as u32,
                own.steps as u32,
                self.packed.before as u32,
                order.coefficients() as u32,
                p,
                q,
                blocks.alike,
            );
        }
    }
}

/// One step of a short model: `z` and `w` hold the latest `y/θ` and `e/θ`, the newest first. The sums are those of
/// `e²`, `e z`, `e w`, then of what a step earlier was with itself and all before: `z z`, `w w`, `z w`, `w z`.
#[cube]
fn go_on<F: Float>(
    y: F,
    counts: bool,
    phi: &Array<F>,
    theta: &Array<F>,
    z: &mut Array<F>,
    w: &mut Array<F>,
    sums: &mut Array<F>,
    #[comptime] p: usize,
    #[comptime] q: usize,
) {
    let reach = comptime!(if p > q { p } else { q });
    let mut divided = y + F::new(0.0f32);
    #[unroll]
    for back in 0..q {
        // The latest comes last, so that a step waits for one product alone.
        divided -= theta[comptime!(q - 1 - back)] * z[comptime!(q - 1 - back)];
    }
    let mut e = divided + F::new(0.0f32);
    #[unroll]
    for back in 0..p {
        e -= phi[comptime!(p - 1 - back)] * z[comptime!(p - 1 - back)];
    }
    let mut other = e + F::new(0.0f32);
    #[unroll]
    for back in 0..q {
        other -= theta[comptime!(q - 1 - back)] * w[comptime!(q - 1 - back)];
    }
    if counts {
        sums[0] += e * e;
        #[unroll]
        for i in 0..p {
            sums[comptime!(1 + i)] += e * z[i];
        }
        #[unroll]
        for j in 0..q {
            sums[comptime!(1 + p + j)] += e * w[j];
        }
    }
    #[unroll]
    for d in 0..p {
        sums[comptime!(1 + p + q + d)] += z[0] * z[d];
    }
    #[unroll]
    for d in 0..q {
        sums[comptime!(1 + 2 * p + q + d)] += w[0] * w[d];
        sums[comptime!(1 + 2 * p + 2 * q + d)] += z[0] * w[d];
        sums[comptime!(1 + 2 * p + 3 * q + d)] += w[0] * z[d];
    }
    #[unroll]
    for back in 1..reach {
        z[comptime!(reach - back)] = z[comptime!(reach - back - 1)];
    }
    #[unroll]
    for back in 1..q {
        w[comptime!(q - back)] = w[comptime!(q - back - 1)];
    }
    z[0] = divided;
    w[0] = other;
}

#[cube(launch_unchecked)]
fn pass<F: Float>(
    own: &Array<F>,
    counts: &Array<u32>,
    of: &Array<u32>,
    coefficients: &Array<F>,
    walks: &Array<u32>,
    lengths: &Array<u32>,
    moments: &mut Array<F>,
    series: u32,
    models: u32,
    steps: u32,
    before: u32,
    count: u32,
    #[comptime] p: usize,
    #[comptime] q: usize,
    #[comptime] alike: bool,
) {
    let m = ABSOLUTE_POS as u32;
    if m < models && walks[m as usize] == 1u32 {
        let zero = F::new(0.0f32);
        let reach = comptime!(if p > q { p } else { q });
        let s = of[m as usize];
        let ar = length(lengths, 0usize, models as usize, m as usize, alike) as u32;
        let ma = length(lengths, 2usize, models as usize, m as usize, alike) as u32;
        let begun = counts[(FIRST * series + s) as usize];
        let counted = before + begun;
        let mut phi = Array::<F>::new(comptime!(if p > 0 { p } else { 1 }));
        let mut theta = Array::<F>::new(comptime!(if q > 0 { q } else { 1 }));
        let mut z = Array::<F>::new(comptime!(if reach > 0 { reach } else { 1 }));
        let mut w = Array::<F>::new(comptime!(if q > 0 { q } else { 1 }));
        let mut sums = Array::<F>::new(comptime!(1 + 2 * p + 4 * q));
        #[unroll]
        for i in 0..p {
            phi[i] = zero;
            if (i as u32) < ar {
                phi[i] = coefficients[i * models as usize + m as usize];
            }
        }
        #[unroll]
        for j in 0..q {
            theta[j] = zero;
            w[j] = zero;
            if (j as u32) < ma {
                theta[j] = coefficients[(ar + j as u32) as usize * models as usize + m as usize];
            }
        }
        #[unroll]
        for i in 0..reach {
            z[i] = zero;
        }
        #[unroll]
        for i in 0..comptime!(1 + 2 * p + 4 * q) {
            sums[i] = zero;
        }
        let last = u32::max(steps, begun + comptime!(reach as u32)) - comptime!(reach as u32);
        // The next value is under way while a step is worked on.
        let mut coming = zero + zero;
        if begun < last {
            coming = own[(begun * series + s) as usize];
        }
        for t in begun..last {
            let y = coming + zero;
            if t + 1 < last {
                coming = own[((t + 1) * series + s) as usize];
            }
            go_on::<F>(y, t >= counted, &phi, &theta, &mut z, &mut w, &mut sums, p, q);
        }
        // Two columns of a polynomial are one series seen earlier and later, so the sum of a later pair is what the
        // first pair's was some steps before the end.
        #[unroll]
        for back in 0..reach {
            let a = comptime!((reach - back) as u32);
            let t = last + comptime!(back as u32);
            if t < steps {
                let y = own[(t * series + s) as usize];
                go_on::<F>(y, t >= counted, &phi, &theta, &mut z, &mut w, &mut sums, p, q);
            }
            #[unroll]
            for d in 0..reach {
                let b = comptime!(a + d as u32);
                if comptime!(d < p) {
                    if b <= ar {
                        moments[cell(count, b - 1, a - 1) * models as usize + m as usize] =
                            sums[comptime!(1 + p + q + d)];
                    }
                }
                if comptime!(d < q) {
                    if b <= ma {
                        moments[cell(count, ar + b - 1, ar + a - 1) * models as usize + m as usize] =
                            sums[comptime!(1 + 2 * p + q + d)];
                    }
                    if a <= ar && b <= ma {
                        moments[cell(count, ar + b - 1, a - 1) * models as usize + m as usize] =
                            sums[comptime!(1 + 2 * p + 2 * q + d)];
                    }
                    if comptime!(d > 0) {
                        if a <= ma && b <= ar {
                            moments[cell(count, ar + a - 1, b - 1) * models as usize + m as usize] =
                                sums[comptime!(1 + 2 * p + 3 * q + d)];
                        }
                    }
                }
            }
        }
        moments[m as usize] = sums[0];
        #[unroll]
        for i in 0..p {
            if (i as u32) < ar {
                moments[(1 + i) * models as usize + m as usize] = zero - sums[comptime!(1 + i)];
            }
        }
        #[unroll]
        for j in 0..q {
            if (j as u32) < ma {
                moments[(1 + ar + j as u32) as usize * models as usize + m as usize] =
                    zero - sums[comptime!(1 + p + j)];
            }
        }
    }
}

/// The row of a pair of coefficients, the later one first.
#[cube]
fn cell(count: u32, i: u32, j: u32) -> usize {
    (1 + count + i * (i + 1) / 2 + j) as usize
}
