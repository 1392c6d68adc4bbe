//! `maskscope sweep`: what masking costs over a grid of thresholds and probabilities, operations and polarities.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::documents::documents;
use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags, one_of, whole};
use super::output::{JsonFlag, note};
use super::train::Interrupts;
use super::{CommandContext, open};
use crate::engine::grid::{GridFolder, GridPlan, GridRow, Shard};
use crate::engine::leak::held_out;
use crate::engine::loaded::LoadedModel;
use crate::mask::types::{Op, Polarity, Scope};
use crate::support::progress::bar;

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
        ("scope", "mask.scope"),
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

/// Measure over held-out text what masking costs at every τ and p of a grid; stops and continues, and splits over machines
#[derive(Clone, Debug, clap::Args)]
pub struct SweepArgs {
    /// Folder of the results; run again to go on after a stop
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// File or folder to measure on, in any form that train reads; by default, the bundled held-out passages
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Column that holds the text, or the conversations, in tables and JSON
    #[arg(long, value_name = "NAME", requires = "data")]
    pub column: Option<String>,
    /// Thresholds τ, from 0 to 1
    #[arg(long, value_name = "T,T…", value_delimiter = ',', value_parser = share, default_values_t = [0.3, 0.5, 0.7, 0.8, 0.9])]
    pub thresholds: Vec<f64>,
    /// Probabilities p, from 0 to 1
    #[arg(long, value_name = "P,P…", value_delimiter = ',', value_parser = share, default_values_t = [0.1, 0.25, 0.5, 0.75, 1.0])]
    pub probabilities: Vec<f64>,
    /// Operations
    #[arg(long, value_name = "OP,OP…", value_delimiter = ',', value_parser = one_of::<Op>(), default_values_t = [Op::Hide])]
    pub ops: Vec<Op>,
    /// Ends of the score
    #[arg(long, value_name = "END,END…", value_delimiter = ',', value_parser = one_of::<Polarity>(), default_values_t = [Polarity::High])]
    pub polarities: Vec<Polarity>,
    /// Windows of text, spread evenly over it
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = whole::<u32>(2, 100_000))]
    pub windows: u32,
    /// Tokens per window; by default, the model's context
    #[arg(long, value_name = "N")]
    pub length: Option<usize>,
    /// Compute only this part of the cells, e.g. 2/4; parts may share a folder, or be put together with --merge
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Put the cells of these folders together in --out, and compute nothing
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["shard", "data"])]
    pub merge: Vec<PathBuf>,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

#[derive(Serialize)]
struct SweepOutput<'a> {
    out: String,
    /// Whether every cell is there.
    complete: bool,
    cells: usize,
    plan: &'a GridPlan,
    rows: Vec<&'a GridRow>,
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|x| (0.0..=1.0).contains(x));
    number.ok_or_else(|| "must be a number from 0 to 1".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Data or a model that cannot be read; a folder of another sweep; a stop by Ctrl-C, after which the folder can be continued.
pub fn run(args: &SweepArgs, context: &CommandContext) -> Result<(), CliError> {
    if !args.merge.is_empty() {
        let folder = GridFolder::merged(&args.out, &args.merge)?;
        return told(args, context, &folder);
    }
    let loaded = open::open(context)?;
    let texts = documents(args.data.as_deref(), args.column.as_deref(), &loaded)?;
    if loaded.tokenizer.is_some() {
        open::calibrate(&loaded)?;
    }
    let length = args.length.unwrap_or(loaded.model.config.n_positions);
    let held = held_out(&loaded, &texts, length, args.windows as usize)?;
    held.note().iter().for_each(|text| note(&format!("note: {text}")));
    let plan = plan(args, context, &loaded, &held.windows)?;
    let mut folder = GridFolder::open(&args.out, plan, args.shard.unwrap_or(Shard::WHOLE))?;
    let (signals, cells) = (Interrupts::catch()?, folder.plan.cells());
    let left = folder.left();
    let bar = bar(left.len() * held.windows.len(), "{pos}/{len} windows {wide_bar} {eta} left  {msg}");
    let mut going = || {
        bar.inc(1);
        signals.ended_by().is_none()
    };
    for number in left {
        let cell = cells[number];
        bar.set_message(format!(
            "τ {}, p {}, {}, {}",
            cell.threshold, cell.probability, cell.op, cell.polarity
        ));
        match folder.plan.measure(&loaded, (number, cell), &held.windows, &mut going)? {
            Some(row) => folder.add(&row)?,
            None => break,
        }
    }
    bar.finish_and_clear();
    told(args, context, &folder)?;
    let stopped = signals.ended_by().filter(|_| !folder.left().is_empty());
    if stopped.is_some() {
        note(&format!("stopped; the same command goes on in {}", args.out.display()));
    }
    stopped.map_or(Ok(()), |n| Err(CliError::signal(n.into())))
}

fn plan(
    args: &SweepArgs,
    context: &CommandContext,
    loaded: &Arc<LoadedModel>,
    windows: &[Vec<u32>],
) -> Result<GridPlan, CliError> {
    let settings = &context.loaded.settings;
    let mut mask = settings.mask.clone();
    mask.mix = None;
    let late = args.ops.iter().find(|op| mask.scope == Scope::Block && !op.works_in_blocks());
    if let Some(op) = late {
        return Err(CliError::usage(format!("--ops {op} cannot be decided block by block"))
            .with_hint("use --scope whole, or hide, evict or keep"));
    }
    let mut hash = Sha256::new();
    for ids in windows {
        hash.update((ids.len() as u64).to_le_bytes());
        hash.update(bytemuck::cast_slice::<u32, u8>(ids));
    }
    let data =
        args.data.as_ref().map_or("the bundled held-out passages".to_owned(), |p| p.display().to_string());
    Ok(GridPlan {
        model: loaded.id.clone(),
        weights: loaded.weights_hash()?,
        data,
        text: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        windows: windows.len(),
        tokens_per_window: windows[0].len(),
        thresholds: args.thresholds.clone(),
        probabilities: args.probabilities.clone(),
        ops: args.ops.clone(),
        polarities: args.polarities.clone(),
        mask,
        score: settings.score.clone(),
        rolling: settings.rolling.clone().settled(),
    })
}

fn told(args: &SweepArgs, context: &CommandContext, folder: &GridFolder) -> Result<(), CliError> {
    let complete = folder.publish()?;
    let cells = folder.plan.cells().len();
    let out = args.out.display().to_string();
    if args.output.json {
        let rows = folder.rows.values().collect();
        return context.out.json(&SweepOutput { out, complete, cells, plan: &folder.plan, rows });
    }
    let mut text = folder.plan.plain(&folder.rows);
    text.push_str(&match complete {
        true => format!("\nresults: {out}/results.md, results.csv, results.json\n"),
        false => format!("\n{} of {cells} cells are there, in {out}\n", folder.rows.len()),
    });
    context.out.text(&text)
}
