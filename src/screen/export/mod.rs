//! Taking along what is on screen: numbers, pictures, the session, and the command line that prints the same numbers. The
//! dialog asks what, in which form and where; files are written outside of the UI thread.

pub mod command;
pub mod dialog;
pub mod figure;
pub mod frame;
pub mod numbers;
pub mod parcel;
pub mod part;
pub mod session;
mod web;
pub mod write;

use std::path::PathBuf;

use crate::config::Settings;
use crate::engine::types::{Command, ExportOutcome, FOLLOWED};
use crate::screen::actions::{EXPLORER, actions};
use crate::screen::app::{App, Request};
use crate::screen::explore::{effect, map, overview, window};
use crate::screen::export::dialog::ExportDialog;
use crate::screen::export::numbers::{ExportSubject, PaneNumbers};
use crate::screen::export::parcel::{Parcel, ParcelContents};
use crate::screen::export::part::ExportPart;
use crate::screen::export::session::{SavedSession, pins, pins_text};
use crate::screen::popups::Popup;
use crate::support::paths::expand_home;
use crate::support::units;

actions! {
    EXPLORER {
        /// Export the numbers, the picture or the session, and the command that prints the same numbers
        EXPORT ["E"] "export" => open;
        /// Copy the command line that prints the numbers of this pane
        COPY_COMMAND ["C"] => |app| copy_command(app, part_of_pane(app));
    }
}

/// What waits for an answer before it can be written.
#[derive(Clone, Debug, Default)]
pub struct ExportState {
    /// A session that still lacks the hash of the weights.
    session: Option<(PathBuf, bool)>,
}

/// What the numbers on screen belong to.
pub fn subject(app: &App) -> ExportSubject {
    let mut settings: Settings = (*app.options.settings).clone();
    let doc = &app.doc;
    settings.mask = doc.mask.clone();
    settings.score = doc.score.clone();
    settings.rolling = doc.rolling.clone();
    settings.explore.layer = doc.heads.layer;
    settings.explore.head = doc.heads.head;
    settings.explore.map = doc.map;
    settings.explore.color_scale = app.view.colours;
    let id = app.model.as_ref().map_or_else(String::new, |m| m.id.clone());
    let model = if id == settings.model.id { settings.model.spec() } else { id };
    // The weights of a run in progress belong to no file; the model that it started from does.
    let model = model.split(FOLLOWED).next().unwrap_or_default().to_owned();
    ExportSubject {
        model,
        text: doc.editor.text().to_string(),
        pins: pins_text(&doc.mask.pinned),
        position: app.position(),
        start: (*app.options.settings).clone(),
        settings,
    }
}

/// What the focused pane shows.
fn part_of_pane(app: &App) -> ExportPart {
    match app.view.focus {
        pane if *pane == map::PANE && app.view.overview => ExportPart::Heads,
        pane if *pane == map::PANE => ExportPart::Map,
        pane if *pane == effect::PANE => ExportPart::Effect,
        pane if *pane == window::PANE && has_window(app) => ExportPart::Window,
        _ => ExportPart::Tokens,
    }
}

fn has_window(app: &App) -> bool {
    app.results.decided.as_ref().is_some_and(|d| d.value.window.is_some())
}

fn open(app: &mut App) {
    app.popup = Some(Popup::Export(ExportDialog::new(part_of_pane(app))));
}

/// Puts the command line on the clipboard.
fn copy_command(app: &mut App, part: ExportPart) {
    if app.model.is_none() || app.doc.editor.text().is_empty() {
        return app.say("There is nothing to print yet: open a model and type a text");
    }
    if !part.has_command() {
        return app.say("A picture has no command; those of map, tokens, effect, heads and window do");
    }
    let followed = app.model.as_ref().is_some_and(|m| m.id.contains(FOLLOWED));
    app.emit(Request::Copy(command::command_line(part, &subject(app))));
    app.say(if followed {
        "Command copied; it reads the model that the run started from, not these weights".to_owned()
    } else {
        format!("Command copied: maskscope export {part} prints the same numbers")
    });
}

/// Writes what the dialog asks for, or says in it why that cannot be done.
fn save(app: &mut App, dialog: &ExportDialog) {
    let told = match prepare(app, dialog) {
        Ok(Some(parcel)) => {
            app.emit(Request::Export(Box::new(parcel)));
            "Writing…".to_owned()
        }
        Ok(None) => "Reading the weights…".to_owned(),
        Err(why) => why,
    };
    tell(app, told);
}

