//! The filters behind an ARMA model's residuals and derivatives, and the moments of what comes out.

use pulp::{Arch, Simd, WithSimd};

use super::super::fused;
use crate::ArmaOrder;

/// Series worked on together: their filtered copies stay in the second-level cache.
pub(crate) const HALF: usize = 8;
pub(crate) type Half = [f64; HALF];

const NOTHING: Half = [0.0; HALF];

/// Sums over the counted steps.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// Squared residuals.
    pub(crate) sse: Half,
    /// Half the derivatives of that sum by the coefficients.
    pub(crate) gradient: Vec<Half>,
    /// Products of the residuals' derivatives, `[coefficients, coefficients]`; the Gauss-Newton curvature.
    pub(crate) products: Vec<Half>,
}

/// Eight series and the memory of the filters over them. Each copy has `pad` rows of zeros before its first step,
/// so that every lag lies inside it.
pub(crate) struct Filters {
    pad: usize,
    arch: Arch,
    /// `y`, `y/Θ`, `z`, `u`, `s`, `e`, `e/θ`, `e/Θ`, each made only where it differs from one before it.
    copies: [Vec<Half>; 8],
}

const Y: usize = 0;
const Y_BY_SEASONAL: usize = 1;
const Z: usize = 2;
const U: usize = 3;
const S: usize = 4;
const E: usize = 5;
const E_BY_MA: usize = 6;
const E_BY_SEASONAL: usize = 7;

impl Filters {
    /// Room for series of so many steps and models with lags up to `pad`.
    pub(crate) fn new(pad: usize, steps: usize) -> Self {
        Self { pad, arch: Arch::new(), copies: std::array::from_fn(|_| vec![NOTHING; pad + steps]) }
    }

    /// The series, to write.
    pub(crate) fn y_mut(&mut self) -> &mut [Half] {
        &mut self.copies[Y][self.pad..]
    }

    /// The series.
    pub(crate) fn y(&self) -> &[Half] {
        &self.copies[Y][self.pad..]
    }

    /// Filters the series by a model and sums what is left from step `skip` on; all steps count unless
    /// `counted` says otherwise.
    pub(crate) fn evaluate(
        &mut self,
        order: ArmaOrder,
        coefficients: &[Half],
        skip: usize,
        counted: Option<&Counted>,
    ) -> Moments {
        let arch = self.arch;
        arch.dispatch(Evaluate { filters: self, order, coefficients, skip, counted })
    }

    #[inline(always)]
    fn run<const FMA: bool>(
        &mut self,
        order: ArmaOrder,
        coefficients: &[Half],
        skip: usize,
        counted: Option<&Counted>,
    ) -> Moments {
        let (ar, rest) = coefficients.split_at(order.ar);
        let (seasonal_ar, rest) = rest.split_at(order.seasonal_ar);
        let (ma, seasonal_ma) = rest.split_at(order.ma);
        let season = order.season;
        let divided = self.divide::<FMA>(Y, Y_BY_SEASONAL, seasonal_ma, season);
        let z = self.divide::<FMA>(divided, Z, ma, 1);
        let u = self.multiply::<FMA>(z, U, seasonal_ar, season);
        let s = if order.seasonal_ar > 0 { self.multiply::<FMA>(z, S, ar, 1) } else { z };
        let e = self.multiply::<FMA>(u, E, ar, 1);
        let by_ma = self.divide::<FMA>(e, E_BY_MA, ma, 1);
        let by_seasonal = self.divide::<FMA>(e, E_BY_SEASONAL, seasonal_ma, season);
        let columns: Vec<Column> = (1..=order.ar)
            .map(|lag| Column { copy: u, lag, sign: -1.0 })
            .chain((1..=order.seasonal_ar).map(|j| Column { copy: s, lag: j * season, sign: -1.0 }))
            .chain((1..=order.ma).map(|lag| Column { copy: by_ma, lag, sign: -1.0 }))
            .chain((1..=order.seasonal_ma).map(|j| Column { copy: by_seasonal, lag: j * season, sign: -1.0 }))
            .chain([Column { copy: e, lag: 0, sign: 1.0 }])
            .collect();
        self.moments::<FMA>(&columns, skip, counted)
    }

