//! A classifier: a linear head on the states of a model, trained while an arm masks the texts, and judged on unmasked ones.
//!
//! Either the head alone moves, and the model is a fixed reader of masked texts, or the model moves with it. Everything is drawn
//! from (seed, pass, text), so that arms under one seed share the head they start from, the order of the texts and, where they
//! draw at all, the draws of their masks. Runs on the caller's thread.

mod head;

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::arm::{ArmSetup, Arms, At, Lexicon, Realised, without_gradients};
use super::batch::{Batch, Visit};
use super::init::uniform;
use super::spec::{MaskingSpec, Trained};
use super::trainee::Trainee;
use crate::attention::calibration::Calibration;
use crate::model::{Config, Model};
use crate::settings::choice;
use crate::tensor::adamw::{AdamW, AdamWSettings};
use crate::tensor::cross_entropy::{IGNORE, cross_entropy};
use crate::tensor::gradients::backward;
use head::{batches, likeliest, pooled};

choice! {
    /// What the head reads of a text.
    pub enum Pool {
        /// the mean of the states of all tokens
        Mean = "mean",
        /// the state of the last token
        Last = "last",
    }
}

choice! {
    /// What learns to classify.
    pub enum Learner {
        /// the head alone; the model stays as it is
        Head = "head",
        /// the whole model with its head
        All = "all",
    }
}

/// Name of the head among the variables of a classifier.
pub const HEAD: &str = "classifier";
/// Share of the steps over which the learning rate rises; it falls to 0 over the others.
const WARM_UP: f64 = 0.1;
const CLIP: f64 = 1.0;

/// A text with its label.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledText {
    /// At most a context of ids.
    pub ids: Vec<u32>,
    pub label: u32,
}

/// How classifiers are trained; arms differ in `masking` alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassifierSpec {
    pub pool: Pool,
    pub learner: Learner,
    /// Passes over the texts.
    pub passes: usize,
    /// Texts per step.
    pub batch_size: usize,
    /// Tokens of a text that are read, at most.
    pub context: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    pub masking: MaskingSpec,
}

/// What every classifier starts from.
pub struct ClassifierStart {
    pub config: Config,
    pub tensors: HashMap<String, Tensor>,
    pub device: Device,
    pub lexicon: Arc<Lexicon>,
    pub calibration: Option<Arc<Calibration>>,
    pub classes: usize,
}

/// What a trained classifier says.
#[derive(Clone, Debug, PartialEq)]
pub struct Classified {
    /// Classes of the held-out texts, in their order.
    pub said: Vec<u32>,
    /// Nats per text over the last pass, under the masks.
    pub loss: f64,
    /// Share of the eligible tokens that was masked.
    pub rate: f64,
}

/// Steps of a run over so many texts.
pub fn steps(spec: &ClassifierSpec, texts: usize) -> usize {
    spec.passes * texts.div_ceil(spec.batch_size.max(1))
}

/// Trains under `seed` on `texts` and classifies `held_out` without masks. `going` is asked after every step; `None` where it gave
/// up.
///
/// # Errors
/// No texts; a masking policy that this model cannot follow; a loss that is not finite.
pub fn classify(
    start: &ClassifierStart,
    spec: &ClassifierSpec,
    (texts, held_out): (&[LabelledText], &[LabelledText]),
    seed: u64,
    going: &mut dyn FnMut() -> bool,
) -> Result<Option<Classified>, TrainError> {
    if texts.is_empty() || held_out.is_empty() {
        return Err(TrainError::setup("there are no texts to learn from, or none to be judged on"));
    }
    let mut classifier = Classifier::new(start, spec, seed)?;
    let total = steps(spec, texts.len());
    let (mut step, mut loss, mut realised) = (0, 0.0, Realised::default());
    for pass in 0..spec.passes {
        (loss, realised) = (0.0, Realised::default());
        for picked in batches(texts, spec.batch_size, (seed, pass as u32)) {
            let at = At { step, steps: total };
            let (value, masked) = classifier.step((texts, &picked), pass as u32, at)?;
            loss += value * picked.len() as f64 / texts.len() as f64;
            realised.add(masked);
            step += 1;
            if !going() {
                return Ok(None);
            }
        }
    }
    let said = classifier.say(held_out)?;
    Ok(Some(Classified { said, loss, rate: realised.rate() }))
}

/// A classifier in training.
struct Classifier<'a> {
    spec: &'a ClassifierSpec,
    model: Model,
    /// `[classes, D + 1]`; its last column is the bias.
    head: Var,
    arms: Arms,
    optimizer: AdamW,
}

