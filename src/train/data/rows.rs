//! From a row to a document: which columns hold it, and how it is put together.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::chat::{ChatRefusal, ChatStyle, INPUT};
use super::document::TextDocument;
use crate::train::TrainError;

/// The column that is taken where none is named.
pub const USUAL: &str = "text";
/// Columns of conversations, by their usual names.
const CONVERSATIONS: [&str; 3] = ["messages", "conversations", "conversation"];
const PAIR: (&str, &str) = ("prompt", "completion");
const INSTRUCTION: &str = "instruction";
/// Column of what an instruction is about.
const ABOUT: &str = "input";
/// Columns of what is done under an instruction, by their usual names.
const OUTPUTS: [&str; 3] = ["output", "response", "completion"];

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
    /// An instruction, what it is about where there is such a column, and what is done.
    Instruction(Option<String>, String),
    /// A text, and what is said of it: a label, the part of the data that it belongs to.
    Labelled(String, Vec<String>),
}

impl Pick {
    pub fn is_conversation(&self) -> bool {
        !matches!(self, Pick::Text(_) | Pick::Labelled(..))
    }

    /// The columns in use.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Pick::Text(name) | Pick::Conversation(name) => vec![name],
            Pick::Labelled(name, labels) => {
                std::iter::once(name.as_str()).chain(labels.iter().map(String::as_str)).collect()
            }
            Pick::Pair(prompt, completion) => vec![prompt, completion],
            Pick::Instruction(input, output) => {
                std::iter::once(INSTRUCTION).chain(input.as_deref()).chain([output.as_str()]).collect()
            }
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
    let output = OUTPUTS.iter().find(|name| has(name, Holds::Text));
    if let Some(output) = output.filter(|_| has(INSTRUCTION, Holds::Text)) {
        let input = has(ABOUT, Holds::Text).then(|| ABOUT.to_owned());
        return Ok(Pick::Instruction(input, (*output).to_owned()));
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

/// The text column beside columns of labels; without a name, the one that would be taken if they were not there.
///
/// # Errors
/// As [`choose`]; a column of labels that is not there.
pub fn choose_labelled(
    file: &str,
    (asked, labels): (Option<&str>, &[String]),
    columns: &[(String, Holds)],
) -> Result<Pick, TrainError> {
    if let Some(missing) = labels.iter().find(|label| columns.iter().all(|(name, _)| name != *label)) {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        return Err(TrainError::Setup {
            problem: format!("{file} has no column {missing:?}"),
            hint: Some(format!("its columns: {}", names.join(", "))),
        });
    }
    let others: ColumnTypes = columns.iter().filter(|(name, _)| !labels.contains(name)).cloned().collect();
    match choose(file, asked, &others)? {
        Pick::Text(name) => Ok(Pick::Labelled(name, labels.to_vec())),
        other => Err(TrainError::Setup {
            problem: format!(
                "{file} holds conversations ({}), not one text a row",
                other.columns().join(", ")
            ),
            hint: Some("name a column of texts (--column)".to_owned()),
        }),
    }
}

/// The outcome of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOutcome {
    Document(TextDocument),
    /// A text and its labels.
    Labelled(TextDocument, Vec<String>),
    /// A label is missing, null or blank.
    NoLabel,
    /// The text is missing, null or blank.
    NoText,
    /// A conversation that the chat template refuses, with its reason.
    Refused(String),
    /// The loss is on answers, and the conversation has none.
    NoAnswer,
}

impl RowOutcome {
    pub fn text(text: &str) -> Self {
        if text.trim().is_empty() { RowOutcome::NoText } else { RowOutcome::Document(text.to_owned().into()) }
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
        Pick::Labelled(name, labels) => {
            labelled((name, value(name)), labels.iter().map(|l| (l.as_str(), value(l))))
        }
        Pick::Conversation(name) => conversation((name, 0), value(name), style),
        Pick::Instruction(input, output) => {
            let text = |name: &str| match value(name) {
                Value::Null => Ok(""),
                Value::String(text) => Ok(text.as_str()),
                other => Err(format!("column {name:?} contains {}, not text", what(other))),
            };
            let (instruction, answer) = (text(INSTRUCTION)?, text(output)?);
            if instruction.trim().is_empty() || answer.trim().is_empty() {
                return Ok(RowOutcome::NoText);
            }
            let mut question = serde_json::json!({ "role": "user", "content": instruction });
            if let Some(input) =
                input.as_deref().map(text).transpose()?.filter(|text| !text.trim().is_empty())
            {
                question[INPUT] = input.into();
            }
            let answer = serde_json::json!({ "role": "assistant", "content": answer });
            conversation((output, 1), &Value::Array(vec![question, answer]), style)
        }
        Pick::Pair(prompt, completion) => {
            let (mut turns, mut questions) = (Vec::new(), 0);
            for (name, role) in [(prompt, "user"), (completion, "assistant")] {
                questions = turns.len();
                match value(name) {
                    Value::Array(list) => turns.extend(list.iter().cloned()),
                    Value::String(text) if !text.trim().is_empty() => {
                        turns.push(serde_json::json!({ "role": role, "content": text }));
                    }
                    Value::Null | Value::String(_) => return Ok(RowOutcome::NoText),
                    other => return Err(format!("column {name:?} contains {}, not text", what(other))),
                }
            }
            conversation((completion, questions), &Value::Array(turns), style)
        }
    }
}

/// A text with its labels, which may be texts, numbers or truth values.
fn labelled<'a>(
    (name, text): (&str, &Value),
    labels: impl Iterator<Item = (&'a str, &'a Value)>,
) -> Result<RowOutcome, String> {
    let text = match text {
        Value::Null => return Ok(RowOutcome::NoText),
        Value::String(text) if text.trim().is_empty() => return Ok(RowOutcome::NoText),
        Value::String(text) => text,
        other => return Err(format!("column {name:?} contains {}, not text", what(other))),
    };
    let mut out = Vec::new();
    for (name, label) in labels {
        out.push(match label {
            Value::Null => return Ok(RowOutcome::NoLabel),
            Value::String(label) if label.trim().is_empty() => return Ok(RowOutcome::NoLabel),
            Value::String(label) => label.trim().to_owned(),
            Value::Bool(label) => label.to_string(),
            Value::Number(label) => label.to_string(),
            other => return Err(format!("column {name:?} contains {}, not a label", what(other))),
        });
    }
    Ok(RowOutcome::Labelled(text.clone().into(), out))
}

