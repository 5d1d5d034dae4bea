//! Coefficients to begin from: a regression on the past and on the errors of a long autoregression.
//!
//! Source: Hannan and Rissanen, Recursive estimation of mixed autoregressive-moving average order, Biometrika 69(1),
//! 1982.

use pulp::{Arch, Simd, WithSimd};

use super::super::arima::{HALF, Half};
use super::super::fused;
use super::solve::spd_solve;
use super::transform::Region;
use crate::ArmaOrder;

/// Share of the diagonal that a regression adds to it: two columns may say the same.
const RIDGE: f64 = 1e-6;

/// Products of eight series and of their long autoregressions' errors with either, some steps ago.
pub(super) struct Products {
    /// Of the series and itself, the errors and themselves, the series and earlier errors, the errors and earlier
    /// values; a row a lag.
    own: Vec<Half>,
    errors: Vec<Half>,
    earlier_errors: Vec<Half>,
    earlier_values: Vec<Half>,
}

impl Products {
    /// All products that models with lags up to `reach` ask for, from series that are zero past their ends.
    pub(super) fn new(y: &[Half], lengths: &[usize; HALF], reach: usize, season: usize) -> Self {
        let arch = Arch::new();
        // Each lane's order depends on its own length alone; shorter ones leave the rest at zero.
        let longest = (reach + season).max(20);
        let own: Vec<Half> =
            (0..=longest.max(reach)).map(|lag| arch.dispatch(Lagged { left: y, right: y, lag })).collect();
        let mut taps = vec![[0.0; HALF]; longest];
        for lane in 0..HALF {
            let order = longest.min(lengths[lane] / 4);
            let autocovariance: Vec<f64> = own.iter().map(|row| row[lane]).collect();
            for (i, tap) in levinson(&autocovariance, order).into_iter().enumerate() {
                taps[i][lane] = tap;
            }
        }
        let mut errors = arch.dispatch(Errors { y, taps: &taps });
        for (t, row) in errors.iter_mut().enumerate() {
            for lane in 0..HALF {
                if t < longest.min(lengths[lane] / 4) || t >= lengths[lane] {
                    row[lane] = 0.0;
                }
            }
        }
        let products = |left: &[Half], right: &[Half]| -> Vec<Half> {
            (0..=reach).map(|lag| arch.dispatch(Lagged { left, right, lag })).collect()
        };
        Self {
            earlier_errors: products(y, &errors),
            earlier_values: products(&errors, y),
            errors: products(&errors, &errors),
            own,
        }
    }

    /// Free numbers of one lane's regression; zeros where it has no answer.
    pub(super) fn start(&self, region: Region, lane: usize) -> Vec<f64> {
        let order = region.order;
        let coefficients = self.regress(order, lane).unwrap_or_else(|| vec![0.0; order.coefficients()]);
        region.free_numbers(&coefficients)
    }

    /// The regression of one lane, in the order's coefficients; `None` where it has no answer.
    fn regress(&self, order: ArmaOrder, lane: usize) -> Option<Vec<f64>> {
        let count = order.coefficients();
        let columns: Vec<(bool, usize)> = (1..=order.ar)
            .map(|lag| (false, lag))
            .chain((1..=order.seasonal_ar).map(|j| (false, j * order.season)))
            .chain((1..=order.ma).map(|lag| (true, lag)))
            .chain((1..=order.seasonal_ma).map(|j| (true, j * order.season)))
            .collect();
        let product = |a: (bool, usize), b: (bool, usize)| {
            // The later of the two is the one of the smaller lag.
            let (later, earlier) = if a.1 <= b.1 { (a, b) } else { (b, a) };
            let lag = earlier.1 - later.1;
            let of = match (later.0, earlier.0) {
                (false, false) => &self.own,
                (true, true) => &self.errors,
                (false, true) => &self.earlier_errors,
                (true, false) => &self.earlier_values,
            };
            of[lag][lane]
        };
        let mut matrix = vec![0.0; count * count];
        for (i, a) in columns.iter().enumerate() {
            for (j, b) in columns.iter().enumerate() {
                matrix[i * count + j] = product(*a, *b) * if i == j { 1.0 + RIDGE } else { 1.0 };
            }
        }
        let right: Vec<f64> = columns.iter().map(|column| product((false, 0), *column)).collect();
        spd_solve(&mut matrix, &right).filter(|taps| taps.iter().all(|tap| tap.is_finite()))
    }
}

/// Coefficients of the best predictor from so many values, by the Durbin-Levinson recursion.
fn levinson(autocovariance: &[f64], order: usize) -> Vec<f64> {
    let mut taps: Vec<f64> = Vec::with_capacity(order);
    let mut variance = autocovariance[0];
    for n in 0..order {
        if variance.is_nan() || variance <= 1e-12 * autocovariance[0] {
            break;
        }
        let known: f64 = taps.iter().enumerate().map(|(i, tap)| tap * autocovariance[n - i]).sum();
        let partial = (autocovariance[n + 1] - known) / variance;
        let before = taps.clone();
        for i in 0..n {
            taps[i] -= partial * before[n - 1 - i];
        }
        taps.push(partial);
        variance *= 1.0 - partial * partial;
    }
    taps
}

struct Lagged<'a> {
    left: &'a [Half],
    right: &'a [Half],
    lag: usize,
}

impl WithSimd for Lagged<'_> {
    type Output = Half;

    #[inline(always)]
    fn with_simd<V: Simd>(self, _simd: V) -> Half {
        if V::IS_SCALAR { self.sum::<false>() } else { self.sum::<true>() }
    }
}

impl Lagged<'_> {
    #[inline(always)]
    fn sum<const FMA: bool>(self) -> Half {
        let mut sum = [0.0; HALF];
        for (left, right) in self.left.iter().skip(self.lag).zip(self.right) {
            for lane in 0..HALF {
                sum[lane] = fused::<FMA>(left[lane], right[lane], sum[lane]);
            }
        }
        sum
    }
}

struct Errors<'a> {
    y: &'a [Half],
    taps: &'a [Half],
}

impl WithSimd for Errors<'_> {
    type Output = Vec<Half>;

    #[inline(always)]
    fn with_simd<V: Simd>(self, _simd: V) -> Vec<Half> {
        if V::IS_SCALAR { self.run::<false>() } else { self.run::<true>() }
    }
}

impl Errors<'_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) -> Vec<Half> {
        let mut errors = Vec::with_capacity(self.y.len());
        for t in 0..self.y.len() {
            let mut sum = self.y[t];
            for (tap, past) in self.taps.iter().zip(self.y[..t].iter().rev()) {
                for lane in 0..HALF {
                    sum[lane] = fused::<FMA>(-tap[lane], past[lane], sum[lane]);
                }
            }
            errors.push(sum);
        }
        errors
    }
}
