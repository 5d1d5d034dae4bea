//! What the exact filter of a short model starts from, in registers.
//!
//! Autocovariances cost little, and lose as many digits as those of the autoregression are larger than the process' own.
//! Where that is too many, because roots of the two sides nearly cancel, the covariance is a sum by doubling, see
//! `stationary`.
#![allow(clippy::too_many_lines)] // a unit's numbers stay in registers: a helper would send them through memory

use cubecl::prelude::*;

use super::place::{coefficient_count, length};
use super::stationary::DOUBLINGS;

/// Share of a covariance that counts as none.
const GONE: f32 = 1e-18;

/// Whether a column's model walks and has the coefficient that is moved there.
#[cube]
pub(super) fn is_asked(
    walks: &Array<u32>,
    lengths: &Array<u32>,
    columns: u32,
    variants: u32,
    c: u32,
    #[comptime] alike: bool,
) -> bool {
    let m = (c / variants) as usize;
    let count = coefficient_count(lengths, (columns / variants) as usize, m, alike) as u32;
    walks[m] == 1u32 && c % variants <= 2 * count
}

/// The covariance of each element of a model's stationary state with the observation, ahead by one step, and that of
/// the observation. Up to `limit` times its own an autoregression's covariance is trusted.
#[cube(launch_unchecked)]
pub(super) fn begin<F: Float>(
    coefficients: &Array<F>,
    walks: &Array<u32>,
    lengths: &Array<u32>,
    start: &mut Array<F>,
    columns: u32,
    variants: u32,
    limit: f32,
    #[comptime] width: usize,
    #[comptime] alike: bool,
) {
    let c = ABSOLUTE_POS as u32;
    if c < columns && is_asked(walks, lengths, columns, variants, c, alike) {
        let models = (columns / variants) as usize;
        let ar = length(lengths, 0usize, models, (c / variants) as usize, alike) as u32;
        let ma = length(lengths, 2usize, models, (c / variants) as usize, alike) as u32;
        let zero = F::new(0.0f32);
        let mut phi = Array::<F>::new(width);
        let mut theta = Array::<F>::new(width);
        let mut first = Array::<F>::new(width);
        #[unroll]
        for i in 0..width {
            phi[i] = zero;
            if (i as u32) < ar {
                phi[i] = coefficients[i * columns as usize + c as usize];
            }
            theta[i] = F::new(1.0f32);
            if comptime!(i > 0) {
                theta[i] = zero;
                if (i as u32) <= ma {
                    theta[i] = coefficients[(ar + i as u32 - 1) as usize * columns as usize + c as usize];
                }
            }
        }
        let excess = by_autocovariances::<F>(&phi, &theta, &mut first, width);
        let trusted = excess < F::cast_from(limit);
        if !trusted {
            by_doubling::<F>(&phi, &theta, &mut first, width);
        }
        #[unroll]
        for i in 0..width {
            let mut gain = phi[i] * first[0];
            if comptime!(i + 1 < width) {
                gain += first[comptime!(i + 1)];
            }
            start[i * columns as usize + c as usize] = gain;
        }
        start[width * columns as usize + c as usize] = first[0];
    }
}

