//! The training loop: evaluate → checkpoint → stop? → step → log.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor, Var};

use super::TrainError;
use super::checkpoint::{self, Contents, SavedDtype};
use super::data::{Corpus, Order};
use super::schedule::LrSchedule;
use crate::model::{Config, Gpt2, Tokenizer};
use crate::tensor::adamw::{AdamW, AdamWSettings};
use crate::tensor::cross_entropy::cross_entropy;

/// Everything a run is told.
#[derive(Clone, Debug)]
pub struct RunSettings {
    pub batch_size: usize,
    /// Micro-batches whose gradients are averaged into one update.
    pub accumulate: usize,
    pub context: usize,
    pub schedule: LrSchedule,
    pub adamw: AdamWSettings,
    /// Largest global gradient norm; 0 turns clipping off.
    pub clip: f64,
    pub seed: u64,
    /// Steps between two evaluations on the validation documents; 0 evaluates only at the end.
    pub eval_every: usize,
    /// Steps between two checkpoints; 0 saves only at the end.
    pub checkpoint_every: usize,
    pub out: PathBuf,
    pub dtype: SavedDtype,
    /// Stops after this time even if steps are left; the schedule follows the clock then.
    pub time_limit: Option<Duration>,
}

/// What a run reports, in order.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Report {
    Step { step: usize, loss: f64, rate: f64, grad_norm: f64, tokens: u64, tokens_per_second: f64 },
    Evaluated { step: usize, loss: f64, bits_per_byte: f64 },
    Saved { step: usize, path: PathBuf },
    Warning { step: usize, message: String },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Summary {
    pub steps: usize,
    pub tokens: u64,
    pub seconds: f64,
    pub train_loss: f64,
    /// Nats per token on the validation documents.
    pub validation_loss: Option<f64>,
    pub bits_per_byte: Option<f64>,
    pub stopped_early: bool,
}

/// A model in training: its variables, by checkpoint name, and the model that reads them.
pub struct Trainee {
    pub vars: Vec<(String, Var)>,
    pub model: Gpt2,
}

impl Trainee {
    /// Wraps tensors as trainable variables.
    pub fn new(
        config: &Config,
        tensors: &HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let mut vars = Vec::new();
        let mut shared = HashMap::new();
        for (name, _) in config.expected_tensors() {
            let tensor =
                tensors.get(&name).ok_or_else(|| TrainError::setup(format!("tensor {name} is missing")))?;
            let var = Var::from_tensor(tensor)?;
            shared.insert(name.clone(), var.as_tensor().clone());
            vars.push((name, var));
        }
        let model = Gpt2::from_tensors(config, &shared, device)?;
        Ok(Trainee { vars, model })
    }

    /// Names and current values, sharing memory with the variables.
    pub fn tensors(&self) -> HashMap<String, Tensor> {
        self.vars.iter().map(|(n, v)| (n.clone(), v.as_tensor().clone())).collect()
    }
}

/// Mean loss of one batch, differentiable: inputs and targets `[B · T]`, row-major.
pub fn batch_loss(model: &Gpt2, inputs: &[u32], targets: &[u32], batch: usize) -> Result<Tensor, TrainError> {
    let hidden = model.forward_batch(&model.embed_batch(inputs, batch)?, None, true)?;
    let rows = hidden.reshape(((), model.config.n_embd))?;
    Ok(cross_entropy(&rows, &model.lm_head, targets, true)?)
}

/// Mean loss in nats per token over a corpus, without gradients.
pub fn evaluate(model: &Gpt2, corpus: &Corpus, context: usize, batch: usize) -> Result<f64, TrainError> {
    let count = corpus.sequences(context, 0);
    if count == 0 {
        return Err(TrainError::setup(format!(
            "the validation text is shorter than one context of {context} tokens"
        )));
    }
    let (mut total, mut rows) = (0f64, 0usize);
    for from in (0..count).step_by(batch) {
        let to = (from + batch).min(count);
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for i in from..to {
            let (x, y) = corpus.sequence(i, context, 0);
            inputs.extend_from_slice(x);
            targets.extend_from_slice(y);
        }
        let embedded = model.embed_batch(&inputs, to - from)?.detach();
        let hidden = model.forward_batch(&embedded, None, true)?;
        let states = hidden.reshape(((), model.config.n_embd))?.detach();
        let loss = cross_entropy(&states, &model.lm_head.detach(), &targets, false)?;
        total += f64::from(loss.to_scalar::<f32>()?) * targets.len() as f64;
        rows += targets.len();
    }
    Ok(total / rows as f64)
}

