//! The provider's own settings, checked once: from its block, else from `FORESHADOW_*`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::sdk::schema::{Attribute, Kind, Schema};
use crate::sdk::validate::{self, duration_ms};
use crate::sdk::{Diagnostic, Diagnostics, Path, Record, Value};

/// Where the engine listens.
#[derive(Clone, Debug, PartialEq)]
pub enum Endpoint {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A port on this machine, as `host:port`.
    Loopback(String),
}

/// Every setting, usable.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where the engine listens.
    pub endpoint: Endpoint,
    /// What one call may take, its retries included.
    pub request_timeout: Duration,
    /// What reaching the engine may take.
    pub connect_timeout: Duration,
    /// Further attempts after the first.
    pub max_retries: u64,
    /// Whether a `fallback` stands in for an engine that does not answer.
    pub use_fallback: bool,
    /// Age of the last observation past which a recommendation is as good as none.
    pub max_staleness: Option<Duration>,
    /// Slot of a fallback's decision.
    pub slot: Duration,
}

/// Settings in which something is still unknown.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown {
    /// The attribute.
    pub attribute: &'static str,
}

const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Where an engine listens that was told nothing else.
const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7460";
const DEFAULT_RETRIES: u64 = 3;
const DEFAULT_SLOT: Duration = Duration::from_secs(30 * 60);
const NAMES: [&str; 7] =
    ["endpoint", "request_timeout", "connect_timeout", "max_retries", "on_unavailable", "max_staleness", "slot"];

/// The provider block's schema.
pub fn schema() -> Schema {
    let text = Kind::string;
    let attributes = vec![
        Attribute::optional("endpoint", text(), "Where the engine listens: `unix:/path/to/socket`, or `http://host:port` on this machine's loopback. Default `http://127.0.0.1:7460`, where an engine listens by itself. Environment: `FORESHADOW_ENDPOINT`.").check(endpoint),
        Attribute::optional("request_timeout", text(), "What one call to the engine may take, retries included. Default `10s`. Environment: `FORESHADOW_REQUEST_TIMEOUT`.").check(validate::duration),
        Attribute::optional("connect_timeout", text(), "What reaching the engine may take. Default `2s`. Environment: `FORESHADOW_CONNECT_TIMEOUT`.").check(validate::duration),
        Attribute::optional("max_retries", Kind::number(), "Further attempts, with growing pauses, while the engine is unavailable. Default `3`. Environment: `FORESHADOW_MAX_RETRIES`.").check(retries),
        Attribute::optional("on_unavailable", text(), "`fallback` (default) lets a data source's `fallback` stand in for an engine that does not answer; `error` stops the plan even where a fallback is given. Environment: `FORESHADOW_ON_UNAVAILABLE`.").check(on_unavailable),
        Attribute::optional("max_staleness", text(), "Age of the last observation behind a recommendation past which it counts as unavailable. Default: no limit; a stale recommendation is used with a warning. Environment: `FORESHADOW_MAX_STALENESS`.").check(validate::duration),
        Attribute::optional("slot", text(), "Length of the slots that a fallback's `slot_start` is rounded down to; the engine's own recommendations bring theirs. Default `30m`. Environment: `FORESHADOW_SLOT`.").check(validate::duration),
    ];
    Schema {
        version: 0,
        description: "Capacity forecast by a Foreshadow engine, shown and applied as a Terraform plan.",
        attributes,
    }
}

/// Reads the settings. Every value is checked by the schema's own checks, wherever it came from.
///
/// # Errors
/// The outer error tells what is wrong, the inner that a value is not known yet.
pub fn read(
    config: &Record,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Result<Settings, Unknown>, Diagnostics> {
    let mut merged = config.clone();
    for attribute in NAMES {
        match config.get(attribute) {
            Value::Unknown(_) => return Ok(Err(Unknown { attribute })),
            Value::Null => {
                let name = format!("FORESHADOW_{}", attribute.to_uppercase());
                let Some(text) = variable(&name).filter(|text| !text.is_empty()) else { continue };
                merged.set(attribute, from_variable(attribute, &name, text)?);
            }
            _ => {}
        }
    }
    let found = validate::validate(&schema(), &merged);
    if found.has_error() {
        return Err(found);
    }
    let endpoint = merged.get("endpoint").as_str().unwrap_or(DEFAULT_ENDPOINT);
    let endpoint = parse_endpoint(endpoint).expect("the schema's check has let it pass");
    let span = |name| merged.get(name).as_str().and_then(duration_ms).map(Duration::from_millis);
    Ok(Ok(Settings {
        endpoint,
        request_timeout: span("request_timeout").unwrap_or(DEFAULT_REQUEST_TIMEOUT),
        connect_timeout: span("connect_timeout").unwrap_or(DEFAULT_CONNECT_TIMEOUT),
        max_retries: merged.get("max_retries").as_i64().map_or(DEFAULT_RETRIES, i64::unsigned_abs),
        use_fallback: merged.get("on_unavailable").as_str() != Some("error"),
        max_staleness: span("max_staleness"),
        slot: span("slot").unwrap_or(DEFAULT_SLOT),
    }))
}

fn from_variable(attribute: &str, name: &str, text: String) -> Result<Value, Diagnostics> {
    if attribute != "max_retries" {
        return Ok(Value::String(text));
    }
    let number = crate::sdk::Number::parse(&text).map_err(|fault| {
        Diagnostics::from(
            Diagnostic::error(format!("Invalid {name}"), format!("{fault}.")).at(Path::attribute(attribute)),
        )
    })?;
    Ok(Value::Number(number))
}

fn retries(value: &Value) -> Result<(), String> {
    validate::count(value)?;
    match value.as_i64() {
        Some(count) if count > 100 => Err(format!("must be at most 100, not {count}")),
        _ => Ok(()),
    }
}

fn on_unavailable(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some("error" | "fallback") | None => Ok(()),
        Some(other) => Err(format!("must be \"error\" or \"fallback\", not {other:?}")),
    }
}

