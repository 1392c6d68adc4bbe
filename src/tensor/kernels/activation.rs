//! The activation functions that GPT-2 checkpoints name, forward and derivative.

use multiversion::multiversion;
use rayon::prelude::*;

use super::exp::exp;

/// `activation_function` of `config.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `0.5 x (1 + tanh u)`, `u = √(2/π) (x + 0.044715 x³)` (Hendrycks and Gimpel, 1606.08415; GPT-2's own); computed as
    /// the same `x · σ(2u)`, which needs one exponential and no subtraction.
    GeluNew,
    /// `0.5 x (1 + erf(x / √2))`.
    Gelu,
    Relu,
    /// `x · σ(x)`.
    Silu,
}

/// `2 √(2/π)`.
const TWICE_SQRT: f32 = 1.595_769;
/// `0.044715 · 2 √(2/π)`.
const TWICE_CUBIC: f32 = 0.071_354_814;

/// Standard normal distribution function; through `erfc`, which keeps its precision in the left tail.
fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

impl Activation {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        match self {
            Activation::GeluNew => x / (1.0 + exp(-x * (TWICE_SQRT + TWICE_CUBIC * (x * x)))),
            Activation::Gelu => (f64::from(x) * normal_cdf(f64::from(x))) as f32,
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + exp(-x)),
        }
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        match self {
            Activation::GeluNew => {
                let e = exp(-x * (TWICE_SQRT + TWICE_CUBIC * (x * x)));
                let s = 1.0 / (1.0 + e);
                // 1 − σ is e σ, exactly where σ is almost 1.
                s + x * s * (e * s) * (TWICE_SQRT + 3.0 * TWICE_CUBIC * (x * x))
            }
            Activation::Gelu => {
                let x = f64::from(x);
                let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                (normal_cdf(x) + x * density) as f32
            }
            Activation::Relu => f32::from(u8::from(x > 0.0)),
            Activation::Silu => {
                let s = 1.0 / (1.0 + exp(-x));
                s * (1.0 + x * (1.0 - s))
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn gelu_new_forward(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(o, &x)| *o = Activation::GeluNew.value(x));
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn gelu_new_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
        *dx = dy * Activation::GeluNew.slope(x);
    }
}

/// Elements one task handles.
const CHUNK: usize = 4096;

/// `out = f(x)`, elementwise.
pub fn forward(kind: Activation, x: &[f32], out: &mut [f32]) {
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| match kind {
        Activation::GeluNew => gelu_new_forward(x, out),
        _ => out.iter_mut().zip(x).for_each(|(o, &x)| *o = kind.value(x)),
    });
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn bias_gelu_new(bias: &[f32], values: &mut [f32]) {
    values.iter_mut().zip(bias).for_each(|(x, &b)| *x = Activation::GeluNew.value(*x + b));
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_bias(bias: &[f32], values: &mut [f32]) {
    values.iter_mut().zip(bias).for_each(|(x, &b)| *x += b);
}

/// `x ← f(x + b)` on one stretch of a row; `None` is no activation.
pub fn with_bias(kind: Option<Activation>, bias: &[f32], values: &mut [f32]) {
    match kind {
        Some(Activation::GeluNew) => bias_gelu_new(bias, values),
        other => {
            add_bias(bias, values);
            if let Some(kind) = other {
                values.iter_mut().for_each(|x| *x = kind.value(*x));
            }
        }
    }
}

/// `dx = dy · f'(x)`, elementwise.
pub fn backward(kind: Activation, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = vec![0f32; x.len()];
    dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(dy.par_chunks(CHUNK)).for_each(|((dx, x), dy)| {
        match kind {
            Activation::GeluNew => gelu_new_backward(x, dy, dx),
            _ => dx.iter_mut().zip(x).zip(dy).for_each(|((dx, &x), &dy)| *dx = dy * kind.slope(x)),
        }
    });
    dx
}
