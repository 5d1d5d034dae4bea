//! The classical families, a module each.

mod arima;
mod card;
mod ces;
mod dhr;
mod ets;
mod mstl;
mod naive;
mod prophet;
mod ridge;
mod seasonal_ar;
mod seasonal_median;
mod theta;

pub use arima::{Arima, ArimaParameters, FittedArima};
pub use card::{Card, CardSeasons, Delta, FittedCard, Rho};
pub use ces::{Ces, CesParameters, FittedCes};
pub use dhr::{Dhr, DhrParameters, DhrWave, FittedDhr};
pub use ets::{AutoEts, Ets, EtsParameters, FittedAutoEts, FittedEts};
pub use mstl::{FittedMstl, Mstl};
pub(crate) use naive::FittedNaive;
pub use naive::{Drift, Naive, SeasonalNaive};
pub(crate) use prophet::KeptProphet;
pub use prophet::{
    Builtin, CustomProphet, FittedProphet, Growth, Holiday, Known, Mode, Parameters, Prophet, ProphetConfig,
    ProphetConfigError, Regressor, Season, Standardise, Track,
};
pub(crate) use ridge::FittedRidge;
pub use ridge::LowRankRidge;
pub(crate) use seasonal_ar::FittedSeasonalAr;
pub use seasonal_ar::SeasonalAr;
pub(crate) use seasonal_median::FittedSeasonalMedian;
pub use seasonal_median::SeasonalMedian;
pub use theta::{FittedTheta, Theta, ThetaParameters, ThetaSeason};
