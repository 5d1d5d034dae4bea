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

    /// Filters the series by a model and sums what is left from step `skip` on; a step counts as often as `weights`
    /// says, once by default.
    pub(crate) fn evaluate(
        &mut self,
        order: ArmaOrder,
        coefficients: &[Half],
        skip: usize,
        weights: Option<&[Half]>,
    ) -> Moments {
        let arch = self.arch;
        arch.dispatch(Evaluate { filters: self, order, coefficients, skip, weights })
    }

    #[inline(always)]
    fn run<const FMA: bool>(
        &mut self,
        order: ArmaOrder,
        coefficients: &[Half],
        skip: usize,
        weights: Option<&[Half]>,
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
        self.moments::<FMA>(&columns, skip, weights)
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
    #[inline(always)]
    fn moments<const FMA: bool>(&self, columns: &[Column], skip: usize, weights: Option<&[Half]>) -> Moments {
        let count = columns.len() - 1;
        let mut moments =
            Moments { sse: NOTHING, gradient: vec![NOTHING; count], products: vec![NOTHING; count * count] };
        for i in 0..=count {
            let mut j = i;
            while j <= count {
                let tile = (count + 1 - j).min(TILE);
                let sums = match tile {
                    1 => self.tile::<FMA, 1>(columns, i, j, skip, weights),
                    2 => self.tile::<FMA, 2>(columns, i, j, skip, weights),
                    _ => self.tile::<FMA, TILE>(columns, i, j, skip, weights),
                };
                for (j, sum) in (j..j + tile).zip(sums) {
                    let sign = columns[i].sign * columns[j].sign;
                    let sum = sum.map(|v| sign * v);
                    match (i == count, j == count) {
                        (true, _) => moments.sse = sum,
                        (_, true) => moments.gradient[i] = sum,
                        _ => {
                            moments.products[i * count + j] = sum;
                            moments.products[j * count + i] = sum;
                        }
                    }
                }
                j += tile;
            }
        }
        moments
    }

    #[inline(always)]
    fn tile<const FMA: bool, const WIDTH: usize>(
        &self,
        columns: &[Column],
        i: usize,
        j: usize,
        skip: usize,
        weights: Option<&[Half]>,
    ) -> [Half; TILE] {
        let rows = |column: &Column| {
            let copy = &self.copies[column.copy];
            let first = (self.pad + skip).min(copy.len()) - column.lag;
            &copy[first..copy.len() - column.lag]
        };
        let left = rows(&columns[i]);
        let right: [&[Half]; WIDTH] = std::array::from_fn(|w| &rows(&columns[j + w])[..left.len()]);
        let mut sums = [NOTHING; WIDTH];
        match weights {
            None => {
                for t in 0..left.len() {
                    for w in 0..WIDTH {
                        for lane in 0..HALF {
                            sums[w][lane] = fused::<FMA>(left[t][lane], right[w][t][lane], sums[w][lane]);
                        }
                    }
                }
            }
            Some(weights) => {
                let weights = &weights[skip.min(weights.len())..][..left.len()];
                for t in 0..left.len() {
                    let weighted: Half = std::array::from_fn(|lane| weights[t][lane] * left[t][lane]);
                    for w in 0..WIDTH {
                        for lane in 0..HALF {
                            sums[w][lane] = fused::<FMA>(weighted[lane], right[w][t][lane], sums[w][lane]);
                        }
                    }
                }
            }
        }
        let mut all = [NOTHING; TILE];
        all[..WIDTH].copy_from_slice(&sums);
        all
    }
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
    weights: Option<&'p [Half]>,
}

impl WithSimd for Evaluate<'_> {
    type Output = Moments;

    #[inline(always)]
    fn with_simd<V: Simd>(self, _simd: V) -> Moments {
        if V::IS_SCALAR {
            self.filters.run::<false>(self.order, self.coefficients, self.skip, self.weights)
        } else {
            self.filters.run::<true>(self.order, self.coefficients, self.skip, self.weights)
        }
    }
}
