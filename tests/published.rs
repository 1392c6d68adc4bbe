//! Configurations as they are published: what is GPT-2 opens and keeps its fields, what is not is named as what it is. The
//! table holds the fields of 69 models; `tests/bench/peers/published_configs.py` runs miniatures of them against
//! transformers.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use maskscope::model::Config;
use maskscope::model::gpt2::config::Gpt2Options;
use serde_json::{Map, Value, json};

fn table() -> Map<String, Value> {
    serde_json::from_slice(include_bytes!("data/published_configs.json")).unwrap()
}

fn bytes(entry: &Value) -> Vec<u8> {
    match entry.get("text") {
        Some(text) => text.as_str().unwrap().as_bytes().to_vec(),
        None => entry["config"].to_string().into_bytes(),
    }
}

fn parse(config: &Value) -> Result<Config, String> {
    Config::parse(config.to_string().as_bytes(), "config.json").map_err(|e| e.to_string())
}

#[test]
fn what_is_gpt2_opens_and_the_rest_is_named() {
    let (mut opened, mut refused) = (0, 0);
    for (name, entry) in table() {
        match (Config::parse(&bytes(&entry), "config.json"), entry.get("cause")) {
            (Ok(_), None) => opened += 1,
            (Err(error), Some(causes)) => {
                let (error, mut causes) =
                    (error.to_string().to_lowercase(), causes.as_array().unwrap().iter());
                let named = causes.any(|cause| error.contains(&cause.as_str().unwrap().to_lowercase()));
                assert!(named && !error.contains('\n'), "{name}: {error}");
                refused += 1;
            }
            (Ok(_), Some(_)) => panic!("{name} opened"),
            (Err(error), None) => panic!("{name}: {error}"),
        }
    }
    assert_eq!((opened, refused), (47, 22));
}

#[test]
fn every_field_is_kept_and_comes_back_the_same() {
    for (name, entry) in table() {
        let Ok(config) = Config::parse(&bytes(&entry), "config.json") else { continue };
        let written = serde_json::to_value(&config).unwrap();
        for (field, value) in entry["config"].as_object().unwrap() {
            assert_eq!(&written[field], value, "{name}: {field}");
        }
        assert_eq!(parse(&written).unwrap(), config, "{name}");
    }
}

/// Every field of `openai-community/gpt2`, as its file has them.
#[test]
fn gpt2_itself_opens() {
    let config = parse(&json!({
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "bos_token_id": 50256,
        "embd_pdrop": 0.1,
        "eos_token_id": 50256,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": 1024,
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 1024,
        "resid_pdrop": 0.1,
        "summary_activation": null,
        "summary_first_dropout": 0.1,
        "summary_proj_to_labels": true,
        "summary_type": "cls_index",
        "summary_use_proj": true,
        "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}},
        "vocab_size": 50257
    }))
    .unwrap();
    assert_eq!((config.n_layer, config.n_head, config.n_embd, config.n_positions), (12, 12, 768, 1024));
    assert_eq!((config.parameters(), config.n_inner, config.head_dim()), (124_439_808, 3072, 64));
    assert_eq!((config.bos_token_id, config.eos_token_id), (Some(50256), Some(50256)));
    assert!(config.tie_word_embeddings && options(&config).scale_attn_weights);
}

fn options(config: &Config) -> Gpt2Options {
    Gpt2Options::of(config).unwrap()
}

