//! Conversations to text: by the chat template that came with a tokenizer, as transformers' `apply_chat_template` writes
//! them, or turn by turn with the end-of-text token between (as DialoGPT was trained).

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind};
use regex::{Captures, Regex};
use serde_json::{Map, Value};

use crate::model::Tokenizer;
use crate::train::TrainError;

/// Names that data sets give to the two who talk.
const USERS: [&str; 3] = ["human", "user", "prompter"];
const ASSISTANTS: [&str; 6] = ["gpt", "assistant", "chatgpt", "bot", "bing", "bard"];
const TEMPLATE: &str = "chat_template";

/// How conversations become text.
#[derive(Clone, Default)]
pub struct ChatStyle {
    template: Option<Arc<Environment<'static>>>,
    /// Special tokens by role, such as `bos_token`.
    marks: BTreeMap<String, String>,
    /// Stands between turns where there is no template.
    end: Option<String>,
}

/// Why a conversation gives no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatRefusal {
    /// The template does not take it, such as two questions in a row.
    Template(String),
    /// An entry is not a turn.
    Turn(String),
}

impl ChatStyle {
    /// The way of a tokenizer.
    ///
    /// # Errors
    /// A template that is damaged, in words.
    pub fn new(
        template: Option<&str>,
        marks: BTreeMap<String, String>,
        end: Option<String>,
    ) -> Result<Self, String> {
        let template = template.map(compiled).transpose()?.map(Arc::new);
        Ok(ChatStyle { template, marks, end })
    }

    /// The way of this tokenizer.
    ///
    /// # Errors
    /// As [`ChatStyle::new`].
    pub fn of(tokenizer: &Tokenizer) -> Result<Self, TrainError> {
        let marks: BTreeMap<String, String> =
            tokenizer.special_tokens().map(|(role, mark)| (role.to_owned(), mark.to_owned())).collect();
        // A mark that is not found in text again would be cut into pieces.
        let end = tokenizer.end_of_document().and_then(|id| {
            let text = marks.get("eos_token").cloned().unwrap_or_else(|| tokenizer.decode(&[id]));
            tokenizer.ids(&text).is_ok_and(|ids| ids == [id]).then_some(text)
        });
        Self::new(tokenizer.chat_template(), marks, end).map_err(TrainError::setup)
    }

    /// Turns joined by `end`.
    pub fn plain(end: &str) -> Self {
        ChatStyle { end: Some(end.to_owned()), ..ChatStyle::default() }
    }

    /// What stands between turns, said in the plan.
    pub fn name(&self) -> String {
        match (&self.template, &self.end) {
            (Some(_), _) => "written by the tokenizer's chat template".to_owned(),
            (None, Some(end)) => format!("turns joined by {end}, since the tokenizer has no chat template"),
            (None, None) => {
                "turns joined by line ends, since the tokenizer has neither chat template nor end-of-text token"
                    .to_owned()
            }
        }
    }

    /// What follows every turn where there is no template.
    pub fn turn_mark(&self) -> Option<&str> {
        self.template.is_none().then(|| self.end.as_deref().unwrap_or("\n"))
    }

    /// The text of a conversation; empty where no turn says anything.
    ///
    /// # Errors
    /// What the template refuses, or an entry that is not a turn.
    pub fn document(&self, turns: &[Value]) -> Result<String, ChatRefusal> {
        self.written(turns, false)
    }

    /// The text of a conversation up to where the assistant speaks: with the template's opening of its turn, or with the
    /// mark that follows every turn.
    ///
    /// # Errors
    /// As [`ChatStyle::document`].
    pub fn prompt(&self, turns: &[Value]) -> Result<String, ChatRefusal> {
        self.written(turns, true)
    }

    fn written(&self, turns: &[Value], answers: bool) -> Result<String, ChatRefusal> {
        let turns: Vec<Map<String, Value>> =
            turns.iter().enumerate().map(|(n, turn)| plain(n + 1, turn)).collect::<Result<_, _>>()?;
        let said =
            |turn: &&Map<String, Value>| turn["content"].as_str().is_some_and(|c| !c.trim().is_empty());
        if !turns.iter().any(|turn| said(&turn)) {
            return Ok(String::new());
        }
        let Some(environment) = &self.template else {
            let texts: Vec<&str> = turns.iter().filter(said).filter_map(|t| t["content"].as_str()).collect();
            let mark = self.turn_mark().unwrap_or_default();
            return Ok(texts.join(mark) + if answers { mark } else { "" });
        };
        let mut names: BTreeMap<&str, Jinja> =
            self.marks.iter().map(|(name, mark)| (name.as_str(), Jinja::from(mark))).collect();
        names.insert("messages", Jinja::from(Serde(&turns)));
        names.insert("add_generation_prompt", Jinja::from(answers));
        for absent in ["tools", "documents"] {
            names.insert(absent, Jinja::from(()));
        }
        let written = environment.get_template(TEMPLATE).and_then(|t| t.render(Jinja::from_pairs(names)));
        written.map_err(|e| ChatRefusal::Template(e.detail().map_or_else(|| e.to_string(), str::to_owned)))
    }
}

