//! The attention map of one layer and head, or of a mean: queries down, keys right, the future hatched, dropped tokens
//! hatched in place. Crosshair, zoom, pan and colours.

mod cells;
mod labels;
mod reads;
pub mod scale;
pub mod view;

use ratatui::layout::Rect;

use crate::engine::types::{HeadChoice, MapKind, Token};
use crate::screen::actions::{Context, EXPLORER, actions};
use crate::screen::app::App;
use crate::screen::explore::map::cells::Painter;
use crate::screen::explore::map::scale::CellScale;
use crate::screen::explore::map::view::{Axis, MapView, Room, Zoom};
use crate::screen::explore::{explain, interventions, overview, tokens};
use crate::screen::history::EditKind;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart, Wheel, empty_text};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::{Paint, Role, Theme};
use crate::support::visible::{visible, width};

/// The heatmap of one head, or of a mean.
pub const CONTEXT: Context = Context("Attention map");

/// The map; the overview of all heads takes its place.
pub static PANE: Pane = Pane {
    name: "map",
    title: "Attention",
    context: |app| if app.view.overview { overview::CONTEXT } else { CONTEXT },
    actions: &[ACTIONS, overview::ACTIONS],
    subtitle: |app| if app.view.overview { overview::subtitle(app) } else { subtitle(app) },
    draw: |c, app, area| if app.view.overview { overview::draw(c, app, area) } else { draw(c, app, area) },
    explain: explain::of_map,
    settle: |app, area| {
        settle(app, area);
        overview::settle(app, area);
    },
    press,
    pull,
    wheel: Some(wheel),
    sideways: true,
    ..BLANK
};

actions! {
    EXPLORER {
        /// Show the masked run, the baseline, their difference, or the run under the interventions
        MAP_KIND ["m"] "masked/base/diff" => next_kind;
        /// Next colour scale: sqrt, linear, log, row-max
        COLOUR_SCALE ["c"] => next_colours;
    }
    CONTEXT {
        /// Move the crosshair to the key before
        MAP_LEFT ["left"] "crosshair" with [MAP_UP MAP_DOWN MAP_RIGHT] => |app| go(app, 0, -1);
        /// Move the crosshair to the key after
        MAP_RIGHT ["right"] => |app| go(app, 0, 1);
        /// Move the crosshair to the query before
        MAP_UP ["up"] => |app| go(app, -1, 0);
        /// Move the crosshair to the query after
        MAP_DOWN ["down"] => |app| go(app, 1, 0);
        /// Move the crosshair to the first key
        MAP_FIRST ["home"] => |app| crosshair(app, app.view.query, 0);
        /// Move the crosshair to the query itself
        MAP_LAST ["end"] => |app| crosshair(app, app.view.query, app.view.query);
        /// Move the crosshair eight queries up
        MAP_PAGE_UP ["pageup"] => |app| go(app, -8, 0);
        /// Move the crosshair eight queries down
        MAP_PAGE_DOWN ["pagedown"] => |app| go(app, 8, 0);
        /// Pan the map left
        PAN_LEFT ["shift-left"] "pan" with [PAN_UP PAN_DOWN PAN_RIGHT] => |app| pan(app, 0, -1);
        /// Pan the map right
        PAN_RIGHT ["shift-right"] => |app| pan(app, 0, 1);
        /// Pan the map up
        PAN_UP ["shift-up"] => |app| pan(app, -1, 0);
        /// Pan the map down
        PAN_DOWN ["shift-down"] => |app| pan(app, 1, 0);
        /// Zoom in
        ZOOM_IN ["+" "="] "zoom" with [ZOOM_OUT] => |app| zoom(app, true);
        /// Zoom out
        ZOOM_OUT ["-"] => |app| zoom(app, false);
        /// Fit the whole map
        ZOOM_FIT ["0"] "fit" => |app| app.view.zoom = Zoom::Fit;
        /// Jump to the strongest cell of the query
        MAP_PEAK ["enter"] "strongest" if has_peak => peak;
        /// Pin the key token, so that it is never masked, or unpin it
        MAP_PIN ["space"] => tokens::pin;
    }
}

