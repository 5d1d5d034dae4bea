//! The classical families: naive, drift, seasonal naive, low-rank ridge and Prophet's model.

mod naive;
mod prophet;
mod ridge;

pub use naive::{Drift, Naive, SeasonalNaive};
pub use prophet::{FittedProphet, Parameters, Prophet};
pub use ridge::LowRankRidge;
