//! What is predicted after any token of the text, not only the last.

use std::sync::Arc;

use super::explorer::{ExploreError, Explorer};
use super::pass::Pass;
use super::types::Prediction;

impl Explorer {
    /// `ln p` over the vocabulary after the position asked for; `None` where the pass does not have its token.
    pub(super) fn after(&self, run: &Pass) -> Result<Option<Arc<Vec<f32>>>, ExploreError> {
        match self.position.filter(|i| i + 1 < self.ids.len()) {
            None => Ok(Some(run.last.clone())),
            Some(i) => Ok(run.after(&self.loaded.model, i)?),
        }
    }

    /// What a pass predicts after the position asked for.
    ///
    /// # Errors
    /// Of the model.
    pub fn prediction(&self, run: &Pass, top: usize) -> Result<Prediction, ExploreError> {
        let after = self.after(run)?.unwrap_or_default();
        Ok(run.prediction_of(&after, self.loaded.tokenizer.as_ref(), top))
    }
}
