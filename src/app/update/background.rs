//! Work beside the exploration: re-rolls, costs, retrying and cancelling.

use crate::app::actions::actions;
use crate::app::state::{App, Effect, Pane, Remedy};
use crate::app::train::update::course;
use crate::app::update::popups;
use crate::attention::types::Reduction;
use crate::engine::types::Command;

actions! {
    Explore {
        /// Re-roll many seeds in the background: effect as mean ± spread
        REROLLS ["R"] => start_rerolls;
        /// Measure in the background what hiding each token really costs
        COST ["f"] "cost" => start_cost;
        /// Measure in the background what the mask tells about the next token, on held-out text
        LEAK ["k"] => start_leak;
        /// Score against the distance null that was measured in the background
        USE_CALIBRATION ["C"] "score against the distance null" if null_waits =>
            |app| app.emit(Effect::Command(Command::UseCalibration));
    }
}

/// A score falls back for want of a distance null that was measured meanwhile.
fn null_waits(app: &App) -> bool {
    app.doc.score.reduction == Reduction::DistanceNull
        && app.null_ready
        && app.model.as_ref().is_some_and(|m| !m.calibrated)
}

pub(super) fn retry(app: &mut App) {
    match app.cards.pop().map(|c| c.remedy) {
        Some(Remedy::Load(spec)) => popups::load(app, spec),
        Some(Remedy::Plan) => course::plan(app),
        Some(Remedy::Ask) => app.ask_anew(),
        None if app.results.failure.is_some() => app.ask_anew(),
        None => app.say("Nothing has failed"),
    }
}

pub(super) fn cancel(app: &mut App) {
    if app.background() {
        (app.rerolling, app.costing, app.leaking) = (false, false, false);
        app.say("Background work cancelled");
        app.emit(Effect::Command(Command::CancelBackground));
    } else if let Some(loading) = app.loading.take() {
        app.say(format!("Loading cancelled: {}", loading.id));
        app.cancelled = Some(loading.id);
        app.emit(Effect::Command(Command::CancelLoad));
    } else {
        app.say("Nothing is running that could be cancelled");
    }
}

/// Whether there is a text to measure; says so where there is none.
fn has_text(app: &mut App) -> bool {
    if app.results.is_empty() {
        app.say("Type a text first");
    }
    !app.results.is_empty()
}

fn start_rerolls(app: &mut App) {
    if has_text(app) {
        app.raise(Pane::Effect);
        app.rerolling = true;
        app.results.rerolls = None;
        let (generation, count) = (app.generation, app.options.rerolls);
        app.emit(Effect::Command(Command::Rerolls { generation, count }));
    }
}

fn start_cost(app: &mut App) {
    if has_text(app) {
        app.focus(Pane::Cost);
        app.costing = true;
        app.emit(Effect::Command(Command::Cost { generation: app.generation }));
    }
}

fn start_leak(app: &mut App) {
    if has_text(app) {
        app.focus(Pane::Window);
        app.leaking = true;
        app.results.leak = None;
        app.emit(Effect::Command(Command::Leak { generation: app.generation }));
    }
}

/// Stops background work that a change of text or mask has made worthless.
pub fn overtaken(app: &mut App) {
    let stop_rerolls = (app.rerolling || app.leaking) && app.mask_since == app.generation;
    let stop_costs = app.costing && app.text_since == app.generation;
    app.rerolling &= !stop_rerolls;
    app.leaking &= !stop_rerolls;
    app.costing &= !stop_costs;
    // One command stops both: while the other is still wanted, the worthless one may run out.
    if stop_costs || (stop_rerolls && !app.costing) {
        app.emit(Effect::Command(Command::CancelBackground));
    }
}
