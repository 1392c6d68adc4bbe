//! A layer norm.

use candle_core::{Result, Tensor};

use crate::tensor::gradients::add_to;
use crate::tensor::host::hold;
use crate::tensor::kernels::layer_norm;
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

    /// The norm of rows `x` `[n, D]` on the CPU.
    ///
    /// # Errors
    /// Weights that are not f32 on the CPU.
    pub fn rows(&self, x: &[f32]) -> Result<Vec<f32>> {
        let (weight, bias) = (hold(&self.weight)?, hold(&self.bias)?);
        let mut out = vec![0f32; x.len()];
        layer_norm::forward(x, weight.floats()?, bias.floats()?, self.eps as f32, &mut out);
        Ok(out)
    }

    /// The gradient of rows `x` for that of their norm; those of weight and bias are added to their sums.
    ///
    /// # Errors
    /// As [`LayerNorm::rows`].
    pub fn rows_back(&self, x: &[f32], grad: &[f32]) -> Result<Vec<f32>> {
        let weight = hold(&self.weight)?;
        let (dx, d_weight, d_bias) = layer_norm::backward(x, weight.floats()?, grad, self.eps as f32);
        for (parameter, share) in [(&self.weight, d_weight), (&self.bias, d_bias)] {
            if parameter.track_op() {
                add_to(parameter, |sum| sum.add(share, 1.0))?;
            }
        }
        Ok(dx)
    }
}