fn endpoint(value: &Value) -> Result<(), String> {
    value.as_str().map_or(Ok(()), |text| parse_endpoint(text).map(drop))
}

/// Reads an endpoint; the engine speaks on this machine alone, so anywhere else is refused.
fn parse_endpoint(text: &str) -> Result<Endpoint, String> {
    if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
        return if path.starts_with('/') {
            Ok(Endpoint::Unix(path.into()))
        } else {
            Err(format!("must name a socket by its full path, as in \"unix:/run/engine.sock\", not {text:?}"))
        };
    }
    let Some(authority) = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')) else {
        return Err(format!("must begin with \"unix:\" or \"http://\", not {text:?}"));
    };
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(format!("must name a port, as in \"http://127.0.0.1:7460\", not {text:?}"));
    }
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if host != "localhost" && !address.is_ok_and(|address| address.is_loopback()) {
        return Err(format!("must stay on this machine (localhost, 127.0.0.1 or [::1]), not {host:?}"));
    }
    Ok(Endpoint::Loopback(authority.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(
        pairs: &[(&str, Value)],
        variables: &[(&str, &str)],
    ) -> Result<Result<Settings, Unknown>, Diagnostics> {
        let mut config = Record::empty(&schema());
        pairs.iter().for_each(|(name, value)| config.set(name, value.clone()));
        read(&config, |name| variables.iter().find(|(key, _)| *key == name).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_block_wins_over_variables_and_both_over_defaults() {
        let settings = read_with(
            &[("endpoint", Value::string("unix:/a")), ("max_retries", Value::int(0))],
            &[("FORESHADOW_ENDPOINT", "unix:/b"), ("FORESHADOW_MAX_RETRIES", "7"), ("FORESHADOW_SLOT", "1h")],
        );
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.endpoint, Endpoint::Unix("/a".into()));
        assert_eq!((settings.max_retries, settings.slot), (0, Duration::from_secs(3_600)));
        assert_eq!(settings.request_timeout, DEFAULT_REQUEST_TIMEOUT);
        assert!(settings.use_fallback);
    }

    #[test]
    fn a_variable_is_checked_like_the_block() {
        for (name, text) in [
            ("FORESHADOW_ENDPOINT", "https://engine"),
            ("FORESHADOW_REQUEST_TIMEOUT", "soon"),
            ("FORESHADOW_MAX_RETRIES", "many"),
            ("FORESHADOW_MAX_RETRIES", "-1"),
            ("FORESHADOW_ON_UNAVAILABLE", "panic"),
        ] {
            assert!(read_with(&[], &[(name, text)]).unwrap_err().has_error(), "{name}={text}");
        }
    }

    #[test]
    fn an_unknown_setting_waits() {
        let settings = read_with(&[("endpoint", Value::unknown())], &[]);
        assert_eq!(settings, Ok(Err(Unknown { attribute: "endpoint" })));
    }

    #[test]
    fn endpoints_stay_on_this_machine() {
        for good in ["unix:/run/e.sock", "unix:///run/e.sock"] {
            assert_eq!(parse_endpoint(good), Ok(Endpoint::Unix("/run/e.sock".into())));
        }
        for good in ["http://127.0.0.1:80", "http://localhost:8080/", "http://[::1]:9"] {
            assert!(matches!(parse_endpoint(good), Ok(Endpoint::Loopback(_))), "{good}");
        }
        for bad in [
            "unix:e.sock",
            "http://10.0.0.1:80",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "https://localhost:1",
            "",
            "http://evil.example:1",
        ] {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
    }
}
