//! The forward pass of a masked batch and its loss, differentiable. Where nothing is masked, or only `keep`, it is the
//! plain pass to the last bit.

use candle_core::{Result, Tensor};

use super::batch::{MaskedBatch, Special};
use super::scores::{Seen, is_middle};
use crate::model::Model;
use crate::model::layers::Dropout;
use crate::model::network::Positions;
use crate::tensor::attention::Attention;
use crate::tensor::cross_entropy::{IGNORE, cross_entropy};
use crate::tensor::host;

/// The loss of a masked batch.
pub struct MaskedLoss {
    /// Mean over all labels, in nats, scalar; differentiable once.
    pub loss: Tensor,
    pub value: f64,
    /// Mean over rows whose token was masked (by anything but `keep`), predicting the token after it.
    pub masked_token_loss: Option<f64>,
    /// Mean over all other rows.
    pub unmasked_token_loss: Option<f64>,
    /// Labels behind the two.
    pub masked_tokens: usize,
    pub unmasked_tokens: usize,
}

/// The first block's input for the rows, `[B, R, D]`, differentiable; `mask_row` is `[D]`.
pub(super) fn embed(model: &Model, batch: &MaskedBatch, mask_row: Option<&Tensor>) -> Result<Tensor> {
    let (b, rows, width) = (batch.batch(), batch.rows, model.config.n_embd);
    if batch.specials.is_empty() && batch.positions.is_none() {
        return model.embed_batch(&batch.ids, b);
    }
    let device = &model.device;
    let mut tokens = model.embedding.select(&batch.ids)?;
    if !batch.specials.is_empty() {
        let n = batch.ids.len() as u32;
        let mut source = vec![tokens.clone()];
        let mut at = |wanted: Special, row: &dyn Fn() -> Result<Tensor>| -> Result<u32> {
            if batch.specials.iter().all(|(_, special)| *special != wanted) {
                return Ok(0);
            }
            source.push(row()?);
            Ok(n + source.len() as u32 - 2)
        };
        let mask = at(Special::MaskRow, &|| match mask_row {
            Some(row) => row.unsqueeze(0),
            None => candle_core::bail!("the batch needs a [MASK] row, and the model has none"),
        })?;
        let mean = at(Special::Mean, &|| mean_embedding(&model.embedding.tensor()?)?.unsqueeze(0))?;
        let mut index: Vec<u32> = (0..n).collect();
        for &(row, special) in &batch.specials {
            index[row] = if special == Special::MaskRow { mask } else { mean };
        }
        tokens = Tensor::cat(&source, 0)?.index_select(&Tensor::from_vec(index, n as usize, device)?, 0)?;
    }
    model.embed(tokens.reshape((b, rows, width))?, positions(batch))
}

/// Where the rows of a batch stand.
fn positions(batch: &MaskedBatch) -> Positions<'_> {
    batch.positions.as_ref().map_or(Positions::Counted, |all| Positions::Given(all))
}

/// Mean of all token embeddings `[V, D]`, `[D]`, without a gradient.
pub fn mean_embedding(all: &Tensor) -> Result<Tensor> {
    let (vocab, width) = all.dims2()?;
    let mut sums = vec![0f64; width];
    host::with_slice(&all.detach(), |values| {
        for row in values.chunks_exact(width) {
            for (sum, &v) in sums.iter_mut().zip(row) {
                *sum += f64::from(v);
            }
        }
    })?;
    let mean: Vec<f32> = sums.into_iter().map(|sum| (sum / vocab as f64) as f32).collect();
    Tensor::from_vec(mean, width, all.device())?.to_dtype(all.dtype())
}

/// The states after the final norm, `[B, R, D]`. `seen` takes every layer's packed projection.
pub(super) fn states(
    model: &Model,
    embedded: &Tensor,
    batch: &MaskedBatch,
    mut seen: Option<&mut Seen>,
) -> Result<Tensor> {
    if batch.middle.is_none() && seen.is_none() {
        return model.forward_batch_at(embedded, positions(batch), batch.bias.as_ref(), true);
    }
    let n_layer = model.config.n_layer;
    let (b, width) = (batch.batch(), model.config.n_embd);
    let index = |list: &[u32]| Tensor::from_slice(list, list.len(), &model.device);
    let mut x = Dropout::embeddings(model.dropout, embedded.clone())?;
    let mut bypass: Option<Tensor> = None;
    let position = |row: u32| batch.positions.as_ref().map_or(row % batch.rows as u32, |p| p[row as usize]);
    let inside: Vec<u32> =
        batch.middle.iter().flat_map(|middle| &middle.gather).map(|&row| position(row)).collect();
    for layer in 0..n_layer {
        let middle = batch.middle.as_ref();
        if let Some(middle) = middle {
            if layer == 1 {
                let flat = x.reshape(((), width))?;
                x = flat.index_select(&index(&middle.gather)?, 0)?.reshape((b, middle.rows, width))?;
                bypass = Some(flat);
            } else if layer + 1 == n_layer
                && let Some(all) = bypass.take()
            {
                let both = Tensor::cat(&[&all, &x.reshape(((), width))?], 0)?;
                x = both.index_select(&index(&middle.scatter)?, 0)?.reshape((b, batch.rows, width))?;
            }
        }
        let (bias, at) = match middle.filter(|_| is_middle(layer, n_layer)) {
            Some(middle) => (&middle.bias, Positions::Given(&inside)),
            None => (&batch.bias, positions(batch)),
        };
        let rule = Attention { bias: bias.clone(), ..model.attention(layer) };
        let (next, qkv) = model.ruled_block((layer, at), &x, rule)?;
        x = next;
        if let Some(seen) = seen.as_deref_mut() {
            seen.layers.push(qkv);
        }
    }
    model.final_norm(&x)
}

