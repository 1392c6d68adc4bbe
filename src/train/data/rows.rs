//! From a row to a document: which columns hold it, and how it is put together.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::chat::{ChatRefusal, ChatStyle};
use crate::train::TrainError;

/// The column that is taken where none is named.
pub const USUAL: &str = "text";
/// Columns of conversations, by their usual names.
const CONVERSATIONS: [&str; 3] = ["messages", "conversations", "conversation"];
const PAIR: (&str, &str) = ("prompt", "completion");

/// What a column holds, as far as rows have shown it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holds {
    /// Nothing yet but nulls and blanks.
    #[default]
    Nothing,
    Other,
    Turns,
    Text,
}

impl Holds {
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Holds::Nothing,
            Value::String(text) if text.trim().is_empty() => Holds::Nothing,
            Value::String(_) => Holds::Text,
            Value::Array(list) if list.first().is_some_and(is_turn) => Holds::Turns,
            _ => Holds::Other,
        }
    }
}

fn is_turn(value: &Value) -> bool {
    value.as_object().is_some_and(|turn| turn.contains_key("role") || turn.contains_key("from"))
}

/// Which columns make a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    Text(String),
    Conversation(String),
    /// A question and its answer.
    Pair(String, String),
}

impl Pick {
    pub fn is_conversation(&self) -> bool {
        !matches!(self, Pick::Text(_))
    }

    /// The columns in use.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Pick::Text(name) | Pick::Conversation(name) => vec![name],
            Pick::Pair(prompt, completion) => vec![prompt, completion],
        }
    }
}

/// The columns of a file, in a sensible order.
pub type ColumnTypes = Vec<(String, Holds)>;

/// Adds what one more row shows.
pub fn seen(columns: &mut BTreeMap<String, Holds>, row: &Map<String, Value>) {
    for (name, value) in row {
        let known = columns.entry(name.clone()).or_default();
        *known = (*known).max(Holds::of(value));
    }
}

/// Which of `columns` makes the documents.
///
/// # Errors
/// A column that is not there; several that may be meant, or none.
pub fn choose(file: &str, asked: Option<&str>, columns: &[(String, Holds)]) -> Result<Pick, TrainError> {
    let list = |keep: &dyn Fn(Holds) -> bool| {
        let names: Vec<&str> = columns.iter().filter(|(_, h)| keep(*h)).map(|(n, _)| n.as_str()).collect();
        names.join(", ")
    };
    let wrong = |problem: String, hint: String| Err(TrainError::Setup { problem, hint: Some(hint) });
    let holds = |name: &str| columns.iter().find(|(known, _)| known == name).map(|(_, holds)| *holds);
    let has = |name: &str, what: Holds| holds(name) == Some(what);
    if columns.is_empty() {
        return wrong(
            format!("{file} has no columns"),
            "leave out the column: each row is a text".to_owned(),
        );
    }
    if let Some(asked) = asked {
        return match holds(asked) {
            None => {
                wrong(format!("{file} has no column {asked:?}"), format!("its columns: {}", list(&|_| true)))
            }
            Some(Holds::Turns) => Ok(Pick::Conversation(asked.to_owned())),
            Some(_) => Ok(Pick::Text(asked.to_owned())),
        };
    }
    if has(USUAL, Holds::Text) {
        return Ok(Pick::Text(USUAL.to_owned()));
    }
    let only = |what: Holds| match columns.iter().filter(|(_, h)| *h == what).collect::<Vec<_>>()[..] {
        [(name, _)] => Some(name.clone()),
        _ => None,
    };
    let named = CONVERSATIONS.iter().find(|name| has(name, Holds::Turns)).map(|name| (*name).to_owned());
    if let Some(name) = named.or_else(|| only(Holds::Turns)) {
        return Ok(Pick::Conversation(name));
    }
    let (prompt, completion) = PAIR;
    let spoken = |name: &str| has(name, Holds::Text) || has(name, Holds::Turns);
    if spoken(prompt) && spoken(completion) {
        return Ok(Pick::Pair(prompt.to_owned(), completion.to_owned()));
    }
    if let Some(name) = only(Holds::Text) {
        return Ok(Pick::Text(name));
    }
    let able = list(&|holds| holds == Holds::Text || holds == Holds::Turns);
    if able.is_empty() {
        return wrong(
            format!("{file} has no column that contains text"),
            format!("its columns: {}", list(&|_| true)),
        );
    }
    wrong(
        format!("{file} does not say which column contains the text"),
        format!("set the column (--column) to one of: {able}"),
    )
}

