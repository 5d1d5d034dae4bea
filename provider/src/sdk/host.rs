//! The services a plugin host asks beside the provider's own: the controller that ends us, and a
//! stdio stream that stays open and empty.

use tfplugin6_proto::plugin as pb;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Ends the process when asked.
pub struct Controller {
    shutdown: watch::Sender<bool>,
}

impl Controller {
    /// Tells of a shutdown through `shutdown`.
    pub fn new(shutdown: watch::Sender<bool>) -> Self {
        Self { shutdown }
    }
}

#[tonic::async_trait]
impl pb::grpc_controller_server::GrpcController for Controller {
    async fn shutdown(&self, _: Request<pb::Empty>) -> Result<Response<pb::Empty>, Status> {
        self.shutdown.send_replace(true);
        Ok(Response::new(pb::Empty {}))
    }
}

/// Carries nothing: our log lines go to stderr, where the host reads them.
pub struct Stdio {
    shutdown: watch::Receiver<bool>,
}

impl Stdio {
    /// Ends its streams when `shutdown` turns true; an open stream would hold the server.
    pub fn new(shutdown: watch::Receiver<bool>) -> Self {
        Self { shutdown }
    }
}

#[tonic::async_trait]
impl pb::grpc_stdio_server::GrpcStdio for Stdio {
    type StreamStdioStream = ReceiverStream<Result<pb::StdioData, Status>>;

    async fn stream_stdio(&self, _: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        let (open, empty) = mpsc::channel(1);
        let mut shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let _ = shutdown.wait_for(|ended| *ended).await; // a lost sender is a shutdown too
            drop(open);
        });
        Ok(Response::new(ReceiverStream::new(empty)))
    }
}
