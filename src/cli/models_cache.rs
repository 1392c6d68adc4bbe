//! `maskscope models pull`, `refresh` and `remove`: what changes the cache.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use indicatif::{MultiProgress, ProgressBar};
use serde::Serialize;

use super::error::{CliError, ExitKind};
use super::models::{ModelArgs, RemoveArgs, unavailable};
use super::output::note;
use super::{CommandContext, convert};
use crate::hub::{self, FetchProgress, HubError, HubOptions, ModelSpec, Phase};
use crate::support::progress::bar;
use crate::support::units::{bytes, duration};
use crate::support::visible::line;

#[derive(Serialize)]
struct Pulled<'a> {
    id: &'a str,
    commit: Option<&'a str>,
    path: Option<String>,
    /// Files and bytes of the model, and how much of it came over the network now.
    files: usize,
    bytes: u64,
    fetched_bytes: u64,
}

/// Downloads a model, or its newest version.
///
/// # Errors
/// Exit code 3: the model is not available, or a refresh brought nothing new; 130: Ctrl-C.
pub fn pull(model: &ModelArgs, json: bool, refresh: bool, context: &CommandContext) -> Result<(), CliError> {
    let spec = model.spec()?;
    let ModelSpec::Hub { id, .. } = &spec else {
        let problem = format!("{} is on this machine: there is nothing to download", model.id);
        return Err(CliError::usage(problem).with_hint("name a model of the Hub: owner/name"));
    };
    let options = HubOptions { refresh, ..convert::hub_options(context) };
    let cancel = interrupts()?;
    let mut bars = Bars::new(json);
    let fetched = hub::fetch(&spec, &options, &mut |p| bars.show(p), &cancel);
    bars.finish();
    let snapshot = fetched.map_err(|error| match error {
        // Ctrl-C is signal 2.
        HubError::Cancelled => CliError::new(ExitKind::Signal(2), "cancelled")
            .with_hint("what was downloaded is kept; the next pull continues from there"),
        error => unavailable(&error),
    })?;
    if let Some(problem) = snapshot.note {
        return Err(CliError::unavailable(format!("{id} was not refreshed: {problem}")));
    }
    let last = bars.last.as_ref();
    let pulled = Pulled {
        id,
        commit: snapshot.revision.as_deref(),
        path: snapshot.dir().map(|dir| dir.display().to_string()),
        files: last.map_or(0, |p| p.files),
        bytes: last.map_or(0, |p| p.total),
        fetched_bytes: last.map_or(0, |p| p.fetched),
    };
    if json { context.out.json(&pulled) } else { context.out.text(&said(&pulled)) }
}

fn said(pulled: &Pulled<'_>) -> String {
    let (id, path) = (pulled.id, pulled.path.as_deref().unwrap_or_default());
    if pulled.files == 0 {
        return format!("{id} is in the cache: {path}\n");
    }
    let (all, fetched) = (bytes(pulled.bytes), bytes(pulled.fetched_bytes));
    format!("{id}: {all} in {} files, {fetched} of them downloaded now: {path}\n", pulled.files)
}

/// Set by the first Ctrl-C; the second ends the program at once.
pub(super) fn interrupts() -> Result<Arc<AtomicBool>, CliError> {
    let flag = Arc::<AtomicBool>::default();
    let signal = signal_hook::consts::SIGINT;
    signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone())
        .and_then(|_| signal_hook::flag::register(signal, flag.clone()))
        .map_err(|e| CliError::failed(format!("signals cannot be handled: {e}")))?;
    Ok(flag)
}

/// The file under way and the whole, as two bars on a terminal, as lines elsewhere.
struct Bars {
    quiet: bool,
    file: ProgressBar,
    all: ProgressBar,
    last: Option<FetchProgress>,
}

impl Bars {
    fn new(json: bool) -> Self {
        let both = MultiProgress::new();
        let [file, all] = [(); 2].map(|()| match json {
            true => ProgressBar::hidden(),
            false => both.add(bar(0, "{prefix} {wide_bar} {msg}")),
        });
        Bars { quiet: json, file, all, last: None }
    }

