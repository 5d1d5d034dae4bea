//! Msgpack to values, led by the type the schema gives.

use std::collections::BTreeMap;

use rmp::Marker;

use super::{MAX_DEPTH, Number, Type, Unknown, Value, ValueError};

/// Reads one value of a type; every byte must belong to it.
///
/// # Errors
/// What does not fit the type, and where.
pub fn decode(bytes: &[u8], kind: &Type) -> Result<Value, ValueError> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(kind, 0)?;
    reader.end()?;
    Ok(value)
}

/// Reads an object one level deep: each attribute's value and the bytes it came as. None when the
/// whole object is null.
///
/// # Errors
/// As [`decode`]; an unknown object is an error, since no top-level object ever is.
#[allow(clippy::type_complexity)] // the pair is named by its only reader, `Record`
pub fn fields<'a>(
    bytes: &'a [u8],
    types: &BTreeMap<String, Type>,
) -> Result<Option<BTreeMap<String, (Value, &'a [u8])>>, ValueError> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.peek()? == Marker::Null {
        return Ok(None);
    }
    let count = reader.map_len()?;
    let mut found = BTreeMap::new();
    for _ in 0..count {
        let name = reader.text()?;
        let kind = types.get(&name).ok_or_else(|| ValueError::Attribute(name.clone()))?;
        let start = reader.at;
        let value = reader.value(kind, 1)?;
        found.insert(name, (value, &bytes[start..reader.at]));
    }
    reader.end()?;
    Ok(Some(found))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn end(&self) -> Result<(), ValueError> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            extra => Err(ValueError::Trailing { extra }),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ValueError> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or(ValueError::Truncated { at: self.bytes.len() })?;
        let slice = &self.bytes[self.at..end];
        self.at = end;
        Ok(slice)
    }

    /// An unsigned number of one, two, four or eight bytes.
    fn uint(&mut self, width: usize) -> Result<u64, ValueError> {
        Ok(self.take(width)?.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    fn peek(&self) -> Result<Marker, ValueError> {
        let byte = self.bytes.get(self.at).ok_or(ValueError::Truncated { at: self.bytes.len() })?;
        Ok(Marker::from_u8(*byte))
    }

    fn marker(&mut self) -> Result<Marker, ValueError> {
        let marker = self.peek()?;
        self.at += 1;
        Ok(marker)
    }

    /// The error for the marker just read.
    fn unexpected(&self, expected: &'static str, marker: Marker) -> ValueError {
        ValueError::Kind { expected, found: format!("{marker:?}"), at: self.at - 1 }
    }

    fn value(&mut self, kind: &Type, depth: usize) -> Result<Value, ValueError> {
        if depth > MAX_DEPTH {
            return Err(ValueError::Depth);
        }
        let marker = self.peek()?;
        if marker == Marker::Null {
            self.at += 1;
            return Ok(Value::Null);
        }
        if let Some(unknown) = self.unknown(marker)? {
            return Ok(Value::Unknown(unknown));
        }
        match kind {
            Type::Bool => match self.marker()? {
                Marker::True => Ok(Value::Bool(true)),
                Marker::False => Ok(Value::Bool(false)),
                other => Err(self.unexpected("a bool", other)),
            },
            Type::Number => self.number().map(Value::Number),
            Type::String => self.text().map(Value::String),
            Type::Dynamic => self.dynamic(depth),
            Type::List(item) | Type::Set(item) => {
                let count = self.array_len()?;
                (0..count).map(|_| self.value(item, depth + 1)).collect::<Result<_, _>>().map(Value::List)
            }
            Type::Tuple(items) => {
                let (at, count) = (self.at, self.array_len()?);
                if count != items.len() {
                    let found = format!("{count} items");
                    return Err(ValueError::Kind { expected: "a tuple of its length", found, at });
                }
                items.iter().map(|item| self.value(item, depth + 1)).collect::<Result<_, _>>().map(Value::List)
            }
            Type::Map(item) => {
                let count = self.map_len()?;
                let mut entries = BTreeMap::new();
                for _ in 0..count {
                    let key = self.text()?;
                    entries.insert(key, self.value(item, depth + 1)?);
                }
                Ok(Value::Map(entries))
            }
            Type::Object(attributes) => self.object(attributes, depth),
        }
    }

    /// Attributes in any order; those left out are null.
    fn object(&mut self, attributes: &BTreeMap<String, Type>, depth: usize) -> Result<Value, ValueError> {
        let count = self.map_len()?;
        let mut entries: BTreeMap<_, _> = attributes.keys().map(|name| (name.clone(), Value::Null)).collect();
        for _ in 0..count {
            let name = self.text()?;
            let kind = attributes.get(&name).ok_or_else(|| ValueError::Attribute(name.clone()))?;
            entries.insert(name, self.value(kind, depth + 1)?);
        }
        Ok(Value::Map(entries))
    }

    /// `[type, value]`, the type as JSON in a binary item.
    fn dynamic(&mut self, depth: usize) -> Result<Value, ValueError> {
        let at = self.at;
        let count = self.array_len()?;
        if count != 2 {
            return Err(ValueError::Kind { expected: "a type and a value", found: format!("{count} items"), at });
        }
        let json = match self.marker()? {
            Marker::Bin8 => self.uint(1)?,
            Marker::Bin16 => self.uint(2)?,
            Marker::Bin32 => self.uint(4)?,
            other => return Err(self.unexpected("a type in a binary item", other)),
        };
        let json = self.take(json as usize)?;
        let json = serde_json::from_slice(json).map_err(|fault| ValueError::Type(fault.to_string()))?;
        let kind = Type::from_json(&json)?;
        let inner = self.value(&kind, depth + 1)?;
        Ok(Value::Dynamic(kind, Box::new(inner)))
    }

    /// Any extension is an unknown, whatever its code.
    fn unknown(&mut self, marker: Marker) -> Result<Option<Unknown>, ValueError> {
        let length_bytes = match marker {
            Marker::FixExt1 | Marker::FixExt2 | Marker::FixExt4 | Marker::FixExt8 | Marker::FixExt16 => 0,
            Marker::Ext8 => 1,
            Marker::Ext16 => 2,
            Marker::Ext32 => 4,
            _ => return Ok(None),
        };
        self.at += 1;
        let length = match marker {
            Marker::FixExt1 => 1,
            Marker::FixExt2 => 2,
            Marker::FixExt4 => 4,
            Marker::FixExt8 => 8,
            Marker::FixExt16 => 16,
            _ => self.uint(length_bytes)? as usize,
        };
        let code = self.take(1)?[0] as i8;
        Ok(Some(Unknown { code, payload: self.take(length)?.to_vec() }))
    }

    fn number(&mut self) -> Result<Number, ValueError> {
        match self.peek()? {
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                return Number::parse(&self.text()?);
            }
            _ => {}
        }
        let signed = |value: i64| Ok(Number::from(value));
        match self.marker()? {
            Marker::FixPos(value) => signed(i64::from(value)),
            Marker::FixNeg(value) => signed(i64::from(value)),
            Marker::U8 => self.uint(1).map(Number::from),
            Marker::U16 => self.uint(2).map(Number::from),
            Marker::U32 => self.uint(4).map(Number::from),
            Marker::U64 => self.uint(8).map(Number::from),
            Marker::I8 => signed(i64::from(self.uint(1)? as i8)),
            Marker::I16 => signed(i64::from(self.uint(2)? as i16)),
            Marker::I32 => signed(i64::from(self.uint(4)? as i32)),
            Marker::I64 => signed(self.uint(8)? as i64),
            Marker::F32 => Number::exact(f64::from(f32::from_bits(self.uint(4)? as u32))),
            Marker::F64 => Number::exact(f64::from_bits(self.uint(8)?)),
            other => Err(self.unexpected("a number", other)),
        }
    }

    fn text(&mut self) -> Result<String, ValueError> {
        let at = self.at;
        let length = match self.marker()? {
            Marker::FixStr(length) => u64::from(length),
            Marker::Str8 => self.uint(1)?,
            Marker::Str16 => self.uint(2)?,
            Marker::Str32 => self.uint(4)?,
            other => return Err(self.unexpected("text", other)),
        };
        let bytes = self.take(length as usize)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| ValueError::Utf8 { at })
    }

    fn array_len(&mut self) -> Result<usize, ValueError> {
        let count = match self.marker()? {
            Marker::FixArray(count) => u64::from(count),
            Marker::Array16 => self.uint(2)?,
            Marker::Array32 => self.uint(4)?,
            other => return Err(self.unexpected("a list", other)),
        };
        Ok(count as usize)
    }

    fn map_len(&mut self) -> Result<usize, ValueError> {
        let count = match self.marker()? {
            Marker::FixMap(count) => u64::from(count),
            Marker::Map16 => self.uint(2)?,
            Marker::Map32 => self.uint(4)?,
            other => return Err(self.unexpected("an object", other)),
        };
        Ok(count as usize)
    }
}
