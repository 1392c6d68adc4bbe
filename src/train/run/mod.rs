//! The training loop, on whatever thread calls it: evaluate → sample → checkpoint → stop? → step → log. Everything it
//! does is a function of its spec, its data, its counters and the commands it gets; must never look at a screen.

mod live;
mod measure;
mod pace;
mod passes;
mod save;
mod setup;
mod step;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use self::pace::Pace;
pub use self::passes::batch_loss;
pub use self::setup::Setup;
use self::setup::{as_written, check_data, fingerprint};
use super::TrainError;
use super::arm::{self, Arms, Lexicon};
use super::checkpoint::disk::Disk;
use super::checkpoint::state::{Counters, Resumed};
use super::data::{Corpus, Order};
use super::evaluate::bits_per_byte;
use super::look::Look;
use super::policy::JointPolicy;
use super::records::Memory;
use super::report::{Command, Report, RunState, Summary};
use super::spec::{Arm, RunSpec};
use super::trainee::Trainee;
use super::visits::{Position, Visits};
use crate::mask::types::MaskSettings;
use crate::model::{Gpt2, Tokenizer};
use crate::tensor::adamw::AdamW;

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
    /// On the data, for the plan.
    pub(super) notes: Vec<String>,
}

impl Run {
    /// Checks that model, data and settings fit, and puts a resumed run back where it was. Writes nothing yet.
    ///
    /// # Errors
    /// A setting that makes no sense for this model or data; other data than the run began with.
    pub fn new(setup: Setup) -> Result<Self, TrainError> {
        setup.spec.check()?;
        let spec = as_written(&setup.spec)?;
        let (validation, tokenizer) = (setup.validation.as_deref(), setup.tokenizer.as_ref());
        check_data(&spec, &setup.config, &setup.train, validation, tokenizer)?;
        let (trainee, arms) = learners(&spec, &setup)?;
        let joint = match &spec.masking.joint {
            Some(policy) => Some(JointPolicy::new(policy, &arms, &trainee.model, spec.seed)?),
            None => None,
        };
        let order = Order { seed: spec.seed, context: spec.context, fixed_cuts: spec.fixed_cuts };
        let mut run = Run {
            optimizer: AdamW::new(trainee.vars.clone(), spec.adamw)?,
            policy: arms.settings().clone(),
            visits: Visits::new(&setup.train, order, Position::default()),
            look: Look::new(&setup.train, order),
            fingerprint: fingerprint(&setup.train),
            spec,
            trainee,
            arms,
            joint,
            counters: Counters::default(),
            alarmed: false,
            train: setup.train,
            validation: setup.validation,
            tokenizer: setup.tokenizer,
            disk: setup.disk,
            state: RunState::Preparing,
            saved: None,
            evaluated: None,
            masked_loss: None,
            without_gradient: HashMap::new(),
            pace: Pace::default(),
            memory: Memory::default(),
            notes: setup.notes,
        };
        if let Some(resumed) = setup.resumed {
            run.restore(resumed, order)?;
        }
        Ok(run)
    }

    /// Puts counters, moments, policies and changes made by hand back in force.
    fn restore(&mut self, resumed: Resumed, order: Order) -> Result<(), TrainError> {
        if resumed.data != self.fingerprint {
            return Err(TrainError::Setup {
                problem: "the training data is not what this run began with".to_owned(),
                hint: Some("give the same files, or start a new run from its checkpoint".to_owned()),
            });
        }
        resumed.restore(&mut self.optimizer)?;
        self.arms.restore(resumed.memory);
        if let (Some(joint), Some(state)) = (&mut self.joint, resumed.policy) {
            joint.restore(state)?;
            if let JointPolicy::Bandit(bandit) = joint {
                let cell = bandit.cell();
                self.arms.set_cell(cell.rate, cell.polarity, cell.op)?;
            }
        }
        self.saved = Some((resumed.counters.step, resumed.folder));
        self.counters = resumed.counters;
        self.visits = Visits::new(&self.train, order, self.counters.position);
        self.policy = self.arms.settings().clone();
        for change in self.counters.changes.clone() {
            self.apply(change)?;
        }
        if self.counters.rate.mask_scale != 1.0 {
            self.control_rate()?;
        }
        Ok(())
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
            peak_memory: Memory::peak(),
            twins: None,
        };
        self.enter(state, watch);
        Ok(summary)
    }

    fn enter(&mut self, state: RunState, watch: &mut dyn Watch) {
        self.state = state;
        watch.report(Report::State { state });
    }
}

/// What learns: the model with what moves of it, and the arm that masks it.
fn learners(spec: &RunSpec, setup: &Setup) -> Result<(Trainee, Arms), TrainError> {
    let (config, device) = (&setup.config, &setup.device);
    let mut trainee = Trainee::with(config, &setup.tensors, device, (&spec.trained, spec.seed))?;
    trainee.set_precision(spec.precision)?;
    let row = match spec.masking.needs_mask_row() {
        true => Some(trainee.add_mask_row(setup.mask_row.clone())?),
        false => None,
    };
    let train = &setup.train;
    let lexicon = Arc::new(match &setup.tokenizer {
        Some(tokenizer) => Lexicon::new(tokenizer, config.vocab_size, &train.tokens),
        None => Lexicon::from_bytes(config.vocab_size, train.eot, &train.tokens, |id| {
            format!(" #{id}").into_bytes()
        }),
    });
    let initial = match &setup.resumed {
        Some(r) if !r.initial.is_empty() && spec.masking.arm == Arm::StaticAttn => {
            Gpt2::from_tensors(config, &r.initial, device)?
        }
        _ => trainee.model.clone(),
    };
    let arms = Arms::new(arm::Setup {
        spec: &spec.masking,
        model: &initial,
        context: spec.context,
        lexicon,
        seed: spec.seed,
        calibration: setup.calibration.clone(),
        mask_row: row,
    })?;
    Ok((trainee, arms))
}
