//! What is known of a model before it is opened: sizes, shape, licence, and whether it would open at all. This file has
//! what the disk tells, at once; `describe` asks the Hub.

use std::path::Path;

use serde::Serialize;

use super::HubOptions;
use super::adapter;
use super::bundled::embedded;
use super::cache::{RepoCache, occupied};
use super::catalog::{self, CatalogModel, cached_models, size_of};
use super::error::{HubError, visible};
use super::fetch::WantedFiles;
use super::files::{CONFIG, FolderFiles, Gap, read_json};
use super::spec::ModelSpec;
use crate::model::Config;
use crate::settings::choice;

/// The model card of a repository.
const CARD: &str = "README.md";

choice! {
    /// Where a model's files are.
    pub enum ModelPlace {
        /// part of this program
        Bundled = "bundled",
        /// a folder or a file on this machine
        Folder = "folder",
        /// whole in the cache
        Cached = "cached",
        /// in the cache, but not whole, or not of a kind that this program opens
        Partial = "incomplete",
        /// on the Hub alone
        Hub = "hub",
    }
}

/// What is known of a model; what is not known is `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelDetails {
    /// `demo`, the folder as given, or the id on the Hub.
    pub id: String,
    pub place: ModelPlace,
    /// One line on what it is; empty where nobody wrote one.
    pub doc: String,
    /// Bytes on this machine's disk, or in the program.
    pub size_bytes: Option<u64>,
    /// Bytes of all files that are downloaded for it, and of those that are still missing.
    pub download_bytes: Option<u64>,
    pub missing_bytes: Option<u64>,
    pub parameters: Option<u64>,
    pub layers: Option<usize>,
    pub heads: Option<usize>,
    pub width: Option<usize>,
    /// Context length in tokens.
    pub context: Option<usize>,
    pub vocabulary: Option<usize>,
    pub licence: Option<String>,
    /// The commit that opens from the cache.
    pub cached_commit: Option<String>,
    /// The commit that the Hub has, where it was asked.
    pub hub_commit: Option<String>,
    /// Whether its owner must grant access first; `None` where the Hub was not asked.
    pub gated: Option<bool>,
    /// Why this program does not open it.
    pub problem: Option<String>,
}

impl ModelDetails {
    /// Nothing but the name.
    pub fn new(id: impl Into<String>, place: ModelPlace) -> Self {
        ModelDetails {
            id: id.into(),
            place,
            doc: String::new(),
            size_bytes: None,
            download_bytes: None,
            missing_bytes: None,
            parameters: None,
            layers: None,
            heads: None,
            width: None,
            context: None,
            vocabulary: None,
            licence: None,
            cached_commit: None,
            hub_commit: None,
            gated: None,
            problem: None,
        }
    }

    /// Whether the branch has moved on the Hub since it was cached; `None` where the Hub was not asked.
    pub fn moved(&self) -> Option<bool> {
        Some(self.cached_commit.as_ref()? != self.hub_commit.as_ref()?)
    }

    /// Whether some of it lies in the cache.
    pub fn is_in_cache(&self) -> bool {
        matches!(self.place, ModelPlace::Cached | ModelPlace::Partial)
    }

    fn take_shape(&mut self, config: &Config) {
        self.parameters = Some(config.parameters() as u64);
        self.layers = Some(config.n_layer);
        self.heads = Some(config.n_head);
        self.width = Some(config.n_embd);
        self.context = Some(config.n_positions);
        self.vocabulary = Some(config.vocab_size);
    }

    /// What the list of known models says.
    fn take_known(&mut self, known: &CatalogModel) {
        known.doc.clone_into(&mut self.doc);
        self.parameters = known.parameters();
        if let Some(shape) = &known.shape {
            self.layers = Some(shape.layers as usize);
            self.heads = Some(shape.heads as usize);
            self.width = Some(shape.width as usize);
            self.context = Some(shape.context as usize);
            self.vocabulary = Some(shape.vocabulary as usize);
        }
        self.licence = known.licence.map(str::to_owned);
        self.download_bytes = known.download;
    }

