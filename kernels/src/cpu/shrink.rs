//! The shrunk fit on the cores: one series a task, its few kilobytes in the first-level cache.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::fused;
use crate::shrink::{ALTERNATION_CAP, ELIMINATION_CAP, Moments, Prior, Shrunk};
use crate::solve::PIVOT_FLOOR;

mod signs;

use signs::Signs;

const BLOCK: usize = 8;

pub(crate) fn shrink(
    prior: &Prior,
    grams: &[f64],
    gram_of: &[usize],
    moments: &[Moments],
    cross: &[f64],
    start: &[f64],
) -> Shrunk {
    let series = gram_of.len();
    let order = cross.len() / series.max(1);
    let mut x = start.to_vec();
    let arch = Arch::new();
    // Without series no order is known, and the work's own state may not be made.
    let dense = prior.precisions.len().min(order);
    let tasks = x.par_chunks_mut(order.max(1)).zip(cross.par_chunks(order.max(1))).zip(gram_of.par_iter().zip(moments));
    let ends: Vec<End> = tasks
        .with_min_len(4)
        .map_init(
            || Scratch::new(dense, order),
            |scratch, ((x, cross), (&gram, &moments))| {
                let gram = &grams[gram * order * order..(gram + 1) * order * order];
                arch.dispatch(Fit { prior, gram, moments, cross, x, scratch })
            },
        )
        .collect();
    Shrunk {
        x,
        noise: ends.iter().map(|end| end.noise).collect(),
        solves: ends.iter().map(|end| end.solves).collect(),
        converged: ends.iter().map(|end| end.converged).collect(),
    }
}

struct End {
    noise: f64,
    solves: u32,
    converged: bool,
}

/// What one task reuses from series to series.
struct Scratch {
    dense: usize,
    order: usize,
    /// Row length of `table` in blocks: the coefficients and the right side.
    blocks: usize,
    /// The augmented matrix `[X'X + s^2 P, X'r; ., |r|^2]`: upper triangle, whole blocks.
    table: Vec<[f64; BLOCK]>,
    /// Inverses of the eliminated pivots' roots; zero where a column is spanned by earlier ones.
    inverse: Vec<f64>,
    /// Changes of the normal coefficients.
    change: Vec<f64>,
    signs: Signs,
}

impl Scratch {
    fn new(dense: usize, order: usize) -> Self {
        let blocks = (order + 1).div_ceil(BLOCK);
        Self {
            dense,
            order,
            blocks,
            table: vec![[0.0; BLOCK]; (order + 1) * blocks],
            inverse: vec![0.0; dense],
            change: vec![0.0; dense],
            signs: Signs::new(order - dense),
        }
    }
}

struct Fit<'a> {
    prior: &'a Prior,
    gram: &'a [f64],
    moments: Moments,
    cross: &'a [f64],
    /// The start, and then the result.
    x: &'a mut [f64],
    scratch: &'a mut Scratch,
}

impl WithSimd for Fit<'_> {
    type Output = End;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> End {
        if S::IS_SCALAR { self.run::<false>() } else { self.run::<true>() }
    }
}

