//! The trainer as the screen holds it: one session at a time, its reports forwarded as updates, its weights shown in the
//! explorer on request, and a thread for what reads run folders. Calls return at once; must never touch a screen.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::complete;
use super::loader::LoadOptions;
use super::prepare::Preparation;
use super::types::{GoOn, LoadProgress, TrainCommand, TrainUpdate, Update};
use super::worker::Follower;
use crate::hub::DATASET_PREFIX;
use crate::train::TrainError;
use crate::train::checkpoint::folder::Folders;
use crate::train::data::is_bundled;
use crate::train::report::{Report, RunCommand};
use crate::train::run::Setup;
use crate::train::runs;
use crate::train::session::{Preparing, Session, SessionOptions};
use crate::train::spec::RunSpec;

/// Updates that wait on the screen before reports are left with the session, which sums them up.
const WAITING: usize = 64;
/// How long the forwarder waits for a report before it looks for weights.
const PATIENCE: Duration = Duration::from_millis(20);

/// What a session is started with besides its spec.
#[derive(Clone)]
pub struct TrainerOptions {
    pub load: LoadOptions,
    /// Threads of the run's own pool; `None` leaves one core to the screen.
    pub threads: Option<usize>,
}

/// The screen's end of the trainer.
pub struct Trainer {
    options: TrainerOptions,
    updates: Sender<Update>,
    follower: Follower,
    session: Mutex<Option<Arc<Session>>>,
    /// Steps between two copies of the weights; 0 takes none.
    follow: Arc<AtomicUsize>,
    /// Set when the screen is gone.
    closing: Arc<AtomicBool>,
    chores: Sender<Chore>,
    /// Number of the newest run.
    runs: AtomicU64,
}

enum Chore {
    List(PathBuf),
    Curves(PathBuf),
    Reopen(PathBuf),
    Delete { run: PathBuf, folder: PathBuf },
    Complete(String),
}

