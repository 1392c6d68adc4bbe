//! A run on a thread and a thread pool of its own. Commands go in through a channel; reports come out of a bounded
//! queue in which steps are summed up, never lost, when the reader is slower; copies of the weights come out when
//! somebody asks. A panic in the run is a report like any other failure.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::TrainError;
use super::records::{KeptRecords, Records};
use super::report::{Report, RunCommand, RunState, RunSummary, StepReport};
use super::run::{Learner, Run, Setup, Watch};
use super::twins::TwinRun;
use crate::model::Model;
use crate::tensor::{memory, priority};

/// Reports that wait before steps are summed up.
const QUEUE: usize = 64;

/// How a session is started.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SessionOptions {
    /// Threads of the run's own pool; `None` leaves one core to the screen.
    pub threads: Option<usize>,
    /// Waits after the plan until told [`RunCommand::Resume`].
    pub wait_after_plan: bool,
    /// Reports the plan (and measures its probe step) before starting.
    pub plan: bool,
    /// Reports rasters and batches.
    pub pictures: bool,
    /// Lets the program's other threads go first: those that answer keys.
    pub gives_way: bool,
}

impl SessionOptions {
    fn pool_threads(self) -> usize {
        self.threads.unwrap_or_else(|| {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            cores.saturating_sub(1).max(1)
        })
    }
}

/// A run in its own thread.
pub struct Session {
    commands: Sender<RunCommand>,
    shared: Arc<SessionState>,
    thread: Option<JoinHandle<()>>,
}

/// What both sides see.
struct SessionState {
    queue: Mutex<VecDeque<Report>>,
    filled: Condvar,
    state: AtomicU8,
    killed: AtomicBool,
    snapshot_wanted: AtomicBool,
    snapshot: Mutex<Option<(usize, Model)>>,
    over: AtomicBool,
}

/// The preparation's end of a session: it may take long, reports progress, and can be cancelled.
pub struct Preparing {
    shared: Arc<SessionState>,
}

impl Preparing {
    /// Reports progress; only the newest report is kept.
    pub fn say(&self, what: String, done: u64, total: Option<u64>) {
        push(&mut lock(&self.shared.queue), Report::Loading { what, done, total });
        self.shared.filled.notify_all();
    }

    /// Set when nobody waits for the run any more.
    pub fn cancel(&self) -> &AtomicBool {
        &self.shared.killed
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Starts a thread that builds the run through `prepare` (which may read files and load weights) and drives it.
    pub fn start(
        prepare: impl FnOnce(&Preparing) -> Result<Setup, TrainError> + Send + 'static,
        options: SessionOptions,
    ) -> Result<Session, TrainError> {
        let (commands, inbox) = unbounded();
        let shared = Arc::new(SessionState {
            queue: Mutex::default(),
            filled: Condvar::new(),
            state: AtomicU8::new(RunState::Preparing as u8),
            killed: AtomicBool::new(false),
            snapshot_wanted: AtomicBool::new(false),
            snapshot: Mutex::new(None),
            over: AtomicBool::new(false),
        });
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(options.pool_threads())
            .thread_name(|i| format!("trainer-{i}"))
            .start_handler(move |_| {
                if options.gives_way {
                    priority::step_back();
                }
            })
            .build()
            .map_err(|e| TrainError::setup(format!("the trainer's threads cannot be started: {e}")))?;
        let watched = shared.clone();
        let body = move || {
            let mut watch =
                SessionWatch { inbox, shared: watched.clone(), records: None, pictures: options.pictures };
            let ended = catch_unwind(AssertUnwindSafe(|| pool.install(|| run(prepare, options, &mut watch))));
            let report = match ended {
                Ok(Ok(summary)) => Report::Ended(summary),
                Ok(Err(error)) => failure(&error),
                Err(panic) => Report::Failed { message: panic_message(&*panic), hint: None },
            };
            if let Report::Failed { .. } = report {
                let killed = watched.killed.load(Ordering::SeqCst);
                let state = if killed { RunState::Killed } else { RunState::Failed };
                watch.report(Report::State { state });
            }
            watch.report(report);
            // Records are closed before the end is reported.
            drop(watch);
            memory::give_back();
            watched.over.store(true, Ordering::SeqCst);
            watched.filled.notify_all();
        };
        let thread = std::thread::Builder::new()
            .name("trainer".to_owned())
            .spawn(body)
            .map_err(|e| TrainError::setup(format!("the trainer's thread cannot be started: {e}")))?;
        Ok(Session { commands, shared, thread: Some(thread) })
    }

    /// Tells the run something; it takes effect between two steps. `Kill` is seen within a step, too.
    pub fn send(&self, command: RunCommand) {
        if command == RunCommand::Kill {
            self.shared.killed.store(true, Ordering::SeqCst);
        }
        // A run that is over has no use for commands.
        let _ = self.commands.send(command);
    }

    pub fn state(&self) -> RunState {
        RunState::ALL[usize::from(self.shared.state.load(Ordering::SeqCst)) % RunState::ALL.len()]
    }

    /// Every report that waits.
    pub fn drain(&self) -> Vec<Report> {
        lock(&self.shared.queue).drain(..).collect()
    }

    /// The next report, waiting for it at most `timeout`; `None` when none came.
    pub fn next(&self, timeout: Duration) -> Option<Report> {
        let deadline = Instant::now() + timeout;
        let mut queue = lock(&self.shared.queue);
        loop {
            if let Some(report) = queue.pop_front() {
                return Some(report);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.shared.over.load(Ordering::SeqCst) {
                return None;
            }
            let waited = self.shared.filled.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the run has ended and every report was read.
    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::SeqCst) && lock(&self.shared.queue).is_empty()
    }

    /// Asks for a copy of the weights after the step that is under way.
    pub fn request_snapshot(&self) {
        self.shared.snapshot_wanted.store(true, Ordering::SeqCst);
    }

    /// The newest copy of the weights and the step it was taken after; it is the caller's from then on.
    pub fn take_snapshot(&self) -> Option<(usize, Model)> {
        lock(&self.shared.snapshot).take()
    }

    /// Waits for the end of the thread.
    pub fn join(mut self) {
        self.wait();
    }

    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Its panic was caught and reported inside.
            let _ = thread.join();
        }
    }
}

