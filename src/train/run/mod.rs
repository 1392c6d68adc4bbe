//! The training loop, on whatever thread calls it: [`train`] reads top to bottom, evaluate → sample → checkpoint → stop? →
//! step → log. Everything it does is a function of its spec, its data, its counters and the commands it gets; must never
//! look at a screen.

mod heads;
mod learner;
mod live;
mod measure;
mod pace;
mod passes;
mod save;
mod setup;

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

pub(in crate::train) use self::learner::attend;
pub use self::learner::{Learner, Watch};
use self::pace::Pace;
pub use self::passes::StepMarks;
pub use self::setup::Setup;
use super::TrainError;
use super::arm::{Arms, without_gradients};
use super::batch::Batch;
use super::checkpoint::disk::Disk;
use super::checkpoint::state::Counters;
use super::data::Corpus;
use super::evaluate::bits_per_byte;
use super::look::RunLook;
use super::policy::JointPolicy;
use super::records::MachineGauge;
use super::report::{Circuit, Live, Plan, Report, RunCommand, RunState, RunSummary, StepReport, StepTime};
use super::sample::{Sampling, sample};
use super::spec::RunSpec;
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
        let (step, spec, resumed) = (run.done(), run.spec(), run.is_resumed());
        let (steps, limit, heads) = (spec.steps, spec.time_limit, spec.heads_every);
        let due = |every: usize| step > 0 && every > 0 && step.is_multiple_of(every);
        let [evaluate, sample, save] = [spec.eval_every, spec.sample_every, spec.checkpoint_every].map(due);
        let save = save || spec.keeps(step);
        // Evaluate. The start steers nothing: no policy has done anything yet.
        let evaluate = evaluate && !run.has_steered();
        if evaluate || (step == 0 && !resumed) {
            run.evaluate(watch)?;
            if *run.state() == RunState::Stopping {
                return Ok(false);
            }
        }
        if evaluate {
            run.steer(watch);
        }
        // Sample.
        if sample && !resumed {
            run.sample(watch)?;
        }
        // Heads.
        if !resumed && heads > 0 && step.is_multiple_of(heads) {
            run.look(watch)?;
        }
        // Checkpoint.
        if (save && !resumed) || run.improved() {
            run.save(watch)?;
        }
        // Stop?
        if step >= steps || limit.is_some_and(|limit| *run.seconds() >= limit) || run.enough() {
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
        let waiting = run.later().pop_front();
        let Some(command) = waiting.or_else(|| watch.command(paused)) else {
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
        if *run.state() == RunState::Stopping {
            // Told to stop while something was measured.
            return Ok(());
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
    /// Seconds of the last evaluation.
    measured: Option<f64>,
    /// Moving average of the training loss.
    average: f64,
    /// What was warned of, so that it is said once.
    warned: measure::Warned,
    later: VecDeque<RunCommand>,
    /// What the last step masked, where arms are compared.
    marks: Option<StepMarks>,
    /// The same under masks, where the loss-gap controller needs it.
    masked_loss: Option<f64>,
    /// Steps in a row without gradient, by variable; `None` once it was named.
    without_gradient: HashMap<String, Option<usize>>,
    pace: Pace,
    memory: MachineGauge,
    look: RunLook,
    /// What the heads that copy are worth, once it is known.
    circuit: Option<Circuit>,
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
        if !stopped_early || self.is_measured_quickly() {
            self.measure_the_end(watch)?;
            self.measure_the_circuit(watch)?;
        }
        self.save(watch)?;
        self.show(watch)?;
        let state = if stopped_early { RunState::Stopped } else { RunState::Finished };
        self.enter(state, watch);
        Ok(self.summary(state, stopped_early))
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

    fn later(&mut self) -> &mut VecDeque<RunCommand> {
        &mut self.later
    }

    fn is_resumed(&self) -> bool {
        self.saved.as_ref().is_some_and(|(at, _)| *at == self.counters.step)
    }

    fn has_steered(&self) -> bool {
        match self.counters.steered {
            Some(step) => step == self.counters.step,
            // Checkpoints of before this was noted were saved after it was done.
            None => self.is_resumed(),
        }
    }

    fn improved(&self) -> bool {
        self.is_best_so_far()
    }

    fn enough(&self) -> bool {
        self.gain_has_ended()
    }

    fn evaluate(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        self.measure(watch)
    }

    fn steer(&mut self, watch: &mut dyn Watch) {
        self.steer_policies(watch);
        self.judge(watch);
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

    fn look(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        self.look_at_heads(watch)
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
    fn summary(&self, state: RunState, stopped_early: bool) -> RunSummary {
        let c = &self.counters;
        let loss = c.validation_loss;
        RunSummary {
            state,
            steps: c.step,
            tokens: c.tokens,
            seconds: c.seconds,
            train_loss: c.train_loss,
            start_validation_loss: c.start_validation_loss,
            validation_loss: loss,
            bits_per_byte: loss
                .zip(self.validation.as_deref())
                .and_then(|(loss, text)| bits_per_byte(loss, text)),
            best: c.best.map(|b| (b.step, b.loss)),
            stopped_early,
            saved: self.saved.as_ref().map(|(step, _)| *step),
            reason: self.reason(),
            problem: self.problem(),
            checkpoint: self.saved.as_ref().map(|(_, path)| path.clone()),
            peak_memory: MachineGauge::peak(),
            circuit: self.circuit.clone().map(Box::new),
            twins: None,
        }
    }

    /// The same run, which keeps what each step masks.
    pub(in crate::train) fn keeping_marks(mut self) -> Self {
        self.marks = Some(StepMarks::default());
        self
    }

    /// What the last step masked.
    pub(in crate::train) fn marks(&self) -> Option<&StepMarks> {
        self.marks.as_ref()
    }

    /// One update.
    pub(in crate::train) fn update(&mut self, watch: &mut dyn Watch) -> Result<StepReport, TrainError> {
        let started = Instant::now();
        let step = self.counters.step + 1;
        let rate = self.learning_rate();
        self.follow_schedule(watch);
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
        self.follow_loss((step, passes.loss), watch);
        let tokens = batches.iter().map(Batch::tokens).sum::<usize>() as u64;
        let c = &mut self.counters;
        (c.step, c.updates) = (step, self.optimizer.updates);
        c.tokens += tokens;
        c.visible_tokens += passes.visible;
        c.train_loss = passes.loss;
        c.first_loss = c.first_loss.or(Some(passes.loss));
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
            elapsed: self.counters.seconds + total,
            memory: self.memory.resident(),
            cores: self.memory.cores(),
            gpu: self.memory.gpu(&self.trainee.model.device),
            eta: self.eta(step),
        })
    }
}
