//! Panels, forecasting families, backtests, selection and intervals.
//!
//! Every family takes a whole [`Window`] and fits all its series in one batch. Nothing here knows a
//! clock, a disk, a network or an async runtime: each function depends on its arguments alone.

mod append;
pub mod artifact;
pub mod auto;
pub mod backtest;
mod bounds;
#[cfg(test)]
mod check;
pub mod classical;
pub mod conformal;
pub mod detect;
mod device;
mod error;
mod forecast;
pub mod live;
mod local;
pub mod metrics;
mod model;
pub mod neural;
mod normal;
mod panel;
mod paths;
pub mod pretrained;
pub mod reconcile;
pub mod season;
pub mod select;
mod transform;
mod weights;

pub use append::AppendError;
pub use auto::{Auto, Choice, FittedAuto, Lived, Wish};
pub use backtest::{Backtest, HeldOut, Origins, backtest};
pub use bounds::{Bounds, Limits, Maximum};
pub use error::{BacktestError, FitError, FitStatus, PredictError};
pub use forecast::{Forecast, Horizon, Quantiles};
pub use local::{AsRead, Local, WallClock};
pub use model::{Chosen, Fitted, Model};
pub use normal::normal_quantile;
pub use panel::{BuildOptions, HeldOutPart, Panel, PanelSet, RawSeries, Rejected, SeriesNotes, Window};
pub use paths::sample_paths;
pub use weights::WeightsError;
