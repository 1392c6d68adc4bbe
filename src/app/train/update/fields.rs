//! The form: which setting is at hand, values being typed, paths being completed. Pure.

use crate::app::actions::Verb;
use crate::app::state::{App, Effect, List, Popup};
use crate::app::train::form::Field;
use crate::app::train::state::Typing;
use crate::app::train::table::Entered;
use crate::engine::types::TrainCommand;

pub(super) fn step_field(app: &mut App, by: isize) {
    let shown = app.doc.form.shown();
    let here = shown.iter().position(|f| *f == app.train.field).unwrap_or(0) as isize;
    let next = here.saturating_add(by).clamp(0, shown.len() as isize - 1) as usize;
    app.train.field = shown[next];
    app.history.close();
}

/// The mouse points at a setting.
pub fn choose_field(app: &mut App, field: Field, open: bool) -> Vec<Effect> {
    app.train.field = field;
    app.train.typing = None;
    if open { open_field(app, field) } else { Vec::new() }
}

pub(super) fn open_field(app: &mut App, field: Field) -> Vec<Effect> {
    let choices = field.choices();
    if !choices.is_empty() {
        let selected = choices.iter().position(|c| *c == app.doc.form.get(field)).unwrap_or(0);
        app.popup = Some(Popup::Choices { field, list: List { typed: String::new(), selected } });
        return Vec::new();
    }
    let typed = app.doc.form.get(field).to_owned();
    app.train.typing = Some(Typing { field: Some(field), typed, ..Typing::default() });
    complete(app)
}

/// Asks what a typed path may go on to.
pub fn complete(app: &App) -> Vec<Effect> {
    let typing = app.train.typing.as_ref();
    let path = typing.filter(|t| t.field.is_some_and(|f| f.entered() == Entered::Path));
    path.map(|t| Effect::Train(TrainCommand::Complete(t.typed.clone()))).into_iter().collect()
}

/// A character for the value being typed, or the first of a new one.
pub fn type_char(app: &mut App, c: char) {
    if app.train.typing.is_none() {
        let field = app.train.field;
        if !field.choices().is_empty() {
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
    let path = app.train.typing.as_ref()?.field.is_some_and(|f| f.entered() == Entered::Path);
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
    if let Err(problem) = app.doc.form.set(field, &typing.typed) {
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
