//! Numbered checkpoint folders: appear whole or not at all, go away whole, and are found again after any crash.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::SIDE_FILE;
use crate::model::tokenizer::kinds;
use crate::support::files::{beside, clear_asides, sync_folder};

/// Files that the run folder shows from its best checkpoint, and all that belong to a tokenizer.
const SHOWN: [&str; 4] = ["config.json", "training.json", "model.safetensors", SIDE_FILE];

/// The checkpoints of one run.
#[derive(Clone, Debug)]
pub struct Folders {
    run: PathBuf,
}

impl Folders {
    pub fn new(run: &Path) -> Self {
        Folders { run: run.to_owned() }
    }

    fn root(&self) -> PathBuf {
        self.run.join("checkpoints")
    }

    pub fn path(&self, step: usize) -> PathBuf {
        self.root().join(format!("step-{step:08}"))
    }

    /// Steps that have a whole checkpoint, ascending.
    pub fn steps(&self) -> Vec<usize> {
        let Ok(entries) = fs::read_dir(self.root()) else { return Vec::new() };
        let step = |name: &str| name.strip_prefix("step-")?.parse().ok();
        let mut steps: Vec<usize> = entries.filter_map(|e| step(e.ok()?.file_name().to_str()?)).collect();
        steps.sort_unstable();
        steps
    }

    /// Writes a checkpoint through `fill`, which gets an empty folder, and renames it into place.
    ///
    /// # Errors
    /// What `fill` reports; nothing is left of the attempt then, and older checkpoints are untouched.
    pub fn put<E>(
        &self,
        step: usize,
        io_error: impl Fn(&Path, io::Error) -> E,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let target = self.path(step);
        let writing = beside(&target, "writing");
        let made = fs::remove_dir_all(&writing)
            .or_else(absent)
            .and_then(|()| fs::create_dir_all(&writing))
            .map_err(|e| io_error(&writing, e));
        let done = made.and_then(|()| fill(&writing)).and_then(|()| {
            sync_folder(&writing);
            // A rerun of the same step replaces the old folder; it has to go first, and is whole until it does.
            self.discard(step).map_err(|e| io_error(&target, e))?;
            fs::rename(&writing, &target).map_err(|e| io_error(&target, e))
        });
        if let Err(error) = done {
            let _ = fs::remove_dir_all(&writing);
            return Err(error);
        }
        sync_folder(&self.root());
        Ok(target)
    }

    /// Shows a checkpoint's model files at the top of the run folder: hard links, each replaced in one step; copies
    /// where the file system has no links.
    pub fn show(&self, step: usize) -> io::Result<()> {
        let from = self.path(step);
        for name in SHOWN.into_iter().chain(kinds::all_files()) {
            let (source, shown) = (from.join(name), self.run.join(name));
            if !source.is_file() {
                continue;
            }
            let new = beside(&shown, "linking");
            fs::remove_file(&new).or_else(absent)?;
            if fs::hard_link(&source, &new).is_err() {
                fs::copy(&source, &new)?;
            }
            fs::rename(&new, &shown)?;
            // Renaming one link of a file onto another does nothing and leaves both.
            fs::remove_file(&new).or_else(absent)?;
        }
        sync_folder(&self.run);
        Ok(())
    }

    /// Removes a checkpoint: renamed out of sight first, so that no half-removed folder looks like a checkpoint.
    pub fn discard(&self, step: usize) -> io::Result<()> {
        let path = self.path(step);
        let going = beside(&path, "going");
        fs::remove_dir_all(&going).or_else(absent)?;
        match fs::rename(&path, &going) {
            Ok(()) => fs::remove_dir_all(&going),
            Err(e) => absent(e),
        }
    }

    /// Keeps the newest `last` checkpoints and every step that `keeps`.
    pub fn retain(&self, last: usize, keeps: impl Fn(usize) -> bool) -> io::Result<()> {
        let steps = self.steps();
        let old = steps.len().saturating_sub(last.max(1));
        for &step in steps[..old].iter().filter(|s| !keeps(**s)) {
            self.discard(step)?;
        }
        Ok(())
    }

    /// Removes what an interrupted write or removal left behind.
    pub fn clean(&self) -> io::Result<()> {
        clear_asides(&self.run)?;
        let entries = match fs::read_dir(self.root()) {
            Ok(entries) => entries,
            Err(e) => return absent(e),
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with(".step-") {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(())
    }
}

/// A thing that is not there needs no removing.
fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