    /// What `config.json` says, or why it cannot be used.
    pub(super) fn take_config(&mut self, bytes: &[u8]) {
        match Config::parse(bytes, CONFIG) {
            Ok(config) => self.take_shape(&config),
            Err(error) => self.problem = Some(visible(&error.to_string())),
        }
    }
}

/// Every model at hand or worth suggesting, without the network: the bundled ones, those in the cache, the known ones that
/// are not, and last what the cache holds that this program does not open. Takes as long as looking at every file name in
/// the cache does.
///
/// # Errors
/// A cache folder that cannot be read.
pub fn models_at_hand(options: &HubOptions) -> Result<Vec<ModelDetails>, HubError> {
    let bundled = [ModelSpec::Demo, ModelSpec::Copier];
    let mut all: Vec<ModelDetails> =
        bundled.iter().filter_map(|spec| describe_local(spec, options).ok()).collect();
    let ids = cached_models(options)?.into_iter().map(|model| ModelSpec::present_id(&model.id).to_owned());
    for id in ids.chain(catalog::KNOWN_MODELS.iter().map(|known| known.id.to_owned())) {
        if all.iter().all(|model| model.id != id) {
            all.push(describe_local(&ModelSpec::Hub { id, revision: None }, options)?);
        }
    }
    all.sort_by_key(|model| model.problem.is_some());
    Ok(all)
}

/// What the disk and the list of known models tell about a model, without the network.
///
/// # Errors
/// A folder that is not there; an id that cannot be one.
pub fn describe_local(spec: &ModelSpec, options: &HubOptions) -> Result<ModelDetails, HubError> {
    match spec {
        ModelSpec::Demo | ModelSpec::Copier => bundled(spec),
        ModelSpec::Folder(path) => folder(path),
        ModelSpec::Hub { id, revision } => cached(&WantedFiles::new(id, revision.as_deref(), options)?),
    }
}

fn bundled(spec: &ModelSpec) -> Result<ModelDetails, HubError> {
    let files = embedded(spec).ok_or(HubError::NoBundledModel)?;
    let mut details = ModelDetails::new(spec.to_string(), ModelPlace::Bundled);
    details.doc = match spec {
        ModelSpec::Copier => {
            "two layers that copy what came before, grown by this program (grow induction)".into()
        }
        _ => "GPT-2's architecture, trained by this program on public-domain novels".into(),
    };
    details.licence = Some("MIT".into());
    details.size_bytes = Some((files.config.len() + files.tokenizer.len() + files.weights.len()) as u64);
    details.take_config(files.config);
    Ok(details)
}

fn folder(path: &Path) -> Result<ModelDetails, HubError> {
    let id = path.display().to_string();
    let mut details = ModelDetails::new(&id, ModelPlace::Folder);
    if path.is_file() {
        details.size_bytes = path.metadata().ok().map(|m| m.len());
        return Ok(details);
    }
    if !path.is_dir() {
        return Err(HubError::NoFolder { path: path.to_owned() });
    }
    if adapter::is_adapter(path) {
        details.doc = format!("LoRA adapter of {}", adapter::base(path)?);
        details.size_bytes = Some(occupied(path));
        return Ok(details);
    }
    details.licence = card_licence(path);
    match FolderFiles::find_local(path, &id) {
        Ok(files) => details.size_bytes = Some(files.weights.paths().iter().map(|p| length(p)).sum()),
        Err(Gap::Missing(missing)) => details.problem = Some(format!("the folder has no {missing}")),
        Err(Gap::Wrong(error)) => details.problem = Some(error.to_string()),
    }
    if let Some(config) = local_config(path) {
        details.take_config(&config);
    }
    Ok(details)
}

