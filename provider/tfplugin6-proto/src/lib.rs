//! The messages of Terraform's plugin protocol 6, and of the plugin host around it: generated types
//! and nothing else. `proto/` holds the schemas, which document where a message comes from.

/// Generated from `proto/tfplugin6.proto`: the provider service and its messages.
#[allow(missing_docs, clippy::all, clippy::too_many_lines, unreachable_pub)]
pub mod tfplugin6 {
    tonic::include_proto!("tfplugin6");
}

/// Generated from `proto/plugin.proto`: the host's controller and stdio services.
#[allow(missing_docs, clippy::all, clippy::too_many_lines, unreachable_pub)]
pub mod plugin {
    tonic::include_proto!("plugin");
}