impl Drop for Session {
    /// A session that nobody holds ends without saving.
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.send(RunCommand::Kill);
            self.wait();
        }
    }
}

fn run(
    prepare: impl FnOnce(&Preparing) -> Result<Setup, TrainError>,
    options: SessionOptions,
    watch: &mut SessionWatch,
) -> Result<RunSummary, TrainError> {
    let setup = prepare(&Preparing { shared: watch.shared.clone() });
    if watch.killed() {
        // Whatever was cut short by that is no failure.
        return Err(TrainError::Killed);
    }
    let setup = setup?;
    let resumed = setup.resumed.as_ref();
    let from = resumed.map(|r| r.counters.step);
    let kept = match (&setup.finished_seeds, from) {
        (Some(record), _) => KeptRecords::Seeds(record.seeds.len()),
        (None, Some(step)) => KeptRecords::Steps(step),
        (None, None) => KeptRecords::Nothing,
    };
    let warnings = resumed.map(|r| r.passed_over.clone()).unwrap_or_default();
    let mut run: Box<dyn Learner> = match setup.spec.twins {
        Some(_) => Box::new(TwinRun::new(setup)?),
        None => Box::new(Run::new(setup)?),
    };
    for problem in warnings {
        let message = format!("skipped a newer, damaged checkpoint: {problem}");
        watch.report(Report::Warning { step: from.unwrap_or(0), message });
    }
    if options.plan {
        watch.report(Report::Planned(run.plan()?));
        watch.report(Report::State { state: RunState::Planned });
    } else {
        run.fits()?;
    }
    if options.wait_after_plan && !watch.told_to_start() {
        return Err(TrainError::Killed);
    }
    watch.open_records(run.spec().out.clone(), kept);
    run.drive(watch)
}

fn failure(error: &TrainError) -> Report {
    Report::Failed { message: error.to_string(), hint: error.hint() }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("internal error in the trainer: {}", text.unwrap_or_else(|| "unknown".to_owned()))
}

/// The run's end of a session.
struct SessionWatch {
    inbox: Receiver<RunCommand>,
    shared: Arc<SessionState>,
    records: Option<Records>,
    pictures: bool,
}

impl SessionWatch {
    /// Waits for the start; false when it never comes.
    fn told_to_start(&mut self) -> bool {
        loop {
            match self.inbox.recv() {
                Ok(RunCommand::Resume) => return true,
                Ok(RunCommand::Kill | RunCommand::Stop) | Err(_) => return false,
                Ok(_) => {}
            }
        }
    }

    fn open_records(&mut self, out: PathBuf, kept: KeptRecords) {
        match Records::open(&out, kept) {
            Ok(records) => self.records = Some(records),
            Err(error) => self.without_records(0, &error),
        }
    }

    fn without_records(&mut self, step: usize, error: &std::io::Error) {
        self.records = None;
        let message = format!("metrics are no longer recorded: {error}");
        self.enqueue(Report::Warning { step, message });
    }

    fn enqueue(&self, report: Report) {
        push(&mut lock(&self.shared.queue), report);
        self.shared.filled.notify_all();
    }
}

