//! The engine thread: takes the newest request, answers it step by step, and does background work in between. Every answer
//! carries the generation of its request; a panic becomes a message and the thread continues.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::background::{BackgroundTask, CostTask, Rerolls};
use super::calibrate::{self, Calibrator};
use super::explorer::{ExploreError, Explorer, Reach, SIDE_BY_SIDE};
use super::fingerprint;
use super::frame::{map_frame, overview, shown_run};
use super::intervening::Intervening;
use super::leak::LeakMeter;
use super::loaded::{CALIBRATION_TEXT, LoadedModel};
use super::loader::{LoadError, LoadOptions, Loading, load, look_for_newer};
use super::mailbox::{Mail, Mailbox};
use super::types::{Command, ExploreRequest, FOLLOWED, GenerateUpdate, Update, Work};
use super::writing::Writing;
use crate::mask::types::Scope;
use crate::model::{Config, Model};
use crate::tensor::memory;

/// Weights of a run on their way to the explorer; the newest replaces one that was not shown yet.
type PendingWeights = Arc<Mutex<Option<(usize, Model)>>>;

/// Hands copies of a run's weights to the engine, which then answers with them.
#[derive(Clone)]
pub struct Follower {
    mailbox: Arc<Mailbox>,
    weights: PendingWeights,
}

impl Follower {
    /// Shows the weights as they were after `step`; must be copies that nobody changes any more.
    pub fn show(&self, step: usize, model: Model) {
        *self.weights.lock().unwrap_or_else(PoisonError::into_inner) = Some((step, model));
        self.mailbox.command(Command::Followed);
    }
}

/// The screen's end of the engine.
pub struct Engine {
    weights: PendingWeights,
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

type LoadOutcome = Box<Result<LoadedModel, LoadError>>;

struct Worker {
    mailbox: Arc<Mailbox>,
    updates: Sender<Update>,
    options: LoadOptions,
    explorer: Option<Explorer>,
    latest: Option<ExploreRequest>,
    tasks: Vec<BackgroundTask>,
    writing: Writing,
    intervening: Intervening,
    loading: Option<Loading>,
    finished: crossbeam_channel::Receiver<(String, LoadOutcome)>,
    finish: Sender<(String, LoadOutcome)>,
    weights: PendingWeights,
}

impl Engine {
    /// Starts the thread. Nothing is loaded until a `LoadModel` command comes.
    pub fn start(options: LoadOptions, updates: Sender<Update>) -> std::io::Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let (finish, finished) = crossbeam_channel::unbounded();
        let weights = PendingWeights::default();
        let mut worker = Worker {
            weights: weights.clone(),
            mailbox: mailbox.clone(),
            updates,
            options,
            explorer: None,
            latest: None,
            tasks: Vec::new(),
            writing: Writing::default(),
            intervening: Intervening::default(),
            loading: None,
            finished,
            finish,
        };
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn(move || worker.serve())?;
        Ok(Engine { weights, mailbox, thread: Some(thread) })
    }

    pub fn explore(&self, request: ExploreRequest) {
        self.mailbox.explore(request);
    }

    /// What shows the weights of a run in the explorer.
    pub fn follower(&self) -> Follower {
        Follower { mailbox: self.mailbox.clone(), weights: self.weights.clone() }
    }