fn cached(wanted: &WantedFiles<'_>) -> Result<ModelDetails, HubError> {
    let mut details = ModelDetails::new(wanted.id, ModelPlace::Hub);
    if let Some(known) = catalog::KNOWN_MODELS.iter().find(|known| known.id == wanted.id) {
        details.take_known(known);
    }
    for id in [Some(wanted.id), ModelSpec::legacy_id(wanted.id)].into_iter().flatten() {
        let cache = RepoCache::new(&wanted.settings.cache, id);
        if !cache.folder().is_dir() || details.place == ModelPlace::Cached {
            continue;
        }
        details.place = ModelPlace::Partial;
        details.size_bytes = Some(details.size_bytes.unwrap_or(0) + size_of(&cache.folder()));
        let Some(commit) = cache.commit_of(wanted.revision) else { continue };
        let snapshot = cache.snapshot(&commit);
        match FolderFiles::find(&snapshot, id) {
            Ok(_) => {
                (details.place, details.problem) = (ModelPlace::Cached, None);
                details.cached_commit = Some(commit);
            }
            Err(Gap::Wrong(error)) => details.problem = Some(error.to_string()),
            Err(Gap::Missing(_)) => {}
        }
        details.licence = card_licence(&snapshot).or(details.licence);
        if let Some(config) = local_config(&snapshot) {
            details.take_config(&config);
        }
    }
    Ok(details)
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// `config.json` of a folder, where it is a file: a FIFO of that name would be waited for without end.
fn local_config(folder: &Path) -> Option<Vec<u8>> {
    let path = folder.join(CONFIG);
    path.is_file().then(|| read_json(&path).ok()).flatten()
}

/// The licence that the model card in a folder names in its header.
fn card_licence(folder: &Path) -> Option<String> {
    let path = folder.join(CARD);
    let card = path.is_file().then(|| read_json(&path).ok()).flatten()?;
    header_licence(&String::from_utf8_lossy(&card))
}

/// `license: mit` between the two `---` lines at the head of a model card.
fn header_licence(card: &str) -> Option<String> {
    let header = card.trim_start_matches('\u{feff}').strip_prefix("---")?;
    let header = header.split("\n---").next()?;
    let value = header.lines().find_map(|line| line.strip_prefix("license:"))?;
    licence_name(value.trim().trim_matches(['"', '\'']))
}

/// The Hub's name of a licence as people write it.
pub(super) fn licence_name(tag: &str) -> Option<String> {
    let name = match tag.trim() {
        "" => return None,
        "mit" => "MIT",
        "apache-2.0" => "Apache-2.0",
        "bsd-3-clause" => "BSD-3-Clause",
        other => other,
    };
    Some(visible(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_names_its_licence_in_its_header_alone() {
        for (card, licence) in [
            ("---\nlanguage: en\nlicense: mit\n---\n# x", Some("MIT")),
            ("---\r\nlicense: \"openrail\"\r\n---\r\n", Some("openrail")),
            ("---\nlanguage: en\n---\nlicense: mit\n", None),
            ("# x\nlicense: mit\n", None),
            ("---\nlicense:\n---\n", None),
            ("", None),
        ] {
            assert_eq!(header_licence(card).as_deref(), licence, "{card:?}");
        }
        assert_eq!(header_licence("---\nlicense: a\u{1b}[2J\n---").as_deref(), Some("a\\u{1b}[2J"));
    }

    #[test]
    fn the_bundled_model_is_described_from_its_own_files() {
        let demo = describe_local(&ModelSpec::Demo, &HubOptions::default()).unwrap();
        assert_eq!((demo.place, demo.licence.as_deref()), (ModelPlace::Bundled, Some("MIT")));
        assert!(demo.parameters.is_some_and(|n| n > 1_000_000) && demo.context == Some(256));
        assert_eq!((demo.problem.as_deref(), demo.moved()), (None, None));
    }
}
