//! One value of a setting, between its field and whatever is written or typed.

use std::fmt;

use toml_edit::Item;

use crate::support::visible::shortened;

/// A value in one of the types that settings use.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Value {
    /// Reads a TOML item; the error says in a few words what was found instead.
    pub(super) fn from_item(item: &Item) -> Result<Value, String> {
        match item {
            Item::Value(value) => Self::from_edit(value),
            Item::Table(_) => Err("a table".to_owned()),
            Item::ArrayOfTables(_) => Err("an array of tables".to_owned()),
            Item::None => Err("nothing".to_owned()),
        }
    }

    fn from_edit(value: &toml_edit::Value) -> Result<Value, String> {
        use toml_edit::Value as Edit;
        match value {
            Edit::String(s) => Ok(Value::Text(s.value().clone())),
            Edit::Integer(n) => Ok(Value::Int(*n.value())),
            Edit::Float(x) => Ok(Value::Float(*x.value())),
            Edit::Boolean(b) => Ok(Value::Bool(*b.value())),
            Edit::Datetime(d) => Err(format!("the date {}", d.value())),
            Edit::InlineTable(_) => Err("a table".to_owned()),
            Edit::Array(array) => {
                if array.iter().all(toml_edit::Value::is_integer) {
                    Ok(Value::Ints(array.iter().filter_map(toml_edit::Value::as_integer).collect()))
                } else if array.iter().all(toml_edit::Value::is_str) {
                    let texts = array.iter().filter_map(toml_edit::Value::as_str);
                    Ok(Value::Texts(texts.map(str::to_owned).collect()))
                } else {
                    Err("a list of mixed values".to_owned())
                }
            }
        }
    }

    /// As a value that can be put into a TOML document being edited.
    pub(super) fn to_edit(&self) -> toml_edit::Value {
        match self {
            Value::Bool(b) => (*b).into(),
            Value::Int(n) => (*n).into(),
            Value::Float(x) => float(*x),
            Value::Text(s) => s.as_str().into(),
            Value::Ints(ns) => ns.iter().copied().collect(),
            Value::Texts(texts) => texts.iter().map(String::as_str).collect(),
        }
    }

    /// As a value of a JSON document.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Bool(b) => (*b).into(),
            Value::Int(n) => (*n).into(),
            Value::Float(x) => (*x).into(),
            Value::Text(s) => s.as_str().into(),
            Value::Ints(ns) => ns.clone().into(),
            Value::Texts(texts) => texts.clone().into(),
        }
    }

    /// The value without TOML's quotes around a text.
    pub fn to_string_plain(&self) -> String {
        if let Value::Text(text) = self { text.clone() } else { self.to_string() }
    }
}

/// Writes small floats as `3e-4`, not as a row of zeros.
fn float(x: f64) -> toml_edit::Value {
    let text = super::kind::number(x);
    let text = if text.contains(['.', 'e']) || !x.is_finite() { text } else { format!("{text}.0") };
    text.parse().unwrap_or_else(|_| x.into())
}

/// Text from outside, made fit for a one-line message.
pub(super) fn shown(text: &str) -> String {
    shortened(text, 60)
}

/// As TOML would write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_edit().decorated("", "").to_string().trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_toml_and_reads_back() {
        let values = [
            Value::Bool(true),
            Value::Int(-3),
            Value::Float(0.7),
            Value::Float(1.0),
            Value::Float(3e-4),
            Value::Float(1e-8),
            Value::Text("a \"quoted\"\nline\u{1b}[31m".to_owned()),
            Value::Ints(vec![0, 3]),
            Value::Texts(vec!["q".to_owned(), "ctrl-c".to_owned()]),
        ];
        for value in values {
            let text = value.to_string();
            assert!(!text.contains('\u{1b}'), "{text:?}");
            let document: toml_edit::DocumentMut = format!("x = {text}").parse().unwrap();
            assert_eq!(Value::from_item(&document["x"]), Ok(value));
        }
    }
}
