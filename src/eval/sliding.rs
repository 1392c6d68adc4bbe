//! Losses of texts that are longer than the context, in windows that overlap: a token is predicted once, in the first window that
//! reaches it, so that from the second window on it has at least `context − stride` tokens before it. No gradients; runs on the
//! caller's thread.

use candle_core::Tensor;

use crate::model::{Model, ModelError};
use crate::tensor::host;

/// Rows whose logits exist at the same time.
const ROW_TILE: usize = 64;

/// What one document cost, and how often the likeliest token came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DocumentScore {
    /// Sum of nats over the labels.
    pub nats: f64,
    pub labels: usize,
    /// Labels that were the likeliest token.
    pub right: usize,
}

/// Scores documents with one model.
pub struct Scorer<'a> {
    model: &'a Model,
    /// `[D, V]`.
    head: Tensor,
    context: usize,
    stride: usize,
}

impl<'a> Scorer<'a> {
    /// Windows of `context` tokens, each `stride` further than the one before; a stride of a whole context reads pieces, each without
    /// the ones before.
    ///
    /// # Errors
    /// Of the tensor library.
    pub fn new(model: &'a Model, context: usize, stride: usize) -> Result<Self, ModelError> {
        let context = context.clamp(1, model.config.n_positions);
        let head = model.lm_head.detach().tensor()?.t()?;
        Ok(Scorer { model, head, context, stride: stride.clamp(1, context) })
    }

    /// Scores a document, whose tokens count as labels where `counted` says so (`None`: all of them).
    ///
    /// # Errors
    /// A pass that fails.
    pub fn score(&self, ids: &[u32], counted: Option<&[bool]>) -> Result<DocumentScore, ModelError> {
        let (mut out, last) = (DocumentScore::default(), ids.len().saturating_sub(1));
        let (mut from, mut done) = (0, 0);
        while done < last {
            let to = (from + self.context).min(last);
            let input = self.model.embed_batch(&ids[from..to], 1)?;
            let states = self.model.forward_batch(&input, None, true)?.squeeze(0)?;
            let counts = |label: usize| counted.is_none_or(|counted| counted[label]);
            let labels: Vec<Option<u32>> = (done + 1..=to).map(|at| counts(at).then_some(ids[at])).collect();
            self.add(&states.narrow(0, done - from, to - done)?, &labels, &mut out)?;
            (done, from) = (to, from + self.stride);
        }
        Ok(out)
    }

    /// Adds the labels of rows of states `[n, D]`.
    fn add(&self, rows: &Tensor, labels: &[Option<u32>], out: &mut DocumentScore) -> Result<(), ModelError> {
        for (tile, labels) in labels.chunks(ROW_TILE).enumerate() {
            let rows = rows.narrow(0, tile * ROW_TILE, labels.len())?.contiguous()?;
            let logits = rows.to_dtype(self.head.dtype())?.matmul(&self.head)?;
            let vocab = logits.dim(1)?;
            host::with_slice(&logits, |values| {
                for (row, label) in values.chunks_exact(vocab).zip(labels) {
                    let Some(label) = label else { continue };
                    let wanted = row[*label as usize];
                    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let sum: f64 = row.iter().map(|&x| f64::from(x - top).exp()).sum();
                    out.nats += sum.ln() + f64::from(top) - f64::from(wanted);
                    out.labels += 1;
                    out.right += usize::from(wanted >= top);
                }
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::forward::Reuse;
    use crate::model::{Config, Input};
    use crate::train::init;

    fn model() -> Model {
        let json = br#"{"vocab_size": 50, "n_positions": 16, "n_embd": 16, "n_head": 2, "n_layer": 2, "initializer_range": 0.3}"#;
        let config = Config::parse(json, "config.json").unwrap();
        let tensors = init::weights(&config, 3, &candle_core::Device::Cpu).unwrap();
        Model::from_tensors(&config, &tensors, &candle_core::Device::Cpu).unwrap().freeze().unwrap()
    }

    fn ids(n: usize) -> Vec<u32> {
        (0..n as u32).map(|i| (i * i + 3 * i) % 49).collect()
    }

    /// Every token alone: the pass that ends right before it, in the first window that reaches it.
    fn plainly(model: &Model, ids: &[u32], (context, stride): (usize, usize)) -> DocumentScore {
        let mut out = DocumentScore::default();
        for at in 1..ids.len() {
            let from = (0..).map(|k| k * stride).find(|from| at <= from + context).unwrap();
            let input = Arc::new(Input::plain(ids[from..at].to_vec()));
            let trace = model.run(input, Reuse::default()).unwrap();
            let p = model.log_probabilities(&trace, at - from - 1).unwrap();
            let best = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).unwrap();
            out.nats -= f64::from(p[ids[at] as usize]);
            out.labels += 1;
            out.right += usize::from(best == ids[at] as usize);
        }
        out
    }

    #[test]
    fn windows_that_overlap_give_what_a_plain_pass_for_every_token_gives() {
        let model = model();
        for (n, context, stride) in
            [(50, 16, 4), (50, 16, 16), (50, 12, 5), (16, 16, 8), (17, 16, 1), (2, 16, 4)]
        {
            let got = Scorer::new(&model, context, stride).unwrap().score(&ids(n), None).unwrap();
            let wanted = plainly(&model, &ids(n), (context, stride));
            assert!((got.nats - wanted.nats).abs() < 1e-4 * wanted.labels as f64, "{got:?} {wanted:?}");
            assert_eq!((got.labels, got.right), (n - 1, wanted.right), "{n} {context} {stride}");
        }
        let scorer = Scorer::new(&model, 16, 4).unwrap();
        assert_eq!(scorer.score(&[3], None).unwrap(), DocumentScore::default());
        assert_eq!(scorer.score(&[], None).unwrap(), DocumentScore::default());
        let counted: Vec<bool> = (0..50).map(|i| i % 3 == 0).collect();
        assert_eq!(scorer.score(&ids(50), Some(&counted)).unwrap().labels, 16);
    }
}
