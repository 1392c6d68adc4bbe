//! The list of models a person can choose from: those in the cache, and well-known ones of the Hub.
//!
//! Reads the disk only; takes as long as looking at every file name in the cache does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::HubOptions;
use super::cache::{is_name, occupied};
use super::error::{HubError, io};
use super::files::{CONFIG, FolderFiles, read_json};
use super::options::ResolvedOptions;
use super::spec::valid_id;

/// A model of the Hub that is in the cache, by whatever program put it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedModel {
    pub id: String,
    /// `models--owner--name` in the cache.
    pub path: PathBuf,
    /// Bytes on disk, partial files included, shared blobs counted once.
    pub size_bytes: u64,
    /// Those on which a named revision stands come first.
    pub revisions: Vec<CachedRevision>,
}

/// One commit of a cached model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedRevision {
    pub commit: String,
    /// Branches and tags that stood for this commit when last fetched, sorted.
    pub names: Vec<String>,
    /// `model_type` of its `config.json`, where there is one.
    pub model_type: Option<String>,
    /// Whether this program can load it as it is, without the network.
    pub whole: bool,
}

impl CachedModel {
    /// Whether some revision can be loaded without the network.
    pub fn is_usable(&self) -> bool {
        self.revisions.iter().any(|revision| revision.whole)
    }
}

/// The models in the cache, sorted by id. A cache that does not exist is empty; folders that are no models of the
/// Hub are passed over.
pub fn cached_models(options: &HubOptions) -> Result<Vec<CachedModel>, HubError> {
    let cache = ResolvedOptions::from_environment(options).cache;
    let entries = match std::fs::read_dir(&cache) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(io("read", &cache))?,
    };
    let mut models: Vec<CachedModel> =
        entries.flatten().filter_map(|entry| cached_model(entry.path())).collect();
    models.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(models)
}

fn cached_model(path: PathBuf) -> Option<CachedModel> {
    let id = path.file_name()?.to_str()?.strip_prefix("models--")?.replace("--", "/");
    if !valid_id(&id) {
        return None;
    }
    let names = revision_names(&path.join("refs"));
    let mut revisions: Vec<CachedRevision> = children(&path.join("snapshots"))
        .into_iter()
        .filter(|dir| dir.is_dir())
        .filter_map(|dir| {
            let commit = dir.file_name()?.to_str().filter(|name| is_name(name))?.to_owned();
            Some(CachedRevision {
                names: names.get(&commit).cloned().unwrap_or_default().into_iter().collect(),
                model_type: model_type(&dir),
                whole: FolderFiles::find(&dir, &id).is_ok(),
                commit,
            })
        })
        .collect();
    revisions.sort_by(|a, b| (a.names.is_empty(), &a.commit).cmp(&(b.names.is_empty(), &b.commit)));
    let size_bytes = size_of(&path);
    Some(CachedModel { id, path, size_bytes, revisions })
}

/// Bytes of a model's folder in the cache: its blobs, partial ones included, each once; and what lies in its snapshots
/// itself, as on a disk without links. A blob may be a link to one that several models share.
pub(super) fn size_of(folder: &Path) -> u64 {
    let blobs: u64 = children(&folder.join("blobs")).iter().map(|blob| length(blob)).sum();
    blobs + occupied(&folder.join("snapshots"))
}

/// Commit → the names of revisions that stand for it. Names may contain slashes, so refs lie in folders.
fn revision_names(refs: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![refs.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in children(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if !path.is_file() {
                // Reading a FIFO would wait without end.
            } else if let (Ok(commit), Some(name)) =
                (std::fs::read_to_string(&path), path.strip_prefix(refs).ok().and_then(Path::to_str))
                && !name.ends_with(".tmp")
            {
                names.entry(commit.trim().to_owned()).or_default().insert(name.replace('\\', "/"));
            }
        }
    }
    names
}

fn model_type(dir: &Path) -> Option<String> {
    let path = dir.join(CONFIG);
    let bytes = path.is_file().then(|| read_json(&path).ok()).flatten()?;
    let config: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    config.get("model_type")?.as_str().map(super::error::visible)
}

fn children(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// A model of the Hub worth suggesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogModel {
    pub id: &'static str,
    /// From its `config.json`, where known for certain.
    pub shape: Option<ModelShape>,
    /// Approximate bytes to fetch, where known.
    pub download: Option<u64>,
    pub licence: Option<&'static str>,
    pub doc: &'static str,
}

impl CatalogModel {
    /// Parameters, where its shape is known.
    pub const fn parameters(&self) -> Option<u64> {
        match self.shape {
            Some(shape) => Some(shape.parameters()),
            None => None,
        }
    }
}

/// The numbers that make one GPT-2 differ from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelShape {
    pub layers: u32,
    pub heads: u32,
    /// Width of the residual stream.
    pub width: u32,
    /// Context length in tokens.
    pub context: u32,
    pub vocabulary: u32,
}

