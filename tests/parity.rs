//! Against Hugging Face's numbers on a small GPT-2 whose every weight, bias and gain is perturbed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/paths.rs"]
mod paths;
#[path = "support/plain_gpt2.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod plain_gpt2;
mod support;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use maskscope::attention::source::AttentionSource;
use maskscope::model::forward::Reuse;
use maskscope::model::{Checkpoint, Input, Model, ModelFiles};
use maskscope::tensor::cross_entropy::{IGNORE, cross_entropy};
use maskscope::tensor::device::plain;
use maskscope::tensor::gradients::backward;
use maskscope::tensor::host;
use maskscope::train::trainee::Trainee;
use plain_gpt2::Plain;
use support::{Reference, largest_difference, tiny_folder};

fn load() -> Checkpoint {
    Checkpoint::load(&ModelFiles::Folder(tiny_folder()), &Device::Cpu)
        .expect("the reference checkpoint loads")
}

#[test]
fn logits_attentions_hidden_states_and_loss_match() {
    matches_the_reference(&load().model);
}

#[test]
fn they_match_with_packed_weights_too() {
    matches_the_reference(&load().model.freeze().expect("packs"));
}

fn matches_the_reference(model: &Model) {
    let reference = Reference::open();
    let ids = reference.ids("causal.input_ids");
    let trace = model.run(Arc::new(Input::plain(ids.clone())), Reuse::default()).expect("runs");
    let t = ids.len();

    let logits = model.logits(&trace.hidden, 0, t).expect("logits");
    assert!(largest_difference(&logits, &reference.floats("causal.logits")) < 2e-5);

    let states = host::values(&trace.hidden_states().expect("states")).expect("values");
    assert!(largest_difference(&states, &reference.floats("causal.hidden_states")) < 2e-5);

    let wanted = reference.floats("causal.attentions");
    let config = model.config.clone();
    let widen = |(name, tensor): (String, Tensor)| {
        let values = host::values(&tensor).expect("values").into_iter().map(f64::from).collect();
        (name, values)
    };
    let tensors = support::tensors(&config).into_iter().map(widen).collect();
    let exact = Plain { config: &config, tensors }.pass(&ids, &|_, _, _| true).1;
    let mut map = vec![0f32; t * t];
    for layer in 0..trace.n_layer() {
        for head in 0..trace.n_head() {
            trace.map(layer, head, &mut map);
            let at = (layer * trace.n_head() + head) * t * t;
            let place = format!("layer {layer} head {head}");
            let exact: Vec<f32> = exact[at..at + t * t].iter().map(|&x| x as f32).collect();
            // Long sums of the library's own products round more than those of this program's kernels.
            let bound = if plain() { 2e-6 } else { 1e-6 };
            assert!(largest_difference(&map, &exact) < bound, "{place} against the definition in f64");
            // The reference is f32 itself: its own rounding, measured against f64, reaches 1.01e-6 here.
            assert!(largest_difference(&map, &wanted[at..at + t * t]) < 2e-6, "{place}");
        }
    }

    let pairs: Vec<(usize, u32)> = (1..t).map(|i| (i - 1, ids[i])).collect();
    let log_p = model.target_log_probabilities(&trace, &pairs).expect("log-probabilities");
    let loss = -log_p.iter().map(|&x| f64::from(x)).sum::<f64>() / log_p.len() as f64;
    assert!((loss - f64::from(reference.floats("causal.loss")[0])).abs() < 1e-5);
}

