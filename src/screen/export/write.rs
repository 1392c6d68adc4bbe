//! Numbers as the bytes of a file: JSON, CSV, safetensors. Nothing from a model or a text gets into one raw.

use std::collections::HashMap;
use std::fmt::Write as _;

use safetensors::tensor::{Dtype, TensorView, serialize};

use crate::screen::export::numbers::{ColumnValues, NumberColumn, PaneNumbers};
use crate::support::visible::is_unsafe;

/// Indented JSON; what a terminal would act on is escaped.
///
/// # Errors
/// What JSON cannot hold, in a sentence.
pub fn json(numbers: &PaneNumbers) -> Result<String, String> {
    let text = serde_json::to_string_pretty(numbers).map_err(|e| format!("JSON cannot hold it: {e}"))?;
    let mut out = escaped(&text);
    out.push('\n');
    Ok(out)
}

/// JSON text in which every unsafe character of a string is an escape.
pub(super) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A header and one line a row; of the map one line for every query and key that it may read.
///
/// # Errors
/// None that a table could cause; of the library, in a sentence.
pub fn csv(numbers: &PaneNumbers) -> Result<String, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |e: csv::Error| format!("CSV cannot hold it: {e}");
    let Some(frame) = &numbers.map else {
        writer.write_record(numbers.columns.iter().map(|c| c.name)).map_err(failed)?;
        for row in 0..numbers.rows() {
            writer.write_record(numbers.columns.iter().map(|c| cell(&c.values, row))).map_err(failed)?;
        }
        return text(writer);
    };
    writer.write_record(["query", "key", "query_token", "key_token", "value"]).map_err(failed)?;
    let token = |i: usize| {
        let tokens = numbers.columns.iter().find(|c| c.name == "token");
        tokens.map_or_else(String::new, |c| cell(&c.values, i))
    };
    for query in 0..frame.len {
        for key in 0..=query {
            let value = frame.values.get(query * frame.len + key).filter(|v| v.is_finite());
            let value = value.map_or_else(String::new, f32::to_string);
            let record = [query.to_string(), key.to_string(), token(query), token(key), value];
            writer.write_record(record).map_err(failed)?;
        }
    }
    text(writer)
}

fn text(writer: csv::Writer<Vec<u8>>) -> Result<String, String> {
    let bytes = writer.into_inner().map_err(|e| format!("CSV cannot hold it: {e}"))?;
    String::from_utf8(bytes).map_err(|e| format!("CSV cannot hold it: {e}"))
}

/// What a cell holds. A spreadsheet would take a text that begins like a formula for one.
fn cell(values: &ColumnValues, row: usize) -> String {
    fn shown<T: ToString>(all: &[Option<T>], row: usize) -> String {
        all.get(row).and_then(Option::as_ref).map_or_else(String::new, T::to_string)
    }
    match values {
        ColumnValues::Whole(all) => shown(all, row),
        ColumnValues::Single(all) => shown(all, row),
        ColumnValues::Double(all) => shown(all, row),
        ColumnValues::Text(all) => match all.get(row) {
            Some(text) if text.starts_with(['=', '+', '-', '@']) => format!("'{text}"),
            Some(text) => text.clone(),
            None => String::new(),
        },
    }
}

/// A tensor for each column of numbers (I64, −1 where there is none; F32 and F64, NaN where there is none) and `values` for
/// the map; the rest is metadata.
///
/// # Errors
/// Of the library, in a sentence.
pub fn safetensors(numbers: &PaneNumbers) -> Result<Vec<u8>, String> {
    let mut parts: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for NumberColumn { name, values } in &numbers.columns {
        let (kind, bytes) = match values {
            ColumnValues::Whole(all) => {
                let all = all.iter().map(|v| v.and_then(|v| i64::try_from(v).ok()).unwrap_or(-1));
                (Dtype::I64, all.flat_map(i64::to_le_bytes).collect())
            }
            ColumnValues::Single(all) => {
                (Dtype::F32, all.iter().flat_map(|v| v.unwrap_or(f32::NAN).to_le_bytes()).collect())
            }
            ColumnValues::Double(all) => {
                (Dtype::F64, all.iter().flat_map(|v| v.unwrap_or(f64::NAN).to_le_bytes()).collect())
            }
            ColumnValues::Text(_) => continue,
        };
        parts.push((name, kind, vec![numbers.rows()], bytes));
    }
    if let Some(frame) = &numbers.map {
        let bytes = frame.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        parts.push(("values", Dtype::F32, vec![frame.len, frame.len], bytes));
    }
    let mut metadata: HashMap<String, String> =
        numbers.facts.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    metadata.insert("part".to_owned(), numbers.part.name().to_owned());
    metadata.insert("command".to_owned(), numbers.command.clone());
    let failed = |e: safetensors::SafeTensorError| format!("safetensors cannot hold it: {e}");
    let views = parts
        .iter()
        .map(|(name, kind, shape, bytes)| Ok((*name, TensorView::new(*kind, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    serialize(views, Some(metadata)).map_err(failed)
}
