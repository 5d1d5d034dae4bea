//! Values to msgpack. Writing to a vector cannot fail.

use rmp::encode::{self as write, ByteBuf};

use super::{Number, Value};

/// Writes one value as Terraform expects it: sorted keys, exact numbers, its own extension for
/// what is unknown.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = ByteBuf::new();
    put(&mut out, value);
    out.into_vec()
}

fn put(out: &mut ByteBuf, value: &Value) {
    let done = "a byte buffer never refuses a byte";
    match value {
        Value::Null => write::write_nil(out).expect(done),
        Value::Bool(flag) => write::write_bool(out, *flag).expect(done),
        Value::Number(number) => put_number(out, number),
        Value::String(text) => write::write_str(out, text).expect(done),
        Value::Unknown(unknown) => {
            write::write_ext_meta(out, unknown.payload.len() as u32, unknown.code).expect(done);
            out.as_mut_vec().extend_from_slice(&unknown.payload);
        }
        Value::List(items) => {
            write::write_array_len(out, items.len() as u32).expect(done);
            items.iter().for_each(|item| put(out, item));
        }
        Value::Map(entries) => {
            write::write_map_len(out, entries.len() as u32).expect(done);
            for (key, item) in entries {
                write::write_str(out, key).expect(done);
                put(out, item);
            }
        }
        Value::Dynamic(kind, inner) => {
            write::write_array_len(out, 2).expect(done);
            write::write_bin(out, kind.to_json().to_string().as_bytes()).expect(done);
            put(out, inner);
        }
    }
}

/// A whole number of 64 bits is an integer, a fraction that a double holds exactly is a double, and
/// everything else is decimal text.
fn put_number(out: &mut ByteBuf, number: &Number) {
    let done = "a byte buffer never refuses a byte";
    if let Some(whole) = number.to_i64() {
        write::write_sint(out, whole).expect(done);
    } else if let (false, Some(exact)) = (number.is_whole(), number.to_exact_f64()) {
        write::write_f64(out, exact).expect(done);
    } else {
        write::write_str(out, number.as_str()).expect(done);
    }
}