impl Trainer {
    /// Starts the thread that reads folders; a run starts with [`Trainer::plan`].
    pub fn start(
        options: TrainerOptions,
        follower: Follower,
        updates: Sender<Update>,
    ) -> std::io::Result<Self> {
        let (chores, inbox) = unbounded();
        let out = updates.clone();
        std::thread::Builder::new().name("runs".to_owned()).spawn(move || serve(&inbox, &out))?;
        Ok(Trainer {
            options,
            updates,
            follower,
            session: Mutex::new(None),
            follow: Arc::default(),
            closing: Arc::default(),
            chores,
            runs: AtomicU64::new(0),
        })
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn chore(&self, chore: Chore) {
        // The thread ends only when the program does.
        let _ = self.chores.send(chore);
    }

    /// Carries out one command.
    pub fn command(&self, command: TrainCommand) {
        match command {
            TrainCommand::Tell(command) => {
                if let Some(session) = self.session() {
                    session.send(command);
                }
            }
            TrainCommand::Follow(every) => self.follow.store(every, Ordering::Relaxed),
            TrainCommand::List(folder) => self.chore(Chore::List(folder)),
            TrainCommand::Curves(run) => self.chore(Chore::Curves(run)),
            TrainCommand::Reopen(run) => self.chore(Chore::Reopen(run)),
            TrainCommand::GoOn(how) => self.go_on(how),
            TrainCommand::Delete { run, folder } => self.chore(Chore::Delete { run, folder }),
            TrainCommand::Complete(typed) => self.chore(Chore::Complete(typed)),
        }
    }

    fn send(&self, update: TrainUpdate) {
        let _ = self.updates.send(Update::Train(Box::new(update)));
    }

    /// Prepares a run; it starts when told [`RunCommand::Resume`]. Whatever goes wrong comes as a report. Unless the context
    /// was `asked` for, it is no longer than the model's.
    pub fn plan(&self, mut spec: RunSpec, asked: bool) {
        let run = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        spec.out = free(&spec.out);
        self.send(TrainUpdate::Accepted { run, spec: Box::new(spec.clone()) });
        self.prepare(run, move |preparation| {
            let start = preparation.start(&spec)?;
            preparation.fresh(spec, start, asked)
        });
    }

    /// Prepares a run of the past to go on, after what it has reported so far.
    fn go_on(&self, how: GoOn) {
        let (mut spec, reports) = match runs::reports(&how.run) {
            Ok(read) => read,
            Err(e) => return self.send(TrainUpdate::Problem { message: e.to_string(), hint: e.hint() }),
        };
        let run = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        change(&mut spec, &how);
        let twins = spec.twins.is_some();
        self.send(TrainUpdate::Accepted { run, spec: Box::new(spec) });
        let saved = Folders::new(&how.run).steps().last().copied().unwrap_or(0);
        for report in reports.into_iter().filter(|report| is_kept(report, saved, twins)) {
            self.send(TrainUpdate::Report { run, report });
        }
        self.prepare(run, move |preparation| {
            preparation.resumed(&how.run, |spec| {
                change(spec, &how);
                Ok(())
            })
        });
    }

    fn prepare(
        &self,
        run: u64,
        make: impl FnOnce(&mut Preparation) -> Result<Setup, TrainError> + Send + 'static,
    ) {
        if let Err(e) = self.start_session(run, make) {
            let report = Report::Failed { message: e.to_string(), hint: e.hint() };
            self.send(TrainUpdate::Report { run, report });
        }
    }

    fn start_session(
        &self,
        run: u64,
        make: impl FnOnce(&mut Preparation) -> Result<Setup, TrainError> + Send + 'static,
    ) -> Result<(), TrainError> {
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = slot.take() {
            // The screen asks only when no run is in progress; a plan that was never started may still wait.
            old.send(RunCommand::Kill);
        }
        let load = self.options.load.clone();
        let options = SessionOptions {
            threads: self.options.threads,
            wait_after_plan: true,
            plan: true,
            pictures: true,
            gives_way: true,
        };
        let prepare = move |preparing: &Preparing| {
            let mut progress = |p: LoadProgress| preparing.say(p.what, p.done, p.total);
            let (remark, cancel) = (&mut |_: String| {}, preparing.cancel());
            let mut preparation =
                Preparation { load, progress: &mut progress, remark, cancel, only_plan: false };
            make(&mut preparation)
        };
        let session = Arc::new(Session::start(prepare, options)?);
        let forward = Forward {
            run,
            session: session.clone(),
            updates: self.updates.clone(),
            follower: self.follower.clone(),
            follow: self.follow.clone(),
            closing: self.closing.clone(),
        };
        *slot = Some(session);
        std::thread::Builder::new()
            .name("reports".to_owned())
            .spawn(move || forward.carry())
            .map_err(|e| TrainError::setup(format!("a thread cannot be started: {e}")))?;
        Ok(())
    }
}

impl Drop for Trainer {
    /// A run in progress ends without saving; the screen asks first.
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        if let Some(session) = self.session() {
            session.send(RunCommand::Kill);
        }
    }
}

/// Puts what is to change of a run that goes on into its settings.
fn change(spec: &mut RunSpec, how: &GoOn) {
    if let Some(steps) = how.steps {
        (spec.steps, spec.epochs) = (steps, 0.0);
    }
    spec.epochs = how.epochs.unwrap_or(spec.epochs);
    if let (Some(twins), Some(seeds)) = (&mut spec.twins, how.seeds) {
        twins.seeds = seeds;
    }
}

/// Whether a report of a run is still true when the run goes on from step `saved`: what came later is done again, and how it
/// ended is open again. Twins start their next seed.
fn is_kept(report: &Report, saved: usize, twins: bool) -> bool {
    match report {
        Report::Step { report, .. } => report.step <= saved,
        Report::Evaluated { step, .. }
        | Report::Saved { step, .. }
        | Report::Sample { step, .. }
        | Report::HeadsRecorded { step, .. }
        | Report::Note { step, .. }
        | Report::Warning { step, .. } => *step <= saved,
        Report::Changed(change) => change.step <= saved,
        Report::Heads(heads) => heads.step <= saved,
        Report::Raster { row, .. } => row.step <= saved,
        Report::TwinSeed { .. } => twins,
        _ => false,
    }
}

/// The folder itself, or with the first number that is free.
fn free(out: &Path) -> PathBuf {
    if !out.exists() {
        return out.to_owned();
    }
    let name = out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    (2..).map(|n| out.with_file_name(format!("{name}-{n}"))).find(|p| !p.exists()).unwrap_or_default()
}

