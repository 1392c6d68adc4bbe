//! The bottom line: what can be done now, each with its key; a click does it.

use ratatui::layout::Rect;

use crate::app::actions::Action;
use crate::app::hints::{Hint, hints};
use crate::app::state::App;
use crate::support::visible::width;
use crate::tui::canvas::Canvas;
use crate::tui::theme::Role;

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
