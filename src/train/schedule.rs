//! Learning rate: schedules over the progress of a run, and the policies that follow losses.

use serde::{Deserialize, Serialize};

use super::{TrainError, exact};
use crate::settings::choice;

choice! {
    /// How the learning rate moves after the warm-up.
    pub enum LrPolicy {
        /// warm-up, stable, then linear decay over the last fifth
        /// (2404.06395)
        Wsd = "wsd",
        /// half a cosine down to the final learning rate
        Cosine = "cosine",
        /// straight down to the final learning rate
        Linear = "linear",
        /// a cosine to the final learning rate and back to the peak at once, several times
        /// As transformers' cosine_with_restarts, and torch's CosineAnnealingWarmRestarts with equal cycles (1608.03983).
        CosineRestarts = "cosine-restarts",
        /// up from 1/25 of the peak over the first 30 % of the steps, then down to 1/250,000, both as cosines
        /// As torch's OneCycleLR (1708.07120), without its cycle of momentum; it needs no warm-up and no final learning rate.
        OneCycle = "one-cycle",
        /// the peak throughout
        Constant = "constant",
        /// cut when the clean validation loss stops falling
        Plateau = "plateau",
    }
}

choice! {
    /// What counts as progress.
    pub enum LrProgress {
        /// every step counts alike
        Steps = "steps",
        /// visible tokens times layers: a step that hides half of its tokens counts half
        /// (As in LayerToken, random-LTD 2211.11586.)
        Visible = "visible",
    }
}

/// Holds the gap between masked and clean loss at a target by moving the mask rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapControl {
    /// Nats per token.
    pub target: f64,
    /// Relative change of the mask rate per nat of error, at each evaluation.
    pub gain: f64,
}

/// How the learning rate is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LrSpec {
    pub policy: LrPolicy,
    pub peak: f64,
    /// The end, as a share of the peak.
    pub min_ratio: f64,
    /// Steps over which the learning rate rises from 0; one-cycle has a rise of its own.
    pub warmup: usize,
    /// Cosine with restarts: how often it comes down.
    #[serde(default = "one")]
    pub cycles: usize,
    pub progress: LrProgress,
    /// Plateau: evaluations without improvement before a cut, and its factor.
    pub patience: usize,
    pub factor: f64,
    pub gap: Option<GapControl>,
}

fn one() -> usize {
    1
}

impl LrSpec {
    /// The schedule over a run of so many steps.
    pub fn over(&self, steps: usize) -> LrSchedule {
        let LrSpec { policy, peak, min_ratio, warmup, cycles, .. } = *self;
        LrSchedule { policy, peak, min_ratio, warmup, cycles, steps }
    }

    /// Whether the learning rate rises over the warm-up steps.
    pub fn warms_up(&self) -> bool {
        self.warmup > 0 && self.policy != LrPolicy::OneCycle
    }

    /// What a run that was planned for `before` steps, of which `done` are, does when it goes on to `steps`.
    pub fn replanned(&self, (before, steps): (usize, usize), done: usize) -> Option<String> {
        let [old, new] = [before, steps].map(|steps| self.over(steps).at_progress(done as f64));
        (steps != before && old != new).then(|| {
            format!(
                "the learning rate is planned again over {steps} steps: it goes on at {new:.2e}, where the plan of \
                 {before} steps had come to {old:.2e}"
            )
        })
    }

