//! The classical families: naive, drift and seasonal naive so far.

mod naive;

pub use naive::{Drift, Naive, SeasonalNaive};
