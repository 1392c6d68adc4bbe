//! BERT's tokenizer in `vocab.txt`, as Chinese GPT-2s have it.

use serde_json::json;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{DecoderWrapper, Tokenizer as Inner};

use super::special::Described;
use crate::model::error::ModelError;

/// Tokens that BERT's tokenizer has where no file names others.
const DEFAULTS: [(&str, &str); 5] = [
    ("unk_token", "[UNK]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("cls_token", "[CLS]"),
    ("mask_token", "[MASK]"),
];

/// From `vocab.txt`, one token a line; `told` says how text is normalised and gets BERT's special tokens.
///
/// # Errors
/// A vocabulary that the library refuses.
pub fn from_vocab(text: &str, told: &mut Described, file: &str) -> Result<Inner, ModelError> {
    let bad = |e: String| ModelError::file(file, format!("not a vocabulary of word pieces: {e}"));
    for (role, token) in DEFAULTS {
        told.default_role(role, token);
    }
    let model = WordPiece::builder()
        .vocab(WordPiece::read_bytes(text.as_bytes()).map_err(|e| bad(e.to_string()))?)
        .unk_token(told.role("unk_token").unwrap_or("[UNK]").to_owned())
        .build()
        .map_err(|e| bad(e.to_string()))?;
    let mut inner = Inner::new(model);
    let lower = told.switch("do_lower_case").unwrap_or(true);
    let apart = told.switch("tokenize_chinese_chars").unwrap_or(true);
    let normaliser = BertNormalizer::new(true, apart, told.switch("strip_accents"), lower);
    inner.with_normalizer(Some(normaliser)).map_err(|e| bad(e.to_string()))?;
    inner.with_pre_tokenizer(Some(BertPreTokenizer));
    let decoder: Option<DecoderWrapper> =
        serde_json::from_value(json!({"type": "WordPiece", "prefix": "##", "cleanup": true})).ok();
    inner.with_decoder(decoder);
    Ok(inner)
}

/// Applies what `tokenizer_config.json` says of BERT's normaliser to one read from `tokenizer.json`, as transformers does.
///
/// # Errors
/// Of the library.
pub fn adjust(inner: &mut Inner, told: &Described) -> tokenizers::Result<()> {
    let Some(NormalizerWrapper::BertNormalizer(now)) = inner.get_normalizer() else { return Ok(()) };
    let mut next = *now;
    next.lowercase = told.switch("do_lower_case").unwrap_or(now.lowercase);
    next.handle_chinese_chars = told.switch("tokenize_chinese_chars").unwrap_or(now.handle_chinese_chars);
    if told.config.contains_key("strip_accents") {
        next.strip_accents = told.switch("strip_accents");
    }
    inner.with_normalizer(Some(next))?;
    Ok(())
}
