//! A projection `x W + b` with the low-rank adapter that a run may add to it: on tensors, on plain slices, and back.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use candle_core::{Result, Tensor, bail};

use super::dropout;
use crate::model::weight::{Side, Weight};
use crate::tensor::device::on_host;
use crate::tensor::dropout::Mask;
use crate::tensor::gradients::add_to;
use crate::tensor::host::{Held, hold};
use crate::tensor::kernels::activation::{self, Activation};
use crate::tensor::kernels::matmul::{Threads, View, each_row, matmul, product_of, product_then};
use crate::tensor::kernels::product::Finish;
use crate::tensor::kernels::share::Shared;
use crate::tensor::kernels::sums::{add_row, column_sums};
use crate::tensor::linear::{self, Linear};
use crate::tensor::memory::room;
use crate::tensor::ops;
use crate::tensor::rows::copy_to;

/// A linear layer: `weight` `[in, out]`, `bias` `[out]`.
#[derive(Clone)]
pub struct Projection {
    pub weight: Weight,
    pub bias: Tensor,
    /// Added to the weight, where a run adapts it (LoRA).
    pub adapter: Option<LowRank>,
}

/// Rows that are computed where they shall lie. Only this file makes one, so that who reads what it wrote can rely on it.
#[derive(Clone, Copy)]
pub struct Writer<'a>(&'a dyn Fn(&mut [MaybeUninit<f32>]));

impl Writer<'_> {
    /// Writes every element of `to`, which holds nothing yet.
    ///
    /// # Panics
    /// When the rows have another size.
    pub fn write(self, to: &mut [MaybeUninit<f32>]) {
        (self.0)(to);
    }
}

/// A low-rank addition to a weight matrix: `scale · down · up` (2106.09685).
#[derive(Clone)]
pub struct LowRank {
    /// `[in, rank]`
    pub down: Tensor,
    /// `[rank, out]`
    pub up: Tensor,
    pub scale: f64,
    /// Drops from its input; `None` but in training passes.
    pub noise: Option<Mask>,
}

impl Projection {
    /// Without an adapter.
    pub fn new(weight: impl Into<Weight>, bias: Tensor) -> Self {
        Projection { weight: weight.into(), bias, adapter: None }
    }

    /// Its tensors; a packed weight is none.
    pub fn tensors(&self) -> Vec<&Tensor> {
        let mut all = vec![&self.bias];
        if let Weight::Tensor(weight) = &self.weight {
            all.push(weight);
        }
        all.extend(self.adapter.iter().flat_map(|a| [&a.down, &a.up]));
        all
    }

