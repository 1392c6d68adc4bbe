//! Fine-tuning steps: forward, backward and AdamW, over every parameter, over adapters, and with half of the tokens left
//! out. A step over tokens that are dropped or skipped is compared with the full one.

use std::sync::Arc;

use super::arithmetic::{Arithmetic, ModelSizes, operations};
use super::measure::CaseMeter;
use super::report::Case;
use crate::mask::types::Op;
use crate::model::Model;
use crate::tensor::adamw::{AdamW, AdamWSettings};
use crate::tensor::gradients::backward;
use crate::tensor::kernels::peak::Operands;
use crate::tensor::memory;
use crate::train::TrainError;
use crate::train::arm::{ArmSetup, Arms, At, Lexicon, plain_loss};
use crate::train::batch::{Batch, Visit};
use crate::train::spec::{Arm, LoraSpec, LoraTargets, MaskingSpec, Trained};
use crate::train::trainee::Trainee;

const CONTEXT: usize = 256;
/// Share of the tokens that a step with an operation leaves out.
const LEFT_OUT: f64 = 0.5;

/// The steps by name: what is done to half of the tokens, and whether adapters move instead of all weights.
const STEPS: [(&str, Option<Op>, bool); 4] = [
    ("train step", None, false),
    ("train step lora", None, true),
    ("train step drop", Some(Op::Drop), false),
    ("train step skip", Some(Op::Skip), false),
];

/// Sequences of a batch: small models are trained on more of them.
fn sequences(model: &Model) -> usize {
    const SMALL: usize = 5_000_000;
    if model.config.parameters() < SMALL { 8 } else { 2 }
}

/// Measures training steps, each on a copy of the weights.
///
/// # Errors
/// A model that cannot be opened or trained.
pub fn measure(
    open: &dyn Fn() -> anyhow::Result<Model>,
    meter: &CaseMeter,
    cases: &mut Vec<Case>,
) -> anyhow::Result<()> {
    for (name, op, lora) in STEPS {
        if !meter.wants(name) {
            continue;
        }
        let model = open()?;
        if model.config.n_positions < CONTEXT {
            return Ok(());
        }
        let trained = trained(lora, &model);
        let trainee = trainee(model, &trained)?;
        memory::give_back();
        let mut case = step(&trainee, (op, lora), meter, name)?;
        case.tokens_per_second = Some(case.tokens as f64 * 1e3 / case.best_ms);
        cases.push(case);
        drop(trainee);
        memory::give_back();
    }
    Ok(())
}

/// All weights, or adapters on the first matrix of every block: what PEFT adapts where nothing else is asked for.
fn trained(lora: bool, model: &Model) -> Trained {
    let targets = model.config.family.conventions().targets;
    match lora {
        false => Trained::All,
        true => Trained::Lora(LoraSpec {
            rank: 8,
            alpha: 16.0,
            dropout: 0.0,
            targets: LoraTargets::modules(&targets[..1]),
        }),
    }
}

fn step(
    trainee: &Trainee,
    (op, lora): (Option<Op>, bool),
    meter: &CaseMeter,
    name: &str,
) -> Result<Case, TrainError> {
    let mut optimizer = AdamW::new(trainee.vars.clone(), AdamWSettings::default())?;
    let batch = batch(trainee.model.config.vocab_size, sequences(&trainee.model));
    let mut arms = op.map(|op| arms(trainee, op, &batch)).transpose()?;
    let mut once = || {
        let loss = match &mut arms {
            None => plain_loss(&trainee.model, &batch)?,
            Some(arms) => {
                let masked = arms.prepare(&trainee.model, &batch, At::NONE)?;
                arms.masked_loss(&trainee.model, &masked)?.loss
            }
        };
        optimizer.step(&backward(&loss)?, 1e-5, 0.0)?;
        Ok(())
    };
    // Inside the pool, as a run is.
    let mut pooled = || rayon::scope(|_| once());
    let tokens = batch.visits.len() * CONTEXT;
    match op {
        None => meter.counted(name, tokens, work(&trainee.model, lora), pooled),
        // What is left out is drawn, so the arithmetic is not known beforehand.
        Some(_) => meter.case(name, tokens, &mut pooled),
    }
}

/// The arithmetic of a full step.
fn work(model: &Model, adapters: bool) -> Arithmetic {
    let multiply_adds = ModelSizes::of(&model.config).step(sequences(model), CONTEXT as f64, adapters);
    let operands = model.device.is_cpu().then_some(Operands::F32);
    Arithmetic { operations: operations(multiply_adds), operands }
}

fn batch(vocab: usize, sequences: usize) -> Batch {
    let ids = |from: usize| -> Vec<u32> {
        (from..from + CONTEXT).map(|i| ((i * 7919 + 13) % vocab) as u32).collect()
    };
    let visit = |sequence: usize| {
        let from = sequence * CONTEXT;
        Visit {
            sequence: sequence as u32,
            pass: 0,
            inputs: ids(from),
            targets: ids(from + 1),
            starts: Vec::new(),
        }
    };
    Batch { visits: (0..sequences).map(visit).collect() }
}

/// Draws [`LEFT_OUT`] of the tokens again in every pass.
fn arms(trainee: &Trainee, op: Op, batch: &Batch) -> Result<Arms, TrainError> {
    let spec = MaskingSpec { arm: Arm::DynRand, op, rate: LEFT_OUT, ..MaskingSpec::default() };
    let vocab = trainee.model.config.vocab_size;
    // Which letters a token has plays no part in a random choice.
    let lexicon = Arc::new(Lexicon::from_bytes(vocab, None, &batch.inputs(), |_| b" w".to_vec()));
    Arms::new(ArmSetup {
        spec: &spec,
        model: &trainee.model,
        context: CONTEXT,
        lexicon,
        seed: 0,
        calibration: None,
        mask_row: None,
    })
}

/// What trains the weights of `model`, which goes.
///
/// # Errors
/// Of the tensor library.
pub fn trainee(model: Model, trained: &Trained) -> anyhow::Result<Trainee> {
    let tensors = model.tensors()?;
    let (config, device) = (model.config.clone(), model.device.clone());
    drop(model);
    Ok(Trainee::with(&config, &tensors, &device, (trained, 0))?)
}
