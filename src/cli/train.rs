//! `maskscope train`: a run without a screen, in the same session the screen uses. Progress goes to stderr: a bar in a
//! terminal, plain lines elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags, one_of};
use super::output::{JsonFlag, note};
use super::progress::RunReporter;
use super::{CommandContext, convert, open};
use crate::config::Row;
use crate::engine::loader::{LoadOptions, Purpose};
use crate::engine::prepare::Preparation;
use crate::engine::start::{Start, known};
use crate::train::checkpoint::SavedDtype;
use crate::train::report::{Plan, Report, RunCommand, RunState, RunSummary, TwinSummary};
use crate::train::run::Setup;
use crate::train::sample::{Sampling, sample};
use crate::train::session::{Session, SessionOptions};
use crate::train::settings::TrainSettings;
use crate::train::spec::{DataSpec, RunSpec};

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
        ("threads", "compute.threads_trainer"),
    ];
    const ROWS: &'static [&'static [Row]] = &[TrainSettings::ROWS];
}

/// Train a model on text files
#[derive(Clone, Debug, clap::Args)]
pub struct TrainArgs {
    /// Text, JSON, JSON lines, CSV, TSV and Parquet files (also as .gz or .zst) or folders, or datasets/owner/name of the
    /// Hub; novels is the bundled text
    #[arg(long, value_name = "FILE", required_unless_present = "resume", num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Start from random weights of this shape (a config.json) instead of a model; the tokenizer is the one
    /// beside it, or a new one learned from the data
    #[arg(long, value_name = "CONFIG.JSON", conflicts_with_all = ["model.id", "resume"])]
    pub init: Option<PathBuf>,
    /// With --init: the tokenizer to use, a tokenizer.json or a folder that holds one
    #[arg(long, value_name = "FILE", requires = "init")]
    pub tokenizer: Option<PathBuf>,
    /// Files to validate on, in the same forms; without them, what a data set holds out, or the last tenth of the documents
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "resume")]
    pub validation: Vec<PathBuf>,
    /// Column that holds the text, or the conversations, in tables and JSON
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    pub column: Option<String>,
    /// Folder of the run; the newest checkpoint is at its top, so it is a Hugging Face model folder
    #[arg(long, value_name = "DIR", required_unless_present = "resume", conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Continue the run in this folder from its newest checkpoint, with its own settings
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub resume: Option<PathBuf>,
    /// Stop after this many minutes; without --steps, nothing else ends the run
    #[arg(long, value_name = "MINUTES")]
    pub minutes: Option<f64>,
    /// Number format of the saved weights
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = one_of::<SavedDtype>())]
    pub save_dtype: SavedDtype,
    /// Mask exactly as the explorer would with these settings ([mask] and [score]), decided again in every pass
    #[arg(long, conflicts_with = "resume")]
    pub explorer_policy: bool,
    /// Only print what the run would take: parameters, memory, time
    #[arg(long)]
    pub plan: bool,
    /// Start at once, without a measured plan
    #[arg(long, conflicts_with = "plan")]
    pub no_plan: bool,
    /// Print a continuation of this text at the end
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// Steps of a run that only the clock ends.
const AS_MANY_AS_FIT: usize = 1_000_000;

/// Runs the command.
///
/// # Errors
/// Data that cannot be read, a run that does not fit or diverges, a folder that cannot be written.
pub fn run(args: &TrainArgs, context: &CommandContext) -> Result<(), CliError> {
    let settings = &context.loaded.settings;
    if args.minutes.is_some_and(|m| !(m > 0.0 && m.is_finite())) {
        return Err(CliError::usage("--minutes must be a number above 0"));
    }
    let setup = prepared(args, context)?;
    let (out, steps) = (setup.spec.out.clone(), setup.spec.steps);
    let options = SessionOptions {
        threads: settings.compute.threads_trainer.or_else(all_cores),
        wait_after_plan: args.plan,
        plan: !args.no_plan,
        pictures: false,
        gives_way: false,
    };
    let session = Session::start(move |_| Ok(setup), options)?;
    let reporter = RunReporter::new(args.output.json, steps, args.minutes.is_some());
    match watch(&session, &reporter, args.plan)? {
        End::Planned(plan) => planned(args, context, &plan),
        End::Run(summary) => {
            session.join();
            reporter.finish();
            let text = args.prompt.as_ref().map(|prompt| continued(prompt, &out, context)).transpose()?;
            report(args, context, (&out, &summary), text.as_deref())
        }
    }
}