    /// `x W + b`, with the adapter's share; `x` is `[…, in]`.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        // On a device the product runs in the weight's format (mixed precision); the CPU's kernels take f32.
        let weight = self.weight.tensor()?;
        let out = if on_host(x.device()) {
            ops::linear(x, &weight.to_dtype(x.dtype())?, &self.bias)?
        } else {
            let bias = self.bias.to_dtype(weight.dtype())?;
            ops::linear(&x.to_dtype(weight.dtype())?, &weight, &bias)?
        };
        match &self.adapter {
            Some(adapter) => {
                &out + adapter.apply(&x.to_dtype(adapter.down.dtype())?)?.to_dtype(out.dtype())?
            }
            None => Ok(out),
        }
    }

    /// `x W + b` on the CPU with the adapter's share and then the activation; `x` is `[n, in]`.
    ///
    /// # Errors
    /// Tensors that do not lie on the CPU.
    pub fn rows(&self, x: &[f32], activation: Option<Activation>) -> Result<Vec<f32>> {
        let (weight, bias) = (self.weight.lend()?, hold(&self.bias)?);
        let rows = x.len() / self.weight.dims()?.0;
        let fused = activation.filter(|_| self.adapter.is_none());
        let right = weight.right(Side::Rows)?;
        let layer = Linear { weight: right, bias: bias.floats()?, add: false, activation: fused };
        let mut out = linear::made(&layer, x, rows);
        if let Some(adapter) = &self.adapter {
            adapter.add_rows(x, &mut out)?;
            if let Some(kind) = activation {
                out = activated(kind, &out);
            }
        }
        Ok(out)
    }

    /// Calls `f` with what writes [`Projection::rows`] of `x` without an activation.
    ///
    /// # Errors
    /// As [`Projection::rows`]; those of `f`.
    pub fn with_writer<R>(&self, x: &[f32], f: impl FnOnce(Writer) -> Result<R>) -> Result<R> {
        if self.adapter.is_some() {
            let rows = self.rows(x, None)?;
            return f(Writer(&|to| copy_to(to, &rows)));
        }
        let (weight, bias) = (self.weight.lend()?, hold(&self.bias)?);
        let right = weight.right(Side::Rows)?;
        let layer = Linear { weight: right, bias: bias.floats()?, add: false, activation: None };
        f(Writer(&|to| linear::fill(&layer, x, to)))
    }

    /// As [`Projection::rows`] before and after an activation.
    ///
    /// # Errors
    /// As [`Projection::rows`].
    pub fn rows_twice(&self, x: &[f32], activation: Activation) -> Result<(Vec<f32>, Vec<f32>)> {
        let (inner, width) = self.weight.dims()?;
        let size = x.len() / inner * width;
        let mut activated = room(size);
        let all = Shared::new(activated.as_mut_ptr());
        let then = |row: usize, first: usize, values: &mut [f32]| {
            // SAFETY: this stretch is this task's alone.
            let out = unsafe { all.stretch(row * width + first, values.len()) };
            activation::stretch(activation, values, out);
        };
        let rows = self.rows_then(x, &then)?;
        // SAFETY: every stretch of every row was finished once.
        unsafe { activated.set_len(size) };
        Ok((rows, activated))
    }

    /// As [`Projection::rows`]; `then` sees every finished stretch of a row while it is in a cache, and may change it.
    fn rows_then(&self, x: &[f32], then: Finish) -> Result<Vec<f32>> {
        let (weight, bias) = (self.weight.lend()?, hold(&self.bias)?);
        let (inner, width) = self.weight.dims()?;
        let right = weight.right(Side::Rows)?;
        let layer = Linear { weight: right, bias: bias.floats()?, add: false, activation: None };
        let Some(adapter) = &self.adapter else {
            return Ok(linear::made_then(&layer, x, x.len() / inner, then));
        };
        let mut out = linear::made(&layer, x, x.len() / inner);
        adapter.add_rows(x, &mut out)?;
        each_row(&mut out, width, then);
        Ok(out)
    }

    /// The residual rows `x` `[n, out]` with the projection of `branch` `[n, in]` under dropout added.
    ///
    /// # Errors
    /// As [`Projection::rows`].
    pub fn add_rows(&self, branch: &[f32], x: &mut Vec<f32>, dropout: Option<Mask>) -> Result<()> {
        if self.adapter.is_none() && dropout.is_none() {
            let (weight, bias) = (self.weight.lend()?, hold(&self.bias)?);
            let right = weight.right(Side::Rows)?;
            let layer = Linear { weight: right, bias: bias.floats()?, add: true, activation: None };
            linear::apply(&layer, branch, x);
            return Ok(());
        }
        let width = self.weight.dims()?.1;
        let residual = &x[..];
        let then = |row: usize, first: usize, values: &mut [f32]| {
            let at = row * width + first;
            if let Some(mask) = dropout {
                mask.apply(at as u64, values);
            }
            add_row(values, &residual[at..at + values.len()]);
        };
        *x = self.rows_then(branch, &then)?;
        Ok(())
    }

    /// The matrix, where it moves.
    fn moving(&self) -> Option<&Tensor> {
        match &self.weight {
            Weight::Tensor(weight) if weight.track_op() => Some(weight),
            _ => None,
        }
    }

    /// The adapter, where it moves.
    fn moving_adapter(&self) -> Option<&LowRank> {
        self.adapter.as_ref().filter(|a| a.down.track_op() || a.up.track_op())
    }

    /// Whether its input plays a part in a gradient.
    pub fn learns(&self) -> bool {
        self.moving().is_some() || self.moving_adapter().is_some()
    }

    /// Adds the gradients of weight, bias and adapter to their sums, for output gradient `grad` `[n, out]`; `x` is the input
    /// `[n, in]`, without which only the bias learns.
    ///
    /// # Errors
    /// As [`Projection::rows`].
    pub fn learn(&self, x: Option<&[f32]>, grad: &[f32]) -> Result<()> {
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
            let x = adapter.dropped(x.data);
            let low = scaled(adapter.low_of(&x)?);
            add_to(&adapter.up, |sum| sum.add_product(View::new(&low, rows, rank).t(), g))?;
            let d_low = scaled(adapter.d_low(grad)?);
            let x = View::new(&x, rows, inner);
            add_to(&adapter.down, |sum| sum.add_product(x.t(), View::new(&d_low, rows, rank)))?;
        }
        Ok(())
    }

    /// The gradient of the input, `[n, in]`, for that of the output, `[n, out]`; `then` sees every finished stretch of a row.
    ///
    /// # Errors
    /// A packed weight, which has no way back.
    pub fn rows_back(&self, grad: &[f32], then: Option<Finish>) -> Result<Vec<f32>> {
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
            let scale = adapter.scale as f32;
            match adapter.noise {
                None => matmul(&mut dx, down.rows, d_low, down.view()?.t(), scale, 1.0, Threads::Pool),
                Some(mask) => {
                    let mut share = product_of(d_low, down.view()?.t());
                    mask.apply_all(&mut share);
                    dx.iter_mut().zip(&share).for_each(|(dx, share)| *dx += scale * share);
                }
            }
            if let Some(then) = then {
                each_row(&mut dx, down.rows, then);
            }
        }
        Ok(dx)
    }

    /// The gradient of the input before `activation`, for that of the output, where `hidden` `[n, in]` is the input before it;
    /// the projection learns on the way.
    ///
    /// # Errors
    /// As [`Projection::rows_back`].
    pub fn activated_back(&self, grad: &[f32], hidden: &[f32], activation: Activation) -> Result<Vec<f32>> {
        let inner = self.weight.dims()?.0;
        let learns = self.learns();
        let mut activated = room(if learns { hidden.len() } else { 0 });
        let all = Shared::new(activated.as_mut_ptr());
        let then = |row: usize, first: usize, values: &mut [f32]| {
            let at = row * inner + first;
            // SAFETY: this stretch is this task's alone.
            let out = learns.then(|| unsafe { all.stretch(at, values.len()) });
            activation::stretch_back(activation, &hidden[at..at + values.len()], values, out);
        };
        let d_hidden = self.rows_back(grad, Some(&then))?;
        if learns {
            // SAFETY: every stretch of every row was finished once.
            unsafe { activated.set_len(hidden.len()) };
        }
        self.learn(Some(&activated), grad)?;
        Ok(d_hidden)
    }
}

