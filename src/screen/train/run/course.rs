//! What starts, pauses, stops and ends a run, and the questions asked before. Pure.

use crate::engine::types::TrainCommand;
use crate::screen::actions::{TRAINING, actions};
use crate::screen::app::{App, Remedy, Request};
use crate::screen::explore::mask;
use crate::screen::pane::Pane;
use crate::screen::popups::Popup;
use crate::screen::popups::ask::Question;
use crate::screen::train::runs::list;
use crate::screen::train::setup::{self, RunRequest};
use crate::screen::train::state::RunView;
use crate::screen::train::{charts, circuit, run, twins};
use crate::screen::view::Screen;
use crate::train::report::{RunCommand, RunState};
use crate::train::spec::{DataSpec, RunSpec};

actions! {
    TRAINING {
        /// Plan, start, pause or resume a run
        RUN ["space"] "start/pause" => go;
        /// Grow a circuit: a small model learns to copy from random weights while its heads light up
        GROW ["G"] "grow a circuit" if |app| app.train.free() => grow;
        /// Stop the run: the step is finished and everything saved
        RUN_STOP ["s"] "stop" if |app| app.train.busy() => stop;
        /// End the run at once; only its last checkpoint stays
        RUN_KILL ["K"] "kill" if |app| app.train.busy() => kill;
    }
}

pub(crate) fn goes_on(app: &App) -> bool {
    app.train.run.as_ref().is_some_and(RunView::goes_on)
}

pub(crate) fn twins(app: &App) -> bool {
    app.train.run.as_ref().is_some_and(|r| r.twins.is_some())
}

/// Opens the screen where it was left.
pub fn enter(app: &mut App) {
    let pane = recent(app, Screen::Train).unwrap_or(&setup::PANE);
    app.focus(pane);
    app.view.enlarged = false;
    if !app.train.runs.known {
        list(app);
    }
    if std::mem::take(&mut app.train.recalled) {
        app.say(format!(
            "The settings of your last run; {} brings one back",
            app.key_label(&setup::FIELD_RESET)
        ));
    }
}

/// Opens the screen for a run under the explorer's policy.
pub fn enter_with_mask(app: &mut App) {
    std::sync::Arc::make_mut(&mut app.doc.form).run.masking = None;
    enter(app);
    app.say("The next run masks as the explorer does now");
}

/// Back to the explorer; a run continues.
pub fn leave(app: &mut App) {
    let pane = recent(app, Screen::Explore).unwrap_or(&mask::PANE);
    app.focus(pane);
    app.view.enlarged = false;
}

fn recent(app: &App, screen: Screen) -> Option<&'static Pane> {
    app.view.recent.iter().copied().find(|p| p.screen == screen)
}

/// The model that a run starts from: followed weights are of a run, not of a model.
pub(crate) fn model(app: &App) -> Option<String> {
    app.train.followed.clone().or_else(|| app.model.as_ref().map(|m| m.id.clone()))
}

fn request(app: &App) -> Option<RunRequest> {
    model(app).map(|m| app.doc.form.request(&m, &app.doc.mask, &app.doc.score))
}

/// The spec of the next run as the form has it, with what only the start of a run decides taken from `like`.
pub(crate) fn next_spec(app: &App, like: &RunSpec) -> RunSpec {
    let Some(request) = request(app) else { return like.clone() };
    let paths = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.into()] };
    let data = DataSpec {
        train: paths(&request.run.data),
        validation: paths(&request.run.validation),
        column: (!request.run.column.is_empty()).then(|| request.run.column.clone()),
        ..like.data.clone()
    };
    let train = &request.train;
    let mut spec =
        train.spec(request.model.clone(), (data, like.out.clone()), request.policy.clone(), &request.score);
    if spec.validation_tokens == Some(0) {
        // As many as fit; how many that were is no choice of anybody's.
        spec.validation_tokens = like.validation_tokens;
    }
    if spec.epochs > 0.0 {
        spec.steps = like.steps;
    }
    spec.time_limit = (request.run.minutes > 0.0).then_some(60.0 * request.run.minutes);
    spec
}

