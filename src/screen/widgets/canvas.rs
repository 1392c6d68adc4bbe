//! The only way to put something on screen: clipped, measured, and with every text made visible first, so that nothing
//! from a model, a file or a person can reach the terminal raw.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use crate::screen::widgets::colours::mix;
use crate::screen::widgets::theme::{Role, Theme};
use crate::support::visible::{ascii, fit, visible, width};

/// A buffer, a theme, and where the caret of the terminal should be.
pub struct Canvas<'a> {
    pub buf: &'a mut Buffer,
    pub theme: &'a Theme,
    pub caret: Option<(u16, u16)>,
}

impl Canvas<'_> {
    pub fn ascii(&self) -> bool {
        self.theme.look.ascii
    }

    pub fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    /// Draws text from (`x`, `y`), at most `max` columns; returns the column after it.
    pub fn text(&mut self, x: u16, y: u16, text: &str, style: Style, max: u16) -> u16 {
        let area = self.buf.area;
        if y < area.top() || y >= area.bottom() || x < area.left() || x >= area.right() {
            return x;
        }
        let safe = visible(text);
        let safe = if self.ascii() { ascii(&safe).into_owned().into() } else { safe };
        self.buf.set_stringn(x, y, safe, max as usize, style).0
    }

    /// Text cut with an ellipsis to `max` columns; returns the column after it.
    pub fn label(&mut self, x: u16, y: u16, text: &str, style: Style, max: u16) -> u16 {
        self.text(x, y, &fit(text, max as usize, "…"), style, max)
    }

    /// Text that ends before column `right`, cut from `left` on; returns its first column.
    pub fn right(&mut self, left: u16, right: u16, y: u16, text: &str, style: Style) -> u16 {
        let room = right.saturating_sub(left);
        let text = fit(text, room as usize, "…");
        let x = right.saturating_sub(width(&text) as u16);
        self.text(x, y, &text, style, room);
        x
    }

    /// Pieces one after another within a line; returns the column after them.
    pub fn spans(&mut self, x: u16, y: u16, pieces: &[(&str, Style)], right: u16) -> u16 {
        let mut at = x;
        for (text, style) in pieces {
            at = self.text(at, y, text, *style, right.saturating_sub(at));
        }
        at
    }

    /// One cell; the symbol must be one column wide.
    pub fn put(&mut self, x: u16, y: u16, symbol: &str, style: Style) {
        self.text(x, y, symbol, style, 1);
    }

    /// Repeats a one-column symbol.
    pub fn line(&mut self, x: u16, y: u16, symbol: &str, n: u16, style: Style) {
        for i in 0..n {
            self.put(x.saturating_add(i), y, symbol, style);
        }
    }

    /// Changes the style of what is there.
    pub fn restyle(&mut self, area: Rect, style: Style) {
        self.buf.set_style(area.intersection(self.buf.area), style);
    }

    /// Empties an area.
    pub fn clear(&mut self, area: Rect, style: Style) {
        let area = area.intersection(self.buf.area);
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                let cell = &mut self.buf[(x, y)];
                cell.reset();
                cell.set_style(style);
            }
        }
    }

    /// Makes what is there look old.
    pub fn fade(&mut self, area: Rect) {
        let area = area.intersection(self.buf.area);
        let background = self.theme.background();
        let faded = |c: Color| match c {
            Color::Rgb(r, g, b) => {
                let (r, g, b) = mix((r, g, b), background, 0.55);
                Color::Rgb(r, g, b)
            }
            other => other,
        };
        for y in area.top()..area.bottom() {
            for x in area.left()..area.right() {
                let cell = &mut self.buf[(x, y)];
                cell.fg = faded(cell.fg);
                cell.bg = faded(cell.bg);
                if !matches!(cell.fg, Color::Rgb(..)) {
                    cell.modifier |= Modifier::DIM;
                }
            }
        }
    }

    /// Words wrapped into an area; returns the number of lines used.
    pub fn paragraph(&mut self, area: Rect, text: &str, style: Style) -> u16 {
        let mut y = area.top();
        for line in text.lines() {
            let safe = visible(line);
            for row in crate::screen::explore::text::wrap::rows(&safe, area.width as usize) {
                if y >= area.bottom() {
                    return area.height;
                }
                self.text(area.x, y, safe[row].trim_end(), style, area.width);
                y += 1;
            }
        }
        y - area.top()
    }

    /// A horizontal bar of `fraction` of `columns`, in eighths where the terminal has them.
    pub fn bar(&mut self, x: u16, y: u16, columns: u16, fraction: f64, style: Style) {
        const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        if !fraction.is_finite() || fraction <= 0.0 || columns == 0 {
            return;
        }
        let eighths = (fraction.min(1.0) * f64::from(columns) * 8.0).round() as u16;
        let eighths = eighths.max(1);
        let full = eighths / 8;
        if self.ascii() {
            let n = (eighths + 4) / 8;
            self.line(x, y, "=", n.min(columns), style);
            return;
        }
        self.line(x, y, "█", full, style);
        if !eighths.is_multiple_of(8) && full < columns {
            self.put(x + full, y, PARTS[(eighths % 8) as usize], style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::options::Look;

    fn with(look: Look, draw: impl Fn(&mut Canvas)) -> Buffer {
        let mut buf = Buffer::empty(Rect::new(0, 0, 12, 3));
        let theme = Theme::new(look);
        draw(&mut Canvas { buf: &mut buf, theme: &theme, caret: None });
        buf
    }

    fn row(buf: &Buffer, y: u16) -> String {
        (0..12).map(|x| buf[(x, y)].symbol()).collect()
    }

    #[test]
    fn raw_control_characters_never_reach_a_cell() {
        let buf = with(Look::default(), |c| {
            c.text(0, 0, "\x1b[2Ja\u{202e}b\u{7}", Style::new(), 12);
            c.label(0, 1, "\x1b]0;title\x07 and more", Style::new(), 8);
            c.paragraph(Rect::new(0, 2, 12, 1), "\x1b\x1b", Style::new());
        });
        let all: String = (0..3).map(|y| row(&buf, y)).collect();
        assert!(!all.chars().any(|c| c.is_control() || c == '\u{202e}'));
        assert!(all.contains("␛[2Ja◦b␇"));
    }

    #[test]
    fn drawing_outside_is_harmless() {
        with(Look::default(), |c| {
            c.text(50, 50, "x", Style::new(), 9);
            c.bar(10, 0, 50, 1.0, Style::new());
            c.clear(Rect::new(5, 1, 500, 500), Style::new());
            c.fade(Rect::new(5, 1, 500, 500));
            c.right(0, 500, 0, "edge", Style::new());
        });
    }

    #[test]
    fn ascii_terminals_get_ascii() {
        let look = Look { ascii: true, ..Look::default() };
        let buf = with(look, |c| {
            c.text(0, 0, "τ ● 漢 é …", Style::new(), 12);
            c.bar(0, 1, 8, 0.5, Style::new());
        });
        assert!(buf.content.iter().all(|c| c.symbol().is_ascii()));
        assert_eq!(row(&buf, 1), "====        ");
    }
}
