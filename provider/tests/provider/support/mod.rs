//! What the tests share: an engine whose answers they set, the real `terraform`, and a plugin host.

pub(crate) mod host;
pub(crate) mod raw;
pub(crate) mod stub_engine;
pub(crate) mod terraform;
