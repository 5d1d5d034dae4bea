//! The engine as this provider asks it: connected on first use, asked again while it is away, and
//! never waited for past a deadline.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

use foreshadow_api::v1 as pb;
use foreshadow_api::v1::foreshadow_client::ForeshadowClient;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Response, Status};

use crate::sdk::serve::Duplex;
use crate::settings::{Endpoint, Settings};

/// An engine, perhaps not there.
#[derive(Clone)]
pub struct Engine {
    client: ForeshadowClient<Channel>,
    settings: Settings,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody answered, or not in time.
    #[error("the engine is unavailable: {0}")]
    Unavailable(String),
    /// The engine answered, and no.
    #[error("the engine refused: {}", .0.message())]
    Refused(Status),
}

impl Failure {
    /// Whether the engine said that what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code() == Code::NotFound)
    }
}

impl Engine {
    /// Prepares a connection; nothing is opened before the first call.
    pub fn new(settings: Settings) -> Self {
        let (endpoint, limit) = (settings.endpoint.clone(), settings.connect_timeout);
        let connector = tower::service_fn(move |_: Uri| connect(endpoint.clone(), limit));
        let channel = Channel::from_static("http://engine").connect_with_connector_lazy(connector);
        Self { client: ForeshadowClient::new(channel), settings }
    }

    /// The settings it was prepared with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Capacity for one workload.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn recommend(&self, request: &pb::RecommendRequest) -> Result<pb::Recommendation, Failure> {
        self.call(|mut client| async move { client.recommend(request.clone()).await }).await
    }

    /// Writes a decision down; the same again changes nothing.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn record(&self, request: &pb::RecordDecisionRequest) -> Result<pb::RecordDecisionResponse, Failure> {
        self.call(|mut client| async move { client.record_decision(request.clone()).await }).await
    }

    /// The latest decision of a name.
    ///
    /// # Errors
    /// [`Failure`], not found when the name has none.
    pub async fn decision(&self, name: &str) -> Result<pb::Decision, Failure> {
        self.call(
            |mut client| async move { client.get_decision(pb::GetDecisionRequest { name: name.to_owned() }).await },
        )
        .await
    }

    async fn call<T, F>(&self, attempt: impl Fn(ForeshadowClient<Channel>) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = Instant::now() + self.settings.request_timeout;
        let mut retries = 0;
        loop {
            let status = match tokio::time::timeout_at(deadline, attempt(self.client.clone())).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => return Err(self.too_late()),
            };
            match status.code() {
                Code::Unavailable | Code::ResourceExhausted => {}
                Code::DeadlineExceeded | Code::Cancelled => return Err(self.too_late()),
                _ => return Err(Failure::Refused(status)),
            }
            let pause = pause(retries);
            if retries == self.settings.max_retries || Instant::now() + pause >= deadline {
                return Err(Failure::Unavailable(status.message().to_owned()));
            }
            tokio::time::sleep(pause).await;
            retries += 1;
        }
    }

    fn too_late(&self) -> Failure {
        Failure::Unavailable(format!("no answer within {:?}", self.settings.request_timeout))
    }
}

/// A pause that doubles from 100 ms to 3.2 s, and spreads over half of itself so that clients that
/// failed together do not return together.
fn pause(retries: u64) -> Duration {
    let ceiling_ms = 100 << retries.min(5);
    let spread = RandomState::new().hash_one(retries) % (ceiling_ms / 2);
    Duration::from_millis(ceiling_ms - spread)
}

async fn connect(endpoint: Endpoint, limit: Duration) -> io::Result<TokioIo<Box<dyn Duplex>>> {
    let stream = async {
        match &endpoint {
            Endpoint::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as Box<dyn Duplex>),
            Endpoint::Loopback(authority) => {
                let stream = TcpStream::connect(authority).await?;
                stream.set_nodelay(true)?; // a call is one small write that waits for its answer
                Ok(Box::new(stream) as Box<dyn Duplex>)
            }
        }
    };
    let failed = |fault: io::Error| {
        let place = match &endpoint {
            Endpoint::Unix(path) => path.display().to_string(),
            Endpoint::Loopback(authority) => authority.clone(),
        };
        io::Error::new(fault.kind(), format!("{place}: {fault}"))
    };
    tokio::time::timeout(limit, stream).await.unwrap_or_else(|late| Err(late.into())).map(TokioIo::new).map_err(failed)
}
