use proptest::prelude::*;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::{AddedToken, NormalizerWrapper as Normal, PreTokenizerWrapper as Pre};

use super::*;

/// What makes pipelines treat neighbours together: whitespace of every sort, contractions, marks that combine or vanish,
/// characters that decompose into several, and added tokens.
const PIECES: [&str; 56] = [
    "a",
    "b",
    "the",
    "The",
    "cat",
    "'s",
    "'ll",
    "'",
    "s",
    "1",
    "23",
    "½",
    "Ⅳ",
    ".",
    ",",
    "!?",
    "—",
    "``",
    "_",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\u{a0}",
    "\u{3000}",
    "\u{200b}",
    "\u{ad}",
    "\0",
    "é",
    "e\u{301}",
    "\u{301}",
    "\u{345}",
    "ß",
    "İ",
    "ﬁ",
    "Σ",
    "한",
    "국어",
    "\u{1112}\u{1161}",
    "中",
    "文",
    "。",
    "あ",
    "\u{3164}",
    "\u{d4e}",
    "ക",
    "👩‍🚀",
    "▁",
    "Ġ",
    "<|endoftext|>",
    "<pad>",
    "<mask>",
    "New York",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40).prop_map(|p| p.concat())
}

fn corpus() -> Vec<String> {
    (0..400)
        .map(|i| {
            let word = |k: usize| PIECES[(i * 7 + k * k * 13 + k) % 50];
            (0..12).map(|k| format!("{}{}", word(k), [" ", "", "\n"][(i + k) % 3])).collect()
        })
        .collect()
}

fn part<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap()
}

fn unknown() -> Vec<AddedToken> {
    vec![AddedToken::from("<unk>", true)]
}

/// A tokenizer learned from the pieces, with a normalizer and a pre-tokenizer as `tokenizer.json` has them.
fn learned(model: &str, normalizer: &str, pre_tokenizer: &str, added: Vec<AddedToken>) -> Inner {
    let (model, trainer): (ModelWrapper, TrainerWrapper) = match model {
        "bpe" => {
            let trainer = BpeTrainer::builder()
                .vocab_size(400)
                .min_frequency(2)
                .show_progress(false)
                .special_tokens(unknown());
            (BPE::builder().unk_token("<unk>".into()).build().unwrap().into(), trainer.build().into())
        }
        "unigram" => {
            let mut trainer = UnigramTrainer::default();
            (trainer.vocab_size, trainer.show_progress) = (200, false);
            (trainer.unk_token, trainer.special_tokens) = (Some("<unk>".into()), unknown());
            (Unigram::default().into(), trainer.into())
        }
        _ => {
            let trainer = WordPieceTrainer::builder()
                .vocab_size(300)
                .show_progress(false)
                .special_tokens(unknown())
                .build();
            let model = WordPiece::builder().unk_token("<unk>".into()).build().unwrap();
            (model.into(), trainer.into())
        }
    };
    let mut inner = Inner::new(model);
    inner.with_normalizer(part::<Option<Normal>>(normalizer)).unwrap();
    inner.with_pre_tokenizer(part::<Option<Pre>>(pre_tokenizer));
    let mut trainer = trainer;
    inner.train(&mut trainer, corpus().iter()).unwrap();
    inner.add_tokens(added).unwrap();
    inner
}

const BYTE_LEVEL: &str =
    r#"{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}"#;
const METASPACES: &str =
    r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#;

fn marks() -> Vec<AddedToken> {
    vec![
        AddedToken::from("<|endoftext|>", true),
        AddedToken::from("<pad>", true).lstrip(true),
        AddedToken::from("<mask>", true).lstrip(true).rstrip(true),
    ]
}

/// Added tokens with text on both sides of a space, and ones that must stand alone.
fn odd_marks() -> Vec<AddedToken> {
    let mut odd = marks();
    odd.extend([
        AddedToken::from("\n\n", false),
        AddedToken::from("New York", false),
        AddedToken::from("a b", false),
        AddedToken::from("cat", false).single_word(true),
    ]);
    odd
}

/// Ids of parts of at least `window` bytes are those of the whole; returns the number of parts.
fn agree(inner: &Inner, text: &str, window: usize) -> usize {
    let ids = |text: &str| inner.encode_fast(text, false).unwrap().get_ids().to_vec();
    let parts = Cuts::of(inner).parts(text, window);
    assert_eq!(parts.concat(), text);
    let joined: Vec<u32> = parts.iter().flat_map(|part| ids(part)).collect();
    assert_eq!(joined, ids(text), "{text:?} cut into {parts:?}");
    parts.len()
}

