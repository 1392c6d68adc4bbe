//! What a run measures beside its steps: losses on the validation documents, with masks and without, and samples of
//! text.

use std::time::Instant;

use super::passes::Mean;
use super::{Run, Watch};
use crate::model::Gpt2;
use crate::train::TrainError;
use crate::train::arm::{self, At, without_gradients};
use crate::train::batch::{Batch, Visit};
use crate::train::data::Corpus;
use crate::train::evaluate::{bits_per_byte, evaluate};
use crate::train::report::Report;
use crate::train::sample::{Sampling, sample};
use crate::train::spec::Arm;

/// Length and taste of samples.
const SAMPLING: Sampling = Sampling { tokens: 60, temperature: 0.8, top_k: 40, seed: 0 };

impl Run {
    /// Evaluates on the validation documents, unless this step was evaluated already.
    pub(super) fn evaluate(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let step = self.counters.step;
        let Some(corpus) = self.validation.clone() else { return Ok(()) };
        if self.evaluated.is_some_and(|(at, _)| at == step) {
            return Ok(());
        }
        let started = Instant::now();
        let model = self.trainee.current()?;
        let sizes = (self.spec.context, self.spec.batch_size);
        let loss = evaluate(&model, &corpus, sizes, &|| watch.killed())?;
        let masked_loss = match self.spec.rate.gap {
            Some(_) if self.spec.masking.arm != Arm::None => {
                Some(self.masked_validation(&model, &corpus, &|| watch.killed())?)
            }
            _ => None,
        };
        self.evaluated = Some((step, loss));
        self.counters.validation_loss = Some(loss);
        let bits_per_byte = bits_per_byte(loss, &corpus);
        watch.report(Report::Evaluated { step, loss, bits_per_byte, masked_loss });
        self.masked_loss = masked_loss;
        self.counters.seconds += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Loss on the validation documents under the arm's masks at its average rate; draws of their own, the same at every
    /// evaluation.
    fn masked_validation(
        &mut self,
        model: &Gpt2,
        corpus: &Corpus,
        killed: &dyn Fn() -> bool,
    ) -> Result<f64, TrainError> {
        let model = without_gradients(model)?;
        let memory = self.arms.memory().clone();
        self.arms.restore(arm::Memory::default());
        let (context, size) = (self.spec.context, self.spec.batch_size);
        let count = corpus.sequences(context, 0);
        let mut mean = Mean::default();
        for from in (0..count).step_by(size) {
            if killed() {
                return Err(TrainError::Killed);
            }
            let visits = (from..(from + size).min(count))
                // Numbers that no training sequence has.
                .map(|i| Visit { sequence: u32::MAX - i as u32, ..corpus.visit(i, 0, context, 0) })
                .collect();
            let masked = self.arms.prepare(&model, &Batch { visits }, At::NONE)?;
            let loss = self.arms.masked_loss(&model, &masked)?;
            mean.add(Some(loss.value), loss.own_tokens + loss.other_tokens);
        }
        self.arms.restore(memory);
        mean.value().ok_or_else(|| TrainError::setup("the validation text has no label"))
    }

    pub(super) fn sample(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let Some(tokenizer) = &self.tokenizer else { return Ok(()) };
        let model = without_gradients(&self.trainee.current()?)?;
        let how = Sampling { seed: self.spec.seed, ..SAMPLING };
        let prompt = self.spec.sample_prompt.clone();
        let text = sample(&model, tokenizer, &prompt, how)?;
        watch.report(Report::Sample { step: self.counters.step, prompt, text });
        Ok(())
    }
}
