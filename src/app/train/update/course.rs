//! What starts, pauses, stops and ends a run, and the questions asked before. Pure.

use super::list;
use crate::app::state::{App, Effect, Pane, Popup, Remedy, Screen};
use crate::app::train::form::RunRequest;
use crate::app::train::state::{Question, RunView};
use crate::app::update::focus;
use crate::engine::types::TrainCommand;
use crate::train::report::{Command, RunState};

/// Opens the screen where it was left.
pub(super) fn enter(app: &mut App) -> Vec<Effect> {
    let pane = recent(app, Screen::Train).unwrap_or(Pane::Setup);
    focus(app, pane);
    app.view.enlarged = false;
    if app.train.runs.known { Vec::new() } else { vec![list(app)] }
}

/// Back to the explorer; a run goes on.
pub fn leave(app: &mut App) {
    let pane = recent(app, Screen::Explore).unwrap_or(Pane::Mask);
    focus(app, pane);
    app.view.enlarged = false;
}

fn recent(app: &App, screen: Screen) -> Option<Pane> {
    app.view.recent.iter().copied().find(|p| p.screen() == screen)
}

/// The model that a run starts from: followed weights are of a run, not of a model.
fn model(app: &App) -> Option<String> {
    app.train.followed.clone().or_else(|| app.model.as_ref().map(|m| m.id.clone()))
}

fn request(app: &App) -> Option<RunRequest> {
    model(app).map(|m| app.doc.form.request(&m, &app.doc.mask, &app.doc.score))
}

/// Whether the plan on screen is for what the form says now.
pub fn plan_holds(app: &App) -> bool {
    app.train.planned.is_some() && app.train.planned == request(app)
}

/// Asks for a plan.
pub fn plan(app: &mut App) -> Vec<Effect> {
    if !app.train.free() {
        app.say("A run goes on already: stop it first");
        return Vec::new();
    }
    let Some(request) = request(app) else {
        app.say("There is no model yet to train");
        return Vec::new();
    };
    app.cards.retain(|c| c.remedy != Remedy::Plan);
    app.train.planned = Some(request.clone());
    app.train.chart.cursor = None;
    focus(app, Pane::Run);
    vec![Effect::Plan(Box::new(request))]
}

pub(super) fn go(app: &mut App) -> Vec<Effect> {
    let say = |app: &mut App, text: &str| {
        app.say(text);
        Vec::new()
    };
    match app.train.state() {
        None | Some(RunState::Stopped | RunState::Finished | RunState::Killed | RunState::Failed) => {
            plan(app)
        }
        Some(RunState::Planned) if !plan_holds(app) => plan(app),
        Some(RunState::Planned) => {
            if app.view.focus == Pane::Run || app.view.focus == Pane::Setup {
                let twins = app.train.run.as_ref().is_some_and(|r| r.twins.is_some());
                focus(app, if twins { Pane::Twins } else { Pane::Loss });
            }
            vec![Effect::Train(TrainCommand::Tell(Command::Resume))]
        }
        Some(RunState::Running) => vec![Effect::Train(TrainCommand::Tell(Command::Pause))],
        Some(RunState::Paused) => vec![Effect::Train(TrainCommand::Tell(Command::Resume))],
        Some(RunState::Preparing) => say(app, "The plan is being made; K gives it up"),
        Some(RunState::Stopping) => say(app, "The run is stopping: it finishes its step and saves"),
    }
}

pub(super) fn stop(app: &mut App) -> Vec<Effect> {
    match app.train.state() {
        Some(RunState::Running | RunState::Paused) => {
            vec![Effect::Train(TrainCommand::Tell(Command::Stop))]
        }
        Some(RunState::Preparing) => vec![Effect::Train(TrainCommand::Tell(Command::Kill))],
        Some(RunState::Stopping) => tell(app, Command::Stop, "It is stopping already"),
        _ => {
            app.say("No run goes on");
            Vec::new()
        }
    }
}

pub(super) fn kill(app: &mut App) -> Vec<Effect> {
    match app.train.state() {
        Some(RunState::Preparing | RunState::Planned) => {
            vec![Effect::Train(TrainCommand::Tell(Command::Kill))]
        }
        Some(state) if !state.is_over() => {
            app.popup = Some(Popup::Ask(Question::Kill));
            Vec::new()
        }
        _ => {
            app.say("No run goes on");
            Vec::new()
        }
    }
}

/// Tells a run something that twins have no use for; they keep no weights.
pub(super) fn tell_run(app: &mut App, command: Command, said: &str) -> Vec<Effect> {
    if app.train.run.as_ref().is_some_and(|r| r.twins.is_some()) {
        app.say("Twins keep no weights to save or to sample from");
        return Vec::new();
    }
    tell(app, command, said)
}

/// Tells a run something and says so; without a run, says that instead.
pub(super) fn tell(app: &mut App, command: Command, said: &str) -> Vec<Effect> {
    if app.train.run.as_ref().is_some_and(RunView::goes_on) {
        app.say(said);
        return vec![Effect::Train(TrainCommand::Tell(command))];
    }
    app.say("No run goes on");
    Vec::new()
}

/// Leaving while a run goes on asks first; asked twice, it ends the run.
pub(super) fn quit(app: &mut App) -> Option<Vec<Effect>> {
    if !app.train.busy() || app.quit {
        return None;
    }
    if app.popup == Some(Popup::Ask(Question::Quit)) || app.train.leaving {
        app.quit = true;
        return Some(vec![Effect::Train(TrainCommand::Tell(Command::Kill)), Effect::Quit]);
    }
    app.popup = Some(Popup::Ask(Question::Quit));
    Some(Vec::new())
}

pub(super) fn answer(app: &mut App, yes: bool) -> Vec<Effect> {
    let Some(Popup::Ask(question)) = app.popup.take() else { return Vec::new() };
    if !yes {
        return Vec::new();
    }
    match question {
        Question::Kill => vec![Effect::Train(TrainCommand::Tell(Command::Kill))],
        Question::Quit => {
            app.train.leaving = true;
            app.say("Leaving as soon as the run has saved");
            let prepared = app.train.run.as_ref().is_some_and(RunView::goes_on);
            let command = if prepared { Command::Stop } else { Command::Kill };
            vec![Effect::Train(TrainCommand::Tell(command))]
        }
        Question::Delete(run) => {
            app.train.runs.curves.remove(&run);
            vec![Effect::Train(TrainCommand::Delete { run, folder: app.options.runs.clone() })]
        }
    }
}
