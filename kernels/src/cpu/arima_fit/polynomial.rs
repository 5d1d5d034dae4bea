//! What the exact filter of an ARMA model starts from, several models of one order side by side.

use super::super::{fused, one_row};
use super::stationary::{REACH, Stationary};
use crate::ArmaOrder;

/// A polynomial multiplied out: its lags with a coefficient, and the coefficients.
pub(super) struct Sparse<const W: usize> {
    pub(super) lags: Vec<usize>,
    pub(super) taps: Vec<[f64; W]>,
}

impl<const W: usize> Sparse<W> {
    /// `sign · ((1 + sign·a₁B + …)(1 + sign·b₁Bᵐ + …) - 1)`: the recursion's coefficients with -1, a moving
    /// average's with 1.
    fn product(steps: &[[f64; W]], seasons: &[[f64; W]], season: usize, sign: f64) -> Self {
        let mut dense: Vec<Option<[f64; W]>> = vec![None; steps.len() + season * seasons.len() + 1];
        let mut add = |lag: usize, value: [f64; W]| {
            let sum = dense[lag].get_or_insert([0.0; W]);
            sum.iter_mut().zip(value).for_each(|(sum, value)| *sum += value);
        };
        for (i, a) in steps.iter().enumerate() {
            add(i + 1, *a);
        }
        for (j, b) in seasons.iter().enumerate() {
            add((j + 1) * season, *b);
            for (i, a) in steps.iter().enumerate() {
                add((j + 1) * season + i + 1, std::array::from_fn(|w| sign * a[w] * b[w]));
            }
        }
        let (lags, taps) = dense.into_iter().enumerate().filter_map(|(lag, tap)| Some((lag, tap?))).unzip();
        Self { lags, taps }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &[f64; W])> {
        self.lags.iter().copied().zip(&self.taps)
    }

    fn reach(&self) -> usize {
        self.lags.last().copied().unwrap_or(0)
    }
}

/// Both polynomials of a model, and what its state and its first observation have in common.
pub(super) struct Start<const W: usize> {
    pub(super) ar: Sparse<W>,
    /// The moving average, with 1 at lag 0.
    pub(super) ma: Sparse<W>,
    /// Elements of the state: one more than the moving average reaches back, or as many as the recursion does.
    pub(super) width: usize,
    /// Covariance of each element of the stationary state with the observation, in units of the noise's variance.
    pub(super) covariance: Vec<[f64; W]>,
}

#[inline(always)]
pub(super) fn start<const FMA: bool, const W: usize>(order: ArmaOrder, coefficients: &[[f64; W]]) -> Start<W> {
    let (steps, rest) = coefficients.split_at(order.ar);
    let (seasons, rest) = rest.split_at(order.seasonal_ar);
    let (ma_steps, ma_seasons) = rest.split_at(order.ma);
    let ar = Sparse::product(steps, seasons, order.season, -1.0);
    let mut ma = Sparse::product(ma_steps, ma_seasons, order.season, 1.0);
    ma.lags.insert(0, 0);
    ma.taps.insert(0, [1.0; W]);
    let width = ar.reach().max(ma.reach() + 1);
    if order.seasonal_ar + order.seasonal_ma == 0 && order.ar <= REACH && order.ma <= REACH {
        let covariance = short::<FMA, W>(order, coefficients, width);
        return Start { ar, ma, width, covariance };
    }
    let gamma = autocovariance::<FMA, W>(&ar, &ma);
    let psi = impulse(&ar, &ma);
    let mut covariance = vec![[0.0; W]; width];
    for (element, sum) in covariance.iter_mut().enumerate() {
        for (lag, tap) in ar.iter().filter(|(lag, _)| *lag > element) {
            for w in 0..W {
                sum[w] += tap[w] * gamma[lag - element][w];
            }
        }
        for (lag, tap) in ma.iter().filter(|(lag, _)| *lag >= element) {
            for w in 0..W {
                sum[w] += tap[w] * psi[lag - element][w];
            }
        }
    }
    Start { ar, ma, width, covariance }
}

/// The covariances of a short model without a season, in which roots that nearly cancel cost no digits.
#[inline(always)]
fn short<const FMA: bool, const W: usize>(order: ArmaOrder, coefficients: &[[f64; W]], width: usize) -> Vec<[f64; W]> {
    let mut covariance = vec![[0.0; W]; width];
    for w in 0..W {
        let mut own = [0.0; 2 * REACH];
        own.iter_mut().zip(coefficients).for_each(|(own, row)| *own = row[w]);
        let (ar, ma) = own[..order.coefficients()].split_at(order.ar);
        let stationary = Stationary::new::<FMA>(ar, ma);
        covariance.iter_mut().zip(&stationary.covariance).for_each(|(to, row)| to[w] = row[0]);
    }
    covariance
}

