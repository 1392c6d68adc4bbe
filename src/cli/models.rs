//! `maskscope models`: cached and known models.

use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;
use super::{CommandContext, convert};
use crate::hub::{CachedModel, KNOWN_MODELS, ModelSpec, cached_models, moved};
use crate::support::table::Table;
use crate::support::units::bytes;

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] =
        &[("cache", "hub.cache"), ("offline", "hub.offline"), ("refresh", "hub.refresh")];
}

/// List cached and known models
#[derive(Clone, Debug, clap::Args)]
pub struct ModelsArgs {
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
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
}

/// Runs the command.
///
/// # Errors
/// A cache folder that cannot be read.
pub fn run(args: &ModelsArgs, context: &CommandContext) -> Result<(), CliError> {
    let options = convert::hub_options(context);
    let asked = |m: &CachedModel| {
        let spec = ModelSpec::Hub { id: m.id.clone(), revision: None };
        let asks = options.refresh && !options.offline && m.is_usable();
        asks.then(|| moved(&spec, &options, &AtomicBool::new(false)).ok())
            .flatten()
            .map(|newer| newer.is_some())
    };
    let cached: Vec<Cached> = cached_models(&options)?
        .into_iter()
        .map(|m| Cached {
            usable: m.is_usable(),
            moved: asked(&m),
            path: m.path.display().to_string(),
            bytes: m.size_bytes,
            id: m.id,
        })
        .collect();
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
    if args.output.json {
        return context.out.json(&serde_json::json!({ "bundled": "demo", "cached": cached, "known": known }));
    }
    let table = || Table::default().right([1]).indented(2);
    let (mut here, mut others) = (table(), table());
    for m in &cached {
        let state = match (m.usable, m.moved) {
            (false, _) => "incomplete, or not a GPT-2-style checkpoint",
            (true, Some(true)) => "ready; the Hub has a newer one: open it with --refresh",
            (true, _) => "ready",
        };
        here.row([m.id.clone(), bytes(m.bytes), state.to_owned()]);
    }
    for m in &known {
        let size = m.download_bytes.map_or_else(|| "?".to_owned(), bytes);
        others.row([m.id.to_owned(), size, m.doc.to_owned()]);
    }
    let here = match cached.is_empty() {
        true => "  none yet; `maskscope --model openai-community/gpt2` downloads one\n".to_owned(),
        false => here.to_string(),
    };
    context.out.text(&format!("bundled\n  demo\n\ncached\n{here}\nknown\n{others}"))
}
