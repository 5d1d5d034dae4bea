//! Panels, forecasting families, backtests, selection and intervals.
//!
//! Every family takes a whole [`Window`] and fits all its series in one batch. Nothing here knows a
//! clock, a disk, a network or an async runtime: each function depends on its arguments alone.

pub mod classical;
mod error;
mod forecast;
mod model;
mod normal;
mod panel;

pub use error::{FitError, FitStatus, PredictError};
pub use forecast::{Forecast, Horizon, Quantiles};
pub use model::{Fitted, Model};
pub use normal::normal_quantile;
pub use panel::{BuildOptions, Panel, PanelSet, RawSeries, Rejected, SeriesNotes, Window};
