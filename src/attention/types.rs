//! What a score is made of: source, direction and reduction, normalisation, layers and heads.

use crate::settings::{choice, settings};

choice! {
    /// How the attention a key receives becomes one number.
    pub enum Reduction {
        /// attention received ÷ what uniform attention would give: 1 = average
        /// `Σ_{t>i} α[t,i] / Σ_{t>i} 1/(t+1)`.
        Corrected = "corrected",
        /// attention received ÷ what tokens at the same distances receive in this model
        /// Falls back to `corrected` while the model has no calibration.
        DistanceNull = "distance-null" was "null",
        /// sum over later queries (H2O)
        /// `Σ_{t>i} α[t,i]`.
        Sum = "sum",
        /// mean over the last W queries (SnapKV)
        /// Those that come after the key.
        Window = "window",
        /// the last query only (TOVA)
        Last = "last",
        /// corrected, the strongest head instead of the mean
        MaxHeads = "max-heads",
        /// attention roll-out, received from the last query
        Rollout = "rollout",
        /// mean over queries, self included (the article)
        /// Of α[t,i] over t ≥ i.
        Plain = "plain",
    }
}

/// More layers or heads than any checkpoint has.
pub const MAX_INDEX: i64 = 1023;

/// Queries that `window` looks at unless told otherwise (SnapKV's observation window).
pub const DEFAULT_WINDOW: usize = 16;

settings! {
    /// How attention becomes one number per token
    pub struct ScoreSettings: Eq, Hash in "score" {
        /// How the attention a token receives becomes a number
        reduction: Reduction = Reduction::DistanceNull, label("score");
        /// How many of the last queries count for the score window
        window: usize = DEFAULT_WINDOW, label("queries W"), whole(1, 4096), unit("queries")
            => |s| s.reduction == Reduction::Window;
        /// Weigh attention by the size of what it carries, α·‖W_O v‖
        /// (Kobayashi 2020)
        contribution: bool = true;
        /// Layers that count, from 0
        layers: Vec<usize> = Vec::new(), whole(0, MAX_INDEX);
        /// Heads that count, from 0
        heads: Vec<usize> = Vec::new(), whole(0, MAX_INDEX);
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
#[error("the score uses {what} {index}, but the model has {of} (0 to {last})", last = .of.saturating_sub(1))]
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
