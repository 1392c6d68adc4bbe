//! Where the map leaves room in its pane: what the query under the crosshair reads most, with numbers.

use ratatui::layout::Rect;

use crate::screen::explore::map::cells::Painter;
use crate::screen::explore::map::{LABEL, tokens};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::support::visible::fit;

/// Columns and lines that a list of numbers needs to be of use.
const LEAST: (u16, u16) = (19, 3);

impl Painter<'_> {
    /// The room that the map leaves: beside it, or below the names of its columns.
    pub fn free(&self) -> Option<Rect> {
        let plot = self.frame.plot;
        let used = self.used();
        let beside =
            Rect::new(used.right() + 2, plot.y, plot.right().saturating_sub(used.right() + 2), used.height);
        let y = used.bottom() + 1 + self.frame.labels;
        let below = Rect::new(plot.x, y, plot.width, (plot.bottom() + self.frame.labels).saturating_sub(y));
        [beside, below].into_iter().find(|r| r.width >= LEAST.0 && r.height >= LEAST.1)
    }

    /// The part of the plot that holds cells.
    pub fn used(&self) -> Rect {
        let plot = self.frame.plot;
        let lines = self.view.queries.size.div_ceil(self.frame.per_line) as u16;
        Rect { width: (self.view.keys.size as u16).min(plot.width), height: lines.min(plot.height), ..plot }
    }

    /// The keys of the query's row, the strongest first.
    fn strongest(&self) -> Vec<(usize, f32)> {
        let (q, n) = (self.app.view.query, self.map.len);
        if q >= n {
            return Vec::new();
        }
        let row = self.map.values[q * n..q * n + q + 1].iter().copied().enumerate();
        let mut all: Vec<(usize, f32)> = row.filter(|(_, v)| v.is_finite() && *v != 0.0).collect();
        all.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        all
    }

    pub fn reads(&self, c: &mut Canvas, area: Rect) {
        let tokens = tokens(self.app);
        let name =
            |i: usize, room: usize| tokens.get(i).map_or(String::new(), |t| fit(&t.display, room, "…"));
        let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
        let what = if self.scale.signed { " reads otherwise:" } else { " reads most:" };
        let query = name(self.app.view.query, LABEL);
        c.spans(area.x, area.y, &[(&query, strong), (what, dim)], area.right());
        let all = self.strongest();
        let most = all.first().map_or(1.0, |(_, v)| v.abs()).max(1e-9);
        let label = (LABEL as u16).min(area.width.saturating_sub(9));
        for (i, (key, value)) in all.iter().take(area.height.saturating_sub(1) as usize).enumerate() {
            let y = area.y + 1 + i as u16;
            let here = *key == self.app.view.key;
            let text = if here { c.theme.bold(Role::Accent) } else { c.style(Role::Text) };
            c.label(area.x, y, &name(*key, label as usize), text, label);
            let number = if self.scale.signed { format!("{value:+.3}") } else { format!("{value:.3}") };
            let end = area.x + label + 7;
            c.right(area.x + label, end, y, &number, text);
            let style = c.style(if *value < 0.0 { Role::Protected } else { Role::Draw });
            c.bar(
                end + 1,
                y,
                area.right().saturating_sub(end + 1).min(24),
                f64::from(value.abs() / most),
                style,
            );
        }
    }
}