    pub fn command(&self, command: Command) {
        self.mailbox.command(command);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.mailbox.command(Command::Shutdown);
        if let Some(thread) = self.thread.take() {
            // The worker looks at its mail between two blocks, so this is short.
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn send(&self, update: Update) {
        // Nobody listens once the screen is closing.
        let _ = self.updates.send(update);
    }

    fn send_all(&self, all: Vec<Update>) {
        all.into_iter().for_each(|update| self.send(update));
    }

    fn serve(&mut self) {
        loop {
            let waits = !self.tasks.is_empty() || self.writing.busy() || self.intervening.busy();
            match self.mailbox.take(waits && self.explorer.is_some()) {
                Mail::Command(Command::Shutdown) => return,
                Mail::Command(command) => self.guarded(|w| w.command(command)),
                Mail::Explore(request) => {
                    let mut cancelled = None;
                    self.guarded(|w| cancelled = w.explore(*request));
                    if let Some(request) = cancelled {
                        self.mailbox.put_back(request);
                    }
                }
                // A person watches a text grow; the rest can wait.
                Mail::Nothing if self.writing.busy() => self.guarded(Worker::write_on),
                Mail::Nothing if self.intervening.busy() => self.guarded(Worker::intervene),
                Mail::Nothing => self.guarded(Worker::background),
            }
        }
    }

    /// Runs `work`; a panic is reported and the caches that it may have left half-made are dropped.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        let result = catch_unwind(AssertUnwindSafe(|| work(self)));
        if let Err(panic) = result {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            self.tasks.clear();
            self.writing = Writing::default();
            self.intervening.forget();
            self.explorer = self.explorer.take().map(|old| Explorer::new(old.loaded));
            self.send(Update::Crashed { message: text.unwrap_or_else(|| "the engine stopped".to_owned()) });
        }
    }

    fn cancel_load(&mut self) {
        if let Some(loading) = self.loading.take() {
            let message = "loading was cancelled".to_owned();
            let hint = Some("what was downloaded is kept; the next attempt continues from there".to_owned());
            self.send(Update::ModelFailed { id: loading.id.clone(), message, hint });
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::LoadModel { spec } => self.start_load(spec, self.options.clone()),
            Command::RefreshModel { spec } => {
                let mut options = self.options.clone();
                options.hub.refresh = true;
                self.start_load(spec, options);
            }
            Command::CancelLoad => self.cancel_load(),
            Command::Loaded => self.take_loaded(),
            Command::Followed => self.take_weights(),
            Command::Rerolls { generation, count } => {
                self.tasks.retain(|t| !matches!(t, BackgroundTask::Rerolls(_)));
                if let Some(request) = &self.latest {
                    self.tasks.insert(
                        0,
                        BackgroundTask::Rerolls(Box::new(Rerolls::new(generation, count, request.clone()))),
                    );
                }
            }
            Command::Cost { generation } => {
                self.tasks.retain(|t| !matches!(t, BackgroundTask::Cost(_)));
                if let (Some(request), Some(explorer)) = (&self.latest, &self.explorer) {
                    let task = CostTask::new(generation, request.clone(), explorer.ids.len());
                    self.tasks.insert(0, BackgroundTask::Cost(Box::new(task)));
                }
            }
            Command::Leak { generation } => {
                self.tasks.retain(|t| !matches!(t, BackgroundTask::Leak(_)));
                if let (Some(request), Some(explorer)) = (&self.latest, &self.explorer) {
                    match LeakMeter::new(generation, request.clone(), explorer.loaded.clone()) {
                        Ok(meter) => self.tasks.insert(0, BackgroundTask::Leak(Box::new(meter))),
                        Err(e) => self.fail(&e),
                    }
                }
            }
            Command::Generate(command) => {
                if let Some(explorer) = &self.explorer {
                    let told = self.writing.command(command, &explorer.loaded.clone());
                    self.tell(told);
                }
            }
            Command::PatchGrid { .. } => self.patch_grid(),
            Command::CancelIntervening => {
                let told = self.intervening.cancel();
                self.send_all(told);
            }
            Command::Fingerprint => {
                if let Some(explorer) = &self.explorer {
                    fingerprint::tell(explorer.loaded.clone(), self.updates.clone());
                }
            }
            Command::CancelBackground => self.tasks.retain(|t| matches!(t, BackgroundTask::Calibrate(_))),
            Command::Shutdown => {}
        }
    }

    fn start_load(&mut self, spec: String, options: LoadOptions) {
        if spec == "demo" {
            // Embedded: read in a moment, and whatever is asked next, such as another load, finds it there.
            let result = load(&spec, &options, &mut |_| {}, &AtomicBool::new(false));
            return match result {
                Ok(loaded) => self.install(&Arc::new(loaded)),
                Err(e) => self.send(Update::ModelFailed { id: spec, message: e.message, hint: e.hint }),
            };
        }
        let (finish, mailbox, id) = (self.finish.clone(), self.mailbox.clone(), spec.clone());
        let done = move |result| {
            let _ = finish.send((id, Box::new(result)));
            mailbox.command(Command::Loaded);
        };
        self.loading = Some(Loading::start(spec, options, self.updates.clone(), done));
    }

    fn take_loaded(&mut self) {
        while let Ok((id, result)) = self.finished.try_recv() {
            if self.loading.as_ref().is_none_or(|l| l.id != id) {
                // Cancelled or overtaken by another load.
                continue;
            }
            self.loading = None;
            match *result {
                Ok(loaded) => {
                    self.install(&Arc::new(loaded));
                    look_for_newer(id, &self.options, self.updates.clone());
                }
                Err(e) if e.cancelled => {}
                Err(e) => self.send(Update::ModelFailed { id, message: e.message, hint: e.hint }),
            }
        }
    }

    fn take_weights(&mut self) {
        let weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some((step, model)), Some(explorer)) = (weights, &self.explorer) else { return };
        let old = &explorer.loaded;
        let base = old.id.split(FOLLOWED).next().unwrap_or_default();
        let same = |a: &Config, b: &Config| (a.n_layer, a.n_embd) == (b.n_layer, b.n_embd);
        if !same(&model.config, &old.model.config) {
            return;
        }
        let loaded = Arc::new(old.following(format!("{base}{FOLLOWED}{step}"), model));
        self.tasks.clear();
        self.intervening.forget();
        self.explorer = Some(Explorer::new(loaded.clone()));
        self.send(Update::ModelReady(loaded.info()));
    }

