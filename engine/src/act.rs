//! Acting on shadows: pure functions of an issue, a workload's settings and a request.

pub mod demand;
mod recommend;
mod workload;

pub use recommend::{Evidence, RecommendError, Recommendation, ScheduleEntry, recommend};
pub use workload::{Ask, Workload};
