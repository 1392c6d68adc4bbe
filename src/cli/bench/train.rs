//! A fine-tuning step: forward, backward and AdamW over every parameter.

use super::measure::Meter;
use super::report::Case;
use crate::cli::error::CliError;
use crate::model::Gpt2;
use crate::tensor::adamw::{AdamW, AdamWSettings};
use crate::train::run::{Trainee, batch_loss};

const BATCH: usize = 2;
const CONTEXT: usize = 256;

/// Measures training steps on a copy of the weights.
pub fn measure(model: &Gpt2, meter: &Meter, cases: &mut Vec<Case>) -> Result<(), CliError> {
    if !meter.wants("train step") || model.config.n_positions < CONTEXT {
        return Ok(());
    }
    let failed = |e: &dyn std::fmt::Display| CliError::failed(e.to_string());
    let trainee = Trainee::new(&model.config, &model.tensors(), &model.device).map_err(|e| failed(&e))?;
    let mut optimizer = AdamW::new(trainee.vars.clone(), AdamWSettings::default());
    let vocab = model.config.vocab_size as u64;
    let ids = |salt: u64| -> Vec<u32> {
        (0..(BATCH * CONTEXT) as u64).map(|i| ((i * 7919 + salt) % vocab) as u32).collect()
    };
    let (inputs, targets) = (ids(13), ids(7932));
    let mut case = meter.case("train step", BATCH * CONTEXT, || {
        let loss = batch_loss(&trainee.model, &inputs, &targets, BATCH).map_err(|e| failed(&e))?;
        let grads = loss.backward().map_err(|e| failed(&e))?;
        optimizer.step(&grads, 1e-5, 0.0).map_err(|e| failed(&e)).map(drop)
    })?;
    case.tokens_per_second = Some((BATCH * CONTEXT) as f64 * 1e3 / case.best_ms);
    cases.push(case);
    Ok(())
}
