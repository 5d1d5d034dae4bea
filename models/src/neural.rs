//! Families that learn by gradient.

mod bank;
mod frame;

pub(crate) use bank::FittedLstmBank;
pub use bank::LstmBank;