impl ModelShape {
    /// Parameters, the tied output layer counted once: embeddings, per block 12·d² + 13·d, and the last layer norm.
    pub const fn parameters(&self) -> u64 {
        let (d, layers) = (self.width as u64, self.layers as u64);
        let embeddings = (self.vocabulary as u64 + self.context as u64) * d;
        embeddings + layers * (12 * d * d + 13 * d) + 2 * d
    }
}

/// The four sizes of GPT-2, in which its descendants come as well.
const SMALL: ModelShape = ModelShape { layers: 12, heads: 12, width: 768, context: 1024, vocabulary: 50257 };
const MEDIUM: ModelShape = ModelShape { layers: 24, heads: 16, width: 1024, ..SMALL };
const LARGE: ModelShape = ModelShape { layers: 36, heads: 20, width: 1280, ..SMALL };
const XL: ModelShape = ModelShape { layers: 48, heads: 25, width: 1600, ..SMALL };

/// Models known to work, from the classic sizes to ones for tests.
pub const KNOWN_MODELS: &[CatalogModel] = &[
    CatalogModel {
        id: "openai-community/gpt2",
        shape: Some(SMALL),
        download: Some(550_000_000),
        licence: Some("MIT"),
        doc: "GPT-2 small by OpenAI, the model most attention studies look at",
    },
    CatalogModel {
        id: "openai-community/gpt2-medium",
        shape: Some(MEDIUM),
        download: Some(1_520_000_000),
        licence: Some("MIT"),
        doc: "GPT-2 medium by OpenAI",
    },
    CatalogModel {
        id: "openai-community/gpt2-large",
        shape: Some(LARGE),
        download: Some(3_250_000_000),
        licence: Some("MIT"),
        doc: "GPT-2 large by OpenAI",
    },
    CatalogModel {
        id: "openai-community/gpt2-xl",
        shape: Some(XL),
        download: Some(6_430_000_000),
        licence: Some("MIT"),
        doc: "GPT-2 XL by OpenAI, the largest of the family",
    },
    CatalogModel {
        id: "distilbert/distilgpt2",
        shape: Some(ModelShape { layers: 6, ..SMALL }),
        download: Some(350_000_000),
        licence: Some("Apache-2.0"),
        doc: "GPT-2 small distilled to half its layers",
    },
    CatalogModel {
        id: "microsoft/DialoGPT-small",
        shape: Some(SMALL),
        download: Some(350_000_000),
        licence: Some("MIT"),
        doc: "GPT-2 small tuned on conversations, for dialogue mode",
    },
    CatalogModel {
        id: "microsoft/DialoGPT-medium",
        shape: Some(MEDIUM),
        download: Some(860_000_000),
        licence: Some("MIT"),
        doc: "GPT-2 medium tuned on conversations, for dialogue mode",
    },
    CatalogModel {
        id: "microsoft/DialoGPT-large",
        shape: Some(LARGE),
        download: Some(1_750_000_000),
        licence: Some("MIT"),
        doc: "GPT-2 large tuned on conversations, for dialogue mode",
    },
    CatalogModel {
        id: "cerebras/Cerebras-GPT-111M",
        shape: Some(ModelShape { layers: 10, context: 2048, ..SMALL }),
        download: None,
        licence: Some("Apache-2.0"),
        doc: "compute-optimal model trained on The Pile, with twice GPT-2's context",
    },
    CatalogModel {
        id: "sshleifer/tiny-gpt2",
        shape: Some(ModelShape { layers: 2, heads: 2, width: 2, ..SMALL }),
        download: None,
        licence: None,
        doc: "untrained miniature with GPT-2's vocabulary, for tests",
    },
    CatalogModel {
        id: "hf-internal-testing/tiny-random-gpt2",
        shape: None,
        download: None,
        licence: None,
        doc: "untrained miniature, for tests",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::ModelSpec;

    #[test]
    fn known_sizes_give_the_published_parameter_counts() {
        for (id, parameters) in [
            ("openai-community/gpt2", 124_439_808),
            ("openai-community/gpt2-medium", 354_823_168),
            ("openai-community/gpt2-large", 774_030_080),
            ("openai-community/gpt2-xl", 1_557_611_200),
            ("distilbert/distilgpt2", 81_912_576),
            ("cerebras/Cerebras-GPT-111M", 111_050_496),
            ("sshleifer/tiny-gpt2", 102_714),
        ] {
            let known = KNOWN_MODELS.iter().find(|m| m.id == id).unwrap();
            assert_eq!(known.parameters(), Some(parameters), "{id}");
        }
    }

    #[test]
    fn known_models_are_ids_and_appear_once() {
        let ids: BTreeSet<_> = KNOWN_MODELS.iter().map(|m| m.id).collect();
        assert_eq!(ids.len(), KNOWN_MODELS.len());
        for model in KNOWN_MODELS {
            assert_eq!(model.id.parse::<ModelSpec>().unwrap().to_string(), model.id);
            assert!(model.shape.is_none_or(|s| s.width.is_multiple_of(s.heads)), "{}", model.id);
        }
    }
}
