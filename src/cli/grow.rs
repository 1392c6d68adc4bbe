//! `maskscope grow induction`: a small model learns to copy from random weights, while every head is looked at; then heads are
//! taken out, to see which of them copy.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags, one_of, whole};
use super::output::JsonFlag;
use super::progress::RunReporter;
use super::screen::runs_folder;
use super::train::{End, Interrupts, all_cores, fault, saved_text, watch};
use super::{CommandContext, convert};
use crate::engine::loader::{LoadOptions, Purpose};
use crate::engine::prepare::Preparation;
use crate::engine::start::Start;
use crate::settings::choice;
use crate::support::table::Table;
use crate::train::checkpoint::SavedDtype;
use crate::train::grow;
use crate::train::report::{Circuit, PASSED, RunSummary};
use crate::train::session::{Session, SessionOptions};

choice! {
    /// What can be grown.
    pub enum Grown {
        /// heads that look for an earlier copy of a token and read what followed it
        Induction = "induction",
    }
}

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] =
        &[("seed", "train.seed"), ("device", "model.device"), ("threads", "compute.threads_trainer")];
}

/// Grow a circuit: train a small model from random weights until heads copy, and see which of them do
#[derive(Clone, Debug, clap::Args)]
pub struct GrowArgs {
    /// What to grow
    #[arg(value_name = "CIRCUIT", value_parser = one_of::<Grown>())]
    pub what: Grown,
    /// Folder of the run and of the grown model; without it, a new one among your runs
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Optimizer steps; 400 were enough for every seed that was tried
    #[arg(long, value_name = "N", default_value_t = grow::STEPS, value_parser = whole::<usize>(1, 1_000_000))]
    pub steps: usize,
    /// Number format of the saved weights
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = one_of::<SavedDtype>())]
    pub save_dtype: SavedDtype,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// Runs the command.
///
/// # Errors
/// A folder that contains a run, or that cannot be written.
pub fn run(args: &GrowArgs, context: &CommandContext) -> Result<(), CliError> {
    let processor = cpu_time::ProcessTime::now();
    let settings = &context.loaded.settings;
    let seed = settings.train.seed;
    let out = args.out.clone().unwrap_or_else(|| free(&runs_folder(), args.what, seed));
    if out.join("run.json").exists() {
        return Err(CliError::failed(format!("{} already contains a run", out.display()))
            .with_hint("choose another --out folder, or remove it with maskscope runs delete"));
    }
    let mut spec = grow::spec(seed, args.steps, out.clone());
    spec.dtype = args.save_dtype;
    let chosen = convert::device(settings)?;
    let load = LoadOptions {
        hub: convert::hub_options(context),
        device: chosen.device,
        device_name: chosen.name,
        purpose: Purpose::Train,
    };
    let prepare = move |_: &_| {
        let (progress, remark, cancel) = (&mut |_| {}, &mut |_| {}, &AtomicBool::new(false));
        Preparation { load, progress, remark, cancel, only_plan: false }.fresh(spec, Start::to_grow()?, true)
    };
    let options = SessionOptions {
        threads: settings.compute.threads_trainer.or_else(all_cores),
        ..SessionOptions::default()
    };
    let session = Session::start(prepare, options)?;
    let signals = Interrupts::catch()?;
    let reporter = RunReporter::new(args.output.json, args.steps, false);
    let End::Run(summary) = watch(&session, &reporter, &signals, (false, &out))? else { return Ok(()) };
    session.join();
    reporter.finish();
    let processor = processor.elapsed().as_secs_f64();
    if args.output.json {
        let place = out.display().to_string();
        context.out.json(&serde_json::json!({
            "out": place, "seed": seed, "processor_seconds": processor, "summary": summary
        }))?;
    } else {
        context.out.text(&text(&summary, &out, processor))?;
    }
    fault(&summary).map_or(Ok(()), Err)?;
    let signal = signals.ended_by().filter(|_| summary.stopped_early);
    signal.map_or(Ok(()), |n| Err(CliError::signal(n.into())))
}

/// The first folder that is not there yet.
fn free(runs: &Path, what: Grown, seed: u64) -> PathBuf {
    let name = format!("grown-{what}-{seed}");
    let numbered = (2..).map(|n| runs.join(format!("{name}-{n}")));
    std::iter::once(runs.join(&name)).chain(numbered).find(|path| !path.exists()).unwrap_or_default()
}

fn text(summary: &RunSummary, out: &Path, processor: f64) -> String {
    let mut text = format!(
        "{} steps, {} tokens in {:.0} s ({processor:.0} s of processor time)\n",
        summary.steps, summary.tokens, summary.seconds
    );
    if let Some(circuit) = &summary.circuit {
        text.push_str(&circuit_text(circuit));
    }
    text.push_str(&saved_text(summary, out));
    text.push_str(&format!("explore it: maskscope --model {}\n", out.display()));
    if summary.stopped_early {
        text.push_str("stopped before its last step\n");
    }
    text
}

/// The clock as a table, then what each group of heads is worth.
fn circuit_text(circuit: &Circuit) -> String {
    let mut table = Table::new(["head", "induction", "previous token"]).right(1..3).indented(2);
    let at = |step: Option<usize>| step.map_or("–".to_owned(), |step| format!("step {step}"));
    for (i, passed) in circuit.passed.iter().enumerate() {
        let n_head = circuit.n_head.max(1);
        table.row([format!("{}.{}", i / n_head, i % n_head), at(passed.induction), at(passed.previous)]);
    }
    format!(
        "the first look, every ten steps, at which a head's score was {PASSED} or more:\n{table}\
         copying loss {:.3} nats per token, chance {:.3}\n{}\n",
        circuit.loss,
        circuit.chance,
        circuit.sentences().join("\n")
    )
}
