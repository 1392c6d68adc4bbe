//! Attention as candle operators: the differentiable packed form for training, the cached form for exploring, and
//! single maps on demand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{CpuStorage, CustomOp1, D, DType, Layout, Result, Shape, Tensor, bail};

use super::device::{Way, on_host, way};
use super::dropout::{Mask, masked};
use super::fused;
use super::host::{slice, values, with_slice};
use super::kernels::attention::{self as kernel, Bias, Rows, TileSums};
pub(crate) use super::kernels::attention::{Heads, KeptHeads, RowScale};

/// The rule of one attention call.
#[derive(Clone)]
pub struct Attention {
    pub heads: usize,
    pub scale: f64,
    pub causal: bool,
    /// Additive, `[batch | 1, heads | 1, queries, keys]`; −∞ hides a key. Not differentiated.
    pub bias: Option<Tensor>,
    /// Dropout over the weights `[batch, heads, queries, keys]`, where gradients are wanted.
    pub noise: Option<Mask>,
}

/// What a cached call needs to sum what keys receive.
#[derive(Clone, Copy)]
pub struct Sums<'a> {
    /// Sums of an earlier pass, ascending; those over queries that this pass keeps are taken over.
    pub old: &'a [Arc<TileSums>],
    /// `W_O W_Oᵀ` of every head, `[head_dim, head_dim]`.
    pub grams: &'a [Vec<f32>],
}

struct Sizes {
    batch: usize,
    queries: usize,
    keys: usize,
    start: usize,
    width: usize,
}

impl Sizes {
    /// Of `batch` sequences of `t` packed rows.
    fn packed(qkv: &[f32], batch: usize, t: usize) -> Self {
        Sizes { batch, queries: t, keys: t, start: 0, width: qkv.len() / (3 * batch * t).max(1) }
    }
}

