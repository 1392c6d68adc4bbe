//! `maskscope intervene`: what blocked attention, changed heads and patches from another text do to the next token, beside the same
//! number of random interventions of each kind; the numbers of the screen's Interventions pane.

use std::sync::Arc;

use serde::Serialize;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::output::JsonFlag;
use super::source::{PositionArg, SourceArgs};
use super::tokens::{Next, next_tokens};
use super::{CommandContext, open};
use crate::engine::explorer::{Explorer, Reach};
use crate::engine::intervene::Lab;
use crate::engine::intervene::measure::{GridTask, StackTask};
use crate::engine::types::{
    ControlRange, Intervention, InterventionEffect, InterventionReport, Interventions, PatchGrid, StackItem,
};
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
        ("top", "explore.top"),
        ("controls", "explore.controls"),
        ("seed", "mask.seed"),
    ];
}

/// Block attention, change heads or patch from another text, and see what that does to the next token, beside random interventions
#[derive(Clone, Debug, clap::Args)]
pub struct InterveneArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Attention to block, as QUERY:KEY, e.g. 7:2, 5-9:0-3, all:2 or 7:all; @LAYER or @LAYER.HEAD names heads; repeatable
    #[arg(long, value_name = "QUERY:KEY[@HEADS]", value_parser = of_kind("block"), help_heading = "Interventions")]
    pub block: Vec<Intervention>,
    /// Head whose output becomes zero, e.g. 1.0; repeatable
    #[arg(long, value_name = "LAYER.HEAD", value_parser = of_kind("zero"), help_heading = "Interventions")]
    pub ablate: Vec<Intervention>,
    /// Head whose output becomes its mean over the positions up to each query; repeatable
    #[arg(long, value_name = "LAYER.HEAD", value_parser = of_kind("mean"), help_heading = "Interventions")]
    pub mean: Vec<Intervention>,
    /// Head whose output is multiplied by a factor from 0 to 2, e.g. 1.0=0.5; repeatable
    #[arg(long, value_name = "LAYER.HEAD=FACTOR", value_parser = of_kind("gate"), help_heading = "Interventions")]
    pub gate: Vec<Intervention>,
    /// What comes from the other text: the residual stream that goes into a layer (5@2, all@2), or a head's output (5@2.1); repeatable
    #[arg(long, value_name = "POSITION@LAYER", value_parser = of_kind("patch"), help_heading = "Interventions")]
    pub patch: Vec<Intervention>,
    /// Other text of as many tokens that patches come from
    #[arg(long, value_name = "TEXT", conflicts_with = "from_ids", help_heading = "Interventions")]
    pub from: Option<String>,
    /// The same as token ids
    #[arg(long, value_name = "N,N,…", value_parser = super::source::ids, help_heading = "Interventions")]
    pub from_ids: Option<super::source::Ids>,
    /// Patch the residual stream at every layer and position, one at a time
    #[arg(long, help_heading = "Interventions")]
    pub grid: bool,
    /// Token whose logit is followed; otherwise the one that truly follows, or the most probable one
    #[arg(long, value_name = "TOKEN", help_heading = "Interventions")]
    pub contrast: Option<String>,
    /// Token whose logit is taken off that of --contrast
    #[arg(long, value_name = "TOKEN", requires = "contrast", help_heading = "Interventions")]
    pub not: Option<String>,
    #[command(flatten)]
    pub position: PositionArg,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// Reads interventions of one kind.
fn of_kind(kind: &'static str) -> impl Fn(&str) -> Result<Intervention, String> + Clone {
    move |text| Intervention::parse(&format!("{kind} {text}")).map_err(|e| e.to_string())
}

#[derive(Serialize)]
struct ControlsJson {
    n: usize,
    median: f64,
    /// A further one lies at or below this with probability `covers`.
    high: f64,
    covers: f64,
}

impl From<ControlRange> for ControlsJson {
    fn from(r: ControlRange) -> Self {
        ControlsJson { n: r.n, median: r.median, high: r.high, covers: r.covers }
    }
}

#[derive(Serialize)]
struct EffectJson {
    /// As it is written.
    intervention: String,
    /// KL(without ‖ with).
    kl_nats: f64,
    /// Change of the measure.
    change: f64,
    /// Random interventions of its kind: their KL, and the size of their change.
    controls_kl: Option<ControlsJson>,
    controls_change: Option<ControlsJson>,
    /// Whether KL or the size of the change is above `high`; null without controls.
    stands_out: Option<bool>,
    note: Option<String>,
}

#[derive(Serialize)]
struct TogetherJson {
    kl_nats: f64,
    change: f64,
    next: Vec<Next>,
}

#[derive(Serialize)]
struct GridJson {
    /// What the measure is in this text and in the other one.
    this: f64,
    other: f64,
    /// Layer by layer, position by position.
    kl_nats: Vec<Vec<f64>>,
    change: Vec<Vec<f64>>,
}

