//! Tokens and candidates in JSON: UTF-8 strings, with `bytes` in hex where they are not.

use serde::Serialize;

use crate::engine::loaded::LoadedModel;
use crate::engine::types::Candidate;
use crate::support::units::hex;

/// A token's text; an object with its bytes where they are not UTF-8.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TokenText {
    Text(String),
    Bytes { bytes: String },
}

impl TokenText {
    pub fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => TokenText::Text(text.to_owned()),
            Err(_) => TokenText::Bytes { bytes: hex(bytes) },
        }
    }
}

/// A candidate for the next token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Next {
    pub id: u32,
    pub token: TokenText,
    /// Probability, 0 to 1.
    pub p: f32,
}

/// Candidates as JSON holds them.
pub fn next_tokens(candidates: &[Candidate], loaded: &LoadedModel) -> Vec<Next> {
    candidates.iter().map(|c| Next { id: c.id, token: TokenText::new(&loaded.bytes(c.id)), p: c.p }).collect()
}
