//! Plain `f64` twins of every operation, written from the source and not from the kernel, for tests.

pub mod arima;
pub mod arima_fit;
pub mod auto_ets;
pub mod autocorrelation;
pub mod ces;
pub mod ces_fit;
pub mod decompose;
pub mod ets;
pub mod ets_fit;
pub mod lstm;
pub mod products;
pub mod quantile;
pub mod regression;
pub mod score;
pub mod seasonal;
pub mod shrink;
pub mod solve;
pub mod theta;
pub mod theta_fit;
