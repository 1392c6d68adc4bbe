//! Byte-level BPE: text to ids with byte spans, ids to exact bytes, and a display form that is safe in a terminal cell.

use std::collections::HashMap;

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::error::ModelError;
/// How bytes look on screen.
pub use crate::support::visible::token as visible;

/// A tokenizer of the GPT-2 kind.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Inner,
    /// The byte that each character of a byte-level token stands for.
    bytes: HashMap<char, u8>,
    /// Id of `<|endoftext|>`, where there is one.
    pub eot: Option<u32>,
}

/// One token of an encoded text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub id: u32,
    /// Byte range of the text; tokens that split a character share its range.
    pub span: (usize, usize),
}

pub const END_OF_TEXT: &str = "<|endoftext|>";

/// GPT-2's map from bytes to printable characters: printable Latin-1 stands for itself, the rest for U+0100 and up.
pub fn byte_characters() -> [char; 256] {
    let mut map = ['\0'; 256];
    let mut next = 256u32;
    for byte in 0..=255u8 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if printable { u32::from(byte) } else { next };
        next += u32::from(!printable);
        map[byte as usize] = char::from_u32(code).unwrap_or('\u{fffd}');
    }
    map
}

impl Tokenizer {
    /// From `tokenizer.json`.
    pub fn from_json(bytes: &[u8], file: &str) -> Result<Self, ModelError> {
        let inner = Inner::from_bytes(bytes)
            .map_err(|e| ModelError::file(file, format!("not a tokenizer this program can read: {e}")))?;
        Ok(Self::wrap(inner))
    }

    /// From `vocab.json` and `merges.txt`, when that is all a checkpoint has.
    pub fn from_vocab(vocab: &[u8], merges: &str, file: &str) -> Result<Self, ModelError> {
        let bad = |problem: String| ModelError::file(file, problem);
        let vocab: HashMap<String, u32> = serde_json::from_slice(vocab)
            .map_err(|e| bad(format!("vocab.json is not a map of tokens to ids: {e}")))?;
        let mut pairs = Vec::new();
        for (number, line) in merges.lines().enumerate() {
            if line.starts_with("#version") || line.trim().is_empty() {
                continue;
            }
            match line.split_once(' ') {
                Some((a, b)) if !b.contains(' ') => pairs.push((a.to_owned(), b.to_owned())),
                _ => return Err(bad(format!("merges.txt line {} is not a pair of tokens", number + 1))),
            }
        }
        let eot = vocab.contains_key(END_OF_TEXT);
        let bpe = BPE::builder()
            .vocab_and_merges(vocab.into_iter().collect::<tokenizers::models::bpe::Vocab>(), pairs)
            .build()
            .map_err(|e| bad(format!("vocabulary and merges do not fit: {e}")))?;
        let mut inner = Inner::new(bpe);
        inner.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        inner.with_decoder(Some(ByteLevel::default()));
        if eot {
            inner
                .add_special_tokens([AddedToken::from(END_OF_TEXT, true)])
                .map_err(|e| bad(format!("special token {END_OF_TEXT} cannot be added: {e}")))?;
        }
        Ok(Self::wrap(inner))
    }

    fn wrap(mut inner: Inner) -> Self {
        // A truncation or padding stored in the file would silently change what is run.
        let _ = inner.with_truncation(None);
        inner.with_padding(None);
        let eot = inner.token_to_id(END_OF_TEXT);
        let bytes = byte_characters().iter().enumerate().map(|(b, &c)| (c, b as u8)).collect();
        Tokenizer { inner, bytes, eot }
    }

    /// Number of ids, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Text to tokens; nothing is added before or after.
    pub fn encode(&self, text: &str) -> Result<Vec<Piece>, ModelError> {
        let encoding = self
            .inner
            .encode(text, false)
            .map_err(|e| ModelError::input(format!("the text cannot be tokenised: {e}")))?;
        let pieces = encoding.get_ids().iter().zip(encoding.get_offsets());
        Ok(pieces.map(|(&id, &span)| Piece { id, span }).collect())
    }

    /// The exact bytes of one token; empty for an unknown id.
    pub fn bytes(&self, id: u32) -> Vec<u8> {
        let Some(token) = self.inner.id_to_token(id) else { return Vec::new() };
        if self.inner.get_added_vocabulary().is_special_token(&token) {
            return token.into_bytes();
        }
        let known: Option<Vec<u8>> = token.chars().map(|c| self.bytes.get(&c).copied()).collect();
        known.unwrap_or_else(|| token.into_bytes())
    }

    /// Exact text of ids, with U+FFFD for bytes that are not UTF-8.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How a token looks on screen: see [`visible`].
    pub fn display(&self, id: u32) -> String {
        visible(&self.bytes(id))
    }

    /// The tokenizer's own JSON, for a saved checkpoint.
    pub fn to_json(&self) -> Result<String, ModelError> {
        self.inner
            .to_string(true)
            .map_err(|e| ModelError::file("tokenizer.json", format!("cannot be written: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        let map = byte_characters();
        let distinct: std::collections::HashSet<char> = map.iter().copied().collect();
        assert_eq!(distinct.len(), 256);
        assert_eq!(map[b' ' as usize], 'Ġ');
        assert_eq!(map[b'\n' as usize], 'Ċ');
        assert_eq!(map[b'A' as usize], 'A');
    }
}
