//! Static checks of configured values. What is null or unknown passes: the one is nothing to
//! check, the other is checked when it is known.

use super::diagnostic::{Diagnostic, Diagnostics, Path};
use super::record::Record;
use super::schema::{Attribute, Kind, Schema};
use super::value::Value;

/// A test of one known value; the error says what the value must be.
pub type Check = fn(&Value) -> Result<(), String>;

/// Runs every check of a schema over a configuration.
pub fn validate(schema: &Schema, config: &Record) -> Diagnostics {
    let mut found = Diagnostics::default();
    for attribute in &schema.attributes {
        check(attribute, config.get(attribute.name), &Path::attribute(attribute.name), &mut found);
    }
    found
}

fn check(attribute: &Attribute, value: &Value, path: &Path, found: &mut Diagnostics) {
    if matches!(value, Value::Null | Value::Unknown(_)) {
        return;
    }
    for check in &attribute.checks {
        if let Err(must) = check(value) {
            let summary = format!("Invalid {}", attribute.name);
            found.push(Diagnostic::error(summary, format!("{} {must}.", attribute.name)).at(path.clone()));
        }
    }
    match (&attribute.kind, value) {
        (Kind::Single(inner), value) => check_object(inner, value, path, found),
        (Kind::List(inner), Value::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                check_object(inner, item, &path.index(index), found);
            }
        }
        _ => {}
    }
}

fn check_object(attributes: &[Attribute], value: &Value, path: &Path, found: &mut Diagnostics) {
    for attribute in attributes {
        check(attribute, value.get(attribute.name), &path.then(attribute.name), found);
    }
}

/// Text with something in it.
///
/// # Errors
/// When it is blank.
pub fn not_blank(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some(text) if text.trim().is_empty() => Err("must not be empty".to_owned()),
        _ => Ok(()),
    }
}

/// A whole number of at least zero that 64 bits hold.
///
/// # Errors
/// When it is any other number.
pub fn count(value: &Value) -> Result<(), String> {
    match value.as_number() {
        Some(number) if number.to_i64().is_none_or(|count| count < 0) => {
            Err(format!("must be a whole number of at least 0, not {}", number.as_str()))
        }
        _ => Ok(()),
    }
}

/// A whole number of at least one.
///
/// # Errors
/// When it is any other number.
pub fn positive_count(value: &Value) -> Result<(), String> {
    count(value)?;
    match value.as_i64() {
        Some(count) if count < 1 => Err(format!("must be at least 1, not {count}")),
        _ => Ok(()),
    }
}

/// A share: a number in `[0, 1]`.
///
/// # Errors
/// When it lies outside.
pub fn share(value: &Value) -> Result<(), String> {
    within(value, |x| (0.0..=1.0).contains(&x), "must lie between 0 and 1")
}

/// A probability strictly inside `(0, 1)`.
///
/// # Errors
/// When it lies outside.
pub fn probability(value: &Value) -> Result<(), String> {
    within(value, |x| x > 0.0 && x < 1.0, "must lie strictly between 0 and 1")
}

/// A share above zero, in `(0, 1]`.
///
/// # Errors
/// When it lies outside.
pub fn positive_share(value: &Value) -> Result<(), String> {
    within(value, |x| x > 0.0 && x <= 1.0, "must lie above 0 and at most at 1")
}

/// A number of at least zero.
///
/// # Errors
/// When it is below.
pub fn not_negative(value: &Value) -> Result<(), String> {
    within(value, |x| x >= 0.0, "must be at least 0")
}

fn within(value: &Value, holds: impl Fn(f64) -> bool, must: &str) -> Result<(), String> {
    match value.as_number() {
        Some(number) if !holds(number.to_f64()) => Err(format!("{must}, not {}", number.as_str())),
        _ => Ok(()),
    }
}

/// A span of time such as `"30m"`, `"1h30m"` or `"500ms"`, above zero.
///
/// # Errors
/// When it is none.
pub fn duration(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some(text) if duration_ms(text).is_none_or(|span| span == 0) => {
            Err(format!("must be a span of time such as \"30m\" or \"1h30m\", not {text:?}"))
        }
        _ => Ok(()),
    }
}

/// A point in time as RFC 3339.
///
/// # Errors
/// When it is none.
pub fn timestamp(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some(text) if timestamp_ms(text).is_none() => {
            Err(format!("must be a time such as \"2026-01-31T12:00:00Z\", not {text:?}"))
        }
        _ => Ok(()),
    }
}

/// Milliseconds of a span: numbers with units `ms`, `s`, `m`, `h` or `d`, added up.
pub fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let amount: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let unit_ms = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(amount.checked_mul(unit_ms)?)?;
    }
    (!text.is_empty()).then_some(total)
}

/// Milliseconds since the epoch of an RFC 3339 time.
pub fn timestamp_ms(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond())
}

/// The RFC 3339 time of milliseconds since the epoch; none past the year 9999.
pub fn timestamp_text(ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(ms).ok().map(|time| time.to_string())
}
