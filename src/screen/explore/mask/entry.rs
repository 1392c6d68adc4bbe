//! A value being typed: into a setting of the mask, or into the form of a run.

use crate::screen::actions::{ENTRY, actions};
use crate::screen::app::{App, Entry};
use crate::screen::explore::mask::settings::VALUE_OPEN;
use crate::screen::explore::mask::{self, settings};
use crate::screen::general;
use crate::screen::params::{self, Path};
use crate::screen::train::setup;

actions! {
    ENTRY {
        /// Take the value
        ENTRY_ACCEPT ["enter"] "accept" => accept;
        /// Leave the value as it was
        ENTRY_CANCEL ["esc"] "leave as it was" => |app| (app.entry, app.train.typing) = (None, None);
        /// Delete the last character
        ENTRY_BACKSPACE ["backspace" "ctrl-h"] => |app| edit(app, |typed| { typed.pop(); });
        /// Delete everything typed
        ENTRY_CLEAR ["ctrl-u"] => |app| edit(app, String::clear);
        /// Complete the path; in other fields, go to the next pane
        ENTRY_COMPLETE ["tab"] => complete;
    }
}

/// Starts typing a setting's value.
pub fn start(app: &mut App, path: Path, typed: String) {
    app.focus(&mask::PANE);
    app.view.item = path;
    app.entry = Some(Entry { path, typed, error: None });
}

/// Changes what was typed so far.
pub fn edit(app: &mut App, change: impl Fn(&mut String)) {
    if let Some(entry) = &mut app.entry {
        change(&mut entry.typed);
        entry.error = None;
    } else {
        setup::edit(app, change);
    }
}

/// Takes the typed value, or says what is wrong with it and keeps it for correction.
fn accept(app: &mut App) {
    let Some(mut entry) = app.entry.take() else { return setup::accept(app) };
    if entry.typed.trim().is_empty() {
        return;
    }
    if let Err(error) = settings::parse(app, entry.path, &entry.typed) {
        app.say(error.clone());
        entry.error = Some(error);
        app.entry = Some(entry);
    }
}

fn complete(app: &mut App) {
    if setup::types_path(app) { setup::complete(app) } else { general::cycle_focus(app, 1) }
}

/// A digit begins a value for the selected setting.
pub fn type_char(app: &mut App, c: char) {
    let item = app.view.item;
    if let Some(inert) = params::inert(&app.doc, item) {
        app.say(inert.why);
    } else if params::is_typed(item) {
        start(app, item, c.to_string());
    } else {
        let key = app.key_label(&VALUE_OPEN);
        app.say(format!("This setting has names, not numbers: {key} lists them"));
    }
}
