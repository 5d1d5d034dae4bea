//! The spelling of labels and matchers: `name{key="value", other!="value"}`.

use std::fmt::{self, Write};

use super::key::KeyError;

/// One `label operator value` of a selector.
pub(super) struct Term {
    pub(super) label: String,
    pub(super) operator: &'static str,
    pub(super) value: String,
    /// The character it starts at, counted from 1.
    pub(super) at: usize,
}

/// A word that may stand before the braces.
pub(super) fn is_plain_metric(text: &str) -> bool {
    is_word(text, |c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

pub(super) fn write_label(f: &mut fmt::Formatter<'_>, label: &str) -> fmt::Result {
    if is_plain_label(label) { f.write_str(label) } else { write_quoted(f, label) }
}

pub(super) fn write_quoted(f: &mut fmt::Formatter<'_>, value: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in value.chars() {
        match c {
            '\\' => f.write_str("\\\\")?,
            '"' => f.write_str("\\\"")?,
            '\n' => f.write_str("\\n")?,
            other => f.write_char(other)?,
        }
    }
    f.write_char('"')
}

/// Reads a whole selector.
pub(super) fn parse(text: &str) -> Result<Vec<Term>, KeyError> {
    let mut scan = Scan { text, rest: text };
    let mut terms = Vec::new();
    scan.skip_space();
    let at = scan.at();
    let name = scan.take_while(|c| c.is_alphanumeric() || c == '_' || c == ':');
    if !name.is_empty() {
        terms.push(Term { label: "__name__".into(), operator: "=", value: name.into(), at });
    } else if !scan.rest.starts_with('{') {
        return Err(scan.error("nothing that names a metric or opens a brace"));
    }
    scan.skip_space();
    if scan.eat("{") {
        while !scan.eat("}") {
            terms.push(term(&mut scan)?);
            if !scan.eat(",") && !scan.rest.starts_with('}') {
                return Err(scan.error("a comma or a closing brace is missing"));
            }
            scan.skip_space();
        }
        scan.skip_space();
    }
    if !scan.rest.is_empty() {
        return Err(scan.error("nothing more is expected"));
    }
    Ok(terms)
}

fn term(scan: &mut Scan<'_>) -> Result<Term, KeyError> {
    scan.skip_space();
    let at = scan.at();
    let label = match quoted(scan)? {
        Some(label) => label,
        None => scan.take_while(|c| c.is_alphanumeric() || c == '_').to_string(),
    };
    if label.is_empty() {
        return Err(scan.error("a label is missing"));
    }
    scan.skip_space();
    let Some(operator) = ["=~", "!=", "!~", "="].into_iter().find(|operator| scan.eat(operator)) else {
        return Err(scan.error("one of = != =~ !~ is missing"));
    };
    scan.skip_space();
    let Some(value) = quoted(scan)? else { return Err(scan.error("a quoted value is missing")) };
    scan.skip_space();
    Ok(Term { label, operator, value, at })
}

fn quoted(scan: &mut Scan<'_>) -> Result<Option<String>, KeyError> {
    let Some(quote) = scan.rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else { return Ok(None) };
    scan.rest = &scan.rest[1..];
    let mut value = String::new();
    let mut chars = scan.rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => {
                scan.rest = &scan.rest[at + 1..];
                return Ok(Some(value));
            }
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('\\' | '"' | '\''))) => value.push(c),
                _ => {
                    scan.rest = &scan.rest[at..];
                    return Err(scan.error("an unknown escape; \\\\ \\\" \\n \\t are known"));
                }
            },
            c => value.push(c),
        }
    }
    scan.rest = "";
    Err(scan.error("a closing quote is missing"))
}

fn is_plain_label(text: &str) -> bool {
    is_word(text, |c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_word(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(allowed)
}

/// A text and what of it is left.
struct Scan<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Scan<'a> {
    fn at(&self) -> usize {
        self.text[..self.text.len() - self.rest.len()].chars().count() + 1
    }

    fn error(&self, reason: &str) -> KeyError {
        KeyError { text: self.text.into(), reason: reason.into(), at: self.at() }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, allowed: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !allowed(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}
