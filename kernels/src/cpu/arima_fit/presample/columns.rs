//! Filters and sums over columns that lie between zeros.

use super::super::super::fused;
use super::super::stationary::REACH;

/// Lags correlated in one pass.
pub(super) const LAGS: usize = REACH + 1;
/// Zeros before the first step and past the last one.
pub(super) const PAD: usize = 2 * LAGS;

/// The next value of `in/θ`; the latest comes last, so that a step waits for one product alone.
#[inline(always)]
pub(super) fn divided<const FMA: bool, const TAPS: usize>(
    input: f64,
    theta: &[f64; REACH],
    past: &mut [f64; TAPS],
) -> f64 {
    let mut sum = input;
    for j in (0..TAPS).rev() {
        sum = fused::<FMA>(-theta[j], past[j], sum);
    }
    for j in (1..TAPS).rev() {
        past[j] = past[j - 1];
    }
    if TAPS > 0 {
        past[0] = sum;
    }
    sum
}

/// `out[t] = in[t] - Σ φ[j] in[t - j]`, and zeros past the last step.
#[inline(always)]
pub(super) fn multiply<const FMA: bool>(input: &[f64], output: &mut [f64], phi: &[f64; REACH], steps: usize) {
    let padded = steps.next_multiple_of(4);
    let rows: [&[[f64; 4]]; LAGS] = std::array::from_fn(|lag| input[PAD - lag..][..padded].as_chunks().0);
    let (out, _) = output[PAD..][..padded].as_chunks_mut::<4>();
    for (t, out) in out.iter_mut().enumerate() {
        let mut sum = rows[0][t];
        for j in 0..REACH {
            let past = rows[j + 1][t];
            for w in 0..4 {
                sum[w] = fused::<FMA>(-phi[j], past[w], sum[w]);
            }
        }
        *out = sum;
    }
    output[PAD + steps..PAD + padded].fill(0.0);
}

/// `Σ a[s] b[s + from + lag]` for six lags.
#[inline(always)]
pub(super) fn correlate<const FMA: bool>(a: &[f64], b: &[f64], from: usize, steps: usize) -> [f64; LAGS] {
    let steps = steps.next_multiple_of(4);
    let (a, _) = a[PAD..][..steps].as_chunks::<4>();
    let rows: [&[[f64; 4]]; LAGS] = std::array::from_fn(|lag| b[PAD + from + lag..][..steps].as_chunks().0);
    let mut sums = [[0.0; 4]; LAGS];
    for (s, a) in a.iter().enumerate() {
        for lag in 0..LAGS {
            let b = rows[lag][s];
            for w in 0..4 {
                sums[lag][w] = fused::<FMA>(a[w], b[w], sums[lag][w]);
            }
        }
    }
    let mut totals = [0.0; LAGS];
    for lag in 0..LAGS {
        totals[lag] = (sums[lag][0] + sums[lag][1]) + (sums[lag][2] + sums[lag][3]);
    }
    totals
}

/// `Σ a[s] b[s]`.
#[inline(always)]
pub(super) fn total<const FMA: bool>(a: &[f64], b: &[f64], steps: usize) -> f64 {
    let steps = steps.next_multiple_of(16);
    let (a, b) = (a[PAD..][..steps].as_chunks::<16>().0, b[PAD..][..steps].as_chunks::<16>().0);
    let mut sums = [0.0; 16];
    for (a, b) in a.iter().zip(b) {
        for w in 0..16 {
            sums[w] = fused::<FMA>(a[w], b[w], sums[w]);
        }
    }
    sums.iter().sum()
}

/// What a correlation of two columns, so many steps ago each, counts past the last step.
#[inline(always)]
pub(super) fn past_end(a: &[f64], b: &[f64], steps: usize, (ago, other): (usize, usize)) -> f64 {
    let mut sum = 0.0;
    for t in PAD + steps..PAD + steps + ago.min(other) {
        sum += a[t - ago] * b[t - other];
    }
    sum
}
