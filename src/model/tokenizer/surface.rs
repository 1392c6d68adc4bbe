//! How the pieces of one tokenizer become text. Decided once, from the tokenizer's own decoder; nothing else in the
//! program knows how a vocabulary writes spaces, bytes or the inside of words.
//!
//! Added tokens are text already: only the vocabulary's own pieces are written in its alphabet.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::{Decoder, DecoderWrapper, Tokenizer as Inner};

use super::byte_level::byte_characters;
use crate::support::caught::caught;

/// Bytes of a piece up to which the library's steps are run: one that multiplies must come to an end.
const LONGEST_PIECE: usize = 64 << 10;

/// One step from a piece to its bytes.
#[derive(Clone)]
enum Step {
    /// Each character stands for one byte.
    Bytes(HashMap<char, u8>),
    /// `<0xE4>` is that byte.
    ByteFallback,
    /// A character for a space.
    Space(char),
    /// Inside of words: a piece with the prefix continues the word, one without it begins one.
    Words { prefix: String, cleanup: bool },
    /// A suffix that ends a word.
    WordEnd(String),
    /// The library's own step, which looks at one piece at a time.
    Library(DecoderWrapper),
}

/// The rule of one tokenizer.
#[derive(Clone)]
pub struct Surface {
    steps: Vec<Step>,
    /// Spaces that are no part of the text at its beginning and its end.
    trim: (usize, usize),
    /// The normaliser writes in the byte alphabet, so that added tokens that went through it are in it, too.
    bytes_first: bool,
}

impl Surface {
    /// From a tokenizer's decoder; where it has none, from its pre-tokenizer and model.
    pub fn of(inner: &Inner) -> Self {
        let decoder = inner.get_decoder().and_then(|d| serde_json::to_value(d).ok());
        let before = inner.get_pre_tokenizer().and_then(|p| serde_json::to_value(p).ok());
        let normaliser = inner.get_normalizer().and_then(|n| serde_json::to_value(n).ok());
        let bytes_first = normaliser.as_ref().is_some_and(|n| find(n, "ByteLevel").is_some());
        let mut surface = Surface { steps: Vec::new(), trim: (0, 0), bytes_first };
        match &decoder {
            Some(decoder) => surface.take(decoder),
            None => surface.guess(inner, before.as_ref()),
        }
        surface
    }

    fn take(&mut self, decoder: &Value) {
        let text = |name: &str| decoder.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let count = |name: &str| decoder.get(name).and_then(Value::as_u64).unwrap_or(0) as usize;
        match decoder.get("type").and_then(Value::as_str) {
            Some("Sequence") => {
                let steps = decoder.get("decoders").and_then(Value::as_array);
                steps.into_iter().flatten().for_each(|step| self.take(step));
            }
            Some("ByteLevel") => self.steps.push(Step::Bytes(alphabet())),
            Some("ByteFallback") => self.steps.push(Step::ByteFallback),
            Some("Metaspace") => self.metaspace(decoder),
            Some("WordPiece") => {
                let cleanup = decoder.get("cleanup").and_then(Value::as_bool).unwrap_or(true);
                self.steps.push(Step::Words { prefix: text("prefix"), cleanup });
                self.trim = (1, 0);
            }
            Some("BPEDecoder") => {
                self.steps.push(Step::WordEnd(text("suffix")));
                self.trim = (0, 1);
            }
            // The caller joins the pieces; a strip acts on the ends of the text.
            Some("Strip") if text("content") == " " => self.trim = (count("start"), count("stop")),
            Some("Fuse") => {}
            _ => self.steps.extend(serde_json::from_value(decoder.clone()).ok().map(Step::Library)),
        }
    }

    fn metaspace(&mut self, part: &Value) {
        let sign = part.get("replacement").and_then(Value::as_str).and_then(|s| s.chars().next());
        self.steps.push(Step::Space(sign.unwrap_or('▁')));
        let never = part.get("prepend_scheme").and_then(Value::as_str) == Some("never");
        self.trim = (usize::from(!never), 0);
    }

