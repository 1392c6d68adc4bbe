//! The training loop, on whatever thread calls it: evaluate → sample → checkpoint → stop? → step → log. Everything it
//! does is a function of its spec, its data, its counters and the commands it gets; must never look at a screen.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor};
use sha2::{Digest, Sha256};

use super::TrainError;
use super::arm::{self, Arms, At, Lexicon, MaskedBatch, Realised, rate::scaled, without_gradients};
use super::batch::Batch;
use super::checkpoint::disk::{self, Disk, RealDisk};
use super::checkpoint::files::{self, Contents, pretty};
use super::checkpoint::folder::Folders;
use super::checkpoint::peft;
use super::checkpoint::state::{self, Best, Counters, Resumed};
use super::data::{Corpus, Order};
use super::evaluate::{bits_per_byte, evaluate};
use super::look::Look;
use super::policy::JointPolicy;
use super::records::Memory;
use super::report::{Command, Live, LiveChange, Report, RunState, StepReport, StepTime, Summary};
use super::sample::{Sampling, sample};
use super::schedule::Progress;
use super::spec::{Arm, OnDiskFull, RunSpec};
use super::trainee::Trainee;
use super::visits::Visits;
use crate::attention::calibration::Calibration;
use crate::mask::draw::{Draws, Stream};
use crate::mask::types::{MaskSettings, Op, State};
use crate::model::gpt2::Noise;
use crate::model::{Config, Gpt2, Tokenizer};
use crate::tensor::adamw::{AdamW, Applied};
use crate::tensor::cross_entropy::cross_entropy;

/// Steps at the start that are left out of the expected time left.
const WARM_UP_STEPS: usize = 3;
/// Steps for which a variable may be without gradient before it is named: `B = 0` gives LoRA's `A` none at first.
const ZERO_STEPS: usize = 3;
/// Length and taste of samples.
const SAMPLING: Sampling = Sampling { tokens: 60, temperature: 0.8, top_k: 40, seed: 0 };

/// Everything a run is built from.
pub struct Setup {
    pub spec: RunSpec,
    pub config: Config,
    /// Checkpoint tensors by bare name.
    pub tensors: HashMap<String, Tensor>,
    pub tokenizer: Option<Tokenizer>,
    pub train: Arc<Corpus>,
    pub validation: Option<Arc<Corpus>>,
    pub device: Device,
    pub disk: Arc<dyn Disk>,
    /// A `[MASK]` row that the model already has.
    pub mask_row: Option<Vec<f32>>,
    /// For scores over the distance null.
    pub calibration: Option<Arc<Calibration>>,
    pub resumed: Option<Resumed>,
}

impl Setup {
    /// A fresh run on the real disk.
    pub fn new(
        spec: RunSpec,
        (config, tensors): (Config, HashMap<String, Tensor>),
        tokenizer: Option<Tokenizer>,
        (train, validation): (Arc<Corpus>, Option<Arc<Corpus>>),
    ) -> Self {
        Setup {
            spec,
            config,
            tensors,
            tokenizer,
            train,
            validation,
            device: Device::Cpu,
            disk: Arc::new(RealDisk),
            mask_row: None,
            calibration: None,
            resumed: None,
        }
    }

    /// The continuation of a run that was read back.
    pub fn resume(
        mut resumed: Resumed,
        (train, validation): (Arc<Corpus>, Option<Arc<Corpus>>),
        device: Device,
    ) -> Self {
        Setup {
            spec: resumed.spec.clone(),
            config: resumed.config.clone(),
            tensors: std::mem::take(&mut resumed.tensors),
            tokenizer: resumed.tokenizer.clone(),
            train,
            validation,
            device,
            disk: Arc::new(RealDisk),
            mask_row: None,
            calibration: None,
            resumed: Some(resumed),
        }
    }
}

/// Who watches a run and tells it what to do.
pub trait Watch {
    fn report(&mut self, report: Report);
    /// The next command; with `wait`, blocks until there is one, and `None` then means that nobody is left to ask.
    fn command(&mut self, wait: bool) -> Option<Command>;
    /// Whether the run is to end at once; asked often.
    fn killed(&self) -> bool;
    /// Whether somebody waits for a copy of the weights.
    fn wants_snapshot(&self) -> bool;
    fn snapshot(&mut self, step: usize, model: Gpt2);
    /// Whether rasters and batches are looked at.
    fn wants_pictures(&self) -> bool;
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
    /// The same under masks, where the loss-gap controller asks for it.
    masked_loss: Option<f64>,
    /// Steps in a row without gradient, by variable; `None` once it was named.
    without_gradient: HashMap<String, Option<usize>>,
    pace: Pace,
    memory: Memory,
    look: Look,
}

