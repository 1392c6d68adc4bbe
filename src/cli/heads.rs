//! `maskscope heads`: what every head of a model is like, over held-out text.

use std::path::PathBuf;

use serde::Serialize;

use super::documents::documents;
use super::flags::{FlagSet, ParameterFlags, whole};
use super::output::{JsonFlag, note};
use super::{CommandContext, open};
use crate::engine::leak::held_out;
use crate::eval::heads::{HeadProfile, NAMED, profiles};
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

#[derive(Serialize)]
struct HeadsOutput<'a> {
    model: &'a str,
    windows: usize,
    tokens: usize,
    heads: Vec<HeadProfile>,
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
    let (n, tokens) = (windows.len(), windows.first().map_or(0, Vec::len));
    let heads = profiles(model, &windows, context.loaded.settings.mask.seed)?;
    let report = HeadsOutput { model: &loaded.id, windows: n, tokens, heads };
    Ok(if args.output.json { context.out.json(&report) } else { context.out.text(&table(&report)) }?)
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
        table.row([
            layer,
            head,
            sink,
            previous,
            induction,
            entropy,
            h.kind.as_deref().unwrap_or("–").to_owned(),
        ]);
    }
    out.push_str(&table.to_string());
    out.push_str(&format!(
        "\nshares of attention, averaged over queries and windows; entropy in nats; a head is named at a share of {NAMED} or more\n"
    ));
    out
}