impl Attention {
    fn shape<'a>(&self, sizes: &Sizes, bias: Option<&'a [f32]>) -> Result<kernel::Shape<'a>> {
        let plane = sizes.queries * sizes.keys;
        let bias = match (bias, &self.bias) {
            (Some(data), Some(tensor)) => {
                let (b, h, q, k) = tensor.dims4()?;
                if (b != 1 && b != sizes.batch) || (h != 1 && h != self.heads) || q * k != plane {
                    bail!(
                        "attention bias {:?} does not fit {} × {}",
                        tensor.dims(),
                        sizes.queries,
                        sizes.keys
                    );
                }
                Some(Bias {
                    data,
                    batch_stride: if b == 1 { 0 } else { h * plane },
                    head_stride: if h == 1 { 0 } else { plane },
                })
            }
            _ => None,
        };
        Ok(kernel::Shape {
            batch: sizes.batch,
            heads: self.heads,
            head_dim: sizes.width / self.heads,
            queries: sizes.queries,
            keys: sizes.keys,
            start: sizes.start,
            scale: self.scale as f32,
            causal: self.causal,
            bias,
            noise: self.noise,
        })
    }

    fn with_bias<R>(&self, f: impl FnOnce(Option<&[f32]>) -> R) -> Result<R> {
        match &self.bias {
            Some(bias) => with_slice(bias, |data| f(Some(data))),
            None => Ok(f(None)),
        }
    }

    /// Self-attention over a packed projection `qkv` `[B, T, 3D]`; the result is `[B, T, D]`, differentiable.
    pub fn packed(&self, qkv: &Tensor) -> Result<Tensor> {
        if on_host(qkv.device()) {
            return qkv.contiguous()?.apply_op1(Packed { rule: self.clone(), kept: Mutex::new(None) });
        }
        let width = qkv.dim(D::Minus1)? / 3;
        let part = |i: usize| qkv.narrow(D::Minus1, i * width, width);
        self.composed(&part(0)?, &part(1)?, &part(2)?, 0)
    }

    /// As [`Attention::packed`] on host values of `batch` sequences of `t` rows.
    pub(crate) fn packed_rows(&self, qkv: &[f32], (batch, t): (usize, usize)) -> Result<Heads> {
        let sizes = Sizes::packed(qkv, batch, t);
        let stride = 3 * sizes.width;
        self.with_bias(|bias| {
            let shape = self.shape(&sizes, bias)?;
            let rows = |part: usize| Rows {
                data: &qkv[part * sizes.width..],
                batch_stride: t * stride,
                row_stride: stride,
            };
            Ok(kernel::forward_kept(&shape, rows(0), rows(1), rows(2)))
        })?
    }

    /// Gradient of `qkv`, given what [`Attention::packed_rows`] made of it and the gradient of that.
    pub(crate) fn packed_gradient(
        &self,
        qkv: &[f32],
        (heads, grad): (KeptHeads, &[f32]),
        (batch, t): (usize, usize),
    ) -> Result<Vec<f32>> {
        let sizes = Sizes::packed(qkv, batch, t);
        self.with_bias(|bias| Ok(kernel::backward(&self.shape(&sizes, bias)?, qkv, heads, grad)))?
    }

    /// Query rows `start..` of `qkv` `[T, 3D]` against all its keys: `[T − start, D]`. No backward.
    pub fn cached(&self, qkv: &Tensor, start: usize) -> Result<Tensor> {
        let (keys, packed) = qkv.dims2()?;
        let sizes = Sizes { batch: 1, queries: keys - start, keys, start, width: packed / 3 };
        if !on_host(qkv.device()) {
            let part = |i: usize| qkv.narrow(1, i * sizes.width, sizes.width)?.unsqueeze(0);
            let q = part(0)?.narrow(1, start, sizes.queries)?;
            return self.composed(&q, &part(1)?, &part(2)?, start)?.squeeze(0);
        }
        let out = self.with_bias(|bias| {
            let shape = self.shape(&sizes, bias)?;
            with_slice(qkv, |data| {
                let rows =
                    |offset: usize| Rows { data: &data[offset..], batch_stride: 0, row_stride: packed };
                kernel::forward(&shape, rows(start * packed), rows(sizes.width), rows(2 * sizes.width))
            })
        })??;
        Tensor::from_vec(out, (sizes.queries, sizes.width), qkv.device())
    }

    /// As [`Attention::cached`] on host values, with a bias over all rows, `[1, heads | 1, T, T]`, and with what every
    /// key received: `old` holds the sums over the queries before `start` of a pass that shares those rows.
    pub fn cached_rows(
        &self,
        qkv: &[f32],
        width: usize,
        start: usize,
        sums: Sums,
    ) -> Result<(Vec<f32>, Vec<Arc<TileSums>>)> {
        let (packed, keys) = (3 * width, qkv.len() / (3 * width));
        // A tile that was cut in its middle is read once more from its beginning; its outputs are known already.
        let kept = sums.old.iter().take_while(|tile| tile.queries.end <= start).count();
        let known = kept.checked_sub(1).map_or(0, |last| sums.old[last].queries.end);
        if known < start {
            let (out, all) = self.cached_rows(qkv, width, known, Sums { old: &sums.old[..kept], ..sums })?;
            return Ok((out[(start - known) * width..].to_vec(), all));
        }
        let sizes = Sizes { batch: 1, queries: keys - start, keys, start, width };
        let (out, new) = self.with_bias(|bias| {
            let bias = self.bias_from(bias, keys, start)?;
            let shape =
                kernel::Shape { bias, ..Attention { bias: None, ..self.clone() }.shape(&sizes, None)? };
            let rows = |offset: usize| Rows { data: &qkv[offset..], batch_stride: 0, row_stride: packed };
            let (q, k, v) = (rows(start * packed), rows(width), rows(2 * width));
            Ok::<_, candle_core::Error>(kernel::forward_summed(&shape, q, k, v, sums.grams))
        })??;
        let mut all = sums.old[..kept].to_vec();
        for tile in new {
            match all.last_mut().filter(|last| !last.is_whole()) {
                Some(last) => *last = Arc::new(last.joined(&tile, self.heads)),
                None => all.push(Arc::new(tile)),
            }
        }
        Ok((out, all))
    }

    /// The weights of one head for all rows of `qkv` `[T, 3D]` (host values), `[T, T]` row-major, into `out`.
    pub fn map(&self, qkv: &[f32], width: usize, head: usize, out: &mut [f32]) -> Result<()> {
        self.map_from(qkv, (width, 0), head, out)
    }

    /// As [`Attention::map`] for the query rows from `start` on, `[T − start, T]`.
    pub fn map_from(
        &self,
        qkv: &[f32],
        (width, start): (usize, usize),
        head: usize,
        out: &mut [f32],
    ) -> Result<()> {
        let (packed, keys) = (3 * width, qkv.len() / (3 * width));
        let sizes = Sizes { batch: 1, queries: keys - start, keys, start, width };
        self.with_bias(|bias| {
            let bias = self.bias_from(bias, keys, start)?;
            let shape =
                kernel::Shape { bias, ..Attention { bias: None, ..self.clone() }.shape(&sizes, None)? };
            let rows = |offset: usize| Rows { data: &qkv[offset..], batch_stride: 0, row_stride: packed };
            kernel::map(&shape, rows(start * packed), rows(width), head, out);
            Ok(())
        })?
    }

    /// The weights of all heads for the query rows of `qkv` `[T, 3D]` from `start` on, `[heads, T − start, T]`, for any
    /// device.
    pub fn maps_from(&self, qkv: &Tensor, start: usize) -> Result<Vec<f32>> {
        let (keys, packed) = qkv.dims2()?;
        let (width, n) = (packed / 3, keys - start);
        let split = |part: usize, from: usize, rows: usize| {
            let x = qkv.narrow(1, part * width, width)?.narrow(0, from, rows)?;
            x.reshape((1, rows, self.heads, width / self.heads))?.transpose(1, 2)?.contiguous()
        };
        let bias = self.bias.as_ref().map(|b| b.narrow(2, start, n)?.contiguous()).transpose()?;
        let scores = split(0, start, n)?.matmul(&split(1, 0, keys)?.t()?)?;
        let weights = Attention { bias, ..self.clone() }.weights(&scores, start)?;
        values(&weights.to_dtype(DType::F32)?.flatten_all()?)
    }

    /// The rows of a bias over all `keys` rows that belong to the queries from `start` on.
    fn bias_from<'a>(&self, bias: Option<&'a [f32]>, keys: usize, start: usize) -> Result<Option<Bias<'a>>> {
        match (bias, &self.bias) {
            (Some(data), Some(tensor))
                if [1, self.heads].iter().any(|h| tensor.elem_count() == h * keys * keys) =>
            {
                let head_stride = if tensor.elem_count() == keys * keys { 0 } else { keys * keys };
                Ok(Some(Bias { data: &data[start * keys..], batch_stride: 0, head_stride }))
            }
            (None, None) => Ok(None),
            _ => bail!("the attention bias does not fit {keys} rows"),
        }
    }

    /// The same as products around a softmax, for any device; `q` `[B, n, D]`, `k`, `v` `[B, T, D]`.
    fn composed(&self, q: &Tensor, k: &Tensor, v: &Tensor, start: usize) -> Result<Tensor> {
        let (b, n, width) = q.dims3()?;
        let keys = k.dim(1)?;
        let split = |x: &Tensor, rows: usize| {
            x.reshape((b, rows, self.heads, width / self.heads))?.transpose(1, 2)?.contiguous()
        };
        let (q, k, v) = (split(q, n)?, split(k, keys)?, split(v, keys)?);
        let scores = q.matmul(&k.t()?)?;
        let weights = match way(q.device()) {
            Way::Fused => {
                let causal = self.causal.then_some(start);
                let before = fused::Softmax { scale: self.scale, causal, bias: self.bias.as_ref() };
                fused::softmax(&scores, before)?
            }
            _ => self.weights(&scores, start)?,
        };
        let weights = match self.noise {
            Some(mask) => masked(&weights, mask)?,
            None => weights,
        };
        weights.matmul(&v)?.transpose(1, 2)?.reshape((b, n, width))
    }

    /// Softmax of `scores` `[B, heads, n, keys]` in candle operators.
    fn weights(&self, scores: &Tensor, start: usize) -> Result<Tensor> {
        let (n, keys) = (scores.dim(2)?, scores.dim(3)?);
        let dtype = scores.dtype();
        let mut scores = (scores * self.scale)?.to_dtype(DType::F32)?;
        if self.causal {
            scores = scores.broadcast_add(&causal_bias(n, keys, start, scores.device())?)?;
        }
        if let Some(bias) = &self.bias {
            scores = scores.broadcast_add(&bias.to_dtype(DType::F32)?)?;
        }
        let top = scores.max_keepdim(D::Minus1)?.detach();
        let weights = scores.broadcast_sub(&top)?.exp()?;
        weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?.to_dtype(dtype)
    }
}

