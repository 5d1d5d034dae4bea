//! Panels, forecasting families, backtests, selection and intervals.
//!
//! Every family takes a whole [`Window`] and fits all its series in one batch. Nothing here knows a
//! clock, a disk, a network or an async runtime: each function depends on its arguments alone.

pub mod auto;
pub mod backtest;
#[cfg(test)]
mod check;
pub mod classical;
pub mod conformal;
pub mod detect;
mod error;
mod forecast;
pub mod live;
pub mod metrics;
mod model;
mod normal;
mod panel;
pub mod reconcile;
pub mod season;
pub mod select;
mod transform;

pub use auto::{Auto, Choice, FittedAuto, Lived, Wish};
pub use backtest::{Backtest, HeldOut, Origins, backtest};
pub use error::{BacktestError, FitError, FitStatus, PredictError};
pub use forecast::{Forecast, Horizon, Quantiles};
pub use model::{Chosen, Fitted, Model};
pub use normal::normal_quantile;
pub use panel::{BuildOptions, HeldOutPart, Panel, PanelSet, RawSeries, Rejected, SeriesNotes, Window};
