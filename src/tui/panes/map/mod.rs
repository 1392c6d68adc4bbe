//! The heatmap of one layer and head: queries down, keys right, the future hatched, dropped tokens hatched in place.

mod cells;
mod labels;

use ratatui::layout::Rect;

use crate::app::data::{HeadChoice, MapKind, Token};
use crate::app::mapview::{self, MapView, Room};
use crate::app::state::App;
use crate::support::visible::{visible, width};
use crate::tui::canvas::Canvas;
use crate::tui::panes::map::cells::{Painter, Scale};
use crate::tui::panes::{Piece, empty_text};
use crate::tui::theme::{Paint, Role, Theme};

/// Longest label beside a row, in columns.
const LABEL: usize = 12;

/// Where the parts of the pane are.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Row labels and marks, left of the plot.
    pub gutter: u16,
    pub plot: Rect,
    /// Lines under the plot for column marks and labels.
    pub labels: u16,
    /// Lines at the bottom for the value under the crosshair and the colour bar.
    pub footer: u16,
    per_line: usize,
}

impl Frame {
    /// Room for pixels.
    pub fn room(&self) -> Room {
        let (width, lines) = (self.plot.width as usize, self.plot.height as usize);
        Room { width, height: lines * self.per_line, per_line: self.per_line }
    }

    /// The (query, key) at a cell of the screen.
    pub fn at(&self, view: &MapView, x: u16, y: u16) -> Option<(usize, usize)> {
        let (dx, dy) = (x.checked_sub(self.plot.x)?, y.checked_sub(self.plot.y)?);
        let queries = view.queries.at(dy as usize * self.per_line);
        let keys = view.keys.at(dx as usize);
        (!queries.is_empty() && !keys.is_empty()).then_some((queries.start, keys.start))
    }
}

/// The tokens that the axes name: those of the map on screen, else the newest.
fn tokens(app: &App) -> &[Token] {
    match &app.results.map {
        Some(map) if map.value.tokens.len() == map.value.frame.len => &map.value.tokens,
        _ => app.results.tokens(),
    }
}

/// Divides the pane.
pub fn frame(app: &App, area: Rect) -> Frame {
    let per_line = if Theme::new(app.look).paint() == Paint::Half { 2 } else { 1 };
    let tokens = tokens(app);
    let longest = tokens.iter().map(|t| width(&visible(&t.display))).max().unwrap_or(0);
    let gutter = (longest.min(LABEL) + 3).min(area.width as usize / 3) as u16;
    let footer = match area.height {
        0..=4 => 0,
        5..=15 => 1,
        _ => 2,
    };
    let columns = area.width.saturating_sub(gutter) as usize;
    let free = area.height.saturating_sub(footer + 1) as usize;
    let labels =
        if free < 4 { 0 } else { 1 + label_lines(tokens.len(), columns, free, longest, per_line) as u16 };
    let height = area.height.saturating_sub(footer + labels);
    Frame {
        gutter,
        plot: Rect::new(area.x + gutter, area.y, area.width - gutter, height),
        labels,
        footer,
        per_line,
    }
}

/// Lines for labels under the columns: only lines that the map itself has no use for.
fn label_lines(n: usize, columns: usize, free: usize, longest: usize, per_line: usize) -> usize {
    if n > columns {
        // Many tokens to a column: their numbers are the only labels that fit.
        return 1;
    }
    let wanted = if columns >= n * 5 { 1 } else { longest.min(6) };
    let spare = if n <= free { free - n } else { free.saturating_sub(n.div_ceil(per_line)) };
    match wanted.min(spare) {
        1 if wanted > 1 => 0,
        lines => lines,
    }
}

/// The layout of the map that is on screen.
pub fn view(app: &App, frame: &Frame) -> MapView {
    let n = app.results.map.as_ref().map_or(app.results.len(), |m| m.value.frame.len);
    mapview::layout(n, frame.room(), app.view.zoom, app.view.origin)
}

/// The frame's title: which run, which heads.
pub fn subtitle(app: &App) -> Vec<Piece> {
    let (kind, heads) = app
        .results
        .map
        .as_ref()
        .map_or((app.doc.map, app.doc.heads), |m| (m.value.frame.kind, m.value.frame.heads));
    if app.results.map.is_none() {
        return Vec::new();
    }
    let mut out = Vec::new();
    if app.results.map.as_ref().is_some_and(|m| app.stale(m)) {
        out.push(Piece::new("old, computing…", Role::Warn));
    }
    out.push(Piece::new(
        kind_name(kind),
        if kind == MapKind::Baseline { Role::Protected } else { Role::Masked },
    ));
    out.push(Piece::new(heads_name(app, heads), Role::Strong));
    out
}

/// The words for what is shown.
pub fn kind_name(kind: MapKind) -> &'static str {
    match kind {
        MapKind::Masked => "masked run",
        MapKind::Baseline => "baseline",
        MapKind::Difference => "masked − baseline",
    }
}

/// `layer 3 · head 7`, or what is averaged over.
pub fn heads_name(app: &App, heads: HeadChoice) -> String {
    let count = |n: Option<usize>| n.map_or(String::new(), |n| format!("{n} "));
    let (layers, all_heads) = (app.model.as_ref().map(|m| m.n_layer), app.model.as_ref().map(|m| m.n_head));
    match (heads.layer, heads.head) {
        (Some(l), Some(h)) => format!("layer {l} · head {h}"),
        (Some(l), None) => format!("layer {l} · mean of {}heads", count(all_heads)),
        (None, Some(h)) => format!("head {h} · mean of {}layers", count(layers)),
        (None, None) => match (layers, all_heads) {
            (Some(l), Some(h)) => format!("mean of {l} × {h} heads"),
            _ => "mean of all heads".to_owned(),
        },
    }
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let Some(shown) = app.results.map.as_ref().filter(|m| m.value.frame.len > 0) else {
        empty_text(c, app, area, "Attention appears here");
        return;
    };
    let map = &shown.value.frame;
    if map.values.len() < map.len * map.len {
        return;
    }
    let frame = frame(app, area);
    let view = view(app, &frame);
    let painter = Painter { app, map, view, frame, scale: Scale::of(app, map) };
    painter.cells(c);
    painter.diagonal(c);
    painter.rows(c);
    painter.columns(c);
    if app.stale(shown) {
        c.fade(Rect { height: area.height - frame.footer, ..area });
    }
    painter.footer(c, area);
}