    /// `out[t] = in[t] - Σ c[j] out[t - j lag]`; the input itself where there is nothing to divide by.
    #[inline(always)]
    fn divide<const FMA: bool>(&mut self, input: usize, output: usize, taps: &[Half], lag: usize) -> usize {
        match (taps.len(), lag) {
            (0, _) => return input,
            (1, 1) => self.divide_by_steps::<FMA, 1>(input, output, taps),
            (2, 1) => self.divide_by_steps::<FMA, 2>(input, output, taps),
            (3, 1) => self.divide_by_steps::<FMA, 3>(input, output, taps),
            (4, 1) => self.divide_by_steps::<FMA, 4>(input, output, taps),
            (5, 1) => self.divide_by_steps::<FMA, 5>(input, output, taps),
            _ => {
                let (from, to) = two(&mut self.copies, input, output);
                for t in self.pad..to.len() {
                    let mut sum = from[t];
                    for (j, tap) in taps.iter().enumerate() {
                        let past = &to[t - (j + 1) * lag];
                        for lane in 0..HALF {
                            sum[lane] = fused::<FMA>(-tap[lane], past[lane], sum[lane]);
                        }
                    }
                    to[t] = sum;
                }
            }
        }
        output
    }

    /// The same with lags of one step, whose past stays in registers: through memory, each step would wait for it.
    #[inline(always)]
    fn divide_by_steps<const FMA: bool, const TAPS: usize>(&mut self, input: usize, output: usize, taps: &[Half]) {
        let (from, to) = two(&mut self.copies, input, output);
        let mut past = [NOTHING; TAPS];
        for (from, to) in from[self.pad..].iter().zip(&mut to[self.pad..]) {
            let mut sum = *from;
            for j in (0..TAPS).rev() {
                for lane in 0..HALF {
                    sum[lane] = fused::<FMA>(-taps[j][lane], past[j][lane], sum[lane]);
                }
            }
            for j in (1..TAPS).rev() {
                past[j] = past[j - 1];
            }
            past[0] = sum;
            *to = sum;
        }
    }

    /// `out[t] = in[t] - Σ c[j] in[t - j lag]`; the input itself where there is nothing to multiply by.
    #[inline(always)]
    fn multiply<const FMA: bool>(&mut self, input: usize, output: usize, taps: &[Half], lag: usize) -> usize {
        if taps.is_empty() {
            return input;
        }
        let (from, to) = two(&mut self.copies, input, output);
        for t in self.pad..to.len() {
            let mut sum = from[t];
            for (j, tap) in taps.iter().enumerate() {
                let past = &from[t - (j + 1) * lag];
                for lane in 0..HALF {
                    sum[lane] = fused::<FMA>(-tap[lane], past[lane], sum[lane]);
                }
            }
            to[t] = sum;
        }
        output
    }

    /// All products of the columns' sums; the last column holds the residuals.
    ///
    /// Two columns of a block are one copy, so where both of a pair have one before them its sum is theirs but for some
    /// steps at either end. Those are added to a core of steps that all have: a difference would lose digits to a spike.
    #[inline(always)]
    fn moments<const FMA: bool>(&self, columns: &[Column], skip: usize, counted: Option<&Counted>) -> Moments {
        let count = columns.len() - 1;
        let mut moments =
            Moments { sse: NOTHING, gradient: vec![NOTHING; count], products: vec![NOTHING; count * count] };
        for i in 0..=count {
            let alone: Vec<usize> = (i..=count).filter(|&j| !follows(columns, i, j)).collect();
            for some in alone.chunks(TILE) {
                let cut = some.iter().map(|&j| span(columns, i, j)).max().unwrap_or(0);
                let sums = match *some {
                    [a] => self.tile::<FMA, 1, 4>(columns, i, [a], skip, cut, counted),
                    [a, b] => self.tile::<FMA, 2, 3>(columns, i, [a, b], skip, cut, counted),
                    _ => self.tile::<FMA, TILE, 2>(columns, i, [some[0], some[1], some[2]], skip, cut, counted),
                };
                for (&j, core) in some.iter().zip(sums) {
                    let mut next = (i, j);
                    loop {
                        let shift = columns[next.0].lag - columns[i].lag;
                        let sum = self.with_ends::<FMA>(core, columns, next, skip, cut, shift, counted);
                        moments.put(columns, next, sum);
                        next = (next.0 + 1, next.1 + 1);
                        if next.1 >= count || !follows(columns, next.0, next.1) {
                            break;
                        }
                    }
                }
            }
        }
        moments
    }

