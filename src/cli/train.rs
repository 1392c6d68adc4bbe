//! `maskscope train`: a run without a screen, in the same session the screen uses. Progress goes to stderr: a bar in a
//! terminal, plain lines elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::error::{CliError, ExitKind};
use super::flags::{FlagSet, ParameterFlags, one_of};
use super::output::{JsonFlag, note};
use super::progress::RunReporter;
use super::{CommandContext, convert, open};
use crate::config::Row;
use crate::engine::loader::{LoadOptions, Purpose};
use crate::engine::prepare::Preparation;
use crate::engine::start::known;
use crate::support::caught::caught;
use crate::train::TrainError;
use crate::train::checkpoint::SavedDtype;
use crate::train::checkpoint::folder::Folders;
use crate::train::report::{Plan, Report, RunCommand, RunState, RunSummary, TwinSummary};
use crate::train::run::Setup;
use crate::train::sample::{Sampling, sample};
use crate::train::session::{Session, SessionOptions};
use crate::train::settings::TrainSettings;
use crate::train::spec::{DataSpec, InitSpec, RunSpec};

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
    /// Hub; passages is the bundled text; none where all sequences are made up (--synthetic)
    #[arg(long, value_name = "FILE", required_unless_present_any = ["resume", "train.synthetic"], num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Train from scratch: random weights with this config.json, instead of a model; the tokenizer is the one
    /// beside it, or a new one learned from the data
    #[arg(long, value_name = "CONFIG.JSON", conflicts_with_all = ["model.id", "resume"])]
    pub init: Option<PathBuf>,
    /// With --init: the tokenizer to use, a tokenizer.json or a folder that holds one
    #[arg(long, value_name = "FILE", requires = "init")]
    pub tokenizer: Option<PathBuf>,
    /// Files to validate on, in the same forms; without them, what a data set holds out, or a tenth of the
    /// documents, drawn from the whole text
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "resume")]
    pub validation: Vec<PathBuf>,
    /// Column that holds the text, or the conversations, in tables and JSON
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    pub column: Option<String>,
    /// Output folder; the files of the checkpoint with the lowest validation loss lie directly in it, so transformers opens it
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "plan"], conflicts_with = "resume")]
    pub out: Option<PathBuf>,
    /// Continue the run in this folder from its newest checkpoint, with its own settings; with --twin-seeds, add seeds to a
    /// comparison
    #[arg(long, value_name = "DIR", conflicts_with = "data")]
    pub resume: Option<PathBuf>,
    /// Stop after this many minutes; without --steps, only this limit ends the run
    #[arg(long, value_name = "MINUTES")]
    pub minutes: Option<f64>,
    /// Number format of the saved weights
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = one_of::<SavedDtype>())]
    pub save_dtype: SavedDtype,
    /// Mask exactly as the explorer would with these settings ([mask] and [score]), decided again in every pass
    #[arg(long, conflicts_with = "resume")]
    pub explorer_policy: bool,
    /// Dry run: print parameters, memory and time, then stop
    #[arg(long)]
    pub plan: bool,
    /// Skip the plan and start at once
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
    let signals = Interrupts::catch()?;
    let reporter = RunReporter::new(args.output.json, steps, args.minutes.is_some());
    match watch(&session, &reporter, &signals, (args.plan, &out))? {
        End::Planned(plan) => planned(args, context, &plan),
        End::Run(summary) => {
            session.join();
            reporter.finish();
            let prompt = args.prompt.as_ref().filter(|_| summary.saved.is_some());
            let text = prompt.map(|prompt| continued(prompt, &out, context)).transpose()?;
            report(args, context, (&out, &summary), text.as_deref())?;
            let signal = signals.ended_by().filter(|_| summary.stopped_early);
            signal.map_or(Ok(()), |n| Err(CliError::signal(n.into())))
        }
    }
}

