//! Every checkpoint layout that is out there loads to the same model; every damaged one is refused with a sentence.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/pickle.rs"]
mod pickle;
#[path = "support/plain_gpt2.rs"]
mod plain_gpt2;
mod support;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use half::{bf16, f16};
use maskscope::model::family::Parameter;
use maskscope::model::forward::Reuse;
use maskscope::model::{Checkpoint, Config, Input, ModelError, ModelFiles};
use maskscope::tensor::host;
use safetensors::tensor::{Dtype, TensorView, serialize};
use support::{Reference, largest_difference, tensors, tiny_folder};

type Named = Vec<(String, Vec<usize>, Vec<f32>)>;

fn config_json() -> serde_json::Value {
    serde_json::from_slice(&fs::read(tiny_folder().join("config.json")).expect("config")).expect("json")
}

fn base() -> Named {
    let config = Config::parse(config_json().to_string().as_bytes(), "config.json").expect("config");
    let all = tensors(&config);
    config
        .named_parameters()
        .into_iter()
        .map(|p| (p.name.clone(), p.shape, host::values(&all[&p.name]).expect("values")))
        .collect()
}

fn encode(values: &[f32], dtype: Dtype) -> Vec<u8> {
    match dtype {
        Dtype::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect(),
        other => panic!("no encoder for {other:?}"),
    }
}

fn safetensors_file(named: &Named, dtype: Dtype) -> Vec<u8> {
    let data: Vec<Vec<u8>> = named.iter().map(|(_, _, v)| encode(v, dtype)).collect();
    let views = named
        .iter()
        .zip(&data)
        .map(|((n, s, _), d)| (n.clone(), TensorView::new(dtype, s.clone(), d).expect("view")));
    serialize(views.collect::<Vec<_>>(), None::<HashMap<String, String>>).expect("safetensors")
}

fn prefixed(named: &Named) -> Named {
    named.iter().map(|(n, s, v)| (format!("transformer.{n}"), s.clone(), v.clone())).collect()
}

/// The causal-mask buffers that old checkpoints carry.
fn with_buffers(mut named: Named, prefix: &str) -> Named {
    for l in 0..2 {
        named.push((format!("{prefix}h.{l}.attn.bias"), vec![1, 1, 128, 128], vec![1.0; 128 * 128]));
        named.push((format!("{prefix}h.{l}.attn.masked_bias"), vec![1], vec![-1e4]));
    }
    named
}

fn folder(config: &serde_json::Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("temp folder");
    fs::write(dir.path().join("config.json"), config.to_string()).expect("config");
    dir
}

fn load(dir: &Path) -> Result<Checkpoint, ModelError> {
    Checkpoint::load(&ModelFiles::Folder(dir.to_owned()), &Device::Cpu)
}

fn logits(checkpoint: &Checkpoint, ids: &[u32]) -> Vec<f32> {
    let trace = checkpoint.model.run(Arc::new(Input::plain(ids.to_vec())), Reuse::default()).expect("runs");
    checkpoint.model.logits(&trace.hidden, 0, ids.len()).expect("logits")
}

/// Loads the folder and compares with Hugging Face's logits.
fn matches(dir: &Path, tolerance: f32) {
    let reference = Reference::open();
    let got = logits(&load(dir).expect("loads"), &reference.ids("causal.input_ids"));
    let worst = largest_difference(&got, &reference.floats("causal.logits"));
    assert!(worst < tolerance, "{worst} in {}", dir.display());
}

#[test]
fn safetensors_with_and_without_prefix_and_buffers() {
    for named in
        [base(), prefixed(&base()), with_buffers(base(), ""), with_buffers(prefixed(&base()), "transformer.")]
    {
        let dir = folder(&config_json());
        fs::write(dir.path().join("model.safetensors"), safetensors_file(&named, Dtype::F32))
            .expect("weights");
        matches(dir.path(), 2e-5);
    }
}

