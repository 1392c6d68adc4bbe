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
    pub fn hint(self) -> Option<String> {
        Some(
            match self {
                Degenerate::Nothing => "raise the price of visible tokens, or fix the mask rate",
                Degenerate::Everything => "lower the price of visible tokens, or fix the mask rate",
            }
            .to_owned(),
        )
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
