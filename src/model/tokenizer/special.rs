//! What the small files say of a tokenizer: its special tokens by role, the tokens added to it, the class that reads it,
//! and the ids that end a text.
//!
//! The rules are those of transformers' `from_pretrained`: `added_tokens_decoder` in `tokenizer_config.json` settles
//! everything; without it `special_tokens_map.json` outweighs `tokenizer_config.json`, and `added_tokens.json` adds.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::small_files::SmallFiles;
use crate::model::error::ModelError;

/// GPT-2's end of a text, where nothing names another one.
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Roles in the order in which transformers adds their tokens.
const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

const CONFIG: &str = "tokenizer_config.json";

/// What the files beside a tokenizer say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Described {
    /// `tokenizer_config.json`.
    pub config: Map<String, Value>,
    /// `tokenizer_class`, `Fast` taken off; empty where none is named.
    pub class: String,
    /// Tokens by role, such as `eos_token`.
    pub roles: BTreeMap<String, AddedToken>,
    /// Added tokens in the order of their ids.
    pub added: Vec<AddedToken>,
    /// Special tokens without a role.
    pub extra: Vec<AddedToken>,
}

impl Described {
    /// Reads the small files; `model` is `config.json`.
    ///
    /// # Errors
    /// A file that is not JSON.
    pub fn read(files: &SmallFiles, model: &Value) -> Result<Self, ModelError> {
        let config = files.fields(CONFIG)?;
        let class = [config.get("tokenizer_class"), model.get("tokenizer_class")];
        let class = class.into_iter().flatten().find_map(Value::as_str).unwrap_or_default();
        let mut told = Described {
            class: class.strip_suffix("Fast").unwrap_or(class).to_owned(),
            ..Described::default()
        };
        told.take(&config);
        if let Some(Value::Object(decoder)) = config.get("added_tokens_decoder") {
            let mut tokens: Vec<(u64, AddedToken)> =
                decoder.iter().filter_map(|(id, t)| Some((id.parse().ok()?, token(t, false)?))).collect();
            tokens.sort_by_key(|(id, _)| *id);
            told.added = tokens.into_iter().map(|(_, token)| token).collect();
        } else {
            told.take(&files.fields("special_tokens_map.json")?);
            told.take_added(&files.fields("added_tokens.json")?);
        }
        told.config = config;
        Ok(told)
    }

    /// Special tokens as a file names them; later files outweigh earlier ones.
    fn take(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            if name.ends_with("_token")
                && let Some(token) = token(value, true)
            {
                self.roles.insert(name.clone(), token);
            }
        }
        for name in ["additional_special_tokens", "extra_special_tokens"] {
            match fields.get(name) {
                Some(Value::Array(tokens)) if !tokens.is_empty() => {
                    self.extra = tokens.iter().filter_map(|t| token(t, true)).collect();
                }
                Some(Value::Object(named)) => {
                    let named = named.iter().filter_map(|(role, t)| Some((role.clone(), token(t, true)?)));
                    self.roles.extend(named);
                }
                _ => {}
            }
        }
    }

    /// `added_tokens.json`: texts and their ids.
    fn take_added(&mut self, fields: &Map<String, Value>) {
        let mut tokens: Vec<(u64, &String)> =
            fields.iter().filter_map(|(text, id)| Some((id.as_u64()?, text))).collect();
        tokens.sort_unstable();
        let special: Vec<&String> = self.roles.values().chain(&self.extra).map(|t| &t.content).collect();
        self.added = tokens.iter().map(|(_, text)| AddedToken::from(*text, special.contains(text))).collect();
    }

    /// The text of a role's token, such as `eos_token`.
    pub fn role(&self, name: &str) -> Option<&str> {
        self.roles.get(name).map(|token| token.content.as_str())
    }

    /// Names a token for a role that nothing names one for.
    pub fn default_role(&mut self, role: &str, text: &str) {
        self.roles.entry(role.to_owned()).or_insert_with(|| AddedToken::from(text, true));
    }

    /// A switch of `tokenizer_config.json`.
    pub fn switch(&self, name: &str) -> Option<bool> {
        self.config.get(name).and_then(Value::as_bool)
    }

    /// Adds to `inner` what it does not have yet.
    ///
    /// # Errors
    /// Of the library, for tokens that cannot stand side by side.
    pub fn add_to(&self, inner: &mut Inner) -> tokenizers::Result<()> {
        let there = inner.get_added_tokens_decoder();
        let is_there = |token: &AddedToken| there.values().any(|same| same == token);
        let mut fresh: Vec<AddedToken> = self.added.iter().filter(|t| !is_there(t)).cloned().collect();
        let in_order = ROLES.iter().filter_map(|role| self.roles.get(*role));
        let others = self.roles.iter().filter(|(role, _)| !ROLES.contains(&role.as_str())).map(|(_, t)| t);
        for token in in_order.chain(others).chain(&self.extra) {
            let named = |other: &AddedToken| other.content == token.content;
            if !there.values().any(named) && !fresh.iter().any(named) {
                fresh.push(token.clone());
            }
        }
        inner.add_tokens(fresh)?;
        Ok(())
    }
}

