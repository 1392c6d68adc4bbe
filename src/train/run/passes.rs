//! Forward and backward over the micro-batches of one step, under the arm's masks or the policy that is learned, and what
//! is wrong with their gradients.

use std::time::Instant;

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use super::{Run, Watch, attend};
use crate::mask::draw::{Draws, Stream};
use crate::mask::types::{Op, State};
use crate::model::Model;
use crate::model::layers::Dropout;
use crate::tensor::adamw::Applied;
use crate::tensor::gradients::Gradients;
use crate::train::TrainError;
use crate::train::arm::{self, At, MaskedBatch, Realised, without_gradients};
use crate::train::batch::{Batch, Visit};
use crate::train::data::Corpus;
use crate::train::report::Report;
use crate::train::spec::Arm;

/// Steps for which a variable may be without gradient before it is named: `B = 0` gives LoRA's `A` none at first.
const ZERO_STEPS: usize = 3;

/// What the forward and backward passes of one step gave.
pub(in crate::train) struct Passes {
    pub loss: f64,
    pub grads: GradStore,
    /// Means over the labels of masked tokens, and of all other tokens.
    pub masked_token_loss: Option<f64>,
    pub unmasked_token_loss: Option<f64>,
    /// Mean rate that was asked for, and what came out.
    pub rate: f64,
    pub realised: Realised,
    pub visible: f64,
    pub forward: f64,
    pub backward: f64,
    /// The first micro-batch, for looking at.
    pub first: Option<MaskedBatch>,
}

/// The loss of one micro-batch, with its statistics.
struct BatchLoss {
    loss: Tensor,
    value: f64,
    /// Mean and number of labels.
    masked_token_loss: (Option<f64>, usize),
    unmasked_token_loss: (Option<f64>, usize),
    rate: f64,
    realised: Realised,
    visible: f64,
    /// Of the forward pass.
    seconds: f64,
    masked: Option<MaskedBatch>,
}

/// What the micro-batches of a step add up to.
#[derive(Default)]
struct PassSums {
    loss: f64,
    rate: f64,
    realised: Realised,
    visible: f64,
    forward: f64,
    backward: f64,
}

/// Tokens that count as seen, weighed by the layers they pass: what is computed, less what others cannot read.
fn visible(batch: &MaskedBatch, n_layer: usize) -> f64 {
    let unread = |d: &crate::mask::types::Decision| {
        let gone = |op: Option<Op>| matches!(op, Some(Op::Replace | Op::Hide));
        d.positions.iter().filter(|p| p.state == State::Masked && gone(p.op)).count()
    };
    let unread: usize = batch.decisions.iter().map(unread).sum();
    batch.token_layers(n_layer) as f64 / n_layer as f64 - unread as f64
}

/// What one step masked, position by position (see [`MaskedBatch::marks`]), and which visit to its sequence each was.
#[derive(Clone, Debug, Default)]
pub struct StepMarks {
    pub codes: Vec<u8>,
    pub passes: Vec<u32>,
}

