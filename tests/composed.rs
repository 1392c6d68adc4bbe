//! A GPU's operators and the composed ones, which any device without kernels of ours runs, against the CPU's kernels: every gradient, the
//! optimiser, traces with reuse, reading, mixed precision. On a GPU they are the plain twins of everything.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use maskscope::model::forward::Reuse;
use maskscope::model::hooks::{EdgeCut, HeadChange, HeadOutput, Hooks, Patch};
use maskscope::model::input::{Input, Visibility};
use maskscope::model::layers::Dropout;
use maskscope::model::{Checkpoint, Model, ModelFiles};
use maskscope::tensor::adamw::{AdamW, AdamWSettings};
use maskscope::tensor::attention::Attention;
use maskscope::tensor::cross_entropy::{IGNORE, cross_entropy};
use maskscope::tensor::device::{Way, plain, with_fused, with_plain};
use maskscope::tensor::dropout::{Mask, dropout};
use maskscope::tensor::gradients::{Gradients, backward};
use maskscope::tensor::host;
use maskscope::tensor::kernels::activation::Activation;
use maskscope::tensor::ops::{activate, layer_norm, linear};
use maskscope::train::spec::{LoraSpec, LoraTargets, Precision, Trained};
use maskscope::train::trainee::Trainee;

fn numbers(n: usize, salt: usize) -> Vec<f32> {
    (0..n).map(|i| (((i + salt) * 7919 % 1009) as f32 / 1009.0 - 0.5) * 2.0).collect()
}

fn tensor(shape: &[usize], salt: usize) -> Tensor {
    Tensor::from_vec(numbers(shape.iter().product(), salt), shape, &Device::Cpu).unwrap()
}

/// A GPU's operators, on its kernels' plain twins here, and the library's own.
const WAYS: [Way; 2] = [Way::Fused, Way::Composed];

fn forced<R>(way: Way, f: impl FnOnce() -> R) -> R {
    match way {
        Way::Fused => with_fused(f),
        _ => with_plain(f),
    }
}

/// Largest difference over the largest value.
fn apart(a: &Tensor, b: &Tensor) -> f32 {
    let (a, b) = (host::values(a).unwrap(), host::values(b).unwrap());
    let scale = a.iter().fold(1e-6f32, |m, x| m.max(x.abs()));
    support::largest_difference(&a, &b) / scale
}

