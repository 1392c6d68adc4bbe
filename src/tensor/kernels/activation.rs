//! The activation functions that GPT-2 checkpoints name, forward and derivative.

use multiversion::multiversion;
use rayon::prelude::*;

use super::exp::exp;

/// `activation_function` of `config.json`, by formula: several names share one (see [`Activation::NAMES`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `0.5 x (1 + tanh u)`, `u = √(2/π) (x + 0.044715 x³)` (Hendrycks and Gimpel, 1606.08415; GPT-2's own); computed as
    /// the same `x · σ(2u)`, which needs one exponential and no subtraction.
    GeluNew,
    /// `0.5 x (1 + erf(x / √2))`.
    Gelu,
    /// The exact GELU clipped to ±10 (2004.09602).
    Gelu10,
    /// `x · σ(1.702 x)`.
    QuickGelu,
    Relu,
    /// `max(x, 0)²` (2109.08668).
    Relu2,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x` above 0, `0.01 x` below.
    LeakyRelu,
    /// `x · σ(x)`.
    Silu,
    /// `x · relu6(x + 3) / 6`.
    HardSwish,
    /// `x · tanh(ln(1 + eˣ))` (1908.08681).
    Mish,
    Tanh,
    /// `σ(x)`.
    Sigmoid,
    /// `0.5 (1 + erf((x − μ) / (σ √2)))`, `μ = 0.707107`, `σ = 0.282095` (2209.10655).
    Laplace,
    /// `√(ln(1 + eˣ))`.
    SqrtSoftplus,
    /// `x`.
    Linear,
}

/// Centre and width of [`Activation::Laplace`].
#[allow(clippy::approx_constant)] // The rounded numbers are those of the library.
pub const LAPLACE: (f64, f64) = (0.707_107, 0.282_095);

/// Bound of [`Activation::Gelu10`].
pub const GELU_BOUND: f64 = 10.0;

/// Factor inside [`Activation::QuickGelu`].
pub const QUICK: f64 = 1.702;

/// Slope of [`Activation::LeakyRelu`] below 0.
pub const LEAK: f64 = 0.01;

/// `2 √(2/π)`.
const TWICE_SQRT: f32 = 1.595_769;
/// `0.044715 · 2 √(2/π)`.
const TWICE_CUBIC: f32 = 0.071_354_814;

/// Standard normal distribution function; through `erfc`, which keeps its precision in the left tail.
fn normal_cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x / std::f64::consts::SQRT_2)
}

/// `1 / (1 + e⁻ˣ)`.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + eˣ)` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Slope of the exact GELU.
fn gelu_slope(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    normal_cdf(x) + x * density
}

impl Activation {
    /// Every name that transformers takes for GPT-2 and that has no parameters of its own (`ACT2FN` of
    /// `transformers/activations.py`), with its formula. `gelu_new`, `gelu_fast`, `gelu_accurate` and the two tanh
    /// forms differ only in rounding.
    pub const NAMES: [(&str, Activation); 22] = [
        ("gelu_new", Activation::GeluNew),
        ("gelu_fast", Activation::GeluNew),
        ("gelu_accurate", Activation::GeluNew),
        ("gelu_pytorch_tanh", Activation::GeluNew),
        ("gelu_python_tanh", Activation::GeluNew),
        ("gelu", Activation::Gelu),
        ("gelu_python", Activation::Gelu),
        ("gelu_10", Activation::Gelu10),
        ("quick_gelu", Activation::QuickGelu),
        ("relu", Activation::Relu),
        ("relu2", Activation::Relu2),
        ("relu6", Activation::Relu6),
        ("leaky_relu", Activation::LeakyRelu),
        ("silu", Activation::Silu),
        ("swish", Activation::Silu),
        ("hardswish", Activation::HardSwish),
        ("mish", Activation::Mish),
        ("tanh", Activation::Tanh),
        ("sigmoid", Activation::Sigmoid),
        ("laplace", Activation::Laplace),
        ("sqrtsoftplus", Activation::SqrtSoftplus),
        ("linear", Activation::Linear),
    ];