fn small() -> Value {
    json!({"model_type": "gpt2", "vocab_size": 50, "n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2})
}

fn with(changes: Value) -> Value {
    let mut fields = small();
    for (name, value) in changes.as_object().unwrap() {
        match value.as_str() {
            Some("absent") => fields.as_object_mut().unwrap().remove(name),
            _ => fields.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    fields
}

#[test]
fn sizes_go_by_all_their_names() {
    let of = |changes: Value| parse(&with(changes)).unwrap();
    assert_eq!(of(json!({"n_ctx": 4})).n_positions, 16);
    assert_eq!(of(json!({"n_ctx": 4, "n_positions": "absent"})).n_positions, 4);
    assert_eq!(of(json!({"n_ctx": 4, "n_positions": null})).n_positions, 4);
    assert_eq!(of(json!({"n_positions": "absent", "max_position_embeddings": 9, "n_ctx": 4})).n_positions, 9);
    // Where a file has both, transformers takes the common name.
    assert_eq!(of(json!({"hidden_size": 32})).n_embd, 32);
    let all = of(json!({"n_embd": "absent", "n_layer": "absent", "n_head": "absent", "hidden_size": 64,
        "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 37, "hidden_act": "gelu"}));
    assert_eq!((all.n_embd, all.n_layer, all.n_head, all.n_inner), (64, 3, 4, 256));
    assert_eq!(options(&all).activation_function, "gelu_new");
    assert_eq!(of(json!({"n_embd": 8.0, "n_inner": 37.0})).n_inner, 37);
    assert_eq!(of(json!({"n_inner": null})).n_inner, 32);
}

#[test]
fn what_no_computation_needs_keeps_no_model_shut() {
    for changes in [
        json!({"scale_attn_weights": null, "tie_word_embeddings": null, "reorder_and_upcast_attn": null}),
        json!({"activation_function": null, "layer_norm_epsilon": null, "initializer_range": null}),
        json!({"add_cross_attention": null, "pruned_heads": {}, "quantization_config": null, "auto_map": null}),
        json!({"scale_attn_by_layer_idx": true, "eos_token_ids": null, "id2label": {"0": "LABEL_0"}, "anything": [1, {"a": 2}]}),
        json!({"auto_map": {"AutoTokenizer": ["x.Y", null]}, "architectures": ["GPT2DoubleHeadsModel"]}),
    ] {
        let config = parse(&with(changes.clone())).unwrap_or_else(|e| panic!("{changes}: {e}"));
        assert!(
            options(&config).scale_attn_weights
                && config.tie_word_embeddings
                && !options(&config).scale_attn_by_inverse_layer_idx
        );
        assert_eq!(options(&config).activation_function, "gelu_new");
    }
    for (eos, first, all) in [
        (json!(null), None, vec![]),
        (json!(-1), None, vec![]),
        (json!(7), Some(7), vec![7]),
        (json!(50256), Some(50256), vec![50256]),
        (json!([3, 4]), Some(3), vec![3, 4]),
        (json!([]), None, vec![]),
        (json!("</s>"), None, vec![]),
    ] {
        let mut config = parse(&with(json!({"eos_token_id": eos}))).unwrap();
        assert_eq!((config.eos_token_id, config.eos_token_ids()), (first, all));
        assert_eq!(serde_json::to_value(&config).unwrap()["eos_token_id"], eos);
        config.eos_token_id = Some(9);
        assert_eq!(config.eos_token_ids(), [9]);
        assert_eq!(serde_json::to_value(&config).unwrap()["eos_token_id"], json!(9));
    }
    assert!(serde_json::to_value(parse(&small()).unwrap()).unwrap().get("eos_token_id").is_none());
}

#[test]
fn messages_name_the_field() {
    for (changes, words) in [
        (json!({"n_layer": "absent"}), "n_layer is missing"),
        (json!({"vocab_size": null}), "vocab_size is null"),
        (json!({"n_embd": 64.5}), "n_embd is 64.5, not a whole number"),
        (json!({"n_head": "two"}), "n_head is \"two\", not a whole number"),
        (json!({"n_positions": -1}), "n_positions is -1, not a whole number"),
        (json!({"n_inner": [1]}), "n_inner is [1]"),
        (json!({"tie_word_embeddings": "yes"}), "tie_word_embeddings is \"yes\", not true or false"),
        (json!({"layer_norm_epsilon": "small"}), "layer_norm_epsilon is \"small\", not a number"),
        (json!({"activation_function": "geglu"}), "activation_function \"geglu\" is not known"),
        (json!({"activation_function": "prelu"}), "parameters of its own"),
        (json!({"activation_function": 3}), "activation_function is 3"),
        (json!({"attention_head_type": "multiquery"}), "multiquery"),
        (json!({"pruned_heads": {"0": [1]}}), "pruned_heads"),
        (json!({"quantization_config": {"quant_method": "gptq"}}), "quantised by gptq"),
        (json!({"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}), "modeling_x.X"),
        (json!({"model_type": "absent", "architectures": ["LlamaForCausalLM"]}), "LlamaForCausalLM"),
        (json!({"model_type": "absent", "afn": "gelu"}), "GPT-1"),
    ] {
        let error = parse(&with(changes)).unwrap_err();
        assert!(error.starts_with("config.json: ") && error.contains(words), "{error}");
    }
    for (text, words) in [
        ("", "empty"),
        ("\u{feff}\n", "empty"),
        ("[1]", "a list"),
        ("\"gpt2\"", "a text"),
        ("<html>", "HTML"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:38ba\n", "Git LFS pointer"),
        ("{\"model_type\"", "not valid JSON"),
    ] {
        let error = Config::parse(text.as_bytes(), "config.json").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
