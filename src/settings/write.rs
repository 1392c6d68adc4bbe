//! What is generated from the declarations: `config.toml` with its comments, the reference as Markdown, the JSON schema
//! of a settings file; and how a generated block is put into a document.

use std::fmt::Write;

use serde_json::{Map, json};

use super::declare::Row;
use super::kind::{Kind, names, number};
use super::section::AllSettings;

/// A complete `config.toml` under `header`: every setting with its default and its documentation.
pub fn template<C: AllSettings>(config: &C, header: &str) -> String {
    let mut out = header.to_owned();
    // Writing to a String cannot fail.
    for (table, doc) in config.tables() {
        let _ = write!(out, "\n# {doc}.\n[{table}]\n");
        for row in config.rows().into_iter().filter(|row| row.table() == table) {
            comment(&mut out, row);
            let value = config.get(row.path).map(|value| value.to_string()).unwrap_or_default();
            let _ = writeln!(out, "{} = {value}", row.key());
        }
    }
    out
}

/// What stands above a key.
fn comment(out: &mut String, row: &Row) {
    let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
    let range = match row.kind {
        Kind::Float { min, max, .. } => format!(" ({} to {}{unit})", number(min), number(max)),
        Kind::Int { min, max, .. } => format!(" ({min} to {max}{unit})"),
        Kind::IntOr { word, min, max, .. } => format!(" (\"{word}\", or {min} to {max}{unit})"),
        _ => String::new(),
    };
    let choices = row.choices();
    let told = choices.iter().any(|choice| !choice.doc.is_empty());
    let end = if told { ":" } else { "." };
    let _ = writeln!(out, "# {}{range}{end}", row.doc);
    if told {
        let width = choices.iter().map(|choice| choice.name.len()).max().unwrap_or(0);
        for choice in choices {
            let _ = writeln!(out, "{}", format!("#   {:<width$}  {}", choice.name, choice.doc).trim_end());
        }
    } else if !choices.is_empty() {
        let _ = writeln!(out, "# {}", names(choices).join(" | "));
    }
    for note in row.notes {
        let _ = writeln!(out, "#{note}");
    }
}

/// One Markdown table per table of `config.toml`: key, type and range, default, doc.
pub fn reference<C: AllSettings>(config: &C) -> String {
    let mut out = String::new();
    for (table, doc) in config.tables() {
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = writeln!(out, "{gap}**`[{table}]`** {}\n", cell(doc));
        let rows: Vec<_> = config.rows().into_iter().filter(|row| row.table() == table).collect();
        if rows.is_empty() {
            out.push_str("| key | value |\n|---|---|\n| `keys.ACTION` | keys, e.g. `[\"ctrl-r\"]` |\n");
            continue;
        }
        out.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for row in rows {
            out.push_str(&reference_row(row, config));
        }
    }
    out
}

fn reference_row<C: AllSettings>(row: &Row, config: &C) -> String {
    let unit = if row.unit.is_empty() { String::new() } else { format!(" ({})", row.unit) };
    let value = match row.kind {
        Kind::Choice(choices) => {
            names(choices).iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        }
        kind => cell(&kind.describe()),
    };
    let default = config.get(row.path).map(|value| value.to_string()).unwrap_or_default();
    format!("| `{}` | {value}{unit} | `{}` | {} |\n", row.path, cell(&default), cell(row.doc))
}

/// JSON Schema (2020-12) of a settings file, for editors.
pub fn schema<C: AllSettings>(config: &C) -> serde_json::Value {
    let mut tables = Map::new();
    for section in config.sections() {
        let table = tables.entry(section.table()).or_insert_with(
            || json!({ "type": "object", "description": section.doc(), "additionalProperties": false }),
        );
        match section.open() {
            Some(kind) => table["additionalProperties"] = kind_schema(&kind),
            None => {
                for row in section.rows() {
                    let mut schema = kind_schema(&row.kind);
                    schema["description"] = row.doc.into();
                    schema["default"] = config.get(row.path).map_or(serde_json::Value::Null, |v| v.to_json());
                    table["properties"][row.key()] = schema;
                }
            }
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of maskscope",
        "type": "object",
        "additionalProperties": false,
        "properties": tables,
    })
}

fn kind_schema(kind: &Kind) -> serde_json::Value {
    match *kind {
        Kind::Float { min, max, .. } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Int { min, max, .. } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::IntOr { word, min, max, .. } => {
            json!({ "anyOf": [{ "const": word }, { "type": "integer", "minimum": min, "maximum": max }] })
        }
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Choice(choices) => {
            let names =
                choices.iter().map(|choice| json!({ "const": choice.name, "description": choice.doc }));
            json!({ "oneOf": names.collect::<Vec<_>>() })
        }
        Kind::Terms { .. } | Kind::Text | Kind::Path => json!({ "type": "string" }),
        Kind::Ints { min, max } => {
            json!({ "type": "array", "items": { "type": "integer", "minimum": min, "maximum": max } })
        }
        Kind::Texts => json!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        }),
    }
}

/// What would end a cell or start a tag, escaped.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

/// `document` with everything between `<!-- name:begin -->` and `<!-- name:end -->` replaced by `block`.
/// `None` where the markers are missing, doubled or the wrong way round.
pub fn splice(document: &str, name: &str, block: &str) -> Option<String> {
    let begin = format!("<!-- {name}:begin -->");
    let end = format!("<!-- {name}:end -->");
    if document.matches(&begin).count() != 1 || document.matches(&end).count() != 1 {
        return None;
    }
    let start = document.find(&begin)? + begin.len();
    let stop = document.find(&end)?;
    let before = document.get(..start)?;
    let after = document.get(stop..).filter(|_| stop >= start)?;
    Some(format!("{before}\n{}\n{after}", block.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splice_replaces_what_is_between_the_markers() {
        let document = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nz\n";
        let new = splice(document, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x:begin -->\nnew\n<!-- x:end -->\nz\n");
        assert_eq!(splice(&new, "x", "new"), Some(new.clone()));
        assert_eq!(splice(document, "y", "new"), None);
        assert_eq!(splice("<!-- x:end --><!-- x:begin -->", "x", "new"), None);
        assert_eq!(splice(&format!("{document}{document}"), "x", "new"), None);
    }
}
