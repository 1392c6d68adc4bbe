//! Loading a model beside the one in use: download, read, hand over. One load at a time; a new one cancels the old.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use candle_core::Device;
use crossbeam_channel::Sender;

use super::loaded::LoadedModel;
use super::types::{LoadProgress, Update};
use crate::hub::{self, FetchProgress, HubOptions, ModelSnapshot, ModelSpec};
use crate::model::{ModelError, WeightType};
use crate::support::caught::caught;

/// How long a question to the Hub that nobody waits for may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What a load needs to know.
#[derive(Clone)]
pub struct LoadOptions {
    pub hub: HubOptions,
    pub device: Device,
    pub device_name: &'static str,
    pub purpose: Purpose,
}

/// What a model is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Weights that never change, their matrices kept as said where the CPU runs them.
    Explore(WeightType),
    /// Weights as the checkpoint has them, to start a run from.
    Train,
}

/// Why a model could not be loaded, in a sentence and a hint.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    pub message: String,
    pub hint: Option<String>,
    pub cancelled: bool,
    /// The model is there, and nothing can be computed with it: a weight is NaN or infinite.
    pub unusable: bool,
}

impl LoadError {
    fn new(message: impl Into<String>, hint: Option<String>) -> Self {
        LoadError { message: message.into(), hint, cancelled: false, unusable: false }
    }
}

impl From<ModelError> for LoadError {
    fn from(error: ModelError) -> Self {
        let unusable = matches!(error, ModelError::NotFinite { .. });
        LoadError { unusable, ..LoadError::new(error.to_string(), error.hint()) }
    }
}

/// Fetches and reads a model on the calling thread. A library that panics on a damaged file is an error like any other.
///
/// # Errors
/// A model that is not available, cannot be read or is [unusable](LoadError::unusable); cancelled.
pub fn load(
    spec: &str,
    options: &LoadOptions,
    progress: &mut dyn FnMut(LoadProgress),
    cancel: &AtomicBool,
) -> Result<LoadedModel, LoadError> {
    let parsed: ModelSpec = spec.parse().map_err(|e: hub::HubError| from_hub(&e))?;
    let mut report = |p: &FetchProgress| progress(translate(spec, p));
    let snapshot = hub::fetch(&parsed, &options.hub, &mut report, cancel).map_err(|e| from_hub(&e))?;
    progress(LoadProgress::new(spec, "reading weights"));
    let read = contained(spec, || {
        let read = LoadedModel::read(&snapshot, &options.device, options.device_name);
        Ok(read.and_then(|loaded| loaded.made_for(options.purpose))?)
    });
    let mut loaded = read.map_err(|error| diagnosed(error, &snapshot))?;
    if cancel.load(Ordering::Relaxed) {
        return Err(LoadError { cancelled: true, ..LoadError::new("cancelled", None) });
    }
    loaded.notes.splice(0..0, snapshot.note);
    Ok(loaded)
}

/// Runs a load; a panic is an error that says what can be done.
fn contained<T>(spec: &str, load: impl FnOnce() -> Result<T, LoadError>) -> Result<T, LoadError> {
    const AGAIN: &str = "the log has the details; fetch the files again (--refresh for a model of the Hub), or choose another model";
    let message =
        || format!("{spec} cannot be read: a library failed on its files, which are probably damaged");
    caught(load).unwrap_or_else(|| Err(LoadError::new(message(), Some(AGAIN.to_owned()))))
}

/// The error of a cached snapshot with what helps there: a damaged file is named, and can be fetched again or removed.
/// Deleting it by hand would leave its link behind.
fn diagnosed(error: LoadError, snapshot: &ModelSnapshot) -> LoadError {
    match snapshot.diagnosis() {
        _ if error.cancelled => error,
        Some((Some(damage), hint)) => {
            LoadError { message: format!("{damage} ({})", error.message), hint: Some(hint), ..error }
        }
        Some((None, hint)) => LoadError { hint: Some(error.hint.unwrap_or(hint)), ..error },
        None => error,
    }
}

