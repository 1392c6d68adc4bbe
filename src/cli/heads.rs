//! `maskscope heads`: what every head of a model is like, over held-out text.

use std::path::PathBuf;

use serde::Serialize;

use super::documents::documents;
use super::flags::{FlagSet, ParameterFlags, whole};
use super::output::{JsonFlag, note};
use super::{CommandContext, open};
use crate::engine::leak::held_out;
use crate::eval::heads::{HeadProfile, HeadShares, NAMED, profiles};
use crate::model::Tokenizer;
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

/// Tokens of a window of text, at most.
const WINDOW: usize = 128;
/// Print what every head reads over held-out text: sink, previous token, induction, entropy
#[derive(Clone, Debug, clap::Args)]
pub struct HeadsArgs {
    /// File or folder to read instead of the built-in held-out text, in any form that train reads
    #[arg(long, value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// Windows of text; as many windows of random tokens that repeat are used for induction
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
    let (windows, tokens) = (held.windows.len(), held.windows.first().map_or(0, Vec::len));
    let mark = loaded.tokenizer.as_ref().and_then(Tokenizer::end_of_document);
    let heads = profiles(&loaded.model, &held.windows, mark, context.loaded.settings.mask.seed)?;
    let report = HeadsOutput { model: &loaded.id, windows, tokens, heads };
    Ok(if args.output.json { context.out.json(&report) } else { context.out.text(&table(&report)) }?)
}

fn table(report: &HeadsOutput) -> String {
    let mut out = format!(
        "{}: {} windows of {} held-out tokens; induction on as many windows of random tokens that repeat with a period \
         of their own\n\n",
        report.model, report.windows, report.tokens
    );
    let marked = report.heads.iter().any(|h| h.after_mark.is_some());
    let mut columns = vec!["head", "sink", "prev.", "induct.", "entropy"];
    if marked {
        columns.extend(["▸sink", "▸prev.", "▸induct."]);
    }
    columns.push("mostly");
    let mut table = Table::new(columns.clone()).right(1..columns.len() - 1);
    for h in &report.heads {
        let shares = |s: &HeadShares| [s.sink, s.previous, s.induction].map(|share| format!("{share:.3}"));
        let mut row = vec![format!("{}.{}", h.layer, h.head)];
        row.extend(shares(&h.plain));
        row.push(format!("{:.2}", h.plain.entropy));
        row.extend(h.after_mark.iter().flat_map(shares));
        row.push(h.kind.as_deref().unwrap_or("–").to_owned());
        table.row(row);
    }
    out.push_str(&table.to_string());
    out.push_str(&format!(
        "\nhead: layer.head; shares of attention, averaged over queries and windows: sink is the first token, prev. the token \
         before, induct. those after earlier copies; entropy in nats; a head is named at a share of {NAMED} or more\n"
    ));
    if marked {
        out.push_str("▸: the same texts behind the end-of-text token\n");
    }
    out
}
