//! Changes of the stack: what is added, switched, scaled and removed.

use std::sync::Arc;

use super::PANE;
use crate::engine::types::{HeadSet, Intervention, MapKind, PositionSpan, StackItem};
use crate::screen::app::App;
use crate::screen::explore::overview;
use crate::screen::general::UNDO;

/// Steps of a gate.
const STEP: f32 = 0.1;
/// The largest factor of a gate.
const MOST: f32 = 2.0;

pub(super) fn has_items(app: &App) -> bool {
    !app.doc.interventions.list.is_empty()
}

/// The head that is shown, or chosen among all.
fn head(app: &App) -> Option<(usize, usize)> {
    if app.view.overview {
        return overview::chosen(app);
    }
    app.doc.heads.layer.zip(app.doc.heads.head)
}

pub(super) fn has_head(app: &App) -> bool {
    head(app).is_some()
}

fn shown_heads(app: &App) -> HeadSet {
    HeadSet { layer: app.doc.heads.layer, head: app.doc.heads.head }
}

fn list(app: &mut App) -> &mut Vec<StackItem> {
    &mut Arc::make_mut(&mut app.doc.interventions).list
}

/// Takes an intervention into the stack, or out of it; the map then shows the run under the stack.
pub(super) fn toggle(app: &mut App, what: Intervention) {
    let known = app.doc.interventions.list.iter().position(|item| item.what == what);
    let undo = app.key_label(&UNDO);
    match known {
        Some(at) => {
            list(app).remove(at);
            if !has_items(app) && app.doc.map == MapKind::Intervened {
                app.doc.map = MapKind::Masked;
            }
            app.say(format!("Put back: {what}; {undo} brings the intervention back"));
        }
        None => {
            add(app, what);
            app.say(format!("{}; {undo} undoes it", words(app, &what)));
        }
    }
}

/// Puts an intervention on top of the stack; the map then shows the run under the stack.
pub(super) fn add(app: &mut App, what: Intervention) {
    let known = app.doc.interventions.list.iter().position(|item| item.what == what);
    let at = known.unwrap_or(app.doc.interventions.list.len());
    match known {
        Some(at) => list(app)[at].on = true,
        None => list(app).push(StackItem { what, on: true }),
    }
    app.view.intervention = at;
    app.view.patches = false;
    app.doc.map = MapKind::Intervened;
    app.raise(&PANE);
}

/// A token with its position, as a person reads it.
fn named(app: &App, position: usize) -> String {
    let token = app.results.tokens().get(position);
    token.map_or_else(|| position.to_string(), |t| format!("{position} “{}”", t.display))
}

/// What an intervention does, in words.
pub(super) fn words(app: &App, what: &Intervention) -> String {
    let place = |set: &HeadSet| match (set.layer, set.head) {
        (None, None) => "every head".to_owned(),
        (Some(l), None) => format!("layer {l}"),
        (None, Some(h)) => format!("head {h} of every layer"),
        (Some(l), Some(h)) => format!("head {l}.{h}"),
    };
    let span = |span: &Option<PositionSpan>, all: &str| match span {
        None => all.to_owned(),
        Some(s) if s.first == s.last => named(app, s.first),
        Some(s) => format!("{} to {}", s.first, s.last),
    };
    match what {
        Intervention::Block { heads, queries, keys } => format!(
            "Query {} does not read {} in {}",
            span(queries, "of any later token"),
            span(keys, "what comes before it"),
            place(heads)
        ),
        Intervention::Gate { layer, head, factor: 0.0 } => format!("Head {layer}.{head} is taken out"),
        Intervention::Gate { layer, head, factor } => {
            format!("The output of head {layer}.{head} times {factor}")
        }
        Intervention::Mean { layer, head } => {
            format!("Head {layer}.{head} gives its mean over the positions up to each query")
        }
        Intervention::Patch { layer, head: None, positions } => format!(
            "What goes into {} at {} comes from the other text",
            place(&HeadSet { layer: *layer, head: None }),
            span(positions, "every position")
        ),
        Intervention::Patch { layer, head, positions } => format!(
            "The output of {} at {} comes from the other text",
            place(&HeadSet { layer: *layer, head: *head }),
            span(positions, "every position")
        ),
    }
}

/// The cell under the crosshair, in the heads that the map shows.
pub fn toggle_edge(app: &mut App) {
    let (query, key) = (app.view.query, app.view.key);
    if app.results.is_empty() {
        return app.say("Type a text first");
    }
    if key > query {
        return app.say("No query reads a later key: move the crosshair to the left of the diagonal");
    }
    if query == 0 {
        return app.say("Query 0 has one key only, itself: without it, it would have nothing to read");
    }
    let (queries, keys) = (Some(PositionSpan::one(query)), Some(PositionSpan::one(key)));
    toggle(app, Intervention::Block { heads: shown_heads(app), queries, keys });
}

/// The column under the crosshair.
pub(super) fn toggle_key(app: &mut App) {
    let key = app.view.key;
    if key + 1 >= app.results.len() {
        return app.say("No later query reads the last token");
    }
    let keys = Some(PositionSpan::one(key));
    toggle(app, Intervention::Block { heads: shown_heads(app), queries: None, keys });
}

pub(super) fn toggle_head(app: &mut App) {
    let Some((layer, head)) = head(app) else {
        return app.say("Show one head first: the mean over heads is no head");
    };
    toggle(app, Intervention::Gate { layer, head, factor: 0.0 });
}

pub(super) fn step(app: &mut App, by: isize) {
    app.view.intervention = app.view.intervention.saturating_add_signed(by);
}

/// The item under the cursor.
fn current(app: &mut App) -> Option<&mut StackItem> {
    let at = app.view.intervention;
    // Without this, looking would count as a change.
    (at < app.doc.interventions.list.len()).then(|| &mut list(app)[at])
}

pub(super) fn switch(app: &mut App) {
    if let Some(item) = current(app) {
        item.on = !item.on;
    }
}

pub(super) fn remove(app: &mut App) {
    let at = app.view.intervention;
    if let Some(what) = app.doc.interventions.list.get(at).map(|item| item.what) {
        toggle(app, what);
    }
}

/// Another factor, layer, or other heads.
pub(super) fn adjust(app: &mut App, up: bool) {
    let Some(model) = &app.model else { return };
    let (layers, shown) = (model.n_layer.max(1), shown_heads(app));
    let Some(item) = current(app) else { return };
    let way = |n: usize, now: usize| (now + if up { 1 } else { n - 1 }) % n;
    item.what = match item.what {
        Intervention::Gate { layer, head, factor } => {
            // Below 0 comes the mean.
            let next = ((factor + if up { STEP } else { -STEP }) * 10.0).round() / 10.0;
            match next < 0.0 {
                true => Intervention::Mean { layer, head },
                false => Intervention::Gate { layer, head, factor: next.min(MOST) },
            }
        }
        Intervention::Mean { layer, head } if up => Intervention::Gate { layer, head, factor: 0.0 },
        Intervention::Block { heads, queries, keys } => {
            let layered = HeadSet { layer: heads.layer.or(shown.layer), head: None };
            let all = [HeadSet::default(), layered, if heads.head.is_some() { heads } else { shown }];
            let now = all.iter().position(|set| *set == heads).unwrap_or(0);
            Intervention::Block { heads: all[way(all.len(), now)], queries, keys }
        }
        Intervention::Patch { layer: Some(layer), head, positions } => {
            Intervention::Patch { layer: Some(way(layers, layer)), head, positions }
        }
        other => other,
    };
}
