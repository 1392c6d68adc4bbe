//! All layers × heads as thumbnails, in the chosen order; and which layer and head the map shows.

pub mod order;

use ratatui::layout::Rect;

use crate::engine::types::{HeadSummary, MapKind};
use crate::screen::actions::{Context, EXPLORER, actions};
use crate::screen::app::App;
use crate::screen::explore::map;
use crate::screen::explore::overview::order::{Grid, Sort, by_place, grid, order};
use crate::screen::history::EditKind;
use crate::screen::pane::{Press, TitlePart, empty_text};
use crate::screen::settle::scrolled;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::screen::widgets::thumbnail;

/// The grid of all heads.
pub const CONTEXT: Context = Context("Overview of heads");

actions! {
    EXPLORER {
        /// Next layer (after the last one: the mean over layers)
        NEXT_LAYER ["l"] "layer" => |app| step_layer(app, true);
        /// Previous layer
        PREVIOUS_LAYER ["L"] => |app| step_layer(app, false);
        /// Next head (after the last one: the mean over heads)
        NEXT_HEAD ["h"] "head" => |app| step_head(app, true);
        /// Previous head
        PREVIOUS_HEAD ["H"] => |app| step_head(app, false);
        /// Show all layers × heads as thumbnails, or go back to the map
        OVERVIEW ["o"] "all heads" => toggle;
    }
    CONTEXT {
        /// Choose the thumbnail to the left
        HEAD_LEFT ["left"] "choose" with [HEAD_UP HEAD_DOWN HEAD_RIGHT] => |app| go(app, -1);
        /// Choose the thumbnail to the right
        HEAD_RIGHT ["right"] => |app| go(app, 1);
        /// Choose the thumbnail above
        HEAD_UP ["up"] => |app| go_rows(app, -1);
        /// Choose the thumbnail below
        HEAD_DOWN ["down"] => |app| go_rows(app, 1);
        /// Choose the first thumbnail
        HEAD_FIRST ["home"] => |app| choose(app, 0, false);
        /// Choose the last thumbnail
        HEAD_LAST ["end"] => |app| choose(app, usize::MAX, false);
        /// Open the chosen head in the map
        HEAD_OPEN ["enter"] "open" => open_chosen;
        /// Next order: induction, mask mass, place, sink, entropy, previous token
        SORT_HEADS ["k"] "sort" => sort;
    }
}

fn toggle(app: &mut App) {
    app.view.overview = !app.view.overview;
    app.focus(&map::PANE);
}

/// Layers run 0, 1, …, mean, and round again.
fn step_layer(app: &mut App, forward: bool) {
    app.history.joins(EditKind::View);
    let Some(model) = &app.model else { return };
    app.doc.heads.layer = around(app.doc.heads.layer, model.n_layer, forward);
    app.view.overview = false;
}

/// Heads do the same.
fn step_head(app: &mut App, forward: bool) {
    app.history.joins(EditKind::View);
    let Some(model) = &app.model else { return };
    app.doc.heads.head = around(app.doc.heads.head, model.n_head, forward);
    app.view.overview = false;
}

fn around(now: Option<usize>, n: usize, forward: bool) -> Option<usize> {
    let slot = now.map_or(n, |i| i.min(n)) + if forward { 1 } else { n };
    Some(slot % (n + 1)).filter(|i| *i < n)
}

/// Chooses a thumbnail further on.
fn go(app: &mut App, by: isize) {
    choose(app, app.view.head.saturating_add_signed(by), false);
}

/// Chooses a thumbnail rows further down, where there is one.
fn go_rows(app: &mut App, rows: isize) {
    let heads = app.results.overview.as_ref().map_or(0, |o| o.value.len());
    let Some(area) = app.area(&map::PANE) else { return };
    let per_row = layout(app, area, heads).per_row as isize;
    let place = app.view.head.checked_add_signed(rows * per_row).filter(|p| *p < heads);
    choose(app, place.unwrap_or(app.view.head), false);
}

fn open_chosen(app: &mut App) {
    app.history.joins(EditKind::View);
    choose(app, app.view.head, true);
}

fn sort(app: &mut App) {
    app.view.sort = app.view.sort.next();
    app.view.head = 0;
    app.say(format!("Heads {}", app.view.sort.doc()));
}

/// Chooses a thumbnail by its place in the current order, and opens it in the map if asked.
pub fn choose(app: &mut App, place: usize, open: bool) {
    let Some(heads) = app.results.overview.as_ref().map(|o| o.value.clone()) else { return };
    if heads.is_empty() {
        return;
    }
    app.view.head = place.min(heads.len() - 1);
    if open {
        let chosen = &heads[order(&heads, app.view.sort)[app.view.head]];
        app.doc.heads.layer = Some(chosen.layer);
        app.doc.heads.head = Some(chosen.head);
        app.view.overview = false;
        if app.doc.map == MapKind::Difference {
            app.doc.map = MapKind::Masked;
        }
        app.focus(&map::PANE);
    }
}

