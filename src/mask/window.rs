//! How a window rolls along a text: sizes, decay, cool-down, and who decides.

use super::initial::Pattern;
use super::presets::{Budget, DMS_WINDOW, Preset};
use super::types::{MaskSettings, Op};

/// Tokens before the first boundary, by default.
pub const WINDOW: usize = 256;
/// Tokens between boundaries, by default.
pub const STRIDE: usize = 128;
/// ρ by default.
pub const DECAY: f64 = 0.9;
/// Newest tokens a threshold may not touch, by default.
pub const RECENT: usize = 64;

/// Who decides at a boundary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// τ, p and polarity of the mask settings, on the history-corrected score.
    Threshold,
    /// A cache policy and its budget (`dms-like` has none).
    Preset(Preset, Budget),
}

/// How a window rolls along a text.
#[derive(Clone, Debug, PartialEq)]
pub struct RollingSettings {
    /// Tokens before the first boundary; at most the context.
    pub window: usize,
    /// Tokens between boundaries; at most the context.
    pub stride: usize,
    /// ρ in [0, 1].
    pub decay: f64,
    /// λ of the history correction.
    pub lambda: f64,
    /// Newest tokens that may not be masked yet.
    pub recent: usize,
    /// Boundaries after a token was masked at which it cannot be masked again, and so is read again (revivable only).
    pub cool_down: u32,
    /// Once masked, masked for good.
    pub sticky: bool,
    /// What masks the first window, before there is attention; `None` leaves it whole.
    pub initial: Option<Pattern>,
    pub policy: Policy,
    /// Every layer and head keeps its own budget instead of one token set for all.
    pub per_head: bool,
}

impl Default for RollingSettings {
    fn default() -> Self {
        RollingSettings {
            window: WINDOW,
            stride: STRIDE,
            decay: DECAY,
            lambda: 1.0,
            recent: RECENT,
            cool_down: 1,
            sticky: true,
            initial: None,
            policy: Policy::Preset(Preset::SnapKvHalf, Budget::default()),
            per_head: false,
        }
    }
}

/// Why a window cannot roll.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RollingError {
    #[error("the {what} is {value}, but must be between 1 and the context of {context} tokens")]
    Size { what: &'static str, value: usize, context: usize },
    #[error("the decay is {0}, not between 0 and 1")]
    Decay(f64),
    #[error("{0} cannot be decided block by block")]
    Op(Op),
    #[error("the budget is {0}, not a share above 0 and up to 1")]
    Share(f64),
    #[error("heads cannot decide for themselves under {0}, which has no budget")]
    PerHead(&'static str),
}

impl RollingError {
    pub fn hint(&self) -> Option<String> {
        match self {
            RollingError::Op(_) => Some("choose hide, evict or keep, or the scope whole".to_owned()),
            RollingError::PerHead(_) => {
                Some("choose a policy with a budget, such as h2o, or turn per-head off".to_owned())
            }
            _ => None,
        }
    }
}

impl RollingSettings {
    /// The settings that a preset implies, on top of these.
    pub fn with_preset(self, preset: Preset, budget: Budget) -> Self {
        RollingSettings {
            decay: preset.decay().unwrap_or(self.decay),
            recent: if preset == Preset::DmsLike { DMS_WINDOW } else { self.recent },
            sticky: true,
            policy: Policy::Preset(preset, budget),
            ..self
        }
    }

    /// Checks sizes against the model's context, and that every operation can be decided block by block: a token
    /// that was read already cannot be replaced, dropped or skipped after the fact.
    pub fn check(&self, mask: &MaskSettings, context: usize) -> Result<(), RollingError> {
        for (what, value) in [("window", self.window), ("stride", self.stride)] {
            if value == 0 || value > context {
                return Err(RollingError::Size { what, value, context });
            }
        }
        if !(0.0..=1.0).contains(&self.decay) {
            return Err(RollingError::Decay(self.decay));
        }
        if let Policy::Preset(_, Budget::Share(share)) = self.policy
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(RollingError::Share(share));
        }
        match self.policy {
            Policy::Threshold if self.per_head => return Err(RollingError::PerHead("a threshold")),
            Policy::Preset(preset, _) if self.per_head && !preset.has_budget() => {
                return Err(RollingError::PerHead(preset.name()));
            }
            _ => {}
        }
        let parts = mask.mix.as_ref().map_or(&[][..], |mix| mix.parts());
        let ops = parts.iter().filter(|p| p.share > 0.0).map(|p| p.op);
        let ops: Vec<Op> = if parts.is_empty() { vec![mask.op] } else { ops.collect() };
        match ops.into_iter().find(|op| !matches!(op, Op::Hide | Op::Evict | Op::Keep)) {
            Some(op) => Err(RollingError::Op(op)),
            None => Ok(()),
        }
    }

    /// Where boundaries fall in a text of `len` tokens: after how many tokens each.
    pub fn boundaries(&self, len: usize) -> impl Iterator<Item = usize> {
        (self.window..len).step_by(self.stride.max(1))
    }
}
