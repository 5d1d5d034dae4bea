//! Cross-products on the cores: one series or layout a task, hinges from segment sums.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::fused;
use crate::products::{BLOCK, Design, Layout};

type Block = [f64; BLOCK];

pub(crate) fn masked_gram(design: &Design, layouts: &[Layout]) -> Vec<f64> {
    let Some(order) = layouts.first().map(|layout| design.columns() + layout.knots.len()) else { return Vec::new() };
    let arch = Arch::new();
    let full = arch.dispatch(DesignGram { design, missing: &[] });
    let mut grams = vec![0.0; layouts.len() * order * order];
    grams.par_chunks_mut(order * order).zip(layouts).for_each(|(gram, layout)| {
        let own = (2 * layout.missing.len() > design.steps())
            .then(|| arch.dispatch(DesignGram { design, missing: &layout.missing }));
        arch.dispatch(LayoutGram { design, layout, full: &full, own: own.as_deref(), gram });
    });
    grams
}

pub(crate) fn masked_cross(design: &Design, layouts: &[Layout], layout_of: &[usize], y: &[f64]) -> Vec<f64> {
    let Some(order) = layouts.first().map(|layout| design.columns() + layout.knots.len()) else { return Vec::new() };
    let arch = Arch::new();
    let mut cross = vec![0.0; layout_of.len() * order];
    let series = cross.par_chunks_mut(order).zip(layout_of.par_iter().zip(y.par_chunks(design.steps().max(1))));
    series.with_min_len(4).for_each(|(cross, (&layout, y))| {
        arch.dispatch(SeriesCross { design, layout: &layouts[layout], y, cross });
    });
    cross
}

pub(crate) fn take_fitted(design: &Design, layouts: &[Layout], layout_of: &[usize], x: &[f64], y: &mut [f64]) {
    let order = design.columns() + layouts.first().map_or(0, |layout| layout.knots.len());
    let arch = Arch::new();
    let series = y.par_chunks_mut(design.steps().max(1)).zip(x.par_chunks(order).zip(layout_of));
    series.with_min_len(4).for_each(|(y, (x, &layout))| {
        arch.dispatch(SeriesResidual { design, knots: &layouts[layout].knots, x, y });
    });
}

/// The shared columns' Gram over the steps that are not missing, as rows of whole blocks.
struct DesignGram<'a> {
    design: &'a Design,
    missing: &'a [u32],
}

impl WithSimd for DesignGram<'_> {
    type Output = Vec<Block>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<Block> {
        if S::IS_SCALAR { self.sum::<false>() } else { self.sum::<true>() }
    }
}

impl DesignGram<'_> {
    #[inline(always)]
    fn sum<const FMA: bool>(self) -> Vec<Block> {
        let design = self.design;
        let count = design.block_count();
        let mut gram = vec![[0.0; BLOCK]; count * BLOCK * count];
        for run in runs(0..design.steps(), self.missing) {
            for left in 0..count {
                for right in 0..=left {
                    let mut sums = [[0.0; BLOCK]; BLOCK];
                    for (x, y) in design.block(left)[run.clone()].iter().zip(&design.block(right)[run.clone()]) {
                        for i in 0..BLOCK {
                            for j in 0..BLOCK {
                                sums[i][j] = fused::<FMA>(x[i], y[j], sums[i][j]);
                            }
                        }
                    }
                    for i in 0..BLOCK {
                        for j in 0..BLOCK {
                            gram[(left * BLOCK + i) * count + right][j] += sums[i][j];
                        }
                    }
                }
            }
        }
        gram
    }
}

/// The Gram of one layout: the design's without its missing rows, bordered by its hinges.
struct LayoutGram<'a> {
    design: &'a Design,
    layout: &'a Layout,
    full: &'a [Block],
    /// The layout's own sum, where so much is missing that taking it out would cost more.
    own: Option<&'a [Block]>,
    gram: &'a mut [f64],
}

impl WithSimd for LayoutGram<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if S::IS_SCALAR { self.fill::<false>() } else { self.fill::<true>() }
    }
}

impl LayoutGram<'_> {
    #[inline(always)]
    fn fill<const FMA: bool>(self) {
        let Self { design, layout, full, own, gram } = self;
        let (columns, count) = (design.columns(), design.block_count());
        let order = columns + layout.knots.len();
        let mut shared = own.unwrap_or(full).to_vec();
        for &step in if own.is_some() { &[][..] } else { &layout.missing[..] } {
            for i in 0..columns {
                let x = -design.value(step as usize, i);
                for right in 0..=i / BLOCK {
                    let y = &design.block(right)[step as usize];
                    let sums = &mut shared[i * count + right];
                    for j in 0..BLOCK {
                        sums[j] = fused::<FMA>(x, y[j], sums[j]);
                    }
                }
            }
        }
        for i in 0..columns {
            for j in 0..=i {
                let sum = shared[i * count + j / BLOCK][j % BLOCK];
                gram[i * order + j] = sum;
                gram[j * order + i] = sum;
            }
        }
        hinge_rows::<FMA>(design, layout, gram);
    }
}

