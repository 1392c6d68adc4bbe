//! Values that move while a run goes on: τ, p and the learning rate. Pure.

use super::course::tell;
use crate::app::params::{self, Path};
use crate::app::state::{App, Effect, Screen};
use crate::app::update::settings;
use crate::engine::types::TrainCommand;
use crate::mask::types::MaskSettings;
use crate::settings::Kind;
use crate::train::report::{Command, Live};
use crate::train::settings::TrainSettings;

/// What twins say to whoever would move them.
const PLANNED: &str = "Twins keep to their plan: moved by hand they would no longer be compared";

/// τ or p of the run that goes on; without one, the explorer's own, which the next run takes over.
pub(super) fn live(app: &mut App, what: Live, by: i32, fine: bool) -> Option<Vec<Effect>> {
    if app.screen() != Screen::Train {
        return None;
    }
    let run = app.train.run.as_ref().filter(|r| r.goes_on())?;
    if run.twins.is_some() {
        app.say(PLANNED);
        return Some(Vec::new());
    }
    if !run.masks() {
        app.say("This run masks nothing");
        return Some(Vec::new());
    }
    let now = if what == Live::Threshold { run.threshold } else { run.probability };
    let next = kind_of(what).nudge(now, by, fine)?;
    Some(set_live(app, what, next))
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

fn set_live(app: &mut App, what: Live, value: f64) -> Vec<Effect> {
    let Some(run) = &mut app.train.run else { return Vec::new() };
    let command = match what {
        Live::Threshold => {
            run.threshold = value;
            Command::SetThreshold(value)
        }
        Live::Probability => {
            run.probability = value;
            Command::SetProbability(value)
        }
        Live::LearningRate => {
            run.learning_rate = Some(value);
            Command::SetLearningRate(Some(value))
        }
    };
    vec![Effect::Train(TrainCommand::Tell(command))]
}

/// A slider of the run is dragged.
pub fn live_fraction(app: &mut App, what: Live, at: f64) -> Vec<Effect> {
    let Some(value) = kind_of(what).at_fraction(at) else { return Vec::new() };
    match &app.train.run {
        Some(run) if run.goes_on() && (what == Live::LearningRate || run.masks()) => {
            set_live(app, what, value)
        }
        _ => Vec::new(),
    }
}

/// The learning rate of the run that goes on; without one, of the next.
pub(super) fn rate(app: &mut App, by: i32) -> Vec<Effect> {
    let Some(run) = app.train.run.as_ref().filter(|r| r.goes_on()) else {
        settings::nudge(app, TrainSettings::learning_rate, by, false);
        let value = params::text(&app.doc, &app.options, TrainSettings::learning_rate);
        app.say(format!("Learning rate of the next run: {value}"));
        return Vec::new();
    };
    if run.twins.is_some() {
        app.say(PLANNED);
        return Vec::new();
    }
    match kind_of(Live::LearningRate).nudge(run.rate(), by, false) {
        Some(next) => set_live(app, Live::LearningRate, next),
        None => Vec::new(),
    }
}

pub(super) fn rate_schedule(app: &mut App) -> Vec<Effect> {
    let said = "The learning rate follows its schedule again";
    let effects = tell(app, Command::SetLearningRate(None), said);
    if let Some(run) = &mut app.train.run {
        run.learning_rate = None;
    }
    effects
}

/// Where a value stands on the track of its slider, 0..1.
pub fn live_place(what: Live, value: f64) -> Option<f64> {
    kind_of(what).fraction(value)
}
