//! Fifty steps against PyTorch and its AdamW (and PEFT for LoRA), from the same weights and batches. The fixture is
//! written by `tests/bench/peers/torch_reference.py`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod support;

use candle_core::{Device, Tensor};
use maskscope::model::weights::to_f32;
use maskscope::model::{Checkpoint, ModelFiles};
use maskscope::tensor::adamw::{AdamW, AdamWSettings};
use maskscope::tensor::cross_entropy::cross_entropy;
use maskscope::tensor::gradients::backward;
use maskscope::tensor::kernels::activation::{self, Activation};
use maskscope::train::spec::{LoraSpec, LoraTargets, Trained};
use maskscope::train::trainee::Trainee;
use safetensors::SafeTensors;

/// As in the script.
const RATE: f64 = 1e-3;
const CLIP: f64 = 1.0;
const BATCH: usize = 4;
const CONTEXT: usize = 32;

struct Fixture(Vec<u8>);

impl Fixture {
    fn open() -> Self {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch_adamw.safetensors");
        Fixture(std::fs::read(path).unwrap())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        to_f32(view.dtype(), view.data()).unwrap()
    }

    /// `(inputs, targets)` of every step, `[BATCH · CONTEXT]` each.
    fn batches(&self) -> Vec<(Vec<u32>, Vec<u32>)> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let data = file.tensor("ids").unwrap();
        let ids: Vec<u32> =
            data.data().chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        let step = |ids: &[u32]| {
            let rows = || ids.chunks_exact(CONTEXT + 1);
            let inputs = rows().flat_map(|r| r[..CONTEXT].to_vec()).collect();
            (inputs, rows().flat_map(|r| r[1..].to_vec()).collect())
        };
        ids.chunks_exact(BATCH * (CONTEXT + 1)).map(step).collect()
    }
}

/// Trains on the fixture's batches and compares loss and gradient norm at every step.
fn follows(trained: &Trained, prefix: &str) {
    let fixture = Fixture::open();
    let model = Checkpoint::load(&ModelFiles::Folder(support::tiny_folder()), &Device::Cpu).unwrap().model;
    let trainee =
        Trainee::with(&model.config, &model.tensors().unwrap(), &Device::Cpu, (trained, 0)).unwrap();
    for module in trainee.sites().iter().map(|site| &site.module) {
        let down = trainee.var(&format!("{module}.lora_A")).unwrap();
        let (inner, rank) = down.as_tensor().dims2().unwrap();
        let theirs =
            Tensor::from_vec(fixture.floats(&format!("lora_A.{module}")), (rank, inner), &Device::Cpu);
        down.set(&theirs.unwrap().t().unwrap().contiguous().unwrap()).unwrap();
    }
    let settings = AdamWSettings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };
    let mut adamw = AdamW::new(trainee.vars.clone(), settings).unwrap();
    let (losses, norms) =
        (fixture.floats(&format!("{prefix}.losses")), fixture.floats(&format!("{prefix}.norms")));
    let batches = fixture.batches();
    assert_eq!((batches.len(), losses.len()), (50, 50));
    let mut worst = 0f64;
    for (step, (inputs, targets)) in batches.iter().enumerate() {
        let model = trainee.current().unwrap();
        let hidden = model.forward_batch(&model.embed_batch(inputs, BATCH).unwrap(), None, true).unwrap();
        let rows = hidden.reshape((BATCH * CONTEXT, model.config.n_embd)).unwrap();
        let loss = cross_entropy(&rows, &model.lm_head.tensor().unwrap(), targets, true).unwrap();
        let ours = f64::from(loss.to_scalar::<f32>().unwrap());
        let theirs = f64::from(losses[step]);
        let off = (ours - theirs).abs() / theirs;
        assert!(off < 1e-3, "{prefix} step {step}: {ours} against {theirs}");
        worst = worst.max(off);
        let applied = adamw.step(&backward(&loss).unwrap(), RATE, CLIP).unwrap().unwrap();
        let norm = f64::from(norms[step]);
        assert!(
            (applied.grad_norm - norm).abs() < 5e-3 * norm,
            "{prefix} step {step}: norm {}",
            applied.grad_norm
        );
    }
    println!("{prefix}: largest relative difference of a loss over 50 steps {worst:.1e}");
    assert!(losses[49] < losses[0] - 1.0, "the run learns something");
}

#[test]
fn fifty_full_steps_follow_torch() {
    follows(&Trained::All, "full");
}

#[test]
fn fifty_lora_steps_follow_peft() {
    let targets = LoraTargets::modules(&["all"]);
    follows(&Trained::Lora(LoraSpec { rank: 4, alpha: 16.0, dropout: 0.0, targets }), "lora");
}

/// Every activation by its name, against the values and slopes of transformers (`tests/bench/peers/activations.py`).
#[test]
fn activations_by_name_are_those_of_transformers() {
    let told: serde_json::Value = serde_json::from_slice(include_bytes!("data/activations.json")).unwrap();
    let numbers = |v: &serde_json::Value| -> Vec<f64> {
        v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let points: Vec<f32> = numbers(&told["points"]).iter().map(|&x| x as f32).collect();
    let named = told["activations"].as_object().unwrap();
    assert_eq!(named.len(), Activation::NAMES.len(), "transformers knows others");
    let close = |got: &[f32], wanted: &serde_json::Value, what: &str| {
        for ((x, &got), wanted) in points.iter().zip(got).zip(numbers(wanted)) {
            let apart = (f64::from(got) - wanted).abs();
            assert!(apart < 4e-6 * (1.0 + wanted.abs()), "{what} at {x}: {got} instead of {wanted}");
        }
    };
    for (name, wanted) in named {
        let kind = Activation::named(name).unwrap_or_else(|| panic!("{name} is not known"));
        let mut out = vec![0f32; points.len()];
        activation::forward(kind, &points, &mut out);
        close(&out, &wanted["values"], name);
        close(&activation::backward(kind, &points, &vec![1.0; points.len()]), &wanted["slopes"], name);
        activation::with_bias(Some(kind), &points, {
            out.fill(0.0);
            &mut out
        });
        close(&out, &wanted["values"], name);
    }
}