/// A run in progress.
pub struct Run<'a> {
    pub trainee: Trainee,
    pub tokenizer: Option<&'a Tokenizer>,
    pub train: &'a Corpus,
    pub validation: Option<&'a Corpus>,
    pub settings: RunSettings,
    optimizer: AdamW,
}

/// Sequences still to be visited in the current epoch.
struct Visits {
    order: Order,
    epoch: u32,
    offset: usize,
    queue: std::vec::IntoIter<u32>,
}

impl Visits {
    fn next(&mut self, corpus: &Corpus) -> (usize, usize) {
        loop {
            if let Some(index) = self.queue.next() {
                return (index as usize, self.offset);
            }
            self.epoch += 1;
            let (offset, order) = self.order.epoch(corpus, self.epoch);
            (self.offset, self.queue) = (offset, order.into_iter());
        }
    }
}

impl<'a> Run<'a> {
    /// Checks that data and settings fit.
    pub fn new(
        trainee: Trainee,
        tokenizer: Option<&'a Tokenizer>,
        (train, validation): (&'a Corpus, Option<&'a Corpus>),
        settings: RunSettings,
    ) -> Result<Self, TrainError> {
        let limit = trainee.model.config.n_positions;
        if settings.context == 0 || settings.context > limit {
            return Err(TrainError::setup(format!("context {} is outside 1 to {limit}", settings.context)));
        }
        if train.sequences(settings.context, 0) == 0 {
            return Err(TrainError::setup(format!(
                "the data has {} tokens, fewer than one context of {}",
                train.tokens.len(),
                settings.context
            )));
        }
        let optimizer = AdamW::new(trainee.vars.clone(), settings.adamw);
        Ok(Run { trainee, tokenizer, train, validation, settings, optimizer })
    }

    /// Trains until the steps are done, the time is up or `stop` is set, reporting as it goes.
    pub fn train(
        &mut self,
        stop: &AtomicBool,
        report: &mut dyn FnMut(&Report),
    ) -> Result<Summary, TrainError> {
        let s = self.settings.clone();
        let begun = Instant::now();
        let order = Order { seed: s.seed, context: s.context, fixed_cuts: false };
        let (offset, first) = order.epoch(self.train, 0);
        let mut visits = Visits { order, epoch: 0, offset, queue: first.into_iter() };
        let (mut tokens, mut last_loss, mut saved) = (0u64, f64::NAN, "none".to_owned());
        let mut done = 0;
        let mut stopped_early = false;
        for step in 0..s.schedule.steps {
            if stop.load(Ordering::Relaxed) {
                stopped_early = true;
                break;
            }
            let clock = match s.time_limit {
                Some(limit) => {
                    let share = begun.elapsed().as_secs_f64() / limit.as_secs_f64();
                    if share >= 1.0 {
                        break;
                    }
                    step.max((share * s.schedule.steps as f64) as usize)
                }
                None => step,
            };
            let rate = s.schedule.at(clock);
            let started = Instant::now();
            let (loss, grad_norm) = self.step(&mut visits, rate, (step, &saved), report)?;
            last_loss = loss;
            let step_tokens = (s.batch_size * s.accumulate * s.context) as u64;
            tokens += step_tokens;
            let tokens_per_second = step_tokens as f64 / started.elapsed().as_secs_f64();
            done = step + 1;
            report(&Report::Step { step, loss, rate, grad_norm, tokens, tokens_per_second });
            if s.eval_every > 0 && done % s.eval_every == 0 {
                self.evaluate(done, report)?;
            }
            if s.checkpoint_every > 0 && done % s.checkpoint_every == 0 {
                self.save(done, tokens, begun, None)?;
                saved = s.out.display().to_string();
                report(&Report::Saved { step: done, path: s.out.clone() });
            }
        }
        let evaluated = self.evaluate(done, report)?;
        let summary = Summary {
            steps: done,
            tokens,
            seconds: begun.elapsed().as_secs_f64(),
            train_loss: last_loss,
            validation_loss: evaluated.map(|(loss, _)| loss),
            bits_per_byte: evaluated.map(|(_, bits)| bits),
            stopped_early,
        };
        self.save(done, tokens, begun, Some(&summary))?;
        report(&Report::Saved { step: done, path: s.out.clone() });
        Ok(summary)
    }