/// A token as these files write it: a text, or an object with its content and how it is matched.
fn token(value: &Value, special: bool) -> Option<AddedToken> {
    let (content, fields) = match value {
        Value::String(text) => (text.as_str(), None),
        Value::Object(fields) => (fields.get("content")?.as_str()?, Some(fields)),
        _ => return None,
    };
    if content.is_empty() {
        return None;
    }
    let flag = |name: &str| fields.and_then(|f| f.get(name)).and_then(Value::as_bool);
    let special = special || flag("special").unwrap_or(false);
    let token = AddedToken::from(content, special)
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false));
    Some(match flag("normalized") {
        Some(normalized) => token.normalized(normalized),
        None => token,
    })
}

/// The ids under `eos_token_id`: a number or a list; null and negative numbers name none.
fn end_ids(config: &Value) -> Vec<u32> {
    let one = |value: &Value| value.as_f64().filter(|id| *id >= 0.0 && id.fract() == 0.0).map(|id| id as u32);
    match config.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The ids that end a text; the first of them ends a document.
///
/// In order: the tokenizer's `eos_token` (training scripts put it after every document); `eos_token_id` of
/// `config.json`, unless it is an ordinary piece while the vocabulary has `<|endoftext|>` (a configuration that was
/// never adapted names GPT-2's 50256 whatever the vocabulary); `<|endoftext|>`; and what generation stops at. An id
/// without a row in the embedding is passed over.
pub fn ends(inner: &Inner, told: &Described, model: &Value, generation: &Value) -> Vec<u32> {
    let rows = model.get("vocab_size").and_then(Value::as_u64).unwrap_or(u64::MAX);
    let marked = inner.get_added_tokens_decoder();
    let usual = inner.token_to_id(END_OF_TEXT);
    let named = told.role("eos_token").and_then(|text| inner.token_to_id(text));
    let (sure, doubtful): (Vec<u32>, Vec<u32>) =
        end_ids(model).into_iter().partition(|id| marked.contains_key(id) || usual.is_none());
    let mut out = Vec::new();
    for id in named.into_iter().chain(sure).chain(usual).chain(doubtful).chain(end_ids(generation)) {
        if u64::from(id) < rows && inner.id_to_token(id).is_some() && !out.contains(&id) {
            out.push(id);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_token_is_a_text_or_an_object() {
        let marked = json!({"__type": "AddedToken", "content": "<m>", "lstrip": true, "normalized": true});
        let token = token(&marked, true).unwrap();
        assert_eq!((token.content.as_str(), token.lstrip, token.normalized), ("<m>", true, true));
        assert!(token.special);
        assert_eq!(super::token(&json!(null), true), None);
        assert!(!super::token(&json!("x"), true).unwrap().normalized);
    }

    #[test]
    fn roles_come_from_the_last_file_that_names_them() {
        let mut told = Described::default();
        told.take(&object(json!({"eos_token": "a", "add_bos_token": true, "extra_special_tokens": ["x"]})));
        told.take(&object(json!({"eos_token": {"content": "b"}, "pad_token": null})));
        assert_eq!((told.role("eos_token"), told.role("pad_token")), (Some("b"), None));
        assert_eq!(told.extra.len(), 1);
        told.take_added(&object(json!({"plain": 9, "x": 8})));
        let added: Vec<(&str, bool)> = told.added.iter().map(|t| (t.content.as_str(), t.special)).collect();
        assert_eq!(added, [("x", true), ("plain", false)]);
    }

    #[test]
    fn end_ids_are_numbers_lists_or_nothing() {
        for (value, ids) in [
            (json!({"eos_token_id": 3}), vec![3]),
            (json!({"eos_token_id": 3.0}), vec![3]),
            (json!({"eos_token_id": [5, 4]}), vec![5, 4]),
            (json!({"eos_token_id": -1}), vec![]),
            (json!({"eos_token_id": null}), vec![]),
            (json!({}), vec![]),
        ] {
            assert_eq!(end_ids(&value), ids, "{value}");
        }
    }
}
