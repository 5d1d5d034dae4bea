//! The classical families: naive, drift, seasonal naive, ETS, low-rank ridge and Prophet's model.

mod ets;
mod naive;
mod prophet;
mod ridge;

pub use ets::{AutoEts, Ets, EtsParameters, FittedAutoEts, FittedEts};
pub use naive::{Drift, Naive, SeasonalNaive};
pub use prophet::{FittedProphet, Parameters, Prophet};
pub use ridge::LowRankRidge;
