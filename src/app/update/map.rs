//! The attention map: its crosshair, what part of it is shown, and in which colours.

use crate::app::actions::actions;
use crate::app::history::Kind;
use crate::app::mapview::{self, Zoom};
use crate::app::state::App;
use crate::app::update::tokens;
use crate::engine::types::MapKind;

actions! {
    Explore {
        /// Show the masked run, the baseline, or their difference
        MAP_KIND ["m"] "masked/base/diff" => next_kind;
        /// Next colour scale: sqrt, linear, log, row-max
        COLOUR_SCALE ["c"] => next_colours;
    }
    Map {
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
    app.history.joins(Kind::View);
    app.doc.map = app.doc.map.next();
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
    let Some(room) = app.geometry().map else { return };
    let layout = |origin| mapview::layout(app.results.len(), room, app.view.zoom, origin);
    let v = layout(app.view.origin);
    let (q0, k0) = (v.queries.start, v.keys.start);
    let moved = layout((q0.saturating_add_signed(queries as isize), k0.saturating_add_signed(keys as isize)));
    app.view.origin = (moved.queries.start, moved.keys.start);
    go(app, moved.queries.start as isize - q0 as isize, moved.keys.start as isize - k0 as isize);
}

fn zoom(app: &mut App, inwards: bool) {
    let Some(room) = app.geometry().map else { return };
    let n = app.results.len();
    let before = mapview::layout(n, room, app.view.zoom, app.view.origin);
    let next = mapview::step(&before, app.view.zoom, inwards);
    if !inwards {
        let v = mapview::layout(n, room, next, (0, 0));
        if v.keys.visible() >= n && v.queries.visible() >= n && before.keys.visible() >= n {
            app.view.zoom = Zoom::Fit;
            return;
        }
    }
    app.view.zoom = next;
    // Keep the crosshair in the middle: it is what a person looks at.
    let v = mapview::layout(n, room, next, app.view.origin);
    app.view.origin = (
        app.view.query.saturating_sub(v.queries.visible() / 2),
        app.view.key.saturating_sub(v.keys.visible() / 2),
    );
}
