//! One transformer block of the training pass on the CPU as a single operator: forward and backward on plain slices, with
//! every parameter's gradient added straight to its sum ([`crate::tensor::gradients`]). What follows a product is done to its
//! stretches while they are in a cache; activations are computed again on the way back instead of kept. `Gpt2::block` with
//! `Attention::packed` is its plain twin.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::gpt2::{Adapter, Block, Gpt2, Noise, Norm, Projection};
use super::weight::{Side, Weight};
use crate::tensor::attention::{Attention, Heads};
use crate::tensor::gradients::add_to;
use crate::tensor::host::{Held, hold, slice, with_slice};
use crate::tensor::kernels::activation::{self, Activation};
use crate::tensor::kernels::layer_norm::{self, Moments};
use crate::tensor::kernels::matmul::{Threads, View, each_row, matmul, product_of, product_then};
use crate::tensor::kernels::product::Finish;
use crate::tensor::kernels::share::Shared;
use crate::tensor::kernels::sums::{add_row, column_sums};
use crate::tensor::linear::{Linear, made, made_then};
use crate::tensor::memory::room;

impl Gpt2 {
    /// [`Gpt2::block`] on residual rows `x` `[B, T, D]`, with attention after `rule`: the next rows, and the packed projection
    /// `[B, T, 3D]` without a gradient. Differentiable once, by [`crate::tensor::gradients`].
    ///
    /// # Errors
    /// Tensors that are not f32 on the CPU.
    pub(super) fn host_train_block(
        &self,
        layer: usize,
        x: &Tensor,
        rule: Attention,
    ) -> Result<(Tensor, Tensor)> {
        let x = x.contiguous()?;
        let (batch, t, _) = x.dims3()?;
        let block = self.blocks[layer].clone();
        // The library records an operator when an argument leads to a variable: where `x` does not, a parameter has to.
        let moving = block.parameters().into_iter().find(|p| p.track_op()).cloned();
        let recorded = x.track_op() || moving.is_some();
        let anchor = moving.unwrap_or_else(|| block.ln_1.gain.clone());
        let kept = Arc::new(Mutex::new(None));
        let whole = Whole {
            block,
            rule,
            activation: self.activation,
            eps: self.config.layer_norm_epsilon as f32,
            noise: self.noise,
            site: 1 + 2 * layer,
            rows: (batch, t),
            kept: kept.clone(),
        };
        let out = x.apply_op2(&anchor, whole)?;
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(qkv) = kept.as_ref().map(|kept: &Kept| kept.qkv.clone()) else {
            bail!("a block left no projection behind");
        };
        if !recorded {
            *kept = None;
        }
        Ok((out, qkv))
    }
}

impl Block {
    /// Every tensor of the block.
    fn parameters(&self) -> Vec<&Tensor> {
        let mut all = vec![&self.ln_1.gain, &self.ln_1.bias, &self.ln_2.gain, &self.ln_2.bias];
        for p in [&self.c_attn, &self.attn_proj, &self.c_fc, &self.mlp_proj] {
            all.push(&p.bias);
            if let Weight::Tensor(weight) = &p.weight {
                all.push(weight);
            }
            all.extend(p.adapter.iter().flat_map(|a| [&a.down, &a.up]));
        }
        all
    }

    /// Whether [`Gpt2::host_train_block`] can run it on rows that have a gradient or not: no parameter is computed from
    /// variables, which only the library differentiates, and no matrix on a way back is packed for the way there.
    pub(super) fn is_one_operator(&self, differentiated: bool) -> bool {
        let packed = |p: &&Projection| differentiated && matches!(p.weight, Weight::Packed(..));
        self.parameters().into_iter().all(|p| p.is_variable() || !p.track_op())
            && ![&self.c_attn, &self.attn_proj, &self.c_fc, &self.mlp_proj].iter().any(packed)
    }
}

/// What the way back needs of the way there.
struct Kept {
    first: Normed,
    /// `[B, T, 3D]`
    qkv: Tensor,
    heads: Heads,
    /// Residual rows between attention and MLP, `[B · T, D]`.
    middle: Vec<f32>,
    second: Normed,
    /// The MLP before its activation, `[B · T, inner]`.
    hidden: Vec<f32>,
}

