//! Work beside the exploration: re-rolls, true costs, retrying and cancelling.

use crate::app::state::{App, Effect, Pane, Remedy};
use crate::app::update::{focus, popups};
use crate::engine::types::Command;

pub fn retry(app: &mut App) -> Vec<Effect> {
    let remedy = app.cards.pop().map(|c| c.remedy);
    match remedy {
        Some(Remedy::Load(spec)) => popups::load(app, spec),
        Some(Remedy::Plan) => crate::app::train::update::plan(app),
        Some(Remedy::Ask) => vec![Effect::Explore(Box::new(app.ask_anew()))],
        None if app.results.failure.is_some() => vec![Effect::Explore(Box::new(app.ask_anew()))],
        None => {
            app.say("Nothing has failed");
            Vec::new()
        }
    }
}

pub fn cancel(app: &mut App) -> Vec<Effect> {
    let mut effects = Vec::new();
    if app.background() {
        (app.rerolling, app.costing, app.leaking) = (false, false, false);
        app.say("Background work cancelled");
        effects.push(Effect::Command(Command::CancelBackground));
    } else if let Some(loading) = app.loading.take() {
        app.cancelled = Some(loading.id.clone());
        app.say(format!("Loading cancelled: {}", loading.id));
        effects.push(Effect::Command(Command::CancelLoad));
    } else {
        app.say("Nothing is running that could be cancelled");
    }
    effects
}

pub fn start_rerolls(app: &mut App) -> Vec<Effect> {
    if app.results.is_empty() {
        app.say("Type a text first");
        return Vec::new();
    }
    app.raise(Pane::Effect);
    app.rerolling = true;
    app.results.rerolls = None;
    let count = app.options.rerolls;
    vec![Effect::Command(Command::Rerolls { generation: app.generation, count })]
}

pub fn start_cost(app: &mut App) -> Vec<Effect> {
    if app.results.is_empty() {
        app.say("Type a text first");
        return Vec::new();
    }
    focus(app, Pane::Cost);
    app.costing = true;
    vec![Effect::Command(Command::Honesty { generation: app.generation })]
}

pub fn start_leak(app: &mut App) -> Vec<Effect> {
    if app.results.is_empty() {
        app.say("Type a text first");
        return Vec::new();
    }
    focus(app, Pane::Window);
    app.leaking = true;
    app.results.leak = None;
    vec![Effect::Command(Command::Leak { generation: app.generation })]
}

/// Stops background work that a change of text or mask has made worthless.
pub fn overtaken(app: &mut App) -> Option<Command> {
    let stop_rerolls = (app.rerolling || app.leaking) && app.mask_since == app.generation;
    let stop_costs = app.costing && app.text_since == app.generation;
    app.rerolling &= !stop_rerolls;
    app.leaking &= !stop_rerolls;
    app.costing &= !stop_costs;
    // One command stops both: while the other is still wanted, the worthless one may run out.
    (stop_costs || (stop_rerolls && !app.costing)).then_some(Command::CancelBackground)
}