fn from_hub(error: &hub::HubError) -> LoadError {
    LoadError { cancelled: error.is_cancelled(), ..LoadError::new(error.to_string(), error.hint()) }
}

/// A report of the Hub in words.
pub fn translate(id: &str, p: &FetchProgress) -> LoadProgress {
    let next = |left: Duration| format!("{}: next try in {:.0} s", p.phase.name(), left.as_secs_f64().ceil());
    let what = match (&p.phase, p.file.is_empty()) {
        (hub::Phase::Limited, _) => next(p.pause.unwrap_or_default()),
        (hub::Phase::Retrying, false) => format!("{} ({})", next(p.pause.unwrap_or_default()), p.file),
        (hub::Phase::Retrying, true) => next(p.pause.unwrap_or_default()),
        (hub::Phase::Downloading, false) if p.files > 1 => {
            format!("{} ({} of {})", p.file, p.number, p.files)
        }
        (hub::Phase::Downloading, false) => p.file.clone(),
        (phase, true) => phase.name().to_owned(),
        (phase, false) => format!("{} {}", phase.name(), p.file),
    };
    LoadProgress {
        id: id.to_owned(),
        what,
        done: p.done,
        total: (p.total > 0).then_some(p.total),
        rate: p.rate,
        file: (p.file_size > 0).then_some((p.file_done, p.file_size)),
    }
}

/// Asks once, on its own thread, whether the Hub has a newer version of the cached model; reports nothing where it
/// does not answer.
pub fn look_for_newer(spec: String, options: &LoadOptions, updates: Sender<Update>) {
    let mut hub = options.hub.clone();
    hub.retries = 0;
    hub.stall_timeout = hub.stall_timeout.min(PATIENCE);
    let Ok(parsed) = spec.parse::<ModelSpec>() else { return };
    if hub.offline || hub.refresh || !matches!(parsed, ModelSpec::Hub { .. }) {
        return;
    }
    let ask = move || {
        if let Ok(Some(_)) = hub::moved(&parsed, &hub, &AtomicBool::new(false)) {
            let _ = updates.send(Update::ModelMoved { spec });
        }
    };
    let spawned = std::thread::Builder::new().name("newer".to_owned()).spawn(ask);
    debug_assert!(spawned.is_ok(), "the thread could not be started");
}

/// A load running on its own thread.
pub struct Loading {
    pub id: String,
    cancel: Arc<AtomicBool>,
}

impl Loading {
    /// Starts a load; progress goes to `updates`, the result to `done` on the loader's thread.
    pub fn start(
        spec: String,
        options: LoadOptions,
        updates: Sender<Update>,
        done: impl FnOnce(Result<LoadedModel, LoadError>) + Send + 'static,
    ) -> Self {
        let cancel = Arc::new(AtomicBool::new(false));
        let (id, flag) = (spec.clone(), cancel.clone());
        let work = move || {
            let mut progress = |p: LoadProgress| {
                // A full channel means the screen is busy; the next report will do.
                let _ = updates.try_send(Update::ModelLoading(p));
            };
            done(contained(&spec, || load(&spec, &options, &mut progress, &flag)));
        };
        let spawned = std::thread::Builder::new().name("loader".to_owned()).spawn(work);
        debug_assert!(spawned.is_ok(), "the thread could not be started");
        Loading { id, cancel }
    }

    /// Asks the load to stop at its next chunk.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Relaxed);
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_loading_is_a_sentence_with_a_hint() {
        let error = contained("a/b", || -> Result<(), _> { panic!("index out of bounds") }).unwrap_err();
        assert!(error.message.starts_with("a/b cannot be read: "), "{error}");
        assert!(error.hint.is_some() && !error.unusable && !error.cancelled);
        let fine = contained("a/b", || Ok(3));
        assert_eq!(fine.unwrap(), 3);
    }

    #[test]
    fn weights_that_are_no_numbers_are_there_but_unusable() {
        let bad = ModelError::NotFinite { file: "f".into(), tensor: "w".into(), what: "NaN at [0]".into() };
        assert!(LoadError::from(bad).unusable);
        assert!(!LoadError::from(ModelError::file("f", "cut short")).unusable);
    }
}
