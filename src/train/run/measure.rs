//! Evaluations of a run: when they are cut short, what they say of its course, and what is said at its end.

use std::time::Instant;

use super::learner::attend;
use super::{Learner, Run, Watch};
use crate::train::TrainError;
use crate::train::checkpoint::state::Best;
use crate::train::evaluate::{bits_per_byte, evaluate};
use crate::train::report::{Report, RunState};
use crate::train::schedule::LrState;
use crate::train::spec::Arm;

/// Evaluations without a lower loss after which a rise is warned of.
const RISING: usize = 3;
/// Nats per token above the lowest loss from which it counts as a rise.
const RISE: f64 = 0.01;
/// Steps over which the training loss is averaged, about.
const AVERAGED: f64 = 10.0;
/// Share of a learning rate set by hand to which its schedule has fallen when that is warned of.
const FALLEN: f64 = 0.5;
/// Seconds of an evaluation that a person who stops a run will wait for.
const QUICK: f64 = 2.0;

/// What was warned of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Warned {
    rising: bool,
    diverged: bool,
    /// Of a learning rate by hand that its schedule has left.
    held: bool,
}

/// Whether a loss lies so far above another that training has destroyed what was learned.
fn far_above(loss: f64, start: f64) -> bool {
    !loss.is_finite() || loss > start + (0.25 * start).max(1.0)
}

impl Run {
    /// Loss on the validation documents, unless this step was measured already; none where it was cut short.
    pub(super) fn measure(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let step = self.counters.step;
        let Some(corpus) = self.validation.clone() else { return Ok(()) };
        if self.evaluated.is_some_and(|(at, _)| at == step) {
            return Ok(());
        }
        let started = Instant::now();
        let model = self.trainee.current()?;
        let sizes = (self.spec.cut(), self.spec.batch_size);
        let masks = self.spec.learning_rate.gap.is_some() && self.spec.masking.arm != Arm::None;
        // Under masks it is all done twice.
        let twice = if masks { 2 } else { 1 };
        let clean =
            evaluate(&model, &corpus, sizes, &mut |at, of| attend(self, watch, (step, at, twice * of)))?;
        let Some(loss) = clean else { return Ok(()) };
        let mut masked = None;
        if masks {
            let Some(loss) = self.masked_validation(&model, &corpus, watch)? else { return Ok(()) };
            masked = Some(loss);
        }
        self.masked_loss = masked;
        self.evaluated = Some((step, loss));
        self.measured = Some(started.elapsed().as_secs_f64());
        self.counters.validation_loss = Some(loss);
        if step == 0 {
            self.counters.start_validation_loss = Some(loss);
        }
        let bits_per_byte = bits_per_byte(loss, &corpus);
        watch.report(Report::Evaluated { step, loss, bits_per_byte, masked_loss: self.masked_loss });
        if step > 0 {
            // The clock of a run starts with its first step.
            self.counters.seconds += started.elapsed().as_secs_f64();
        }
        Ok(())
    }

    /// Whether an evaluation is so quick that it is made even when the run was told to stop.
    pub(super) fn is_measured_quickly(&self) -> bool {
        self.measured.is_some_and(|seconds| seconds < QUICK)
    }

    /// The evaluation at the end of the loop. One that was due and cut short by a stop is taken in like any other.
    pub(super) fn measure_the_end(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        self.measure(watch)?;
        let (step, every) = (self.counters.step, self.spec.eval_every);
        let due = step > 0 && every > 0 && step.is_multiple_of(every);
        let measured = self.evaluated.is_some_and(|(at, _)| at == step);
        if due && measured && !self.has_steered() {
            self.steer(watch);
        }
        Ok(())
    }

    /// Whether this step was measured, and better than every checkpoint.
    pub(super) fn is_best_so_far(&self) -> bool {
        let step = self.counters.step;
        let loss = self.evaluated.filter(|(at, _)| *at == step && step > 0).map(|(_, loss)| loss);
        let saved = self.saved.as_ref().is_some_and(|(at, _)| *at == step);
        !saved && loss.is_some_and(|loss| self.counters.best.is_none_or(|best| loss < best.loss))
    }