/// What a layer norm leaves behind.
struct Normed {
    /// Its output `[B · T, D]`, where the projection that reads it learns.
    rows: Option<Vec<f32>>,
    moments: Vec<Moments>,
}

/// A block as an operator on its residual rows. The second argument only stands for the parameters.
struct Whole {
    block: Block,
    rule: Attention,
    activation: Activation,
    eps: f32,
    noise: Option<Noise>,
    /// Of the dropout after attention; the one after the MLP follows.
    site: usize,
    /// Sequences and rows of each.
    rows: (usize, usize),
    kept: Arc<Mutex<Option<Kept>>>,
}

impl CustomOp2 for Whole {
    fn name(&self) -> &'static str {
        "transformer-block"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        _anchor: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (out, kept) = self.forward(slice(x, lx, self.name())?)?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok((CpuStorage::F32(out), lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some(kept) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            bail!("the gradient of this block was taken already");
        };
        let dx =
            with_slice(x, |rows| with_slice(grad, |grad| self.backward(rows, grad, kept, x.track_op())))???;
        Ok((dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?, None))
    }
}

impl Whole {
    fn forward(&self, x: &[f32]) -> Result<(Vec<f32>, Kept)> {
        let b = &self.block;
        let (normed, moments) = self.norm(&b.ln_1, x)?;
        let qkv = b.c_attn.rows(&normed, None)?;
        let first = Normed { rows: b.c_attn.learns().then_some(normed), moments };
        let heads = self.rule.packed_rows(&qkv, self.rows)?;
        let middle = b.attn_proj.rows(&heads.out, Some(&self.residual(x, self.site)))?;
        let (normed, moments) = self.norm(&b.ln_2, &middle)?;
        let (hidden, activated) = self.hidden(&normed)?;
        let second = Normed { rows: b.c_fc.learns().then_some(normed), moments };
        let out = b.mlp_proj.rows(&activated, Some(&self.residual(&middle, self.site + 1)))?;
        let (batch, t) = self.rows;
        let width = qkv.len() / (batch * t).max(1);
        let qkv = Tensor::from_vec(qkv, (batch, t, width), b.ln_1.gain.device())?;
        Ok((out, Kept { first, qkv, heads, middle, second, hidden }))
    }

