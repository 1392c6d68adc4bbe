//! What is known of a model before it is opened: sizes, shape, licence, and whether it would open at all. What the disk
//! tells comes at once; what the Hub tells costs one or two small requests. Nothing is downloaded into the cache.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::HubOptions;
use super::adapter;
use super::bundled::embedded;
use super::cache::{RepoCache, occupied};
use super::catalog::{self, CatalogModel, cached_models, size_of};
use super::download::missing_bytes;
use super::error::{HubError, visible};
use super::fetch::{FetchPlan, WantedFiles, block_on};
use super::files::{self, CONFIG, FolderFiles, Gap, LARGEST_JSON, WeightNames, read_json};
use super::progress::ProgressReporter;
use super::remote::{Item, Remote, RemoteListing};
use super::spec::ModelSpec;
use super::wait::{Wait, with_tries};
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
    fn take_config(&mut self, bytes: &[u8]) {
        match Config::parse(bytes, CONFIG) {
            Ok(config) => self.take_shape(&config),
            Err(error) => self.problem = Some(visible(&error.to_string())),
        }
    }
}

/// Every model at hand or worth suggesting, without the network: the bundled one, those in the cache, the known ones that
/// are not, and last what the cache holds that this program does not open. Takes as long as looking at every file name in
/// the cache does.
///
/// # Errors
/// A cache folder that cannot be read.
pub fn models_at_hand(options: &HubOptions) -> Result<Vec<ModelDetails>, HubError> {
    let mut all: Vec<ModelDetails> = describe_local(&ModelSpec::Demo, options).into_iter().collect();
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
        ModelSpec::Demo => bundled(),
        ModelSpec::Folder(path) => folder(path),
        ModelSpec::Hub { id, revision } => cached(&WantedFiles::new(id, revision.as_deref(), options)?),
    }
}

/// What is known of a model, the Hub's answer included: the commit, the size of the download, and for a model that is
/// not cached its shape and licence. Folders and the bundled model need no network, and nor does anything in the cache
/// while `options.offline` holds. Blocks until done; setting `cancel` ends every wait within a moment.
///
/// # Errors
/// As [`describe_local`]; the Hub does not know the model or does not answer; offline and not in the cache.
pub fn describe(
    spec: &ModelSpec,
    options: &HubOptions,
    cancel: &AtomicBool,
) -> Result<ModelDetails, HubError> {
    let details = describe_local(spec, options)?;
    let ModelSpec::Hub { id, revision } = spec else { return Ok(details) };
    let wanted = WantedFiles::new(id, revision.as_deref(), options)?;
    if wanted.settings.offline {
        let absent = || HubError::Offline { id: id.clone(), missing: "every file".into() };
        return if details.is_in_cache() { Ok(details) } else { Err(absent()) };
    }
    block_on(ask(&wanted, details, Wait { cancel, stall: wanted.settings.stall_timeout }))?
}

fn bundled() -> Result<ModelDetails, HubError> {
    let files = embedded().ok_or(HubError::NoBundledModel)?;
    let mut details = ModelDetails::new("demo", ModelPlace::Bundled);
    details.doc = "GPT-2's architecture, trained by this program on public-domain novels".into();
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
fn licence_name(tag: &str) -> Option<String> {
    let name = match tag.trim() {
        "" => return None,
        "mit" => "MIT",
        "apache-2.0" => "Apache-2.0",
        "bsd-3-clause" => "BSD-3-Clause",
        other => other,
    };
    Some(visible(name))
}

/// What the Hub's answer about a repository says beside the list of files; all of it may be missing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HubCard {
    card_data: serde_json::Value,
    tags: Vec<String>,
    /// `false`, or how access is granted.
    gated: serde_json::Value,
    safetensors: Option<HubTensors>,
}

#[derive(Deserialize)]
struct HubTensors {
    total: Option<u64>,
}

impl HubCard {
    fn licence(&self) -> Option<String> {
        let named = match &self.card_data["license"] {
            serde_json::Value::Array(all) => all.first().and_then(|one| one.as_str()),
            one => one.as_str(),
        };
        named.or_else(|| self.tags.iter().find_map(|tag| tag.strip_prefix("license:"))).and_then(licence_name)
    }

    fn is_gated(&self) -> bool {
        !matches!(self.gated, serde_json::Value::Null | serde_json::Value::Bool(false))
    }
}

