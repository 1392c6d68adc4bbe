//! A list of settings: one line each, with its name, its value, and a track where it has one. Pure.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::width;

/// Columns a track needs to be of use.
const TRACK: u16 = 3;

/// Columns of the name, and of a number before its track.
#[derive(Clone, Copy)]
pub struct Columns {
    pub name: u16,
    pub value: u16,
}

impl Columns {
    /// First column and width of the tracks.
    pub fn track(self, area: Rect) -> (u16, u16) {
        let x = area.x + self.name + self.value + 2;
        (x.min(area.right()), area.right().saturating_sub(x + 1))
    }

    /// The place on the tracks at a column, 0..1; columns beyond their ends count as the ends.
    pub fn place_at(self, area: Rect, x: u16) -> f64 {
        let (left, width) = self.track(area);
        f64::from(x.saturating_sub(left)) / f64::from(width.max(2) - 1)
    }

    /// Whether a column is on the tracks.
    pub fn on_track(self, area: Rect, x: u16) -> bool {
        let (left, width) = self.track(area);
        width >= TRACK && x + 1 >= left && x <= left + width
    }
}

/// How a value is shown.
#[derive(Clone, Copy)]
pub enum Look<'a> {
    /// A number at a place of its track, 0..1.
    Track(f64),
    /// One of several names.
    Choice,
    Switch(bool),
    /// Nothing is set, which means this.
    Unset(&'a str),
    Plain,
    /// It does nothing now: this decides instead.
    Inert(&'a str),
    /// Being typed; whether it was refused.
    Typing {
        refused: bool,
    },
}

/// One line.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub symbol: &'a str,
    pub name: &'a str,
    pub value: &'a str,
    pub look: Look<'a>,
    /// Behind the value.
    pub hint: &'a str,
    pub current: bool,
    /// The pane has the focus.
    pub focused: bool,
}

/// The row's background stays; only the writing changes.
fn bare(style: Style) -> Style {
    Style { bg: None, ..style }
}

/// Draws a line over the width of `area`.
pub fn draw(c: &mut Canvas, columns: Columns, line: &Line, area: Rect) {
    let chosen = line.current && line.focused;
    let y = area.y;
    if chosen {
        let style = c.theme.selected();
        c.restyle(area, style);
        c.put(area.x, y, "▸", style);
    }
    let inert = matches!(line.look, Look::Inert(_));
    let name = bare(c.style(match (inert, line.current) {
        (true, _) => Role::Faint,
        (_, true) => Role::Strong,
        _ => Role::Dim,
    }));
    let mut x = area.x + 1;
    if !line.symbol.is_empty() {
        let symbol = bare(if inert { c.style(Role::Faint) } else { c.theme.bold(Role::Accent) });
        x = c.text(x, y, line.symbol, symbol, 2) + 1;
    }
    c.label(x, y, line.name, name, (area.x + columns.name).saturating_sub(x));
    let x = area.x + columns.name;
    let room = area.right().saturating_sub(x + 1);
    let arrows = bare(c.style(if chosen { Role::Accent } else { Role::Faint }));
    let strong = bare(c.style(Role::Strong));
    match line.look {
        Look::Typing { refused } => typing(c, line.value, refused, Rect { x, width: room, ..area }),
        Look::Track(at) => track(c, columns, (line.value, at), area),
        Look::Choice => {
            c.spans(x, y, &[("‹ ", arrows), (line.value, strong), (" ›", arrows)], area.right());
        }
        Look::Switch(on) => {
            let style = if on { strong } else { bare(c.style(Role::Dim)) };
            let mark_style = bare(c.style(if on { Role::Accent } else { Role::Dim }));
            let mark = if on { "● " } else { "○ " };
            c.spans(x, y, &[(mark, mark_style), (line.value, style)], area.right());
        }
        Look::Unset(meaning) => {
            let dim = bare(c.style(Role::Dim));
            let end = c.label(x, y, meaning, dim, room);
            hint(c, line, (end, y), area);
        }
        Look::Inert(who) => {
            let (faint, dim) = (bare(c.style(Role::Faint)), bare(c.style(Role::Dim)));
            let end = c.label(x, y, line.value, faint, room);
            c.label(end + 2, y, who, dim, area.right().saturating_sub(end + 2));
        }
        Look::Plain => {
            let end = c.label(x, y, line.value, strong, room);
            hint(c, line, (end, y), area);
        }
    }
}

fn hint(c: &mut Canvas, line: &Line, (x, y): (u16, u16), area: Rect) {
    let faint = bare(c.style(Role::Faint));
    c.text(x, y, line.hint, faint, area.right().saturating_sub(x));
}

/// The end is what is being typed: that must be in view.
fn typing(c: &mut Canvas, typed: &str, refused: bool, area: Rect) {
    let style = bare(c.theme.bold(if refused { Role::Bad } else { Role::Strong }));
    let skip = width(typed).saturating_sub(area.width as usize);
    let tail: String = typed.chars().skip(skip).collect();
    let end = c.text(area.x, area.y, &tail, style, area.width);
    c.caret = Some((end.min(area.right()), area.y));
}

fn track(c: &mut Canvas, columns: Columns, (value, at): (&str, f64), area: Rect) {
    let (y, value_x) = (area.y, area.x + columns.name);
    let number = bare(c.theme.bold(Role::Strong));
    c.right(value_x, value_x + columns.value, y, value, number);
    let (x, width) = columns.track(area);
    if width < TRACK {
        return;
    }
    let thumb = (at * f64::from(width - 1)).round() as u16;
    let (done, rest) = (bare(c.style(Role::Accent)), bare(c.style(Role::Faint)));
    c.line(x, y, if c.ascii() { "=" } else { "━" }, thumb, done);
    c.line(x + thumb + 1, y, "─", width - thumb - 1, rest);
    c.put(x + thumb, y, if c.ascii() { "O" } else { "●" }, number);
}

/// Arrows at the right edge where the list continues above or below the lines on screen.
pub fn more(c: &mut Canvas, area: Rect, (top, visible, all): (usize, usize, usize)) {
    let style = c.style(Role::Accent);
    if top > 0 {
        c.put(area.right() - 1, area.y, "▲", style);
    }
    if top + visible < all {
        c.put(area.right() - 1, area.y + visible as u16 - 1, "▼", style);
    }
}
