//! Small models in every form that PyTorch, PEFT and nanoGPT leave behind, against the losses that transformers and PEFT
//! compute; written by `tests/bench/peers/odd_checkpoints.py`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;
use maskscope::engine::explorer::Explorer;
use maskscope::engine::loaded::LoadedModel;
use maskscope::hub::{HubOptions, ModelSpec, find_local};
use maskscope::model::gpt2::config::Gpt2Options;

const IDS: [u32; 8] = [3, 1, 4, 1, 5, 9, 2, 6];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checkpoints")
}

fn open(path: &Path) -> Result<LoadedModel, String> {
    // No test may reach the network or a cache.
    let options = HubOptions { offline: true, cache: Some(path.join("none")), ..HubOptions::default() };
    let snapshot = find_local(&ModelSpec::Folder(path.to_owned()), &options)
        .map_err(|e| format!("{e} ({})", e.hint().unwrap_or_default()))?;
    LoadedModel::read(&snapshot, &Device::Cpu, "cpu")
        .map_err(|e| format!("{e} ({})", e.hint().unwrap_or_default()))
}

fn loss(loaded: LoadedModel) -> f64 {
    let mut explorer = Explorer::new(Arc::new(loaded));
    explorer.set_ids(&IDS).unwrap();
    f64::from(explorer.baseline(None).unwrap().prediction(None, 1).loss.unwrap())
}

/// A copy of a folder to change.
fn copy(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in [name, "base"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
        for entry in fs::read_dir(data().join(folder)).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, dir.path().join(folder).join(from.file_name().unwrap())).unwrap();
        }
    }
    dir
}

/// The same folder with one field of a JSON file changed.
fn changed(name: &str, file: &str, field: &str, value: serde_json::Value) -> (tempfile::TempDir, PathBuf) {
    let dir = copy(name);
    let path = dir.path().join(name).join(file);
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json[field] = value;
    fs::write(&path, json.to_string()).unwrap();
    let folder = dir.path().join(name);
    (dir, folder)
}

#[test]
fn every_form_gives_the_loss_of_transformers() {
    let losses: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&fs::read(data().join("losses.json")).unwrap()).unwrap();
    assert_eq!(losses.len(), 12);
    for (name, wanted) in losses {
        let loaded = open(&data().join(&name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let apart = (loss(loaded) - wanted.as_f64().unwrap()).abs();
        assert!(apart < 1e-5, "{name}: {apart}");
    }
}

#[test]
fn what_was_used_against_expectation_is_said() {
    let notes = |name: &str| open(&data().join(name)).unwrap().notes.join("; ");
    assert!(notes("own-head").contains("lm_head.weight differs"));
    assert!(notes("nanogpt-without-biases").contains("biases of 0"));
    assert_eq!(notes("legacy"), "");
    // An output matrix that parted from the embeddings stays parted in what is saved.
    assert!(!open(&data().join("own-head")).unwrap().model.config.tie_word_embeddings);
    assert!(open(&data().join("legacy")).unwrap().model.config.tie_word_embeddings);
}

#[test]
fn a_checkpoint_of_nanogpt_opens_by_its_own_path_as_well() {
    let loaded = open(&data().join("nanogpt/ckpt.pt")).unwrap();
    assert_eq!(
        (
            loaded.model.config.n_positions,
            Gpt2Options::of(&loaded.model.config).unwrap().activation_function.as_str()
        ),
        (8, "gelu")
    );
    let error = open(&data().join("legacy/pytorch_model.bin")).err().unwrap();
    assert!(error.contains("model_args"), "{error}");
}

#[test]
fn old_files_cut_anywhere_are_refused() {
    for name in ["legacy", "views-old"] {
        let dir = copy(name);
        let path = dir.path().join(name).join("pytorch_model.bin");
        let whole = fs::read(&path).unwrap();
        for at in [0, 1, 14, 15, 40, 200, 1000, 3000, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..at]).unwrap();
            let error =
                open(&dir.path().join(name)).err().unwrap_or_else(|| panic!("{name} opened, cut at {at}"));
            assert!(error.contains("pytorch_model.bin"), "{error}");
        }
    }
}

