//! What a Prometheus server answers, as JSON.

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, de};

/// One series of an answer.
#[derive(Debug, Deserialize)]
pub(super) struct Series {
    /// Its labels.
    #[serde(default, deserialize_with = "labels")]
    pub(super) metric: Vec<(String, String)>,
    /// Milliseconds since the epoch and value, oldest first; none for a native histogram.
    #[serde(default, deserialize_with = "samples")]
    pub(super) values: Vec<(i64, f64)>,
}

#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) data: Option<Data>,
    pub(super) error: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Data {
    #[serde(rename = "resultType")]
    pub(super) result_type: String,
    #[serde(default)]
    pub(super) result: Vec<Series>,
}

fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
    std::collections::BTreeMap::<String, String>::deserialize(from).map(|labels| labels.into_iter().collect())
}

/// `[[seconds, "value"], …]`, without a text of its own for each value.
fn samples<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(i64, f64)>, D::Error> {
    struct Samples;
    impl<'de> Visitor<'de> for Samples {
        type Value = Vec<(i64, f64)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("samples as [seconds, \"value\"]")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut samples = Vec::new();
            while let Some((seconds, text)) = from.next_element::<(f64, &str)>()? {
                let value = text.parse().map_err(|_| de::Error::custom(format!("{text:?} is no number")))?;
                samples.push(((seconds * 1e3).round() as i64, value));
            }
            Ok(samples)
        }
    }
    from.deserialize_seq(Samples)
}