/// The outcome of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOutcome {
    Document(String),
    /// The text is missing, null or blank.
    NoText,
    /// A conversation that the chat template refuses, with its reason.
    Refused(String),
}

impl RowOutcome {
    pub fn text(text: &str) -> Self {
        if text.trim().is_empty() { RowOutcome::NoText } else { RowOutcome::Document(text.to_owned()) }
    }
}

/// The document of a row of columns; the error is what a column holds instead.
pub fn document(pick: &Pick, row: &Map<String, Value>, style: &ChatStyle) -> Result<RowOutcome, String> {
    let value = |name: &str| row.get(name).unwrap_or(&Value::Null);
    match pick {
        Pick::Text(name) => match value(name) {
            Value::Null => Ok(RowOutcome::NoText),
            Value::String(text) => Ok(RowOutcome::text(text)),
            other => Err(format!("column {name:?} contains {}, not text", what(other))),
        },
        Pick::Conversation(name) => conversation(name, value(name), style),
        Pick::Pair(prompt, completion) => {
            let mut turns = Vec::new();
            for (name, role) in [(prompt, "user"), (completion, "assistant")] {
                match value(name) {
                    Value::Array(list) => turns.extend(list.iter().cloned()),
                    Value::String(text) if !text.trim().is_empty() => {
                        turns.push(serde_json::json!({ "role": role, "content": text }));
                    }
                    Value::Null | Value::String(_) => return Ok(RowOutcome::NoText),
                    other => return Err(format!("column {name:?} contains {}, not text", what(other))),
                }
            }
            conversation(completion, &Value::Array(turns), style)
        }
    }
}

/// The document of a value in column `name` that is to be a list of turns.
pub fn conversation(name: &str, value: &Value, style: &ChatStyle) -> Result<RowOutcome, String> {
    match value {
        Value::Null => Ok(RowOutcome::NoText),
        Value::String(text) if text.trim().is_empty() => Ok(RowOutcome::NoText),
        Value::Array(turns) => match style.document(turns) {
            Ok(text) => Ok(RowOutcome::text(&text)),
            Err(ChatRefusal::Template(reason)) => Ok(RowOutcome::Refused(reason)),
            Err(ChatRefusal::Turn(problem)) => Err(format!("column {name:?}: {problem}")),
        },
        other => Err(format!("column {name:?} contains {}, not a conversation", what(other))),
    }
}

/// What a value is, with its article.
pub fn what(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(columns: &[(&str, Holds)]) -> Result<Pick, String> {
        let columns: ColumnTypes = columns.iter().map(|(n, h)| ((*n).to_owned(), *h)).collect();
        choose("f", None, &columns).map_err(|e| format!("{e} | {}", e.hint().unwrap_or_default()))
    }

    #[test]
    fn the_column_is_the_usual_one_or_the_only_one_or_asked_for() {
        use Holds::{Nothing, Other, Text, Turns};
        let text = |name: &str| Ok(Pick::Text(name.to_owned()));
        let turns = |name: &str| Ok(Pick::Conversation(name.to_owned()));
        assert_eq!(picked(&[("title", Text), ("text", Text), ("messages", Turns)]), text("text"));
        assert_eq!(picked(&[("id", Other), ("body", Text)]), text("body"));
        assert_eq!(picked(&[("text", Nothing), ("body", Text)]), text("body"));
        assert_eq!(picked(&[("source", Text), ("conversations", Turns)]), turns("conversations"));
        assert_eq!(picked(&[("dialogue", Turns), ("topic", Text)]), turns("dialogue"));
        let pair = picked(&[("completion", Text), ("id", Text), ("prompt", Text)]);
        assert_eq!(pair, Ok(Pick::Pair("prompt".to_owned(), "completion".to_owned())));
        let question = picked(&[("id", Other), ("input", Text), ("output", Text)]).unwrap_err();
        assert_eq!(
            question,
            "f does not say which column contains the text | set the column (--column) to one of: input, output"
        );
        let none = picked(&[("id", Other), ("tags", Other), ("text", Nothing)]).unwrap_err();
        assert_eq!(none, "f has no column that contains text | its columns: id, tags, text");
    }
}
