//! The classical families, a module each.

mod arima;
mod ets;
mod naive;
mod prophet;
mod ridge;
mod theta;

pub use arima::{Arima, ArimaParameters, FittedArima};
pub use ets::{Ets, EtsParameters, FittedEts};
pub use naive::{Drift, Naive, SeasonalNaive};
pub use prophet::{FittedProphet, Parameters, Prophet};
pub use ridge::LowRankRidge;
pub use theta::{FittedTheta, Theta, ThetaParameters, ThetaSeason};