    /// One update; returns loss and gradient norm.
    fn step(
        &mut self,
        visits: &mut Visits,
        rate: f64,
        (step, saved): (usize, &str),
        report: &mut dyn FnMut(&Report),
    ) -> Result<(f64, f64), TrainError> {
        let s = &self.settings;
        let mut total = 0f64;
        let mut grads: Option<candle_core::backprop::GradStore> = None;
        for _ in 0..s.accumulate.max(1) {
            let (mut inputs, mut targets) = (Vec::new(), Vec::new());
            for _ in 0..s.batch_size {
                let (index, offset) = visits.next(self.train);
                let (x, y) = self.train.sequence(index, s.context, offset);
                inputs.extend_from_slice(x);
                targets.extend_from_slice(y);
            }
            let loss = batch_loss(&self.trainee.model, &inputs, &targets, s.batch_size)?;
            let value = f64::from(loss.to_scalar::<f32>()?);
            if !value.is_finite() {
                return Err(TrainError::Diverged { step, what: "the loss", checkpoint: saved.to_owned() });
            }
            total += value / s.accumulate.max(1) as f64;
            let scaled = if s.accumulate > 1 { (loss / s.accumulate as f64)? } else { loss };
            let mut new = scaled.backward()?;
            if let Some(old) = grads.take() {
                for (_, var) in &self.trainee.vars {
                    if let (Some(a), Some(b)) = (old.get(var.as_tensor()), new.get(var.as_tensor())) {
                        let sum = (a + b)?;
                        new.insert(var.as_tensor(), sum);
                    }
                }
            }
            grads = Some(new);
        }
        let Some(grads) = grads else { return Ok((total, 0.0)) };
        let applied = self.optimizer.step(&grads, rate, s.clip)?;
        if step == 0 && !applied.without_gradient.is_empty() {
            let message = format!("no gradient reaches {}", applied.without_gradient.join(", "));
            report(&Report::Warning { step, message });
        }
        Ok((total, applied.grad_norm))
    }

    fn evaluate(
        &self,
        step: usize,
        report: &mut dyn FnMut(&Report),
    ) -> Result<Option<(f64, f64)>, TrainError> {
        let Some(corpus) = self.validation else { return Ok(None) };
        let loss = evaluate(&self.trainee.model, corpus, self.settings.context, self.settings.batch_size)?;
        let bits = loss * corpus.tokens.len() as f64 / corpus.bytes as f64 / std::f64::consts::LN_2;
        report(&Report::Evaluated { step, loss, bits_per_byte: bits });
        Ok(Some((loss, bits)))
    }

    fn save(
        &self,
        step: usize,
        tokens: u64,
        begun: Instant,
        summary: Option<&Summary>,
    ) -> Result<(), TrainError> {
        let s = &self.settings;
        let facts = serde_json::json!({
            "steps": step,
            "tokens": tokens,
            "seconds": begun.elapsed().as_secs_f64(),
            "seed": s.seed,
            "batch_size": s.batch_size,
            "accumulate": s.accumulate,
            "context": s.context,
            "learning_rate": s.schedule.peak,
            "lr_policy": s.schedule.policy.name(),
            "weight_decay": s.adamw.weight_decay,
            "train_documents": self.train.documents,
            "train_tokens": self.train.tokens.len(),
            "summary": summary,
        });
        let tensors = self.trainee.tensors();
        let contents = Contents {
            config: &self.trainee.model.config,
            tensors: &tensors,
            tokenizer: self.tokenizer,
            dtype: s.dtype,
            facts,
        };
        checkpoint::save(&s.out, &contents)
    }
}