    /// # Errors
    /// A learning rate or a factor out of its bounds.
    pub fn check(&self) -> Result<(), TrainError> {
        if !(self.peak > 0.0 && self.peak.is_finite()) {
            return Err(TrainError::setup(format!("the learning rate must be above 0, not {}", self.peak)));
        }
        if self.policy == LrPolicy::CosineRestarts && self.cycles == 0 {
            return Err(TrainError::setup("a cosine with restarts needs at least one cycle"));
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
/// One-cycle: share of the run that rises, the peak over the start, and the start over the end, as torch has them.
const ONE_CYCLE: (f64, f64, f64) = (0.3, 25.0, 1e4);

/// Half a cosine from `from` to `to`.
fn anneal(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
}

/// A learning-rate schedule over a run of known length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrSchedule {
    pub policy: LrPolicy,
    pub peak: f64,
    /// The end, as a share of the peak.
    pub min_ratio: f64,
    pub warmup: usize,
    pub cycles: usize,
    pub steps: usize,
}

impl LrSchedule {
    /// Learning rate after `done` steps' worth of progress.
    pub fn at_progress(&self, done: f64) -> f64 {
        if self.policy == LrPolicy::OneCycle {
            return self.one_cycle(done);
        }
        let warmup = self.warmup as f64;
        if done < warmup {
            return self.peak * ((done + 1.0) / warmup).min(1.0);
        }
        let span = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let done = ((done - warmup) / span).min(1.0);
        let falling = |share: f64| self.min_ratio + (1.0 - self.min_ratio) * (1.0 - share);
        let factor = match self.policy {
            LrPolicy::Constant | LrPolicy::Plateau | LrPolicy::OneCycle => 1.0,
            LrPolicy::Linear => falling(done),
            LrPolicy::Cosine => {
                self.min_ratio + (1.0 - self.min_ratio) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            LrPolicy::CosineRestarts if done >= 1.0 => self.min_ratio,
            LrPolicy::CosineRestarts => anneal(1.0, self.min_ratio, (done * self.cycles as f64).fract()),
            LrPolicy::Wsd => falling(((done - (1.0 - WSD_DECAY)) / WSD_DECAY).max(0.0)),
        };
        self.peak * factor
    }

    fn one_cycle(&self, done: f64) -> f64 {
        let (share, start, end) = ONE_CYCLE;
        let (low, last) = (self.peak / start, self.steps.saturating_sub(1) as f64);
        let top = (share * self.steps as f64 - 1.0).max(0.0);
        if done < top {
            return anneal(low, self.peak, done / top);
        }
        anneal(self.peak, low / end, ((done - top) / (last - top).max(1.0)).min(1.0))
    }
}

/// What a policy learned from losses, and what was set by hand; part of every checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LrState {
    /// Cuts of the plateau policy, multiplied up.
    #[serde(with = "exact")]
    pub scale: f64,
    /// What the loss-gap controller multiplies the mask rate with.
    #[serde(with = "exact")]
    pub mask_scale: f64,
    /// Lowest clean validation loss so far, and evaluations since.
    #[serde(with = "exact::option")]
    pub lowest: Option<f64>,
    pub waited: usize,
    /// A learning rate set by hand; counts until it is taken back.
    #[serde(with = "exact::option")]
    pub by_hand: Option<f64>,
}

impl Default for LrState {
    fn default() -> Self {
        LrState { scale: 1.0, mask_scale: 1.0, lowest: None, waited: 0, by_hand: None }
    }
}

/// Improvements below this, in nats per token, do not count for the plateau policy.
const PLATEAU_MARGIN: f64 = 1e-3;
/// Bounds of what the loss-gap controller may multiply the mask rate with.
const MASK_SCALE: (f64, f64) = (0.05, 4.0);

impl LrState {
    /// The learning rate after `progress` steps' worth.
    pub fn learning_rate(&self, spec: &LrSpec, steps: usize, progress: f64) -> f64 {
        if let Some(rate) = self.by_hand {
            return rate;
        }
        let rate = spec.over(steps).at_progress(progress);
        if spec.policy == LrPolicy::Plateau {
            return (rate * self.scale).max(spec.peak * spec.min_ratio).min(rate);
        }
        rate
    }

    /// Takes in an evaluation: clean and masked validation loss in nats per token. Says what changed, if anything.
    pub fn observe(&mut self, spec: &LrSpec, clean: f64, masked: Option<f64>) -> Option<String> {
        if let (Some(gap), Some(masked)) = (spec.gap, masked) {
            // An integral controller in the logarithm: the gap grows with the mask rate, so its sign is known.
            let factor = (gap.gain * (gap.target - (masked - clean))).clamp(-1.0, 1.0).exp();
            let before = self.mask_scale;
            self.mask_scale = (before * factor).clamp(MASK_SCALE.0, MASK_SCALE.1);
            return (self.mask_scale != before).then(|| {
                format!(
                    "loss gap {:.4} against {:.4}: mask rate × {:.3}",
                    masked - clean,
                    gap.target,
                    self.mask_scale
                )
            });
        }
        if spec.policy != LrPolicy::Plateau {
            return None;
        }
        if self.lowest.is_none_or(|lowest| clean < lowest - PLATEAU_MARGIN) {
            self.lowest = Some(clean);
            self.waited = 0;
            return None;
        }
        self.waited += 1;
        if self.waited < spec.patience.max(1) {
            return None;
        }
        self.waited = 0;
        self.scale *= spec.factor;
        Some(format!(
            "validation loss has not fallen for {} evaluations: learning rate × {:.3}",
            spec.patience, self.scale
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(policy: LrPolicy) -> LrSpec {
        LrSpec {
            policy,
            peak: 1e-3,
            min_ratio: 0.1,
            warmup: 0,
            cycles: 1,
            progress: LrProgress::Steps,
            patience: 2,
            factor: 0.5,
            gap: None,
        }
    }

    #[test]
    fn a_plateau_cuts_after_its_patience_and_not_below_the_minimum() {
        let spec = spec(LrPolicy::Plateau);
        let mut state = LrState::default();
        let rate = |state: &LrState| state.learning_rate(&spec, 100, 50.0);
        for loss in [3.0, 2.9, 2.8] {
            assert_eq!(state.observe(&spec, loss, None), None);
        }
        assert_eq!(rate(&state), 1e-3);
        assert_eq!(state.observe(&spec, 2.8, None), None);
        assert!(state.observe(&spec, 2.8, None).is_some_and(|m| m.contains("0.5")));
        assert_eq!(rate(&state), 5e-4);
        for _ in 0..40 {
            state.observe(&spec, 2.8, None);
        }
        assert!((rate(&state) - 1e-4).abs() < 1e-18);
        state.by_hand = Some(0.25);
        assert_eq!(rate(&state), 0.25);
    }

    #[test]
    fn the_gap_controller_settles_at_its_target() {
        let spec = LrSpec { gap: Some(GapControl { target: 0.4, gain: 1.0 }), ..spec(LrPolicy::Constant) };
        let mut state = LrState::default();
        // A model whose loss rises by 2 nats times its mask rate of 0.15 · scale.
        let gap = |state: &LrState| 2.0 * 0.15 * state.mask_scale;
        for _ in 0..60 {
            let masked = 3.0 + gap(&state);
            state.observe(&spec, 3.0, Some(masked));
        }
        assert!((gap(&state) - 0.4).abs() < 1e-3, "{}", gap(&state));
        assert_eq!(state.scale, 1.0);
    }

    #[test]
    fn every_policy_starts_low_peaks_and_ends_at_its_minimum() {
        let moves_otherwise = [LrPolicy::OneCycle, LrPolicy::CosineRestarts];
        for &policy in LrPolicy::ALL.iter().filter(|policy| !moves_otherwise.contains(policy)) {
            let s = LrSchedule { policy, peak: 1e-3, min_ratio: 0.1, warmup: 10, cycles: 1, steps: 1000 };
            assert!((s.at_progress(0.0) - 1e-4).abs() < 1e-12);
            assert!((s.at_progress(10.0) - 1e-3).abs() < 1e-12, "{policy}");
            let flat = matches!(policy, LrPolicy::Constant | LrPolicy::Plateau);
            let end = if flat { 1e-3 } else { 1e-4 };
            assert!((s.at_progress(1000.0) - end).abs() < 1e-12, "{policy}");
            for step in 10..1000 {
                assert!(
                    s.at_progress((step + 1) as f64) <= s.at_progress(step as f64) + 1e-15,
                    "{policy} rises after its warm-up"
                );
            }
        }
    }

    #[test]
    fn one_cycle_holds_in_runs_of_any_length() {
        for steps in [1, 2, 3, 4, 7, 1000] {
            let s = LrSpec { warmup: 50, ..spec(LrPolicy::OneCycle) }.over(steps);
            let rates: Vec<f64> = (0..=steps).map(|step| s.at_progress(step as f64)).collect();
            assert!(
                rates.iter().all(|rate| *rate >= 1e-3 / 25.0 / 1e4 - 1e-15 && *rate <= 1e-3),
                "{rates:?}"
            );
            assert!(
                rates[..steps].iter().any(|rate| *rate > 0.8e-3),
                "{steps} steps come near the peak: {rates:?}"
            );
        }
    }

    #[test]
    fn more_steps_after_a_decayed_schedule_plan_it_again_and_say_so() {
        let spec = spec(LrPolicy::Cosine);
        let said = spec.replanned((100, 200), 100).unwrap();
        assert!(
            said.contains("over 200 steps: it goes on at 5.50e-4") && said.contains("had come to 1.00e-4"),
            "{said}"
        );
        assert_eq!(spec.replanned((100, 100), 50), None);
        assert_eq!(LrSpec { policy: LrPolicy::Constant, ..spec }.replanned((100, 200), 100), None);
    }
}
