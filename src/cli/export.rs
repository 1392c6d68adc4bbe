//! `maskscope export`: the numbers behind a pane of the explorer, as the screen has them, and the pictures of the map.

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use serde::Serialize;

use super::CommandContext;
use super::asked::{EngineAnswer, ExplorerQuestion, ask};
use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags, one_of};
use super::mask::preset_parser;
use super::output::{JsonFlag, check_out, write_out};
use super::source::{SourceArgs, TextOrIds};
use crate::config::{Preset, Row, Settings};
use crate::mask::rolling::RollingSettings;
use crate::mask::types::MaskSettings;
use crate::screen::export::command::FLAGS;
use crate::screen::export::numbers::{ExportSubject, PaneNumbers};
use crate::screen::export::parcel::ParcelContents;
use crate::screen::export::part::{ExportForm, ExportPart};
use crate::screen::export::session::{SavedSession, pins, pins_text};
use crate::screen::export::write;

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = FLAGS;
    const ROWS: &'static [&'static [Row]] = &[MaskSettings::ROWS, RollingSettings::ROWS];
}

/// Write what a pane of the explorer shows: numbers as JSON, CSV or safetensors, the map as SVG or HTML
///
/// Without --out, CSV goes to stdout, or JSON with --json.
#[derive(Clone, Debug, clap::Args)]
pub struct ExportArgs {
    /// What to export
    #[arg(value_name = "WHAT", value_parser = part_parser())]
    pub part: ExportPart,
    /// Text to run on
    #[arg(long, required_unless_present = "text_file", conflicts_with = "text_file")]
    pub text: Option<String>,
    /// File whose text to run on; - is stdin
    #[arg(long, value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// Predict what follows this token instead of the last; counted from 0
    #[arg(long, value_name = "N")]
    pub position: Option<usize>,
    /// Positions that are never masked, e.g. 3,5-7
    #[arg(long, value_name = "N,N-N", default_value = "", hide_default_value = true)]
    pub pin: String,
    /// File to write; its ending says the form: .json, .csv, .safetensors, .svg, .html, .toml
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Start from a named set of mask and score settings; other flags override it
    #[arg(long, value_name = "NAME", value_parser = preset_parser(), help_heading = "Mask")]
    pub preset: Option<Preset>,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// What a command can export: pictures of panes need a screen.
fn part_parser() -> impl TypedValueParser<Value = ExportPart> {
    one_of::<ExportPart>().try_map(|part| {
        if part.has_command() { Ok(part) } else { Err("a picture of a pane needs the screen: press E there") }
    })
}

#[derive(Serialize)]
struct ExportOutput {
    part: ExportPart,
    out: String,
    form: ExportForm,
    bytes: usize,
    tokens: usize,
}

/// Runs the command.
///
/// # Errors
/// A model or text that cannot be run, numbers that these settings do not give, a file that cannot be written.
pub fn run(args: &ExportArgs, context: &CommandContext) -> Result<(), CliError> {
    let form = args.out.as_deref().map(|path| form_of(args.part, path)).transpose()?;
    if let Some(path) = &args.out {
        check_out(path)?;
    }
    let (asked, subject) = answer(args, context)?;
    if args.part == ExportPart::Session {
        return session(args, context, (&asked, &subject));
    }
    let numbers = PaneNumbers::of(args.part, &asked.results, &subject).ok_or_else(|| missing(args.part))?;
    let (Some(path), Some(form)) = (&args.out, form) else {
        return if args.output.json {
            context.out.json(&numbers)
        } else {
            context.out.text(&write::csv(&numbers).map_err(CliError::failed)?)
        };
    };
    let colours = subject.settings.explore.color_scale;
    let contents = ParcelContents::Numbers { numbers: Box::new(numbers), form, colours, dark: false };
    put(args, context, (path, form), (&contents, asked.results.len()))
}

/// Asks the engine; also what the numbers belong to.
pub(super) fn answer(
    args: &ExportArgs,
    context: &CommandContext,
) -> Result<(EngineAnswer, ExportSubject), CliError> {
    let mut settings: Settings = context.loaded.settings.clone();
    settings.mask.pinned = pins(&args.pin).map_err(CliError::usage)?;
    let source = SourceArgs { text: args.text.clone(), text_file: args.text_file.clone(), ids: None };
    let TextOrIds::Text(text) = source.read(usize::from(u16::MAX))? else {
        return Err(CliError::usage("no text given").with_hint("use --text or --text-file"));
    };
    let heads = args.part == ExportPart::Heads;
    let asked =
        ask(context, &ExplorerQuestion { settings: &settings, text: &text, position: args.position, heads })?;
    let subject = ExportSubject {
        model: settings.model.spec(),
        pins: pins_text(&settings.mask.pinned),
        position: args.position.filter(|i| i + 1 < asked.results.len()),
        start: context.loaded.settings.clone(),
        settings,
        text,
    };
    Ok((asked, subject))
}

/// The form that a file's ending asks for.
fn form_of(part: ExportPart, path: &std::path::Path) -> Result<ExportForm, CliError> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let form = part.forms().iter().copied().find(|form| form.name() == ending);
    form.ok_or_else(|| {
        let forms: Vec<String> = part.forms().iter().map(|form| format!(".{form}")).collect();
        CliError::usage(format!("{} does not say in which form to write {part}", path.display()))
            .with_hint(format!("end the name with {}", forms.join(", ")))
    })
}

fn missing(part: ExportPart) -> CliError {
    match part {
        ExportPart::Window => CliError::failed("there is no rolling window under scope whole")
            .with_hint("add --scope=block, with an operation that works in blocks such as --op=hide"),
        part => CliError::failed(format!("the model gave no {part} for this text")),
    }
}

/// Writes a session, or prints it.
fn session(
    args: &ExportArgs,
    context: &CommandContext,
    (asked, subject): (&EngineAnswer, &ExportSubject),
) -> Result<(), CliError> {
    let last = asked.results.len().saturating_sub(1);
    let session = SavedSession::new(&asked.results, subject, &asked.fingerprint()?, (last, 0))
        .ok_or_else(|| CliError::failed("the model gave no numbers for this text"))?;
    let Some(path) = &args.out else {
        return if args.output.json {
            context.out.json(&session)
        } else {
            context.out.text(&session.written().map_err(CliError::failed)?)
        };
    };
    let contents = ParcelContents::Session(Box::new(session));
    put(args, context, (path, ExportForm::Toml), (&contents, asked.results.len()))
}

fn put(
    args: &ExportArgs,
    context: &CommandContext,
    (path, form): (&std::path::Path, ExportForm),
    (contents, tokens): (&ParcelContents, usize),
) -> Result<(), CliError> {
    let bytes = contents.bytes().map_err(CliError::failed)?;
    write_out(path, |place| std::fs::write(place, &bytes))?;
    let out = path.display().to_string();
    if args.output.json {
        return context.out.json(&ExportOutput { part: args.part, out, form, bytes: bytes.len(), tokens });
    }
    context.out.text(&format!("{} of {tokens} tokens, written to {out}\n", args.part))
}
