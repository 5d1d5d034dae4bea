//! Families that learn by gradient.

mod bank;
mod frame;
mod global;
mod network;
mod trust;
mod watched;
mod ways;

pub(crate) use bank::FittedLstmBank;
pub use bank::LstmBank;
pub(crate) use global::FittedLstmGlobal;
pub use global::{GlobalEffort, LstmGlobal, Progress, Training, TrainingError};
pub use network::{Network, NetworkError};
