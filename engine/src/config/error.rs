//! Why a setting cannot be used: the place, the key, what stood there, and what would do.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;

use bytesize::ByteSize;
use toml::de::{DeTable, DeValue};

/// Why the configuration cannot be used. Nothing was opened.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not there or not ours to read.
    #[error("cannot read the configuration {path}")]
    #[diagnostic(help("`foreshadow config > foreshadow.toml` writes one with every key explained"))]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not TOML, or a key is unknown or of another kind.
    #[error("{place}: {message}")]
    #[diagnostic(help("`foreshadow config` prints every key with its meaning and default"))]
    Parse {
        /// File and line, variable or flag.
        place: String,
        /// What the reader said.
        message: String,
    },
    /// A value cannot be used.
    #[error("{place}: `{}` is {}", refusal.key, refusal.found)]
    #[diagnostic(help("{}", refusal.way_out))]
    Invalid {
        /// What was refused and what would do.
        refusal: Refusal,
        /// File and line, variable or flag.
        place: String,
    },
}

/// One refused value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Sections and key, such as `workload[0].target`.
    pub key: String,
    /// What stood there.
    pub found: String,
    /// What would do.
    pub way_out: String,
}

impl Refusal {
    /// A refusal of `key`, still without its section.
    pub fn new(key: &str, found: impl Debug, way_out: impl Display) -> Self {
        Self { key: key.into(), found: format!("{found:?}"), way_out: way_out.to_string() }
    }

    /// A key that must be there and is not.
    pub fn missing(key: &str, way_out: impl Display) -> Self {
        Self { key: key.into(), found: "not set".into(), way_out: way_out.to_string() }
    }

    /// The same refusal, seen from one section further out.
    #[must_use]
    pub fn within(mut self, section: &str) -> Self {
        self.key = if self.key.is_empty() { section.into() } else { format!("{section}.{}", self.key) };
        self
    }
}

/// The number, if it lies in the range.
pub(super) fn in_range<T>(key: &str, value: T, range: RangeInclusive<T>) -> Result<T, Refusal>
where
    T: PartialOrd + Debug + Display,
{
    if range.contains(&value) {
        return Ok(value);
    }
    Err(Refusal::new(key, value, format!("a number from {} to {} is needed", range.start(), range.end())))
}

/// A span of time such as `90s`, `30m` or `28d`, in milliseconds, if it lies between two others.
pub(super) fn span_ms(key: &str, text: &str, at_least: &str, at_most: &str) -> Result<i64, Refusal> {
    let bound = |text| parse_span_ms(text).expect("the bounds are spelled in this program");
    let range = bound(at_least)..=bound(at_most);
    parse_span_ms(text).filter(|ms| range.contains(ms)).ok_or_else(|| {
        Refusal::new(
            key,
            text,
            format!("a span from \"{at_least}\" to \"{at_most}\" is needed, such as \"90s\" or \"30m\""),
        )
    })
}

/// An amount of memory such as `512MiB` or `2GiB`, at least 1 MiB.
pub(super) fn bytes(key: &str, text: &str) -> Result<u64, Refusal> {
    let parsed = text.parse::<ByteSize>().ok().map(|size| size.as_u64()).filter(|bytes| *bytes >= 1 << 20);
    parsed.ok_or_else(|| Refusal::new(key, text, "1MiB or more is needed, such as \"512MiB\" or \"2GiB\""))
}

/// Milliseconds of a span such as `90s`, `1h 30m` or `28d`, a day being 24 hours.
pub fn parse_span_ms(text: &str) -> Option<i64> {
    let span: jiff::Span = text.trim().parse().ok()?;
    let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
    i64::try_from(length.as_millis()).ok()
}

/// Where a key stands in the text: its file and line, or the nearest section that is there.
pub(super) fn place_of(text: &str, file: &str, key: &str) -> String {
    let Ok(document) = DeTable::parse(text) else { return file.into() };
    let mut table = document.get_ref();
    let mut line = None;
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse().ok()),
            None => (part, None),
        };
        let Some((spelled, value)) = table.iter().find(|(spelled, _)| spelled.get_ref() == name) else { break };
        let item = match (value.get_ref(), index) {
            (DeValue::Array(items), Some(index)) => items.get::<usize>(index),
            _ => None,
        };
        line = Some(line_at(text, item.map_or(spelled.span().start, |item| item.span().start)));
        match item.unwrap_or(value).get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    line.map_or(file.into(), |line| format!("{file} line {line}"))
}

/// What the reader says, with the key of a value that is of another kind.
pub(super) fn of_key(text: &str, source: &toml::de::Error) -> String {
    let message = source.message();
    let start = source.span().filter(|_| message.starts_with("invalid ")).map(|span| span.start);
    let before = start.and_then(|start| text.get(..start)?.rsplit('\n').next()?.trim_end().strip_suffix('='));
    let key = before.and_then(|before| before.trim_end().rsplit([' ', '\t', '{', ',', '[']).next());
    key.map_or(message.into(), |key| format!("`{key}`: {message}"))
}

/// The line of a byte, counted from 1.
pub(super) fn line_at(text: &str, byte: usize) -> usize {
    text[..byte.min(text.len())].matches('\n').count() + 1
}
