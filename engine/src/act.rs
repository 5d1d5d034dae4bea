//! Acting on shadows: pure functions of an issue, a workload's settings and a request.

pub mod demand;
mod drivers;
mod recommend;
mod workload;

pub use drivers::Drivers;
pub use recommend::{Evidence, RecommendError, Recommendation, ScheduleEntry, recommend};
pub use workload::{Ask, Workload};
