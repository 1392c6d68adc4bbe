//! A layer norm.

use candle_core::{Result, Tensor};

use crate::tensor::gradients::add_to;
use crate::tensor::host::hold;
use crate::tensor::kernels::layer_norm::{self, Moments};
use crate::tensor::ops;

/// A layer norm over rows of width D; `weight` and `bias` are `[D]`.
#[derive(Clone)]
pub struct LayerNorm {
    pub weight: Tensor,
    pub bias: Tensor,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// The norm of `x` `[…, D]`.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }

    /// The norm of rows `x` `[n, D]` on the CPU, and the moments of each, which the way back reads.
    ///
    /// # Errors
    /// Weights that are not f32 on the CPU.
    pub fn rows(&self, x: &[f32]) -> Result<(Vec<f32>, Vec<Moments>)> {
        let (weight, bias) = (hold(&self.weight)?, hold(&self.bias)?);
        Ok(layer_norm::made(x, weight.floats()?, bias.floats()?, self.eps as f32))
    }

    /// The gradient of rows `x` for `dy`, that of their norm, and `plus` added; those of weight and bias are added to their
    /// sums.
    ///
    /// # Errors
    /// As [`LayerNorm::rows`].
    pub fn rows_back(
        &self,
        (x, moments): (&[f32], &[Moments]),
        dy: &[f32],
        plus: &[f32],
    ) -> Result<Vec<f32>> {
        let weight = hold(&self.weight)?;
        let back = layer_norm::Back { x, moments, gain: weight.floats()?, dy, plus: Some(plus) };
        let (dx, d_weight, d_bias) = layer_norm::backward(back);
        for (parameter, share) in [(&self.weight, d_weight), (&self.bias, d_bias)] {
            if parameter.track_op() {
                add_to(parameter, |sum| sum.add(share, 1.0))?;
            }
        }
        Ok(dx)
    }
}
