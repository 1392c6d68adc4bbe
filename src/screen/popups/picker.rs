//! All values of one setting, each with what it means.

use crate::screen::app::App;
use crate::screen::params::{self, Path};
use crate::screen::popups::fuzzy;
use crate::screen::popups::list::Entry;

/// The values of a setting that fit what was typed, best first.
pub fn entries(app: &App, path: Path, typed: &str) -> Vec<Entry> {
    let choices = params::kind(&app.doc, path).choices();
    let now = params::text(&app.doc, &app.options, path);
    let entry = |i: usize| {
        let note = if choices[i].name == now { "in use" } else { "" };
        let (value, doc) = (choices[i].name.to_owned(), choices[i].doc.to_owned());
        Entry { value, doc, note: note.to_owned() }
    };
    fuzzy::rank(typed, choices.iter().map(|choice| choice.name)).into_iter().map(entry).collect()
}
