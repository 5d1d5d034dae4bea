//! Live detection: samples scored against the shadow of their step.

mod scorer;

pub use scorer::{Counts, Outcome, Sample, Scored, Scorer, SeriesState, ShadowPoint, Tick};
