//! The training loop, on whatever thread calls it: [`train`] reads top to bottom, evaluate → sample → checkpoint → stop? →
//! step → log. Everything it does is a function of its spec, its data, its counters and the commands it gets; must never
//! look at a screen.

mod learner;
mod live;
mod pace;
mod passes;
mod save;
mod setup;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

pub use self::learner::{Learner, Watch};
use self::pace::Pace;
pub use self::setup::Setup;
use super::TrainError;
use super::arm::{Arms, without_gradients};
use super::checkpoint::disk::Disk;
use super::checkpoint::state::Counters;
use super::data::Corpus;
use super::evaluate::{bits_per_byte, evaluate};
use super::look::RunLook;
use super::policy::JointPolicy;
use super::records::MemoryGauge;
use super::report::{Live, Plan, Report, RunCommand, RunState, RunSummary, StepReport, StepTime};
use super::sample::{Sampling, sample};
use super::spec::{Arm, RunSpec};
use super::trainee::Trainee;
use super::visits::Visits;
use crate::mask::types::MaskSettings;
use crate::model::Tokenizer;
use crate::tensor::adamw::AdamW;

/// Length and taste of samples.
const SAMPLING: Sampling = Sampling { tokens: 60, temperature: 0.8, top_k: 40, seed: 0 };

/// The loop. False when a command stopped it before its last step.
pub(in crate::train) fn train(run: &mut dyn Learner, watch: &mut dyn Watch) -> Result<bool, TrainError> {
    loop {
        let (step, spec) = (run.done(), run.spec());
        let (steps, limit) = (spec.steps, spec.time_limit);
        let due = |every: usize| step > 0 && every > 0 && step.is_multiple_of(every);
        let [evaluate, sample, save] = [spec.eval_every, spec.sample_every, spec.checkpoint_every].map(due);
        if !run.is_resumed() {
            // Evaluate. The start steers nothing: no policy has done anything yet.
            if step == 0 || evaluate {
                run.evaluate(watch)?;
            }
            if evaluate {
                run.steer(watch);
            }
            // Sample.
            if sample {
                run.sample(watch)?;
            }
            // Checkpoint.
            if save {
                run.save(watch)?;
            }
        }
        // Stop?
        if step >= steps || limit.is_some_and(|limit| *run.seconds() >= limit) {
            return Ok(true);
        }
        obey(run, watch)?;
        if *run.state() == RunState::Stopping {
            return Ok(false);
        }
        run.show(watch)?;
        // Step.
        let started = Instant::now();
        let report = run.step(watch)?;
        *run.seconds() += started.elapsed().as_secs_f64();
        // Log.
        watch.report(report);
    }
}

/// Carries out every command that waits; while paused, waits for the next one.
fn obey(run: &mut dyn Learner, watch: &mut dyn Watch) -> Result<(), TrainError> {
    loop {
        if watch.killed() {
            return Err(TrainError::Killed);
        }
        let paused = *run.state() == RunState::Paused;
        let Some(command) = watch.command(paused) else {
            if paused {
                // Nobody can resume it any more.
                run.enter(RunState::Stopping, watch);
            }
            return Ok(());
        };
        match command {
            RunCommand::Pause if !paused => run.enter(RunState::Paused, watch),
            RunCommand::Resume if paused => run.enter(RunState::Running, watch),
            RunCommand::Pause | RunCommand::Resume => {}
            RunCommand::Stop => {
                run.enter(RunState::Stopping, watch);
                return Ok(());
            }
            RunCommand::Kill => return Err(TrainError::Killed),
            other => run.tell(other, watch)?,
        }
        if paused {
            run.show(watch)?;
        }
    }
}

/// A run in progress.
pub struct Run {
    pub spec: RunSpec,
    pub trainee: Trainee,
    pub counters: Counters,
    pub(super) optimizer: AdamW,
    pub(super) arms: Arms,
    /// A policy that is learned with the model, and whether its degeneration was reported.
    pub(super) joint: Option<JointPolicy>,
    alarmed: bool,
    /// τ and p without what the loss-gap controller does to them.
    policy: MaskSettings,
    pub(super) train: Arc<Corpus>,
    pub(super) validation: Option<Arc<Corpus>>,
    pub(super) visits: Visits,
    tokenizer: Option<Tokenizer>,
    disk: Arc<dyn Disk>,
    fingerprint: String,
    state: RunState,
    /// Last whole checkpoint.
    saved: Option<(usize, PathBuf)>,
    /// Validation loss and the step it belongs to.
    evaluated: Option<(usize, f64)>,
    /// The same under masks, where the loss-gap controller needs it.
    masked_loss: Option<f64>,
    /// Steps in a row without gradient, by variable; `None` once it was named.
    without_gradient: HashMap<String, Option<usize>>,
    pace: Pace,
    memory: MemoryGauge,
    look: RunLook,
    /// On the data, for the plan.
    pub(super) notes: Vec<String>,
}

