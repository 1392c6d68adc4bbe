//! What lies over the panes: lists, help, tour; and where typed characters go.

use crate::app::actions::{self, actions};
use crate::app::state::{App, Effect, List, Pane, Popup, Screen};
use crate::app::tour::STOPS;
use crate::app::train::update::fields;
use crate::app::update::{entry, settings, text};
use crate::app::{lists, params};
use crate::engine::types::Command;

actions! {
    List {
        /// Entry above
        LIST_UP ["up" "shift-tab"] => |app| step(app, -1);
        /// Entry below
        LIST_DOWN ["down" "tab"] "choose" => |app| step(app, 1);
        /// Eight entries up
        LIST_PAGE_UP ["pageup"] => |app| step(app, -8);
        /// Eight entries down
        LIST_PAGE_DOWN ["pagedown"] => |app| step(app, 8);
        /// Take the entry
        LIST_ACCEPT ["enter"] "take" => accept;
        /// Close the list
        LIST_CLOSE ["esc"] "close" => |app| app.popup = None;
        /// Delete the last character typed
        LIST_BACKSPACE ["backspace" "ctrl-h"] => |app| edit_list(app, |typed| { typed.pop(); });
        /// Delete everything typed
        LIST_CLEAR ["ctrl-u"] => |app| edit_list(app, String::clear);
    }
    Page {
        /// Close
        PAGE_CLOSE ["esc" "q" "?" "f1"] "close" => close_page;
        /// Next step of the tour; after the last it ends
        PAGE_ADVANCE ["enter" "space"] => advance;
        /// Next step of the tour
        PAGE_NEXT ["right"] "next" if on_tour => |app| turn(app, 1, 10);
        /// Previous step of the tour
        PAGE_BACK ["left" "backspace"] "back" if on_tour => |app| turn(app, -1, -10);
        /// Scroll up
        PAGE_UP ["up"] => |app| turn(app, -1, -1);
        /// Scroll down
        PAGE_DOWN ["down"] "scroll" => |app| turn(app, 1, 1);
        /// Scroll one page up
        PAGE_PAGE_UP ["pageup"] => |app| turn(app, -1, -10);
        /// Scroll one page down
        PAGE_PAGE_DOWN ["pagedown"] => |app| turn(app, 1, 10);
    }
}

fn on_tour(app: &App) -> bool {
    matches!(app.popup, Some(Popup::Tour { .. }))
}

/// Turns the tour by steps, or help by lines.
fn turn(app: &mut App, steps: isize, lines: isize) {
    match &mut app.popup {
        Some(Popup::Tour { step }) => {
            let next = step.saturating_add_signed(steps);
            // One press too many must not reach the sliders behind it.
            if next < STOPS.len() {
                go_to(app, next);
            }
        }
        // The screen knows how long the page is; far beyond its end there is nothing to come back from.
        Some(Popup::Help { scroll }) => {
            *scroll = scroll.saturating_add_signed(lines).min(lists::help_lines());
        }
        _ => {}
    }
}

fn advance(app: &mut App) {
    match app.popup {
        Some(Popup::Tour { step }) if step + 1 >= STOPS.len() => close_page(app),
        _ => turn(app, 1, 10),
    }
}

fn close_page(app: &mut App) {
    match app.popup {
        Some(Popup::Tour { .. }) => {
            app.popup = None;
            app.focus(Pane::Mask);
        }
        Some(Popup::Help { .. }) => app.popup = None,
        _ => {}
    }
}

/// Shows a stop of the tour, with its pane in front.
pub(super) fn go_to(app: &mut App, step: usize) {
    app.popup = Some(Popup::Tour { step });
    app.entry = None;
    app.view.enlarged = false;
    app.raise(STOPS[step].pane);
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

/// A printable key goes to whatever is being typed in.
pub fn type_char(app: &mut App, c: char) {
    if app.popup.is_some() {
        edit_list(app, |s| s.push(c));
    } else if app.entry.is_some() {
        entry::edit(app, |s| s.push(c));
    } else if app.train.typing.is_some() || app.view.focus == Pane::Setup {
        fields::type_text(app, c.encode_utf8(&mut [0; 4]));
    } else if app.view.focus == Pane::Text {
        text::type_char(app, c);
    } else if matches!(app.view.focus, Pane::Mask | Pane::Scores) && c.is_ascii_digit() {
        let item = app.view.item;
        if params::is_typed(item) {
            entry::start(app, item, c.to_string());
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
        entry::edit(app, |t| t.push_str(&first_line()));
    } else if app.train.typing.is_some() || app.view.focus == Pane::Setup {
        fields::type_text(app, &first_line());
    } else if app.screen() == Screen::Train {
        app.say("Nothing is typed here; E goes back to the text");
    } else {
        app.focus(Pane::Text);
        app.history.close();
        app.doc.editor.insert(s);
        app.history.close();
    }
}

/// Takes an entry that the mouse points at.
pub fn take_entry(app: &mut App, index: usize) {
    if let Some(list) = list_mut(app) {
        list.selected = index;
    }
    accept(app);
}

/// Takes the selected entry of the open list, and closes it.
fn accept(app: &mut App) {
    let entries = lists::entries(app);
    let Some(selected) = list_mut(app).map(|list| list.selected) else { return };
    let (Some(popup), Some(entry)) = (app.popup.take(), entries.get(selected)) else { return };
    match popup {
        Popup::Palette(_) => {
            if let Some(action) = actions::by_name(&entry.value) {
                (action.run)(app);
            }
        }
        Popup::Models(_) => load(app, entry.value.clone()),
        // The lists hold only values that parse.
        Popup::Picker { path, .. } => {
            let _ = settings::parse(app, path, &entry.value);
        }
        Popup::Help { .. } | Popup::Tour { .. } | Popup::Mix { .. } | Popup::Ask(_) => {}
    }
}

/// Asks the engine for another model; the one in use stays until it is there.
pub fn load(app: &mut App, spec: String) {
    if app.model.as_ref().is_some_and(|m| m.id == spec) {
        return app.say(format!("{spec} is already in use"));
    }
    begins_to_load(app, &spec);
    app.emit(Effect::Command(Command::LoadModel { spec }));
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
pub fn refresh(app: &mut App) {
    let Some(spec) = app.moved.clone() else {
        return app.say("No newer version of this model is known");
    };
    begins_to_load(app, &spec);
    app.emit(Effect::Command(Command::RefreshModel { spec }));
}