    /// What is done to a branch's output: dropout of its site, then the residual rows `x` are added.
    fn residual<'a>(&self, x: &'a [f32], site: usize) -> impl Fn(usize, usize, &mut [f32]) + Sync + use<'a> {
        let (mask, rows) = (self.noise.and_then(|noise| noise.mask(site)), self.rows.0 * self.rows.1);
        let width = x.len() / rows.max(1);
        move |row, first, values| {
            let at = row * width + first;
            if let Some(mask) = mask {
                mask.apply(at as u64, values);
            }
            add_row(values, &x[at..at + values.len()]);
        }
    }

    /// The MLP's first projection before and after its activation.
    fn hidden(&self, normed: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let rows = self.rows.0 * self.rows.1;
        let inner = self.block.c_fc.bias.elem_count();
        let mut activated = room(rows * inner);
        let all = Shared::new(activated.as_mut_ptr());
        let then = |row: usize, first: usize, values: &mut [f32]| {
            // SAFETY: this stretch is this task's alone.
            let out = unsafe { all.stretch(row * inner + first, values.len()) };
            activation::stretch(self.activation, values, out);
        };
        let hidden = self.block.c_fc.rows(normed, Some(&then))?;
        // SAFETY: every stretch of every row was finished once.
        unsafe { activated.set_len(rows * inner) };
        Ok((hidden, activated))
    }

    /// Adds the gradients of all parameters to their sums; the gradient of `x` where it is wanted.
    fn backward(&self, x: &[f32], grad: &[f32], kept: Kept, wanted: bool) -> Result<Option<Vec<f32>>> {
        let b = &self.block;
        let d_hidden = self.hidden_back(&self.dropped(grad, self.site + 1), &kept.hidden)?;
        b.c_fc.learn(kept.second.rows.as_deref(), &d_hidden)?;
        let d_normed = b.c_fc.back(&d_hidden, None)?;
        drop(d_hidden);
        let d_middle = self.norm_back(&b.ln_2, (&kept.middle, &kept.second), &d_normed, grad)?;
        let d_heads = {
            let grad = self.dropped(&d_middle, self.site);
            b.attn_proj.learn(Some(&kept.heads.out), &grad)?;
            b.attn_proj.back(&grad, None)?
        };
        let d_qkv =
            with_slice(&kept.qkv, |qkv| self.rule.packed_gradient(qkv, (&kept.heads, &d_heads), self.rows))??;
        b.c_attn.learn(kept.first.rows.as_deref(), &d_qkv)?;
        if !wanted && !b.ln_1.gain.track_op() && !b.ln_1.bias.track_op() {
            return Ok(None);
        }
        let dx = self.norm_back(&b.ln_1, (x, &kept.first), &b.c_attn.back(&d_qkv, None)?, &d_middle)?;
        Ok(wanted.then_some(dx))
    }

    /// The gradient of the MLP before its activation, for that of its output; its second projection learns on the way.
    fn hidden_back(&self, grad: &[f32], hidden: &[f32]) -> Result<Vec<f32>> {
        let (projection, kind) = (&self.block.mlp_proj, self.activation);
        let inner = self.block.c_fc.bias.elem_count();
        let learns = projection.learns();
        let mut activated = room(if learns { hidden.len() } else { 0 });
        let all = Shared::new(activated.as_mut_ptr());
        let then = |row: usize, first: usize, values: &mut [f32]| {
            let at = row * inner + first;
            // SAFETY: this stretch is this task's alone.
            let out = learns.then(|| unsafe { all.stretch(at, values.len()) });
            activation::stretch_back(kind, &hidden[at..at + values.len()], values, out);
        };
        let d_hidden = projection.back(grad, Some(&then))?;
        if learns {
            // SAFETY: every stretch of every row was finished once.
            unsafe { activated.set_len(hidden.len()) };
        }
        projection.learn(Some(&activated), grad)?;
        Ok(d_hidden)
    }

    fn norm(&self, norm: &Norm, x: &[f32]) -> Result<(Vec<f32>, Vec<Moments>)> {
        let (gain, bias) = (hold(&norm.gain)?, hold(&norm.bias)?);
        Ok(layer_norm::made(x, gain.floats()?, bias.floats()?, self.eps))
    }

    /// The gradient of a norm's input `x` for `dy`, that of its output, and `plus` added.
    fn norm_back(
        &self,
        norm: &Norm,
        (x, normed): (&[f32], &Normed),
        dy: &[f32],
        plus: &[f32],
    ) -> Result<Vec<f32>> {
        let gain = hold(&norm.gain)?;
        let (gain, moments, plus) = (gain.floats()?, &normed.moments, Some(plus));
        let (dx, d_gain, d_bias) = layer_norm::backward(layer_norm::Back { x, moments, gain, dy, plus });
        for (parameter, share) in [(&norm.gain, d_gain), (&norm.bias, d_bias)] {
            if parameter.track_op() {
                add_to(parameter, |sum| sum.add(share, 1.0))?;
            }
        }
        Ok(dx)
    }

    /// The gradient under the dropout of one site.
    fn dropped<'a>(&self, grad: &'a [f32], site: usize) -> Cow<'a, [f32]> {
        let mut grad = Cow::Borrowed(grad);
        if let Some(mask) = self.noise.and_then(|noise| noise.mask(site)) {
            mask.apply_all(grad.to_mut());
        }
        grad
    }
}

impl Projection {
    /// `x W + b`, with the adapter's share; `x` is `[n, in]`. `then` sees every finished stretch of a row.
    fn rows(&self, x: &[f32], then: Option<Finish>) -> Result<Vec<f32>> {
        let (weight, bias) = (self.weight.lend()?, hold(&self.bias)?);
        let rows = x.len() / self.weight.dims()?.0;
        let layer =
            Linear { weight: weight.right(Side::Rows)?, bias: bias.floats()?, add: false, activation: None };
        let mut out = match (then, &self.adapter) {
            (Some(then), None) => return Ok(made_then(&layer, x, rows, then)),
            _ => made(&layer, x, rows),
        };
        if let Some(adapter) = &self.adapter {
            let up = Matrix::of(&adapter.up)?;
            let low = adapter.low(x)?;
            let low = View::new(&low, rows, adapter.down.dim(1)?);
            matmul(&mut out, up.cols, low, up.view()?, adapter.scale as f32, 1.0, Threads::Pool);
            if let Some(then) = then {
                each_row(&mut out, up.cols, then);
            }
        }
        Ok(out)
    }

