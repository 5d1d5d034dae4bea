//! The work on this machine's cores: rayon across series, pulp's run-time choice of instructions inside.

pub(crate) mod arima;
pub(crate) mod arima_fit;
pub(crate) mod auto_ets;
pub(crate) mod autocorrelation;
pub(crate) mod ces;
pub(crate) mod ces_fit;
pub(crate) mod decompose;
pub(crate) mod ets;
pub(crate) mod ets_fit;
pub(crate) mod lstm;
pub(crate) mod products;
pub(crate) mod quantile;
pub(crate) mod regression;
pub(crate) mod score;
pub(crate) mod seasonal;
pub(crate) mod shrink;
pub(crate) mod solve;
pub(crate) mod theta;
pub(crate) mod theta_fit;

/// `a * b + c`, fused where the caller's instruction set has it: elsewhere `mul_add` is a library call.
#[inline(always)]
fn fused<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Keeps a loop over rows from being made one over eight rows at a time: where there are 64-byte vectors the compiler gathers
/// and scatters single lanes for that, which takes three times as long as whole rows do.
#[inline(always)]
fn one_row(i: usize) -> usize {
    std::hint::black_box(i)
}
