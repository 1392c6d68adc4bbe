//! A SentencePiece model (`spiece.model`, `tokenizer.model`) as a tokenizer of Hugging Face's library.
//!
//! The conversion is that of transformers' `SpmConverter.build_tokenizer_from_spm_proto`, which encodes as
//! `SentencePieceProcessor.encode` does; control symbols become special tokens, user-defined ones are never split.

use prost::Message;
use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Sequence};
use tokenizers::{AddedToken, DecoderWrapper, PreTokenizerWrapper, Tokenizer as Inner};

use super::special::Described;
use crate::model::error::ModelError;

/// The parts of `sentencepiece_model.proto` that encoding needs; numbers are those of that file.
#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<SentencePiece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<NormalizerSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct SentencePiece {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(int32, optional, tag = "3", default = "1")]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerSpec {
    #[prost(int32, optional, tag = "3", default = "1")]
    model_type: Option<i32>,
    #[prost(bool, optional, tag = "24")]
    space_as_suffix: Option<bool>,
    #[prost(bool, optional, tag = "35")]
    byte_fallback: Option<bool>,
    #[prost(int32, optional, tag = "40")]
    unk_id: Option<i32>,
    #[prost(string, optional, tag = "45")]
    unk_piece: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerSpec {
    #[prost(bytes = "vec", optional, tag = "2")]
    charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3", default = "true")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4", default = "true")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5", default = "true")]
    escape_whitespaces: Option<bool>,
}

/// Bytes of all user-defined symbols together: they become one pattern.
const LONGEST_DEFINED: usize = 1 << 20;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

const UNIGRAM: i32 = 1;
const BPE_MODEL: i32 = 2;

/// Reads a model; `told` is what the files beside it say.
///
/// # Errors
/// A file that is no SentencePiece model, or one of a kind that cannot be read.
pub fn from_model(bytes: &[u8], told: &Described, file: &str) -> Result<Inner, ModelError> {
    let bad = |problem: String| ModelError::file(file, problem);
    let proto = ModelProto::decode(bytes).map_err(|e| bad(format!("not a SentencePiece model: {e}")))?;
    if proto.pieces.is_empty() {
        return Err(bad("not a SentencePiece model: it has no pieces".to_owned()));
    }
    let trainer = proto.trainer.clone().unwrap_or_default();
    if trainer.space_as_suffix() {
        return Err(
            bad("its spaces end words (treat_whitespace_as_suffix), which cannot be read".to_owned()),
        );
    }
    let model = match trainer.model_type() {
        UNIGRAM => unigram(&proto, &trainer).map(ModelWrapper::Unigram),
        BPE_MODEL => bpe(&proto, &trainer).map(ModelWrapper::BPE),
        other => return Err(bad(format!("its model type is {other}, neither unigram (1) nor BPE (2)"))),
    };
    let refused = |e: tokenizers::Error| bad(format!("not a SentencePiece model that can be used: {e}"));
    let mut inner = Inner::new(model.map_err(refused)?);
    let spec = proto.normalizer.clone().unwrap_or_default();
    let legacy = told.switch("legacy").unwrap_or(told.class != "LlamaTokenizer");
    let normaliser = normaliser(&spec, told, legacy).map_err(refused)?;
    inner.with_normalizer(Some(normaliser)).map_err(refused)?;
    let dummy_prefix = spec.add_dummy_prefix();
    let defined = texts(&proto, USER_DEFINED);
    if defined.iter().map(|text| text.len()).sum::<usize>() > LONGEST_DEFINED {
        return Err(bad("its symbols of kind USER_DEFINED are too long together".to_owned()));
    }
    if let Some(before) = before(dummy_prefix, legacy, &defined) {
        inner.with_pre_tokenizer(Some(part::<PreTokenizerWrapper>(before).map_err(refused)?));
    }
    let decoder = decoder(trainer.byte_fallback(), dummy_prefix);
    inner.with_decoder(Some(part::<DecoderWrapper>(decoder).map_err(refused)?));
    let control = texts(&proto, CONTROL).into_iter().map(|text| AddedToken::from(text, true));
    inner.add_tokens(control).map_err(refused)?;
    Ok(inner)
}

/// A part of the library from its JSON.
fn part<T: serde::de::DeserializeOwned>(value: Value) -> tokenizers::Result<T> {
    serde_json::from_value(value).map_err(Into::into)
}

fn texts(proto: &ModelProto, kind: i32) -> Vec<&str> {
    proto.pieces.iter().filter(|p| p.kind() == kind).map(SentencePiece::piece).collect()
}

