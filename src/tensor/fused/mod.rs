//! The operators of a GPU: row-wise work in one kernel each, with their gradients; products stay with the library.
//! Where the kernels do not prove themselves at the start, composed operators take their place.

#[cfg(feature = "cuda")]
mod gpu;
pub mod launch;
pub mod prove;
pub mod twin;

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor, Var};

use super::dropout::Mask;
use launch::{Call, Kernel, Rules};

/// A call over the rows of `x` whose output is like it.
fn rows(kernel: Kernel, x: &Tensor, rules: Rules) -> Result<Call> {
    let width = x.dim(D::Minus1)?;
    let blocks = x.elem_count() / width.max(1);
    let rules = Rules { rows: blocks as i32, width: width as i32, ..rules };
    Ok(Call { kernel, rules, blocks, shape: x.shape().clone(), dtype: x.dtype() })
}

/// Gradients of an operator's three arguments, from them, its result and the result's gradient.
type Back = fn(&Rules, [&Tensor; 3], &Tensor, &Tensor) -> Result<[Option<Tensor>; 3]>;

/// A call with a gradient.
struct Differentiable {
    call: Call,
    back: Back,
}

impl Differentiable {
    fn of(self, x: &Tensor, y: Option<&Tensor>, z: Option<&Tensor>) -> Result<Tensor> {
        let x = x.contiguous()?;
        let other = x.detach();
        let whole = |t: Option<&Tensor>| t.map_or_else(|| Ok(other.clone()), Tensor::contiguous);
        x.apply_op3(&whole(y)?, &whole(z)?, self)
    }
}

impl CustomOp3 for Differentiable {
    fn name(&self) -> &'static str {
        self.call.kernel.name
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        y: &CpuStorage,
        ly: &Layout,
        z: &CpuStorage,
        lz: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        CustomOp3::cpu_fwd(&self.call, x, lx, y, ly, z, lz)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        lx: &Layout,
        y: &candle_core::CudaStorage,
        ly: &Layout,
        z: &candle_core::CudaStorage,
        lz: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        CustomOp3::cuda_fwd(&self.call, x, lx, y, ly, z, lz)
    }

    fn bwd(
        &self,
        x: &Tensor,
        y: &Tensor,
        z: &Tensor,
        result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dy, dz] = (self.back)(&self.call.rules, [x, y, z], result, grad)?;
        Ok((dx, dy, dz))
    }
}

/// Sums over all axes but the last, `[width]` in f32.
fn column_sums(x: &Tensor) -> Result<Tensor> {
    let call = rows(launch::COLUMN_SUMS, x, Rules::default())?;
    let width = x.dim(D::Minus1)?;
    // A block takes 32 columns of one stripe.
    let blocks = twin::STRIPES * width.div_ceil(32);
    let shape = Shape::from((twin::STRIPES, width));
    Call { blocks, shape, dtype: DType::F32, ..call }.of(x, None, None)?.sum(0)
}

/// Layer norm over the last axis of `x` `[…, D]`; `gain` and `bias` `[D]` in f32.
pub fn layer_norm(x: &Tensor, gain: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let call = rows(launch::LAYER_NORM, x, Rules { a: eps as f32, ..Rules::default() })?;
    let back: Back = |rules, [x, gain, _], _, grad| {
        let eps = Rules { a: rules.a, ..Rules::default() };
        let share = Call { dtype: DType::F32, ..rows(launch::LAYER_NORM_SHARE, x, eps)? };
        let share = share.of(x, Some(gain), Some(grad))?;
        let dx = rows(launch::LAYER_NORM_BACK, x, eps)?.of(x, Some(gain), Some(grad))?;
        Ok([Some(dx), Some(column_sums(&share)?), Some(column_sums(grad)?)])
    };
    Differentiable { call, back }.of(x, Some(gain), Some(bias))
}

/// `x + bias` with `x` `[…, D]` and `bias` `[D]` in f32.
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let call = rows(launch::ADD_BIAS, x, Rules::default())?;
    let back: Back = |_, _, _, grad| Ok([Some(grad.clone()), Some(column_sums(grad)?), None]);
    Differentiable { call, back }.of(x, Some(bias), None)
}

/// What stands before a softmax over scores.
#[derive(Clone, Copy)]
pub struct Softmax<'a> {
    pub scale: f64,
    /// Keys that lie before the first query, where a query reads no later key.
    pub causal: Option<usize>,
    /// Additive, `[batch | 1, heads | 1, queries, keys]`, not differentiated.
    pub bias: Option<&'a Tensor>,
}