/// Fills the hinges' rows and columns. Walking back from the last knot, with `d` the time between two
/// knots, a hinge's sums follow from the next one's: `sum h f` grows by `d * sum f` and by its own segment's
/// share, `sum h^2` by `2 d * sum h + d^2 * count`. Every term is positive where it matters, so nothing cancels.
#[inline(always)]
fn hinge_rows<const FMA: bool>(design: &Design, layout: &Layout, gram: &mut [f64]) {
    let (columns, count, time) = (design.columns(), design.block_count(), design.time());
    let order = columns + layout.knots.len();
    let mut plain = vec![[0.0; BLOCK]; count]; // sums of the columns from the current knot on
    let mut hinged = plain.clone(); // the same, each step weighted by the current hinge
    let mut square = 0.0; // the current hinge's squares
    let (mut next_time, mut end) = (time.last().copied().unwrap_or(0.0), design.steps());
    let mut missing = &layout.missing[..];
    for (index, &knot) in layout.knots.iter().enumerate().rev() {
        let knot = knot as usize;
        let start = time[knot];
        let apart = next_time - start;
        square += apart * (2.0 * hinged[0][0] + apart * plain[0][0]);
        let (before, inside) = missing.split_at(missing.partition_point(|&step| (step as usize) < knot));
        for block in 0..count {
            let (mut sums, mut weighted) = ([0.0; BLOCK], [0.0; BLOCK]);
            for run in runs(knot..end, inside) {
                for (x, now) in design.block(block)[run.clone()].iter().zip(&time[run]) {
                    let height = now - start;
                    for lane in 0..BLOCK {
                        sums[lane] += x[lane];
                        weighted[lane] = fused::<FMA>(height, x[lane], weighted[lane]);
                    }
                }
            }
            for lane in 0..BLOCK {
                hinged[block][lane] += fused::<FMA>(apart, plain[block][lane], weighted[lane]);
                plain[block][lane] += sums[lane];
            }
        }
        for run in runs(knot..end, inside) {
            square += time[run].iter().map(|now| (now - start) * (now - start)).sum::<f64>();
        }
        let row = (columns + index) * order;
        for column in 0..columns {
            let sum = hinged[column / BLOCK][column % BLOCK];
            gram[row + column] = sum;
            gram[column * order + columns + index] = sum;
        }
        for (earlier, &other) in layout.knots[..=index].iter().enumerate() {
            let sum = fused::<FMA>(start - time[other as usize], hinged[0][0], square);
            gram[row + columns + earlier] = sum;
            gram[(columns + earlier) * order + columns + index] = sum;
        }
        (next_time, end, missing) = (start, knot, before);
    }
}

/// One series' products.
struct SeriesCross<'a> {
    design: &'a Design,
    layout: &'a Layout,
    y: &'a [f64],
    cross: &'a mut [f64],
}

impl WithSimd for SeriesCross<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if S::IS_SCALAR { self.fill::<false>() } else { self.fill::<true>() }
    }
}

impl SeriesCross<'_> {
    #[inline(always)]
    fn fill<const FMA: bool>(self) {
        let Self { design, layout, y, cross } = self;
        let columns = design.columns();
        let mut sums = vec![[0.0; BLOCK]; design.block_count()];
        for run in runs(0..design.steps(), &layout.missing) {
            for (block, sums) in sums.iter_mut().enumerate() {
                let part = dot_block::<FMA>(&y[run.clone()], &design.block(block)[run.clone()]);
                for lane in 0..BLOCK {
                    sums[lane] += part[lane];
                }
            }
        }
        for column in 0..columns {
            cross[column] = sums[column / BLOCK][column % BLOCK];
        }
        let time = design.time();
        let (mut plain, mut hinged) = (0.0, 0.0);
        let (mut next_time, mut end) = (time.last().copied().unwrap_or(0.0), design.steps());
        let mut missing = &layout.missing[..];
        for (index, &knot) in layout.knots.iter().enumerate().rev() {
            let knot = knot as usize;
            let (before, inside) = missing.split_at(missing.partition_point(|&step| (step as usize) < knot));
            hinged += (next_time - time[knot]) * plain;
            for run in runs(knot..end, inside) {
                let (sum, weighted) = segment::<FMA>(&y[run.clone()], &time[run], time[knot]);
                plain += sum;
                hinged += weighted;
            }
            cross[columns + index] = hinged;
            (next_time, end, missing) = (time[knot], knot, before);
        }
    }
}