/// Times of steps, for the expected time left.
#[derive(Default)]
struct Pace {
    steps: usize,
    seconds: f64,
}

impl Pace {
    fn add(&mut self, seconds: f64) {
        self.steps += 1;
        if self.steps > WARM_UP_STEPS {
            self.seconds += seconds;
        }
    }

    /// Seconds for `left` more steps; `None` while too little was measured.
    fn eta(&self, left: usize) -> Option<f64> {
        let measured = self.steps.checked_sub(WARM_UP_STEPS).filter(|n| *n > 0)?;
        Some(self.seconds / measured as f64 * left as f64)
    }
}

/// What the forward and backward passes of one step gave.
pub(super) struct Passes {
    pub loss: f64,
    pub grads: GradStore,
    /// Means over the labels of masked positions and of all others.
    pub own: Option<f64>,
    pub others: Option<f64>,
    /// Mean rate that was asked for, and what came out.
    pub rate: f64,
    pub realised: Realised,
    pub visible: f64,
    pub forward: f64,
    pub backward: f64,
    /// The first micro-batch, for looking at.
    pub first: Option<MaskedBatch>,
}

/// The loss of one micro-batch with what there is to say about it.
struct BatchLoss {
    loss: Tensor,
    value: f64,
    /// Mean and number of labels.
    own: (Option<f64>, usize),
    others: (Option<f64>, usize),
    rate: f64,
    realised: Realised,
    visible: f64,
    /// Of the forward pass.
    seconds: f64,
    masked: Option<MaskedBatch>,
}

