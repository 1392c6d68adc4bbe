//! `maskscope train`: a training run without a screen.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use candle_core::Tensor;
use indicatif::{ProgressBar, ProgressStyle};

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::output::{JsonFlag, note};
use super::{Context, convert, open};
use crate::config::Settings;
use crate::model::{Config, Tokenizer};
use crate::tensor::adamw::AdamWSettings;
use crate::train::checkpoint::SavedDtype;
use crate::train::data::{Corpus, read_documents, split};
use crate::train::run::{Report, Run, RunSettings, Summary, Trainee};
use crate::train::sample::{Sampling, sample};
use crate::train::schedule::LrSchedule;
use crate::train::{TrainError, init};

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
        ("threads", "compute.threads_trainer"),
        ("steps", "train.steps"),
        ("batch-size", "train.batch_size"),
        ("accumulate", "train.accumulate"),
        ("context", "train.context"),
        ("learning-rate", "train.learning_rate"),
        ("min-lr-ratio", "train.min_lr_ratio"),
        ("lr-policy", "train.lr_policy"),
        ("warmup-steps", "train.warmup_steps"),
        ("weight-decay", "train.weight_decay"),
        ("beta1", "train.beta1"),
        ("beta2", "train.beta2"),
        ("eps", "train.eps"),
        ("clip", "train.clip"),
        ("seed", "train.seed"),
        ("eval-every", "train.eval_every"),
        ("checkpoint-every", "train.checkpoint_every"),
    ];
}

/// Train a model on text files
#[derive(Clone, Debug, clap::Args)]
pub struct TrainArgs {
    /// Text files to train on
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// Start from random weights of this shape (a config.json) instead of a model
    #[arg(long, value_name = "CONFIG.JSON", conflicts_with = "model.id")]
    pub init: Option<PathBuf>,
    /// Text files to validate on; without them, the last tenth of the documents is held out
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub validation: Vec<PathBuf>,
    /// Folder for the checkpoint
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Number format of the saved weights: f32 or f16
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub save_dtype: SavedDtype,
    /// Stop after this many minutes; the learning rate then follows the clock
    #[arg(long, value_name = "MINUTES")]
    pub minutes: Option<f64>,
    /// Text that the finished model continues, to see what it has learned
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// What a run starts from.
struct Start {
    config: Config,
    tensors: HashMap<String, Tensor>,
    tokenizer: Tokenizer,
}

/// Runs the command.
///
/// # Errors
/// Data that cannot be read, a run that diverges, a folder that cannot be written.
pub fn run(args: &TrainArgs, context: &Context) -> Result<(), CliError> {
    let settings = &context.loaded.settings;
    if args.minutes.is_some_and(|m| !(m > 0.0 && m.is_finite())) {
        return Err(CliError::usage("--minutes must be a number above 0"));
    }
    limit_threads(settings);
    let documents = read_documents(&args.data).map_err(failed)?;
    let (train, held) = match args.validation.as_slice() {
        [] => split(documents, 0.1),
        files => (documents, read_documents(files).map_err(failed)?),
    };
    let start = start(args, context, &train)?;
    let train = Corpus::new(&train, &start.tokenizer).map_err(failed)?;
    let validation = match held.is_empty() {
        true => None,
        false => Some(Corpus::new(&held, &start.tokenizer).map_err(failed)?),
    };
    let device = convert::device(settings)?.device;
    let trainee = Trainee::new(&start.config, &start.tensors, &device).map_err(failed)?;
    let run_settings = run_settings(args, settings)?;
    let reporter = Reporter::new(args.output.json, run_settings.schedule.steps, args.minutes);
    let data = (&train, validation.as_ref());
    let mut run = Run::new(trainee, Some(&start.tokenizer), data, run_settings).map_err(failed)?;
    let stop = stop_on_interrupt()?;
    let summary = run.train(&stop, &mut |report| reporter.show(report)).map_err(failed)?;
    reporter.finish();
    let text = match &args.prompt {
        Some(prompt) => {
            let how = Sampling { tokens: 80, temperature: 0.8, top_k: 40, seed: settings.train.seed };
            Some(sample(&run.trainee.model, &start.tokenizer, prompt, how).map_err(failed)?)
        }
        None => None,
    };
    report(args, context, &summary, text.as_deref())
}

fn failed(error: TrainError) -> CliError {
    CliError::failed(error.to_string()).with_hint_if(error.hint())
}

/// The trainer is the only thing that runs here, so the pool is its own.
fn limit_threads(settings: &Settings) {
    if let Some(threads) = settings.compute.threads_trainer {
        // Fails only when a pool exists already, which then stays.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
}

fn start(args: &TrainArgs, context: &Context, documents: &[String]) -> Result<Start, CliError> {
    let settings = &context.loaded.settings;
    let device = convert::device(settings)?.device;
    if let Some(path) = &args.init {
        let name = path.display().to_string();
        let bytes =
            std::fs::read(path).map_err(|e| CliError::failed(format!("{name} cannot be read: {e}")))?;
        let mut config = Config::parse(&bytes, &name).map_err(|e| failed(e.into()))?;
        let tokenizer = init::tokenizer(documents, config.vocab_size).map_err(failed)?;
        (config.bos_token_id, config.eos_token_id) = (tokenizer.eot, tokenizer.eot);
        let tensors = init::weights(&config, settings.train.seed, &device).map_err(failed)?;
        return Ok(Start { config, tensors, tokenizer });
    }
    let loaded = open::open(context)?;
    let loaded = Arc::into_inner(loaded).ok_or_else(|| CliError::failed("the model is in use"))?;
    let tokenizer = loaded.tokenizer.ok_or_else(|| {
        CliError::failed(format!("{} has no tokenizer, so text cannot be trained on", loaded.id))
    })?;
    Ok(Start { tensors: loaded.model.tensors(), config: loaded.model.config, tokenizer })
}

fn run_settings(args: &TrainArgs, settings: &Settings) -> Result<RunSettings, CliError> {
    let t = &settings.train;
    Ok(RunSettings {
        batch_size: t.batch_size,
        accumulate: t.accumulate,
        context: t.context,
        schedule: LrSchedule {
            policy: t
                .lr_policy
                .parse()
                .map_err(|e: String| CliError::usage(format!("train.lr_policy: {e}")))?,
            peak: t.learning_rate,
            min_ratio: t.min_lr_ratio,
            warmup: t.warmup_steps,
            steps: t.steps,
        },
        adamw: AdamWSettings { beta1: t.beta1, beta2: t.beta2, eps: t.eps, weight_decay: t.weight_decay },
        clip: t.clip,
        seed: t.seed,
        eval_every: t.eval_every,
        checkpoint_every: t.checkpoint_every,
        out: args.out.clone(),
        dtype: args.save_dtype,
        time_limit: args.minutes.map(|m| Duration::from_secs_f64(m * 60.0)),
    })
}

/// The first Ctrl-C finishes the step and saves; the second ends the program.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>, CliError> {
    let stop = Arc::new(AtomicBool::new(false));
    let register = |signal| {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())
    };
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        register(signal).map_err(|e| CliError::failed(format!("signals cannot be handled: {e}")))?;
    }
    Ok(stop)
}