/// The file to write; `None` where the hash of the weights must come first.
fn prepare(app: &mut App, dialog: &ExportDialog) -> Result<Option<Parcel>, String> {
    if dialog.file.trim().is_empty() {
        return Err("Type the name of a file".to_owned());
    }
    let (path, replace) = (expand_home(dialog.file.trim()), dialog.replace);
    if app.busy() && dialog.part != ExportPart::WholeScreen {
        return Err("The numbers are still being computed: try again in a moment".to_owned());
    }
    let picture = |area| frame::svg(app, area).ok_or("This part of the screen is empty");
    let contents = match dialog.part {
        ExportPart::Session => {
            if app.results.masked.is_none() {
                return Err("There is nothing to save yet: open a model and type a text".to_owned());
            }
            app.export.session = Some((path, replace));
            app.emit(Request::Command(Command::Fingerprint));
            return Ok(None);
        }
        ExportPart::WholeScreen => {
            ParcelContents::Picture(picture(ratatui::layout::Rect::new(0, 0, app.size.0, app.size.1))?)
        }
        ExportPart::Pane => {
            let area = app
                .layout()
                .groups
                .iter()
                .find(|group| group.front == app.view.focus)
                .map(|group| group.outer)
                .ok_or("This pane is not on screen")?;
            ParcelContents::Picture(picture(area)?)
        }
        part => {
            let numbers =
                PaneNumbers::of(part, &app.results, &subject(app)).ok_or_else(|| missing(app, part))?;
            let (colours, dark) = (app.view.colours, app.look.dark);
            ParcelContents::Numbers { numbers: Box::new(numbers), form: dialog.form, colours, dark }
        }
    };
    Ok(Some(Parcel { path, replace, contents }))
}

/// Why there are no such numbers, and what to do.
fn missing(app: &App, part: ExportPart) -> String {
    match part {
        ExportPart::Heads => format!(
            "The heads are measured while their overview is open: close this and press {}",
            app.key_label(&overview::OVERVIEW)
        ),
        ExportPart::Window => {
            "There is no rolling window here: the mask is decided with the whole text in view".to_owned()
        }
        _ => "There is nothing to save yet: open a model and type a text".to_owned(),
    }
}

/// Says something in the dialog, or in passing where that is closed.
fn tell(app: &mut App, text: String) {
    match &mut app.popup {
        Some(Popup::Export(dialog)) => dialog.told = text,
        _ => app.say(text),
    }
}

/// The hash of the weights has come: a session that waited for it is written.
pub fn fingerprint_known(app: &mut App, hash: Result<String, String>) {
    let Some((path, replace)) = app.export.session.take() else { return };
    let session = hash.map_err(|why| format!("The weights cannot be read: {why}")).and_then(|hash| {
        let looked = (app.view.query, app.view.key);
        SavedSession::new(&app.results, &subject(app), &hash, looked)
            .filter(|_| !app.busy())
            .ok_or_else(|| "The numbers have changed meanwhile: save again".to_owned())
    });
    match session {
        Ok(session) => {
            let contents = ParcelContents::Session(Box::new(session));
            app.emit(Request::Export(Box::new(Parcel { path, replace, contents })));
        }
        Err(why) => tell(app, why),
    }
}

/// What became of a file.
pub fn written(app: &mut App, outcome: ExportOutcome) {
    match outcome {
        ExportOutcome::Written { path, bytes } => {
            if matches!(app.popup, Some(Popup::Export(_))) {
                app.popup = None;
            }
            app.say(format!("Saved {} ({})", path.display(), units::bytes(bytes)));
        }
        ExportOutcome::Exists { path } => {
            let text = format!("{} exists: save again to replace it", path.display());
            if let Some(Popup::Export(dialog)) = &mut app.popup {
                dialog.replace = true;
            }
            tell(app, text);
        }
        ExportOutcome::Failed { message, .. } => tell(app, message),
    }
}

impl App {
    /// Looks where a session looked; its text and settings are those that the program started with.
    ///
    /// # Errors
    /// Pins that are no regions, in a sentence.
    pub fn reopen(&mut self, session: &SavedSession) -> Result<(), String> {
        self.doc.mask.pinned = pins(&session.view.pins)?;
        self.view.query = session.view.query;
        self.view.key = session.view.key;
        self.view.position = session.view.position;
        self.view.placed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
