//! Dropout of one training pass.

use std::borrow::Cow;

use candle_core::{Result, Tensor};

use crate::tensor::dropout::{Mask, masked};

/// Dropout of one training pass: embeddings, attention weights, and the output of both residual branches of every block,
/// all at the same rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share dropped, in [0, 1).
    pub rate: f64,
    /// Decides every draw of this pass.
    pub key: u64,
}

impl Dropout {
    /// `site` 0 is the embeddings; 1 + 2·layer attention's output, 2 + 2·layer the MLP's; the weights of attention
    /// come behind them.
    fn mask(self, site: usize) -> Option<Mask> {
        (self.rate > 0.0).then(|| Mask::new(self.rate, (self.key, site as u32)))
    }

    /// What drops from the input of the adapter with number `at`, behind all sites of the model itself.
    pub fn adapter(self, layers: usize, at: usize) -> Option<Mask> {
        self.mask(1 + 3 * layers + at)
    }

    /// What drops the outputs of attention and MLP in a block.
    pub fn branches(self, layer: usize) -> [Option<Mask>; 2] {
        [self.mask(1 + 2 * layer), self.mask(2 + 2 * layer)]
    }

    /// What drops the attention weights of a layer.
    pub(in crate::model) fn attention(self, layers: usize, layer: usize) -> Option<Mask> {
        self.mask(1 + 2 * layers + layer)
    }

    /// Drops from the embeddings.
    ///
    /// # Errors
    /// Of the tensor library.
    pub(crate) fn embeddings(dropout: Option<Dropout>, x: Tensor) -> Result<Tensor> {
        apply(dropout.and_then(|dropout| dropout.mask(0)), x)
    }
}

/// Plain rows under a mask, where there is one.
pub(in crate::model) fn dropped(x: &[f32], mask: Option<Mask>) -> Cow<'_, [f32]> {
    let mut x = Cow::Borrowed(x);
    if let Some(mask) = mask {
        mask.apply_all(x.to_mut());
    }
    x
}

/// `x` under a mask, where there is one.
pub(in crate::model) fn apply(mask: Option<Mask>, x: Tensor) -> Result<Tensor> {
    match mask {
        Some(mask) => masked(&x, mask),
        None => Ok(x),
    }
}
