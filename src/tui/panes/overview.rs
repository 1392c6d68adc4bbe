//! All layers × heads as thumbnails, in the chosen order.

use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::app::data::HeadSummary;
use crate::app::overview::{Grid, Sort, grid, order};
use crate::app::state::App;
use crate::tui::canvas::Canvas;
use crate::tui::colours::step;
use crate::tui::panes::{Piece, empty_text};
use crate::tui::theme::{Paint, Role};

/// Columns and lines for thumbnails: all but the last line, which names the chosen head's numbers.
pub fn room(area: Rect) -> (usize, usize) {
    (area.width as usize, area.height.saturating_sub(1) as usize)
}

fn layout(app: &App, area: Rect, n: usize) -> Grid {
    grid(n, app.model.as_ref().map_or(1, |m| m.n_head), room(area))
}

/// The thumbnail (its place in the order) at a cell of the screen.
pub fn place_at(app: &App, area: Rect, x: u16, y: u16) -> Option<usize> {
    let n = app.results.overview.as_ref()?.value.len();
    let g = layout(app, area, n);
    let (dx, dy) = (x.checked_sub(area.x)? as usize, y.checked_sub(area.y)? as usize);
    let (column, row) = (dx / g.cell.0, dy / g.cell.1);
    let place = (app.view.head_top + row) * g.per_row + column;
    (column < g.per_row && row < g.visible && place < n).then_some(place)
}

pub fn subtitle(app: &App) -> Vec<Piece> {
    let mut out = vec![Piece::new("all heads", Role::Strong), Piece::new(app.view.sort.doc(), Role::Accent)];
    if app.results.overview.as_ref().is_some_and(|o| app.stale(o)) {
        out.push(Piece::new("old, computing…", Role::Warn));
    }
    out
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let Some(slot) = app.results.overview.as_ref().filter(|o| !o.value.is_empty()) else {
        empty_text(c, app, area, "All heads appear here");
        return;
    };
    let heads = &slot.value;
    let g = layout(app, area, heads.len());
    let order = order(heads, app.view.sort);
    let first = app.view.head_top * g.per_row;
    for (i, index) in order.iter().enumerate().skip(first).take(g.visible * g.per_row) {
        let (row, column) = ((i - first) / g.per_row, (i - first) % g.per_row);
        let x = area.x + (column * g.cell.0) as u16;
        let y = area.y + (row * g.cell.1) as u16;
        let cell = Rect::new(x, y, g.cell.0 as u16, g.cell.1 as u16).intersection(area);
        thumbnail(c, app, &heads[*index], cell, i == app.view.head);
    }
    if app.stale(slot) {
        c.fade(area);
    }
    if let Some(chosen) = order.get(app.view.head) {
        numbers(c, &heads[*chosen], area);
    }
}

/// Label above, picture below; the label of the chosen one is inverted and has a marker.
fn thumbnail(c: &mut Canvas, app: &App, head: &HeadSummary, cell: Rect, chosen: bool) {
    let shown = app.doc.heads.layer == Some(head.layer) && app.doc.heads.head == Some(head.head);
    let value = match app.view.sort {
        Sort::Place => String::new(),
        sort => sort.value(head).map_or(" –".to_owned(), |v| format!(" {v:.2}")),
    };
    let width = cell.width.saturating_sub(1);
    let mark = if chosen { "▸" } else { " " };
    let label = if width >= 13 {
        format!("{mark}L{} H{}{value}", head.layer, head.head)
    } else {
        format!("{mark}{}·{}{}", head.layer, head.head, value.replace(" 0.", " ."))
    };
    let style = if chosen {
        c.theme.selected()
    } else if shown {
        c.theme.bold(Role::Accent)
    } else {
        c.style(Role::Dim)
    };
    if chosen {
        c.restyle(Rect { width, height: 1, ..cell }, style);
    }
    c.label(cell.x, cell.y, &label, style, width);
    picture(c, head, Rect { y: cell.y + 1, width, height: cell.height.saturating_sub(1), ..cell });
}

fn picture(c: &mut Canvas, head: &HeadSummary, area: Rect) {
    let side = head.side;
    if side == 0 || head.thumbnail.len() < side * side || area.is_empty() {
        return;
    }
    let paint = c.theme.paint();
    let per_line = if paint == Paint::Half { 2 } else { 1 };
    let (w, h) = (area.width as usize, area.height as usize * per_line);
    let most = head.thumbnail.iter().filter(|v| v.is_finite()).fold(0f32, |m, v| m.max(*v)).max(1e-9);
    // Strongest value under the pixel: the thumbnail may be finer or coarser than the screen.
    let span =
        |i: usize, n: usize| i * side / n..((i + 1) * side).div_ceil(n).max(i * side / n + 1).min(side);
    let pixel = |x: usize, y: usize| -> Option<f64> {
        let mut best: Option<f32> = None;
        for q in span(y, h) {
            for k in span(x, w) {
                let v = head.thumbnail[q * side + k];
                if v.is_finite() && k <= q && best.is_none_or(|b| v > b) {
                    best = Some(v);
                }
            }
        }
        best.map(|v| f64::from((v / most).max(0.0)).sqrt())
    };
    for line in 0..area.height {
        for x in 0..area.width {
            let top = pixel(x as usize, line as usize * per_line);
            let (symbol, style) = if paint == Paint::Half {
                let bottom = pixel(x as usize, line as usize * 2 + 1);
                half(c, top, bottom)
            } else if paint == Paint::Solid {
                (" ", top.map_or_else(Style::new, |v| c.theme.on(c.theme.ramps.heat[step(v)])))
            } else {
                (top.map_or(" ", |v| c.theme.shade(v, false)), Style::new())
            };
            c.put(area.x + x, area.y + line, symbol, style);
        }
    }
}

fn half(c: &Canvas, top: Option<f64>, bottom: Option<f64>) -> (&'static str, Style) {
    let colour = |v: f64| c.theme.colour(c.theme.ramps.heat[step(v)]);
    match (top, bottom) {
        (Some(a), Some(b)) => ("▀", Style::new().fg(colour(a)).bg(colour(b))),
        (Some(a), None) => ("▀", Style::new().fg(colour(a))),
        (None, Some(b)) => ("▄", Style::new().fg(colour(b))),
        (None, None) => (" ", Style::new()),
    }
}

fn numbers(c: &mut Canvas, head: &HeadSummary, area: Rect) {
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let number = |v: f32| format!("{v:.2}");
    let induction = head.induction.map_or("–".to_owned(), number);
    let name = format!("L{} H{}", head.layer, head.head);
    let (sink, entropy) = (number(head.sink), number(head.entropy));
    let (previous, mass) = (number(head.previous), number(head.mask_mass));
    let pieces = [
        (name.as_str(), strong),
        ("  sink ", dim),
        (&sink, strong),
        (" entropy ", dim),
        (&entropy, strong),
        (" previous ", dim),
        (&previous, strong),
        (" induction ", dim),
        (&induction, strong),
        (" mask ", dim),
        (&mass, strong),
    ];
    c.spans(area.x, area.bottom().saturating_sub(1), &pieces, area.right());
}
