//! What a score is made of: source, direction and reduction, normalisation, layers and heads.

use crate::named::named;

named! {
    /// How the attention a key receives becomes one number.
    Reduction {
        /// `Σ_{t>i} α[t,i] / Σ_{t>i} 1/(t+1)`: uniform causal attention gives exactly 1 everywhere.
        Corrected = "corrected",
        /// Distance null: received over expected at the same distances in this model (falls back to
        /// `corrected` while the model has no calibration).
        Null = "null",
        /// `Σ_{t>i} α[t,i]` (H2O).
        Sum = "sum",
        /// Mean of the last `window` queries (SnapKV).
        Window = "window",
        /// The last query only (TOVA).
        Last = "last",
        /// Count-corrected, maximum over heads and layers instead of the mean.
        MaxHeads = "max-heads",
        /// Attention roll-out, received from the last query.
        Rollout = "rollout",
        /// Mean over queries t ≥ i of α[t,i], self included (the article).
        Plain = "plain",
    }
}

/// The score in force.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreSettings {
    pub reduction: Reduction,
    /// `α·‖W_O v‖` instead of α (Kobayashi 2020).
    pub contribution: bool,
    /// Queries for `window`.
    pub window: usize,
    /// Layers that count; empty means all.
    pub layers: Vec<usize>,
    /// Heads that count; empty means all.
    pub heads: Vec<usize>,
}
