//! `maskscope effect`: what a mask does under every operation, beside the baseline, with re-rolled seeds; the numbers of the
//! screen's effect panel.

use std::sync::Arc;

use serde::Serialize;

use super::error::CliError;
use super::flags::{ParameterFlags, whole};
use super::mask::{AppliedSettings, Flags, applied, preset_parser};
use super::output::JsonFlag;
use super::source::{PositionArg, SourceArgs};
use super::tokens::{Next, next_tokens};
use super::{CommandContext, open};
use crate::config::Preset;
use crate::engine::background::Rerolls;
use crate::engine::explorer::{ExploreError, Explorer, Reach, SIDE_BY_SIDE};
use crate::engine::types::{ExploreRequest, HeadChoice, MapKind, MaskEffect, RerollRow, Spread, Update};
use crate::mask::types::{Op, Scope};
use crate::support::table::Table;

/// Most seeds that one command tries.
const MOST_REROLLS: i64 = 100_000;

/// Compare what every operation does to the next token: KL, change of log-probability, work saved
#[derive(Clone, Debug, clap::Args)]
pub struct EffectArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Start from a named set of mask and score settings; other flags override it
    #[arg(long, value_name = "NAME", value_parser = preset_parser(), help_heading = "Mask")]
    pub preset: Option<Preset>,
    /// Repeat with this many seeds, from the given one on, and print mean and spread
    #[arg(long, value_name = "K", value_parser = whole::<u64>(1, MOST_REROLLS))]
    pub rerolls: Option<u64>,
    #[command(flatten)]
    pub position: PositionArg,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

#[derive(Debug, Serialize)]
struct Baseline {
    next: Vec<Next>,
    /// Nats per token.
    loss: Option<f32>,
    surprisal: Vec<Option<f32>>,
}

/// One operation on the same selection.
#[derive(Debug, Serialize)]
struct OpReport {
    op: &'static str,
    next: Vec<Next>,
    /// KL(baseline ‖ masked) at the last position.
    kl_nats: f32,
    /// Mean change of log-probability at masked positions and at all other surviving ones.
    delta_masked: Option<f32>,
    delta_unmasked: Option<f32>,
    loss: Option<f32>,
    /// Position in the full text of every row that was run: what the deleted text aligns with.
    alignment: Vec<usize>,
    tokens_saved: usize,
    /// Rows, summed over layers.
    computed: usize,
    reused: usize,
    saved: usize,
    /// Multiply-adds in matrix products that those saved rows would have cost.
    saved_multiply_adds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerolls: Option<RerollReport>,
}

#[derive(Debug, Serialize)]
struct MeanSpread {
    mean: f64,
    sd: f64,
    n: usize,
}

impl From<Spread> for MeanSpread {
    fn from(s: Spread) -> Self {
        MeanSpread { mean: s.mean, sd: s.sd, n: s.n }
    }
}

#[derive(Debug, Serialize)]
struct RerollReport {
    kl_nats: MeanSpread,
    loss: MeanSpread,
    delta_masked: MeanSpread,
    delta_unmasked: MeanSpread,
    saved_share: MeanSpread,
}

#[derive(Debug, Serialize)]
struct EffectOutput {
    model: String,
    settings: AppliedSettings,
    seed: u64,
    tau: f64,
    p: f64,
    eligible: usize,
    selected: usize,
    rate: f64,
    note: Option<String>,
    /// Losses under scope `whole` come from a mask that has looked ahead.
    look_ahead: bool,
    baseline: Baseline,
    effects: Vec<OpReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rerolled_rate: Option<MeanSpread>,
}

