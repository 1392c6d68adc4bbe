//! Which layer and head are looked at, and the overview of all of them.

use crate::app::actions::actions;
use crate::app::history::Kind;
use crate::app::overview;
use crate::app::state::{App, Pane};
use crate::engine::types::MapKind;

actions! {
    Explore {
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
    Overview {
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
        /// Next order: place, sink, entropy, previous token, induction, mask mass
        SORT_HEADS ["k"] "sort" => sort;
    }
}

fn toggle(app: &mut App) {
    app.view.overview = !app.view.overview;
    app.focus(Pane::Map);
}

/// Layers run 0, 1, …, mean, and round again.
fn step_layer(app: &mut App, forward: bool) {
    app.history.joins(Kind::View);
    let Some(model) = &app.model else { return };
    app.doc.heads.layer = around(app.doc.heads.layer, model.n_layer, forward);
    app.view.overview = false;
}

/// Heads do the same.
fn step_head(app: &mut App, forward: bool) {
    app.history.joins(Kind::View);
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
    let natural = app.model.as_ref().map_or(1, |m| m.n_head);
    let Some(room) = app.geometry().overview else { return };
    let per_row = overview::grid(heads, natural, room).per_row as isize;
    let place = app.view.head.checked_add_signed(rows * per_row).filter(|p| *p < heads);
    choose(app, place.unwrap_or(app.view.head), false);
}

fn open_chosen(app: &mut App) {
    app.history.joins(Kind::View);
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
        let chosen = &heads[overview::order(&heads, app.view.sort)[app.view.head]];
        app.doc.heads.layer = Some(chosen.layer);
        app.doc.heads.head = Some(chosen.head);
        app.view.overview = false;
        if app.doc.map == MapKind::Difference {
            app.doc.map = MapKind::Masked;
        }
        app.focus(Pane::Map);
    }
}
