//! From an id on the Hub to a whole snapshot in the cache: the cache first, then the network.
//!
//! Runs on the caller's thread, in a runtime of its own; never called from an async runtime.

use std::sync::atomic::AtomicBool;

use super::cache::{RepoCache, is_commit};
use super::download::{check_space, fetch_blob, fetch_file, link, missing_bytes};
use super::error::{HubError, visible};
use super::files::{self, FolderFiles, Gap, WeightNames};
use super::options::ResolvedOptions;
use super::progress::{FetchProgress, Phase, ProgressReporter};
use super::remote::{Item, Remote, RemoteListing};
use super::spec::{ModelSpec, valid_id, valid_revision};
use super::verify;
use super::wait::{Wait, with_tries};
use super::{Files, HubOptions, ModelSnapshot};
use crate::model::adapter;
use crate::model::load::judge;

const DEFAULT_REVISION: &str = "main";

/// What is asked for, with its names checked.
pub(super) struct WantedFiles<'a> {
    pub id: &'a str,
    pub revision: &'a str,
    pub settings: ResolvedOptions,
}

impl<'a> WantedFiles<'a> {
    pub fn new(id: &'a str, revision: Option<&'a str>, options: &HubOptions) -> Result<Self, HubError> {
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        if !valid_id(id) || !valid_revision(revision) {
            return Err(HubError::BadSpec { text: visible(&format!("{id}@{revision}")) });
        }
        Ok(Self::checked(id, Some(revision), options))
    }

    /// The same for names that were checked already.
    pub fn checked(id: &'a str, revision: Option<&'a str>, options: &HubOptions) -> Self {
        let revision = revision.unwrap_or(DEFAULT_REVISION);
        WantedFiles { id, revision, settings: ResolvedOptions::from_environment(options) }
    }

    /// The snapshot that the cache holds, if it is whole. Python may have cached it under the id's old name.
    pub fn cached(&self) -> Result<ModelSnapshot, Gap> {
        let found = self.cached_as(self.id);
        match (ModelSpec::legacy_id(self.id), found) {
            (Some(legacy), Err(Gap::Missing(name))) => self.cached_as(legacy).map_err(|_| Gap::Missing(name)),
            (_, found) => found,
        }
    }

    fn cached_as(&self, id: &str) -> Result<ModelSnapshot, Gap> {
        let cache = RepoCache::new(&self.settings.cache, id);
        let commit = cache.commit_of(self.revision).ok_or_else(|| Gap::Missing("every file".into()))?;
        let folder = cache.snapshot(&commit);
        let files = FolderFiles::find(&folder, self.id).map_err(|gap| match gap {
            Gap::Wrong(error) => Gap::Wrong(match verify::damaged(&folder, files::LARGEST_JSON) {
                Some(file) => HubError::Damaged { id: self.id.into(), file },
                None => error,
            }),
            missing @ Gap::Missing(_) => missing,
        })?;
        Ok(self.snapshot(files, commit))
    }

    fn snapshot(&self, files: FolderFiles, commit: String) -> ModelSnapshot {
        ModelSnapshot { revision: Some(commit), ..ModelSnapshot::of(self.id.into(), Files::Folder(files)) }
    }

    /// The cached snapshot, or one fetched now.
    pub fn fetch(
        &self,
        refresh: bool,
        progress: &mut dyn FnMut(&FetchProgress),
        cancel: &AtomicBool,
    ) -> Result<ModelSnapshot, HubError> {
        let cached = match self.cached() {
            Ok(snapshot) if self.settings.offline || !refresh => return Ok(snapshot),
            Err(Gap::Wrong(error)) if self.settings.offline || !refresh => return Err(error),
            cached => cached,
        };
        if self.settings.offline {
            let missing = if let Err(Gap::Missing(name)) = cached { name } else { String::new() };
            return Err(HubError::Offline { id: self.id.into(), missing });
        }
        let wait = Wait { cancel, stall: self.settings.stall_timeout };
        let fetched = block_on(self.download(wait, &mut ProgressReporter::new(progress)))?;
        match (fetched, cached) {
            // Whatever is wrong with the new one, the old one is whole.
            (Err(error), Ok(snapshot)) if !error.is_cancelled() => {
                Ok(ModelSnapshot { note: Some(format!("{error}; the cached snapshot is used")), ..snapshot })
            }
            (fetched, _) => fetched,
        }
    }

