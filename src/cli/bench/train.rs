//! A fine-tuning step: forward, backward and AdamW over every parameter.

use super::measure::Meter;
use super::report::Case;
use crate::cli::error::CliError;
use crate::model::Gpt2;
use crate::tensor::adamw::{AdamW, AdamWSettings};
use crate::train::arm::plain_loss;
use crate::train::batch::{Batch, Visit};
use crate::train::spec::Trained;
use crate::train::trainee::Trainee;

const BATCH: usize = 2;
const CONTEXT: usize = 256;

/// Measures training steps on a copy of the weights.
pub fn measure(
    open: &dyn Fn() -> Result<Gpt2, CliError>,
    meter: &Meter,
    cases: &mut Vec<Case>,
) -> Result<(), CliError> {
    if !meter.wants("train step") {
        return Ok(());
    }
    let failed = |e: &dyn std::fmt::Display| CliError::failed(e.to_string());
    let model = open()?;
    if model.config.n_positions < CONTEXT {
        return Ok(());
    }
    let trainee = trainee(model, &Trained::All)?;
    let mut optimizer = AdamW::new(trainee.vars.clone(), AdamWSettings::default()).map_err(|e| failed(&e))?;
    let vocab = trainee.model.config.vocab_size as u64;
    let ids = |from: u64| -> Vec<u32> {
        (from..from + CONTEXT as u64).map(|i| ((i * 7919 + 13) % vocab) as u32).collect()
    };
    let visit = |sequence: u32| {
        let from = u64::from(sequence) * CONTEXT as u64;
        Visit { sequence, pass: 0, inputs: ids(from), targets: ids(from + 1) }
    };
    let batch = Batch { visits: (0..BATCH as u32).map(visit).collect() };
    let mut case = meter.case("train step", BATCH * CONTEXT, || {
        let loss = plain_loss(&trainee.model, &batch).map_err(|e| failed(&e))?;
        let grads = loss.backward().map_err(|e| failed(&e))?;
        optimizer.step(&grads, 1e-5, 0.0).map_err(|e| failed(&e)).map(drop)
    })?;
    case.tokens_per_second = Some((BATCH * CONTEXT) as f64 * 1e3 / case.best_ms);
    cases.push(case);
    Ok(())
}

/// What trains the weights of `model`, which goes.
///
/// # Errors
/// Of the tensor library.
pub fn trainee(model: Gpt2, trained: &Trained) -> Result<Trainee, CliError> {
    let failed = |e: crate::train::TrainError| CliError::failed(e.to_string()).with_hint_if(e.hint());
    let tensors = model.tensors().map_err(|e| failed(e.into()))?;
    let (config, device) = (model.config.clone(), model.device.clone());
    drop(model);
    Trainee::with(&config, &tensors, &device, (trained, 0)).map_err(failed)
}