/// The chosen head: its layer and its number.
pub fn chosen(app: &App) -> Option<(usize, usize)> {
    let heads = &app.results.overview.as_ref()?.value;
    let head = heads.get(*order(heads, app.view.sort).get(app.view.head)?)?;
    Some((head.layer, head.head))
}

/// Columns and lines for thumbnails: all but the last line, which names the chosen head's numbers.
pub fn room(area: Rect) -> (usize, usize) {
    (area.width as usize, area.height.saturating_sub(1) as usize)
}

/// In the order of layers and heads all are one grid; in any other order each says which it is.
fn layout(app: &App, area: Rect, n: usize) -> Grid {
    let heads = app.model.as_ref().map_or(1, |m| m.n_head).max(1);
    match app.view.sort {
        Sort::Place => by_place(n.div_ceil(heads), heads, room(area)),
        _ => grid(n, heads, room(area)),
    }
}

/// The first column on screen: that of the chosen head is in view.
fn first_column(app: &App, g: &Grid) -> usize {
    (app.view.head % g.per_row.max(1) + 1).saturating_sub(g.visible_columns.max(1))
}

/// The thumbnail (its place in the order) at a cell of the screen.
pub fn place_at(app: &App, area: Rect, x: u16, y: u16) -> Option<usize> {
    let n = app.results.overview.as_ref()?.value.len();
    let g = layout(app, area, n);
    let (dx, dy) = (x.checked_sub(area.x)? as usize, y.checked_sub(area.y)? as usize);
    let (dx, dy) = (dx.checked_sub(g.margin.0)?, dy.checked_sub(g.margin.1)?);
    let (column, row) = (dx / g.cell.0 + first_column(app, &g), dy / g.cell.1);
    let place = (app.view.head_top + row) * g.per_row + column;
    (column < g.per_row && row < g.visible && place < n).then_some(place)
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let mut out =
        vec![TitlePart::new("all heads", Role::Strong), TitlePart::new(app.view.sort.doc(), Role::Accent)];
    if let Some(cut) = cut(app) {
        out.insert(0, TitlePart::new(cut, Role::Warn));
    }
    if app.results.overview.as_ref().is_some_and(|o| app.stale(o)) {
        out.push(TitlePart::new("old, computing…", Role::Warn));
    }
    out
}

