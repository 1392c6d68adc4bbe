//! A `config.json` read field by field, and what every family refuses in one. Sizes are never taken from defaults.

use serde_json::{Map, Value};

/// The fields of a `config.json`.
pub type Fields = Map<String, Value>;

/// Long texts from a file are cut in messages.
const SHOWN: usize = 60;

/// The fields, or what the file is instead, in words that follow its name.
pub fn fields(bytes: &[u8]) -> Result<Fields, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii();
    if bytes.is_empty() {
        return Err("empty".to_owned());
    }
    if bytes.starts_with(b"version https://git-lfs") {
        return Err("a Git LFS pointer, not the file itself: the clone was made without Git LFS".to_owned());
    }
    if bytes.starts_with(b"<") {
        return Err("an HTML or XML page, not a configuration".to_owned());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(format!("{} and not an object with fields", kind_of(&other))),
        Err(e) => Err(format!("not valid JSON: {e}")),
    }
}

/// What kind of JSON value this is.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A value as it appears in a message.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A field that is there and not null.
pub(super) fn given<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

pub(super) fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    given(fields, name).and_then(Value::as_str)
}

/// What a file says, whatever its family, that no network of this program can do; in words that follow the file's name.
pub fn refused(fields: &Fields, label: &str) -> Option<String> {
    let custom = given(fields, "auto_map").and_then(Value::as_object).and_then(|map| {
        map.iter()
            .find(|(part, _)| part.starts_with("AutoModel") || *part == "AutoConfig")
            .map(|(_, code)| code)
    });
    if let Some(code) = custom {
        return Some(format!(
            "auto_map points to custom code ({}), so this is not a plain {label}",
            shown(code)
        ));
    }
    if given(fields, "add_cross_attention").and_then(Value::as_bool) == Some(true) {
        return Some("add_cross_attention is true: a decoder without its encoder".to_owned());
    }
    if given(fields, "pruned_heads").and_then(Value::as_object).is_some_and(|heads| !heads.is_empty()) {
        return Some("pruned_heads is not empty: models with pruned heads are not supported".to_owned());
    }
    given(fields, "quantization_config").map(|how| {
        let method = how.get("quant_method").and_then(Value::as_str).unwrap_or("an unnamed method");
        format!(
            "quantization_config: the weights are quantised by {method}; only f32, f16 and bf16 are supported"
        )
    })
}

/// Heads that share keys and values, which a file may have under any `model_type`.
pub fn shared_heads(fields: &Fields) -> Option<String> {
    let kind = text(fields, "attention_head_type").filter(|kind| *kind != "multihead")?;
    Some(format!("attention_head_type is {kind:?}: heads that share keys and values are not supported"))
}

/// A whole number, also where it is written as `64.0`.
pub(super) fn whole(name: &str, value: &Value) -> Result<usize, String> {
    let float = || value.as_f64().filter(|x| *x >= 0.0 && x.fract() == 0.0 && *x < 1e15).map(|x| x as usize);
    (value.as_u64().and_then(|n| usize::try_from(n).ok()))
        .or_else(float)
        .ok_or_else(|| format!("{name} is {}, not a whole number", shown(value)))
}

/// A size that must be there, under the first of its names that the file has; the last one is named where it has none.
pub(super) fn size(fields: &Fields, names: &[&str]) -> Result<usize, String> {
    let found = names.iter().find_map(|name| Some((*name, given(fields, name)?)));
    let last = names.last().copied().unwrap_or_default();
    let (name, value) = found.ok_or_else(|| match fields.get(last) {
        Some(_) => format!("{last} is null"),
        None => format!("{last} is missing"),
    })?;
    whole(name, value)
}

pub(super) fn switch(fields: &Fields, name: &str, default: bool) -> Result<bool, String> {
    match given(fields, name) {
        None => Ok(default),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::Number(n)) if n.as_f64() == Some(0.0) => Ok(false),
        Some(Value::Number(n)) if n.as_f64() == Some(1.0) => Ok(true),
        Some(other) => Err(format!("{name} is {}, not true or false", shown(other))),
    }
}

pub(super) fn number(fields: &Fields, name: &str, default: f64) -> Result<f64, String> {
    let Some(value) = given(fields, name) else { return Ok(default) };
    value.as_f64().ok_or_else(|| format!("{name} is {}, not a number", shown(value)))
}

/// The ids in a token field: a number or a list of them; what is not an id is left out.
pub fn token_ids(value: Option<&Value>) -> Vec<u32> {
    let id = |value: &Value| whole("", value).ok().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(id).collect(),
        Some(one) => id(one).into_iter().collect(),
        None => Vec::new(),
    }
}
