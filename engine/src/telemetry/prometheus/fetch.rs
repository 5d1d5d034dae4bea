//! One question to the server, with its timeout, its retries and its limit.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};

use super::answer::{Answer, Series};
use super::{PrometheusError, PrometheusSpec};

/// Bytes of one answer, unpacked, before it is given up.
const ANSWER_BYTES: usize = 256 << 20;
/// Wait before the second attempt; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);

pub(super) struct Server<'a> {
    client: Client,
    spec: &'a PrometheusSpec,
}

/// A server's address as it may be shown: without a password.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Refused for addresses that can have neither; then there is nothing to hide.
    let _ = url.set_password(None).and_then(|()| url.set_username(""));
    url.as_str().trim_end_matches('/').to_string()
}

impl<'a> Server<'a> {
    pub(super) fn new(spec: &'a PrometheusSpec) -> Result<Self, PrometheusError> {
        // Refused when a provider was chosen before: then that one is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(spec.timeout).build();
        let client = client.map_err(|source| PrometheusError::Start { source: Box::new(source) })?;
        Ok(Self { client, spec })
    }

    /// Asks one endpoint under `/api/v1`, again after a fault that may pass.
    pub(super) async fn ask(&self, endpoint: &str, form: &[(&str, &str)]) -> Result<Vec<Series>, PrometheusError> {
        let mut wait = FIRST_WAIT;
        let mut attempts = 1;
        loop {
            match self.once(endpoint, form, attempts).await {
                Err(error) if attempts <= self.spec.retries && may_pass(&error) => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    attempts += 1;
                }
                answered => return answered,
            }
        }
    }

    async fn once(&self, endpoint: &str, form: &[(&str, &str)], attempts: u32) -> Result<Vec<Series>, PrometheusError> {
        let mut url = self.spec.url.clone();
        url.path_segments_mut().expect("an http address has a path").pop_if_empty().extend(["api", "v1", endpoint]);
        let server = shown(&self.spec.url);
        let failed = |source: reqwest::Error| match source.is_timeout() {
            true => {
                PrometheusError::Slow { server: server.clone(), seconds: self.spec.timeout.as_secs_f64(), attempts }
            }
            false => PrometheusError::Unreachable { server: server.clone(), attempts, source: source.without_url() },
        };
        let query = form.iter().find(|(name, _)| *name == "query").map_or("", |(_, query)| query);
        let mut response = self.client.get(url).query(form).send().await.map_err(failed)?;
        let status = response.status();
        let Some(body) = body(&mut response).await.map_err(failed)? else {
            let message = format!("over {} MiB", ANSWER_BYTES >> 20);
            return Err(PrometheusError::TooMuch { server, query: query.into(), message });
        };
        self.series(&body, status, query)
    }

    fn series(&self, body: &[u8], status: StatusCode, query: &str) -> Result<Vec<Series>, PrometheusError> {
        let server = shown(&self.spec.url);
        let nonsense = |what: String| {
            let beginning = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            PrometheusError::Nonsense { server: server.clone(), what, beginning }
        };
        let answer: Answer = match serde_json::from_slice(body) {
            Ok(answer) => answer,
            Err(_) if !status.is_success() => {
                let message = String::from_utf8_lossy(&body[..body.len().min(120)]).trim().to_string();
                let (query, status) = (query.into(), status.as_u16());
                return Err(PrometheusError::Refused { server, query, status, message });
            }
            Err(error) => return Err(nonsense(error.to_string())),
        };
        if answer.status != "success" {
            let message = answer.error.unwrap_or_else(|| "no reason given".into());
            if message.contains("too many samples") {
                return Err(PrometheusError::TooMuch { server, query: query.into(), message });
            }
            return Err(PrometheusError::Refused { server, query: query.into(), status: status.as_u16(), message });
        }
        let data = answer.data.ok_or_else(|| nonsense("it holds no data".into()))?;
        if data.result_type != "matrix" {
            return Err(nonsense(format!("a {} instead of a matrix", data.result_type)));
        }
        Ok(data.result)
    }
}

/// The whole body, unpacked; `None` when it is over the limit.
async fn body(response: &mut Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn may_pass(error: &PrometheusError) -> bool {
    match error {
        PrometheusError::Unreachable { .. } | PrometheusError::Slow { .. } => true,
        PrometheusError::Refused { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
        _ => false,
    }
}
