//! Byte-level BPE: text to ids with byte spans, ids to exact bytes, and a display form that is safe in a terminal cell.

mod cuts;

use std::collections::HashMap;

use rayon::prelude::*;
use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::error::ModelError;
use cuts::Cuts;

/// A tokenizer of the GPT-2 kind.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Inner,
    /// The byte that each character of a byte-level token stands for.
    bytes: HashMap<char, u8>,
    cuts: Cuts,
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
        let cuts = Cuts::of(&inner);
        Tokenizer { inner, bytes, cuts, eot }
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

    /// The ids of a text of any length: those of [`Tokenizer::encode`]. A long text is cut where that is proven to change
    /// nothing, and its parts are spread over rayon's pool.
    ///
    /// # Errors
    /// Text that the tokenizer refuses.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let parts = self.cuts.parts(text, cuts::WINDOW);
        if let [whole] = parts[..] {
            return self.ids_of(whole);
        }
        let parts: Vec<Vec<u32>> =
            parts.par_iter().map(|part| self.ids_of(part)).collect::<Result<_, _>>()?;
        Ok(parts.concat())
    }

    fn ids_of(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|e| ModelError::input(format!("the text cannot be tokenised: {e}")))?;
        Ok(encoding.get_ids().to_vec())
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

/// Makes bytes safe and readable in a terminal cell: space `·`, newline `↵`, tab `→`, other control characters and
/// bidirectional overrides as `\u{..}`, loose bytes as `‹hex›`.
pub fn visible(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                ' ' => out.push('·'),
                '\n' => out.push('↵'),
                '\t' => out.push('→'),
                c if c.is_control() || is_format_control(c) => {
                    out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("‹{byte:02x}›"));
        }
    }
    out
}

/// Characters that change the direction or joining of what follows without being seen.
fn is_format_control(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
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

    #[test]
    fn nothing_raw_reaches_the_terminal() {
        let shown = visible("a\u{1b}[31m\u{7}\u{202e}b\u{9b}".as_bytes());
        assert!(shown.chars().all(|c| !c.is_control() && !is_format_control(c)), "{shown}");
        assert_eq!(visible(b"\xff x\n"), "‹ff›·x↵");
    }
}
