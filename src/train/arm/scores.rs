//! Scores for arms that rank by attention: one byte a token, kept from a sequence's last visit or taken from a fresh
//! pass. Runs on the trainer's thread; never builds a gradient.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor};

use super::batch::MaskedBatch;
use crate::attention::calibration::Calibration;
use crate::attention::score::score_source;
use crate::attention::source::AttentionSource;
use crate::attention::types::ScoreSettings;
use crate::model::forward::Reuse;
use crate::model::{Input, Model, ModelError};
use crate::tensor::attention::Attention;
use crate::tensor::host;
use std::sync::Arc;

/// No query informs this position.
const UNSCORED: u8 = 0;
/// An attention sink.
const SINK: u8 = 255;
/// Ranks lie in 1..=254.
const RANKS: f64 = 254.0;
/// Where a token that was dropped before it was ever scored is taken to stand: the middle.
const MIDDLE: u8 = 127;

/// One byte a token: 0 unscored, 255 an attention sink, else the rank among the scored, from 1 (least) to 254.
pub(super) fn to_bytes(scores: &[Option<f64>], sinks: &[usize]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|i| scores[*i].is_some()).collect();
    order.sort_by(|&a, &b| scores[a].unwrap_or(0.0).total_cmp(&scores[b].unwrap_or(0.0)));
    let mut out = vec![UNSCORED; scores.len()];
    let n = order.len() as f64;
    for (below, &i) in order.iter().enumerate() {
        out[i] = 1 + ((below as f64 + 0.5) / n * RANKS) as u8;
    }
    for &i in sinks {
        out[i] = SINK;
    }
    out
}

/// Bytes as a decision reads them, with the sinks among them.
pub(super) fn from_bytes(bytes: &[u8]) -> (Vec<Option<f64>>, Vec<usize>) {
    let scores = bytes.iter().map(|&b| (b != UNSCORED).then_some(f64::from(b))).collect();
    (scores, (0..bytes.len()).filter(|&i| bytes[i] == SINK).collect())
}

/// How scores are made.
#[derive(Clone, Debug, Default)]
pub(super) struct Scoring {
    pub settings: ScoreSettings,
    pub calibration: Option<Arc<Calibration>>,
}

impl Scoring {
    /// Scores `input` from an unmasked pass of `model`, which should record no gradients.
    pub fn fresh(&self, model: &Model, input: Input) -> std::result::Result<Vec<u8>, ModelError> {
        let trace = model.run(Arc::new(input), Reuse::default())?;
        let scored = score_source(&trace, &self.settings, self.calibration.as_deref());
        Ok(to_bytes(&scored.scores, scored.sinks.positions()))
    }

    /// Scores what the training pass itself read. Rows that were dropped keep what `memory` knows of them.
    pub fn remember(
        &self,
        model: &Model,
        seen: &Seen,
        batch: &MaskedBatch,
        memory: &mut ScoreMemory,
    ) -> Result<()> {
        for (b, visit) in batch.visits.iter().enumerate() {
            let maps = Maps::new(model, seen, batch, b, self.settings.contribution)?;
            let scored = score_source(&maps, &self.settings, self.calibration.as_deref());
            let new = to_bytes(&scored.scores, scored.sinks.positions());
            let bytes = memory
                .bytes
                .entry(visit.sequence)
                .or_insert_with(|| vec![MIDDLE; batch.decisions[b].positions.len()]);
            for (&position, byte) in batch.kept[b].iter().zip(new) {
                bytes[position] = byte;
            }
        }
        Ok(())
    }
}

/// Scores by sequence number: everything that a run with attention arms must keep to resume exactly.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreMemory {
    pub(super) bytes: BTreeMap<u32, Vec<u8>>,
}

impl ScoreMemory {
    /// For a checkpoint: per sequence its number, its length (both little-endian `u32`) and its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (sequence, bytes) in &self.bytes {
            out.extend(sequence.to_le_bytes());
            out.extend((bytes.len() as u32).to_le_bytes());
            out.extend(bytes);
        }
        out
    }

    /// The reverse; `None` for a damaged file.
    pub fn from_bytes(mut data: &[u8]) -> Option<Self> {
        let mut bytes = BTreeMap::new();
        while !data.is_empty() {
            let (head, rest) = data.split_at_checked(8)?;
            let number = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
            let (own, rest) = rest.split_at_checked(number(4)? as usize)?;
            bytes.insert(number(0)?, own.to_vec());
            data = rest;
        }
        Some(ScoreMemory { bytes })
    }
}

/// What a training pass leaves for scores: the packed projection of every layer, `[B, n, 3D]`, without its gradient.
#[derive(Default)]
pub struct Seen {
    pub(super) layers: Vec<Tensor>,
}

/// The attention of one sequence of a training batch, in rows of its kept tokens.
struct Maps<'a> {
    layers: Vec<ScoreLayer>,
    model: &'a Model,
    len: usize,
    contribution: bool,
}

/// One layer: its rows' projections, its rule, and which row of the sequence each is.
struct ScoreLayer {
    qkv: Vec<f32>,
    rule: Attention,
    rows: Option<Vec<usize>>,
    /// `W_O`, `[D, D]`, only where contributions are asked for.
    output: Option<Tensor>,
}