impl Learner for Run {
    fn plan(&mut self) -> Result<Plan, TrainError> {
        self.estimate()
    }

    fn fits(&self) -> Result<(), TrainError> {
        self.fitting_memory().map(|_| ())
    }

    fn drive(&mut self, watch: &mut dyn Watch) -> Result<RunSummary, TrainError> {
        self.begin()?;
        self.enter(RunState::Running, watch);
        let stopped_early = !train(self, watch)?;
        self.evaluate(watch)?;
        self.save(watch)?;
        self.show(watch)?;
        let state = if stopped_early { RunState::Stopped } else { RunState::Finished };
        self.enter(state, watch);
        let c = &self.counters;
        let loss = c.validation_loss;
        Ok(RunSummary {
            state,
            steps: c.step,
            tokens: c.tokens,
            seconds: c.seconds,
            train_loss: c.train_loss,
            start_validation_loss: c.start_validation_loss,
            validation_loss: loss,
            bits_per_byte: loss.zip(self.validation.as_deref()).map(|(loss, text)| bits_per_byte(loss, text)),
            best: c.best.map(|b| (b.step, b.loss)),
            stopped_early,
            checkpoint: self.saved.as_ref().map(|(_, path)| path.clone()),
            saved: self.saved.as_ref().map(|(at, _)| *at),
            peak_memory: MemoryGauge::peak(),
            twins: None,
        })
    }

    fn spec(&self) -> &RunSpec {
        &self.spec
    }

    fn done(&self) -> usize {
        self.counters.step
    }

    fn seconds(&mut self) -> &mut f64 {
        &mut self.counters.seconds
    }

    fn state(&mut self) -> &mut RunState {
        &mut self.state
    }

    fn is_resumed(&self) -> bool {
        self.saved.as_ref().is_some_and(|(at, _)| *at == self.counters.step)
    }

    fn evaluate(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let step = self.counters.step;
        let Some(corpus) = self.validation.clone() else { return Ok(()) };
        if self.evaluated.is_some_and(|(at, _)| at == step) {
            return Ok(());
        }
        let started = Instant::now();
        let model = self.trainee.current()?;
        let sizes = (self.spec.context, self.spec.batch_size);
        let loss = evaluate(&model, &corpus, sizes, &|| watch.killed())?;
        let masks = self.spec.learning_rate.gap.is_some() && self.spec.masking.arm != Arm::None;
        self.masked_loss =
            masks.then(|| self.masked_validation(&model, &corpus, &|| watch.killed())).transpose()?;
        self.evaluated = Some((step, loss));
        self.counters.validation_loss = Some(loss);
        if step == 0 {
            self.counters.start_validation_loss = Some(loss);
        }
        let bits_per_byte = bits_per_byte(loss, &corpus);
        watch.report(Report::Evaluated { step, loss, bits_per_byte, masked_loss: self.masked_loss });
        if step > 0 {
            // The clock of a run starts with its first step.
            self.counters.seconds += started.elapsed().as_secs_f64();
        }
        Ok(())
    }

    fn steer(&mut self, watch: &mut dyn Watch) {
        self.steer_policies(watch);
    }

    fn sample(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let Some(tokenizer) = &self.tokenizer else { return Ok(()) };
        let model = without_gradients(&self.trainee.current()?)?;
        let how = Sampling { seed: self.spec.seed, ..SAMPLING };
        let prompt = self.spec.sample_prompt.clone();
        let text = sample(&model, tokenizer, &prompt, how)?;
        watch.report(Report::Sample { step: self.counters.step, prompt, text });
        Ok(())
    }

    fn save(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        self.save_checkpoint(watch)
    }

    fn show(&self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        if watch.wants_snapshot() {
            watch.snapshot(self.counters.step, self.trainee.snapshot()?);
        }
        Ok(())
    }

    fn tell(&mut self, command: RunCommand, watch: &mut dyn Watch) -> Result<(), TrainError> {
        match command {
            RunCommand::SetLearningRate(rate) => self.change(Live::LearningRate, rate, watch),
            RunCommand::SetThreshold(value) => self.change(Live::Threshold, Some(value), watch),
            RunCommand::SetProbability(value) => self.change(Live::Probability, Some(value), watch),
            RunCommand::Sample => return self.sample(watch),
            RunCommand::SaveNow => return self.save(watch),
            RunCommand::EvaluateNow => return self.evaluate(watch),
            RunCommand::Pause | RunCommand::Resume | RunCommand::Stop | RunCommand::Kill => {}
        }
        Ok(())
    }

    fn step(&mut self, watch: &mut dyn Watch) -> Result<Report, TrainError> {
        Ok(Report::Step { report: self.update(watch)?, merged: 1 })
    }
}

impl Run {
    /// One update.
    pub(in crate::train) fn update(&mut self, watch: &mut dyn Watch) -> Result<StepReport, TrainError> {
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
            masked_token_loss: passes.masked_token_loss,
            unmasked_token_loss: passes.masked_token_loss.and(passes.unmasked_token_loss),
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
}
