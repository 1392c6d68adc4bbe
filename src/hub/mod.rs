//! From a model's name to its files: the bundled model, a folder, or a snapshot of the Hub in the cache that
//! Python's `huggingface_hub` uses as well.
//!
//! Everything here is synchronous and runs on the caller's thread, which must not be the one that draws; the async
//! runtime that the network needs lives and ends inside [`fetch`]. What a model's small files must
//! hold is `model`'s to judge, before any weight is asked for; this room never prints.
//!
//! Large files on the Hub may be stored in Xet. They are streamed through hf-hub like all others: progress, cancel,
//! resume and the checksum work the same, but what Xet does below one request (its own chunk cache, parallel
//! fetches, its own retries) is out of reach, and a cancel lets a chunk that is under way run out.

mod adapter;
mod bundled;
mod cache;
mod card;
mod catalog;
mod dataset;
mod describe;
mod details;
mod download;
mod error;
mod fetch;
mod files;
mod options;
mod progress;
mod remote;
mod remove;
mod settings;
mod spec;
mod verify;
mod wait;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

pub use bundled::{EmbeddedFiles, embedded, telling_head};
pub use catalog::{CachedModel, CachedRevision, CatalogModel, KNOWN_MODELS, ModelShape, cached_models};
pub use dataset::{Dataset, PREFIX as DATASET_PREFIX, fetch_dataset};
pub use describe::describe;
pub use details::{ModelDetails, ModelPlace, describe_local, models_at_hand};
pub use error::HubError;
pub use files::{FolderFiles, HubWeights};
pub use options::HubOptions;
pub use progress::{FetchProgress, Phase};
pub use remove::{Removal, removal, remove};
pub use settings::HubSettings;
pub use spec::ModelSpec;

use crate::model::family;
use crate::support::files::special;
use files::Gap;

/// A model's files, whole and of the right kind.
#[derive(Clone, Debug)]
pub struct ModelSnapshot {
    /// What to call it: `demo`, the folder as given, or the id on the Hub.
    pub id: String,
    /// The commit, for a model of the Hub.
    pub revision: Option<String>,
    pub files: Files,
    /// Something worth one line on screen, such as that the cache stood in for an unreachable Hub.
    pub note: Option<String>,
    /// The folder of an adapter to add to the files, which are those of its base.
    pub adapter: Option<PathBuf>,
}

/// Where a snapshot's bytes are.
#[derive(Clone, Debug)]
pub enum Files {
    Embedded(&'static EmbeddedFiles),
    Folder(FolderFiles),
    /// A checkpoint of another program, which holds its own sizes.
    File(PathBuf),
}

impl ModelSnapshot {
    /// The folder that holds the files, unless they are embedded.
    pub fn dir(&self) -> Option<&Path> {
        match &self.files {
            Files::Embedded(_) | Files::File(_) => None,
            Files::Folder(files) => Some(&files.dir),
        }
    }

    fn of(id: String, files: Files) -> Self {
        ModelSnapshot { id, revision: None, files, note: None, adapter: None }
    }

    /// What to say where a file of this snapshot cannot be used: which one is not what the Hub sent, if any, and what to do;
    /// `None` for files that are no part of the cache. Takes as long as reading all of them.
    pub fn diagnosis(&self) -> Option<(Option<HubError>, String)> {
        let folder = self.revision.as_ref().and(self.dir())?;
        let id = self.id.clone();
        let hint = error::again(&id);
        Some((verify::damaged(folder, u64::MAX).map(|file| HubError::Damaged { id, file }), hint))
    }