/// Value and every gradient of an operator, both ways.
fn same(name: &str, args: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) {
    let once = || {
        let vars: Vec<Var> = args.iter().map(|a| Var::from_tensor(a).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let out = f(&tensors);
        let scalar = match out.rank() {
            0 => out.clone(),
            _ => (&out * tensor(out.dims(), 5)).unwrap().sum_all().unwrap(),
        };
        let grads = backward(&scalar).unwrap();
        let grads: Vec<Tensor> = tensors.iter().map(|t| grads.get(t).unwrap().clone()).collect();
        (out, grads)
    };
    let (fused, composed) = (once(), with_plain(once));
    assert!(apart(&fused.0, &composed.0) < 1e-5, "{name}: {}", apart(&fused.0, &composed.0));
    for (at, (a, b)) in fused.1.iter().zip(&composed.1).enumerate() {
        assert!(apart(a, b) < 1e-4, "{name}, gradient {at}: {}", apart(a, b));
    }
}

#[test]
fn every_operator_and_its_gradients() {
    let norm = |a: &[Tensor]| layer_norm(&a[0], &a[1], &a[2], 1e-5).unwrap();
    same("layer norm", &[tensor(&[2, 3, 50], 1), tensor(&[50], 2), tensor(&[50], 3)], norm);
    let product = |a: &[Tensor]| linear(&a[0], &a[1], &a[2]).unwrap();
    same("linear", &[tensor(&[2, 5, 12], 4), tensor(&[12, 18], 5), tensor(&[18], 6)], product);
    for (name, kind) in Activation::NAMES {
        let x = (tensor(&[3, 41], 7) * 3.0).unwrap();
        same(name, &[x], |a| activate(&a[0], kind).unwrap());
    }
    same("dropout", &[tensor(&[4, 51], 8)], |a| dropout(&a[0], 0.4, (3, 1)).unwrap());
    for t in [1, 9, 33] {
        let mut hidden = vec![0f32; 2 * t * t];
        for (i, cell) in hidden.iter_mut().enumerate() {
            if i % t < i / t % t && (i * 7) % 3 == 0 {
                *cell = f32::NEG_INFINITY;
            }
        }
        let bias = Tensor::from_vec(hidden, (2, 1, t, t), &Device::Cpu).unwrap();
        for (bias, noise) in [(None, None), (Some(bias), None), (None, Some(Mask::new(0.3, (5, 9))))] {
            let rule = Attention { heads: 2, scale: 0.35, causal: true, bias, noise };
            same("attention", &[tensor(&[2, t, 3 * 16], 9)], |a| rule.packed(&a[0]).unwrap());
        }
    }
    let mut targets: Vec<u32> = (0..11).map(|i| i * 3 % 30).collect();
    targets[4] = IGNORE;
    let args = [tensor(&[11, 8], 11), tensor(&[30, 8], 12)];
    same("cross-entropy", &args, |a| cross_entropy(&a[0], &a[1], &targets, true).unwrap());
}

#[test]
fn cross_entropy_over_several_tiles_without_labels_and_outside_the_vocabulary() {
    let (hidden, weight) = (tensor(&[4100, 6], 1), tensor(&[19, 6], 2));
    let targets: Vec<u32> = (0..4100).map(|i| if i % 11 == 0 { IGNORE } else { i % 19 }).collect();
    let args = [hidden.clone(), weight.clone()];
    same("cross-entropy in tiles", &args, |a| cross_entropy(&a[0], &a[1], &targets, true).unwrap());
    let none = vec![IGNORE; 4100];
    let zero = with_plain(|| cross_entropy(&hidden, &weight, &none, false)).unwrap();
    assert_eq!(zero.to_scalar::<f32>().unwrap(), 0.0);
    let outside = with_plain(|| cross_entropy(&hidden, &weight, &vec![19; 4100], true));
    assert!(outside.unwrap_err().to_string().contains("outside the vocabulary of 19"));
}

fn tiny() -> Model {
    Checkpoint::load(&ModelFiles::Folder(support::tiny_folder()), &Device::Cpu).unwrap().model
}

/// Losses of a few steps and the variables after them.
fn trained(precision: Precision, steps: usize) -> (Vec<f64>, Vec<(String, Var)>) {
    let model = tiny();
    let mut trainee =
        Trainee::with(&model.config, &model.tensors().unwrap(), &Device::Cpu, (&Trained::All, 0)).unwrap();
    trainee.set_precision(precision).unwrap();
    let mut adamw = AdamW::new(trainee.vars.clone(), AdamWSettings::default()).unwrap();
    let ids: Vec<u32> = (0..4 * 33).map(|i| (i * 13 % 97) as u32).collect();
    let losses = (0..steps).map(|_| {
        let model = trainee.current().unwrap();
        let inputs: Vec<u32> = ids.chunks(33).flat_map(|r| r[..32].to_vec()).collect();
        let targets: Vec<u32> = ids.chunks(33).flat_map(|r| r[1..].to_vec()).collect();
        let hidden = model.forward_batch(&model.embed_batch(&inputs, 4).unwrap(), None, true).unwrap();
        let rows = hidden.reshape((128, model.config.n_embd)).unwrap();
        let loss = cross_entropy(&rows, &model.lm_head.tensor().unwrap(), &targets, true).unwrap();
        let applied = adamw.step(&backward(&loss).unwrap(), 1e-3, 1.0).unwrap().unwrap();
        assert!(applied.without_gradient.is_empty(), "{:?}", applied.without_gradient);
        f64::from(loss.to_scalar::<f32>().unwrap())
    });
    (losses.collect(), trainee.vars.clone())
}

#[test]
fn training_steps_follow_the_kernels() {
    let (host, vars) = trained(Precision::F32, 12);
    assert!(host[11] < host[0] - 0.1, "the run learns: {host:?}");
    for way in WAYS {
        let (losses, others) = forced(way, || trained(Precision::F32, 12));
        for (a, b) in host.iter().zip(&losses) {
            assert!((a - b).abs() < 1e-4 * a, "{host:?} against {way:?} {losses:?}");
        }
        for ((name, a), (_, b)) in vars.iter().zip(&others) {
            // A bias of keys has no gradient but rounding, whose sign Adam turns into whole steps of 1e-3.
            let (a, b) = (host::values(a.as_tensor()).unwrap(), host::values(b.as_tensor()).unwrap());
            let mean = a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / a.len() as f64;
            assert!(mean < 5e-4, "{name}, {way:?}: {mean}");
        }
    }
}

/// The gradients of one batch under hidden keys and dropout, by name.
fn gradients(trained: &Trained) -> Vec<(String, Tensor)> {
    let model = tiny();
    let mut trainee =
        Trainee::with(&model.config, &model.tensors().unwrap(), &Device::Cpu, (trained, 3)).unwrap();
    for (name, var) in &trainee.vars {
        // Adapters start as nothing, and nothing has no gradient on its other side.
        if name.ends_with("lora_B") {
            var.set(&(tensor(var.dims(), 17) * 0.1).unwrap()).unwrap();
        }
    }
    trainee.model.dropout = Some(Dropout { rate: 0.2, key: 11 });
    let model = trainee.current().unwrap();
    let (batch, t) = (2, 24);
    let hidden = |i: usize| if i % t < i / t % t && i.is_multiple_of(4) { f32::NEG_INFINITY } else { 0.0 };
    let bias: Vec<f32> = (0..batch * t * t).map(hidden).collect();
    let bias = Tensor::from_vec(bias, (batch, 1, t, t), &Device::Cpu).unwrap();
    let ids: Vec<u32> = (0..batch * t).map(|i| (i * 29 % 97) as u32).collect();
    let targets: Vec<u32> = (0..batch * t).map(|i| (i * 31 % 89) as u32).collect();
    let embedded = model.embed_batch(&ids, batch).unwrap();
    let states = model.forward_batch(&embedded, Some(&bias), true).unwrap();
    let rows = states.reshape((batch * t, model.config.n_embd)).unwrap();
    let loss = cross_entropy(&rows, &model.lm_head.tensor().unwrap(), &targets, true).unwrap();
    let grads = backward(&loss).unwrap();
    let found =
        |name: &str, var: &Var| grads.get(var.as_tensor()).unwrap_or_else(|| panic!("{name}")).clone();
    trainee.vars.iter().map(|(name, var)| (name.clone(), found(name, var))).collect()
}

#[test]
fn a_block_as_one_operator_has_the_gradients_of_its_parts() {
    let lora =
        LoraSpec { rank: 3, alpha: 6.0, dropout: 0.0, targets: LoraTargets::modules(&["all", "lm_head"]) };
    for trained in [Trained::All, Trained::LastBlocks(1), Trained::LayerNorms, Trained::Lora(lora)] {
        let whole = gradients(&trained);
        for way in WAYS {
            let parts = forced(way, || gradients(&trained));
            assert_eq!(whole.len(), parts.len());
            for ((name, a), (_, b)) in whole.iter().zip(&parts) {
                // A bias of keys has no gradient but rounding.
                let difference = host::values(&(a - b).unwrap()).unwrap();
                let far = difference.iter().fold(0f32, |m, x| m.max(x.abs()));
                assert!(far < 1e-7 || apart(a, b) < 2e-4, "{trained:?}, {name}, {way:?}: {}", apart(a, b));
            }
        }
    }
}

#[test]
fn gradients_of_several_losses_add_up_and_are_never_lost() {
    let model = tiny();
    let trainee =
        Trainee::with(&model.config, &model.tensors().unwrap(), &Device::Cpu, (&Trained::All, 0)).unwrap();
    let loss = |salt: usize| {
        let model = trainee.current().unwrap();
        let ids: Vec<u32> = (0..20).map(|i| ((i + salt) * 13 % 97) as u32).collect();
        let states = model.forward_batch(&model.embed_batch(&ids, 1).unwrap(), None, true).unwrap();
        let rows = states.reshape((20, model.config.n_embd)).unwrap();
        cross_entropy(&rows, &model.lm_head.tensor().unwrap(), &ids, true).unwrap()
    };
    let mut both = Gradients::default();
    both.add(&loss(1)).unwrap();
    both.add(&loss(2)).unwrap();
    let (both, one, two) = (both.finish().unwrap(), backward(&loss(1)).unwrap(), backward(&loss(2)).unwrap());
    for (name, var) in &trainee.vars {
        let of = |grads: &candle_core::backprop::GradStore| grads.get(var.as_tensor()).unwrap().clone();
        let sum = (of(&one) + of(&two)).unwrap();
        assert!(apart(&of(&both), &sum) < 1e-5, "{name}: {}", apart(&of(&both), &sum));
    }
    assert!(Gradients::default().finish().is_err(), "no loss, no gradients");
    if plain() {
        return;
    }
    // The library's own pass knows nothing of the sums: it must fail rather than leave parameters out.
    let refused = loss(3).backward().unwrap_err().to_string();
    assert!(refused.contains("tensor::gradients"), "{refused}");
    let twice = loss(4);
    backward(&twice).unwrap();
    assert!(backward(&twice).is_err(), "a loss has its gradients taken once");
}

#[test]
fn mixed_precision_keeps_f32_weights_and_follows_within_one_percent() {
    let refused = || std::panic::catch_unwind(|| trained(Precision::Bf16, 1)).is_err();
    assert!(plain() || refused(), "bf16 must be refused where the CPU's kernels run");
    let (exact, _) = trained(Precision::F32, 12);
    for way in WAYS {
        let (mixed, vars) = forced(way, || trained(Precision::Bf16, 12));
        assert!(vars.iter().all(|(_, v)| v.as_tensor().dtype() == DType::F32));
        for (a, b) in exact.iter().zip(&mixed) {
            assert!((a - b).abs() < 1e-2 * a, "{exact:?} against {way:?} {mixed:?}");
        }
        assert!(exact.iter().zip(&mixed).any(|(a, b)| a != b), "bf16 was really used");
    }
}

#[test]
fn traces_maps_and_reading_agree_with_reuse_hidden_keys_skips_and_interventions() {
    let model = tiny();
    let ids: Vec<u32> = (0..40).map(|i| (i * 31 + 5) % 500).collect();
    let mut hide = vec![u32::MAX; 40];
    (hide[3], hide[11]) = (5, 20);
    let cut = |layer, head, queries, keys| EdgeCut { layer, head, queries, keys };
    let cuts = vec![cut(None, None, 7..8, 2..3), cut(Some(1), Some(1), 20..40, 0..9)];
    let change = |head, to| HeadChange { layer: 1, head, to };
    let heads = vec![change(0, HeadOutput::Mean), change(1, HeadOutput::Scaled(0.5))];
    let patch =
        |layer, head, width: usize| Patch { layer, head, position: 13, values: vec![0.25; width].into() };
    let (width, head) = (model.config.n_embd, model.config.head_dim());
    let patches = vec![patch(1, None, width), patch(0, Some(1), head)];
    let hooked = |hooks: Hooks| Input { hooks, ..Input::plain(ids.clone()) };
    let inputs = [
        hooked(Hooks { cuts, ..Hooks::default() }),
        hooked(Hooks { patches, keep_heads: true, ..Hooks::default() }),
        Input::plain(ids.clone()),
        Input { visibility: Visibility::HideFrom(hide), ..Input::plain(ids.clone()) },
        Input { skipped: vec![4, 9, 10], ..Input::plain(ids.clone()) },
        hooked(Hooks { heads, ..Hooks::default() }),
        Input::plain(ids[..25].to_vec()),
    ];
    let base = model.run(Arc::new(Input::plain(ids.clone())), Reuse::default()).unwrap();
    for input in inputs {
        let fused = model.run(Arc::new(input.clone()), Reuse::default()).unwrap();
        let pairs: Vec<(usize, u32)> = (0..input.len() - 1).map(|t| (t, input.ids[t + 1])).collect();
        let (known, whole) = model.read(&fused, &pairs, true).unwrap();
        for (traces, way) in [vec![], vec![&base]].into_iter().flat_map(|t| WAYS.map(|w| (t.clone(), w))) {
            let reuse = Reuse { traces: &traces, cancel: None };
            forced(way, || {
                let composed = model.run(Arc::new(input.clone()), reuse).unwrap();
                assert!(apart(&fused.hidden, &composed.hidden) < 1e-5);
                let t = input.len();
                let (mut a, mut b) = (vec![0f32; t * t], vec![0f32; t * t]);
                fused.map_into(1, 1, &mut a).unwrap();
                composed.map_into(1, 1, &mut b).unwrap();
                assert!(support::largest_difference(&a, &b) < 1e-6);
                let (known_too, whole_too) = model.read(&composed, &pairs, true).unwrap();
                assert!(support::largest_difference(&known, &known_too) < 2e-5);
                let (whole, whole_too) = (whole.as_ref().unwrap(), whole_too.unwrap());
                assert!(support::largest_difference(whole, &whole_too) < 2e-5);
            });
        }
    }
}
