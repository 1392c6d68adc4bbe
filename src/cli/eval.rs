//! `maskscope eval`: what hiding a share of the tokens costs over held-out text, by polarity and scope, with intervals, and
//! what the mask itself gives away.

use std::path::PathBuf;

use indicatif::ProgressBar;
use serde::Serialize;

use super::documents::documents;
use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags, whole};
use super::output::{JsonFlag, note};
use super::{CommandContext, open};
use crate::attention::types::ScoreSettings;
use crate::engine::explorer::{Explorer, MaskPolicy};
use crate::engine::leak::{held_out, mask_bits, measure};
use crate::engine::types::LeakReport;
use crate::eval::hidden::{RiseApart, WindowCost, arm_cost, paired, rise};
use crate::eval::stats::{Bootstrap, Interval};
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Polarity, Scope};
use crate::support::progress::bar;
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
        ("op", "mask.op"),
        ("replacement", "mask.replacement"),
        ("seed", "mask.seed"),
        ("protect", "mask.protect"),
        ("unit", "mask.unit"),
        ("score", "score.reduction"),
        ("contribution", "score.contribution"),
        ("layers", "score.layers"),
        ("heads", "score.heads"),
    ];
}

/// Measure over held-out text what masking a share of the tokens costs, or how two models differ by document
#[derive(Clone, Debug, clap::Args)]
pub struct EvalArgs {
    /// File or folder to measure on, in any form that train reads; by default, the bundled held-out passages
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Column that holds the text, or the conversations, in tables and JSON
    #[arg(long, value_name = "NAME", requires = "data")]
    pub column: Option<String>,
    /// Mask rate: share of the eligible positions to mask
    #[arg(long, value_name = "NUMBER", default_value_t = 0.15)]
    pub rate: f64,
    /// Probability p that a candidate is masked: with 1 the score alone decides; τ follows from rate and p
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub probability: f64,
    /// Windows of text, spread evenly over it
    #[arg(long, value_name = "N", default_value_t = 96, value_parser = whole::<u32>(2, 100_000))]
    pub windows: u32,
    /// Tokens per window; by default, the model's context
    #[arg(long, value_name = "N")]
    pub length: Option<usize>,
    /// Measure the loss of whole documents, without masks, with confidence intervals over documents
    #[arg(long)]
    pub by_document: bool,
    /// With --by-document: tokens from one window of a long document to the next; less than a window makes them overlap, so that
    /// every token has more context
    #[arg(long, value_name = "N", requires = "by_document", value_parser = whole::<usize>(1, 1_000_000))]
    pub stride: Option<usize>,
    /// Another model (an id or a folder) to compare with the first, document by document
    #[arg(long, value_name = "MODEL", requires = "by_document")]
    pub against: Option<String>,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Range {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl From<Interval> for Range {
    fn from(i: Interval) -> Self {
        Range { value: i.value, low: i.low, high: i.high }
    }
}

#[derive(Debug, Serialize)]
struct ArmReport {
    scope: &'static str,
    /// Under `whole` the mask has looked ahead, and its loss is not a perplexity.
    look_ahead: bool,
    polarity: &'static str,
    rate: f64,
    /// Nats per token.
    loss_rise: Range,
    /// The same over positions whose own token was masked, and over all others: the two can rank policies oppositely.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked_rise: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unmasked_rise: Option<f64>,
    /// Against random polarity on the same windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    against_random: Option<Range>,
    /// Clean loss and rise together, exponentiated; only where the past alone decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    perplexity: Option<f64>,
    /// Bits per token that the mask tells about the next token.
    #[serde(skip_serializing_if = "Option::is_none")]
    leak_bits: Option<Range>,
}

#[derive(Debug, Serialize)]
struct EvalOutput<'a> {
    model: &'a str,
    windows: usize,
    tokens_per_window: usize,
    op: &'static str,
    tau: f64,
    p: f64,
    /// Tokens before the first boundary, and between boundaries, under scope `block`.
    first_window: usize,
    stride: usize,
    /// The score in force, in words and symbols.
    score: String,
    clean_loss: f64,
    clean_perplexity: f64,
    arms: Vec<ArmReport>,
}

/// What is asked, checked.
struct EvalSettings {
    mask: MaskSettings,
    rolling: RollingSettings,
}

/// Runs the command.
///
/// # Errors
/// A model or text that cannot be run, or an impossible mask rate.
pub fn run(args: &EvalArgs, context: &CommandContext) -> Result<(), CliError> {
    if args.by_document {
        return super::eval_documents::run(args, context);
    }
    if !(args.rate > 0.0 && args.rate < 1.0 && args.probability >= args.rate && args.probability <= 1.0) {
        let problem = format!("--rate {} with --probability {} is not possible", args.rate, args.probability);
        return Err(CliError::usage(problem)
            .with_hint("--rate must be between 0 and 1, and --probability from the rate to 1"));
    }
    let loaded = open::open(context)?;
    let documents = documents(args.data.as_deref(), args.column.as_deref(), &loaded)?;
    if loaded.tokenizer.is_some() {
        open::calibrate(&loaded)?;
    }
    let length = args.length.unwrap_or(loaded.model.config.n_positions);
    let held = held_out(&loaded, &documents, length, args.windows as usize)?;
    held.note().iter().for_each(|text| note(&format!("note: {text}")));
    let windows = held.windows;
    let tokens = windows[0].len();
    let question = question(args, context, tokens)?;
    let score = context.loaded.settings.score.clone();
    let mut explorer = Explorer::new(loaded);
    let bar = bar(windows.len(), "{pos}/{len} windows {wide_bar} {eta}");
    let scopes = [Scope::Block, Scope::Whole];
    let polarities = [Polarity::High, Polarity::Random, Polarity::Low];
    let mut arms: Vec<MeasuredArm> = Vec::new();
    for scope in scopes.into_iter().filter(|s| possible(*s, question.mask.op)) {
        arms.extend(polarities.map(|polarity| MeasuredArm {
            scope,
            polarity,
            costs: Vec::new(),
            apart: RiseApart::default(),
            bits: Vec::new(),
        }));
    }
    let (clean, formula) = run_arms(&mut explorer, &windows, (&question, &score), &mut arms, &bar)?;
    bar.finish_and_clear();
    let clean_loss = clean.iter().sum::<f64>() / clean.len() as f64;
    let report = EvalOutput {
        model: &explorer.loaded.id,
        windows: windows.len(),
        tokens_per_window: tokens,
        op: question.mask.op.name(),
        tau: question.mask.threshold,
        p: question.mask.probability,
        first_window: question.rolling.window,
        stride: question.rolling.stride,
        score: formula,
        clean_loss,
        clean_perplexity: clean_loss.exp(),
        arms: arm_reports(&arms, &windows, clean_loss),
    };
    if args.output.json { context.out.json(&report) } else { context.out.text(&plain(&report)) }
}

/// Runs every arm over every window, into `arms`; gives the clean losses by window and the score's formula.
fn run_arms(
    explorer: &mut Explorer,
    windows: &[Vec<u32>],
    (question, score): (&EvalSettings, &ScoreSettings),
    arms: &mut [MeasuredArm],
    bar: &ProgressBar,
) -> Result<(Vec<f64>, String), CliError> {
    let (mut clean, mut formula) = (Vec::new(), String::new());
    for (n, ids) in windows.iter().enumerate() {
        explorer.set_ids(ids)?;
        let baseline = explorer.baseline(None)?.by_position();
        let known: Vec<f64> = baseline.iter().flatten().map(|p| -f64::from(*p)).collect();
        clean.push(known.iter().sum::<f64>() / known.len().max(1) as f64);
        for arm in &mut *arms {
            let mask = MaskSettings {
                scope: arm.scope,
                polarity: arm.polarity,
                seed: question.mask.seed.wrapping_add(n as u64),
                ..question.mask.clone()
            };
            let policy = MaskPolicy { mask: &mask, score, rolling: &question.rolling };
            let choice = explorer.choose(policy, None)?;
            let run = explorer.masked(&choice.plan, None)?;
            let masked = run.by_position();
            let cost = rise(&baseline, &masked).unwrap_or(0.0);
            arm.apart.add(&baseline, &masked, &choice.decision.masked());
            arm.costs.push(WindowCost { rise: cost, rate: choice.decision.rate() });
            arm.bits.push(mask_bits(&choice, arm.scope));
            formula.clone_from(&choice.scored.formula);
        }
        bar.inc(1);
    }
    Ok((clean, formula))
}

/// One polarity under one scope.
struct MeasuredArm {
    scope: Scope,
    polarity: Polarity,
    costs: Vec<WindowCost>,
    apart: RiseApart,
    bits: Vec<Vec<u16>>,
}

/// A token that was read already cannot be replaced or dropped after the fact.
fn possible(scope: Scope, op: Op) -> bool {
    scope == Scope::Whole || op.works_in_blocks()
}

fn question(args: &EvalArgs, context: &CommandContext, tokens: usize) -> Result<EvalSettings, CliError> {
    let given = |key: &str| args.parameters.values().iter().any(|v| v.key == key);
    let mut mask = context.loaded.settings.mask.clone();
    if !given("mask.op") {
        mask.op = Op::Hide;
    }
    mask.mix = None;
    mask.probability = args.probability;
    mask.threshold = 1.0 - args.rate / args.probability;
    // Every boundary decides afresh at the same rate: what is hidden never adds up to more than was asked for.
    let rolling = RollingSettings {
        window: (tokens / 4).max(1),
        stride: (tokens / 8).max(1),
        recent: (tokens / 32).max(1),
        history: 0.0,
        cool_down: 0,
        sticky: false,
        initial: None,
        policy: None,
        ..context.loaded.settings.rolling.clone().settled()
    };
    Ok(EvalSettings { mask, rolling })
}

fn arm_reports(arms: &[MeasuredArm], windows: &[Vec<u32>], clean_loss: f64) -> Vec<ArmReport> {
    let bootstrap = Bootstrap::default();
    let one = |arm: &MeasuredArm| {
        let cost = arm_cost(&arm.costs, &bootstrap)?;
        let random = arms.iter().find(|a| a.scope == arm.scope && a.polarity == Polarity::Random);
        let against = random.filter(|_| arm.polarity != Polarity::Random);
        let leak: Option<LeakReport> = measure(windows, &arm.bits);
        Some(ArmReport {
            scope: arm.scope.name(),
            look_ahead: arm.scope == Scope::Whole,
            polarity: arm.polarity.name(),
            rate: cost.rate,
            loss_rise: cost.rise.into(),
            masked_rise: arm.apart.masked(),
            unmasked_rise: arm.apart.unmasked(),
            against_random: against.and_then(|r| paired(&arm.costs, &r.costs, &bootstrap)).map(Range::from),
            perplexity: (arm.scope == Scope::Block).then(|| (clean_loss + cost.rise.value).exp()),
            leak_bits: leak.map(|l| Range { value: l.bits, low: l.low, high: l.high }),
        })
    };
    arms.iter().filter_map(one).collect()
}

fn plain(r: &EvalOutput) -> String {
    let mut out = format!(
        "{}: {} windows of {} held-out tokens, {} at τ {:.3}, p {:.3}\nscore: {}\n",
        r.model, r.windows, r.tokens_per_window, r.op, r.tau, r.p, r.score
    );
    out.push_str(&format!(
        "clean loss {:.4} nats per token, perplexity {:.2}; block: first boundary at {}, then every {} tokens\n\n",
        r.clean_loss, r.clean_perplexity, r.first_window, r.stride
    ));
    let heads = [
        "scope",
        "polarity",
        "rate",
        "rise of the loss, nats/token",
        "masked",
        "others",
        "against random",
        "perplexity",
        "leak, bits/token",
    ];
    let mut table = Table::new(heads).right([2]);
    let range = |x: Option<Range>| {
        x.map_or("–".to_owned(), |x| format!("{:+.4} [{:+.4}, {:+.4}]", x.value, x.low, x.high))
    };
    let one = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{x:+.4}"));
    for a in &r.arms {
        let scope = if a.look_ahead { "whole (look-ahead)" } else { "block" };
        table.row([
            scope.to_owned(),
            a.polarity.to_owned(),
            format!("{:.3}", a.rate),
            range(Some(a.loss_rise)),
            one(a.masked_rise),
            one(a.unmasked_rise),
            range(a.against_random),
            a.perplexity.map_or("–".to_owned(), |p| format!("{p:.2}")),
            range(a.leak_bits),
        ]);
    }
    out.push_str(&table.to_string());
    out.push_str("\n95 % intervals by resampling windows\n");
    out
}