/// Carries reports, and weights when asked for, from a session to the screen.
struct Forward {
    run: u64,
    session: Arc<Session>,
    updates: Sender<Update>,
    follower: Follower,
    follow: Arc<AtomicUsize>,
    closing: Arc<AtomicBool>,
}

impl Forward {
    fn carry(self) {
        let mut last = 0;
        while !self.closing.load(Ordering::Relaxed) {
            if self.updates.len() >= WAITING {
                // The screen is behind: what comes now is summed up by the session, not here.
                std::thread::sleep(PATIENCE);
                continue;
            }
            let report = self.session.next(PATIENCE);
            let every = self.follow.load(Ordering::Relaxed);
            if let Some(Report::Step { report, .. }) = &report
                && every > 0
                && (report.step >= last + every || last == 0)
            {
                last = report.step;
                self.session.request_snapshot();
            }
            if let Some((step, model)) = self.session.take_snapshot()
                && every > 0
            {
                self.follower.show(step, model);
            }
            match report {
                Some(report) => {
                    let update = TrainUpdate::Report { run: self.run, report };
                    if self.updates.send(Update::Train(Box::new(update))).is_err() {
                        return;
                    }
                }
                None if self.session.is_over() => return,
                None => {}
            }
        }
    }
}

fn serve(chores: &Receiver<Chore>, updates: &Sender<Update>) {
    while let Ok(chore) = chores.recv() {
        let update = match chore {
            Chore::List(folder) => TrainUpdate::Runs(runs::list(&folder)),
            Chore::Curves(run) => {
                let reports = runs::charted(&run);
                TrainUpdate::Curves { run, reports }
            }
            Chore::Reopen(run) => match runs::reports(&run) {
                Ok((spec, reports)) => TrainUpdate::Reopened { spec: Box::new(spec), reports },
                Err(e) => TrainUpdate::Problem { message: e.to_string(), hint: e.hint() },
            },
            Chore::Delete { run, folder } => {
                if let Err(e) = runs::delete(&run) {
                    let problem = TrainUpdate::Problem { message: e.to_string(), hint: e.hint() };
                    let _ = updates.send(Update::Train(Box::new(problem)));
                }
                TrainUpdate::Runs(runs::list(&folder))
            }
            Chore::Complete(typed) => complete(typed),
        };
        if updates.send(Update::Train(Box::new(update))).is_err() {
            return;
        }
    }
}

/// Files and folders that a typed path may go on to; a path that leads nowhere is said in a sentence.
fn complete(typed: String) -> TrainUpdate {
    let is_no_path = typed.is_empty() || is_bundled(&typed) || typed.starts_with(DATASET_PREFIX);
    let (offers, problem) = match is_no_path {
        true => (Vec::new(), None),
        false => match complete::complete(&typed, |_| true) {
            Ok(offers) => (offers, None),
            Err(problem) => (Vec::new(), Some(problem)),
        },
    };
    TrainUpdate::Completed { typed, offers, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(typed: &str) -> (Vec<String>, Option<String>) {
        match complete(typed.to_owned()) {
            TrainUpdate::Completed { offers, problem, .. } => (offers, problem),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_are_completed_and_dead_ends_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display().to_string();
        std::fs::write(folder.path().join("speeches.txt"), "a").unwrap();
        std::fs::create_dir(folder.path().join("sprint")).unwrap();
        let (offers, problem) = completed(&format!("{root}/sp"));
        assert_eq!(offers, [format!("{root}/speeches.txt"), format!("{root}/sprint/")]);
        assert_eq!(problem, None);
        let (offers, problem) = completed(&format!("{root}/spq"));
        assert!(offers.is_empty() && problem.unwrap().starts_with("nothing matches"));
        assert!(completed(&format!("{root}/none/x")).1.unwrap().starts_with("cannot read "));
        assert_eq!(completed("passages"), (vec![], None));
    }

    #[test]
    fn a_run_never_writes_into_a_folder_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        assert_eq!(free(&out), out);
        std::fs::create_dir(&out).unwrap();
        std::fs::create_dir(folder.path().join("run-2")).unwrap();
        assert_eq!(free(&out), folder.path().join("run-3"));
    }
}
