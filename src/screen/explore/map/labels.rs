//! Around the cells: names and marks of the tokens on both axes, the value under the crosshair, the colour bar.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use crate::mask::types::State;
use crate::screen::explore::map::cells::Painter;
use crate::screen::explore::map::scale::LOG_FLOOR;
use crate::screen::explore::map::view::pooled;
use crate::screen::explore::map::{LABEL, tokens};
use crate::screen::view::ColourScale;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::colours::step;
use crate::screen::widgets::theme::{Role, Theme};
use crate::support::visible::{clusters, visible, width};

impl Painter<'_> {
    /// Each token's name at the end of its row, on the hatching: it stands right of the token's own column, so that a
    /// column is read upwards as a row is read to the left.
    pub fn diagonal(&self, c: &mut Canvas) {
        let tokens = tokens(self.app);
        let Some(lines) = self.view.queries.pixels.checked_div(self.frame.per_line).filter(|l| *l > 0) else {
            return;
        };
        let plot = self.frame.plot;
        for line in (0..plot.height).step_by(lines) {
            let range = self.view.queries.at(line as usize * self.frame.per_line);
            let (Some(token), Some(own)) = (tokens.get(range.start), self.view.keys.of(range.start)) else {
                continue;
            };
            let crossed = range.contains(&self.app.view.key);
            let (_, state) = self.telling(range, self.app.view.key);
            let x = plot.x + own.end as u16;
            // Beside the cells there may be numbers.
            let right =
                if self.free().is_some_and(|r| r.x > plot.x) { self.used().right() } else { plot.right() };
            let room = right.saturating_sub(x + 1).min(LABEL as u16);
            let label = crate::support::visible::fit(&token.display, room as usize, "…");
            let style = label_style(c.theme, state, crossed);
            if room > 2 && !label.is_empty() {
                c.text(x, plot.y + line, &format!(" {} ", label.trim_start_matches('·')), style, room + 2);
            }
        }
    }

    /// Labels and marks of the queries.
    pub fn rows(&self, c: &mut Canvas) {
        let tokens = tokens(self.app);
        let gutter = self.frame.gutter;
        for line in 0..self.frame.plot.height {
            let first = line as usize * self.frame.per_line;
            let range = self.view.queries.at(first);
            // A token of several lines is named once; a line of several tokens by the most telling one.
            let rest =
                (1..self.frame.per_line).map(|i| self.view.queries.at(first + i)).filter(|r| !r.is_empty());
            let range = range.start..rest.map(|r| r.end).max().unwrap_or(range.end).max(range.end);
            if range.is_empty() || range.start >= tokens.len() {
                continue;
            }
            let above = first > 0 && self.view.queries.at(first - 1).contains(&range.start);
            if above && range.len() == 1 {
                continue;
            }
            let crossed = range.contains(&self.app.view.query);
            let (query, state) = self.telling(range, self.app.view.query);
            let y = self.frame.plot.y + line;
            let left = self.frame.plot.x - gutter;
            let style = label_style(c.theme, state, crossed);
            if crossed {
                c.restyle(Rect::new(left, y, gutter.saturating_sub(1), 1), c.theme.selected());
            }
            let style = if crossed { c.theme.selected().patch(style) } else { style };
            c.right(
                left,
                left + gutter.saturating_sub(3),
                y,
                &tokens[query.min(tokens.len() - 1)].display,
                style,
            );
            self.mark(c, left + gutter.saturating_sub(2), y, query);
        }
    }

    /// Of several tokens in one place, the one to name: under the crosshair, else masked, else the first.
    fn telling(&self, range: std::ops::Range<usize>, cursor: usize) -> (usize, Option<State>) {
        let state = |i: usize| self.app.results.decision().and_then(|d| d.positions.get(i)).map(|p| p.state);
        let masked = range.clone().find(|i| state(*i) == Some(State::Masked));
        let pick = if range.contains(&cursor) { cursor } else { masked.unwrap_or(range.start) };
        (pick, state(pick))
    }

    fn mark(&self, c: &mut Canvas, x: u16, y: u16, token: usize) {
        let Some(p) = self.app.results.decision().and_then(|d| d.positions.get(token)) else { return };
        let style = c.style(c.theme.state_role(p.state));
        c.put(x, y, c.theme.state_glyph(p.state, p.op), style);
    }

    /// Marks and labels of the keys, under the plot.
    pub fn columns(&self, c: &mut Canvas) {
        let tokens = tokens(self.app);
        let (plot, labels) = (self.frame.plot, self.frame.labels);
        let used = self.view.queries.size.div_ceil(self.frame.per_line) as u16;
        let y = plot.y + used.min(plot.height);
        let room = labels + plot.height - used.min(plot.height);
        if self.view.keys.pooled() && labels > 1 {
            self.numbers(c, y + 1);
            let (dim, left) = (c.style(Role::Dim), plot.x - self.frame.gutter);
            if let Some((keys, queries)) = pooled(&self.view) {
                let size = format!("{keys}×{queries}");
                let text =
                    if self.frame.gutter > width(&size) as u16 + 5 { format!("max {size}") } else { size };
                c.right(left, plot.x.saturating_sub(1), y + 1, &text, dim);
            }
        }
        let mut x = 0;
        while (x as usize) < self.view.keys.size && labels > 0 {
            let range = self.view.keys.at(x as usize);
            let columns = self.view.keys.of(range.start).map_or(1, |r| r.len().max(1)) as u16;
            let crossed = range.contains(&self.app.view.key);
            let (key, state) = self.telling(range, self.app.view.key);
            let place = plot.x + x + (columns - 1) / 2;
            self.mark(c, place, y, key);
            if let Some(token) = tokens.get(key).filter(|_| labels > 1 && !self.view.keys.pooled()) {
                let style = label_style(c.theme, state, crossed);
                let style = if crossed { c.theme.selected().patch(style) } else { style };
                if columns >= 5 {
                    let text = visible(&token.display);
                    let w = (width(&text) as u16).min(columns - 1);
                    c.label(plot.x + x + (columns - 1 - w) / 2, y + 1, &text, style, columns - 1);
                } else {
                    vertical(c, place, y + 1, room.saturating_sub(1).min(labels), &token.display, style);
                }
            }
            x += columns;
        }
    }

    /// Positions under a pooled axis.
    fn numbers(&self, c: &mut Canvas, y: u16) {
        let dim = c.style(Role::Dim);
        let mut free = 0;
        for x in 0..self.view.keys.size {
            let range = self.view.keys.at(x);
            let text = range.start.to_string();
            let last = x + text.len() >= self.view.keys.size;
            if x >= free && !last {
                c.text(self.frame.plot.x + x as u16, y, &text, dim, text.len() as u16);
                free = (x + 10) / 10 * 10;
            }
        }
    }

    pub fn footer(&self, c: &mut Canvas, area: Rect) {
        if self.frame.footer == 0 {
            return;
        }
        let y = area.bottom() - 1;
        let tokens = tokens(self.app);
        let (q, k) = (self.app.view.query, self.app.view.key);
        let name = |i: usize| tokens.get(i).map_or("", |t| t.display.as_str());
        let (value, role) = match self.value() {
            None => ("in the future: not visible".to_owned(), Role::Dim),
            Some(v) if v.is_nan() => ("dropped".to_owned(), Role::Masked),
            Some(v) if self.scale.signed => (format!("Δα {v:+.6}"), Role::Strong),
            Some(v) => (format!("α {v:.6}"), Role::Strong),
        };
        let legend = 30;
        let split = self.frame.footer == 1 && area.width > legend + 46;
        let right = if split { area.right() - legend } else { area.right() };
        let (dim, text) = (c.style(Role::Dim), c.style(Role::Text));
        let (qs, ks) = (format!("{q} "), format!("{k} "));
        let value_style = c.theme.bold(role);
        let short = |s: &str| crate::support::visible::fit(s, 14, "…");
        let (qn, kn) = (short(name(q)), short(name(k)));
        c.spans(
            area.x,
            y,
            &[
                ("query ", dim),
                (&qs, dim),
                (&qn, text),
                (" → key ", dim),
                (&ks, dim),
                (&kn, text),
                ("  ", dim),
                (&value, value_style),
            ],
            right,
        );
        if self.frame.footer == 2 {
            self.legend(c, area.x, y - 1, area.right());
        } else if split {
            self.legend(c, area.right() - legend + 2, y, area.right());
        }
    }

    /// The colour bar with the values of its ends.
    fn legend(&self, c: &mut Canvas, x: u16, y: u16, right: u16) {
        let dim = c.style(Role::Dim);
        let (max, top) = (self.scale.max, self.scale.top);
        let (low, high) = match (self.scale.signed, self.scale.kind) {
            (true, ColourScale::RowMax) => ("−row-max".to_owned(), "+row-max".to_owned()),
            (true, _) => (format!("−{max:.3}"), format!("+{max:.3}")),
            (false, ColourScale::Log) => (format!("≤{LOG_FLOOR}"), format!("{max:.3}")),
            (false, ColourScale::RowMax) => ("0".to_owned(), "row-max".to_owned()),
            (false, _) => ("0".to_owned(), format!("{max:.3}")),
        };
        // Stronger cells than the end of the scale share its last colour.
        let high = if top > max { format!("{high} and more, to {top:.3}") } else { high };
        let mut at = c.text(x, y, &low, dim, right.saturating_sub(x)) + 1;
        let n = 10.min(right.saturating_sub(at));
        for i in 0..n {
            let f = f64::from(i) / f64::from(n.max(2) - 1);
            let (symbol, style) = if c.theme.rich() {
                let ramp = if self.scale.signed { &c.theme.ramps.difference } else { &c.theme.ramps.heat };
                (" ", c.theme.on(ramp[step(f)]))
            } else if self.scale.signed {
                (c.theme.shade((2.0 * f - 1.0).abs(), f < 0.5), c.theme.shade_style(f < 0.5))
            } else {
                (c.theme.shade(f, false), Style::new())
            };
            c.put(at + i, y, symbol, style);
        }
        at += n + 1;
        at = c.text(at, y, &high, dim, right.saturating_sub(at));
        let scale = format!("  {}", self.scale.kind);
        at = c.text(at, y, &scale, c.style(Role::Faint), right.saturating_sub(at));
        let hatched: [(&str, Style); 4] = [
            ("  ", dim),
            (if c.ascii() { "/" } else { "╱" }, c.style(Role::Faint)),
            (" future", dim),
            ("  ", dim),
        ];
        if right.saturating_sub(at) > 22 {
            at = c.spans(at, y, &hatched, right);
            c.spans(
                at,
                y,
                &[(if c.ascii() { "x" } else { "╳" }, c.style(Role::Masked)), (" dropped", dim)],
                right,
            );
        }
    }
}

fn label_style(theme: &Theme, state: Option<State>, crossed: bool) -> Style {
    let style = match state {
        Some(State::Masked) => theme.style(Role::Masked),
        _ if crossed => theme.style(Role::Strong),
        _ => theme.style(Role::Dim),
    };
    if crossed { style.add_modifier(Modifier::BOLD) } else { style }
}

/// A label written downwards; a wide character does not fit into one column and becomes a dot.
fn vertical(c: &mut Canvas, x: u16, y: u16, rows: u16, text: &str, style: Style) {
    // The mark of a leading space says nothing in a column of its own.
    let text = text.strip_prefix('·').filter(|t| !t.is_empty()).unwrap_or(text);
    for (i, cluster) in clusters(text).take(rows as usize).enumerate() {
        let symbol = if cluster.width == 1 { &cluster.text } else { "·" };
        c.put(x, y + i as u16, symbol, style);
    }
}
