//! The palette: every action that makes sense to look for, by name and by what it does.

use crate::screen::actions::{self, ASK, Action, ENTRY, LIST, MODEL_LIST, PAGE};
use crate::screen::app::App;
use crate::screen::popups::fuzzy;
use crate::screen::popups::list::Entry;

/// Actions that make sense from the palette: not the movements inside lists and pages.
fn offered(action: &Action) -> bool {
    ![ENTRY, LIST, MODEL_LIST, PAGE, ASK].contains(&action.context)
}

/// The actions that fit what was typed, best first.
pub fn entries(app: &App, typed: &str) -> Vec<Entry> {
    let offered: Vec<&'static Action> = actions::all().filter(|a| offered(a)).collect();
    let entry = |i: usize| {
        let action = offered[i];
        Entry { value: action.name.to_owned(), doc: action.doc.to_owned(), note: app.key_label(action) }
    };
    fuzzy::rank_named(typed, offered.iter().map(|a| (a.name, a.doc))).into_iter().map(entry).collect()
}