impl Fit<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(mut self) -> End {
        let dense = self.scratch.dense;
        let mut variance = self.variance(self.moments.square);
        let mut solves = 0;
        self.scratch.signs.begin(&self.x[dense..]);
        if self.x[dense..].iter().all(|&x| x == 0.0) {
            // Without signs: as large a noise as the optimum can have, where Stan's search starts too.
            self.eliminate::<FMA>(variance);
            let square = self.residual::<FMA>(variance);
            variance = self.variance(square);
            solves += 1;
        }
        let mut converged = false;
        for round in 0..ELIMINATION_CAP {
            let ridge = variance;
            self.eliminate::<FMA>(ridge);
            solves += 1;
            let tolerance = if round == 0 { 1e-3 } else { 1e-11 };
            let mut settled = false;
            for _ in 0..ALTERNATION_CAP {
                let (steps, found) = self.scratch.signs.solve::<FMA>(variance / self.prior.laplace_scale);
                solves += steps;
                let square = self.residual::<FMA>(ridge);
                let next = self.variance(square);
                settled = found && (next - variance).abs() <= tolerance * next;
                variance = next;
                if settled || !found {
                    break;
                }
            }
            converged = settled && (variance - ridge).abs() <= 1e-9 * variance;
            if converged || !settled {
                break;
            }
        }
        for (x, change) in self.x.iter_mut().zip(&self.scratch.change) {
            *x += change;
        }
        self.x[dense..].copy_from_slice(self.scratch.signs.values());
        End { noise: variance.sqrt(), solves, converged }
    }

    /// The noise's variance that is best for a sum of squared residuals.
    #[inline(always)]
    fn variance(&self, square: f64) -> f64 {
        let (count, scale, floor) = (self.moments.count as f64, self.prior.noise_scale, self.prior.noise_floor);
        let square = square.max(0.0);
        let best = 2.0 * square / (count + (count * count + 4.0 * square / (scale * scale)).sqrt());
        best.max(floor * floor)
    }

    /// Eliminates the normal coefficients from the augmented matrix of a fixed ridge, and hands what is
    /// left, the Laplace ones' own problem, to `signs`.
    #[inline(always)]
    fn eliminate<const FMA: bool>(&mut self, ridge: f64) {
        let Self { prior, gram, moments, cross, x, scratch } = self;
        let Scratch { dense, order, blocks, table, inverse, signs, .. } = &mut **scratch;
        let (dense, order, blocks) = (*dense, *order, *blocks);
        for i in 0..order {
            let row = table[i * blocks..(i + 1) * blocks].as_flattened_mut();
            row[i..order].copy_from_slice(&gram[i * order + i..(i + 1) * order]);
            row[order] = cross[i];
            if i < dense {
                row[i] += ridge * prior.precisions[i];
                row[order] -= ridge * prior.precisions[i] * x[i];
            }
        }
        for i in 0..dense {
            let (above, below) = table.split_at_mut((i + 1) * blocks);
            let row = &mut above[i * blocks..];
            let pivot = row.as_flattened()[i];
            let own = gram[i * order + i] + ridge * prior.precisions[i];
            inverse[i] = if pivot > PIVOT_FLOOR * own { 1.0 / pivot.sqrt() } else { 0.0 };
            for block in &mut row[i / BLOCK..] {
                for lane in 0..BLOCK {
                    block[lane] *= inverse[i];
                }
            }
            for (j, other) in (i + 1..order).zip(below.chunks_exact_mut(blocks)) {
                let factor = -row[j / BLOCK][j % BLOCK];
                for (target, source) in other[j / BLOCK..].iter_mut().zip(&row[j / BLOCK..]) {
                    for lane in 0..BLOCK {
                        target[lane] = fused::<FMA>(factor, source[lane], target[lane]);
                    }
                }
            }
        }
        let (mut left, mut largest) = (moments.square, 0.0_f64);
        for i in 0..dense {
            let right = table[i * blocks..(i + 1) * blocks].as_flattened()[order];
            left += ridge * prior.precisions[i] * x[i] * x[i] - right * right;
        }
        for &cross in &cross[dense..] {
            largest = largest.max(cross.abs());
        }
        let rows = table.chunks_exact(blocks).skip(dense);
        signs.load(rows.map(|row| &row.as_flattened()[dense..=order]), |j| gram[j * order + j], dense, left, largest);
    }

    /// Sum of squared residuals where `signs` stands; the normal coefficients' changes are left in `change`.
    #[inline(always)]
    fn residual<const FMA: bool>(&mut self, ridge: f64) -> f64 {
        let Scratch { dense, order, blocks, table, inverse, change, signs } = &mut *self.scratch;
        let (dense, order) = (*dense, *order);
        let mut penalised = signs.value();
        for i in (0..dense).rev() {
            let row = table[i * *blocks..(i + 1) * *blocks].as_flattened();
            let tail = dot::<FMA>(&row[i + 1..dense], &change[i + 1..dense]);
            let hinges = dot::<FMA>(&row[dense..order], signs.changes());
            change[i] = (row[order] - tail - hinges) * inverse[i];
            let x = self.x[i] + change[i];
            penalised -= ridge * self.prior.precisions[i] * x * x;
        }
        penalised
    }
}

#[inline(always)]
fn dot<const FMA: bool>(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<BLOCK>();
    let (b, b_rest) = b.as_chunks::<BLOCK>();
    let mut sums = [0.0; BLOCK];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..BLOCK {
            sums[lane] = fused::<FMA>(a[lane], b[lane], sums[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(0.0, |sum, (&a, &b)| fused::<FMA>(a, b, sum));
    sums.iter().sum::<f64>() + rest
}
