//! Where a long text may be cut before it is tokenised, so that the tokens of the parts, one after the other, are those of
//! the whole. What is proven here follows from the tokenizer's own pipeline; where nothing is proven, nothing is cut.
//!
//! A pipeline finds added tokens in the text, normalises what lies between them, cuts it into pre-tokens, and runs the
//! model on each pre-token alone. A cut is safe where four things hold:
//!
//! 1. No added token touches the place, so that none is broken and none takes whitespace from across it.
//! 2. The normalizer gives the two sides the same text together and apart.
//! 3. A pre-token ends there whatever follows, and the rest is cut from there on as it is cut alone.
//! 4. Nothing is put before the second part alone that is not there in the whole (a prefix space, a metaspace).

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{NormalizedString, Normalizer, Tokenizer as Inner};
use unicode_segmentation::UnicodeSegmentation;

use crate::support::caught::caught;

/// Bytes of a part. A part in work takes some 200 bytes a byte on its thread; shorter ones save nothing.
pub(super) const WINDOW: usize = 32 << 10;

/// What SentencePiece writes for a space.
const METASPACE: char = '▁';

/// GPT-2's pattern (`'s|'t|…| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`) ends a match before whitespace, after the
/// last letter and after the last digit, since no alternative goes on from there; and it looks at nothing before a match.
static AFTER_A_WORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\S\s|\p{L}[^\p{L}\s]|\p{N}[^\p{N}\s]").ok());
/// The same where a space would be put before what begins without one.
static BEFORE_A_SPACE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\S ").ok());
/// One space between two other characters.
static AT_ONE_SPACE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\S \S").ok());

/// Where a pipeline lets a text be cut: before the second character of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// GPT-2's byte-level pre-tokenizer alone.
    AfterWord,
    /// The same with `add_prefix_space`.
    BeforeSpace,
    /// A pre-tokenizer that begins or drops a piece at every space; a metaspace one also where the normalizer has
    /// written `▁` for it.
    OneSpace { metaspace: bool },
}

/// The safe places of one tokenizer.
#[derive(Clone, Debug)]
pub(super) struct Cuts {
    rule: Option<Rule>,
    normalizer: Option<NormalizerWrapper>,
    /// Added tokens that are looked for in the text as it is.
    added: Vec<Vec<u8>>,
}

impl Cuts {
    pub fn of(inner: &Inner) -> Self {
        let value = |part: Result<Value, serde_json::Error>| part.unwrap_or(Value::Bool(true));
        let normalizer = inner.get_normalizer();
        let rule = rule(
            &value(serde_json::to_value(normalizer)),
            &value(serde_json::to_value(inner.get_pre_tokenizer())),
        );
        let mut cuts = Cuts { rule, normalizer: normalizer.cloned(), added: Vec::new() };
        // Merges that are left out by chance are other ones every time.
        let random = matches!(inner.get_model(), ModelWrapper::BPE(bpe) if bpe.dropout.is_some());
        for token in inner.get_added_tokens_decoder().values() {
            if normalizer.is_some() && token.normalized {
                // Looked for in normalised text. Without a space in it, none can reach over one.
                let normal = cuts.normal(&token.content).unwrap_or_default();
                let spaced = |text: &str| text.contains(|c: char| c.is_whitespace() || c == METASPACE);
                if token.rstrip || normal.is_empty() || spaced(&normal) || spaced(&token.content) {
                    cuts.rule = None;
                }
            } else {
                cuts.added.push(token.content.clone().into_bytes());
            }
        }
        if random {
            cuts.rule = None;
        }
        cuts
    }

