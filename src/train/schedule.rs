//! Learning rate: schedules over the progress of a run, and the policies that listen to losses.

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::named::named;

named! {
    /// How the learning rate moves after the warm-up.
    LrPolicy {
        /// Warm-up, stable, decay (2404.06395): constant, then linear to the minimum over the last tenth.
        Wsd = "wsd",
        Cosine = "cosine",
        Linear = "linear",
        Constant = "constant",
        /// Cut by a factor when the clean validation loss stops falling.
        Plateau = "plateau",
    }
}

named! {
    /// What counts as progress.
    Progress {
        Steps = "steps",
        /// Visible tokens times layers (as in LayerToken, random-LTD 2211.11586): a step that hides or skips half of
        /// its tokens moves the schedule half as far.
        Visible = "visible",
    }
}

/// Holds the gap between masked and clean loss at a target by moving the rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapControl {
    /// Nats per token.
    pub target: f64,
    /// Relative change of the rate per nat of error, at each evaluation.
    pub gain: f64,
}

/// How the learning rate is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSpec {
    pub policy: LrPolicy,
    pub peak: f64,
    /// The end, as a share of the peak.
    pub min_ratio: f64,
    /// Steps over which the rate rises from 0.
    pub warmup: usize,
    pub progress: Progress,
    /// Plateau: evaluations without improvement before a cut, and its factor.
    pub patience: usize,
    pub factor: f64,
    pub gap: Option<GapControl>,
}

impl RateSpec {
    /// # Errors
    /// A rate that is no rate.
    pub fn check(&self) -> Result<(), TrainError> {
        if !(self.peak > 0.0 && self.peak.is_finite()) {
            return Err(TrainError::setup(format!("the learning rate must be above 0: {}", self.peak)));
        }
        if self.policy == LrPolicy::Plateau && !(self.factor > 0.0 && self.factor < 1.0) {
            return Err(TrainError::setup(format!(
                "the factor of a plateau must lie between 0 and 1: {}",
                self.factor
            )));
        }
        Ok(())
    }
}

/// Share of the run that WSD spends decaying.
const WSD_DECAY: f64 = 0.2;

/// A learning-rate schedule over a run of known length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrSchedule {
    pub policy: LrPolicy,
    pub peak: f64,
    /// The end, as a share of the peak.
    pub min_ratio: f64,
    pub warmup: usize,
    pub steps: usize,
}

impl LrSchedule {
    /// Rate for the update with index `step` (0-based).
    pub fn at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let span = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let done = ((step - self.warmup) as f64 / span).min(1.0);
        let falling = |share: f64| self.min_ratio + (1.0 - self.min_ratio) * (1.0 - share);
        let factor = match self.policy {
            LrPolicy::Constant | LrPolicy::Plateau => 1.0,
            LrPolicy::Linear => falling(done),
            LrPolicy::Cosine => {
                self.min_ratio + (1.0 - self.min_ratio) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            LrPolicy::Wsd => falling(((done - (1.0 - WSD_DECAY)) / WSD_DECAY).max(0.0)),
        };
        self.peak * factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_starts_low_peaks_and_ends_at_its_minimum() {
        for &policy in LrPolicy::ALL {
            let s = LrSchedule { policy, peak: 1e-3, min_ratio: 0.1, warmup: 10, steps: 1000 };
            assert!((s.at(0) - 1e-4).abs() < 1e-12);
            assert!((s.at(10) - 1e-3).abs() < 1e-12, "{policy}");
            let flat = matches!(policy, LrPolicy::Constant | LrPolicy::Plateau);
            let end = if flat { 1e-3 } else { 1e-4 };
            assert!((s.at(1000) - end).abs() < 1e-12, "{policy}");
            for step in 10..1000 {
                assert!(s.at(step + 1) <= s.at(step) + 1e-15, "{policy} rises after its warm-up");
            }
        }
    }
}