/// `[n, keys]`: 0 where key ≤ start + row, −∞ elsewhere.
fn causal_bias(n: usize, keys: usize, start: usize, device: &candle_core::Device) -> Result<Tensor> {
    let cell = |r: usize, i: usize| if i <= start + r { 0f32 } else { f32::NEG_INFINITY };
    let values: Vec<f32> = (0..n).flat_map(|r| (0..keys).map(move |i| cell(r, i))).collect();
    Tensor::from_vec(values, (n, keys), device)
}

struct Packed {
    rule: Attention,
    /// What the way there left for the way back.
    kept: Mutex<Option<Heads>>,
}

impl Packed {
    fn kept(&self) -> MutexGuard<'_, Option<Heads>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CustomOp1 for Packed {
    fn name(&self) -> &'static str {
        "packed-attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let [batch, t, packed] = *layout.dims() else {
            bail!("packed attention needs [batch, T, 3 · width], got {:?}", layout.dims())
        };
        let heads = self.rule.packed_rows(slice(qkv, layout, self.name())?, (batch, t))?;
        let out = heads.out.clone();
        *self.kept() = Some(heads);
        Ok((CpuStorage::F32(out), Shape::from((batch, t, packed / 3))))
    }

    fn bwd(&self, qkv: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (batch, t, _) = qkv.dims3()?;
        let kept = self.kept();
        let Some(heads) = kept.as_ref() else { bail!("attention has no way back without a way there") };
        let values = with_slice(qkv, |qkv| {
            with_slice(grad, |grad| self.rule.packed_gradient(qkv, (heads.kept(), grad), (batch, t)))
        })???;
        Ok(Some(Tensor::from_vec(values, qkv.shape(), qkv.device())?))
    }
}
