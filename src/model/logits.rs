//! From final states to what a person reads: log-probabilities of given targets, the most probable next tokens. Logits
//! exist for a tile of rows at a time only.

use candle_core::{DType, Tensor};
use rayon::prelude::*;

use super::error::ModelError;
use super::language_model::Model;
use super::trace::Trace;
use super::weight::Side;
use crate::tensor::device::on_host;
use crate::tensor::host;
use crate::tensor::kernels::head::{self, Read};
use crate::tensor::linear::project;

/// Rows whose logits are held at the same time.
const TILE: usize = 128;
/// The same on a device, where small products waste it.
const DEVICE_TILE: usize = 1024;

/// Log-softmax normaliser of one row: `ln Σ exp(x)`, in f64.
fn log_sum_exp(row: &[f32]) -> f64 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&x| f64::from((x - top).exp())).sum();
    f64::from(top) + sum.ln()
}

/// `ln p` from the logits of one row.
pub fn log_softmax(row: &[f32]) -> Vec<f32> {
    let lse = log_sum_exp(row);
    row.iter().map(|x| (f64::from(*x) - lse) as f32).collect()
}

impl Model {
    /// Logits of `rows` of `hidden` (states after the final norm, `[T, D]`), `[n, V]` on the host.
    pub fn logits(&self, hidden: &Tensor, from: usize, count: usize) -> Result<Vec<f32>, ModelError> {
        let rows = hidden.narrow(0, from, count)?.contiguous()?;
        if !on_host(&self.device) {
            let head = self.lm_head.tensor()?.t()?;
            return Ok(host::values(&rows.to_dtype(head.dtype())?.matmul(&head)?)?);
        }
        let (d, vocab) = (self.config.n_embd, self.config.vocab_size);
        let mut out = vec![0f32; count * vocab];
        let (states, weight) = (host::hold(&rows)?, self.lm_head.lend()?);
        project(states.floats()?, weight.right(Side::Columns)?, (d, vocab), &mut out);
        Ok(out)
    }

    /// `ln p` over the whole vocabulary after row `row`, `[V]`.
    pub fn log_probabilities(&self, trace: &Trace, row: usize) -> Result<Vec<f32>, ModelError> {
        Ok(log_softmax(&self.logits(&trace.hidden, row, 1)?))
    }

    /// `ln p(target)` for pairs `(row, target)`, sorted by row, and `ln p` over the whole vocabulary after the last row
    /// where `last` asks for it: one sweep over the output matrix for both.
    pub fn read(
        &self,
        trace: &Trace,
        pairs: &[(usize, u32)],
        last: bool,
    ) -> Result<(Vec<f32>, Option<Vec<f32>>), ModelError> {
        let end = trace.len() - 1;
        let from = pairs.first().map_or(end, |p| p.0);
        let to = if last { end } else { pairs.last().map_or(end, |p| p.0) };
        if pairs.is_empty() && !last {
            return Ok((Vec::new(), None));
        }
        // Rows between those asked for are nearly none; computing them is cheaper than gathering.
        let mut targets = vec![u32::MAX; to - from + 1];
        pairs.iter().for_each(|&(row, target)| targets[row - from] = target);
        let wanted: Vec<usize> = last.then_some(end - from).into_iter().collect();
        let mut read = if on_host(&self.device) {
            rayon::scope(|_| self.host_read(&trace.hidden, from, &targets, &wanted))?
        } else {
            self.device_read(&trace.hidden, from, &targets, &wanted)?
        };
        let log_p = |row: usize, logit: f32| (f64::from(logit) - read.log_sum_exp[row]) as f32;
        let known = pairs.iter().map(|&(row, _)| log_p(row - from, read.target[row - from])).collect();
        let lse = read.log_sum_exp.last().copied().unwrap_or(0.0);
        let whole = read.rows.pop().map(|mut row| {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) - lse) as f32);
            row
        });
        Ok((known, whole))
    }

    /// Reads logits of rows `from..from + targets.len()` of `hidden` `[T, D]` without holding them.
    fn host_read(
        &self,
        hidden: &Tensor,
        from: usize,
        targets: &[u32],
        wanted: &[usize],
    ) -> candle_core::Result<Read> {
        let (vocab, d) = (self.config.vocab_size, self.config.n_embd);
        let (states, weight) = (host::hold(hidden)?, self.lm_head.lend()?);
        let rows = &states.floats()?[from * d..(from + targets.len()) * d];
        Ok(head::read(rows, weight.right(Side::Columns)?, (d, vocab), targets, wanted))
    }

    /// As [`Model::host_read`] where the weights are: only what was asked for comes to the host.
    fn device_read(
        &self,
        hidden: &Tensor,
        from: usize,
        targets: &[u32],
        wanted: &[usize],
    ) -> candle_core::Result<Read> {
        let head = self.lm_head.tensor()?.t()?;
        let mut out = Read { log_sum_exp: Vec::new(), target: Vec::new(), rows: Vec::new() };
        for (tile, targets) in targets.chunks(DEVICE_TILE).enumerate() {
            let (first, n) = (tile * DEVICE_TILE, targets.len());
            let states = hidden.narrow(0, from + first, n)?.contiguous()?.to_dtype(head.dtype())?;
            let logits = states.matmul(&head)?.to_dtype(DType::F32)?;
            let top = logits.max_keepdim(1)?;
            let sums = logits.broadcast_sub(&top)?.exp()?.sum_keepdim(1)?;
            let lse = (sums.log()? + top)?.squeeze(1)?.to_vec1::<f32>()?;
            out.log_sum_exp.extend(lse.into_iter().map(f64::from));
            // Id 0 stands in where there is no target; nobody reads it.
            let ids: Vec<u32> = targets.iter().map(|&t| if t == u32::MAX { 0 } else { t }).collect();
            let picked = logits.gather(&Tensor::from_vec(ids, (n, 1), hidden.device())?, 1)?;
            let picked = host::values(&picked)?;
            let known = picked.into_iter().zip(targets);
            out.target.extend(known.map(|(x, &t)| if t == u32::MAX { f32::NAN } else { x }));
            for &row in wanted.iter().filter(|row| (first..first + n).contains(row)) {
                out.rows.push(host::values(&logits.narrow(0, row - first, 1)?)?);
            }
        }
        Ok(out)
    }

    /// `ln p(target)` for pairs `(row, target)`, sorted by row.
    pub fn target_log_probabilities(
        &self,
        trace: &Trace,
        pairs: &[(usize, u32)],
    ) -> Result<Vec<f32>, ModelError> {
        if !on_host(&self.device) {
            return Ok(self.read(trace, pairs, false)?.0);
        }
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
