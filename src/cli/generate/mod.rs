//! `maskscope generate`: the model writes a text on, with and without the mask; or answers in a dialogue.

mod report;
mod stream;

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::error::{CliError, ExitKind};
use super::flags::{FlagSet, ParameterFlags};
use super::mask::preset_parser;
use super::models_cache::interrupts;
use super::output::JsonFlag;
use super::source::{Ids, SourceArgs, TextOrIds, ids};
use super::{CommandContext, open};
use crate::attention::types::Reduction;
use crate::config::{Preset, Row};
use crate::engine::generate::WritingSession;
use crate::engine::types::{EndReason, GenerateMask, GenerateRequest, GenerateSettings, Prompt};
use crate::mask::rolling::RollingSettings;
use report::GenerateOutput;
use stream::TextStream;

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
        ("threshold", "mask.threshold"),
        ("probability", "mask.probability"),
        ("mask-seed", "mask.seed"),
        ("op", "mask.op"),
        ("mix", "mask.mix"),
        ("polarity", "mask.polarity"),
        ("scale", "mask.scale"),
        ("protect", "mask.protect"),
        ("unit", "mask.unit"),
        ("exact-k", "mask.exact_k"),
        ("score", "score.reduction"),
        ("contribution", "score.contribution"),
        ("score-window", "score.window"),
        ("layers", "score.layers"),
        ("heads", "score.heads"),
    ];
    const ROWS: &'static [&'static [Row]] = &[GenerateSettings::ROWS, RollingSettings::ROWS];
}

/// Let the model write a text on, with and without the mask, or answer in a dialogue
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("start").required(true).multiple(false))]
pub struct GenerateArgs {
    /// Text to write on from; empty begins a new text
    #[arg(long, group = "start")]
    pub text: Option<String>,
    /// File whose text to write on from; - is stdin
    #[arg(long, group = "start", value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// Token ids to write on from, e.g. 1,2,3
    #[arg(long, group = "start", value_name = "N,N,…", value_parser = ids)]
    pub ids: Option<Ids>,
    /// A dialogue: the model answers each --say, or else each line of stdin
    #[arg(long, group = "start")]
    pub chat: bool,
    /// What to say in a dialogue; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub say: Vec<String>,
    /// Write a second time under the mask, which decides block by block from the past only; any flag of the mask implies it
    #[arg(long, help_heading = "Mask")]
    pub masked: bool,
    /// Start from a named set of mask and score settings; other flags override it
    #[arg(long, value_name = "NAME", value_parser = preset_parser(), help_heading = "Mask")]
    pub preset: Option<Preset>,
    /// Add to the JSON what each token read: attention over the text before it, mean over layers and heads
    #[arg(long)]
    pub attention: bool,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

impl GenerateArgs {
    /// Whether a masked continuation is asked for.
    fn masked(&self) -> bool {
        let of_mask = |key: &str| ["mask.", "score."].iter().any(|table| key.starts_with(table));
        self.masked || self.preset.is_some() || self.parameters.values().iter().any(|f| of_mask(&f.key))
    }

    fn prompt(&self, context: usize) -> Result<Prompt, CliError> {
        if self.chat {
            return Ok(Prompt::Dialogue);
        }
        let source =
            SourceArgs { text: self.text.clone(), text_file: self.text_file.clone(), ids: self.ids.clone() };
        Ok(match source.read(context)? {
            TextOrIds::Text(text) => Prompt::Text(text.into()),
            TextOrIds::Ids(ids) => Prompt::Ids(ids),
        })
    }
}

/// How one continuation was written.
#[derive(Clone, Copy, Debug, Default)]
struct Timing {
    tokens: usize,
    /// After the first token, whose time is that of reading the text.
    rest: Duration,
}

impl Timing {
    fn millis(self) -> Option<f64> {
        let n = self.tokens.checked_sub(1).filter(|n| *n > 0)?;
        Some(self.rest.as_secs_f64() * 1e3 / n as f64)
    }
}

/// Why a continuation stands where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Tokens,
    By(EndReason),
    Cancelled,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Ended::Tokens => "tokens",
            Ended::By(reason) => reason.name(),
            Ended::Cancelled => "cancelled",
        }
    }
}

/// What one continuation came to.
struct Written {
    /// Its first token that was written now.
    from: usize,
    ended: Ended,
    pace: Timing,
}

