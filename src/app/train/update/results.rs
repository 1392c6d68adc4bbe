//! What runs leave: weights that are followed or opened in the explorer, folders that are deleted. Pure.

use std::path::Path;

use super::leave;
use crate::app::state::{App, Effect, Popup};
use crate::app::train::state::Question;
use crate::app::update::popups;
use crate::engine::types::{FOLLOWED, TrainCommand};

pub(super) fn follow(app: &mut App) -> Vec<Effect> {
    let goes_on = app.train.run.as_ref().is_some_and(|r| r.goes_on() && r.twins.is_none());
    if !goes_on && app.train.followed.is_none() {
        app.say("No run goes on whose weights could be followed");
        return Vec::new();
    }
    app.train.follow = match app.train.follow {
        0 if goes_on => 1,
        1 if goes_on => 10,
        10 if goes_on => 100,
        _ => 0,
    };
    let every = app.train.follow;
    let mut effects = vec![Effect::Train(TrainCommand::Follow(every))];
    if every == 0 {
        app.say("The explorer goes back to the model the run started from");
        if let Some(model) = app.train.followed.take() {
            effects.extend(popups::load(app, model));
        }
    } else {
        let every = if every == 1 { "after every step".to_owned() } else { format!("every {every} steps") };
        app.say(format!("The explorer shows the weights of this run {every}"));
        if app.train.followed.is_none() {
            app.train.followed = app.model.as_ref().map(|m| m.id.clone());
        }
    }
    effects
}

pub(super) fn open_result(app: &mut App) -> Vec<Effect> {
    let saved = app.train.run.as_ref().and_then(|r| r.saved.clone());
    match saved {
        Some((_, path)) => open_checkpoint(app, &path),
        None => {
            app.say("This run has no checkpoint yet: w saves one");
            Vec::new()
        }
    }
}

pub(super) fn open_selected(app: &mut App) -> Vec<Effect> {
    let Some(run) = app.train.runs.current() else {
        app.say("There is no run to open");
        return Vec::new();
    };
    if run.checkpoints.is_empty() {
        app.say("This run has no checkpoint");
        return Vec::new();
    }
    // At the top of a run's folder lies its newest checkpoint.
    let path = run.path.clone();
    open_checkpoint(app, &path)
}

fn open_checkpoint(app: &mut App, path: &Path) -> Vec<Effect> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut effects = Vec::new();
    if app.train.follow > 0 {
        app.train.follow = 0;
        effects.push(Effect::Train(TrainCommand::Follow(0)));
    }
    app.train.followed = None;
    leave(app);
    effects.extend(popups::load(app, path.display().to_string()));
    effects
}

pub(super) fn ask_delete(app: &mut App) {
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
pub fn run_row(app: &mut App, index: usize, open: bool) -> Vec<Effect> {
    if index >= app.train.runs.list.len() {
        return Vec::new();
    }
    app.train.runs.selected = index;
    if open { open_selected(app) } else { Vec::new() }
}

/// Whether the explorer shows weights of a run.
pub fn follows(app: &App) -> bool {
    app.model.as_ref().is_some_and(|m| m.id.contains(FOLLOWED))
}
