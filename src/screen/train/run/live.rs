//! Values that move during a run: τ, p and the learning rate. Pure.

use crate::engine::types::TrainCommand;
use crate::mask::types::MaskSettings;
use crate::screen::actions::{TRAINING, actions};
use crate::screen::app::{App, Request};
use crate::screen::explore::mask::settings;
use crate::screen::params::{self, Path};
use crate::screen::train::run::course::tell;
use crate::screen::train::state::RunView;
use crate::screen::view::Screen;
use crate::settings::Kind;
use crate::train::report::{Live, RunCommand};
use crate::train::settings::TrainSettings;

/// What is said when someone tries to change the values of twins.
const PLANNED: &str = "Twins keep to their plan: changing values by hand would make the comparison invalid";

actions! {
    TRAINING {
        /// Lower the learning rate from the next step on, or of the next run
        RATE_DOWN ["("] "learning rate" with [RATE_UP] if rate_movable => |app| rate(app, -1);
        /// Raise the learning rate from the next step on, or of the next run
        RATE_UP [")"] if rate_movable => |app| rate(app, 1);
        /// Return the learning rate to its schedule
        RATE_SCHEDULE ["="] if by_hand => rate_schedule;
    }
}

/// Whether the sliders of τ and p would move something.
pub fn movable(app: &App) -> bool {
    match app.train.run.as_ref().filter(|r| r.goes_on()) {
        _ if app.screen() == Screen::Explore => true,
        Some(run) => run.masks(),
        None => app.doc.form.explorers_policy(),
    }
}

fn rate_movable(app: &App) -> bool {
    app.train.run.as_ref().is_none_or(|r| !r.goes_on() || r.twins.is_none())
}

fn by_hand(app: &App) -> bool {
    app.train.run.as_ref().is_some_and(|r| r.goes_on() && r.learning_rate.is_some())
}

/// Whether the sliders of τ and p are those of the run.
pub fn in_force(app: &App) -> bool {
    app.screen() == Screen::Train && app.train.run.as_ref().is_some_and(RunView::goes_on)
}

/// τ or p of the run by steps.
pub fn nudge(app: &mut App, what: Live, by: i32, fine: bool) {
    let Some(run) = &app.train.run else { return };
    if run.twins.is_some() {
        return app.say(PLANNED);
    }
    if !run.masks() {
        return app.say("This run uses no masking");
    }
    let now = if what == Live::Threshold { run.threshold } else { run.probability };
    if let Some(next) = kind_of(what).nudge(now, by, fine) {
        set(app, what, next);
    }
}

fn path_of(what: Live) -> Path {
    match what {
        Live::Threshold => MaskSettings::threshold,
        Live::Probability => MaskSettings::probability,
        Live::LearningRate => TrainSettings::learning_rate,
    }
}

/// Bounds and steps, as the setting has them.
fn kind_of(what: Live) -> Kind {
    params::row(path_of(what)).kind
}

fn set(app: &mut App, what: Live, value: f64) {
    let Some(run) = &mut app.train.run else { return };
    let command = match what {
        Live::Threshold => {
            run.threshold = value;
            RunCommand::SetThreshold(value)
        }
        Live::Probability => {
            run.probability = value;
            RunCommand::SetProbability(value)
        }
        Live::LearningRate => {
            run.learning_rate = Some(value);
            RunCommand::SetLearningRate(Some(value))
        }
    };
    app.emit(Request::Train(TrainCommand::Tell(command)));
}

/// A slider of the run is dragged.
pub fn drag(app: &mut App, what: Live, at: f64) {
    let moves = |run: &RunView| run.goes_on() && (what == Live::LearningRate || run.masks());
    if let Some(value) = kind_of(what).at_fraction(at)
        && app.train.run.as_ref().is_some_and(moves)
    {
        set(app, what, value);
    }
}

/// The learning rate of the run in progress; without one, of the next.
fn rate(app: &mut App, by: i32) {
    let Some(run) = app.train.run.as_ref().filter(|r| r.goes_on()) else {
        settings::nudge(app, TrainSettings::learning_rate, by, false);
        let value = params::text(&app.doc, &app.options, TrainSettings::learning_rate);
        return app.say(format!("Learning rate of the next run: {value}"));
    };
    if run.twins.is_some() {
        return app.say(PLANNED);
    }
    if let Some(next) = kind_of(Live::LearningRate).nudge(run.rate(), by, false) {
        set(app, Live::LearningRate, next);
    }
}

fn rate_schedule(app: &mut App) {
    tell(app, RunCommand::SetLearningRate(None), "The learning rate follows its schedule again");
    if let Some(run) = &mut app.train.run {
        run.learning_rate = None;
    }
}

/// Where a value stands on the track of its slider, 0..1.
pub fn live_place(what: Live, value: f64) -> Option<f64> {
    kind_of(what).fraction(value)
}
