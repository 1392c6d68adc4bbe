//! Weights that are no numbers, and those that become too large on the way: no command and no pane shows a result of them.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use super::explorer::Explorer;
use super::loaded::LoadedModel;
use crate::model::finite::check_trace;
use crate::model::forward::Reuse;
use crate::model::{Checkpoint, Config, Input, Model, ModelError, ModelFiles, rotary};
use crate::tensor::host;
use crate::train::init;

const IDS: [u32; 8] = [3, 10, 17, 24, 31, 1, 8, 15];
const WIDTH: usize = 16;

fn gpt2() -> Config {
    let json = r#"{"model_type": "gpt2", "vocab_size": 37, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2,
        "tie_word_embeddings": true}"#;
    Config::parse(json.as_bytes(), "config.json").unwrap()
}

fn weights(config: &Config) -> HashMap<String, Tensor> {
    init::weights(config, 3, &Device::Cpu).unwrap()
}

/// The same with the value at `at` of one tensor changed.
fn with_value(
    weights: &HashMap<String, Tensor>,
    name: &str,
    at: usize,
    value: f32,
) -> HashMap<String, Tensor> {
    let mut changed = weights.clone();
    let tensor = &weights[name];
    let mut values = host::values(tensor).unwrap();
    values[at] = value;
    let shape = tensor.dims().to_vec();
    changed.insert(name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    changed
}

/// Places in a tensor that the logits of [`IDS`] come from. Queries and keys are left out: the kernel of attention gives a
/// key without a comparable score no weight, so that only the check at loading tells.
fn places(name: &str, count: usize) -> Vec<usize> {
    if ["wte", "embed_tokens", "lm_head"].iter().any(|part| name.contains(part)) {
        return vec![3 * WIDTH, 15 * WIDTH + 2];
    }
    if ["q_proj", "k_proj"].iter().any(|part| name.contains(part)) {
        return Vec::new();
    }
    let all = if name.contains("c_attn") { vec![2 * WIDTH] } else { vec![0, WIDTH] };
    all.into_iter().filter(|at| *at < count).collect()
}

fn answer(model: Model) -> Result<Option<f32>, String> {
    let mut explorer = Explorer::new(Arc::new(LoadedModel::of_model("tiny".to_owned(), model, "cpu")));
    explorer.set_ids(&IDS).unwrap();
    let pass = explorer.baseline(None).map_err(|e| {
        assert!(e.hint().is_some(), "{e}");
        e.to_string()
    })?;
    Ok(pass.prediction(None, 3).loss)
}

#[test]
fn no_pass_answers_from_a_weight_that_is_no_number() {
    let mut silent = Vec::new();
    for config in [gpt2(), rotary::config(2, 37, 24)] {
        let weights = weights(&config);
        let built =
            |tensors: &HashMap<String, Tensor>| Model::from_tensors(&config, tensors, &Device::Cpu).unwrap();
        assert!(answer(built(&weights)).unwrap().is_some_and(f32::is_finite));
        for parameter in config.named_parameters() {
            let name = &parameter.name;
            for at in places(name, parameter.shape.iter().product()) {
                let bad = with_value(&weights, name, at, f32::NAN);
                let told = format!("tensor {name} holds NaN");
                for model in [built(&bad), built(&bad).freeze().unwrap()] {
                    let said = answer(model.clone());
                    let trace = model.run(Arc::new(Input::plain(IDS.to_vec())), Reuse::default()).unwrap();
                    let states = name.contains("lm_head") || check_trace(&model, &trace).is_err();
                    if !states || !said.as_ref().is_err_and(|e| e.contains(&told)) {
                        silent.push(format!("{name} at {at}: states {states}, {said:?}"));
                    }
                }
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn values_that_grow_too_large_are_told_by_layer() {
    let config = gpt2();
    let large = with_value(&weights(&config), "h.0.mlp.c_proj.bias", 0, f32::MAX);
    let mut large = with_value(&large, "h.1.mlp.c_proj.bias", 0, f32::MAX);
    large.insert("h.0.ln_2.weight".to_owned(), Tensor::full(1e30f32, WIDTH, &Device::Cpu).unwrap());
    let said = answer(Model::from_tensors(&config, &large, &Device::Cpu).unwrap()).unwrap_err();
    assert!(said.contains("beyond what float32 holds"), "{said}");
}

#[test]
fn a_checkpoint_is_refused_by_file_and_tensor() {
    let config = gpt2();
    let weights = weights(&config);
    let folder = tempfile::tempdir().unwrap();
    let json = serde_json::to_vec(&config).unwrap();
    std::fs::write(folder.path().join("config.json"), json).unwrap();
    let file = folder.path().join("model.safetensors");
    let load = |tensors: &HashMap<String, Tensor>| {
        candle_core::safetensors::save(tensors, &file).unwrap();
        Checkpoint::load(&ModelFiles::Folder(folder.path().to_owned()), &Device::Cpu).map(|_| ())
    };
    load(&weights).unwrap();
    for (name, value, what) in [
        ("h.1.attn.c_attn.weight", f32::NAN, "NaN at [0, 5]"),
        ("ln_f.bias", f32::INFINITY, "an infinite value at [5]"),
        ("wpe.weight", f32::NEG_INFINITY, "an infinite value at [0, 5]"),
    ] {
        let name = weights.keys().find(|known| known.ends_with(name)).unwrap();
        let error = load(&with_value(&weights, name, 5, value)).unwrap_err();
        assert!(matches!(error, ModelError::NotFinite { .. }));
        let text = error.to_string();
        assert!(
            text.contains("model.safetensors: tensor ") && text.contains(name) && text.contains(what),
            "{text}"
        );
    }
    // float16 has infinities of its own.
    let halves: HashMap<String, Tensor> = with_value(&weights, "wte.weight", 5, 1e30)
        .into_iter()
        .map(|(name, t)| (name, t.to_dtype(candle_core::DType::F16).unwrap()))
        .collect();
    assert!(load(&halves).unwrap_err().to_string().contains("an infinite value"));
}
