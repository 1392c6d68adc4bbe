//! What a tokenizer's file may ask for: patterns of a size that can be compiled, and a normaliser that does not multiply
//! texts. A file of some kilobytes could otherwise ask for any memory, at loading or at the first text.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::{NormalizedString, Normalizer};
use unicode_segmentation::UnicodeSegmentation;

use crate::support::units::bytes as human_bytes;

/// Longest pattern, in bytes; those of published tokenizers stay under 2 kB.
const LONGEST_PATTERN: usize = 16 << 10;

/// Largest product of the counted repeats of a pattern (`\p{N}{1,3}` counts 3): a compiled pattern grows with it.
const MOST_REPEATS: u64 = 1000;

/// Longest text that a decoder puts in the place of another, in bytes.
const LONGEST_CONTENT: usize = 4 << 10;

/// Bytes of the longest text that Unicode puts in the place of a character (U+FDFA under NFKC).
const LONGEST_ENTRY: f64 = 33.0;

/// A normaliser that cannot make a text more times longer than this is never checked again.
const HARMLESS: f64 = 8.0;

/// What a text may grow to, in times its length, and what is always allowed, in bytes.
const GROWTH: usize = 8;
const ALWAYS: usize = 1 << 20;

/// Bytes of a text that are judged at a time, as a check must not hold more than the text itself.
const PART: usize = 256 << 10;

/// The parts of `tokenizer.json` that are judged before the library reads it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    added_tokens: Vec<Value>,
}

/// Judges a `tokenizer.json` before anything of it is compiled or run; may panic where the library does.
///
/// # Errors
/// In words that follow the file's name: not JSON, a pattern that is too large, a normaliser that multiplies its tokens.
pub fn judge(json: &[u8]) -> Result<(), String> {
    let outline: Outline =
        serde_json::from_slice(json).map_err(|e| format!("not a tokenizer this program can read: {e}"))?;
    for part in [&outline.normalizer, &outline.pre_tokenizer, &outline.decoder] {
        judge_part(part)?;
    }
    judge_contents(&outline.decoder)?;
    // A normaliser that the library refuses is the library's to name.
    let Ok(normalizer) = serde_json::from_value::<NormalizerWrapper>(outline.normalizer) else {
        return Ok(());
    };
    if !multiplies(&normalizer) {
        return Ok(());
    }
    let contents = outline.added_tokens.iter().filter(|t| t["normalized"] != false);
    contents.filter_map(|t| t["content"].as_str()).try_for_each(|text| judge_text(&normalizer, text))
}

/// Judges every pattern within a part of the pipeline.
fn judge_part(part: &Value) -> Result<(), String> {
    match part {
        Value::Object(fields) => {
            if let Some(pattern) = fields.get("pattern") {
                let (plain, regex) = (pattern["String"].as_str(), pattern["Regex"].as_str());
                judge_pattern(plain.or(regex).unwrap_or_default(), regex.is_some())?;
            }
            fields.values().try_for_each(judge_part)
        }
        Value::Array(items) => items.iter().try_for_each(judge_part),
        _ => Ok(()),
    }
}

/// Judges a pattern by its size before it is compiled.
///
/// # Errors
/// One that is longer than any tokenizer needs, or that repeats its parts too often.
pub fn judge_pattern(pattern: &str, regex: bool) -> Result<(), String> {
    let length = pattern.len();
    if length > LONGEST_PATTERN {
        return Err(format!(
            "has a pattern of {}, more than {} for a tokenizer's pattern",
            human_bytes(length as u64),
            human_bytes(LONGEST_PATTERN as u64)
        ));
    }
    let repeats = if regex { repeats(pattern) } else { 1 };
    if repeats > MOST_REPEATS {
        return Err(format!(
            "has a pattern that repeats its parts {repeats} times, more than {MOST_REPEATS}"
        ));
    }
    Ok(())
}

/// The product of the largest counts in `{n}`, `{n,}` and `{n,m}`: what nested repeats can come to.
fn repeats(pattern: &str) -> u64 {
    let counts = pattern.split('{').skip(1).filter_map(|rest| {
        let (inside, _) = rest.split_once('}')?;
        let numbers: Option<Vec<u64>> =
            inside.split(',').filter(|n| !n.is_empty()).map(|n| n.trim().parse().ok()).collect();
        numbers?.into_iter().max()
    });
    counts.fold(1, |product: u64, count| product.saturating_mul(count.max(1)))
}

/// Judges the texts that a decoder writes.
fn judge_contents(decoder: &Value) -> Result<(), String> {
    match decoder {
        Value::Object(fields) => {
            let content = fields.get("content").and_then(Value::as_str).unwrap_or_default();
            if content.len() > LONGEST_CONTENT {
                return Err(format!(
                    "has a decoder that writes {} for one match, more than {}",
                    human_bytes(content.len() as u64),
                    human_bytes(LONGEST_CONTENT as u64)
                ));
            }
            fields.values().try_for_each(judge_contents)
        }
        Value::Array(items) => items.iter().try_for_each(judge_contents),
        _ => Ok(()),
    }
}

