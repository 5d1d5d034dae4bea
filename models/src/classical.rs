//! The classical families, a module each.

mod ets;
mod naive;
mod prophet;
mod ridge;
mod theta;

pub use ets::{AutoEts, Ets, EtsParameters, FittedAutoEts, FittedEts};
pub use naive::{Drift, Naive, SeasonalNaive};
pub use prophet::{FittedProphet, Parameters, Prophet};
pub use ridge::LowRankRidge;
pub use theta::{FittedTheta, Theta, ThetaParameters, ThetaSeason};
