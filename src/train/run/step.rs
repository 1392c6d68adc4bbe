//! One update: batches, passes, optimizer, and what is said of it.

use std::time::Instant;

use super::{Run, Watch};
use crate::tensor::adamw::Applied;
use crate::train::TrainError;
use crate::train::arm::without_gradients;
use crate::train::report::{Report, StepReport, StepTime};

/// Steps for which a variable may be without gradient before it is named: `B = 0` gives LoRA's `A` none at first.
const ZERO_STEPS: usize = 3;

impl Run {
    /// One update.
    pub(in crate::train) fn step(&mut self, watch: &mut dyn Watch) -> Result<StepReport, TrainError> {
        let started = Instant::now();
        let step = self.counters.step + 1;
        let rate = self.learning_rate();
        let batches = self.next_batches();
        let passes = self.passes(&batches, step, &|| watch.killed())?;
        let masking = started.elapsed().as_secs_f64() - passes.forward - passes.backward;
        let updating = Instant::now();
        if let Some(joint) = &mut self.joint {
            joint.learn(&passes.grads)?;
        }
        let applied = self
            .optimizer
            .step(&passes.grads, rate, self.spec.clip)?
            .ok_or_else(|| self.diverged(step, "the gradient"))?;
        let optimizer = updating.elapsed().as_secs_f64();
        self.name_dead_variables(step, &applied, watch);
        let tokens = (self.spec.sequences_per_step() * self.spec.context) as u64;
        let c = &mut self.counters;
        c.step = step;
        c.updates = self.optimizer.updates;
        c.tokens += tokens;
        c.visible_tokens += passes.visible;
        c.train_loss = passes.loss;
        c.position = self.visits.position();
        let total = started.elapsed().as_secs_f64();
        self.pace.add(total);
        if watch.wants_pictures()
            && let Some(masked) = &passes.first
        {
            let model = without_gradients(&self.trainee.current()?)?;
            self.look.show(
                step,
                (&self.arms, &model, self.tokenizer.as_ref()),
                (&batches[0], masked),
                watch,
            )?;
        }
        Ok(StepReport {
            step,
            loss: passes.loss,
            loss_own: passes.own,
            loss_others: passes.own.and(passes.others),
            mask_rate: passes.rate,
            realised_rate: passes.realised.rate(),
            learning_rate: rate,
            grad_norm: applied.grad_norm,
            tokens: self.counters.tokens,
            visible_tokens: self.counters.visible_tokens,
            tokens_per_second: tokens as f64 / total,
            time: StepTime { masking, forward: passes.forward, backward: passes.backward, optimizer, total },
            memory: self.memory.resident(),
            gpu: self.memory.gpu(&self.trainee.model.device),
            eta: self.eta(step),
        })
    }

    /// Warns, once, of variables that no gradient has reached in several steps.
    fn name_dead_variables(&mut self, step: usize, applied: &Applied, watch: &mut dyn Watch) {
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
            let message = format!("no gradient reaches {}", dead.join(", "));
            watch.report(Report::Warning { step, message });
        }
    }

    pub(super) fn diverged(&self, step: usize, what: &'static str) -> TrainError {
        let checkpoint =
            self.saved.as_ref().map_or_else(|| "none".to_owned(), |(_, path)| path.display().to_string());
        TrainError::Diverged { step, what, checkpoint }
    }
}
