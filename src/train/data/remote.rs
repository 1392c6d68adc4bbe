//! Names of Hub data sets among the data of a run: fetched, and replaced by the files that they stand for.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::hub::{DATASET_PREFIX, FetchProgress, HubOptions, fetch_dataset};
use crate::train::TrainError;

/// The data of a run as files and folders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Located {
    pub train: Vec<PathBuf>,
    /// What data sets hold out by themselves; empty where none does.
    pub held: Vec<PathBuf>,
}

/// Replaces each `datasets/owner/name[@revision]` that is not a path by the files of that data set, fetching it where the
/// cache does not hold it. Blocks until done; everything else stays as it is.
///
/// # Errors
/// What the Hub says, as a sentence with its hint.
pub fn locate(
    paths: &[PathBuf],
    options: &HubOptions,
    progress: &mut dyn FnMut(&FetchProgress),
    cancel: &AtomicBool,
) -> Result<Located, TrainError> {
    let mut out = Located::default();
    for path in paths {
        match path.to_str().filter(|name| name.starts_with(DATASET_PREFIX) && !path.exists()) {
            None => out.train.push(path.clone()),
            Some(name) => {
                let found = fetch_dataset(name, options, progress, cancel)
                    .map_err(|e| TrainError::Setup { problem: e.to_string(), hint: e.hint() })?;
                out.train.extend(found.train);
                out.held.extend(found.held);
            }
        }
    }
    Ok(out)
}
