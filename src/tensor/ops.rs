//! Differentiable row-wise operators: layer norm, linear with bias, activation. On the CPU they are the kernels of
//! this room, on a GPU those of `fused`; elsewhere candle's own operators, which have a backward as well.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};

use super::device::{Way, way};
use super::fused;
use super::host::{slice, with_slice};
use super::kernels::activation::{self, Activation, GELU_BOUND, LEAK, QUICK};
use super::kernels::layer_norm;
use super::kernels::matmul::{Threads, View, matmul, product_of};
use super::kernels::sums::column_sums;

struct LayerNormOp {
    eps: f32,
}

impl CustomOp3 for LayerNormOp {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        gain: &CpuStorage,
        lg: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, lx, self.name())?;
        let (gain, bias) = (slice(gain, lg, self.name())?, slice(bias, lb, self.name())?);
        let (out, _) = layer_norm::made(x, gain, bias, self.eps);
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gain: &Tensor,
        _bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dg, db) = with_slice(x, |x| {
            let moments = layer_norm::moments(x, gain.elem_count(), self.eps);
            with_slice(gain, |gain| {
                with_slice(grad, |dy| {
                    layer_norm::backward(layer_norm::Back { x, moments: &moments, gain, dy, plus: None })
                })
            })
        })???;
        let (device, d) = (x.device(), gain.dims1()?);
        Ok((
            Some(Tensor::from_vec(dx, x.shape(), device)?),
            Some(Tensor::from_vec(dg, d, device)?),
            Some(Tensor::from_vec(db, d, device)?),
        ))
    }
}

/// Layer norm over the last axis of `x` `[…, D]` with `gain` and `bias` `[D]`.
pub fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    match way(x.device()) {
        Way::Host => return x.contiguous()?.apply_op3(gain, bias, LayerNormOp { eps: eps as f32 }),
        Way::Fused => {
            return fused::layer_norm(x, &gain.to_dtype(DType::F32)?, &bias.to_dtype(DType::F32)?, eps);
        }
        Way::Composed => {}
    }
    let x32 = x.to_dtype(DType::F32)?;
    let centred = x32.broadcast_sub(&x32.mean_keepdim(candle_core::D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(candle_core::D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let (gain, bias) = (gain.to_dtype(DType::F32)?, bias.to_dtype(DType::F32)?);
    normed.broadcast_mul(&gain)?.broadcast_add(&bias)?.to_dtype(x.dtype())
}

struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (slice(x, lx, self.name())?, slice(weight, lw, self.name())?);
        let bias = slice(bias, lb, self.name())?;
        let (k, n) = lw.shape().dims2()?;
        let rows = x.len() / k;
        let mut out = Vec::with_capacity(rows * n);
        (0..rows).for_each(|_| out.extend_from_slice(bias));
        matmul(&mut out, n, View::new(x, rows, k), View::new(weight, k, n), 1.0, 1.0, Threads::Pool);
        let mut dims = lx.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = n;
        }
        Ok((CpuStorage::F32(out), Shape::from(dims)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (k, n) = weight.dims2()?;
        // A frozen weight costs nothing: its gradient is a third of all arithmetic.
        let wanted = Wanted { x: x.track_op(), weight: weight.track_op(), bias: bias.track_op() };
        let (dx, dw, db) = with_slice(x, |x| {
            with_slice(weight, |weight| {
                with_slice(grad, |grad| linear_backward(x, weight, grad, (k, n), wanted))
            })
        })???;
        let device = x.device();
        Ok((
            dx.map(|dx| Tensor::from_vec(dx, x.shape(), device)).transpose()?,
            dw.map(|dw| Tensor::from_vec(dw, (k, n), device)).transpose()?,
            db.map(|db| Tensor::from_vec(db, n, device)).transpose()?,
        ))
    }
}

/// Which arguments of a linear operator lead to a variable.
#[derive(Clone, Copy)]
struct Wanted {
    x: bool,
    weight: bool,
    bias: bool,
}

/// `(dx, dW, db)`, those that were wanted.
type Gradients = (Option<Vec<f32>>, Option<Vec<f32>>, Option<Vec<f32>>);

/// Gradients of `x W + b`.
fn linear_backward(
    x: &[f32],
    weight: &[f32],
    grad: &[f32],
    (k, n): (usize, usize),
    wanted: Wanted,
) -> Gradients {
    let rows = x.len() / k;
    let (g, x) = (View::new(grad, rows, n), View::new(x, rows, k));
    let dx = wanted.x.then(|| product_of(g, View::new(weight, k, n).t()));
    let dw = wanted.weight.then(|| product_of(x.t(), g));
    (dx, dw, wanted.bias.then(|| column_sums(grad, n)))
}

/// `x W + b` with `x` `[…, in]`, `weight` `[in, out]` (the Conv1D layout of GPT-2 checkpoints), `bias` `[out]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let way = way(x.device());
    if way == Way::Host {
        return x.contiguous()?.apply_op3(weight, bias, Linear);
    }
    let (k, n) = weight.dims2()?;
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = n;
    }
    let product = x.reshape(((), k))?.matmul(weight)?;
    let sum = match way {
        Way::Fused => fused::add_bias(&product, &bias.to_dtype(DType::F32)?)?,
        _ => product.broadcast_add(bias)?,
    };
    sum.reshape(dims)
}

struct Activate(Activation);

impl CustomOp1 for Activate {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, lx, self.name())?;
        let mut out = vec![0f32; x.len()];
        activation::forward(self.0, x, &mut out);
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_slice(x, |x| with_slice(grad, |grad| activation::backward(self.0, x, grad)))??;
        Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
    }
}

/// The activation, elementwise.
pub fn activate(x: &Tensor, kind: Activation) -> Result<Tensor> {
    // Each of these has a backward.
    match (way(x.device()), kind) {
        (Way::Host, _) => x.contiguous()?.apply_op1(Activate(kind)),
        (Way::Fused, Activation::GeluNew) => fused::gelu(x),
        (_, Activation::GeluNew) => x.gelu(),
        (_, Activation::Gelu) => x.gelu_erf(),
        (_, Activation::Relu) => x.relu(),
        (_, Activation::Silu) => x.silu(),
        (_, kind) => composed(x, kind),
    }
}

/// A rarer activation of operators that run on every device. Two have none there that is exact where `eˣ` is lost
/// beside 1: those are computed on the host.
fn composed(x: &Tensor, kind: Activation) -> Result<Tensor> {
    let sigmoid = |x: &Tensor| ((x * 0.5)?.tanh()? + 1.0)? * 0.5;
    match kind {
        Activation::Gelu10 => x.gelu_erf()?.clamp(-GELU_BOUND, GELU_BOUND),
        Activation::QuickGelu => x * sigmoid(&(x * QUICK)?)?,
        Activation::Relu2 => x.relu()?.sqr(),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu => x.relu()? - (x.neg()?.relu()? * LEAK)?,
        Activation::HardSwish => x * ((x + 3.0)?.clamp(0.0, 6.0)? / 6.0)?,
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid(x),
        Activation::Linear => Ok(x.clone()),
        _ => {
            let host = x.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
            host.apply_op1(Activate(kind))?.to_dtype(x.dtype())?.to_device(x.device())
        }
    }
}
