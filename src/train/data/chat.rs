//! Conversations to text: by the chat template that came with a tokenizer, as transformers' `apply_chat_template` writes
//! them, or turn by turn with the end-of-text token between (as DialoGPT was trained).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{Serde, Value as Jinja};
use serde_json::{Map, Value};

use super::chat_template::{ChatTemplate, CompiledTemplate};
use super::document::{LossOn, TextDocument};
use crate::model::Tokenizer;
use crate::train::TrainError;

/// Names that data sets give to the two who talk.
const USERS: [&str; 3] = ["human", "user", "prompter"];
const ASSISTANTS: [&str; 6] = ["gpt", "assistant", "chatgpt", "bot", "bing", "bard"];
/// The role whose turns are answers.
const ASSISTANT: &str = "assistant";
/// What an instruction is about, beside it in its turn.
pub const INPUT: &str = "instruction_input";

/// How conversations become text.
#[derive(Clone, Default)]
pub struct ChatStyle {
    template: Option<Arc<CompiledTemplate>>,
    /// The template's name; `Tokenizer` also stands for none.
    named: ChatTemplate,
    /// Special tokens by role, such as `bos_token`.
    marks: BTreeMap<String, String>,
    /// Stands between turns where there is no template.
    end: Option<String>,
    loss_on: LossOn,
}