/// Nothing else runs here, so no core is left to a screen.
fn all_cores() -> Option<usize> {
    std::thread::available_parallelism().ok().map(usize::from)
}

/// The run that the flags describe, with a bar while it is fetched and read.
fn prepared(args: &TrainArgs, context: &CommandContext) -> Result<Setup, CliError> {
    let settings = &context.loaded.settings;
    let chosen = convert::device(settings)?;
    let bar = open::bar();
    let mut preparation = Preparation {
        load: LoadOptions {
            hub: convert::hub_options(context),
            device: chosen.device,
            device_name: chosen.name,
            purpose: Purpose::Train,
        },
        progress: &mut |p| open::advance(&bar, &p),
        remark: &mut |text| open::above(&bar, &format!("note: {text}")),
        cancel: &AtomicBool::new(false),
    };
    let setup = match &args.resume {
        Some(folder) => preparation.resumed(folder, |spec| extend(spec, args))?,
        None => {
            let spec = spec(args, context)?;
            let start = match &args.init {
                Some(config) => Start::from_config(config, args.tokenizer.as_deref())?,
                None => preparation.model(&spec.model)?,
            };
            preparation.fresh(spec, start, context.asked(TrainSettings::context))?
        }
    };
    bar.finish_and_clear();
    // The plan lists the notes; a run without a plan prints them before it starts.
    if args.no_plan || args.output.json {
        setup.notes.iter().for_each(|text| note(&format!("note: {text}")));
    }
    Ok(setup)
}

fn spec(args: &TrainArgs, context: &CommandContext) -> Result<RunSpec, CliError> {
    let settings = &context.loaded.settings;
    let out = args.out.clone().unwrap_or_default();
    if out.join("run.json").exists() {
        return Err(CliError::failed(format!("{} already contains a run", out.display())).with_hint(
            "continue it with --resume, name another folder, or remove it with maskscope runs delete",
        ));
    }
    let data = DataSpec {
        train: args.data.clone(),
        validation: args.validation.clone(),
        column: args.column.clone(),
        held_share: 0.1,
    };
    let policy = args.explorer_policy.then(|| settings.mask.clone());
    let mut spec = settings.train.spec(settings.model.spec(), (data, out), policy, &settings.score);
    spec.dtype = args.save_dtype;
    spec.time_limit = args.minutes.map(|m| m * 60.0);
    if args.minutes.is_some() && !args.parameters.values().iter().any(|v| v.key == "train.steps") {
        // Without a number of steps, the minutes decide.
        spec.steps = AS_MANY_AS_FIT;
    }
    Ok(spec)
}

/// The one thing that may change when a run is resumed: how long it runs.
fn extend(spec: &mut RunSpec, args: &TrainArgs) {
    for value in args.parameters.values() {
        if value.key == "train.steps"
            && let Ok(steps) = value.value.parse()
        {
            spec.steps = steps;
        }
    }
    if let Some(minutes) = args.minutes {
        spec.time_limit = Some(minutes * 60.0);
    }
}

/// What a watched session came to.
enum End {
    Planned(Plan),
    Run(RunSummary),
}

/// Shows reports until the run is over; the first Ctrl-C stops it, the second kills it.
fn watch(session: &Session, reporter: &RunReporter, plan_only: bool) -> Result<End, CliError> {
    let signals = Interrupts::catch()?;
    let mut told = 0;
    loop {
        if signals.arrived.swap(false, Ordering::Relaxed) {
            told += 1;
            session.send(if told == 1 { RunCommand::Stop } else { RunCommand::Kill });
            signals.enough.store(told > 1, Ordering::Relaxed);
        }
        let Some(report) = session.next(Duration::from_millis(100)) else {
            if session.is_over() {
                return Err(CliError::failed("the trainer stopped without a report"));
            }
            continue;
        };
        let report = match report {
            // The plan is the command's result, which goes to stdout.
            Report::Planned(plan) if plan_only => return Ok(End::Planned(plan)),
            report => report,
        };
        reporter.show(&report);
        match report {
            Report::Ended(summary) => return Ok(End::Run(summary)),
            Report::Failed { message, hint } => {
                reporter.finish();
                let killed = session.state() == RunState::Killed;
                let hint = if killed {
                    Some("the last checkpoint is kept; continue from it with --resume".to_owned())
                } else {
                    hint
                };
                return Err(CliError::failed(message).with_hint_if(hint));
            }
            _ => {}
        }
    }
}

