//! How a window rolls along a text: sizes, decay, cool-down, and who decides.

use super::initial::Pattern;
use super::presets::{Budget, CachePolicy, DMS_WINDOW};
use super::types::{MaskSettings, Op};
use crate::settings::settings;

/// What decides at a boundary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// τ, p and polarity of the mask settings, on the history-corrected score.
    Threshold,
    /// A cache policy and its budget (`dms-like` has none).
    Cache(CachePolicy, Budget),
}

settings! {
    /// How a window rolls along a text under scope block
    pub struct RollingSettings in "mask" {
        /// What decides at a boundary: τ, p and polarity, or a cache policy with its budget
        policy: Option<CachePolicy> = None;
        /// Share of the tokens read so far that the policy keeps
        budget: f64 = 0.5, range(0.01, 1.0, 0.05, 0.01) => |r| r.by_budget();
        /// Every head keeps its own budget, instead of one token set for all
        per_head: bool = false, label("per head") => |r| r.by_budget();
        /// Tokens before the first boundary
        /// Small, so that a sentence has some boundaries; at most the context.
        window: usize = 16, label("first window"), whole(1, 65_536), step(8), unit("tokens");
        /// Tokens between boundaries
        stride: usize = 8, whole(1, 65_536), step(8), unit("tokens");
        /// Newest tokens that are not masked yet
        recent: usize = 4, whole(0, 4096), unit("tokens") => |r| r.policy.is_none();
        /// Share of the attention received that is kept at each boundary
        decay: f64 = 0.9, symbol("ρ"), range(0.0, 1.0, 0.02, 0.002) => |r| r.policy.is_none();
        /// How strongly often-masked tokens are spared; 0 is off
        history: f64 = 1.0, symbol("λ"), range(0.0, 10.0, 0.5, 0.1) => |r| r.policy.is_none();
        /// Once masked at a boundary, masked for good (eviction); off: may come back
        sticky: bool = true => |r| r.policy.is_none();
        /// After being masked, a token cannot be masked again for this many boundaries
        cool_down: u32 = 0, label("cool-down"), whole(0, 1000), unit("boundaries")
            => |r| r.policy.is_none() && !r.sticky;
        /// Pattern that masks before attention is known: the first window (block), or everything in place of the score
        initial: Option<Pattern> = None => |r| !r.by_budget();
    } with {
        /// A budget in tokens in place of the share.
        tokens: Option<usize> = None;
    }
}

/// Why a window cannot roll.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RollingError {
    #[error("the {what} is {value}, but must be between 1 and the context of {context} tokens")]
    Size { what: &'static str, value: usize, context: usize },
    #[error("the decay is {0}, not between 0 and 1")]
    Decay(f64),
    #[error("operation {0} is not available with scope block")]
    Op(Op),
    #[error("the budget is {0}, not a share above 0 and up to 1")]
    Share(f64),
    #[error("per-head masking is not available under {0}, which has no budget")]
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
    /// What decides at a boundary.
    pub fn decider(&self) -> Policy {
        let budget = self.tokens.map_or(Budget::Share(self.budget), Budget::Tokens);
        self.policy.map_or(Policy::Threshold, |preset| Policy::Cache(preset, budget))
    }

    /// With another one deciding, and what it implies left aside.
    pub fn by(self, policy: Policy) -> Self {
        match policy {
            Policy::Threshold => RollingSettings { policy: None, ..self },
            Policy::Cache(preset, Budget::Share(budget)) => {
                RollingSettings { policy: Some(preset), budget, tokens: None, ..self }
            }
            Policy::Cache(preset, Budget::Tokens(n)) => {
                RollingSettings { policy: Some(preset), tokens: Some(n), ..self }
            }
        }
    }

    /// Whether a policy with a budget decides, which asks neither τ nor p.
    pub fn by_budget(&self) -> bool {
        self.policy.is_some_and(CachePolicy::has_budget)
    }

    /// The settings that a preset implies, on top of these.
    pub fn with_cache_policy(self, preset: CachePolicy, budget: Budget) -> Self {
        let (share, tokens) = match budget {
            Budget::Share(share) => (share, None),
            Budget::Tokens(n) => (self.budget, Some(n)),
        };
        RollingSettings {
            decay: preset.decay().unwrap_or(self.decay),
            recent: if preset == CachePolicy::DmsLike { DMS_WINDOW } else { self.recent },
            sticky: true,
            policy: Some(preset),
            budget: share,
            tokens,
            ..self
        }
    }

    /// With what its policy implies.
    pub fn settled(self) -> Self {
        match self.decider() {
            Policy::Cache(preset, budget) => self.with_cache_policy(preset, budget),
            Policy::Threshold => self,
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
        if let Policy::Cache(_, Budget::Share(share)) = self.decider()
            && !(share > 0.0 && share <= 1.0)
        {
            return Err(RollingError::Share(share));
        }
        match self.decider() {
            Policy::Threshold if self.per_head => return Err(RollingError::PerHead("a threshold")),
            Policy::Cache(preset, _) if self.per_head && !preset.has_budget() => {
                return Err(RollingError::PerHead(preset.name()));
            }
            _ => {}
        }
        let parts = mask.mix.as_ref().map_or(&[][..], |mix| mix.parts());
        let ops = parts.iter().filter(|p| p.share > 0.0).map(|p| p.op);
        let ops: Vec<Op> = if parts.is_empty() { vec![mask.op] } else { ops.collect() };
        match ops.into_iter().find(|op| !op.works_in_blocks()) {
            Some(op) => Err(RollingError::Op(op)),
            None => Ok(()),
        }
    }

    /// Where boundaries fall in a text of `len` tokens: after how many tokens each.
    pub fn boundaries(&self, len: usize) -> impl Iterator<Item = usize> {
        (self.window..len).step_by(self.stride.max(1))
    }
}
