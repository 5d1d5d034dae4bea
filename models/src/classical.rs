//! The classical families: naive, drift, seasonal naive, ETS, theta, complex exponential smoothing, Rho, Delta
//! and Card, low-rank ridge and Prophet's model.

mod card;
mod ces;
mod ets;
mod naive;
mod prophet;
mod ridge;
mod theta;

pub use card::{Card, CardSeasons, Delta, FittedCard, Rho};
pub use ces::{Ces, CesParameters, FittedCes};
pub use ets::{Ets, EtsParameters, FittedEts};
pub use naive::{Drift, Naive, SeasonalNaive};
pub use prophet::{FittedProphet, Parameters, Prophet};
pub use ridge::LowRankRidge;
pub use theta::{FittedTheta, Theta, ThetaParameters, ThetaSeason};