impl<'a> Classifier<'a> {
    fn new(start: &ClassifierStart, spec: &'a ClassifierSpec, seed: u64) -> Result<Self, TrainError> {
        let (config, device) = (&start.config, &start.device);
        let mut vars = Vec::new();
        let model = match spec.learner {
            Learner::Head => without_gradients(&Model::from_tensors(config, &start.tensors, device)?)?,
            Learner::All => {
                let trainee = Trainee::with(config, &start.tensors, device, (&Trained::All, seed))?;
                // An output matrix of its own predicts tokens, which nobody asks for here.
                let unused = (!config.tie_word_embeddings).then(|| config.family.conventions().head);
                vars.extend(trainee.vars.into_iter().filter(|(name, _)| Some(name.as_str()) != unused));
                trainee.model
            }
        };
        let width = config.n_embd + 1;
        let bound = 1.0 / (width as f64).sqrt();
        let values = uniform(start.classes * width, bound, seed, 0);
        let head = Var::from_tensor(&Tensor::from_vec(values, (start.classes, width), device)?)?;
        let arms = Arms::new(ArmSetup {
            spec: &spec.masking,
            model: &model,
            context: spec.context,
            lexicon: start.lexicon.clone(),
            seed,
            calibration: start.calibration.clone(),
            mask_row: None,
        })?;
        vars.extend(arms.vars());
        vars.push((HEAD.to_owned(), head.clone()));
        let optimizer = AdamW::new(vars, AdamWSettings::default())?;
        Ok(Classifier { spec, model, head, arms, optimizer })
    }

    /// One update; the loss before it, and what was masked.
    fn step(
        &mut self,
        (texts, picked): (&[LabelledText], &[usize]),
        pass: u32,
        at: At,
    ) -> Result<(f64, Realised), TrainError> {
        let visit = |&i: &usize| visit(i as u32, pass, &texts[i].ids);
        let batch = Batch { visits: picked.iter().map(visit).collect() };
        let masked = self.arms.prepare(&self.model, &batch, at)?;
        let states = self.arms.masked_states(&self.model, &masked)?;
        let rows: Vec<usize> = masked.kept.iter().map(Vec::len).collect();
        let labels: Vec<u32> = picked.iter().map(|&i| texts[i].label).collect();
        let read = pooled(&states, &rows, self.spec.pool)?;
        let loss = cross_entropy(&read, self.head.as_tensor(), &labels, true)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        let rate = self.spec.learning_rate * share(at);
        let applied = self.optimizer.step(&backward(&loss)?, rate, CLIP)?;
        if applied.is_none() || !value.is_finite() {
            return Err(TrainError::Setup {
                problem: format!("step {}: the loss or its gradient is not finite", at.step + 1),
                hint: Some("use a lower --learning-rate".to_owned()),
            });
        }
        Ok((value, masked.realised))
    }

    /// Classes of unmasked texts.
    fn say(&self, texts: &[LabelledText]) -> Result<Vec<u32>, TrainError> {
        let model = without_gradients(&self.model)?;
        let head = self.head.as_tensor().detach().t()?;
        let mut said = vec![0; texts.len()];
        // Texts of like length share a batch, so that little is padded.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| texts[i].ids.len());
        for picked in order.chunks(self.spec.batch_size.max(1)) {
            let batch = Batch { visits: picked.iter().map(|&i| visit(i as u32, 0, &texts[i].ids)).collect() };
            let rows: Vec<usize> = batch.visits.iter().map(|v| v.inputs.len()).collect();
            let read = pooled(&batch.states(&model)?, &rows, self.spec.pool)?;
            for (&i, class) in picked.iter().zip(likeliest(&read.matmul(&head.contiguous()?)?)?) {
                said[i] = class;
            }
        }
        Ok(said)
    }
}

/// Share of the learning rate at a step.
fn share(at: At) -> f64 {
    let rises = (at.steps as f64 * WARM_UP).ceil().max(1.0);
    let done = at.step as f64 + 1.0;
    if done <= rises { done / rises } else { (at.steps as f64 - at.step as f64) / (at.steps as f64 - rises) }
}

fn visit(number: u32, pass: u32, ids: &[u32]) -> Visit {
    let targets = vec![IGNORE; ids.len()];
    Visit { sequence: number, pass, inputs: ids.to_vec(), targets, starts: Vec::new() }
}

#[cfg(test)]
mod tests;
