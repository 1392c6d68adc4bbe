//! Work beside the exploration: re-rolls, costs, retrying and cancelling.

use crate::engine::types::{Command, GenerateCommand};
use crate::screen::actions::{EXPLORER, actions};
use crate::screen::app::{App, Remedy, Request};
use crate::screen::explore::{cost, effect, interventions, window};
use crate::screen::generate::course as writing;
use crate::screen::popups::models;
use crate::screen::train::run::course;
use crate::train::report::RunCommand;

actions! {
    EXPLORER {
        /// Re-roll many seeds in the background: effect as mean ± spread
        REROLLS ["R"] => start_rerolls;
        /// Measure in the background what hiding each token really costs
        COST ["f"] "cost" => start_cost;
        /// Measure in the background how much the mask reveals about the next token, on held-out text
        LEAK ["k"] => start_leak;
    }
}

pub(crate) fn retry(app: &mut App) {
    match app.cards.pop().map(|c| c.remedy) {
        Some(Remedy::Load(spec)) => models::load(app, spec),
        Some(Remedy::Plan) => course::plan(app),
        Some(Remedy::Models(command)) => models::start(app, command),
        Some(Remedy::Ask) => app.ask_again(),
        None if app.results.failure.is_some() => app.ask_again(),
        None => app.say("Nothing has failed"),
    }
}

pub(crate) fn cancel(app: &mut App) {
    if app.preparing() {
        app.say("The plan is cancelled");
        course::send(app, RunCommand::Kill);
    } else if app.writes() {
        app.say("Paused");
        writing::send(app, GenerateCommand::Pause);
    } else if app.background() {
        if app.rerolling || app.costing || app.leaking {
            app.emit(Request::Command(Command::CancelBackground));
        }
        if interventions::measuring(app) {
            app.emit(Request::Command(Command::CancelIntervening));
        }
        (app.rerolling, app.costing, app.leaking) = (false, false, false);
        app.say("Background work cancelled");
    } else if let Some(loading) = app.loading.take() {
        app.say(format!("Loading cancelled: {}", loading.id));
        app.cancelled = Some(loading.id);
        app.emit(Request::Command(Command::CancelLoad));
    } else if app.models.pulling.is_some() {
        models::cancel_pull(app);
    } else {
        app.say("There is nothing to cancel");
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
        app.raise(&effect::PANE);
        app.rerolling = true;
        app.results.rerolls = None;
        let (generation, count) = (app.generation, app.options.settings.explore.rerolls);
        app.emit(Request::Command(Command::Rerolls { generation, count }));
    }
}

fn start_cost(app: &mut App) {
    if has_text(app) {
        app.focus(&cost::PANE);
        app.costing = true;
        app.emit(Request::Command(Command::Cost { generation: app.generation }));
    }
}

fn start_leak(app: &mut App) {
    if has_text(app) {
        app.focus(&window::PANE);
        app.leaking = true;
        app.results.leak = None;
        app.emit(Request::Command(Command::Leak { generation: app.generation }));
    }
}

/// Stops background work that a change of text or mask has made worthless.
pub fn overtaken(app: &mut App) {
    let another_mask = (app.rerolling || app.leaking) && app.mask_since == app.generation;
    let elsewhere = app.rerolling && app.position_since == app.generation;
    let stop_costs = app.costing && app.text_since == app.generation;
    app.rerolling &= !(another_mask || elsewhere);
    app.leaking &= !another_mask;
    // One command stops all: what is still wanted is not stopped for re-rolls of another position.
    let stop_rerolls = another_mask || (elsewhere && !app.leaking);
    app.costing &= !stop_costs;
    // One command stops both: while the other is still wanted, the worthless one may run out.
    if stop_costs || (stop_rerolls && !app.costing) {
        app.emit(Request::Command(Command::CancelBackground));
    }
}

#[cfg(test)]
mod tests {

    use crate::engine::types::{Command, Update};
    use crate::screen::testing::Stage;

    #[test]
    fn background_work_is_started_counted_and_cancelled() {
        let mut stage = Stage::new();
        stage.press("R f");
        assert!(!stage.app.rerolling && !stage.app.costing, "both were answered in full");
        assert!(stage.app.results.rerolls.is_some() && stage.app.results.costs.is_some());
        stage.answering = false;
        stage.press("f");
        assert!(stage.app.costing && stage.app.can_cancel());
        stage.press("x");
        assert!(matches!(stage.port.commands.borrow().last(), Some(Command::CancelBackground)));
        assert!(!stage.app.costing);
    }

    #[test]
    fn background_results_survive_looking_around_but_not_a_change() {
        let mut stage = Stage::new();
        stage.answering = false;
        stage.press("f");
        let generation = stage.app.generation;
        let costs = |done| Update::Cost {
            generation,
            done,
            of: 9,
            costs: vec![None; 31].into(),
            rows: vec![].into(),
        };
        stage.press("l m ]");
        stage.update(costs(3));
        assert_eq!(stage.app.results.costs.as_ref().map(|c| c.value.done), Some(3));
        assert!(stage.app.costing, "a view or a mask changes nothing about the cost of a token");
        stage.press("R ]");
        assert!(!stage.app.rerolling && stage.app.costing);
        assert!(!matches!(stage.port.commands.borrow().last(), Some(Command::CancelBackground)));
        stage.press("i").types("x");
        assert!(!stage.app.costing);
        assert!(matches!(stage.port.commands.borrow().last(), Some(Command::CancelBackground)));
        stage.update(costs(9));
        assert_eq!(
            stage.app.results.costs.as_ref().map(|c| c.value.done),
            Some(3),
            "late, and about another text"
        );
    }
}