/// Whether a normaliser could make some text many times as long.
pub fn multiplies(normalizer: &NormalizerWrapper) -> bool {
    factor(normalizer) > HARMLESS
}

/// How many times as long a text may become, at most. Rules of Unicode are counted as 1: they cannot be chosen.
fn factor(normalizer: &NormalizerWrapper) -> f64 {
    match normalizer {
        NormalizerWrapper::Sequence(parts) => parts.as_ref().iter().map(factor).product(),
        NormalizerWrapper::Replace(replace) => {
            let shortest = match pattern(normalizer) {
                Some(ReplacedPattern::Plain(plain)) => plain.len().max(1),
                // It matches once.
                Some(ReplacedPattern::Regex(regex)) if regex.starts_with(r"\A") => return 1.0,
                _ => 1,
            };
            (replace.content.len() as f64 / shortest as f64).max(1.0)
        }
        NormalizerWrapper::Prepend(prepend) => (prepend.prepend.len() as f64 / 8.0).max(1.0),
        NormalizerWrapper::Precompiled(_) => longest_replacement(normalizer),
        _ => 1.0,
    }
}

/// What a `Replace` looks for.
enum ReplacedPattern {
    Plain(String),
    Regex(String),
}

fn pattern(replace: &NormalizerWrapper) -> Option<ReplacedPattern> {
    let value = serde_json::to_value(replace).ok()?;
    let text = |name: &str| value["pattern"][name].as_str().map(str::to_owned);
    text("String").map(ReplacedPattern::Plain).or_else(|| text("Regex").map(ReplacedPattern::Regex))
}

/// Judges what a normaliser would make of `text`, step by step and before each step.
///
/// # Errors
/// A text that would become much longer.
pub fn judge_text(normalizer: &NormalizerWrapper, text: &str) -> Result<(), String> {
    let mut rest = text;
    while !rest.is_empty() {
        let (part, later) = rest.split_at(rest.floor_char_boundary(PART.min(rest.len())));
        let limit = (GROWTH * part.len()).max(ALWAYS);
        step(normalizer, &mut NormalizedString::from(part), limit).map_err(|length| {
            format!(
                "has a normaliser that makes {} of text more than {} long",
                human_bytes(part.len() as u64),
                human_bytes(length.min(limit) as u64)
            )
        })?;
        rest = later;
    }
    Ok(())
}

/// Runs the steps of a normaliser; an error is the length that one of them would make.
fn step(normalizer: &NormalizerWrapper, text: &mut NormalizedString, limit: usize) -> Result<(), usize> {
    if let NormalizerWrapper::Sequence(parts) = normalizer {
        return parts.as_ref().iter().try_for_each(|part| step(part, text, limit));
    }
    let length = length_after(normalizer, text.get());
    if length > limit {
        return Err(length);
    }
    // What the library refuses to run, it refuses again when the text is tokenised.
    let ran = normalizer.normalize(text).is_ok();
    if ran && text.get().len() > limit { Err(text.get().len()) } else { Ok(()) }
}

/// The length of `text` after a step, at most, told without running it; of steps that cannot be chosen, as it is.
fn length_after(normalizer: &NormalizerWrapper, text: &str) -> usize {
    match normalizer {
        NormalizerWrapper::Replace(replace) => {
            let matches = match pattern(normalizer) {
                Some(ReplacedPattern::Plain(plain)) if !plain.is_empty() => text.matches(&plain).count(),
                Some(ReplacedPattern::Regex(regex)) if regex.starts_with(r"\A") => 1,
                _ => text.chars().count() + 1,
            };
            text.len().saturating_add(matches.saturating_mul(replace.content.len()))
        }
        NormalizerWrapper::Prepend(prepend) => text.len() + prepend.prepend.len(),
        NormalizerWrapper::Precompiled(map) => {
            let of = |part: &str| map.transform(part).map_or(part.len(), str::len);
            let grapheme =
                |g: &str| of(g).max(g.char_indices().map(|(at, c)| of(&g[at..at + c.len_utf8()])).sum());
            text.graphemes(true).map(grapheme).sum()
        }
        _ => text.len(),
    }
}

/// Bytes of the longest text that a character map puts in the place of a character: the texts lie behind its table, each
/// with a zero after it.
fn longest_replacement(map: &NormalizerWrapper) -> f64 {
    let value = serde_json::to_value(map).unwrap_or_default();
    let bytes = from_base64(value["precompiled_charsmap"].as_str().unwrap_or_default());
    let table = bytes.first_chunk::<4>().map_or(0, |n| u32::from_le_bytes(*n) as usize);
    let texts = bytes.get(4 + table..).unwrap_or(&bytes);
    let longest = texts.split(|b| *b == 0).map(<[u8]>::len).max().unwrap_or(0);
    (longest as f64 / LONGEST_ENTRY).max(1.0)
}

/// The bytes of a base64 text; what is not in its alphabet is passed over.
fn from_base64(text: &str) -> Vec<u8> {
    let (mut out, mut held, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        (held, bits) = (held << 6 | u32::from(digit), bits + 6);
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    out
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