    /// The Hub's commit where it differs from the cached one.
    pub fn moved(&self, cancel: &AtomicBool) -> Result<Option<String>, HubError> {
        let known = self.cached().ok().and_then(|snapshot| snapshot.revision);
        let Some(known) = known.filter(|_| !self.settings.offline && !is_commit(self.revision)) else {
            return Ok(None);
        };
        let wait = Wait { cancel, stall: self.settings.stall_timeout };
        let listing = block_on(async {
            let remote = Remote::new(&self.settings, self.id, self.revision, wait)?;
            remote.listing().await
        })??;
        Ok((listing.commit != known).then_some(listing.commit))
    }

    async fn download(
        &self,
        wait: Wait<'_>,
        reporter: &mut ProgressReporter<'_>,
    ) -> Result<ModelSnapshot, HubError> {
        let remote = Remote::new(&self.settings, self.id, self.revision, wait)?;
        reporter.phase(Phase::Asking);
        let listing = with_tries(&self.settings, wait, reporter, async || remote.listing().await).await?;
        let cache = RepoCache::new(&self.settings.cache, self.id);
        if let Some(error) = self.lone_adapter(&remote, &cache, &listing, reporter).await? {
            return Err(error);
        }
        let plan = FetchPlan::from_listing(&listing, self.id)?;
        cache.prepare(&listing.commit)?;
        let mut job = Job { remote: &remote, cache: &cache, listing: &listing, reporter };

        // The kind of model is known from a few hundred bytes; nothing large is fetched before.
        let config = job.item(files::CONFIG).await?;
        job.reporter.plan(plan.small.len() + 2, config.size);
        let config = job.fetch_json(&config).await?;
        files::judge_config(&config, self.id)?;

        let weights = job.weights(plan.weights, self.id).await?;
        let (small, weights) = (job.items(&plan.small).await?, job.items(&weights).await?);
        job.plan_rest(small.iter().chain(&weights))?;
        job.fetch_items(&small).await?;
        // Nor are weights that no tokenizer could feed.
        judge(&cache.snapshot(&listing.commit)).map_err(|error| HubError::unusable(self.id, error))?;
        job.fetch_items(&weights).await?;
        // Last of all, so that a revision never leads to half a snapshot.
        cache.write_ref(self.revision, &listing.commit)?;
        reporter.phase(Phase::Finished);
        match FolderFiles::find(&cache.snapshot(&listing.commit), self.id) {
            Ok(files) => Ok(self.snapshot(files, listing.commit)),
            Err(Gap::Wrong(error)) => Err(error),
            Err(Gap::Missing(missing)) => Err(HubError::Incomplete { id: self.id.into(), missing }),
        }
    }
}

impl WantedFiles<'_> {
    /// A repository that holds an adapter and no model: said with the base that it names.
    async fn lone_adapter(
        &self,
        remote: &Remote<'_>,
        cache: &RepoCache,
        listing: &RemoteListing,
        reporter: &mut ProgressReporter<'_>,
    ) -> Result<Option<HubError>, HubError> {
        let has = |name: &str| listing.files.contains_key(name);
        if has(files::CONFIG) || !has(adapter::CONFIG) {
            return Ok(None);
        }
        cache.prepare(&listing.commit)?;
        let mut job = Job { remote, cache, listing, reporter };
        let item = job.item(adapter::CONFIG).await?;
        let told = job.fetch_json(&item).await?;
        Ok(Some(match adapter::Adapter::parse(&told, adapter::CONFIG) {
            Ok(adapter) => HubError::Unusable {
                id: self.id.into(),
                problem: format!("a LoRA adapter of {}, not a model", visible(&adapter.base)),
                hint: Some(
                    "download its files into a folder and open that: the base is fetched for it".into(),
                ),
            },
            Err(error) => HubError::unusable(self.id, error),
        }))
    }
}

