//! What reports of a run and answers of its folders change on screen. Pure.

use crate::engine::types::TrainUpdate;
use crate::screen::app::{App, Card, Remedy, Request};
use crate::screen::events::show_card;
use crate::screen::train::run::course;
use crate::screen::train::runs::{list, reread, unfollow};
use crate::screen::train::series::Series;
use crate::screen::train::state::RunView;
use crate::screen::train::{charts, twins};
use crate::screen::view::Screen;
use crate::train::report::{Report, RunCommand, RunState};
use crate::train::spec::RunSpec;

/// Takes in news from the trainer.
pub fn take(app: &mut App, news: TrainUpdate) {
    match news {
        TrainUpdate::Accepted { run, spec } => {
            app.train.number = run;
            app.train.sequence = 0;
            app.train.run = Some(fresh(app, *spec));
        }
        TrainUpdate::Report { run, report } => {
            if run == app.train.number {
                reported(app, report);
            }
        }
        TrainUpdate::Runs(runs) => app.train.runs.take(runs),
        TrainUpdate::Curves { run, reports } => {
            let series = Series::of(&reports, app.train.chart.smoothing.keep());
            app.train.runs.curves.insert(run, series);
        }
        TrainUpdate::Reopened { spec, reports } => reopened(app, *spec, reports),
        TrainUpdate::Completed { typed, offers, problem } => {
            if let Some(typing) = app.train.typing.as_mut().filter(|t| t.typed == typed) {
                typing.offers = offers;
                typing.error = problem;
            }
        }
        TrainUpdate::Problem { message, hint } => failed(app, message, hint),
    }
    app.settle();
}

/// A run without reports, smoothed as the charts are.
fn fresh(app: &App, spec: RunSpec) -> RunView {
    let mut run = RunView::new(spec, app.now);
    run.series.smooth(app.train.chart.smoothing.keep());
    run
}

/// Shows a run of the past, as it reported itself.
fn reopened(app: &mut App, spec: RunSpec, reports: Vec<Report>) {
    if !app.train.free() {
        return;
    }
    let mut run = fresh(app, spec);
    reports.into_iter().for_each(|report| run.take(report, app.now));
    if !run.state.is_over() {
        // It never said how it ended.
        run.state = RunState::Killed;
    }
    app.focus(if run.twins.is_some() { &twins::PANE } else { &charts::LOSS });
    // Nothing that is still to come belongs to it.
    (app.train.number, app.train.planned) = (0, None);
    app.train.chart.cursor = None;
    app.train.run = Some(run);
}

fn failed(app: &mut App, message: String, hint: Option<String>) {
    show_card(app, Card { title: "The run".to_owned(), message, hint, remedy: Remedy::Plan });
}

fn reported(app: &mut App, report: Report) {
    let now = app.now;
    let Some(run) = &mut app.train.run else { return };
    let last = matches!(report, Report::Ended(_) | Report::Failed { .. });
    let refused = match &report {
        Report::Failed { message, hint } if run.state != RunState::Killed => {
            Some((message.clone(), hint.clone()))
        }
        Report::Ended(summary) => summary.unsaved().map(|problem| {
            let hint = "make room, and do the missing steps again with maskscope train --resume";
            (problem, Some(hint.to_owned()))
        }),
        _ => None,
    };
    let evaluated = matches!(report, Report::Evaluated { .. });
    let planned = matches!(report, Report::State { state: RunState::Planned });
    run.take(report, now);
    if planned && course::starts_itself(app) {
        course::send(app, RunCommand::Resume);
    }
    if evaluated {
        // Marked runs that another program makes have gone on, too.
        reread(app, |run| run.summary.is_none() && run.cut.is_none());
    }
    if let Some((message, hint)) = refused {
        // Whoever waits to leave until the run has saved is told that it could not.
        app.train.leaving = false;
        failed(app, message, hint);
    }
    if last {
        ended(app);
    }
}

/// What the end of a run brings: the list is read again, nothing is followed, a person who waited to leave leaves.
fn ended(app: &mut App) {
    list(app);
    unfollow(app);
    if app.train.leaving {
        app.quit = true;
        app.emit(Request::Quit);
    }
    let state = app.train.state().map_or("", RunState::name);
    if app.screen() == Screen::Explore {
        app.say(format!("The run has {state}"));
    }
}
