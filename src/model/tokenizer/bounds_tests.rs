use serde_json::json;

use super::*;
use crate::model::{ModelError, Tokenizer};

/// A word-level tokenizer with these parts; the decoder stands last.
fn text_of(normalizer: &Value, pre_tokenizer: &Value, decoder: &Value, added: &Value) -> String {
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": {added},
        "model": {{"type": "WordLevel", "vocab": {{"a": 0, "[UNK]": 1}}, "unk_token": "[UNK]"}},
        "post_processor": null, "normalizer": {normalizer}, "pre_tokenizer": {pre_tokenizer}, "decoder": {decoder}}}"#
    )
}

fn opened(json: &str) -> Result<Tokenizer, ModelError> {
    Tokenizer::from_json(json.as_bytes(), "tokenizer.json")
}

fn with_normalizer(normalizer: &Value) -> Result<Tokenizer, ModelError> {
    opened(&text_of(normalizer, &Value::Null, &Value::Null, &json!([])))
}

/// Says that the error names the file, says `part`, and has a hint.
fn says<T>(result: Result<T, ModelError>, part: &str) {
    let error = result.err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with("tokenizer.json: ") && text.contains(part), "{text}");
    assert!(error.hint().is_some(), "{text}");
}

fn doublings(n: usize) -> Value {
    let double = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    json!({"type": "Sequence", "normalizers": vec![double; n]})
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |n: u32| char::from(DIGITS[(n & 63) as usize]);
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let n = three.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - three.len()));
        let digits = [digit(n >> 18), digit(n >> 12), digit(n >> 6), digit(n)];
        out.extend(&digits[..three.len() + 1]);
        out.push_str(&"==="[..3 - three.len()]);
    }
    out
}

/// A character map that writes `text` for every `a`: a double array of 98 units, in which unit 97 is the leaf's parent.
fn charsmap(text: &str) -> Value {
    let mut table = [0u32; 98];
    table[97] = 97 | 1 << 8 | 1 << 10;
    let mut bytes = (4 * 98u32).to_le_bytes().to_vec();
    table.iter().for_each(|unit| bytes.extend(unit.to_le_bytes()));
    bytes.extend(text.as_bytes());
    bytes.push(0);
    json!({"type": "Precompiled", "precompiled_charsmap": base64(&bytes)})
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_names_it() {
    let decoder = json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]});
    let whole = text_of(&Value::Null, &Value::Null, &decoder, &json!([]));
    assert!(opened(&whole).is_ok());
    for cut in 0..whole.len() {
        says(opened(&whole[..cut]), "not a tokenizer");
    }
    for damaged in
        [json!({}), json!([]), json!(3), json!("ByteLevel"), json!({"type": "Fu"}), json!({"decoders": 1})]
    {
        assert!(opened(&text_of(&Value::Null, &Value::Null, &damaged, &json!([]))).is_err(), "{damaged}");
        assert!(with_normalizer(&damaged).is_err(), "{damaged}");
    }
}

#[test]
fn a_damaged_character_map_is_an_error_and_no_panic() {
    // One unit that points outside of the table.
    let outside = base64(&[4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'x', 0]);
    let empty = base64(&[0, 0, 0, 0, b'x', 0]);
    for map in [outside, empty, "!".to_owned(), base64(&[200, 0, 0, 0, 1])] {
        let normalizer = json!({"type": "Precompiled", "precompiled_charsmap": map});
        let added = json!([{"id": 2, "content": "ab", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": true, "special": false}]);
        for added in [json!([]), added] {
            let read = opened(&text_of(&normalizer, &Value::Null, &Value::Null, &added));
            let failed = read.and_then(|t| t.encode("ab").and(t.ids("ab")).map(|_| ()));
            assert!(failed.is_err(), "{map}");
        }
    }
    let whole = with_normalizer(&charsmap("bc")).unwrap();
    assert_eq!(whole.encode("a").unwrap().len(), 1);
}

#[test]
fn a_normaliser_that_multiplies_is_stopped_before_it_runs() {
    let text = "a".repeat(100);
    let large = "b".repeat(20_000);
    for normalizer in [
        doublings(35),
        json!({"type": "Replace", "pattern": {"String": "a"}, "content": large}),
        json!({"type": "Replace", "pattern": {"Regex": ""}, "content": large}),
        charsmap(&large),
    ] {
        let tokenizer = with_normalizer(&normalizer).unwrap();
        says(tokenizer.encode(&text), "a normaliser that makes 100 B of text more than 1.0 MB long");
        says(tokenizer.ids(&text), "a normaliser");
    }
    // A token that is matched in normalised text goes through it when the file is read.
    let added = json!([{"id": 2, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": true, "special": false}]);
    says(opened(&text_of(&doublings(35), &Value::Null, &Value::Null, &added)), "a normaliser");
    let decoder = json!({"type": "Replace", "pattern": {"String": "a"}, "content": large});
    says(opened(&text_of(&Value::Null, &Value::Null, &decoder, &json!([]))), "a decoder that writes 20.0 kB");
}

#[test]
fn a_decoder_that_doubles_comes_to_an_end() {
    let double = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    let decoder = json!({"type": "Sequence", "decoders": vec![double; 60]});
    let tokenizer = opened(&text_of(&Value::Null, &Value::Null, &decoder, &json!([]))).unwrap();
    assert!(tokenizer.bytes(0).len() <= 128 << 10);
}

#[test]
fn usual_normalisers_are_not_judged_and_odd_ones_still_run() {
    let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let start = json!({"type": "Replace", "pattern": {"Regex": r"\A▁"}, "content": "▁▁"});
    let prepend = json!({"type": "Prepend", "prepend": "▁"});
    let usual: NormalizerWrapper = serde_json::from_value(
        json!({"type": "Sequence", "normalizers": [{"type": "NFKC"}, prepend, space, start]}),
    )
    .unwrap();
    assert!(!multiplies(&usual));
    let signs = ["½", "¼", "¾", "€"].map(
        |sign| json!({"type": "Replace", "pattern": {"String": sign}, "content": "a part of something"}),
    );
    let tokenizer = with_normalizer(&json!({"type": "Sequence", "normalizers": signs})).unwrap();
    assert!(tokenizer.multiplies);
    assert_eq!(tokenizer.encode("½ a").unwrap().len(), 1);
}

#[test]
fn patterns_are_judged_before_they_are_compiled() {
    let split = |pattern: &str| {
        let part =
            json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        opened(&text_of(
            &Value::Null,
            &json!({"type": "Sequence", "pretokenizers": [part]}),
            &Value::Null,
            &json!([]),
        ))
    };
    says(split(&"a|".repeat(5 << 20)), "has a pattern of 10.5 MB, more than 16.4 kB");
    says(split(r"(?:(?:\p{L}{50}){50}){50}"), "repeats its parts 125000 times");
    assert!(split(r"\p{N}{1,3}|[^\r\n\p{L}\p{N}]?\p{L}+|\s+").is_ok());
    let plain = json!({"type": "Replace", "pattern": {"String": "a".repeat(10 << 20)}, "content": ""});
    says(with_normalizer(&plain), "has a pattern of 10.5 MB");
    assert_eq!(repeats(r"\p{L}{2,5}{3}x{,4}"), 60);
}