/// Runs the command.
///
/// # Errors
/// A model or text that cannot be run, a mask that cannot decide block by block; Ctrl-C, after what was written is printed.
pub fn run(args: &GenerateArgs, context: &CommandContext) -> Result<(), CliError> {
    if !args.chat && !args.say.is_empty() {
        return Err(CliError::usage("--say is for a dialogue").with_hint("use --chat in place of a text"));
    }
    let settings = &context.loaded.settings;
    let loaded = open::open(context)?;
    let masked = args.masked();
    if masked && settings.score.reduction == Reduction::DistanceNull && loaded.tokenizer.is_some() {
        open::calibrate(&loaded)?;
    }
    let mask = masked.then(|| GenerateMask {
        mask: settings.mask.clone(),
        score: settings.score.clone(),
        rolling: settings.rolling.clone().settled(),
    });
    let request = GenerateRequest {
        prompt: args.prompt(loaded.model.config.n_positions)?,
        settings: settings.generate.clone(),
        mask,
        top: settings.explore.top,
    };
    let mut session = WritingSession::start(loaded, &request)?;
    let cancel = interrupts()?;
    let mut report = GenerateOutput::new(&request, args.attention);
    let cancelled = if args.chat {
        chat(args, context, (&mut session, &request), &mut report, &cancel)?
    } else {
        let written = write(args, context, (&mut session, &request), &cancel)?;
        let cancelled = written.iter().any(|w| w.ended == Ended::Cancelled);
        report.add(None, &session, &written);
        cancelled
    };
    if args.output.json {
        context.out.json(&report.finished(&session))?;
    } else {
        context.out.text(&report.summary(&session))?;
    }
    if cancelled {
        // Ctrl-C is signal 2.
        return Err(
            CliError::new(ExitKind::Signal(2), "cancelled").with_hint("what was written is printed above")
        );
    }
    Ok(())
}

/// One turn after the other; whether Ctrl-C ended it.
fn chat(
    args: &GenerateArgs,
    context: &CommandContext,
    (session, request): (&mut WritingSession, &GenerateRequest),
    report: &mut GenerateOutput,
    cancel: &AtomicBool,
) -> Result<bool, CliError> {
    let lines = std::io::stdin().lock().lines().map_while(Result::ok);
    let turns: Box<dyn Iterator<Item = String>> = match args.say.is_empty() {
        true => Box::new(lines),
        false => Box::new(args.say.iter().cloned()),
    };
    for said in turns.filter(|turn| !turn.trim().is_empty()) {
        session.say(&said)?;
        if !args.output.json {
            context.out.text(&format!("> {said}\n"))?;
        }
        let written = write(args, context, (session, request), cancel)?;
        report.add(Some(said), session, &written);
        if written.iter().any(|w| w.ended == Ended::Cancelled) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes every continuation to its end, one after the other: their draws are the same in any order.
fn write(
    args: &GenerateArgs,
    context: &CommandContext,
    (session, request): (&mut WritingSession, &GenerateRequest),
    cancel: &AtomicBool,
) -> Result<Vec<Written>, CliError> {
    let both = session.continuations().len() > 1;
    let mut out = Vec::new();
    for i in 0..session.continuations().len() {
        let mut stream = TextStream::new(context.out, args.output.json);
        if both {
            stream.heading(if i == 0 { "without the mask" } else { "under the mask" })?;
        }
        let written = one(session, (i, request.settings.tokens), &mut stream, cancel)?;
        stream.end()?;
        let cancelled = written.ended == Ended::Cancelled;
        out.push(written);
        if cancelled {
            break;
        }
    }
    Ok(out)
}

fn one(
    session: &mut WritingSession,
    (i, tokens): (usize, usize),
    stream: &mut TextStream,
    cancel: &AtomicBool,
) -> Result<Written, CliError> {
    let from = session.continuations()[i].tokens().len();
    let given = session.continuations()[i].tokens().iter();
    // A dialogue's turns are echoed as they are said.
    if given.clone().all(|t| t.written.is_none()) && !session.is_dialogue() {
        given
            .map(|t| t.token.bytes.clone())
            .collect::<Vec<_>>()
            .iter()
            .try_for_each(|bytes| stream.push(bytes))?;
    }
    let mut pace = Timing::default();
    let ended = loop {
        if pace.tokens == tokens {
            break Ended::Tokens;
        }
        let started = Instant::now();
        match session.write(i, Some(cancel)) {
            Ok(true) => {}
            Ok(false) => break session.continuations()[i].end().map_or(Ended::Tokens, Ended::By),
            Err(e) if e.is_cancelled() => break Ended::Cancelled,
            Err(e) => {
                stream.end()?;
                return Err(e.into());
            }
        }
        if pace.tokens > 0 {
            pace.rest += started.elapsed();
        }
        pace.tokens += 1;
        let continuation = &session.continuations()[i];
        if let Some(token) = continuation.tokens().last().filter(|_| continuation.end().is_none()) {
            stream.push(&token.token.bytes)?;
        }
    };
    Ok(Written { from, ended, pace })
}
