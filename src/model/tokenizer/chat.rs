//! The chat template that came with a tokenizer, as text; the reader of chats renders it.

use serde_json::{Map, Value};

use super::small_files::SmallFiles;
use crate::model::error::ModelError;

/// The template in force: `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`, which is a text or a
/// list of named ones (then the one called `default`, or the only one), else `chat_template.json`.
///
/// # Errors
/// A file that cannot be read as text.
pub fn template(files: &SmallFiles, config: &Map<String, Value>) -> Result<Option<String>, ModelError> {
    if let Some(text) = files.text("chat_template.jinja")? {
        return Ok(Some(text.to_owned()));
    }
    let stored = files.fields("chat_template.json")?;
    Ok([config, &stored].into_iter().find_map(|fields| named(fields.get("chat_template")?)))
}

fn named(value: &Value) -> Option<String> {
    let text = |of: &Value| of.as_str().map(str::to_owned);
    match value {
        Value::Array(all) => {
            let default = all.iter().find(|one| one.get("name").and_then(Value::as_str) == Some("default"));
            let only = (all.len() == 1).then(|| all.first()).flatten();
            text(default.or(only)?.get("template")?)
        }
        Value::Object(all) => text(all.get("default")?),
        other => text(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_is_a_text_or_one_of_a_list() {
        assert_eq!(named(&json!("a")).as_deref(), Some("a"));
        let list = json!([{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]);
        assert_eq!(named(&list).as_deref(), Some("d"));
        assert_eq!(named(&json!([{"name": "x", "template": "only"}])).as_deref(), Some("only"));
        assert_eq!(named(&json!([{"name": "x", "template": "1"}, {"name": "y", "template": "2"}])), None);
        assert_eq!(named(&json!(null)), None);
    }
}