/// Progress on stderr: a bar in a terminal, plain lines elsewhere; with `--json`, one JSON object a line.
struct Reporter {
    json: bool,
    bar: Option<ProgressBar>,
    every: usize,
}

impl Reporter {
    fn new(json: bool, steps: usize, minutes: Option<f64>) -> Self {
        let bar = (!json && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(steps as u64);
            let eta = if minutes.is_some() { "{elapsed}" } else { "{eta}" };
            if let Ok(style) =
                ProgressStyle::with_template(&format!("{{pos}}/{{len}} {{wide_bar}} {eta} {{msg}}"))
            {
                bar.set_style(style);
            }
            bar
        });
        Reporter { json, bar, every: (steps / 100).clamp(1, 50) }
    }

    fn line(&self, text: String) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(&text),
        }
    }

    fn show(&self, report: &Report) {
        if self.json {
            if let Ok(text) = serde_json::to_string(report) {
                note(&text);
            }
            return;
        }
        match report {
            Report::Step { step, loss, rate, tokens_per_second, .. } => match &self.bar {
                Some(bar) => {
                    bar.set_position(*step as u64 + 1);
                    bar.set_message(format!("loss {loss:.3}  lr {rate:.1e}  {tokens_per_second:.0} tok/s"));
                }
                None if step % self.every == 0 => self.line(format!(
                    "step {step}: loss {loss:.4}, learning rate {rate:.2e}, {tokens_per_second:.0} tokens/s"
                )),
                None => {}
            },
            Report::Evaluated { step, loss, bits_per_byte } => {
                self.line(format!(
                    "step {step}: validation loss {loss:.4} nats per token, {bits_per_byte:.4} bits per byte"
                ));
            }
            Report::Saved { step, path } => self.line(format!("step {step}: saved {}", path.display())),
            Report::Warning { step, message } => self.line(format!("step {step}: warning: {message}")),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn report(
    args: &TrainArgs,
    context: &Context,
    summary: &Summary,
    sample: Option<&str>,
) -> Result<(), CliError> {
    if args.output.json {
        let out = args.out.display().to_string();
        return context.out.json(&serde_json::json!({ "out": out, "summary": summary, "sample": sample }));
    }
    let mut text = format!(
        "{} steps, {} tokens in {:.0} s, training loss {:.4}\n",
        summary.steps, summary.tokens, summary.seconds, summary.train_loss
    );
    if let (Some(loss), Some(bits)) = (summary.validation_loss, summary.bits_per_byte) {
        text.push_str(&format!("validation loss {loss:.4} nats per token, {bits:.4} bits per byte\n"));
    }
    text.push_str(&format!("saved: {}\n", args.out.display()));
    if let Some(sample) = sample {
        text.push_str(&format!("\n{sample}\n"));
    }
    if summary.stopped_early {
        text.push_str("stopped before its last step\n");
    }
    context.out.text(&text)
}