/// The document of a value in column `name` that is to be a list of turns; the first `questions` of them are no answers.
pub fn conversation(
    (name, questions): (&str, usize),
    value: &Value,
    style: &ChatStyle,
) -> Result<RowOutcome, String> {
    match value {
        Value::Null => Ok(RowOutcome::NoText),
        Value::String(text) if text.trim().is_empty() => Ok(RowOutcome::NoText),
        Value::Array(turns) => match style.document(turns, questions) {
            Ok(document) if document.text.trim().is_empty() => Ok(RowOutcome::NoText),
            Ok(document) => Ok(RowOutcome::Document(document)),
            Err(ChatRefusal::NoAnswer) => Ok(RowOutcome::NoAnswer),
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
        let done = |input: Option<&str>, output: &str| {
            Ok(Pick::Instruction(input.map(str::to_owned), output.to_owned()))
        };
        let alpaca = [("instruction", Text), ("input", Text), ("output", Text)];
        assert_eq!(picked(&alpaca), done(Some("input"), "output"));
        assert_eq!(
            picked(&[("instruction", Text), ("response", Text), ("input", Nothing)]),
            done(None, "response")
        );
        let question = picked(&[("id", Other), ("input", Text), ("output", Text)]).unwrap_err();
        assert_eq!(
            question,
            "f does not say which column contains the text | set the column (--column) to one of: input, output"
        );
        let none = picked(&[("id", Other), ("tags", Other), ("text", Nothing)]).unwrap_err();
        assert_eq!(none, "f has no column that contains text | its columns: id, tags, text");
    }
}