    /// Sums of one column's products with some others, the last `cut` counted steps of each lane left out.
    #[inline(always)]
    fn tile<const FMA: bool, const WIDTH: usize, const STEPS: usize>(
        &self,
        columns: &[Column],
        i: usize,
        others: [usize; WIDTH],
        skip: usize,
        cut: usize,
        counted: Option<&Counted>,
    ) -> [Half; TILE] {
        let rows = |column: &Column| {
            let copy = &self.copies[column.copy];
            let first = (self.pad + skip).min(copy.len());
            let after = copy.len().saturating_sub(cut).max(first);
            &copy[first - column.lag..after - column.lag]
        };
        let left = rows(&columns[i]);
        let right: [&[Half]; WIDTH] = std::array::from_fn(|w| &rows(&columns[others[w]])[..left.len()]);
        let weights = counted.map(|counted| &counted.weights[(skip + cut).min(counted.weights.len())..][..left.len()]);
        // Some sums a product, added up at last: one alone waits for itself longer than for what it adds.
        let mut sums = [[NOTHING; WIDTH]; STEPS];
        let (rows, rest) = left.as_chunks::<STEPS>();
        let others_rows: [&[[Half; STEPS]]; WIDTH] = std::array::from_fn(|w| right[w].as_chunks().0);
        let weight_rows = weights.map(|weights| weights.as_chunks::<STEPS>().0);
        for (t, row) in rows.iter().enumerate() {
            let mut values = *row;
            if let Some(weights) = weight_rows {
                // No closure: one that is not inlined loses the instruction set, and its halves are waited for.
                for step in 0..STEPS {
                    values[step] = weighed(values[step], weights[t][step]);
                }
            }
            for step in 0..STEPS {
                for w in 0..WIDTH {
                    let other = &others_rows[w][t][step];
                    for lane in 0..HALF {
                        sums[step][w][lane] = fused::<FMA>(values[step][lane], other[lane], sums[step][w][lane]);
                    }
                }
            }
        }
        // Each to the sum of its turn: which steps are the last depends on the longest lane.
        for (step, value) in rest.iter().enumerate() {
            let t = left.len() - rest.len() + step;
            let value = weights.map_or(*value, |weights| weighed(*value, weights[t]));
            for w in 0..WIDTH {
                for lane in 0..HALF {
                    sums[step][w][lane] = fused::<FMA>(value[lane], right[w][t][lane], sums[step][w][lane]);
                }
            }
        }
        let mut all = [NOTHING; TILE];
        for w in 0..WIDTH {
            for step in 0..STEPS {
                for lane in 0..HALF {
                    all[w][lane] += sums[step][w][lane];
                }
            }
        }
        all
    }

    /// A core of sums and what a pair of columns `shift` steps on has besides, at either end.
    #[inline(always)]
    fn with_ends<const FMA: bool>(
        &self,
        core: Half,
        columns: &[Column],
        (i, j): (usize, usize),
        skip: usize,
        cut: usize,
        shift: usize,
        counted: Option<&Counted>,
    ) -> Half {
        let (left, right) = (&columns[i], &columns[j]);
        let (a, b) = (&self.copies[left.copy], &self.copies[right.copy]);
        let mut sums = core;
        for lane in 0..HALF {
            let end = counted.map_or(a.len(), |counted| self.pad + counted.ends[lane]);
            let first = (self.pad + skip).min(end);
            let after = end.saturating_sub(cut).max(first) + shift;
            for t in (first..(first + shift).min(end)).chain(after..end) {
                sums[lane] = fused::<FMA>(a[t - left.lag][lane], b[t - right.lag][lane], sums[lane]);
            }
        }
        sums
    }
}

