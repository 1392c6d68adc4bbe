//! The form: which setting is at hand, values being typed, paths being completed. Pure.

use crate::app::actions::Verb;
use crate::app::params::{self, Path};
use crate::app::state::{App, Effect};
use crate::app::train::state::Typing;
use crate::app::update::settings;
use crate::engine::types::TrainCommand;
use crate::settings::Kind;

pub(super) fn step_field(app: &mut App, by: isize) {
    let shown = params::shown_of_run(&app.doc);
    let here = shown.iter().position(|f| *f == app.train.field).unwrap_or(0) as isize;
    let next = here.saturating_add(by).clamp(0, shown.len() as isize - 1) as usize;
    app.train.field = shown[next];
    app.history.close();
}

/// The mouse points at a setting.
pub fn choose_field(app: &mut App, path: Path, open: bool) -> Vec<Effect> {
    app.train.field = path;
    app.train.typing = None;
    if open { open_field(app, path) } else { Vec::new() }
}

pub(super) fn open_field(app: &mut App, path: Path) -> Vec<Effect> {
    if !params::is_typed(path) {
        settings::pick(app, path);
        return Vec::new();
    }
    let typed = params::text(&app.doc, &app.options, path);
    app.train.typing = Some(Typing { field: Some(path), typed, ..Typing::default() });
    complete(app)
}

fn is_path(path: Path) -> bool {
    params::row(path).kind == Kind::Path
}

/// Asks what a typed path may go on to.
pub fn complete(app: &App) -> Vec<Effect> {
    let typing = app.train.typing.as_ref();
    let path = typing.filter(|t| t.field.is_some_and(is_path));
    path.map(|t| Effect::Train(TrainCommand::Complete(t.typed.clone()))).into_iter().collect()
}

/// A character for the value being typed, or the first of a new one.
pub fn type_char(app: &mut App, c: char) {
    if app.train.typing.is_none() {
        let field = app.train.field;
        if !params::is_typed(field) {
            app.say("This setting has names, not numbers: Enter shows them");
            return;
        }
        app.train.typing = Some(Typing { field: Some(field), ..Typing::default() });
    }
    edit(app, |typed| typed.push(c));
}

fn edit(app: &mut App, change: impl Fn(&mut String)) {
    if let Some(typing) = &mut app.train.typing {
        change(&mut typing.typed);
        typing.error = None;
        typing.offers.clear();
    }
}

/// Keys while a value of the form is typed.
pub(super) fn typing(app: &mut App, verb: Verb) -> Option<Vec<Effect>> {
    use Verb as V;
    let path = app.train.typing.as_ref()?.field.is_some_and(is_path);
    match verb {
        V::EntryAccept => accept(app),
        V::EntryCancel => app.train.typing = None,
        V::EntryBackspace => edit(app, |t| {
            t.pop();
        }),
        V::EntryClear => edit(app, String::clear),
        V::EntryComplete if path => take_completion(app),
        _ => return None,
    }
    Some(complete(app))
}

fn accept(app: &mut App) {
    let Some(typing) = app.train.typing.take() else { return };
    let Some(field) = typing.field else { return };
    if let Err(problem) = settings::parse(app, field, &typing.typed) {
        app.train.typing = Some(Typing { error: Some(problem), ..typing });
    }
}

/// Goes on as far as all offers agree; a single one is taken whole.
fn take_completion(app: &mut App) {
    let Some(typing) = &mut app.train.typing else { return };
    let Some(first) = typing.offers.first().cloned() else { return };
    let common = typing.offers.iter().fold(first, |common, offer| {
        common.chars().zip(offer.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    });
    if common.len() > typing.typed.len() {
        typing.typed = common;
    }
}
