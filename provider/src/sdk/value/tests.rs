use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![Just(Type::Bool), Just(Type::Number), Just(Type::String), Just(Type::Dynamic)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|item| Type::List(Box::new(item))),
            inner.clone().prop_map(|item| Type::Set(Box::new(item))),
            inner.clone().prop_map(|item| Type::Map(Box::new(item))),
            prop::collection::btree_map("[a-z_]{1,6}", inner.clone(), 0..4).prop_map(Type::Object),
            prop::collection::vec(inner, 0..4).prop_map(Type::Tuple),
        ]
    })
}

fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", |value| Number::exact(value).ok()),
        any::<f64>().prop_filter_map("finite", Number::shortest),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?(e[+-]?[0-9]{1,2})?".prop_map(|text| Number::parse(&text).unwrap()),
    ]
}

fn unknowns() -> impl Strategy<Value = Value> {
    let known_codes = prop_oneof![Just(0_i8), Just(12), any::<i8>()];
    (known_codes, prop::collection::vec(any::<u8>(), 1..300))
        .prop_map(|(code, payload)| Value::Unknown(Unknown { code, payload }))
}

/// Any value of a type: now and then null or unknown at any level.
fn values(kind: Type) -> BoxedStrategy<Value> {
    let known: BoxedStrategy<Value> = match kind {
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Number => numbers().prop_map(Value::Number).boxed(),
        Type::String => ".{0,300}".prop_map(Value::String).boxed(),
        Type::Dynamic => prop_oneof![Just(Type::Number), Just(Type::List(Box::new(Type::String)))]
            .prop_flat_map(|kind| (Just(kind.clone()), values(kind)))
            .prop_map(|(kind, inner)| Value::Dynamic(kind, Box::new(inner)))
            .boxed(),
        Type::List(item) | Type::Set(item) => prop::collection::vec(values(*item), 0..20).prop_map(Value::List).boxed(),
        Type::Map(item) => prop::collection::btree_map(".{0,8}", values(*item), 0..20).prop_map(Value::Map).boxed(),
        Type::Tuple(items) => items.into_iter().map(values).collect::<Vec<_>>().prop_map(Value::List).boxed(),
        Type::Object(attributes) => {
            let (names, kinds): (Vec<_>, Vec<_>) = attributes.into_iter().unzip();
            let items = kinds.into_iter().map(values).collect::<Vec<_>>();
            items.prop_map(move |items| Value::Map(names.iter().cloned().zip(items).collect())).boxed()
        }
    };
    prop_oneof![8 => known, 1 => Just(Value::Null), 1 => unknowns()].boxed()
}

/// What an independent reader makes of our bytes.
fn seen_by_another(bytes: &[u8]) -> rmpv::Value {
    let mut rest = bytes;
    let value = rmpv::decode::read_value(&mut rest).unwrap();
    assert!(rest.is_empty());
    value
}

proptest! {
    #[test]
    fn a_value_survives_the_wire((kind, value) in types().prop_flat_map(|kind| (Just(kind.clone()), values(kind)))) {
        let bytes = encode(&value);
        prop_assert_eq!(decode(&bytes, &kind), Ok(value.clone()));
        let mut again = Vec::new();
        rmpv::encode::write_value(&mut again, &seen_by_another(&bytes)).unwrap();
        prop_assert_eq!(decode(&again, &kind), Ok(value));
    }

    #[test]
    fn a_type_survives_its_signature(kind in types()) {
        prop_assert_eq!(Type::from_json(&kind.to_json()), Ok(kind));
    }

    #[test]
    fn no_bytes_break_the_reader(kind in types(), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&bytes, &kind);
        let _ = fields(&bytes, &BTreeMap::from([("a".to_owned(), kind)]));
    }

    #[test]
    fn a_cut_value_is_never_read(value in values(Type::List(Box::new(Type::String))), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&value);
        let cut = cut.index(bytes.len());
        prop_assert!(decode(&bytes[..cut], &Type::List(Box::new(Type::String))).is_err());
    }

    #[test]
    fn equal_numbers_have_equal_text(number in numbers()) {
        prop_assert_eq!(Number::parse(number.as_str()), Ok(number.clone()));
        let text = number.as_str();
        prop_assert!(!text.starts_with("00") && (!text.contains('.') || !text.ends_with('0')), "{}", text);
    }

    #[test]
    fn a_double_is_written_out_in_full(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        let number = Number::exact(value).unwrap();
        prop_assert_eq!(number.to_f64(), value);
        prop_assert_eq!(number.to_exact_f64(), Some(value));
    }
}

