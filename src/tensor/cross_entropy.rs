//! Cross-entropy fused with the output projection: logits exist only for a tile of rows at a time, and where a
//! gradient is wanted it is made in the same sweep (as in Liger Kernel, 2410.10989), so that the product
//! `hidden · wteᵀ` is computed once.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use multiversion::multiversion;
use rayon::prelude::*;

use super::device::{Way, on_host, way};
use super::fused;
use super::gradients::{Sum, add_to, is_summed};
use super::host::slice;
use super::kernels::exp::{exp_all, largest};
use super::kernels::matmul::{Threads, View, matmul, product_of};

/// Most rows whose logits exist at the same time: 103 MB for GPT-2's vocabulary. Fewer would sweep the weight's gradient
/// more often.
const TILE: usize = 512;
/// Fewest rows, and numbers of their logits, of a small weight, whose gradient stays in a cache: so do the logits then.
const SMALL_TILE: (usize, usize) = (128, 1 << 19);
/// Numbers of a small weight.
const SMALL: usize = 1 << 22;

/// Rows whose logits exist at the same time.
pub fn tile_rows(vocab: usize, width: usize) -> usize {
    if vocab * width > SMALL { TILE } else { (SMALL_TILE.1 / vocab).clamp(SMALL_TILE.0, TILE) }
}
/// Tokens of the vocabulary that one product with the gradient of the logits takes.
const STRETCH: usize = 6144;

/// A target that does not count.
pub const IGNORE: u32 = u32::MAX;

/// Turns a row of logits into `softmax − onehot(target)`, times `scale`; returns `−ln p(target)`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn loss_row(row: &mut [f32], target: usize, scale: f32) -> f32 {
    let top = largest(row);
    let wanted = row[target];
    let total = exp_all(row, top);
    let factor = scale / total;
    row.iter_mut().for_each(|x| *x *= factor);
    row[target] -= scale;
    total.ln() + top - wanted
}

/// Loss and gradients of the mean over targets that count: `(loss, d hidden, d weight)`, those that are wanted.
fn sweep(
    hidden: &[f32],
    weight: &[f32],
    targets: &[u32],
    width: usize,
    (gradients, weight_too): (bool, bool),
) -> (f32, Vec<f32>, Vec<f32>) {
    let vocab = weight.len() / width;
    let count = targets.iter().filter(|&&t| t != IGNORE).count().max(1);
    let scale = 1.0 / count as f32;
    let mut total = 0f64;
    let mut d_hidden = vec![0f32; if gradients { hidden.len() } else { 0 }];
    let mut d_weight = Sum::new(if gradients && weight_too { weight.len() } else { 0 });
    let tile_rows = tile_rows(vocab, width);
    let weights = View::new(weight, vocab, width);
    // A narrow gradient is summed as its transpose: logits, as they lie, are then the side that tiles read in order.
    let turned = width <= NARROW;
    for (tile, targets) in targets.chunks(tile_rows).enumerate() {
        let at = tile * tile_rows * width;
        let rows = View::new(&hidden[at..at + targets.len() * width], targets.len(), width);
        // Memory in large pages that nobody clears: a column of the logits lies in as many pages as there are rows.
        let mut logits = product_of(rows, weights.t());
        let losses: Vec<f32> = logits
            .par_chunks_mut(vocab)
            .zip(targets)
            .map(|(row, &target)| {
                if target == IGNORE {
                    row.fill(0.0);
                    return 0.0;
                }
                loss_row(row, target as usize, scale)
            })
            .collect();
        total += losses.iter().map(|&l| f64::from(l)).sum::<f64>();
        if gradients {
            // In stretches of the vocabulary, since a product brings its left side into an order of its own first.
            for from in (0..vocab).step_by(STRETCH) {
                let to = (from + STRETCH).min(vocab);
                let part = View::strided(&logits[from..], targets.len(), to - from, vocab);
                let weights = View::new(&weight[from * width..to * width], to - from, width);
                matmul(&mut d_hidden[at..], width, part, weights, 1.0, 1.0, Threads::Pool);
            }
            if weight_too {
                let logits = View::new(&logits, targets.len(), vocab);
                match turned {
                    true => d_weight.add_product(rows.t(), logits),
                    false => d_weight.add_product(logits.t(), rows),
                }
            }
        }
    }
    let d_weight = match d_weight.into_values() {
        values if turned && !values.is_empty() => transposed(&values, vocab),
        values => values,
    };
    ((total / count as f64) as f32, d_hidden, d_weight)
}

