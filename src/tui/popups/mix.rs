//! The mix editor: a bar per operation, all of them together always one whole. Pure.

use ratatui::layout::Rect;

use super::{open, over};
use crate::app::actions::Action;
use crate::app::mixing;
use crate::app::state::App;
use crate::app::update::mix::{MIX_ALL, MIX_BERT, MIX_CLOSE, MIX_LESS, MIX_MORE};
use crate::tui::canvas::Canvas;
use crate::tui::theme::Role;

/// Columns of an operation's name and of its percentage.
const NAME: u16 = 18;
const PERCENT: u16 = 6;

/// Size of the editor's box.
pub const SIZE: (u16, u16) = (72, mixing::ROWS.len() as u16 + 5);

fn inner(area: Rect) -> Rect {
    Rect::new(area.x + 2, area.y + 1, area.width.saturating_sub(4), area.height.saturating_sub(2))
}

/// First row on screen where not all of them fit.
fn first(area: Rect, row: usize) -> usize {
    let room = (inner(area).height as usize).saturating_sub(2).max(1);
    (row + 1).saturating_sub(room)
}

/// The row at a line, and the percentage at a column of its track.
pub fn at(area: Rect, row: usize, x: u16, y: u16) -> Option<(usize, Option<u32>)> {
    let inner = inner(area);
    let line = y.checked_sub(inner.y).filter(|l| *l + 2 < inner.height.max(2))? as usize;
    let hit = first(area, row) + line;
    if hit >= mixing::ROWS.len() {
        return None;
    }
    let (left, width) = track(inner);
    let percent =
        x.checked_sub(left).filter(|d| *d < width).map(|d| u32::from(d) * 100 / u32::from(width.max(2) - 1));
    Some((hit, percent))
}

fn track(inner: Rect) -> (u16, u16) {
    let left = inner.x + NAME + PERCENT + 1;
    (left, inner.right().saturating_sub(left))
}

/// Draws the editor.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, row: usize) {
    let note =
        if app.doc.mask.mix.is_none() { "one operation: no mix" } else { "every masked token draws its own" };
    let inner = open(c, area, "Mix", note);
    let base = c.theme.popup();
    let shares = mixing::shares(&app.doc.mask);
    let room = (inner.height as usize).saturating_sub(2).max(1);
    let top = first(area, row);
    for (i, share) in shares.iter().enumerate().skip(top).take(room) {
        let y = inner.y + (i - top) as u16;
        let here = i == row;
        let back = if here { c.theme.selected() } else { base };
        c.restyle(Rect { y, height: 1, ..inner }, back);
        let role = if *share > 0 { Role::Strong } else { Role::Dim };
        let style = over(back, c.style(role));
        let mut name = mixing::name(i);
        if i == 0 {
            name = format!("replace ({})", app.doc.mask.replacement);
        }
        c.label(inner.x, y, &name, style, NAME);
        c.right(inner.x + NAME, inner.x + NAME + PERCENT, y, &format!("{share} %"), style);
        let (left, width) = track(inner);
        let filled = (f64::from(*share) / 100.0 * f64::from(width)).round() as u16;
        let (bar, rest) = (over(back, c.style(Role::Masked)), over(back, c.style(Role::Faint)));
        c.line(left, y, if c.ascii() { "#" } else { "━" }, filled, bar);
        c.line(left + filled, y, if c.ascii() { "." } else { "─" }, width - filled, rest);
    }
    let (key, dim) = (over(base, c.theme.bold(Role::Accent)), over(base, c.style(Role::Dim)));
    let label = |action: &Action| app.key_here(action).unwrap_or_default();
    let keys = [&MIX_LESS, &MIX_MORE, &MIX_ALL, &MIX_BERT, &MIX_CLOSE].map(label);
    let pieces = [
        (keys[0].as_str(), key),
        (keys[1].as_str(), key),
        (" share   ", dim),
        (&keys[2], key),
        (" all   ", dim),
        (&keys[3], key),
        (" BERT's   ", dim),
        (&keys[4], key),
        (" close", dim),
    ];
    c.spans(inner.x, inner.bottom().saturating_sub(1), &pieces, inner.right());
}
