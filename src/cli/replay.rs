//! `maskscope replay`: a session runs again without a screen; `--verify` names the first difference.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::CommandContext;
use super::asked::{ExplorerQuestion, ask};
use super::error::CliError;
use super::output::JsonFlag;
use crate::config::{FlagValue, Settings};
use crate::screen::export::numbers::ExportSubject;
use crate::screen::export::session::SavedSession;
use crate::support::files::{read_at_most, unreadable};
use crate::support::table::Table;

/// Largest session that is read: a text of a few thousand tokens and its ids take less than a tenth of it.
const LARGEST: u64 = 4 << 20;

/// Run a saved session again; --verify says what differs from when it was saved
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// Session to run, as E on the screen or maskscope export session wrote it
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Compare with what was recorded and name the first difference; it is an error then
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    pub output: JsonFlag,
}

#[derive(Serialize)]
struct ReplayOutput<'a> {
    session: &'a SavedSession,
    /// null where nothing differs; left out where nobody asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Option<String>>,
}

/// Reads a session.
///
/// # Errors
/// A file that cannot be read or is no session.
pub fn read(path: &Path) -> Result<SavedSession, CliError> {
    let bytes = read_at_most(path, LARGEST).map_err(|e| CliError::failed(unreadable(path, &e)))?;
    let text = String::from_utf8(bytes).map_err(|e| e.to_string());
    text.and_then(|text| SavedSession::read(&text)).map_err(|why| {
        CliError::failed(format!("{} is no session: {why}", path.display()))
            .with_hint("save one with E on the screen, or with maskscope export session")
    })
}

/// The settings of a session as flags: explicit flags go over them.
pub fn flags(session: &SavedSession) -> Vec<FlagValue> {
    let flag = |key: &str, value: &str| FlagValue {
        key: key.to_owned(),
        value: value.to_owned(),
        flag: "--session".to_owned(),
    };
    let settings = session.settings.iter().map(|(key, value)| flag(key, value));
    let own = [
        flag("model.id", &session.model.id),
        flag("model.revision", "main"),
        flag("explore.text", &session.text.text),
    ];
    settings.chain(own).collect()
}

/// Runs the command.
///
/// # Errors
/// A file that is no session, a model that is not there, a difference under `--verify`.
pub fn run(args: &ReplayArgs, context: &CommandContext) -> Result<(), CliError> {
    let saved = read(&args.file)?;
    let mut settings: Settings = saved
        .settings_over(&context.loaded.settings)
        .map_err(|why| CliError::failed(format!("{}: {why}", args.file.display())))?;
    settings.model.id.clone_from(&saved.model.id);
    settings.model.revision = "main".to_owned();
    let position = saved.view.position;
    let question = ExplorerQuestion { settings: &settings, text: &saved.text.text, position, heads: false };
    let asked = ask(context, &question)?;
    let subject = ExportSubject {
        model: saved.model.id.clone(),
        text: saved.text.text.clone(),
        pins: saved.view.pins.clone(),
        position,
        start: context.loaded.settings.clone(),
        settings,
    };
    let looked = (saved.view.query, saved.view.key);
    let again = SavedSession::new(&asked.results, &subject, &asked.fingerprint()?, looked)
        .ok_or_else(|| CliError::failed("the model gave no numbers for this text"))?;
    let difference = args.verify.then(|| saved.first_difference(&again));
    if args.output.json {
        context.out.json(&ReplayOutput { session: &again, difference: difference.clone() })?;
    } else {
        context.out.text(&plain(&again))?;
    }
    match difference {
        Some(Some(difference)) => Err(CliError::failed(format!("the session does not replay: {difference}"))),
        Some(None) if !args.output.json => context.out.text("\nevery number is as it was recorded\n"),
        _ => Ok(()),
    }
}

fn plain(session: &SavedSession) -> String {
    let recorded = &session.recorded;
    let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.4}"));
    let ids = |all: &[u32]| all.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let masked: Vec<String> = recorded.masked.iter().map(usize::to_string).collect();
    let mut table = Table::default();
    table.row(["model".to_owned(), session.model.id.clone()]);
    table.row(["weights".to_owned(), session.model.weights.chars().take(12).collect()]);
    table.row(["tokens".to_owned(), session.text.ids.len().to_string()]);
    table.row(["score".to_owned(), recorded.score.clone()]);
    table.row(["masked".to_owned(), masked.join(" ")]);
    table.row(["loss".to_owned(), format!("{} → {}", number(recorded.loss), number(recorded.loss_masked))]);
    table.row(["KL".to_owned(), format!("{} nats", number(recorded.kl_nats))]);
    table.row(["next ids".to_owned(), ids(&recorded.next)]);
    table.row(["next ids, masked".to_owned(), ids(&recorded.next_masked)]);
    table.to_string()
}
