//! What a forward pass leaves behind: residuals and packed Q, K, V per layer. Maps are computed from it when looked at.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::config::Config;
use super::input::Input;
use super::stored::{Stored, rows_of};
use crate::tensor::attention::Attention;
use crate::tensor::kernels::attention::TileSums;

/// One layer's part of a trace. Layers between the first and the last hold only the rows that were not skipped.
#[derive(Clone)]
pub struct LayerTrace {
    /// Residual stream going in, `[n, D]`.
    pub residual: Stored,
    /// Query, key and value side by side, `[n, 3D]`.
    pub qkv: Stored,
    /// Output of the heads before the output projection and before any change, `[n, D]`; only where
    /// [`Hooks::keeps_heads`](super::hooks::Hooks::keeps_heads) says so.
    pub heads: Option<Tensor>,
    /// The attention rule with this pass's visibility as its bias.
    pub rule: Attention,
    /// Row `r` of this layer is position `rows[r]` of the input; `None` when all rows are here.
    pub rows: Option<Arc<Vec<usize>>>,
    /// What keys received, tile by tile of queries, summed while the pass ran; empty where the pass was composed.
    pub sums: Vec<Arc<TileSums>>,
}

/// What the keys of one head received from every query, each `[T]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// `Σ_{t>i} α[t,i]`.
    pub later: Vec<f64>,
    /// `α[i,i]`.
    pub own: Vec<f64>,
    /// `α[i,0]`.
    pub first: Vec<f64>,
    /// `‖W_O v_i‖`.
    pub norms: Vec<f32>,
}

/// One finished forward pass over one sequence.
#[derive(Clone)]
pub struct Trace {
    pub config: Arc<Config>,
    pub input: Arc<Input>,
    pub layers: Vec<LayerTrace>,
    /// Residual stream after the last block, before the final norm, `[T, D]`.
    pub last: Tensor,
    /// After the final norm, `[T, D]`.
    pub hidden: Tensor,
    /// Rows computed and rows taken from an earlier trace, summed over layers.
    pub computed: usize,
    pub reused: usize,
    /// `W_O W_Oᵀ` per layer and head (`[head_dim, head_dim]`), for value norms.
    pub(super) gram: Arc<Vec<Vec<f32>>>,
}

impl Trace {
    pub fn len(&self) -> usize {
        self.input.len()
    }

    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Hidden states in Hugging Face's convention, `[L + 1, T, D]`: the embeddings, the residual stream between
    /// blocks, and last the state after the final norm. Only for passes without skipped rows.
    pub fn hidden_states(&self) -> Result<Tensor> {
        let mut all: Vec<Tensor> = self.layers.iter().map(|l| l.residual.tensor()).collect::<Result<_>>()?;
        all.push(self.hidden.clone());
        Tensor::stack(&all, 0)
    }

    /// Attention of one head in the coordinates of the input, `[T, T]` row-major; rows and columns that skipped
    /// this layer are 0.
    pub fn map_into(&self, layer: usize, head: usize, out: &mut [f32]) -> Result<()> {
        let part = &self.layers[layer];
        let t = self.len();
        let width = self.config.n_embd;
        match &part.rows {
            None => part.qkv.with_slice(|qkv| part.rule.map(qkv, width, head, out))?,
            Some(rows) => {
                let n = rows.len();
                let mut small = vec![0f32; n * n];
                part.qkv.with_slice(|qkv| part.rule.map(qkv, width, head, &mut small))??;
                out[..t * t].fill(0.0);
                for (r, &row) in rows.iter().enumerate() {
                    for (c, &col) in rows.iter().enumerate() {
                        out[row * t + col] = small[r * n + c];
                    }
                }
                Ok(())
            }
        }
    }