fn next_kind(app: &mut App) {
    app.history.joins(EditKind::View);
    app.doc.map = app.doc.map.next();
    if app.doc.map == MapKind::Intervened && app.doc.interventions.list.is_empty() {
        app.doc.map = app.doc.map.next();
    }
}

fn next_colours(app: &mut App) {
    app.view.colours = app.view.colours.next();
    app.say(format!("Colours {}", app.view.colours.doc()));
}

/// Moves the crosshair by tokens.
fn go(app: &mut App, queries: isize, keys: isize) {
    crosshair(app, app.view.query.saturating_add_signed(queries), app.view.key.saturating_add_signed(keys));
}

pub fn crosshair(app: &mut App, query: usize, key: usize) {
    let last = app.results.len().saturating_sub(1);
    app.view.placed = true;
    app.view.query = query.min(last);
    app.view.key = key.min(last);
    // What a row reads is read to predict what follows it.
    app.view.position = Some(app.view.query);
}

/// A difference has no strongest cell worth a jump.
fn has_peak(app: &App) -> bool {
    app.results.map.is_some() && app.doc.map != MapKind::Difference
}

/// The strongest finite cell of the query's row.
fn peak(app: &mut App) {
    let Some(map) = app.results.map.as_ref().map(|m| &m.value.frame) else { return };
    let (q, n) = (app.view.query, map.len);
    if q >= n || map.values.len() < n * n {
        return;
    }
    let row = &map.values[q * n..q * n + q + 1];
    let best =
        row.iter().enumerate().filter(|(_, v)| v.is_finite()).max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    if let Some((k, _)) = best {
        crosshair(app, q, k);
    }
}

/// Moves the map under the crosshair, which keeps its place on screen where it can.
pub fn pan(app: &mut App, queries: i64, keys: i64) {
    let Some(room) = room(app) else { return };
    let layout = |origin| view::layout(app.results.len(), room, app.view.zoom, origin);
    let v = layout(app.view.origin);
    let (q0, k0) = (v.queries.start, v.keys.start);
    let moved = layout((q0.saturating_add_signed(queries as isize), k0.saturating_add_signed(keys as isize)));
    app.view.origin = (moved.queries.start, moved.keys.start);
    go(app, moved.queries.start as isize - q0 as isize, moved.keys.start as isize - k0 as isize);
}

fn zoom(app: &mut App, inwards: bool) {
    let Some(room) = room(app) else { return };
    let n = app.results.len();
    let before = view::layout(n, room, app.view.zoom, app.view.origin);
    let next = view::step(&before, app.view.zoom, inwards);
    if !inwards {
        let v = view::layout(n, room, next, (0, 0));
        if v.keys.visible() >= n && v.queries.visible() >= n && before.keys.visible() >= n {
            app.view.zoom = Zoom::Fit;
            return;
        }
    }
    app.view.zoom = next;
    // Keep the crosshair in the middle: it is what a person looks at.
    let v = view::layout(n, room, next, app.view.origin);
    app.view.origin = (
        app.view.query.saturating_sub(v.queries.visible() / 2),
        app.view.key.saturating_sub(v.keys.visible() / 2),
    );
}

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
    view::layout(n, frame.room(), app.view.zoom, app.view.origin)
}

/// The frame's title: which run, which heads.
pub fn subtitle(app: &App) -> Vec<TitlePart> {
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
        out.push(TitlePart::new("old, computing…", Role::Warn));
    }
    out.push(TitlePart::new(
        kind_name(kind),
        if kind == MapKind::Baseline { Role::Protected } else { Role::Masked },
    ));
    out.push(TitlePart::new(heads_name(app, heads), Role::Strong));
    let shown = app.area(&PANE).map(|area| view(app, &frame(app, area)));
    if let Some((keys, queries)) = shown.as_ref().and_then(view::pooled) {
        out.push(TitlePart::new(format!("a cell: the most of {keys}×{queries}"), Role::Dim));
    }
    out
}