    /// A tokenizer without a decoder: the pre-tokenizer tells how spaces are kept, the model the rest.
    fn guess(&mut self, inner: &Inner, before: Option<&Value>) {
        if self.bytes_first || before.is_some_and(|b| find(b, "ByteLevel").is_some()) {
            return self.steps.push(Step::Bytes(alphabet()));
        }
        let (fallback, suffix, prefix) = match inner.get_model() {
            ModelWrapper::BPE(m) => {
                (m.byte_fallback, m.end_of_word_suffix.clone(), m.get_continuing_subword_prefix().clone())
            }
            ModelWrapper::Unigram(m) => (m.byte_fallback(), None, None),
            ModelWrapper::WordPiece(m) => (false, None, Some(m.continuing_subword_prefix.clone())),
            ModelWrapper::WordLevel(_) => (false, None, None),
        };
        if fallback {
            self.steps.push(Step::ByteFallback);
        }
        if let Some(metaspace) = before.and_then(|b| find(b, "Metaspace")) {
            self.metaspace(metaspace);
        } else if let Some(suffix) = suffix.filter(|s| !s.is_empty()) {
            self.steps.push(Step::WordEnd(suffix));
            self.trim = (0, 1);
        } else if before.is_some() {
            // What splits words and keeps no sign of the space loses it.
            let prefix = prefix.unwrap_or_default();
            self.steps.push(Step::Words { prefix, cleanup: false });
            self.trim = (1, 0);
        }
    }

    /// Whether spaces are no part of any piece: then only the text itself says where they were.
    pub fn loses_spaces(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Words { .. }))
    }

    /// The bytes of a piece of the vocabulary.
    pub fn bytes(&self, piece: &str) -> Vec<u8> {
        self.run(piece, false)
    }

    /// The bytes of an added token. `matched` is what it is matched as, where the normaliser changes it.
    pub fn added(&self, content: &str, matched: &str) -> Vec<u8> {
        if content == matched { content.as_bytes().to_vec() } else { self.run(matched, true) }
    }

    fn run(&self, piece: &str, added: bool) -> Vec<u8> {
        let mut text = piece.to_owned();
        for step in &self.steps {
            match step {
                Step::Bytes(alphabet) if !added || self.bytes_first => {
                    let bytes: Option<Vec<u8>> = text.chars().map(|c| alphabet.get(&c).copied()).collect();
                    return bytes.unwrap_or_else(|| text.into_bytes());
                }
                Step::ByteFallback => {
                    if let Some(byte) = fallback_byte(&text) {
                        return vec![byte];
                    }
                }
                Step::Space(sign) => text = text.replace(*sign, " "),
                Step::Words { prefix, cleanup } if !added => text = in_words(&text, prefix, *cleanup),
                Step::WordEnd(suffix) => text = text.replace(suffix.as_str(), " "),
                Step::Library(decoder) if text.len() <= LONGEST_PIECE => {
                    // A damaged decoder panics; the piece is then shown as it is.
                    let decoded = caught(|| decoder.decode_chain(vec![text.clone()]));
                    text = decoded.and_then(Result::ok).map_or(text, |parts| parts.concat());
                }
                Step::Bytes(_) | Step::Words { .. } | Step::Library(_) => {}
            }
        }
        text.into_bytes()
    }

    /// Whether a piece begins a word; `bytes` is what it stands for.
    pub fn begins_word(&self, piece: &str, bytes: &[u8]) -> bool {
        let words = self.steps.iter().find_map(|step| match step {
            Step::Words { prefix, .. } => Some(prefix),
            _ => None,
        });
        match words {
            Some(prefix) => prefix.is_empty() || !piece.starts_with(prefix.as_str()),
            None => bytes.first().is_some_and(u8::is_ascii_whitespace),
        }
    }

    /// Text without the spaces that the tokenizer put around it.
    pub fn trimmed<'a>(&self, mut text: &'a [u8]) -> &'a [u8] {
        for _ in 0..self.trim.0 {
            text = text.strip_prefix(b" ").unwrap_or(text);
        }
        for _ in 0..self.trim.1 {
            text = text.strip_suffix(b" ").unwrap_or(text);
        }
        text
    }
}

