//! Sockets that only this machine can reach.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::config::Listen;

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ListenError {
    /// Another program has it.
    #[error("{address} is in use by another program")]
    #[diagnostic(help("stop that program, or choose another address with --grpc or --http; port 0 takes a free one"))]
    InUse {
        /// The address.
        address: Listen,
    },
    /// What stands at the path is kept.
    #[error("{path} exists and is no socket", path = path.display())]
    #[diagnostic(help("choose another path, or remove that file"))]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen on {address}")]
    Refused {
        /// The address.
        address: Listen,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A bound socket.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: Socket,
    address: Listen,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Removes the socket's file when the service ends.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // gone already is as good
    }
}

impl Listener {
    /// Binds inside a runtime.
    pub(super) fn bind(address: &Listen) -> Result<Self, ListenError> {
        match address {
            Listen::Tcp(wanted) => {
                let bound = std::net::TcpListener::bind(wanted).and_then(|socket| {
                    socket.set_nonblocking(true)?;
                    let actual = socket.local_addr()?;
                    Ok((TcpListener::from_std(socket)?, actual))
                });
                let (socket, actual) = bound.map_err(|source| refused(address, source))?;
                Ok(Self { socket: Socket::Tcp(socket), address: Listen::Tcp(actual) })
            }
            Listen::Unix(path) => {
                clear_stale(path, address)?;
                let socket = UnixListener::bind(path).map_err(|source| refused(address, source))?;
                let file = SocketFile(path.clone());
                let owner_only = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(path, owner_only).map_err(|source| refused(address, source))?;
                Ok(Self { socket: Socket::Unix(socket, file), address: address.clone() })
            }
        }
    }

    /// The address, with the port that was given.
    pub(super) fn address(&self) -> &Listen {
        &self.address
    }
}

/// A killed engine leaves its socket's file behind: one that nobody answers on is removed.
fn clear_stale(path: &Path, address: &Listen) -> Result<(), ListenError> {
    match std::fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => return Err(ListenError::NotASocket { path: path.into() }),
        Ok(_) => {}
        Err(_) => return Ok(()), // nothing there, or binding will say what is wrong
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(ListenError::InUse { address: address.clone() }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| refused(address, source))
        }
        Err(source) => Err(refused(address, source)),
    }
}

fn refused(address: &Listen, source: std::io::Error) -> ListenError {
    match source.kind() {
        ErrorKind::AddrInUse => ListenError::InUse { address: address.clone() },
        _ => ListenError::Refused { address: address.clone(), source },
    }
}
