//! Cells of the screen as an SVG: a background for every run of equal cells, and their text on top.

use std::fmt::Write as _;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use crate::screen::app::App;
use crate::screen::draw::draw;
use crate::screen::options::{Depth, Look};
use crate::screen::widgets::colours::Rgb;
use crate::screen::widgets::theme::Theme;
use crate::support::visible::width;

/// Size of a cell, in user units.
const CELL: (f64, f64) = (8.0, 16.0);

/// A picture of `area` of the screen as it is drawn now, with all colours; `None` for an empty area.
pub fn svg(app: &App, area: Rect) -> Option<String> {
    let mut app = app.clone();
    app.popup = None;
    app.look = Look { depth: Depth::True, ..app.look };
    let mut buffer = Buffer::empty(Rect::new(0, 0, app.size.0, app.size.1));
    draw(&mut buffer, &app);
    let area = area.intersection(buffer.area);
    (!area.is_empty()).then(|| of_buffer(&buffer, area, &Theme::new(app.look)))
}

/// The colours that a cell shows: text and background.
fn colours(cell: &Cell, theme: &Theme) -> (Rgb, Rgb) {
    let rgb = |color: Color, otherwise: Rgb| match color {
        Color::Rgb(r, g, b) => (r, g, b),
        _ => otherwise,
    };
    let text = if theme.look.dark { (205, 209, 222) } else { (44, 47, 58) };
    let (fg, bg) = (rgb(cell.fg, text), rgb(cell.bg, theme.background()));
    if cell.modifier.contains(Modifier::REVERSED) { (bg, fg) } else { (fg, bg) }
}

fn of_buffer(buffer: &Buffer, area: Rect, theme: &Theme) -> String {
    let (w, h) = (f64::from(area.width) * CELL.0, f64::from(area.height) * CELL.1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"13\" \
         shape-rendering=\"crispEdges\">\n<rect width=\"{w}\" height=\"{h}\" fill=\"{}\"/>\n",
        hex(theme.background())
    );
    for y in area.top()..area.bottom() {
        let mut x = area.left();
        while x < area.right() {
            let look = |x: u16| colours(&buffer[(x, y)], theme);
            let (fg, bg) = look(x);
            let half = |x: u16| matches!(buffer[(x, y)].symbol(), "▀" | "▄" | "█");
            let bold = |x: u16| buffer[(x, y)].modifier.contains(Modifier::BOLD);
            let first = (half(x), bold(x));
            let end = (x + 1..area.right())
                .find(|&i| {
                    look(i) != (fg, bg)
                        || (half(i), bold(i)) != first
                        || half(i) && buffer[(i, y)].symbol() != buffer[(x, y)].symbol()
                })
                .unwrap_or(area.right());
            let place = ((f64::from(x - area.left())) * CELL.0, f64::from(y - area.top()) * CELL.1);
            let columns = f64::from(end - x) * CELL.0;
            rect(&mut out, place, (columns, CELL.1), bg);
            if first.0 {
                let (top, height) = match buffer[(x, y)].symbol() {
                    "▀" => (0.0, CELL.1 / 2.0),
                    "▄" => (CELL.1 / 2.0, CELL.1 / 2.0),
                    _ => (0.0, CELL.1),
                };
                rect(&mut out, (place.0, place.1 + top), (columns, height), fg);
            } else {
                write_text(&mut out, buffer, (x, end, y), (place, fg, first.1));
            }
            x = end;
        }
    }
    out.push_str("</svg>\n");
    out
}

fn rect(out: &mut String, (x, y): (f64, f64), (w, h): (f64, f64), fill: Rgb) {
    let _ = writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{}\"/>", hex(fill));
}

/// The text of a run; every character has its column, so that fonts of another width do not shift it.
fn write_text(
    out: &mut String,
    buffer: &Buffer,
    (from, to, y): (u16, u16, u16),
    ((left, top), fill, bold): ((f64, f64), Rgb, bool),
) {
    let (mut symbols, mut columns, mut skip) = (String::new(), Vec::new(), 0);
    for x in from..to {
        let symbol = buffer[(x, y)].symbol();
        if skip > 0 || symbol.trim().is_empty() {
            skip = skip.max(1) - 1;
            continue;
        }
        skip = width(symbol).max(1) - 1;
        // One place for every character of a cluster: marks stay on their letter.
        for _ in symbol.chars() {
            columns.push((left + f64::from(x - from) * CELL.0).to_string());
        }
        symbols.push_str(symbol);
    }
    if symbols.is_empty() {
        return;
    }
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" fill=\"{}\"{weight}>{}</text>",
        columns.join(" "),
        top + 12.5,
        hex(fill),
        markup(&symbols)
    );
}

/// A colour for SVG and HTML.
pub fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Text between tags or in a quoted attribute of SVG and HTML, with everything unsafe made visible.
pub fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::support::visible::visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What XML 1.0 does not allow.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
