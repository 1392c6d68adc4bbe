//! `maskscope mask`: one decision, position by position with its reason, and its effect on the next token.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use serde::Serialize;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;
use super::source::{PositionArg, SourceArgs};
use super::tokens::{Next, TokenText, next_tokens};
use super::{CommandContext, open};
use crate::attention::score::Scored;
use crate::attention::types::ScoreSettings;
use crate::config::{PRESETS, Preset, Row};
use crate::engine::explorer::{Explorer, MaskPolicy, Reach};
use crate::mask::reason::reason;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{Decision, MaskSettings, State};
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
        ("score", "score.reduction"),
        ("contribution", "score.contribution"),
        ("score-window", "score.window"),
        ("layers", "score.layers"),
        ("heads", "score.heads"),
        ("top", "explore.top"),
    ];
    const ROWS: &'static [&'static [Row]] = &[MaskSettings::ROWS, RollingSettings::ROWS];
}

/// Decide which tokens are masked, say why for each, and measure what it does to the next token
#[derive(Clone, Debug, clap::Args)]
pub struct MaskArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Start from a named set of mask and score settings; other flags override it
    #[arg(long, value_name = "NAME", value_parser = preset_parser(), help_heading = "Mask")]
    pub preset: Option<Preset>,
    #[command(flatten)]
    pub position: PositionArg,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

pub(super) fn preset_parser() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(PRESETS.iter().map(|preset| PossibleValue::new(preset.name).help(preset.doc)))
        .try_map(|name| Preset::find(&name).ok_or("no such preset"))
}

/// One position, explained.
#[derive(Debug, Serialize)]
struct PositionOutput {
    index: usize,
    id: u32,
    token: TokenText,
    /// The number compared with τ; null when protected.
    score: Option<f64>,
    /// 1 is the highest score among the eligible.
    rank: Option<usize>,
    draw: f64,
    state: &'static str,
    reason: String,
    op: Option<&'static str>,
    /// Heads that keep it, where every head decides for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    heads: Option<usize>,
}

/// What decided: names and numbers that make the report reproducible.
#[derive(Debug, Serialize)]
pub(super) struct AppliedSettings {
    polarity: &'static str,
    scale: &'static str,
    op: &'static str,
    replacement: &'static str,
    drop_positions: &'static str,
    protect: String,
    scope: &'static str,
    unit: &'static str,
    exact_k: bool,
    /// The score in force, in words and symbols.
    pub(super) score: String,
    /// Its name, and the name of the one asked for: another one stands in where a model cannot be measured.
    score_in_force: &'static str,
    score_asked: &'static str,
    /// Attention sinks found in this text.
    sinks: String,
}

#[derive(Debug, Serialize)]
struct MaskOutput<'a> {
    model: &'a str,
    settings: AppliedSettings,
    seed: u64,
    tau: f64,
    p: f64,
    eligible: usize,
    selected: usize,
    /// Of the eligible positions.
    rate: f64,
    /// Why nothing was selected, where that is so.
    note: Option<String>,
    positions: Vec<PositionOutput>,
    baseline: Vec<Next>,
    masked: Vec<Next>,
    /// KL(baseline ‖ masked) at the last position.
    kl_nats: f32,
    /// Mean loss without and with the mask, nats per token; under scope `whole` the mask has looked ahead.
    loss_baseline: Option<f32>,
    loss_masked: Option<f32>,
    look_ahead: bool,
    /// null where a vector that is not a token stands.
    masked_ids: Vec<Option<u32>>,
    masked_text: String,
    /// Where decisions fell under scope `block`, in tokens.
    boundaries: Vec<usize>,
    /// Tokens among the selected that left the context where kept ones were encoded again, under scope `block`.
    left_context: Option<usize>,
    /// Share of all heads' keys and values that the cache holds at the end, under scope `block`.
    cache_share: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// A model or text that cannot be run, a mask that leaves nothing.
