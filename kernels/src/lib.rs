//! Batched numerics on `[steps, series]`, on CPU SIMD and on a GPU.
//!
//! This crate knows numbers and the device they lie on; no series name, clock or model. Each operation
//! has its contract and dispatch in a file of its name here, its work in `cpu` (rayon across lane
//! groups, pulp inside one) and `gpu` (CubeCL), and a plain `f64` twin in `reference` that its tests
//! compare with.
#![allow(unsafe_code)] // kernel launches and SIMD loads; every block says why it holds

mod arima;
mod arima_fit;
mod auto_ets;
mod autocorrelation;
mod batch;
mod ces;
mod ces_fit;
#[cfg(test)]
mod check;
mod cpu;
mod decompose;
pub mod device;
mod error;
mod ets;
mod ets_fit;
mod gpu;
mod lstm;
mod matrix;
pub mod products;
mod quantile;
pub mod reference;
pub mod regression;
mod score;
mod seasonal;
pub mod shrink;
pub mod solve;
mod theta;
mod theta_fit;

pub use arima::{ArmaGradient, ArmaOrder, arma_gradient};
pub use arima_fit::{
    ArimaCandidate, ArimaEffort, ArimaFit, ArimaLikelihood, ArimaSeries, Differencing, MAX_BLOCK, aicc, arima_fit,
    arima_likelihood, arima_screen,
};
pub use auto_ets::{EtsChoice, EtsChoices, EtsEnd, auto_ets};
pub use autocorrelation::autocorrelations;
pub use batch::{Batch, Rows};
pub use ces::{CES_TRIANGLE, CES_WEIGHTS, CesForm, CesSquares, ces_squares};
pub use ces_fit::{CES_RANGES, CesFit, ces_fit};
pub use decompose::{Decomposition, decompose, without_seasons};
pub use device::{Device, DeviceChoice, UnknownDevice};
pub use error::KernelError;
pub use ets::{Effect, EtsForm, EtsGradient, Smoothing, Trend, ets_gradient};
pub use ets_fit::{ALPHA_RANGE, EtsFit, EtsHint, EtsPlace, PHI_RANGE, ets_fit};
pub use gpu::auto_ets::EtsChosen;
pub use gpu::lstm::{Piece as LstmPiece, Said as LstmSaidPiece};
pub use gpu::{Buffer, Gpu, GpuCeilings, RowBuffer};
pub use lstm::{
    LstmBatch, LstmEffort, LstmEnd, LstmFit, LstmGradient, LstmSaid, LstmSeries, LstmShape, lstm_forward,
    lstm_gradient, lstm_train,
};
pub use matrix::{LANES, Lanes, Matrix};
pub use quantile::quantiles;
pub use score::{SCORE_LIMIT, Scores, score};
pub use seasonal::seasonal_means;
pub use theta::{CLASSICAL_SHARE, HIGHEST_SHARE, ThetaForm, ThetaProfile, UNCOUNTED, theta_profile};
pub use theta_fit::{THETA_ALPHA_RANGE, ThetaFit, theta_fit};
