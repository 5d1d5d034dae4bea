//! A series' identity, and how one asks for several of them.

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::key_parser::{self, Term};

/// The label that holds a metric's name.
const NAME: &str = "__name__";

/// Labels that name a metric, the first that is there.
const NAMES: [&str; 3] = [NAME, "metric", "name"];

/// A series' identity: its labels, sorted, none twice, an empty value being the same as no label.
///
/// Spelled `name{key="value",…}`, the name being the label `__name__` when it is a plain word. Inside
/// quotes `\`, `"` and a line feed are escaped; a label that is not a plain word is quoted too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey(Vec<(String, String)>);

/// Why a text names no series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("{text:?} is no series selector: {reason} at character {at}")]
#[diagnostic(help("spell it name{{label=\"value\", other!=\"value\"}}; =~ and !~ take a regular expression"))]
pub struct KeyError {
    /// The whole text.
    pub text: String,
    /// What was wrong.
    pub reason: String,
    /// Where, counted from 1.
    pub at: usize,
}

impl SeriesKey {
    /// The key of some labels, in any order; of a label given twice the last stays.
    pub fn new(labels: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut sorted: Vec<(String, String)> = labels.into_iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0)); // stable: the last of equals is the last given
        sorted.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                std::mem::swap(&mut next.1, &mut kept.1);
            }
            same
        });
        sorted.retain(|(_, value)| !value.is_empty());
        Self(sorted)
    }

    /// Every label, sorted by its name.
    pub fn labels(&self) -> &[(String, String)] {
        &self.0
    }

    /// The value of a label; empty when the series has none.
    pub fn label(&self, name: &str) -> &str {
        self.0.binary_search_by(|(label, _)| label.as_str().cmp(name)).map_or("", |at| &self.0[at].1)
    }

    /// The label that holds the metric's name: `__name__`, else `metric`, else `name`.
    pub fn name_label(&self) -> Option<&'static str> {
        NAMES.into_iter().find(|name| !self.label(name).is_empty())
    }

    /// Every label but the one that holds the metric's name.
    pub fn labels_but_name(&self) -> Vec<(String, String)> {
        let own = self.name_label();
        self.0.iter().filter(|(label, _)| Some(label.as_str()) != own).cloned().collect()
    }
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.label(NAME);
        let named = key_parser::is_plain_metric(name);
        if named {
            f.write_str(name)?;
        }
        let mut labels = self.0.iter().filter(|(label, _)| !(named && label == NAME)).peekable();
        if labels.peek().is_none() && named {
            return Ok(());
        }
        f.write_str("{")?;
        while let Some((label, value)) = labels.next() {
            key_parser::write_label(f, label)?;
            f.write_str("=")?;
            key_parser::write_quoted(f, value)?;
            if labels.peek().is_some() {
                f.write_str(",")?;
            }
        }
        f.write_str("}")
    }
}

impl FromStr for SeriesKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let terms = key_parser::parse(text)?;
        let label = |term: Term| match term.operator {
            "=" => Ok((term.label, term.value)),
            other => Err(KeyError {
                text: text.into(),
                reason: format!("`{other}` selects, it does not name a series"),
                at: term.at,
            }),
        };
        Ok(Self::new(terms.into_iter().map(label).collect::<Result<Vec<_>, _>>()?))
    }
}

/// Which series are meant: every matcher must hold.
#[derive(Clone, Debug)]
pub struct Selector {
    text: String,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug)]
struct Matcher {
    label: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Selector {
    /// Whether the series is meant. A label that the series lacks is the empty text.
    pub fn matches(&self, key: &SeriesKey) -> bool {
        self.matchers.iter().all(|matcher| {
            let value = key.label(&matcher.label);
            match &matcher.test {
                Test::Equal(wanted) => value == wanted,
                Test::NotEqual(refused) => value != refused,
                Test::Matches(regex) => regex.is_match(value),
                Test::MatchesNot(regex) => !regex.is_match(value),
            }
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for Selector {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let matcher = |term: Term| {
            // Anchored at both ends, as Prometheus reads it.
            let regex = || {
                Regex::new(&format!("^(?s:{})$", term.value)).map_err(|source| {
                    let reason = source.to_string().lines().last().unwrap_or_default().to_string();
                    KeyError { text: text.into(), reason, at: term.at }
                })
            };
            let test = match term.operator {
                "=" => Test::Equal(term.value.clone()),
                "!=" => Test::NotEqual(term.value.clone()),
                "=~" => Test::Matches(regex()?),
                _ => Test::MatchesNot(regex()?),
            };
            Ok(Matcher { label: term.label, test })
        };
        let matchers = key_parser::parse(text)?.into_iter().map(matcher).collect::<Result<Vec<_>, KeyError>>()?;
        Ok(Self { text: text.trim().into(), matchers })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> SeriesKey {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_is_spelled_one_way() {
        for (read, spelled) in [
            ("up", "up"),
            ("up{}", "up"),
            ("{}", "{}"),
            (r#" up { z = "1" , a='2', } "#, r#"up{a="2",z="1"}"#),
            (r#"{__name__="up",b="",a="x\"y\\z\nw"}"#, r#"up{a="x\"y\\z\nw"}"#),
            (r#"{"weird label"="1",__name__="no name"}"#, r#"{__name__="no name","weird label"="1"}"#),
        ] {
            assert_eq!(key(read).to_string(), spelled);
            assert_eq!(key(spelled), key(read));
        }
    }

    #[test]
    fn a_text_that_names_no_series_says_where() {
        for (text, reason, at) in [
            ("", "nothing", 1),
            ("up{", "a label", 4),
            ("up{a", "one of =", 5),
            ("up{a=1}", "a quoted value", 6),
            (r#"up{a="1"#, "a closing quote", 8),
            (r#"up{a="1"} x"#, "nothing more", 11),
            (r#"up{a!="1"}"#, "does not name", 4),
        ] {
            let error = text.parse::<SeriesKey>().unwrap_err();
            assert!(error.reason.contains(reason), "{text}: {error}");
            assert_eq!(error.at, at, "{text}: {error}");
        }
    }

    #[test]
    fn every_matcher_must_hold() {
        let series = key(r#"http_requests{service="checkout",region="eu-1"}"#);
        for (selector, wanted) in [
            ("http_requests", true),
            ("http_errors", false),
            ("{}", true),
            (r#"{service="checkout",region!="eu-1"}"#, false),
            (r#"{service=~"check|check.*",region!~"us-.*"}"#, true),
            (r#"{service=~"check"}"#, false),
            (r#"{zone=""}"#, true),
            (r#"{zone!=""}"#, false),
        ] {
            assert_eq!(selector.parse::<Selector>().unwrap().matches(&series), wanted, "{selector}");
        }
        let error = r#"{a=~"("}"#.parse::<Selector>().unwrap_err();
        assert!(error.reason.contains("unclosed group"), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_spelled_is_read_back(labels in proptest::collection::vec((".{1,6}", ".{0,6}"), 0..6)) {
            let key = SeriesKey::new(labels);
            prop_assert_eq!(key.to_string().parse::<SeriesKey>().unwrap(), key);
        }
    }
}