impl<'a> Maps<'a> {
    fn new(model: &'a Model, seen: &Seen, batch: &MaskedBatch, b: usize, contribution: bool) -> Result<Self> {
        let len = batch.kept[b].len();
        let mut layers = Vec::with_capacity(seen.layers.len());
        for (layer, qkv) in seen.layers.iter().enumerate() {
            let rows = batch.middle.as_ref().filter(|_| is_middle(layer, seen.layers.len()));
            let rows = rows.map(|middle| middle.rows_of[b].clone());
            let n = rows.as_ref().map_or(len, Vec::len);
            let at = |r: usize| rows.as_ref().map_or(r, |rows| rows[r]);
            let bias = match batch.plans[b].visible() {
                None => None,
                Some(visibility) => {
                    let mut bias = vec![0f32; n * n];
                    for r in 0..n {
                        for c in 0..r {
                            if !visibility.visible(len, at(r), at(c)) {
                                bias[r * n + c] = f32::NEG_INFINITY;
                            }
                        }
                    }
                    Some(Tensor::from_vec(bias, (1, 1, n, n), &candle_core::Device::Cpu)?)
                }
            };
            let own = qkv.narrow(0, b, 1)?.narrow(1, 0, n)?.contiguous()?;
            let output = match contribution {
                true => Some(model.attention_output(layer).weight.tensor()?.detach()),
                false => None,
            };
            layers.push(ScoreLayer {
                qkv: host::values(&own)?,
                rule: Attention { bias, ..model.attention(layer) },
                rows,
                output,
            });
        }
        Ok(Maps { layers, model, len, contribution })
    }
}

/// Whether a layer lies between the first and the last.
pub(super) fn is_middle(layer: usize, n_layer: usize) -> bool {
    layer > 0 && layer + 1 < n_layer
}

impl AttentionSource for Maps<'_> {
    fn n_layer(&self) -> usize {
        self.layers.len()
    }

    fn n_head(&self) -> usize {
        self.model.config.n_head
    }

    fn len(&self) -> usize {
        self.len
    }

    fn map(&self, layer: usize, head: usize, out: &mut [f32]) {
        let part = &self.layers[layer];
        let width = self.model.config.n_embd;
        out.fill(0.0);
        match &part.rows {
            None => {
                if part.rule.map(&part.qkv, width, head, out).is_err() {
                    out.fill(0.0);
                }
            }
            Some(rows) => {
                let n = rows.len();
                let mut small = vec![0f32; n * n];
                if n > 0 && part.rule.map(&part.qkv, width, head, &mut small).is_ok() {
                    for (r, &row) in rows.iter().enumerate() {
                        for (c, &column) in rows.iter().enumerate() {
                            out[row * self.len + column] = small[r * n + c];
                        }
                    }
                }
            }
        }
    }

    fn value_norms(&self, layer: usize, head: usize, out: &mut [f32]) {
        let part = &self.layers[layer];
        out.fill(if self.contribution { 0.0 } else { 1.0 });
        let Some(weight) = &part.output else { return };
        let (width, d) = (self.model.config.n_embd, self.model.config.head_dim());
        let n = part.qkv.len() / (3 * width);
        let values: Vec<f32> = part
            .qkv
            .chunks(3 * width)
            .flat_map(|row| row[2 * width + head * d..2 * width + (head + 1) * d].iter().copied())
            .collect();
        let norms = || -> Result<Vec<f32>> {
            let values = Tensor::from_vec(values, (n, d), weight.device())?;
            let out = values.matmul(&weight.narrow(0, head * d, d)?.contiguous()?)?;
            host::values(&out.sqr()?.sum(1)?.sqrt()?)
        };
        // A failure would be a bug in shapes; norms of 0 then show as scores of 0.
        for (r, norm) in norms().unwrap_or_default().into_iter().enumerate() {
            out[part.rows.as_ref().map_or(r, |rows| rows[r])] = norm;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_order_gaps_and_sinks() {
        let scores = [Some(9.0), Some(0.5), None, Some(2.0), Some(1.0)];
        let bytes = to_bytes(&scores, &[0]);
        assert_eq!(bytes[2], 0);
        assert_eq!(bytes[0], 255);
        assert!(bytes[1] < bytes[4] && bytes[4] < bytes[3]);
        let (back, sinks) = from_bytes(&bytes);
        assert_eq!((back[2], sinks), (None, vec![0]));
        assert!(to_bytes(&[Some(1.0); 3000], &[]).iter().all(|b| (1..=254).contains(b)));
    }

    #[test]
    fn memory_survives_a_checkpoint_and_damage_is_seen() {
        let mut memory = ScoreMemory::default();
        memory.bytes.insert(7, vec![1, 2, 3]);
        memory.bytes.insert(9, vec![]);
        let data = memory.to_bytes();
        assert_eq!(ScoreMemory::from_bytes(&data), Some(memory));
        assert_eq!(ScoreMemory::from_bytes(&data[..data.len() - 1]), None);
        assert_eq!(ScoreMemory::from_bytes(&[]), Some(ScoreMemory::default()));
    }
}
