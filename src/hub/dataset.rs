//! Data sets of the Hub: the files that hold text, fetched into the same cache (`datasets--owner--name`).
//!
//! Runs on the caller's thread like everything in this room; reads no file it fetches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::cache::RepoCache;
use super::error::{HubError, visible};
use super::fetch::{WantedFiles, block_on};
use super::progress::{FetchProgress, Phase, ProgressReporter};
use super::remote::Remote;
use super::spec::{valid_id, valid_revision};
use super::wait::{Wait, with_tries};
use super::{HubOptions, fetch};

/// What names of data sets begin with, as in the addresses of their pages.
pub const PREFIX: &str = "datasets/";
/// Kinds of files that hold text, the best first; one kind is taken. Any of them may be packed.
const KINDS: [&str; 7] = ["parquet", "jsonl", "ndjson", "csv", "tsv", "json", "txt"];
const PACKINGS: [&str; 2] = [".gz", ".zst"];
/// How the `datasets` library calls what it says of a data set.
const ABOUT: &str = "dataset_info";
const TRAIN: &str = "train";
const HELD: [&str; 4] = ["validation", "valid", "dev", "test"];

/// A data set in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    pub id: String,
    pub revision: String,
    /// Files of the split `train`, or all files where no name says which split it is; sorted by name.
    pub train: Vec<PathBuf>,
    /// Files of the split `validation` (or `valid`, `dev`, `test`: the first that exists).
    pub held: Vec<PathBuf>,
}

/// Fetches the data set `name`, `datasets/owner/name` with `@revision` if wanted. What the cache holds whole is taken
/// from there, without the network.
///
/// # Errors
/// As [`fetch`](fetch()); and a data set without a file that can be read.
pub fn fetch_dataset(
    name: &str,
    options: &HubOptions,
    progress: &mut dyn FnMut(&FetchProgress),
    cancel: &AtomicBool,
) -> Result<Dataset, HubError> {
    let (id, revision) = name.split_once('@').map_or((name, None), |(id, r)| (id, Some(r)));
    let valid = id.strip_prefix(PREFIX).is_some_and(valid_id) && revision.is_none_or(valid_revision);
    if !valid {
        return Err(HubError::BadSpec { text: visible(name) });
    }
    let wanted = WantedFiles::checked(id, revision, options);
    let cache = RepoCache::new(&wanted.settings.cache, id);
    if !options.refresh || wanted.settings.offline {
        if let Some(found) = cached(&cache, &wanted) {
            return Ok(found);
        }
        if wanted.settings.offline {
            return Err(HubError::Offline { id: id.into(), missing: "every file".into() });
        }
    }
    let wait = Wait { cancel, stall: wanted.settings.stall_timeout };
    block_on(download(&wanted, &cache, wait, &mut ProgressReporter::new(progress)))?
}

async fn download(
    wanted: &WantedFiles<'_>,
    cache: &RepoCache,
    wait: Wait<'_>,
    reporter: &mut ProgressReporter<'_>,
) -> Result<Dataset, HubError> {
    let remote = Remote::new(&wanted.settings, wanted.id, wanted.revision, wait)?;
    reporter.phase(Phase::Asking);
    let listing = with_tries(&wanted.settings, wait, reporter, async || remote.listing().await).await?;
    let names = choose(listing.files.keys().map(String::as_str));
    if names.is_empty() {
        let missing = format!("a file with text (.{})", KINDS.join(", ."));
        return Err(HubError::Incomplete { id: wanted.id.into(), missing });
    }
    cache.prepare(&listing.commit)?;
    let mut job = fetch::Job { remote: &remote, cache, listing: &listing, reporter };
    job.fetch_all(&names).await?;
    cache.write_ref(wanted.revision, &listing.commit)?;
    reporter.phase(Phase::Finished);
    let missing = || HubError::Incomplete { id: wanted.id.into(), missing: "a fetched file".into() };
    dataset(wanted.id, &listing.commit, &cache.snapshot(&listing.commit)).ok_or_else(missing)
}

/// The reference of a revision is written last, so what it leads to is whole.
fn cached(cache: &RepoCache, wanted: &WantedFiles) -> Option<Dataset> {
    let commit = cache.commit_of(wanted.revision)?;
    dataset(wanted.id, &commit, &cache.snapshot(&commit))
}

fn dataset(id: &str, commit: &str, folder: &Path) -> Option<Dataset> {
    let mut names = Vec::new();
    walk(folder, "", &mut names);
    let (train, held) = splits(&choose(names.iter().map(String::as_str)));
    let paths = |names: Vec<String>| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
    (!train.is_empty()).then(|| Dataset {
        id: id.into(),
        revision: commit.into(),
        train: paths(train),
        held: paths(held),
    })
}

fn walk(folder: &Path, prefix: &str, names: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() {
            walk(&path, &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}

/// The files of the best kind that is there, sorted.
fn choose<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut by_kind: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for name in names {
        let lower = name.to_lowercase();
        let bare = PACKINGS.iter().find_map(|p| lower.strip_suffix(p)).unwrap_or(&lower);
        let kind = KINDS.iter().position(|k| bare.ends_with(&format!(".{k}")));
        let hidden = name.split('/').any(|part| part.starts_with('.') || part.starts_with(ABOUT));
        if let Some(kind) = kind.filter(|_| !hidden) {
            by_kind.entry(kind).or_default().push(name.to_owned());
        }
    }
    let mut names = by_kind.into_values().next().unwrap_or_default();
    names.sort();
    names
}

/// `(train, held)`; a split is a word of the path, such as `plain_text/train-00000-of-00001.parquet`.
fn splits(names: &[String]) -> (Vec<String>, Vec<String>) {
    let of = |split: &str| -> Vec<String> {
        let says =
            |name: &&String| name.to_lowercase().split(|c: char| !c.is_alphanumeric()).any(|w| w == split);
        names.iter().filter(says).cloned().collect()
    };
    let train = of(TRAIN);
    let held = HELD.iter().map(|split| of(split)).find(|names| !names.is_empty()).unwrap_or_default();
    if train.is_empty() {
        return (names.to_vec(), Vec::new());
    }
    (train, held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_of_file_is_taken_and_split_by_the_words_of_its_path() {
        let names =
            ["README.md", "b/train-0.parquet", "a/train.csv", "b/test-0.parquet", ".hidden/x.parquet"];
        let chosen = choose(names.into_iter());
        assert_eq!(chosen, ["b/test-0.parquet", "b/train-0.parquet"]);
        let packed = ["README.md", "dataset_infos.json", "a/train.json.gz", "a/b.txt"];
        assert_eq!(choose(packed.into_iter()), ["a/train.json.gz"]);
        let owned = |s: &str| vec![s.to_owned()];
        assert_eq!(splits(&chosen), (owned("b/train-0.parquet"), owned("b/test-0.parquet")));
        let bare = vec!["constrained.txt".to_owned(), "tests.txt".to_owned()];
        assert_eq!(splits(&bare), (bare.clone(), vec![]), "whole words only");
    }
}
