//! Actions on the token strip, the map and the overview.

use crate::app::actions::Verb;
use crate::app::mapview::{self, MapView, Zoom};
use crate::app::state::{App, Pane};
use crate::app::update::focus;
use crate::app::{overview, strip};
use crate::engine::types::MapKind;
use crate::mask::types::State;

/// Performs an action of these panes; says whether it was one.
pub fn perform(app: &mut App, verb: Verb) -> bool {
    use Verb as V;
    let (q, k, last) = (app.view.query, app.view.key, app.results.len().saturating_sub(1));
    let columns = app.geometry.strip_columns;
    match verb {
        V::TokenPrevious | V::PanelTokenPrevious => select_token(app, k.saturating_sub(1)),
        V::TokenNext | V::PanelTokenNext => select_token(app, k + 1),
        V::TokenUp => select_token(app, strip::beside(app.results.tokens(), columns, k, false)),
        V::TokenDown => select_token(app, strip::beside(app.results.tokens(), columns, k, true)),
        V::TokenFirst => select_token(app, 0),
        V::TokenLast => select_token(app, last),
        V::NextMasked => next_masked(app, true),
        V::PreviousMasked => next_masked(app, false),
        V::Pin | V::MapPin => pin(app),
        V::MapLeft => crosshair(app, q, k.saturating_sub(1)),
        V::MapRight => crosshair(app, q, k + 1),
        V::MapUp => crosshair(app, q.saturating_sub(1), k),
        V::MapDown => crosshair(app, q + 1, k),
        V::MapFirst => crosshair(app, q, 0),
        V::MapLast => crosshair(app, q, q),
        V::MapPageUp => crosshair(app, q.saturating_sub(8), k),
        V::MapPageDown => crosshair(app, q + 8, k),
        V::MapPeak => peak(app),
        V::PanLeft => pan(app, 0, -1),
        V::PanRight => pan(app, 0, 1),
        V::PanUp => pan(app, -1, 0),
        V::PanDown => pan(app, 1, 0),
        V::ZoomIn => zoom(app, true),
        V::ZoomOut => zoom(app, false),
        V::ZoomFit => app.view.zoom = Zoom::Fit,
        V::MapKind => app.doc.map = app.doc.map.next(),
        V::ColourScale => {
            app.view.colours = app.view.colours.next();
            app.say(format!("Colours {}", app.view.colours.doc()));
        }
        V::NextLayer | V::PreviousLayer | V::NextHead | V::PreviousHead => step_head(app, verb),
        V::Overview => {
            app.view.overview = !app.view.overview;
            focus(app, Pane::Map);
        }
        _ => return perform_overview(app, verb),
    }
    true
}

fn perform_overview(app: &mut App, verb: Verb) -> bool {
    use Verb as V;
    let heads = app.results.overview.as_ref().map_or(0, |o| o.value.len());
    let natural = app.model.as_ref().map_or(1, |m| m.n_head);
    let row = overview::grid(heads, natural, app.geometry.overview).per_row;
    let here = app.view.head;
    match verb {
        V::HeadLeft => choose_head(app, here.saturating_sub(1), false),
        V::HeadRight => choose_head(app, here + 1, false),
        V::HeadUp => choose_head(app, if here >= row { here - row } else { here }, false),
        V::HeadDown => choose_head(app, if here + row < heads { here + row } else { here }, false),
        V::HeadFirst => choose_head(app, 0, false),
        V::HeadLast => choose_head(app, heads, false),
        V::HeadOpen => choose_head(app, here, true),
        V::SortHeads => {
            app.view.sort = app.view.sort.next();
            app.view.head = 0;
            app.say(format!("Heads {}", app.view.sort.doc()));
        }
        _ => return false,
    }
    true
}

/// Selects a token: the key of the crosshair, with a query that can see it.
pub fn select_token(app: &mut App, token: usize) {
    app.view.placed = true;
    app.view.key = token.min(app.results.len().saturating_sub(1));
    app.view.query = app.view.query.max(app.view.key);
}

pub fn crosshair(app: &mut App, query: usize, key: usize) {
    let last = app.results.len().saturating_sub(1);
    app.view.placed = true;
    app.view.query = query.min(last);
    app.view.key = key.min(last);
}

