//! `maskscope heads`: what every head of a model is like, over held-out text.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::documents::documents;
use super::flags::{FlagSet, ParameterFlags, whole};
use super::output::{JsonFlag, note};
use super::{CommandContext, open};
use crate::attention::heads::{HeadsRequest, head_stats};
use crate::engine::leak::held_out;
use crate::mask::draw::{Draws, Stream};
use crate::model::finite::check_trace;
use crate::model::forward::Reuse;
use crate::model::input::Input;
use crate::model::{Model, ModelError};
use crate::support::table::Table;

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
        ("refresh", "hub.refresh"),
        ("seed", "mask.seed"),
    ];
}

/// Tokens of a window of text, at most; half of them are drawn, and then repeated, for induction.
const WINDOW: usize = 128;
/// From this share on a head is named after what it reads.
const NAMED: f64 = 0.4;

/// Print what every head reads over held-out text: sink, previous token, induction, entropy
#[derive(Clone, Debug, clap::Args)]
pub struct HeadsArgs {
    /// File or folder to read instead of the built-in held-out text, in any form that train reads
    #[arg(long, value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// Windows of text; the same number of windows of random tokens is used for induction
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = whole::<u16>(1, 10_000))]
    pub windows: u16,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// One head, means over windows.
#[derive(Clone, Debug, Default, Serialize)]
struct Head {
    layer: usize,
    head: usize,
    /// Attention on the first token by later queries.
    sink: f64,
    /// Attention on the token before.
    previous: f64,
    /// On random tokens that come twice in a row: attention to the token after the earlier copy (Olsson 2022).
    induction: f64,
    /// Nats.
    entropy: f64,
    /// What it mostly reads, where it mostly reads one thing.
    kind: Option<&'static str>,
}

#[derive(Serialize)]
struct HeadsOutput<'a> {
    model: &'a str,
    windows: usize,
    tokens: usize,
    heads: Vec<Head>,
}

/// Runs the command.
///
/// # Errors
/// A model without a tokenizer, a text too short for a window.
pub fn run(args: &HeadsArgs, context: &CommandContext) -> anyhow::Result<()> {
    let loaded = open::open(context)?;
    let documents = documents(args.text_file.as_deref(), None, &loaded)?;
    let held = held_out(&loaded, &documents, WINDOW, usize::from(args.windows))?;
    held.note().iter().for_each(|text| note(&format!("note: {text}")));
    let windows = held.windows;
    let model = &loaded.model;
    let mut heads: Vec<Head> = (0..model.config.n_layer * model.config.n_head)
        .map(|at| {
            let (layer, head) = (at / model.config.n_head, at % model.config.n_head);
            Head { layer, head, ..Head::default() }
        })
        .collect();
    let (n, tokens) = (windows.len(), windows.first().map_or(0, Vec::len));
    let seed = context.loaded.settings.mask.seed;
    for (at, window) in windows.into_iter().enumerate() {
        let random = repeated(seed, at, tokens / 2, model.config.vocab_size);
        add(model, window, &mut heads, false)?;
        add(model, random, &mut heads, true)?;
    }
    for head in &mut heads {
        for sum in [&mut head.sink, &mut head.previous, &mut head.induction, &mut head.entropy] {
            *sum /= n as f64;
        }
        head.kind = kind(head);
    }
    let report = HeadsOutput { model: &loaded.id, windows: n, tokens, heads };
    Ok(if args.output.json { context.out.json(&report) } else { context.out.text(&table(&report)) }?)
}

/// `half` random tokens, twice: a copy of what came before can only be found by looking for it.
fn repeated(seed: u64, window: usize, half: usize, vocab: usize) -> Vec<u32> {
    let draws = Draws { sequence: window as u32, ..Draws::new(seed) };
    let one: Vec<u32> = (0..half).map(|i| draws.below(Stream::Replacement, i, vocab) as u32).collect();
    [one.clone(), one].concat()
}

/// Adds one text's statistics.
fn add(model: &Model, ids: Vec<u32>, heads: &mut [Head], random: bool) -> Result<(), ModelError> {
    let len = ids.len();
    let trace = model.run(Arc::new(Input::plain(ids.clone())), Reuse::default())?;
    check_trace(model, &trace)?;
    let mut map = vec![0f32; len * len];
    for head in heads {
        trace.map_into(head.layer, head.head, &mut map)?;
        let stats = head_stats(&map, len, &HeadsRequest { ids: &ids, masked: &[], side: 0 });
        if random {
            head.induction += stats.induction.unwrap_or(0.0);
        } else {
            head.sink += stats.sink;
            head.previous += stats.previous;
            head.entropy += stats.entropy;
        }
    }
    Ok(())
}

fn kind(head: &Head) -> Option<&'static str> {
    [("induction", head.induction), ("previous token", head.previous), ("sink", head.sink)]
        .into_iter()
        .filter(|(_, share)| *share >= NAMED)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(name, _)| name)
}

fn table(report: &HeadsOutput) -> String {
    let mut out = format!(
        "{}: {} windows of {} held-out tokens; induction on as many windows of repeated random tokens\n\n",
        report.model, report.windows, report.tokens
    );
    let heads = ["layer", "head", "sink", "previous", "induction", "entropy", "mostly"];
    let mut table = Table::new(heads).right(0..6);
    for h in &report.heads {
        let shares = [h.sink, h.previous, h.induction].map(|share| format!("{share:.3}"));
        let [sink, previous, induction] = shares;
        let (layer, head, entropy) = (h.layer.to_string(), h.head.to_string(), format!("{:.2}", h.entropy));
        table.row([layer, head, sink, previous, induction, entropy, h.kind.unwrap_or("–").to_owned()]);
    }
    out.push_str(&table.to_string());
    out.push_str(&format!(
        "\nshares of attention, averaged over queries and windows; entropy in nats; a head is named at a share of {NAMED} or more\n"
    ));
    out
}