#[derive(Serialize)]
struct InterveneOutput<'a> {
    model: &'a str,
    ids: &'a [u32],
    position: usize,
    /// What `change` is a change of, and what it is without interventions.
    measure: String,
    value: f64,
    seed: u64,
    next: Vec<Next>,
    interventions: Vec<EffectJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    together: Option<TogetherJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grid: Option<GridJson>,
}

/// Runs the command.
///
/// # Errors
/// A model or text that cannot be run, interventions that cannot be carried out.
pub fn run(args: &InterveneArgs, context: &CommandContext) -> Result<(), CliError> {
    let settings = &context.loaded.settings;
    let mut explorer = open::explorer(open::open(context)?, &args.source, Reach::Context)?;
    args.position.point(&mut explorer)?;
    let asked = Arc::new(asked(args, (settings.explore.controls, settings.mask.seed))?);
    let lab = Lab::new(&mut explorer, &asked, None)?;
    refuse_other(&lab)?;
    let report = measured(&mut explorer, &asked, settings.explore.top)?;
    let grid = if args.grid { Some(grid(&mut explorer, &asked)?) } else { None };
    let next = lab.candidates(&explorer.loaded, &lab.reading, settings.explore.top);
    let out = InterveneOutput {
        model: &explorer.loaded.id,
        ids: &explorer.ids,
        position: lab.position,
        measure: lab.measure.name.clone(),
        value: lab.measure.of(&lab.reading),
        seed: asked.seed,
        next: next_tokens(&next, &explorer.loaded),
        interventions: report.effects.iter().map(effect_json).collect(),
        together: report.together.as_ref().map(|(kl_nats, change, next)| TogetherJson {
            kl_nats: *kl_nats,
            change: *change,
            next: next_tokens(next, &explorer.loaded),
        }),
        grid: grid.as_ref().map(grid_json),
    };
    if args.output.json {
        return context.out.json(&out);
    }
    let mut text = format!(
        "{} is {:.3} after position {}, “{}”\n",
        out.measure, out.value, out.position, explorer.tokens[out.position].display
    );
    if !report.effects.is_empty() {
        text.push_str(&table(&report, asked.controls));
        text.push_str(&predictions(&explorer, &lab, &report, settings.explore.top));
    }
    if let Some(grid) = &grid {
        text.push_str(&grid_text(grid, &explorer));
    }
    context.out.text(&text)
}

/// What the flags ask for.
fn asked(args: &InterveneArgs, (controls, seed): (usize, u64)) -> Result<Interventions, CliError> {
    let all = [&args.block, &args.ablate, &args.mean, &args.gate, &args.patch];
    let list: Vec<StackItem> =
        all.into_iter().flatten().map(|what| StackItem { what: *what, on: true }).collect();
    if list.is_empty() && !args.grid {
        return Err(CliError::usage("no intervention given").with_hint(
            "use --block 7:2, --ablate 1.0, --mean 1.0, --gate 1.0=0.5, --patch 5@2 --from TEXT, or --grid --from TEXT",
        ));
    }
    let (from, from_ids) =
        (args.from.as_deref().map(Arc::from), args.from_ids.as_ref().map(|ids| ids.0.clone()));
    if (args.grid || list.iter().any(|item| item.what.is_patch())) && from.is_none() && from_ids.is_none() {
        return Err(CliError::usage("a patch needs another text to come from")
            .with_hint("add --from TEXT, or --from-ids N,N,…, of as many tokens as this text"));
    }
    let contrast = args.contrast.clone().map(|word| (word, args.not.clone()));
    Ok(Interventions { list, other: from, other_ids: from_ids, contrast, controls, seed })
}

/// A command says what is wrong with the other text at once.
fn refuse_other(lab: &Lab) -> Result<(), CliError> {
    match &lab.other_problem {
        Some((problem, hint)) => Err(CliError::failed(problem).with_hint_if(hint.clone())),
        None => Ok(()),
    }
}

/// The stack, measured to its end.
fn measured(
    explorer: &mut Explorer,
    asked: &Arc<Interventions>,
    top: usize,
) -> Result<InterventionReport, CliError> {
    let mut task = StackTask::new(explorer, asked.clone(), top, None);
    let refused = |problem: &(String, Option<String>)| {
        Err(CliError::failed(problem.0.clone()).with_hint_if(problem.1.clone()))
    };
    while !asked.list.is_empty() && !task.is_over() {
        task.step(explorer, None)?;
        let report = task.report();
        let mut problems =
            report.problem.iter().chain(report.effects.iter().filter_map(|e| e.problem.as_ref()));
        if let Some(problem) = problems.next() {
            return refused(problem);
        }
    }
    Ok(task.report())
}