/// Weights from the scores of queries on keys, `[batch, heads, queries, keys]`.
pub fn softmax(scores: &Tensor, before: Softmax) -> Result<Tensor> {
    let (_, heads, queries, keys) = scores.dims4()?;
    let mut rules = Rules {
        queries: queries as i32,
        start: before.causal.unwrap_or(0) as i32,
        causal: i32::from(before.causal.is_some()),
        a: before.scale as f32,
        ..Rules::default()
    };
    let bias = before.bias.map(|b| b.to_dtype(DType::F32)?.contiguous()).transpose()?;
    if let Some(bias) = &bias {
        let (b, h, _, _) = bias.dims4()?;
        let plane = queries * keys;
        rules.heads = heads as i32;
        rules.batch_stride = if b == 1 { 0 } else { (h * plane) as i32 };
        rules.head_stride = if h == 1 { 0 } else { plane as i32 };
    }
    let call = rows(launch::SOFTMAX, scores, rules)?;
    let back: Back = |rules, _, weights, grad| {
        let scale = Rules { a: rules.a, ..Rules::default() };
        Ok([Some(rows(launch::SOFTMAX_BACK, weights, scale)?.of(weights, Some(grad), None)?), None, None])
    };
    Differentiable { call, back }.of(scores, bias.as_ref(), None)
}

/// `x` under a dropout mask.
pub fn dropout(x: &Tensor, mask: Mask) -> Result<Tensor> {
    let call = rows(launch::DROPOUT, x, mask.rules())?;
    let back: Back = |given, _, _, grad| {
        let same = Mask::of_rules(given).rules();
        Ok([Some(rows(launch::DROPOUT, grad, same)?.of(grad, None, None)?), None, None])
    };
    Differentiable { call, back }.of(x, None, None)
}

/// GELU by tanh, elementwise.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let call = rows(launch::GELU, x, Rules::default())?;
    let back: Back = |_, [x, _, _], _, grad| {
        Ok([Some(rows(launch::GELU_BACK, x, Rules::default())?.of(x, Some(grad), None)?), None, None])
    };
    Differentiable { call, back }.of(x, None, None)
}

/// `−ln softmax(row)[target]` of every row of `logits` `[n, V]`, `[n]` in f32; `targets` `[n]`, u32.
pub fn row_losses(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let call = rows(launch::ROW_LOSS, logits, Rules::default())?;
    let shape = Shape::from(logits.dim(0)?);
    Call { shape, dtype: DType::F32, ..call }.of(logits, Some(targets), None)
}

/// Gradient of `scale · Σ` [`row_losses`] with respect to the logits.
pub fn row_gradients(logits: &Tensor, targets: &Tensor, scale: f64) -> Result<Tensor> {
    rows(launch::ROW_GRADIENT, logits, Rules { a: scale as f32, ..Rules::default() })?.of(
        logits,
        Some(targets),
        None,
    )
}

/// Constants of one AdamW update.
#[derive(Clone, Copy)]
pub struct Update {
    pub rate: f32,
    /// What the parameter is multiplied with before the step.
    pub decay: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub correction1: f32,
    pub correction2: f32,
    pub eps: f32,
    pub grad_scale: f32,
}

/// Elements of a flat array that one block updates.
const FLAT: usize = 2048;

/// One update of `var` and its moments `[n]`, in place.
pub fn adamw(var: &Var, grad: &Tensor, (first, second): (&Tensor, &Tensor), u: Update) -> Result<()> {
    let n = grad.elem_count();
    let call = |kernel: Kernel, rules: Rules| Call {
        kernel,
        rules: Rules { rows: n as i32, width: FLAT as i32, ..rules },
        blocks: n.div_ceil(FLAT),
        shape: Shape::from(n),
        dtype: DType::F32,
    };
    let moment = |beta: f32| Rules { a: beta, b: u.grad_scale, ..Rules::default() };
    call(launch::FIRST_MOMENT, moment(u.beta1)).into(first, grad, None)?;
    call(launch::SECOND_MOMENT, moment(u.beta2)).into(second, grad, None)?;
    let rules =
        Rules { a: u.rate, b: u.decay, c: u.correction1, d: u.correction2, e: u.eps, ..Rules::default() };
    call(launch::ADAMW, rules).into(var.as_tensor(), first, Some(second))
}
