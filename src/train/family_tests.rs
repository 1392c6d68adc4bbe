//! Another family than the first goes through the same code: it opens, leaves traces that are reused, gets gradients, adapters
//! and checkpoints. Nothing here names GPT-2.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};

use super::checkpoint::SavedDtype;
use super::checkpoint::disk::RealDisk;
use super::checkpoint::files::{Contents, write_model};
use super::init;
use super::spec::{LoraSpec, LoraTargets, Trained};
use super::trainee::Trainee;
use crate::model::forward::Reuse;
use crate::model::layers::Dropout;
use crate::model::network::Positions;
use crate::model::rotary;
use crate::model::{Checkpoint, Config, Input, Model, ModelFiles, Trace};
use crate::tensor::cross_entropy::cross_entropy;
use crate::tensor::gradients::backward;
use crate::tensor::host;

const VOCAB: usize = 37;

fn weights(config: &Config) -> HashMap<String, Tensor> {
    init::weights(config, 3, &Device::Cpu).unwrap()
}

fn model() -> Model {
    let config = rotary::config(3, VOCAB, 24);
    Model::from_tensors(&config, &weights(&config), &Device::Cpu).unwrap()
}

fn ids(n: u32) -> Vec<u32> {
    (0..n).map(|i| (i * 7 + 3) % VOCAB as u32).collect()
}

fn run(model: &Model, input: &Input, traces: &[&Trace]) -> Trace {
    model.run(Arc::new(input.clone()), Reuse { traces, cancel: None }).unwrap()
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |far, (x, y)| far.max((x - y).abs()))
}

fn hidden(trace: &Trace) -> Vec<f32> {
    host::values(&trace.hidden).unwrap()
}

#[test]
fn traces_are_reused_and_say_what_a_whole_pass_says() {
    for model in [model(), model().freeze().unwrap()] {
        let before = run(&model, &Input::plain(ids(20)), &[]);
        let mut changed = Input::plain(ids(20));
        changed.ids[9] = 1;
        let (again, whole) = (run(&model, &changed, &[&before]), run(&model, &changed, &[]));
        assert_eq!((again.reused, whole.reused), (27, 0));
        assert!(apart(&hidden(&again), &hidden(&whole)) < 1e-5);
        let logits = model.logits(&whole.hidden, 0, 20).unwrap();
        assert!(logits.len() == 20 * VOCAB && logits.iter().all(|x| x.is_finite()));
        let mut map = vec![0f32; 400];
        whole.map_into(2, 1, &mut map).unwrap();
        assert!(map.chunks(20).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-5));
    }
}

#[test]
fn positions_reach_the_blocks() {
    let model = model();
    let plain = Input::plain(ids(12));
    let shifted = Input { position_ids: Some((5..17).collect()), ..plain.clone() };
    let spread = Input { position_ids: Some((0..12).map(|i| 2 * i).collect()), ..plain.clone() };
    let at = |input: &Input| hidden(&run(&model, input, &[]));
    // Rotary attention knows distances alone.
    assert!(apart(&at(&plain), &at(&shifted)) < 1e-4);
    assert!(apart(&at(&plain), &at(&spread)) > 1e-3);
    let embedded = model.embed_batch(&spread.ids, 1).unwrap();
    let positions = spread.position_ids.clone().unwrap();
    let states = model.forward_batch_at(&embedded, Positions::Given(&positions), None, true).unwrap();
    assert!(apart(&host::values(&states).unwrap(), &at(&spread)) < 1e-5);
}

fn loss(trainee: &Trainee) -> Tensor {
    let model = trainee.current().unwrap();
    let states = model.forward_batch(&model.embed_batch(&ids(24), 2).unwrap(), None, true).unwrap();
    let targets: Vec<u32> = ids(24).iter().map(|id| (id + 5) % VOCAB as u32).collect();
    let rows = states.reshape(((), model.config.n_embd)).unwrap();
    cross_entropy(&rows, &model.lm_head.tensor().unwrap(), &targets, true).unwrap()
}

fn trainee(trained: &Trained) -> Trainee {
    let config = rotary::config(3, VOCAB, 24);
    Trainee::with(&config, &weights(&config), &Device::Cpu, (trained, 1)).unwrap()
}

/// Adds `step` to one value of a variable.
fn nudge(var: &Var, at: usize, step: f32) {
    let mut values = host::values(var.as_tensor()).unwrap();
    values[at] += step;
    var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
}