/// Widest weight whose gradient is summed as its transpose.
const NARROW: usize = 512;

/// The transpose of a matrix of `cols` columns, in blocks that stay in the first cache.
fn transposed(x: &[f32], cols: usize) -> Vec<f32> {
    const BLOCK: usize = 32;
    let rows = x.len() / cols;
    let mut out = vec![0f32; x.len()];
    out.par_chunks_mut(BLOCK * rows).enumerate().for_each(|(block, out)| {
        for from in (0..rows).step_by(BLOCK) {
            let to = (from + BLOCK).min(rows);
            for (c, out) in out.chunks_exact_mut(rows).enumerate() {
                let column = x[from * cols + block * BLOCK + c..].iter().step_by(cols);
                out[from..to].iter_mut().zip(column).for_each(|(out, &x)| *out = x);
            }
        }
    });
    out
}

/// `(d hidden, d weight)`.
type Gradients = (Vec<f32>, Vec<f32>);

struct Fused {
    targets: Vec<u32>,
    /// Whether the weight leads to a variable; a frozen one gets no gradient.
    weight_too: bool,
    /// Filled by the forward pass, taken by the backward pass.
    gradients: Option<Mutex<Option<Gradients>>>,
}

impl CustomOp2 for Fused {
    fn name(&self) -> &'static str {
        "fused-cross-entropy"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        lh: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (hidden, weight) = (slice(hidden, lh, self.name())?, slice(weight, lw, self.name())?);
        let (vocab, width) = lw.shape().dims2()?;
        if self.targets.iter().any(|&t| t != IGNORE && t as usize >= vocab) {
            bail!("a target lies outside the vocabulary of {vocab}");
        }
        if hidden.len() != self.targets.len() * width {
            bail!("{} targets for {} rows", self.targets.len(), hidden.len() / width);
        }
        let wanted = (self.gradients.is_some(), self.weight_too);
        let (loss, dh, dw) = sweep(hidden, weight, &self.targets, width, wanted);
        if let Some(slot) = &self.gradients {
            *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((dh, dw));
        }
        Ok((CpuStorage::F32(vec![loss]), Shape::from(())))
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        weight: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let kept = self
            .gradients
            .as_ref()
            .and_then(|slot| slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
        let Some((dh, dw)) = kept else {
            bail!("the loss was computed without gradients, or its gradient was taken already");
        };
        let upstream = f64::from(grad.to_scalar::<f32>()?);
        let dh = Tensor::from_vec(dh, hidden.shape(), hidden.device())?;
        let scaled = |g: Tensor| if upstream == 1.0 { Ok(g) } else { g * upstream };
        let dw = if !self.weight_too {
            None
        } else if is_summed(weight) {
            add_to(weight, |sum| sum.add(dw, upstream as f32))?;
            None
        } else {
            Some(scaled(Tensor::from_vec(dw, weight.shape(), weight.device())?)?)
        };
        Ok((Some(scaled(dh)?), dw))
    }
}

/// Mean over the targets that count of `−ln softmax(hidden · weightᵀ)[target]`, in nats, as a scalar tensor.
///
/// `hidden` `[N, D]`, `weight` `[V, D]`; a target of [`IGNORE`] does not count. With `gradients`, the result can be
/// differentiated once.
pub fn cross_entropy(hidden: &Tensor, weight: &Tensor, targets: &[u32], gradients: bool) -> Result<Tensor> {
    if on_host(hidden.device()) {
        let slot = gradients.then(|| Mutex::new(None));
        let op = Fused { targets: targets.to_vec(), weight_too: weight.track_op(), gradients: slot };
        return hidden.contiguous()?.apply_op2(weight, op);
    }
    composed(hidden, weight, targets, gradients)
}

/// Rows whose logits exist at the same time on a device: large products, and 412 MB for GPT-2's vocabulary in f32.
const DEVICE_TILE: usize = 2048;

