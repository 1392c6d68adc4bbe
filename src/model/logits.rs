//! From final states to what a person reads: log-probabilities of given targets, the most probable next tokens. Logits
//! exist for a tile of rows at a time only.

use candle_core::Tensor;
use rayon::prelude::*;

use super::error::ModelError;
use super::gpt2::Gpt2;
use super::trace::Trace;
use crate::tensor::host;

/// Rows whose logits are held at the same time.
const TILE: usize = 128;

/// Log-softmax normaliser of one row: `ln Σ exp(x)`, in f64.
fn log_sum_exp(row: &[f32]) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&x| f64::from((x - top).exp())).sum();
    f64::from(top) + sum.ln()
}

impl Gpt2 {
    /// Logits of `rows` of `hidden` (states after `ln_f`, `[T, D]`), `[n, V]` on the host.
    pub fn logits(&self, hidden: &Tensor, from: usize, count: usize) -> Result<Vec<f32>, ModelError> {
        let rows = hidden.narrow(0, from, count)?.contiguous()?;
        Ok(host::values(&rows.matmul(&self.lm_head.t()?)?)?)
    }

    /// `ln p` over the whole vocabulary after row `row`, `[V]`.
    pub fn log_probabilities(&self, trace: &Trace, row: usize) -> Result<Vec<f32>, ModelError> {
        let mut logits = self.logits(&trace.hidden, row, 1)?;
        let lse = log_sum_exp(&logits);
        logits.iter_mut().for_each(|x| *x = (f64::from(*x) - lse) as f32);
        Ok(logits)
    }

    /// `ln p(target)` for pairs `(row, target)`, sorted by row.
    pub fn target_log_probabilities(
        &self,
        trace: &Trace,
        pairs: &[(usize, u32)],
    ) -> Result<Vec<f32>, ModelError> {
        let vocab = self.config.vocab_size;
        let mut out = Vec::with_capacity(pairs.len());
        for tile in pairs.chunks(TILE) {
            let (Some(first), Some(last)) = (tile.first(), tile.last()) else { break };
            let from = first.0;
            // Rows of a tile are nearly contiguous; computing the few between them is cheaper than gathering.
            let logits = self.logits(&trace.hidden, from, last.0 - from + 1)?;
            let part: Vec<f32> = tile
                .par_iter()
                .map(|&(row, target)| {
                    let row = &logits[(row - from) * vocab..(row - from + 1) * vocab];
                    (f64::from(row[target as usize]) - log_sum_exp(row)) as f32
                })
                .collect();
            out.extend(part);
        }
        Ok(out)
    }
}

/// The `count` largest entries of `log_p`, largest first, ties by id, as `(id, p)`.
pub fn top(log_p: &[f32], count: usize) -> Vec<(u32, f32)> {
    let count = count.min(log_p.len());
    if count == 0 {
        return Vec::new();
    }
    let order = |a: &u32, b: &u32| log_p[*b as usize].total_cmp(&log_p[*a as usize]).then(a.cmp(b));
    let mut ids: Vec<u32> = (0..log_p.len() as u32).collect();
    if count < ids.len() {
        ids.select_nth_unstable_by(count - 1, order);
        ids.truncate(count);
    }
    ids.sort_unstable_by(order);
    ids.into_iter().map(|id| (id, log_p[id as usize].exp())).collect()
}

/// `KL(p ‖ q)` in nats from two vectors of log-probabilities, summed in f64.
pub fn kl(log_p: &[f32], log_q: &[f32]) -> f64 {
    let sum: f64 =
        log_p.iter().zip(log_q).map(|(&p, &q)| f64::from(p).exp() * (f64::from(p) - f64::from(q))).sum();
    sum.max(0.0)
}