fn next_masked(app: &mut App, forward: bool) {
    let Some(decision) = app.results.decision() else { return };
    let n = decision.positions.len();
    let masked = |i: &usize| decision.positions[*i].state == State::Masked;
    let step = |d: usize| if forward { (app.view.key + d) % n } else { (app.view.key + n - d % n) % n };
    let found = (1..=n).map(step).find(masked);
    match found {
        Some(i) => select_token(app, i),
        None => app.say("No token is masked"),
    }
}

fn pin(app: &mut App) {
    let i = app.view.key;
    if i >= app.results.len() {
        return;
    }
    app.view.placed = true;
    app.doc.toggle_pin(i);
    let on = app.doc.mask.pinned.iter().any(|r| r.contains(&i));
    app.say(if on {
        format!("Token {i} pinned: never masked")
    } else {
        format!("Token {i} no longer pinned")
    });
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

fn view(app: &App) -> MapView {
    mapview::layout(app.results.len(), app.geometry.map, app.view.zoom, app.view.origin)
}

/// Moves the map under the crosshair, which keeps its place on screen where it can.
pub fn pan(app: &mut App, queries: i64, keys: i64) {
    let v = view(app);
    let (q0, k0) = (v.queries.start, v.keys.start);
    let wanted = (q0.saturating_add_signed(queries as isize), k0.saturating_add_signed(keys as isize));
    let moved = mapview::layout(app.results.len(), app.geometry.map, app.view.zoom, wanted);
    app.view.origin = (moved.queries.start, moved.keys.start);
    let (dq, dk) = (moved.queries.start as isize - q0 as isize, moved.keys.start as isize - k0 as isize);
    crosshair(app, app.view.query.saturating_add_signed(dq), app.view.key.saturating_add_signed(dk));
}

fn zoom(app: &mut App, inwards: bool) {
    let before = view(app);
    let next = mapview::step(&before, app.view.zoom, inwards);
    let n = app.results.len();
    if !inwards {
        let v = mapview::layout(n, app.geometry.map, next, (0, 0));
        if v.keys.visible() >= n && v.queries.visible() >= n && before.keys.visible() >= n {
            app.view.zoom = Zoom::Fit;
            return;
        }
    }
    app.view.zoom = next;
    // Keep the crosshair in the middle: it is what a person looks at.
    let v = mapview::layout(n, app.geometry.map, next, app.view.origin);
    app.view.origin = (
        app.view.query.saturating_sub(v.queries.visible() / 2),
        app.view.key.saturating_sub(v.keys.visible() / 2),
    );
}

/// Layers and heads run 0, 1, …, mean, and round again.
fn step_head(app: &mut App, verb: Verb) {
    let Some(model) = &app.model else { return };
    let next = |now: Option<usize>, n: usize, forward: bool| {
        let slot = now.map_or(n, |i| i.min(n)) + if forward { 1 } else { n };
        Some(slot % (n + 1)).filter(|i| *i < n)
    };
    let forward = matches!(verb, Verb::NextLayer | Verb::NextHead);
    if matches!(verb, Verb::NextLayer | Verb::PreviousLayer) {
        app.doc.heads.layer = next(app.doc.heads.layer, model.n_layer, forward);
    } else {
        app.doc.heads.head = next(app.doc.heads.head, model.n_head, forward);
    }
    app.view.overview = false;
}

/// Chooses a thumbnail by its place in the current order, and opens it in the map if asked.
pub fn choose_head(app: &mut App, place: usize, open: bool) {
    let Some(heads) = app.results.overview.as_ref().map(|o| o.value.clone()) else { return };
    if heads.is_empty() {
        return;
    }
    app.view.head = place.min(heads.len() - 1);
    if open {
        let chosen = &heads[overview::order(&heads, app.view.sort)[app.view.head]];
        app.doc.heads.layer = Some(chosen.layer);
        app.doc.heads.head = Some(chosen.head);
        app.view.overview = false;
        if app.doc.map == MapKind::Difference {
            app.doc.map = MapKind::Masked;
        }
        focus(app, Pane::Map);
    }
}