/// Runs the command.
///
/// # Errors
/// A model or text that cannot be run, a mask that leaves nothing.
pub fn run(args: &EffectArgs, context: &CommandContext) -> Result<(), CliError> {
    let mut request = request(context)?;
    request.position = args.position.position;
    let loaded = open::open(context)?;
    if request.score.reduction == crate::attention::types::Reduction::DistanceNull
        && loaded.tokenizer.is_some()
    {
        open::calibrate(&loaded)?;
    }
    let mut explorer = open::explorer(loaded, &args.source, Reach::of(&request.mask))?;
    args.position.point(&mut explorer)?;
    let report = measure(&mut explorer, &request, args.rerolls)?;
    if args.output.json { context.out.json(&report) } else { context.out.text(&plain(&report, &explorer)) }
}

/// What the screen would ask its engine.
fn request(context: &CommandContext) -> Result<ExploreRequest, CliError> {
    let settings = &context.loaded.settings;
    Ok(ExploreRequest {
        generation: 0,
        text: Arc::from(""),
        mask: settings.mask.clone(),
        score: settings.score.clone(),
        rolling: settings.rolling.clone().settled(),
        map: MapKind::Masked,
        heads: HeadChoice::default(),
        top: settings.explore.top,
        overview: false,
        effects: true,
        position: None,
        interventions: Arc::default(),
    })
}

fn measure(
    explorer: &mut Explorer,
    request: &ExploreRequest,
    rerolls: Option<u64>,
) -> Result<EffectOutput, ExploreError> {
    let mask = &request.mask;
    let choice = explorer.choose(request.policy(), None)?;
    let baseline = explorer.baseline(None)?;
    let before = explorer.prediction(&baseline, request.top)?;
    let rows = rerolls.map(|k| reroll(explorer, request, k as usize)).transpose()?;
    let find = |op: Op| rows.as_ref().and_then(|(_, rows)| rows.iter().find(|r| r.op == op));
    let (effect, run) = explorer.effect(&choice, (mask.op, request.top), None)?;
    let kept = run.kept.as_ref().map_or_else(|| (0..run.full_len).collect(), |k| k.to_vec());
    let mut effects = vec![op_report(explorer, &effect, kept, find(mask.op))];
    if mask.scope == Scope::Whole {
        for op in SIDE_BY_SIDE.into_iter().filter(|op| *op != mask.op) {
            let effect = explorer.effect_of((&choice.decision, mask), (op, request.top), None)?;
            let gone = choice.decision.masked();
            let dropped = |i: &usize| op == Op::Drop && gone.binary_search(i).is_ok();
            let kept = (0..explorer.ids.len()).filter(|i| !dropped(i)).collect();
            effects.push(op_report(explorer, &effect, kept, find(op)));
        }
    }
    Ok(EffectOutput {
        settings: applied((mask, &request.score), &choice.decision, &choice.scored),
        seed: mask.seed,
        tau: mask.threshold,
        p: mask.probability,
        eligible: choice.decision.eligible,
        selected: choice.decision.selected,
        rate: choice.decision.rate(),
        note: choice.note.clone(),
        look_ahead: mask.scope == Scope::Whole,
        baseline: Baseline {
            next: next_tokens(&before.next, &explorer.loaded),
            loss: before.loss,
            surprisal: before.surprisal,
        },
        effects,
        rerolled_rate: rows.map(|(rate, _)| rate.into()),
        model: explorer.loaded.id.clone(),
    })
}

/// The task that the screen runs in the background, run to its end.
fn reroll(
    explorer: &mut Explorer,
    request: &ExploreRequest,
    count: usize,
) -> Result<(Spread, Arc<[RerollRow]>), ExploreError> {
    let mut task = Rerolls::new(0, count, request.clone());
    loop {
        if let Update::Rerolls { done, of, rate, rows, .. } = task.step(explorer, None)?
            && done >= of
        {
            return Ok((rate, rows));
        }
    }
}

