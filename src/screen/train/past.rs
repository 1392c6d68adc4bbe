//! What a run of the past can still do: go on, lend its settings, be compared, open its newest checkpoint. Pure.

use std::path::Path;

use crate::engine::types::{GoOn, TrainCommand};
use crate::screen::app::{App, Request};
use crate::screen::popups::Popup;
use crate::screen::train::run::course;
use crate::screen::train::runs::{name, open_checkpoint};
use crate::screen::train::setup::RunForm;
use crate::screen::train::{run, setup};
use crate::train::runs;

pub(crate) fn open_newest(app: &mut App) {
    let Some(run) = app.train.runs.current() else { return };
    match run.newest() {
        Some(path) => open_checkpoint(app, &path),
        None => app.say("This run has no checkpoint"),
    }
}

/// Has a run of the past planned to go on.
pub(crate) fn go_on(app: &mut App) {
    let Some(run) = app.train.runs.current().cloned() else { return };
    if !app.train.free() {
        return app.say("A run is already in progress: stop it first");
    }
    let (form, spec) = (&app.doc.form.train, &run.spec);
    let mut how = GoOn { run: run.path.clone(), ..GoOn::default() };
    if let Some(twins) = &spec.twins {
        if run.is_whole() && form.twin_seeds <= twins.seeds {
            let seeds = twins.seeds;
            return app.say(format!("All {seeds} seeds are finished: set more seeds in Setup, then go on"));
        }
        how.seeds = Some(form.twin_seeds.max(twins.seeds));
    } else if run.checkpoints.is_empty() {
        return app.say("This run has no checkpoint to go on from");
    } else if run.is_whole() {
        let steps = spec.steps;
        if form.epochs > 0.0 && form.epochs > spec.epochs {
            how.epochs = Some(form.epochs);
        } else if form.epochs == 0.0 && form.steps > steps {
            how.steps = Some(form.steps);
        } else {
            return app.say(format!("Its {steps} steps are done: set more steps in Setup, then go on"));
        }
    }
    (app.train.planned, app.train.goes_on) = (None, true);
    app.train.chart.cursor = None;
    app.focus(&run::PANE);
    app.emit(Request::Train(TrainCommand::GoOn(how)));
}

/// Takes the settings of a run into the form, and its policy into the explorer where it masked as that did.
pub(crate) fn copy(app: &mut App) {
    let Some(run) = app.train.runs.current().cloned() else { return };
    app.doc.form = std::sync::Arc::new(RunForm::of(&run.spec));
    let masking = &run.spec.masking;
    if let Some(policy) = &masking.policy {
        (app.doc.mask, app.doc.score) = (policy.clone(), masking.score.clone());
    }
    app.history.close();
    let (name, more) = (name(&run.path), run.spec.data.train.len() > 1);
    let rest = if more { "; of its data, the first path" } else { "" };
    let model = if course::model(app).as_deref() == Some(run.spec.model.as_str()) {
        String::new()
    } else {
        format!("; it started from {}, which is not open now", origin(&run.spec.model))
    };
    app.focus(&setup::PANE);
    app.say(format!("Setup has the settings of {name}{rest}{model}"));
}

/// Shows what differs between the selected run and the one marked last, or the next run as Setup has it.
pub(crate) fn differ(app: &mut App) {
    let runs = &app.train.runs;
    let Some(run) = runs.current() else { return };
    let marked = runs.marked.iter().rev().filter(|path| **path != run.path);
    let other = marked.filter_map(|path| runs.list.iter().find(|r| r.path == *path)).next();
    let (other, against) = match other {
        Some(other) => (other.spec.clone(), name(&other.path)),
        None => (course::next_spec(app, &run.spec), "Setup".to_owned()),
    };
    let lines: Vec<String> = runs::differences(&run.spec, &other)
        .into_iter()
        .map(|d| {
            let [a, b] = d.values.map(|value| if value.is_empty() { "–".to_owned() } else { value });
            format!("{}: {a} → {b}", d.setting)
        })
        .collect();
    let head = format!("{} → {against}", name(&run.path));
    let text = match lines.is_empty() {
        true => format!("{head}: all settings are the same"),
        false => format!("{head}\n\n{}", lines.join("\n")),
    };
    app.popup = Some(Popup::Explain { title: "What differs", text });
}

/// What a run started from, in a few words: a model's name, or which checkpoint of which run.
pub fn origin(model: &str) -> String {
    let path = Path::new(model);
    let part = |path: Option<&Path>| path.and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
    let step = part(Some(path)).and_then(|own| own.strip_prefix("step-")?.parse::<usize>().ok());
    match (step, part(path.parent().and_then(Path::parent))) {
        (Some(step), Some(run)) => format!("step {step} of {run}"),
        _ if path.is_absolute() => part(Some(path)).unwrap_or_else(|| model.to_owned()),
        _ => model.to_owned(),
    }
}
