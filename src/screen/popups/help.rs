//! Help: every key and what it does, from the table that runs them.

use ratatui::layout::Rect;

use crate::screen::actions;
use crate::screen::app::App;
use crate::screen::popups::{open, over};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// Upper bound for the lines of help, headings included.
pub fn most_lines() -> usize {
    actions::gathered().count() + 2 * actions::contexts().len()
}

/// A line of help: a heading, or keys and what they do.
enum Line {
    Heading(&'static str),
    Action { keys: String, doc: &'static str },
    Blank,
}

fn lines(app: &App) -> Vec<Line> {
    let mut out = Vec::new();
    for context in actions::contexts() {
        if !out.is_empty() {
            out.push(Line::Blank);
        }
        out.push(Line::Heading(context.0));
        for action in actions::of(context) {
            let keys: Vec<String> = app.keymap.keys(action).iter().map(|k| k.label(app.look.ascii)).collect();
            out.push(Line::Action { keys: keys.join(" "), doc: action.doc });
        }
    }
    out
}

/// Draws the page from line `scroll` on.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, scroll: usize) {
    let inner = open(c, area, "Keys", "every key and what it does; scroll with ↑ ↓");
    let base = c.theme.popup();
    let lines = lines(app);
    let room = inner.height as usize;
    let top = scroll.min(lines.len().saturating_sub(room));
    let column = 24.min(inner.width / 3);
    for (i, line) in lines.iter().skip(top).take(room).enumerate() {
        let y = inner.y + i as u16;
        match line {
            Line::Heading(text) => {
                let style = over(base, c.theme.bold(Role::Accent));
                c.label(inner.x, y, text, style, inner.width);
            }
            Line::Action { keys, doc } => {
                let (strong, text) =
                    (over(base, c.theme.bold(Role::Strong)), over(base, c.style(Role::Text)));
                c.label(inner.x + 2, y, keys, strong, column.saturating_sub(3));
                c.label(inner.x + column, y, doc, text, inner.width - column);
            }
            Line::Blank => {}
        }
    }
    let dim = over(base, c.style(Role::Dim));
    let place = format!(" {}–{} of {} ", top + 1, (top + room).min(lines.len()), lines.len());
    c.right(inner.x, inner.right(), area.bottom().saturating_sub(1), &place, dim);
}