/// One series without its fitted values.
struct SeriesResidual<'a> {
    design: &'a Design,
    knots: &'a [u32],
    x: &'a [f64],
    y: &'a mut [f64],
}

impl WithSimd for SeriesResidual<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if S::IS_SCALAR { self.take::<false>() } else { self.take::<true>() }
    }
}

impl SeriesResidual<'_> {
    #[inline(always)]
    fn take<const FMA: bool>(self) {
        let Self { design, knots, x, y } = self;
        let (columns, hinges) = x.split_at(design.columns());
        // Four columns a pass: `y` stays in the first-level cache, and is not written once a column.
        for (quad, x) in columns.chunks(4).enumerate() {
            let factor: [f64; 4] = std::array::from_fn(|i| x.get(i).map_or(0.0, |x| -x));
            let column = |i: usize| design.column((4 * quad + i).min(columns.len() - 1));
            let (a, b, c, d) = (column(0), column(1), column(2), column(3));
            for ((((y, a), b), c), d) in y.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let pair = fused::<FMA>(factor[0], *a, fused::<FMA>(factor[1], *b, *y));
                *y = fused::<FMA>(factor[2], *c, fused::<FMA>(factor[3], *d, pair));
            }
        }
        let time = design.time();
        let (mut level, mut slope) = (0.0, 0.0);
        for (index, (&knot, &bend)) in knots.iter().zip(hinges).enumerate() {
            let (knot, end) = (knot as usize, knots.get(index + 1).map_or(time.len(), |&next| next as usize));
            slope += bend;
            for (y, now) in y[knot..end].iter_mut().zip(&time[knot..end]) {
                *y -= fused::<FMA>(slope, now - time[knot], level);
            }
            level += slope * (time.get(end).copied().unwrap_or(0.0) - time[knot]);
        }
    }
}

#[inline(always)]
fn or_zero(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value }
}

/// Four chains of sums, joined in a fixed order: one would wait for each addition.
#[inline(always)]
fn dot_block<const FMA: bool>(y: &[f64], x: &[Block]) -> Block {
    let mut chains = [[0.0; BLOCK]; 4];
    let (quads, rest) = y.as_chunks::<4>();
    let (rows, rest_rows) = x.as_chunks::<4>();
    for (y, x) in quads.iter().zip(rows) {
        for chain in 0..4 {
            let value = or_zero(y[chain]);
            for lane in 0..BLOCK {
                chains[chain][lane] = fused::<FMA>(value, x[chain][lane], chains[chain][lane]);
            }
        }
    }
    for (&y, x) in rest.iter().zip(rest_rows) {
        for lane in 0..BLOCK {
            chains[0][lane] = fused::<FMA>(or_zero(y), x[lane], chains[0][lane]);
        }
    }
    let [a, b, c, d] = chains;
    std::array::from_fn(|lane| (a[lane] + b[lane]) + (c[lane] + d[lane]))
}

/// Sum of a run of values, and the same weighted by the time since `start`.
#[inline(always)]
fn segment<const FMA: bool>(y: &[f64], time: &[f64], start: f64) -> (f64, f64) {
    let (mut sums, mut weighted) = ([0.0; BLOCK], [0.0; BLOCK]);
    let (values, rest) = y.as_chunks::<BLOCK>();
    let (times, rest_times) = time.as_chunks::<BLOCK>();
    for (y, time) in values.iter().zip(times) {
        for lane in 0..BLOCK {
            let value = or_zero(y[lane]);
            sums[lane] += value;
            weighted[lane] = fused::<FMA>(value, time[lane] - start, weighted[lane]);
        }
    }
    let (mut sum, mut product) = (sums.iter().sum::<f64>(), weighted.iter().sum::<f64>());
    for (&y, now) in rest.iter().zip(rest_times) {
        sum += or_zero(y);
        product = fused::<FMA>(or_zero(y), now - start, product);
    }
    (sum, product)
}

/// The stretches of a range of steps that are not missing. An iterator, not a callback: a loop's body is
/// sure to be compiled for the instruction set its caller runs on.
struct Runs<'a> {
    from: usize,
    end: usize,
    missing: &'a [u32],
}

#[inline(always)]
fn runs(steps: Range<usize>, missing: &[u32]) -> Runs<'_> {
    Runs { from: steps.start, end: steps.end, missing }
}

impl Iterator for Runs<'_> {
    type Item = Range<usize>;

    #[inline(always)]
    fn next(&mut self) -> Option<Range<usize>> {
        while let Some((&step, later)) = self.missing.split_first() {
            let run = self.from..step as usize;
            (self.from, self.missing) = (step as usize + 1, later);
            if !run.is_empty() {
                return Some(run);
            }
        }
        let run = self.from..self.end;
        self.from = self.end;
        (!run.is_empty()).then_some(run)
    }
}
