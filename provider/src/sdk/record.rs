//! A configuration or a state: an object whose attributes remember the bytes they came as.

use std::collections::BTreeMap;

use super::schema::Schema;
use super::value::{self, Type, Value, ValueError};

/// One object of a schema. An attribute that nobody changed leaves as the bytes it arrived in,
/// whatever our own way of writing its value is.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    cells: BTreeMap<String, Cell>,
}

#[derive(Clone, Debug, PartialEq)]
struct Cell {
    value: Value,
    bytes: Vec<u8>,
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        Self { bytes: value::encode(&value), value }
    }
}

static NULL: Value = Value::Null;

impl Record {
    /// Every attribute of the schema, all null.
    pub fn empty(schema: &Schema) -> Self {
        let cells = schema.attributes.iter().map(|attribute| (attribute.name.to_owned(), Cell::from(Value::Null)));
        Self { cells: cells.collect() }
    }

    /// Reads one from the wire; none when it is null. Attributes left out are null.
    ///
    /// # Errors
    /// What in the bytes does not fit the schema.
    pub fn decode(bytes: &[u8], schema: &Schema) -> Result<Option<Self>, ValueError> {
        let Some(fields) = value::fields(bytes, &schema.types())? else { return Ok(None) };
        let mut record = Self::empty(schema);
        for (name, (value, bytes)) in fields {
            record.cells.insert(name, Cell { value, bytes: bytes.to_vec() });
        }
        Ok(Some(record))
    }

    /// Reads one from JSON state of an older or equal schema version.
    ///
    /// # Errors
    /// What in the state does not fit the schema.
    pub fn from_json(json: &[u8], schema: &Schema) -> Result<Option<Self>, ValueError> {
        match value::from_json(json, &Type::Object(schema.types()))? {
            Value::Map(entries) => {
                Ok(Some(Self { cells: entries.into_iter().map(|(name, value)| (name, value.into())).collect() }))
            }
            _ => Ok(None),
        }
    }

    /// Writes it for the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = rmp::encode::ByteBuf::new();
        let done = "a byte buffer never refuses a byte";
        rmp::encode::write_map_len(&mut out, self.cells.len() as u32).expect(done);
        for (name, cell) in &self.cells {
            rmp::encode::write_str(&mut out, name).expect(done);
            out.as_mut_vec().extend_from_slice(&cell.bytes);
        }
        out.into_vec()
    }

    /// One attribute; null where there is none.
    pub fn get(&self, name: &str) -> &Value {
        self.cells.get(name).map_or(&NULL, |cell| &cell.value)
    }

    /// Gives an attribute a new value.
    pub fn set(&mut self, name: &str, value: Value) {
        self.cells.insert(name.to_owned(), value.into());
    }

    /// Takes an attribute from another record, bytes and all.
    pub fn keep(&mut self, name: &str, from: &Record) {
        if let Some(cell) = from.cells.get(name) {
            self.cells.insert(name.to_owned(), cell.clone());
        }
    }
}