    /// The same files under the name of the adapter in `folder` that they are the base of.
    fn adapted(self, folder: &Path) -> Self {
        ModelSnapshot {
            id: folder.display().to_string(),
            revision: None,
            adapter: Some(folder.to_owned()),
            ..self
        }
    }
}

/// Resolves `spec` to files, fetching them where the cache does not hold them whole. Blocks until done.
///
/// A whole snapshot in the cache is returned at once and without the network, unless `options.refresh` asks
/// otherwise. `progress` is called on this thread, at most 20 times a second, and must return at once. Setting
/// `cancel` ends every wait within a moment; what has arrived is kept, and the next call continues from there.
///
/// # Errors
/// See [`HubError`]; each is one sentence, most with a hint.
pub fn fetch(
    spec: &ModelSpec,
    options: &HubOptions,
    progress: &mut dyn FnMut(&FetchProgress),
    cancel: &AtomicBool,
) -> Result<ModelSnapshot, HubError> {
    match spec {
        ModelSpec::Hub { id, revision } => fetch::WantedFiles::new(id, revision.as_deref(), options)?.fetch(
            options.refresh,
            progress,
            cancel,
        ),
        ModelSpec::Folder(path) if adapter::is_adapter(path) => {
            let base = fetch(&adapter::base(path)?, options, progress, cancel);
            base.map(|base| base.adapted(path)).map_err(|error| adapter::without_base(path, error))
        }
        local => find_local(local, options),
    }
}

/// The commit that the Hub has for `spec` where it is not the cached one: a branch that has moved since. Fetches
/// nothing; `options.offline` and models that are not cached whole are never asked about.
///
/// # Errors
/// As [`fetch`].
pub fn moved(
    spec: &ModelSpec,
    options: &HubOptions,
    cancel: &AtomicBool,
) -> Result<Option<String>, HubError> {
    match spec {
        ModelSpec::Hub { id, revision } => {
            fetch::WantedFiles::new(id, revision.as_deref(), options)?.moved(cancel)
        }
        _ => Ok(None),
    }
}

/// Resolves `spec` without the network: the bundled model, a folder, or a snapshot that the cache holds whole.
/// Takes no longer than a few file look-ups.
///
/// # Errors
/// As [`fetch`]; [`HubError::Offline`] where the network would be needed.
pub fn find_local(spec: &ModelSpec, options: &HubOptions) -> Result<ModelSnapshot, HubError> {
    let id = spec.to_string();
    match spec {
        ModelSpec::Demo | ModelSpec::Copier => {
            Ok(ModelSnapshot::of(id, Files::Embedded(embedded(spec).ok_or(HubError::NoBundledModel)?)))
        }
        ModelSpec::Folder(path) if path.is_file() => Ok(ModelSnapshot::of(id, Files::File(path.clone()))),
        ModelSpec::Folder(path) if !path.is_dir() => Err(match special(path) {
            Some(what) => HubError::NotPlain { path: path.clone(), what },
            None => HubError::NoFolder { path: path.clone() },
        }),
        ModelSpec::Folder(path) if adapter::is_adapter(path) => {
            let base = find_local(&adapter::base(path)?, options);
            base.map(|base| base.adapted(path)).map_err(|error| adapter::without_base(path, error))
        }
        ModelSpec::Folder(path) => match FolderFiles::find_local(path, &id) {
            Ok(files) => Ok(ModelSnapshot::of(id, Files::Folder(files))),
            Err(Gap::Missing(missing)) => {
                let other =
                    family::imports().map(|import| path.join(import.file)).find(|file| file.is_file());
                if let Some(file) = other.filter(|_| missing == files::CONFIG) {
                    return Ok(ModelSnapshot::of(id, Files::File(file)));
                }
                Err(files::without(path, missing))
            }
            Err(Gap::Wrong(error)) => Err(error),
        },
        ModelSpec::Hub { id, revision } => {
            match fetch::WantedFiles::new(id, revision.as_deref(), options)?.cached() {
                Ok(snapshot) => Ok(snapshot),
                Err(Gap::Missing(missing)) => Err(HubError::Offline { id: id.clone(), missing }),
                Err(Gap::Wrong(error)) => Err(error),
            }
        }
    }
}