#[test]
fn every_variable_gets_the_gradient_of_finite_differences() {
    let trainee = trainee(&Trained::All);
    assert_eq!(trainee.vars.len(), 2 + 3 * 9 + 1);
    let grads = backward(&loss(&trainee)).unwrap();
    for (name, var) in &trainee.vars {
        let grad = host::values(grads.get(var.as_tensor()).unwrap_or_else(|| panic!("{name}"))).unwrap();
        let largest = |a: &usize, b: &usize| grad[*a].abs().total_cmp(&grad[*b].abs());
        let at = (0..grad.len()).max_by(largest).unwrap();
        let value = || f64::from(loss(&trainee).to_scalar::<f32>().unwrap());
        let step = 1e-2;
        nudge(var, at, step);
        let above = value();
        nudge(var, at, -2.0 * step);
        let below = value();
        nudge(var, at, step);
        let (wanted, got) = ((above - below) / f64::from(2.0 * step), f64::from(grad[at]));
        assert!((wanted - got).abs() < 2e-2 * got.abs() + 1e-4, "{name}: {got}, wanted {wanted}");
    }
}

#[test]
fn blocks_that_are_computed_again_give_the_same_bits() {
    let lora =
        LoraSpec { rank: 2, alpha: 4.0, dropout: 0.3, targets: LoraTargets::modules(&["attention", "all"]) };
    for trained in [Trained::All, Trained::LastBlocks(1), Trained::LayerNorms, Trained::Lora(lora)] {
        let trainee = trainee(&trained);
        for (_, var) in trainee.vars.iter().filter(|(name, _)| name.ends_with("lora_B")) {
            nudge(var, 1, 0.5);
        }
        let gradients = |again: bool| {
            let mut model = trainee.current_dropping(7).unwrap();
            (model.recomputes, model.dropout) = (again, Some(Dropout { rate: 0.2, key: 5 }));
            let states = model.forward_batch(&model.embed_batch(&ids(24), 2).unwrap(), None, true).unwrap();
            let rows = states.reshape(((), model.config.n_embd)).unwrap();
            let loss = cross_entropy(&rows, &model.lm_head.tensor().unwrap(), &ids(24), true).unwrap();
            let grads = backward(&loss).unwrap();
            let of =
                |(_, var): &(String, Var)| grads.get(var.as_tensor()).map(|grad| host::values(grad).unwrap());
            let all: Vec<Option<Vec<f32>>> = trainee.vars.iter().map(of).collect();
            (host::values(&loss.unsqueeze(0).unwrap()).unwrap(), all)
        };
        let (kept, again) = (gradients(false), gradients(true));
        assert!(again.1.iter().any(Option::is_some));
        assert_eq!(kept, again, "{}", trained.name());
    }
}

#[test]
fn adapters_train_and_merge_and_the_checkpoint_opens_as_it_was() {
    let lora = LoraSpec {
        rank: 2,
        alpha: 4.0,
        dropout: 0.0,
        targets: LoraTargets::modules(&["attention", "lm_head"]),
    };
    let trainee = trainee(&Trained::Lora(lora.clone()));
    // Queries and values in three layers, and the output matrix.
    assert_eq!(trainee.sites().len(), 3 * 2 + 1);
    for (name, var) in trainee.vars.iter().filter(|(name, _)| name.ends_with("lora_B")) {
        nudge(var, 1, 0.5);
        assert!(name.contains("proj") || name.starts_with("lm_head"), "{name}");
    }
    let grads = backward(&loss(&trainee)).unwrap();
    assert!(trainee.vars.iter().all(|(_, var)| grads.get(var.as_tensor()).is_some()));
    let (config, tensors) = trainee.merged().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let contents = Contents {
        config: &config,
        tensors: &tensors,
        tokenizer: None,
        dtype: SavedDtype::F32,
        mask_row: None,
        facts: serde_json::Value::Null,
    };
    write_model(&RealDisk, folder.path(), &contents).unwrap();
    // Matrices lie as nn.Linear has them.
    let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("model.layers.1.mlp.gate_proj.weight").unwrap().shape(), [20, 16]);
    let opened = Checkpoint::load(&ModelFiles::Folder(folder.path().to_owned()), &Device::Cpu).unwrap();
    assert!(opened.notes.is_empty(), "{:?}", opened.notes);
    assert_eq!(opened.model.config.other["hidden_act"], "silu");
    let logits = |model: &Model| {
        let trace = run(model, &Input::plain(ids(20)), &[]);
        model.logits(&trace.hidden, 0, 20).unwrap()
    };
    assert!(apart(&logits(&trainee.current().unwrap()), &logits(&opened.model)) < 1e-4);
    let wrong = LoraSpec { targets: LoraTargets::modules(&["attn.c_attn"]), ..lora };
    assert!(super::trainee::sites(&wrong, &config).is_err(), "a module of another family");
}
