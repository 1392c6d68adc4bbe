//! Plain twins: the definition of every fused operator, written to be read, in f64. Tests compare the fast kernels
//! with them; nothing else calls them.

use super::activation::Activation;
use super::attention::{Rows, Shape};

/// Layer norm of every row of width `gain.len()`.
pub fn layer_norm(x: &[f32], gain: &[f32], bias: &[f32], eps: f32) -> Vec<f64> {
    let d = gain.len();
    let mut out = Vec::with_capacity(x.len());
    for row in x.chunks(d) {
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / d as f64;
        let var = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / d as f64;
        for i in 0..d {
            let hat = (f64::from(row[i]) - mean) / (var + f64::from(eps)).sqrt();
            out.push(hat * f64::from(gain[i]) + f64::from(bias[i]));
        }
    }
    out
}

/// One activation.
pub fn activation(kind: Activation, x: f64) -> f64 {
    match kind {
        Activation::GeluNew => {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            0.5 * x * (1.0 + (c * (x + 0.044_715 * x.powi(3))).tanh())
        }
        Activation::Gelu => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
        Activation::Relu => x.max(0.0),
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu10 => activation(Activation::Gelu, x).clamp(-10.0, 10.0),
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Relu2 => x.max(0.0) * x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu => {
            if x > 0.0 {
                x
            } else {
                0.01 * x
            }
        }
        Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
        Activation::Mish => x * (1.0 + x.exp()).ln().tanh(),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        #[allow(clippy::approx_constant)] // The rounded number is that of the library.
        Activation::Laplace => 0.5 * (1.0 + libm::erf((x - 0.707_107) / (0.282_095 * 2f64.sqrt()))),
        Activation::SqrtSoftplus => (1.0 + x.exp()).ln().sqrt(),
        Activation::Linear => x,
    }
}

/// Attention weights of query `r` of head `h` of sequence `b`, `[keys]`.
pub fn attention_row(shape: &Shape, q: Rows, k: Rows, (b, h, r): (usize, usize, usize)) -> Vec<f64> {
    let d = shape.head_dim;
    let limit = if shape.causal { (shape.start + r + 1).min(shape.keys) } else { shape.keys };
    let query = &q.data[b * q.batch_stride + r * q.row_stride + h * d..][..d];
    let mut row = vec![0f64; shape.keys];
    for (i, cell) in row.iter_mut().enumerate().take(limit) {
        let key = &k.data[b * k.batch_stride + i * k.row_stride + h * d..][..d];
        let dot: f64 = query.iter().zip(key).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
        let bias = shape
            .bias
            .map_or(0.0, |bias| bias.data[b * bias.batch_stride + h * bias.head_stride + r * shape.keys + i]);
        *cell = (dot * f64::from(shape.scale) + f64::from(bias)).exp();
    }
    let total: f64 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= total);
    row
}

/// Attention output, `[batch, queries, heads · head_dim]`.
pub fn attention(shape: &Shape, q: Rows, k: Rows, v: Rows) -> Vec<f64> {
    let d = shape.head_dim;
    let mut out = Vec::new();
    for b in 0..shape.batch {
        for r in 0..shape.queries {
            for h in 0..shape.heads {
                let row = attention_row(shape, q, k, (b, h, r));
                for j in 0..d {
                    let value = |i: usize| v.data[b * v.batch_stride + i * v.row_stride + h * d + j];
                    out.push(row.iter().enumerate().map(|(i, w)| w * f64::from(value(i))).sum());
                }
            }
        }
    }
    out
}

/// Mean cross-entropy of `logits` `[rows, vocab]` against `targets`, in nats; `None` targets are left out.
pub fn cross_entropy(logits: &[f32], vocab: usize, targets: &[Option<u32>]) -> f64 {
    let mut total = 0.0;
    let mut count = 0usize;
    for (row, target) in logits.chunks(vocab).zip(targets) {
        let Some(target) = target else { continue };
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        total += sum.ln() - f64::from(row[*target as usize]);
        count += 1;
    }
    total / count.max(1) as f64
}