/// Nothing else runs here, so no core is left to a screen.
pub(super) fn all_cores() -> Option<usize> {
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
        only_plan: args.plan,
    };
    let prepare = || match &args.resume {
        Some(folder) => {
            refuse_other_settings(args)?;
            Ok(preparation.resumed(folder, |spec| extend(spec, args))?)
        }
        None => {
            let spec = spec(args, context)?;
            let start = preparation.start(&spec)?;
            Ok(preparation.fresh(spec, start, context.asked(TrainSettings::context))?)
        }
    };
    let setup = caught(prepare).unwrap_or_else(|| {
        let problem = "a library failed on the files of this run, which are probably damaged";
        Err(CliError::failed(problem).with_hint("fetch or write the files again"))
    })?;
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
    if !args.plan && out.join("run.json").exists() {
        return Err(CliError::failed(format!("{} already contains a run", out.display())).with_hint(
            "continue it with --resume, choose another --out folder, or remove it with maskscope runs delete",
        ));
    }
    let data = DataSpec {
        train: args.data.clone(),
        validation: args.validation.clone(),
        column: args.column.clone(),
        held_share: 0.1,
        held_seed: Some(settings.train.seed),
        ..DataSpec::default()
    };
    let policy = args.explorer_policy.then(|| settings.mask.clone());
    let mut spec = settings.train.spec(settings.model.spec(), (data, out), policy, &settings.score);
    spec.dtype = args.save_dtype;
    if let Some(config) = &args.init {
        // Seeds may be added to twins from another folder.
        let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        spec.model = config.display().to_string();
        spec.init = Some(InitSpec { config: whole(config), tokenizer: args.tokenizer.as_deref().map(whole) });
    }
    spec.time_limit = args.minutes.map(|m| m * 60.0);
    match [TrainSettings::steps, TrainSettings::epochs].map(|key| named(args, key)) {
        [true, true] => {
            return Err(CliError::usage("--steps and --epochs both say how long a run is: give one of them"));
        }
        // A number of steps on the command line goes over passes in a file.
        [true, false] => spec.epochs = 0.0,
        // Without either, the minutes decide.
        [false, false] if args.minutes.is_some() => (spec.steps, spec.epochs) = (AS_MANY_AS_FIT, 0.0),
        [false, _] => {}
    }
    Ok(spec)
}

/// Whether a setting has a flag on the command line.
fn named(args: &TrainArgs, key: &str) -> bool {
    args.parameters.values().iter().any(|value| value.key == key)
}

/// Settings that may change when a run is resumed.
const EXTENDS: [&str; 4] =
    [TrainSettings::steps, TrainSettings::epochs, TrainSettings::stop_after, TrainSettings::twin_seeds];

/// A resumed run keeps its settings: another one that is named would be passed over in silence.
fn refuse_other_settings(args: &TrainArgs) -> Result<(), CliError> {
    let fixed = |key: &str| key.starts_with("train.") && !EXTENDS.contains(&key);
    let of_model = |key: &str| ["model.id", "model.revision"].contains(&key);
    let other = args.parameters.values().iter().find(|value| fixed(&value.key) || of_model(&value.key));
    let dtype = (args.save_dtype != SavedDtype::F32).then_some("--save-dtype");
    match other.map(|value| value.flag.as_str()).or(dtype) {
        None if named(args, TrainSettings::steps) && named(args, TrainSettings::epochs) => Err(
            CliError::usage("--steps and --epochs both say how long a run is: give one of them"),
        ),
        None => Ok(()),
        Some(flag) => Err(CliError::usage(format!("a resumed run keeps its own settings: {flag} cannot change"))
            .with_hint(
                "--resume takes --steps or --epochs, --minutes and --stop-after, or --twin-seeds for twins; runs go on \
                 from the model they have",
            )),
    }
}

/// What may change when a run is resumed: how long it runs, or how many seeds twins have.
fn extend(spec: &mut RunSpec, args: &TrainArgs) -> Result<(), TrainError> {
    let refuse = |problem: &str| {
        Err(TrainError::Setup {
            problem: problem.to_owned(),
            hint: Some("start another run for that".to_owned()),
        })
    };
    if spec.twins.is_some() && args.minutes.is_some() {
        return refuse("seeds that are added to twins run as long as the finished ones");
    }
    for value in args.parameters.values() {
        let number = value.value.parse::<usize>().unwrap_or(0);
        match (value.key.as_str(), &mut spec.twins) {
            (TrainSettings::twin_seeds, Some(twins)) => twins.seeds = number,
            (TrainSettings::twin_seeds, None) => {
                return refuse("this run is no comparison, so it has no seeds to add");
            }
            (TrainSettings::steps | TrainSettings::epochs | TrainSettings::stop_after, Some(_)) => {
                return refuse("seeds that are added to twins run as long as the finished ones");
            }
            (TrainSettings::steps, None) => (spec.steps, spec.epochs) = (number, 0.0),
            (TrainSettings::epochs, None) => spec.epochs = value.value.parse().unwrap_or(spec.epochs),
            (TrainSettings::stop_after, None) => spec.stop_after = number,
            _ => {}
        }
    }
    if let Some(minutes) = args.minutes {
        spec.time_limit = Some(minutes * 60.0);
    }
    Ok(())
}

/// What a watched session came to.
pub(super) enum End {
    Planned(Plan),
    Run(RunSummary),
}

/// Shows reports until the run is over; the first Ctrl-C stops it, the second kills it.
pub(super) fn watch(
    session: &Session,
    reporter: &RunReporter,
    signals: &Interrupts,
    (plan_only, out): (bool, &Path),
) -> Result<End, CliError> {
    let mut told = 0;
    loop {
        if signals.arrived.swap(false, Ordering::Relaxed) {
            told += 1;
            session.send(if told == 1 { RunCommand::Stop } else { RunCommand::Kill });
            signals.enough.store(told > 1, Ordering::Relaxed);
        }
        let Some(report) = session.next(Duration::from_millis(100)) else {
            if session.is_over() {
                return Err(CliError::failed("the training thread ended unexpectedly without an error"));
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
                let hint = if killed { Some(after_kill(out)) } else { hint };
                let kind = signals.ended_by().map_or(ExitKind::Failed, ExitKind::Signal);
                return Err(CliError::new(kind, message).with_hint_if(hint));
            }
            _ => {}
        }
    }
}

