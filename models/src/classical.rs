//! The classical families: naive, drift, seasonal naive and low-rank ridge so far.

mod naive;
mod ridge;

pub use naive::{Drift, Naive, SeasonalNaive};
pub use ridge::LowRankRidge;
