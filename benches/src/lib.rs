//! What `foreshadow-bench` measures with: the bench panel, CPU clocks, ceilings, peers, figures.
//!
//! Each area of figures has a module of its own, whose functions take a [`Context`] and write into
//! [`Figures`].

mod context;
mod figures;
mod panel;
mod program;

pub mod accuracy;
pub mod arima;
pub mod autoets;
pub mod ceilings;
pub mod clock;
pub mod cuda;
pub mod demo;
pub mod dhr;
pub mod ets;
pub mod fit;
pub mod m4;
pub mod mase;
pub mod mstl;
pub mod neural;
pub mod peers;
pub mod plot;
pub mod prophet;
pub mod provider;
pub mod score;
pub mod switch;
pub mod telemetry;
pub mod theta;
pub mod update;

pub use context::{BenchError, Context, Scale};
pub use figures::{Chart, Figures, Table};
pub use panel::{BenchPanel, bench_panel, bench_panel_of, m4_split, m4_training};
pub use peers::peer;
