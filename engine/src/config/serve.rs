//! `[issue]`, `[store]` and `[serve]`: when an issue is made, where it is kept, who may ask for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::error::{Refusal, in_range, span_ms};

/// How often an issue is made.
#[derive(Clone, Debug)]
pub struct IssueConfig {
    slot_ms: i64,
}

/// Where issues and decisions are kept.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    path: PathBuf,
}

/// Where the service listens and how much it takes on.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    grpc: Listen,
    http: Listen,
    queue: usize,
    drain: Duration,
}

/// A place to listen that only this machine can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A loopback address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawIssue {
    slot: String,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawStore {
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawServe {
    grpc: String,
    http: String,
    queue: usize,
    drain: String,
}

impl Default for RawIssue {
    fn default() -> Self {
        Self { slot: "30m".into() }
    }
}

impl Default for RawStore {
    fn default() -> Self {
        Self { path: "foreshadow-store".into() }
    }
}

impl Default for RawServe {
    fn default() -> Self {
        Self { grpc: "127.0.0.1:7460".into(), http: "127.0.0.1:7461".into(), queue: 64, drain: "10s".into() }
    }
}

impl TryFrom<RawIssue> for IssueConfig {
    type Error = Refusal;

    fn try_from(raw: RawIssue) -> Result<Self, Refusal> {
        Ok(Self { slot_ms: span_ms("slot", &raw.slot, "1s", "7d")? })
    }
}

impl TryFrom<RawStore> for StoreConfig {
    type Error = Refusal;

    fn try_from(raw: RawStore) -> Result<Self, Refusal> {
        if raw.path.is_empty() {
            return Err(Refusal::new("path", raw.path, "name a folder; it is made when missing"));
        }
        Ok(Self { path: raw.path.into() })
    }
}

impl TryFrom<RawServe> for ServeConfig {
    type Error = Refusal;

    fn try_from(raw: RawServe) -> Result<Self, Refusal> {
        let (grpc, http) = (listen("grpc", &raw.grpc)?, listen("http", &raw.http)?);
        let any_port = matches!(grpc, Listen::Tcp(address) if address.port() == 0);
        if grpc == http && !any_port {
            return Err(Refusal::new("http", raw.http, "give serve.grpc and serve.http an address each"));
        }
        let drain_ms = span_ms("drain", &raw.drain, "0s", "10m")?;
        let drain = Duration::from_millis(drain_ms.unsigned_abs());
        Ok(Self { grpc, http, queue: in_range("queue", raw.queue, 1..=65_536)?, drain })
    }
}

/// A loopback address with a port, or `unix:/path`.
fn listen(key: &str, text: &str) -> Result<Listen, Refusal> {
    let way_out = "only this machine may connect: 127.0.0.1:PORT, [::1]:PORT or unix:/path is needed";
    if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
        return Ok(Listen::Unix(path.into()));
    }
    let address = text.replacen("localhost:", "127.0.0.1:", 1).parse::<SocketAddr>();
    match address {
        Ok(address) if address.ip().is_loopback() => Ok(Listen::Tcp(address)),
        _ => Err(Refusal::new(key, text, way_out)),
    }
}

impl IssueConfig {
    /// Length of a slot in milliseconds: an issue belongs to `floor(cutoff / slot)`.
    pub fn slot_ms(&self) -> i64 {
        self.slot_ms
    }
}

impl StoreConfig {
    /// The folder, made when missing.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl ServeConfig {
    /// Where gRPC is served.
    pub fn grpc(&self) -> &Listen {
        &self.grpc
    }

    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub fn http(&self) -> &Listen {
        &self.http
    }

    /// Requests that may wait for a worker; one more is answered `resource_exhausted`.
    pub fn queue(&self) -> usize {
        self.queue
    }

    /// How long answers in flight may take after SIGTERM.
    pub fn drain(&self) -> Duration {
        self.drain
    }
}
