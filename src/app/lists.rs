//! What stands in the lists on top of the screen (palette, models, choices) and in help. Pure; read by `update` and by
//! the screen, so that what is drawn is what is taken.

use crate::app::actions::{self, Action, Context};
use crate::app::fuzzy;
use crate::app::params;
use crate::app::state::{App, Popup};

/// Upper bound for the lines of help, headings included.
pub fn help_lines() -> usize {
    actions::gathered().count() + 2 * Context::ALL.len()
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What taking it means: an action's name, a model, a value.
    pub value: String,
    pub doc: String,
    /// At the right edge: its key, or a mark.
    pub note: String,
}

/// The entries of the open list that fit what was typed, best first.
pub fn entries(app: &App) -> Vec<Entry> {
    match &app.popup {
        Some(Popup::Palette(list)) => palette(app, &list.typed),
        Some(Popup::Models(list)) => models(app, &list.typed),
        Some(Popup::Picker { path, list }) => {
            let choices = params::kind(&app.doc, path).choices();
            let now = params::text(&app.doc, &app.options, path);
            let entry = |i: usize| {
                let note = if choices[i].name == now { "in use" } else { "" };
                let (value, doc) = (choices[i].name.to_owned(), choices[i].doc.to_owned());
                Entry { value, doc, note: note.to_owned() }
            };
            fuzzy::rank(&list.typed, choices.iter().map(|choice| choice.name))
                .into_iter()
                .map(entry)
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Actions that make sense from the palette: not the movements inside lists and pages.
fn offered(action: &Action) -> bool {
    !matches!(action.context, Context::Entry | Context::List | Context::Page | Context::Ask)
}

fn palette(app: &App, typed: &str) -> Vec<Entry> {
    let offered: Vec<&'static Action> = actions::all().filter(|a| offered(a)).collect();
    let entry = |i: usize| {
        let action = offered[i];
        Entry { value: action.name.to_owned(), doc: action.doc.to_owned(), note: app.key_label(action) }
    };
    fuzzy::rank_named(typed, offered.iter().map(|a| (a.name, a.doc))).into_iter().map(entry).collect()
}

fn models(app: &App, typed: &str) -> Vec<Entry> {
    let in_use = app.model.as_ref().map(|m| m.id.as_str());
    let mut known: Vec<(String, String)> =
        app.options.known.iter().map(|m| (m.spec.clone(), m.note.clone())).collect();
    if let Some(wanted) = app.options.wanted.clone().filter(|w| !known.iter().any(|(s, _)| s == w)) {
        known.insert(0, (wanted, "the model your settings name".to_owned()));
    }
    let fitting = fuzzy::rank(typed, known.iter().map(|(s, _)| s.as_str()));
    let entry = |i: usize| {
        let (spec, doc) = known[i].clone();
        let note = if in_use == Some(spec.as_str()) { "in use" } else { "" };
        Entry { value: spec, doc, note: note.to_owned() }
    };
    let mut out: Vec<Entry> = fitting.into_iter().map(entry).collect();
    // Anything may be typed; unless it is the exact name of a known model, it is offered as it stands.
    let typed = typed.trim();
    if !typed.is_empty() && !known.iter().any(|(s, _)| s == typed) {
        let doc = if typed.contains(['/', '.', '~']) { "Hub id or folder, as typed" } else { "as typed" };
        let own = Entry { value: typed.to_owned(), doc: doc.to_owned(), note: String::new() };
        let place = if out.is_empty() || typed.contains('/') { 0 } else { out.len() };
        out.insert(place, own);
    }
    out
}