    fn install(&mut self, loaded: &Arc<LoadedModel>) {
        self.tasks.clear();
        self.writing = Writing::default();
        self.intervening.forget();
        self.explorer = Some(Explorer::new(loaded.clone()));
        memory::give_back();
        if loaded.calibration().is_none()
            && let Ok(calibrator) = Calibrator::new(loaded.clone(), CALIBRATION_TEXT)
        {
            match calibrate::cache_folder().and_then(|f| calibrate::read_cached(&f, calibrator.source())) {
                Some(calibration) => loaded.set_calibration(calibration),
                None => self.tasks.push(BackgroundTask::Calibrate(Box::new(calibrator))),
            }
        }
        self.send(Update::ModelReady(loaded.info()));
    }

    /// Answers a request; gives it back when something newer cancelled it.
    fn explore(&mut self, request: ExploreRequest) -> Option<ExploreRequest> {
        let Some(mut explorer) = self.explorer.take() else {
            // The first model is still being read; the screen asks again when it is ready.
            return None;
        };
        self.tasks.retain(|t| matches!(t, BackgroundTask::Calibrate(_)));
        let generation = request.generation;
        explorer.position = request.position;
        let result = catch_unwind(AssertUnwindSafe(|| self.answer(&mut explorer, &request)));
        self.explorer = Some(explorer);
        self.latest = Some(request.clone());
        match result {
            Ok(Ok(())) => {
                if let Some(explorer) = &self.explorer {
                    let told = self.intervening.look(explorer, &request);
                    self.send_all(told);
                }
                None
            }
            Ok(Err(e)) if e.is_cancelled() => Some(request),
            Ok(Err(e)) => {
                self.send(Update::Failed { generation, message: e.to_string(), hint: e.hint() });
                None
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn answer(&self, explorer: &mut Explorer, request: &ExploreRequest) -> Result<(), ExploreError> {
        let (started, generation) = (Instant::now(), request.generation);
        let before = (explorer.forwards, explorer.rows);
        let done = |explorer: &Explorer| {
            let (forwards, rows) = (explorer.forwards - before.0, explorer.rows - before.1);
            let millis = started.elapsed().as_secs_f32() * 1e3;
            tracing::debug!(generation, forwards, rows, millis, "answered");
            Update::Done { generation, forwards, millis }
        };
        let cancel = Some(self.mailbox.cancel_flag());
        #[cfg(test)]
        assert!(&*request.text != "panic", "a panic that a test asked for");
        explorer.set_text(&request.text, Reach::of(&request.mask))?;
        self.send(Update::Tokens {
            generation,
            tokens: explorer.tokens.clone(),
            truncated: explorer.truncated,
        });
        if explorer.ids.is_empty() {
            self.send(done(explorer));
            return Ok(());
        }
        let forwards = explorer.forwards;
        let baseline = explorer.baseline(cancel)?;
        let fresh = explorer.forwards > forwards;
        let work = Work {
            computed: if fresh { baseline.trace.computed } else { 0 },
            reused: baseline.trace.reused + if fresh { 0 } else { baseline.trace.computed },
            saved: 0,
        };
        let prediction = Arc::new(explorer.prediction(&baseline, request.top)?);
        self.send(Update::Baseline { generation, prediction, work });

        let choice = explorer.choose(request.policy(), cancel)?;
        let (scores, formula) = (choice.scored.scores.clone().into(), choice.scored.formula.clone());
        self.send(Update::Scored { generation, scores, formula });
        let decision = Arc::new(choice.decision.clone());
        self.send(Update::Decided {
            generation,
            decision: decision.clone(),
            masked_text: explorer.masked_text(&choice.plan),
            note: choice.note.clone(),
            window: choice.window.clone(),
        });
        let (effect, run) = explorer.effect(&choice, (request.mask.op, request.top), cancel)?;
        self.send(Update::Masked { generation, effect: Arc::new(effect) });
        let shown = shown_run(explorer, request, (&baseline, &run), cancel)?;
        self.send(map_frame(request, &baseline, &shown));
        if request.overview {
            self.send(overview(explorer, request, (&shown, &decision), cancel)?);
        }
        if request.effects && request.mask.scope == Scope::Whole {
            let mut of = |op| explorer.effect_of((&decision, &request.mask), (op, request.top), cancel);
            let effects = SIDE_BY_SIDE.into_iter().map(&mut of).collect::<Result<_, _>>()?;
            self.send(Update::Effects { generation, effects });
        }
        self.send(done(explorer));
        Ok(())
    }

    /// One pass of the interventions that are being measured.
    fn intervene(&mut self) {
        let Some(explorer) = &mut self.explorer else { return };
        match self.intervening.work(explorer, self.mailbox.cancel_flag()) {
            Ok(told) => self.send_all(told),
            Err(e) if e.is_cancelled() => {}
            Err(e) => self.fail(&e),
        }
    }

    fn patch_grid(&mut self) {
        let (Some(request), Some(explorer)) = (&self.latest, &mut self.explorer) else { return };
        match self.intervening.begin_grid(explorer, request) {
            Ok(told) => self.send_all(told),
            Err(e) => self.fail(&e),
        }
    }

    /// One piece of the text that is being written on.
    fn write_on(&mut self) {
        let told = self.writing.work(self.mailbox.cancel_flag());
        self.tell(told);
    }

    fn tell(&self, told: Vec<GenerateUpdate>) {
        told.into_iter().for_each(|update| self.send(Update::Generate(Box::new(update))));
    }

    /// One step of the first background task.
    fn background(&mut self) {
        let (Some(mut explorer), Some(mut task)) =
            (self.explorer.take(), (!self.tasks.is_empty()).then(|| self.tasks.remove(0)))
        else {
            return;
        };
        let over = self.background_step(&mut explorer, &mut task);
        self.explorer = Some(explorer);
        match (over, task) {
            (false, task) => self.tasks.insert(0, task),
            (true, BackgroundTask::Calibrate(calibrator)) => self.calibrated(*calibrator),
            // Fitting the probe takes a second, in which the engine has better things to do.
            (true, BackgroundTask::Leak(meter)) => meter.finish(self.updates.clone()),
            (true, _) => {}
        }
    }

    /// Whether the task is over.
    fn background_step(&self, explorer: &mut Explorer, task: &mut BackgroundTask) -> bool {
        let cancel = Some(self.mailbox.cancel_flag());
        let result = match task {
            BackgroundTask::Rerolls(t) => t.step(explorer, cancel).map(|u| (u, t.done >= t.of)),
            BackgroundTask::Cost(t) => {
                t.step(explorer, cancel).map(|u| (u, t.progress().0 >= t.progress().1))
            }
            BackgroundTask::Leak(t) => t.step(cancel).map(|u| (u, t.progress().0 >= t.progress().1)),
            BackgroundTask::Calibrate(c) => {
                return match c.step(cancel) {
                    Ok(over) => {
                        let (done, of) = c.progress();
                        self.send(Update::Calibrating { done, of });
                        over
                    }
                    Err(calibrate::CalibrateError::Model(crate::model::ModelError::Cancelled)) => false,
                    Err(_) => true,
                };
            }
        };
        match result {
            Ok((update, over)) => {
                self.send(update);
                over
            }
            Err(e) if e.is_cancelled() => false,
            Err(e) => {
                self.fail(&e);
                true
            }
        }
    }

    /// Says why something could not be measured.
    fn fail(&self, e: &ExploreError) {
        let generation = self.latest.as_ref().map_or(0, |r| r.generation);
        self.send(Update::Failed { generation, message: e.to_string(), hint: e.hint() });
    }

    fn calibrated(&mut self, calibrator: Calibrator) {
        let Ok(calibration) = calibrator.finish() else { return };
        if let Some(folder) = calibrate::cache_folder()
            && let Err(error) = calibrate::write_cached(&folder, &calibration)
        {
            tracing::warn!("calibration not cached in {}: {error}", folder.display());
        }
        if let Some(explorer) = &self.explorer {
            explorer.loaded.set_calibration(calibration);
            self.send(Update::CalibrationReady);
        }
    }
}
