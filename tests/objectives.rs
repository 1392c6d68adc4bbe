//! What a run learns from and at which rate, against PyTorch, transformers and PEFT. The numbers are written by
//! `tests/bench/peers/objectives.py`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use maskscope::mask::types::{Op, Replacement};
use maskscope::model::layers::{LowRank, Projection};
use maskscope::model::{Checkpoint, Model, ModelFiles};
use maskscope::tensor::adamw::{AdamW, AdamWSettings};
use maskscope::tensor::dropout::{Mask, masked};
use maskscope::tensor::gradients::backward;
use maskscope::train::arm::{ArmSetup, Arms, At, Lexicon, plain_loss, token_losses};
use maskscope::train::batch::Batch;
use maskscope::train::data::{Corpus, Cut, CutRows, RowPacking};
use maskscope::train::evaluate::evaluate;
use maskscope::train::init::uniform;
use maskscope::train::schedule::{LrPolicy, LrProgress, LrSpec};
use maskscope::train::spec::{Arm, MaskingSpec, ScoreFrom, Trained};
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
    let visit = |offset: usize| CutRows::new(&corpus, context.into(), offset).visit(&corpus, 0, 0);
    let batch = Batch { visits: vec![visit(0), visit(context + 1)] };
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
    let rows = CutRows::new(&corpus, context.into(), 0);
    let batch = Batch { visits: (0..2).map(|i| rows.visit(&corpus, i, 0)).collect() };
    let loss = plain_loss(&model, &batch).unwrap().to_scalar::<f32>().unwrap();
    assert!((held - f64::from(loss)).abs() < 1e-6 * held, "{held} against {loss}: labels weigh alike");
}

/// Three documents in one row, the way a run cuts them.
fn packed(packing: RowPacking) -> (Corpus, CutRows) {
    let told = told("isolated");
    let documents: Vec<Vec<u32>> = told["documents"].as_array().unwrap().iter().map(ids).collect();
    let (mut tokens, mut starts) = (Vec::new(), Vec::new());
    for document in &documents {
        starts.push(tokens.len() as u64);
        tokens.extend(document);
    }
    // One more token, so that the last document has all of its labels and the row ends with it.
    let context = tokens.len() - 1;
    let corpus = Corpus::from_tokens(tokens, starts, 100, Some(511));
    let rows = CutRows::new(&corpus, Cut { context, packing }, 0);
    (corpus, rows)
}

fn loss_of(packing: RowPacking) -> f64 {
    let (corpus, rows) = packed(packing);
    let batch = Batch { visits: (0..rows.len()).map(|row| rows.visit(&corpus, row, 0)).collect() };
    f64::from(plain_loss(&tiny(), &batch).unwrap().to_scalar::<f32>().unwrap())
}

#[test]
fn isolated_documents_see_nothing_of_each_other() {
    let told = told("isolated");
    let [alone, together] = ["loss", "packed_loss"].map(|name| told[name].as_f64().unwrap());
    let close = |packing, wanted: f64| {
        let got = loss_of(packing);
        assert!((got - wanted).abs() < 2e-6 * wanted, "{packing}: {got} against {wanted}");
    };
    close(RowPacking::Isolated, alone);
    close(RowPacking::OnePerRow, alone);
    close(RowPacking::Packed, together);
    assert!((alone - together).abs() > 1e-2, "packed documents do read each other");
}

