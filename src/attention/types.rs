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
        /// Mean of the last `window` queries that come after the key (SnapKV).
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

/// Queries that `window` looks at unless told otherwise (SnapKV's observation window).
pub const DEFAULT_WINDOW: usize = 16;

/// The score in force.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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

impl Default for ScoreSettings {
    /// Contribution over the distance null, all layers and heads.
    fn default() -> Self {
        ScoreSettings {
            reduction: Reduction::Null,
            contribution: true,
            window: DEFAULT_WINDOW,
            layers: Vec::new(),
            heads: Vec::new(),
        }
    }
}

impl ScoreSettings {
    /// The article's score: literal attention, mean over layers and heads, self included.
    pub fn article() -> Self {
        ScoreSettings::plain_alpha(Reduction::Plain)
    }

    /// `reduction` of α itself, all layers and heads.
    pub fn plain_alpha(reduction: Reduction) -> Self {
        ScoreSettings { reduction, contribution: false, ..ScoreSettings::default() }
    }

    /// Says which layer or head the model does not have, if any.
    pub fn check(&self, n_layer: usize, n_head: usize) -> Result<(), SubsetError> {
        let beyond = |list: &[usize], of: usize| list.iter().copied().find(|&i| i >= of);
        if let Some(layer) = beyond(&self.layers, n_layer) {
            return Err(SubsetError { what: "layer", index: layer, of: n_layer });
        }
        if let Some(head) = beyond(&self.heads, n_head) {
            return Err(SubsetError { what: "head", index: head, of: n_head });
        }
        Ok(())
    }

    /// Whether this layer and head count; duplicates in the lists change nothing.
    pub fn counts(&self, layer: usize, head: usize) -> bool {
        (self.layers.is_empty() || self.layers.contains(&layer))
            && (self.heads.is_empty() || self.heads.contains(&head))
    }

    /// Indices `layer · n_head + head` of everything that counts, ascending.
    pub fn subset(&self, n_layer: usize, n_head: usize) -> Vec<usize> {
        (0..n_layer * n_head).filter(|&lh| self.counts(lh / n_head, lh % n_head)).collect()
    }
}

/// A layer or head that the model does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the score asks for {what} {index}, but the model has {of} (0 to {last})", last = .of.saturating_sub(1))]
pub struct SubsetError {
    pub what: &'static str,
    pub index: usize,
    pub of: usize,
}

impl SubsetError {
    pub fn hint(&self) -> Option<String> {
        Some(format!("an empty list of {}s means all of them", self.what))
    }
}