fn op_report(
    explorer: &Explorer,
    effect: &MaskEffect,
    alignment: Vec<usize>,
    rerolled: Option<&RerollRow>,
) -> OpReport {
    let w = effect.work;
    OpReport {
        op: effect.op.name(),
        next: next_tokens(&effect.prediction.next, &explorer.loaded),
        kl_nats: effect.kl,
        delta_masked: effect.delta_masked,
        delta_unmasked: effect.delta_unmasked,
        loss: effect.prediction.loss,
        tokens_saved: explorer.ids.len() - alignment.len(),
        alignment,
        computed: w.computed,
        reused: w.reused,
        saved: w.saved,
        saved_multiply_adds: w.saved as u64 * explorer.loaded.model.config.multiply_adds_per_row(),
        rerolls: rerolled.map(|r| RerollReport {
            kl_nats: r.kl.into(),
            loss: r.loss.into(),
            delta_masked: r.delta_masked.into(),
            delta_unmasked: r.delta_unmasked.into(),
            saved_share: r.saved.into(),
        }),
    }
}

fn plain(report: &EffectOutput, explorer: &Explorer) -> String {
    let mut out = format!("{}\n", report.settings.score);
    out.push_str(&format!(
        "{} of {} eligible positions selected (rate {:.3}, seed {})\n",
        report.selected, report.eligible, report.rate, report.seed
    ));
    if let Some(note) = &report.note {
        out.push_str(&format!("{note}\n"));
    }
    let heads = std::iter::once("baseline".to_owned()).chain(report.effects.iter().map(|e| e.op.to_owned()));
    let mut table = Table::new(std::iter::once(String::new()).chain(heads)).at_most(24);
    let mut line = |name: &str, cells: Vec<String>| table.row(std::iter::once(name.to_owned()).chain(cells));
    let shown = |n: Option<&Next>| {
        n.map_or(String::new(), |n| {
            let token =
                explorer.loaded.tokenizer.as_ref().map_or_else(|| format!("#{}", n.id), |t| t.display(n.id));
            format!("{:5.2} % {token}", 100.0 * n.p)
        })
    };
    for i in 0..report.baseline.next.len() {
        let lists = std::iter::once(&report.baseline.next).chain(report.effects.iter().map(|e| &e.next));
        line(if i == 0 { "next" } else { "" }, lists.map(|l| shown(l.get(i))).collect());
    }
    let signed = |x: Option<f32>| x.map_or("–".to_owned(), |x| format!("{x:+.4}"));
    let mut row = |name: &str, first: String, of: &dyn Fn(&OpReport) -> String| {
        line(name, std::iter::once(first).chain(report.effects.iter().map(of)).collect());
    };
    row("KL, nats", String::new(), &|e| format!("{:.4}", e.kl_nats));
    row("Δ masked", String::new(), &|e| signed(e.delta_masked));
    row("Δ unmasked", String::new(), &|e| signed(e.delta_unmasked));
    let loss = |x: Option<f32>| x.map_or("–".to_owned(), |x| format!("{x:.4}"));
    row("loss", loss(report.baseline.loss), &|e| loss(e.loss));
    row("tokens saved", String::new(), &|e| e.tokens_saved.to_string());
    row("rows saved", String::new(), &|e| e.saved.to_string());
    if report.effects.iter().any(|e| e.rerolls.is_some()) {
        let spread = |s: &MeanSpread| {
            if s.n == 0 { "–".to_owned() } else { format!("{:.4} ± {:.4}", s.mean, s.sd) }
        };
        row("re-rolled KL", String::new(), &|e| {
            e.rerolls.as_ref().map_or(String::new(), |r| spread(&r.kl_nats))
        });
        row("Δ unmasked", String::new(), &|e| {
            e.rerolls.as_ref().map_or(String::new(), |r| spread(&r.delta_unmasked))
        });
    }
    out.push_str(&table.to_string());
    if report.look_ahead {
        out.push_str("Losses are look-ahead: the mask was decided with the whole text in view\n");
    } else {
        out.push_str("Scope block: the mask was decided from the past only\n");
    }
    if let Some(rate) = &report.rerolled_rate {
        out.push_str(&format!("rate over {} seeds: {:.3} ± {:.3}\n", rate.n, rate.mean, rate.sd));
    }
    out
}