/// The first column of the state's covariance from the process' autocovariances; how many times its variance that of
/// the autoregression alone is.
///
/// The autoregression's follow by the Durbin-Levinson recursion run back to the partial autocorrelations, then forward.
#[cube]
fn by_autocovariances<F: Float>(phi: &Array<F>, theta: &Array<F>, first: &mut Array<F>, #[comptime] width: usize) -> F {
    let zero = F::new(0.0f32);
    let one = F::new(1.0f32);
    // Row `n`, of `n` coefficients, is the best predictor from as many values.
    let mut rows = Array::<F>::new(comptime!(width * (width + 1) / 2));
    let mut plain = Array::<F>::new(comptime!(2 * width));
    let mut weights = Array::<F>::new(width);
    let mut gamma = Array::<F>::new(comptime!(width + 1));
    let mut psi = Array::<F>::new(width);
    let mut variance = one + zero;
    #[unroll]
    for i in 0..width {
        rows[comptime!(width * (width - 1) / 2 + i)] = phi[i];
    }
    #[unroll]
    for back in 0..width {
        let n = comptime!(width - back);
        let partial = rows[comptime!(n * (n + 1) / 2 - 1)];
        let scale = one / (one - partial * partial);
        #[unroll]
        for i in 0..comptime!(n - 1) {
            let other = rows[comptime!(n * (n - 1) / 2 + n - 2 - i)];
            rows[comptime!((n - 1) * (n - 2) / 2 + i)] =
                (rows[comptime!(n * (n - 1) / 2 + i)] + partial * other) * scale;
        }
        variance *= scale;
    }
    plain[0] = variance;
    #[unroll]
    for k in 1..comptime!(2 * width) {
        let mut sum = zero + zero;
        if comptime!(k <= width) {
            #[unroll]
            for i in 0..comptime!(k - 1) {
                sum += rows[comptime!((k - 1) * (k - 2) / 2 + i)] * plain[comptime!(k - 1 - i)];
            }
            let partial = rows[comptime!(k * (k + 1) / 2 - 1)];
            sum += partial * variance;
            variance *= one - partial * partial;
        } else {
            #[unroll]
            for i in 0..width {
                sum += phi[i] * plain[comptime!(k - 1 - i)];
            }
        }
        plain[k] = sum;
    }
    let mut sizes = zero + zero;
    #[unroll]
    for lag in 0..width {
        let mut sum = zero + zero;
        #[unroll]
        for i in 0..comptime!(width - lag) {
            sum += theta[i] * theta[comptime!(i + lag)];
        }
        weights[lag] = sum;
        sizes += sum.abs() + sum.abs();
    }
    #[unroll]
    for k in 0..comptime!(width + 1) {
        let mut sum = weights[0] * plain[k];
        #[unroll]
        for lag in 1..width {
            let near = comptime!(k.abs_diff(lag));
            if comptime!(k + lag < 2 * width) {
                sum += weights[lag] * (plain[near] + plain[comptime!(k + lag)]);
            }
        }
        gamma[k] = sum;
    }
    #[unroll]
    for t in 0..width {
        let mut sum = theta[t] + zero;
        #[unroll]
        for i in 0..t {
            sum += phi[i] * psi[comptime!(t - 1 - i)];
        }
        psi[t] = sum;
    }
    #[unroll]
    for element in 0..width {
        let mut sum = zero + zero;
        #[unroll]
        for i in element..width {
            // Lag `i + 1` of the recursion, and lag `i` of the moving average.
            sum += phi[i] * gamma[comptime!(i + 1 - element)] + theta[i] * psi[comptime!(i - element)];
        }
        first[element] = sum;
    }
    plain[0] * sizes / first[0]
}

/// The same as a sum of squares, of which no digit is lost.
#[cube]
fn by_doubling<F: Float>(phi: &Array<F>, theta: &Array<F>, first: &mut Array<F>, #[comptime] width: usize) {
    let zero = F::new(0.0f32);
    let mut power = Array::<F>::new(comptime!(width * width));
    let mut covariance = Array::<F>::new(comptime!(width * width));
    let mut other = Array::<F>::new(comptime!(width * width));
    #[unroll]
    for i in 0..width {
        #[unroll]
        for j in 0..width {
            power[comptime!(i * width + j)] = zero;
            if comptime!(j == 0) {
                power[comptime!(i * width + j)] += phi[i];
            }
            if comptime!(j == i + 1) {
                power[comptime!(i * width + j)] += F::new(1.0f32);
            }
            covariance[comptime!(i * width + j)] = theta[i] * theta[j];
        }
    }
    let mut goes_on = true;
    for _ in 0..comptime!(DOUBLINGS as u32) {
        if goes_on {
            multiply::<F>(&power, &covariance, &mut other, width);
            let mut added = zero + zero;
            let mut all = zero + zero;
            #[unroll]
            for i in 0..width {
                #[unroll]
                for j in 0..width {
                    let mut more = zero + zero;
                    #[unroll]
                    for k in 0..width {
                        more += other[comptime!(i * width + k)] * power[comptime!(j * width + k)];
                    }
                    covariance[comptime!(i * width + j)] += more;
                    if comptime!(i == j) {
                        added += more;
                        all += covariance[comptime!(i * width + j)];
                    }
                }
            }
            multiply::<F>(&power, &power, &mut other, width);
            #[unroll]
            for i in 0..comptime!(width * width) {
                power[i] = other[i];
            }
            goes_on = added > F::new(GONE) * all;
        }
    }
    #[unroll]
    for i in 0..width {
        first[i] = covariance[comptime!(i * width)];
    }
}

#[cube]
fn multiply<F: Float>(left: &Array<F>, right: &Array<F>, to: &mut Array<F>, #[comptime] width: usize) {
    #[unroll]
    for i in 0..width {
        #[unroll]
        for j in 0..width {
            let mut cell = F::new(0.0f32);
            #[unroll]
            for k in 0..width {
                cell += left[comptime!(i * width + k)] * right[comptime!(k * width + j)];
            }
            to[comptime!(i * width + j)] = cell;
        }
    }
}