/// The same for any device: loss and gradients tile by tile, as [`sweep`] does.
fn composed(hidden: &Tensor, weight: &Tensor, targets: &[u32], gradients: bool) -> Result<Tensor> {
    let (vocab, device) = (weight.dim(0)?, hidden.device());
    if targets.iter().any(|&t| t != IGNORE && t as usize >= vocab) {
        bail!("a target lies outside the vocabulary of {vocab}");
    }
    let keep: Vec<u32> = (0..targets.len() as u32).filter(|&i| targets[i as usize] != IGNORE).collect();
    if keep.is_empty() {
        return Tensor::zeros((), DType::F32, device);
    }
    let wanted: Vec<u32> = keep.iter().map(|&i| targets[i as usize]).collect();
    let count = keep.len();
    let rows = hidden.index_select(&Tensor::from_vec(keep, count, device)?, 0)?;
    // Products run in the weight's format, everything after them in f32.
    let (x, w) = (rows.detach().to_dtype(weight.dtype())?, weight.detach());
    let mut total: Option<Tensor> = None;
    let (mut dx, mut dw) = (Vec::new(), None);
    let own = way(device) == Way::Fused;
    for (tile, wanted) in wanted.chunks(DEVICE_TILE).enumerate() {
        let part = x.narrow(0, tile * DEVICE_TILE, wanted.len())?;
        let logits = part.matmul(&w.t()?)?;
        let at = Tensor::from_slice(wanted, wanted.len(), device)?;
        let (loss, d_logits) = match own {
            true => {
                let loss = fused::row_losses(&logits, &at)?.sum_all()?;
                let gradient = || fused::row_gradients(&logits, &at, 1.0 / count as f64);
                (loss, gradients.then(gradient).transpose()?)
            }
            false => composed_rows(&logits, &at, gradients.then_some(count))?,
        };
        total = Some(match total {
            Some(total) => (total + loss)?,
            None => loss,
        });
        let Some(d_logits) = d_logits else { continue };
        dx.push(d_logits.matmul(&w)?.to_dtype(DType::F32)?);
        if weight.track_op() {
            let share = d_logits.t()?.matmul(&part)?.to_dtype(DType::F32)?;
            dw = Some(match dw {
                Some(sum) => (sum + share)?,
                None => share,
            });
        }
    }
    let Some(total) = total else { bail!("no label in the batch") };
    let mut loss = (total / count as f64)?;
    if gradients {
        loss = linked(&loss, &rows, &Tensor::cat(&dx, 0)?)?;
        if let Some(dw) = dw {
            loss = linked(&loss, weight, &dw)?;
        }
    }
    Ok(loss)
}

/// Summed loss of rows of logits, and, divided by `count`, its gradient in the logits' format.
fn composed_rows(
    logits: &Tensor,
    targets: &Tensor,
    count: Option<usize>,
) -> Result<(Tensor, Option<Tensor>)> {
    let (format, at) = (logits.dtype(), targets.unsqueeze(1)?);
    let logits = logits.to_dtype(DType::F32)?;
    let picked = logits.gather(&at, 1)?;
    let top = logits.max_keepdim(1)?;
    let exp = logits.broadcast_sub(&top)?.exp()?;
    let sums = exp.sum_keepdim(1)?;
    let loss = ((sums.log()? + top)? - picked)?.sum_all()?;
    let Some(count) = count else { return Ok((loss, None)) };
    let minus = Tensor::full(-1f32, at.dims(), logits.device())?;
    let d_logits = exp.broadcast_div(&sums)?.scatter_add(&at, &minus, 1)?;
    Ok((loss, Some((d_logits / count as f64)?.to_dtype(format)?)))
}

/// `value`, whose gradient with respect to `x` is `gradient`: `value + Σ x·g − Σ x·g`, the last sum not differentiated,
/// is `value` itself and differentiates to `g`.
fn linked(value: &Tensor, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    // Row sums first: a reduction to one number is one block's work on a GPU.
    let sum = (x * gradient.to_dtype(x.dtype())?)?.sum(1)?.to_dtype(DType::F32)?.sum_all()?;
    let zero = (&sum - sum.detach())?;
    value + zero
}
