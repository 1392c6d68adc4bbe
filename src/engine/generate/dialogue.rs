//! Turns of a dialogue as tokens: by the chat template that came with the tokenizer, or each turn followed by the
//! end-of-text token, as DialoGPT was trained. What was written before is never tokenised again unless the template
//! rewrites it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::engine::explorer::ExploreError;
use crate::engine::loaded::LoadedModel;
use crate::engine::types::{TextToken, Token};
use crate::model::{ModelError, Tokenizer};
use crate::train::data::chat::{ChatRefusal, ChatStyle};

/// The turns of one person and the model.
#[derive(Clone)]
pub struct Dialogue {
    style: ChatStyle,
    /// What the person said.
    said: Vec<String>,
}

/// What a turn does to a text.
pub enum Turn {
    /// These tokens follow.
    Follow(Vec<Token>),
    /// The template writes the whole dialogue again.
    Anew(Vec<Token>),
}

impl Dialogue {
    /// An empty dialogue in the way of this tokenizer.
    ///
    /// # Errors
    /// No tokenizer; a damaged template.
    pub fn new(loaded: &LoadedModel) -> Result<Self, ExploreError> {
        let style = ChatStyle::of(tokenizer(loaded)?).map_err(|e| ModelError::input(e.to_string()))?;
        Ok(Dialogue { style, said: Vec::new() })
    }

    /// How turns become text.
    pub fn name(&self) -> String {
        self.style.name()
    }

    /// Notes what the person says next.
    pub fn say(&mut self, text: &str) {
        self.said.push(text.to_owned());
    }

    /// What the newest turn does to a continuation that has these tokens.
    ///
    /// # Errors
    /// A template that refuses the dialogue, text that cannot be tokenised.
    pub fn turn(&self, loaded: &LoadedModel, tokens: &[Arc<TextToken>]) -> Result<Turn, ExploreError> {
        let tokenizer = tokenizer(loaded)?;
        if let (Some(mark), Some(said)) = (self.style.turn_mark(), self.said.last()) {
            // An answer that was broken off is ended like any other turn.
            let open = tokens.last().is_some_and(|t| t.written.is_some() && !loaded.is_end(t.token.id));
            let before = if open { mark } else { "" };
            return Ok(Turn::Follow(loaded.tokens_of(&format!("{before}{said}{mark}"))?));
        }
        let text = self.style.prompt(&self.turns(loaded, tokens)).map_err(refused)?;
        let ids: Vec<u32> = tokens.iter().map(|t| t.token.id).collect();
        let before = tokenizer.decode(&ids);
        match text.strip_prefix(&before) {
            Some(rest) => Ok(Turn::Follow(loaded.tokens_of(rest)?)),
            None => Ok(Turn::Anew(loaded.tokens_of(&text)?)),
        }
    }

    /// The dialogue so far: what the person said, and between it what this continuation answered.
    fn turns(&self, loaded: &LoadedModel, tokens: &[Arc<TextToken>]) -> Vec<Value> {
        let mut answers: Vec<Vec<u32>> = Vec::new();
        let mut given = true;
        for token in tokens {
            if token.written.is_none() {
                given = true;
                continue;
            }
            if given {
                answers.push(Vec::new());
                given = false;
            }
            if let Some(answer) = answers.last_mut().filter(|_| !loaded.is_end(token.token.id)) {
                answer.push(token.token.id);
            }
        }
        let decode = |ids: Vec<u32>| loaded.tokenizer.as_ref().map(|t| t.decode(&ids)).unwrap_or_default();
        let mut answers = answers.into_iter().map(decode);
        let mut out = Vec::new();
        for (n, said) in self.said.iter().enumerate() {
            out.push(json!({"role": "user", "content": said}));
            if n + 1 < self.said.len() {
                out.push(json!({"role": "assistant", "content": answers.next().unwrap_or_default()}));
            }
        }
        out
    }
}

fn tokenizer(loaded: &LoadedModel) -> Result<&Tokenizer, ExploreError> {
    loaded.tokenizer.as_ref().ok_or_else(|| {
        ModelError::input("this checkpoint has no tokenizer, so turns cannot be read")
            .with_hint("put tokenizer.json, or the model's other tokenizer files, beside the weights")
            .into()
    })
}

fn refused(refusal: ChatRefusal) -> ExploreError {
    let why = match refusal {
        ChatRefusal::Template(why) | ChatRefusal::Turn(why) => why,
        ChatRefusal::NoAnswer => "nobody has answered in it".to_owned(),
    };
    ModelError::input(format!("the chat template refuses this dialogue: {why}")).into()
}