/// The files to fetch besides `config.json`; the weights come last, so that a snapshot with weights is whole.
pub(super) struct FetchPlan {
    pub small: Vec<String>,
    pub weights: WeightNames,
}

impl FetchPlan {
    pub fn from_listing(listing: &RemoteListing, id: &str) -> Result<Self, HubError> {
        let has = |name: &str| listing.files.contains_key(name);
        let missing = |missing: String| HubError::Incomplete { id: id.into(), missing };
        if !has(files::CONFIG) {
            return Err(missing(files::CONFIG.into()));
        }
        let tokenizer = files::choose_tokenizer(&has).map_err(missing)?;
        let weights = files::choose_weights(&has).map_err(missing)?;
        let optional = files::optional().filter(|name| has(name) && !tokenizer.contains(name));
        let small = tokenizer.iter().copied().chain(optional).map(str::to_owned).collect();
        Ok(FetchPlan { small, weights })
    }
}

/// One download's tools.
pub(super) struct Job<'j, 'r> {
    pub remote: &'j Remote<'j>,
    pub cache: &'j RepoCache,
    pub listing: &'j RemoteListing,
    pub reporter: &'j mut ProgressReporter<'r>,
}

impl Job<'_, '_> {
    pub async fn item(&mut self, name: &str) -> Result<Item, HubError> {
        let (remote, listing) = (self.remote, self.listing);
        with_tries(remote.settings, remote.wait, self.reporter, async || remote.item(listing, name).await)
            .await
    }

    /// Fetches files of which none may be seen before all are there: the links into the snapshot come last.
    pub async fn fetch_all(&mut self, names: &[String]) -> Result<(), HubError> {
        let items = self.items(names).await?;
        self.plan_rest(items.iter())?;
        let commit = &self.listing.commit;
        for item in &items {
            fetch_blob(self.remote, self.cache, commit, item, self.reporter).await?;
        }
        items.iter().try_for_each(|item| link(self.cache, commit, item))
    }

    async fn fetch(&mut self, item: &Item) -> Result<(), HubError> {
        fetch_file(self.remote, self.cache, &self.listing.commit, item, self.reporter).await
    }

    /// Fetches a small file and reads it.
    pub async fn fetch_json(&mut self, item: &Item) -> Result<Vec<u8>, HubError> {
        self.fetch(item).await?;
        files::read_json(&self.cache.snapshot(&self.listing.commit).join(&item.name))
    }

    /// The files that hold the weights: one, or the shards that an index, fetched now, names.
    async fn weights(&mut self, names: WeightNames, id: &str) -> Result<Vec<String>, HubError> {
        let WeightNames::Index(index) = names else { return Ok(vec![names.name().to_owned()]) };
        let item = self.item(index).await?;
        let shards = files::parse_index(&self.fetch_json(&item).await?, names, id)?;
        if let Some(absent) = shards.iter().find(|s| !self.listing.files.contains_key(*s)) {
            return Err(HubError::FileNotFound { id: id.into(), file: absent.clone() });
        }
        Ok(shards)
    }

    async fn items(&mut self, names: &[String]) -> Result<Vec<Item>, HubError> {
        let mut items = Vec::with_capacity(names.len());
        for name in names {
            items.push(self.item(name).await?);
        }
        Ok(items)
    }

    /// Announces what is still to come, and refuses what the disk cannot hold.
    fn plan_rest<'i>(&mut self, items: impl Iterator<Item = &'i Item> + Clone) -> Result<(), HubError> {
        self.reporter.plan_rest(items.clone().count(), items.clone().map(|item| item.size).sum());
        let commit = &self.listing.commit;
        check_space(items.map(|item| missing_bytes(self.cache, commit, item)).sum(), self.cache.folder())
    }

    async fn fetch_items(&mut self, items: &[Item]) -> Result<(), HubError> {
        for item in items {
            self.fetch(item).await?;
        }
        Ok(())
    }
}

/// Runs a future to its end on this thread. Xet, where the Hub uses it, brings threads of its own.
pub(super) fn block_on<F: Future>(future: F) -> Result<F::Output, HubError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(HubError::Runtime)?;
    Ok(runtime.block_on(future))
}