impl LowRank {
    /// Its share of the output for rows `x` `[…, in]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (inner, out) = (self.down.dim(0)?, self.up.dim(1)?);
        let mut dims = x.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = out;
        }
        let x = dropout::apply(self.noise, x.reshape(((), inner))?)?;
        let low = (x.matmul(&self.down)? * self.scale)?;
        low.matmul(&self.up)?.reshape(dims)
    }

    /// Adds its share of the output for rows `x` `[n, in]` to `out` `[n, out]`.
    fn add_rows(&self, x: &[f32], out: &mut [f32]) -> Result<()> {
        let (down, up) = (self.down.dims2()?, Matrix::of(&self.up)?);
        let low = self.low_of(&self.dropped(x))?;
        let low = View::new(&low, x.len() / down.0, down.1);
        matmul(out, up.cols, low, up.view()?, self.scale as f32, 1.0, Threads::Pool);
        Ok(())
    }

    /// Its input under the dropout.
    fn dropped<'x>(&self, x: &'x [f32]) -> Cow<'x, [f32]> {
        dropout::dropped(x, self.noise)
    }

    /// `x · down`, `[n, rank]`.
    fn low_of(&self, x: &[f32]) -> Result<Vec<f32>> {
        let down = Matrix::of(&self.down)?;
        Ok(product_of(View::new(x, x.len() / down.rows, down.rows), down.view()?))
    }

    /// `grad · upᵀ`, `[n, rank]`.
    fn d_low(&self, grad: &[f32]) -> Result<Vec<f32>> {
        let up = Matrix::of(&self.up)?;
        Ok(product_of(View::new(grad, grad.len() / up.cols, up.cols), up.view()?.t()))
    }
}

/// The activation of every value.
fn activated(kind: Activation, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0f32; x.len()];
    activation::forward(kind, x, &mut out);
    out
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