fn grid(explorer: &mut Explorer, asked: &Interventions) -> Result<PatchGrid, CliError> {
    let mut task = GridTask::new(explorer, asked, None)?;
    while !task.is_over() {
        task.step(explorer, None)?;
    }
    Ok(task.grid().clone())
}

fn effect_json(e: &InterventionEffect) -> EffectJson {
    EffectJson {
        intervention: e.what.to_string(),
        kl_nats: e.kl,
        change: e.change,
        controls_kl: e.controls.map(|[kl, _]| kl.into()),
        controls_change: e.controls.map(|[_, change]| change.into()),
        stands_out: e.stands_out(),
        note: e.note.clone(),
    }
}

fn grid_json(grid: &PatchGrid) -> GridJson {
    let rows = |of: fn(&(f64, f64)) -> f64| {
        grid.cells.chunks(grid.positions).map(|row| row.iter().flatten().map(of).collect()).collect()
    };
    GridJson { this: grid.ends.0, other: grid.ends.1, kl_nats: rows(|c| c.0), change: rows(|c| c.1) }
}

/// One line an intervention, then all at once, then what stands in the columns.
fn table(report: &InterventionReport, controls: usize) -> String {
    let columns = ["intervention", "KL, nats", "95 % of random", "change", "95 % of random", ""];
    let mut table = Table::new(columns).right(1..5);
    let bound = |range: Option<&ControlRange>| {
        range.map_or("–".to_owned(), |r| {
            let share = if r.covers < 0.95 { format!(" ({:.0} %)", 100.0 * r.covers) } else { String::new() };
            format!("≤ {:.4}{share}", r.high)
        })
    };
    for e in &report.effects {
        let [kl, change] = [0, 1].map(|i| e.controls.as_ref().map(|c| &c[i]));
        let verdict = match (e.stands_out(), &e.note) {
            (_, Some(note)) => note.clone(),
            (Some(true), None) => "stands out".to_owned(),
            (Some(false), None) => "like a random one".to_owned(),
            (None, None) => String::new(),
        };
        table.row([
            e.what.to_string(),
            format!("{:.4}", e.kl),
            bound(kl),
            signed(e.change),
            bound(change),
            verdict,
        ]);
    }
    if let (Some((kl, change, _)), true) = (&report.together, report.effects.len() > 1) {
        let empty = String::new;
        table.row(["all at once".to_owned(), format!("{kl:.4}"), empty(), signed(*change), empty(), empty()]);
    }
    let found: Vec<usize> = report.effects.iter().map(|e| e.of).collect();
    let (least, most) = (found.iter().min().copied().unwrap_or(0), found.iter().max().copied().unwrap_or(0));
    let how_many = if least == most { least.to_string() } else { format!("{least} to {most}") };
    let told = match controls {
        0 => "no random interventions were asked for".to_owned(),
        _ => format!(
            "random: {how_many} interventions of the same kind; a further one stays at or below the bound in 95 % of cases, or in \
             as many as stand in brackets where there were fewer than 19"
        ),
    };
    format!("\n{table}\n{told}\n")
}

fn signed(x: f64) -> String {
    // Rounding has no sign.
    if x.abs() < 5e-4 { "0.000".to_owned() } else { format!("{x:+.3}") }
}

/// What is predicted without and with all interventions.
fn predictions(explorer: &Explorer, lab: &Lab, report: &InterventionReport, top: usize) -> String {
    let Some((_, _, with)) = &report.together else { return String::new() };
    let mut table = Table::new(["next", "", "with", ""]).right([0, 2]);
    for (a, b) in lab.candidates(&explorer.loaded, &lab.reading, top).iter().zip(with) {
        let p = |p: f32| format!("{:.2} %", 100.0 * p);
        table.row([p(a.p), a.display.clone(), p(b.p), b.display.clone()]);
    }
    format!("\n{table}")
}

/// Positions down, layers right.
fn grid_text(grid: &PatchGrid, explorer: &Explorer) -> String {
    let layers = (0..grid.layers).map(|layer| format!("layer {layer}"));
    let head = ["position".to_owned(), String::new()].into_iter().chain(layers);
    let mut table = Table::new(head).right([0]).right(2..2 + grid.layers);
    for t in 0..grid.positions {
        let cell =
            |layer: usize| grid.cells[layer * grid.positions + t].map_or("–".to_owned(), |c| signed(c.1));
        let name = [t.to_string(), explorer.tokens[t].display.clone()];
        table.row(name.into_iter().chain((0..grid.layers).map(cell)));
    }
    let (this, other) = grid.ends;
    format!(
        "\nchange of the {} when the residual stream into a layer comes from the other text, where it is {other:.3} ({:+.3})\n\n{table}",
        grid.measure,
        other - this
    )
}