/// Adds the Hub's answer to what is known already.
async fn ask(
    wanted: &WantedFiles<'_>,
    mut details: ModelDetails,
    wait: Wait<'_>,
) -> Result<ModelDetails, HubError> {
    let remote = Remote::new(&wanted.settings, wanted.id, wanted.revision, wait)?;
    let mut silent = |_: &super::FetchProgress| {};
    let mut reporter = ProgressReporter::new(&mut silent);
    let body = with_tries(&wanted.settings, wait, &mut reporter, async || remote.about().await).await?;
    let listing = RemoteListing::parse(&body, wanted.id)?;
    let card: HubCard = serde_json::from_slice(&body).unwrap_or_default();
    details.licence = card.licence().or(details.licence);
    details.gated = Some(card.is_gated());
    let plan = match FetchPlan::from_listing(&listing, wanted.id) {
        Ok(plan) => plan,
        Err(error) => {
            if details.place != ModelPlace::Cached {
                details.problem = Some(error.to_string());
            }
            details.hub_commit = Some(listing.commit);
            return Ok(details);
        }
    };
    // What opens is the cached one: its shape stays, even where the Hub has a newer version.
    if details.place != ModelPlace::Cached {
        match small_file(&remote, &listing, CONFIG).await {
            Ok(config) => details.take_config(&config),
            Err(error) if error.is_cancelled() => return Err(error),
            // A gated model says no more than this.
            Err(_) => {}
        }
    }
    details.parameters = details.parameters.or_else(|| card.safetensors.as_ref()?.total);
    if let Some(items) = download(&remote, &listing, &plan).await? {
        let cache = RepoCache::new(&wanted.settings.cache, wanted.id);
        details.download_bytes = Some(items.iter().map(|item| item.size).sum());
        let missing = items.iter().map(|item| missing_bytes(&cache, &listing.commit, item)).sum();
        details.missing_bytes = Some(missing);
    }
    details.hub_commit = Some(listing.commit);
    Ok(details)
}

/// The files of a download with their sizes; `None` where the Hub does not tell.
async fn download(
    remote: &Remote<'_>,
    listing: &RemoteListing,
    plan: &FetchPlan,
) -> Result<Option<Vec<Item>>, HubError> {
    let mut names = vec![CONFIG.to_owned()];
    names.extend(plan.small.iter().cloned());
    names.push(plan.weights.name().to_owned());
    if let WeightNames::Index(index) = plan.weights {
        let shards = small_file(remote, listing, index).await;
        match shards.and_then(|index| files::parse_index(&index, plan.weights, remote.id)) {
            Ok(shards) => names.extend(shards),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(_) => return Ok(None),
        }
    }
    let mut items = Vec::with_capacity(names.len());
    for name in &names {
        match remote.item(listing, name).await {
            Ok(item) => items.push(item),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(_) => return Ok(None),
        }
    }
    Ok(Some(items))
}

/// The content of a small file, which is not kept; one of an absurd size is given up.
async fn small_file(remote: &Remote<'_>, listing: &RemoteListing, name: &str) -> Result<Vec<u8>, HubError> {
    let (_, mut chunks) = remote.stream(&listing.commit, name, None).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = remote.wait.guard(name, chunks.next()).await? {
        bytes.extend_from_slice(chunk?.as_ref());
        if bytes.len() as u64 > LARGEST_JSON {
            return Err(HubError::BadAnswer { what: name.into(), detail: "it does not end".into() });
        }
    }
    Ok(bytes)
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
    fn the_hubs_card_is_read_as_far_as_it_goes() {
        let card = |json: &str| serde_json::from_str::<HubCard>(json).unwrap();
        for (json, licence, gated) in [
            (r#"{"cardData": {"license": "mit"}, "gated": false}"#, Some("MIT"), false),
            (
                r#"{"cardData": {"license": ["apache-2.0", "mit"]}, "gated": "auto"}"#,
                Some("Apache-2.0"),
                true,
            ),
            (r#"{"tags": ["gpt2", "license:other"]}"#, Some("other"), false),
            (r#"{"cardData": null}"#, None, false),
        ] {
            assert_eq!((card(json).licence().as_deref(), card(json).is_gated()), (licence, gated), "{json}");
        }
        assert_eq!(card(r#"{"safetensors": {"total": 7}}"#).safetensors.unwrap().total, Some(7));
    }

    #[test]
    fn the_bundled_model_is_described_from_its_own_files() {
        let demo = describe_local(&ModelSpec::Demo, &HubOptions::default()).unwrap();
        assert_eq!((demo.place, demo.licence.as_deref()), (ModelPlace::Bundled, Some("MIT")));
        assert!(demo.parameters.is_some_and(|n| n > 1_000_000) && demo.context == Some(256));
        assert_eq!((demo.problem.as_deref(), demo.moved()), (None, None));
    }
}