/// What of the grid is on screen, where not all of it is.
fn cut(app: &App) -> Option<String> {
    let n = app.results.overview.as_ref()?.value.len();
    let g = layout(app, app.area(&map::PANE)?, n);
    let (top, left) = (app.view.head_top, first_column(app, &g));
    let rows = (g.visible < g.rows).then(|| (top + 1, (top + g.visible).min(g.rows), g.rows));
    let columns = (g.visible_columns < g.per_row).then(|| (left + 1, left + g.visible_columns, g.per_row));
    let say = |what: &str, span: Option<(usize, usize, usize)>| {
        span.map(|(from, to, of)| format!("{what} {from}–{to} of {of}"))
    };
    let row = if app.view.sort == Sort::Place { "layers" } else { "rows" };
    let parts: Vec<String> = [say(row, rows), say("heads", columns)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let Some(slot) = app.results.overview.as_ref().filter(|o| !o.value.is_empty()) else {
        empty_text(c, app, area, "All heads appear here");
        return;
    };
    let heads = &slot.value;
    let g = layout(app, area, heads.len());
    let order = order(heads, app.view.sort);
    let left = first_column(app, &g);
    for (i, index) in order.iter().enumerate() {
        let (row, column) = (i / g.per_row, i % g.per_row);
        let (Some(row), Some(column)) = (row.checked_sub(app.view.head_top), column.checked_sub(left)) else {
            continue;
        };
        if row >= g.visible || column >= g.visible_columns {
            continue;
        }
        let x = area.x + (g.margin.0 + column * g.cell.0) as u16;
        let y = area.y + (g.margin.1 + row * g.cell.1) as u16;
        let cell = Rect::new(x, y, g.cell.0 as u16, g.cell.1 as u16).intersection(area);
        if cell.is_empty() {
            continue;
        }
        let chosen = i == app.view.head;
        if app.view.sort == Sort::Place {
            placed(c, app, &heads[*index], (cell, g), chosen);
        } else {
            labelled(c, app, &heads[*index], cell, chosen);
        }
    }
    if app.stale(slot) {
        c.fade(area);
    }
    if let Some(chosen) = order.get(app.view.head) {
        numbers(c, &heads[*chosen], area);
    }
}

/// Whether the map shows this head.
fn shown(app: &App, head: &HeadSummary) -> bool {
    app.doc.heads.layer == Some(head.layer) && app.doc.heads.head == Some(head.head)
}

/// A picture in the grid of layers and heads; the names of both stand at its edges.
fn placed(c: &mut Canvas, app: &App, head: &HeadSummary, (cell, g): (Rect, Grid), chosen: bool) {
    let style = match (chosen, shown(app, head)) {
        (true, _) => c.theme.selected(),
        (_, true) => c.theme.bold(Role::Accent),
        _ => c.style(Role::Dim),
    };
    let (layer, name) = (format!("L{}", head.layer), format!("{}", head.head));
    let top = cell.y - ((app_row(app, head) * g.cell.1) + g.margin.1) as u16;
    if chosen || head.head == first_column(app, &g) || shown(app, head) {
        c.text(cell.x - cell_left(app, head, &g), cell.y, &layer, style, g.margin.0 as u16 - 1);
    }
    if chosen || app_row(app, head) == 0 || shown(app, head) {
        let named = if g.cell.0 >= 5 { format!("H{name}") } else { name };
        c.text(cell.x, top, &named, style, (g.cell.0 as u16).max(2));
    }
    let gap = u16::from(g.cell.0 > 2);
    let below = u16::from(g.cell.1 > 3);
    picture(
        c,
        head,
        Rect { width: cell.width.saturating_sub(gap), height: cell.height.saturating_sub(below), ..cell },
    );
    if chosen && gap > 0 {
        c.put(
            cell.right().saturating_sub(1),
            cell.y,
            if c.ascii() { "<" } else { "◂" },
            c.theme.bold(Role::Accent),
        );
    }
}

/// The row of a layer on screen.
fn app_row(app: &App, head: &HeadSummary) -> usize {
    head.layer.saturating_sub(app.view.head_top)
}

/// Columns from the pane's left edge to a head's picture.
fn cell_left(app: &App, head: &HeadSummary, g: &Grid) -> u16 {
    (g.margin.0 + (head.head - first_column(app, g)) * g.cell.0) as u16
}

/// Label above, picture below; the label of the chosen one is inverted and has a marker.
fn labelled(c: &mut Canvas, app: &App, head: &HeadSummary, cell: Rect, chosen: bool) {
    let width = cell.width.saturating_sub(1);
    let label = label(head, app.view.sort, (width as usize, chosen));
    let style = match (chosen, shown(app, head)) {
        (true, _) => c.theme.selected(),
        (_, true) => c.theme.bold(Role::Accent),
        _ => c.style(Role::Dim),
    };
    if chosen {
        c.restyle(Rect { width, height: 1, ..cell }, style);
    }
    c.text(cell.x, cell.y, &label, style, width);
    picture(c, head, Rect { y: cell.y + 1, width, height: cell.height.saturating_sub(1), ..cell });
}

/// The longest form of a head's name and number that fits; a number is never cut.
fn label(head: &HeadSummary, sort: Sort, (width, chosen): (usize, bool)) -> String {
    let (l, h) = (head.layer, head.head);
    let value = |digits: usize| sort.value(head).map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    let short = |digits: usize| value(digits).trim_start_matches('0').to_owned();
    let mark = if chosen { "▸" } else { " " };
    let forms = [
        format!("{mark}L{l} H{h} {}", value(2)),
        format!("{mark}{l}·{h} {}", short(2)),
        format!("{l}·{h} {}", short(2)),
        format!("{l}·{h} {}", short(1)),
    ];
    let fits = |form: &String| crate::support::visible::width(form) <= width;
    forms.into_iter().find(fits).unwrap_or_else(|| format!("{l}·{h}"))
}

fn picture(c: &mut Canvas, head: &HeadSummary, area: Rect) {
    thumbnail::draw(c, (head.side, &head.thumbnail), area);
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

pub(super) fn settle(app: &mut App, area: Option<Rect>) {
    let Some(heads) = app.results.overview.as_ref().map(|o| o.value.len()) else { return };
    app.view.head = app.view.head.min(heads.saturating_sub(1));
    if let Some(area) = area {
        let grid = layout(app, area, heads);
        let row = app.view.head / grid.per_row;
        app.view.head_top = scrolled(app.view.head_top, row, grid.rows, grid.visible);
    }
}

pub(super) fn press(app: &mut App, area: Rect, press: Press) {
    if let Some(place) = place_at(app, area, press.x, press.y) {
        let open = press.double || place == app.view.head;
        app.act(|app| choose(app, place, open));
    }
}

#[cfg(test)]
mod tests;
