//! Random weights of well-known shapes, so that anyone can repeat a measurement without a download.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use crate::model::Model;
use crate::model::family::{Parameter, ParameterRole};
pub use crate::model::gpt2::shape::BenchShape;
use crate::support::random::splitmix64;

/// The model with random weights: uniform with GPT-2's standard deviation (0.02, residual projections divided by
/// √(2·layers)), gains 1, biases 0. Nothing about its speed depends on the values.
///
/// # Errors
/// A device that takes no tensors.
pub fn model(shape: BenchShape, seed: u64, device: &Device) -> anyhow::Result<Model> {
    let config = shape.config()?;
    let mut tensors = HashMap::new();
    for (at, Parameter { name, shape, role, .. }) in config.named_parameters().into_iter().enumerate() {
        let n: usize = shape.iter().product();
        let values = match role {
            _ if role.is_bias() => vec![0.0; n],
            ParameterRole::NormWeight => vec![1.0; n],
            _ => {
                let scale = if role.is_residual() { 1.0 / (2.0 * config.n_layer as f32).sqrt() } else { 1.0 };
                uniform(n, 0.02 * scale, seed ^ ((at as u64) << 32))
            }
        };
        let tensor = Tensor::from_vec(values, shape, device);
        tensors.insert(name, tensor?);
    }
    Ok(Model::from_tensors(&config, &tensors, device)?)
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
    fn weights_have_their_spread() {
        let values = uniform(100_000, 0.02, 7);
        let sd = (values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / values.len() as f64).sqrt();
        assert!((sd - 0.02).abs() < 2e-4, "{sd}");
    }
}
