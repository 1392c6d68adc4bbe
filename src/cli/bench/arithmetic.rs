//! How much arithmetic a case is, by its definition: what a kernel computes twice counts once.

use crate::model::Config;
use crate::tensor::kernels::peak::Operands;

/// The arithmetic of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arithmetic {
    /// Multiplications and additions.
    pub operations: f64,
    /// What the processor multiplies; `None` where another device works.
    pub operands: Option<Operands>,
}

/// Sizes of a model that its arithmetic depends on.
#[derive(Clone, Copy, Debug)]
pub struct ModelSizes {
    pub layers: usize,
    pub width: usize,
    pub vocabulary: usize,
    /// Numbers in the matrices of one layer.
    pub matrices: f64,
}

impl ModelSizes {
    pub fn of(config: &Config) -> Self {
        ModelSizes {
            layers: config.n_layer,
            width: config.n_embd,
            vocabulary: config.vocab_size,
            matrices: config.multiply_adds_per_row() as f64,
        }
    }

    /// Multiply-adds of a forward pass over `tokens` tokens with all logits: every matrix once for each token, and the causal half of
    /// the products with keys and values.
    pub fn forward(&self, tokens: f64) -> f64 {
        let (layers, width) = (self.layers as f64, self.width as f64);
        tokens * (layers * self.matrices + self.vocabulary as f64 * width) + layers * width * tokens * tokens
    }

    /// Multiply-adds of a training step over `sequences` of `tokens`. The way back takes twice what the way there takes, half of it
    /// for the gradients of matrices; with adapters, the matrices get none.
    pub fn step(&self, sequences: usize, tokens: f64, adapters: bool) -> f64 {
        let attention = self.layers as f64 * self.width as f64 * tokens * tokens;
        let matrices = self.forward(tokens) - attention;
        let times = if adapters { 2.0 } else { 3.0 };
        sequences as f64 * (times * matrices + 3.0 * attention)
    }
}

/// A multiply-add is two operations.
pub fn operations(multiply_adds: f64) -> f64 {
    2.0 * multiply_adds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::gpt2::shape::BenchShape;

    #[test]
    fn gpt2_small_takes_what_its_sizes_say() {
        let sizes = ModelSizes::of(&BenchShape::Small.config().unwrap());
        let (block, head, attention) = (12.0 * 768.0 * 768.0, 768.0 * 50257.0, 12.0 * 768.0 * 256.0 * 256.0);
        let forward = 256.0 * (12.0 * block + head) + attention;
        assert_eq!(sizes.forward(256.0), forward);
        assert_eq!(sizes.step(2, 256.0, false), 2.0 * 3.0 * forward);
        let adapters = 2.0 * (2.0 * (forward - attention) + 3.0 * attention);
        assert_eq!(sizes.step(2, 256.0, true), adapters);
    }
}
