//! Exact decimals, kept as text. Terraform's numbers have 512 bits; an `f64` would change them.

use super::ValueError;

/// Digits that a written-out exponent may add: far past anything configured, short of an attack.
const MAX_EXPONENT: i64 = 4_096;

/// A decimal in plain notation: an optional sign, digits without leading zeros, and a fraction
/// without trailing ones. Equal numbers have equal text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// Reads a decimal, with or without an exponent.
    ///
    /// # Errors
    /// [`ValueError::Number`] when it is none, or its exponent is absurd.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::Number(text.chars().take(64).collect());
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i64>().map_err(|_| wrong())?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || exponent.abs() > MAX_EXPONENT {
            return Err(wrong());
        }
        Ok(Self(plain(negative, whole, fraction, exponent)))
    }

    /// The number a double stands for, every digit of it.
    ///
    /// # Errors
    /// [`ValueError::Number`] for a NaN or an infinity.
    pub fn exact(value: f64) -> Result<Self, ValueError> {
        if !value.is_finite() {
            return Err(ValueError::Number(value.to_string()));
        }
        // 1,074 fractional digits write out any double in full; most need a handful.
        let short = value.to_string();
        if short.parse::<f64>() == Ok(value) && value.fract() == 0.0 {
            return Self::parse(&short);
        }
        Self::parse(&format!("{value:.1074}"))
    }

    /// The shortest decimal that reads back as this double: how people write 0.95. None for a NaN
    /// or an infinity.
    pub fn shortest(value: f64) -> Option<Self> {
        Self::parse(&value.to_string()).ok()
    }

    /// The decimal's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        self.0.parse().expect("plain decimals are floating-point literals")
    }

    /// The number itself when it is whole and fits 64 bits.
    pub fn to_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The double that equals this number exactly, if one does.
    pub(super) fn to_exact_f64(&self) -> Option<f64> {
        let value = self.to_f64();
        // A double's digits end at most 1,074 places after the point, so longer text is never one.
        (self.0.len() <= 1_100 && Self::exact(value).as_ref() == Ok(self)).then_some(value)
    }

    /// Whether it has no fraction.
    pub fn is_whole(&self) -> bool {
        !self.0.contains('.')
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(value.to_string())
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(value.to_string())
    }
}

/// Writes out `±whole.fraction · 10^exponent`.
fn plain(negative: bool, whole: &str, fraction: &str, exponent: i64) -> String {
    let digits = [whole, fraction].concat();
    let point = whole.len() as i64 + exponent;
    let (before, after) = if point <= 0 {
        (String::new(), "0".repeat(point.unsigned_abs() as usize) + &digits)
    } else if point as usize >= digits.len() {
        (digits.clone() + &"0".repeat(point as usize - digits.len()), String::new())
    } else {
        (digits[..point as usize].to_owned(), digits[point as usize..].to_owned())
    };
    let (before, after) = (before.trim_start_matches('0'), after.trim_end_matches('0'));
    let mut text = String::with_capacity(before.len() + after.len() + 3);
    if negative && !(before.is_empty() && after.is_empty()) {
        text.push('-');
    }
    text.push_str(if before.is_empty() { "0" } else { before });
    if !after.is_empty() {
        text.push('.');
        text.push_str(after);
    }
    text
}
