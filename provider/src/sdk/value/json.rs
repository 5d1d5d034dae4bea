//! State as JSON, which is how an older provider's state arrives. Numbers are read from their
//! text, so that none passes through a double.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{MAX_DEPTH, Number, Type, Value, ValueError};

/// Reads JSON state of a type. Attributes that the type no longer has are dropped, those it has
/// gained are null.
///
/// # Errors
/// [`ValueError::Json`] where the state does not fit.
pub fn from_json(json: &[u8], kind: &Type) -> Result<Value, ValueError> {
    let raw = serde_json::from_slice::<&RawValue>(json).map_err(misfit)?;
    read(raw, kind, 0)
}

fn misfit(fault: serde_json::Error) -> ValueError {
    ValueError::Json(fault.to_string())
}

fn read(raw: &RawValue, kind: &Type, depth: usize) -> Result<Value, ValueError> {
    let text = raw.get();
    if depth > MAX_DEPTH {
        return Err(ValueError::Depth);
    }
    if text == "null" {
        return Ok(Value::Null);
    }
    match kind {
        Type::Bool => serde_json::from_str(text).map(Value::Bool).map_err(misfit),
        Type::String => serde_json::from_str(text).map(Value::String).map_err(misfit),
        // Terraform itself writes a number it cannot hold as text.
        Type::Number => Number::parse(text.trim_matches('"')).map(Value::Number),
        Type::List(item) | Type::Set(item) => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(misfit)?;
            items.into_iter().map(|raw| read(raw, item, depth + 1)).collect::<Result<_, _>>().map(Value::List)
        }
        Type::Tuple(kinds) => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(misfit)?;
            if items.len() != kinds.len() {
                return Err(ValueError::Json(format!("{} items in a tuple of {}", items.len(), kinds.len())));
            }
            items
                .into_iter()
                .zip(kinds)
                .map(|(raw, kind)| read(raw, kind, depth + 1))
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        Type::Map(item) => {
            let entries: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(misfit)?;
            let read = |(key, raw)| Ok((key, read(raw, item, depth + 1)?));
            entries.into_iter().map(read).collect::<Result<_, _>>().map(Value::Map)
        }
        Type::Object(attributes) => {
            let entries: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(misfit)?;
            let read = |(name, kind): (&String, &Type)| {
                let value = entries.get(name).map_or(Ok(Value::Null), |raw| read(raw, kind, depth + 1))?;
                Ok((name.clone(), value))
            };
            attributes.iter().map(read).collect::<Result<_, _>>().map(Value::Map)
        }
        Type::Dynamic => {
            let entries: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(misfit)?;
            let (Some(kind), Some(value)) = (entries.get("type"), entries.get("value")) else {
                return Err(ValueError::Json("a dynamic value without its type".to_owned()));
            };
            let kind = Type::from_json(&serde_json::from_str(kind.get()).map_err(misfit)?)?;
            let inner = read(value, &kind, depth + 1)?;
            Ok(Value::Dynamic(kind, Box::new(inner)))
        }
    }
}
