//! `maskscope models`: models listed and described; `models_cache` downloads and removes them.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::output::{JsonFlag, note};
use super::{CommandContext, convert, models_cache};
use crate::config::FlagValue;
use crate::hub::{
    CachedModel, HubError, KNOWN_MODELS, ModelDetails, ModelPlace, ModelSpec, cached_models, describe,
    describe_local, models_at_hand, moved,
};
use crate::support::table::Table;
use crate::support::units::{bytes, count};

/// Flags of the list.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] =
        &[("cache", "hub.cache"), ("offline", "hub.offline"), ("refresh", "hub.refresh")];
}

/// Flags of what may ask the Hub.
#[derive(Clone, Copy, Debug)]
pub struct HubFlags;

impl FlagSet for HubFlags {
    const FLAGS: &'static [(&'static str, &'static str)] =
        &[("cache", "hub.cache"), ("offline", "hub.offline")];
}

/// Flags of what needs the Hub, or never asks it.
#[derive(Clone, Copy, Debug)]
pub struct CacheFlags;

impl FlagSet for CacheFlags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[("cache", "hub.cache")];
}

/// List, describe, download and remove models
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ModelsArgs {
    #[command(subcommand)]
    pub action: Option<ModelsAction>,
    #[command(flatten)]
    pub list: ListArgs,
}

/// What to do with them; without one, they are listed.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum ModelsAction {
    /// List cached and known models
    List(ListArgs),
    /// Show what is known of a model before it is downloaded: sizes, parameters, context, licence
    Info(InfoArgs),
    /// Download a model into the cache; a broken download continues where it stopped
    Pull(PullArgs),
    /// Download the newest version of a model
    Refresh(RefreshArgs),
    /// Remove a model, or one revision of it, from the cache
    Remove(RemoveArgs),
}

/// `maskscope models list`
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// A model, and which version of it.
#[derive(Clone, Debug, clap::Args)]
pub struct ModelArgs {
    /// owner/name, owner/name@revision, a folder, or demo
    #[arg(value_name = "ID")]
    pub id: String,
    /// Branch, tag or commit; without it, main
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,
}

/// `maskscope models info`
#[derive(Clone, Debug, clap::Args)]
pub struct InfoArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<HubFlags>,
}

/// `maskscope models pull`
#[derive(Clone, Debug, clap::Args)]
pub struct PullArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<HubFlags>,
}

/// `maskscope models refresh`
#[derive(Clone, Debug, clap::Args)]
pub struct RefreshArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<CacheFlags>,
}

/// `maskscope models remove`
#[derive(Clone, Debug, clap::Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<CacheFlags>,
}

impl ModelsArgs {
    /// The settings that the flags of the chosen action set.
    pub fn parameters(&self) -> &[FlagValue] {
        match &self.action {
            None => self.list.parameters.values(),
            Some(ModelsAction::List(args)) => args.parameters.values(),
            Some(ModelsAction::Info(args)) => args.parameters.values(),
            Some(ModelsAction::Pull(args)) => args.parameters.values(),
            Some(ModelsAction::Refresh(args)) => args.parameters.values(),
            Some(ModelsAction::Remove(args)) => args.parameters.values(),
        }
    }
}