/// The words for what is shown.
pub fn kind_name(kind: MapKind) -> &'static str {
    match kind {
        MapKind::Masked => "masked run",
        MapKind::Baseline => "baseline",
        MapKind::Difference => "masked − baseline",
        MapKind::Intervened => "intervened run",
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
    let painter = Painter { app, map, view, frame, scale: CellScale::of(app, map, &view) };
    painter.cells(c);
    painter.diagonal(c);
    painter.rows(c);
    painter.columns(c);
    if let Some(free) = painter.free() {
        painter.reads(c, free);
    }
    if app.stale(shown) {
        c.fade(Rect { height: area.height - frame.footer, ..area });
    }
    painter.footer(c, area);
}

fn settle(app: &mut App, area: Option<Rect>) {
    let last = app.results.len().saturating_sub(1);
    app.view.key = app.view.key.min(last);
    app.view.query = app.view.query.min(last);
    let Some(room) = area.map(|area| frame(app, area).room()) else { return };
    let v = view::layout(app.results.len(), room, app.view.zoom, app.view.origin);
    app.view.origin = (
        view::follow(&v.queries, v.queries.start, app.view.query),
        view::follow(&v.keys, v.keys.start, app.view.key),
    );
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    let at = (press.x, press.y);
    if app.view.overview {
        overview::press(app, area, press);
        return None;
    }
    point(app, area, at);
    if press.double {
        app.act(interventions::toggle_edge);
        return None;
    }
    Some(Box::new(point))
}

/// Puts the crosshair on a cell.
fn point(app: &mut App, area: Rect, (x, y): (u16, u16)) {
    let frame = frame(app, area);
    if let Some((query, key)) = frame.at(&view(app, &frame), x, y) {
        app.act(|app| crosshair(app, query, key));
    }
}

/// The right button pulls the map along.
fn pull(app: &App, from: (u16, u16)) -> Option<Drag> {
    let mut held = from;
    let drag = move |app: &mut App, area: Rect, at: (u16, u16)| {
        let (keys, queries) = tokens_dragged(app, area, held, at);
        if (keys, queries) != (0, 0) {
            held = at;
            app.act(|app| pan(app, queries, keys));
        }
    };
    (!app.view.overview).then(|| Box::new(drag) as Drag)
}

/// How many tokens (keys, queries) the map moves when dragged from one cell to another.
fn tokens_dragged(app: &App, area: Rect, from: (u16, u16), to: (u16, u16)) -> (i64, i64) {
    let frame = frame(app, area);
    let view = view(app, &frame);
    let per_line = frame.room().per_line as i64;
    let moved = |a: u16, b: u16, pixels: i64, axis: &Axis| {
        let px = (i64::from(a) - i64::from(b)) * pixels;
        if axis.pixels > 0 {
            px / axis.pixels as i64
        } else {
            px * axis.span as i64 / axis.size.max(1) as i64
        }
    };
    (moved(from.0, to.0, 1, &view.keys), moved(from.1, to.1, per_line, &view.queries))
}

fn wheel(app: &mut App, _: Rect, wheel: Wheel) {
    let by = 2 * wheel.by;
    match wheel {
        _ if app.view.overview && wheel.sideways => {}
        _ if app.view.overview && wheel.by < 0 => app.act(overview::HEAD_UP.run),
        _ if app.view.overview => app.act(overview::HEAD_DOWN.run),
        Wheel { sideways: true, .. } => app.act(|app| pan(app, 0, by)),
        Wheel { control: true, .. } => app.act(if by < 0 { ZOOM_IN.run } else { ZOOM_OUT.run }),
        Wheel { shift: true, .. } => app.act(|app| pan(app, 0, by)),
        _ => app.act(|app| pan(app, by, 0)),
    }
}

/// How much of the map fits, while it is on screen.
pub fn room(app: &App) -> Option<Room> {
    app.area(&PANE).map(|area| frame(app, area).room())
}

#[cfg(test)]
mod tests;