impl std::fmt::Debug for ChatStyle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

/// A turn with `role` and `content`, whatever its data set calls them; parts of a content are joined.
fn plain(number: usize, turn: &Value) -> Result<Map<String, Value>, ChatRefusal> {
    let wrong = |problem: &str| ChatRefusal::Turn(format!("turn {number} {problem}"));
    let mut turn = turn.as_object().cloned().ok_or_else(|| wrong("is not an object"))?;
    let role = ["role", "from"].iter().find_map(|key| turn.get(*key)?.as_str()).map(str::to_owned);
    let role = role.ok_or_else(|| wrong("has no speaker: neither \"role\" nor \"from\""))?;
    let lower = role.to_lowercase();
    let role = match lower.as_str() {
        name if USERS.contains(&name) => "user".to_owned(),
        name if ASSISTANTS.contains(&name) => "assistant".to_owned(),
        _ => role,
    };
    let content = match turn.remove("content").or_else(|| turn.remove("value")).unwrap_or(Value::Null) {
        Value::Array(parts) => {
            let text = |part: &Value| part.as_str().or_else(|| part.get("text")?.as_str()).map(str::to_owned);
            let texts: Option<Vec<String>> = parts.iter().map(text).collect();
            Value::String(texts.ok_or_else(|| wrong("contains something that is not text"))?.concat())
        }
        content @ (Value::String(_) | Value::Null) => content,
        _ => return Err(wrong("contains something that is not text")),
    };
    turn.remove("from");
    turn.insert("role".to_owned(), Value::String(role));
    turn.insert("content".to_owned(), content);
    Ok(turn)
}

/// A template under the settings and with the functions that transformers gives it.
fn compiled(source: &str) -> Result<Environment<'static>, String> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|e| e.to_string())?);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |reason: String| -> Result<Jinja, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, reason))
    });
    environment.add_function("strftime_now", |format: String| strftime(&format));
    environment.add_filter("tojson", to_json);
    environment
        .add_template_owned(TEMPLATE, without_generation(source))
        .map_err(|e| format!("the tokenizer's chat template cannot be read: {e}"))?;
    Ok(environment)
}

/// `{% generation %}` marks what an assistant says, for losses on that alone; the text is the same without.
fn without_generation(source: &str) -> String {
    match Regex::new(r"(\{%[-+]?\s*)(?:generation|(endgeneration))(\s*[-+]?%\})") {
        Err(_) => source.to_owned(),
        Ok(tag) => {
            let plain = |found: &Captures| {
                let inside = if found.get(2).is_some() { "endif" } else { "if true" };
                format!("{}{inside}{}", &found[1], &found[3])
            };
            tag.replace_all(source, plain).into_owned()
        }
    }
}

/// Today in the words of a template that writes the date.
fn strftime(format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    let mut out = String::new();
    write!(out, "{}", chrono::Local::now().format(format)).map_err(|_| {
        Error::new(ErrorKind::InvalidOperation, format!("{format:?} is not a valid date format"))
    })?;
    Ok(out)
}

/// JSON as Python's `json.dumps(ensure_ascii=False)` writes it: a space after `,` and `:`, nothing escaped for HTML.
fn to_json(value: &Jinja, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let wrong = |e: serde_json::Error| Error::new(ErrorKind::BadSerialization, e.to_string());
    let value = serde_json::to_value(value).map_err(wrong)?;
    let mut out = String::new();
    python_json(&value, indent, 0, &mut out);
    Ok(out)
}

fn python_json(value: &Value, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * depth));
        }
    };
    let between = if indent.is_some() { "," } else { ", " };
    match value {
        Value::Array(list) if !list.is_empty() => {
            out.push('[');
            for (n, item) in list.iter().enumerate() {
                out.push_str(if n > 0 { between } else { "" });
                line(out, depth + 1);
                python_json(item, indent, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (n, (key, item)) in map.iter().enumerate() {
                out.push_str(if n > 0 { between } else { "" });
                line(out, depth + 1);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                python_json(item, indent, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