#[test]
fn numbers_take_the_form_terraform_gives_them() {
    let as_other = |text: &str| seen_by_another(&encode(&Value::Number(Number::parse(text).unwrap())));
    for text in ["0.95", "0.1", "100000000000000000000", "12345678901234567890", "0.30000000000000000001"] {
        assert_eq!(as_other(text), rmpv::Value::from(text));
    }
    assert_eq!(as_other("0.5"), rmpv::Value::from(0.5));
    assert_eq!(as_other("-2.250"), rmpv::Value::from(-2.25));
    assert_eq!(as_other("24"), rmpv::Value::from(24));
    assert_eq!(as_other("1e3"), rmpv::Value::from(1_000));
    assert_eq!(as_other("-0.0"), rmpv::Value::from(0));
    assert_eq!(as_other("9223372036854775807"), rmpv::Value::from(i64::MAX));
}

#[test]
fn what_is_no_number_is_refused() {
    for text in ["", "-", ".5", "1.2.3", "0x10", "1e", "1e99999", "NaN", "inf", " 1", "1_000", "--1"] {
        assert!(Number::parse(text).is_err(), "{text:?}");
    }
    assert!(Number::exact(f64::NAN).is_err());
    assert_eq!(Value::float(f64::INFINITY), Value::Null);
}

#[test]
fn every_extension_is_an_unknown_and_leaves_as_it_came() {
    for bytes in [&b"\xd4\x00\x00"[..], b"\xc7\x03\x0c\x81\x01\xc2", b"\xd5\x63ab", b"\xd8\x0c0123456789abcdef"] {
        let value = decode(bytes, &Type::String).unwrap();
        assert!(value.has_unknown());
        assert_eq!(encode(&value), bytes);
    }
    assert_eq!(encode(&Value::Unknown(Unknown::not_null())), b"\xc7\x03\x0c\x81\x01\xc2");
}

#[test]
fn an_object_is_complete_and_has_no_strangers() {
    let kind = Type::Object(BTreeMap::from([("a".to_owned(), Type::Bool), ("b".to_owned(), Type::Number)]));
    let value = decode(b"\x81\xa1b\x07", &kind).unwrap();
    assert_eq!((value.get("a"), value.get("b")), (&Value::Null, &Value::int(7)));
    assert_eq!(decode(b"\x81\xa1c\x07", &kind), Err(ValueError::Attribute("c".to_owned())));
    assert_eq!(decode(b"\x80\x00", &kind), Err(ValueError::Trailing { extra: 1 }));
}

#[test]
fn nesting_has_a_floor() {
    let mut json = serde_json::json!("string");
    for _ in 0..1_000 {
        json = serde_json::json!(["list", json]);
    }
    assert_eq!(Type::from_json(&json), Err(ValueError::Depth));
    // A dynamic value may bring a dynamic one along, and so on.
    let bytes = [0x92, 0xc4, 9].iter().chain(b"\"dynamic\"").copied().collect::<Vec<_>>().repeat(10_000);
    assert_eq!(decode(&bytes, &Type::Dynamic), Err(ValueError::Depth));
}

#[test]
fn json_state_keeps_every_digit_and_fits_today() {
    let kind = Type::Object(BTreeMap::from([
        ("count".to_owned(), Type::Number),
        ("share".to_owned(), Type::Number),
        ("tags".to_owned(), Type::Map(Box::new(Type::String))),
        ("gained".to_owned(), Type::Bool),
    ]));
    let json = br#"{"count": 12345678901234567890123, "share": 9.5e-1, "tags": {"a": "\u00e9"}, "lost": [1]}"#;
    let value = from_json(json, &kind).unwrap();
    assert_eq!(value.get("count").as_number().unwrap().as_str(), "12345678901234567890123");
    assert_eq!(value.get("share").as_number().unwrap().as_str(), "0.95");
    assert_eq!(value.get("tags").get("a").as_str(), Some("é"));
    assert_eq!((value.get("gained"), value.get("lost")), (&Value::Null, &Value::Null));
    assert!(from_json(br#"{"count": true}"#, &kind).is_err());
    assert!(from_json(b"{", &kind).is_err());
    let dynamic = from_json(br#"{"type": ["list", "number"], "value": [0.1]}"#, &Type::Dynamic).unwrap();
    let expected = Value::List(vec![Value::Number(Number::parse("0.1").unwrap())]);
    assert_eq!(dynamic, Value::Dynamic(Type::List(Box::new(Type::Number)), Box::new(expected)));
}