    /// The matrix, where it moves.
    fn moving(&self) -> Option<&Tensor> {
        match &self.weight {
            Weight::Tensor(weight) if weight.track_op() => Some(weight),
            _ => None,
        }
    }

    /// The adapter, where it moves.
    fn moving_adapter(&self) -> Option<&Adapter> {
        self.adapter.as_ref().filter(|a| a.down.track_op() || a.up.track_op())
    }

    /// Whether its input plays a part in a gradient.
    fn learns(&self) -> bool {
        self.moving().is_some() || self.moving_adapter().is_some()
    }

    /// Adds the gradients of weight, bias and adapter to their sums, for output gradient `grad` `[n, out]`; `x` is the input
    /// `[n, in]`, without which only the bias learns.
    fn learn(&self, x: Option<&[f32]>, grad: &[f32]) -> Result<()> {
        let (inner, out) = self.weight.dims()?;
        if self.bias.track_op() {
            add_to(&self.bias, |sum| sum.add(column_sums(grad, out), 1.0))?;
        }
        let Some(x) = x.filter(|_| self.learns()) else { return Ok(()) };
        let rows = grad.len() / out;
        let (x, g) = (View::new(x, rows, inner), View::new(grad, rows, out));
        if let Some(weight) = self.moving() {
            add_to(weight, |sum| sum.add_product(x.t(), g))?;
        }
        if let Some(adapter) = self.moving_adapter() {
            // The scale goes to the narrow side of both products.
            let scaled = |mut low: Vec<f32>| {
                low.iter_mut().for_each(|v| *v *= adapter.scale as f32);
                low
            };
            let rank = adapter.down.dim(1)?;
            let low = scaled(adapter.low(x.data)?);
            add_to(&adapter.up, |sum| sum.add_product(View::new(&low, rows, rank).t(), g))?;
            let d_low = scaled(adapter.d_low(grad)?);
            add_to(&adapter.down, |sum| sum.add_product(x.t(), View::new(&d_low, rows, rank)))?;
        }
        Ok(())
    }

    /// The gradient of the input, `[n, in]`, for that of the output, `[n, out]`; `then` sees every finished stretch of a row.
    fn back(&self, grad: &[f32], then: Option<Finish>) -> Result<Vec<f32>> {
        let Weight::Tensor(weight) = &self.weight else { bail!("a packed weight has no way back") };
        let weight = Matrix::of(weight)?;
        let (g, back) = (View::new(grad, grad.len() / weight.cols, weight.cols), weight.view()?.t());
        let mut dx = match (then, &self.adapter) {
            (Some(then), None) => return Ok(product_then(g, back, then)),
            _ => product_of(g, back),
        };
        if let Some(adapter) = &self.adapter {
            let (down, d_low) = (Matrix::of(&adapter.down)?, adapter.d_low(grad)?);
            let d_low = View::new(&d_low, grad.len() / weight.cols, down.cols);
            matmul(&mut dx, down.rows, d_low, down.view()?.t(), adapter.scale as f32, 1.0, Threads::Pool);
            if let Some(then) = then {
                each_row(&mut dx, down.rows, then);
            }
        }
        Ok(dx)
    }
}

impl Adapter {
    /// `x · down`, `[n, rank]`.
    fn low(&self, x: &[f32]) -> Result<Vec<f32>> {
        let down = Matrix::of(&self.down)?;
        Ok(product_of(View::new(x, x.len() / down.rows, down.rows), down.view()?))
    }

    /// `grad · upᵀ`, `[n, rank]`.
    fn d_low(&self, grad: &[f32]) -> Result<Vec<f32>> {
        let up = Matrix::of(&self.up)?;
        Ok(product_of(View::new(grad, grad.len() / up.cols, up.cols), up.view()?.t()))
    }
}

/// A matrix held for one call.
struct Matrix<'a> {
    held: Held<'a>,
    rows: usize,
    cols: usize,
}

impl<'a> Matrix<'a> {
    fn of(tensor: &'a Tensor) -> Result<Self> {
        let (rows, cols) = tensor.dims2()?;
        Ok(Matrix { held: hold(tensor)?, rows, cols })
    }

    fn view(&self) -> Result<View<'_>> {
        Ok(View::new(self.held.floats()?, self.rows, self.cols))
    }
}
