//! Computed numbers as text in JSON files: Rust's shortest form comes back to the last bit, which a JSON number need
//! not.

use serde::{Deserialize, Deserializer, Serializer};

pub fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{x:?}"))
}

pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
}

/// The same for a number that may be missing.
pub mod option {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(x: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
        x.map(|x| format!("{x:?}")).serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
        Option::<String>::deserialize(d)?.map(|x| x.parse().map_err(serde::de::Error::custom)).transpose()
    }
}

/// The same for a list of numbers.
pub mod list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(list: &[f64], s: S) -> Result<S::Ok, S::Error> {
        list.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().serialize(s)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<f64>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        texts.iter().map(|x| x.parse().map_err(serde::de::Error::custom)).collect()
    }
}

/// A JSON value with its broken numbers as text, so that they come back exactly; see [`unpack`].
pub fn pack(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(n) if n.is_f64() => Value::String(format!("f64:{:?}", n.as_f64().unwrap_or(0.0))),
        Value::Array(list) => list.into_iter().map(pack).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, pack(v))).collect(),
        other => other,
    }
}

/// The reverse of [`pack`].
pub fn unpack(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => match text.strip_prefix("f64:").and_then(|n| n.parse::<f64>().ok()) {
            Some(number) => Value::from(number),
            None => Value::String(text),
        },
        Value::Array(list) => list.into_iter().map(unpack).collect(),
        Value::Object(map) => map.into_iter().map(|(k, v)| (k, unpack(v))).collect(),
        other => other,
    }
}
