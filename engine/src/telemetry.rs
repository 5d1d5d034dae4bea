//! Telemetry on its way in: what a series is called, and the sources it is read from.

mod error;
mod key;
mod key_parser;
mod prometheus;
mod spool;
mod table;

pub use error::SourceError;
pub use key::{KeyError, Selector, SeriesKey};
pub use prometheus::{PrometheusError, PrometheusSpec};
pub use spool::{Spool, SpoolError};
pub use table::{TableSpec, TimeUnit, parse_time};