/// Why a conversation gives no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatRefusal {
    /// The template does not take it, such as two questions in a row.
    Template(String),
    /// An entry is not a turn.
    Turn(String),
    /// The loss is on answers, and there is none.
    NoAnswer,
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
        let template = template.map(CompiledTemplate::new).transpose()?.map(Arc::new);
        Ok(ChatStyle { template, marks, end, ..ChatStyle::default() })
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

    /// The same with a named template in place of the tokenizer's, and with the loss on answers alone where that is asked for.
    ///
    /// # Errors
    /// As [`ChatStyle::new`].
    pub fn with(self, template: ChatTemplate, loss_on: LossOn) -> Result<Self, TrainError> {
        let own = template.source().map(CompiledTemplate::new).transpose().map_err(TrainError::setup)?;
        Ok(ChatStyle { template: own.map(Arc::new).or(self.template), named: template, loss_on, ..self })
    }

    /// How turns are written, said in the plan.
    pub fn name(&self) -> String {
        match (self.named, &self.template, &self.end) {
            (ChatTemplate::Tokenizer, Some(_), _) => "written by the tokenizer's chat template".to_owned(),
            (ChatTemplate::Tokenizer, None, Some(end)) => {
                format!("turns joined by {end}, since the tokenizer has no chat template")
            }
            (ChatTemplate::Tokenizer, None, None) => {
                "turns joined by line ends, since the tokenizer has neither chat template nor end-of-text token"
                    .to_owned()
            }
            (named, ..) => format!("written by the chat template {named}"),
        }
    }

    /// What the loss of a conversation is on, said in the plan.
    pub fn loss(&self) -> &'static str {
        match self.loss_on {
            LossOn::All => "loss on every token",
            LossOn::Answers => "loss on the answers alone",
        }
    }

    /// What follows every turn where there is no template.
    pub fn turn_mark(&self) -> Option<&str> {
        self.template.is_none().then(|| self.end.as_deref().unwrap_or("\n"))
    }

    /// The text of a conversation up to where the assistant speaks: with the template's opening of its turn, or with the
    /// mark that follows every turn. Empty where no turn says anything.
    ///
    /// # Errors
    /// What the template refuses, or an entry that is not a turn.
    pub fn prompt(&self, turns: &[Value]) -> Result<String, ChatRefusal> {
        let turns = plain_turns(turns)?;
        match &self.template {
            _ if !turns.iter().any(said) => Ok(String::new()),
            None => Ok(self.joined(&turns, &|_| false).0 + self.turn_mark().unwrap_or_default()),
            Some(template) => {
                let written = template.render(self.names(&turns, true));
                Ok(written.map_err(ChatRefusal::Template)?.0)
            }
        }
    }

    /// The document of a conversation; empty where no turn says anything. Turns before the first of the `answers` are questions,
    /// no matter who speaks.
    ///
    /// # Errors
    /// What the template refuses, an entry that is not a turn, or no answer where the loss is on answers.
    pub fn document(&self, turns: &[Value], answers: usize) -> Result<TextDocument, ChatRefusal> {
        let turns = plain_turns(turns)?;
        if !turns.iter().any(said) {
            return Ok(TextDocument::default());
        }
        let is_answer = |n: usize| n >= answers && turns[n]["role"].as_str() == Some(ASSISTANT);
        let (text, spans) = match &self.template {
            None => self.joined(&turns, &is_answer),
            Some(template) => self.written(template, &turns, &is_answer)?,
        };
        if self.loss_on == LossOn::All {
            return Ok(text.into());
        }
        if spans.is_empty() {
            return Err(ChatRefusal::NoAnswer);
        }
        Ok(TextDocument { text, answers: Some(spans) })
    }

    /// Turns with the end mark between; the mark behind an answer is part of it.
    fn joined(&self, turns: &[Map<String, Value>], is_answer: &dyn Fn(usize) -> bool) -> WrittenTurns {
        let end = self.end.as_deref().unwrap_or("\n");
        let (mut text, mut spans) = (String::new(), Vec::new());
        for (n, turn) in turns.iter().enumerate().filter(|(_, turn)| said(turn)) {
            if !text.is_empty() {
                text.push_str(end);
            }
            let start = text.len();
            text.push_str(&content(turn));
            if is_answer(n) {
                spans.push(start..text.len() + end.len());
            }
        }
        if let Some(last) = spans.last_mut() {
            // Behind the last turn there is no mark in the text.
            last.end = last.end.min(text.len());
        }
        (text, spans)
    }

    fn written(
        &self,
        template: &CompiledTemplate,
        turns: &[Map<String, Value>],
        is_answer: &dyn Fn(usize) -> bool,
    ) -> Result<WrittenTurns, ChatRefusal> {
        let render = |turns: &[Map<String, Value>], asks: bool| {
            template.render(self.names(turns, asks)).map_err(ChatRefusal::Template)
        };
        let (text, marked) = render(turns, false)?;
        if self.loss_on == LossOn::All {
            return Ok((text, Vec::new()));
        }
        let said: Vec<usize> =
            (0..turns.len()).filter(|n| turns[*n]["role"].as_str() == Some(ASSISTANT)).collect();
        if template.marks_answers && marked.len() == said.len() {
            let spans = said.iter().zip(marked).filter(|(n, _)| is_answer(**n)).map(|(_, span)| span);
            return Ok((text, spans.collect()));
        }
        // A template that does not mark answers writes each between the text before it and the text that ends with it.
        let mut spans = Vec::new();
        for n in said.into_iter().filter(|n| is_answer(*n)) {
            let (before, _) = render(&turns[..n], true)?;
            let (after, _) = render(&turns[..=n], false)?;
            if !after.starts_with(&before) || !text.starts_with(&after) {
                return Err(ChatRefusal::Template(
                    "it writes a turn in another way when others follow, so answers cannot be told from questions"
                        .to_owned(),
                ));
            }
            spans.push(before.len()..after.len());
        }
        Ok((text, spans))
    }

    /// What a template may name.
    fn names(&self, turns: &[Map<String, Value>], asks: bool) -> Jinja {
        let turns: Vec<Map<String, Value>> = turns.iter().cloned().map(|turn| self.whole(turn)).collect();
        let mut names: BTreeMap<&str, Jinja> =
            self.marks.iter().map(|(name, mark)| (name.as_str(), Jinja::from(mark))).collect();
        names.insert("messages", Jinja::from(Serde(&turns)));
        names.insert("add_generation_prompt", Jinja::from(asks));
        for absent in ["tools", "documents"] {
            names.insert(absent, Jinja::from(()));
        }
        Jinja::from_pairs(names)
    }

    /// A turn whose input is part of its content, unless the template writes both.
    fn whole(&self, mut turn: Map<String, Value>) -> Map<String, Value> {
        if self.named != ChatTemplate::Alpaca && turn.contains_key(INPUT) {
            turn.insert("content".to_owned(), content(&turn).into());
            turn.remove(INPUT);
        }
        turn
    }
}

/// A text and its answers.
type WrittenTurns = (String, Vec<Range<usize>>);

fn said(turn: &Map<String, Value>) -> bool {
    turn["content"].as_str().is_some_and(|content| !content.trim().is_empty())
}

/// What a turn says, with the input of an instruction below it.
fn content(turn: &Map<String, Value>) -> String {
    let text = turn["content"].as_str().unwrap_or_default();
    match turn.get(INPUT).and_then(Value::as_str) {
        Some(input) => format!("{text}\n\n{input}"),
        None => text.to_owned(),
    }
}

impl std::fmt::Debug for ChatStyle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

/// Every turn as [`plain`] has it.
fn plain_turns(turns: &[Value]) -> Result<Vec<Map<String, Value>>, ChatRefusal> {
    turns.iter().enumerate().map(|(n, turn)| plain(n + 1, turn)).collect()
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

#[cfg(test)]
#[path = "chat_tests.rs"]
mod tests;
