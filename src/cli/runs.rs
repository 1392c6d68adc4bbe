//! `maskscope runs`: run folders listed, compared, deleted.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::CommandContext;
use super::error::CliError;
use super::output::{JsonFlag, note};
use crate::eval::heads::HeadProfile;
use crate::support::table::Table;
use crate::support::units::bytes;
use crate::train::report::Report;
use crate::train::runs::{self, LossCurve, RunInfo, SpecDifference};

/// List, compare and delete training runs
#[derive(Clone, Debug, clap::Args)]
pub struct RunsArgs {
    #[command(subcommand)]
    pub action: RunsCommand,
}

/// What to do with them.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RunsCommand {
    /// List the runs in a folder
    List {
        /// Folder that holds run folders, or one run; without it, where the Train screen keeps its runs, and this folder
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Show losses of several runs side by side, at the steps they share
    Compare {
        #[arg(required = true, num_args = 2.., value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// Rows of the table
        #[arg(long, default_value_t = 20, value_name = "N")]
        rows: usize,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Show what the heads of a run were like at each checkpoint that was kept with --keep-spaced
    Heads {
        #[arg(value_name = "RUN")]
        run: PathBuf,
        #[command(flatten)]
        output: JsonFlag,
    },
    /// Delete run folders
    Delete {
        #[arg(required = true, num_args = 1.., value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// A folder that holds no run.
pub fn run(args: &RunsArgs, context: &CommandContext) -> Result<(), CliError> {
    match &args.action {
        RunsCommand::List { folder: Some(folder), output } => {
            list(std::slice::from_ref(folder), output.json, context)
        }
        RunsCommand::List { folder: None, output } => {
            list(&[super::screen::runs_folder(), PathBuf::from(".")], output.json, context)
        }
        RunsCommand::Compare { runs, rows, output } => compare(runs, *rows, output.json, context),
        RunsCommand::Heads { run, output } => heads(run, output.json, context),
        RunsCommand::Delete { runs, yes } => delete(runs, *yes),
    }
}

fn read(path: &std::path::Path) -> Result<RunInfo, CliError> {
    Ok(RunInfo::read(path)?)
}

fn list(folders: &[PathBuf], json: bool, context: &CommandContext) -> Result<(), CliError> {
    let runs: Vec<RunInfo> = folders.iter().flat_map(|folder| runs::list(folder)).collect();
    if json {
        return context.out.json(&serde_json::json!({ "runs": runs }));
    }
    if runs.is_empty() {
        let all: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        return context.out.text(&format!("no runs in {}\n", all.join(" or ")));
    }
    let heads =
        ["run", "state", "step", "training loss", "validation loss", "trained", "arm", "size", "model"];
    let mut table = Table::new(heads).right([3, 4, 7]);
    for r in &runs {
        table.row([
            r.path.display().to_string(),
            r.state().to_owned(),
            format!("{} of {}", r.steps, r.planned_steps()),
            loss(r.train_loss),
            loss(r.validation_loss),
            r.spec.trained.name().to_owned(),
            r.spec.masking.arm.to_string(),
            bytes(r.bytes),
            r.spec.model.clone(),
        ]);
    }
    context.out.text(&table.to_string())
}

/// Means over the heads of a model, by step.
fn heads(run: &std::path::Path, json: bool, context: &CommandContext) -> Result<(), CliError> {
    let (_, reports) = runs::reports(run)?;
    let recorded: Vec<(usize, Vec<HeadProfile>)> = reports
        .into_iter()
        .filter_map(|report| match report {
            Report::HeadsRecorded { step, heads } => Some((step, heads)),
            _ => None,
        })
        .collect();
    if recorded.is_empty() {
        let problem = format!("{} has no statistics of heads", run.display());
        return Err(CliError::failed(problem)
            .with_hint("they are recorded at the checkpoints that train --keep-spaced N keeps"));
    }
    if json {
        let steps: Vec<serde_json::Value> = recorded
            .iter()
            .map(|(step, heads)| serde_json::json!({ "step": step, "heads": heads }))
            .collect();
        return context.out.json(&serde_json::json!({ "run": run, "steps": steps }));
    }
    let names = ["step", "sink", "previous", "induction", "entropy", "heads that mostly read one thing"];
    let mut table = Table::new(names).right(0..5);
    for (step, heads) in &recorded {
        let mean =
            |of: fn(&HeadProfile) -> f64| heads.iter().map(of).sum::<f64>() / heads.len().max(1) as f64;
        let named: Vec<String> = ["sink", "previous token", "induction"]
            .map(|kind| (heads.iter().filter(|h| h.kind.as_deref() == Some(kind)).count(), kind))
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, kind)| format!("{n} {kind}"))
            .collect();
        table.row([
            step.to_string(),
            format!("{:.3}", mean(|h| h.plain.sink)),
            format!("{:.3}", mean(|h| h.plain.previous)),
            format!("{:.3}", mean(|h| h.plain.induction)),
            format!("{:.2}", mean(|h| h.plain.entropy)),
            if named.is_empty() { "none".to_owned() } else { named.join(", ") },
        ]);
    }
    context.out.text(&format!("{table}\nmeans over all heads; entropy in nats; --json prints every head\n"))
}

fn loss(loss: Option<f64>) -> String {
    loss.map_or_else(|| "–".to_owned(), |l| format!("{l:.4}"))
}

/// Mean of the values in `from..=to`.
fn mean(curve: &LossCurve, from: usize, to: usize) -> Option<f64> {
    let inside: Vec<f64> = curve.iter().filter(|(s, _)| (from..=to).contains(s)).map(|(_, v)| *v).collect();
    (!inside.is_empty()).then(|| inside.iter().sum::<f64>() / inside.len() as f64)
}

fn compare(paths: &[PathBuf], rows: usize, json: bool, context: &CommandContext) -> Result<(), CliError> {
    let infos = paths.iter().map(|p| read(p)).collect::<Result<Vec<_>, _>>()?;
    let curves: Vec<(LossCurve, LossCurve)> = paths.iter().map(|p| runs::curves(p)).collect();
    if json {
        let runs: Vec<serde_json::Value> = infos
            .iter()
            .zip(&curves)
            .map(|(info, (train, validation))| {
                serde_json::json!({ "run": info, "train": train, "validation": validation })
            })
            .collect();
        let differences: Vec<_> =
            infos[1..].iter().map(|info| runs::differences(&infos[0].spec, &info.spec)).collect();
        return context.out.json(&serde_json::json!({ "runs": runs, "differences": differences }));
    }
    let last = curves.iter().filter_map(|(t, _)| t.last().map(|(s, _)| *s)).max().unwrap_or(0);
    let width = last.div_ceil(rows.max(1)).max(1);
    let heads = infos.iter().map(|info| info.path.display().to_string());
    let mut table = Table::new(std::iter::once("steps".to_owned()).chain(heads));
    for from in (1..=last).step_by(width) {
        let to = (from + width - 1).min(last);
        let cell = |(train, validation): &(LossCurve, LossCurve)| {
            format!("{} / {}", loss(mean(train, from, to)), loss(mean(validation, from, to)))
        };
        table.row(std::iter::once(format!("{from}-{to}")).chain(curves.iter().map(cell)));
    }
    let mut text = format!("{table}\ntraining loss / validation loss, means over the steps\n");
    for info in &infos[1..] {
        text.push_str(&format!("\n{} differs from {}:\n", info.path.display(), infos[0].path.display()));
        for SpecDifference { setting, values: [first, own] } in runs::differences(&infos[0].spec, &info.spec)
        {
            text.push_str(&format!("  {setting}: {own} instead of {first}\n"));
        }
    }
    context.out.text(&text)
}

fn delete(paths: &[PathBuf], yes: bool) -> Result<(), CliError> {
    for path in paths {
        read(path)?;
    }
    if !yes {
        if !std::io::stdin().is_terminal() {
            return Err(CliError::usage("deleting runs needs --yes when stdin is not a terminal"));
        }
        let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        note(&format!("delete {} with all checkpoints? y/N", names.join(", ")));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_err() || !answer.trim().eq_ignore_ascii_case("y") {
            return Err(CliError::failed("nothing was deleted"));
        }
    }
    for path in paths {
        runs::delete(path)?;
    }
    Ok(())
}
