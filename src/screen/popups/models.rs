//! The list of models: what is at hand, and whatever Hub id or folder is typed. Loading one, too.

use ratatui::layout::Rect;

use crate::engine::types::{Command, LoadProgress};
use crate::screen::app::{App, Effect};
use crate::screen::chrome::bar::spinner;
use crate::screen::popups::list::{self, Entry, List};
use crate::screen::popups::{fuzzy, over};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// The known models that fit what was typed, and what was typed itself.
pub fn entries(app: &App, typed: &str) -> Vec<Entry> {
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
    app.loading = Some(LoadProgress {
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

/// Draws the list, and how far the model that is being loaded has come.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, l: &List) {
    list::draw(c, app, area, l, "Models", "choose, or type a Hub id or a folder");
    if let Some(p) = &app.loading {
        let base = c.theme.popup();
        let (dim, accent) = (over(base, c.style(Role::Dim)), over(base, c.theme.bold(Role::Accent)));
        let y = area.bottom().saturating_sub(2);
        let done = match p.total.filter(|t| *t > 0) {
            Some(t) => format!("{:.0} %", p.done as f64 / t as f64 * 100.0),
            None => String::new(),
        };
        let pieces = [
            (spinner(app), accent),
            (" ", dim),
            (&p.id, accent),
            ("  ", dim),
            (&p.what, dim),
            ("  ", dim),
            (&done, accent),
        ];
        c.spans(area.x + 2, y, &pieces, area.right().saturating_sub(2));
    }
}