/// Mean loss of a batch without masks, differentiable.
pub fn batch_loss(model: &Gpt2, batch: &Batch) -> Result<Tensor, TrainError> {
    let embedded = model.embed_batch(&batch.inputs(), batch.visits.len())?;
    let hidden = model.forward_batch(&embedded, None, true)?;
    let rows = hidden.reshape(((), model.config.n_embd))?;
    Ok(cross_entropy(&rows, &model.lm_head, &batch.targets(), true)?)
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

/// A mean that is added up label by label.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, mean: Option<f64>, count: usize) {
        self.sum += mean.unwrap_or(0.0) * count as f64;
        self.count += count;
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl Run {
    /// Checks that model, data and settings fit, and puts a resumed run back where it was. Writes nothing yet.
    ///
    /// # Errors
    /// A setting that makes no sense for this model or data; other data than the run began with.
    pub fn new(setup: Setup) -> Result<Self, TrainError> {
        let Setup {
            spec,
            config,
            tensors,
            tokenizer,
            train,
            validation,
            device,
            disk,
            mask_row,
            calibration,
            resumed,
        } = setup;
        spec.check()?;
        let spec = as_written(&spec)?;
        check_data(&spec, &config, &train, validation.as_deref())?;
        let fingerprint = fingerprint(&train);
        let mut trainee = Trainee::with(&config, &tensors, &device, (&spec.trained, spec.seed))?;
        trainee.set_precision(spec.precision)?;
        let row = match spec.masking.needs_mask_row() {
            true => Some(trainee.add_mask_row(mask_row)?),
            false => None,
        };
        let lexicon = Arc::new(match &tokenizer {
            Some(tokenizer) => Lexicon::new(tokenizer, config.vocab_size, &train.tokens),
            None => Lexicon::from_bytes(config.vocab_size, train.eot, &train.tokens, |id| {
                format!(" #{id}").into_bytes()
            }),
        });
        let initial = match &resumed {
            Some(r) if !r.initial.is_empty() && spec.masking.arm == Arm::StaticAttn => {
                Gpt2::from_tensors(&config, &r.initial, &device)?
            }
            _ => trainee.model.clone(),
        };
        let mut arms = Arms::new(arm::Setup {
            spec: &spec.masking,
            model: &initial,
            context: spec.context,
            lexicon,
            seed: spec.seed,
            calibration,
            mask_row: row,
        })?;
        drop(initial);
        let mut joint = match &spec.masking.joint {
            Some(policy) => Some(JointPolicy::new(policy, &arms, &trainee.model, spec.seed)?),
            None => None,
        };
        let mut optimizer = AdamW::new(trainee.vars.clone(), spec.adamw)?;
        let mut counters = Counters::default();
        let mut saved = None;
        if let Some(resumed) = resumed {
            if resumed.data != fingerprint {
                return Err(TrainError::Setup {
                    problem: "the training data is not what this run began with".to_owned(),
                    hint: Some("give the same files, or start a new run from its checkpoint".to_owned()),
                });
            }
            resumed.restore(&mut optimizer)?;
            arms.restore(resumed.memory);
            if let (Some(joint), Some(state)) = (&mut joint, resumed.policy) {
                joint.restore(state)?;
                if let JointPolicy::Bandit(bandit) = joint {
                    let cell = bandit.cell();
                    arms.set_cell(cell.rate, cell.polarity, cell.op)?;
                }
            }
            saved = Some((resumed.counters.step, resumed.folder));
            counters = resumed.counters;
        }
        let order = Order { seed: spec.seed, context: spec.context, fixed_cuts: spec.fixed_cuts };
        let visits = Visits::new(&train, order, counters.position);
        let look = Look::new(&train, order);
        let policy = arms.settings().clone();
        let mut run = Run {
            spec,
            trainee,
            counters,
            optimizer,
            arms,
            joint,
            alarmed: false,
            policy,
            train,
            validation,
            visits,
            tokenizer,
            disk,
            fingerprint,
            state: RunState::Preparing,
            saved,
            evaluated: None,
            masked_loss: None,
            without_gradient: HashMap::new(),
            pace: Pace::default(),
            memory: Memory::default(),
            look,
        };
        // What was changed by hand before is in force again.
        for change in run.counters.changes.clone() {
            run.apply(change)?;
        }
        if run.counters.rate.mask_scale != 1.0 {
            run.control_rate()?;
        }
        Ok(run)
    }

    /// Trains until the steps are done, the time is up or a command ends it.
    ///
    /// # Errors
    /// A loss that is not finite, a disk that is full and must not be; [`TrainError::Killed`].
    pub fn drive(&mut self, watch: &mut dyn Watch) -> Result<Summary, TrainError> {
        self.begin()?;
        self.enter(RunState::Running, watch);
        let mut stopped_early = false;
        while self.counters.step < self.spec.steps && !self.time_is_up() {
            self.obey(watch)?;
            if self.state == RunState::Stopping {
                stopped_early = true;
                break;
            }
            if watch.wants_snapshot() {
                watch.snapshot(self.counters.step, self.trainee.snapshot()?);
            }
            let started = Instant::now();
            let report = self.step(watch)?;
            let step = report.step;
            self.counters.seconds += started.elapsed().as_secs_f64();
            watch.report(Report::Step { report, merged: 1 });
            let due = |every: usize| every > 0 && step.is_multiple_of(every);
            if due(self.spec.eval_every) {
                self.evaluate(watch)?;
                self.steer(watch);
            }
            if due(self.spec.sample_every) {
                self.sample(watch)?;
            }
            if due(self.spec.checkpoint_every) {
                self.save(watch)?;
            }
        }
        self.finish(stopped_early, watch)
    }

    fn finish(&mut self, stopped_early: bool, watch: &mut dyn Watch) -> Result<Summary, TrainError> {
        self.evaluate(watch)?;
        self.save(watch)?;
        if watch.wants_snapshot() {
            watch.snapshot(self.counters.step, self.trainee.snapshot()?);
        }
        let state = if stopped_early { RunState::Stopped } else { RunState::Finished };
        let loss = self.counters.validation_loss;
        let bits = loss.zip(self.validation.as_deref()).map(|(loss, corpus)| bits_per_byte(loss, corpus));
        let summary = Summary {
            state,
            steps: self.counters.step,
            tokens: self.counters.tokens,
            seconds: self.counters.seconds,
            train_loss: self.counters.train_loss,
            validation_loss: loss,
            bits_per_byte: bits,
            best: self.counters.best.map(|b| (b.step, b.loss)),
            stopped_early,
            checkpoint: self.saved.as_ref().map(|(_, path)| path.clone()),
        };
        self.enter(state, watch);
        Ok(summary)
    }

    fn enter(&mut self, state: RunState, watch: &mut dyn Watch) {
        self.state = state;
        watch.report(Report::State { state });
    }

    /// Writes what a resume needs before the first checkpoint.
    fn begin(&mut self) -> Result<(), TrainError> {
        let out = self.spec.out.clone();
        std::fs::create_dir_all(&out).map_err(TrainError::io(&out))?;
        if self.saved.is_some() {
            return Ok(());
        }
        let path = out.join("run.json");
        disk::replace(&*self.disk, &path, pretty(&self.spec)?.as_bytes()).map_err(TrainError::io(&path))?;
        state::write_base(&*self.disk, &self.spec, &self.trainee)
    }

    fn time_is_up(&self) -> bool {
        self.spec.time_limit.is_some_and(|limit| self.counters.seconds >= limit)
    }

    /// Carries out every command that waits; while paused, waits for the next one.
    fn obey(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        loop {
            if watch.killed() {
                return Err(TrainError::Killed);
            }
            let paused = self.state == RunState::Paused;
            let Some(command) = watch.command(paused) else {
                if paused {
                    // Nobody can resume it any more.
                    self.enter(RunState::Stopping, watch);
                }
                return Ok(());
            };
            match command {
                Command::Pause if self.state == RunState::Running => self.enter(RunState::Paused, watch),
                Command::Resume if paused => self.enter(RunState::Running, watch),
                Command::Pause | Command::Resume => {}
                Command::Stop => {
                    self.enter(RunState::Stopping, watch);
                    return Ok(());
                }
                Command::Kill => return Err(TrainError::Killed),
                Command::SetLearningRate(rate) => self.change(Live::LearningRate, rate, watch),
                Command::SetThreshold(value) => self.change(Live::Threshold, Some(value), watch),
                Command::SetProbability(value) => self.change(Live::Probability, Some(value), watch),
                Command::Sample => self.sample(watch)?,
                Command::SaveNow => self.save(watch)?,
                Command::EvaluateNow => self.evaluate(watch)?,
            }
            if paused && watch.wants_snapshot() {
                watch.snapshot(self.counters.step, self.trainee.snapshot()?);
            }
        }
    }

    /// Puts a change made by hand in force from the next step on, and logs it; one that makes no sense is refused with
    /// its reason.
    fn change(&mut self, what: Live, value: Option<f64>, watch: &mut dyn Watch) {
        // Nine digits survive JSON exactly.
        let value = value.map(|v| format!("{v:.8e}").parse().unwrap_or(v));
        let change = LiveChange { step: self.counters.step + 1, what, value };
        if let Err(error) = self.apply(change) {
            let message = format!("{what} stays as it is: {error}");
            watch.report(Report::Warning { step: self.counters.step, message });
            return;
        }
        self.counters.changes.push(change);
        watch.report(Report::Changed(change));
    }

    fn apply(&mut self, change: LiveChange) -> Result<(), TrainError> {
        let mut policy = self.policy.clone();
        match (change.what, change.value) {
            (Live::LearningRate, value) => {
                if value.is_some_and(|v| !(v >= 0.0 && v.is_finite())) {
                    return Err(TrainError::setup("a learning rate must be a number from 0 on"));
                }
                self.counters.rate.by_hand = value;
                return Ok(());
            }
            (_, Some(_)) if matches!(self.joint, Some(JointPolicy::Bandit(_))) => {
                return Err(TrainError::setup("the bandit chooses the rate"));
            }
            (Live::Threshold, Some(value)) => policy.threshold = value,
            (Live::Probability, Some(value)) => policy.probability = value,
            (_, None) => return Ok(()),
        }
        self.arms.set_sliders(policy.threshold, policy.probability)?;
        self.policy = policy;
        self.control_rate()
    }

    /// Moves τ and p by what the loss-gap controller found.
    fn control_rate(&mut self) -> Result<(), TrainError> {
        let settings = scaled(&self.policy, self.counters.rate.mask_scale);
        Ok(self.arms.set_sliders(settings.threshold, settings.probability)?)
    }

    /// The value in force of a setting that was changed by hand.
    pub fn live(&self, what: Live) -> Option<f64> {
        self.counters.changes.iter().rev().find(|c| c.what == what).and_then(|c| c.value)
    }

    /// Seconds left: of the steps, or of the clock where that ends first.
    fn eta(&self, step: usize) -> Option<f64> {
        let steps = self.pace.eta(self.spec.steps - step);
        let clock = self.spec.time_limit.map(|limit| (limit - self.counters.seconds).max(0.0));
        match (steps, clock) {
            (Some(steps), Some(clock)) => Some(steps.min(clock)),
            (steps, clock) => steps.or(clock),
        }
    }

    /// Progress in steps' worth, as the learning-rate schedule counts it.
    fn progress(&self) -> f64 {
        let c = &self.counters;
        if let Some(limit) = self.spec.time_limit {
            let share = c.seconds / limit;
            return (c.step as f64).max(share * self.spec.steps as f64);
        }
        match self.spec.rate.progress {
            Progress::Steps => c.step as f64,
            Progress::Visible => {
                let per_step = (self.spec.sequences_per_step() * self.spec.context) as f64;
                let expected =
                    self.spec.masking.visible_share(self.trainee.model.config.n_layer, self.spec.context);
                c.visible_tokens / (per_step * expected)
            }
        }
    }

    /// Where the mask schedule stands; a run that follows the clock names the step its clock stands at.
    fn at(&self) -> At {
        let steps = self.spec.steps;
        let clock = self.spec.time_limit.map_or(0.0, |limit| self.counters.seconds / limit * steps as f64);
        At { step: self.counters.step.max(clock as usize), steps }
    }

    /// Forward and backward over the micro-batches of one step; averages their gradients.
    pub(super) fn passes(
        &mut self,
        batches: &[Batch],
        step: usize,
        killed: &dyn Fn() -> bool,
    ) -> Result<Passes, TrainError> {
        let mut sum: Option<GradStore> = None;
        let share = 1.0 / batches.len() as f64;
        let at = self.at();
        let (mut own, mut others, mut out) = (Mean::default(), Mean::default(), PassSums::default());
        let mut first = None;
        for (n, batch) in batches.iter().enumerate() {
            if killed() {
                return Err(TrainError::Killed);
            }
            let mut model = self.trainee.current()?;
            model.noise = self.noise(step, n);
            let loss = self.loss(&model, batch, at)?;
            own.add(loss.own.0, loss.own.1);
            others.add(loss.others.0, loss.others.1);
            // An arm without masks asks for none, whatever its sliders say.
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
            let grads = scaled.backward()?;
            sum = Some(match sum {
                Some(old) => self.added(old, grads)?,
                None => grads,
            });
            out.backward += started.elapsed().as_secs_f64();
            first = first.or(loss.masked);
        }
        let grads = sum.ok_or_else(|| TrainError::setup("a step needs at least one batch"))?;
        Ok(Passes {
            loss: out.loss,
            grads,
            own: own.value(),
            others: others.value(),
            rate: out.rate,
            realised: out.realised,
            visible: out.visible,
            forward: out.forward,
            backward: out.backward,
            first,
        })
    }

    /// The loss of one micro-batch under the arm, or under the policy that is learned.
    fn loss(&mut self, model: &Gpt2, batch: &Batch, at: At) -> Result<BatchLoss, TrainError> {
        let n_layer = model.config.n_layer;
        if let Some(joint) = &mut self.joint {
            let started = Instant::now();
            let loss = joint.loss(&mut self.arms, model, batch, at)?;
            let tokens = (batch.visits.len() * batch.context()) as f64;
            let masked_tokens = loss.realised.selected;
            return Ok(BatchLoss {
                loss: loss.loss,
                value: loss.value,
                own: (loss.own, masked_tokens),
                others: (loss.others, (tokens as usize).saturating_sub(masked_tokens)),
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
            own: (loss.own, loss.own_tokens),
            others: (loss.others, loss.other_tokens),
            rate: masked.rate,
            realised: masked.realised,
            visible: visible(&masked, n_layer),
            seconds: started.elapsed().as_secs_f64(),
            masked: Some(masked),
        })
    }

    /// Dropout of micro-batch `n` of a step.
    fn noise(&self, step: usize, n: usize) -> Option<Noise> {
        let draws = Draws { seed: self.spec.seed, pass: step as u32, sequence: n as u32 };
        (self.spec.dropout > 0.0)
            .then(|| Noise { rate: self.spec.dropout, key: draws.bits(Stream::Dropout, 0) })
    }

    /// Gradients of two micro-batches together.
    fn added(&self, mut old: GradStore, mut new: GradStore) -> Result<GradStore, TrainError> {
        for (_, var) in &self.trainee.vars {
            let key = var.as_tensor();
            let together = match (old.remove(key), new.remove(key)) {
                (Some(a), Some(b)) => Some((a + b)?),
                (a, b) => a.or(b),
            };
            if let Some(together) = together {
                new.insert(key, together);
            }
        }
        Ok(new)
    }

    fn diverged(&self, step: usize, what: &'static str) -> TrainError {
        let checkpoint =
            self.saved.as_ref().map_or_else(|| "none".to_owned(), |(_, path)| path.display().to_string());
        TrainError::Diverged { step, what, checkpoint }
    }

    /// The micro-batches of the next step.
    pub(super) fn next_batches(&mut self) -> Vec<Batch> {
        let (n, size) = (self.spec.accumulate, self.spec.batch_size);
        (0..n).map(|_| self.visits.next(&self.train, size)).collect()
    }

    /// One update.
    fn step(&mut self, watch: &mut dyn Watch) -> Result<StepReport, TrainError> {
        let started = Instant::now();
        let step = self.counters.step + 1;
        let rate = self.counters.rate.rate(&self.spec.rate, self.spec.steps, self.progress());
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

    /// Evaluates on the validation documents, unless this step was evaluated already.
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

    /// Lets the policies that listen to losses take in a scheduled evaluation. One asked for by hand, or made because a
    /// run was stopped, steers nothing: the run would not continue as it would have without it.
    fn steer(&mut self, watch: &mut dyn Watch) {
        let Some((step, loss)) = self.evaluated.filter(|(at, _)| *at == self.counters.step) else { return };
        if let Err(error) = self.steer_policy((step, loss), watch) {
            let message = format!("the learned policy stays as it is: {error}");
            watch.report(Report::Warning { step, message });
        }
        if let Some(message) = self.counters.rate.observe(&self.spec.rate, loss, self.masked_loss) {
            let refused = self.control_rate().err();
            let message = refused.map_or(message, |e| format!("the mask rate stays as it is: {e}"));
            watch.report(Report::Note { step, message });
        }
    }

    fn steer_policy(&mut self, (step, loss): (usize, f64), watch: &mut dyn Watch) -> Result<(), TrainError> {
        let Some(joint) = &mut self.joint else { return Ok(()) };
        if let Some(cell) = joint.evaluated(&mut self.arms, loss)? {
            let message = format!("the bandit tries rate {:.3}, {}, {}", cell.rate, cell.polarity, cell.op);
            watch.report(Report::Note { step, message });
        }
        let alarm = joint.alarm();
        if let Some(alarm) = alarm.filter(|_| !self.alarmed) {
            let hint = alarm.hint().map_or_else(String::new, |h| format!("; {h}"));
            watch.report(Report::Warning { step, message: format!("{alarm}{hint}") });
        }
        self.alarmed = alarm.is_some();
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
                .map(|i| super::batch::Visit {
                    sequence: u32::MAX - i as u32,
                    ..corpus.visit(i, 0, context, 0)
                })
                .collect();
            let masked = self.arms.prepare(&model, &Batch { visits }, At::NONE)?;
            let loss = self.arms.masked_loss(&model, &masked)?;
            mean.add(Some(loss.value), loss.own_tokens + loss.other_tokens);
        }
        self.arms.restore(memory);
        mean.value().ok_or_else(|| TrainError::setup("the validation text has no label"))
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

    /// Saves a checkpoint of this step, unless there is one. A full disk is reported and ends the run only where the
    /// spec says so; older checkpoints stay whole either way.
    fn save(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let step = self.counters.step;
        if self.saved.as_ref().is_some_and(|(at, _)| *at == step) {
            return Ok(());
        }
        let loss = self.evaluated.filter(|(at, _)| *at == step).map(|(_, loss)| loss);
        let before = self.counters.best;
        if let Some(loss) = loss.filter(|loss| before.is_none_or(|best| *loss < best.loss)) {
            self.counters.best = Some(Best { step, loss });
        }
        match self.write_checkpoint() {
            Ok(path) => {
                let best = self.counters.best != before;
                self.saved = Some((step, path.clone()));
                watch.report(Report::Saved { step, path, best });
                Ok(())
            }
            Err(error) => {
                self.counters.best = before;
                let full = matches!(&error, TrainError::Io { source, .. } if disk::is_full(source));
                if full && self.spec.on_disk_full == OnDiskFull::Continue {
                    let kept = self.saved.as_ref().map_or("none".to_owned(), |(at, _)| format!("step {at}"));
                    let message = format!("checkpoint not saved, the last whole one is {kept}: {error}");
                    watch.report(Report::Warning { step, message });
                    return Ok(());
                }
                Err(error)
            }
        }
    }

    fn write_checkpoint(&self) -> Result<PathBuf, TrainError> {
        let folders = Folders::new(&self.spec.out);
        let step = self.counters.step;
        let io = |path: &std::path::Path, e: std::io::Error| TrainError::io(path)(e);
        let path = folders.put(step, io, |folder| self.fill(folder))?;
        let out = &self.spec.out;
        folders.show(step).map_err(TrainError::io(out))?;
        folders
            .retain(self.spec.keep_last, self.counters.best.map(|b| b.step))
            .map_err(TrainError::io(out))?;
        Ok(path)
    }

    fn fill(&self, folder: &std::path::Path) -> Result<(), TrainError> {
        let disk = &*self.disk;
        let (config, tensors) = self.trainee.merged()?;
        let mask_row = self.trainee.mask_row()?;
        let contents = Contents {
            config: &config,
            tensors: &tensors,
            tokenizer: self.tokenizer.as_ref(),
            dtype: self.spec.dtype,
            mask_row: mask_row.as_deref(),
            facts: self.facts(),
        };
        files::write_model(disk, folder, &contents)?;
        if let Some(lora) = self.trainee.lora() {
            let adapter = folder.join(peft::FOLDER);
            std::fs::create_dir(&adapter).map_err(TrainError::io(&adapter))?;
            peft::write_adapter(disk, &adapter, &self.trainee, (lora, &self.spec.model))?;
        }
        state::write_state(
            disk,
            folder,
            (&self.spec, &self.trainee, &self.optimizer),
            (&self.counters, &self.fingerprint, self.arms.memory()),
            self.joint.as_ref().map(JointPolicy::state).transpose()?,
        )
    }

    fn facts(&self) -> serde_json::Value {
        let (s, c) = (&self.spec, &self.counters);
        serde_json::json!({
            "model": s.model,
            "steps": c.step,
            "tokens": c.tokens,
            "seconds": c.seconds,
            "seed": s.seed,
            "trained": s.trained.name(),
            "arm": s.masking.arm,
            "batch_size": s.batch_size,
            "accumulate": s.accumulate,
            "context": s.context,
            "learning_rate": s.rate.peak,
            "lr_policy": s.rate.policy,
            "weight_decay": s.adamw.weight_decay,
            "train_documents": self.train.documents,
            "train_tokens": self.train.tokens.len(),
            "train_loss": c.train_loss,
            "validation_loss": c.validation_loss,
        })
    }
}

/// The spec as `run.json` gives it back: what a resumed run will read, to the last bit.
fn as_written(spec: &RunSpec) -> Result<RunSpec, TrainError> {
    serde_json::from_str(&pretty(spec)?)
        .map_err(|e| TrainError::setup(format!("the settings of the run cannot be written down: {e}")))
}

fn check_data(
    spec: &RunSpec,
    config: &Config,
    train: &Corpus,
    validation: Option<&Corpus>,
) -> Result<(), TrainError> {
    let limit = config.n_positions;
    if spec.context == 0 || spec.context > limit {
        return Err(TrainError::setup(format!("context {} is outside 1 to {limit}", spec.context)));
    }
    for (what, corpus) in [("training", Some(train)), ("validation", validation)] {
        let Some(corpus) = corpus else { continue };
        if corpus.sequences(spec.context, 0) == 0 {
            return Err(TrainError::Setup {
                problem: format!(
                    "the {what} text has {} tokens, too few for one context of {}",
                    corpus.tokens.len(),
                    spec.context
                ),
                hint: Some("use more text or a shorter context".to_owned()),
            });
        }
        if let Some(id) = corpus.tokens.iter().find(|id| **id as usize >= config.vocab_size) {
            return Err(TrainError::setup(format!(
                "the {what} text has id {id}, outside the vocabulary of {}",
                config.vocab_size
            )));
        }
    }
    Ok(())
}

/// SHA-256 over the tokens, in hexadecimal.
fn fingerprint(corpus: &Corpus) -> String {
    let mut hash = Sha256::new();
    hash.update(bytemuck::cast_slice::<u32, u8>(&corpus.tokens));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