fn alphabet() -> HashMap<char, u8> {
    byte_characters().iter().enumerate().map(|(byte, &c)| (c, byte as u8)).collect()
}

/// The byte of `<0xE4>`.
fn fallback_byte(piece: &str) -> Option<u8> {
    let hex = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() == 2 { u8::from_str_radix(hex, 16).ok() } else { None }
}

/// A word piece alone, as the library's decoder writes it between others. A piece that continues a word loses its prefix.
/// Any other gets a space before it, unless it is a single character or punctuation.
fn in_words(piece: &str, prefix: &str, cleanup: bool) -> String {
    if let Some(rest) = piece.strip_prefix(prefix).filter(|_| !prefix.is_empty()) {
        return rest.to_owned();
    }
    let closing = cleanup && matches!(piece, "." | "," | "?" | "!");
    let mut chars = piece.chars();
    let alone = matches!((chars.next(), chars.next()), (Some(c), None) if is_ideograph(c) || is_wide_sign(c));
    if closing || alone { piece.to_owned() } else { format!(" {piece}") }
}

/// Characters that BERT's normaliser sets apart (its `handle_chinese_chars`).
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c), 0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

/// Punctuation of Chinese and Japanese text, which stands without spaces.
fn is_wide_sign(c: char) -> bool {
    matches!(c, '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}')
}

/// The part of that type within a pre-tokenizer or a normaliser.
fn find<'a>(part: &'a Value, kind: &str) -> Option<&'a Value> {
    if part.get("type").and_then(Value::as_str) == Some(kind) {
        return Some(part);
    }
    let parts = ["pretokenizers", "normalizers"].iter().find_map(|name| part.get(*name)?.as_array());
    parts.into_iter().flatten().find_map(|inside| find(inside, kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn surface(decoder: &Value) -> Surface {
        let mut surface = Surface { steps: Vec::new(), trim: (0, 0), bytes_first: false };
        surface.take(decoder);
        surface
    }

    #[test]
    fn bytes_of_a_character_that_spans_several_tokens_join() {
        let gpt2 = surface(&json!({"type": "ByteLevel"}));
        let parts = ["ðŁ", "ĺ", "Ģ"].map(|piece| gpt2.bytes(piece));
        assert_eq!(parts[0], [0xf0, 0x9f]);
        assert_eq!(parts.concat(), "😀".as_bytes());
        assert_eq!(gpt2.bytes("Ġ漢"), "Ġ漢".as_bytes(), "漢 is in no byte alphabet");
        assert_eq!(gpt2.added("kuća Größe", "kuća Größe"), "kuća Größe".as_bytes());
    }

    #[test]
    fn byte_fallback_comes_before_spaces() {
        let llama = surface(&json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]}));
        assert_eq!(llama.bytes("▁the"), b" the");
        assert_eq!(llama.bytes("<0xF0>"), [0xf0]);
        assert_eq!(llama.bytes("<0xF>"), b"<0xF>");
        assert_eq!(llama.trimmed(b"  the"), b" the");
        assert_eq!(llama.added("kuća", "▁kuća"), " kuća".as_bytes());
        assert!(llama.begins_word("▁the", b" the") && !llama.begins_word("the", b"the"));
    }

    #[test]
    fn word_pieces_stand_apart_unless_they_go_on_with_a_word() {
        let bert = surface(&json!({"type": "WordPiece", "prefix": "##", "cleanup": true}));
        assert_eq!(
            ["play", "##ing", ".", "今", "，"].map(|p| bert.bytes(p)).concat(),
            " playing.今，".as_bytes()
        );
        assert!(bert.begins_word("今", "今".as_bytes()) && !bert.begins_word("##ing", b"ing"));
        assert!(bert.loses_spaces());
    }

    #[test]
    fn ends_of_words_are_spaces() {
        let gpt1 = surface(&json!({"type": "BPEDecoder", "suffix": "</w>"}));
        assert_eq!(gpt1.trimmed(&["the</w>", "se", "a</w>"].map(|p| gpt1.bytes(p)).concat()), b"the sea");
    }
}
