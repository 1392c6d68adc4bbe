//! The two sides of the loop: what it trains, and who watches it.

use std::collections::VecDeque;

use crate::model::Model;
use crate::train::TrainError;
use crate::train::report::{Plan, Report, RunCommand, RunState, RunSummary};
use crate::train::spec::RunSpec;

/// The observer of a run, which can also command it.
pub trait Watch {
    fn report(&mut self, report: Report);
    /// The next command; with `wait`, blocks until there is one, and `None` then means that no sender is left.
    fn command(&mut self, wait: bool) -> Option<RunCommand>;
    /// Whether the run is to end at once; asked often.
    fn killed(&self) -> bool;
    /// Whether somebody waits for a copy of the weights.
    fn wants_snapshot(&self) -> bool;
    fn snapshot(&mut self, step: usize, model: Model);
    /// Whether rasters and batches are looked at.
    fn wants_pictures(&self) -> bool;
}

/// What the loop trains: one model ([`Run`]), or arms side by side ([`TwinRun`](super::twins::TwinRun)).
pub trait Learner {
    /// What the whole will cost, from one measured step. Changes nothing.
    ///
    /// # Errors
    /// A run that does not fit into memory, with the numbers; a probe step that fails or diverges.
    fn plan(&mut self) -> Result<Plan, TrainError>;
    /// Checks that the run fits into memory, as its plan does, without measuring anything.
    ///
    /// # Errors
    /// A run that does not fit, with the numbers.
    fn fits(&self) -> Result<(), TrainError>;
    /// Trains until the steps are done, the time is up or a command ends it.
    ///
    /// # Errors
    /// A loss that is not finite, a disk that is full and must not be; [`TrainError::Killed`].
    fn drive(&mut self, watch: &mut dyn Watch) -> Result<RunSummary, TrainError>;

    fn spec(&self) -> &RunSpec;
    /// Optimizer steps done.
    fn done(&self) -> usize;
    /// Of computing from the first step on, pauses left out.
    fn seconds(&mut self) -> &mut f64;
    fn state(&mut self) -> &mut RunState;
    /// Commands that came during an evaluation and wait for its end.
    fn later(&mut self) -> &mut VecDeque<RunCommand>;
    /// Whether this is where a resumed run was saved: what was due here is done.
    fn is_resumed(&self) -> bool {
        false
    }
    /// Whether the scheduled evaluation of this step was passed to the policies.
    fn has_steered(&self) -> bool {
        false
    }
    /// Whether this step has the lowest validation loss so far, and no checkpoint yet.
    fn improved(&self) -> bool {
        false
    }
    /// Whether the run ends before its last step, because its validation loss no longer falls.
    fn enough(&self) -> bool {
        false
    }
    /// Measures the loss on the validation documents, unless this step was measured already. A stop on the way gives the
    /// measurement up.
    fn evaluate(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError>;
    /// Passes a scheduled evaluation to the policies.
    fn steer(&mut self, _: &mut dyn Watch) {}
    fn sample(&mut self, _: &mut dyn Watch) -> Result<(), TrainError> {
        Ok(())
    }
    /// Reports what every head reads.
    fn look(&mut self, _: &mut dyn Watch) -> Result<(), TrainError> {
        Ok(())
    }
    /// Saves a checkpoint of this step, unless there is one.
    fn save(&mut self, _: &mut dyn Watch) -> Result<(), TrainError> {
        Ok(())
    }
    /// Gives a copy of the weights to a waiting reader.
    fn show(&self, _: &mut dyn Watch) -> Result<(), TrainError> {
        Ok(())
    }
    /// Carries out a command that does not pause, resume or end the run.
    fn tell(&mut self, command: RunCommand, watch: &mut dyn Watch) -> Result<(), TrainError>;
    /// One optimizer step, and what is to be logged of it.
    fn step(&mut self, watch: &mut dyn Watch) -> Result<Report, TrainError>;

    fn enter(&mut self, state: RunState, watch: &mut dyn Watch) {
        *self.state() = state;
        watch.report(Report::State { state });
    }
}

/// Between two parts of the evaluation of a step: says how much is done of how much, pauses, and gives up when told to
/// stop. Other commands wait.
///
/// # Errors
/// [`TrainError::Killed`].
pub(in crate::train) fn attend(
    run: &mut dyn Learner,
    watch: &mut dyn Watch,
    (step, done, total): (usize, usize, usize),
) -> Result<bool, TrainError> {
    watch.report(Report::Evaluating { step, done, total });
    // A run that is paused already may still be measured when that is asked for.
    let mut waits = false;
    loop {
        if watch.killed() {
            return Err(TrainError::Killed);
        }
        let state = *run.state();
        match watch.command(waits) {
            // Nobody can resume it any more.
            None if waits => {
                run.enter(RunState::Stopping, watch);
                return Ok(false);
            }
            None => return Ok(true),
            Some(RunCommand::Pause) if state == RunState::Running => {
                run.enter(RunState::Paused, watch);
                waits = true;
            }
            Some(RunCommand::Resume) if state == RunState::Paused => {
                run.enter(RunState::Running, watch);
                waits = false;
            }
            Some(RunCommand::Pause | RunCommand::Resume) => {}
            Some(RunCommand::Stop) => {
                if state != RunState::Stopping {
                    run.enter(RunState::Stopping, watch);
                }
                return Ok(false);
            }
            Some(RunCommand::Kill) => return Err(TrainError::Killed),
            Some(other) => run.later().push_back(other),
        }
    }
}
