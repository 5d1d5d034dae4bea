//! The classical families: naive, drift, seasonal naive, ETS, theta, low-rank ridge and Prophet's model.

mod ets;
mod naive;
mod prophet;
mod ridge;
mod theta;

pub use ets::{Ets, EtsParameters, FittedEts};
pub use naive::{Drift, Naive, SeasonalNaive};
pub use prophet::{FittedProphet, Parameters, Prophet};
pub use ridge::LowRankRidge;
pub use theta::{FittedTheta, Theta, ThetaParameters, ThetaSeason};
