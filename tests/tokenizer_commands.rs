//! The commands on models whose tokenizers are not GPT-2's: tokens as text, end marks, and what lies in a saved folder.
//!
//! The models are small and random; only their tokenizers are real (see `tests/tokenizers.rs`).

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::Device;
use maskscope::model::{Config, Tokenizer};
use maskscope::train::checkpoint::SavedDtype;
use maskscope::train::checkpoint::disk::RealDisk;
use maskscope::train::checkpoint::files::{Contents, write_model};
use maskscope::train::init;
use serde_json::{Value, json};

const TEXT: &str = "the old kuća, 今天 and two words";

fn maskscope(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.args(args).env("MASKSCOPE_CONFIG", "/dev/null").env("XDG_CACHE_HOME", home.path());
    command.env_remove("HF_ENDPOINT").output().unwrap()
}

fn parsed(args: &[&str]) -> Value {
    let out = maskscope(args);
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn tokenizer_files(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizers").join(kind);
    let names = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name != "ids.json");
    names.map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect()
}

/// A model folder with the tokenizer of that kind, `rows` rows in the embedding and `end` as `eos_token_id`.
fn model(dir: &Path, kind: &str, rows: usize, end: &Value) -> PathBuf {
    let folder = dir.join(kind);
    std::fs::create_dir_all(&folder).unwrap();
    let config = json!({"model_type": "gpt2", "vocab_size": rows, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2});
    let parsed = Config::parse(config.to_string().as_bytes(), "config.json").unwrap();
    let contents = Contents {
        tensors: &init::weights(&parsed, 3, &Device::Cpu).unwrap(),
        config: &parsed,
        tokenizer: None,
        dtype: SavedDtype::F32,
        mask_row: None,
        facts: Value::Null,
    };
    write_model(&RealDisk, &folder, &contents).unwrap();
    let mut written: Value =
        serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    if !end.is_null() {
        written["eos_token_id"] = end.clone();
    }
    std::fs::write(folder.join("config.json"), written.to_string()).unwrap();
    for (name, bytes) in tokenizer_files(kind) {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    std::fs::write(folder.join("generation_config.json"), r#"{"do_sample": true}"#).unwrap();
    folder
}

/// Tokens as JSON writes them, joined.
fn joined(tokens: &Value) -> String {
    let mut bytes = Vec::new();
    for token in tokens.as_array().unwrap() {
        match token {
            Value::String(text) => bytes.extend(text.as_bytes()),
            other => {
                let hex = other["bytes"].as_str().unwrap();
                let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
                bytes.extend((0..hex.len()).step_by(2).map(byte));
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn tokens_of_every_kind_are_shown_as_the_text() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["gpt2_json", "gpt2_files", "byte_fallback", "spm_bpe", "metaspace_bpe", "wordpiece_cased"] {
        let folder = model(dir.path(), kind, 1024, &Value::Null);
        let folder = folder.to_str().unwrap();
        let text = if kind.starts_with("wordpiece") { "The don't, and 今天." } else { TEXT };
        let told = parsed(&["predict", "--model", folder, "--text", text, "--json"]);
        let shown = joined(&told["tokens"]);
        let unknown = shown.contains("<unk>") || shown.contains("[UNK]");
        assert!(unknown || shown.replace(' ', "") == text.replace(' ', ""), "{kind}: {shown:?}");
        assert!(!shown.contains(['▁', 'Ġ']) && !shown.contains("##"), "{kind}: {shown:?}");

        let masked = parsed(&["mask", "--model", folder, "--text", text, "--probability", "0", "--json"]);
        assert_eq!(masked["masked_text"], shown, "{kind}");
        let tokens: Vec<Value> =
            masked["positions"].as_array().unwrap().iter().map(|p| p["token"].clone()).collect();
        assert_eq!(Value::Array(tokens), told["tokens"], "{kind}");
    }
}

#[test]
fn an_emoji_that_spans_tokens_shows_its_bytes_and_joins_right() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["gpt2_json", "byte_fallback"] {
        let folder = model(dir.path(), kind, 1024, &Value::Null);
        let told = parsed(&["predict", "--model", folder.to_str().unwrap(), "--text", "a 🧑‍🚀 b", "--json"]);
        assert!(told["tokens"].as_array().unwrap().iter().any(|t| t["bytes"].is_string()), "{told}");
        assert_eq!(joined(&told["tokens"]).trim_start(), "a 🧑‍🚀 b");
    }
}

#[test]
fn a_token_without_a_row_is_named_where_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    // The vocabulary without the four words that were added.
    let folder = model(dir.path(), "gpt2_json", 700, &Value::Null);
    let folder = folder.to_str().unwrap();
    assert!(maskscope(&["predict", "--model", folder, "--text", "the old captain"]).status.success());
    let out = maskscope(&["predict", "--model", folder, "--text", "the old kuća"]);
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(
        !out.status.success() && said.contains("kuća") && said.contains("vocabulary has 700 tokens"),
        "{said}"
    );
}

#[test]
fn documents_end_as_the_files_say_and_a_saved_folder_holds_them_all() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data.jsonl");
    let rows: Vec<String> =
        (0..40).map(|i| json!({"text": format!("the old man {i} and the sea")}).to_string()).collect();
    std::fs::write(&data, rows.join("\n")).unwrap();
    let data = data.to_str().unwrap();
    let tokens = |folder: &Path, out: &Path, more: &[&str]| {
        let (folder, out) = (folder.to_str().unwrap(), out.to_str().unwrap());
        let mut args = vec!["train", "--model", folder, "--data", data, "--steps", "1", "--context", "16"];
        args.extend(["--out", out, "--batch-size", "2", "--json"]);
        args.extend(more);
        parsed(&args);
        let facts = std::fs::read(Path::new(out).join("training.json")).unwrap();
        let facts: Value = serde_json::from_slice(&facts).unwrap();
        let documents = facts["train_documents"].as_u64().unwrap();
        (facts["train_tokens"].as_u64().unwrap(), documents)
    };
    let kinds = ["metaspace_bpe", "spm_symbols", "wordpiece", "gpt2_prefix", "nfc_byte_level"];
    for (i, kind) in kinds.into_iter().enumerate() {
        let folder = model(dir.path(), kind, 1024, &Value::Null);
        let out = dir.path().join(format!("run-{kind}"));
        let lora: &[&str] = if i == 0 { &["--trained", "lora"] } else { &[] };
        let (count, documents) = tokens(&folder, &out, lora);
        if kind == "wordpiece" {
            // No file names an end; the same with one has a token more a document.
            let ended = model(&dir.path().join("ended"), kind, 1024, &json!(3));
            assert_eq!(tokens(&ended, &dir.path().join("run-ended"), &[]).0, count + documents);
        }
        let checkpoint = out.join("checkpoints/step-00000001");
        let mut saved = vec![out.clone(), checkpoint.clone()];
        if i == 0 {
            saved.push(checkpoint.join("adapter"));
        }
        for (name, bytes) in tokenizer_files(kind) {
            for place in &saved {
                assert!(std::fs::read(place.join(&name)).unwrap() == bytes, "{}: {name}", place.display());
            }
        }
        assert!(out.join("generation_config.json").is_file());
        // What was saved gives the same ids.
        let ids = |at: &Path| {
            parsed(&["predict", "--model", at.to_str().unwrap(), "--text", TEXT, "--json"])["ids"].clone()
        };
        assert_eq!(ids(&folder), ids(&out), "{kind}");
    }
}

/// A tokenizer that was learned opens here, in a run from scratch, and (where Python has it) in the tokenizers library, with the
/// same ids.
#[test]
fn a_tokenizer_is_learned_saved_and_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (data, out) = (path("texts.txt"), path("tokenizer"));
    let words = ["the sea", "an old sailor", "the storm over the harbour", "two words, and kuća"];
    let text: Vec<String> =
        (0..60).map(|i| format!("{} number {i}\nthen {}", words[i % 4], words[i / 4 % 4])).collect();
    std::fs::write(&data, text.join("\n\n")).unwrap();
    let args = ["tokenizer", "train", &data, "--vocab-size", "320", "--out", &out, "--json"];
    let report = parsed(&args);
    assert_eq!((report["ids"].as_u64(), report["documents"].as_u64()), (Some(320), Some(60)));
    assert!(report["bytes_per_token"].as_f64().unwrap() > 1.5, "{report}");
    let again = maskscope(&args);
    assert!(!again.status.success(), "a tokenizer is not written over");
    assert!(String::from_utf8_lossy(&again.stderr).contains("already contains a tokenizer"));
    let tokenizer = Tokenizer::from_folder(Path::new(&out), &Value::Null).unwrap().unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.end_of_document()), (320, Some(319)));
    assert_eq!(tokenizer.decode(&tokenizer.ids(TEXT).unwrap()), TEXT);
    let config = json!({"model_type": "gpt2", "vocab_size": 320, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2});
    std::fs::write(path("config.json"), config.to_string()).unwrap();
    let (init, run) = (path("config.json"), path("run"));
    let trained = maskscope(&[
        "train",
        "--init",
        &init,
        "--tokenizer",
        &out,
        "--data",
        &data,
        "--out",
        &run,
        "--epochs",
        "2",
        "--context",
        "16",
        "--batch-size",
        "4",
        "--no-plan",
        "--json",
    ]);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let of_run = Tokenizer::from_folder(Path::new(&run), &Value::Null).unwrap().unwrap();
    assert_eq!(of_run.ids(TEXT).unwrap(), tokenizer.ids(TEXT).unwrap());
    let python = "import sys, json, tokenizers; print(json.dumps(tokenizers.Tokenizer.from_file(sys.argv[1]).encode(sys.argv[2]).ids))";
    let file = Path::new(&out).join("tokenizer.json");
    match Command::new("python3").args(["-c", python]).arg(&file).arg(TEXT).output() {
        Ok(told) if told.status.success() => {
            let theirs: Vec<u32> = serde_json::from_slice(&told.stdout).unwrap();
            assert_eq!(theirs, tokenizer.ids(TEXT).unwrap());
        }
        // Without the library, the file is compared by hand: see the head of tests/bench/peers/tokenizer_ids.py.
        _ => {}
    }
}
