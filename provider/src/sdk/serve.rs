//! The server's life: a socket nobody else can reach, the handshake line, calls, and an end that
//! leaves nothing behind.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tfplugin6_proto::plugin::grpc_controller_server::GrpcControllerServer;
use tfplugin6_proto::plugin::grpc_stdio_server::GrpcStdioServer;
use tfplugin6_proto::tfplugin6::provider_server::ProviderServer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;

use super::dispatch::Dispatch;
use super::handshake::{self, Host};
use super::host::{Controller, Stdio};
use super::log::{self, Level};
use super::plugin::Plugin;
use super::tls::{self, TlsError};

/// Terraform itself reads up to this much; tonic would stop at 4 MiB.
const MAX_MESSAGE_BYTES: usize = i32::MAX as usize;
/// A client that has not finished its TLS handshake by then never will.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
/// What calls in flight may still take once the end is asked for; the host waits for two seconds.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
const PARENT_CHECK: Duration = Duration::from_secs(2);
/// Socket paths end near 107 bytes; what we add to a folder's path is less than 40.
const MAX_FOLDER_BYTES: usize = 60;

/// Why serving ended, or never began.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No socket could be made.
    #[error("making a socket under {} failed", folder.display())]
    Socket {
        /// Where.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS with the host.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Signals, or the line to the host.
    #[error("talking to the host failed")]
    Host(#[source] io::Error),
    /// The transport.
    #[error("the server stopped")]
    Transport(#[from] tonic::transport::Error),
}

/// Who started us, and so how we are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode<'a> {
    /// A host, which reads the handshake line, asks for the end, and may die before it does.
    Plugin,
    /// A person, who puts the line into `TF_REATTACH_PROVIDERS` and ends us by Ctrl-C.
    Debug {
        /// The provider's full address.
        address: &'a str,
    },
}

/// Serves until the host asks for the end.
///
/// # Errors
/// [`ServeError`] when serving could not begin or broke off.
pub async fn serve(plugin: Arc<dyn Plugin>, host: Host, mode: Mode<'_>) -> Result<(), ServeError> {
    let (shutdown, mut ended) = watch::channel(false);
    end_on_signals(mode, &shutdown).map_err(ServeError::Host)?;
    let identity = host.client_certificate.clone().map(tls::identity).transpose()?;
    let socket = Socket::bind(host.socket_folder.as_deref())?;
    let line = match mode {
        Mode::Plugin => handshake::line(&socket.path, identity.as_ref().map(|identity| &identity.certificate)),
        Mode::Debug { address } => {
            format!("export TF_REATTACH_PROVIDERS='{}'\n", handshake::reattach(address, &socket.path))
        }
    };
    {
        let mut stdout = io::stdout().lock();
        stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).map_err(ServeError::Host)?;
    }
    let acceptor = identity.map(|identity| TlsAcceptor::from(identity.config));
    let (connections, incoming) = mpsc::channel(16);
    let accepting = tokio::spawn(accept(socket.listener, acceptor, connections));

    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("plugin", tonic_health::ServingStatus::Serving).await;
    let provider = ProviderServer::new(Dispatch::new(plugin))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let mut asked = ended.clone();
    let served = Server::builder()
        .add_service(provider)
        .add_service(GrpcControllerServer::new(Controller::new(shutdown.clone())))
        .add_service(GrpcStdioServer::new(Stdio::new(ended.clone())))
        .add_service(health_service)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming).map(Ok::<_, io::Error>), async move {
            let _ = asked.wait_for(|ended| *ended).await;
        });
    let drained = async {
        let _ = ended.wait_for(|ended| *ended).await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    let result = tokio::select! {
        result = served => result.map_err(ServeError::from),
        () = drained => Ok(()),
    };
    accepting.abort();
    result
}

/// Accepts connections for as long as somebody takes them. A slow or hostile handshake holds up
/// nobody else's.
async fn accept(listener: UnixListener, tls: Option<TlsAcceptor>, connections: mpsc::Sender<Connection>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(fault) => {
                log::line(Level::Error, "accepting a connection failed", &[("error", &fault.to_string())]);
                tokio::time::sleep(Duration::from_millis(100)).await; // out of descriptors, most likely
                continue;
            }
        };
        let (tls, connections) = (tls.clone(), connections.clone());
        tokio::spawn(async move {
            match secure(stream, tls).await {
                Ok(connection) => drop(connections.send(connection).await),
                Err(fault) => log::line(Level::Warn, "refused a connection", &[("error", &fault.to_string())]),
            }
        });
    }
}

async fn secure(stream: UnixStream, tls: Option<TlsAcceptor>) -> io::Result<Connection> {
    let Some(tls) = tls else { return Ok(Connection(Box::new(stream))) };
    let stream = tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await??;
    Ok(Connection(Box::new(stream)))
}

/// Ctrl-C reaches the whole process group: under a host it is the host that decides, by
/// `StopProvider`. A termination, or the host's own death, ends us in any case.
fn end_on_signals(mode: Mode<'_>, shutdown: &watch::Sender<bool>) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = shutdown.clone();
    let host = (mode == Mode::Plugin).then(parent_id);
    tokio::spawn(async move {
        loop {
            let ended = tokio::select! {
                _ = interrupt.recv() => host.is_none(),
                _ = terminate.recv() => true,
                () = tokio::time::sleep(PARENT_CHECK) => host.is_some_and(|host| host != parent_id()),
            };
            if ended {
                shutdown.send_replace(true);
            }
        }
    });
    Ok(())
}

/// A listening socket in a folder that only this user may enter. Both go when it is dropped.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    _folder: Folder,
}

impl Socket {
    fn bind(wanted: Option<&Path>) -> Result<Self, ServeError> {
        let parent = wanted.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let short = parent.as_os_str().len() <= MAX_FOLDER_BYTES;
        let parent = if short { parent } else { PathBuf::from("/tmp") };
        let failed = |source| ServeError::Socket { folder: parent.clone(), source };
        let folder = Folder::create(&parent).map_err(failed)?;
        let path = folder.0.join("s");
        let listener = UnixListener::bind(&path).map_err(failed)?;
        Ok(Self { listener, path, _folder: folder })
    }
}

struct Folder(PathBuf);

impl Folder {
    fn create(parent: &Path) -> io::Result<Self> {
        for attempt in 0..100 {
            let path = parent.join(format!("foreshadow-{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {}
                Err(fault) => return Err(fault),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // nothing is left to tell it to
    }
}

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, in TLS or not.
struct Connection(Box<dyn Duplex>);

impl Connected for Connection {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
