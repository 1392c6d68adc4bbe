//! What a head reads of a batch, and which texts share one.

use candle_core::{Result, Tensor};

use super::{LabelledText, Pool};
use crate::mask::draw::{Draws, Stream};
use crate::tensor::host;

/// Batches whose texts are sorted by length together: little padding, and an order that is still random.
const SORTED_TOGETHER: usize = 8;

/// Which texts every batch of a pass has; each text once, in an order drawn from `(seed, pass)`.
pub(super) fn batches(texts: &[LabelledText], size: usize, (seed, pass): (u64, u32)) -> Vec<Vec<usize>> {
    let draws = Draws { seed, pass, ..Draws::default() };
    let mut order: Vec<usize> = (0..texts.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, draws.below(Stream::Order, i, i + 1));
    }
    let size = size.max(1);
    let mut out = Vec::new();
    for part in order.chunks_mut(size * SORTED_TOGETHER) {
        part.sort_by_key(|&i| texts[i].ids.len());
        out.extend(part.chunks(size).map(<[usize]>::to_vec));
    }
    out
}

/// One row a text, `[B, D + 1]`, from states `[B, R, D]` of which the first `rows` of each text are its own; the last column is
/// 1, for the bias.
pub(super) fn pooled(states: &Tensor, rows: &[usize], pool: Pool) -> Result<Tensor> {
    let (b, r, _) = states.dims3()?;
    let mut weights = vec![0f32; b * r];
    for (weights, &own) in weights.chunks_exact_mut(r).zip(rows) {
        match pool {
            Pool::Mean => weights[..own].fill(1.0 / own.max(1) as f32),
            Pool::Last => weights[own.saturating_sub(1)] = 1.0,
        }
    }
    let weights = Tensor::from_vec(weights, (b, 1, r), states.device())?;
    let read = weights.matmul(&states.contiguous()?)?.squeeze(1)?;
    Tensor::cat(&[&read, &Tensor::ones((b, 1), read.dtype(), read.device())?], 1)
}

/// The class with the highest logit in each row of `[B, C]`, the first of equal ones.
pub(super) fn likeliest(logits: &Tensor) -> Result<Vec<u32>> {
    let classes = logits.dim(1)?;
    let best = |row: &[f32]| {
        (0..classes).reduce(|best, class| if row[class] > row[best] { class } else { best }).unwrap_or(0)
            as u32
    };
    host::with_slice(logits, |values| values.chunks_exact(classes).map(best).collect())
}
