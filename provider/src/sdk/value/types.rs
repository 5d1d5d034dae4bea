//! Type signatures: JSON on the wire, a tree here.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{MAX_DEPTH, ValueError};

/// The type of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// True or false.
    Bool,
    /// An exact decimal.
    Number,
    /// Text.
    String,
    /// Any type; the value tells which.
    Dynamic,
    /// Ordered, one type.
    List(Box<Type>),
    /// Unordered and distinct, one type.
    Set(Box<Type>),
    /// By key, one type.
    Map(Box<Type>),
    /// Named attributes, each of its own type.
    Object(BTreeMap<String, Type>),
    /// Ordered, each of its own type.
    Tuple(Vec<Type>),
}

impl Type {
    /// The signature as Terraform writes it.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Bool => json!("bool"),
            Self::Number => json!("number"),
            Self::String => json!("string"),
            Self::Dynamic => json!("dynamic"),
            Self::List(item) => json!(["list", item.to_json()]),
            Self::Set(item) => json!(["set", item.to_json()]),
            Self::Map(item) => json!(["map", item.to_json()]),
            Self::Object(attributes) => {
                let attributes: serde_json::Map<_, _> =
                    attributes.iter().map(|(name, kind)| (name.clone(), kind.to_json())).collect();
                json!(["object", attributes])
            }
            Self::Tuple(items) => json!(["tuple", items.iter().map(Self::to_json).collect::<Vec<_>>()]),
        }
    }

    /// Reads a signature. Optional attribute names, a third element of an object, are accepted and
    /// say nothing about a value's shape.
    ///
    /// # Errors
    /// [`ValueError::Type`] when it names no type, [`ValueError::Depth`] when it nests too deep.
    pub fn from_json(json: &Json) -> Result<Self, ValueError> {
        Self::read(json, 0)
    }

    fn read(json: &Json, depth: usize) -> Result<Self, ValueError> {
        if depth > MAX_DEPTH {
            return Err(ValueError::Depth);
        }
        let unknown = || ValueError::Type(json.to_string());
        if let Some(name) = json.as_str() {
            return match name {
                "bool" => Ok(Self::Bool),
                "number" => Ok(Self::Number),
                "string" => Ok(Self::String),
                "dynamic" => Ok(Self::Dynamic),
                _ => Err(unknown()),
            };
        }
        let parts = json.as_array().ok_or_else(unknown)?;
        let (Some(name), Some(inner)) = (parts.first().and_then(Json::as_str), parts.get(1)) else {
            return Err(unknown());
        };
        let item = || Self::read(inner, depth + 1).map(Box::new);
        match name {
            "list" => Ok(Self::List(item()?)),
            "set" => Ok(Self::Set(item()?)),
            "map" => Ok(Self::Map(item()?)),
            "tuple" => {
                let items = inner.as_array().ok_or_else(unknown)?;
                items.iter().map(|item| Self::read(item, depth + 1)).collect::<Result<_, _>>().map(Self::Tuple)
            }
            "object" => {
                let attributes = inner.as_object().ok_or_else(unknown)?;
                let read = |(name, kind): (&String, &Json)| Ok((name.clone(), Self::read(kind, depth + 1)?));
                attributes.iter().map(read).collect::<Result<_, _>>().map(Self::Object)
            }
            _ => Err(unknown()),
        }
    }
}
