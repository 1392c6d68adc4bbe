//! What a run learns from and at which rate, against PyTorch, transformers and PEFT. The numbers are written by
//! `tests/bench/peers/objectives.py`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use candle_core::Device;
use maskscope::model::{Checkpoint, Model, ModelFiles};
use maskscope::tensor::adamw::{AdamW, AdamWSettings};
use maskscope::tensor::gradients::backward;
use maskscope::train::arm::plain_loss;
use maskscope::train::batch::Batch;
use maskscope::train::data::Corpus;
use maskscope::train::evaluate::evaluate;
use maskscope::train::spec::Trained;
use maskscope::train::trainee::Trainee;
use serde_json::Value;

fn told(part: &str) -> Value {
    let all: Value = serde_json::from_slice(include_bytes!("data/objectives.json")).unwrap();
    all[part].clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

fn tiny() -> Model {
    Checkpoint::load(&ModelFiles::Folder(support::tiny_folder()), &Device::Cpu).unwrap().model
}

/// Rows one after the other as the text of a run, and which tokens of it count. The first token of a row is no label of the row
/// before it.
fn answers() -> (Corpus, usize) {
    let told = told("answers");
    let rows: Vec<Vec<u32>> = told["rows"].as_array().unwrap().iter().map(ids).collect();
    let context = rows[0].len() - 1;
    let (mut tokens, mut counted) = (Vec::new(), Vec::new());
    for (row, counts) in rows.iter().zip(told["counted"].as_array().unwrap()) {
        tokens.extend(row);
        counted.extend(counts.as_array().unwrap().iter().map(|c| c.as_bool().unwrap()));
    }
    (Corpus::from_tokens(tokens, vec![0], 100, Some(511)).counting(counted), context)
}

#[test]
fn the_loss_on_answers_alone_is_that_of_labels_of_minus_100() {
    let (wanted, (corpus, context)) = (told("answers"), answers());
    let model = tiny();
    let trainee =
        Trainee::with(&model.config, &model.tensors().unwrap(), &Device::Cpu, (&Trained::All, 0)).unwrap();
    let rows = [corpus.visit(0, 0, context, 0), corpus.visit(0, 0, context, context + 1)];
    let batch = Batch { visits: rows.to_vec() };
    assert_eq!(batch.labels(), 14);
    let loss = plain_loss(&trainee.current().unwrap(), &batch).unwrap();
    let value = f64::from(loss.to_scalar::<f32>().unwrap());
    for name in ["loss", "transformers_loss"] {
        let torch = wanted[name].as_f64().unwrap();
        assert!((value - torch).abs() < 1e-6 * torch, "{value} against {torch}");
    }
    let settings = AdamWSettings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
    let mut adamw = AdamW::new(trainee.vars.clone(), settings).unwrap();
    let norm = adamw.step(&backward(&loss).unwrap(), 1e-3, 0.0).unwrap().unwrap().grad_norm;
    let torch = wanted["grad_norm"].as_f64().unwrap();
    assert!((norm - torch).abs() < 1e-5 * torch, "gradient norm {norm} against {torch}");
}

#[test]
fn validation_is_measured_over_the_labels_that_count() {
    let (corpus, context) = answers();
    let model = tiny();
    let held = evaluate(&model, &corpus, (context, 1), &mut |_, _| Ok(true)).unwrap().unwrap();
    let batch = Batch { visits: (0..2).map(|i| corpus.visit(i, 0, context, 0)).collect() };
    let loss = plain_loss(&model, &batch).unwrap().to_scalar::<f32>().unwrap();
    assert!((held - f64::from(loss)).abs() < 1e-6 * held, "{held} against {loss}: labels weigh alike");
}