/// A mean that is added up label by label.
#[derive(Default)]
pub(super) struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    pub(super) fn add(&mut self, mean: Option<f64>, count: usize) {
        self.sum += mean.unwrap_or(0.0) * count as f64;
        self.count += count;
    }

    pub(super) fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Run {
    /// The micro-batches of the next step.
    pub(in crate::train) fn next_batches(&mut self) -> Vec<Batch> {
        let (n, size) = (self.spec.accumulate, self.spec.batch_size);
        (0..n).map(|_| self.visits.next(&self.train, size)).collect()
    }

    /// Forward and backward over the micro-batches of one step; averages their gradients over all labels, as transformers does.
    pub(in crate::train) fn passes(
        &mut self,
        batches: &[Batch],
        step: usize,
        killed: &dyn Fn() -> bool,
    ) -> Result<Passes, TrainError> {
        let mut gradients = Gradients::default();
        let labels: usize = batches.iter().map(Batch::labels).sum();
        let at = self.at();
        let (mut masked, mut unmasked, mut out) = (Mean::default(), Mean::default(), PassSums::default());
        let mut first = None;
        if let Some(marks) = &mut self.marks {
            *marks = StepMarks::default();
        }
        for (n, batch) in batches.iter().enumerate() {
            if killed() {
                return Err(TrainError::Killed);
            }
            // Where all have as many labels, this is one over their number to the last bit.
            let share = match labels {
                0 => 1.0 / batches.len() as f64,
                all => batch.labels() as f64 / all as f64,
            };
            let mut model = self.trainee.current()?;
            model.dropout = self.dropout(step, n);
            let loss = self.loss(&model, batch, at)?;
            masked.add(loss.masked_token_loss.0, loss.masked_token_loss.1);
            unmasked.add(loss.unmasked_token_loss.0, loss.unmasked_token_loss.1);
            // An arm without masks masks nothing, whatever its sliders say.
            let asked = if self.spec.masking.arm == Arm::None { 0.0 } else { loss.rate };
            out.rate += asked * share;
            out.realised.add(loss.realised);
            out.visible += loss.visible;
            out.forward += loss.seconds;
            if !loss.value.is_finite() {
                return Err(self.diverged(step, "the loss"));
            }
            out.loss += loss.value * share;
            let started = Instant::now();
            let scaled = if batches.len() > 1 { (loss.loss * share)? } else { loss.loss };
            gradients.add(&scaled)?;
            out.backward += started.elapsed().as_secs_f64();
            if let (Some(marks), Some(masked)) = (&mut self.marks, &loss.masked) {
                marks.codes.extend(masked.marks());
                marks.passes.extend(masked.visits.iter().map(|v| v.pass));
            }
            first = first.or(loss.masked);
        }
        Ok(Passes {
            loss: out.loss,
            grads: gradients.finish()?,
            masked_token_loss: masked.value(),
            unmasked_token_loss: unmasked.value(),
            rate: out.rate,
            realised: out.realised,
            visible: out.visible,
            forward: out.forward,
            backward: out.backward,
            first,
        })
    }

    /// The loss of one micro-batch under the arm, or under the policy that is learned.
    fn loss(&mut self, model: &Model, batch: &Batch, at: At) -> Result<BatchLoss, TrainError> {
        let n_layer = model.config.n_layer;
        if let Some(joint) = &mut self.joint {
            let started = Instant::now();
            let loss = joint.loss(&mut self.arms, model, batch, at)?;
            let tokens = (batch.visits.len() * batch.context()) as f64;
            let masked_tokens = loss.realised.selected;
            return Ok(BatchLoss {
                loss: loss.loss,
                value: loss.value,
                masked_token_loss: (loss.masked_token_loss, masked_tokens),
                unmasked_token_loss: (
                    loss.unmasked_token_loss,
                    (tokens as usize).saturating_sub(masked_tokens),
                ),
                rate: loss.masked.as_ref().map_or(loss.realised.rate(), |m| m.rate),
                realised: loss.realised,
                visible: loss
                    .masked
                    .as_ref()
                    .map_or(tokens * (1.0 - loss.realised.rate()), |m| visible(m, n_layer)),
                seconds: started.elapsed().as_secs_f64(),
                masked: loss.masked,
            });
        }
        let masked = self.arms.prepare(model, batch, at)?;
        let started = Instant::now();
        let loss = self.arms.masked_loss(model, &masked)?;
        Ok(BatchLoss {
            loss: loss.loss,
            value: loss.value,
            masked_token_loss: (loss.masked_token_loss, loss.masked_tokens),
            unmasked_token_loss: (loss.unmasked_token_loss, loss.unmasked_tokens),
            rate: masked.rate,
            realised: masked.realised,
            visible: visible(&masked, n_layer),
            seconds: started.elapsed().as_secs_f64(),
            masked: Some(masked),
        })
    }

    /// Dropout of micro-batch `n` of a step.
    fn dropout(&self, step: usize, n: usize) -> Option<Dropout> {
        let draws = Draws { seed: self.spec.seed, pass: step as u32, sequence: n as u32 };
        (self.spec.dropout > 0.0)
            .then(|| Dropout { rate: self.spec.dropout, key: draws.bits(Stream::Dropout, 0) })
    }

    /// Warns, once, of variables that no gradient has reached in several steps.
    pub(super) fn name_dead_variables(&mut self, step: usize, applied: &Applied, watch: &mut dyn Watch) {
        let mut dead = Vec::new();
        self.without_gradient
            .retain(|name, count| count.is_none() || applied.without_gradient.contains(name));
        for name in &applied.without_gradient {
            if let Some(count) = self.without_gradient.entry(name.clone()).or_insert(Some(0)) {
                *count += 1;
                if *count == ZERO_STEPS {
                    dead.push(name.as_str());
                    self.without_gradient.insert(name.clone(), None);
                }
            }
        }
        if !dead.is_empty() {
            let message = format!("no gradient for {}: these weights are not being trained", dead.join(", "));
            watch.report(Report::Warning { step, message });
        }
    }

    pub(super) fn diverged(&self, step: usize, what: &'static str) -> TrainError {
        let checkpoint =
            self.saved.as_ref().map_or_else(|| "none".to_owned(), |(_, path)| path.display().to_string());
        TrainError::Diverged { step, what, checkpoint }
    }

    /// Loss on the validation documents under the arm's masks at its average rate; draws of their own, the same at every
    /// evaluation. `None` where it was cut short.
    pub(super) fn masked_validation(
        &mut self,
        model: &Model,
        corpus: &Corpus,
        watch: &mut dyn Watch,
    ) -> Result<Option<f64>, TrainError> {
        let model = without_gradients(model)?;
        let memory = self.arms.memory().clone();
        self.arms.restore(arm::ScoreMemory::default());
        let (context, size, step) = (self.spec.context, self.spec.batch_size, self.counters.step);
        let count = corpus.sequences(context, 0);
        let mut mean = Mean::default();
        let mut whole = true;
        for from in (0..count).step_by(size) {
            whole = attend(self, watch, (step, count + from, 2 * count))?;
            if !whole {
                break;
            }
            let visits = (from..(from + size).min(count))
                // Numbers that no training sequence has.
                .map(|i| Visit { sequence: u32::MAX - i as u32, ..corpus.visit(i, 0, context, 0) })
                .collect();
            let masked = self.arms.prepare(&model, &Batch { visits }, At::NONE)?;
            let loss = self.arms.masked_loss(&model, &masked)?;
            mean.add(Some(loss.value), loss.masked_tokens + loss.unmasked_tokens);
        }
        self.arms.restore(memory);
        if !whole {
            return Ok(None);
        }
        mean.value().map(Some).ok_or_else(|| TrainError::setup("the validation text has no label"))
    }
}