    /// The activation of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        match self {
            Activation::GeluNew => x / (1.0 + exp(-x * (TWICE_SQRT + TWICE_CUBIC * (x * x)))),
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + exp(-x)),
            other => other.exact(f64::from(x)) as f32,
        }
    }

    /// The rarer ones, in f64: what they cost beside a matrix product does not matter.
    fn exact(self, x: f64) -> f64 {
        match self {
            Activation::GeluNew | Activation::Relu | Activation::Silu => f64::from(self.value(x as f32)),
            Activation::Gelu => x * normal_cdf(x),
            Activation::Gelu10 => (x * normal_cdf(x)).clamp(-GELU_BOUND, GELU_BOUND),
            Activation::QuickGelu => x * sigmoid(QUICK * x),
            Activation::Relu2 => x.max(0.0).powi(2),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu => x.max(LEAK * x),
            Activation::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Activation::Mish => x * softplus(x).tanh(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => sigmoid(x),
            Activation::Laplace => normal_cdf((x - LAPLACE.0) / LAPLACE.1),
            Activation::SqrtSoftplus => softplus(x).sqrt(),
            Activation::Linear => x,
        }
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        match self {
            Activation::GeluNew => gelu_new(x).1,
            Activation::Relu => f32::from(u8::from(x > 0.0)),
            Activation::Silu => {
                let s = 1.0 / (1.0 + exp(-x));
                s * (1.0 + x * (1.0 - s))
            }
            other => other.exact_slope(f64::from(x)) as f32,
        }
    }

    /// As [`Activation::exact`]; at a kink what PyTorch takes.
    fn exact_slope(self, x: f64) -> f64 {
        let inside = |yes: bool| f64::from(u8::from(yes));
        match self {
            Activation::GeluNew | Activation::Relu | Activation::Silu => f64::from(self.slope(x as f32)),
            Activation::Gelu => gelu_slope(x),
            Activation::Gelu10 => inside((x * normal_cdf(x)).abs() <= GELU_BOUND) * gelu_slope(x),
            Activation::QuickGelu => {
                let s = sigmoid(QUICK * x);
                s + QUICK * x * s * (1.0 - s)
            }
            Activation::Relu2 => 2.0 * x.max(0.0),
            Activation::Relu6 => inside(x > 0.0 && x < 6.0),
            Activation::LeakyRelu => {
                if x > 0.0 {
                    1.0
                } else {
                    LEAK
                }
            }
            Activation::HardSwish => {
                if x >= 3.0 {
                    1.0
                } else {
                    inside(x > -3.0) * (x / 3.0 + 0.5)
                }
            }
            Activation::Mish => {
                let t = softplus(x).tanh();
                t + x * (1.0 - t * t) * sigmoid(x)
            }
            Activation::Tanh => 1.0 - x.tanh().powi(2),
            Activation::Sigmoid => sigmoid(x) * sigmoid(-x),
            Activation::Laplace => {
                let z = (x - LAPLACE.0) / LAPLACE.1;
                (-0.5 * z * z).exp() / (LAPLACE.1 * (2.0 * std::f64::consts::PI).sqrt())
            }
            Activation::SqrtSoftplus => sigmoid(x) / (2.0 * softplus(x).sqrt()),
            Activation::Linear => 1.0,
        }
    }
}

/// Value and slope of [`Activation::GeluNew`].
#[inline(always)]
fn gelu_new(x: f32) -> (f32, f32) {
    let e = exp(-x * (TWICE_SQRT + TWICE_CUBIC * (x * x)));
    let s = 1.0 / (1.0 + e);
    // 1 − σ is e σ, exactly where σ is almost 1.
    (x * s, s + x * s * (e * s) * (TWICE_SQRT + 3.0 * TWICE_CUBIC * (x * x)))
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn gelu_new_forward(x: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(x).for_each(|(o, &x)| *o = Activation::GeluNew.value(x));
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn gelu_new_backward(x: &[f32], dy: &mut [f32]) {
    dy.iter_mut().zip(x).for_each(|(dy, &x)| *dy *= gelu_new(x).1);
}

/// The derivative and the value share their exponential.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn gelu_new_both(x: &[f32], dy: &mut [f32], out: &mut [f32]) {
    for ((dy, &x), out) in dy.iter_mut().zip(x).zip(out) {
        let (value, slope) = gelu_new(x);
        *out = value;
        *dy *= slope;
    }
}

/// Elements one task handles.
const CHUNK: usize = 4096;

/// `out = f(x)`, elementwise.
pub fn forward(kind: Activation, x: &[f32], out: &mut [f32]) {
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| stretch(kind, x, out));
}

/// As [`forward`] on this thread.
pub fn stretch(kind: Activation, x: &[f32], out: &mut [f32]) {
    match kind {
        Activation::GeluNew => gelu_new_forward(x, out),
        _ => out.iter_mut().zip(x).for_each(|(o, &x)| *o = kind.value(x)),
    }
}

/// `dy ← dy · f'(x)`, and `out = f(x)` where it is wanted, elementwise, on this thread.
pub fn stretch_back(kind: Activation, x: &[f32], dy: &mut [f32], out: Option<&mut [f32]>) {
    match (kind, out) {
        (Activation::GeluNew, Some(out)) => gelu_new_both(x, dy, out),
        (Activation::GeluNew, None) => gelu_new_backward(x, dy),
        (_, out) => {
            dy.iter_mut().zip(x).for_each(|(dy, &x)| *dy *= kind.slope(x));
            if let Some(out) = out {
                stretch(kind, x, out);
            }
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn bias_gelu_new(bias: &[f32], values: &mut [f32]) {
    values.iter_mut().zip(bias).for_each(|(x, &b)| *x = Activation::GeluNew.value(*x + b));
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn add_bias(bias: &[f32], values: &mut [f32]) {
    values.iter_mut().zip(bias).for_each(|(x, &b)| *x += b);
}

/// `x ← f(x + b)` on one stretch of a row; `None` means no activation.
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
    let mut dx = dy.to_vec();
    dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(dx, x)| stretch_back(kind, x, dx, None));
    dx
}