/// What a unit of noise adds to each later observation, as far as the moving average reaches.
fn impulse<const W: usize>(ar: &Sparse<W>, ma: &Sparse<W>) -> Vec<[f64; W]> {
    let mut psi = vec![[0.0; W]; ma.reach() + 1];
    ma.iter().for_each(|(lag, tap)| psi[lag] = *tap);
    for t in 1..psi.len() {
        for (lag, tap) in ar.iter().take_while(|(lag, _)| *lag <= t) {
            let past = psi[t - lag];
            for w in 0..W {
                psi[t][w] += tap[w] * past[w];
            }
        }
    }
    psi
}

/// Autocovariances of the process up to the recursion's longest lag: those of its autoregressive part, weighed by
/// the moving average's own.
#[inline(always)]
fn autocovariance<const FMA: bool, const W: usize>(ar: &Sparse<W>, ma: &Sparse<W>) -> Vec<[f64; W]> {
    let (p, q) = (ar.reach(), ma.reach());
    let plain = autoregression::<FMA, W>(ar, p + q);
    let mut weights = vec![[0.0; W]; q + 1];
    for (a, left) in ma.iter() {
        for (b, right) in ma.iter().filter(|(b, _)| *b >= a) {
            for w in 0..W {
                weights[b - a][w] += left[w] * right[w];
            }
        }
    }
    (0..=p)
        .map(|k| {
            let mut sum = [0.0; W];
            for (lag, weight) in weights.iter().enumerate().filter(|(_, weight)| weight.iter().any(|v| *v != 0.0)) {
                let (near, far) = (&plain[k.abs_diff(lag)], &plain[k + lag]);
                for w in 0..W {
                    let both = if lag == 0 { near[w] } else { near[w] + far[w] };
                    sum[w] = fused::<FMA>(weight[w], both, sum[w]);
                }
            }
            sum
        })
        .collect()
}

/// Autocovariances of an autoregression up to a lag: the Durbin-Levinson recursion run back to the partial
/// autocorrelations, then forward.
#[inline(always)]
fn autoregression<const FMA: bool, const W: usize>(ar: &Sparse<W>, last: usize) -> Vec<[f64; W]> {
    let p = ar.reach();
    // Row `n` holds the coefficients of the best predictor from `n` values.
    let mut rows: Vec<Vec<[f64; W]>> = (0..=p).map(|n| vec![[0.0; W]; n]).collect();
    ar.iter().for_each(|(lag, tap)| rows[p][lag - 1] = *tap);
    let mut variance = [1.0; W];
    for n in (1..=p).rev() {
        let (before, from) = rows.split_at_mut(n);
        let (to, from) = (&mut before[n - 1], &from[0]);
        let partial = from[n - 1];
        let scale: [f64; W] = std::array::from_fn(|w| 1.0 / (1.0 - partial[w] * partial[w]));
        for i in 0..n - 1 {
            let i = one_row(i);
            for w in 0..W {
                to[i][w] = fused::<FMA>(partial[w], from[n - 2 - i][w], from[i][w]) * scale[w];
            }
        }
        for w in 0..W {
            variance[w] *= scale[w];
        }
    }
    let mut gamma = vec![[0.0; W]; last + 1];
    gamma[0] = variance;
    for k in 1..=last {
        let row = &rows[k.min(p)];
        let mut sum = [0.0; W];
        if k <= p {
            // The predictor from k values has its covariance with the newest k - 1 of them and this one.
            for i in 0..k - 1 {
                let i = one_row(i);
                let past = &gamma[k - 1 - i];
                for w in 0..W {
                    sum[w] = fused::<FMA>(rows[k - 1][i][w], past[w], sum[w]);
                }
            }
            for w in 0..W {
                sum[w] = fused::<FMA>(row[k - 1][w], variance[w], sum[w]);
            }
            for w in 0..W {
                variance[w] *= 1.0 - row[k - 1][w] * row[k - 1][w];
            }
        } else {
            for (lag, tap) in ar.iter() {
                let past = &gamma[k - lag];
                for w in 0..W {
                    sum[w] = fused::<FMA>(tap[w], past[w], sum[w]);
                }
            }
        }
        gamma[k] = sum;
    }
    gamma
}
