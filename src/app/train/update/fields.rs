//! The form: which setting is at hand, values being typed, paths being completed. Pure.

use crate::app::actions::actions;
use crate::app::params::{self, Path};
use crate::app::state::{App, Effect};
use crate::app::train::state::Typing;
use crate::app::update::settings;
use crate::engine::types::TrainCommand;
use crate::settings::Kind;

actions! {
    Setup {
        /// Go to the setting above
        FIELD_UP ["up"] "setting" with [FIELD_DOWN] => |app| step(app, -1);
        /// Go to the setting below
        FIELD_DOWN ["down"] => |app| step(app, 1);
        /// Go to the first setting
        FIELD_FIRST ["pageup"] => |app| step(app, isize::MIN);
        /// Go to the last setting
        FIELD_LAST ["pagedown"] => |app| step(app, isize::MAX);
        /// Lower the value by one step, or take the choice before
        FIELD_LESS ["left"] "change" with [FIELD_MORE] => |app| settings::nudge(app, app.train.field, -1, false);
        /// Raise the value by one step, or take the next choice
        FIELD_MORE ["right"] => |app| settings::nudge(app, app.train.field, 1, false);
        /// Lower the value by a fine step
        FIELD_FINE_LESS ["shift-left"] => |app| settings::nudge(app, app.train.field, -1, true);
        /// Raise the value by a fine step
        FIELD_FINE_MORE ["shift-right"] => |app| settings::nudge(app, app.train.field, 1, true);
        /// Type the value, or choose from all of them
        FIELD_OPEN ["enter"] "type / choose" => |app| open(app, app.train.field);
        /// Back to the configured value
        FIELD_RESET ["backspace" "delete"] => |app| settings::reset(app, app.train.field);
    }
}

fn step(app: &mut App, by: isize) {
    let shown = params::shown_of_run(&app.doc);
    let here = shown.iter().position(|f| *f == app.train.field).unwrap_or(0);
    let next = here.saturating_add_signed(by).min(shown.len() - 1);
    app.train.field = shown[next];
    app.history.close();
}

/// The mouse points at a setting.
pub fn choose(app: &mut App, path: Path, opens: bool) {
    app.train.field = path;
    app.train.typing = None;
    if opens {
        open(app, path);
    }
}

fn open(app: &mut App, path: Path) {
    if !params::is_typed(path) {
        return settings::pick(app, path);
    }
    let typed = params::text(&app.doc, &app.options, path);
    app.train.typing = Some(Typing { field: Some(path), typed, ..Typing::default() });
    ask_completion(app);
}

/// Whether a path is being typed.
pub fn types_path(app: &App) -> bool {
    let field = app.train.typing.as_ref().and_then(|t| t.field);
    field.is_some_and(|path| params::row(path).kind == Kind::Path)
}

/// Asks what a typed path may go on to.
fn ask_completion(app: &mut App) {
    let path = app.train.typing.as_ref().filter(|_| types_path(app)).map(|t| t.typed.clone());
    app.effects.extend(path.map(|path| Effect::Train(TrainCommand::Complete(path))));
}

/// Characters for the value being typed, or the first of a new one.
pub fn type_text(app: &mut App, text: &str) {
    if app.train.typing.is_none() {
        let field = app.train.field;
        if !params::is_typed(field) {
            return app.say("This setting has names, not numbers: Enter shows them");
        }
        app.train.typing = Some(Typing { field: Some(field), ..Typing::default() });
    }
    edit(app, |typed| typed.push_str(text));
}

/// Changes what was typed so far.
pub fn edit(app: &mut App, change: impl Fn(&mut String)) {
    if let Some(typing) = &mut app.train.typing {
        change(&mut typing.typed);
        typing.error = None;
        typing.offers.clear();
    }
    ask_completion(app);
}

/// Takes the typed value, or keeps it with what is wrong with it.
pub fn accept(app: &mut App) {
    let Some(typing) = app.train.typing.take() else { return };
    let Some(field) = typing.field else { return };
    if let Err(problem) = settings::parse(app, field, &typing.typed) {
        app.train.typing = Some(Typing { error: Some(problem), ..typing });
        ask_completion(app);
    }
}

/// Completes a path as far as all offers agree; a single one is taken whole.
pub fn complete(app: &mut App) {
    if let Some(typing) = &mut app.train.typing {
        let common = typing.offers.iter().cloned().reduce(|common, offer| {
            common.chars().zip(offer.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
        });
        if let Some(common) = common.filter(|c| c.len() > typing.typed.len()) {
            typing.typed = common;
        }
    }
    ask_completion(app);
}