    /// The attention of the queries from `start` on, in the coordinates of the input: `[L·H, T − start, T]`, layer-major.
    /// Only for passes without skipped rows.
    pub fn weights_from(&self, start: usize) -> Result<Vec<f32>> {
        let (t, heads, width) = (self.len(), self.config.n_head, self.config.n_embd);
        let plane = (t - start) * t;
        let mut out = vec![0f32; self.layers.len() * heads * plane];
        for (layer, out) in self.layers.iter().zip(out.chunks_mut((heads * plane).max(1))) {
            match &layer.qkv {
                Stored::Host(rows, _) => {
                    for (head, out) in out.chunks_mut(plane.max(1)).enumerate() {
                        layer.rule.map_from(rows.values(), (width, start), head, out)?;
                    }
                }
                Stored::Device(qkv, _) => out.copy_from_slice(&layer.rule.maps_from(qkv, start)?),
            }
        }
        Ok(out)
    }

    /// What is left once the keys and values of all but `rows` (ascending) have left the cache. What is run on from here is
    /// computed over these rows alone, at the positions they had; the queries that were, had read the others, too, so that
    /// maps of their rows are not theirs any more. Only for passes without skipped rows.
    pub fn of_rows(&self, rows: &[usize]) -> Result<Trace> {
        let layer = |l: &LayerTrace| {
            Ok(LayerTrace {
                residual: l.residual.select(rows)?,
                qkv: l.qkv.select(rows)?,
                heads: l.heads.as_ref().map(|heads| rows_of(heads, rows)).transpose()?,
                rule: Attention { bias: None, ..l.rule.clone() },
                rows: None,
                sums: Vec::new(),
            })
        };
        Ok(Trace {
            config: self.config.clone(),
            input: Arc::new(self.input.of_rows(rows)),
            layers: self.layers.iter().map(layer).collect::<Result<_>>()?,
            last: rows_of(&self.last, rows)?,
            hidden: rows_of(&self.hidden, rows)?,
            computed: self.computed,
            reused: self.reused,
            gram: self.gram.clone(),
        })
    }

    /// What the keys of one head received from all queries, as it was summed while the pass ran; `None` where it was not, or
    /// where the layer holds only some of the rows.
    pub fn received(&self, layer: usize, head: usize) -> Option<Received> {
        let part = &self.layers[layer];
        let t = self.len();
        if part.rows.is_some() || part.sums.last().is_none_or(|tile| tile.queries.end != t) {
            return None;
        }
        let mut out = Received {
            later: vec![0.0; t],
            own: Vec::with_capacity(t),
            first: Vec::with_capacity(t),
            norms: Vec::with_capacity(t),
        };
        for tile in &part.sums {
            let (n, end) = (tile.queries.len(), tile.queries.end);
            let later = &tile.later[head * end..(head + 1) * end];
            out.later.iter_mut().zip(later).for_each(|(sum, x)| *sum += x);
            for (all, part) in [(&mut out.own, &tile.own), (&mut out.first, &tile.first)] {
                all.extend(part[head * n..(head + 1) * n].iter().map(|x| f64::from(*x)));
            }
            out.norms.extend(&tile.norms[head * n..(head + 1) * n]);
        }
        Some(out)
    }

    /// `‖W_O v_i‖` of one head for every position, `[T]`; 0 where the layer was skipped.
    pub fn value_norms_into(&self, layer: usize, head: usize, out: &mut [f32]) -> Result<()> {
        let part = &self.layers[layer];
        let (width, d) = (self.config.n_embd, self.config.head_dim());
        let gram = &self.gram[layer * self.config.n_head + head];
        out[..self.len()].fill(0.0);
        part.qkv.with_slice(|qkv| {
            for (r, row) in qkv.chunks(3 * width).enumerate() {
                let v = &row[2 * width + head * d..2 * width + (head + 1) * d];
                let mut norm = 0f64;
                for (i, &vi) in v.iter().enumerate() {
                    let dot: f32 = gram[i * d..(i + 1) * d].iter().zip(v).map(|(g, v)| g * v).sum();
                    norm += f64::from(vi) * f64::from(dot);
                }
                out[part.rows.as_ref().map_or(r, |rows| rows[r])] = norm.max(0.0).sqrt() as f32;
            }
        })
    }
}
