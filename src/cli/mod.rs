//! The command line: clap types, one file per subcommand, each a thin call into the rooms below.
//! Runs on the main thread. Results go to stdout and are free of escapes; errors go to stderr as one sentence and a
//! hint. Must never hold logic that the screen would need too.

mod asked;
pub mod bench;
pub mod calibrate;
pub mod classify;
mod completions;
mod config;
mod convert;
pub mod cost;
pub mod doctor;
mod documents;
pub mod effect;
mod error;
pub mod eval;
mod eval_documents;
pub mod export;
#[cfg(test)]
mod export_tests;
mod flags;
pub mod generate;
pub mod grow;
pub mod heads;
pub mod intervene;
mod kept;
pub mod mask;
pub mod models;
mod models_cache;
mod open;
mod output;
pub mod predict;
mod progress;
pub mod replay;
pub mod runs;
pub mod screen;
pub mod source;
pub mod sweep;
pub mod tokenizer;
mod tokens;
pub mod trace;
pub mod train;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{Env, FlagValue, Loaded, Preset, SetBy, SettingSources, load};
pub use error::{CliError, ExitKind};
pub use flags::{FlagSet, ParameterFlags};
pub use output::Output;

/// Explore dynamic attention masking in GPT-2-style models, live in a terminal.
#[derive(Debug, Parser)]
#[command(name = "maskscope", version, about, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 model or device not available")]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub screen: screen::ScreenArgs,
    #[command(subcommand)]
    pub command: Option<Commands>,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// Settings file to use instead of your own
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    pub config: Option<PathBuf>,
    /// Set any key of config.toml, e.g. --set mask.threshold=0.8; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", help_heading = "Settings", value_parser = flags::assignment)]
    pub set: Vec<flags::Assignment>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Commands {
    Trace(trace::TraceArgs),
    Predict(predict::PredictArgs),
    Generate(generate::GenerateArgs),
    Mask(mask::MaskArgs),
    Export(Box<export::ExportArgs>),
    Replay(replay::ReplayArgs),
    Effect(effect::EffectArgs),
    Cost(cost::CostArgs),
    Eval(eval::EvalArgs),
    Classify(classify::ClassifyArgs),
    Sweep(sweep::SweepArgs),
    Train(train::TrainArgs),
    Grow(grow::GrowArgs),
    Runs(runs::RunsArgs),
    Tokenizer(tokenizer::TokenizerArgs),
    Models(models::ModelsArgs),
    Doctor(doctor::DoctorArgs),
    Heads(heads::HeadsArgs),
    Intervene(intervene::InterveneArgs),
    Calibrate(calibrate::CalibrateArgs),
    Bench(bench::BenchArgs),
    Config(config::ConfigArgs),
    Completions(completions::CompletionsArgs),
}

/// What a command works with besides its own arguments.
#[derive(Debug)]
pub struct CommandContext {
    /// Settings in force, with the places they came from.
    pub loaded: Loaded,
    pub env: Env,
    pub out: Output,
}

impl CommandContext {
    /// Whether somebody set this parameter: in a file, in the environment or on the command line.
    pub fn asked(&self, key: &str) -> bool {
        self.loaded.origin(key) != SetBy::BuiltIn
    }
}

/// Runs one command line.
pub fn main(args: impl IntoIterator<Item = OsString>, env: Env) -> ExitCode {
    let cli = match parse(args) {
        Ok(cli) => cli,
        Err(error) => {
            refuse(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli, env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(error),
    }
}

/// Prints help to stdout, or what is wrong with a command line to stderr. A reader that has gone away is no reason to complain.
fn refuse(error: &clap::Error) {
    let text = error.to_string();
    let safe = error::told(&text);
    // Colours only where nothing had to be changed.
    if error.use_stderr() && safe != text {
        let _ = write!(std::io::stderr().lock(), "{safe}");
    } else {
        let _ = error.print();
    }
}

/// Reads a command line without running it.
///
/// # Errors
/// Usage errors, and requests for help or the version, which clap treats alike.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let cli = Cli::from_arg_matches(&Cli::command().try_get_matches_from(args)?)?;
    let flag = cli.screen.parameters.values().first().map(|given| given.flag.as_str());
    let flag = flag.or(cli.screen.text_file.is_some().then_some("--text-file"));
    if let (Some(_), Some(flag)) = (&cli.command, flag) {
        let message = format!("{flag} belongs after the subcommand\n");
        return Err(Cli::command().error(clap::error::ErrorKind::ArgumentConflict, message));
    }
    Ok(cli)
}

fn run(cli: Cli, env: Env) -> anyhow::Result<()> {
    let Cli { common, command, screen: screen_args } = cli;
    let out = Output::stdout();
    let plain = |flags: &[FlagValue]| context(common.clone(), env.clone(), out, None, flags.to_vec());
    let ended = match command {
        Some(Commands::Trace(args)) => return trace::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Predict(args)) => predict::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Generate(args)) => {
            let flags = args.parameters.values().to_vec();
            generate::run(&args, &context(common, env, out, args.preset, flags)?)
        }
        Some(Commands::Mask(args)) => {
            let flags = args.parameters.values().to_vec();
            mask::run(&args, &context(common, env, out, args.preset, flags)?)
        }
        Some(Commands::Export(args)) => {
            let flags = args.parameters.values().to_vec();
            export::run(&args, &context(common, env, out, args.preset, flags)?)
        }
        Some(Commands::Replay(args)) => replay::run(&args, &plain(&[])?),
        Some(Commands::Effect(args)) => {
            let flags = args.parameters.values().to_vec();
            effect::run(&args, &context(common, env, out, args.preset, flags)?)
        }
        Some(Commands::Cost(args)) => cost::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Eval(args)) => eval::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Classify(args)) => classify::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Sweep(args)) => sweep::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Train(args)) => train::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Grow(args)) => grow::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Runs(args)) => runs::run(&args, &plain(&[])?),
        Some(Commands::Tokenizer(args)) => tokenizer::run(&args, &plain(args.parameters())?),
        Some(Commands::Models(args)) => models::run(&args, &plain(args.parameters())?),
        Some(Commands::Calibrate(args)) => return calibrate::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Heads(args)) => return heads::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Intervene(args)) => intervene::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Bench(args)) => return bench::run(&args, &plain(args.parameters.values())?),
        Some(Commands::Doctor(args)) => doctor::run(&args, &plain(&[])?),
        Some(Commands::Config(args)) => config::run(&args, common, env, out),
        Some(Commands::Completions(args)) => completions::run(&args, out),
        None => {
            let session = screen_args.session.as_deref().map(replay::read).transpose()?;
            let saved = session.iter().flat_map(replay::flags);
            let flags = saved.chain(screen_args.parameters.values().to_vec()).collect();
            screen::run(&screen_args, &context(common, env, out, None, flags)?, session.as_ref())
        }
    };
    Ok(ended?)
}

/// Loads the settings for a command: its preset and flags go over `--set`, which goes over the environment.
pub(crate) fn context(
    common: Common,
    env: Env,
    out: Output,
    preset: Option<Preset>,
    flags: Vec<FlagValue>,
) -> Result<CommandContext, CliError> {
    let assignments = common.set.into_iter().map(FlagValue::from);
    let options = SettingSources {
        env: env.clone(),
        file: common.config,
        preset,
        flags: assignments.chain(flags).collect(),
    };
    let loaded = load(options)?;
    config::check_keys(&loaded.settings, |key| loaded.origin(key))?;
    loaded.notes.iter().for_each(|old| output::note(&format!("note: {old}")));
    Ok(CommandContext { loaded, env, out })
}
