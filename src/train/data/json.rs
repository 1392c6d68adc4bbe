//! JSON text to rows: JSON lines, objects one after the other, an array, or an object that holds one. Borrowed from the
//! text; a row is parsed when it is looked at.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Under these names an object may hold the rows of a file.
const HOLDERS: [&str; 9] =
    ["data", "rows", "train", "examples", "items", "records", "documents", "texts", "instances"];

/// A row and where it begins.
#[derive(Clone, Copy, Debug)]
pub struct JsonRow<'t> {
    pub raw: &'t str,
    line: usize,
    offset: usize,
}

impl JsonRow<'_> {
    /// For messages.
    pub fn place(&self) -> String {
        format!("line {} (byte offset {})", self.line, self.offset)
    }

    /// # Errors
    /// Damage that shows only now, such as a number beyond all bounds.
    pub fn value(&self) -> Result<Value, String> {
        serde_json::from_str(self.raw).map_err(|e| format!("{} is not JSON: {e}", self.place()))
    }
}

/// The numbers that Python's `json` writes although JSON lacks them, replaced by what is there and means nothing: as long,
/// so that offsets stay. Texts are left alone.
pub fn plain_numbers(text: &str) -> Cow<'_, str> {
    const ODD: [(&str, &str); 3] =
        [("NaN", "\"\" "), ("-Infinity", "\"\"       "), ("Infinity", "\"\"      ")];
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let (mut at, mut copied, mut quoted) = (0, 0, false);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'N' | b'I' | b'-' if !quoted => {
                if let Some((odd, plain)) =
                    ODD.iter().find(|(odd, _)| bytes[at..].starts_with(odd.as_bytes()))
                {
                    out.push_str(&text[copied..at]);
                    out.push_str(plain);
                    at += odd.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The rows of JSON text, which went through [`plain_numbers`] before.
///
/// # Errors
/// Text that is not JSON, with the line and byte where it goes wrong.
pub fn rows(text: &str) -> Result<Vec<JsonRow<'_>>, String> {
    let values = values(text)?;
    let raws = match values[..] {
        [only] => match only.trim_start().as_bytes().first() {
            Some(b'[') => list(only).unwrap_or_else(|| vec![only]),
            Some(b'{') => held(only).unwrap_or_else(|| vec![only]),
            _ => vec![only],
        },
        _ => values,
    };
    Ok(placed(text, raws))
}

/// Whether a text of no known form is rows of JSON: objects, one after the other, or an array of objects or texts.
pub fn is_rows(text: &str) -> bool {
    let object = |raw: &str| serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(raw).is_ok();
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {
            let first = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().next();
            matches!(first, Some(Ok(raw)) if object(raw.get()))
        }
        Some(b'[') => rows(text).is_ok_and(|rows| {
            rows.iter().all(|row| row.raw.starts_with('"') || object(row.raw)) && !rows.is_empty()
        }),
        _ => false,
    }
}

/// The values of a text, one after the other.
fn values(text: &str) -> Result<Vec<&str>, String> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut out = Vec::new();
    loop {
        let before = stream.byte_offset();
        match stream.next() {
            None => return Ok(out),
            Some(Ok(raw)) => out.push(raw.get()),
            Some(Err(e)) => {
                let start = before + text[before..].len() - text[before..].trim_start().len();
                let line = text[..start].matches('\n').count() + 1;
                return Err(format!("line {line} (byte offset {start}) is not JSON: {e}"));
            }
        }
    }
}

fn list(raw: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    Some(items.into_iter().map(RawValue::get).collect())
}

/// The rows that an object holds under one of the usual names, if it is not a row itself.
fn held(raw: &str) -> Option<Vec<&str>> {
    let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(raw).ok()?;
    let name = HOLDERS.iter().find(|name| fields.get(**name).is_some_and(|v| v.get().starts_with('[')))?;
    let items = list(fields[*name].get())?;
    let row = |item: &&str| item.starts_with(['{', '"', '[']);
    (!fields.contains_key("text") && items.iter().all(row)).then_some(items)
}

/// Places are found in one walk, since rows come in order.
fn placed<'t>(text: &'t str, raws: Vec<&'t str>) -> Vec<JsonRow<'t>> {
    let (mut line, mut at) = (1, 0);
    let place = |raw: &'t str| {
        let offset = raw.as_ptr() as usize - text.as_ptr() as usize;
        line += text[at..offset].matches('\n').count();
        at = offset;
        JsonRow { raw, line, offset }
    };
    raws.into_iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raws(text: &str) -> Vec<String> {
        rows(text).unwrap().iter().map(|row| row.raw.to_owned()).collect()
    }

    #[test]
    fn rows_are_lines_items_or_what_an_object_holds() {
        assert_eq!(raws("{\"a\": 1}\n\n{\"a\": 2}\r{\"a\": 3}"), ["{\"a\": 1}", "{\"a\": 2}", "{\"a\": 3}"]);
        assert_eq!(raws("[{\"a\": 1},\n \"b\"]"), ["{\"a\": 1}", "\"b\""]);
        assert_eq!(raws("{\n \"a\": 1\n}\n{\"a\": 2}"), ["{\n \"a\": 1\n}", "{\"a\": 2}"]);
        assert_eq!(
            raws("{\"version\": \"1\", \"data\": [{\"a\": 1}, {\"a\": 2}]}"),
            ["{\"a\": 1}", "{\"a\": 2}"]
        );
        let row = "{\"text\": \"t\", \"items\": [\"x\"]}";
        assert_eq!(raws(row), [row], "a row with a list is a row");
        assert_eq!(raws("{\"data\": [1, 2]}"), ["{\"data\": [1, 2]}"]);
        assert_eq!(raws("[[{\"role\": \"user\"}]]\n"), ["[{\"role\": \"user\"}]"]);
        assert!(raws(" \n").is_empty() && raws("[]").is_empty());
        assert!(rows("[\"é\"").unwrap_err().starts_with("line 1 (byte offset 0) is not JSON"));
        let text = "[{\"a\": \"é\"},\n\n {\"a\": 2}]";
        let second = rows(text).unwrap()[1].place();
        assert_eq!(second, format!("line 3 (byte offset {})", text.find(" {").unwrap() + 1));
    }

    #[test]
    fn odd_numbers_are_replaced_outside_of_texts_and_keep_their_length() {
        let text = r#"{"a": NaN, "b": "NaN \" Infinity", "c": [-Infinity, Infinity, -1], "NaN": "\\"}"#;
        let plain = plain_numbers(text);
        assert_eq!(plain.len(), text.len());
        let value: Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"a": "", "b": "NaN \" Infinity", "c": ["", "", -1], "NaN": "\\"})
        );
        assert!(matches!(plain_numbers("{\"a\": 1}"), Cow::Borrowed(_)));
    }
}