/// Checks a pipeline on drawn texts, and that an ordinary text is cut at all.
fn holds(inner: &Inner) {
    let plain = "the cat saw the cat and then a second one went by again";
    assert!(agree(inner, plain, 1) > 5, "an ordinary text is cut");
    let config = ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(text in text(), window in 0usize..12)| {
        agree(inner, &text, window);
    });
}

#[test]
fn byte_level_parts_are_the_whole() {
    holds(&learned("bpe", "null", BYTE_LEVEL, odd_marks()));
    let prefixed = BYTE_LEVEL.replace("\"add_prefix_space\": false", "\"add_prefix_space\": true");
    holds(&learned("bpe", "null", &prefixed, odd_marks()));
    holds(&learned("bpe", r#"{"type": "NFC"}"#, BYTE_LEVEL, marks()));
    let digits = format!(
        r#"{{"type": "Sequence", "pretokenizers": [{{"type": "Digits", "individual_digits": true}}, {BYTE_LEVEL}]}}"#
    );
    holds(&learned("bpe", "null", &digits, odd_marks()));
}

#[test]
fn metaspace_parts_are_the_whole() {
    holds(&learned("bpe", "null", METASPACES, odd_marks()));
    for scheme in ["first", "never"] {
        holds(&learned("bpe", "null", &METASPACES.replace("always", scheme), odd_marks()));
    }
    let replaced = r#"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#;
    holds(&learned("bpe", replaced, METASPACES, marks()));
}

#[test]
fn unigram_parts_are_the_whole() {
    let normal = r#"{"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"},
        {"type": "Replace", "pattern": {"String": "``"}, "content": "\""},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]}"#;
    holds(&learned("unigram", normal, METASPACES, marks()));
    let words =
        format!(r#"{{"type": "Sequence", "pretokenizers": [{{"type": "WhitespaceSplit"}}, {METASPACES}]}}"#);
    holds(&learned("unigram", normal, &words, marks()));
    let first = METASPACES.replace("always", "first");
    let nmt = r#"{"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"},
        {"type": "Strip", "strip_left": false, "strip_right": true},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]}"#;
    holds(&learned("unigram", nmt, &first, marks()));
}

#[test]
fn word_piece_parts_are_the_whole() {
    let bert = r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
        "lowercase": true}"#;
    holds(&learned("wordpiece", bert, r#"{"type": "BertPreTokenizer"}"#, marks()));
    holds(&learned("wordpiece", bert, r#"{"type": "Whitespace"}"#, marks()));
    let words = AddedToken::from("Cat", false).normalized(true).single_word(true);
    holds(&learned("wordpiece", bert, r#"{"type": "BertPreTokenizer"}"#, vec![words]));
}

#[test]
fn what_is_not_proven_is_not_cut() {
    let plain = "the cat and the cat, a cat";
    let split = METASPACES.replace("\"split\": true", "\"split\": false");
    let pattern =
        r#"{"type": "Split", "pattern": {"Regex": "\\w+ \\w+"}, "behavior": "Isolated", "invert": false}"#;
    let prepend = r#"{"type": "Prepend", "prepend": "▁"}"#;
    let strip = r#"{"type": "Strip", "strip_left": true, "strip_right": true}"#;
    let spaces = r#"{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#;
    let reaching = r#"{"type": "Replace", "pattern": {"Regex": "t\\s*"}, "content": "d"}"#;
    for (normalizer, pre) in [
        ("null", "null"),
        ("null", split.as_str()),
        ("null", pattern),
        (prepend, METASPACES),
        (strip, METASPACES),
        (reaching, METASPACES),
        (spaces, r#"{"type": "WhitespaceSplit"}"#),
    ] {
        let inner = learned("bpe", normalizer, pre, Vec::new());
        assert_eq!(agree(&inner, plain, 1), 1, "{normalizer} {pre}");
    }
    let spaced = AddedToken::from("the cat", false).normalized(true);
    let inner = learned("bpe", r#"{"type": "Lowercase"}"#, METASPACES, vec![spaced]);
    assert_eq!(agree(&inner, "The Cat sat", 1), 1, "an added token with a space, found in lower case");
}

#[test]
fn text_without_line_ends_or_spaces_is_cut_too() {
    let inner = learned("bpe", "null", BYTE_LEVEL, odd_marks());
    let csv = "2021-03-04,thecat,12.5;".repeat(20);
    assert!(agree(&inner, &csv, 10) > 20);
    let cjk = "中文。国語、한국어!".repeat(20);
    assert!(agree(&inner, &cjk, 10) > 20);
    assert_eq!(agree(&inner, &"a".repeat(500), 10), 1, "one word stays whole");
}
