//! Interventions in the run without a mask: attention that is blocked, heads that are changed, patches from another text. A list
//! with the effect of each beside those of random ones; or a grid of patches, layer by position.

pub mod add;
mod draw;
mod patches;
mod stack;

use std::sync::Arc;

use ratatui::layout::Rect;

use crate::engine::types::{InterventionEffect, InterventionReport, Interventions};
use crate::screen::actions::{Context, EXPLORER, actions};
use crate::screen::app::App;
use crate::screen::explore::map::CONTEXT as MAP;
use crate::screen::pane::{BLANK, Drag, Pane, Press, TitlePart};
use crate::screen::settle::scrolled;
use crate::screen::widgets::theme::Role;

/// The list of interventions.
pub const CONTEXT: Context = Context("Interventions");
/// The grid that takes its place.
pub const PATCHES: Context = Context("Patch grid");

pub static PANE: Pane = Pane {
    name: "interventions",
    title: "Intervene",
    context: |app| if app.view.patches { PATCHES } else { CONTEXT },
    actions: &[ACTIONS, patches::ACTIONS],
    subtitle,
    draw: |c, app, area| {
        if app.view.patches { patches::draw(c, app, area) } else { draw::draw(c, app, area) }
    },
    explain: |app| if app.view.patches { patches::explain(app) } else { draw::explain(app) },
    settle,
    press,
    ..BLANK
};

actions! {
    EXPLORER {
        /// See what interventions do: blocked attention, changed heads, patches from another text
        INTERVENTIONS ["I"] "intervene" => |app| app.focus(&PANE);
        /// Take the head that is shown out of the run without a mask, or put it back
        HEAD_OUT ["t"] "take out the head" if stack::has_head => stack::toggle_head;
    }
    MAP {
        /// Block the cell under the crosshair: its query no longer reads its key, in the heads shown; again puts it back
        BLOCK_EDGE ["delete" "backspace"] "block" with [BLOCK_KEY] => toggle_edge;
        /// Block the key of the crosshair for all later queries, or put it back
        BLOCK_KEY ["D"] => stack::toggle_key;
    }
    CONTEXT {
        /// Go to the intervention above
        INTERVENTION_UP ["up"] => |app| stack::step(app, -1);
        /// Go to the intervention below
        INTERVENTION_DOWN ["down"] => |app| stack::step(app, 1);
        /// Switch the intervention off, or on again
        INTERVENTION_SWITCH ["space"] "on/off" if stack::has_items => stack::switch;
        /// Scale a head less, choose the layer before, or block in other heads
        INTERVENTION_LESS ["left"] "change" with [INTERVENTION_MORE] if stack::has_items => |app| stack::adjust(app, false);
        /// Scale a head more, choose the next layer, or block in other heads
        INTERVENTION_MORE ["right"] => |app| stack::adjust(app, true);
        /// Remove the intervention
        INTERVENTION_REMOVE ["delete" "backspace"] "remove" if stack::has_items => stack::remove;
        /// Add an intervention, name the other text, or choose the tokens that effects are measured by
        INTERVENTION_ADD ["n" "enter"] "add" => |app| add::open(app, "");
        /// Patch every layer and position from the other text, one at a time, and show the grid
        PATCH_GRID ["p"] "patch grid" => patches::open;
    }
}

/// What the engine is asked for.
pub fn asked(app: &App) -> Arc<Interventions> {
    let (controls, seed) = (app.options.settings.explore.controls, app.doc.mask.seed);
    Arc::new(Interventions { controls, seed, ..(*app.doc.interventions).clone() })
}

/// What is known of the stack.
fn report(app: &App) -> Option<&InterventionReport> {
    app.results.interventions.as_ref().map(|slot| &*slot.value)
}

/// What is known of one item of the stack.
fn effect(app: &App, at: usize) -> Option<&InterventionEffect> {
    let what = app.doc.interventions.list.get(at)?.what;
    report(app)?.effects.iter().find(|effect| effect.what == what)
}

/// The engine is measuring interventions or patches of the newest request.
pub fn measuring(app: &App) -> bool {
    let now = app.generation;
    let stack = app.results.interventions.as_ref().filter(|slot| slot.generation == now);
    let grid = app.results.patches.as_ref().filter(|slot| slot.generation == now);
    (stack.is_some_and(|slot| slot.value.done < slot.value.of) && !app.doc.interventions.list.is_empty())
        || grid.is_some_and(|slot| !slot.value.stopped && slot.value.done() < slot.value.cells.len())
}

fn subtitle(app: &App) -> Vec<TitlePart> {
    if app.view.patches {
        return patches::subtitle(app);
    }
    let all = &app.doc.interventions.list;
    let on = all.iter().filter(|item| item.on).count();
    let mut out = Vec::new();
    if !all.is_empty() {
        out.push(TitlePart::new(format!("{on} of {} on", all.len()), Role::Strong));
    }
    if let Some(report) = report(app).filter(|r| measuring(app) && r.done < r.of) {
        out.push(TitlePart::new(format!("pass {} of {}", report.done, report.of), Role::Dim));
    }
    out
}

fn settle(app: &mut App, area: Option<Rect>) {
    let n = app.doc.interventions.list.len();
    app.view.intervention = app.view.intervention.min(n.saturating_sub(1));
    if let Some(area) = area {
        let room = draw::room(area);
        app.view.intervention_top = scrolled(app.view.intervention_top, app.view.intervention, n, room);
    }
    patches::settle(app);
}

fn press(app: &mut App, area: Rect, press: Press) -> Option<Drag> {
    if app.view.patches {
        patches::press(app, area, press);
    } else if let Some(at) = draw::item_at(app, area, press.y) {
        let switches = press.double || press.x < area.x + 3;
        app.act(|app| {
            app.view.intervention = at;
            if switches {
                stack::switch(app);
            }
        });
    }
    None
}

pub use stack::toggle_edge;

#[cfg(test)]
mod tests;
