//! What reports of a run and answers of its folders change on screen. Pure.

use super::list;
use crate::app::state::{App, Card, Effect, Remedy, Screen};
use crate::app::train::runs::Curves;
use crate::app::train::state::RunView;
use crate::app::update::show_card;
use crate::engine::types::{TrainCommand, TrainUpdate};
use crate::train::report::{Report, RunState};

/// Takes in news from the trainer.
pub fn take(app: &mut App, news: TrainUpdate) -> Vec<Effect> {
    let effects = match news {
        TrainUpdate::Accepted { run, spec } => {
            app.train.number = run;
            app.train.sequence = 0;
            app.train.run = Some(RunView::new(*spec, app.now));
            Vec::new()
        }
        TrainUpdate::Report { run, report } => {
            if run == app.train.number {
                reported(app, report)
            } else {
                Vec::new()
            }
        }
        TrainUpdate::Runs(runs) => {
            app.train.runs.take(runs);
            Vec::new()
        }
        TrainUpdate::Curves { run, train, validation } => {
            app.train.runs.curves.insert(run, Curves { train, validation });
            Vec::new()
        }
        TrainUpdate::Completed { typed, offers, problem } => {
            if let Some(typing) = app.train.typing.as_mut().filter(|t| t.typed == typed) {
                typing.offers = offers;
                typing.error = problem;
            }
            Vec::new()
        }
        TrainUpdate::Problem { message, hint } => {
            failed(app, message, hint);
            Vec::new()
        }
    };
    app.settle();
    effects
}

fn failed(app: &mut App, message: String, hint: Option<String>) {
    show_card(app, Card { title: "The run".to_owned(), message, hint, remedy: Remedy::Plan });
}

fn reported(app: &mut App, report: Report) -> Vec<Effect> {
    let now = app.now;
    let Some(run) = &mut app.train.run else { return Vec::new() };
    let last = matches!(report, Report::Ended(_) | Report::Failed { .. });
    let refused = match &report {
        Report::Failed { message, hint } if run.state != RunState::Killed => {
            Some((message.clone(), hint.clone()))
        }
        _ => None,
    };
    run.take(report, now);
    if let Some((message, hint)) = refused {
        failed(app, message, hint);
    }
    if last {
        return ended(app);
    }
    Vec::new()
}

/// What the end of a run brings: the list is read anew, nothing is followed, a person who waited to leave leaves.
fn ended(app: &mut App) -> Vec<Effect> {
    let mut effects = vec![list(app)];
    if app.train.follow > 0 {
        app.train.follow = 0;
        effects.push(Effect::Train(TrainCommand::Follow(0)));
    }
    if app.train.leaving {
        app.quit = true;
        effects.push(Effect::Quit);
    }
    let state = app.train.state().map_or("", RunState::name);
    if app.screen() == Screen::Explore {
        app.say(format!("The run has {state}"));
    }
    effects
}