/// Ctrl-C and SIGTERM: set when one arrived; once `enough` is set, the next ends the program at once.
struct Interrupts {
    arrived: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
}

impl Interrupts {
    fn catch() -> Result<Self, CliError> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let caught = Interrupts { arrived: Arc::default(), enough: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 130, caught.enough.clone())
                .and_then(|_| signal_hook::flag::register(signal, caught.arrived.clone()))
                .map_err(|e| CliError::failed(format!("signals cannot be handled: {e}")))?;
        }
        Ok(caught)
    }
}

/// A continuation of `prompt` by the saved model.
fn continued(prompt: &str, out: &Path, context: &CommandContext) -> Result<String, CliError> {
    let files = crate::model::ModelFiles::Folder(out.to_owned());
    let device = convert::device(&context.loaded.settings)?.device;
    let checkpoint = crate::model::Checkpoint::load(&files, &device)?;
    let tokenizer = known(checkpoint.tokenizer, &out.display().to_string())?;
    let seed = context.loaded.settings.train.seed;
    let how = Sampling { tokens: 80, temperature: 0.8, top_k: 40, seed };
    Ok(sample(&checkpoint.model, &tokenizer, prompt, how)?)
}

fn planned(args: &TrainArgs, context: &CommandContext, plan: &Plan) -> Result<(), CliError> {
    if args.output.json {
        context.out.json(plan)
    } else {
        context.out.text(&super::progress::plan_text(plan))
    }
}

fn report(
    args: &TrainArgs,
    context: &CommandContext,
    (out, summary): (&Path, &RunSummary),
    sample: Option<&str>,
) -> Result<(), CliError> {
    if args.output.json {
        let out = out.display().to_string();
        return context.out.json(&serde_json::json!({ "out": out, "summary": summary, "sample": sample }));
    }
    if let Some(twins) = &summary.twins {
        return context.out.text(&twins_text(summary, twins, out));
    }
    let mut text = format!(
        "{} steps, {} tokens in {:.0} s, training loss {:.4}\n",
        summary.steps, summary.tokens, summary.seconds, summary.train_loss
    );
    if let (Some(loss), Some(bits)) = (summary.validation_loss, summary.bits_per_byte) {
        let start = summary.start_validation_loss.map_or_else(String::new, |l| format!("{l:.4} → "));
        text.push_str(&format!("validation loss {start}{loss:.4} nats per token, {bits:.4} bits per byte\n"));
    }
    if let Some((step, loss)) = summary.best {
        text.push_str(&format!("best checkpoint: step {step}, {loss:.4}\n"));
    }
    match &summary.checkpoint {
        Some(_) => text.push_str(&format!("saved: {}\n", out.display())),
        None => text.push_str("saved: nothing\n"),
    }
    if let Some(sample) = sample {
        text.push_str(&format!("\n{sample}\n"));
    }
    if summary.stopped_early {
        text.push_str("stopped before its last step\n");
    }
    context.out.text(&text)
}

fn twins_text(summary: &RunSummary, twins: &TwinSummary, out: &Path) -> String {
    let plural = if twins.seeds == 1 { "" } else { "s" };
    let mut text = format!(
        "{}: {} finished seed{plural}, {} tokens in {:.0} s\n",
        twins.arms.join(", "),
        twins.seeds,
        summary.tokens,
        summary.seconds
    );
    if twins.verdicts.is_empty() {
        text.push_str("no seed was finished, so there is no verdict\n");
    }
    twins.verdicts.iter().for_each(|verdict| text.push_str(&format!("{verdict}\n")));
    text.push_str(&format!("records: {}\n", out.display()));
    text
}