#[test]
fn a_change_of_one_document_moves_no_other_and_an_unblocked_row_would_show_it() {
    let states = |packing: RowPacking, other: bool| {
        let (mut corpus, _) = packed(packing);
        if other {
            corpus.tokens[3] = 77;
        }
        let rows = CutRows::new(&corpus, Cut { context: corpus.tokens.len() - 1, packing }, 0);
        let batch = Batch { visits: vec![rows.visit(&corpus, 0, 0)] };
        let states = batch.states(&tiny()).unwrap().squeeze(0).unwrap();
        // From the second document on.
        states.narrow(0, 9, 14).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    assert_eq!(states(RowPacking::Isolated, false), states(RowPacking::Isolated, true), "to the last bit");
    assert_ne!(states(RowPacking::Packed, false), states(RowPacking::Packed, true));
}

#[test]
fn masked_rows_keep_documents_apart_as_plain_ones_do() {
    let model = tiny();
    let (corpus, rows) = packed(RowPacking::Isolated);
    let batch = Batch { visits: vec![rows.visit(&corpus, 0, 0)] };
    let lexicon = |train: &Corpus| {
        Arc::new(Lexicon::from_bytes(512, Some(511), &train.tokens, |id| format!(" #{id}").into_bytes()))
    };
    for op in [Op::Replace, Op::Hide, Op::Drop] {
        for arm in [Arm::DynRand, Arm::DynAttnHigh, Arm::DynPair] {
            if arm == Arm::DynPair && op != Op::Hide {
                continue;
            }
            let losses = |corpus: &Corpus, batch: &Batch| {
                let spec = MaskingSpec {
                    arm,
                    op,
                    rate: 0.3,
                    replacement: Replacement::Mean,
                    score_from: ScoreFrom::Fresh,
                    ..MaskingSpec::default()
                };
                let mut arms = Arms::new(ArmSetup {
                    spec: &spec,
                    model: &model,
                    context: batch.context(),
                    lexicon: lexicon(corpus),
                    seed: 3,
                    calibration: None,
                    mask_row: None,
                })
                .unwrap();
                let masked = arms.prepare(&model, batch, At::NONE).unwrap();
                let first: Vec<bool> = masked.decisions[0].positions.iter().map(|p| p.op.is_some()).collect();
                (first, token_losses(&arms, &model, &masked).unwrap().remove(0))
            };
            let (masked, alone) = losses(&corpus, &batch);
            assert!(masked.iter().any(|m| *m) || arm == Arm::DynPair, "{arm} {op} masks nothing");
            // The same masks over another text in the first document: what is left of the others must stay.
            let mut changed = batch.clone();
            changed.visits[0].inputs[2] = 300;
            let (other, moved) = losses(&corpus, &changed);
            if other == masked {
                assert_eq!(alone[9..], moved[9..], "{arm} {op}: documents read each other");
                assert_ne!(alone[2..9], moved[2..9], "{arm} {op}: the change is seen in its own document");
            }
        }
    }
}

#[test]
fn rates_are_those_of_torch_and_transformers() {
    let told = told("rates");
    let spec = |policy, min_ratio, warmup, cycles| LrSpec {
        policy,
        peak: 1e-3,
        min_ratio,
        warmup,
        cycles,
        progress: LrProgress::Steps,
        patience: 1,
        factor: 0.5,
        gap: None,
    };
    let follows = |name: &str, spec: LrSpec, from: usize| {
        let theirs = numbers(&told[name]);
        let ours = spec.over(theirs.len());
        for (step, wanted) in theirs.iter().enumerate().skip(from) {
            let got = ours.at_progress(step as f64);
            assert!((got - wanted).abs() < 1e-12, "{name} at step {step}: {got} against {wanted}");
        }
    };
    follows("one_cycle", spec(LrPolicy::OneCycle, 0.5, 7, 1), 0);
    follows("warm_restarts", spec(LrPolicy::CosineRestarts, 0.1, 0, 3), 0);
    // Its warm-up starts at 0, a step that would train nothing; ours ends where it does.
    follows("hard_restarts", spec(LrPolicy::CosineRestarts, 0.0, 10, 3), 10);
}

/// PEFT's linear layer with a given mask in the place of its dropout. Ours is the same formula on the same mask: a layer whose
/// dropout draws it is compared with a plain one below.
#[test]
fn an_adapter_under_dropout_is_that_of_peft() {
    let told = told("lora_dropout");
    let tensor = |name: &str, rows: usize, cols: usize| {
        let values: Vec<f32> = numbers(&told[name]).iter().map(|&x| x as f32).collect();
        Tensor::from_vec(values, (rows, cols), &Device::Cpu).unwrap()
    };
    let var = |name: &str, rows, cols| Var::from_tensor(&tensor(name, rows, cols)).unwrap();
    let (x, down, up) = (var("x", 5, 6), var("a", 6, 2), var("b", 2, 4));
    let bias = tensor("bias", 1, 4).squeeze(0).unwrap();
    let scale = told["scale"].as_f64().unwrap();
    let plain = Projection::new(tensor("weight", 6, 4), bias);
    let base = plain.apply(x.as_tensor()).unwrap();
    let dropped = (x.as_tensor() * tensor("mask", 5, 6)).unwrap();
    let share = (dropped.matmul(down.as_tensor()).unwrap() * scale).unwrap().matmul(up.as_tensor()).unwrap();
    let out = (base + share).unwrap();
    let close = |got: &Tensor, name: &str| {
        let got = got.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (got, wanted) in got.iter().zip(numbers(&told[name])) {
            assert!(
                (f64::from(*got) - wanted).abs() < 1e-6 * (1.0 + wanted.abs()),
                "{name}: {got} against {wanted}"
            );
        }
    };
    close(&out, "out");
    let grads = backward(&(out * tensor("upstream", 5, 4)).unwrap().sum_all().unwrap()).unwrap();
    for (var, name) in [(&x, "dx"), (&down, "da"), (&up, "db")] {
        close(grads.get(var.as_tensor()).unwrap(), name);
    }
}

/// The layer's own dropout, there and back, on tensors and on plain rows, against the formula above with the mask that it drew.
#[test]
fn an_adapter_drops_its_input_by_a_drawn_mask_there_and_back() {
    let (rows, inner, rank, width) = (64, 24, 3, 16);
    let drawn = |n: usize, seed: u64| uniform(n, 1.0, seed, 0);
    let make = |n: usize, m: usize, seed| Tensor::from_vec(drawn(n * m, seed), (n, m), &Device::Cpu).unwrap();
    let (x, upstream) = (Var::from_tensor(&make(rows, inner, 1)).unwrap(), make(rows, width, 2));
    let (down, up) =
        (Var::from_tensor(&make(inner, rank, 3)).unwrap(), Var::from_tensor(&make(rank, width, 4)).unwrap());
    let noise = Mask::new(0.25, (9, 5));
    let mut projection = Projection::new(make(inner, width, 5), make(1, width, 6).squeeze(0).unwrap());
    projection.adapter = Some(LowRank {
        down: down.as_tensor().clone(),
        up: up.as_tensor().clone(),
        scale: 2.0,
        noise: Some(noise),
    });
    let mask = masked(&Tensor::ones((rows, inner), DType::F32, &Device::Cpu).unwrap(), noise).unwrap();
    let kept = mask.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let zeros = kept.iter().filter(|m| **m == 0.0).count() as f64 / kept.len() as f64;
    assert!((zeros - 0.25).abs() < 0.04, "{zeros} are dropped");
    assert!(kept.iter().all(|m| *m == 0.0 || (m - 4.0 / 3.0).abs() < 1e-6), "the others are scaled");
    let bare = Projection { adapter: None, ..projection.clone() };
    let dropped = (x.as_tensor() * &mask).unwrap();
    let share = (dropped.matmul(down.as_tensor()).unwrap() * 2.0).unwrap().matmul(up.as_tensor()).unwrap();
    let twin = (bare.apply(x.as_tensor()).unwrap() + share).unwrap();
    let ours = projection.apply(x.as_tensor()).unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let close = |a: &[f32], b: &[f32], what: &str| {
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{what}: {a} against {b}");
        }
    };
    close(&values(&ours), &values(&twin), "output");
    close(&projection.rows(&values(x.as_tensor()), None).unwrap(), &values(&twin), "rows");
    let loss = |out: Tensor| (out * &upstream).unwrap().sum_all().unwrap();
    let wanted = backward(&loss(twin)).unwrap();
    let got = backward(&loss(ours)).unwrap();
    for var in [&x, &down, &up] {
        close(
            &values(got.get(var.as_tensor()).unwrap()),
            &values(wanted.get(var.as_tensor()).unwrap()),
            "gradient",
        );
    }
    let dx = projection.rows_back(&values(&upstream), None).unwrap();
    close(&dx, &values(wanted.get(x.as_tensor()).unwrap()), "gradient of plain rows");
    // On average nothing changes.
    let mut sum = vec![0f64; rows * width];
    let draws = 4000;
    for key in 0..draws {
        if let Some(adapter) = &mut projection.adapter {
            adapter.noise = Some(Mask::new(0.25, (key, 5)));
        }
        let out = projection.rows(&values(x.as_tensor()), None).unwrap();
        sum.iter_mut().zip(out).for_each(|(sum, x)| *sum += f64::from(x) / draws as f64);
    }
    if let Some(adapter) = &mut projection.adapter {
        adapter.noise = None;
    }
    let without = projection.rows(&values(x.as_tensor()), None).unwrap();
    let off: f64 =
        sum.iter().zip(&without).map(|(a, b)| (a - f64::from(*b)).powi(2)).sum::<f64>() / sum.len() as f64;
    assert!(off.sqrt() < 0.1, "the mean is off by {}", off.sqrt());
}
