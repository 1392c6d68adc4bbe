//! Takes a model, or one revision of it, out of the cache, as Python's `huggingface_hub` does it: what leads to a file goes
//! before the file, and a blob stays while the snapshot of another revision uses it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::HubOptions;
use super::cache::{RepoCache, entries_under, occupied};
use super::error::{HubError, io};
use super::fetch::WantedFiles;
use super::spec::ModelSpec;

/// What a removal takes from the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Removal {
    pub id: String,
    /// Commits whose snapshots go.
    pub revisions: Vec<String>,
    /// Bytes that become free: blobs, partial ones too, and what lies in the snapshots itself.
    pub bytes: u64,
    /// Whether nothing of the model stays in the cache.
    pub whole: bool,
}

/// What [`remove`] would take now.
///
/// # Errors
/// As [`remove`].
pub fn removal(spec: &ModelSpec, options: &HubOptions) -> Result<Removal, HubError> {
    Ok(RemovalSteps::of(spec, options)?.says)
}

/// Removes a model from the cache: all of it, or the one revision that `spec` names. Blobs that another snapshot of the
/// model uses stay. Lock files stay too: another process may be waiting on one.
///
/// # Errors
/// What is not in the cache; a model into which a process downloads right now; what the disk says.
pub fn remove(spec: &ModelSpec, options: &HubOptions) -> Result<Removal, HubError> {
    let steps = RemovalSteps::of(spec, options)?;
    // A reference never leads to a missing snapshot, and a link never to a missing blob.
    for file in steps.references.iter().chain(&steps.links).chain(&steps.blobs) {
        gone(std::fs::remove_file(file)).map_err(io("remove", file))?;
    }
    for folder in &steps.folders {
        gone(std::fs::remove_dir_all(folder)).map_err(io("remove", folder))?;
    }
    Ok(steps.says)
}

/// What is gone already need not be removed.
fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// What is removed, in this order.
#[derive(Default)]
struct RemovalSteps {
    says: Removal,
    references: Vec<PathBuf>,
    links: Vec<PathBuf>,
    blobs: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

impl RemovalSteps {
    fn of(spec: &ModelSpec, options: &HubOptions) -> Result<Self, HubError> {
        let ModelSpec::Hub { id, revision } = spec else {
            return Err(HubError::NotCached { id: spec.to_string() });
        };
        let wanted = WantedFiles::new(id, revision.as_deref(), options)?;
        let mut steps = RemovalSteps {
            says: Removal { id: id.clone(), whole: true, ..Removal::default() },
            ..RemovalSteps::default()
        };
        // Python may have cached it under its old id as well.
        for name in [Some(id.as_str()), ModelSpec::legacy_id(id)].into_iter().flatten() {
            let cache = RepoCache::new(&wanted.settings.cache, name);
            if cache.folder().is_dir() {
                steps.add(&cache, id, revision.as_deref())?;
            }
        }
        match steps.folders.is_empty() {
            true => Err(HubError::NotCached { id: spec.to_string() }),
            false => Ok(steps),
        }
    }

    fn add(&mut self, cache: &RepoCache, id: &str, revision: Option<&str>) -> Result<(), HubError> {
        if cache.is_busy() {
            return Err(HubError::InUse { id: id.to_owned() });
        }
        let snapshots = folders_in(&cache.folder().join("snapshots"));
        let Some(revision) = revision else {
            self.add_whole(cache, &snapshots);
            return Ok(());
        };
        let commit = cache.commit_of(revision).filter(|commit| snapshots.contains(&cache.snapshot(commit)));
        let Some(commit) = commit else { return Ok(()) };
        let (ours, others): (Vec<PathBuf>, Vec<PathBuf>) =
            snapshots.into_iter().partition(|snapshot| *snapshot == cache.snapshot(&commit));
        if others.is_empty() {
            self.add_whole(cache, &ours);
            return Ok(());
        }
        let used_by_others: BTreeSet<PathBuf> = others.iter().flat_map(|s| blobs_of(cache, s)).collect();
        for blob in ours.iter().flat_map(|s| blobs_of(cache, s)).collect::<BTreeSet<_>>() {
            if !used_by_others.contains(&blob) {
                self.says.bytes += plain_length(&blob);
                self.blobs.push(blob);
            }
        }
        let leads_here = |path: &PathBuf| {
            path.is_file() && std::fs::read_to_string(path).is_ok_and(|text| text.trim() == commit)
        };
        let references = entries_under(&cache.folder().join("refs")).into_iter().map(|(path, _)| path);
        self.references.extend(references.filter(leads_here));
        // Python keeps a list of the commit's files beside its snapshot.
        self.links.push(cache.folder().join("trees").join(format!("{commit}.json")));
        for snapshot in ours {
            self.says.bytes += occupied(&snapshot);
            self.links.extend(entries_under(&snapshot).into_iter().map(|(path, _)| path));
            self.folders.push(snapshot);
        }
        self.says.whole = false;
        self.says.revisions.push(commit);
        Ok(())
    }

    /// The model's whole folder, partial files included.
    fn add_whole(&mut self, cache: &RepoCache, snapshots: &[PathBuf]) {
        let names = snapshots.iter().filter_map(|s| s.file_name()).map(|n| n.to_string_lossy().into_owned());
        self.says.revisions.extend(names);
        self.says.bytes +=
            occupied(&cache.folder().join("blobs")) + occupied(&cache.folder().join("snapshots"));
        for (folder, files) in [("refs", &mut self.references), ("snapshots", &mut self.links)] {
            files.extend(entries_under(&cache.folder().join(folder)).into_iter().map(|(path, _)| path));
        }
        self.folders.push(cache.folder());
    }
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> =
        entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect();
    folders.sort();
    folders
}

/// The blobs that the links of a snapshot lead to; a blob may itself be a link, to a file that several models share.
fn blobs_of(cache: &RepoCache, snapshot: &Path) -> Vec<PathBuf> {
    let target = |(path, about): (PathBuf, std::fs::Metadata)| {
        let target = about.is_symlink().then(|| std::fs::read_link(path).ok()).flatten()?;
        (target.parent()?.file_name()? == "blobs")
            .then(|| target.file_name()?.to_str().map(|name| cache.blob(name)))?
    };
    entries_under(snapshot).into_iter().filter_map(target).collect()
}

/// Bytes of a plain file; a link frees nothing.
fn plain_length(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |m| if m.is_file() { m.len() } else { 0 })
}