    fn show(&mut self, p: &FetchProgress) {
        if !self.file.is_hidden() {
            self.draw(p);
        } else if !self.quiet {
            self.tell(p);
        }
        self.last = Some(p.clone());
    }

    fn draw(&self, p: &FetchProgress) {
        let left = |missing: u64| {
            let rate = p.rate.filter(|rate| *rate >= 1.0)?;
            Some(format!("{} left", duration(missing as f64 / rate)))
        };
        let numbers = |done: u64, size: u64| {
            let mut parts = vec![format!("{} of {}", bytes(done), bytes(size))];
            parts.extend(left(size.saturating_sub(done)));
            parts.join(", ")
        };
        self.file.set_length(p.file_size);
        self.file.set_position(p.file_done);
        self.file.set_prefix(match p.phase {
            Phase::Downloading => line(&p.file),
            phase => line(&format!("{phase} {}", p.file)),
        });
        self.file.set_message(numbers(p.file_done, p.file_size));
        self.all.set_length(p.total);
        self.all.set_position(p.done);
        self.all.set_prefix(format!("in all, file {} of {}", p.number, p.files));
        let rate = p.rate.map_or_else(String::new, |rate| format!(", {}/s", bytes(rate as u64)));
        self.all.set_message(format!("{}{rate}", numbers(p.done, p.total)));
    }

    /// One line for each file, and for whatever holds it up.
    fn tell(&self, p: &FetchProgress) {
        let before = self.last.as_ref().map(|last| (last.phase, last.number));
        if before == Some((p.phase, p.number)) {
            return;
        }
        let file = || format!("{} ({} of {}), {}", p.file, p.number, p.files, bytes(p.file_size));
        match p.phase {
            Phase::Downloading => note(&format!("downloading {}", file())),
            Phase::Waiting => note(&format!("waiting: another process downloads {}", p.file)),
            Phase::Limited => {
                let wait = duration(p.pause.unwrap_or_default().as_secs_f64());
                note(&format!("{}: trying again in {wait}", p.phase));
            }
            Phase::Retrying => {
                note(&format!("trying again in {}", duration(p.pause.unwrap_or_default().as_secs_f64())));
            }
            Phase::Asking | Phase::Checking | Phase::Finished => {}
        }
    }

    fn finish(&self) {
        self.file.finish_and_clear();
        self.all.finish_and_clear();
    }
}

/// Removes a model, or one revision of it, after a question.
///
/// # Errors
/// Exit code 3: it is not in the cache; 2: nobody can be asked; 1: the answer is no, it is in use, the disk refuses.
pub fn remove(args: &RemoveArgs, context: &CommandContext) -> Result<(), CliError> {
    let spec = args.model.spec()?;
    if !matches!(spec, ModelSpec::Hub { .. }) {
        let problem = format!("{} is not a model of the cache", args.model.id);
        return Err(CliError::usage(problem).with_hint("a folder of your own you delete yourself"));
    }
    let options = convert::hub_options(context);
    let failed = |error: HubError| match error {
        HubError::NotCached { .. } => unavailable(&error),
        error => CliError::from(error),
    };
    let removal = hub::removal(&spec, &options).map_err(failed)?;
    let what = match removal.whole {
        true => spec.to_string(),
        false => format!("revision {} of {}", removal.revisions.join(", "), removal.id),
    };
    if !args.yes {
        if !std::io::stdin().is_terminal() {
            return Err(CliError::usage("removing a model needs --yes when stdin is not a terminal"));
        }
        note(&format!("remove {what} from the cache, which frees {}? y/N", bytes(removal.bytes)));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_err() || !answer.trim().eq_ignore_ascii_case("y") {
            return Err(CliError::failed("nothing was removed"));
        }
    }
    let removed = hub::remove(&spec, &options).map_err(failed)?;
    if args.output.json {
        return context.out.json(&removed);
    }
    context.out.text(&format!("{what} removed, {} freed\n", bytes(removed.bytes)))
}
