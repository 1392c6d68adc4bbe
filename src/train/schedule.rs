//! Learning rate as a function of the step.

use crate::named::named;

named! {
    /// How the learning rate moves after the warm-up.
    LrPolicy {
        /// Warm-up, stable, decay (2404.06395): constant, then linear to the minimum over the last tenth.
        Wsd = "wsd",
        Cosine = "cosine",
        Linear = "linear",
        Constant = "constant",
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
            LrPolicy::Constant => 1.0,
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
            let end = if policy == LrPolicy::Constant { 1e-3 } else { 1e-4 };
            assert!((s.at(1000) - end).abs() < 1e-12, "{policy}");
            for step in 10..1000 {
                assert!(s.at(step + 1) <= s.at(step) + 1e-15, "{policy} rises after its warm-up");
            }
        }
    }
}
