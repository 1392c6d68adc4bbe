//! Random weights of well-known shapes, so that anyone can repeat a measurement without a download.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::model::{Config, Gpt2};
use crate::settings::choice;
use crate::support::random::splitmix64;

choice! {
    /// A published GPT-2 shape, or that of the bundled model.
    pub enum Shape {
        Bundled = "bundled",
        Tiny = "tiny",
        Distil = "distilgpt2",
        Small = "gpt2",
        Medium = "gpt2-medium",
        Large = "gpt2-large",
        Xl = "gpt2-xl",
    }
}

impl Shape {
    /// Layers, width and heads.
    fn sizes(self) -> (usize, usize, usize) {
        match self {
            Shape::Bundled => (6, 128, 4),
            Shape::Tiny => (4, 128, 4),
            Shape::Distil => (6, 768, 12),
            Shape::Small => (12, 768, 12),
            Shape::Medium => (24, 1024, 16),
            Shape::Large => (36, 1280, 20),
            Shape::Xl => (48, 1600, 25),
        }
    }

    fn config(self) -> anyhow::Result<Config> {
        let (layers, width, heads) = self.sizes();
        let vocabulary = if self == Shape::Bundled { 4096 } else { 50257 };
        let json = serde_json::json!({
            "model_type": "gpt2", "vocab_size": vocabulary, "n_positions": 1024,
            "n_embd": width, "n_layer": layers, "n_head": heads,
        });
        Ok(Config::parse(json.to_string().as_bytes(), self.name())?)
    }

    /// The model with random weights: uniform with GPT-2's standard deviation (0.02, residual projections divided by
    /// √(2·layers)), gains 1, biases 0. Nothing about its speed depends on the values.
    ///
    /// # Errors
    /// A device that takes no tensors.
    pub fn model(self, seed: u64, device: &Device) -> anyhow::Result<Gpt2> {
        let config = self.config()?;
        let mut tensors = HashMap::new();
        for (at, (name, shape)) in config.expected_tensors().into_iter().enumerate() {
            let n: usize = shape.iter().product();
            let values = match (name.ends_with(".bias"), shape.len()) {
                (true, _) => vec![0.0; n],
                (false, 1) => vec![1.0; n],
                _ => {
                    let residual = name.ends_with("c_proj.weight");
                    let scale = if residual { 1.0 / (2.0 * config.n_layer as f32).sqrt() } else { 1.0 };
                    uniform(n, 0.02 * scale, seed ^ ((at as u64) << 32))
                }
            };
            let tensor = Tensor::from_vec(values, shape, device);
            tensors.insert(name, tensor?);
        }
        Ok(Gpt2::from_tensors(&config, &tensors, device)?)
    }
}

/// Uniform numbers of the given standard deviation, one counter each.
fn uniform(n: usize, sd: f32, seed: u64) -> Vec<f32> {
    let spread = sd * 12f32.sqrt();
    (0..n as u64)
        .into_par_iter()
        .map(|i| {
            let unit = (splitmix64(seed, i) >> 40) as f32 / (1u32 << 24) as f32;
            (unit - 0.5) * spread
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_published_sizes() {
        let millions = |s: Shape| s.config().unwrap().parameters() / 1_000_000;
        assert_eq!([Shape::Distil, Shape::Small, Shape::Medium].map(millions), [81, 124, 354]);
        assert_eq!([Shape::Large, Shape::Xl].map(millions), [774, 1557]);
    }

    #[test]
    fn weights_have_their_spread() {
        let values = uniform(100_000, 0.02, 7);
        let sd = (values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        assert!((sd - 0.02).abs() < 2e-4, "{sd}");
    }
}