#[test]
fn sharded_safetensors() {
    let dir = folder(&config_json());
    let named = prefixed(&base());
    let (first, second) = named.split_at(11);
    fs::write(
        dir.path().join("model-00001-of-00002.safetensors"),
        safetensors_file(&first.to_vec(), Dtype::F32),
    )
    .expect("shard");
    fs::write(
        dir.path().join("model-00002-of-00002.safetensors"),
        safetensors_file(&second.to_vec(), Dtype::F32),
    )
    .expect("shard");
    let shard = |i: usize| format!("model-0000{}-of-00002.safetensors", if i < 11 { 1 } else { 2 });
    let map: serde_json::Map<String, serde_json::Value> =
        named.iter().enumerate().map(|(i, (n, ..))| (n.clone(), shard(i).into())).collect();
    let index = dir.path().join("model.safetensors.index.json");
    fs::write(&index, serde_json::json!({"metadata": {}, "weight_map": map}).to_string()).expect("index");
    matches(dir.path(), 2e-5);

    fs::remove_file(dir.path().join(shard(20))).expect("remove");
    refused(dir.path(), &["index.json", "00002-of-00002", "missing"]);
    fs::write(&index, r#"{"weight_map": {"wte.weight": "../evil.safetensors"}}"#).expect("index");
    refused(dir.path(), &["../evil.safetensors", "not a file in the same folder"]);
    fs::write(&index, r#"{"other": 1}"#).expect("index");
    refused(dir.path(), &["weight_map"]);
}

#[test]
fn half_precision_equals_the_rounded_weights() {
    let ids = Reference::open().ids("causal.input_ids");
    for dtype in [Dtype::F16, Dtype::BF16] {
        let dir = folder(&config_json());
        fs::write(dir.path().join("model.safetensors"), safetensors_file(&base(), dtype)).expect("weights");
        let got = logits(&load(dir.path()).expect("loads"), &ids);
        let rounded: Named = base()
            .into_iter()
            .map(|(n, s, v)| {
                let v = v.iter().map(|&x| {
                    if dtype == Dtype::F16 { f16::from_f32(x).to_f32() } else { bf16::from_f32(x).to_f32() }
                });
                (n, s, v.collect())
            })
            .collect();
        let same = folder(&config_json());
        fs::write(same.path().join("model.safetensors"), safetensors_file(&rounded, Dtype::F32))
            .expect("weights");
        assert_eq!(got, logits(&load(same.path()).expect("loads"), &ids), "{dtype:?}");
        assert!(largest_difference(&got, &Reference::open().floats("causal.logits")) < 0.3);
    }
}

fn bin(named: &Named, storage: &'static str, dtype: Dtype) -> Vec<u8> {
    let entries: Vec<pickle::Entry> = named
        .iter()
        .map(|(n, s, v)| pickle::Entry { name: n.clone(), storage, shape: s.clone(), data: encode(v, dtype) })
        .collect();
    pickle::write(&entries)
}

#[test]
fn pytorch_pickles() {
    let dir = folder(&config_json());
    fs::write(
        dir.path().join("pytorch_model.bin"),
        bin(&with_buffers(base(), ""), "FloatStorage", Dtype::F32),
    )
    .expect("bin");
    matches(dir.path(), 2e-5);
    fs::write(dir.path().join("pytorch_model.bin"), bin(&prefixed(&base()), "HalfStorage", Dtype::F16))
        .expect("bin");
    matches(dir.path(), 0.05);

    let whole = bin(&base(), "FloatStorage", Dtype::F32);
    fs::write(dir.path().join("pytorch_model.bin"), &whole[..whole.len() / 2]).expect("bin");
    refused(dir.path(), &["pytorch_model.bin", "not a zip that is whole"]);
    fs::write(dir.path().join("pytorch_model.bin"), bin(&base()[1..].to_vec(), "FloatStorage", Dtype::F32))
        .expect("bin");
    refused(dir.path(), &["wte.weight is missing"]);
    let mut wrong = base();
    wrong[1].1 = vec![64, 128];
    fs::write(dir.path().join("pytorch_model.bin"), bin(&wrong, "FloatStorage", Dtype::F32)).expect("bin");
    refused(dir.path(), &["wpe.weight", "[64, 128]", "[128, 64]"]);
}

#[test]
fn tokenizer_from_vocabulary_and_merges_equals_tokenizer_json() {
    let text = "The cat sat on the mat because it was tired.\n\n  Attention — naïve 漢字 🙂 1234's don't<|endoftext|>end";
    let json = tiny_folder().join("tokenizer.json");
    let a = maskscope::model::Tokenizer::from_json(&fs::read(&json).expect("file"), "tokenizer.json")
        .expect("json");
    let two = tempfile::tempdir().expect("folder");
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(tiny_folder().join(name), two.path().join(name)).expect("file");
    }
    let b = maskscope::model::Tokenizer::from_folder(two.path(), &serde_json::Value::Null);
    let b = b.expect("vocab").expect("a tokenizer");
    assert_eq!(a.encode(text).expect("a"), b.encode(text).expect("b"));
    assert_eq!(a.end_of_document(), Some(511));
    assert_eq!(b.end_of_document(), Some(511));
    let ids: Vec<u32> = b.encode(text).expect("b").into_iter().map(|p| p.id).collect();
    assert_eq!(b.decode(&ids), text);
}

/// Options without reference values, against the plain twin.
#[test]
fn every_option_follows_its_definition() {
    let ids: Vec<u32> = Reference::open().ids("causal.input_ids")[..12].to_vec();
    let options = [
        ("activation_function", serde_json::json!("gelu")),
        ("activation_function", serde_json::json!("relu")),
        ("activation_function", serde_json::json!("silu")),
        ("activation_function", serde_json::json!("quick_gelu")),
        ("activation_function", serde_json::json!("mish")),
        ("activation_function", serde_json::json!("laplace")),
        ("scale_attn_weights", serde_json::json!(false)),
        ("scale_attn_by_inverse_layer_idx", serde_json::json!(true)),
        ("reorder_and_upcast_attn", serde_json::json!(true)),
        ("layer_norm_epsilon", serde_json::json!(0.1)),
        ("n_head", serde_json::json!(8)),
        ("tie_word_embeddings", serde_json::json!(false)),
        ("n_inner", serde_json::json!(96)),
    ];
    for (field, value) in options {
        let mut json = config_json();
        json[field] = value.clone();
        let config = Config::parse(json.to_string().as_bytes(), "config.json").expect("config");
        let mut named = base();
        let have: HashMap<String, usize> = named.iter().enumerate().map(|(i, n)| (n.0.clone(), i)).collect();
        for Parameter { name, shape, .. } in config.named_parameters() {
            let n: usize = shape.iter().product();
            match have.get(&name) {
                Some(&i) => {
                    named[i].2.truncate(n);
                    named[i].1 = shape;
                }
                None => {
                    named.push((
                        name,
                        shape,
                        (0..n).map(|i| ((i * 37 % 101) as f32 - 50.0) * 2e-3).collect(),
                    ));
                }
            }
        }
        let dir = folder(&json);
        fs::write(dir.path().join("model.safetensors"), safetensors_file(&named, Dtype::F32))
            .expect("weights");
        let got = logits(&load(dir.path()).expect("loads"), &ids);
        let tensors =
            named.iter().map(|(n, _, v)| (n.clone(), v.iter().map(|&x| f64::from(x)).collect())).collect();
        let wanted = plain_gpt2::Plain { config: &config, tensors }.decode(&ids, &|_, _, _| true);
        let worst = got.iter().zip(&wanted).map(|(&a, &b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
        assert!(worst < 2e-5, "{field} = {value}: {worst}");
    }
}

/// Loading fails with a message that holds all of `words`.
fn refused(dir: &Path, words: &[&str]) {
    let message = match load(dir) {
        Ok(_) => panic!("a damaged checkpoint loaded"),
        Err(e) => e.to_string(),
    };
    for word in words {
        assert!(message.contains(word), "{message:?} does not say {word:?}");
    }
    assert!(!message.contains('\n'), "one sentence: {message:?}");
}

#[test]
fn damaged_checkpoints_are_refused_by_file_and_field() {
    let weights = safetensors_file(&base(), Dtype::F32);
    let with = |field: &str, value: serde_json::Value| {
        let mut json = config_json();
        json[field] = value;
        let dir = folder(&json);
        fs::write(dir.path().join("model.safetensors"), &weights).expect("weights");
        dir
    };
    refused(with("n_layer", 10_000_000.into()).path(), &["config.json", "n_layer", "10000000"]);
    refused(with("n_embd", 1_000_000_000.into()).path(), &["config.json", "n_embd"]);
    refused(with("n_head", 5.into()).path(), &["n_embd 64", "n_head 5"]);
    refused(with("n_head", 0.into()).path(), &["n_head is 0"]);
    refused(with("n_positions", (-1).into()).path(), &["config.json"]);
    refused(with("vocab_size", "many".into()).path(), &["config.json"]);
    refused(with("activation_function", "geglu".into()).path(), &["activation_function", "geglu"]);
    refused(with("model_type", "llama".into()).path(), &["model_type", "llama"]);
    refused(with("n_layer", 3.into()).path(), &["model.safetensors", "h.2.ln_1.weight is missing"]);
    refused(with("vocab_size", 513.into()).path(), &["wte.weight", "[512, 64]", "[513, 64]"]);

    let dir = folder(&config_json());
    refused(dir.path(), &["model.safetensors", "pytorch_model.bin"]);
    for cut in [0, 7, 8, 100, weights.len() / 2, weights.len() - 1] {
        fs::write(dir.path().join("model.safetensors"), &weights[..cut]).expect("weights");
        refused(dir.path(), &["model.safetensors"]);
    }
    let mut huge = weights.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(dir.path().join("model.safetensors"), &huge).expect("weights");
    refused(dir.path(), &["model.safetensors"]);
    fs::write(dir.path().join("config.json"), "{ not json").expect("config");
    refused(dir.path(), &["config.json", "JSON"]);
    fs::remove_file(dir.path().join("config.json")).expect("remove");
    refused(dir.path(), &["config.json"]);

    let dir = folder(&config_json());
    fs::write(dir.path().join("model.safetensors"), &weights).expect("weights");
    fs::write(dir.path().join("tokenizer.json"), "{}").expect("tokenizer");
    refused(dir.path(), &["tokenizer.json"]);
}

#[test]
fn inputs_that_do_not_fit_are_refused_before_they_run() {
    let model = load(&tiny_folder()).expect("loads").model;
    let run = |ids: Vec<u32>| {
        model.run(Arc::new(Input::plain(ids)), Reuse::default()).err().expect("refused").to_string()
    };
    assert!(run(vec![]).contains("empty"));
    assert!(run(vec![1; 129]).contains("context of 128"));
    assert!(run(vec![1, 512]).contains("id 512 at position 1"));
}