impl Watch for SessionWatch {
    fn report(&mut self, report: Report) {
        if let Report::State { state } = report {
            self.shared.state.store(state as u8, Ordering::SeqCst);
        }
        if let Some(records) = &mut self.records
            && let Err(error) = records.put(&report)
        {
            self.without_records(0, &error);
        }
        self.enqueue(report);
    }

    fn command(&mut self, wait: bool) -> Option<RunCommand> {
        if wait { self.inbox.recv().ok() } else { self.inbox.try_recv().ok() }
    }

    fn killed(&self) -> bool {
        self.shared.killed.load(Ordering::Relaxed)
    }

    fn wants_snapshot(&self) -> bool {
        self.shared.snapshot_wanted.load(Ordering::Relaxed)
    }

    fn wants_pictures(&self) -> bool {
        self.pictures
    }

    fn snapshot(&mut self, step: usize, model: Model) {
        self.shared.snapshot_wanted.store(false, Ordering::SeqCst);
        *lock(&self.shared.snapshot) = Some((step, model));
    }
}

/// Adds a report; in a full queue a step joins the step before it, and a picture takes the place of an older one.
fn push(queue: &mut VecDeque<Report>, report: Report) {
    if matches!(
        (&report, queue.back()),
        (Report::Loading { .. }, Some(Report::Loading { .. }))
            | (Report::Evaluating { .. }, Some(Report::Evaluating { .. }))
    ) {
        queue.pop_back();
    }
    if queue.len() >= QUEUE {
        match &report {
            Report::Step { report: new, merged } => {
                if let Some(Report::Step { report: last, merged: before }) = queue.back_mut() {
                    merge(last, *before, new, *merged);
                    *before += merged;
                    return;
                }
            }
            Report::Raster { .. } => queue.retain(|r| !matches!(r, Report::Raster { .. })),
            Report::Batch(_) => queue.retain(|r| !matches!(r, Report::Batch(_))),
            // A chart can do without a point; the records have them all.
            Report::TwinStep(_) if matches!(queue.back(), Some(Report::TwinStep(_))) => {
                queue.pop_back();
            }
            _ => {}
        }
    }
    queue.push_back(report);
}

/// Sums `new` into `old`: means weighed by the steps behind them, counters from the newer.
fn merge(old: &mut StepReport, before: usize, new: &StepReport, merged: usize) {
    let (a, b) = (before as f64, merged as f64);
    let mean = |x: f64, y: f64| (x * a + y * b) / (a + b);
    let either = |x: Option<f64>, y: Option<f64>| x.zip(y).map(|(x, y)| mean(x, y)).or(y).or(x);
    let mut time = new.time;
    for (mine, theirs) in [
        (&mut time.masking, old.time.masking),
        (&mut time.forward, old.time.forward),
        (&mut time.backward, old.time.backward),
        (&mut time.optimizer, old.time.optimizer),
        (&mut time.total, old.time.total),
    ] {
        *mine = mean(theirs, *mine);
    }
    *old = StepReport {
        loss: mean(old.loss, new.loss),
        masked_token_loss: either(old.masked_token_loss, new.masked_token_loss),
        unmasked_token_loss: either(old.unmasked_token_loss, new.unmasked_token_loss),
        mask_rate: mean(old.mask_rate, new.mask_rate),
        realised_rate: mean(old.realised_rate, new.realised_rate),
        learning_rate: mean(old.learning_rate, new.learning_rate),
        grad_norm: mean(old.grad_norm, new.grad_norm),
        tokens_per_second: mean(old.tokens_per_second, new.tokens_per_second),
        time,
        ..new.clone()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(n: usize) -> Report {
        let report = StepReport { step: n, loss: n as f64, tokens: 10 * n as u64, ..StepReport::default() };
        Report::Step { report, merged: 1 }
    }

    #[test]
    fn a_slow_reader_gets_sums_and_misses_nothing() {
        let mut queue = VecDeque::new();
        for n in 1..=1000 {
            push(&mut queue, step(n));
        }
        push(&mut queue, Report::Warning { step: 1000, message: "x".to_owned() });
        push(&mut queue, step(1001));
        assert!(queue.len() <= QUEUE + 2);
        let (mut steps, mut sum) = (0, 0.0);
        for report in &queue {
            if let Report::Step { report, merged } = report {
                steps += merged;
                sum += report.loss * *merged as f64;
            }
        }
        assert_eq!(steps, 1001);
        assert!((sum - 1001.0 * 1002.0 / 2.0).abs() < 1e-6);
        assert!(matches!(queue.back(), Some(Report::Step { report, .. }) if report.tokens == 10_010));
    }
}