/// What a killed run leaves in its folder `out`.
fn after_kill(out: &Path) -> String {
    let out_shown = out.display();
    match (Folders::new(out).steps().last(), out.join("run.json").exists()) {
        (Some(step), _) => format!("step {step} is saved; continue from it with --resume {out_shown}"),
        (None, true) => {
            format!(
                "no checkpoint was saved: {out_shown} has records but no weights; maskscope runs delete removes it"
            )
        }
        (None, false) => "nothing was written".to_owned(),
    }
}

/// Ctrl-C and SIGTERM: set when one arrived; once `enough` is set, the next ends the program at once.
pub(super) struct Interrupts {
    arrived: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
    /// The number of the last one.
    number: Arc<AtomicUsize>,
}

impl Interrupts {
    pub(super) fn catch() -> Result<Self, CliError> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let caught = Interrupts { arrived: Arc::default(), enough: Arc::default(), number: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register_conditional_shutdown(signal, 128 | signal, caught.enough.clone())
                .and_then(|_| {
                    signal_hook::flag::register_usize(signal, caught.number.clone(), signal as usize)
                })
                .and_then(|_| signal_hook::flag::register(signal, caught.arrived.clone()))
                .map_err(|e| CliError::failed(format!("signals cannot be handled: {e}")))?;
        }
        Ok(caught)
    }

    /// The number of the signal that was caught, if one was.
    pub(super) fn ended_by(&self) -> Option<u8> {
        u8::try_from(self.number.load(Ordering::Relaxed)).ok().filter(|n| *n > 0)
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
        context.out.json(&serde_json::json!({ "out": out, "summary": summary, "sample": sample }))?;
    } else {
        context.out.text(&match &summary.twins {
            Some(twins) => twins_text(summary, twins, out),
            None => run_text(summary, out, sample),
        })?;
    }
    fault(summary).map_or(Ok(()), Err)
}

/// What makes the end of a run a failure.
pub(super) fn fault(summary: &RunSummary) -> Option<CliError> {
    if let Some(problem) = &summary.problem {
        let hint = "lower --learning-rate, or --clip the gradient further";
        return Some(CliError::failed(problem.clone()).with_hint(hint));
    }
    let again = if summary.saved.is_some() { "continue with --resume" } else { "run it again" };
    summary.unsaved().map(|problem| CliError::failed(problem).with_hint(format!("make room and {again}")))
}

fn run_text(summary: &RunSummary, out: &Path, sample: Option<&str>) -> String {
    let mut text = format!(
        "{} steps, {} tokens in {:.0} s, training loss {:.4}\n",
        summary.steps, summary.tokens, summary.seconds, summary.train_loss
    );
    if let Some(loss) = summary.validation_loss {
        let bits =
            summary.bits_per_byte.map_or_else(String::new, |bits| format!(", {bits:.4} bits per byte"));
        let start = summary.start_validation_loss.map_or_else(String::new, |l| format!("{l:.4} → "));
        text.push_str(&format!("validation loss {start}{loss:.4} nats per token{bits}\n"));
    }
    if let Some((step, loss)) = summary.best {
        text.push_str(&format!("best checkpoint: step {step}, {loss:.4}\n"));
    }
    text.push_str(&saved_text(summary, out));
    if let Some(sample) = sample {
        text.push_str(&format!("\n{sample}\n"));
    }
    if let Some(reason) = &summary.reason {
        text.push_str(&format!("{reason}\n"));
    }
    if summary.stopped_early {
        text.push_str("stopped before its last step\n");
    }
    text
}

/// Where the weights are, each with its step.
pub(super) fn saved_text(summary: &RunSummary, out: &Path) -> String {
    let out = out.display();
    match (summary.best.map(|(step, _)| step), summary.saved, &summary.checkpoint) {
        (Some(best), Some(newest), Some(path)) if best != newest => {
            format!(
                "saved: {out} (the best, step {best})\nsaved: {} (the newest, step {newest})\n",
                path.display()
            )
        }
        (_, Some(newest), _) => format!("saved: {out} (step {newest})\n"),
        _ => "saved: nothing\n".to_owned(),
    }
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
    if let Some(nothing) = &twins.nothing {
        text.push_str(&format!("{nothing}\n"));
    }
    twins.verdicts.iter().for_each(|v| text.push_str(&format!("{v}\n  {}\n", v.basis)));
    text.push_str(&format!("records: {}\n", out.display()));
    text
}
