//! What runs leave: checkpoints, samples and losses on demand, weights that are followed or opened in the explorer,
//! folders that are listed and deleted. Pure.

use std::path::Path;

use super::course;
use crate::app::actions::actions;
use crate::app::state::{App, Effect, Pane, Popup};
use crate::app::train::state::Question;
use crate::app::update::popups;
use crate::engine::types::{FOLLOWED, TrainCommand};
use crate::train::report::RunCommand;

actions! {
    Train {
        /// Save a checkpoint now
        RUN_SAVE ["w"] "save" if keeps_weights =>
            |app| course::tell_run(app, RunCommand::SaveNow, "Saving after this step");
        /// Let the model write a sample now
        RUN_SAMPLE ["g"] "sample" if keeps_weights =>
            |app| course::tell_run(app, RunCommand::Sample, "A sample comes after this step");
        /// Measure the validation loss now
        RUN_EVALUATE ["v"] if course::goes_on =>
            |app| course::tell(app, RunCommand::EvaluateNow, "Measuring the validation loss after this step");
        /// Let the explorer follow the training weights: every step, every 10, every 100, or not
        FOLLOW ["f"] "follow" if can_follow => follow;
        /// Open the newest checkpoint of this run in the explorer
        RUN_OPEN ["o"] "open result" if has_result => open_result;
        /// Show the runs on disk
        RUNS ["R"] "runs" => show;
    }
    Runs {
        /// Go to the run above
        RUNS_UP ["up"] "run" with [RUNS_DOWN] => |app| step(app, -1);
        /// Go to the run below
        RUNS_DOWN ["down"] => |app| step(app, 1);
        /// Lay the losses of this run over the chart, or take them off
        RUNS_MARK ["m"] "compare" if any => mark;
        /// Open the newest checkpoint of this run in the explorer
        RUNS_OPEN ["enter"] "open" if any => open_selected;
        /// Delete the run and its checkpoints, after a question
        RUNS_DELETE ["delete" "D"] "delete" if any => ask_delete;
        /// Read the runs folder again
        RUNS_READ ["r"] "read again" => list;
    }
}

fn can_follow(app: &App) -> bool {
    app.train.followed.is_some() || keeps_weights(app)
}

/// A run goes on that keeps weights, as twins do not.
fn keeps_weights(app: &App) -> bool {
    course::goes_on(app) && !course::twins(app)
}

fn has_result(app: &App) -> bool {
    app.train.run.as_ref().is_some_and(|r| r.saved.is_some())
}

fn any(app: &App) -> bool {
    app.train.runs.current().is_some()
}

fn show(app: &mut App) {
    app.focus(Pane::Runs);
    list(app);
}

/// Has the runs folder read.
pub(super) fn list(app: &mut App) {
    app.emit(Effect::Train(TrainCommand::List(app.options.runs.clone())));
}

fn step(app: &mut App, by: isize) {
    let runs = &mut app.train.runs;
    runs.selected = runs.selected.saturating_add_signed(by).min(runs.list.len().saturating_sub(1));
}

fn mark(app: &mut App) {
    let marked = app.train.runs.toggle();
    app.effects.extend(marked.map(|run| Effect::Train(TrainCommand::Curves(run))));
}

fn follow(app: &mut App) {
    if !can_follow(app) {
        return app.say("No run goes on whose weights could be followed");
    }
    app.train.follow = match app.train.follow {
        0 if keeps_weights(app) => 1,
        1 if keeps_weights(app) => 10,
        10 if keeps_weights(app) => 100,
        _ => 0,
    };
    let every = app.train.follow;
    app.emit(Effect::Train(TrainCommand::Follow(every)));
    if every == 0 {
        app.say("The explorer goes back to the model the run started from");
        if let Some(model) = app.train.followed.take() {
            popups::load(app, model);
        }
        return;
    }
    let often = if every == 1 { "after every step".to_owned() } else { format!("every {every} steps") };
    app.say(format!("The explorer shows the weights of this run {often}"));
    if app.train.followed.is_none() {
        app.train.followed = app.model.as_ref().map(|m| m.id.clone());
    }
}

/// Follows no weights any more.
pub(super) fn unfollow(app: &mut App) {
    if app.train.follow > 0 {
        app.train.follow = 0;
        app.emit(Effect::Train(TrainCommand::Follow(0)));
    }
}

fn open_result(app: &mut App) {
    match app.train.run.as_ref().and_then(|r| r.saved.clone()) {
        Some((_, path)) => open_checkpoint(app, &path),
        None => app.say("This run has no checkpoint yet: w saves one"),
    }
}

fn open_selected(app: &mut App) {
    let Some(run) = app.train.runs.current() else {
        return app.say("There is no run to open");
    };
    if run.checkpoints.is_empty() {
        return app.say("This run has no checkpoint");
    }
    // At the top of a run's folder lies its newest checkpoint.
    let path = run.path.clone();
    open_checkpoint(app, &path);
}

fn open_checkpoint(app: &mut App, path: &Path) {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    unfollow(app);
    app.train.followed = None;
    course::leave(app);
    popups::load(app, path.display().to_string());
}

fn ask_delete(app: &mut App) {
    let Some(run) = app.train.runs.current() else { return };
    let path = run.path.clone();
    let in_use = app.train.busy() && app.train.run.as_ref().is_some_and(|r| same(&r.spec.out, &path));
    if in_use {
        app.say("This run goes on: stop it first");
    } else {
        app.popup = Some(Popup::Ask(Question::Delete(path)));
    }
}

fn same(a: &Path, b: &Path) -> bool {
    let whole = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_owned());
    whole(a) == whole(b)
}

/// The mouse points at a run.
pub fn run_row(app: &mut App, index: usize, open: bool) {
    if index < app.train.runs.list.len() {
        app.train.runs.selected = index;
        if open {
            open_selected(app);
        }
    }
}

/// Whether the explorer shows weights of a run.
pub fn follows(app: &App) -> bool {
    app.model.as_ref().is_some_and(|m| m.id.contains(FOLLOWED))
}