    /// Takes in a scheduled evaluation: the lowest so far, or one more without gain.
    pub(super) fn judge(&mut self, watch: &mut dyn Watch) {
        let step = self.counters.step;
        let Some((_, loss)) = self.evaluated.filter(|(at, _)| *at == step) else { return };
        let c = &mut self.counters;
        c.steered = Some(step);
        if c.lowest.is_none_or(|lowest| loss < lowest.loss) {
            (c.lowest, c.without_gain) = (Some(Best { step, loss }), 0);
            self.warned.rising = false;
            return;
        }
        c.without_gain += 1;
        let Some(lowest) = c.lowest else { return };
        if c.without_gain >= RISING && loss > lowest.loss + RISE && !self.warned.rising {
            self.warned.rising = true;
            let message = format!(
                "the validation loss has not fallen for {} evaluations: {loss:.4} now, {:.4} at step {}, whose \
                 checkpoint is kept; stop after (--stop-after) ends such a run",
                c.without_gain, lowest.loss, lowest.step
            );
            watch.report(Report::Warning { step, message });
        }
    }

    /// Whether as many evaluations as allowed have brought no lower loss.
    pub(super) fn gain_has_ended(&self) -> bool {
        self.spec.stop_after > 0 && self.counters.without_gain >= self.spec.stop_after
    }

    /// Why the run ended before its last step by itself.
    pub(super) fn reason(&self) -> Option<String> {
        let lowest =
            self.counters.lowest.filter(|_| self.gain_has_ended() && self.state != RunState::Stopped)?;
        Some(format!(
            "ended at step {} of {}: {} evaluations without a validation loss below {:.4} of step {}",
            self.counters.step, self.spec.steps, self.counters.without_gain, lowest.loss, lowest.step
        ))
    }

    /// Follows the training loss, and warns once where it runs away.
    pub(super) fn follow_loss(&mut self, (step, loss): (usize, f64), watch: &mut dyn Watch) {
        let keep = (1.0 - 1.0 / AVERAGED).min((step as f64 - 1.0) / step as f64);
        self.average =
            if self.average.is_finite() { keep * self.average + (1.0 - keep) * loss } else { loss };
        if self.warned.diverged {
            return;
        }
        if let Some(problem) = self.problem().filter(|_| step as f64 >= AVERAGED) {
            self.warned.diverged = true;
            watch.report(Report::Warning { step, message: format!("{problem}: lower the learning rate") });
        }
    }

    /// Warns, once, that a learning rate set by hand holds where its schedule has come down.
    pub(super) fn follow_schedule(&mut self, watch: &mut dyn Watch) {
        let c = &self.counters;
        let Some(held) = c.learning_rate.by_hand else {
            self.warned.held = false;
            return;
        };
        let spec = &self.spec.learning_rate;
        let planned = LrState { by_hand: None, ..c.learning_rate };
        let planned = planned.learning_rate(spec, self.spec.steps, self.progress());
        if self.warned.held || planned >= held * FALLEN {
            return;
        }
        self.warned.held = true;
        let message = format!(
            "the learning rate was set by hand and stays at {held:.2e}; the {} schedule would now use {planned:.2e}",
            spec.policy
        );
        watch.report(Report::Warning { step: c.step, message });
    }

    /// Whether the run has diverged, in a sentence. Where there is validation, both losses must have risen: a high
    /// validation loss alone is memorisation, and a high training loss alone may be the masks'.
    pub(super) fn problem(&self) -> Option<String> {
        let c = &self.counters;
        let first = c.first_loss?;
        match (c.start_validation_loss, c.validation_loss) {
            (Some(start), Some(now)) => (far_above(now, start) && self.average > first).then(|| {
                format!(
                    "the run has diverged: its validation loss is {now:.2}, and was {start:.2} at the start"
                )
            }),
            // Masks that come in later raise the loss, too.
            _ => far_above(
                self.average,
                if self.spec.masking.arm == Arm::None { first } else { 2.0 * first },
            )
            .then(|| {
                format!(
                    "the run has diverged: its training loss is {:.2}, and was {first:.2} at the start",
                    self.average
                )
            }),
        }
    }
}