/// Whether the plan on screen is for what the form says now.
pub fn plan_holds(app: &App) -> bool {
    app.train.goes_on || app.train.planned.is_some() && app.train.planned == request(app)
}

/// Asks for a plan.
pub fn plan(app: &mut App) {
    let request = request(app);
    ask(app, request, &run::PANE);
}

/// Grows a circuit: the run is short and small, so it starts as soon as it is planned.
fn grow(app: &mut App) {
    let request = request(app).map(|request| RunRequest { grows: true, ..request });
    ask(app, request, &circuit::PANE);
}

/// The run that is being planned starts by itself.
pub fn starts_itself(app: &App) -> bool {
    app.train.planned.as_ref().is_some_and(|request| request.grows)
}

fn ask(app: &mut App, request: Option<RunRequest>, pane: &'static Pane) {
    if !app.train.free() {
        return app.say("A run is already in progress: stop it first");
    }
    let Some(request) = request else {
        return app.say("There is no model yet to train");
    };
    app.cards.retain(|c| c.remedy != Remedy::Plan);
    app.train.planned = Some(request.clone());
    app.train.goes_on = false;
    app.train.chart.cursor = None;
    app.focus(pane);
    app.emit(Request::Plan(Box::new(request)));
}

/// Tells the run something.
pub fn send(app: &mut App, command: RunCommand) {
    app.emit(Request::Train(TrainCommand::Tell(command)));
}

fn go(app: &mut App) {
    match app.train.state() {
        None | Some(RunState::Stopped | RunState::Finished | RunState::Killed | RunState::Failed) => {
            plan(app);
        }
        Some(RunState::Planned) if !plan_holds(app) => plan(app),
        Some(RunState::Planned) => {
            if app.view.focus == &run::PANE || app.view.focus == &setup::PANE {
                app.focus(if twins(app) { &twins::PANE } else { &charts::LOSS });
            }
            send(app, RunCommand::Resume);
        }
        Some(RunState::Running) => {
            app.say("Pausing after this step");
            send(app, RunCommand::Pause);
        }
        Some(RunState::Paused) => send(app, RunCommand::Resume),
        Some(RunState::Preparing) => {
            app.say(format!("Planning; {} cancels", app.key_label(&RUN_KILL)));
        }
        Some(RunState::Stopping) => app.say("The run is stopping: it finishes its step and saves"),
    }
}

fn stop(app: &mut App) {
    match app.train.state() {
        Some(RunState::Running | RunState::Paused) => {
            app.say("Stopping: this step is finished and saved");
            send(app, RunCommand::Stop);
        }
        Some(RunState::Preparing) => send(app, RunCommand::Kill),
        Some(RunState::Stopping) => tell(app, RunCommand::Stop, "It is stopping already"),
        _ => app.say("No run in progress"),
    }
}

fn kill(app: &mut App) {
    match app.train.state() {
        Some(RunState::Preparing | RunState::Planned) => send(app, RunCommand::Kill),
        Some(state) if !state.is_over() => app.popup = Some(Popup::Ask(Question::Kill)),
        _ => app.say("No run in progress"),
    }
}

/// Tells a run something that twins have no use for; they keep no weights.
pub(crate) fn tell_run(app: &mut App, command: RunCommand, said: &str) {
    if twins(app) {
        return app.say("Twins keep no weights to save or to sample from");
    }
    tell(app, command, said);
}

/// Tells a run something and says so; without a run, says that instead.
pub(crate) fn tell(app: &mut App, command: RunCommand, said: &str) {
    if !goes_on(app) {
        return app.say("No run in progress");
    }
    app.say(said);
    send(app, command);
}

/// Leaves the program. During a run it asks first; asked twice, it ends the run.
pub fn quit(app: &mut App) {
    if app.train.busy() && !app.quit {
        let question = Some(Popup::Ask(Question::Quit));
        if app.popup != question && !app.train.leaving {
            app.popup = question;
            return;
        }
        send(app, RunCommand::Kill);
    }
    app.quit = true;
    app.emit(Request::Quit);
}
