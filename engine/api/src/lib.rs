//! The gRPC messages and services of `foreshadow.v1`: all of the engine that a client links.

/// Generated from `proto/foreshadow.proto`, which documents every field.
#[allow(missing_docs, clippy::all, clippy::too_many_lines, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("foreshadow.v1");
}
