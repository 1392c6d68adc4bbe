//! A short sample of text from a model, to see what it has learned; every draw comes from the seed and its position.

use std::sync::Arc;

use super::TrainError;
use crate::mask::draw::{Draws, Stream};
use crate::model::forward::Reuse;
use crate::model::input::check_rows;
use crate::model::{Input, Model, ModelError, Tokenizer, Trace, logits};

/// How the next token is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    pub tokens: usize,
    /// 0 takes the most probable token.
    pub temperature: f64,
    pub top_k: usize,
    pub seed: u64,
}

/// Continues `prompt`; the result is the prompt with its continuation.
pub fn sample(
    model: &Model,
    tokenizer: &Tokenizer,
    prompt: &str,
    how: Sampling,
) -> Result<String, TrainError> {
    let mut ids = tokenizer.ids(prompt)?;
    if ids.is_empty() {
        let end = tokenizer.end_of_document();
        ids.push(end.ok_or_else(|| {
            ModelError::input("an empty prompt needs a tokenizer with an end-of-text token")
        })?);
    }
    check_rows(&ids, model.config.vocab_size, Some(tokenizer))?;
    let mut trace: Option<Trace> = None;
    for n in 0..how.tokens {
        if ids.len() >= model.config.n_positions {
            break;
        }
        let traces: Vec<&Trace> = trace.iter().collect();
        let next = model.run(Arc::new(Input::plain(ids.clone())), Reuse { traces: &traces, cancel: None })?;
        let log_p = model.log_probabilities(&next, ids.len() - 1)?;
        let id = draw(&log_p, how, n);
        if tokenizer.is_end(id) {
            break;
        }
        ids.push(id);
        trace = Some(next);
    }
    Ok(tokenizer.decode(&ids))
}

fn draw(log_p: &[f32], how: Sampling, n: usize) -> u32 {
    let candidates = logits::top(log_p, how.top_k.max(1));
    if how.temperature <= 0.0 {
        return candidates[0].0;
    }
    let weights: Vec<f64> =
        candidates.iter().map(|&(_, p)| f64::from(p).powf(1.0 / how.temperature)).collect();
    let mut left = Draws::new(how.seed).unit(Stream::Sample, n) * weights.iter().sum::<f64>();
    for (&(id, _), w) in candidates.iter().zip(&weights) {
        left -= w;
        if left < 0.0 {
            return id;
        }
    }
    candidates[candidates.len() - 1].0
}
