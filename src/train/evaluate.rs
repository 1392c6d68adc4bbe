//! Losses without gradients, on text the run does not train on.

use super::TrainError;
use super::arm::without_gradients;
use super::batch::Batch;
use super::data::{Corpus, Cut, CutRows};
use crate::model::Model;
use crate::tensor::cross_entropy::cross_entropy;

/// What is asked between two parts of an evaluation, with how many of how many are done; false gives it up.
pub type Between<'a> = &'a mut dyn FnMut(usize, usize) -> Result<bool, TrainError>;

/// Mean loss in nats over the labels of every whole context of a corpus; `None` where `between` gave up.
///
/// # Errors
/// A corpus shorter than one context, or without a label; what `between` reports.
pub fn evaluate(
    model: &Model,
    corpus: &Corpus,
    (cut, batch): (impl Into<Cut>, usize),
    between: Between,
) -> Result<Option<f64>, TrainError> {
    let cut = cut.into();
    let rows = CutRows::new(corpus, cut, 0);
    let count = rows.len();
    if count == 0 {
        return Err(TrainError::setup(format!(
            "the validation text is shorter than one context of {} tokens, or has no label",
            cut.context
        )));
    }
    let model = without_gradients(model)?;
    let (mut total, mut labels) = (0f64, 0usize);
    for from in (0..count).step_by(batch) {
        if !between(from, count)? {
            return Ok(None);
        }
        let to = (from + batch).min(count);
        let batch = Batch { visits: (from..to).map(|i| rows.visit(corpus, i, 0)).collect() };
        let states = batch.states(&model)?.reshape(((), model.config.n_embd))?;
        let loss = cross_entropy(&states, &model.lm_head.tensor()?, &batch.targets(), false)?;
        total += f64::from(loss.to_scalar::<f32>()?) * batch.labels() as f64;
        labels += batch.labels();
    }
    Ok(Some(total / labels as f64))
}

/// Bits per byte from nats per token; none where the tokens are no text.
pub fn bits_per_byte(loss: f64, corpus: &Corpus) -> Option<f64> {
    let bits = || loss * corpus.labels() as f64 / corpus.bytes as f64 / std::f64::consts::LN_2;
    (corpus.bytes > 0).then(bits)
}
