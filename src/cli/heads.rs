//! `maskscope heads`: what every head of a model is like, over held-out text.

use std::path::PathBuf;

use serde::Serialize;

use super::documents::documents;
use super::flags::{FlagSet, ParameterFlags, whole};
use super::output::{JsonFlag, note};
use super::{CommandContext, open};
use crate::attention::heads::HeadStats;
use crate::engine::leak::held_out;
use crate::model::{Model, ModelError, Tokenizer};
use crate::support::table::Table;
use crate::train::probe;

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
/// From this share on a head is named after what it reads.
const NAMED: f64 = 0.4;

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

/// What a head reads, means over windows.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct HeadShares {
    /// Attention on the first token by later queries.
    sink: f64,
    /// Attention on the token before.
    previous: f64,
    /// On random tokens that repeat with a period of their own: attention to the tokens after earlier copies (Olsson 2022).
    induction: f64,
    /// Nats.
    entropy: f64,
}

impl HeadShares {
    fn add_text(&mut self, stats: &HeadStats) {
        self.sink += stats.sink;
        self.previous += stats.previous;
        self.entropy += stats.entropy;
    }

    fn over(self, n: usize) -> Self {
        let [sink, previous, induction, entropy] =
            [self.sink, self.previous, self.induction, self.entropy].map(|sum| sum / n as f64);
        HeadShares { sink, previous, induction, entropy }
    }
}

/// One head.
#[derive(Clone, Debug, Default, Serialize)]
struct Head {
    layer: usize,
    head: usize,
    #[serde(flatten)]
    plain: HeadShares,
    /// The same texts behind the end-of-text token, where the tokenizer has one.
    after_mark: Option<HeadShares>,
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
    let (windows, tokens) = (held.windows.len(), held.windows.first().map_or(0, Vec::len));
    let seed = context.loaded.settings.mask.seed;
    let model = &loaded.model;
    let plain = shares(model, &held.windows, None, seed)?;
    let mark = loaded.tokenizer.as_ref().and_then(Tokenizer::end_of_document);
    let marked = mark.map(|mark| shares(model, &held.windows, Some(mark), seed)).transpose()?;
    let n_head = model.config.n_head;
    let head = |(at, plain): (usize, HeadShares)| {
        let after_mark = marked.as_ref().map(|all| all[at]);
        let kind = kind(&plain, after_mark.as_ref());
        Head { layer: at / n_head, head: at % n_head, plain, after_mark, kind }
    };
    let heads = plain.into_iter().enumerate().map(head).collect();
    let report = HeadsOutput { model: &loaded.id, windows, tokens, heads };
    Ok(if args.output.json { context.out.json(&report) } else { context.out.text(&table(&report)) }?)
}

/// Every head's means over the windows, and over as many random texts that repeat; `mark` comes before each of them, in place
/// of its last token.
fn shares(
    model: &Model,
    windows: &[Vec<u32>],
    mark: Option<u32>,
    seed: u64,
) -> Result<Vec<HeadShares>, ModelError> {
    let mut sums = vec![HeadShares::default(); model.config.n_layer * model.config.n_head];
    for (at, window) in windows.iter().enumerate() {
        let begun = |mut ids: Vec<u32>| {
            if let Some(mark) = mark {
                ids.rotate_right(1);
                ids[0] = mark;
            }
            ids
        };
        let text = begun(window.clone());
        let period = probe::varied_period(seed, at, window.len());
        let random = begun(probe::repeats(seed, at, (period, window.len()), model.config.vocab_size));
        for (sum, stats) in sums.iter_mut().zip(probe::heads(model, &text, 0)?) {
            sum.add_text(&stats);
        }
        for (sum, stats) in sums.iter_mut().zip(probe::heads(model, &random, 0)?) {
            sum.induction += stats.induction.unwrap_or(0.0);
        }
    }
    Ok(sums.into_iter().map(|sum| sum.over(windows.len())).collect())
}

/// The name of what a head reads most, with or without a mark before the text.
fn kind(plain: &HeadShares, after_mark: Option<&HeadShares>) -> Option<&'static str> {
    let most = |share: fn(&HeadShares) -> f64| share(plain).max(after_mark.map_or(0.0, share));
    [
        ("induction", most(|s| s.induction)),
        ("previous token", most(|s| s.previous)),
        ("sink", most(|s| s.sink)),
    ]
    .into_iter()
    .filter(|(_, share)| *share >= NAMED)
    .max_by(|a, b| a.1.total_cmp(&b.1))
    .map(|(name, _)| name)
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
        row.push(h.kind.unwrap_or("–").to_owned());
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
