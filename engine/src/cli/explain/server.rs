//! A running service is asked why it forecasts a series as it does.

use std::path::PathBuf;
use std::time::Duration;

use miette::Diagnostic;
use reqwest::{Client, StatusCode, Url, header};

use crate::cli::failure::{Exit, Failure};
use crate::explain::Explanation;
use crate::service::Refused;

/// Longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer before it is given up: a forecast of 100,000 steps is shorter.
const ANSWER_BYTES: usize = 64 << 20;

/// Why a service gave no explanation.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum AskError {
    #[error("`--server` is {url:?}")]
    #[diagnostic(help("give where `foreshadow serve` listens for HTTP: http://127.0.0.1:7461 or unix:/path"))]
    Address { url: String },
    #[error("{url} cannot be asked")]
    #[diagnostic(help("is `foreshadow serve` running there? it prints its http= address; --server takes that"))]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the service at {url} has no explanation: {reason}")]
    Refused {
        url: String,
        reason: String,
        #[help]
        hint: Option<String>,
    },
    #[error("{url} answers {status}, and not as foreshadow does: {beginning:?}")]
    #[diagnostic(help("give where `foreshadow serve` listens for HTTP; its gRPC address is another"))]
    Nonsense { url: String, status: StatusCode, beginning: String },
    #[error("the system refused what asking a server needs")]
    Start(#[source] std::io::Error),
}

/// Where a service listens.
struct Server {
    url: Url,
    socket: Option<PathBuf>,
}

/// What the service at an address tells of a series. Blocks.
pub(super) fn ask(address: &str, series: &str) -> Result<Explanation, Failure> {
    let url = address.trim_end_matches('/').to_string();
    let server = server(address).ok_or_else(|| Failure::new(Exit::Setting, AskError::Address { url: url.clone() }))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::new(Exit::Fault, AskError::Start(source)))?;
    let (status, body) = runtime.block_on(get(server, series)).map_err(|source| {
        Failure::new(Exit::Server, AskError::Unreachable { url: url.clone(), source: source.without_url() })
    })?;
    let nonsense = || {
        let beginning = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        Failure::new(Exit::Server, AskError::Nonsense { url: url.clone(), status, beginning })
    };
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| nonsense());
    }
    let Refused { error, hint } = serde_json::from_slice(&body).map_err(|_| nonsense())?;
    let exit = if status == StatusCode::NOT_FOUND { Exit::Input } else { Exit::Server };
    Err(Failure::new(exit, AskError::Refused { url: url.clone(), reason: error, hint }))
}

/// An address as `serve` prints it, or a URL; `None` for one that no service can have.
fn server(text: &str) -> Option<Server> {
    let socket = text.strip_prefix("unix:").filter(|path| path.starts_with('/')).map(PathBuf::from);
    let full = match &socket {
        Some(_) => "http://localhost".to_string(),
        None if text.contains("://") => text.to_string(),
        None => format!("http://{text}"),
    };
    let url: Url = full.parse().ok()?;
    (url.scheme() == "http" && url.has_host()).then_some(Server { url, socket })
}

async fn get(Server { mut url, socket }: Server, series: &str) -> Result<(StatusCode, Vec<u8>), reqwest::Error> {
    // Refused when a provider was chosen before: then that one is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    url.path_segments_mut().expect("an http address has a path").pop_if_empty().push("explain");
    let client = Client::builder().timeout(TIMEOUT).no_proxy(); // it listens on this machine
    let client = match socket {
        Some(path) => client.unix_socket(path),
        None => client,
    };
    let client = client.build()?;
    let asked = client.get(url).query(&[("series", series)]).header(header::ACCEPT, "application/json");
    let mut response = asked.send().await?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await?.filter(|chunk| body.len() + chunk.len() <= ANSWER_BYTES) {
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_scheme_and_is_no_other() {
        let read = |text| server(text).map(|server| server.url.to_string());
        assert_eq!(read("127.0.0.1:7461").as_deref(), Some("http://127.0.0.1:7461/"));
        assert_eq!(read("http://localhost:1/base").as_deref(), Some("http://localhost:1/base"));
        assert_eq!(server("unix:/run/a.sock").and_then(|server| server.socket), Some("/run/a.sock".into()));
        for bad in ["", "unix:run/a.sock", "https://h", "ftp://h", "http://"] {
            assert!(read(bad).is_none(), "{bad}: {:?}", read(bad));
        }
    }
}