fn unigram(proto: &ModelProto, trainer: &TrainerSpec) -> tokenizers::Result<Unigram> {
    let vocab = proto.pieces.iter().map(|p| (p.piece().to_owned(), f64::from(p.score()))).collect();
    let marked = proto.pieces.iter().position(|p| p.kind() == UNKNOWN);
    let unknown = marked.or(trainer.unk_id.and_then(|id| usize::try_from(id).ok()));
    Unigram::from(vocab, unknown.or(Some(0)), trainer.byte_fallback())
}

/// SentencePiece merges the two neighbours whose joined piece has the best score; merges in that order do the same.
fn bpe(proto: &ModelProto, trainer: &TrainerSpec) -> tokenizers::Result<BPE> {
    let vocab: Vocab =
        proto.pieces.iter().enumerate().map(|(id, p)| (p.piece().to_owned(), id as u32)).collect();
    let normal = |text: &str| vocab.get(text).is_some_and(|&id| proto.pieces[id as usize].kind() == NORMAL);
    let mut merges: Vec<(f32, usize, (String, String))> = Vec::new();
    for (id, p) in proto.pieces.iter().enumerate().filter(|(_, p)| p.kind() == NORMAL) {
        let text = p.piece();
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if normal(left) && normal(right) {
                merges.push((p.score(), id, (left.to_owned(), right.to_owned())));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then_with(|| a.2.cmp(&b.2)));
    let unknown = texts(proto, UNKNOWN).first().map(|text| (*text).to_owned());
    BPE::builder()
        .vocab_and_merges(vocab, merges.into_iter().map(|(.., pair)| pair).collect())
        .unk_token(unknown.or(trainer.unk_piece.clone()).unwrap_or_else(|| "<unk>".to_owned()))
        .fuse_unk(true)
        .byte_fallback(trainer.byte_fallback())
        .ignore_merges(!texts(proto, USER_DEFINED).is_empty())
        .build()
}

/// SentencePiece's own order: the character map, spaces, then `▁` for a space.
fn normaliser(
    spec: &NormalizerSpec,
    told: &Described,
    legacy: bool,
) -> tokenizers::Result<NormalizerWrapper> {
    let replace = |pattern: Value, content: &str| {
        part::<NormalizerWrapper>(json!({"type": "Replace", "pattern": pattern, "content": content}))
    };
    let mut parts: Vec<NormalizerWrapper> = Vec::new();
    // What these classes do before SentencePiece sees the text.
    if matches!(told.class.as_str(), "XLNetTokenizer" | "AlbertTokenizer") {
        parts.push(replace(json!({"String": "``"}), "\"")?);
        parts.push(replace(json!({"String": "''"}), "\"")?);
        if told.switch("keep_accents") != Some(true) {
            parts.push(part(json!({"type": "NFKD"}))?);
            parts.push(part(json!({"type": "StripAccents"}))?);
        }
    }
    if told.switch("do_lower_case") == Some(true) {
        parts.push(part(json!({"type": "Lowercase"}))?);
    }
    if let Some(map) = spec.charsmap.as_deref().filter(|map| !map.is_empty()) {
        parts.push(Precompiled::from(map).map_err(|e| format!("its character map: {e}"))?.into());
    }
    if spec.remove_extra_whitespaces() {
        parts.push(replace(json!({"Regex": r"\A +| +\z"}), "")?);
        parts.push(replace(json!({"Regex": " {2,}"}), " ")?);
    }
    if spec.escape_whitespaces() {
        parts.push(replace(json!({"String": " "}), "▁")?);
    }
    if spec.add_dummy_prefix() && legacy {
        // The library leaves out the prefix where the text begins with "▁"; SentencePiece does not.
        parts.push(replace(json!({"Regex": r"\A▁"}), "▁▁")?);
    }
    Ok(Sequence::new(parts).into())
}

/// The prefix before a text, and symbols that stand whole.
fn before(dummy_prefix: bool, legacy: bool, defined: &[&str]) -> Option<Value> {
    let mut parts = Vec::new();
    if dummy_prefix {
        let scheme = if legacy { "always" } else { "first" };
        parts
            .push(json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false}));
    }
    if !defined.is_empty() {
        let mut longest: Vec<&str> = defined.to_vec();
        longest.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let pattern: Vec<String> = longest.iter().map(|text| escaped(text)).collect();
        parts.push(json!({"type": "Split", "pattern": {"Regex": pattern.join("|")}, "behavior": "Isolated",
            "invert": false}));
    }
    (!parts.is_empty()).then(|| json!({"type": "Sequence", "pretokenizers": parts}))
}

/// A text as a pattern that matches it alone. Signs that a backslash would give a meaning, such as `\<`, stay as they are.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn decoder(byte_fallback: bool, dummy_prefix: bool) -> Value {
    let mut parts = vec![json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "})];
    if byte_fallback {
        parts.push(json!({"type": "ByteFallback"}));
    }
    parts.push(json!({"type": "Fuse"}));
    if dummy_prefix {
        parts.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": parts})
}
