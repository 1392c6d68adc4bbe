//! Where a run stands between its beginning and its end: by steps, by the clock, by what was visible; and how long the
//! rest will take.

use super::Run;
use crate::train::arm::At;
use crate::train::schedule::LrProgress;

/// Steps at the start that are left out of the expected time left.
const WARM_UP_STEPS: usize = 3;

/// Times of steps, for the expected time left.
#[derive(Default)]
pub(super) struct Pace {
    steps: usize,
    seconds: f64,
}

impl Pace {
    pub(super) fn add(&mut self, seconds: f64) {
        self.steps += 1;
        if self.steps > WARM_UP_STEPS {
            self.seconds += seconds;
        }
    }

    /// Seconds for `left` more steps; `None` while too little was measured.
    pub(super) fn eta(&self, left: usize) -> Option<f64> {
        let measured = self.steps.checked_sub(WARM_UP_STEPS).filter(|n| *n > 0)?;
        Some(self.seconds / measured as f64 * left as f64)
    }
}

impl Run {
    /// Seconds left: of the steps and their evaluations, or of the clock where that ends first.
    pub(super) fn eta(&self, step: usize) -> Option<f64> {
        let evaluations = self.measured.unwrap_or(0.0) * self.spec.evaluations_after(step) as f64;
        let steps = self.pace.eta(self.spec.steps - step).map(|steps| steps + evaluations);
        let clock = self.spec.time_limit.map(|limit| (limit - self.counters.seconds).max(0.0));
        match (steps, clock) {
            (Some(steps), Some(clock)) => Some(steps.min(clock)),
            (steps, clock) => steps.or(clock),
        }
    }

    /// LrProgress in steps' worth, as the learning-rate schedule counts it.
    pub(super) fn progress(&self) -> f64 {
        let c = &self.counters;
        if let Some(limit) = self.spec.time_limit {
            let share = c.seconds / limit;
            return (c.step as f64).max(share * self.spec.steps as f64);
        }
        match self.spec.learning_rate.progress {
            LrProgress::Steps => c.step as f64,
            LrProgress::Visible => {
                let per_step = self.spec.sequences_per_step() as f64 * self.visits.rows().mean_size();
                let expected =
                    self.spec.masking.visible_share(self.trainee.model.config.n_layer, self.spec.context);
                c.visible_tokens / (per_step * expected)
            }
        }
    }

    /// Learning rate of the next update. By the clock, the warm-up still takes its number of steps: a clock would be
    /// through with it before the first one is done.
    pub(super) fn learning_rate(&self) -> f64 {
        let spec = &self.spec.learning_rate;
        let rate = self.counters.learning_rate.learning_rate(spec, self.spec.steps, self.progress());
        if self.spec.time_limit.is_none() || self.counters.learning_rate.by_hand.is_some() || !spec.warms_up()
        {
            return rate;
        }
        rate.min(spec.peak * (self.counters.step + 1) as f64 / spec.warmup as f64)
    }

    /// The position in the mask schedule; a run that follows the clock gives the step that matches the time passed.
    pub(super) fn at(&self) -> At {
        let steps = self.spec.steps;
        let clock = self.spec.time_limit.map_or(0.0, |limit| self.counters.seconds / limit * steps as f64);
        At { step: self.counters.step.max(clock as usize), steps }
    }
}
