//! The alarm of a policy that degenerates: it has come to mask nothing, or everything. Pure.

use serde::{Deserialize, Serialize};

/// What a policy has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Degenerate {
    #[error("the policy has learned to mask nothing")]
    Nothing,
    #[error("the policy has learned to mask everything")]
    Everything,
}

impl Degenerate {
    /// What to do about it, where the loss has a price on visible tokens (`train.joint_lambda`) and where it has none.
    pub fn hint(self, priced: bool) -> &'static str {
        match (self, priced) {
            (Degenerate::Nothing, true) => "raise train.joint_lambda, or train without a learned policy",
            (Degenerate::Everything, true) => "lower train.joint_lambda, or train without a learned policy",
            (Degenerate::Nothing, false) => "raise the mask rate",
            (Degenerate::Everything, false) => "lower the mask rate",
        }
    }
}

/// Rates below this, or above 1 less this, are degenerate.
const MARGIN: f64 = 0.01;
/// For so many steps in a row.
const PATIENCE: usize = 10;

/// Watches a policy's realised rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RateWatch {
    low: usize,
    high: usize,
}

impl RateWatch {
    /// Notes the rate that one step came to.
    pub fn note(&mut self, rate: f64) {
        self.low = if rate < MARGIN { self.low + 1 } else { 0 };
        self.high = if rate > 1.0 - MARGIN { self.high + 1 } else { 0 };
    }

    /// What the policy has come to, while it stays there.
    pub fn alarm(&self) -> Option<Degenerate> {
        if self.low >= PATIENCE {
            Some(Degenerate::Nothing)
        } else if self.high >= PATIENCE {
            Some(Degenerate::Everything)
        } else {
            None
        }
    }
}