#[inline(always)]
fn weighed(row: Half, weights: Half) -> Half {
    let mut weighed = NOTHING;
    for lane in 0..HALF {
        weighed[lane] = row[lane] * weights[lane];
    }
    weighed
}

/// Whether a pair of columns is the pair before it, seen some steps later.
fn follows(columns: &[Column], i: usize, j: usize) -> bool {
    if i == 0 || j + 1 == columns.len() {
        return false;
    }
    let same = |a: &Column, b: &Column| a.copy == b.copy && a.sign == b.sign && a.lag > b.lag;
    let [before, left, early, right] = [i - 1, i, j - 1, j].map(|at| &columns[at]);
    same(left, before) && same(right, early) && left.lag - before.lag == right.lag - early.lag
}

/// Steps between a pair and the last of those that follow it.
fn span(columns: &[Column], i: usize, j: usize) -> usize {
    let last = (i + 1..).zip(j + 1..).take_while(|&(i, j)| j < columns.len() && follows(columns, i, j)).last();
    last.map_or(0, |(last, _)| columns[last].lag - columns[i].lag)
}

impl Moments {
    fn put(&mut self, columns: &[Column], (i, j): (usize, usize), sum: Half) {
        let count = columns.len() - 1;
        let sign = columns[i].sign * columns[j].sign;
        let sum = sum.map(|v| sign * v);
        match (i == count, j == count) {
            (true, _) => self.sse = sum,
            (_, true) => self.gradient[i] = sum,
            _ => {
                self.products[i * count + j] = sum;
                self.products[j * count + i] = sum;
            }
        }
    }
}

/// Which steps count where lanes are not equally long.
pub(crate) struct Counted {
    /// 1 where a step counts, 0 where not.
    pub(crate) weights: Vec<Half>,
    /// One past each lane's last step that counts.
    pub(crate) ends: [usize; HALF],
}

/// Columns summed against one other at a time: their sums stay in registers.
const TILE: usize = 3;

/// One derivative of the residuals, or the residuals: a copy seen some steps ago.
struct Column {
    copy: usize,
    lag: usize,
    sign: f64,
}

fn two(copies: &mut [Vec<Half>; 8], read: usize, write: usize) -> (&[Half], &mut [Half]) {
    let [from, to] = copies.get_disjoint_mut([read, write]).expect("a filter never writes what it reads");
    (from, to)
}

struct Evaluate<'p> {
    filters: &'p mut Filters,
    order: ArmaOrder,
    coefficients: &'p [Half],
    skip: usize,
    counted: Option<&'p Counted>,
}