#[test]
fn adapters_that_are_not_plain_lora_are_refused_by_name() {
    for (field, value, words) in [
        ("use_dora", serde_json::json!(true), "DoRA"),
        ("peft_type", serde_json::json!("IA3"), "IA3"),
        ("peft_type", serde_json::json!(null), "peft_type is missing"),
        ("layer_replication", serde_json::json!([[0, 2]]), "replicated layers"),
        ("base_model_name_or_path", serde_json::json!(null), "base_model_name_or_path"),
    ] {
        let (_dir, folder) = changed("lora", "adapter_config.json", field, value);
        let error = open(&folder).err().unwrap();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_base_that_is_not_there_is_named() {
    for (base, words) in
        [("owner/elsewhere", "owner/elsewhere"), ("./gone", "./gone"), ("/nowhere/at/all", "/nowhere/at/all")]
    {
        let (_dir, folder) = changed("lora", "adapter_config.json", "base_model_name_or_path", base.into());
        let error = open(&folder).err().unwrap();
        assert!(error.contains("the adapter's base model") && error.contains(words), "{error}");
    }
    // An adapter of a model of another width.
    let (dir, folder) = changed("lora", "adapter_config.json", "base_model_name_or_path", "demo".into());
    let error = open(&folder).err().unwrap();
    assert!(error.contains("has shapes") || error.contains("belongs to no weight"), "{error}");
    drop(dir);
}

/// A byte-level tokenizer without merges: `a` to `d` and, where asked, tokens past the 13 rows of the models here.
fn tokenizer(added: &[(&str, u32)]) -> String {
    let added: Vec<serde_json::Value> = added
        .iter()
        .map(|(content, id)| {
            serde_json::json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
        "post_processor": null, "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3}, "merges": []},
    })
    .to_string()
}

#[test]
fn a_token_without_a_row_is_a_fault_only_where_it_is_used() {
    let dir = copy("legacy");
    let folder = dir.path().join("legacy");
    // The model fills up to the 13 rows with tokens of its own; the last two have none.
    let names: Vec<String> = (4..15).map(|id| format!("<extra {id}>")).collect();
    let added: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(4..15).collect();
    fs::write(folder.join("tokenizer.json"), tokenizer(&added)).unwrap();
    let mut explorer = Explorer::new(Arc::new(open(&folder).unwrap()));
    explorer.set_text("dbca<extra 12>", maskscope::engine::explorer::Reach::Context).unwrap();
    assert_eq!(explorer.ids, [3, 1, 2, 0, 12]);
    assert!(explorer.baseline(None).is_ok());
    for text in ["ab<extra 13>", "<extra 14>a"] {
        let error =
            explorer.set_text(text, maskscope::engine::explorer::Reach::Context).unwrap_err().to_string();
        let token = if text.contains("13") {
            "<extra·13> (13) at position 2"
        } else {
            "<extra·14> (14) at position 0"
        };
        assert_eq!(
            error,
            format!("the token {token} is out of range: the model's vocabulary has 13 tokens (0 to 12)")
        );
    }
    for ids in [vec![1, 13], vec![1, 4_000_000]] {
        assert!(explorer.set_ids(&ids).unwrap_err().to_string().contains("is out of range"));
    }
    // What was there before an error is there still.
    assert_eq!(explorer.ids, [3, 1, 2, 0, 12]);
}

#[test]
fn an_embedding_larger_than_the_vocabulary_opens() {
    let dir = copy("base");
    let folder = dir.path().join("base");
    fs::write(folder.join("tokenizer.json"), tokenizer(&[])).unwrap();
    let loaded = Arc::new(open(&folder).unwrap());
    let mut explorer = Explorer::new(loaded.clone());
    explorer.set_text("abcd", maskscope::engine::explorer::Reach::Context).unwrap();
    let prediction = explorer.baseline(None).unwrap().prediction(loaded.tokenizer.as_ref(), 13);
    assert_eq!(prediction.next.len(), 13);
}
