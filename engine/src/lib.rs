//! The engine: telemetry in, shadows and capacity out.
//!
//! Data moves one way, and `pipeline` alone names every stage. The network, the disk and the clock are
//! met in `cli`, `config`, `telemetry`, `store` and `service`; the rest are functions of their arguments.

pub mod act;
pub mod aggregate;
pub mod batch;
pub mod bytes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod explain;
pub mod families;
pub mod issue;
pub mod live;
pub mod observe;
pub mod pipeline;
pub mod reading;
pub mod service;
pub mod simulate;
pub mod store;
pub mod telemetry;
mod ui;
pub mod worker;
