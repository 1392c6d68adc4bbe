//! What the Hub says about a model: one request for its card and its files, one more for `config.json` where the model is
//! not cached. Nothing of it is kept on the disk.

use std::sync::atomic::AtomicBool;

use futures_util::StreamExt;
use serde::Deserialize;

use super::HubOptions;
use super::cache::RepoCache;
use super::details::{ModelDetails, ModelPlace, describe_local, licence_name};
use super::download::missing_bytes;
use super::error::HubError;
use super::fetch::{FetchPlan, WantedFiles, block_on};
use super::files::{self, CONFIG, LARGEST_JSON, WeightNames};
use super::progress::{FetchProgress, ProgressReporter};
use super::remote::{Item, Remote, RemoteListing};
use super::spec::ModelSpec;
use super::wait::{Wait, with_tries};

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
    let mut silent = |_: &FetchProgress| {};
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
}
