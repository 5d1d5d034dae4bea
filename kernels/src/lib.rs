//! Batched numerics on `[steps, series]`, on CPU SIMD and on a GPU.
//!
//! This crate knows numbers and the device they lie on; no series name, clock or model. Each operation
//! has its contract and dispatch in a file of its name here, its work in `cpu` (rayon across lane
//! groups, pulp inside one) and `gpu` (CubeCL), and a plain `f64` twin in `reference` that its tests
//! compare with.
#![allow(unsafe_code)] // kernel launches and SIMD loads; every block says why it holds

mod cpu;
mod error;
mod matrix;
pub mod products;
pub mod reference;
pub mod solve;

pub use error::KernelError;
pub use matrix::{LANES, Lanes};