/// The loss over the rows' states `[B, R, D]`.
///
/// Masked and unmasked rows go through the output matrix apart, so that both losses come without a second product; the
/// mean is over all labels. Where no row is masked there is one part.
pub(super) fn loss(
    model: &Model,
    states: &Tensor,
    batch: &MaskedBatch,
    gradients: bool,
) -> Result<MaskedLoss> {
    let rows = states.reshape(((), model.config.n_embd))?;
    let head = if gradients { model.lm_head.tensor()? } else { model.lm_head.detach().tensor()? };
    let (mut masked, mut unmasked) = (Vec::new(), Vec::new());
    for (row, &label) in batch.labels.iter().enumerate() {
        if label != IGNORE {
            if batch.masked_rows[row] { masked.push(row as u32) } else { unmasked.push(row as u32) }
        }
    }
    let (masked_tokens, unmasked_tokens) = (masked.len(), unmasked.len());
    if masked.is_empty() {
        let loss = cross_entropy(&rows, &head, &batch.labels, gradients)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        let unmasked = (unmasked_tokens > 0).then_some(value);
        return Ok(MaskedLoss {
            loss,
            value,
            masked_token_loss: None,
            unmasked_token_loss: unmasked,
            masked_tokens,
            unmasked_tokens,
        });
    }
    let part = |list: Vec<u32>| -> Result<Option<(Tensor, f64)>> {
        if list.is_empty() {
            return Ok(None);
        }
        let labels: Vec<u32> = list.iter().map(|&row| batch.labels[row as usize]).collect();
        let n = list.len();
        let rows = rows.index_select(&Tensor::from_vec(list, n, &model.device)?, 0)?;
        let loss = cross_entropy(&rows, &head, &labels, gradients)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        Ok(Some((loss, value)))
    };
    let all = (masked_tokens + unmasked_tokens) as f64;
    let (masked, unmasked) = (part(masked)?, part(unmasked)?);
    let weighted = |part: &Option<(Tensor, f64)>, n: usize| -> Result<Option<Tensor>> {
        part.as_ref().map(|(loss, _)| loss * (n as f64 / all)).transpose()
    };
    let loss = match (weighted(&masked, masked_tokens)?, weighted(&unmasked, unmasked_tokens)?) {
        (Some(a), Some(b)) => (a + b)?,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => candle_core::bail!("no label in the batch"),
    };
    let value = f64::from(loss.to_scalar::<f32>()?);
    let of = |part: &Option<(Tensor, f64)>| part.as_ref().map(|(_, v)| *v);
    Ok(MaskedLoss {
        loss,
        value,
        masked_token_loss: of(&masked),
        unmasked_token_loss: of(&unmasked),
        masked_tokens,
        unmasked_tokens,
    })
}

/// Nats lost on each label of sequence `b`, row by row; `None` where the label does not count. No gradient.
pub(super) fn row_losses(
    model: &Model,
    states: &Tensor,
    batch: &MaskedBatch,
    b: usize,
) -> Result<Vec<Option<f64>>> {
    let states = states.detach().narrow(0, b, 1)?.squeeze(0)?;
    let labels = &batch.labels[b * batch.rows..][..batch.kept[b].len()];
    let head = model.lm_head.detach().tensor()?.t()?;
    let mut out = Vec::with_capacity(labels.len());
    for (tile, labels) in labels.chunks(ROW_TILE).enumerate() {
        let logits = states.narrow(0, tile * ROW_TILE, labels.len())?.contiguous()?;
        let logits = logits.to_dtype(head.dtype())?.matmul(&head)?;
        let vocab = logits.dim(1)?;
        host::with_slice(&logits, |values| {
            out.extend(values.chunks_exact(vocab).zip(labels).map(|(row, &label)| {
                let wanted = f64::from(*row.get(label as usize)?);
                let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = row.iter().map(|&x| f64::from(x - top).exp()).sum();
                Some(sum.ln() + f64::from(top) - wanted)
            }));
        })?;
    }
    Ok(out)
}

/// Rows whose logits exist at the same time.
const ROW_TILE: usize = 64;
