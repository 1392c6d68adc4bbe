//! The types that a setting may have, and what each one takes.

use std::path::PathBuf;

use super::kind::Kind;
use super::value::Value;

/// A type that a setting may have. Written once per type; the bounds are the setting's own.
pub trait Setting: Sized {
    /// What it takes, before a declaration narrows it.
    const KIND: Kind;
    /// As it is written, under the declared `kind`.
    fn to_value(&self, kind: &Kind) -> Value;
    /// From a value that the declared kind has checked.
    ///
    /// # Errors
    /// What is wrong with it; the sentence follows "cannot be used:".
    fn from_value(value: Value) -> Result<Self, String>;
}

/// A value of another type than the kind checks for; no declaration makes this possible.
fn other(value: &Value) -> String {
    format!("not of its type: {value}")
}

impl Setting for bool {
    const KIND: Kind = Kind::Bool;
    fn to_value(&self, _: &Kind) -> Value {
        Value::Bool(*self)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        if let Value::Bool(b) = value { Ok(b) } else { Err(other(&value)) }
    }
}

impl Setting for f64 {
    const KIND: Kind = Kind::Float { min: f64::MIN, max: f64::MAX, step: 1.0, fine_step: 0.1, log: false };
    fn to_value(&self, _: &Kind) -> Value {
        Value::Float(*self)
    }
    fn from_value(value: Value) -> Result<Self, String> {
        if let Value::Float(x) = value { Ok(x) } else { Err(other(&value)) }
    }
}

macro_rules! whole_number {
    ($($ty:ty),+) => {$(
        impl Setting for $ty {
            const KIND: Kind = Kind::Int { min: 0, max: i64::MAX, step: 1 };
            fn to_value(&self, _: &Kind) -> Value {
                Value::Int(i64::try_from(*self).unwrap_or(i64::MAX))
            }
            fn from_value(value: Value) -> Result<Self, String> {
                let Value::Int(n) = value else { return Err(other(&value)) };
                n.try_into().map_err(|_| other(&value))
            }
        }
    )+};
}
whole_number!(usize, u64, u32);

/// A whole number, or the declared word for none.
impl Setting for Option<usize> {
    const KIND: Kind = Kind::IntOr { word: "auto", min: 0, max: i64::MAX, step: 1 };
    fn to_value(&self, kind: &Kind) -> Value {
        match (self, kind) {
            (Some(n), _) => n.to_value(kind),
            (None, Kind::IntOr { word, .. }) => Value::Text((*word).to_owned()),
            (None, _) => Value::Text("auto".to_owned()),
        }
    }
    fn from_value(value: Value) -> Result<Self, String> {
        if matches!(value, Value::Text(_)) { Ok(None) } else { usize::from_value(value).map(Some) }
    }
}

impl Setting for String {
    const KIND: Kind = Kind::Text;
    fn to_value(&self, _: &Kind) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        if let Value::Text(text) = value { Ok(text) } else { Err(other(&value)) }
    }
}

/// An empty text is `None`.
impl Setting for Option<String> {
    const KIND: Kind = Kind::Text;
    fn to_value(&self, _: &Kind) -> Value {
        Value::Text(self.clone().unwrap_or_default())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        String::from_value(value).map(|text| (!text.is_empty()).then_some(text))
    }
}

/// An empty text is `None`.
impl Setting for Option<PathBuf> {
    const KIND: Kind = Kind::Path;
    fn to_value(&self, _: &Kind) -> Value {
        Value::Text(self.as_ref().map(|path| path.display().to_string()).unwrap_or_default())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        String::from_value(value).map(|text| (!text.is_empty()).then(|| PathBuf::from(text)))
    }
}

impl Setting for Vec<usize> {
    const KIND: Kind = Kind::Ints { min: 0, max: i64::MAX };
    fn to_value(&self, _: &Kind) -> Value {
        Value::Ints(self.iter().map(|n| i64::try_from(*n).unwrap_or(i64::MAX)).collect())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        let Value::Ints(list) = value else { return Err(other(&value)) };
        list.into_iter().map(|n| usize::from_value(Value::Int(n))).collect()
    }
}

/// Lets a type that reads and writes itself as text be a setting of a kind.
macro_rules! text_setting {
    ($ty:ty, $kind:expr) => {
        impl $crate::settings::Setting for $ty {
            const KIND: $crate::settings::Kind = $kind;
            fn to_value(&self, _: &$crate::settings::Kind) -> $crate::settings::Value {
                $crate::settings::Value::Text(self.to_string())
            }
            fn from_value(value: $crate::settings::Value) -> Result<Self, String> {
                value.to_string_plain().parse()
            }
        }
    };
}
pub(crate) use text_setting;