impl WithSimd for Evaluate<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<V: Simd>(self, _simd: V) -> Moments {
        if V::IS_SCALAR {
            self.filters.run::<false>(self.order, self.coefficients, self.skip, self.counted)
        } else {
            self.filters.run::<true>(self.order, self.coefficients, self.skip, self.counted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `in / (1 + Σ c B^(j lag))`, or times `1 - Σ c B^(j lag)`.
    fn filtered(input: &[f64], taps: &[f64], lag: usize, divide: bool) -> Vec<f64> {
        let mut out: Vec<f64> = Vec::new();
        for t in 0..input.len() {
            let past = |j: usize| {
                let at = t.checked_sub((j + 1) * lag);
                at.map_or(0.0, |at| if divide { out[at] } else { input[at] })
            };
            out.push(input[t] - taps.iter().enumerate().map(|(j, tap)| tap * past(j)).sum::<f64>());
        }
        out
    }

    #[test]
    fn moments_are_the_sums_of_every_pair() {
        let (steps, skip) = (90, 14);
        let value = |t: usize, lane: usize| ((t * t * (37 + lane) + 11 * t) % 101) as f64 / 50.0 - 1.0;
        let taps = [0.4, -0.3, 0.25, 0.3, -0.2, 0.35, -0.1, 0.2, 0.15];
        let orders = [[5, 0, 4, 0], [2, 2, 1, 2], [0, 0, 3, 0], [3, 1, 0, 0], [0, 2, 0, 1], [0, 0, 0, 0]];
        for [ar, seasonal_ar, ma, seasonal_ma] in orders {
            let order = ArmaOrder { ar, seasonal_ar, ma, seasonal_ma, season: 6 };
            let own = &taps[..order.coefficients()];
            let mut filters = Filters::new(order.longest_lag(), steps);
            // One lane ends before anything counts, and a spike lies near an end.
            let ends = [90, 90, 70, 83, 88, 14, 15, 16];
            for (t, row) in filters.y_mut().iter_mut().enumerate() {
                *row = std::array::from_fn(|lane| if t < ends[lane] { value(t, lane) } else { 0.0 });
                row[1] = if t == 88 { 1e12 } else { row[1] };
            }
            let weights = (0..steps).map(|t| ends.map(|end| if t < end { 1.0 } else { 0.0 })).collect();
            let rows: Vec<Half> = own.iter().map(|tap| [*tap; HALF]).collect();
            let moments = filters.evaluate(order, &rows, skip, Some(&Counted { weights, ends }));
            for lane in 0..HALF {
                let y: Vec<f64> = filters.y().iter().map(|row| row[lane]).collect();
                let mut alone = Filters::new(order.longest_lag(), ends[lane]);
                alone.y_mut().iter_mut().zip(&y).for_each(|(row, y)| *row = [*y; HALF]);
                let alone = alone.evaluate(order, &rows, skip, None);
                assert_eq!(moments.sse[lane].to_bits(), alone.sse[0].to_bits(), "{order:?} {lane}");
                let (phi, rest) = own.split_at(ar);
                let (seasonal_phi, rest) = rest.split_at(seasonal_ar);
                let (theta, seasonal_theta) = rest.split_at(ma);
                let z = filtered(&filtered(&y, seasonal_theta, 6, true), theta, 1, true);
                let (u, s) = (filtered(&z, seasonal_phi, 6, false), filtered(&z, phi, 1, false));
                let e = filtered(&u, phi, 1, false);
                let (w, v) = (filtered(&e, theta, 1, true), filtered(&e, seasonal_theta, 6, true));
                let columns: Vec<(&[f64], usize)> = (1..=ar)
                    .map(|lag| (&u[..], lag))
                    .chain((1..=seasonal_ar).map(|j| (&s[..], 6 * j)))
                    .chain((1..=ma).map(|lag| (&w[..], lag)))
                    .chain((1..=seasonal_ma).map(|j| (&v[..], 6 * j)))
                    .collect();
                let at = |(copy, lag): (&[f64], usize), t: usize| t.checked_sub(lag).map_or(0.0, |t| copy[t]);
                for (i, left) in columns.iter().enumerate() {
                    for (j, right) in columns.iter().enumerate() {
                        let terms = || (skip..ends[lane]).map(|t| at(*left, t) * at(*right, t));
                        let (expected, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                        let found = moments.products[i * columns.len() + j][lane];
                        // Hundreds of terms, each rounded to 1e-16 of itself.
                        assert!(
                            (found - expected).abs() <= 1e-13 * size,
                            "{order:?} {lane} {i} {j}: {found} {expected}"
                        );
                        assert_eq!(found.to_bits(), alone.products[i * columns.len() + j][0].to_bits());
                    }
                    let slope: f64 = (skip..ends[lane]).map(|t| -at(*left, t) * e[t]).sum();
                    let size: f64 = (skip..ends[lane]).map(|t| (at(*left, t) * e[t]).abs()).sum();
                    assert!((moments.gradient[i][lane] - slope).abs() <= 1e-13 * size);
                    assert_eq!(moments.gradient[i][lane].to_bits(), alone.gradient[i][0].to_bits());
                }
                let squares: f64 = (skip..ends[lane]).map(|t| e[t] * e[t]).sum();
                assert!((moments.sse[lane] - squares).abs() <= 1e-13 * squares);
            }
        }
    }
}
