//! The classical families: naive, drift, seasonal naive, ETS, ARIMA, low-rank ridge and Prophet's model.

mod arima;
mod ets;
mod naive;
mod prophet;
mod ridge;

pub use arima::{Arima, ArimaParameters, FittedArima};
pub use ets::{Ets, EtsParameters, FittedEts};
pub use naive::{Drift, Naive, SeasonalNaive};
pub use prophet::{FittedProphet, Parameters, Prophet};
pub use ridge::LowRankRidge;
