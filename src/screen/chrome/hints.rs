//! The bottom line: what is possible now, each with its key, from the actions' own declarations. A click does it.

use ratatui::layout::Rect;

use crate::screen::actions::{self, Action, Context, LIST, MODEL_LIST};
use crate::screen::app::App;
use crate::screen::explore::text;
use crate::screen::general;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::width;

/// A key and what it does, for the bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    pub keys: String,
    pub text: &'static str,
    pub action: &'static Action,
}

/// What a lost person needs, the most urgent first.
const VITAL: [&Action; 5] =
    [&general::RETRY, &general::CANCEL, &general::HELP, &general::QUIT, &text::EDIT_TEXT];

/// Hints for the active contexts: what the pane itself offers, what a lost person needs, then the rest.
pub fn hints(app: &App) -> Vec<Hint> {
    let contexts = app.contexts();
    // The Models screen is a list with keys of its own.
    let own = if contexts[0] == MODEL_LIST { LIST } else { contexts[0] };
    let rank = |action: &Action| match VITAL.iter().position(|v| *v == action) {
        _ if [contexts[0], own].contains(&action.context) => 0,
        Some(i) => 1 + i,
        None => 1 + VITAL.len(),
    };
    let offered = |a: &&Action| !a.hint.is_empty() && contexts.contains(&a.context) && a.possible(app);
    let mut actions: Vec<&'static Action> = actions::gathered().filter(offered).collect();
    actions.sort_by_key(|action| rank(action));
    let hint = |action: &'static Action| {
        Some(Hint { keys: keys(app, action, &contexts)?, text: action.hint, action })
    };
    actions.into_iter().filter_map(hint).collect()
}

/// The key to show; those that belong together are shown together.
fn keys(app: &App, action: &Action, contexts: &[Context]) -> Option<String> {
    let ascii = app.look.ascii;
    let mut shown = app.keymap.label(action, contexts, ascii)?;
    let long = ascii && shown.len() > 1;
    if long && action.with.len() > 1 {
        return Some(shown.replace("left", "arrows"));
    }
    let shifted = shown.starts_with('⇧');
    for other in action.with.iter().filter_map(|a| app.keymap.label(a, contexts, ascii)) {
        if long {
            shown.push('/');
        }
        let bare = if shifted { other.trim_start_matches('⇧') } else { &other };
        shown.push_str(if long { bare.trim_start_matches("shift-") } else { bare });
    }
    Some(shown)
}

/// The hints that fit, with their first column and width.
fn placed(app: &App, area: Rect) -> Vec<(Hint, u16, u16)> {
    let mut x = area.x + 1;
    let mut out = Vec::new();
    for hint in hints(app) {
        let w = (width(&hint.keys) + 1 + width(hint.text)) as u16;
        if x + w + 1 > area.right() {
            // A long hint that does not fit must not keep shorter ones out.
            continue;
        }
        out.push((hint, x, w));
        x += w + 3;
    }
    out
}

/// The action of the hint at a column.
pub fn action_at(app: &App, area: Rect, x: u16) -> Option<&'static Action> {
    placed(app, area)
        .into_iter()
        .find(|(_, left, w)| (*left..left + w).contains(&x))
        .map(|(h, _, _)| h.action)
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let (key, text) = (c.theme.bold(Role::Accent), c.style(Role::Dim));
    for (hint, x, _) in placed(app, area) {
        let x = c.text(x, area.y, &hint.keys, key, area.right() - x);
        c.text(x + 1, area.y, hint.text, text, area.right().saturating_sub(x + 1));
    }
}
