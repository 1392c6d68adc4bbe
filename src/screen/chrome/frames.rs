//! Frames and titles of the panes: boxes where there is room, a heading with a rule where there is not. Pure.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::screen::app::App;
use crate::screen::layout::{Group, Layout};
use crate::screen::pane::TitlePart;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::width;

/// A box with round corners.
pub fn border(c: &mut Canvas, area: Rect, style: Style) {
    if area.width < 2 || area.height < 2 {
        return;
    }
    let (right, bottom) = (area.right() - 1, area.bottom() - 1);
    for y in [area.y, bottom] {
        c.line(area.x + 1, y, "─", area.width - 2, style);
    }
    for y in area.y + 1..bottom {
        c.put(area.x, y, "│", style);
        c.put(right, y, "│", style);
    }
    for (x, y, corner) in
        [(area.x, area.y, "╭"), (right, area.y, "╮"), (area.x, bottom, "╰"), (right, bottom, "╯")]
    {
        c.put(x, y, corner, style);
    }
}

/// The frame of a group of panes: border or rule, tab titles, and what the front pane shows.
pub fn draw(c: &mut Canvas, app: &App, layout: &Layout, group: &Group) {
    let focused = group.front == app.view.focus && app.popup.is_none();
    let edge = c.style(if focused { Role::Focus } else { Role::Border });
    let area = group.outer;
    if layout.boxed() {
        border(c, area, edge);
    } else {
        c.line(area.x, area.y, "─", area.width, edge);
        // Headings alone do not tell two columns apart.
        if area.x > layout.area.x {
            for y in area.y..area.bottom() {
                c.put(area.x - 1, y, " ", edge);
                c.put(area.x - 2, y, if y == area.y { "┬" } else { "│" }, c.style(Role::Border));
            }
        }
    }
    let mut x = area.x;
    for (pane, left, w) in layout.tabs(group) {
        let front = pane == group.front;
        let style = match (front, focused) {
            (true, true) => c.theme.badge(),
            (true, false) => c.theme.bold(Role::Strong),
            (false, _) => c.style(Role::Dim),
        };
        let name = pane.title;
        let text = if w as usize > width(name) + 1 { format!(" {name} ") } else { format!("{name} ") };
        c.text(left, area.y, &text, style, w);
        x = left + w;
    }
    pieces(c, &(group.front.subtitle)(app), x + 1, area.right().saturating_sub(2), area.y);
}

/// As many pieces as fit, at the right.
fn pieces(c: &mut Canvas, pieces: &[TitlePart], left: u16, right: u16, y: u16) {
    let room = right.saturating_sub(left) as usize;
    let mut texts: Vec<(String, Role)> = Vec::new();
    let mut used = 2;
    for piece in pieces {
        let gap = if texts.is_empty() { 0 } else { 3 };
        let left = room.saturating_sub(used + gap);
        if left < 4 && !piece.text.is_empty() {
            break;
        }
        let text = crate::support::visible::fit(&piece.text, left, "…");
        used += width(&text) + gap;
        texts.push((text, piece.role));
    }
    if texts.is_empty() {
        return;
    }
    let mut x = right.saturating_sub(used as u16);
    let border = c.style(Role::Border);
    x = c.text(x, y, " ", border, 1);
    for (i, (text, role)) in texts.iter().enumerate() {
        if i > 0 {
            let faint = c.style(Role::Faint);
            x = c.text(x, y, " · ", faint, right.saturating_sub(x));
        }
        let style = c.style(*role);
        x = c.text(x, y, text, style, right.saturating_sub(x));
    }
    c.text(x, y, " ", border, 1);
}

/// Points at a pane: its frame in another style.
pub fn highlight(c: &mut Canvas, layout: &Layout, area: Rect, style: Style) {
    if !layout.boxed() {
        c.restyle(Rect { height: 1, ..area }, style);
        return;
    }
    let (right, bottom) = (area.right().saturating_sub(1), area.bottom().saturating_sub(1));
    for strip in [
        Rect { height: 1, ..area },
        Rect { y: bottom, height: 1, ..area },
        Rect { width: 1, ..area },
        Rect { x: right, width: 1, ..area },
    ] {
        c.restyle(strip, style);
    }
}