/// Loss and gradient of every parameter for one group of reference values.
fn gradients(prefix: &str, names: &[String]) {
    let (reference, checkpoint) = (Reference::open(), load());
    let config = checkpoint.model.config.clone();
    let tensors = support::tensors(&config);
    let trainee = Trainee::new(&config, &tensors, &Device::Cpu).expect("variables");
    let ids = reference.ids(&format!("{prefix}.input_ids"));
    let t = ids.len();
    let bias = reference.find(&format!("{prefix}.mask4d_additive")).map(|v| {
        let v: Vec<f32> = v.iter().map(|&x| if x < -1e30 { f32::NEG_INFINITY } else { x }).collect();
        Tensor::from_vec(v, (1, 1, t, t), &Device::Cpu).expect("bias")
    });
    let embedded = trainee.model.embed_batch(&ids, 1).expect("embeddings");
    let hidden = trainee.model.forward_batch(&embedded, bias.as_ref(), bias.is_none()).expect("forward");
    let rows = hidden.reshape((t, config.n_embd)).expect("rows");
    let mut targets: Vec<u32> = reference.ids(&format!("{prefix}.labels"))[1..].to_vec();
    targets.push(IGNORE);
    let loss =
        cross_entropy(&rows, &trainee.model.lm_head.tensor().expect("head"), &targets, true).expect("loss");
    let value = loss.to_scalar::<f32>().expect("scalar");
    let wanted = reference.floats(&format!("{prefix}.loss"))[0];
    assert!((value - wanted).abs() < 1e-5, "{prefix}: loss {value} against {wanted}");
    let grads = backward(&loss).expect("backward");
    for name in names {
        let bare = name.strip_prefix("transformer.").unwrap_or(name);
        let (_, var) = trainee.vars.iter().find(|(n, _)| n == bare).expect("variable");
        let got = host::values(grads.get(var.as_tensor()).expect("gradient")).expect("values");
        let wanted = reference.floats(&format!("{prefix}.grad.{name}"));
        let scale = wanted.iter().fold(0f32, |m, x| m.max(x.abs()));
        let worst = largest_difference(&got, &wanted);
        assert!(worst <= 1e-4 * scale, "{prefix} {name}: {worst} at scale {scale}");
    }
}

#[test]
fn every_gradient_matches() {
    let config = load().model.config;
    let names: Vec<String> =
        config.named_parameters().into_iter().map(|p| format!("transformer.{}", p.name)).collect();
    assert_eq!(names.len(), 28);
    gradients("causal", &names);
}

#[test]
fn custom_masks_match_in_loss_and_gradient() {
    let names =
        ["transformer.h.0.attn.c_attn.weight", "transformer.h.1.attn.c_proj.weight"].map(str::to_owned);
    for mask in ["bidir", "block6", "prefix10", "sink2_window6", "strided4", "window8"] {
        gradients(&format!("mask_{mask}"), &names);
    }
}

#[test]
fn reused_rows_equal_a_fresh_pass() {
    let (reference, checkpoint) = (Reference::open(), load());
    let ids = reference.ids("causal.input_ids");
    let model = &checkpoint.model;
    let first = model.run(Arc::new(Input::plain(ids.clone())), Reuse::default()).expect("runs");
    for change in [0, 1, 20, 38, 39] {
        let mut edited = ids.clone();
        edited[change] = (edited[change] + 1) % 512;
        let input = Arc::new(Input::plain(edited));
        let reused = model.run(input.clone(), Reuse { traces: &[&first], cancel: None }).expect("runs");
        let fresh = model.run(input, Reuse::default()).expect("runs");
        assert_eq!(reused.reused, change * 2, "rows reused after a change at {change}");
        let (a, b) =
            (host::values(&reused.hidden).expect("values"), host::values(&fresh.hidden).expect("values"));
        assert!(largest_difference(&a, &b) < 1e-5);
    }
    for length in [1, 7, 39] {
        let input = Arc::new(Input::plain(ids[..length].to_vec()));
        let reused = model.run(input.clone(), Reuse { traces: &[&first], cancel: None }).expect("runs");
        let fresh = model.run(input, Reuse::default()).expect("runs");
        let (a, b) =
            (host::values(&reused.hidden).expect("values"), host::values(&fresh.hidden).expect("values"));
        assert!(largest_difference(&a, &b) < 1e-5);
    }
}

#[test]
fn every_set_of_kernels_passes() {
    paths::on_every_path("every_set_of_kernels_passes");
}