pub fn run(args: &MaskArgs, context: &CommandContext) -> Result<(), CliError> {
    let settings = &context.loaded.settings;
    let (mask, score) = (settings.mask.clone(), settings.score.clone());
    let loaded = open::open(context)?;
    if score.reduction == crate::attention::types::Reduction::DistanceNull && loaded.tokenizer.is_some() {
        open::calibrate(&loaded)?;
    }
    let mut explorer = open::explorer(loaded, &args.source, Reach::of(&mask))?;
    args.position.point(&mut explorer)?;
    let rolling = settings.rolling.clone().settled();
    let policy = MaskPolicy { mask: &mask, score: &score, rolling: &rolling };
    let choice = explorer.choose(policy, None)?;
    let baseline = explorer.baseline(None)?;
    let top = settings.explore.top;
    let (effect, _) = explorer.effect(&choice, (mask.op, top), None)?;
    let decision = &choice.decision;
    let before = explorer.prediction(&baseline, top)?;
    let report = MaskOutput {
        model: &explorer.loaded.id,
        settings: applied((&mask, &score), decision, &choice.scored),
        seed: mask.seed,
        tau: mask.threshold,
        p: mask.probability,
        eligible: decision.eligible,
        selected: decision.selected,
        rate: decision.rate(),
        note: choice.note.clone(),
        positions: positions(&explorer, &mask, decision),
        baseline: next_tokens(&before.next, &explorer.loaded),
        masked: next_tokens(&effect.prediction.next, &explorer.loaded),
        kl_nats: effect.kl,
        loss_baseline: before.loss,
        loss_masked: effect.prediction.loss,
        look_ahead: mask.scope == crate::mask::types::Scope::Whole,
        masked_ids: choice.plan.masked_ids(),
        masked_text: explorer.masked_text(&choice.plan),
        boundaries: choice.window.as_ref().map_or_else(Vec::new, |w| w.rows.iter().map(|r| r.end).collect()),
        left_context: choice.window.as_ref().map(|w| w.left),
        cache_share: choice.window.as_ref().map(|w| w.cache_share),
    };
    if args.output.json { context.out.json(&report) } else { context.out.text(&plain(&report, &explorer)) }
}

pub(super) fn applied(
    (mask, score): (&MaskSettings, &ScoreSettings),
    decision: &Decision,
    scored: &Scored,
) -> AppliedSettings {
    AppliedSettings {
        polarity: mask.polarity.name(),
        scale: decision.scale.name(),
        op: mask.op.name(),
        replacement: mask.replacement.name(),
        drop_positions: mask.drop_positions.name(),
        protect: mask.protect.to_string(),
        scope: mask.scope.name(),
        unit: mask.unit.name(),
        exact_k: mask.exact_k,
        score: scored.formula.clone(),
        score_in_force: scored.reduction.name(),
        score_asked: score.reduction.name(),
        sinks: scored.sinks.to_string(),
    }
}

fn positions(explorer: &Explorer, mask: &MaskSettings, decision: &Decision) -> Vec<PositionOutput> {
    let one = |(index, at): (usize, &crate::mask::types::PositionDecision)| PositionOutput {
        index,
        id: explorer.ids[index],
        token: TokenText::new(&explorer.tokens[index].bytes),
        score: at.score,
        rank: at.rank,
        draw: at.draw,
        state: at.state.name(),
        reason: reason(mask, decision, index),
        op: at.op.filter(|_| at.state == State::Masked).map(crate::mask::types::Op::name),
        heads: at.heads,
    };
    decision.positions.iter().enumerate().map(one).collect()
}

fn plain(report: &MaskOutput, explorer: &Explorer) -> String {
    let mut out = format!("{}\n\n", report.settings.score);
    let mut positions = Table::default().right([1]);
    for p in &report.positions {
        let sign = if p.op.is_some() { "■" } else { " " };
        let (index, token) = (p.index.to_string(), explorer.tokens[p.index].display.clone());
        positions.row([sign.to_owned(), index, token, p.reason.clone()]);
    }
    out.push_str(&format!(
        "{positions}\n{} of {} eligible positions selected (rate {:.3}, seed {})\n",
        report.selected, report.eligible, report.rate, report.seed
    ));
    if let Some(left) = report.left_context.filter(|left| *left > 0) {
        let by_rule = report.selected.saturating_sub(left);
        out.push_str(&format!("{by_rule} of them masked by the rule, {left} left the context\n"));
    }
    if let Some(note) = &report.note {
        out.push_str(&format!("{note}\n"));
    }
    out.push_str(&format!("\n{}\n\n", report.masked_text));
    let cell = |n: &Next| {
        format!(
            "{:6.2} %  {}",
            100.0 * n.p,
            explorer.loaded.tokenizer.as_ref().map_or_else(|| format!("#{}", n.id), |t| t.display(n.id))
        )
    };
    let mut next = Table::new(["baseline".to_owned(), format!("masked ({})", report.settings.op)]);
    report.baseline.iter().zip(&report.masked).for_each(|(a, b)| next.row([cell(a), cell(b)]));
    out.push_str(&format!("{next}\n"));
    match report.kl_nats {
        kl if kl.is_finite() => out.push_str(&format!("KL(baseline ‖ masked) {kl:.4} nats")),
        _ => out.push_str("the token at that position was dropped: nothing is predicted after it"),
    }
    if let (Some(a), Some(b)) = (report.loss_baseline, report.loss_masked) {
        let look = if report.look_ahead { " (look-ahead)" } else { " (block: decided from the past only)" };
        out.push_str(&format!(", loss {a:.4} → {b:.4} nats per token{look}"));
    }
    out.push('\n');
    out
}
