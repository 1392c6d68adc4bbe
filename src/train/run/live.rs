//! Changes during a run: those that a person makes, and those of policies that react to losses.

use super::{Run, Watch};
use crate::train::TrainError;
use crate::train::arm::rate::scaled;
use crate::train::policy::JointPolicy;
use crate::train::report::{Live, LiveChange, Report};

impl Run {
    /// Puts a change made by hand in force from the next step on, and logs it; an invalid one is refused with
    /// its reason.
    pub(super) fn change(&mut self, what: Live, value: Option<f64>, watch: &mut dyn Watch) {
        // Nine digits survive JSON exactly.
        let value = value.map(|v| format!("{v:.8e}").parse().unwrap_or(v));
        let change = LiveChange { step: self.counters.step + 1, what, value };
        if let Err(error) = self.apply(change) {
            let message = format!("{what} unchanged: {error}");
            watch.report(Report::Warning { step: self.counters.step, message });
            return;
        }
        self.counters.changes.push(change);
        watch.report(Report::Changed(change));
    }

    pub(super) fn apply(&mut self, change: LiveChange) -> Result<(), TrainError> {
        let mut policy = self.policy.clone();
        match (change.what, change.value) {
            (Live::LearningRate, value) => {
                if value.is_some_and(|v| !(v >= 0.0 && v.is_finite())) {
                    return Err(TrainError::setup("a learning rate must be a number ≥ 0"));
                }
                self.counters.learning_rate.by_hand = value;
                return Ok(());
            }
            (_, Some(_)) if matches!(self.joint, Some(JointPolicy::Bandit(_))) => {
                return Err(TrainError::setup("the bandit sets the mask rate"));
            }
            (Live::Threshold, Some(value)) => policy.threshold = value,
            (Live::Probability, Some(value)) => policy.probability = value,
            (_, None) => return Ok(()),
        }
        self.arms.set_sliders(policy.threshold, policy.probability)?;
        self.policy = policy;
        self.control_rate()
    }

    /// Moves τ and p by what the loss-gap controller found.
    pub(super) fn control_rate(&mut self) -> Result<(), TrainError> {
        let settings = scaled(&self.policy, self.counters.learning_rate.mask_scale);
        Ok(self.arms.set_sliders(settings.threshold, settings.probability)?)
    }

    /// Passes a scheduled evaluation to the policies that react to losses. An evaluation that a person asked for, or that a
    /// stop caused, changes nothing: with it the run would continue differently than without it.
    pub(super) fn steer_policies(&mut self, watch: &mut dyn Watch) {
        let Some((step, loss)) = self.evaluated.filter(|(at, _)| *at == self.counters.step) else { return };
        if let Err(error) = self.steer_policy((step, loss), watch) {
            let message = format!("learned policy unchanged: {error}");
            watch.report(Report::Warning { step, message });
        }
        if let Some(message) =
            self.counters.learning_rate.observe(&self.spec.learning_rate, loss, self.masked_loss)
        {
            let refused = self.control_rate().err();
            let message = refused.map_or(message, |e| format!("mask rate unchanged: {e}"));
            watch.report(Report::Note { step, message });
        }
    }

    fn steer_policy(&mut self, (step, loss): (usize, f64), watch: &mut dyn Watch) -> Result<(), TrainError> {
        let Some(joint) = &mut self.joint else { return Ok(()) };
        if let Some(cell) = joint.evaluated(&mut self.arms, loss)? {
            let message = format!("the bandit tries rate {:.3}, {}, {}", cell.rate, cell.polarity, cell.op);
            watch.report(Report::Note { step, message });
        }
        let alarm = joint.alarm();
        if let Some(alarm) = alarm.filter(|_| !self.alarmed) {
            let hint = alarm.hint(matches!(joint, JointPolicy::Soft(_)));
            watch.report(Report::Warning { step, message: format!("{alarm}; {hint}") });
        }
        self.alarmed = alarm.is_some();
        Ok(())
    }
}
