//! The library of models as the Models screen holds it: what is at hand, what the Hub says about a model, downloads that
//! open nothing, removal. Calls return at once; answers come as updates. One thread reads the disk, one asks the Hub, and a
//! download has a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::complete::complete;
use super::loader::{PATIENCE, translate};
use super::types::{ModelsCommand, ModelsUpdate, Update};
use crate::hub::{self, FetchProgress, HubError, HubOptions, ModelPlace, ModelSpec};

/// How long a name must stand before the Hub is asked about it: a person may still be typing.
const PAUSE: Duration = Duration::from_millis(350);

/// The screen's end of the library.
pub struct ModelLibrary {
    shared: Arc<LibraryState>,
    disk: Sender<ModelsCommand>,
    asked: Sender<String>,
}

struct LibraryState {
    options: HubOptions,
    updates: Sender<Update>,
    /// Ends the download that is under way.
    pull: Mutex<Option<Arc<AtomicBool>>>,
    /// The Hub is being asked about the cached models.
    checking: AtomicBool,
    /// Set when the screen is gone.
    closing: AtomicBool,
}

impl ModelLibrary {
    /// Starts the threads; they end when the library is dropped.
    ///
    /// # Errors
    /// The system starts no more threads.
    pub fn start(options: HubOptions, updates: Sender<Update>) -> std::io::Result<Self> {
        let shared = Arc::new(LibraryState {
            options,
            updates,
            pull: Mutex::default(),
            checking: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let ((disk, chores), (asked, questions)) = (unbounded(), unbounded());
        let (reader, asker) = (shared.clone(), shared.clone());
        thread("models", move || reader.serve(&chores))?;
        thread("hub", move || asker.answer(&questions))?;
        Ok(ModelLibrary { shared, disk, asked })
    }

    /// Carries out one command.
    pub fn command(&self, command: ModelsCommand) {
        // The threads end only when the library does.
        match command {
            ModelsCommand::Describe(spec) => {
                let _ = self.asked.send(spec);
            }
            ModelsCommand::CancelPull => self.shared.cancel(),
            ModelsCommand::Pull { .. } => self.shared.clone().pull(command),
            command => {
                let _ = self.disk.send(command);
            }
        }
    }
}

impl Drop for ModelLibrary {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.cancel();
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(|_| ())
}

impl LibraryState {
    fn send(&self, update: ModelsUpdate) {
        // Nobody listens once the screen is closing.
        let _ = self.updates.send(Update::Models(Box::new(update)));
    }

    fn failed(&self, command: ModelsCommand, error: &HubError) {
        self.send(ModelsUpdate::Failed { command, message: error.to_string(), hint: error.hint() });
    }

    fn cancel(&self) {
        if let Some(cancel) = self.pull.lock().unwrap_or_else(PoisonError::into_inner).take() {
            cancel.store(true, Ordering::Relaxed);
        }
    }

    /// What needs the disk alone, in the order of the commands.
    fn serve(self: Arc<Self>, chores: &Receiver<ModelsCommand>) {
        while let Ok(command) = chores.recv() {
            match &command {
                ModelsCommand::List => {
                    self.list();
                    self.clone().check();
                }
                ModelsCommand::Remove(spec) => {
                    let removed = spec.parse().and_then(|parsed| hub::remove(&parsed, &self.options));
                    match removed {
                        Ok(removal) => {
                            self.send(ModelsUpdate::Removed { spec: spec.clone(), bytes: removal.bytes });
                        }
                        Err(error) => self.failed(command.clone(), &error),
                    }
                    self.list();
                }
                ModelsCommand::Complete(typed) => {
                    let folders = |entry: &std::fs::DirEntry| entry.path().is_dir();
                    let offers = complete(typed, folders).unwrap_or_default();
                    self.send(ModelsUpdate::Completed { typed: typed.clone(), offers });
                }
                ModelsCommand::Describe(_) | ModelsCommand::Pull { .. } | ModelsCommand::CancelPull => {}
            }
        }
    }

    fn list(&self) {
        match hub::models_at_hand(&self.options) {
            Ok(models) => self.send(ModelsUpdate::Listed(models)),
            Err(error) => self.failed(ModelsCommand::List, &error),
        }
    }

    /// Asks the Hub once about every cached model, on a thread of its own: which ones have moved. The first silence ends it.
    fn check(self: Arc<Self>) {
        let options = self.quick();
        if options.offline || self.checking.swap(true, Ordering::Relaxed) {
            return;
        }
        let work = move || {
            let cached = hub::models_at_hand(&self.options).unwrap_or_default();
            for model in cached.into_iter().filter(|model| model.place == ModelPlace::Cached) {
                let spec = ModelSpec::Hub { id: model.id.clone(), revision: None };
                match hub::describe(&spec, &options, &self.closing) {
                    Ok(details) => {
                        let details = Ok(Box::new(details));
                        self.send(ModelsUpdate::Described { spec: model.id, details });
                    }
                    Err(HubError::NotFound { .. }) => {}
                    Err(_) => break,
                }
            }
            self.checking.store(false, Ordering::Relaxed);
        };
        let spawned = thread("moved", work);
        debug_assert!(spawned.is_ok(), "the thread could not be started");
    }

    /// For questions that nobody waits for: one short try.
    fn quick(&self) -> HubOptions {
        let mut options = self.options.clone();
        options.retries = 0;
        options.stall_timeout = options.stall_timeout.min(PATIENCE);
        options
    }

    /// Answers the newest question, once it has stood for a moment.
    fn answer(&self, questions: &Receiver<String>) {
        let options = self.quick();
        while let Ok(mut spec) = questions.recv() {
            while let Ok(newer) = questions.recv_timeout(PAUSE) {
                spec = newer;
            }
            if self.closing.load(Ordering::Relaxed) {
                return;
            }
            let details =
                spec.parse().and_then(|parsed: ModelSpec| hub::describe(&parsed, &options, &self.closing));
            let details = details.map(Box::new).map_err(|error| error.to_string());
            self.send(ModelsUpdate::Described { spec, details });
        }
    }

    /// Downloads on a thread of its own; an older download ends.
    fn pull(self: Arc<Self>, command: ModelsCommand) {
        let ModelsCommand::Pull { spec, refresh } = command.clone() else { return };
        let cancel = Arc::new(AtomicBool::new(false));
        self.cancel();
        *self.pull.lock().unwrap_or_else(PoisonError::into_inner) = Some(cancel.clone());
        let mut options = self.options.clone();
        options.refresh = refresh;
        let work = move || {
            let mut report = |p: &FetchProgress| self.send(ModelsUpdate::Pulling(translate(&spec, p)));
            let fetched = spec.parse().and_then(|parsed| hub::fetch(&parsed, &options, &mut report, &cancel));
            match fetched {
                Ok(snapshot) => self.send(ModelsUpdate::Pulled { spec, note: snapshot.note }),
                Err(error) if error.is_cancelled() => {}
                Err(error) => self.failed(command, &error),
            }
            self.list();
        };
        let spawned = thread("pull", work);
        debug_assert!(spawned.is_ok(), "the thread could not be started");
    }
}
