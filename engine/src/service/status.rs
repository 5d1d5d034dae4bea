//! The one place where an engine's error becomes a gRPC code.

use tonic::{Code, Status};

use super::engine::{EngineError, chain};
use crate::act::RecommendError;
use crate::store::StoreError;
use crate::worker::WorkError;

/// The code tells a client what to do: wait and repeat (`unavailable`, `resource_exhausted`), or change the
/// request, the configuration or the telemetry.
pub(super) fn to_status(error: EngineError) -> Status {
    let code = match &error {
        EngineError::NoIssue { .. } => Code::Unavailable,
        EngineError::UnknownSeries { .. } | EngineError::UnknownWorkload { .. } => Code::NotFound,
        EngineError::NoDecision { .. } | EngineError::Unfound(_) => Code::NotFound,
        EngineError::NoShadow { .. } => Code::FailedPrecondition,
        EngineError::Conflict { .. } => Code::AlreadyExists,
        EngineError::Invalid { .. } => Code::InvalidArgument,
        EngineError::Recommend(error) => match error {
            RecommendError::OutOfRange { .. } => Code::InvalidArgument,
            RecommendError::NoDrivers { .. } => Code::FailedPrecondition,
            RecommendError::MissingDriver { .. } | RecommendError::Lagging { .. } => Code::FailedPrecondition,
        },
        EngineError::Store(error) => match error {
            StoreError::Busy { .. } => Code::ResourceExhausted,
            StoreError::Damaged { .. } | StoreError::Version { .. } => Code::DataLoss,
            StoreError::Disk { .. } | StoreError::InUse { .. } | StoreError::Closed => Code::Unavailable,
        },
        EngineError::Work(WorkError::Full { .. }) => Code::ResourceExhausted,
        EngineError::Work(WorkError::Panicked) => Code::Internal,
    };
    Status::new(code, chain(&error))
}
