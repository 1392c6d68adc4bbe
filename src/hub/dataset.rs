//! Data sets of the Hub: the files that hold text, fetched into the same cache (`datasets--owner--name`).
//!
//! Runs on the caller's thread like everything in this room; reads no file it fetches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::cache::RepoCache;
use super::card::{self, Subset};
use super::error::{HubError, visible};
use super::fetch::{WantedFiles, block_on};
use super::files::{LARGEST_JSON, read_json};
use super::progress::{FetchProgress, Phase, ProgressReporter};
use super::remote::Remote;
use super::spec::{valid_id, valid_revision};
use super::wait::{Wait, with_tries};
use super::{HubOptions, fetch, verify};

/// What names of data sets begin with, as in the addresses of their pages.
pub const PREFIX: &str = "datasets/";
/// Kinds of files that hold text, the best first; one kind is taken. Any of them may be packed.
const KINDS: [&str; 7] = ["parquet", "jsonl", "ndjson", "csv", "tsv", "json", "txt"];
const PACKINGS: [&str; 2] = [".gz", ".zst"];
/// How the `datasets` library calls what it says of a data set.
const ABOUT: &str = "dataset_info";
const TRAIN: &str = "train";
const HELD: [&str; 4] = ["validation", "valid", "dev", "test"];

/// What the card of a data set is called; its front matter names the subsets.
const CARD: &str = "README.md";

/// A data set in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    pub id: String,
    pub revision: String,
    /// Files of the split `train`, or all files where neither the card nor a name says which split it is; sorted by name.
    pub train: Vec<PathBuf>,
    /// Files of the split `validation` (or `valid`, `dev`, `test`: the first that exists).
    pub held: Vec<PathBuf>,
}

/// What a name asks for: `datasets/owner/name`, `:subset` and `@revision` if wanted.
struct DatasetName<'a> {
    id: &'a str,
    subset: Option<&'a str>,
    revision: Option<&'a str>,
}

impl<'a> DatasetName<'a> {
    fn parse(name: &'a str) -> Result<Self, HubError> {
        let (rest, revision) = name.split_once('@').map_or((name, None), |(rest, r)| (rest, Some(r)));
        let (id, subset) = rest.split_once(':').map_or((rest, None), |(id, s)| (id, Some(s)));
        let valid = id.strip_prefix(PREFIX).is_some_and(valid_id)
            && revision.is_none_or(valid_revision)
            && subset.is_none_or(|subset| !subset.is_empty());
        match valid {
            true => Ok(DatasetName { id, subset, revision }),
            false => Err(HubError::BadSpec { text: visible(name) }),
        }
    }
}

/// Fetches the data set `name`, `datasets/owner/name` with `:subset` and `@revision` if wanted. What the cache holds whole is
/// taken from there, without the network.
///
/// # Errors
/// As [`fetch`](fetch()); a data set without a file that can be read, or with several subsets of which none is named.
pub fn fetch_dataset(
    name: &str,
    options: &HubOptions,
    progress: &mut dyn FnMut(&FetchProgress),
    cancel: &AtomicBool,
) -> Result<Dataset, HubError> {
    let DatasetName { id, subset, revision } = DatasetName::parse(name)?;
    let wanted = WantedFiles::checked(id, revision, options);
    let cache = RepoCache::new(&wanted.settings.cache, id);
    if !options.refresh || wanted.settings.offline {
        if let Some(found) = cached(&cache, &wanted, subset)? {
            return Ok(found);
        }
        if wanted.settings.offline {
            return Err(HubError::Offline { id: id.into(), missing: "every file".into() });
        }
    }
    let wait = Wait { cancel, stall: wanted.settings.stall_timeout };
    let mut reporter = ProgressReporter::new(progress);
    block_on(download(&wanted, subset, &cache, wait, &mut reporter))?
}

async fn download(
    wanted: &WantedFiles<'_>,
    subset: Option<&str>,
    cache: &RepoCache,
    wait: Wait<'_>,
    reporter: &mut ProgressReporter<'_>,
) -> Result<Dataset, HubError> {
    let remote = Remote::new(&wanted.settings, wanted.id, wanted.revision, wait)?;
    reporter.phase(Phase::Asking);
    let listing = with_tries(&wanted.settings, wait, reporter, async || remote.listing().await).await?;
    cache.prepare(&listing.commit)?;
    let mut job = fetch::Job { remote: &remote, cache, listing: &listing, reporter };
    let card = match listing.files.contains_key(CARD) {
        true => {
            let item = job.item(CARD).await?;
            if item.size <= LARGEST_JSON { job.fetch_json(&item).await? } else { Vec::new() }
        }
        false => Vec::new(),
    };
    let part = Subset::choose(card::subsets(&card), subset, wanted.id)?;
    let names = choose(listing.files.keys().map(String::as_str).filter(|name| holds(part.as_ref(), name)));
    if names.is_empty() {
        let missing = format!("a file with text (.{})", KINDS.join(", ."));
        return Err(HubError::Incomplete { id: wanted.id.into(), missing });
    }
    job.fetch_all(&names).await?;
    cache.write_ref(wanted.revision, &listing.commit)?;
    reporter.phase(Phase::Finished);
    let missing = || HubError::Incomplete { id: wanted.id.into(), missing: "a fetched file".into() };
    dataset(wanted.id, &listing.commit, &cache.snapshot(&listing.commit), part.as_ref()).ok_or_else(missing)
}

/// What the cache has of a data set. The reference of a revision and the links of a subset's files are written last, so what
/// they lead to is whole.
fn cached(
    cache: &RepoCache,
    wanted: &WantedFiles,
    subset: Option<&str>,
) -> Result<Option<Dataset>, HubError> {
    let Some(commit) = cache.commit_of(wanted.revision) else { return Ok(None) };
    let folder = cache.snapshot(&commit);
    let card = read_json(&folder.join(CARD)).unwrap_or_default();
    if card.is_empty() && subset.is_some() {
        // Whoever fetched it left the card out.
        return Ok(None);
    }
    let part = Subset::choose(card::subsets(&card), subset, wanted.id)?;
    Ok(dataset(wanted.id, &commit, &folder, part.as_ref()))
}

fn dataset(id: &str, commit: &str, folder: &Path, part: Option<&Subset>) -> Option<Dataset> {
    let mut names = Vec::new();
    verify::names_in(folder, "", &mut names);
    let chosen = choose(names.iter().map(String::as_str).filter(|name| holds(part, name)));
    let (train, held) = match part.filter(|part| part.has_splits()) {
        Some(part) => declared(part, &chosen),
        None => splits(&chosen),
    };
    let paths = |names: Vec<String>| names.iter().map(|name| folder.join(name)).collect::<Vec<_>>();
    (!train.is_empty()).then(|| Dataset {
        id: id.into(),
        revision: commit.into(),
        train: paths(train),
        held: paths(held),
    })
}

fn holds(part: Option<&Subset>, name: &str) -> bool {
    part.is_none_or(|part| part.holds(name))
}

/// `(train, held)` by what the card says of each file.
fn declared(part: &Subset, names: &[String]) -> (Vec<String>, Vec<String>) {
    let of = |split: &str| -> Vec<String> {
        names.iter().filter(|name| part.split_of(name) == Some(split)).cloned().collect()
    };
    let held = HELD.iter().map(|split| of(split)).find(|names| !names.is_empty()).unwrap_or_default();
    let train = of(TRAIN);
    // A subset without a split for training is trained on whole.
    if train.is_empty() { (names.to_vec(), Vec::new()) } else { (train, held) }
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