impl ModelArgs {
    /// The model that is meant.
    ///
    /// # Errors
    /// What names no model; two revisions; a revision of a folder.
    pub fn spec(&self) -> Result<ModelSpec, CliError> {
        let usage = |e: HubError| CliError::usage(e.to_string()).with_hint_if(e.hint());
        let spec: ModelSpec = self.id.parse().map_err(usage)?;
        let Some(revision) = &self.revision else { return Ok(spec) };
        match spec {
            ModelSpec::Hub { id, revision: None } => format!("{id}@{revision}").parse().map_err(usage),
            ModelSpec::Hub { .. } => Err(CliError::usage("the revision is given twice")),
            _ => Err(CliError::usage(format!("{} has no revisions", self.id))),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A cache folder that cannot be read; those of the actions.
pub fn run(args: &ModelsArgs, context: &CommandContext) -> Result<(), CliError> {
    match &args.action {
        None => list(args.list.output.json, context),
        Some(ModelsAction::List(args)) => list(args.output.json, context),
        Some(ModelsAction::Info(args)) => info(args, context),
        Some(ModelsAction::Pull(args)) => models_cache::pull(&args.model, args.output.json, false, context),
        Some(ModelsAction::Refresh(args)) => models_cache::pull(&args.model, args.output.json, true, context),
        Some(ModelsAction::Remove(args)) => models_cache::remove(args, context),
    }
}

/// A model that cannot be had.
pub fn unavailable(error: &HubError) -> CliError {
    CliError::unavailable(error.to_string()).with_hint_if(error.hint())
}

#[derive(Serialize)]
struct KnownOutput {
    id: &'static str,
    /// Sizes, where they are known for certain.
    parameters: Option<u64>,
    layers: Option<u32>,
    heads: Option<u32>,
    context: Option<u32>,
    download_bytes: Option<u64>,
    licence: Option<&'static str>,
    doc: &'static str,
    cached: bool,
}

#[derive(Serialize)]
struct Cached {
    id: String,
    bytes: u64,
    path: String,
    /// Whether a whole GPT-2-style snapshot is there, so that it opens without a network.
    usable: bool,
    /// Whether the Hub has a newer version; null where it was not asked (`--refresh`) or did not answer.
    moved: Option<bool>,
    parameters: Option<u64>,
    context: Option<usize>,
    licence: Option<String>,
    problem: Option<String>,
    revisions: Vec<Revision>,
}

#[derive(Serialize)]
struct Revision {
    commit: String,
    /// Branches and tags that led here when last fetched.
    names: Vec<String>,
    usable: bool,
}

fn list(json: bool, context: &CommandContext) -> Result<(), CliError> {
    let cached = cached(context)?;
    if json {
        let known: Vec<KnownOutput> = KNOWN_MODELS
            .iter()
            .map(|m| KnownOutput {
                id: m.id,
                parameters: m.parameters(),
                layers: m.shape.as_ref().map(|s| s.layers),
                heads: m.shape.as_ref().map(|s| s.heads),
                context: m.shape.as_ref().map(|s| s.context),
                download_bytes: m.download,
                licence: m.licence,
                doc: m.doc,
                cached: cached.iter().any(|c| c.id == m.id && c.usable),
            })
            .collect();
        let value = serde_json::json!({ "bundled": "demo", "bundled_too": ["copier"], "cached": cached, "known": known });
        return context.out.json(&value);
    }
    let at_hand = models_at_hand(&convert::hub_options(context))?;
    let state = |m: &ModelDetails| match m.place {
        ModelPlace::Bundled => "bundled".to_owned(),
        ModelPlace::Hub => "not downloaded".to_owned(),
        ModelPlace::Cached if cached.iter().any(|c| c.id == m.id && c.moved == Some(true)) => {
            "cached; the Hub has a newer version".to_owned()
        }
        ModelPlace::Partial if m.problem.is_some() => "cached, not usable".to_owned(),
        place => place.name().to_owned(),
    };
    let mut table =
        Table::new(["model", "size", "parameters", "context", "licence", "state"]).right([1, 2, 3]);
    for m in &at_hand {
        table.row([
            m.id.clone(),
            m.size_bytes.or(m.download_bytes).map_or_else(String::new, bytes),
            m.parameters.map_or_else(String::new, |n| count(n as usize)),
            m.context.map_or_else(String::new, |n| n.to_string()),
            m.licence.clone().unwrap_or_default(),
            state(m),
        ]);
    }
    context.out.text(&table.to_string())
}

/// What the cache holds, with the Hub's word on newer versions where `--refresh` asks for it.
fn cached(context: &CommandContext) -> Result<Vec<Cached>, CliError> {
    let options = convert::hub_options(context);
    let asked = |m: &CachedModel| {
        let spec = ModelSpec::Hub { id: m.id.clone(), revision: None };
        let asks = options.refresh && !options.offline && m.is_usable();
        asks.then(|| moved(&spec, &options, &AtomicBool::new(false)).ok())
            .flatten()
            .map(|newer| newer.is_some())
    };
    let output = |m: CachedModel| {
        let details = describe_local(&ModelSpec::Hub { id: m.id.clone(), revision: None }, &options).ok();
        Cached {
            usable: m.is_usable(),
            moved: asked(&m),
            path: m.path.display().to_string(),
            bytes: m.size_bytes,
            parameters: details.as_ref().and_then(|d| d.parameters),
            context: details.as_ref().and_then(|d| d.context),
            licence: details.as_ref().and_then(|d| d.licence.clone()),
            problem: details.and_then(|d| d.problem),
            revisions: (m.revisions.into_iter())
                .map(|r| Revision { commit: r.commit, names: r.names, usable: r.whole })
                .collect(),
            id: m.id,
        }
    };
    Ok(cached_models(&options)?.into_iter().map(output).collect())
}

fn info(args: &InfoArgs, context: &CommandContext) -> Result<(), CliError> {
    let options = convert::hub_options(context);
    let spec = args.model.spec()?;
    let details = match describe(&spec, &options, &AtomicBool::new(false)) {
        Ok(details) => details,
        Err(error) => {
            let local = describe_local(&spec, &options).ok().filter(ModelDetails::is_in_cache);
            let local = local.ok_or_else(|| unavailable(&error))?;
            note(&format!("note: the Hub was not heard: {error}"));
            local
        }
    };
    if args.output.json {
        return context.out.json(&details);
    }
    let mut table = Table::default();
    for (name, value) in lines(&details) {
        table.row([name.to_owned(), value]);
    }
    context.out.text(&table.to_string())
}

/// What `info` prints, line by line; what is not known has none.
fn lines(m: &ModelDetails) -> Vec<(&'static str, String)> {
    let mut out = vec![("model", m.id.clone())];
    let mut say = |name, value: Option<String>| out.extend(value.map(|value| (name, value)));
    say("about", Some(m.doc.clone()).filter(|doc| !doc.is_empty()));
    say("place", Some(m.place.doc().to_owned()));
    say("on disk", m.size_bytes.map(bytes));
    say("download", m.download_bytes.map(bytes));
    say("to download", m.missing_bytes.filter(|n| Some(*n) != m.download_bytes).map(bytes));
    say("parameters", m.parameters.map(|n| n.to_string()));
    if let (Some(layers), Some(heads), Some(width)) = (m.layers, m.heads, m.width) {
        say("shape", Some(format!("{layers} layers × {heads} heads, width {width}")));
    }
    say("context", m.context.map(|n| format!("{n} tokens")));
    say("vocabulary", m.vocabulary.map(|n| format!("{n} tokens")));
    say("licence", m.licence.clone());
    say("access", (m.gated == Some(true)).then(|| "its owner must grant it first".to_owned()));
    say("cached commit", m.cached_commit.clone());
    say("commit on the Hub", m.hub_commit.clone());
    if m.moved() == Some(true) {
        say("newer version", Some(format!("yes: `maskscope models refresh {}` fetches it", m.id)));
    }
    say(
        "opens",
        Some(m.problem.as_ref().map_or_else(|| "yes".to_owned(), |problem| format!("no: {problem}"))),
    );
    out
}
