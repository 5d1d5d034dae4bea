//! Log lines in the form a plugin host reads: one JSON object a line on stderr, strings only, since
//! Terraform itself dies of a message that is none.

use std::io::Write;
use std::panic;

use serde_json::{Map, Value as Json};

/// Bytes a message may take: six times that, as JSON may need, and with its fields a line stays
/// under the host's 64 KiB.
const MAX_MESSAGE_BYTES: usize = 6_144;
const MAX_FIELD_BYTES: usize = 512;
const MAX_FIELDS: usize = 6;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For us.
    Debug,
    /// For the user who asked.
    Info,
    /// For the user who should know.
    Warn,
    /// For the user who must act.
    Error,
}

/// Writes one line. A closed stderr is no reason to stop serving.
pub fn line(level: Level, message: &str, fields: &[(&str, &str)]) {
    let text = render(level, message, fields, jiff::Timestamp::now());
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Lets a panic be told in the same form as everything else.
pub fn catch_panics() {
    panic::set_hook(Box::new(|info| {
        line(Level::Error, &format!("the provider panicked: {info}"), &[]);
    }));
}

fn render(level: Level, message: &str, fields: &[(&str, &str)], now: jiff::Timestamp) -> String {
    let level = match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut object = Map::new();
    object.insert("@level".to_owned(), level.into());
    object.insert("@message".to_owned(), clip(message, MAX_MESSAGE_BYTES).into());
    object.insert("@module".to_owned(), "provider.foreshadow".into());
    object.insert("@timestamp".to_owned(), now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into());
    for (name, value) in fields.iter().take(MAX_FIELDS) {
        object.insert((*name).to_owned(), clip(value, MAX_FIELD_BYTES).into());
    }
    Json::Object(object).to_string() + "\n"
}

/// The start of a text, whole characters only.
fn clip(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_strings_with_six_decimals_and_stays_short() {
        let now = jiff::Timestamp::from_microsecond(1_700_000_000_000_001).unwrap();
        let long = "\u{1}é".repeat(200_000); // control characters grow sixfold in JSON
        for (message, value) in [("started", "7"), (long.as_str(), long.as_str()), ("a\n\"b\"", "\0")] {
            let fields: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].iter().map(|name| (*name, value)).collect();
            let text = render(Level::Warn, message, &fields, now);
            assert!(text.len() < 65_536, "{} bytes", text.len());
            assert_eq!(text.matches('\n').count(), 1);
            let json: Map<String, Json> = serde_json::from_str(&text).unwrap();
            assert!(json.values().all(Json::is_string));
            assert_eq!(json["@timestamp"], "2023-11-14T22:13:20.000001Z");
            assert_eq!(json["@level"], "warn");
        }
    }
}
