//! Actions of what lies over the panes: lists, help, tour; and where typed characters go.

use crate::app::actions::Verb;
use crate::app::lists;
use crate::app::params;
use crate::app::state::{App, Effect, List, Pane, Popup, Screen};
use crate::app::tour::STOPS;
use crate::app::train::update as train;
use crate::app::update::{self, settings, text};
use crate::engine::types::Command;

/// The rest of the actions.
pub fn perform(app: &mut App, verb: Verb) -> Vec<Effect> {
    use Verb as V;
    match verb {
        V::Help => app.popup = Some(Popup::Help { scroll: 0 }),
        V::Tour => go_to(app, 0),
        V::Palette => app.popup = Some(Popup::Palette(List::default())),
        V::Models => app.popup = Some(Popup::Models(List::default())),
        V::EntryAccept => settings::accept(app),
        V::EntryCancel => app.entry = None,
        V::EntryBackspace => edit_entry(app, |s| {
            s.pop();
        }),
        V::EntryClear => edit_entry(app, String::clear),
        V::ListUp => step(app, -1),
        V::ListDown => step(app, 1),
        V::ListPageUp => step(app, -8),
        V::ListPageDown => step(app, 8),
        V::ListAccept => return accept(app),
        V::ListClose => app.popup = None,
        V::ListBackspace => edit_list(app, |s| {
            s.pop();
        }),
        V::ListClear => edit_list(app, String::clear),
        _ => page(app, verb),
    }
    Vec::new()
}

fn page(app: &mut App, verb: Verb) {
    use Verb as V;
    if let Some(Popup::Tour { step }) = app.popup {
        match verb {
            V::PageAdvance | V::PageNext | V::PageDown | V::PagePageDown if step + 1 < STOPS.len() => {
                go_to(app, step + 1);
            }
            V::PageBack | V::PageUp | V::PagePageUp => go_to(app, step.saturating_sub(1)),
            // One press too many must not reach the sliders behind it.
            V::PageNext | V::PageDown | V::PagePageDown => {}
            _ => end_tour(app),
        }
        return;
    }
    if let Some(Popup::Help { scroll }) = &mut app.popup {
        match verb {
            V::PageUp => *scroll = scroll.saturating_sub(1),
            V::PageDown => *scroll += 1,
            V::PagePageUp | V::PageBack => *scroll = scroll.saturating_sub(10),
            V::PagePageDown | V::PageNext | V::PageAdvance => *scroll += 10,
            _ => {
                app.popup = None;
                return;
            }
        }
        // The screen knows how long the page is; far beyond its end there is nothing to come back from.
        *scroll = (*scroll).min(lists::HELP_LINES);
    }
}

/// Shows a stop of the tour, with its pane in front.
fn go_to(app: &mut App, step: usize) {
    app.popup = Some(Popup::Tour { step });
    app.entry = None;
    app.view.enlarged = false;
    app.raise(STOPS[step].pane);
}

fn end_tour(app: &mut App) {
    app.popup = None;
    update::focus(app, Pane::Mask);
}

fn list_mut(app: &mut App) -> Option<&mut List> {
    match &mut app.popup {
        Some(Popup::Palette(l) | Popup::Models(l) | Popup::Picker { list: l, .. }) => Some(l),
        _ => None,
    }
}

fn step(app: &mut App, by: isize) {
    let n = lists::entries(app).len();
    if let Some(list) = list_mut(app) {
        list.selected = list.selected.saturating_add_signed(by).min(n.saturating_sub(1));
    }
}

fn edit_list(app: &mut App, edit: impl Fn(&mut String)) {
    if let Some(list) = list_mut(app) {
        edit(&mut list.typed);
        list.selected = 0;
    }
}

fn edit_entry(app: &mut App, edit: impl Fn(&mut String)) {
    if let Some(entry) = &mut app.entry {
        edit(&mut entry.typed);
        entry.error = None;
    }
}

/// A printable key goes to whatever is being typed in.
pub fn type_char(app: &mut App, c: char) {
    if app.popup.is_some() {
        edit_list(app, |s| s.push(c));
    } else if app.entry.is_some() {
        edit_entry(app, |s| s.push(c));
    } else if app.train.typing.is_some() || app.view.focus == Pane::Setup {
        train::type_char(app, c);
    } else if app.view.focus == Pane::Text {
        text::type_char(app, c);
    } else if matches!(app.view.focus, Pane::Mask | Pane::Scores) && c.is_ascii_digit() {
        let item = app.view.item;
        if params::is_typed(item) {
            settings::type_value(app, item, c.to_string());
        } else {
            app.say("This setting has names, not numbers: Enter shows them");
        }
    }
}

/// Pasted text goes where typed text would go; outside any field it goes into the text.
pub fn paste(app: &mut App, s: &str) {
    let first_line = || s.lines().next().unwrap_or("").to_owned();
    if app.popup.is_some() {
        edit_list(app, |t| t.push_str(&first_line()));
    } else if app.entry.is_some() {
        edit_entry(app, |t| t.push_str(&first_line()));
    } else if app.train.typing.is_some() || app.view.focus == Pane::Setup {
        first_line().chars().for_each(|c| train::type_char(app, c));
    } else if app.screen() == Screen::Train {
        app.say("Nothing is typed here; E goes back to the text");
    } else {
        update::focus(app, Pane::Text);
        app.history.close();
        app.doc.editor.insert(s);
        app.history.close();
    }
}

/// The mouse points at an entry.
pub fn list_entry(app: &mut App, index: usize, take: bool) -> Vec<Effect> {
    if let Some(list) = list_mut(app) {
        list.selected = index;
    }
    if take { accept(app) } else { Vec::new() }
}

/// Takes the selected entry of the open list.
fn accept(app: &mut App) -> Vec<Effect> {
    let entries = lists::entries(app);
    let Some(popup) = app.popup.take() else { return Vec::new() };
    match popup {
        Popup::Palette(list) => match entries.get(list.selected).and_then(|e| Verb::by_name(&e.value)) {
            Some(verb) => update::perform(app, verb),
            None => Vec::new(),
        },
        Popup::Models(list) => match entries.get(list.selected) {
            Some(entry) => load(app, entry.value.clone()),
            None => Vec::new(),
        },
        Popup::Picker { path, list } => {
            if let Some(entry) = entries.get(list.selected) {
                // The list holds only values that parse.
                let _ = settings::parse(app, path, &entry.value);
            }
            Vec::new()
        }
        other => {
            app.popup = Some(other);
            Vec::new()
        }
    }
}

/// Asks the engine for another model; the one in use stays until it is there.
pub fn load(app: &mut App, spec: String) -> Vec<Effect> {
    if app.model.as_ref().is_some_and(|m| m.id == spec) {
        app.say(format!("{spec} is already in use"));
        return Vec::new();
    }
    begins_to_load(app, &spec);
    vec![Effect::Command(Command::LoadModel { spec })]
}

fn begins_to_load(app: &mut App, spec: &str) {
    app.cancelled = None;
    app.loading = Some(crate::engine::types::LoadProgress {
        id: spec.to_owned(),
        what: "looking it up".to_owned(),
        done: 0,
        total: None,
        rate: None,
    });
}

/// Fetches the newer version of the model in use, where one was found.
pub fn refresh(app: &mut App) -> Vec<Effect> {
    let Some(spec) = app.moved.clone() else {
        app.say("No newer version of this model is known");
        return Vec::new();
    };
    begins_to_load(app, &spec);
    vec![Effect::Command(Command::RefreshModel { spec })]
}
