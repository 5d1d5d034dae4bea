//! `/explain`: why a series is forecast as it is, as JSON, and as a page for a browser.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use super::engine::{Engine, EngineError, chain};
use crate::ui;
use crate::worker::WorkError;

/// Longest query that is looked at: a series' name and its labels, each byte escaped.
const QUERY_BYTES: usize = 8_192;

/// Why there is no explanation, as its JSON says it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The situation.
    pub error: String,
    /// The way out, where there is one.
    pub hint: Option<String>,
}

pub(super) async fn get(State(engine): State<Arc<Engine>>, uri: Uri, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let by_browser = accepted.is_some_and(|accept| accept.contains("text/html"));
    let asked = match asked(&uri) {
        Ok(series) => series,
        Err((status, refused)) => return refusal(status, refused, by_browser),
    };
    let answer = match engine.explain(asked).await {
        Err(error) => Err(error),
        Ok(told) if by_browser => {
            engine.worker().run(move || Html(told.page().into_string()).into_response()).await.map_err(Into::into)
        }
        Ok(told) => engine.worker().run(move || json(StatusCode::OK, &told)).await.map_err(Into::into),
    };
    answer.unwrap_or_else(|error| {
        let hint = match &error {
            EngineError::Unfound(unfound) => unfound.help().map(|help| help.to_string()),
            _ => None,
        };
        refusal(status(&error), Refused { error: chain(&error), hint }, by_browser)
    })
}

/// The series that a query names.
fn asked(uri: &Uri) -> Result<String, (StatusCode, Refused)> {
    let query = uri.query().unwrap_or_default();
    let length = query.len();
    if length > QUERY_BYTES {
        let error = format!("the query has {length} bytes; {QUERY_BYTES} are the most");
        return Err((StatusCode::URI_TOO_LONG, Refused { error, hint: None }));
    }
    let series = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "series").map(|(_, series)| series);
    series.filter(|series| !series.is_empty()).map(|series| series.into_owned()).ok_or_else(|| {
        let hint = "ask /explain?series=NAME: the series' whole name, or a part of it that no other has".to_string();
        (StatusCode::BAD_REQUEST, Refused { error: "the query names no series".into(), hint: Some(hint) })
    })
}

fn status(error: &EngineError) -> StatusCode {
    match error {
        EngineError::Unfound(_) | EngineError::NoShadow { .. } => StatusCode::NOT_FOUND,
        EngineError::NoIssue { .. } | EngineError::Work(WorkError::Full { .. }) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn refusal(status: StatusCode, refused: Refused, by_browser: bool) -> Response {
    match by_browser {
        true => (status, Html(form(&refused).into_string())).into_response(),
        false => json(status, &refused),
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let text = serde_json::to_string(value).expect("facts and errors are plain values");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// Says what was wrong and asks anew.
fn form(refused: &Refused) -> Markup {
    let content = html! {
        h2 { (refused.error) }
        @if let Some(hint) = &refused.hint { p class="soft" { (hint) } }
        form action="/explain" { label { "Series " input name="series" size="60"; } button { "Explain" } }
    };
    ui::page("explain", &content)
}
