//! Values as Terraform means them: decimals are exact, and null and unknown are values too.

mod decode;
mod encode;
mod json;
mod number;
#[cfg(test)]
pub(crate) mod tests;
mod types;

use std::collections::BTreeMap;

pub use decode::{decode, fields};
pub use encode::encode;
pub use json::from_json;
pub use number::Number;
pub use types::Type;

/// How deep values and types may nest. Terraform's own configuration stays far below; a deeper
/// message is refused before it can exhaust the stack.
const MAX_DEPTH: usize = 64;

/// One value of any type. Lists, sets and tuples share a form, as do maps and objects: the schema
/// tells them apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Given as nothing.
    Null,
    /// Not decided yet, with what is already known of it.
    Unknown(Unknown),
    /// True or false.
    Bool(bool),
    /// An exact decimal.
    Number(Number),
    /// Text.
    String(String),
    /// A list, set or tuple, in the order it arrived.
    List(Vec<Value>),
    /// A map or an object; of an object, every attribute is present.
    Map(BTreeMap<String, Value>),
    /// A value that brings its own type along.
    Dynamic(Type, Box<Value>),
}

/// A value to come, kept as the bytes that announced it, so that its refinements survive an echo.
#[derive(Clone, Debug, PartialEq)]
pub struct Unknown {
    /// Extension code: 12 carries refinements, any other nothing we may rely on.
    code: i8,
    payload: Vec<u8>,
}

impl Unknown {
    /// Nothing is known of the value.
    pub fn plain() -> Self {
        Self { code: 0, payload: vec![0] }
    }

    /// Unknown, but certainly not null: refinement 1 (nullness) is false.
    pub fn not_null() -> Self {
        Self { code: 12, payload: vec![0x81, 0x01, 0xc2] }
    }
}

/// Why bytes are not a value of the type the schema gives.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum ValueError {
    /// The message ends inside a value.
    #[error("the value ends after {at} bytes, inside an item")]
    Truncated {
        /// Bytes that were there.
        at: usize,
    },
    /// Bytes stand after the value.
    #[error("{extra} bytes follow the value")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// An item of another kind than the schema's.
    #[error("expected {expected} at byte {at}, found {found}")]
    Kind {
        /// What the schema asks for.
        expected: &'static str,
        /// What the bytes hold.
        found: String,
        /// Where the item starts.
        at: usize,
    },
    /// An attribute that the schema does not have.
    #[error("attribute {0:?} is not in the schema")]
    Attribute(String),
    /// A number that is no decimal.
    #[error("{0:?} is not a decimal number")]
    Number(String),
    /// Text that is not UTF-8.
    #[error("text at byte {at} is not UTF-8")]
    Utf8 {
        /// Where the text starts.
        at: usize,
    },
    /// Deeper nesting than any configuration has.
    #[error("the value nests deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A type signature that names no type.
    #[error("{0} is not a type")]
    Type(String),
    /// State that is not JSON, or not of the schema's shape.
    #[error("state does not fit the schema: {0}")]
    Json(String),
}

impl Value {
    /// Nothing known about it.
    pub fn unknown() -> Self {
        Self::Unknown(Unknown::plain())
    }

    /// Text.
    pub fn string(text: impl Into<String>) -> Self {
        Self::String(text.into())
    }

    /// A whole number.
    pub fn int(value: i64) -> Self {
        Self::Number(Number::from(value))
    }

    /// A floating-point number by its shortest decimal; a NaN or an infinity is null.
    pub fn float(value: f64) -> Self {
        Number::shortest(value).map_or(Self::Null, Self::Number)
    }

    /// An object or a map.
    pub fn object<const N: usize>(entries: [(&str, Value); N]) -> Self {
        Self::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it, or any value inside it, is unknown.
    pub fn has_unknown(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::List(items) => items.iter().any(Self::has_unknown),
            Self::Map(entries) => entries.values().any(Self::has_unknown),
            Self::Dynamic(_, inner) => inner.has_unknown(),
            _ => false,
        }
    }

    /// The text, when it is known text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, when it is a known number.
    pub fn as_number(&self) -> Option<&Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The nearest floating-point number, when it is a known number.
    pub fn as_f64(&self) -> Option<f64> {
        self.as_number().map(Number::to_f64)
    }

    /// The whole number, when it is a known one that fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number().and_then(Number::to_i64)
    }

    /// One attribute of an object; null where there is none.
    pub fn get(&self, name: &str) -> &Value {
        match self {
            Self::Map(entries) => entries.get(name).unwrap_or(&Self::Null),
            _ => &Self::Null,
        }
    }
}