    /// `text` in parts of at least `window` bytes each (the last one excepted), whole where nothing is proven.
    pub fn parts<'t>(&self, text: &'t str, window: usize) -> Vec<&'t str> {
        let mut parts = Vec::new();
        let mut start = 0;
        while let Some(at) = self.next(text, start + window) {
            parts.push(&text[start..at]);
            start = at;
        }
        parts.push(&text[start..]);
        parts
    }

    /// The first safe place after the byte `from`.
    fn next(&self, text: &str, from: usize) -> Option<usize> {
        let pattern = match self.rule? {
            Rule::AfterWord => AFTER_A_WORD.as_ref()?,
            Rule::BeforeSpace => BEFORE_A_SPACE.as_ref()?,
            Rule::OneSpace { .. } => AT_ONE_SPACE.as_ref()?,
        };
        let mut from = (from..text.len()).find(|i| text.is_char_boundary(*i))?;
        while let Some(found) = pattern.find_at(text, from) {
            let mut around = found.as_str().chars();
            let (before, after) = (around.next()?, around.next_back()?);
            let at = found.start() + before.len_utf8();
            if !self.touched(text.as_bytes(), at) && self.normal_apart(before, after) {
                return Some(at);
            }
            from = at;
        }
        None
    }

    /// Whether an added token ends, begins or lies over the place.
    fn touched(&self, text: &[u8], at: usize) -> bool {
        self.added.iter().any(|token| {
            let near = &text[at.saturating_sub(token.len())..(at + token.len()).min(text.len())];
            near.windows(token.len()).any(|w| w == token)
        })
    }

    /// Whether a space between these two characters keeps them apart in the normalizer. Those that [`local`] lets pass
    /// change a character by itself, by its grapheme or by what combines with it, so the neighbours decide.
    fn normal_apart(&self, before: char, after: char) -> bool {
        if self.normalizer.is_none() {
            return true;
        }
        let text = format!("{before} {after}");
        let sides = (self.normal(&before.to_string()), self.normal(&after.to_string()), self.normal(&text));
        let (Some(left), Some(right), Some(whole)) = sides else { return false };
        let solid = |c: char| !c.is_whitespace() && c != METASPACE;
        left.ends_with(solid)
            && right.starts_with(solid)
            && text.graphemes(true).count() == 3
            && (whole == format!("{left} {right}")
                || self.rule == Some(Rule::OneSpace { metaspace: true })
                    && whole == format!("{left}{METASPACE}{right}"))
    }

    fn normal(&self, text: &str) -> Option<String> {
        let mut normalized = NormalizedString::from(text);
        // A damaged character map panics; then nothing is cut.
        caught(|| self.normalizer.as_ref()?.normalize(&mut normalized).ok())??;
        Some(normalized.get().to_owned())
    }
}

fn kind(part: &Value) -> &str {
    part["type"].as_str().unwrap_or_default()
}

/// The members of a `Sequence`, its sequences laid open; one part is a sequence of itself.
fn sequence<'v>(part: &'v Value, members: &str) -> Vec<&'v Value> {
    match part {
        Value::Null => Vec::new(),
        _ if kind(part) == "Sequence" => {
            let inside = part[members].as_array().into_iter().flatten();
            inside.flat_map(|member| sequence(member, members)).collect()
        }
        part => vec![part],
    }
}

/// What is proven of a pipeline, from its parts as `tokenizer.json` holds them.
fn rule(normalizer: &Value, pre_tokenizer: &Value) -> Option<Rule> {
    let normalizers = sequence(normalizer, "normalizers");
    let pieces = sequence(pre_tokenizer, "pretokenizers");
    if !normalizers.iter().all(|n| local(n)) {
        return None;
    }
    let byte_level = |p: &Value| kind(p) == "ByteLevel" && p["use_regex"] != false;
    if let [only] = pieces[..]
        && byte_level(only)
        && normalizers.is_empty()
    {
        let prefix = only["add_prefix_space"] != false;
        return Some(if prefix { Rule::BeforeSpace } else { Rule::AfterWord });
    }
    // These decide character by character, so they cut each side as they cut the whole.
    let by_character = |p: &&&Value| matches!(kind(p), "Digits" | "Punctuation");
    let mut rest = pieces.iter().skip_while(by_character);
    let first = rest.next()?;
    let safe = match kind(first) {
        // Whitespace is dropped: what follows works on words, none of which begins a part with nothing before it.
        "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" => true,
        "Metaspace" => first["split"] != false && rest.all(|p| kind(p) != "Metaspace"),
        "ByteLevel" => byte_level(first) && rest.all(|p| kind(p) != "Metaspace"),
        _ => false,
    };
    let metaspace = kind(first) == "Metaspace" && first["replacement"].as_str() == Some("▁");
    safe.then_some(Rule::OneSpace { metaspace })
}

/// Whether a normalizer looks no further than at a character and what combines with it. `Prepend` and a stripped left end
/// treat the beginning of a text as something else; a pattern may reach anywhere.
fn local(normalizer: &Value) -> bool {
    match kind(normalizer) {
        "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents" | "Nmt" | "Precompiled"
        | "BertNormalizer" => true,
        "Strip" => normalizer["strip_left"] == false,
        "Replace" => {
            let pattern = &normalizer["pattern"];
            let plain = pattern["String"].as_str();
            let word = |p: &str| p == " " || !(p.is_empty() || p.contains(char::is_whitespace));
            plain.is_some_and(word) || pattern["Regex"].as_str() == Some(" {2,}")
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "cuts_tests.rs"]
mod tests;
